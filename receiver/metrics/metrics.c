#include "receiver/metrics/metrics.h"

static const struct metric_row rows[] = {
	[METRIC_UNROUTED] = { "events_unrouted_total", "Events that no handler wants." },
	[METRIC_CONFLICTS] = { "events_conflict_total",
	                       "Events with a known id and another body." },
	[METRIC_ATTEMPTS] = { "attempts_total", "Tries of handlers." },
	[METRIC_ATTEMPTS_FAILED] = { "attempts_failed_total", "Tries of handlers that failed." },
	[METRIC_DEATHS] = { "deliveries_died_total", "Deliveries that became dead." },
	[METRIC_COMMITS] = { "commits_total", "Durable commits." },
	[METRIC_COMMIT_EVENTS] = { "commit_events_total", "Events in durable commits." },
	[METRIC_CONNECTIONS] = { "connections_total", "Connections accepted." },
	[METRIC_CONNECTIONS_REFUSED] = { "connections_refused_total",
	                                 "Connections closed at accept." },
	[METRIC_HANDSHAKES_FAILED] = { "handshakes_failed_total", "TLS handshakes that failed." },
};
static_assert(COUNT(rows) == METRICS, "a metric without a row");

static atomic_llong counters[METRICS];
static atomic_llong answers[RESULTS];

void
metrics_add(enum metric metric, int64_t count)
{
	(void)atomic_fetch_add_explicit(&counters[metric], count, memory_order_relaxed);
}

int64_t
metrics_read(enum metric metric)
{
	return atomic_load_explicit(&counters[metric], memory_order_relaxed);
}

const struct metric_row *
metrics_row(enum metric metric)
{
	return &rows[metric];
}

void
metrics_answered(enum result result, int64_t count)
{
	(void)atomic_fetch_add_explicit(&answers[result], count, memory_order_relaxed);
}

int64_t
metrics_answers(enum result result)
{
	return atomic_load_explicit(&answers[result], memory_order_relaxed);
}
