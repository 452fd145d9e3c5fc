#include <string.h>

#include "receiver/schema/row.h"

struct show {
	struct buffer *out;
	const char *file;
};

static void
indent(struct show *show, int depth)
{
	for (int i = 0; i < depth; i++) {
		buffer_text(show->out, "  ");
	}
}

static void
origin(struct show *show, const struct node *node)
{
	if (node != NULL && node->origin != NULL) {
		buffer_format(show->out, "  # %s\n", node->origin);
	} else if (node == NULL || node->place.line == 0) {
		buffer_text(show->out, "  # default\n");
	} else {
		buffer_format(show->out, "  # %s:%d\n", show->file, node->place.line);
	}
}

/* As a YAML scalar: quoted wherever YAML could read it as something else. */
static void
scalar(struct show *show, struct span text)
{
	bool plain = text.size > 0 && text.data[0] != '-';
	for (size_t i = 0; i < text.size; i++) {
		char c = text.data[i];
		plain = plain &&
		        ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		         (c >= '0' && c <= '9') || (c != '\0' && strchr("_-./+", c) != NULL));
	}
	if (plain) {
		buffer_span(show->out, text);
		return;
	}
	buffer_byte(show->out, '"');
	for (size_t i = 0; i < text.size; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c == '"' || c == '\\') {
			buffer_byte(show->out, '\\');
			buffer_byte(show->out, (char)c);
		} else if (c < 0x20) {
			buffer_format(show->out, "\\x%02X", (unsigned)c);
		} else {
			buffer_byte(show->out, (char)c);
		}
	}
	buffer_byte(show->out, '"');
}

static void
texts(struct show *show, const struct node *list)
{
	buffer_text(show->out, "[ ");
	for (const struct node *child = list == NULL ? NULL : list->first; child != NULL;
	     child = child->next) {
		scalar(show, child->text);
		buffer_text(show->out, child->next == NULL ? " " : ", ");
	}
	buffer_text(show->out, "]");
}

static void rows_show(struct show *show, const struct schema_row *rows, const struct node *map,
                      int depth);

static void
elements(struct show *show, const struct schema_row *row, const struct node *node, int depth)
{
	buffer_byte(show->out, '\n');
	for (const struct node *child = node == NULL ? NULL : node->first; child != NULL;
	     child = child->next) {
		indent(show, depth + 1);
		if (row->kind == SCHEMA_NAMED) {
			buffer_span(show->out, child->key);
			buffer_text(show->out, ":\n");
		} else {
			buffer_text(show->out, "-\n");
		}
		rows_show(show, row->rows, child, depth + 2);
	}
}

static void
globs(struct show *show, const struct node *map, int depth)
{
	buffer_byte(show->out, '\n');
	for (const struct node *child = map == NULL ? NULL : map->first; child != NULL;
	     child = child->next) {
		indent(show, depth + 1);
		scalar(show, child->key);
		buffer_text(show->out, ": ");
		if (child->kind == NODE_LIST) {
			texts(show, child);
		} else {
			scalar(show, child->text);
		}
		origin(show, child);
	}
}

static void
value_show(struct show *show, const struct schema_row *row, const struct node *node, int depth)
{
	switch (row->kind) {
	case SCHEMA_MAP:
		if (node != NULL && node->kind == NODE_SCALAR) {
			buffer_byte(show->out, ' ');
			scalar(show, node->text);
			origin(show, node);
			return;
		}
		if (node != NULL && row->rows[0].name == NULL) {
			buffer_text(show->out, " {}");
			origin(show, node);
			return;
		}
		buffer_byte(show->out, '\n');
		rows_show(show, row->rows, node, depth + 1);
		return;
	case SCHEMA_LIST:
	case SCHEMA_NAMED: elements(show, row, node, depth); return;
	case SCHEMA_GLOBS: globs(show, node, depth); return;
	case SCHEMA_TEXTS:
		buffer_byte(show->out, ' ');
		texts(show, node);
		break;
	case SCHEMA_BOOL:
	case SCHEMA_INTEGER:
	case SCHEMA_DECIMAL:
	case SCHEMA_DURATION:
	case SCHEMA_SIZE:
	case SCHEMA_RATE:
	case SCHEMA_TEXT:
	case SCHEMA_WORD:
		buffer_byte(show->out, ' ');
		scalar(show, node == NULL ? span_of(row->fallback) : node->text);
		break;
	}
	origin(show, node);
}

/* Whether something below these rows has a default that is worth a line. */
static bool
has_fallback(const struct schema_row *rows)
{
	for (; rows->name != NULL; rows++) {
		if (rows->fallback != NULL) {
			return true;
		}
	}
	return false;
}

static void
rows_show(struct show *show, const struct schema_row *rows, const struct node *map, int depth)
{
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		const struct node *node = node_child(map, row->name);
		bool worth =
			row->kind == SCHEMA_MAP ? has_fallback(row->rows) : row->fallback != NULL;
		if (node == NULL && (row->later || row->off || !worth)) {
			continue;
		}
		indent(show, depth);
		buffer_format(show->out, "%s:", row->name);
		value_show(show, row, node, depth);
	}
}

void
schema_show(struct buffer *out, const struct schema_row *rows, const struct node *map,
            const char *file)
{
	struct show show = { out, file };
	rows_show(&show, rows, map, 0);
}
