/* Counters since the start, as rows: name, type, help. Threads: any; they are the only thing that is shared and
 * changed without a queue. A counter with a label is an array of its values. */
#ifndef HOOKLATCH_METRICS_METRICS_H
#define HOOKLATCH_METRICS_METRICS_H

#include <stdatomic.h>

#include "receiver/model/result.h"

enum metric {
	METRIC_UNROUTED,  /* events that no handler wants */
	METRIC_CONFLICTS, /* same id, other body */
	METRIC_ATTEMPTS,  /* tries of handlers */
	METRIC_ATTEMPTS_FAILED,
	METRIC_DEATHS,
	METRIC_COMMITS,
	METRIC_COMMIT_EVENTS, /* events in them */
	METRIC_CONNECTIONS,   /* accepted */
	METRIC_CONNECTIONS_REFUSED,
	METRIC_HANDSHAKES_FAILED,
	METRIC_CHECKPOINTS,
	METRIC_CHECKPOINTS_FAILED,
	METRIC_BODIES_PURGED,
	METRIC_EVENTS_PURGED,
	METRICS,
};

struct metric_row {
	const char *name; /* Prometheus, without the prefix */
	const char *help;
};

/* Requests between their head and their answer. */
void metrics_inflight(int change);
int64_t metrics_inflight_now(void);

/* Errors of the database by SQLite's primary result code. */
#define METRICS_DATABASE_CODES 32
void metrics_database_error(int code);
int64_t metrics_database_errors(int code);

void metrics_add(enum metric metric, int64_t count);
int64_t metrics_read(enum metric metric);
const struct metric_row *metrics_row(enum metric metric);

/* Distributions since the start. Durations are observed in ns and shown in seconds. */
enum histogram {
	HISTOGRAM_REQUEST, /* from a request's head to its answer */
	HISTOGRAM_COMMIT,
	HISTOGRAM_BATCH, /* events in a commit */
	HISTOGRAMS,
};
#define HISTOGRAM_BOUNDS 14
struct histogram_view {
	const char *name;
	const char *help;
	double bounds[HISTOGRAM_BOUNDS];
	int64_t counts[HISTOGRAM_BOUNDS + 1]; /* cumulative; the last is all */
	double sum;
};
void metrics_observe(enum histogram histogram, int64_t value);
void metrics_histogram(enum histogram histogram, struct histogram_view *view);

/* What belongs to a handler, by its number in the store. */
enum try_result {
	TRY_SUCCEEDED,
	TRY_FAILED,
	TRY_GIVEN_BACK,
	TRY_RESULTS,
};
struct handler_view {
	int64_t tries[TRY_RESULTS];
	struct histogram_view duration;
	struct histogram_view wait; /* from when a try was due to its begin */
};
/* waited_ns negative: unknown. */
void metrics_try(int64_t handler, enum try_result result, int64_t duration_ns, int64_t waited_ns);
bool metrics_handler(int64_t handler, struct handler_view *view); /* false: nothing yet */
const char *metrics_try_name(enum try_result result);

/* The last reload: whether the file was taken, and when (wall time; 0: there was none). */
void metrics_reloaded(bool good, int64_t at_ns);
bool metrics_reload(int64_t *at_ns);

/* What belongs to a source, by its name. */
#define METRICS_SOURCES_MOST 256 /* further ones are counted as "other" */
#define METRICS_SECRETS_MOST 16
struct source_view {
	const char *name;
	int64_t answers[RESULTS];
	int64_t late;                          /* answers after the provider's patience */
	int64_t secrets[METRICS_SECRETS_MOST]; /* good signatures by the secret that made them */
};
void metrics_source_answered(const char *source, enum result result, bool late);
void metrics_secret_matched(const char *source, int secret);
bool metrics_source(size_t index, struct source_view *view); /* false: there is none */

/* Answers to events and requests, by their word. */
void metrics_answered(enum result result, int64_t count);
int64_t metrics_answers(enum result result);

#endif
