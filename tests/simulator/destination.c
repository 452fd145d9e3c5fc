/* Tries and what becomes of them: dispatch/attempt.c in front of destinations with a weather. */
#include <stdlib.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#include "tests/simulator/invariant.h"
#include "tests/simulator/world.h"

#define GIVE_BACK_WAIT_NS NS_PER_S

enum move
plan_again(struct world *world, struct handler *handler, const struct delivery *delivery,
           int64_t ran_ns, int64_t retry_after_ns, int64_t *due_ns)
{
	const struct backoff *backoff = &handler->backoff;
	bool first = delivery->first_failed_ran_ns < 0;
	int64_t since = first ? -1 : ran_ns - delivery->first_failed_ran_ns;
	if (backoff_exhausted(backoff, delivery->attempts, since)) {
		return MOVES_DEAD;
	}
	int64_t wait = backoff_wait(backoff, delivery->attempts, &world->random);
	rule_waits(world, handler, delivery->attempts, wait);
	int64_t asked = retry_after_ns < backoff->max_ns ? retry_after_ns : backoff->max_ns;
	*due_ns = world->now_ns + (asked > wait ? asked : wait);
	return MOVES_AGAIN;
}

static int64_t
outcome(struct world *world, const struct handler *handler, bool poison, struct call *call)
{
	enum weather weather = handler->broken ? WEATHER_FAILS : handler->weather;
	int64_t quick = between(world, 200 * NS_PER_US, 20 * NS_PER_MS);
	if (weather == WEATHER_MIXED) {
		weather = (enum weather)between(world, WEATHER_GOOD, WEATHER_MUTE);
	}
	call->move = MOVES_DONE;
	call->news = NEWS_SUCCESS;
	if (chance(world, 2000)) { /* no process could be made */
		call->move = MOVES_BACK;
		call->news = NEWS_NOTHING;
		return quick;
	}
	if (poison) { /* exit code 65, or 409 with retry_on */
		call->fails = true;
		call->move = chance(world, 2) ? MOVES_DEAD : MOVES_AGAIN;
		call->news = NEWS_NOTHING;
		return quick;
	}
	switch (weather) {
	case WEATHER_SLOW: return between(world, 50 * NS_PER_MS, handler->timeout_ns);
	case WEATHER_FAILS:
		call->fails = true;
		call->move = chance(world, 30) ? MOVES_DEAD : MOVES_AGAIN; /* 401, 503 */
		call->news = NEWS_FAILURE;
		if (chance(world, 20)) {
			call->retry_after_ns = between(world, NS_PER_S, 100 * NS_PER_S);
		}
		return quick;
	case WEATHER_HANGS:
		call->fails = true;
		call->move = MOVES_AGAIN;
		call->news = NEWS_FAILURE;
		return handler->timeout_ns;
	case WEATHER_MUTE:
		call->fails = true;
		call->move = MOVES_AGAIN;
		call->news = NEWS_NOTHING;
		return quick;
	case WEATHER_GOOD:
	case WEATHER_MIXED:
	case WEATHERS: break;
	}
	return quick;
}

/* Not tried: uncounted. */
static void
give_back(struct world *world, int32_t number, enum slot slot)
{
	const struct delivery *delivery = &world->deliveries[number];
	struct intention result = { .what = INTENDS_RESULT,
		                    .handler = delivery->handler,
		                    .number = number,
		                    .move = MOVES_BACK,
		                    .news = NEWS_NOTHING,
		                    .round = delivery->round,
		                    .attempts = delivery->attempts,
		                    .due_ns = world->now_ns };
	dispatch_end_try(world, delivery->handler, number, NEWS_NOTHING, slot);
	store_submit(world, &result);
}

static int32_t
new_call(struct world *world)
{
	if (world->call_free != 0) {
		int32_t id = world->call_free;
		world->call_free = world->calls[id].next_free;
		return id;
	}
	if (world->call_count + 1 >= world->call_room) {
		world->call_room = world->call_room == 0 ? 256 : world->call_room * 2;
		world->calls = memory_resize(world->calls,
		                             (size_t)world->call_room * sizeof(*world->calls));
	}
	return ++world->call_count;
}

void
call_start(struct world *world, int32_t number, enum slot slot)
{
	struct delivery *delivery = &world->deliveries[number];
	struct handler *handler = &world->handlers[delivery->handler];
	if (!handler->configured) {
		give_back(world, number, slot);
		return;
	}
	int32_t id = new_call(world);
	struct call *call = &world->calls[id];
	*call = (struct call){ .number = number,
		               .handler = handler->number,
		               .slot = slot,
		               .round = delivery->round,
		               .attempts = delivery->attempts };
	const struct line *line = schedule_line(world->schedule, handler->number);
	call->ran_base_ns =
		handler->ran_at_start_ns + line_ran_ns(line, world->now_ns) - world->now_ns;
	rule_call(world, number);
	delivery->calls++;
	world->calls_under_way++;
	world->tally.tries++;
	world->tally.retries += delivery->attempts > 1 || delivery->round > 0 ? 1 : 0;
	int64_t takes = outcome(world, handler, delivery->poison, call);
	plan_in(world, takes + between(world, 0, 300 * NS_PER_US), HAPPENS_CALL_END, id);
}

void
call_end(struct world *world, int32_t id)
{
	struct call *call = &world->calls[id];
	struct delivery *delivery = &world->deliveries[call->number];
	struct handler *handler = &world->handlers[call->handler];
	struct intention result = { .what = INTENDS_RESULT,
		                    .handler = call->handler,
		                    .number = call->number,
		                    .move = call->move,
		                    .news = call->news,
		                    .round = call->round,
		                    .attempts = call->attempts,
		                    .ran_ns = call->ran_base_ns + world->now_ns,
		                    .counted = call->fails };
	delivery->calls--;
	world->calls_under_way--;
	if (handler->at_most_once) {
		result.move = MOVES_DONE;
	} else if (call->move == MOVES_AGAIN) {
		result.move = plan_again(world, handler, delivery, result.ran_ns,
		                         call->retry_after_ns, &result.due_ns);
		result.earliest_ns = result.due_ns;
		if (result.move == MOVES_AGAIN && call->attempts >= handler->backoff.attempts) {
			rule_broken(world,
			            "delivery %d is to be tried again after all its %d tries",
			            call->number, call->attempts);
		}
	} else if (call->move == MOVES_BACK) {
		result.due_ns = world->now_ns + GIVE_BACK_WAIT_NS;
		result.earliest_ns = result.due_ns;
	}
	dispatch_end_try(world, call->handler, call->number, call->news, call->slot);
	store_submit(world, &result);
	call->next_free = world->call_free;
	world->call_free = id;
}

void
calls_forget(struct world *world)
{
	world->call_count = 0;
	world->call_free = 0;
	world->calls_under_way = 0;
}
