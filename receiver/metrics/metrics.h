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
	METRICS,
};

struct metric_row {
	const char *name; /* Prometheus, without the prefix */
	const char *help;
};

void metrics_add(enum metric metric, int64_t count);
int64_t metrics_read(enum metric metric);
const struct metric_row *metrics_row(enum metric metric);

/* Answers to events and requests, by their word. */
void metrics_answered(enum result result, int64_t count);
int64_t metrics_answers(enum result result);

#endif
