/* What the store thread calls: slots for fresh deliveries, claims and results that are settled. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/dispatch/engine_priv.h"

static int
listen_take_slot(void *context, int64_t number)
{
	return schedule_take_slot(((struct engine *)context)->schedule, number);
}

/* A call is over, or there was none. Any thread. */
static void
give_slot(void *context, int64_t number, int slot)
{
	struct engine *engine = context;
	if (schedule_give_slot(engine->schedule, number, (enum slot)(slot & 0xff))) {
		queue_wake(&engine->inbox);
	}
}

/* A try is over. With a breaker the slot is free when the schedule knows what the try said: not one try more is made. */
void
engine_end_try(void *context, struct delivery_key key, int slot, int news)
{
	struct engine *engine = context;
	const struct line *line = schedule_line(engine->schedule, key.handler);
	if (line == NULL || !line_watched(line)) {
		give_slot(engine, key.handler, slot);
		return;
	}
	struct message *message = message_new(MESSAGE_ENDED, NULL, 0);
	message->ended = memory_need(sizeof(*message->ended));
	*message->ended =
		(struct ended){ key.handler, key.seq, (enum schedule_news)news, slot & 0xff };
	message->count = 1;
	message_post(engine, message);
}

static bool
listen_exists(void *context, int64_t number)
{
	struct line *line = schedule_line(((struct engine *)context)->schedule, number);
	return line != NULL && line_configured(line);
}

static bool
listen_wants(void *context, int64_t number, const struct event *event, struct wanted *wanted)
{
	struct config *config = engine_config(context);
	const struct handler *handler = engine_handler(config, number);
	bool wants =
		handler != NULL && handler_wants(handler, event->source, event->type, event->body);
	if (wants) {
		*wanted = (struct wanted){
			.handler = number,
			.at_most_once = handler->guarantee == GUARANTEE_AT_MOST_ONCE,
			.order_key = handler_order_key(handler, event->body),
		};
	}
	config_release(config);
	return wants;
}

static bool
listen_holds(void *context, int64_t number)
{
	struct config *config = engine_config(context);
	const struct handler *handler = engine_handler(config, number);
	bool holds = handler != NULL && handler->settings->order_by != NULL &&
	             handler->settings->on_dead == 1;
	config_release(config);
	return holds;
}

static bool
listen_needs_again(void *context, int64_t number, enum delivery_state state,
                   int64_t first_failed_ns)
{
	struct config *config = engine_config(context);
	const struct handler *handler = engine_handler(config, number);
	bool needs = handler != NULL &&
	             handler_needs_again(handler, state, first_failed_ns, clock_wall_ns());
	config_release(config);
	return needs;
}

/* A delivery that was claimed goes back as if it had not been. */
static void
give_back(struct engine *engine, const struct job *job, const char *type, const char *text)
{
	struct result_intent *result = memory_need(sizeof(*result));
	result->intent.kind = INTENT_RESULT;
	result->key = job->key;
	result->move =
		job->at_most_once ? MOVE_DONE : MOVE_GIVE_BACK; /* that one was recorded before */
	result->at_most_once = job->at_most_once;
	result->unknown = job->at_most_once;
	result->round = job->round;
	result->attempts = job->attempts;
	result->retried = job->attempts > 1 || job->round > 0;
	result->ordered = job->ordered;
	result->due_ns = clock_wall_ns();
	result->error_type = type;
	result->error = memory_text(text);
	result->event = job->event;
	engine_end_try(engine, job->key, job->slot, NEWS_NOTHING);
	store_submit(engine->store, &result->intent);
}

/* A try on the store thread: the call and the effect that carries it. */
struct effect_call {
	struct effect effect;
	struct call *call;
	struct engine *engine;
};

static bool
execute(void *context, struct span sql, const struct parameter *parameters, size_t count,
        struct error *err)
{
	return effect_execute(context, sql, parameters, count, err);
}

static bool
run_effect(void *context, struct effect_scope *scope, struct error *err)
{
	const struct call *call = ((struct effect_call *)context)->call;
	struct transaction transaction = { scope, execute };
	struct attempt attempt = attempt_of(call, NULL);
	return call->handler->kind->commit(&attempt, &transaction, err);
}

static void
start_effect(struct engine *engine, struct call *call)
{
	struct effect_call *effect = memory_need(sizeof(*effect));
	effect->call = call;
	effect->engine = engine;
	effect->effect = (struct effect){ .intent = { .kind = INTENT_EFFECT },
		                          .key = call->key,
		                          .retried = call->attempts > 1 || call->round > 0,
		                          .ordered = call->ordered,
		                          .round = call->round,
		                          .attempts = call->attempts,
		                          .timeout_ns = call->handler->timeout_ns,
		                          .context = effect,
		                          .run = run_effect };
	(void)atomic_fetch_add(&engine->effects, 1);
	store_submit(engine->store, &effect->effect.intent);
}

/* Calls of brief handlers, for one worker, told once. */
struct brief_calls {
	struct call *first;
	struct call *last;
	size_t count;
};

static void
add_brief(struct brief_calls *calls, struct call *call)
{
	if (calls->first == NULL) {
		calls->first = call;
	} else {
		calls->last->next = call;
	}
	calls->last = call;
	calls->count++;
}

static void
push_brief(struct engine *engine, const struct brief_calls *calls)
{
	if (calls->first != NULL) {
		workers_push_brief(engine->workers, calls->first, calls->last, calls->count);
	}
}

static void
start_call(struct engine *engine, struct config *config, const struct job *job,
           struct brief_calls *brief)
{
	const struct handler *handler = engine_handler(config, job->key.handler);
	/* Gone, or changed, between the two. What was claimed ahead is more than workers may take at once. */
	bool ahead = job->slot == SLOT_APART && !job->at_most_once;
	if (handler == NULL || handler_consumed(handler) ||
	    (ahead && !handler->kind->brief && handler->kind->commit == NULL)) {
		give_back(engine, job, "handler_gone",
		          "the handler is not configured any more, or is another kind now");
		return;
	}
	struct line *line = schedule_line(engine->schedule, job->key.handler);
	int64_t now = clock_boot_ns();
	struct call *call = memory_need(sizeof(*call));
	call->key = job->key;
	call->event = job->event;
	call->config = config_share(config);
	call->handler = handler;
	call->slot = job->slot;
	call->attempts = job->attempts;
	call->round = job->round;
	call->key_round = job->key_round;
	call->ordered = job->ordered;
	call->first_failed_ran_ns = job->first_failed_ran_ns;
	call->due_ns = job->due_ns;
	call->ran_base_ns = store_handler_ran_ns(engine->store, job->key.handler) +
	                    line_ran_ns(line, now) - now;
	if (handler->kind->commit != NULL) {
		start_effect(engine, call);
	} else if (handler->kind->brief) {
		add_brief(brief, call);
	} else {
		workers_push(engine->workers, call);
	}
}

static void
listen_jobs(void *context, struct job *jobs)
{
	struct engine *engine = context;
	struct config *config = engine_config(engine);
	struct brief_calls brief = { .count = 0 };
	while (jobs != NULL) {
		struct job *next = jobs->next;
		start_call(engine, config, jobs, &brief);
		free(jobs);
		jobs = next;
	}
	push_brief(engine, &brief);
	config_release(config);
}

static void
listen_due(void *context, const struct due *items, size_t count)
{
	struct engine *engine = context;
	struct message *message = message_new(MESSAGE_DUE, NULL, 0);
	message->count = count;
	message->due = memory_need(count * sizeof(*items));
	memcpy(message->due, items, count * sizeof(*items));
	for (size_t i = 0; engine->consumable != NULL && i < count; i++) {
		engine->consumable(engine->consumable_context, items[i].key.handler);
	}
	message_post(engine, message);
}

static void
listen_claimed(void *context, struct claim *const *claims, size_t count)
{
	struct engine *engine = context;
	struct config *config = engine_config(engine);
	struct brief_calls brief = { .count = 0 };
	for (size_t i = 0; i < count; i++) {
		struct claim *claim = claims[i];
		struct line *line = schedule_line(engine->schedule, claim->key.handler);
		struct message *message = message_new(MESSAGE_CLAIMED, line, claim->retry ? 1 : 0);
		message->loaded.seq = claim->key.seq;
		message->later = claim->later;
		message->refused = claim->refused;
		message->runs = claim->claimed;
		message->due_ns = claim->due_ns;
		if (claim->claimed) {
			struct job job = { .key = claim->key,
				           .event = claim->event,
				           .slot = claim->slot & 0xff,
				           .attempts = claim->attempts,
				           .round = claim->round,
				           .key_round = claim->key_round,
				           .ordered = claim->ordered,
				           .due_ns = claim->expected_due_ns,
				           .first_failed_ran_ns = claim->first_failed_ran_ns,
				           .at_most_once = claim->at_most_once };
			start_call(engine, config, &job, &brief);
		} else {
			event_release(claim->event);
			give_slot(engine, claim->key.handler, claim->slot);
		}
		free(claim);
		message_post(engine, message);
	}
	push_brief(engine, &brief);
	config_release(config);
}

static void
result_free(struct result_intent *result)
{
	event_release(result->event);
	free(result->error);
	free(result->output);
	free(result);
}

static void
listen_settled(void *context, struct result_intent *const *results, size_t count)
{
	struct engine *engine = context;
	struct due *due = memory_need(count * sizeof(*due));
	size_t due_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct result_intent *result = results[i];
		const char *handler = store_handler_name(engine->store, result->key.handler);
		attempt_log(result, handler == NULL ? "" : handler);
		bool pending = result->move == MOVE_AGAIN || result->move == MOVE_GIVE_BACK;
		if (pending && !result->ordered) { /* the store tells of ordered ones */
			bool retry = result->move == MOVE_AGAIN || result->retried;
			due[due_count++] = (struct due){ result->key, result->due_ns, retry,
				                         result->due_boot_ns };
		}
		result_free(result);
	}
	if (due_count > 0) {
		listen_due(engine, due, due_count);
	}
	free(due);
}

/* Effects that were committed, or failed alone: those go on like any failed try. */
static void
listen_effects(void *context, struct effect *const *effects, size_t count)
{
	struct engine *engine = context;
	for (size_t i = 0; i < count; i++) {
		struct effect_call *effect = effects[i]->context;
		struct call *call = effect->call;
		struct outcome outcome = { .kind = OUTCOME_DONE, .about = ABOUT_SUCCESS };
		if (effects[i]->orphaned) {
			outcome.about = ABOUT_NOTHING;
		} else if (!effects[i]->done) {
			bool late = effects[i]->error.kind == ERROR_LIMIT;
			outcome_fail(&outcome, OUTCOME_RETRY, late ? ABOUT_FAILURE : ABOUT_NOTHING,
			             late ? "timeout" : "sql", "%.250s", effects[i]->error.text);
		}
		int slot = call->slot;
		struct result_intent *result =
			attempt_result(call, &outcome, effects[i]->started_ns,
		                       effects[i]->duration_ns, &engine->random);
		engine_end_try(engine, result->key, slot, result->news);
		if (effects[i]->done) {
			listen_settled(engine, &result, 1);
		} else if (effects[i]->orphaned) {
			log_say(LOG_WARN, "attempt.orphaned",
			        "a delivery had moved on before its statement ran (sequence %lld)",
			        (long long)effects[i]->key.seq);
			result_free(result);
		} else {
			store_submit(engine->store, &result->intent);
		}
		(void)atomic_fetch_sub(&engine->effects, 1);
		free(effect);
	}
}

/* A try that a crash cut off is a failed try, with its backoff; one whose lease is over is given out again at once. */
static void
plan_return(struct engine *engine, struct returned *returned, bool wait)
{
	struct config *config = engine_config(engine);
	const struct handler *handler = engine_handler(config, returned->key.handler);
	returned->dead = false;
	returned->due_ns = clock_wall_ns();
	if (handler != NULL) {
		struct backoff backoff = backoff_of(handler);
		int64_t since = returned->first_failed_ran_ns < 0
		                        ? -1
		                        : returned->ran_ns - returned->first_failed_ran_ns;
		returned->dead = backoff_exhausted(&backoff, returned->attempts, since);
		returned->due_ns +=
			wait ? backoff_wait(&backoff, returned->attempts, &engine->random) : 0;
	}
	config_release(config);
}

static void
listen_returned(void *context, struct returned *returned)
{
	plan_return(context, returned, true);
}

static void
listen_lease_over(void *context, struct returned *returned)
{
	struct engine *engine = context;
	int64_t ran_ns = engine_ran_ns(engine, returned->key.handler);
	returned->ran_ns = ran_ns > returned->ran_ns ? ran_ns : returned->ran_ns;
	plan_return(engine, returned, returned->rejected);
	struct log_line line;
	log_begin(&line, LOG_WARN, "attempt.failed", "%s",
	          returned->rejected ? "a consumer rejected it"
	                             : "a consumer did not acknowledge in time");
	log_text(&line, "handler",
	         span_of(store_handler_name(engine->store, returned->key.handler)));
	log_number(&line, "sequence", returned->key.seq);
	log_number(&line, "attempt", returned->attempts);
	log_text(&line, "error_type",
	         returned->rejected ? SPAN("rejected") : SPAN("lease_expired"));
	log_end(&line);
}

static void
listen_paused(void *context, int64_t handler, bool paused, int64_t until_ns)
{
	struct message *message = message_new(MESSAGE_PAUSED, NULL, 0);
	message->handler = handler;
	message->until_ns = paused ? engine_boot_time(until_ns) : 0;
	message_post(context, message);
	struct engine *engine = context;
	if (engine->consumable != NULL) {
		engine->consumable(engine->consumable_context, handler);
	}
}

void
engine_listen(struct engine *engine, struct store_listener *listener)
{
	listener->context = engine;
	listener->returned = listen_returned;
	listener->lease_over = listen_lease_over;
	listener->take_slot = listen_take_slot;
	listener->give_slot = give_slot;
	listener->exists = listen_exists;
	listener->wants = listen_wants;
	listener->wants_own = engine_wants_own;
	listener->holds = listen_holds;
	listener->needs_again = listen_needs_again;
	listener->jobs = listen_jobs;
	listener->due = listen_due;
	listener->claimed = listen_claimed;
	listener->settled = listen_settled;
	listener->effects = listen_effects;
	listener->paused = listen_paused;
}
