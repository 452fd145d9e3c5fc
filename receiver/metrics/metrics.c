#include "receiver/metrics/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"

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
	[METRIC_CHECKPOINTS] = { "checkpoints_total", "Checkpoints of the write-ahead log." },
	[METRIC_CHECKPOINTS_FAILED] = { "checkpoints_failed_total", "Checkpoints that failed." },
	[METRIC_BODIES_PURGED] = { "bodies_purged_total",
	                           "Bodies that were older than retention." },
	[METRIC_EVENTS_PURGED] = { "events_purged_total",
	                           "Events that were older than retention." },
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

static atomic_llong inflight;

void
metrics_inflight(int change)
{
	(void)atomic_fetch_add_explicit(&inflight, change, memory_order_relaxed);
}

int64_t
metrics_inflight_now(void)
{
	return atomic_load_explicit(&inflight, memory_order_relaxed);
}

static atomic_llong database_errors[METRICS_DATABASE_CODES];

void
metrics_database_error(int code)
{
	unsigned slot = (unsigned)code < METRICS_DATABASE_CODES ? (unsigned)code : 1U;
	(void)atomic_fetch_add_explicit(&database_errors[slot], 1, memory_order_relaxed);
}

int64_t
metrics_database_errors(int code)
{
	return atomic_load_explicit(&database_errors[code], memory_order_relaxed);
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

/* --- distributions --- */

struct distribution {
	atomic_llong counts[HISTOGRAM_BOUNDS + 1];
	atomic_llong sum;
};

static const double seconds[HISTOGRAM_BOUNDS] = { .0005, .001, .0025, .005, .01, .025, .05,
	                                          .1,    .25,  .5,    1,    2.5, 5,    10 };
static const double tens[HISTOGRAM_BOUNDS] = { 1,   2,   4,   8,    16,   32,   64,
	                                       128, 256, 512, 1024, 2048, 4096, 8192 };

static const struct {
	const char *name;
	const char *help;
	const double *bounds;
	double unit;
} kinds[] = {
	[HISTOGRAM_REQUEST] = { "http_request_duration_seconds",
	                        "From a request's head to its answer.", seconds, NS_PER_S },
	[HISTOGRAM_COMMIT] = { "commit_duration_seconds", "Durable commits.", seconds, NS_PER_S },
	[HISTOGRAM_BATCH] = { "commit_batch_events", "Events in a commit.", tens, 1 },
};
static_assert(COUNT(kinds) == HISTOGRAMS, "a histogram without a row");

static struct distribution distributions[HISTOGRAMS];

static void
observe(struct distribution *distribution, const double *bounds, double unit, int64_t value)
{
	size_t i = 0;
	while (i < HISTOGRAM_BOUNDS && (double)value > bounds[i] * unit) {
		i++;
	}
	(void)atomic_fetch_add_explicit(&distribution->counts[i], 1, memory_order_relaxed);
	(void)atomic_fetch_add_explicit(&distribution->sum, value, memory_order_relaxed);
}

static void
read_distribution(const struct distribution *distribution, const double *bounds, double unit,
                  struct histogram_view *view)
{
	int64_t all = 0;
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		all += atomic_load_explicit(&distribution->counts[i], memory_order_relaxed);
		view->counts[i] = all;
		if (i < HISTOGRAM_BOUNDS) {
			view->bounds[i] = bounds[i];
		}
	}
	view->sum = (double)atomic_load_explicit(&distribution->sum, memory_order_relaxed) / unit;
}

void
metrics_observe(enum histogram histogram, int64_t value)
{
	observe(&distributions[histogram], kinds[histogram].bounds, kinds[histogram].unit, value);
}

void
metrics_histogram(enum histogram histogram, struct histogram_view *view)
{
	view->name = kinds[histogram].name;
	view->help = kinds[histogram].help;
	read_distribution(&distributions[histogram], kinds[histogram].bounds, kinds[histogram].unit,
	                  view);
}

/* --- handlers --- */

#define HANDLERS_MOST 4096 /* as many as a store knows */

struct handler_figures {
	atomic_llong tries[TRY_RESULTS];
	struct distribution duration;
	struct distribution wait;
};

static _Atomic(struct handler_figures *) handlers[HANDLERS_MOST]; /* made when first needed; kept */

const char *
metrics_try_name(enum try_result result)
{
	static const char *const names[] = { "succeeded", "failed", "given_back" };
	return names[result];
}

static struct handler_figures *
figures_of(int64_t handler)
{
	if (handler < 0 || handler >= HANDLERS_MOST) {
		return NULL;
	}
	struct handler_figures *figures = atomic_load(&handlers[handler]);
	if (figures == NULL) {
		struct handler_figures *fresh = memory_need(sizeof(*fresh));
		if (atomic_compare_exchange_strong(&handlers[handler], &figures, fresh)) {
			return fresh;
		}
		free(fresh);
	}
	return figures;
}

void
metrics_try(int64_t handler, enum try_result result, int64_t duration_ns, int64_t waited_ns)
{
	struct handler_figures *figures = figures_of(handler);
	if (figures == NULL) {
		return;
	}
	(void)atomic_fetch_add_explicit(&figures->tries[result], 1, memory_order_relaxed);
	observe(&figures->duration, seconds, NS_PER_S, duration_ns);
	if (waited_ns >= 0) {
		observe(&figures->wait, seconds, NS_PER_S, waited_ns);
	}
}

bool
metrics_handler(int64_t handler, struct handler_view *view)
{
	const struct handler_figures *figures =
		handler < 0 || handler >= HANDLERS_MOST ? NULL : atomic_load(&handlers[handler]);
	if (figures == NULL) {
		return false;
	}
	for (size_t i = 0; i < TRY_RESULTS; i++) {
		view->tries[i] = atomic_load_explicit(&figures->tries[i], memory_order_relaxed);
	}
	view->duration.name = "attempt_duration_seconds";
	view->duration.help = "Tries of handlers.";
	read_distribution(&figures->duration, seconds, NS_PER_S, &view->duration);
	view->wait.name = "queue_wait_seconds";
	view->wait.help = "From when a try was due to its begin.";
	read_distribution(&figures->wait, seconds, NS_PER_S, &view->wait);
	return true;
}

/* --- sources --- */

struct source_figures {
	char name[65];
	atomic_llong answers[RESULTS];
	atomic_llong late;
	atomic_llong secrets[METRICS_SECRETS_MOST];
};

static _Atomic(struct source_figures *)
	sources[METRICS_SOURCES_MOST]; /* made when first needed; kept */

static struct source_figures *
source_of(const char *name)
{
	for (size_t i = 0; i < METRICS_SOURCES_MOST; i++) {
		bool last = i + 1 == METRICS_SOURCES_MOST;
		struct source_figures *figures = atomic_load(&sources[i]);
		if (figures == NULL) {
			struct source_figures *fresh = memory_need(sizeof(*fresh));
			size_t size = strnlen(name, sizeof(fresh->name) - 1);
			memcpy(fresh->name, last ? "other" : name, last ? 5 : size);
			if (atomic_compare_exchange_strong(&sources[i], &figures, fresh)) {
				return fresh;
			}
			free(fresh);
		}
		if (last || strcmp(figures->name, name) == 0) {
			return figures;
		}
	}
	return NULL;
}

void
metrics_source_answered(const char *source, enum result result, bool late)
{
	struct source_figures *figures = source_of(source);
	(void)atomic_fetch_add_explicit(&figures->answers[result], 1, memory_order_relaxed);
	(void)atomic_fetch_add_explicit(&figures->late, late ? 1 : 0, memory_order_relaxed);
}

void
metrics_secret_matched(const char *source, int secret)
{
	if (secret >= 0 && secret < METRICS_SECRETS_MOST) {
		(void)atomic_fetch_add_explicit(&source_of(source)->secrets[secret], 1,
		                                memory_order_relaxed);
	}
}

bool
metrics_source(size_t index, struct source_view *view)
{
	const struct source_figures *figures =
		index >= METRICS_SOURCES_MOST ? NULL : atomic_load(&sources[index]);
	if (figures == NULL) {
		return false;
	}
	view->name = figures->name;
	view->late = atomic_load_explicit(&figures->late, memory_order_relaxed);
	for (size_t i = 0; i < RESULTS; i++) {
		view->answers[i] = atomic_load_explicit(&figures->answers[i], memory_order_relaxed);
	}
	for (size_t i = 0; i < METRICS_SECRETS_MOST; i++) {
		view->secrets[i] = atomic_load_explicit(&figures->secrets[i], memory_order_relaxed);
	}
	return true;
}

/* --- reloads --- */

static atomic_bool reload_failed;
static atomic_llong reloaded_ns;

void
metrics_reloaded(bool good, int64_t at_ns)
{
	atomic_store(&reload_failed, !good);
	atomic_store(&reloaded_ns, at_ns);
}

bool
metrics_reload(int64_t *at_ns)
{
	*at_ns = atomic_load(&reloaded_ns);
	return !atomic_load(&reload_failed);
}
