/* What is configured, and what happens when. */
#include "tests/simulator/world.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"
#include "receiver/base/units.h"

#include "tests/simulator/invariant.h"

#define COUNT_EVERY   20000 /* steps */
#define FAULTS_A_RUN  100
#define CALM_AFTER    20 /* faults, about, when all have arrived */
#define BURST_MOST    3000
#define BURST_ONE_IN  400
#define A_TOKEN_A_S   UNITS_RATE_PERIOD_S
#define REPLAYED_MOST 300

void
trace(const struct world *world, int64_t number, const char *format, ...)
{
	if (number == 0 || number != world->traced) {
		return;
	}
	const struct delivery *delivery = &world->deliveries[number];
	va_list arguments;
	(void)printf("%13.6f handler %d %-9s round %d try %d%s%s due %.6f: ",
	             (double)world->now_ns / NS_PER_S, delivery->handler,
	             delivery_state_name(delivery->state), delivery->round, delivery->attempts,
	             delivery->retry ? " retry" : "", delivery->held ? " held" : "",
	             (double)delivery->due_ns / NS_PER_S);
	va_start(arguments, format);
	(void)vprintf(format, arguments);
	va_end(arguments);
	(void)printf("\n");
}

/* --- chance --- */

bool
chance(struct world *world, int64_t one_in)
{
	return random_up_to(&world->random, one_in - 1) == 0;
}

int64_t
between(struct world *world, int64_t least, int64_t most)
{
	return least + random_up_to(&world->random, most - least);
}

/* Each magnitude as likely as the others. */
int64_t
between_magnitudes(struct world *world, int64_t least, int64_t most)
{
	double share = (double)random_up_to(&world->random, 1 << 20) / (1 << 20);
	double value = exp(log((double)least) + share * (log((double)most) - log((double)least)));
	int64_t rounded = (int64_t)value;
	return rounded < least ? least : rounded > most ? most : rounded;
}

void
plan_in(struct world *world, int64_t wait_ns, enum happening what, int64_t subject)
{
	calendar_add(&world->calendar, (struct entry){ .at_ns = world->now_ns + wait_ns,
	                                               .what = what,
	                                               .life = world->life,
	                                               .subject = subject });
}

/* --- configuration --- */

static void
set_limits(struct world *world, struct handler *handler)
{
	struct line_settings *settings = &handler->settings;
	settings->concurrency = chance(world, 3) ? between(world, 1, 3) : between(world, 1, 64);
	settings->has_budget = chance(world, 3);
	settings->rate = between_magnitudes(world, A_TOKEN_A_S / 60, 1000 * A_TOKEN_A_S);
	settings->burst = between_magnitudes(world, 1, 300);
	settings->breaker_failures = 0;
	settings->breaker_cooldown_ns = between_magnitudes(world, 10 * NS_PER_MS, 20 * NS_PER_S);
	settings->breaker_max_cooldown_ns =
		chance(world, 10) ? settings->breaker_cooldown_ns / 2 + NS_PER_MS
				  : settings->breaker_cooldown_ns * between(world, 1, 40);
	if (!handler->at_most_once && !chance(world, 3)) {
		settings->breaker_failures = between_magnitudes(world, 1, 20);
	}
}

static void
make_handler(struct world *world, int64_t number)
{
	static const int32_t keys[] = { 1, 3, 12, KEYS_MOST };
	struct handler *handler = &world->handlers[number];
	handler->number = number;
	handler->configured = true;
	handler->at_most_once = chance(world, 7);
	handler->holds = chance(world, 3);
	bool ordered = chance(world, 2);
	handler->key_count = ordered ? keys[between(world, 0, COUNT(keys) - 1)] : 0;
	handler->timeout_ns = between_magnitudes(world, 200 * NS_PER_MS, 10 * NS_PER_S);
	handler->broken = number > 1 && chance(world, 8);
	handler->weight = handler->broken || handler->key_count == 1 ? 1 : between(world, 2, 10);
	handler->backoff.attempts = between(world, 1, 8);
	handler->backoff.first_ns = between_magnitudes(world, NS_PER_MS, 5 * NS_PER_S);
	handler->backoff.factor = chance(world, 5) ? 1000 : between(world, 1000, 4000);
	handler->backoff.max_ns = handler->backoff.first_ns * between_magnitudes(world, 1, 200);
	handler->backoff.jitter = !chance(world, 3);
	handler->backoff.give_up_after_ns = between_magnitudes(world, NS_PER_S, 3600 * NS_PER_S);
	handler->settings.max_wait_ns = handler->backoff.max_ns;
	set_limits(world, handler);
	world->weight_sum += handler->weight;
}

static void
set_budget(struct world *world)
{
	world->rate = between_magnitudes(world, 5 * A_TOKEN_A_S, 5000 * A_TOKEN_A_S);
	world->burst = between_magnitudes(world, 1, 500);
}

static void
make(struct world *world)
{
	size_t rows = (size_t)world->wanted + BURST_MOST + 2;
	random_seed(&world->random, world->seed);
	world->now_ns = NS_PER_S;
	world->deliveries = memory_need(rows * sizeof(*world->deliveries));
	world->due.nodes = memory_need(rows * sizeof(*world->due.nodes));
	world->order.nodes = memory_need(rows * sizeof(*world->order.nodes));
	world->known.nodes = memory_need(rows * sizeof(*world->known.nodes));
	world->workers = chance(world, 8) ? 0 : between_magnitudes(world, 1, 64);
	world->gap_ns = between_magnitudes(world, 100 * NS_PER_US, 10 * NS_PER_MS);
	set_budget(world);
	world->handler_count = between(world, 4, HANDLERS_MOST);
	for (int64_t i = 1; i <= world->handler_count; i++) {
		make_handler(world, i);
	}
	rules_create(world);
}

static void
finish(struct world *world)
{
	dispatch_forget(world);
	rules_destroy(world);
	calendar_finish(&world->calendar);
	free(world->deliveries);
	free(world->due.nodes);
	free(world->order.nodes);
	free(world->known.nodes);
	free(world->inbox.items);
	free(world->batch.items);
	free(world->messages);
	free(world->questions);
	free(world->calls);
	free(world->told_due);
	free(world->jobs);
	free(world->job_slots);
}

/* --- lives --- */

static void
crash(struct world *world)
{
	dispatch_forget(world);
	calls_forget(world);
	world->up = false;
	world->life++;
	world->inbox.count = 0;
	world->turning = false;
	world->tally.crashes++;
	trace(world, world->traced, "crash");
	for (int32_t i = 1; i <= world->count; i++) {
		struct delivery *delivery = &world->deliveries[i];
		delivery->calls = 0;
		if (delivery->worked_on && delivery->state == DELIVERY_DONE) { /* at most once */
			delivery->worked_on = false;
			world->handlers[delivery->handler].keys[delivery->key].worked_on--;
		}
		store_unknow(world, i);
		delivery->claiming = 0;
		delivery->patient_ns = 0;
		store_know(world, i, delivery->due_ns);
	}
	plan_in(world, between_magnitudes(world, NS_PER_MS, 20 * NS_PER_S), HAPPENS_START, 0);
}

static void
start(struct world *world)
{
	world->up = true;
	for (int64_t i = 1; i <= world->handler_count; i++) {
		world->handlers[i].ran_at_start_ns = world->handlers[i].ran_ns;
	}
	if (world->life > 0 && chance(world, 2)) {
		world->workers = between(world, 0, 64);
	}
	dispatch_start(world);
	store_recover(world);
	dispatch_wake(world);
}

/* --- the sender --- */

static struct handler *
any_handler(struct world *world)
{
	int64_t at = between(world, 0, world->weight_sum - 1);
	for (int64_t i = 1;; i++) {
		at -= world->handlers[i].weight;
		if (at < 0) {
			return &world->handlers[i];
		}
	}
}

static void
arrive(struct world *world)
{
	int64_t many = chance(world, BURST_ONE_IN) ? between(world, 100, BURST_MOST)
	                                           : between(world, 1, 5);
	struct handler *all = many > 5 && chance(world, 2) ? any_handler(world) : NULL;
	for (int64_t i = 0; i < many && world->up; i++) {
		struct handler *handler = all != NULL && !all->broken ? all : any_handler(world);
		if (handler->configured) {
			struct intention arrival = { .what = INTENDS_ARRIVAL,
				                     .handler = handler->number };
			if (handler->key_count > 0 && !chance(world, 10)) {
				arrival.key = (int32_t)between(world, 1, handler->key_count);
			}
			store_submit(world, &arrival);
		}
	}
	if (world->count + (int64_t)world->inbox.count < world->wanted) {
		plan_in(world, between(world, 0, 6 * world->gap_ns), HAPPENS_ARRIVAL, 0);
	} else if (world->count < world->wanted) { /* some of them may not be taken */
		plan_in(world, NS_PER_S, HAPPENS_ARRIVAL, 0);
	}
}

/* --- faults --- */

static void
pause_handler(struct world *world, struct handler *handler, int64_t until_ns)
{
	struct intention pause = { .what = INTENDS_PAUSE,
		                   .handler = handler->number,
		                   .until_ns = until_ns };
	store_submit(world, &pause);
	world->tally.pauses++;
}

/* As engine_set_config() and engine_settle_orders(). */
static void
reload(struct world *world, struct handler *handler, bool configured)
{
	bool changes = handler->configured != configured;
	handler->configured = configured;
	world->tally.reloads++;
	dispatch_tell_config(world);
	if (changes && configured) {
		int64_t kept = world->batch_now_ns;
		world->batch_now_ns = world->now_ns;
		for (int32_t key = 1; key <= handler->key_count; key++) {
			order_settle_key(world, handler, key);
		}
		world->batch_now_ns = kept;
		store_submit(world, NULL); /* what it made due is told with the next batch */
	}
}

static void
change_config(struct world *world, struct handler *handler)
{
	if (!handler->configured) {
		reload(world, handler, true);
	} else if (chance(world, 2)) {
		reload(world, handler, false);
	} else {
		set_limits(world, handler);
		reload(world, handler, true);
	}
	if (chance(world, 4)) {
		set_budget(world);
	}
}

static void
submit_for(struct world *world, int32_t number, enum intent what)
{
	struct intention intention = { .what = what, .number = number };
	intention.handler = world->deliveries[number].handler;
	store_submit(world, &intention);
}

/* Dead ones of one key, or any that are found, and a few that are done. */
static void
replay(struct world *world)
{
	struct handler *handler = any_handler(world);
	int32_t key = handler->key_count == 0 ? 0 : (int32_t)between(world, 1, handler->key_count);
	int32_t number = key == 0 ? 0 : tree_first(&world->order, handler->keys[key].dead);
	for (int i = 0; i < 8 && number != 0; i++) {
		submit_for(world, number, INTENDS_REOPEN);
		number = tree_after(&world->order, handler->keys[key].dead, number, number);
	}
	for (int i = 0; i < REPLAYED_MOST && world->count > 0; i++) {
		number = (int32_t)between(world, 1, world->count);
		bool dead = world->deliveries[number].state == DELIVERY_DEAD;
		if (dead || chance(world, 40)) {
			submit_for(world, number, INTENDS_REOPEN);
		}
	}
}

static void
discard_and_restore(struct world *world)
{
	for (int i = 0; i < REPLAYED_MOST && world->count > 0; i++) {
		int32_t number = (int32_t)between(world, 1, world->count);
		submit_for(world, number, chance(world, 3) ? INTENDS_RESTORE : INTENDS_DISCARD);
	}
}

/* No more faults: everything must end now. */
static void
calm_down(struct world *world)
{
	world->calm = true;
	for (int64_t i = 1; i <= world->handler_count; i++) {
		struct handler *handler = &world->handlers[i];
		handler->weather = WEATHER_GOOD;
		pause_handler(world, handler, 0);
		if (!handler->configured) {
			reload(world, handler, true);
		}
	}
}

static void
fault(struct world *world)
{
	struct handler *handler = any_handler(world);
	int64_t length = world->wanted * world->gap_ns;
	if (world->up) {
		if (world->count >= world->wanted && chance(world, CALM_AFTER)) {
			calm_down(world);
			return;
		}
		switch (between(world, 0, 9)) {
		case 0:
		case 1: crash(world); break;
		case 2:
			pause_handler(world, handler,
			              chance(world, 4)
			                      ? FOREVER
			                      : world->now_ns + between_magnitudes(world, NS_PER_MS,
			                                                           length / 10));
			break;
		case 3: pause_handler(world, handler, 0); break;
		case 4:
		case 5: change_config(world, handler); break;
		case 6:
		case 7: replay(world); break;
		case 8: discard_and_restore(world); break;
		default:
			world->disk_bad_until_ns =
				world->now_ns + between(world, NS_PER_MS, 5 * NS_PER_S);
			break;
		}
	}
	plan_in(world, between(world, 0, 2 * length / FAULTS_A_RUN), HAPPENS_FAULT, 0);
}

static void
weather(struct world *world, int64_t number)
{
	struct handler *handler = &world->handlers[number];
	int64_t length = world->wanted * world->gap_ns;
	if (world->calm) {
		return;
	}
	handler->weather =
		chance(world, 2) ? WEATHER_GOOD : (enum weather)between(world, 0, WEATHERS - 1);
	plan_in(world, between(world, 0, length / 10), HAPPENS_WEATHER, number);
}

/* --- the run --- */

/* Somebody looks after the keys that a dead one holds. */
static bool
release_keys(struct world *world)
{
	bool any = false;
	for (int64_t i = 1; i <= world->handler_count; i++) {
		struct handler *handler = &world->handlers[i];
		for (int32_t key = 1; key <= handler->key_count; key++) {
			int32_t dead = tree_first(&world->order, handler->keys[key].dead);
			if (handler->keys[key].pending != 0 && dead != 0) {
				bool again = chance(world, 3) && !handler->broken &&
				             world->deliveries[dead].revivals < 3;
				submit_for(world, dead, again ? INTENDS_REOPEN : INTENDS_DISCARD);
				any = true;
			}
		}
	}
	return any;
}

static void
happen(struct world *world, const struct entry *entry)
{
	bool now = entry->life == world->life;
	switch (entry->what) {
	case HAPPENS_ARRIVAL: arrive(world); break;
	case HAPPENS_WEATHER: weather(world, entry->subject); break;
	case HAPPENS_FAULT: fault(world); break;
	case HAPPENS_START: start(world); break;
	case HAPPENS_TURN:
		if (now) {
			store_turn(world);
		}
		break;
	case HAPPENS_DISPATCH:
		if (now && entry->at_ns == world->wake_ns) {
			dispatch_run(world);
		}
		break;
	case HAPPENS_READ:
		if (now) {
			reader_look(world);
		}
		break;
	case HAPPENS_ANSWER:
		if (now) {
			reader_answer(world);
		}
		break;
	case HAPPENS_CALL_END:
		if (now) {
			call_end(world, (int32_t)entry->subject);
		}
		break;
	}
}

void
world_play(struct world *world)
{
	struct entry entry;
	make(world);
	plan_in(world, 0, HAPPENS_START, 0);
	plan_in(world, NS_PER_MS, HAPPENS_ARRIVAL, 0);
	plan_in(world, NS_PER_S, HAPPENS_FAULT, 0);
	for (int64_t i = 1; i <= world->handler_count; i++) {
		plan_in(world, NS_PER_MS, HAPPENS_WEATHER, i);
	}
	do {
		while (calendar_take(&world->calendar, &entry)) {
			world->now_ns = entry.at_ns;
			happen(world, &entry);
			if (++world->tally.steps % COUNT_EVERY == 0) {
				rule_counts(world);
			}
		}
		rule_still(world);
	} while (release_keys(world));
	rule_over(world);
	finish(world);
}
