/* A JSON pointer (RFC 6901) followed through jansson's tree: what the scanner is compared with.
 * jansson.h and json_pointer.h both have JSON_STRING, JSON_OBJECT and JSON_ARRAY: here jansson's are named JANSSON_…, and
 * jansson's own macros that use them (json_is_string() and the like) must not be used beside this header. */
#ifndef HOOKLATCH_TESTS_UNIT_JSON_WALK_H
#define HOOKLATCH_TESTS_UNIT_JSON_WALK_H

#include <string.h>

#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING

#include "receiver/verify/json_pointer.h"

#define JSON_WALK_TOKEN_BYTES 2048

static UNUSED bool
jansson_is(const json_t *value, json_type type)
{
	return value != NULL && json_typeof(value) == type;
}

static UNUSED bool
jansson_is_kind(const json_t *value, enum json_kind kind)
{
	switch (kind) {
	case JSON_STRING: return jansson_is(value, JANSSON_STRING);
	case JSON_NUMBER: return jansson_is(value, JSON_INTEGER) || jansson_is(value, JSON_REAL);
	case JSON_LITERAL:
		return jansson_is(value, JSON_TRUE) || jansson_is(value, JSON_FALSE) ||
		       jansson_is(value, JSON_NULL);
	case JSON_OBJECT: return jansson_is(value, JANSSON_OBJECT);
	case JSON_ARRAY: return jansson_is(value, JANSSON_ARRAY);
	}
	return false;
}

/* RFC 6901 section 4: "0", or digits that do not begin with "0"; "-" names what is behind the last one. */
static UNUSED const json_t *
json_walk_array(const json_t *array, const char *token, size_t size)
{
	int64_t index;
	if (!span_number((struct span){ token, size }, &index) || (size > 1 && token[0] == '0')) {
		return NULL;
	}
	return json_array_get(array, (size_t)index);
}

/* NULL: there is no such value. The pointer is a valid one. */
static UNUSED const json_t *
json_walk(const json_t *value, struct span pointer)
{
	size_t at = 0;
	while (value != NULL && at < pointer.size) {
		char token[JSON_WALK_TOKEN_BYTES];
		size_t size = 0;
		for (at++; at < pointer.size && pointer.data[at] != '/'; at++) {
			char byte = pointer.data[at];
			if (byte == '~') {
				at++;
				byte = pointer.data[at] == '1' ? '/' : '~';
			}
			token[size++] = byte;
		}
		if (jansson_is(value, JANSSON_ARRAY)) {
			value = json_walk_array(value, token, size);
		} else if (jansson_is(value, JANSSON_OBJECT) && memchr(token, '\0', size) == NULL) {
			token[size] = '\0';
			value = json_object_get(value, token);
		} else {
			value = NULL;
		}
	}
	return value;
}

#endif
