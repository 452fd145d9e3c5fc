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
	struct span whole = span_of(text);
	for (size_t at = 0; at < whole.size;) {
		unsigned code;
		size_t size = utf8_unseen(whole, at, &code);
		if (size > 0) {
			(void)printf("\\u%04x", code);
			at += size;
		} else if (whole.data[at] == 0x7f) {
			(void)fputs("\\u007f", stdout);
			at++;
		} else {
			(void)putchar(whole.data[at++]);
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

char *
harmless_text(struct span text)
{
	struct buffer out;
	buffer_init(&out, text.size * 8 + 1);
	for (size_t at = 0; at < text.size;) {
		unsigned char byte = (unsigned char)text.data[at];
		unsigned code = byte;
		size_t size = byte < 0x80 ? 1 : utf8_unseen(text, at, &code);
		if (size > 1 || byte < 0x20 || byte == 0x7f) {
			buffer_format(&out, code < 0x100 ? "\\x%02x" : "\\u{%x}", code);
		} else {
			buffer_byte(&out, (char)byte);
		}
		at += size == 0 ? 1 : size;
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
		return harmless_text(
			(struct span){ json_string_value(value), json_string_length(value) });
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
