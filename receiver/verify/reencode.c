#include "receiver/verify/reencode.h"

#include <string.h>

#include "receiver/verify/json_pointer.h"

struct writer {
	const struct reencode_style *style;
	struct buffer *out;
	int depth;
};

static void
new_line(const struct writer *writer)
{
	if (writer->style->indent > 0 && !writer->style->keep_space) {
		buffer_format(writer->out, "\n%*s", writer->depth * writer->style->indent, "");
	}
}

static void
put_unit(const struct writer *writer, unsigned unit)
{
	buffer_format(writer->out,
	              writer->style->escapes == REENCODE_LOWER_CASE ? "\\u%04x" : "\\u%04X", unit);
}

static void
put_code_point(const struct writer *writer, unsigned code)
{
	if (code < 0x10000) {
		put_unit(writer, code);
		return;
	}
	put_unit(writer, 0xd800 + ((code - 0x10000) >> 10U));
	put_unit(writer, 0xdc00 + ((code - 0x10000) & 0x3ffU));
}

/* The code point at text[at], which is UTF-8 that was looked at before; *size is its length. */
static unsigned
code_point(struct span text, size_t at, size_t *size)
{
	const unsigned char *byte = (const unsigned char *)text.data + at;
	*size = byte[0] < 0x80 ? 1 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
	unsigned code = *size == 1   ? byte[0]
	                : *size == 2 ? byte[0] & 0x1fU
	                : *size == 3 ? byte[0] & 0xfU
	                             : byte[0] & 0x7U;
	for (size_t i = 1; i < *size; i++) {
		code = code << 6U | (byte[i] & 0x3fU);
	}
	return code;
}

static void
put_byte(const struct writer *writer, char byte)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	const char *simple = byte == '\0' ? NULL : strchr(from, byte);
	if (simple != NULL) {
		buffer_byte(writer->out, '\\');
		buffer_byte(writer->out, to[simple - from]);
	} else if ((unsigned char)byte < 0x20) {
		put_unit(writer, (unsigned char)byte);
	} else {
		buffer_text(writer->out, byte == '/' && writer->style->slashes ? "\\" : "");
		buffer_byte(writer->out, byte);
	}
}

static bool
put_string(const struct writer *writer, struct span raw)
{
	if (writer->style->escapes == REENCODE_KEEP) {
		buffer_span(writer->out, raw);
		return true;
	}
	struct buffer text;
	buffer_init(&text, raw.size + 16);
	bool good = json_slice_text((struct json_slice){ JSON_STRING, raw }, &text);
	buffer_byte(writer->out, '"');
	for (size_t at = 0; good && at < text.size;) {
		size_t size = 1;
		if ((unsigned char)text.data[at] < 0x80) {
			put_byte(writer, text.data[at]);
		} else {
			unsigned code = code_point(buffer_view(&text), at, &size);
			if (writer->style->escapes == REENCODE_UTF8) {
				buffer_append(writer->out, text.data + at, size);
			} else {
				put_code_point(writer, code);
			}
		}
		at += size;
	}
	buffer_byte(writer->out, '"');
	buffer_finish(&text);
	return good;
}

static size_t
string_size(struct span text)
{
	size_t at = 1;
	while (at < text.size && text.data[at] != '"') {
		at += text.data[at] == '\\' && at + 1 < text.size ? 2 : 1;
	}
	return at < text.size ? at + 1 : 0;
}

static struct span
skip_space(struct span text)
{
	while (text.size > 0 && strchr(" \t\r\n", text.data[0]) != NULL && text.data[0] != '\0') {
		text = span_after(text, 1);
	}
	return text;
}

static bool
is_mark(char byte)
{
	return byte != '\0' && strchr("{}[],:\" \t\r\n", byte) != NULL;
}

/* Writes a bracket, a comma or a colon; an opening bracket takes the closing one along when nothing is between. */
static struct span
put_mark(struct writer *writer, struct span text)
{
	char mark = text.data[0];
	bool opens = mark == '{' || mark == '[';
	if (mark == '}' || mark == ']') {
		writer->depth--;
		new_line(writer);
	}
	buffer_byte(writer->out, mark);
	if (writer->style->keep_space) {
		writer->depth += opens ? 1 : 0;
		return span_after(text, 1);
	}
	text = skip_space(span_after(text, 1));
	if (opens && text.size > 0 && (text.data[0] == '}' || text.data[0] == ']')) {
		buffer_byte(writer->out, text.data[0]);
		return span_after(text, 1);
	}
	writer->depth += opens ? 1 : 0;
	if (opens || mark == ',') {
		new_line(writer);
	}
	bool space = mark == ':'
	                     ? writer->style->spaced
	                     : mark == ',' && writer->style->spaced && writer->style->indent == 0;
	buffer_text(writer->out, space ? " " : "");
	return text;
}

bool
reencode(struct span json, const struct reencode_style *style, struct buffer *out)
{
	struct writer writer = { style, out, 0 };
	struct span text = skip_space(json);
	if (style->keep_space) {
		buffer_append(out, json.data, json.size - text.size);
	}
	bool good = text.size > 0;
	while (good && text.size > 0) {
		if (text.data[0] == '"') {
			size_t size = string_size(text);
			good = size > 0 && put_string(&writer, (struct span){ text.data, size });
			text = span_after(text, size);
		} else if (is_mark(text.data[0])) {
			text = put_mark(&writer, text);
			good = writer.depth >= 0;
		} else {
			size_t size = 0;
			while (size < text.size && !is_mark(text.data[size])) {
				size++;
			}
			struct buffer ignored;
			buffer_init(&ignored, size + 1);
			enum json_kind kind =
				text.data[0] == '-' || (text.data[0] >= '0' && text.data[0] <= '9')
					? JSON_NUMBER
					: JSON_LITERAL;
			good = json_slice_text((struct json_slice){ kind, { text.data, size } },
			                       &ignored);
			buffer_append(out, text.data, size);
			buffer_finish(&ignored);
			text = span_after(text, size);
		}
		struct span next = skip_space(text);
		if (style->keep_space) {
			buffer_append(out, text.data, text.size - next.size);
		}
		text = next;
	}
	return good && writer.depth == 0 && !out->failed;
}
