#include <stdio.h>
#include <string.h>

#include "receiver/base/encoding.h"
#include "receiver/base/units.h"
#include "receiver/schema/row.h"

#define ROWS_MOST 64

static void read_value(struct problems *problems, const struct schema_row *row,
                       const struct node *node, void *into);

static const char *
kind_expected(enum schema_kind kind)
{
	switch (kind) {
	case SCHEMA_BOOL: return "true or false";
	case SCHEMA_INTEGER: return "a whole number";
	case SCHEMA_DECIMAL: return "a number such as 2 or 1.5";
	case SCHEMA_DURATION: return "a duration with its unit, such as 250ms, 30s, 5m, 1h or 3d";
	case SCHEMA_SIZE: return "a size with its unit, such as 512B, 16KiB or 1MiB";
	case SCHEMA_RATE: return "a rate with its unit, such as 100/s or 30/m";
	case SCHEMA_TEXT: return "a text";
	case SCHEMA_WORD: return "a word";
	case SCHEMA_TEXTS: return "a list of texts";
	case SCHEMA_MAP: return "a map";
	case SCHEMA_LIST: return "a list";
	case SCHEMA_NAMED: return "a map of names";
	case SCHEMA_GLOBS: return "a map of JSON pointers";
	}
	return "";
}

static bool
is_nothing(const struct node *node)
{
	return node->kind == NODE_SCALAR && node->plain &&
	       (node->text.size == 0 || span_equal(node->text, SPAN("null")) ||
	        span_equal(node->text, SPAN("~")));
}

static bool
parse_number(enum schema_kind kind, struct span text, int64_t *ret)
{
	switch (kind) {
	case SCHEMA_INTEGER: return span_number(text, ret);
	case SCHEMA_DURATION: return units_duration(text, ret);
	case SCHEMA_SIZE: return units_size(text, ret);
	case SCHEMA_RATE: return units_rate(text, ret);
	case SCHEMA_DECIMAL: return units_decimal(text, ret);
	case SCHEMA_BOOL:
	case SCHEMA_TEXT:
	case SCHEMA_WORD:
	case SCHEMA_TEXTS:
	case SCHEMA_MAP:
	case SCHEMA_LIST:
	case SCHEMA_NAMED:
	case SCHEMA_GLOBS: break;
	}
	return false;
}

static bool
outside(const struct schema_row *row, int64_t value)
{
	int64_t edge;
	return (row->least != NULL && parse_number(row->kind, span_of(row->least), &edge) &&
	        value < edge) ||
	       (row->most != NULL && parse_number(row->kind, span_of(row->most), &edge) &&
	        value > edge);
}

static void
read_number(struct problems *problems, const struct schema_row *row, const struct node *node,
            int64_t *into)
{
	int64_t value;
	if (!parse_number(row->kind, node->text, &value)) {
		problems_add(problems, node->place, "%s: expected %s", row->name,
		             kind_expected(row->kind));
	} else if (outside(row, value)) {
		problems_add(problems, node->place, "%s: %s is out of range: %s%s%s", row->name,
		             node->text.data, row->least == NULL ? "at most" : row->least,
		             row->least != NULL && row->most != NULL
		                     ? " to "
		                     : (row->least == NULL ? " " : " or more"),
		             row->most == NULL ? "" : row->most);
	} else {
		*into = value;
	}
}

static void
read_word(struct problems *problems, const struct schema_row *row, const struct node *node,
          int *into)
{
	for (int i = 0; row->words[i] != NULL; i++) {
		if (span_equal(node->text, span_of(row->words[i]))) {
			*into = i;
			return;
		}
	}
	char list[ERROR_TEXT_BYTES / 2] = "";
	for (int i = 0; row->words[i] != NULL; i++) {
		size_t used = strlen(list);
		if (sizeof(list) - used < strlen(row->words[i]) + 3) {
			break;
		}
		strcat(strcat(list, i == 0 ? "" : ", "), row->words[i]);
	}
	const char *nearest = problems_nearest(node->text, row->words);
	problems_add(problems, node->place, "%s: \"%.60s\" is none of: %s%s%s%s", row->name,
	             node->text.data, list, nearest == NULL ? "" : "; did you mean \"",
	             nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
}

static void
read_texts(struct problems *problems, const char *name, const struct node *list,
           struct schema_list *into)
{
	for (const struct node *child = list->first; child != NULL; child = child->next) {
		if (child->kind != NODE_SCALAR) {
			problems_add(problems, child->place, "%s: expected a text", name);
			continue;
		}
		const char **item = arena_append(problems->arena, &into->items, &into->count,
		                                 sizeof(const char *));
		*item = child->text.data;
	}
}

static void
read_globs(struct problems *problems, const struct schema_row *row, const struct node *map,
           struct schema_list *into)
{
	for (const struct node *child = map->first; child != NULL; child = child->next) {
		if (child->key.size > 0 && child->key.data[0] != '/') {
			problems_add(problems, child->key_place,
			             "%s: a JSON pointer begins with \"/\" (RFC 6901)", row->name);
		}
		struct schema_globs *globs =
			arena_append(problems->arena, &into->items, &into->count, sizeof(*globs));
		*globs = (struct schema_globs){ .key = child->key.data };
		if (child->kind == NODE_LIST) {
			read_texts(problems, row->name, child, &globs->globs);
		} else if (child->kind == NODE_SCALAR) {
			const char **item = arena_append(problems->arena, &globs->globs.items,
			                                 &globs->globs.count, sizeof(const char *));
			*item = child->text.data;
		} else {
			problems_add(problems, child->place,
			             "%s: expected a text or a list of texts", row->name);
		}
	}
}

bool
schema_name_valid(struct span name)
{
	if (name.size == 0 || name.size > 64) {
		return false;
	}
	for (size_t i = 0; i < name.size; i++) {
		char c = name.data[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) {
			return false;
		}
	}
	return true;
}

/* Somebody wrote the secret itself. */
static void
expect_place(struct problems *problems, const struct schema_row *row, const struct node *node)
{
	problems_hide(problems, node->place.line);
	problems_add(
		problems, node->place,
		"%s: expected where it is, such as { file: secrets/name } or { env: NAME }; it never stands in this file",
		row->name);
}

static void
read_elements(struct problems *problems, const struct schema_row *row, const struct node *node,
              struct schema_list *into)
{
	for (const struct node *child = node->first; child != NULL; child = child->next) {
		if (row->kind == SCHEMA_NAMED && !schema_name_valid(child->key)) {
			problems_add(problems, child->key_place,
			             "\"%.80s\": a name is 1 to 64 of a-z, 0-9, _ and -",
			             child->key.data);
		}
		if (child->kind != NODE_MAP) {
			if (row->secret) {
				expect_place(problems, row, child);
			} else {
				problems_add(problems, child->place, "%s: expected a map",
				             row->name);
			}
			continue;
		}
		struct schema_entry *entry =
			arena_append(problems->arena, &into->items, &into->count, row->size);
		schema_read(problems, row->rows, child, entry);
		entry->node = child;
		entry->name = row->kind == SCHEMA_NAMED ? child->key.data : NULL;
	}
}

/* Whether the node has the shape that the kind wants; tells when not. */
static bool
shape_fits(struct problems *problems, const struct schema_row *row, const struct node *node)
{
	enum node_kind wanted = NODE_SCALAR;
	if (row->kind == SCHEMA_TEXTS || row->kind == SCHEMA_LIST) {
		wanted = NODE_LIST;
	} else if (row->kind == SCHEMA_MAP || row->kind == SCHEMA_NAMED ||
	           row->kind == SCHEMA_GLOBS) {
		wanted = NODE_MAP;
	}
	if (node->kind == wanted) {
		return true;
	}
	if (row->secret && node->kind == NODE_SCALAR) {
		expect_place(problems, row, node);
		return false;
	}
	problems_add(problems, node->place, "%s: expected %s", row->name, kind_expected(row->kind));
	return false;
}

static void
read_map(struct problems *problems, const struct schema_row *row, const struct node *node,
         struct schema_entry *into)
{
	if (node->kind == NODE_SCALAR && row->scalar != NULL && !is_nothing(node)) {
		struct node *map = arena_take(problems->arena, sizeof(*map));
		struct node *child = arena_take(problems->arena, sizeof(*child));
		*child = *node;
		child->next = NULL;
		child->key = span_of(row->scalar);
		child->key_place = node->place;
		*map = *node;
		map->kind = NODE_MAP;
		map->first = child;
		node = map;
	}
	if (!shape_fits(problems, row, node)) {
		return;
	}
	schema_read(problems, row->rows, node, into);
	into->node = node;
}

static void
read_value(struct problems *problems, const struct schema_row *row, const struct node *node,
           void *into)
{
	if (row->kind == SCHEMA_MAP) {
		read_map(problems, row, node, into);
		return;
	}
	if (!shape_fits(problems, row, node)) {
		return;
	}
	switch (row->kind) {
	case SCHEMA_BOOL:
		if (span_equal(node->text, SPAN("true")) || span_equal(node->text, SPAN("false"))) {
			*(bool *)into = node->text.size == 4;
		} else {
			problems_add(problems, node->place, "%s: expected true or false",
			             row->name);
		}
		break;
	case SCHEMA_INTEGER:
	case SCHEMA_DECIMAL:
	case SCHEMA_DURATION:
	case SCHEMA_SIZE:
	case SCHEMA_RATE: read_number(problems, row, node, into); break;
	case SCHEMA_TEXT: *(const char **)into = node->text.data; break;
	case SCHEMA_WORD: read_word(problems, row, node, into); break;
	case SCHEMA_TEXTS: read_texts(problems, row->name, node, into); break;
	case SCHEMA_LIST:
	case SCHEMA_NAMED: read_elements(problems, row, node, into); break;
	case SCHEMA_GLOBS: read_globs(problems, row, node, into); break;
	case SCHEMA_MAP: break;
	}
}

static void
read_fallback(struct problems *problems, const struct schema_row *row, void *into)
{
	if (row->kind == SCHEMA_MAP) {
		schema_read(problems, row->rows, NULL, into);
	} else if (row->fallback != NULL) {
		struct node node = { .kind = NODE_SCALAR, .text = span_of(row->fallback) };
		read_value(problems, row, &node, into);
	}
}

static void
check_unknown_keys(struct problems *problems, const struct schema_row *rows, const struct node *map)
{
	const char *words[ROWS_MOST + 1];
	size_t count = 0;
	for (const struct schema_row *row = rows; row->name != NULL && count < ROWS_MOST; row++) {
		words[count++] = row->name;
	}
	words[count] = NULL;
	for (const struct node *child = map->first; child != NULL; child = child->next) {
		size_t i = 0;
		while (i < count && !span_equal(child->key, span_of(words[i]))) {
			i++;
		}
		if (i == count) {
			const char *nearest = problems_nearest(child->key, words);
			problems_add(problems, child->key_place, "unknown key \"%.80s\"%s%s%s",
			             child->key.data, nearest == NULL ? "" : "; did you mean \"",
			             nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
		}
	}
}

void
schema_read(struct problems *problems, const struct schema_row *rows, const struct node *map,
            void *into)
{
	((struct schema_entry *)into)->node = map;
	if (map != NULL) {
		check_unknown_keys(problems, rows, map);
	}
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		const struct node *node = node_child(map, row->name);
		void *field = (char *)into + row->offset;
		if (node == NULL) {
			if (row->required && map != NULL) {
				problems_add(problems, node_key_place(map, ""),
				             "the key \"%s\" is missing", row->name);
			}
			if (!row->later) {
				read_fallback(problems, row, field);
			}
		} else if (row->later) {
			problems_add(problems, node->key_place, "%s: not in this version",
			             row->name);
		} else if (is_nothing(node)) {
			problems_add(problems, node->place, "%s: expected %s", row->name,
			             kind_expected(row->kind));
		} else {
			read_value(problems, row, node, field);
		}
	}
}
