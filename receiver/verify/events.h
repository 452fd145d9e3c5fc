/* The events of a request: one, or the elements of an array; their ids and types. Pure. */
#ifndef HOOKLATCH_VERIFY_EVENTS_H
#define HOOKLATCH_VERIFY_EVENTS_H

#include "receiver/verify/request.h"

#define EVENTS_MOST            10000 /* in one request */
#define EVENTS_NAME_MOST_BYTES 512   /* of an id or a type */

enum events_result {
	EVENTS_READ,      /* all of them */
	EVENTS_BESIDE,    /* the provider sends this beside events: it has no id */
	EVENTS_MALFORMED, /* `wrong` says why */
	EVENTS_TOO_MANY,
	EVENTS_STOPPED, /* by event() */
};

struct events_reading {
	const struct scheme *scheme;
	const struct verify_request *request;
	struct span body;
	void *context;
	/* One event: `id` has no data where the receiver makes it; `type` is empty when it is missing or unreadable; `text` is the
	 * event's very bytes. False stops. */
	bool (*event)(void *context, struct span id, struct span type, struct span text);
	/* results */
	bool several; /* the request is of the kind that holds several, even if it holds one or none */
	size_t count;
	const char *wrong;
};

enum events_result events_read(struct events_reading *reading) MUST_CHECK;

#endif
