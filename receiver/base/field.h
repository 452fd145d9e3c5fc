/* Fields: names with values, as in the header section of a message (RFC 9110 section 5). Names are compared without
 * regard to case. The array and its bytes belong to somebody else. */
#ifndef HOOKLATCH_BASE_FIELD_H
#define HOOKLATCH_BASE_FIELD_H

#include "receiver/base/bytes.h"

struct field {
	struct span name;
	struct span value;
};

struct fields {
	const struct field *items;
	size_t count;
};

/* How many fields have this name; *value is the first one's, untouched when there is none. */
size_t fields_find(struct fields fields, struct span name, struct span *value);

#endif
