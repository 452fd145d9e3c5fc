/* Reading the store: a connection of its own, read-only, that never checkpoints and is limited in time, so that it can
 * neither change nor pin anything. Works beside a running service and without one.
 * Threads: a reader belongs to the thread that opened it. Rows' texts live until their callback returns. */
#ifndef HOOKLATCH_STORE_READER_H
#define HOOKLATCH_STORE_READER_H

#include "receiver/store/store.h"

struct reader;

bool reader_open(struct reader **ret, const char *path, struct error *err) MUST_CHECK;
void reader_close(struct reader *reader); /* takes NULL */
/* From now on: queries that take longer are broken off with ERROR_LIMIT. 0: no limit. */
void reader_limit(struct reader *reader, int64_t ns);
/* From now on: while the store is pressed (store_pressed()), the reader runs a fifth of the time. Pauses do not count against its
 * limit. NULL: no matter what. */
void reader_pace(struct reader *reader, const struct store *store);

/* --- for dispatch --- */

/* The earliest pending deliveries of a handler's lane, due or not, in due order; at most `room`. */
bool reader_due(struct reader *reader, int64_t handler, bool retry, struct due *items, size_t room,
                size_t *count, struct error *err) MUST_CHECK;
/* *intact false: the body is not what was stored. */
bool reader_event(struct reader *reader, int64_t seq, struct event **ret, bool *intact,
                  struct error *err) MUST_CHECK;
/* Compares one segment of the ledger with its rows, in one snapshot. *off: how many cells differ. */
bool reader_audit(struct reader *reader, int64_t segment, int64_t *off, struct error *err)
	MUST_CHECK;
bool reader_segments(struct reader *reader, int64_t *highest, struct error *err) MUST_CHECK;

/* --- for the API and the command line --- */

struct event_row {
	int64_t seq;
	struct span source;
	struct span id;
	struct span type;
	struct span received_at;
	int64_t size;
	struct span headers; /* reader_event_row() only */
	struct span body;    /* reader_event_row() only */
};
/* False ends the walk. */
typedef bool event_row_fn(void *context, const struct event_row *row);

/* Newest first, or from `after` on upwards when `after` is not negative. */
bool reader_events(struct reader *reader, const struct filter *filter, int64_t after, int64_t limit,
                   event_row_fn *row, void *context, struct error *err) MUST_CHECK;
/* The request that an event came in, where that held several. */
struct request_row {
	int64_t id;
	int64_t position; /* of the event, from 0 */
	int64_t events;
	int64_t size; /* of the whole body; -1: it is gone */
};
bool reader_request(struct reader *reader, int64_t seq, struct request_row *ret, bool *found,
                    struct error *err) MUST_CHECK;

/* ERROR_NOT_FOUND when there is none. */
bool reader_event_row(struct reader *reader, struct span source, struct span id, event_row_fn *row,
                      void *context, struct error *err) MUST_CHECK;

/* *seq 0: there is none. */
bool reader_event_seq(struct reader *reader, struct span source, struct span id, int64_t *seq,
                      struct error *err) MUST_CHECK;

struct named_delivery {
	struct delivery_key key;
	struct span source;
	struct span event_id;
	struct span type;
	struct span handler;
	enum delivery_state state;
	struct span last_error; /* data NULL: none */
};
typedef bool named_delivery_fn(void *context, const struct named_delivery *row);

struct delivery_row {
	int64_t handler;
	struct span handler_name;
	enum delivery_state state;
	int64_t attempts;
	int64_t round;
	int64_t due_ns;            /* when pending */
	bool held;                 /* pending behind another one of its order key */
	bool retry;                /* its next try needs a token */
	int64_t lease_until_ns;    /* with a consumer; 0: it is not */
	struct span order_key;     /* data NULL: none */
	struct span paused_reason; /* empty: none was given */
	int64_t paused_ns; /* its handler, until then (wall time); 0: it is not; INT64_MAX: until somebody resumes it */
	struct span last_error; /* data NULL: none */
	struct span outcome;    /* data NULL: none */
};
typedef bool delivery_row_fn(void *context, const struct delivery_row *row);
bool reader_deliveries(struct reader *reader, int64_t seq, delivery_row_fn *row, void *context,
                       struct error *err) MUST_CHECK;

/* The one that the delivery of an order key waits for: the oldest that runs, is pending, or (`dead` true) is dead. No row: none. */
bool reader_order_head(struct reader *reader, struct delivery_key delivery, struct span key,
                       bool dead, named_delivery_fn *row, void *context, struct error *err)
	MUST_CHECK;

struct attempt_row {
	int64_t id;
	int64_t seq;
	struct span source;
	struct span event_id;
	struct span type;
	struct span handler;
	int64_t round;
	int64_t number;
	struct span started_at;
	int64_t duration_ms;
	struct span result;
	struct span error_type;
	struct span error;
	struct span output;
	struct span reason; /* of a death; data NULL: it did not die with this try */
};
typedef bool attempt_row_fn(void *context, const struct attempt_row *row);
/* Of one event (seq > 0), or all after the row number `after`. */
bool reader_attempts(struct reader *reader, int64_t seq, int64_t after, int64_t limit,
                     attempt_row_fn *row, void *context, struct error *err) MUST_CHECK;

struct dead_row {
	int64_t id;
	struct delivery_key key;
	struct span source;
	struct span event_id;
	struct span type;
	struct span handler;
	enum delivery_state state; /* dead or discarded */
	int64_t attempts;
	struct span reason;
	struct span last_error;
	struct span first_failed_at;
	struct span died_at;
	struct span output;
};
typedef bool dead_row_fn(void *context, const struct dead_row *row);
/* Upwards from behind `after`; without states in the filter only those that are dead now. `ids`: JSON array or NULL. */
bool reader_dead(struct reader *reader, const struct filter *filter, const char *ids, int64_t after,
                 int64_t until, int64_t limit, dead_row_fn *row, void *context, struct error *err)
	MUST_CHECK;
bool reader_dead_count(struct reader *reader, const struct filter *filter, const char *ids,
                       int64_t *count, struct error *err) MUST_CHECK;
/* Deliveries that an `events replay` looks at, in whatever state: how many, and the first of those in `states`.
 * `ids`: JSON array or NULL: of sequence numbers, or, when it looks at the dead `letters` alone, of theirs. */
struct delivery_counts {
	int64_t states[DELIVERY_STATES];
	int64_t bodiless[DELIVERY_STATES]; /* of them: whose event has no body any more */
	int64_t guarded[DELIVERY_STATES];  /* of them, with a body: replayed with --again alone */
};
/* `guarded`: JSON object of handlers' names and wall times, ns: done deliveries of theirs are guarded, and those whose first
 * failed try is older than that. */
bool reader_delivery_counts(struct reader *reader, const struct filter *filter, bool letters,
                            const char *ids, const char *guarded, struct delivery_counts *counts,
                            struct error *err) MUST_CHECK;
/* In the order of arrival, behind `after`. */
bool reader_named_deliveries(struct reader *reader, const struct filter *filter, const char *ids,
                             struct delivery_key after, int64_t limit, named_delivery_fn *row,
                             void *context, struct error *err) MUST_CHECK;
/* Whole events in the order of arrival, behind `after`. `ids`: JSON array of sequence numbers or NULL. */
bool reader_export(struct reader *reader, const struct filter *filter, const char *ids,
                   int64_t after, int64_t limit, event_row_fn *row, void *context,
                   struct error *err) MUST_CHECK;
/* Events without a delivery for this handler, in the order of arrival; their bodies too when asked for. The filter's own
 * handler and states are not looked at. */
bool reader_unfilled(struct reader *reader, const struct filter *filter, const char *handler,
                     bool bodies, event_row_fn *row, void *context, struct error *err) MUST_CHECK;

struct replay_row {
	int64_t id;
	struct span kind;
	struct span filter;
	struct span handler;
	int64_t rate;
	int64_t until;
	int64_t position;
	struct span state;
	int64_t total;
	int64_t replayed;
	int64_t created;
	int64_t skipped;
	int64_t refused;
	struct span created_at;
	struct span finished_at;
	struct span who;
	struct span reason;
};
typedef bool replay_row_fn(void *context, const struct replay_row *row);
bool reader_replays(struct reader *reader, int64_t id, replay_row_fn *row, void *context,
                    struct error *err) MUST_CHECK;

struct store_counts {
	int64_t states[LEDGER_RECEIVED + 1];
	int64_t last_seq;
	int64_t last_dead;
	int64_t last_attempt;
	bool any_pending;
	struct span oldest_pending_at; /* points into text */
	char text[64];
};
bool reader_counts(struct reader *reader, struct store_counts *counts, struct error *err)
	MUST_CHECK;
/* How long ago the oldest of a handler's pending deliveries came that is not held behind another one, ns; -1: none. */
bool reader_oldest_pending(struct reader *reader, int64_t handler, int64_t *age_ns,
                           struct error *err) MUST_CHECK;
/* Dead letters by handler's name and reason. */
typedef bool depth_row_fn(void *context, struct span handler, struct span reason, int64_t count);
bool reader_dead_depth(struct reader *reader, depth_row_fn *row, void *context, struct error *err)
	MUST_CHECK;
/* Pending deliveries by handler's name. */
typedef bool handler_row_fn(void *context, struct span name,
                            const int64_t states[LEDGER_RECEIVED + 1]);
bool reader_handlers(struct reader *reader, handler_row_fn *row, void *context, struct error *err)
	MUST_CHECK;

#endif
