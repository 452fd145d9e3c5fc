#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"
#include "receiver/base/units.h"

static bool
add_replay(void *context, const struct replay_row *row)
{
	(void)json_array_append_new(
		context,
		json_pack(
			"{s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o, s:o}",
			"id", (json_int_t)row->id, "kind", json_of_span(row->kind), "state",
			json_of_span(row->state), "filter", json_of_span(row->filter), "handler",
			json_of_span(row->handler), "total", (json_int_t)row->total, "replayed",
			(json_int_t)row->replayed, "created", (json_int_t)row->created, "skipped",
			(json_int_t)row->skipped, "refused", (json_int_t)row->refused, "rate",
			(double)row->rate / (double)UNITS_RATE_PERIOD_S, "created_at",
			json_of_span(row->created_at), "finished_at",
			json_of_span(row->finished_at), "who", json_of_span(row->who), "reason",
			json_of_span(row->reason)));
	return true;
}

json_t *
replays_list(struct call_context *context, struct error *err)
{
	json_t *list = json_array();
	if (!reader_replays(context->reader, 0, add_replay, list, err)) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *
replay_by_id(struct call_context *context, int64_t id, struct error *err)
{
	json_t *list = json_array();
	json_t *replay = NULL;
	if (id > 0 && !reader_replays(context->reader, id, add_replay, list, err)) {
		json_decref(list);
		return NULL;
	}
	if (json_array_size(list) == 1) {
		replay = json_incref(json_array_get(list, 0));
	} else {
		(void)error_set(err, ERROR_NOT_FOUND, "there is no replay %lld", (long long)id);
	}
	json_decref(list);
	return replay;
}

json_t *
replays_show(struct call_context *context, struct error *err)
{
	int64_t id;
	if (!span_number(context->rest, &id)) {
		(void)error_set(err, ERROR_INVALID, "a replay has a number");
		return NULL;
	}
	return replay_by_id(context, id, err);
}

static json_t *
change_replay(struct call_context *context, enum change_kind kind, struct error *err)
{
	int64_t id;
	size_t digits = 0;
	while (digits < context->rest.size && context->rest.data[digits] != '/') {
		digits++;
	}
	if (!span_number((struct span){ context->rest.data, digits }, &id)) {
		(void)error_set(err, ERROR_INVALID, "a replay has a number");
		return NULL;
	}
	struct change change = { .kind = kind, .id = id, .who = context->request->who };
	if (context->api->store == NULL || !store_change(context->api->store, &change, err)) {
		return NULL;
	}
	return replay_by_id(context, id, err);
}

json_t *
replays_cancel(struct call_context *context, struct error *err)
{
	return change_replay(context, CHANGE_REPLAY_CANCEL, err);
}

json_t *
replays_resume(struct call_context *context, struct error *err)
{
	return change_replay(context, CHANGE_REPLAY_RESUME, err);
}

/* --- making one --- */

struct plan {
	bool of_dead;
	struct filter filter;
	char *ids; /* JSON */
	const char *handler;
	unsigned states;
	int64_t total;   /* that the replay looks at */
	int64_t count;   /* of them: put back to work, or made */
	int64_t skipped; /* of them: in a state that it does not take */
	int64_t refused; /* of them: done ones that need --again, and those without a body */
	int64_t bodiless;
	int64_t until;
	json_t *first;
	struct other_ids others; /* named, and no dead letters */
};

static bool
add_first_dead(void *context, const struct dead_row *row)
{
	(void)json_array_append_new(context, json_of_dead(row, false));
	return true;
}

static bool
add_first_event(void *context, const struct event_row *row)
{
	(void)json_array_append_new(context, json_pack("{s:o, s:o, s:o, s:o, s:I}", "source",
	                                               json_of_span(row->source), "event_id",
	                                               json_of_span(row->id), "type",
	                                               json_of_span(row->type), "received_at",
	                                               json_of_span(row->received_at), "sequence",
	                                               (json_int_t)row->seq));
	return true;
}

static bool
add_first_delivery(void *context, const struct named_delivery *row)
{
	(void)json_array_append_new(context,
	                            json_pack("{s:o, s:o, s:o, s:o, s:s, s:o}", "source",
	                                      json_of_span(row->source), "event_id",
	                                      json_of_span(row->event_id), "type",
	                                      json_of_span(row->type), "handler",
	                                      json_of_span(row->handler), "state",
	                                      delivery_state_name(row->state), "last_error",
	                                      json_of_span(row->last_error)));
	return true;
}

/* Which states it takes unless --state says so. */
static unsigned
default_states(const struct call_context *context, const struct plan *plan)
{
	if (plan->handler != NULL) {
		return 0; /* what exists is left alone */
	}
	unsigned takes = 1U << DELIVERY_DEAD;
	if (!plan->of_dead) {
		return takes | 1U << DELIVERY_DISCARDED | 1U << DELIVERY_DONE;
	}
	/* Named one by one: it is meant, wherever it lies. */
	bool named = json_array_size(json_object_get(context->body, "ids")) > 0;
	return named ? takes | 1U << DELIVERY_DISCARDED : takes;
}

/* Handlers whose deliveries are guarded: done ones, and those whose first failed try is older than this. The caller frees
 * it. */
static char *
guarded_handlers(const struct config *config)
{
	json_t *times = json_object();
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		if (handler_guarded(handler)) {
			int64_t horizon_ns = handler_replay_horizon(handler, clock_wall_ns());
			(void)json_object_set_new(times, handler->name, json_integer(horizon_ns));
		}
	}
	char *text = json_dumps(times, JSON_COMPACT);
	json_decref(times);
	return text;
}

/* The deliveries that are there: how many it looks at, takes, skips and refuses. */
static bool
count_existing(struct call_context *context, struct plan *plan, struct error *err)
{
	struct delivery_counts counts;
	struct filter counted = plan->filter;
	counted.states = plan->states;
	bool again = json_is_true(json_object_get(context->body, "again"));
	char *guarded = guarded_handlers(context->api->config);
	bool good = reader_delivery_counts(context->reader, &counted, plan->of_dead, plan->ids,
	                                   guarded, &counts, err);
	free(guarded);
	for (unsigned i = 0; good && i < DELIVERY_STATES; i++) {
		bool movable = i != DELIVERY_PENDING && i != DELIVERY_RUNNING;
		plan->total += counts.states[i];
		if (!movable || (plan->states & 1U << i) == 0) {
			plan->skipped += counts.states[i];
			continue;
		}
		int64_t refused = counts.bodiless[i] + (again ? 0 : counts.guarded[i]);
		plan->bodiless += counts.bodiless[i];
		plan->refused += refused;
		plan->count += counts.states[i] - refused;
	}
	return good;
}

static bool
plan_dead(struct call_context *context, struct plan *plan, struct error *err)
{
	struct filter shown = plan->filter;
	shown.states = plan->states;
	bool good = request_dead_ids(context, &plan->ids, &plan->others, err) &&
	            count_existing(context, plan, err) &&
	            reader_dead(context->reader, &shown, plan->ids, 0, plan->until, API_FIRST_ROWS,
	                        add_first_dead, plan->first, err);
	plan->skipped += plan->others.skipped;
	return good;
}

struct filling {
	struct plan *plan;
	const struct handler *handler;
};

static bool
fill_one(void *context, const struct event_row *row)
{
	struct filling *filling = context;
	struct plan *plan = filling->plan;
	if (handler_wants(filling->handler, row->source, row->type, row->body)) {
		plan->total++;
		plan->count++;
		if (json_array_size(plan->first) < API_FIRST_ROWS) {
			(void)add_first_event(plan->first, row);
		}
	}
	return true;
}

/* What a handler is filled with from history: what its `on` and `when` want and it has never had. With --state, what it
 * had and is in one of these states besides. */
static bool
plan_fill(struct call_context *context, struct plan *plan, struct error *err)
{
	struct filling filling = { plan,
		                   config_handler_by_name(context->api->config, plan->handler) };
	return reader_unfilled(context->reader, &plan->filter, plan->handler,
	                       filling.handler->settings->when.count > 0, fill_one, &filling,
	                       err) &&
	       (plan->states == 0 || count_existing(context, plan, err));
}

static bool
plan_events(struct call_context *context, struct plan *plan, struct error *err)
{
	struct filter counted = plan->filter;
	counted.states = plan->states;
	if (!request_event_ids(context, &plan->ids, err) || !count_existing(context, plan, err) ||
	    !reader_named_deliveries(context->reader, &counted, plan->ids,
	                             (struct delivery_key){ 0, 0 }, API_FIRST_ROWS,
	                             add_first_delivery, plan->first, err)) {
		return false;
	}
	return true;
}

static bool
make_plan(struct call_context *context, struct plan *plan, struct error *err)
{
	struct store_counts counts;
	plan->of_dead =
		span_equal(span_of_json(json_object_get(context->body, "kind")), SPAN("dead"));
	plan->handler = json_string_value(json_object_get(context->body, "fill"));
	plan->first = json_array();
	if (plan->handler != NULL &&
	    config_handler_by_name(context->api->config, plan->handler) == NULL) {
		return error_set(err, ERROR_NOT_FOUND,
		                 "there is no handler %s in the configuration", plan->handler);
	}
	if (!request_filter(context, &plan->filter, err) ||
	    !reader_counts(context->reader, &counts, err)) {
		return false;
	}
	plan->states =
		plan->filter.states != 0 ? plan->filter.states : default_states(context, plan);
	plan->until = plan->of_dead ? counts.last_dead : counts.last_seq;
	return plan->of_dead           ? plan_dead(context, plan, err)
	       : plan->handler != NULL ? plan_fill(context, plan, err)
	                               : plan_events(context, plan, err);
}

static json_t *
describe(const struct plan *plan)
{
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:O*, s:O, s:o}", "dry_run", 1, "count",
	                 (json_int_t)plan->count, "skipped", (json_int_t)plan->skipped, "refused",
	                 (json_int_t)plan->refused, "bodiless", (json_int_t)plan->bodiless,
	                 "absent", plan->others.absent, "first", plan->first, "options",
	                 json_of_options(&plan->filter));
}

static json_t *
execute(struct call_context *context, const struct plan *plan, struct error *err)
{
	struct buffer text;
	buffer_init(&text, 65536);
	filter_query(&plan->filter, &text);
	char *query = buffer_steal(&text);
	struct change change = { .kind = CHANGE_REPLAY,
		                 .of_dead = plan->of_dead,
		                 .filter = query,
		                 .ids = plan->ids,
		                 .handler = plan->handler,
		                 .states = plan->states,
		                 .again = json_is_true(json_object_get(context->body, "again")),
		                 .rate = json_integer_value(json_object_get(context->body, "rate")),
		                 .until = plan->until,
		                 .total = plan->total,
		                 .changed = plan->count,
		                 .who = context->request->who,
		                 .reason = json_string_value(
					 json_object_get(context->body, "reason")) };
	bool good = store_change(context->api->store, &change, err);
	free(query);
	return good ? json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "id", (json_int_t)change.id,
	                        "bodiless", (json_int_t)plan->bodiless, "total",
	                        (json_int_t)plan->total, "count", (json_int_t)plan->count,
	                        "skipped", (json_int_t)plan->skipped, "refused",
	                        (json_int_t)plan->refused, "state", "running")
	            : NULL;
}

json_t *
replays_create(struct call_context *context, struct error *err)
{
	struct plan plan = { .of_dead = false };
	json_t *answer = NULL;
	if (make_plan(context, &plan, err)) {
		if (json_is_true(json_object_get(context->body, "dry_run"))) {
			answer = describe(&plan);
		} else if (context->api->store == NULL) {
			(void)error_set(err, ERROR_REFUSED, "nothing can be changed here");
		} else if (plan.total == 0) {
			(void)error_set(err, ERROR_NOT_FOUND, "nothing matches");
		} else {
			answer = execute(context, &plan, err);
		}
	}
	filter_finish(&plan.filter);
	free(plan.ids);
	json_decref(plan.others.absent);
	json_decref(plan.first);
	return answer;
}
