#include "receiver/verify/json_pointer.h"

#include <string.h>

#include "receiver/base/encoding.h"

struct scan {
	const char *at;
	const char *end;
};

static void
skip_space(struct scan *scan)
{
	while (scan->at < scan->end &&
	       (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')) {
		scan->at++;
	}
}

static bool
take(struct scan *scan, char byte)
{
	skip_space(scan);
	if (scan->at == scan->end || *scan->at != byte) {
		return false;
	}
	scan->at++;
	return true;
}

/* From the opening quote to behind the closing one. */
static bool
skip_string(struct scan *scan)
{
	scan->at++;
	while (scan->at < scan->end) {
		if (*scan->at == '"') {
			scan->at++;
			return true;
		}
		scan->at += *scan->at == '\\' && scan->end - scan->at > 1 ? 2 : 1;
	}
	return false;
}

static bool
ends_scalar(char byte)
{
	return byte == ',' || byte == ']' || byte == '}' || byte == ' ' || byte == '\n' ||
	       byte == '\r' || byte == '\t' || byte == '"' || byte == ':' || byte == '[' ||
	       byte == '{';
}

static bool
skip_scalar(struct scan *scan)
{
	const char *start = scan->at;
	while (scan->at < scan->end && !ends_scalar(*scan->at)) {
		scan->at++;
	}
	return scan->at > start;
}

/* Depth is counted, not kept: which bracket closes which does not matter beside the way. */
static bool
skip_nested(struct scan *scan)
{
	size_t depth = 0;
	while (scan->at < scan->end) {
		char byte = *scan->at;
		if (byte == '"') {
			if (!skip_string(scan)) {
				return false;
			}
			continue;
		}
		scan->at++;
		if (byte == '{' || byte == '[') {
			depth++;
		} else if (byte == '}' || byte == ']') {
			depth--;
			if (depth == 0) {
				return true;
			}
		}
	}
	return false;
}

static bool
skip_value(struct scan *scan, struct json_slice *slice)
{
	skip_space(scan);
	if (scan->at == scan->end) {
		return false;
	}
	const char *start = scan->at;
	bool whole;
	switch (*start) {
	case '"':
		slice->kind = JSON_STRING;
		whole = skip_string(scan);
		break;
	case '{':
		slice->kind = JSON_OBJECT;
		whole = skip_nested(scan);
		break;
	case '[':
		slice->kind = JSON_ARRAY;
		whole = skip_nested(scan);
		break;
	default:
		slice->kind = *start == '-' || (*start >= '0' && *start <= '9') ? JSON_NUMBER
		                                                                : JSON_LITERAL;
		whole = skip_scalar(scan);
		break;
	}
	slice->raw = (struct span){ start, (size_t)(scan->at - start) };
	return whole;
}

static bool
hex4(const char *at, unsigned *ret)
{
	unsigned char bytes[2];
	size_t size;
	if (!hex_decode((struct span){ at, 4 }, bytes, sizeof(bytes), &size)) {
		return false;
	}
	*ret = (unsigned)bytes[0] << 8U | bytes[1];
	return true;
}

static void
put_code_point(struct buffer *out, unsigned code)
{
	char utf8[4];
	size_t size = 0;
	if (code < 0x80) {
		utf8[size++] = (char)code;
	} else if (code < 0x800) {
		utf8[size++] = (char)(unsigned char)(0xc0U | code >> 6U);
		utf8[size++] = (char)(unsigned char)(0x80U | (code & 0x3fU));
	} else if (code < 0x10000) {
		utf8[size++] = (char)(unsigned char)(0xe0U | code >> 12U);
		utf8[size++] = (char)(unsigned char)(0x80U | (code >> 6U & 0x3fU));
		utf8[size++] = (char)(unsigned char)(0x80U | (code & 0x3fU));
	} else {
		utf8[size++] = (char)(unsigned char)(0xf0U | code >> 18U);
		utf8[size++] = (char)(unsigned char)(0x80U | (code >> 12U & 0x3fU));
		utf8[size++] = (char)(unsigned char)(0x80U | (code >> 6U & 0x3fU));
		utf8[size++] = (char)(unsigned char)(0x80U | (code & 0x3fU));
	}
	buffer_append(out, utf8, size);
}

/* Decodes the escape that begins behind the backslash at text[at]; returns the bytes it takes, 0 when it is none. */
static size_t
decode_escape(struct span text, size_t at, struct buffer *out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	if (at >= text.size) {
		return 0;
	}
	const char *simple = text.data[at] == '\0' ? NULL : strchr(from, text.data[at]);
	if (simple != NULL) {
		buffer_byte(out, to[simple - from]);
		return 1;
	}
	unsigned code;
	if (text.data[at] != 'u' || text.size - at < 5 || !hex4(text.data + at + 1, &code)) {
		return 0;
	}
	if (code < 0xd800 || code > 0xdfff) {
		put_code_point(out, code);
		return 5;
	}
	unsigned low;
	if (code > 0xdbff || text.size - at < 11 || text.data[at + 5] != '\\' ||
	    text.data[at + 6] != 'u' || !hex4(text.data + at + 7, &low) || low < 0xdc00 ||
	    low > 0xdfff) {
		return 0; /* a lone surrogate */
	}
	put_code_point(out, 0x10000 + ((code - 0xd800) << 10U) + (low - 0xdc00));
	return 11;
}

/* The text between the quotes. */
static bool
decode_string(struct span inner, struct buffer *out)
{
	for (size_t at = 0; at < inner.size;) {
		if (inner.data[at] != '\\') {
			size_t run = at;
			while (run < inner.size && inner.data[run] != '\\') {
				if ((unsigned char)inner.data[run] < 0x20) {
					return false;
				}
				run++;
			}
			buffer_append(out, inner.data + at, run - at);
			at = run;
			continue;
		}
		size_t taken = decode_escape(inner, at + 1, out);
		if (taken == 0) {
			return false;
		}
		at += taken + 1;
	}
	return !out->failed;
}

static bool
key_is(struct span raw, struct span token)
{
	struct span inner = { raw.data + 1, raw.size - 2 };
	if (memchr(inner.data, '\\', inner.size) == NULL) {
		return span_equal(inner, token);
	}
	if (inner.size > token.size * 6 + 6) { /* even written as \uXXXX it would be shorter */
		return false;
	}
	struct buffer decoded;
	buffer_init(&decoded, token.size + 4);
	bool same = decode_string(inner, &decoded) && span_equal(buffer_view(&decoded), token);
	buffer_finish(&decoded);
	return same;
}

static enum json_find
enter_object(struct scan *scan, struct span token)
{
	scan->at++;
	if (take(scan, '}')) {
		return JSON_ABSENT;
	}
	for (;;) {
		struct json_slice ignored;
		skip_space(scan);
		const char *key = scan->at;
		if (scan->at == scan->end || *scan->at != '"' || !skip_string(scan)) {
			return JSON_BROKEN;
		}
		struct span raw = { key, (size_t)(scan->at - key) };
		if (!take(scan, ':')) {
			return JSON_BROKEN;
		}
		if (key_is(raw, token)) {
			skip_space(scan);
			return JSON_FOUND;
		}
		if (!skip_value(scan, &ignored)) {
			return JSON_BROKEN;
		}
		if (take(scan, '}')) {
			return JSON_ABSENT;
		}
		if (!take(scan, ',')) {
			return JSON_BROKEN;
		}
	}
}

static enum json_find
enter_array(struct scan *scan, struct span token)
{
	int64_t index;
	if (!span_number(token, &index) || (token.size > 1 && token.data[0] == '0')) {
		return JSON_ABSENT;
	}
	scan->at++;
	if (take(scan, ']')) {
		return JSON_ABSENT;
	}
	while (index > 0) {
		struct json_slice ignored;
		if (!skip_value(scan, &ignored)) {
			return JSON_BROKEN;
		}
		if (take(scan, ']')) {
			return JSON_ABSENT;
		}
		if (!take(scan, ',')) {
			return JSON_BROKEN;
		}
		index--;
	}
	skip_space(scan);
	return JSON_FOUND;
}

/* The next token of the pointer, unescaped into `out`; advances the pointer. */
static bool
next_token(struct span *pointer, struct buffer *out)
{
	out->size = 0;
	size_t at = 1;
	while (at < pointer->size && pointer->data[at] != '/') {
		char byte = pointer->data[at];
		if (byte == '~') {
			at++;
			byte = at < pointer->size && pointer->data[at] == '1' ? '/' : '~';
		}
		buffer_byte(out, byte);
		at++;
	}
	*pointer = span_after(*pointer, at < pointer->size ? at : pointer->size);
	return !out->failed;
}

static enum json_find
walk(struct scan *scan, struct span pointer, struct buffer *token)
{
	while (pointer.size > 0) {
		if (!next_token(&pointer, token)) {
			return JSON_ABSENT;
		}
		if (scan->at == scan->end) {
			return JSON_BROKEN;
		}
		enum json_find step;
		if (*scan->at == '{') {
			step = enter_object(scan, buffer_view(token));
		} else if (*scan->at == '[') {
			step = enter_array(scan, buffer_view(token));
		} else {
			struct json_slice scalar;
			step = skip_value(scan, &scalar) ? JSON_ABSENT : JSON_BROKEN;
		}
		if (step != JSON_FOUND) {
			return step;
		}
	}
	return JSON_FOUND;
}

enum json_find
json_pointer_find(struct span text, struct span pointer, struct json_slice *ret)
{
	if (text.size == 0) {
		return JSON_BROKEN;
	}
	struct scan scan = { text.data, text.data + text.size };
	struct buffer token;
	buffer_init(&token, 4096);
	skip_space(&scan);
	struct json_slice slice = { 0 };
	enum json_find found = walk(&scan, pointer, &token);
	if (found == JSON_FOUND && !skip_value(&scan, &slice)) {
		found = JSON_BROKEN;
	}
	if (found == JSON_FOUND) {
		*ret = slice;
	} else if (found == JSON_ABSENT && text.data[0] != '{' && text.data[0] != '[') {
		/* A bare word at the top is JSON only when it is a literal, a number or a string. */
		struct scan top = { text.data, text.data + text.size };
		struct buffer ignored;
		buffer_init(&ignored, text.size + 1);
		skip_space(&top);
		if (top.at < top.end && *top.at != '{' && *top.at != '[' &&
		    (!skip_value(&top, &slice) || !json_slice_text(slice, &ignored))) {
			found = JSON_BROKEN;
		}
		buffer_finish(&ignored);
	}
	buffer_finish(&token);
	return found;
}

/* RFC 8259 section 6. */
static bool
number_valid(struct span text)
{
	size_t at = text.size > 0 && text.data[0] == '-' ? 1 : 0;
	size_t first = at;
	while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') {
		at++;
	}
	if (at == first || (text.data[first] == '0' && at - first > 1)) {
		return false;
	}
	if (at < text.size && text.data[at] == '.') {
		first = ++at;
		while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') {
			at++;
		}
		if (at == first) {
			return false;
		}
	}
	if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
		at++;
		at += at < text.size && (text.data[at] == '+' || text.data[at] == '-') ? 1 : 0;
		first = at;
		while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') {
			at++;
		}
		if (at == first) {
			return false;
		}
	}
	return at == text.size;
}

bool
json_slice_text(struct json_slice slice, struct buffer *out)
{
	switch (slice.kind) {
	case JSON_STRING:
		return decode_string((struct span){ slice.raw.data + 1, slice.raw.size - 2 },
		                     out) &&
		       utf8_valid(buffer_view(out));
	case JSON_NUMBER:
		if (!number_valid(slice.raw)) {
			return false;
		}
		break;
	case JSON_LITERAL:
		if (!span_equal(slice.raw, SPAN("true")) && !span_equal(slice.raw, SPAN("false")) &&
		    !span_equal(slice.raw, SPAN("null"))) {
			return false;
		}
		break;
	case JSON_OBJECT:
	case JSON_ARRAY: break;
	}
	buffer_span(out, slice.raw);
	return !out->failed;
}

/* How many members of the object at `scan` have this key; *first is the first one's value. False: no object, or no JSON. */
static bool
count_members(struct scan *scan, struct span token, size_t *count, struct span *first)
{
	*count = 0;
	if (scan->at == scan->end || *scan->at != '{') {
		return false;
	}
	scan->at++;
	if (take(scan, '}')) {
		return true;
	}
	do {
		struct json_slice value = { 0 };
		skip_space(scan);
		const char *key = scan->at;
		if (scan->at == scan->end || *scan->at != '"' || !skip_string(scan)) {
			return false;
		}
		struct span raw = { key, (size_t)(scan->at - key) };
		if (!take(scan, ':') || !skip_value(scan, &value)) {
			return false;
		}
		if (key_is(raw, token)) {
			*first = *count == 0 ? value.raw : *first;
			(*count)++;
		}
	} while (take(scan, ','));
	return take(scan, '}');
}

bool
json_pointer_unique(struct span text, struct span pointer)
{
	struct buffer token;
	bool unique = true;
	bool goes_on = true;
	buffer_init(&token, 4096);
	while (unique && goes_on && pointer.size > 0 && text.size > 0 &&
	       next_token(&pointer, &token)) {
		struct scan scan = { text.data, text.data + text.size };
		size_t count;
		skip_space(&scan);
		goes_on = count_members(&scan, buffer_view(&token), &count, &text) && count > 0;
		unique = !goes_on || count == 1;
	}
	buffer_finish(&token);
	return unique;
}

enum json_find
json_items_begin(struct span text, struct span pointer, struct json_items *items)
{
	struct json_slice array = { 0 };
	enum json_find found = json_pointer_find(text, pointer, &array);
	if (found != JSON_FOUND) {
		return found;
	}
	if (array.kind != JSON_ARRAY) {
		return JSON_ABSENT;
	}
	items->at = array.raw.data + 1;
	items->end = array.raw.data + array.raw.size;
	items->first = true;
	return JSON_FOUND;
}

enum json_find
json_items_next(struct json_items *items, struct json_slice *ret)
{
	struct scan scan = { items->at, items->end };
	struct json_slice slice = { 0 };
	if (items->first && take(&scan, ']')) {
		return scan.at == scan.end ? JSON_ABSENT : JSON_BROKEN;
	}
	if (!items->first) {
		if (take(&scan, ']')) {
			return scan.at == scan.end ? JSON_ABSENT : JSON_BROKEN;
		}
		if (!take(&scan, ',')) {
			return JSON_BROKEN;
		}
	}
	if (!skip_value(&scan, &slice)) {
		return JSON_BROKEN;
	}
	items->first = false;
	items->at = scan.at;
	*ret = slice;
	return JSON_FOUND;
}

enum json_find
json_text_at(struct span text, struct span pointer, struct buffer *out)
{
	struct json_slice slice = { 0 };
	enum json_find found = json_pointer_find(text, pointer, &slice);
	if (found != JSON_FOUND) {
		return found;
	}
	if (slice.kind != JSON_STRING && slice.kind != JSON_NUMBER) {
		return JSON_ABSENT;
	}
	return json_slice_text(slice, out) ? JSON_FOUND : JSON_BROKEN;
}

bool
json_pointer_valid(struct span pointer)
{
	if (pointer.size > 0 && pointer.data[0] != '/') {
		return false;
	}
	for (size_t i = 0; i < pointer.size; i++) {
		if (pointer.data[i] == '~' &&
		    (i + 1 == pointer.size ||
		     (pointer.data[i + 1] != '0' && pointer.data[i + 1] != '1'))) {
			return false;
		}
	}
	return pointer.size <= 1024;
}
