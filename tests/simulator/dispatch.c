/* The dispatch thread and its reader: dispatch/engine.c around the production schedule, without threads. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#include "tests/simulator/invariant.h"
#include "tests/simulator/world.h"

#define READER_AGAIN_NS (200 * NS_PER_MS)

/* --- messages --- */

void
dispatch_tell(struct world *world, const struct message *message)
{
	if (world->message_count == world->message_room) {
		world->message_room = world->message_room == 0 ? 64 : world->message_room * 2;
		world->messages = memory_resize(world->messages,
		                                world->message_room * sizeof(*world->messages));
	}
	world->messages[world->message_count++] = *message;
	dispatch_wake(world);
}

/* The thread has something to do: soon, whenever the machine lets it. */
void
dispatch_wake(struct world *world)
{
	int64_t soon =
		world->now_ns + (chance(world, 500) ? between(world, NS_PER_MS, 50 * NS_PER_MS)
	                                            : between(world, NS_PER_US, 200 * NS_PER_US));
	if (soon < world->wake_ns) {
		world->wake_ns = soon;
		plan_in(world, soon - world->now_ns, HAPPENS_DISPATCH, 0);
	}
}

static struct window_item
window_item_of(const struct world *world, const struct line *line, int32_t number, int64_t due_ns)
{
	int64_t most = line_max_wait(line) > NS_PER_S ? line_max_wait(line) : NS_PER_S;
	int64_t wait = due_ns - world->now_ns;
	return (struct window_item){ .at_ns = wait > most ? world->now_ns + most : due_ns,
		                     .seq = number,
		                     .due_ns = due_ns };
}

static void
take_due(struct world *world, const struct message *message)
{
	struct line *line = schedule_line(world->schedule, message->handler);
	trace(world, message->number, "told due in lane %d", message->lane);
	if (line != NULL) {
		schedule_due(line, message->lane,
		             window_item_of(world, line, message->number, message->due_ns));
	}
}

/* What has been claimed or has changed since the reader looked. */
static bool
is_stale(const struct world *world, const struct message *message, const struct row *row)
{
	const struct delivery *delivery = &world->deliveries[row->number];
	return delivery->state != DELIVERY_PENDING || delivery->held ||
	       (int)delivery->retry != message->lane || delivery->due_ns != row->due_ns;
}

static void
take_fetched(struct world *world, struct message *message)
{
	struct line *line = schedule_line(world->schedule, message->handler);
	rule_fetched(world, message->handler, message->lane, message->good);
	if (!message->good) {
		world->tally.fetches_failed++;
		schedule_fetch_failed(line, message->lane, world->now_ns + READER_AGAIN_NS);
		return;
	}
	for (size_t i = 0; i < message->count; i++) {
		const struct row *row = &message->rows[i];
		bool stale = is_stale(world, message, row);
		world->tally.stale += stale ? 1 : 0;
		trace(world, row->number, "fetched in lane %d%s", message->lane,
		      stale ? ", stale" : "");
		schedule_due(line, message->lane,
		             window_item_of(world, line, row->number, row->due_ns));
	}
	bool whole = message->count < WINDOW_FETCH;
	int64_t last = 0;
	if (!whole) {
		const struct row *row = &message->rows[message->count - 1];
		last = window_item_of(world, line, row->number, row->due_ns).at_ns;
	}
	schedule_fetched(line, message->lane, whole, last);
}

/* A claim has come to nothing, so far as the world knows. */
static void
claim_over(struct world *world, int32_t number, int64_t at_ns)
{
	world->deliveries[number].claiming--;
	world->deliveries[number].patient_ns = at_ns;
	store_know(world, number, at_ns);
}

static void
take_loaded(struct world *world, const struct message *message)
{
	struct line *line = schedule_line(world->schedule, message->handler);
	int32_t number = (int32_t)message->item.seq;
	if (!message->good) {
		trace(world, number, "cannot be loaded");
		struct window_item again = message->item;
		again.at_ns = world->now_ns + READER_AGAIN_NS;
		dispatch_give_slot(world, message->handler, message->slot);
		claim_over(world, number, again.at_ns);
		rule_claim_back(world, message->handler, number, false);
		schedule_claimed(line, message->lane, number, false, &again);
		return;
	}
	struct intention claim = { .what = INTENDS_CLAIM,
		                   .handler = message->handler,
		                   .number = number,
		                   .item = message->item,
		                   .lane = message->lane,
		                   .slot = message->slot,
		                   .corrupt = chance(world, 20000) };
	store_submit(world, &claim);
}

static void
take_claimed(struct world *world, const struct message *message)
{
	struct line *line = schedule_line(world->schedule, message->handler);
	struct window_item item = window_item_of(world, line, message->number, message->due_ns);
	const struct delivery *delivery = &world->deliveries[message->number];
	trace(world, message->number, "claim back: %s%s", message->runs ? "runs" : "does not run",
	      message->later ? ", later" : "");
	claim_over(world, message->number, message->later ? item.at_ns : delivery->due_ns);
	rule_claim_back(world, message->handler, message->number, message->runs);
	schedule_claimed(line, message->lane, message->number, message->runs,
	                 message->later ? &item : NULL);
}

static void
take_config(struct world *world, struct message *message)
{
	for (int64_t i = 1; i <= world->handler_count; i++) {
		if (!message->configured[i]) {
			rule_retired(world, i);
			schedule_retire(world->schedule, i, world->now_ns);
			continue;
		}
		rule_configured(world, i, &message->settings[i]);
		struct line *line = schedule_configure(world->schedule, i, &message->settings[i],
		                                       world->now_ns);
		int64_t until = world->handlers[i].paused_until_ns;
		until = until > world->now_ns ? until : 0;
		rule_paused(world, i, until);
		schedule_pause(line, until, world->now_ns);
	}
	rule_budget(world);
	schedule_set_budget(world->schedule, world->rate, world->burst, world->now_ns);
}

static void
take_message(struct world *world, struct message *message)
{
	struct line *line = schedule_line(world->schedule, message->handler);
	switch (message->kind) {
	case TELLS_DUE: take_due(world, message); break;
	case TELLS_FETCHED: take_fetched(world, message); break;
	case TELLS_LOADED: take_loaded(world, message); break;
	case TELLS_CLAIMED: take_claimed(world, message); break;
	case TELLS_ENDED:
		rule_news(world, message->handler, message->number, message->news);
		schedule_ended(world->schedule, line, message->number, message->news,
		               world->now_ns);
		dispatch_give_slot(world, message->handler, message->slot);
		break;
	case TELLS_PAUSED:
		if (line != NULL) {
			rule_paused(world, message->handler, message->due_ns);
			schedule_pause(line, message->due_ns, world->now_ns);
		}
		break;
	case TELLS_CONFIG: take_config(world, message); break;
	}
	free(message->rows);
	free(message->settings);
	free(message->configured);
}

void
dispatch_tell_config(struct world *world)
{
	struct message message = { .kind = TELLS_CONFIG };
	message.settings = memory_need((HANDLERS_MOST + 1) * sizeof(*message.settings));
	message.configured = memory_need((HANDLERS_MOST + 1) * sizeof(*message.configured));
	for (int64_t i = 1; i <= world->handler_count; i++) {
		message.settings[i] = world->handlers[i].settings;
		message.configured[i] = world->handlers[i].configured;
	}
	dispatch_tell(world, &message);
}

void
dispatch_run(struct world *world)
{
	world->wake_ns = FOREVER;
	for (size_t i = 0; i < world->message_count; i++) {
		struct message message = world->messages[i];
		take_message(world, &message);
	}
	world->message_count = 0;
	int64_t next = schedule_pump(world->schedule, world->now_ns);
	world->tally.pumps++;
	rule_pumped(world, next);
	if (next != INT64_MAX && next < world->wake_ns) {
		int64_t wait = next > world->now_ns ? next - world->now_ns : 0;
		wait += between(world, 0, 100 * NS_PER_US); /* a timer is never early */
		world->wake_ns = world->now_ns + wait;
		plan_in(world, wait, HAPPENS_DISPATCH, 0);
	}
}

/* --- what the schedule says --- */

static void
ask(struct world *world, const struct question *question)
{
	if (world->question_first > 0 && world->question_first == world->question_count) {
		world->question_first = 0;
		world->question_count = 0;
	}
	if (world->question_count == world->question_room) {
		world->question_room = world->question_room == 0 ? 64 : world->question_room * 2;
		world->questions = memory_resize(world->questions,
		                                 world->question_room * sizeof(*world->questions));
	}
	world->questions[world->question_count++] = *question;
	if (!world->reading) {
		world->reading = true;
		plan_in(world, between(world, NS_PER_US, 100 * NS_PER_US), HAPPENS_READ, 0);
	}
}

static void
on_claim(void *context, struct line *line, int lane, struct window_item item, enum slot slot)
{
	struct world *world = context;
	trace(world, item.seq, "is claimed in lane %d for %.6f", lane,
	      (double)item.due_ns / NS_PER_S);
	rule_claims(world, line_number(line), lane, item, slot);
	store_unknow(world, (int32_t)item.seq);
	world->deliveries[item.seq].claiming++;
	struct question question = { .handler = line_number(line),
		                     .lane = lane,
		                     .item = item,
		                     .slot = slot };
	ask(world, &question);
}

static void
on_fetch(void *context, struct line *line, int lane)
{
	struct world *world = context;
	rule_fetches(world, line_number(line), lane);
	world->tally.fetches++;
	struct question question = { .handler = line_number(line), .lane = lane, .fetch = true };
	ask(world, &question);
}

static void
on_breaker(void *context, struct line *line, const struct breaker *breaker)
{
	struct world *world = context;
	rule_breaker(world, line_number(line), breaker);
}

/* --- the reader --- */

void
reader_look(struct world *world)
{
	const struct question *question = &world->questions[world->question_first++];
	struct message *answer = &world->answer;
	bool fails = !world->calm && chance(world, question->fetch ? 60 : 3000);
	int64_t wait = between(world, NS_PER_US, 100 * NS_PER_US);
	*answer = (struct message){ .kind = question->fetch ? TELLS_FETCHED : TELLS_LOADED,
		                    .handler = question->handler,
		                    .lane = question->lane,
		                    .good = !fails,
		                    .item = question->item,
		                    .slot = question->slot };
	if (question->fetch) {
		wait += chance(world, 10) ? between(world, NS_PER_MS, 300 * NS_PER_MS)
		                          : between(world, 0, 2 * NS_PER_MS);
		if (!fails) {
			answer->rows = memory_need(WINDOW_FETCH * sizeof(*answer->rows));
			answer->count = store_due(world, &world->handlers[question->handler],
			                          question->lane, answer->rows, WINDOW_FETCH);
		}
	}
	plan_in(world, wait, HAPPENS_ANSWER, 0);
}

void
reader_answer(struct world *world)
{
	dispatch_tell(world, &world->answer);
	world->answer = (struct message){ 0 };
	world->reading = world->question_first < world->question_count;
	if (world->reading) {
		plan_in(world, between(world, NS_PER_US, 20 * NS_PER_US), HAPPENS_READ, 0);
	}
}

/* --- slots --- */

enum slot
dispatch_take_slot(struct world *world, int64_t number)
{
	enum slot slot = schedule_take_slot(world->schedule, number);
	if (slot != SLOT_NONE) {
		rule_takes_slot(world, number, slot);
	}
	return slot;
}

void
dispatch_give_slot(struct world *world, int64_t number, enum slot slot)
{
	rule_gives_slot(world, number, slot);
	if (schedule_give_slot(world->schedule, number, slot)) {
		dispatch_wake(world);
	}
}

void
dispatch_end_try(struct world *world, int64_t number, int32_t delivery, enum schedule_news news,
                 enum slot slot)
{
	const struct line *line = schedule_line(world->schedule, number);
	if (line == NULL || !line_watched(line)) {
		dispatch_give_slot(world, number, slot);
		return;
	}
	struct message message = { .kind = TELLS_ENDED,
		                   .handler = number,
		                   .number = delivery,
		                   .news = news,
		                   .slot = slot };
	dispatch_tell(world, &message);
}

/* --- life --- */

void
dispatch_start(struct world *world)
{
	struct schedule_listener listener = { .context = world,
		                              .claim = on_claim,
		                              .fetch = on_fetch,
		                              .breaker = on_breaker };
	world->schedule = schedule_create(world->workers, world->rate, world->burst, &listener,
	                                  world->now_ns);
	world->wake_ns = FOREVER;
	rules_new_life(world);
	dispatch_tell_config(world);
	struct message message = world->messages[--world->message_count];
	take_message(world, &message); /* before the threads run */
}

void
dispatch_forget(struct world *world)
{
	schedule_destroy(world->schedule);
	world->schedule = NULL;
	for (size_t i = 0; i < world->message_count; i++) {
		free(world->messages[i].rows);
		free(world->messages[i].settings);
		free(world->messages[i].configured);
	}
	free(world->answer.rows);
	world->answer = (struct message){ 0 };
	world->message_count = 0;
	world->question_first = 0;
	world->question_count = 0;
	world->reading = false;
	world->wake_ns = FOREVER;
}
