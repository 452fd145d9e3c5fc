/* Reads what a scheme says where to find: an event's id, its type. Pure. */
#ifndef HOOKLATCH_VERIFY_VALUE_H
#define HOOKLATCH_VERIFY_VALUE_H

#include "receiver/verify/request.h"

enum value_find {
	VALUE_FOUND,
	VALUE_ABSENT,     /* nothing there, or empty */
	VALUE_REPEATED,   /* the header stands there more than once */
	VALUE_GENERATED,  /* the receiver makes one, as the scheme says of such a request */
	VALUE_UNREADABLE, /* JSON that is none, or a string that is no Unicode */
};

/* Appends the value's text to `out`; for SCHEME_GENERATED it is VALUE_ABSENT, the caller makes one. `text` is the body, or
 * one event of it. */
enum value_find value_read(const struct scheme *scheme, const struct scheme_value *value,
                           const struct verify_request *request, struct span text,
                           struct buffer *out) MUST_CHECK;

#endif
