/* What reaches the dispatch thread: from the store, the reader, the workers and main. */
#include <stdlib.h>

#include "receiver/base/clock.h"
#include "receiver/dispatch/engine_priv.h"

#define READER_AGAIN_NS (200 * NS_PER_MS) /* after a query that failed */
#define STORE_AGAIN_NS  NS_PER_S          /* after a claim that the store could not write */

static struct line_settings
settings_of(const struct handler *handler)
{
	const struct handler_settings *settings = handler->settings;
	bool watched = settings->breaker.entry.node != NULL;
	return (struct line_settings){
		.concurrency = settings->concurrency,
		.brief = handler->kind->brief,
		.on_store = handler->kind->commit != NULL,
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
	int64_t at = due->boot_ns != 0     ? due->boot_ns
	             : due->due_ns <= wall ? clock_boot_ns() - (wall - due->due_ns)
	                                   : boot_time_of(line, due->due_ns);
	return (struct window_item){ .at_ns = at, .seq = due->key.seq, .due_ns = due->due_ns };
}

/* A wall time as boot time; INT64_MAX stays. */
int64_t
engine_boot_time(int64_t wall_ns)
{
	return wall_ns == INT64_MAX ? INT64_MAX : wall_ns - clock_wall_ns() + clock_boot_ns();
}

void
message_post(struct engine *engine, struct message *message)
{
	queue_push(&engine->inbox, &message->item);
}

struct message *
message_new(enum message_kind kind, struct line *line, int lane)
{
	struct message *message = memory_need(sizeof(*message));
	message->kind = kind;
	message->line = line;
	message->lane = lane;
	return message;
}

/* Before the threads run on main, then on dispatch: one thread at a time. */
void
engine_apply_config(struct engine *engine, const struct config *config)
{
	int64_t now = clock_boot_ns();
	for (int64_t i = 1; i <= store_handlers(engine->store); i++) {
		const struct handler *handler = engine_handler(config, i);
		if (handler == NULL) {
			schedule_retire(engine->schedule, i, now);
			continue;
		}
		struct line_settings settings = settings_of(handler);
		struct line *line = schedule_configure(engine->schedule, i, &settings, now);
		int64_t until = store_handler_paused(engine->store, i);
		schedule_pause(line, until == 0 ? 0 : engine_boot_time(until), now);
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
	struct config *config = engine_config(engine);
	const struct handler *handler = engine_handler(config, line_number(line));
	bool once = handler != NULL && handler->guarantee == GUARANTEE_AT_MOST_ONCE;
	claim_submit(engine, message, once,
	             handler == NULL || once ? INT64_MAX : handler->settings->retry.attempts);
	config_release(config);
}

static void
ON_THREAD(dispatch_thread) take_claimed(struct engine *engine, const struct message *message)
{
	struct line *line = message->line;
	struct due due = { .key = { message->loaded.seq, line_number(line) },
		           .due_ns = message->due_ns };
	struct window_item item = window_item_of(line, &due);
	schedule_claimed(line, message->lane, message->loaded.seq, message->runs,
	                 message->later ? &item : NULL);
	if (message->refused) {
		schedule_hold(engine->schedule, clock_boot_ns() + STORE_AGAIN_NS);
	}
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

void
message_take(struct engine *engine, struct message *message)
{
	struct line *line;
	switch (message->kind) {
	case MESSAGE_DUE: take_due(engine, message); break;
	case MESSAGE_FETCHED: take_fetched(message); break;
	case MESSAGE_LOADED: take_loaded(engine, message); break;
	case MESSAGE_CLAIMED: take_claimed(engine, message); break;
	case MESSAGE_ENDED: take_ended(engine, message); break;
	case MESSAGE_PAUSED:
		line = schedule_line(engine->schedule, message->handler);
		if (line != NULL) {
			schedule_pause(line, message->until_ns, clock_boot_ns());
		}
		break;
	case MESSAGE_CONFIG:
		engine_apply_config(engine, message->config);
		config_release(message->config);
		break;
	}
	free(message->due);
	free(message->ended);
	free(message);
}
