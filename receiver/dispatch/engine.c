#include "receiver/dispatch/engine.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/dispatch/attempt.h"
#include "receiver/dispatch/budget.h"
#include "receiver/dispatch/slots.h"
#include "receiver/dispatch/window.h"
#include "receiver/dispatch/workers.h"
#include "receiver/log/log.h"
#include "receiver/store/reader.h"

#define READER_AGAIN_NS (200 * NS_PER_MS) /* after a query that failed */
#define AUDIT_EVERY_NS  (10 * NS_PER_S)   /* a segment of the ledger */
#define LANES           2                 /* 0: first tries; 1: tries that need a token */

struct thread_role dispatch_thread = { "dispatch" };
struct thread_role reader_thread = { "reader" };

/* One handler, as long as the process lives; it may be configured or gone. */
struct line {
	int64_t number;
	struct slots slots;
	atomic_bool configured;
	atomic_bool backlog; /* older ones wait: fresh ones must not pass them */
	int64_t concurrency;
	struct window lanes[LANES];
	bool has_budget;
	struct budget budget;
	int64_t max_wait_ns; /* retry.max: no wait is longer, whatever the clock says */
	size_t loading;      /* taken out of a lane, not claimed yet */
	int64_t *busy;       /* their seqs */
	size_t busy_room;
};

enum message_kind {
	MESSAGE_DUE,     /* pending ones that the store left to us */
	MESSAGE_FETCHED, /* the reader's answer */
	MESSAGE_LOADED,
	MESSAGE_CLAIMED, /* a claim has come back */
	MESSAGE_CONFIG,
};

struct message {
	struct queue_item item;
	enum message_kind kind;
	struct line *line;
	int lane;
	bool good;
	/* DUE, FETCHED */
	size_t count;
	struct due *due;
	/* LOADED, CLAIMED */
	struct window_item loaded;
	struct event *event;
	bool intact;
	enum slot slot;
	bool later;
	int64_t due_ns;
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
	struct shared_slots shared;
	_Atomic(struct line *) lines[STORE_HANDLERS_MOST];
	struct queue inbox;
	pthread_t thread;
	struct queue questions;
	pthread_t reader_thread;
	bool started;
	atomic_bool ending;
	int64_t workers_most;
	struct budget budget;
	atomic_llong tokens;
	atomic_bool hungry; /* something waits for a slot */
	int64_t boot_base_ns;
	/* the configuration as the store thread and the engine see it */
	pthread_mutex_t config_lock;
	struct config *config;
};

/* --- lines --- */

static struct line *
line_at(struct engine *engine, int64_t number)
{
	return number > 0 && number < STORE_HANDLERS_MOST ? atomic_load(&engine->lines[number])
	                                                  : NULL;
}

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

static void
line_configure(struct line *line, const struct handler *handler)
{
	const struct handler_settings *settings = handler->settings;
	int64_t now = clock_boot_ns();
	slots_change(&line->slots, settings->concurrency - line->concurrency);
	line->concurrency = settings->concurrency;
	line->max_wait_ns = settings->retry.max_ns;
	bool wanted = settings->retry_budget.entry.node != NULL;
	if (wanted && line->has_budget) {
		budget_change(&line->budget, settings->retry_budget.rate,
		              settings->retry_budget.burst, now);
	} else if (wanted) {
		budget_init(&line->budget, settings->retry_budget.rate,
		            settings->retry_budget.burst, now);
	}
	line->has_budget = wanted;
	if (line->busy_room < (size_t)settings->concurrency) {
		line->busy = memory_resize(line->busy,
		                           (size_t)settings->concurrency * sizeof(*line->busy));
		line->busy_room = (size_t)settings->concurrency;
	}
	atomic_store(&line->configured, true);
}

static struct line *
line_create(struct engine *engine, const struct handler *handler)
{
	struct line *line = memory_need(sizeof(*line));
	line->number = handler->number;
	line->concurrency = handler->settings->concurrency;
	slots_init(&line->slots, &engine->shared, line->concurrency);
	for (int i = 0; i < LANES; i++) {
		window_init(&line->lanes[i]);
	}
	atomic_store(&line->backlog, true); /* until the disk has been looked at */
	line_configure(line, handler);
	return line;
}

static void
apply_config(struct engine *engine, const struct config *config)
{
	for (int64_t i = 1; i <= store_handlers(engine->store); i++) {
		struct line *line = line_at(engine, i);
		const struct handler *handler = handler_of(config, i);
		if (handler == NULL) {
			if (line != NULL) {
				atomic_store(&line->configured, false);
			}
		} else if (line == NULL) {
			atomic_store(&engine->lines[i], line_create(engine, handler));
		} else {
			line_configure(line, handler);
		}
	}
	const struct budget_settings *budget = &config->settings.retry_budget;
	budget_change(&engine->budget, budget->rate, budget->burst, clock_boot_ns());
}

static bool
is_busy(const struct line *line, int64_t seq)
{
	for (size_t i = 0; i < line->loading; i++) {
		if (line->busy[i] == seq) {
			return true;
		}
	}
	return false;
}

static void
not_busy(struct line *line, int64_t seq)
{
	for (size_t i = 0; i < line->loading; i++) {
		if (line->busy[i] == seq) {
			line->busy[i] = line->busy[--line->loading];
			return;
		}
	}
}

/* --- time --- */

/* Wall time of a due time as boot time; a clock that was set back cannot make a wait longer than `max`. */
static int64_t
boot_time_of(const struct line *line, int64_t due_ns)
{
	int64_t wait = due_ns - clock_wall_ns();
	int64_t most = line->max_wait_ns > NS_PER_S ? line->max_wait_ns : NS_PER_S;
	return clock_boot_ns() + (wait < 0 ? 0 : wait > most ? most : wait);
}

static void
add_due(struct line *line, int lane, const struct due *due)
{
	if (!is_busy(line, due->key.seq)) {
		/* What is due already keeps its order by when it was due. */
		int64_t at = due->due_ns <= clock_wall_ns()
		                     ? clock_boot_ns() - (clock_wall_ns() - due->due_ns)
		                     : boot_time_of(line, due->due_ns);
		window_add(&line->lanes[lane], (struct window_item){ .at_ns = at,
		                                                     .seq = due->key.seq,
		                                                     .due_ns = due->due_ns });
	}
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

static void
ON_THREAD(dispatch_thread) take_due(struct engine *engine, const struct message *message)
{
	for (size_t i = 0; i < message->count; i++) {
		struct line *line = line_at(engine, message->due[i].key.handler);
		if (line != NULL) {
			add_due(line, message->due[i].retry ? 1 : 0, &message->due[i]);
		}
	}
}

static void
ON_THREAD(dispatch_thread) take_fetched(const struct message *message)
{
	struct window *window = &message->line->lanes[message->lane];
	if (!message->good) {
		window_fetch_failed(window, clock_boot_ns() + READER_AGAIN_NS);
		return;
	}
	for (size_t i = 0; i < message->count; i++) {
		add_due(message->line, message->lane, &message->due[i]);
	}
	bool whole = message->count < WINDOW_FETCH;
	window_fetched(window, whole,
	               whole ? INT64_MAX
	                     : boot_time_of(message->line,
	                                    message->due[message->count - 1].due_ns));
}

static void
claim_submit(struct engine *engine, const struct message *message, bool at_most_once)
{
	struct claim *claim = memory_need(sizeof(*claim));
	claim->intent.kind = INTENT_CLAIM;
	claim->key = (struct delivery_key){ message->loaded.seq, message->line->number };
	claim->expected_due_ns = message->loaded.due_ns;
	claim->at_most_once = at_most_once;
	claim->corrupt = !message->intact;
	claim->event = message->event;
	claim->slot = (int)message->slot | message->lane << 8;
	store_submit(engine->store, &claim->intent);
}

static void
ON_THREAD(dispatch_thread) take_loaded(struct engine *engine, struct message *message)
{
	struct line *line = message->line;
	if (!message->good) { /* try again a little later */
		not_busy(line, message->loaded.seq);
		slots_give(&line->slots, message->slot);
		message->loaded.at_ns = clock_boot_ns() + READER_AGAIN_NS;
		window_add(&line->lanes[message->lane], message->loaded);
		return;
	}
	struct config *config = current_config(engine);
	const struct handler *handler = handler_of(config, line->number);
	claim_submit(engine, message,
	             handler != NULL && handler->guarantee == GUARANTEE_AT_MOST_ONCE);
	config_release(config);
}

static void
ON_THREAD(dispatch_thread) take_claimed(const struct message *message)
{
	struct line *line = message->line;
	not_busy(line, message->loaded.seq);
	if (message->later) {
		struct due due = { .key = { message->loaded.seq, line->number },
			           .due_ns = message->due_ns };
		add_due(line, message->lane, &due);
	}
}

static void
ON_THREAD(dispatch_thread) take_message(struct engine *engine, struct message *message)
{
	switch (message->kind) {
	case MESSAGE_DUE: take_due(engine, message); break;
	case MESSAGE_FETCHED: take_fetched(message); break;
	case MESSAGE_LOADED: take_loaded(engine, message); break;
	case MESSAGE_CLAIMED: take_claimed(message); break;
	case MESSAGE_CONFIG:
		apply_config(engine, message->config);
		config_release(message->config);
		break;
	}
	free(message->due);
	free(message);
}

/* --- decisions --- */

static void
ON_THREAD(dispatch_thread) ask_fetch(struct engine *engine, struct line *line, int lane)
{
	struct question *question = memory_need(sizeof(*question));
	question->line = line;
	question->lane = lane;
	question->fetch = true;
	window_asked(&line->lanes[lane]);
	queue_push(&engine->questions, &question->item);
}

static void
ON_THREAD(dispatch_thread)
	ask_load(struct engine *engine, struct line *line, int lane, enum slot slot)
{
	struct question *question = memory_need(sizeof(*question));
	question->line = line;
	question->lane = lane;
	question->loaded = window_take(&line->lanes[lane]);
	question->slot = slot;
	ALWAYS(line->loading < line->busy_room, "busy-room");
	line->busy[line->loading++] = question->loaded.seq;
	queue_push(&engine->questions, &question->item);
}

static bool
lane_ready(const struct line *line, int lane, int64_t now_ns)
{
	const struct window_item *first = window_first(&line->lanes[lane]);
	return first != NULL && first->at_ns <= now_ns;
}

/* First tries: as many as there are slots. */
static void
ON_THREAD(dispatch_thread) run_fresh(struct engine *engine, struct line *line, int64_t now_ns)
{
	while (lane_ready(line, 0, now_ns) && line->loading < line->busy_room) {
		enum slot slot = slots_take(&line->slots);
		if (slot == SLOT_NONE) {
			return;
		}
		ask_load(engine, line, 0, slot);
	}
}

/* The line whose retry is due earliest among those that have a token of their own and a slot. */
static struct line *
ON_THREAD(dispatch_thread) next_retry(struct engine *engine, int64_t now_ns, enum slot *slot)
{
	struct line *passed[64] = { NULL }; /* without a slot: looked at once */
	size_t passed_count = 0;
	for (;;) {
		struct line *best = NULL;
		for (int64_t i = 1; i <= store_handlers(engine->store); i++) {
			struct line *line = line_at(engine, i);
			if (line == NULL || !atomic_load(&line->configured) ||
			    !lane_ready(line, 1, now_ns) ||
			    (line->has_budget && !budget_has(&line->budget, now_ns)) ||
			    line->loading >= line->busy_room) {
				continue;
			}
			bool skip = false;
			for (size_t j = 0; j < passed_count; j++) {
				skip = skip || passed[j] == line;
			}
			if (!skip &&
			    (best == NULL || window_first(&line->lanes[1])->at_ns <
			                             window_first(&best->lanes[1])->at_ns)) {
				best = line;
			}
		}
		if (best == NULL) {
			return NULL;
		}
		*slot = slots_take(&best->slots);
		if (*slot != SLOT_NONE) {
			return best;
		}
		if (passed_count == COUNT(passed)) {
			return NULL;
		}
		passed[passed_count++] = best;
	}
}

static void
ON_THREAD(dispatch_thread) run_retries(struct engine *engine, int64_t now_ns)
{
	while (budget_has(&engine->budget, now_ns)) {
		enum slot slot;
		struct line *line = next_retry(engine, now_ns, &slot);
		if (line == NULL) {
			return;
		}
		budget_take(&engine->budget, now_ns);
		if (line->has_budget) {
			budget_take(&line->budget, now_ns);
		}
		ask_load(engine, line, 1, slot);
	}
}

/* Looks at everything once; returns when to look again (boot time). */
static int64_t
ON_THREAD(dispatch_thread) pump_once(struct engine *engine)
{
	int64_t now = clock_boot_ns();
	int64_t next = INT64_MAX;
	bool hungry = false;
	if (atomic_load(&engine->shared.closed)) {
		return next;
	}
	run_retries(engine, now);
	for (int64_t i = 1; i <= store_handlers(engine->store); i++) {
		struct line *line = line_at(engine, i);
		if (line == NULL || !atomic_load(&line->configured)) {
			continue;
		}
		run_fresh(engine, line, now);
		for (int lane = 0; lane < LANES; lane++) {
			if (window_wants(&line->lanes[lane], now)) {
				ask_fetch(engine, line, lane);
			}
			int64_t when = window_next(&line->lanes[lane]);
			if (when >
			    now) { /* what is ready now waits for a slot or a token, not for the clock */
				next = when < next ? when : next;
			}
		}
		bool ready = lane_ready(line, 0, now);
		bool on_disk = line->lanes[0].disk_ns <= now || line->lanes[0].fetching;
		bool token = budget_has(&engine->budget, now) &&
		             (!line->has_budget || budget_has(&line->budget, now));
		bool retry = lane_ready(line, 1, now);
		atomic_store(&line->backlog, ready || on_disk || (retry && token));
		hungry = hungry || ready || (retry && token);
		if (retry && !token) {
			int64_t when = budget_when(&engine->budget, now);
			int64_t own = line->has_budget ? budget_when(&line->budget, now) : now;
			when = own > when ? own : when;
			next = when < next ? when : next;
		}
	}
	atomic_store(&engine->tokens, engine->budget.level / NS_PER_MS);
	atomic_store(&engine->hungry, hungry);
	return next;
}

static int64_t
ON_THREAD(dispatch_thread) pump(struct engine *engine)
{
	bool was_hungry = atomic_load(&engine->hungry);
	int64_t next = pump_once(engine);
	if (!was_hungry && atomic_load(&engine->hungry)) {
		next = pump_once(
			engine); /* a slot may have come free before anybody knew that we wait for one */
	}
	return next;
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
		int64_t when = pump(engine);
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
	message->good =
		reader != NULL && reader_due(reader, question->line->number, question->lane == 1,
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
	struct line *line = line_at(context, number);
	if (line == NULL || atomic_load(&line->backlog) || !atomic_load(&line->configured)) {
		return SLOT_NONE;
	}
	return slots_take(&line->slots);
}

static void
listen_give_slot(void *context, int64_t number, int slot)
{
	struct line *line = line_at(context, number);
	slots_give(&line->slots, (enum slot)(slot & 0xff));
	struct engine *engine = context;
	if (atomic_load(&engine->hungry)) {
		queue_wake(&engine->inbox);
	}
}

static bool
listen_exists(void *context, int64_t number)
{
	struct line *line = line_at(context, number);
	return line != NULL && atomic_load(&line->configured);
}

static bool
listen_wants(void *context, int64_t number, const struct event *event)
{
	struct config *config = current_config(context);
	const struct handler *handler = handler_of(config, number);
	bool wants =
		handler != NULL && handler_wants(handler, event->source, event->type, event->body);
	config_release(config);
	return wants;
}

static void
start_call(struct engine *engine, struct config *config, const struct job *job)
{
	const struct handler *handler = handler_of(config, job->key.handler);
	if (handler == NULL) { /* gone between the two: given back, uncounted */
		struct result_intent *result = memory_need(sizeof(*result));
		result->intent.kind = INTENT_RESULT;
		result->key = job->key;
		result->move = MOVE_GIVE_BACK;
		result->round = job->round;
		result->attempts = job->attempts;
		result->retried = job->attempts > 1 || job->round > 0;
		result->due_ns = clock_wall_ns();
		result->error_type = "handler_gone";
		result->error = memory_text("the handler is not configured any more");
		result->event = job->event;
		result->slot = job->slot;
		store_submit(engine->store, &result->intent);
		return;
	}
	struct call *call = memory_need(sizeof(*call));
	call->key = job->key;
	call->event = job->event;
	call->config = config_share(config);
	call->handler = handler;
	call->slot = job->slot;
	call->attempts = job->attempts;
	call->round = job->round;
	call->first_failed_ran_ns = job->first_failed_ran_ns;
	call->ran_base_ns =
		store_handler_ran_ns(engine->store, job->key.handler) - engine->boot_base_ns;
	workers_push(engine->workers, call);
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
	struct message *message = message_new(MESSAGE_DUE, NULL, 0);
	message->count = count;
	message->due = memory_need(count * sizeof(*items));
	memcpy(message->due, items, count * sizeof(*items));
	post(context, message);
}

static void
listen_claimed(void *context, struct claim *const *claims, size_t count)
{
	struct engine *engine = context;
	struct config *config = current_config(engine);
	for (size_t i = 0; i < count; i++) {
		struct claim *claim = claims[i];
		struct line *line = line_at(engine, claim->key.handler);
		struct message *message = message_new(MESSAGE_CLAIMED, line, claim->slot >> 8);
		message->loaded.seq = claim->key.seq;
		message->later = claim->later;
		message->due_ns = claim->due_ns;
		if (claim->claimed) {
			struct job job = { .key = claim->key,
				           .event = claim->event,
				           .slot = claim->slot & 0xff,
				           .attempts = claim->attempts,
				           .round = claim->round,
				           .first_failed_ran_ns = claim->first_failed_ran_ns,
				           .at_most_once = claim->at_most_once };
			start_call(engine, config, &job);
		} else {
			event_release(claim->event);
			slots_give(&line->slots, (enum slot)(claim->slot & 0xff));
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
		listen_give_slot(engine, result->key.handler, result->slot);
		if (result->move == MOVE_AGAIN || result->move == MOVE_GIVE_BACK) {
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

/* A try that a crash cut off is a failed try, with its backoff. */
static void
listen_returned(void *context, struct returned *returned)
{
	struct engine *engine = context;
	struct config *config = current_config(engine);
	const struct handler *handler = handler_of(config, returned->key.handler);
	struct random random;
	random_seed_system(&random);
	returned->dead = false;
	returned->due_ns = clock_wall_ns();
	if (handler != NULL) {
		struct backoff backoff = backoff_of(handler);
		int64_t since = returned->first_failed_ran_ns < 0
		                        ? -1
		                        : returned->ran_ns - returned->first_failed_ran_ns;
		returned->dead = backoff_exhausted(&backoff, returned->attempts, since);
		returned->due_ns += backoff_wait(&backoff, returned->attempts, &random);
	}
	config_release(config);
}

void
engine_listen(struct engine *engine, struct store_listener *listener)
{
	listener->context = engine;
	listener->returned = listen_returned;
	listener->take_slot = listen_take_slot;
	listener->give_slot = listen_give_slot;
	listener->exists = listen_exists;
	listener->wants = listen_wants;
	listener->jobs = listen_jobs;
	listener->due = listen_due;
	listener->claimed = listen_claimed;
	listener->settled = listen_settled;
}

/* --- life --- */

bool
engine_create(struct engine **ret, struct store *store, struct config *config, struct error *err)
{
	struct engine *engine = memory_need(sizeof(*engine));
	engine->store = store;
	engine->inbox.fd = -1;
	engine->questions.fd = -1;
	engine->boot_base_ns = clock_boot_ns();
	engine->config = config_share(config);
	(void)pthread_mutex_init(&engine->config_lock, NULL);
	engine->workers_most = config->settings.workers;
	shared_slots_init(&engine->shared, engine->workers_most);
	const struct budget_settings *budget = &config->settings.retry_budget;
	budget_init(&engine->budget, budget->rate, budget->burst, clock_boot_ns());
	if (!queue_init(&engine->inbox, err) || !queue_init(&engine->questions, err) ||
	    !workers_create(&engine->workers, store, err)) {
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
	atomic_store(&engine->shared.closed, true);
	store_pause_claims(engine->store);
}

int64_t
engine_running(const struct engine *engine)
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
	for (size_t i = 0; i < STORE_HANDLERS_MOST; i++) {
		struct line *line = atomic_load(&engine->lines[i]);
		if (line != NULL) {
			for (int lane = 0; lane < LANES; lane++) {
				window_finish(&line->lanes[lane]);
			}
			free(line->busy);
			free(line);
		}
	}
	config_release(engine->config);
	queue_finish(&engine->inbox);
	queue_finish(&engine->questions);
	(void)pthread_mutex_destroy(&engine->config_lock);
	free(engine);
}

int64_t
engine_tokens(const struct engine *engine)
{
	return atomic_load(&engine->tokens);
}
