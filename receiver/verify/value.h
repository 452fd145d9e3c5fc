/* Reads what a scheme says where to find: an event's id, its type. Pure. */
#ifndef HOOKLATCH_VERIFY_VALUE_H
#define HOOKLATCH_VERIFY_VALUE_H

#include "receiver/base/field.h"
#include "receiver/verify/scheme.h"

enum value_find {
	VALUE_FOUND,
	VALUE_ABSENT,     /* nothing there, or empty */
	VALUE_REPEATED,   /* the header stands there more than once */
	VALUE_UNREADABLE, /* JSON that is none, or a string that is no Unicode */
};

/* Appends the value's text to `out`; for SCHEME_GENERATED it is VALUE_ABSENT, the caller makes one. */
enum value_find value_read(const struct scheme_value *value, struct fields fields, struct span body,
                           struct buffer *out) MUST_CHECK;

#endif
