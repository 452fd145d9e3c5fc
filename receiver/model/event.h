/* An event: what a provider sent, verified, as it moves through the house and lies in the store.
 * One block holds everything but the body, which is a block of its own that the net loop has read into.
 * Immutable after event_create() but for `seq`, which the store sets before anybody else sees it.
 * References are counted; the last event_release() frees it. Threads: any. */
#ifndef HOOKLATCH_MODEL_EVENT_H
#define HOOKLATCH_MODEL_EVENT_H

#include <stdatomic.h>

#include "receiver/base/bytes.h"

#define EVENT_ID_MOST_BYTES  512
#define EVENT_TRACE_ID_BYTES 33 /* 32 hexadecimal digits and their end */

/* XXH3-128 of the body: guards against rot, tells another body under the same id. No protection against malice. */
struct event_hash {
	uint64_t low;
	uint64_t high;
};

struct event {
	atomic_int references;
	int64_t seq; /* 0 until stored */
	int64_t received_ns;
	struct event_hash hash;
	/* W3C Trace Context section 3.2.2.3: the sender's when it gave one, else one of the event's own that is always the same. */
	char trace_id[EVENT_TRACE_ID_BYTES];
	struct span source; /* all spans are terminated */
	struct span id;
	struct span type;
	struct span headers; /* JSON array of [name, value] */
	struct span body;    /* not terminated */
	char *body_block;
};

struct event_parts {
	struct span source;
	struct span id;
	struct span type;
	struct span headers;
	char *body_block; /* stolen; may be NULL */
	size_t body_size;
	int64_t received_ns;
};

struct event *event_create(const struct event_parts *parts);
struct event *event_share(struct event *event);
void event_release(struct event *event); /* takes NULL */

struct event_hash event_hash_of(struct span body);
bool event_hash_equal(struct event_hash a, struct event_hash b);

/* The value of the first of its headers with this name, in lower case; false when it has none. */
bool event_header(const struct event *event, const char *name, struct buffer *value) MUST_CHECK;

/* 1 to 512 bytes of UTF-8 without control characters. */
bool event_id_valid(struct span id);

#endif
