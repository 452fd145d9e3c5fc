/* What a kind of handler is: its rows in the configuration, the guarantees that it can keep, and how it makes a try.
 * A new kind is a file and one line in kinds.c. A kind never sees the store: it gets an attempt and gives an outcome.
 * Threads: run() on a worker, one call at a time for each worker; the event is shared and never changed. */
#ifndef HOOKLATCH_HANDLERS_HANDLER_H
#define HOOKLATCH_HANDLERS_HANDLER_H

#include "receiver/base/thread.h"
#include "receiver/model/event.h"
#include "receiver/schema/row.h"

#define OUTCOME_OUTPUT_BYTES  4096 /* the last of what a handler said */
#define OUTCOME_ERROR_BYTES   256
#define IDEMPOTENCY_KEY_MOST  255
#define HANDLER_KILL_AFTER_NS (5 * NS_PER_S) /* between SIGTERM and SIGKILL */

extern struct thread_role worker_thread;

enum guarantee {
	GUARANTEE_AT_LEAST_ONCE,
	GUARANTEE_AT_MOST_ONCE,
	GUARANTEE_EFFECTIVELY_ONCE,
};

/* Readable descriptors that tell a try to end: politely, at once. */
struct attempt_stop {
	int end_fd;
	int kill_fd;
};

struct attempt {
	const struct event *event;
	const char *handler;
	const void *settings;  /* of the kind */
	int64_t number;        /* 1 on the first try of a round */
	int64_t timeout_ns;    /* in all */
	const char *directory; /* the configuration's */
	const char *
		scratch; /* a directory for files that a try needs; emptied at the service's start */
	const struct attempt_stop *stop;
};

enum outcome_kind {
	OUTCOME_DONE,
	OUTCOME_RETRY,
	OUTCOME_DEAD,      /* trying again cannot help */
	OUTCOME_GIVE_BACK, /* we broke it off ourselves: it does not count */
};

struct outcome {
	enum outcome_kind kind;
	const char *error_type; /* a fixed word, NULL when done */
	char error[OUTCOME_ERROR_BYTES];
	char output[OUTCOME_OUTPUT_BYTES];
	size_t output_size;
};

struct handler_kind {
	const char *name; /* its key in the configuration */
	const struct schema_row
		*rows;         /* what may stand in a handler of this kind; the first is its key */
	size_t settings_bytes; /* of the struct that the rows are read into */
	unsigned guarantees;   /* set of 1 << guarantee */
	bool (*check)(const void *settings, const struct node *node, struct problems *problems);
	void (*run)(const struct attempt *attempt, struct outcome *outcome);
};

extern const struct handler_kind *const handler_kinds[]; /* NULL at the end */

/* "<source>/<event id>/<handler>": bytes that are not visible ASCII are percent-encoded; above 255 bytes it becomes
 * "sha256:<hex>". Terminated. */
void idempotency_key(const struct event *event, const char *handler,
                     char key[IDEMPOTENCY_KEY_MOST + 1]);
/* W3C Trace Context: the event's trace, a new span each time. */
void trace_parent(const struct event *event, char text[56]);

#endif
