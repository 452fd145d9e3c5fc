/* What a kind of handler is: its rows in the configuration, the guarantees that it can keep, and how it makes a try.
 * A new kind is a file and one line in kinds.c. A kind never sees the store: it gets an attempt and gives an outcome.
 * Threads: run() on a worker, one call at a time for each worker; the event is shared and never changed. */
#ifndef HOOKLATCH_HANDLERS_HANDLER_H
#define HOOKLATCH_HANDLERS_HANDLER_H

#include "receiver/base/thread.h"
#include "receiver/model/event.h"
#include "receiver/sandbox/sandbox.h"
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
	const void *settings; /* of the kind */
	int64_t number;       /* 1 on the first try of a round */
	int64_t key_round; /* 0; else a replay with --again began a new idempotency key with this round */
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

/* The transaction that records a delivery as done, for kinds whose effect is in it. The store fills it. */
struct transaction {
	void *context;
	bool (*execute)(void *context, struct span sql, const struct parameter *parameters,
	                size_t count, struct error *err);
};

/* What an outcome says about the destination, for the breaker. */
enum outcome_about {
	ABOUT_NOTHING, /* the event's own fault, or ours: neither counts nor resets */
	ABOUT_FAILURE,
	ABOUT_SUCCESS,
};

struct outcome {
	enum outcome_kind kind;
	enum outcome_about about;
	bool unsure; /* it failed, and whether the effect took place cannot be known: it was under way */
	int64_t retry_after_ns; /* what the destination asked for; 0: nothing */
	int http_status;        /* 0: none */
	const char *error_type; /* a fixed word, NULL when done */
	char error[OUTCOME_ERROR_BYTES];
	char output[OUTCOME_OUTPUT_BYTES];
	size_t output_size;
};

/* A secret's place as it is written in a kind's settings, and what was read from there. */
struct handler_secret {
	struct schema_entry entry;
	const char *env;
	const char *file;
	const char *credential;
	unsigned char *
		key; /* set by the configuration: its own, wiped with it; NULL when nothing was read */
	size_t size;
};

#define DEDUPLICATES_FOR_EVER INT64_MAX

/* What a kind looks at when its settings are checked. */
struct kind_check {
	const struct node *node;   /* the handler */
	const char *directory;     /* the configuration's: relative paths in settings are in it */
	const char *const *setups; /* of all handlers, in their order; NULL at the end */
	struct problems *problems;
};

struct handler_kind {
	const char *name; /* its key in the configuration */
	const struct schema_row
		*rows;         /* what may stand in a handler of this kind; the first is its key */
	size_t settings_bytes; /* of the struct that the rows are read into */
	unsigned guarantees;   /* set of 1 << guarantee */
	bool (*check)(void *settings, const struct kind_check *check);
	/* The secret among the settings, or NULL: none is written. Its text becomes `key` before check(). NULL: never any. */
	struct handler_secret *(*secret)(void *settings);
	/* The program that it starts, as it is written. NULL: it starts none. */
	const char *(*program)(const void *settings);
	/* How long the destination recognises our idempotency key, ns; 0: it does not say. NULL: never. */
	int64_t (*deduplicates)(const void *settings);
	/* At most one of the two. On a worker; or on the store thread, inside the transaction: err says what went wrong. A kind
	 * with neither has its deliveries taken by a consumer. */
	void (*run)(const struct attempt *attempt, struct outcome *outcome);
	bool (*commit)(const struct attempt *attempt, const struct transaction *transaction,
	               struct error *err);
	/* With run: it waits for nothing and takes microseconds. One worker makes all such calls, one after the other. */
	bool brief;
	/* With commit: what runs once, at start and when it has changed; NULL: nothing. */
	const char *(*setup)(const void *settings);
	enum guarantee guarantee; /* unless another is written */
	const char *
		timeout; /* another default than the handlers' common one, as it would be written; NULL: that one */
	const char *timeout_most; /* the most that may be written; NULL: the common limit */
};

extern const struct handler_kind *const handler_kinds[]; /* NULL at the end */

/* Sets what went wrong. */
void outcome_fail(struct outcome *outcome, enum outcome_kind kind, enum outcome_about about,
                  const char *type, const char *format, ...) PRINTF(5, 6);

/* "<source>/<event id>/<handler>", after a replay with --again "…/<round>": bytes that are not visible ASCII are
 * percent-encoded; above 255 bytes it becomes "sha256:<hex>". Terminated. */
void idempotency_key(const struct attempt *attempt, char key[IDEMPOTENCY_KEY_MOST + 1]);
/* W3C Trace Context: the event's trace, a new span each time. */
void trace_parent(const struct event *event, char text[56]);

#endif
