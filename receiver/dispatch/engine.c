#include "receiver/dispatch/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/dispatch/attempt.h"
#include "receiver/dispatch/workers.h"
#include "receiver/log/log.h"
#include "receiver/store/reader.h"

#define SETUP_AT_START_NS  (3600 * NS_PER_S)
#define SETUP_AT_RELOAD_NS NS_PER_S
#define READER_AGAIN_NS    (200 * NS_PER_MS) /* after a query that failed */
#define AUDIT_EVERY_NS     (10 * NS_PER_S)   /* a segment of the ledger */

struct thread_role dispatch_thread = { "dispatch" };
struct thread_role reader_thread = { "reader" };

enum message_kind {
	MESSAGE_DUE,     /* pending ones that the store left to us */
	MESSAGE_FETCHED, /* the reader's answer */
	MESSAGE_LOADED,
	MESSAGE_CLAIMED, /* a claim has come back */
	MESSAGE_ENDED,   /* a try of a handler with a breaker is over */
	MESSAGE_PAUSED,
	MESSAGE_CONFIG,
};

struct ended {
	int64_t handler;
	int64_t seq;
	enum schedule_news news;
	int slot;
};

struct message {
	struct queue_item item;
	enum message_kind kind;
	struct line *line;
	int lane;
	bool good;
	/* DUE, FETCHED, ENDED */
	size_t count;
	struct due *due;
	struct ended *ended;
	/* LOADED, CLAIMED */
	struct window_item loaded;
	struct event *event;
	bool intact;
	enum slot slot;
	bool later;
	bool runs;
	int64_t due_ns;
	/* PAUSED */
	int64_t handler;
	int64_t until_ns;
	/* CONFIG */
	struct config *config;
};

/* What the reader is asked. */
struct question {
	struct queue_item item;
	struct line *line;
	int lane;
	bool fetch; /* else load */
	struct window_item loaded;
	enum slot slot;
};

struct engine {
	struct store *store;
	struct workers *workers;
	struct schedule *schedule;
	struct queue inbox;
	pthread_t thread;
	struct queue questions;
	pthread_t reader_thread;
	bool started;
	atomic_bool ending;
	atomic_llong effects;                               /* tries that run on the store thread */
	struct random random;                               /* of the store thread */
	void (*consumable)(void *context, int64_t handler); /* something can be taken */
	void *consumable_context;
	/* the configuration as the store thread and the engine see it */
	pthread_mutex_t config_lock;
	struct config *config;
};

static struct config *
current_config(struct engine *engine)
{
	(void)pthread_mutex_lock(&engine->config_lock);
	struct config *config = config_share(engine->config);
	(void)pthread_mutex_unlock(&engine->config_lock);
	return config;
}

static const struct handler *
handler_of(const struct config *config, int64_t number)
{
	for (size_t i = 0; i < config->handler_count; i++) {
		if (config->handlers[i].number == number) {
			return &config->handlers[i];
		}
	}
	return NULL;
}

static struct line_settings
settings_of(const struct handler *handler)
{
	const struct handler_settings *settings = handler->settings;
	bool watched = settings->breaker.entry.node != NULL;
	return (struct line_settings){
		.concurrency = settings->concurrency,
		.max_wait_ns = settings->retry.max_ns,
		.has_budget = settings->retry_budget.entry.node != NULL,
		.rate = settings->retry_budget.rate,
		.burst = settings->retry_budget.burst,
		.breaker_failures = watched ? settings->breaker.failures : 0,
		.breaker_cooldown_ns = settings->breaker.cooldown_ns,
		.breaker_max_cooldown_ns = settings->breaker.max_cooldown_ns,
		.consumed = handler_consumed(handler),
	};
}

/* --- time --- */

/* Wall time of a due time as boot time; a clock that was set back cannot make a wait longer than `max`. */
static int64_t
boot_time_of(const struct line *line, int64_t due_ns)
{
	int64_t wait = due_ns - clock_wall_ns();
	int64_t most = line_max_wait(line) > NS_PER_S ? line_max_wait(line) : NS_PER_S;
	return clock_boot_ns() + (wait < 0 ? 0 : wait > most ? most : wait);
}

static struct window_item
window_item_of(const struct line *line, const struct due *due)
{
	/* What is due already keeps its order by when it was due. */
	int64_t wall = clock_wall_ns();
	int64_t at = due->due_ns <= wall ? clock_boot_ns() - (wall - due->due_ns)
	                                 : boot_time_of(line, due->due_ns);
	return (struct window_item){ .at_ns = at, .seq = due->key.seq, .due_ns = due->due_ns };
}

/* A wall time as boot time; INT64_MAX stays. */
static int64_t
boot_time(int64_t wall_ns)
{
	return wall_ns == INT64_MAX ? INT64_MAX : wall_ns - clock_wall_ns() + clock_boot_ns();
}

/* --- messages --- */

static void
post(struct engine *engine, struct message *message)
{
	queue_push(&engine->inbox, &message->item);
}

static struct message *
message_new(enum message_kind kind, struct line *line, int lane)
{
	struct message *message = memory_need(sizeof(*message));
	message->kind = kind;
	message->line = line;
	message->lane = lane;
	return message;
}

/* Before the threads run on main, then on dispatch: one thread at a time. */
static void
apply_config(struct engine *engine, const struct config *config)
{
	int64_t now = clock_boot_ns();
	for (int64_t i = 1; i <= store_handlers(engine->store); i++) {
		const struct handler *handler = handler_of(config, i);
		if (handler == NULL) {
			schedule_retire(engine->schedule, i, now);
			continue;
		}
		struct line_settings settings = settings_of(handler);
		struct line *line = schedule_configure(engine->schedule, i, &settings, now);
		int64_t until = store_handler_paused(engine->store, i);
		schedule_pause(line, until == 0 ? 0 : boot_time(until), now);
	}
	const struct budget_settings *budget = &config->settings.retry_budget;
	schedule_set_budget(engine->schedule, budget->rate, budget->burst, now);
}

static void
ON_THREAD(dispatch_thread) take_due(struct engine *engine, const struct message *message)
{
	for (size_t i = 0; i < message->count; i++) {
		struct line *line = schedule_line(engine->schedule, message->due[i].key.handler);
		if (line != NULL) {
			schedule_due(line, message->due[i].retry ? 1 : 0,
			             window_item_of(line, &message->due[i]));
		}
	}
}

static void
ON_THREAD(dispatch_thread) take_fetched(const struct message *message)
{
	struct line *line = message->line;
	if (!message->good) {
		schedule_fetch_failed(line, message->lane, clock_boot_ns() + READER_AGAIN_NS);
		return;
	}
	for (size_t i = 0; i < message->count; i++) {
		schedule_due(line, message->lane, window_item_of(line, &message->due[i]));
	}
	bool whole = message->count < WINDOW_FETCH;
	schedule_fetched(line, message->lane, whole,
	                 whole ? 0 : window_item_of(line, &message->due[message->count - 1]).at_ns);
}

static void
claim_submit(struct engine *engine, const struct message *message, bool at_most_once,
             int64_t attempts_most)
{
	struct claim *claim = memory_need(sizeof(*claim));
	claim->intent.kind = INTENT_CLAIM;
	claim->key = (struct delivery_key){ message->loaded.seq, line_number(message->line) };
	claim->expected_due_ns = message->loaded.due_ns;
	claim->at_most_once = at_most_once;
	claim->corrupt = !message->intact;
	claim->event = message->event;
	claim->slot = (int)message->slot;
	claim->retry = message->lane == 1;
	claim->attempts_most = attempts_most;
	store_submit(engine->store, &claim->intent);
}

static void
ON_THREAD(dispatch_thread) take_loaded(struct engine *engine, struct message *message)
{
	struct line *line = message->line;
	if (!message->good) { /* try again a little later */
		(void)schedule_give_slot(engine->schedule, line_number(line), message->slot);
		message->loaded.at_ns = clock_boot_ns() + READER_AGAIN_NS;
		schedule_claimed(line, message->lane, message->loaded.seq, false, &message->loaded);
		return;
	}
	struct config *config = current_config(engine);
	const struct handler *handler = handler_of(config, line_number(line));
	bool once = handler != NULL && handler->guarantee == GUARANTEE_AT_MOST_ONCE;
	claim_submit(engine, message, once,
	             handler == NULL || once ? INT64_MAX : handler->settings->retry.attempts);
	config_release(config);
}

static void
ON_THREAD(dispatch_thread) take_claimed(const struct message *message)
{
	struct line *line = message->line;
	struct due due = { .key = { message->loaded.seq, line_number(line) },
		           .due_ns = message->due_ns };
	struct window_item item = window_item_of(line, &due);
	schedule_claimed(line, message->lane, message->loaded.seq, message->runs,
	                 message->later ? &item : NULL);
}

static void
ON_THREAD(dispatch_thread) take_ended(struct engine *engine, const struct message *message)
{
	for (size_t i = 0; i < message->count; i++) {
		const struct ended *ended = &message->ended[i];
		struct line *line = schedule_line(engine->schedule, ended->handler);
		if (line != NULL) {
			schedule_ended(engine->schedule, line, ended->seq, ended->news,
			               clock_boot_ns());
			(void)schedule_give_slot(engine->schedule, ended->handler,
			                         (enum slot)ended->slot);
		}
	}
}

static void
ON_THREAD(dispatch_thread) take_message(struct engine *engine, struct message *message)
{
	struct line *line;
	switch (message->kind) {
	case MESSAGE_DUE: take_due(engine, message); break;
	case MESSAGE_FETCHED: take_fetched(message); break;
	case MESSAGE_LOADED: take_loaded(engine, message); break;
	case MESSAGE_CLAIMED: take_claimed(message); break;
	case MESSAGE_ENDED: take_ended(engine, message); break;
	case MESSAGE_PAUSED:
		line = schedule_line(engine->schedule, message->handler);
		if (line != NULL) {
			schedule_pause(line, message->until_ns, clock_boot_ns());
		}
		break;
	case MESSAGE_CONFIG:
		apply_config(engine, message->config);
		config_release(message->config);
		break;
	}
	free(message->due);
	free(message->ended);
	free(message);
}

/* --- what the schedule says --- */

static void
on_claim(void *context, struct line *line, int lane, struct window_item item, enum slot slot)
{
	struct engine *engine = context;
	struct question *question = memory_need(sizeof(*question));
	question->line = line;
	question->lane = lane;
	question->loaded = item;
	question->slot = slot;
	queue_push(&engine->questions, &question->item);
}

static void
on_fetch(void *context, struct line *line, int lane)
{
	struct engine *engine = context;
	struct question *question = memory_need(sizeof(*question));
	question->line = line;
	question->lane = lane;
	question->fetch = true;
	queue_push(&engine->questions, &question->item);
}

/* Who wants one of our own happenings; an empty body: whoever names its type. */
static size_t
listen_wants_own(void *context, struct span type, struct span body, struct wanted *wanted,
                 size_t room)
{
	struct config *config = current_config(context);
	size_t count = 0;
	for (size_t i = 0; i < config->handler_count && count < room; i++) {
		const struct handler *handler = &config->handlers[i];
		if (handler_wants_own(handler, type, body)) {
			wanted[count++] =
				(struct wanted){ .handler = handler->number,
				                 .at_most_once = handler->guarantee ==
				                                 GUARANTEE_AT_MOST_ONCE,
				                 .order_key = handler_order_key(handler, body) };
		}
	}
	config_release(config);
	return count;
}

/* `breaker.opened` is an event of our own for handlers that ask for it; one of theirs makes none. */
static void
tell_breaker(struct engine *engine, const char *handler, const struct breaker *breaker,
             const char *until)
{
	struct buffer body;
	buffer_init(&body, 65536);
	buffer_text(&body, "{\"handler\":");
	json_quote(&body, span_of(handler));
	buffer_format(&body, ",\"failures\":%" PRId64 ",\"until\":\"%s\"}", breaker->failures,
	              until);
	char id[80];
	char uuid[37];
	random_uuid(clock_wall_ns(), uuid);
	(void)snprintf(id, sizeof(id), "breaker.opened/%s", uuid);
	size_t size = body.size;
	struct event_parts parts = { .source = SPAN("hooklatch"),
		                     .id = span_of(id),
		                     .type = SPAN("breaker.opened"),
		                     .body_block = buffer_steal(&body),
		                     .body_size = size,
		                     .headers_block = memory_text("[]"),
		                     .headers_size = 2,
		                     .received_ns = clock_wall_ns() };
	struct event *event = event_create(&parts);
	struct config *config = current_config(engine);
	struct arrival *arrival =
		memory_need(sizeof(*arrival) + config->handler_count * sizeof(arrival->wanted[0]));
	arrival->intent.kind = INTENT_ARRIVAL;
	arrival->event = event;
	arrival->own = true;
	const struct handler *self = config_handler_by_name(config, handler);
	if (self == NULL || !handler_wants_own(self, event->type, (struct span){ 0 })) {
		arrival->wanted_count = listen_wants_own(engine, event->type, event->body,
		                                         arrival->wanted, config->handler_count);
	}
	config_release(config);
	if (arrival->wanted_count > 0) {
		store_submit(engine->store, &arrival->intent);
	} else {
		arrival_free(arrival);
	}
}

static void
on_breaker(void *context, struct line *line, const struct breaker *breaker)
{
	struct engine *engine = context;
	const char *handler = store_handler_name(engine->store, line_number(line));
	bool open = breaker->state == BREAKER_OPEN;
	struct log_line log;
	char until[CLOCK_TEXT_BYTES];
	clock_text(clock_wall_ns() + breaker->wait_ns, until);
	log_begin(&log, open ? LOG_WARN : LOG_INFO, open ? "breaker.opened" : "breaker.closed",
	          "%s",
	          open ? "the destination fails: nothing is tried until the cooldown is over"
	               : "the destination works again");
	log_text(&log, "handler", span_of(handler));
	log_text(&log, "state", span_of(breaker_state_name(breaker->state)));
	if (open) {
		log_number(&log, "failures", breaker->failures);
		log_text(&log, "until", span_of(until));
	}
	log_end(&log);
	if (open) {
		tell_breaker(engine, handler, breaker, until);
	}
}

static void
engine_run(void *context)
{
	thread_is(&dispatch_thread);
	struct engine *engine = context;
	while (!atomic_load(&engine->ending)) {
		struct queue_item *item = queue_take(&engine->inbox);
		while (item != NULL) {
			struct queue_item *next = item->next;
			take_message(engine, CONTAINER(item, struct message, item));
			item = next;
		}
		int64_t when = schedule_pump(engine->schedule, clock_boot_ns());
		int64_t wait = when == INT64_MAX ? -1 : when - clock_boot_ns();
		if (wait != 0) {
			queue_wait(&engine->inbox, when != INT64_MAX && wait < 0 ? 0 : wait);
		}
	}
}

/* --- the reader --- */

static void
ON_THREAD(reader_thread)
	answer_fetch(struct engine *engine, struct reader *reader, const struct question *question)
{
	struct message *message = message_new(MESSAGE_FETCHED, question->line, question->lane);
	struct error err;
	message->due = memory_need(WINDOW_FETCH * sizeof(*message->due));
	message->good = reader != NULL &&
	                reader_due(reader, line_number(question->line), question->lane == 1,
	                           message->due, WINDOW_FETCH, &message->count, &err);
	post(engine, message);
}

static void
ON_THREAD(reader_thread)
	answer_load(struct engine *engine, struct reader *reader, const struct question *question)
{
	struct message *message = message_new(MESSAGE_LOADED, question->line, question->lane);
	struct error err;
	message->loaded = question->loaded;
	message->slot = question->slot;
	message->good = reader != NULL && reader_event(reader, question->loaded.seq,
	                                               &message->event, &message->intact, &err);
	if (!message->good) {
		log_say(LOG_ERROR, "store.read_failed", "an event cannot be read: %s",
		        reader == NULL ? "no reader" : err.text);
	}
	post(engine, message);
}

/* One segment after the other, for ever: what the ledger says against what the rows say. */
static void
ON_THREAD(reader_thread) audit(struct engine *engine, struct reader *reader, int64_t *segment)
{
	struct error err;
	int64_t highest;
	int64_t off;
	if (!reader_segments(reader, &highest, &err) || highest < 0) {
		return;
	}
	*segment = *segment > highest ? 0 : *segment;
	if (reader_audit(reader, *segment, &off, &err) && off != 0) {
		log_say(LOG_ERROR, "ledger.imbalance",
		        "segment %lld: %lld figures of the ledger differ from the rows",
		        (long long)*segment, (long long)off);
		store_set_imbalance(engine->store, off);
	}
	(*segment)++;
}

static void
reader_run(void *context)
{
	thread_is(&reader_thread);
	struct engine *engine = context;
	struct reader *reader = NULL;
	struct error err;
	int64_t segment = 0;
	int64_t audit_at = clock_boot_ns() + AUDIT_EVERY_NS;
	while (!atomic_load(&engine->ending)) {
		if (reader == NULL && !reader_open(&reader, store_path(engine->store), &err)) {
			log_say(LOG_ERROR, "store.read_failed", "%s", err.text);
			reader = NULL;
		}
		struct queue_item *item = queue_take(&engine->questions);
		while (item != NULL) {
			struct queue_item *next = item->next;
			struct question *question = CONTAINER(item, struct question, item);
			if (question->fetch) {
				answer_fetch(engine, reader, question);
			} else {
				answer_load(engine, reader, question);
			}
			free(question);
			item = next;
		}
		int64_t now = clock_boot_ns();
		if (now >= audit_at && reader != NULL) {
			audit(engine, reader, &segment);
			audit_at = now + AUDIT_EVERY_NS;
		}
		queue_wait(&engine->questions, audit_at > now ? audit_at - now : AUDIT_EVERY_NS);
	}
	reader_close(reader);
}

/* --- on the store thread --- */

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
static void
end_try(void *context, struct delivery_key key, int slot, int news)
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
	post(engine, message);
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
	struct config *config = current_config(context);
	const struct handler *handler = handler_of(config, number);
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
	struct config *config = current_config(context);
	const struct handler *handler = handler_of(config, number);
	bool holds = handler != NULL && handler->settings->order_by != NULL &&
	             handler->settings->on_dead == 1;
	config_release(config);
	return holds;
}

static bool
listen_needs_again(void *context, int64_t number, enum delivery_state state,
                   int64_t first_failed_ns)
{
	struct config *config = current_config(context);
	const struct handler *handler = handler_of(config, number);
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
	end_try(engine, job->key, job->slot, NEWS_NOTHING);
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

static void
start_call(struct engine *engine, struct config *config, const struct job *job)
{
	const struct handler *handler = handler_of(config, job->key.handler);
	if (handler == NULL || handler_consumed(handler)) { /* gone, or changed, between the two */
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
	} else {
		workers_push(engine->workers, call);
	}
}

static void
listen_jobs(void *context, struct job *jobs)
{
	struct engine *engine = context;
	struct config *config = current_config(engine);
	while (jobs != NULL) {
		struct job *next = jobs->next;
		start_call(engine, config, jobs);
		free(jobs);
		jobs = next;
	}
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
	post(engine, message);
}

static void
listen_claimed(void *context, struct claim *const *claims, size_t count)
{
	struct engine *engine = context;
	struct config *config = current_config(engine);
	for (size_t i = 0; i < count; i++) {
		struct claim *claim = claims[i];
		struct line *line = schedule_line(engine->schedule, claim->key.handler);
		struct message *message = message_new(MESSAGE_CLAIMED, line, claim->retry ? 1 : 0);
		message->loaded.seq = claim->key.seq;
		message->later = claim->later;
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
			start_call(engine, config, &job);
		} else {
			event_release(claim->event);
			give_slot(engine, claim->key.handler, claim->slot);
		}
		free(claim);
		post(engine, message);
	}
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
			due[due_count++] = (struct due){ result->key, result->due_ns, retry };
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
		end_try(engine, result->key, slot, result->news);
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
	struct config *config = current_config(engine);
	const struct handler *handler = handler_of(config, returned->key.handler);
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
	message->until_ns = paused ? boot_time(until_ns) : 0;
	post(context, message);
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
	listener->wants_own = listen_wants_own;
	listener->holds = listen_holds;
	listener->needs_again = listen_needs_again;
	listener->jobs = listen_jobs;
	listener->due = listen_due;
	listener->claimed = listen_claimed;
	listener->settled = listen_settled;
	listener->effects = listen_effects;
	listener->paused = listen_paused;
}

/* --- life --- */

bool
engine_create(struct engine **ret, struct store *store, struct config *config, struct error *err)
{
	struct engine *engine = memory_need(sizeof(*engine));
	engine->store = store;
	engine->inbox.fd = -1;
	engine->questions.fd = -1;
	engine->config = config_share(config);
	random_seed_system(&engine->random);
	(void)pthread_mutex_init(&engine->config_lock, NULL);
	struct schedule_listener listener = { .context = engine,
		                              .claim = on_claim,
		                              .fetch = on_fetch,
		                              .breaker = on_breaker };
	const struct budget_settings *budget = &config->settings.retry_budget;
	engine->schedule = schedule_create(config->settings.workers, budget->rate, budget->burst,
	                                   &listener, clock_boot_ns());
	if (!queue_init(&engine->inbox, err) || !queue_init(&engine->questions, err) ||
	    !workers_create(&engine->workers, store, end_try, engine, err)) {
		engine_destroy(engine);
		return false;
	}
	apply_config(engine, config);
	*ret = engine;
	return true;
}

bool
engine_start(struct engine *engine, struct error *err)
{
	if (!thread_start(&engine->reader_thread, &reader_thread, reader_run, engine, err)) {
		return false;
	}
	if (!thread_start(&engine->thread, &dispatch_thread, engine_run, engine, err)) {
		atomic_store(&engine->ending, true);
		queue_wake(&engine->questions);
		(void)pthread_join(engine->reader_thread, NULL);
		return false;
	}
	engine->started = true;
	return true;
}

void
engine_set_config(struct engine *engine, struct config *config)
{
	(void)pthread_mutex_lock(&engine->config_lock);
	struct config *old = engine->config;
	engine->config = config_share(config);
	(void)pthread_mutex_unlock(&engine->config_lock);
	config_release(old);
	struct message *message = message_new(MESSAGE_CONFIG, NULL, 0);
	message->config = config_share(config);
	post(engine, message);
}

void
engine_stop_claiming(struct engine *engine)
{
	schedule_close(engine->schedule);
	store_pause_claims(engine->store);
}

int64_t
engine_running(const struct engine *engine)
{
	return workers_running(engine->workers) + atomic_load(&engine->effects);
}

int64_t
engine_calls(const struct engine *engine)
{
	return workers_running(engine->workers);
}

void
engine_end_handlers(struct engine *engine, bool at_once)
{
	workers_end(engine->workers, at_once);
}

void
engine_stop(struct engine *engine)
{
	if (engine == NULL || !engine->started) {
		return;
	}
	atomic_store(&engine->ending, true);
	queue_wake(&engine->inbox);
	queue_wake(&engine->questions);
	(void)pthread_join(engine->thread, NULL);
	(void)pthread_join(engine->reader_thread, NULL);
	engine->started = false;
}

static void
drop_messages(struct engine *engine)
{
	struct queue_item *item = engine->inbox.fd < 0 ? NULL : queue_take(&engine->inbox);
	while (item != NULL) {
		struct queue_item *next = item->next;
		struct message *message = CONTAINER(item, struct message, item);
		event_release(message->kind == MESSAGE_LOADED ? message->event : NULL);
		config_release(message->config);
		free(message->due);
		free(message->ended);
		free(message);
		item = next;
	}
	item = engine->questions.fd < 0 ? NULL : queue_take(&engine->questions);
	while (item != NULL) {
		struct queue_item *next = item->next;
		free(CONTAINER(item, struct question, item));
		item = next;
	}
}

void
engine_destroy(struct engine *engine)
{
	if (engine == NULL) {
		return;
	}
	workers_destroy(engine->workers);
	drop_messages(engine);
	schedule_destroy(engine->schedule);
	config_release(engine->config);
	queue_finish(&engine->inbox);
	queue_finish(&engine->questions);
	(void)pthread_mutex_destroy(&engine->config_lock);
	free(engine);
}

void
engine_set_consumable(struct engine *engine, void (*consumable)(void *context, int64_t handler),
                      void *context)
{
	engine->consumable = consumable;
	engine->consumable_context = context;
}

bool
engine_view(const struct engine *engine, int64_t handler, struct line_view *view)
{
	const struct line *line = schedule_line(engine->schedule, handler);
	if (line == NULL) {
		return false;
	}
	line_view(line, view);
	return true;
}

int64_t
engine_tokens(const struct engine *engine)
{
	return schedule_tokens_milli(engine->schedule);
}

int64_t
engine_shared_free(const struct engine *engine)
{
	return schedule_shared_free(engine->schedule);
}

int64_t
engine_ran_ns(const struct engine *engine, int64_t handler)
{
	const struct line *line = schedule_line(engine->schedule, handler);
	return store_handler_ran_ns(engine->store, handler) +
	       (line == NULL ? 0 : line_ran_ns(line, clock_boot_ns()));
}

/* --- setup and order, from main --- */

struct setup {
	struct span sql;
};

static bool
run_setup(void *context, struct effect_scope *scope, struct error *err)
{
	return effect_execute(scope, ((const struct setup *)context)->sql, NULL, 0, err);
}

static const char *
setup_of(const struct handler *handler)
{
	return handler == NULL || handler->kind->setup == NULL
	               ? NULL
	               : handler->kind->setup(handler->kind_settings);
}

bool
engine_run_setups(struct engine *engine, const struct config *old, const struct config *fresh,
                  struct error *err)
{
	for (size_t i = 0; i < fresh->handler_count; i++) {
		const struct handler *handler = &fresh->handlers[i];
		const char *text = setup_of(handler);
		const char *before =
			old == NULL ? NULL : setup_of(handler_of(old, handler->number));
		if (text == NULL || (before != NULL && strcmp(text, before) == 0)) {
			continue;
		}
		struct setup setup = { span_of(text) };
		/* At a reload events wait for it; at a start nobody does. */
		struct effect effect = { .context = &setup,
			                 .run = run_setup,
			                 .timeout_ns = old == NULL ? SETUP_AT_START_NS
			                                           : SETUP_AT_RELOAD_NS };
		struct change change = { .kind = CHANGE_SETUP, .effect = &effect };
		if (!store_change(engine->store, &change, err)) {
			return error_prefix(err, "the setup of the handler %s%s", handler->name,
			                    err->kind == ERROR_LIMIT && old != NULL
			                            ? " needs a restart, where it has an hour"
			                            : "");
		}
	}
	return true;
}

/* Whether keys of this handler may have been left with nobody free. */
static bool
may_be_stuck(const struct handler *before, const struct handler *now)
{
	if (now == NULL) { /* nothing of it is tried: it is looked at when it comes back */
		return false;
	}
	if (before ==
	    NULL) { /* a start, or back: a crash may have left tries that had ended, or freed what a dead one holds */
		return true;
	}
	bool ordered = now->settings->order_by != NULL;
	return (before->settings->order_by != NULL) != ordered ||
	       (ordered && before->settings->on_dead != now->settings->on_dead);
}

bool
engine_settle_orders(struct engine *engine, const struct config *old, const struct config *fresh,
                     struct error *err)
{
	for (int64_t i = 1; i <= store_handlers(engine->store); i++) {
		const struct handler *before = old == NULL ? NULL : handler_of(old, i);
		if (!may_be_stuck(before, handler_of(fresh, i))) {
			continue;
		}
		struct change change = { .kind = CHANGE_ORDER, .id = i };
		bool good = true;
		do {
			good = store_change(engine->store, &change, err);
		} while (good && change.changed > 0);
		free(change.after);
		if (!good) {
			return false;
		}
	}
	return true;
}
