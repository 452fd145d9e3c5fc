#include "receiver/dispatch/slots.h"

#include <pthread.h>
#include <sched.h>

#include "receiver/base/error.h"

#include "tests/unit/check.h"

static void
begin(struct slots *slots, struct shared_slots *shared, int64_t concurrency)
{
	slots_init(slots, shared);
	slots_change(slots, concurrency, false);
}

static void
the_own_slot_comes_first_then_shared_ones(void)
{
	struct shared_slots shared;
	struct slots a;
	shared_slots_init(&shared, 2);
	begin(&a, &shared, 4);
	CHECK(slots_take(&a) == SLOT_OWN);
	CHECK(slots_take(&a) == SLOT_SHARED && slots_take(&a) == SLOT_SHARED);
	CHECK(slots_take(&a) == SLOT_NONE); /* concurrency allows it, but nothing is left */
	slots_give(&a, SLOT_OWN);
	CHECK(slots_take(&a) == SLOT_OWN);
	slots_give(&a, SLOT_SHARED);
	CHECK(slots_take(&a) == SLOT_SHARED);
	slots_give(&a, SLOT_SHARED);
	slots_give(&a, SLOT_SHARED);
	slots_give(&a, SLOT_OWN);
	CHECK(atomic_load(&shared.free) == 2 && atomic_load(&a.room) == 4 &&
	      atomic_load(&a.own) == 1);
}

static void
concurrency_bounds_a_handler(void)
{
	struct shared_slots shared;
	struct slots a;
	shared_slots_init(&shared, 100);
	begin(&a, &shared, 3);
	CHECK(slots_take(&a) == SLOT_OWN && slots_take(&a) == SLOT_SHARED);
	CHECK(slots_take(&a) == SLOT_SHARED && slots_take(&a) == SLOT_NONE);
	CHECK(atomic_load(&shared.free) == 98);
	slots_give(&a, SLOT_SHARED);
	CHECK(slots_take(&a) == SLOT_SHARED && slots_take(&a) == SLOT_NONE);
	struct slots one;
	begin(&one, &shared, 1);
	CHECK(slots_take(&one) == SLOT_OWN && slots_take(&one) == SLOT_NONE);
}

/* PRODUCT section 5: a slow, hanging or dead handler never delays another one, even when its concurrency equals workers. */
static void
a_handler_that_hangs_in_all_its_slots_leaves_the_others_theirs(void)
{
	for (int64_t workers = 0; workers <= 16; workers++) {
		struct shared_slots shared;
		struct slots greedy;
		struct slots others[8];
		shared_slots_init(&shared, workers);
		begin(&greedy, &shared, 1000);
		int64_t held = 0;
		while (slots_take(&greedy) != SLOT_NONE) {
			held++;
		}
		CHECK_ROW(held == workers + 1, "%" PRId64 " held of %" PRId64, held, workers);
		for (size_t i = 0; i < COUNT(others); i++) {
			begin(&others[i], &shared, 4);
			CHECK(slots_take(&others[i]) == SLOT_OWN);
			CHECK(slots_take(&others[i]) == SLOT_NONE);
			slots_give(&others[i], SLOT_OWN);
			CHECK(slots_take(&others[i]) == SLOT_OWN);
		}
	}
}

static void
concurrency_can_be_changed_while_calls_run(void)
{
	struct shared_slots shared;
	struct slots a;
	shared_slots_init(&shared, 10);
	begin(&a, &shared, 4);
	for (int i = 0; i < 4; i++) {
		CHECK(slots_take(&a) != SLOT_NONE);
	}
	slots_change(&a, 1, false);
	slots_give(&a, SLOT_SHARED);
	slots_give(&a, SLOT_SHARED);
	slots_give(&a, SLOT_SHARED);
	CHECK(slots_take(&a) == SLOT_NONE);
	slots_give(&a, SLOT_OWN);
	CHECK(slots_take(&a) == SLOT_OWN && slots_take(&a) == SLOT_NONE);
	slots_change(&a, 2, false);
	CHECK(slots_take(&a) == SLOT_SHARED && slots_take(&a) == SLOT_NONE);
}

static void
brief_calls_are_claimed_ahead_and_take_no_shared_slots(void)
{
	struct shared_slots shared;
	struct slots a;
	shared_slots_init(&shared, 2);
	begin(&a, &shared, 4);
	CHECK(slots_take(&a) == SLOT_OWN && slots_take(&a) == SLOT_SHARED);
	slots_change(&a, SLOTS_AHEAD, true); /* while two calls run as before */
	CHECK(slots_taken(&a) == 2);
	for (int i = 2; i < SLOTS_AHEAD; i++) {
		CHECK(slots_take(&a) == SLOT_APART);
	}
	CHECK(slots_take(&a) == SLOT_NONE && atomic_load(&shared.free) == 1);
	slots_give(&a, SLOT_OWN);
	CHECK(slots_take(&a) == SLOT_APART && slots_take(&a) == SLOT_NONE);
	slots_change(&a, 4, false); /* and back: none until most of those are over */
	for (int i = 1; i < SLOTS_AHEAD - 3; i++) {
		slots_give(&a, SLOT_APART);
		CHECK(slots_take(&a) == SLOT_NONE);
	}
	slots_give(&a, SLOT_APART);
	CHECK(slots_take(&a) == SLOT_OWN && slots_take(&a) == SLOT_NONE);
	slots_give(&a, SLOT_SHARED);
	CHECK(atomic_load(&shared.free) == 2);
}

static void
a_stop_gives_no_more_slots(void)
{
	struct shared_slots shared;
	struct slots a;
	shared_slots_init(&shared, 10);
	begin(&a, &shared, 4);
	CHECK(slots_take(&a) == SLOT_OWN);
	atomic_store(&shared.closed, true);
	CHECK(slots_take(&a) == SLOT_NONE);
	slots_give(&a, SLOT_OWN);
	CHECK(slots_take(&a) == SLOT_NONE && atomic_load(&a.room) == 4);
}

/* --- threads --- */

#define HANDLERS    3
#define CONCURRENCY 3
#define WORKERS     4
#define ROUNDS      40000
#define CROWD       3 /* threads for each handler but the last, which has one */

struct crowd {
	struct shared_slots shared;
	struct slots slots[HANDLERS];
	atomic_int own[HANDLERS]; /* who holds what now */
	atomic_int all[HANDLERS];
	atomic_int shared_held;
	atomic_int wrong_own;
	atomic_int wrong_all;
	atomic_int wrong_shared;
	atomic_int refused; /* of the handler that asks for one slot at a time */
	atomic_llong taken;
};

struct member {
	struct crowd *crowd;
	int handler;
	uint64_t seed;
};

static void
count_up(struct crowd *crowd, int handler, enum slot slot)
{
	(void)atomic_fetch_add(&crowd->taken, 1);
	if (slot == SLOT_OWN && atomic_fetch_add(&crowd->own[handler], 1) != 0) {
		(void)atomic_fetch_add(&crowd->wrong_own, 1);
	}
	if (slot == SLOT_SHARED && atomic_fetch_add(&crowd->shared_held, 1) >= WORKERS) {
		(void)atomic_fetch_add(&crowd->wrong_shared, 1);
	}
	if (atomic_fetch_add(&crowd->all[handler], 1) >= CONCURRENCY) {
		(void)atomic_fetch_add(&crowd->wrong_all, 1);
	}
}

static void
count_down(struct crowd *crowd, int handler, enum slot slot)
{
	(void)atomic_fetch_sub(&crowd->all[handler], 1);
	(void)atomic_fetch_sub(slot == SLOT_OWN ? &crowd->own[handler] : &crowd->shared_held, 1);
}

static void *
take_and_give(void *context)
{
	const struct member *member = context;
	struct crowd *crowd = member->crowd;
	struct slots *slots = &crowd->slots[member->handler];
	bool modest = member->handler == HANDLERS - 1;
	struct random random;
	random_seed(&random, member->seed);
	for (int i = 0; i < ROUNDS; i++) {
		enum slot held[2] = { SLOT_NONE, SLOT_NONE };
		int wanted = modest ? 1 : 2;
		for (int j = 0; j < wanted; j++) {
			held[j] = slots_take(slots);
			if (held[j] != SLOT_NONE) {
				count_up(crowd, member->handler, held[j]);
			}
		}
		if (modest && held[0] != SLOT_OWN) {
			(void)atomic_fetch_add(&crowd->refused, 1);
		}
		if (random_up_to(&random, 15) == 0) {
			(void)sched_yield();
		}
		for (int j = 0; j < wanted; j++) {
			if (held[j] != SLOT_NONE) {
				count_down(crowd, member->handler, held[j]);
				slots_give(slots, held[j]);
			}
		}
	}
	return NULL;
}

/* Handlers with more threads than slots beside one that asks for one at a time: that one always gets its own. */
static void
threads_never_hold_more_than_there_is(void)
{
	static struct crowd crowd;
	struct member members[(HANDLERS - 1) * CROWD + 1];
	pthread_t threads[COUNT(members)];
	shared_slots_init(&crowd.shared, WORKERS);
	for (int i = 0; i < HANDLERS; i++) {
		begin(&crowd.slots[i], &crowd.shared, CONCURRENCY);
	}
	for (size_t i = 0; i < COUNT(members); i++) {
		members[i] = (struct member){ &crowd, (int)(i / CROWD), check.seed + i };
		ALWAYS(pthread_create(&threads[i], NULL, take_and_give, &members[i]) == 0,
		       "test-thread");
	}
	for (size_t i = 0; i < COUNT(members); i++) {
		(void)pthread_join(threads[i], NULL);
	}
	CHECK_ROW(atomic_load(&crowd.refused) == 0, "%d times", atomic_load(&crowd.refused));
	CHECK_ROW(atomic_load(&crowd.wrong_own) == 0, "%d times", atomic_load(&crowd.wrong_own));
	CHECK_ROW(atomic_load(&crowd.wrong_all) == 0, "%d times", atomic_load(&crowd.wrong_all));
	CHECK_ROW(atomic_load(&crowd.wrong_shared) == 0, "%d times",
	          atomic_load(&crowd.wrong_shared));
	CHECK(atomic_load(&crowd.taken) > ROUNDS);
	CHECK(atomic_load(&crowd.shared.free) == WORKERS); /* all came back */
	for (int i = 0; i < HANDLERS; i++) {
		CHECK(atomic_load(&crowd.slots[i].room) == CONCURRENCY);
		CHECK(atomic_load(&crowd.slots[i].own) == 1);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "the own slot comes first, then shared ones",
		  the_own_slot_comes_first_then_shared_ones },
		{ "concurrency bounds a handler", concurrency_bounds_a_handler },
		{ "a handler that hangs in all its slots leaves the others theirs",
		  a_handler_that_hangs_in_all_its_slots_leaves_the_others_theirs },
		{ "concurrency can be changed while calls run",
		  concurrency_can_be_changed_while_calls_run },
		{ "brief calls are claimed ahead and take no shared slots",
		  brief_calls_are_claimed_ahead_and_take_no_shared_slots },
		{ "a stop gives no more slots", a_stop_gives_no_more_slots },
		{ "threads never hold more than there is, and the own slot is always there",
		  threads_never_hold_more_than_there_is },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
