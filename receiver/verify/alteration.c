#include "receiver/verify/alteration.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <jansson.h>

#include "receiver/verify/reencode.h"

#define INFLATED_MOST_BYTES (64U * 1024 * 1024)

static bool
drop_newline(struct span body, struct buffer *out)
{
	if (body.size == 0 || body.data[body.size - 1] != '\n') {
		return false;
	}
	buffer_append(out, body.data, body.size - 1);
	return true;
}

static bool
drop_crlf(struct span body, struct buffer *out)
{
	if (body.size < 2 || memcmp(body.data + body.size - 2, "\r\n", 2) != 0) {
		return false;
	}
	buffer_append(out, body.data, body.size - 2);
	return true;
}

static bool
add_newline(struct span body, struct buffer *out)
{
	buffer_span(out, body);
	buffer_byte(out, '\n');
	return true;
}

static bool
add_crlf(struct span body, struct buffer *out)
{
	buffer_span(out, body);
	buffer_text(out, "\r\n");
	return true;
}

static bool
trim(struct span body, struct buffer *out)
{
	struct span text = body;
	while (text.size > 0 && strchr(" \t\r\n", text.data[0]) != NULL) {
		text = span_after(text, 1);
	}
	while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL) {
		text.size--;
	}
	buffer_span(out, text);
	return text.size < body.size;
}

static bool
to_lf(struct span body, struct buffer *out)
{
	bool any = false;
	for (size_t i = 0; i < body.size; i++) {
		if (body.data[i] == '\r' && i + 1 < body.size && body.data[i + 1] == '\n') {
			any = true;
			continue;
		}
		buffer_byte(out, body.data[i]);
	}
	return any;
}

static bool
to_crlf(struct span body, struct buffer *out)
{
	bool any = false;
	for (size_t i = 0; i < body.size; i++) {
		if (body.data[i] == '\n' && (i == 0 || body.data[i - 1] != '\r')) {
			buffer_byte(out, '\r');
			any = true;
		}
		buffer_byte(out, body.data[i]);
	}
	return any;
}

static bool
drop_mark(struct span body, struct buffer *out)
{
	if (!span_starts(body, SPAN("\xef\xbb\xbf"))) {
		return false;
	}
	buffer_span(out, span_after(body, 3));
	return true;
}

static bool
add_mark(struct span body, struct buffer *out)
{
	buffer_text(out, "\xef\xbb\xbf");
	buffer_span(out, body);
	return true;
}

/* UTF-8 that was read as ISO 8859-1 and written as UTF-8 again. */
static bool
to_latin1(struct span body, struct buffer *out)
{
	bool any = false;
	for (size_t i = 0; i < body.size; i++) {
		unsigned char byte = (unsigned char)body.data[i];
		if (byte < 0x80) {
			buffer_byte(out, body.data[i]);
			continue;
		}
		if ((byte != 0xc2 && byte != 0xc3) || i + 1 == body.size) {
			return false;
		}
		unsigned char next = (unsigned char)body.data[++i];
		buffer_byte(out, (char)(unsigned char)((byte & 3U) << 6U | (next & 0x3fU)));
		any = true;
	}
	return any;
}

/* ISO 8859-1 that should have been UTF-8. */
static bool
from_latin1(struct span body, struct buffer *out)
{
	bool any = false;
	for (size_t i = 0; i < body.size; i++) {
		unsigned char byte = (unsigned char)body.data[i];
		if (byte < 0x80) {
			buffer_byte(out, body.data[i]);
			continue;
		}
		buffer_byte(out, (char)(unsigned char)(0xc0U | byte >> 6U));
		buffer_byte(out, (char)(unsigned char)(0x80U | (byte & 0x3fU)));
		any = true;
	}
	return any;
}

/* Inflates gzip or zlib (`in`), or the body was inflated and the signature is over the compressed bytes: that cannot be
 * made again, so only this direction is tried. */
static bool
inflate_body(struct span body, struct buffer *out)
{
	z_stream stream = { 0 };
	unsigned char block[8192];
	int code = Z_OK;
	if (body.size < 2 || body.size > UINT32_MAX ||
	    inflateInit2(&stream, 32 + MAX_WBITS) != Z_OK) {
		return false;
	}
	stream.next_in = (unsigned char *)(uintptr_t)body.data;
	stream.avail_in = (unsigned)body.size;
	while (code == Z_OK && out->size < INFLATED_MOST_BYTES) {
		stream.next_out = block;
		stream.avail_out = sizeof(block);
		code = inflate(&stream, Z_NO_FLUSH);
		buffer_append(out, block, sizeof(block) - stream.avail_out);
	}
	(void)inflateEnd(&stream);
	return code == Z_STREAM_END;
}

/* --- JSON that was read and written again --- */

#define STYLE(name, ...)                                                             \
	static bool name(struct span body, struct buffer *out)                       \
	{                                                                            \
		return reencode(body, &(struct reencode_style){ __VA_ARGS__ }, out); \
	}

STYLE(compact, .spaced = false)
STYLE(spaced, .spaced = true)
STYLE(indented_2, .spaced = true, .indent = 2)
STYLE(indented_4, .spaced = true, .indent = 4)
STYLE(unescaped, .keep_space = true, .escapes = REENCODE_UTF8)
STYLE(escaped, .keep_space = true, .escapes = REENCODE_LOWER_CASE)
STYLE(escaped_upper, .keep_space = true, .escapes = REENCODE_UPPER_CASE)
STYLE(slashes, .keep_space = true, .escapes = REENCODE_UTF8, .slashes = true)
STYLE(escaped_slashes, .keep_space = true, .escapes = REENCODE_LOWER_CASE, .slashes = true)
STYLE(escaped_upper_slashes, .keep_space = true, .escapes = REENCODE_UPPER_CASE, .slashes = true)
STYLE(compact_unescaped, .escapes = REENCODE_UTF8)
STYLE(compact_escaped, .escapes = REENCODE_LOWER_CASE)
STYLE(compact_escaped_slashes, .escapes = REENCODE_LOWER_CASE, .slashes = true)
STYLE(spaced_unescaped, .spaced = true, .escapes = REENCODE_UTF8)
STYLE(spaced_escaped, .spaced = true, .escapes = REENCODE_LOWER_CASE)
STYLE(spaced_escaped_upper, .spaced = true, .escapes = REENCODE_UPPER_CASE)

/* Members in the order of their names; numbers are those of a reader that has 64 bits. */
static bool
sort_members(struct span body, size_t flags, struct buffer *out)
{
	json_t *document = json_loadb(body.data, body.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	char *text = document == NULL
	                     ? NULL
	                     : json_dumps(document, flags | JSON_ENCODE_ANY | JSON_SORT_KEYS |
	                                                    JSON_REAL_PRECISION(15));
	if (text != NULL) {
		buffer_text(out, text);
	}
	free(text);
	json_decref(document);
	return text != NULL;
}

static bool
sorted(struct span body, struct buffer *out)
{
	return sort_members(body, JSON_COMPACT, out);
}

static bool
sorted_spaced(struct span body, struct buffer *out)
{
	return sort_members(body, 0, out);
}

const struct alteration alterations[] = {
	{ "a newline was added at its end", drop_newline },
	{ "CRLF was added at its end", drop_crlf },
	{ "the newline at its end was dropped", add_newline },
	{ "the CRLF at its end was dropped", add_crlf },
	{ "white space was added around it", trim },
	{ "its line ends were changed from LF to CRLF", to_lf },
	{ "its line ends were changed from CRLF to LF", to_crlf },
	{ "a byte order mark was added", drop_mark },
	{ "its byte order mark was dropped", add_mark },
	{ "its charset was changed: UTF-8 was taken for ISO 8859-1 and encoded again", to_latin1 },
	{ "its charset was changed: UTF-8 was turned into ISO 8859-1", from_latin1 },
	{ "it was compressed (gzip or deflate)", inflate_body },
	{ "its JSON was read and written again: white space was added", compact },
	{ "its JSON was read and written again: white space was dropped or changed", spaced },
	{ "its JSON was read and written again: the indentation (2) was dropped", indented_2 },
	{ "its JSON was read and written again: the indentation (4) was dropped", indented_4 },
	{ "its JSON was read and written again: escapes (\\uXXXX or \\/) were added", unescaped },
	{ "its JSON was read and written again: escapes (\\uXXXX) were decoded", escaped },
	{ "its JSON was read and written again: escapes in upper case (\\uXXXX) were decoded",
	  escaped_upper },
	{ "its JSON was read and written again: \\/ became /", slashes },
	{ "its JSON was read and written again: escapes (\\uXXXX and \\/) were decoded",
	  escaped_slashes },
	{ "its JSON was read and written again: escapes in upper case (\\uXXXX and \\/) were decoded",
	  escaped_upper_slashes },
	{ "its JSON was read and written again: white space and escapes were added",
	  compact_unescaped },
	{ "its JSON was read and written again: white space was added, escapes (\\uXXXX) were decoded",
	  compact_escaped },
	{ "its JSON was read and written again: white space was added, escapes (\\uXXXX and \\/) were decoded",
	  compact_escaped_slashes },
	{ "its JSON was read and written again: white space was dropped, escapes were added",
	  spaced_unescaped },
	{ "its JSON was read and written again: escapes (\\uXXXX) and white space were changed",
	  spaced_escaped },
	{ "its JSON was read and written again: escapes in upper case (\\uXXXX) and white space were changed",
	  spaced_escaped_upper },
	{ "its JSON was read and written again: members were re-ordered", sorted },
	{ "its JSON was read and written again: members were re-ordered, white space changed",
	  sorted_spaced },
	{ NULL, NULL },
};

bool
alteration_truncated(struct span body)
{
	size_t depth = 0;
	bool text = false;
	if (body.size == 0 || (body.data[0] != '{' && body.data[0] != '[')) {
		return false;
	}
	for (size_t i = 0; i < body.size; i++) {
		char byte = body.data[i];
		if (text) {
			i += byte == '\\' ? 1 : 0;
			text = byte != '"';
		} else if (byte == '{' || byte == '[') {
			depth++;
		} else if (byte == '}' || byte == ']') {
			depth -= depth > 0 ? 1 : 0;
		} else {
			text = byte == '"';
		}
	}
	return text || depth > 0;
}
