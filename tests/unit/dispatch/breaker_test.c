#include "receiver/dispatch/breaker.h"

#include <string.h>

#include "tests/unit/check.h"

#define COOLDOWN (10 * NS_PER_S)
#define MOST     (35 * NS_PER_S)

static struct breaker
breaker_of(int64_t failures)
{
	struct breaker breaker;
	breaker_init(&breaker);
	breaker_configure(&breaker, failures, COOLDOWN, MOST);
	return breaker;
}

/* Opens a breaker that opens at once. */
static struct breaker
opened_at(int64_t now_ns)
{
	struct breaker breaker = breaker_of(1);
	CHECK(breaker_failed(&breaker, 1, now_ns) && breaker.state == BREAKER_OPEN);
	return breaker;
}

static void
failures_in_a_row_open_it(void)
{
	struct breaker breaker = breaker_of(3);
	CHECK(breaker_allows(&breaker, 0));
	CHECK(!breaker_failed(&breaker, 1, 5) && !breaker_failed(&breaker, 2, 6));
	CHECK(breaker_allows(&breaker, 6));
	CHECK(breaker_failed(&breaker, 3, 7));
	CHECK(breaker.state == BREAKER_OPEN && breaker.until_ns == 7 + COOLDOWN);
	CHECK(!breaker_allows(&breaker, 7) && !breaker_allows(&breaker, 6 + COOLDOWN));
}

static void
a_success_begins_the_row_anew_and_nothing_does_neither(void)
{
	struct breaker breaker = breaker_of(3);
	CHECK(!breaker_failed(&breaker, 1, 0) && !breaker_failed(&breaker, 2, 0));
	CHECK(!breaker_succeeded(&breaker, 3));
	CHECK(!breaker_failed(&breaker, 4, 0) && !breaker_failed(&breaker, 5, 0));
	breaker_learned_nothing(&breaker, 6);
	CHECK(breaker.state == BREAKER_CLOSED && breaker.failures == 2);
	CHECK(breaker_failed(&breaker, 7, 0));
}

static void
after_the_cooldown_one_probes(void)
{
	struct breaker breaker = opened_at(0);
	CHECK(!breaker_allows(&breaker, COOLDOWN - 1) && breaker.state == BREAKER_OPEN);
	CHECK(breaker_allows(&breaker, COOLDOWN) && breaker.state == BREAKER_HALF_OPEN);
	CHECK(breaker_allows(&breaker, COOLDOWN)); /* to ask is not to try */
	breaker_tries(&breaker, 7);
	CHECK(!breaker_allows(&breaker, COOLDOWN) && !breaker_allows(&breaker, INT64_MAX));
	CHECK(breaker_succeeded(&breaker, 7));
	CHECK(breaker.state == BREAKER_CLOSED && breaker_allows(&breaker, COOLDOWN));
	CHECK(breaker.failures == 0); /* the next row is a whole one */
}

static void
each_failed_probe_doubles_the_cooldown_up_to_its_most(void)
{
	static const int64_t waits[] = { COOLDOWN, 2 * COOLDOWN, MOST, MOST, MOST };
	struct breaker breaker = opened_at(0);
	int64_t now = 0;
	for (size_t i = 0; i < COUNT(waits); i++) {
		CHECK_ROW(breaker.wait_ns == waits[i] && breaker.until_ns == now + waits[i],
		          "%zu: %" PRId64, i, breaker.wait_ns);
		now = breaker.until_ns;
		CHECK(!breaker_allows(&breaker, now - 1) && breaker_allows(&breaker, now));
		breaker_tries(&breaker, 5);
		now += NS_PER_S; /* the wait begins with the result */
		CHECK(breaker_failed(&breaker, 5, now));
	}
	now = breaker.until_ns;
	CHECK(breaker_allows(&breaker, now));
	breaker_tries(&breaker, 5);
	CHECK(breaker_succeeded(&breaker, 5) && breaker_failed(&breaker, 6, now));
	CHECK(breaker.wait_ns == COOLDOWN); /* it begins small again */
}

static void
those_under_way_when_it_opened_say_nothing(void)
{
	struct breaker breaker = opened_at(0);
	CHECK(!breaker_failed(&breaker, 2, 5) && !breaker_succeeded(&breaker, 3));
	CHECK(breaker.state == BREAKER_OPEN && breaker.until_ns == COOLDOWN);
	CHECK(breaker_allows(&breaker, COOLDOWN));
	breaker_tries(&breaker, 9);
	CHECK(!breaker_failed(&breaker, 4, COOLDOWN) && !breaker_succeeded(&breaker, 5));
	breaker_learned_nothing(&breaker, 6);
	CHECK(breaker.state == BREAKER_HALF_OPEN && !breaker_allows(&breaker, COOLDOWN));
	CHECK(breaker_succeeded(&breaker, 9));
}

static void
a_probe_that_says_nothing_makes_room_for_another(void)
{
	struct breaker breaker = opened_at(0);
	CHECK(breaker_allows(&breaker, COOLDOWN));
	breaker_tries(&breaker, 9);
	breaker_learned_nothing(&breaker, 9);
	CHECK(breaker.state == BREAKER_HALF_OPEN && breaker_allows(&breaker, COOLDOWN));
	breaker_tries(&breaker, 10);
	CHECK(!breaker_allows(&breaker, COOLDOWN) && !breaker_failed(&breaker, 9, COOLDOWN));
	CHECK(breaker_failed(&breaker, 10, COOLDOWN) && breaker.wait_ns == 2 * COOLDOWN);
}

static void
no_failures_no_breaker(void)
{
	struct breaker breaker = breaker_of(0);
	for (int64_t i = 1; i < 100; i++) {
		CHECK(!breaker_failed(&breaker, i, i) && breaker_allows(&breaker, i));
	}
	breaker = opened_at(0);
	breaker_configure(&breaker, 0, COOLDOWN, MOST); /* taken away while it is open */
	CHECK(breaker_allows(&breaker, 1) && breaker.state == BREAKER_CLOSED);
	breaker_configure(&breaker, 2, COOLDOWN, MOST);
	CHECK(!breaker_failed(&breaker, 1, 1) && breaker_failed(&breaker, 2, 1));
}

static void
new_figures_keep_its_state(void)
{
	struct breaker breaker = opened_at(0);
	breaker_configure(&breaker, 5, NS_PER_S, 2 * NS_PER_S);
	CHECK(!breaker_allows(&breaker, COOLDOWN - 1) && breaker_allows(&breaker, COOLDOWN));
	breaker_tries(&breaker, 2);
	CHECK(breaker_failed(&breaker, 2, COOLDOWN) && breaker.wait_ns == 2 * NS_PER_S);
	breaker = breaker_of(5);
	CHECK(!breaker_failed(&breaker, 1, 0) && !breaker_failed(&breaker, 2, 0));
	breaker_configure(&breaker, 2, 9 * MOST, MOST); /* the row is that long already */
	CHECK(breaker_allows(&breaker, 0) && breaker_failed(&breaker, 3, 0));
	CHECK(breaker.wait_ns == MOST);
}

static void
states_have_names(void)
{
	CHECK(strcmp(breaker_state_name(BREAKER_CLOSED), "closed") == 0);
	CHECK(strcmp(breaker_state_name(BREAKER_OPEN), "open") == 0);
	CHECK(strcmp(breaker_state_name(BREAKER_HALF_OPEN), "half_open") == 0);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "failures in a row open it", failures_in_a_row_open_it },
		{ "a success begins the row anew, and what says nothing does neither",
		  a_success_begins_the_row_anew_and_nothing_does_neither },
		{ "after the cooldown one probes", after_the_cooldown_one_probes },
		{ "each failed probe doubles the cooldown, up to its most",
		  each_failed_probe_doubles_the_cooldown_up_to_its_most },
		{ "those under way when it opened say nothing",
		  those_under_way_when_it_opened_say_nothing },
		{ "a probe that says nothing makes room for another",
		  a_probe_that_says_nothing_makes_room_for_another },
		{ "no failures, no breaker", no_failures_no_breaker },
		{ "new figures keep its state", new_figures_keep_its_state },
		{ "states have names", states_have_names },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
