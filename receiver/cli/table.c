#include "receiver/cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/encoding.h"

#define COLUMNS_MOST 16

void
put_json(const json_t *document, size_t flags)
{
	char *text = json_dumps(document, flags);
	for (const char *at = text; at != NULL && *at != '\0'; at++) {
		unsigned char next = (unsigned char)at[1];
		if ((unsigned char)*at == 0xc2 && next < 0xa0) {
			(void)printf("\\u%04x", (unsigned)next);
			at++;
		} else if (*at == 0x7f) {
			(void)fputs("\\u007f", stdout);
		} else {
			(void)putchar(*at);
		}
	}
	free(text);
}

void
print_json(const json_t *document)
{
	put_json(document, JSON_INDENT(2));
	(void)putchar('\n');
}

/* Control characters, C1 and the escape among them, become \xNN. */
static char *
harmless(const char *text, size_t size)
{
	struct buffer out;
	buffer_init(&out, size * 4 + 1);
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = (unsigned char)text[i];
		unsigned char next = i + 1 < size ? (unsigned char)text[i + 1] : 0;
		if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next >= 0x80 && next < 0xa0)) {
			buffer_format(&out, "\\x%02x", (unsigned)(byte == 0xc2 ? next : byte));
			i += byte == 0xc2 ? 1 : 0;
		} else {
			buffer_byte(&out, (char)byte);
		}
	}
	return buffer_steal(&out);
}

/* "deploy=done mail=dead" for an array of deliveries. */
static char *
deliveries_text(const json_t *deliveries)
{
	struct buffer out;
	buffer_init(&out, 1024 * 1024);
	size_t index;
	json_t *delivery;
	json_array_foreach(deliveries, index, delivery) {
		const char *handler = json_string_value(json_object_get(delivery, "handler"));
		const char *state = json_string_value(json_object_get(delivery, "state"));
		buffer_format(&out, "%s%s=%s", out.size == 0 ? "" : " ",
		              handler == NULL ? "" : handler, state == NULL ? "" : state);
	}
	return buffer_steal(&out);
}

char *
cell_text(const json_t *value)
{
	if (value == NULL || json_is_null(value)) {
		return memory_text("");
	}
	if (json_is_string(value)) {
		return harmless(json_string_value(value), json_string_length(value));
	}
	if (json_is_array(value)) {
		return deliveries_text(value);
	}
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
	return text == NULL ? memory_text("") : text;
}

static size_t
width_of(const char *text)
{
	size_t width = 0;
	for (; *text != '\0'; text++) {
		width += ((unsigned char)*text & 0xc0U) != 0x80U ? 1 : 0;
	}
	return width;
}

static void
print_cell(const char *text, size_t width, size_t most, bool last)
{
	size_t shown = 0;
	const char *at = text;
	size_t own = width_of(text);
	bool cut = most != 0 && own > most;
	while (*at != '\0' && (!cut || shown < most - 1)) {
		do {
			(void)putchar(*at++);
		} while (((unsigned char)*at & 0xc0U) == 0x80U);
		shown++;
	}
	if (cut) {
		(void)fputs("…", stdout);
		shown++;
	}
	for (; !last && shown < width; shown++) {
		(void)putchar(' ');
	}
}

static void
print_aligned(const struct invocation *invocation, const json_t *rows, const struct column *columns,
              size_t count)
{
	size_t widths[COLUMNS_MOST];
	size_t index;
	json_t *row;
	for (size_t i = 0; i < count; i++) {
		widths[i] = strlen(columns[i].title);
		json_array_foreach(rows, index, row) {
			char *text = cell_text(json_object_get(row, columns[i].key));
			size_t width = width_of(text);
			width = columns[i].most != 0 && width > columns[i].most ? columns[i].most
			                                                        : width;
			widths[i] = width > widths[i] ? width : widths[i];
			free(text);
		}
	}
	(void)fputs(invocation->colour ? "\033[1m" : "", stdout);
	for (size_t i = 0; i < count; i++) {
		print_cell(columns[i].title, widths[i] + 2, 0, i + 1 == count);
	}
	(void)fputs(invocation->colour ? "\033[0m\n" : "\n", stdout);
	json_array_foreach(rows, index, row) {
		for (size_t i = 0; i < count; i++) {
			char *text = cell_text(json_object_get(row, columns[i].key));
			print_cell(text, widths[i] + 2, columns[i].most, i + 1 == count);
			free(text);
		}
		(void)putchar('\n');
	}
}

int
print_list(const struct invocation *invocation, const json_t *rows, const struct column *columns,
           size_t count)
{
	size_t index;
	json_t *row;
	ALWAYS(count <= COLUMNS_MOST, "columns");
	if (has_option(invocation, "json")) {
		print_json(rows);
	} else if (has_option(invocation, "jsonl")) {
		json_array_foreach(rows, index, row) {
			put_json(row, JSON_COMPACT);
			(void)putchar('\n');
		}
	} else if (invocation->terminal) {
		if (json_array_size(rows) > 0) {
			print_aligned(invocation, rows, columns, count);
		}
	} else {
		json_array_foreach(rows, index, row) {
			for (size_t i = 0; i < count; i++) {
				char *text = cell_text(json_object_get(row, columns[i].key));
				(void)printf("%s%s", i == 0 ? "" : "\t", text);
				free(text);
			}
			(void)putchar('\n');
		}
	}
	if (json_array_size(rows) == 0) {
		if (!has_option(invocation, "json")) {
			say("nothing found");
		}
		return EXIT_NOTHING;
	}
	return EXIT_OK;
}

void
print_object(const json_t *object)
{
	const char *key;
	json_t *value;
	/* jansson keeps the order in which members were made */
	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		if (json_is_array(value) || json_is_object(value) || json_is_null(value)) {
			continue;
		}
		char *text = cell_text(value);
		(void)printf("%-16s %s\n", key, text);
		free(text);
	}
}
