#include "tests/simulator/invariant.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/units.h"

#define TOKEN_SLACK  1e-6L
#define TOKEN_BLUR   2e-3L /* a look at the bucket may cost it a billionth */
#define PASSES_MOST  (2 * WINDOW_ROWS)
#define ORDER_ENOUGH 2000 /* checks of order for their share to mean something */
#define WAITS_ENOUGH 300  /* for the mean of random waits to mean something */

/* A token bucket in the plainest way: in any t at most burst + rate·t, exactly when this never runs below zero. */
struct bucket {
	long double level;
	long double per_ns;
	long double most;
	int64_t at_ns;
};

struct watch { /* of a breaker */
	enum breaker_state state;
	int64_t row;
	int64_t wait_ns;
	int64_t until_ns;
	int32_t probe; /* 0: none */
};

struct line_rules {
	bool there;
	bool configured;
	struct line_settings settings;
	int64_t paused_until_ns;
	int64_t own;
	int64_t shared;
	int64_t claiming;
	bool asked[SCHEDULE_LANES];
	bool trusted[SCHEDULE_LANES];   /* no fetch failed since the last good one */
	int32_t passed[SCHEDULE_LANES]; /* the earliest, while others go before it */
	int64_t passes[SCHEDULE_LANES];
	struct bucket bucket;
	struct watch watch;
	bool expects_change; /* the news just given changes the breaker */
};

struct rules {
	struct line_rules lines[HANDLERS_MOST + 1];
	struct bucket bucket;
	int64_t shared;
	int64_t pumped_ns;
	long double wait_share[HANDLERS_MOST + 1]; /* of the longest wait, summed up */
	int64_t waits[HANDLERS_MOST + 1];
};

void
rule_broken(const struct world *world, const char *format, ...)
{
	va_list arguments;
	(void)printf("FAIL seed %" PRIu64 ", deliveries %" PRId64 ", life %" PRId64 ", at %" PRId64
	             ".%09" PRId64 " s: ",
	             world->seed, world->wanted, world->life, world->now_ns / NS_PER_S,
	             world->now_ns % NS_PER_S);
	va_start(arguments, format);
	(void)vprintf(format, arguments);
	va_end(arguments);
	(void)printf("\n  again with: --seed %" PRIu64 " --deliveries %" PRId64 "\n", world->seed,
	             world->wanted);
	(void)printf("0 passed, 1 failed\n");
	(void)fflush(stdout);
	exit(EXIT_FAILURE);
}

void
rules_create(struct world *world)
{
	world->rules = memory_need(sizeof(*world->rules));
}

void
rules_destroy(struct world *world)
{
	free(world->rules);
	world->rules = NULL;
}

/* --- buckets --- */

static void
bucket_set(struct bucket *bucket, int64_t rate, int64_t burst)
{
	bucket->per_ns = (long double)rate / UNITS_RATE_PERIOD_S / NS_PER_S;
	bucket->most = (long double)burst;
	bucket->level = bucket->level < bucket->most ? bucket->level : bucket->most;
}

static void
bucket_fill(struct bucket *bucket, int64_t now_ns)
{
	bucket->level += bucket->per_ns * (long double)(now_ns - bucket->at_ns);
	bucket->level = bucket->level < bucket->most ? bucket->level : bucket->most;
	bucket->at_ns = now_ns;
}

static struct bucket
bucket_full(int64_t rate, int64_t burst, int64_t now_ns)
{
	struct bucket bucket = { .level = (long double)burst, .at_ns = now_ns };
	bucket_set(&bucket, rate, burst);
	return bucket;
}

static bool
bucket_take(struct bucket *bucket, int64_t now_ns)
{
	bucket_fill(bucket, now_ns);
	bucket->level -= 1;
	return bucket->level >= -TOKEN_SLACK;
}

/* --- what the schedule was told --- */

void
rules_new_life(struct world *world)
{
	struct rules *rules = world->rules;
	memset(rules->lines, 0, sizeof(rules->lines));
	rules->shared = 0;
	rules->pumped_ns = 0;
	rules->bucket = bucket_full(world->rate, world->burst, world->now_ns);
}

void
rule_budget(struct world *world)
{
	bucket_fill(&world->rules->bucket, world->now_ns);
	bucket_set(&world->rules->bucket, world->rate, world->burst);
}

void
rule_configured(struct world *world, int64_t number, const struct line_settings *settings)
{
	struct line_rules *line = &world->rules->lines[number];
	if (!line->there) {
		*line = (struct line_rules){ .there = true };
	}
	if (settings->has_budget && !line->settings.has_budget) {
		line->bucket = bucket_full(settings->rate, settings->burst, world->now_ns);
	} else if (settings->has_budget) {
		bucket_fill(&line->bucket, world->now_ns);
		bucket_set(&line->bucket, settings->rate, settings->burst);
	}
	if (settings->breaker_failures == 0) {
		line->watch = (struct watch){ .state = BREAKER_CLOSED };
	}
	line->settings = *settings;
	line->configured = true;
}

void
rule_retired(struct world *world, int64_t number)
{
	world->rules->lines[number].configured = false;
}

void
rule_paused(struct world *world, int64_t number, int64_t until_ns)
{
	world->rules->lines[number].paused_until_ns = until_ns > world->now_ns ? until_ns : 0;
}

void
rule_fetched(struct world *world, int64_t number, int lane, bool good)
{
	struct line_rules *line = &world->rules->lines[number];
	if (!line->asked[lane]) {
		rule_broken(world, "handler %" PRId64 ": an answer that nobody asked for", number);
	}
	line->asked[lane] = false;
	line->trusted[lane] = good;
}

static void
nothing_learned(struct watch *watch, int32_t delivery)
{
	if (watch->state == BREAKER_HALF_OPEN && watch->probe == delivery) {
		watch->probe = 0;
	}
}

void
rule_claim_back(struct world *world, int64_t number, int32_t delivery, bool runs)
{
	struct line_rules *line = &world->rules->lines[number];
	line->claiming--;
	if (!runs) {
		nothing_learned(&line->watch, delivery);
	}
}

static void
watch_opens(struct line_rules *line, int64_t wait_ns, int64_t now_ns)
{
	struct watch *watch = &line->watch;
	int64_t most = line->settings.breaker_max_cooldown_ns;
	watch->state = BREAKER_OPEN;
	watch->wait_ns = wait_ns < most ? wait_ns : most;
	watch->until_ns = now_ns + watch->wait_ns;
	watch->probe = 0;
	line->expects_change = true;
}

void
rule_news(struct world *world, int64_t number, int32_t delivery, enum schedule_news news)
{
	struct line_rules *line = &world->rules->lines[number];
	struct watch *watch = &line->watch;
	bool probe = watch->state == BREAKER_HALF_OPEN && watch->probe == delivery;
	if (line->expects_change) {
		rule_broken(world, "handler %" PRId64 ": a change of its breaker was not told",
		            number);
	}
	if (line->settings.breaker_failures == 0) {
		return;
	}
	switch (news) {
	case NEWS_NOTHING: nothing_learned(watch, delivery); break;
	case NEWS_FAILURE:
		if (watch->state == BREAKER_CLOSED &&
		    ++watch->row >= line->settings.breaker_failures) {
			watch_opens(line, line->settings.breaker_cooldown_ns, world->now_ns);
		} else if (probe) {
			watch_opens(line, watch->wait_ns * 2, world->now_ns);
		}
		break;
	case NEWS_SUCCESS:
		if (watch->state == BREAKER_CLOSED) {
			watch->row = 0;
		} else if (probe) {
			*watch = (struct watch){ .state = BREAKER_CLOSED };
			line->expects_change = true;
		}
		break;
	}
}

/* --- what it decided --- */

static bool
is_paused(const struct world *world, const struct line_rules *line)
{
	return line->paused_until_ns > world->now_ns;
}

static void
take_slot(struct world *world, int64_t number, enum slot slot)
{
	struct rules *rules = world->rules;
	struct line_rules *line = &rules->lines[number];
	if (slot == SLOT_OWN) {
		line->own++;
	} else {
		line->shared++;
		rules->shared++;
	}
	if (line->own > 1) {
		rule_broken(world, "handler %" PRId64 " uses its own slot twice", number);
	}
	if (line->own + line->shared > line->settings.concurrency) {
		rule_broken(world,
		            "handler %" PRId64 " uses %" PRId64
		            " slots, its concurrency is %" PRId64,
		            number, line->own + line->shared, line->settings.concurrency);
	}
	if (rules->shared > world->workers) {
		rule_broken(world, "%" PRId64 " shared slots are in use, there are %" PRId64,
		            rules->shared, world->workers);
	}
}

static void
may_try(struct world *world, int64_t number, int32_t delivery)
{
	struct line_rules *line = &world->rules->lines[number];
	struct watch *watch = &line->watch;
	if (!line->configured) {
		rule_broken(world, "delivery %d of handler %" PRId64 ", which is gone, is tried",
		            delivery, number);
	}
	if (is_paused(world, line)) {
		rule_broken(world, "delivery %d of handler %" PRId64 ", which is paused, is tried",
		            delivery, number);
	}
	if (watch->state == BREAKER_OPEN && world->now_ns >= watch->until_ns) {
		watch->state = BREAKER_HALF_OPEN;
		watch->probe = 0;
	}
	if (watch->state == BREAKER_OPEN) {
		rule_broken(world,
		            "delivery %d of handler %" PRId64 " is tried behind an open breaker",
		            delivery, number);
	}
	if (watch->state == BREAKER_HALF_OPEN) {
		if (watch->probe != 0) {
			rule_broken(world,
			            "delivery %d of handler %" PRId64 " probes beside delivery %d",
			            delivery, number, watch->probe);
		}
		watch->probe = delivery;
		world->tally.probes++;
	}
}

/* Whether it is really there, and not what a reader saw before it changed. */
static bool
is_genuine(const struct world *world, int lane, struct window_item item)
{
	const struct delivery *delivery = &world->deliveries[item.seq];
	return world->known.nodes[item.seq].in && delivery->state == DELIVERY_PENDING &&
	       (int)delivery->retry == lane && delivery->due_ns == item.due_ns;
}

/* The earliest first. The window knows the earliest ones as long as it is not waiting for the disk, so a few may go out of
 * order where a page of it ends; but nobody is passed for long. */
static void
in_due_order(struct world *world, int64_t number, int lane, struct window_item item)
{
	struct line_rules *line = &world->rules->lines[number];
	int32_t first = tree_first(&world->known, world->handlers[number].known[lane]);
	if (first == 0 || !is_genuine(world, lane, item)) {
		return;
	}
	bool passed = world->known.nodes[first].key < item.at_ns;
	if (!line->asked[lane] && line->trusted[lane]) {
		world->tally.ordered_checks++;
		world->tally.out_of_order += passed ? 1 : 0;
	}
	if (!passed || line->passed[lane] != first) {
		line->passed[lane] = passed ? first : 0;
		line->passes[lane] = 0;
	}
	if (passed && ++line->passes[lane] > PASSES_MOST) {
		rule_broken(world,
		            "handler %" PRId64 ", lane %d: %" PRId64
		            " deliveries have passed delivery %d, the last one due %" PRId64
		            " ns later",
		            number, lane, line->passes[lane], first,
		            item.at_ns - world->known.nodes[first].key);
	}
}

void
rule_claims(struct world *world, int64_t number, int lane, struct window_item item, enum slot slot)
{
	struct line_rules *line = &world->rules->lines[number];
	int32_t delivery = (int32_t)item.seq;
	may_try(world, number, delivery);
	take_slot(world, number, slot);
	line->claiming++;
	if (item.at_ns > world->now_ns) {
		rule_broken(world, "delivery %d is claimed %" PRId64 " ns before its time",
		            delivery, item.at_ns - world->now_ns);
	}
	if (lane == 1 && !bucket_take(&world->rules->bucket, world->now_ns)) {
		rule_broken(world, "delivery %d is tried again beyond the budget", delivery);
	}
	if (lane == 1 && line->settings.has_budget && !bucket_take(&line->bucket, world->now_ns)) {
		rule_broken(world,
		            "delivery %d is tried again beyond the budget of handler %" PRId64,
		            delivery, number);
	}
	in_due_order(world, number, lane, item);
}

/* A fresh one passes nobody that the last pump could see. */
void
rule_takes_slot(struct world *world, int64_t number, enum slot slot)
{
	const struct rules *rules = world->rules;
	const struct line_rules *line = &rules->lines[number];
	int32_t first = tree_first(&world->known, world->handlers[number].known[0]);
	may_try(world, number, world->count);
	if (line->watch.state != BREAKER_CLOSED) {
		rule_broken(world, "handler %" PRId64 ": an arrival probes", number);
	}
	take_slot(world, number, slot);
	if (first != 0 && world->known.nodes[first].key <= rules->pumped_ns &&
	    first != world->count && world->message_count == 0 && world->told_count == 0) {
		rule_broken(world,
		            "handler %" PRId64
		            ": a fresh delivery passes delivery %d, due since %" PRId64 " ns",
		            number, first, world->now_ns - world->known.nodes[first].key);
	}
}

void
rule_gives_slot(struct world *world, int64_t number, enum slot slot)
{
	struct line_rules *line = &world->rules->lines[number];
	if (slot == SLOT_OWN) {
		line->own--;
	} else {
		line->shared--;
		world->rules->shared--;
	}
	if (line->own < 0 || line->shared < 0) {
		rule_broken(world, "handler %" PRId64 " gives a slot back twice", number);
	}
}

void
rule_fetches(struct world *world, int64_t number, int lane)
{
	struct line_rules *line = &world->rules->lines[number];
	if (line->asked[lane]) {
		rule_broken(world, "handler %" PRId64 ", lane %d: two questions at a time", number,
		            lane);
	}
	line->asked[lane] = true;
}

void
rule_breaker(struct world *world, int64_t number, const struct breaker *breaker)
{
	struct line_rules *line = &world->rules->lines[number];
	const struct watch *watch = &line->watch;
	world->tally.opened += breaker->state == BREAKER_OPEN ? 1 : 0;
	if (!line->expects_change || breaker->state != watch->state) {
		rule_broken(world, "handler %" PRId64 ": the breaker turns %s, not %s", number,
		            breaker_state_name(breaker->state), breaker_state_name(watch->state));
	}
	if (breaker->state == BREAKER_OPEN &&
	    (breaker->wait_ns != watch->wait_ns || breaker->until_ns != watch->until_ns)) {
		rule_broken(world,
		            "handler %" PRId64 ": the breaker opens for %" PRId64
		            " ns, not %" PRId64,
		            number, breaker->wait_ns, watch->wait_ns);
	}
	line->expects_change = false;
}

/* --- after each pump: whatever can be tried is tried, and the sleep is not too long --- */

/* How long until both buckets have a token. */
static long double
when_token(struct world *world, struct line_rules *line)
{
	struct bucket *buckets[] = { &world->rules->bucket,
		                     line->settings.has_budget ? &line->bucket : NULL };
	long double wait = 0;
	for (size_t i = 0; i < COUNT(buckets); i++) {
		if (buckets[i] != NULL) {
			bucket_fill(buckets[i], world->now_ns);
			long double missing = 1 - buckets[i]->level;
			if (missing > -TOKEN_BLUR && missing < TOKEN_BLUR) {
				return -1; /* nobody can tell */
			}
			long double own =
				missing <= 0 ? 0 : (missing + TOKEN_BLUR) / buckets[i]->per_ns;
			wait = own > wait ? own : wait;
		}
	}
	return wait;
}

static void
sleeps_until(struct world *world, int64_t number, int64_t next_ns, long double at_ns,
             const char *what)
{
	if ((long double)next_ns > at_ns + 1000) {
		rule_broken(world,
		            "handler %" PRId64 ": the sleep until %" PRId64
		            " ns is too long for %s, at %.0Lf",
		            number, next_ns, what, at_ns);
	}
}

static void
lane_goes_on(struct world *world, int64_t number, int lane, int64_t next_ns)
{
	struct rules *rules = world->rules;
	struct line_rules *line = &rules->lines[number];
	int32_t first = tree_first(&world->known, world->handlers[number].known[lane]);
	if (first == 0 || line->asked[lane] || !line->trusted[lane]) {
		return;
	}
	int64_t at = world->known.nodes[first].key;
	if (line->own + line->shared >= line->settings.concurrency ||
	    line->claiming >= line->settings.concurrency ||
	    (line->own > 0 && rules->shared >= world->workers)) {
		return; /* a slot that comes back wakes it */
	}
	long double token = lane == 0 ? 0 : when_token(world, line);
	long double can = (long double)world->now_ns + (token > 0 ? token : 0);
	if (at > world->now_ns) {
		char what[64];
		(void)snprintf(what, sizeof(what), "delivery %d of lane %d", first, lane);
		sleeps_until(world, number, next_ns, can > (long double)at ? can : (long double)at,
		             what);
		return;
	}
	if (token > 0) {
		sleeps_until(world, number, next_ns, can, "a token");
	} else if (token == 0) {
		rule_broken(world,
		            "handler %" PRId64 ", lane %d: delivery %d is due since %" PRId64
		            " ns, nothing is in its way, and it is not tried%s",
		            number, lane, first, world->now_ns - at,
		            line->own == 0 ? "; even the handler's own slot is free" : "");
	}
}

static void
line_goes_on(struct world *world, int64_t number, int64_t next_ns)
{
	struct line_rules *line = &world->rules->lines[number];
	struct watch *watch = &line->watch;
	const struct handler *handler = &world->handlers[number];
	if (line->expects_change) {
		rule_broken(world, "handler %" PRId64 ": a change of its breaker was not told",
		            number);
	}
	if (!line->there || !line->configured) {
		return;
	}
	if (is_paused(world, line)) {
		sleeps_until(world, number, next_ns, (long double)line->paused_until_ns,
		             "the end of its pause");
		return;
	}
	if (watch->state == BREAKER_OPEN && watch->until_ns > world->now_ns) {
		if (handler->known[0] != 0 || handler->known[1] != 0) {
			sleeps_until(world, number, next_ns, (long double)watch->until_ns,
			             "the end of the cooldown");
		}
		return;
	}
	if (watch->state == BREAKER_HALF_OPEN && watch->probe != 0) {
		return;
	}
	for (int lane = SCHEDULE_LANES - 1; lane >= 0; lane--) {
		lane_goes_on(world, number, lane, next_ns);
	}
}

void
rule_pumped(struct world *world, int64_t next_ns)
{
	world->rules->pumped_ns = world->now_ns;
	for (int64_t i = 1; i <= world->handler_count; i++) {
		line_goes_on(world, i, next_ns);
	}
}

/* --- what came of it --- */

static void
in_order(struct world *world, int32_t number)
{
	const struct delivery *delivery = &world->deliveries[number];
	const struct handler *handler = &world->handlers[delivery->handler];
	const struct key *key = &handler->keys[delivery->key];
	if (key->worked_on > 0) {
		rule_broken(world,
		            "delivery %d: another one of handler %d, key %d, is worked on already",
		            number, delivery->handler, delivery->key);
	}
	int32_t first = tree_first(&world->order, key->pending);
	if (first < number) {
		rule_broken(world, "delivery %d of handler %d, key %d, goes before delivery %d",
		            number, delivery->handler, delivery->key, first);
	}
	int32_t dead = tree_first(&world->order, key->dead);
	if (handler->holds && handler->configured && dead != 0 && dead < number) {
		rule_broken(
			world,
			"delivery %d of handler %d, key %d, passes delivery %d, which is dead and holds",
			number, delivery->handler, delivery->key, dead);
	}
}

void
rule_worked_on(struct world *world, int32_t number, int lane)
{
	const struct delivery *delivery = &world->deliveries[number];
	const struct handler *handler = &world->handlers[delivery->handler];
	if (delivery->worked_on || delivery->calls > 0) {
		rule_broken(world, "delivery %d runs twice at once", number);
	}
	if (!handler->at_most_once && delivery->tries >= handler->backoff.attempts) {
		rule_broken(world, "delivery %d is tried %d times, %" PRId64 " were allowed",
		            number, delivery->tries + 1, handler->backoff.attempts);
	}
	if (delivery->retry && lane != 1) {
		rule_broken(world, "delivery %d of handler %d is tried again without a token",
		            number, delivery->handler);
	}
	if (delivery->key != 0) {
		in_order(world, number);
	}
}

void
rule_call(struct world *world, int32_t number)
{
	const struct delivery *delivery = &world->deliveries[number];
	if (delivery->calls > 0) {
		rule_broken(world, "delivery %d runs twice at once", number);
	}
	if (world->now_ns < delivery->earliest_ns) {
		rule_broken(world, "delivery %d is tried %" PRId64 " ns before its backoff is over",
		            number, delivery->earliest_ns - world->now_ns);
	}
}

void
rule_waits(struct world *world, const struct handler *handler, int64_t failed, int64_t wait_ns)
{
	const struct backoff *backoff = &handler->backoff;
	long double most = (long double)backoff->first_ns;
	for (int64_t i = 1; i < failed && most < (long double)backoff->max_ns; i++) {
		most *= (long double)backoff->factor / 1000;
	}
	most = most < (long double)backoff->max_ns ? most : (long double)backoff->max_ns;
	long double slack = most * 1e-5L + 10; /* thousandths are cut off at each step */
	long double least = backoff->jitter ? 0 : most - slack;
	if ((long double)wait_ns < least || (long double)wait_ns > most + slack) {
		rule_broken(world,
		            "handler %" PRId64 ": after %" PRId64
		            " failed tries the wait is %" PRId64 " ns, its most is %.0Lf",
		            handler->number, failed, wait_ns, most);
	}
	if (backoff->jitter) {
		world->rules->wait_share[handler->number] += (long double)wait_ns / most;
		world->rules->waits[handler->number]++;
	}
}

/* --- in all --- */

void
rule_counts(struct world *world)
{
	int64_t counted[DELIVERY_STATES] = { 0 };
	int64_t sum = 0;
	for (int32_t i = 1; i <= world->count; i++) {
		counted[world->deliveries[i].state]++;
	}
	for (size_t i = 0; i < DELIVERY_STATES; i++) {
		sum += counted[i];
		if (counted[i] != world->counts.by_state[i]) {
			rule_broken(world, "%" PRId64 " are %s, %" PRId64 " are counted",
			            counted[i], delivery_state_name((enum delivery_state)i),
			            world->counts.by_state[i]);
		}
	}
	if (sum != world->counts.received) {
		rule_broken(world, "%" PRId64 " received, %" PRId64 " in all states",
		            world->counts.received, sum);
	}
}

static void
handler_is_still(struct world *world, const struct handler *handler)
{
	const struct line_rules *line = &world->rules->lines[handler->number];
	for (int lane = 0; lane < SCHEDULE_LANES; lane++) {
		int32_t first = tree_first(&world->due, handler->due[lane]);
		if (first != 0) {
			rule_broken(
				world,
				"handler %" PRId64
				", lane %d: delivery %d is pending, and nothing will happen any more",
				handler->number, lane, first);
		}
	}
	for (int32_t i = 1; i <= handler->key_count; i++) {
		int32_t pending = tree_first(&world->order, handler->keys[i].pending);
		int32_t dead = tree_first(&world->order, handler->keys[i].dead);
		if (pending != 0 && (!handler->holds || dead == 0 || dead > pending)) {
			rule_broken(
				world,
				"handler %" PRId64
				", key %d: delivery %d is held, and nobody of its key is before it",
				handler->number, i, pending);
		}
	}
	if (line->own != 0 || line->shared != 0 || line->claiming != 0) {
		rule_broken(world,
		            "handler %" PRId64 ": %" PRId64 " slots and %" PRId64
		            " claims did not come back",
		            handler->number, line->own + line->shared, line->claiming);
	}
}

void
rule_still(struct world *world)
{
	for (int64_t i = 1; i <= world->handler_count; i++) {
		handler_is_still(world, &world->handlers[i]);
	}
	if (world->counts.by_state[DELIVERY_RUNNING] != 0 || world->calls_under_way != 0) {
		rule_broken(world, "%" PRId64 " run, and nothing will happen any more",
		            world->counts.by_state[DELIVERY_RUNNING]);
	}
}

void
rule_over(struct world *world)
{
	rule_counts(world);
	if (world->counts.by_state[DELIVERY_PENDING] != 0) {
		rule_broken(world, "%" PRId64 " never ended",
		            world->counts.by_state[DELIVERY_PENDING]);
	}
	const struct tally *tally = &world->tally;
	if (tally->ordered_checks > ORDER_ENOUGH &&
	    tally->out_of_order * 50 > tally->ordered_checks) {
		rule_broken(world, "%" PRId64 " of %" PRId64 " tries were not the earliest",
		            tally->out_of_order, tally->ordered_checks);
	}
	for (int64_t i = 1; i <= world->handler_count; i++) {
		long double mean =
			world->rules->wait_share[i] / (long double)world->rules->waits[i];
		if (world->rules->waits[i] >= WAITS_ENOUGH && (mean < 0.40L || mean > 0.60L)) {
			rule_broken(world,
			            "handler %" PRId64
			            ": waits are no jitter: their mean is %.3Lf of the most",
			            i, mean);
		}
	}
}
