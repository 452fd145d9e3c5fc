#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/metrics/metrics.h"

static json_t *
rejected(void)
{
	json_t *words = json_object();
	for (int i = RESULT_FIRST_REFUSAL; i < RESULTS; i++) {
		int64_t count = metrics_answers((enum result)i);
		if (count > 0) {
			(void)json_object_set_new(words, result_row((enum result)i)->word,
			                          json_integer(count));
		}
	}
	return words;
}

struct handlers {
	json_t *list;
	const struct config *config;
	int64_t orphaned;
};

static const char *
guarantee_name(const struct handler *handler)
{
	static const char *const names[] = { "at-least-once", "at-most-once", "effectively-once" };
	return names[handler->guarantee];
}

static bool
add_handler(void *context, struct span name, const int64_t states[LEDGER_RECEIVED + 1])
{
	struct handlers *handlers = context;
	const struct handler *handler = config_handler_by_name(handlers->config, name.data);
	json_t *row =
		json_pack("{s:b, s:o, s:o}", "configured", handler != NULL, "guarantee",
	                  handler == NULL ? json_null() : json_string(guarantee_name(handler)),
	                  "why",
	                  handler == NULL || handler->settings->why == NULL
	                          ? json_null()
	                          : json_string(handler->settings->why));
	for (unsigned i = 0; i < DELIVERY_STATES; i++) {
		(void)json_object_set_new(row, delivery_state_name((enum delivery_state)i),
		                          json_integer(states[i]));
	}
	(void)json_object_set_new(row, "received", json_integer(states[LEDGER_RECEIVED]));
	if (handler == NULL) {
		handlers->orphaned += states[DELIVERY_PENDING];
	}
	if (handler != NULL || states[LEDGER_RECEIVED] > 0) {
		(void)json_object_set_new(handlers->list, name.data, row);
	} else {
		json_decref(row);
	}
	return true;
}

/* What only a running service knows of a handler: its lag, breaker, budget, slots and pause. */
static bool
add_line(struct call_context *context, const struct handler *handler, json_t *row,
         struct error *err)
{
	struct line_view view;
	int64_t age_ns;
	if (row == NULL || !engine_view(context->api->engine, handler->number, &view)) {
		return true;
	}
	if (!reader_oldest_pending(context->reader, handler->number, &age_ns, err)) {
		return false;
	}
	json_t *line = json_of_line(&view);
	(void)json_object_update(row, line);
	json_decref(line);
	(void)json_object_set_new(row, "oldest_pending_seconds",
	                          age_ns < 0 ? json_null()
	                                     : json_real((double)age_ns / (double)NS_PER_S));
	int64_t paused_ns = store_handler_paused(context->api->store, handler->number);
	(void)json_object_set_new(row, "paused", json_boolean(paused_ns != 0));
	(void)json_object_set_new(row, "paused_until",
	                          paused_ns == 0 || paused_ns == INT64_MAX
	                                  ? json_null()
	                                  : json_of_time(paused_ns));
	return true;
}

static bool
add_lines(struct call_context *context, const json_t *list, struct error *err)
{
	const struct config *config = context->api->config;
	bool good = true;
	for (size_t i = 0; context->api->engine != NULL && good && i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		good = add_line(context, handler, json_object_get(list, handler->name), err);
	}
	return good;
}

static int64_t
late_answers(void)
{
	struct source_view view;
	int64_t count = 0;
	for (size_t i = 0; metrics_source(i, &view); i++) {
		count += view.late;
	}
	return count;
}

static void
add_counters(json_t *stats, const struct api *api)
{
	int64_t accepted = metrics_answers(RESULT_ACCEPTED);
	int64_t duplicates = metrics_answers(RESULT_DUPLICATE);
	int64_t revived = metrics_answers(RESULT_REVIVED);
	int64_t seen = accepted + duplicates + revived;
	(void)json_object_set_new(stats, "since",
	                          api->since_ns == 0 ? json_null() : json_of_time(api->since_ns));
	(void)json_object_set_new(stats, "accepted", json_integer(accepted));
	(void)json_object_set_new(stats, "duplicates", json_integer(duplicates));
	(void)json_object_set_new(stats, "revived", json_integer(revived));
	(void)json_object_set_new(stats, "ignored", json_integer(metrics_answers(RESULT_IGNORED)));
	(void)json_object_set_new(stats, "challenges",
	                          json_integer(metrics_answers(RESULT_CHALLENGE)));
	(void)json_object_set_new(stats, "unrouted", json_integer(metrics_read(METRIC_UNROUTED)));
	(void)json_object_set_new(stats, "conflicts", json_integer(metrics_read(METRIC_CONFLICTS)));
	(void)json_object_set_new(stats, "late_answers", json_integer(late_answers()));
	(void)json_object_set_new(stats, "rejected", rejected());
	(void)json_object_set_new(stats, "dedup_hit_ratio",
	                          json_real(seen == 0 ? 0.0
	                                              : (double)(duplicates + revived) /
	                                                        (double)seen));
}

/* Whether the repeats of a source's events can be recognised. */
static json_t *
sources_of(const struct config *config)
{
	json_t *sources = json_object();
	for (size_t i = 0; i < config->source_count; i++) {
		const struct source *source = &config->sources[i];
		bool generated = source->scheme.id.from == SCHEME_GENERATED &&
		                 source->scheme.events.array == NULL;
		(void)json_object_set_new(sources, source->name,
		                          json_pack("{s:s, s:s}", "provider",
		                                    source->settings->provider, "event_id",
		                                    generated ? "generated" : "provided"));
	}
	return sources;
}

json_t *
stats_show(struct call_context *context, struct error *err)
{
	struct store_counts counts;
	json_t *stats = json_object();
	struct handlers handlers = { json_object(), context->api->config, 0 };
	if (!reader_counts(context->reader, &counts, err) ||
	    !reader_handlers(context->reader, add_handler, &handlers, err) ||
	    !add_lines(context, handlers.list, err)) {
		json_decref(stats);
		json_decref(handlers.list);
		return NULL;
	}
	add_counters(stats, context->api);
	int64_t sum = 0;
	(void)json_object_set_new(stats, "received", json_integer(counts.states[LEDGER_RECEIVED]));
	for (unsigned i = 0; i < DELIVERY_STATES; i++) {
		(void)json_object_set_new(stats, delivery_state_name((enum delivery_state)i),
		                          json_integer(counts.states[i]));
		sum += counts.states[i];
	}
	int64_t off = counts.states[LEDGER_RECEIVED] - sum;
	if (off == 0 && context->api->store != NULL) {
		off = store_imbalance(context->api->store);
	}
	int64_t oldest_ns = 0;
	json_t *age = json_null();
	if (counts.any_pending && clock_parse(counts.oldest_pending_at, &oldest_ns)) {
		int64_t waited = clock_wall_ns() - oldest_ns;
		age = json_real((double)(waited < 0 ? 0 : waited) / (double)NS_PER_S);
	}
	(void)json_object_set_new(stats, "orphaned", json_integer(handlers.orphaned));
	(void)json_object_set_new(stats, "oldest_pending_seconds", age);
	(void)json_object_set_new(stats, "ledger_imbalance", json_integer(off));
	(void)json_object_set_new(stats, "handlers", handlers.list);
	(void)json_object_set_new(stats, "sources", sources_of(context->api->config));
	if (context->api->engine != NULL) {
		(void)json_object_set_new(stats, "retry_tokens",
		                          json_real((double)engine_tokens(context->api->engine) /
		                                    1000.0));
		(void)json_object_set_new(stats, "commits",
		                          json_integer(metrics_read(METRIC_COMMITS)));
		(void)json_object_set_new(stats, "attempts",
		                          json_integer(metrics_read(METRIC_ATTEMPTS)));
		(void)json_object_set_new(stats, "attempts_failed",
		                          json_integer(metrics_read(METRIC_ATTEMPTS_FAILED)));
		(void)json_object_set_new(stats, "log_lines_dropped", json_integer(log_drops()));
	}
	return stats;
}
