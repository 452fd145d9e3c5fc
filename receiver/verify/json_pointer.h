/* Finds what a JSON pointer (RFC 6901) names in a JSON text (RFC 8259), in one pass, without a tree, without recursion
 * and without a copy. It looks only at the way to the pointer: huge numbers, \u0000, bytes that are no UTF-8, any depth
 * and even broken syntax beside that way do not matter. Of repeated keys the first counts.
 * Pure: bytes in, slices out. */
#ifndef HOOKLATCH_VERIFY_JSON_POINTER_H
#define HOOKLATCH_VERIFY_JSON_POINTER_H

#include "receiver/base/bytes.h"

enum json_find {
	JSON_FOUND,
	JSON_ABSENT, /* the text is JSON as far as it was read, and has no such value */
	JSON_BROKEN, /* no JSON on the way there */
};

enum json_kind {
	JSON_STRING,
	JSON_NUMBER,
	JSON_LITERAL, /* true, false, null */
	JSON_OBJECT,
	JSON_ARRAY,
};

struct json_slice {
	enum json_kind kind;
	struct span raw; /* the value's very bytes; a string with its quotes */
};

enum json_find json_pointer_find(struct span text, struct span pointer, struct json_slice *ret)
	MUST_CHECK;

/* The value as text: a string decoded, anything else as it stands. False: a string that is no Unicode (a lone
 * surrogate, bad UTF-8), a number or literal that is none, or more than `out` takes. */
bool json_slice_text(struct json_slice slice, struct buffer *out) MUST_CHECK;

/* The elements of an array, one after the other: their very bytes.
 *   json_items_begin()  JSON_ABSENT: there is no array
 *   json_items_next()   JSON_ABSENT: there are no more; JSON_BROKEN: no JSON up to the array's end */
struct json_items {
	const char *at;
	const char *end;
	bool first;
};
enum json_find json_items_begin(struct span text, struct span pointer, struct json_items *items)
	MUST_CHECK;
enum json_find json_items_next(struct json_items *items, struct json_slice *ret) MUST_CHECK;

/* The decoded text of a string or the digits of a number at `pointer`, appended; anything else is JSON_ABSENT, a string that
 * is no Unicode JSON_BROKEN. */
enum json_find json_text_at(struct span text, struct span pointer, struct buffer *out) MUST_CHECK;

/* Whether no object on the way to the pointer has its key twice. Readers differ in which of two they take: what was signed
 * as a value, and not as bytes, must stand there once. True where the way ends before. */
bool json_pointer_unique(struct span text, struct span pointer);

bool json_pointer_valid(struct span pointer); /* empty, or "/" and tokens with ~0 and ~1 only */

#endif
