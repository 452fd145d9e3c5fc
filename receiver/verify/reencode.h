/* A JSON text written again in another style, value for value: numbers as they stand, members in their order. For finding
 * out what a writer between the provider and us has done. Pure. */
#ifndef HOOKLATCH_VERIFY_REENCODE_H
#define HOOKLATCH_VERIFY_REENCODE_H

#include "receiver/base/bytes.h"

enum reencode_escapes {
	REENCODE_KEEP,       /* strings as they stand */
	REENCODE_UTF8,       /* what is not ASCII stands as it is */
	REENCODE_LOWER_CASE, /* as \uXXXX: Python, PHP, Ruby, JavaScript */
	REENCODE_UPPER_CASE,
};

struct reencode_style {
	bool keep_space; /* white space as it stands; else as the next two say */
	bool spaced;     /* a space behind "," and ":" */
	int indent;      /* spaces a level, each value on a line of its own; 0: all on one line */
	enum reencode_escapes escapes;
	bool slashes; /* "/" as "\/": PHP */
};

/* False: it is no JSON. */
bool reencode(struct span json, const struct reencode_style *style, struct buffer *out) MUST_CHECK;

#endif
