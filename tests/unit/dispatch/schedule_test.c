/* The schedule behind a listener that writes down what it is asked for. */
#include "receiver/dispatch/schedule.h"

#include "tests/unit/check.h"

#define A_SECOND UNITS_RATE_PERIOD_S /* of one token a second */
#define NOTES    4096

struct note {
	int64_t number;
	int64_t seq;
	int lane;
	enum slot slot;
};

static struct notes {
	struct schedule *schedule;
	struct note claims[NOTES];
	size_t claim_count;
	struct note fetches[NOTES];
	size_t fetch_count;
	enum breaker_state states[NOTES];
	size_t state_count;
} notes;

static void
on_claim(void *context, struct line *line, int lane, struct window_item item, enum slot slot)
{
	struct notes *to = context;
	if (CHECK(to->claim_count < NOTES)) {
		to->claims[to->claim_count++] =
			(struct note){ line_number(line), item.seq, lane, slot };
	}
}

static void
on_fetch(void *context, struct line *line, int lane)
{
	struct notes *to = context;
	if (CHECK(to->fetch_count < NOTES)) {
		to->fetches[to->fetch_count++] = (struct note){ line_number(line), 0, lane, 0 };
	}
}

static void
on_breaker(void *context, struct line *line, const struct breaker *breaker)
{
	struct notes *to = context;
	(void)line;
	if (CHECK(to->state_count < NOTES)) {
		to->states[to->state_count++] = breaker->state;
	}
}

static void
begin(int64_t workers, int64_t rate, int64_t burst)
{
	struct schedule_listener listener = { .context = &notes,
		                              .claim = on_claim,
		                              .fetch = on_fetch,
		                              .breaker = on_breaker };
	notes.claim_count = 0;
	notes.fetch_count = 0;
	notes.state_count = 0;
	notes.schedule = schedule_create(workers, rate, burst, &listener, 1);
}

static void
end(void)
{
	schedule_destroy(notes.schedule);
	notes.schedule = NULL;
}

static const struct line_settings plain = { .concurrency = 4, .max_wait_ns = 60 * NS_PER_S };

/* A handler whose disk is empty. */
static struct line *
line_with(int64_t number, const struct line_settings *settings)
{
	struct line *line = schedule_configure(notes.schedule, number, settings, 1);
	CHECK(schedule_pump(notes.schedule, 1) == INT64_MAX);
	for (int lane = 0; lane < SCHEDULE_LANES; lane++) {
		schedule_fetched(line, lane, true, 0);
	}
	(void)schedule_pump(notes.schedule, 1);
	notes.claim_count = 0;
	return line;
}

static void
due(struct line *line, int lane, int64_t seq, int64_t at_ns)
{
	schedule_due(line, lane, (struct window_item){ at_ns, seq, at_ns });
}

static int64_t
pump(int64_t now_ns)
{
	return schedule_pump(notes.schedule, now_ns);
}

/* The claim comes back and runs, the try ends. */
static void
run(struct line *line, const struct note *claim, enum schedule_news news, int64_t now_ns)
{
	schedule_claimed(line, claim->lane, claim->seq, true, NULL);
	(void)schedule_give_slot(notes.schedule, claim->number, claim->slot);
	schedule_ended(notes.schedule, line, claim->seq, news, now_ns);
}

static void
a_new_handler_looks_at_its_disk_first(void)
{
	begin(8, 100 * A_SECOND, 100);
	struct line *line = schedule_configure(notes.schedule, 3, &plain, 1);
	CHECK(schedule_line(notes.schedule, 3) == line && line_number(line) == 3);
	CHECK(schedule_line(notes.schedule, 4) == NULL && schedule_line(notes.schedule, 0) == NULL);
	CHECK(schedule_take_slot(notes.schedule, 3) == SLOT_NONE);
	CHECK(pump(1) == INT64_MAX && notes.fetch_count == 2);
	CHECK(notes.fetches[0].lane == 0 && notes.fetches[1].lane == 1);
	CHECK(pump(2) == INT64_MAX && notes.fetch_count == 2); /* one question at a time */
	schedule_fetched(line, 1, true, 0);
	schedule_fetch_failed(line, 0, 500);
	CHECK(pump(3) == 500 && pump(500) == INT64_MAX && notes.fetch_count == 3);
	due(line, 0, 9, 100);
	schedule_fetched(line, 0, true, 0);
	(void)pump(501);
	CHECK(notes.claim_count == 1 && notes.claims[0].seq == 9);
	end();
}

static void
first_tries_go_in_due_order_as_far_as_slots_go(void)
{
	begin(2, A_SECOND, 1);
	struct line *line = line_with(1, &plain);
	for (int64_t i = 1; i <= 5; i++) {
		due(line, 0, i, 100 - i);
	}
	due(line, 0, 6, 1000);
	CHECK(pump(200) == INT64_MAX); /* the next ones wait for slots */
	CHECK(notes.claim_count == 3); /* its own slot and the shared ones */
	for (size_t i = 0; i < 3; i++) {
		CHECK(notes.claims[i].seq == 5 - (int64_t)i && notes.claims[i].lane == 0);
		CHECK(notes.claims[i].slot == (i == 0 ? SLOT_OWN : SLOT_SHARED));
	}
	struct line_view view;
	line_view(line, 200, &view);
	CHECK(view.in_use == 3 && view.concurrency == 4 && view.configured && !view.has_budget);
	CHECK(schedule_shared_free(notes.schedule) == 0);
	schedule_claimed(line, 0, 5, true, NULL);
	CHECK(schedule_give_slot(notes.schedule, 1, SLOT_OWN)); /* somebody waits for it */
	(void)pump(201);
	CHECK(notes.claim_count == 4 && notes.claims[3].seq == 2);
	end();
}

static void
one_that_is_claimed_is_not_claimed_again(void)
{
	begin(8, A_SECOND, 1);
	struct line *line = line_with(1, &plain);
	due(line, 0, 1, 10);
	(void)pump(10);
	due(line, 0, 1, 10); /* a fetch that looked before the claim */
	(void)pump(11);
	CHECK(notes.claim_count == 1);
	struct window_item again = { 50, 1, 50 };
	schedule_claimed(line, 0, 1, false, &again);
	(void)schedule_give_slot(notes.schedule, 1, SLOT_OWN);
	CHECK(pump(12) == 50 && notes.claim_count == 1);
	(void)pump(50);
	CHECK(notes.claim_count == 2 && notes.claims[1].seq == 1);
	end();
}

static void
a_hanging_handler_leaves_the_others_their_slots(void)
{
	begin(3, A_SECOND, 1);
	struct line_settings greedy = plain;
	greedy.concurrency = 100;
	struct line *hanging = line_with(1, &greedy);
	struct line *other = line_with(2, &plain);
	for (int64_t i = 1; i <= 50; i++) {
		due(hanging, 0, i, i);
	}
	(void)pump(100);
	CHECK(notes.claim_count == 4);
	due(other, 0, 51, 51);
	(void)pump(101);
	CHECK(notes.claim_count == 5 && notes.claims[4].number == 2 &&
	      notes.claims[4].slot == SLOT_OWN);
	end();
}

static void
retries_wait_for_a_token_in_due_order_over_all_handlers(void)
{
	begin(100, 2 * A_SECOND, 2);
	struct line *a = line_with(1, &plain);
	struct line *b = line_with(2, &plain);
	due(a, 1, 1, 40);
	due(b, 1, 2, 30);
	due(a, 1, 3, 20);
	due(b, 1, 4, 10);
	CHECK(pump(100) == 100 + NS_PER_S / 2);
	CHECK(notes.claim_count == 2 && notes.claims[0].seq == 4 && notes.claims[1].seq == 3);
	due(a, 0, 5, 100); /* first tries need none */
	(void)pump(101);
	CHECK(notes.claim_count == 3 && notes.claims[2].seq == 5);
	(void)pump(100 + NS_PER_S / 2);
	CHECK(notes.claim_count == 4 && notes.claims[3].seq == 2);
	(void)pump(100 + NS_PER_S);
	CHECK(notes.claim_count == 5 && notes.claims[4].seq == 1);
	end();
}

static void
a_handlers_own_budget_holds_it_alone(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line_settings small = plain;
	small.has_budget = true;
	small.rate = A_SECOND;
	small.burst = 1;
	struct line *a = line_with(1, &small);
	struct line *b = line_with(2, &plain);
	for (int64_t i = 1; i <= 3; i++) {
		due(a, 1, i, i);
		due(b, 1, 10 + i, 10 + i);
	}
	int64_t next = pump(100);
	CHECK(notes.claim_count == 4 && notes.claims[0].seq == 1);
	for (size_t i = 1; i < 4; i++) {
		CHECK(notes.claims[i].number == 2);
	}
	CHECK(next > 100 && next <= 100 + NS_PER_S);
	CHECK(pump(next - 1) == next && notes.claim_count == 4);
	(void)pump(next);
	CHECK(notes.claim_count == 5 && notes.claims[4].seq == 2);
	schedule_set_budget(notes.schedule, A_SECOND, 1, next);
	end();
}

static void
an_open_breaker_lets_one_probe_through_after_its_cooldown(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line_settings settings = plain;
	settings.breaker_failures = 2;
	settings.breaker_cooldown_ns = NS_PER_S;
	settings.breaker_max_cooldown_ns = 4 * NS_PER_S;
	struct line *line = line_with(1, &settings);
	CHECK(line_watched(line));
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_OWN);
	(void)schedule_give_slot(notes.schedule, 1, SLOT_OWN);
	due(line, 0, 1, 1);
	due(line, 0, 2, 2);
	(void)pump(10);
	CHECK(notes.claim_count == 2);
	run(line, &notes.claims[0], NEWS_FAILURE, 11);
	run(line, &notes.claims[1], NEWS_FAILURE, 12);
	CHECK(notes.state_count == 1 && notes.states[0] == BREAKER_OPEN);
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	for (int64_t i = 3; i <= 6; i++) {
		due(line, (int)(i & 1), i, i);
	}
	CHECK(pump(13) == 12 + NS_PER_S && notes.claim_count == 2);
	CHECK(line_ran_ns(line, 13) == line_ran_ns(line, NS_PER_S));
	(void)pump(12 + NS_PER_S);
	CHECK(notes.claim_count == 3);
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	/* a probe that comes back and is not tried makes room for another */
	schedule_claimed(line, notes.claims[2].lane, notes.claims[2].seq, false, NULL);
	(void)schedule_give_slot(notes.schedule, 1, notes.claims[2].slot);
	(void)pump(13 + NS_PER_S);
	CHECK(notes.claim_count == 4);
	run(line, &notes.claims[3], NEWS_NOTHING, 14 + NS_PER_S);
	(void)pump(14 + NS_PER_S);
	CHECK(notes.claim_count == 5);
	run(line, &notes.claims[4], NEWS_SUCCESS, 15 + NS_PER_S);
	CHECK(notes.state_count == 2 && notes.states[1] == BREAKER_CLOSED);
	(void)pump(15 + NS_PER_S);
	CHECK(notes.claim_count == 6);
	end();
}

static void
a_paused_handler_tries_nothing_until_its_time(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line *line = line_with(1, &plain);
	schedule_pause(line, 1000, 10);
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	due(line, 0, 1, 1);
	due(line, 1, 2, 2);
	CHECK(pump(20) == 1000 && pump(999) == 1000 && notes.claim_count == 0);
	int64_t ran = line_ran_ns(line, 20);
	CHECK(line_ran_ns(line, 999) == ran);
	(void)pump(1000);
	CHECK(notes.claim_count == 2 && line_ran_ns(line, 1001) == ran + 1);
	schedule_pause(line, INT64_MAX, 1000);
	due(line, 0, 3, 3);
	CHECK(pump(INT64_MAX / 2) == INT64_MAX && notes.claim_count == 2);
	schedule_pause(line, 0, 2000);
	(void)pump(2000);
	CHECK(notes.claim_count == 3);
	end();
}

static void
a_retired_handler_tries_nothing_until_it_is_back(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line *line = line_with(1, &plain);
	schedule_retire(notes.schedule, 1, 10);
	schedule_retire(notes.schedule, 77, 10); /* never heard of */
	CHECK(!line_configured(line) && schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	due(line, 0, 1, 1);
	due(line, 1, 2, 2);
	CHECK(pump(20) == INT64_MAX && notes.claim_count == 0);
	CHECK(line_ran_ns(line, 20) == line_ran_ns(line, 999));
	struct line_settings more = plain;
	more.concurrency = 8;
	CHECK(schedule_configure(notes.schedule, 1, &more, 1000) == line);
	(void)pump(1000);
	CHECK(notes.claim_count == 2);
	end();
}

static void
concurrency_changes_at_once(void)
{
	begin(100, A_SECOND, 1);
	struct line *line = line_with(1, &plain);
	for (int64_t i = 1; i <= 20; i++) {
		due(line, 0, i, i);
	}
	(void)pump(100);
	CHECK(notes.claim_count == 4);
	struct line_settings settings = plain;
	settings.concurrency = 6;
	(void)schedule_configure(notes.schedule, 1, &settings, 101);
	(void)pump(101);
	CHECK(notes.claim_count == 6);
	settings.concurrency = 1;
	(void)schedule_configure(notes.schedule, 1, &settings, 102);
	for (size_t i = 0; i < 5; i++) {
		run(line, &notes.claims[i], NEWS_SUCCESS, 102);
		(void)pump(102);
		CHECK_ROW(notes.claim_count == 6, "after %zu", i);
	}
	run(line, &notes.claims[5], NEWS_SUCCESS, 103);
	(void)pump(103);
	CHECK(notes.claim_count == 7 && notes.claims[6].slot == SLOT_OWN);
	end();
}

static void
fresh_ones_pass_nobody(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line_settings one = plain;
	one.concurrency = 1;
	struct line *line = line_with(1, &one);
	enum slot slot = schedule_take_slot(notes.schedule, 1);
	CHECK(slot == SLOT_OWN && schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	due(line, 0, 1, 1);
	(void)pump(10);
	CHECK(notes.claim_count == 0);
	CHECK(schedule_give_slot(notes.schedule, 1, slot));
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE); /* an older one waits */
	(void)pump(11);
	CHECK(notes.claim_count == 1);
	run(line, &notes.claims[0], NEWS_SUCCESS, 12);
	(void)pump(12);
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_OWN);
	end();
}

static void
what_a_consumer_takes_is_not_tried_here(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line *line = line_with(1, &plain);
	struct line_settings consumed = plain;
	consumed.consumed = true;
	(void)schedule_configure(notes.schedule, 1, &consumed, 10);
	due(line, 0, 1, 1);
	(void)pump(10);
	CHECK(notes.claim_count == 0);
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE); /* it was fast before */
	end();
}

/* A fetch that looked before its claim brings one back that runs already. Its claim comes to nothing, but while that is
 * under way the try fails, and the delivery is due again. The messages come in the order in which the store tells them:
 * results before claims. */
static void
one_that_fails_while_a_stale_claim_is_under_way_is_not_lost(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line *line = line_with(1, &plain);
	due(line, 0, 1, 1);
	(void)pump(10);
	schedule_claimed(line, 0, 1, true, NULL);
	due(line, 0, 1, 1); /* the fetch */
	(void)pump(11);
	CHECK(notes.claim_count == 2);
	(void)schedule_give_slot(notes.schedule, 1, notes.claims[0].slot);
	due(line, 1, 1, 20); /* the result */
	schedule_claimed(line, 0, 1, false, NULL);
	(void)schedule_give_slot(notes.schedule, 1, notes.claims[1].slot);
	(void)pump(30);
	CHECK(notes.claim_count == 3 && notes.claims[2].lane == 1);
	end();
}

/* Full disk: each claim would be refused, and come back. */
static void
nothing_is_claimed_while_nothing_can_be_written(void)
{
	enum {
		WAITING = 3 * WINDOW_ROWS
	};
	begin(8, 1000 * A_SECOND, 1000);
	struct line *line = line_with(1, &plain);
	notes.fetch_count = 0;
	for (int64_t i = 1; i <= WAITING; i++) {
		due(line, 0, i, i);
	}
	due(line, 1, WAITING + 1, 1);
	CHECK(pump(WAITING) == INT64_MAX && notes.claim_count == 4);
	const struct note refused = notes.claims[0];
	struct window_item again = { 1, refused.seq, 1 };
	schedule_hold(notes.schedule, 10 * A_SECOND);
	for (size_t i = 0; i < 4; i++) {
		again.seq = notes.claims[i].seq;
		schedule_claimed(line, notes.claims[i].lane, again.seq, false, &again);
		(void)schedule_give_slot(notes.schedule, 1, notes.claims[i].slot);
	}
	notes.claim_count = 0;
	for (int64_t now = WAITING; now < 10 * A_SECOND; now += A_SECOND / 100) {
		CHECK(pump(now) == 10 * A_SECOND);
	}
	CHECK(notes.claim_count == 0 && notes.fetch_count == 0);
	(void)pump(10 * A_SECOND);
	CHECK(notes.claim_count == 4);
	end();
}

static void
fresh_ones_of_a_brief_handler_pass_what_waits(void)
{
	const struct line_settings brief = { .concurrency = 2,
		                             .brief = true,
		                             .max_wait_ns = 60 * NS_PER_S };
	begin(0, A_SECOND, 1);
	struct line *line = line_with(1, &brief);
	for (int64_t i = 1; i <= 5; i++) {
		due(line, 0, i, i);
	}
	(void)pump(10);
	CHECK(notes.claim_count == 2); /* of those on disk no more are on their way at once */
	for (int i = 2; i < SLOTS_AHEAD; i++) {
		CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_APART);
	}
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	struct line_view view;
	line_view(line, 10, &view);
	CHECK(view.in_use == 2 && view.concurrency == 2);
	schedule_pause(line, INT64_MAX, 10);
	(void)schedule_give_slot(notes.schedule, 1, SLOT_APART);
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	end();
}

static void
nothing_begins_after_the_close(void)
{
	begin(100, 1000 * A_SECOND, 1000);
	struct line *line = line_with(1, &plain);
	due(line, 0, 1, 1);
	schedule_close(notes.schedule);
	CHECK(pump(10) == INT64_MAX && notes.claim_count == 0);
	CHECK(schedule_take_slot(notes.schedule, 1) == SLOT_NONE);
	end();
	schedule_destroy(NULL);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a new handler looks at its disk first", a_new_handler_looks_at_its_disk_first },
		{ "first tries go in due order as far as slots go",
		  first_tries_go_in_due_order_as_far_as_slots_go },
		{ "one that is claimed is not claimed again",
		  one_that_is_claimed_is_not_claimed_again },
		{ "a hanging handler leaves the others their slots",
		  a_hanging_handler_leaves_the_others_their_slots },
		{ "retries wait for a token, in due order over all handlers",
		  retries_wait_for_a_token_in_due_order_over_all_handlers },
		{ "a handler's own budget holds it alone", a_handlers_own_budget_holds_it_alone },
		{ "an open breaker lets one probe through after its cooldown",
		  an_open_breaker_lets_one_probe_through_after_its_cooldown },
		{ "a paused handler tries nothing until its time",
		  a_paused_handler_tries_nothing_until_its_time },
		{ "a retired handler tries nothing until it is back",
		  a_retired_handler_tries_nothing_until_it_is_back },
		{ "concurrency changes at once", concurrency_changes_at_once },
		{ "fresh ones pass nobody", fresh_ones_pass_nobody },
		{ "what a consumer takes is not tried here",
		  what_a_consumer_takes_is_not_tried_here },
		{ "one that fails while a stale claim is under way is not lost",
		  one_that_fails_while_a_stale_claim_is_under_way_is_not_lost },
		{ "nothing is claimed while nothing can be written",
		  nothing_is_claimed_while_nothing_can_be_written },
		{ "fresh ones of a brief handler pass what waits",
		  fresh_ones_of_a_brief_handler_pass_what_waits },
		{ "nothing begins after the close", nothing_begins_after_the_close },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
