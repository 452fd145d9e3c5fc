#include "receiver/dispatch/budget.h"

#include "receiver/base/units.h"

#include "tests/unit/check.h"

#define A_SECOND UNITS_RATE_PERIOD_S /* of one token a second */
#define HOUR_NS  (3600 * NS_PER_S)

static void
a_bucket_begins_full_and_holds_no_more_than_its_burst(void)
{
	struct budget budget;
	budget_init(&budget, 10 * A_SECOND, 3, 0);
	for (int i = 0; i < 3; i++) {
		CHECK(budget_has(&budget, 0));
		budget_take(&budget, 0);
	}
	CHECK(budget_when(&budget, 0) == 100 * NS_PER_MS);
	CHECK(!budget_has(&budget, 0) && !budget_has(&budget, 100 * NS_PER_MS - 1));
	CHECK(budget_has(&budget, 100 * NS_PER_MS));
	for (int i = 0; i < 3; i++) { /* however long it was left alone */
		CHECK(budget_has(&budget, 1000 * HOUR_NS));
		budget_take(&budget, 1000 * HOUR_NS);
	}
	CHECK(!budget_has(&budget, 1000 * HOUR_NS));
}

static void
nothing_overflows_in_years(void)
{
	static const int64_t rates[] = { 1, A_SECOND / 3600, 100 * A_SECOND, 1000000 * A_SECOND };
	for (size_t i = 0; i < COUNT(rates); i++) {
		struct budget budget;
		budget_init(&budget, rates[i], 1000000, 0);
		for (int j = 0; j < 1000000; j++) {
			budget_take(&budget, 0);
		}
		CHECK(!budget_has(&budget, 0));
		int64_t when = budget_when(&budget, 0);
		struct budget early = budget;
		CHECK_ROW(when > 0 && !budget_has(&early, when - 1) && budget_has(&budget, when),
		          "rate %" PRId64 ": %" PRId64, rates[i], when);
		CHECK(budget_has(&budget, INT64_MAX / 2));
		CHECK(budget.level <= 1000000 * NS_PER_S);
	}
}

static void
time_that_goes_back_gives_nothing(void)
{
	struct budget budget;
	budget_init(&budget, A_SECOND, 1, HOUR_NS);
	budget_take(&budget, HOUR_NS);
	CHECK(!budget_has(&budget, 0) && !budget_has(&budget, HOUR_NS));
	CHECK(!budget_has(&budget, HOUR_NS + NS_PER_S - 1) &&
	      budget_has(&budget, HOUR_NS + NS_PER_S));
	budget_init(&budget, A_SECOND, 1, HOUR_NS);
	CHECK(budget_has(&budget, 0)); /* nor does it take anything */
}

static void
new_figures_keep_what_is_in_it(void)
{
	struct budget budget;
	budget_init(&budget, A_SECOND, 10, 0);
	for (int i = 0; i < 5; i++) {
		budget_take(&budget, 0);
	}
	budget_change(&budget, A_SECOND, 3, NS_PER_S); /* 6 are in it, 3 find room */
	for (int i = 0; i < 3; i++) {
		budget_take(&budget, NS_PER_S);
	}
	CHECK(!budget_has(&budget, NS_PER_S));
	budget_change(&budget, 100 * A_SECOND, 100, NS_PER_S); /* no tokens out of nothing */
	CHECK(!budget_has(&budget, NS_PER_S));
	CHECK(budget_when(&budget, NS_PER_S) == NS_PER_S + 10 * NS_PER_MS);
}

static void
looking_often_loses_nothing(void)
{
	/* A token an hour, looked at a million times meanwhile. */
	struct budget budget;
	struct random random;
	int64_t now = 0;
	check_random(&random);
	budget_init(&budget, A_SECOND / 3600, 1, 0);
	budget_take(&budget, 0);
	while (now < 2 * HOUR_NS && !budget_has(&budget, now)) {
		now += 1 + random_up_to(&random, 7200000);
	}
	CHECK_ROW(now >= HOUR_NS && now < HOUR_NS + 20 * NS_PER_S, "after %" PRId64 " ns", now);
}

/* --- long simulations --- */

enum {
	TAKEN_MOST = 200000
};

static int64_t taken[TAKEN_MOST];

/* In any t seconds at most burst + rate·t, t being 1 s, then any pair of takes. */
static void
check_taken(size_t count, int64_t rate, int64_t burst, struct random *random)
{
	long double per_ns = (long double)rate / UNITS_RATE_PERIOD_S / NS_PER_S;
	size_t first = 0;
	for (size_t last = 0; last < count; last++) {
		while (taken[last] - taken[first] >= NS_PER_S) {
			first++;
		}
		long double most = (long double)burst + per_ns * NS_PER_S;
		if (!CHECK_ROW((long double)(last - first + 1) <= most + 1e-6L,
		               "rate %" PRId64 " burst %" PRId64 ": %zu in a second", rate, burst,
		               last - first + 1)) {
			return;
		}
	}
	for (int i = 0; i < 2000 && count > 1; i++) {
		size_t a = (size_t)random_up_to(random, (int64_t)count - 1);
		size_t b = a + (size_t)random_up_to(random, (int64_t)(count - 1 - a));
		long double most = (long double)burst + per_ns * (long double)(taken[b] - taken[a]);
		if (!CHECK_ROW((long double)(b - a + 1) <= most + 1e-6L,
		               "rate %" PRId64 " burst %" PRId64 ": %zu in %" PRId64 " ns", rate,
		               burst, b - a + 1, taken[b] - taken[a])) {
			return;
		}
	}
}

/* Whoever takes all that there is, in bursts, with pauses, or exactly when budget_when() says. */
static void
play(struct random *random, int64_t rate, int64_t burst, int64_t length_ns)
{
	struct budget budget;
	int64_t now = random_up_to(random, HOUR_NS);
	int64_t start = now;
	size_t count = 0;
	bool greedy = random_up_to(random, 1) == 0; /* never lets a token wait */
	budget_init(&budget, rate, burst, now);
	while (now - start < length_ns && count < TAKEN_MOST) {
		while (count < TAKEN_MOST && budget_has(&budget, now)) {
			budget_take(&budget, now);
			taken[count++] = now;
		}
		int64_t when = budget_when(&budget, now);
		CHECK_ROW(when > now || count == TAKEN_MOST, "%" PRId64 " at %" PRId64, when, now);
		now = greedy || random_up_to(random, 3) > 0
		              ? when
		              : now + random_up_to(random, 5 * NS_PER_S);
	}
	check_taken(count, rate, burst, random);
	if (greedy && count < TAKEN_MOST) { /* nor is anything held back */
		long double due = (long double)burst +
		                  (long double)rate / UNITS_RATE_PERIOD_S *
		                          (long double)(taken[count - 1] - start) / NS_PER_S;
		CHECK_ROW((long double)count >= due * 0.999L - 2,
		          "rate %" PRId64 " burst %" PRId64 ": %zu of %.1Lf", rate, burst, count,
		          due);
	}
}

static void
no_second_sees_more_than_burst_and_rate(void)
{
	struct random random;
	check_random(&random);
	play(&random, 100 * A_SECOND, 200, HOUR_NS); /* the defaults */
	for (int round = 0; round < 150 && check.failures == 0; round++) {
		int64_t rate = random_up_to(&random, 1) == 0
		                       ? 1 + random_up_to(&random, 2 * A_SECOND)
		                       : 1 + random_up_to(&random, 5000 * A_SECOND);
		int64_t burst = 1 + random_up_to(&random, 500);
		play(&random, rate, burst, 6 * HOUR_NS);
	}
}

/* The sentence: 1 000 events failing together never exceed burst + rate in any second. */
static void
a_thousand_that_fail_together_wait_for_tokens(void)
{
	struct budget budget;
	struct random random;
	int64_t now = 0;
	size_t count = 0;
	check_random(&random);
	budget_init(&budget, 10 * A_SECOND, 20, 0);
	for (int waiting = 1000; waiting > 0; waiting--) {
		now = budget_when(&budget, now);
		budget_take(&budget, now);
		taken[count++] = now;
	}
	check_taken(count, 10 * A_SECOND, 20, &random);
	CHECK_ROW(now == 98 * NS_PER_S, "the last at %" PRId64, now);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a bucket begins full and holds no more than its burst",
		  a_bucket_begins_full_and_holds_no_more_than_its_burst },
		{ "nothing overflows in years", nothing_overflows_in_years },
		{ "time that goes back gives nothing", time_that_goes_back_gives_nothing },
		{ "new figures keep what is in it", new_figures_keep_what_is_in_it },
		{ "looking often loses nothing", looking_often_loses_nothing },
		{ "no second sees more than burst and rate",
		  no_second_sees_more_than_burst_and_rate },
		{ "a thousand that fail together wait for tokens",
		  a_thousand_that_fail_together_wait_for_tokens },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
