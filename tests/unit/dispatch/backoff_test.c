#include "receiver/dispatch/backoff.h"

#include "tests/unit/check.h"

#define HOUR_NS (3600 * NS_PER_S)
#define DAY_NS  (24 * HOUR_NS)

/* PRODUCT section 3, the defaults. */
static const struct backoff defaults = { .attempts = 12,
	                                 .first_ns = NS_PER_S,
	                                 .factor = 2000,
	                                 .max_ns = HOUR_NS,
	                                 .give_up_after_ns = 3 * DAY_NS,
	                                 .jitter = true };

/* min(max, first·factor^(n−1)), in floating point. */
static long double
promised(const struct backoff *backoff, int64_t n)
{
	long double most = (long double)backoff->first_ns;
	for (int64_t i = 1; i < n && most < (long double)backoff->max_ns; i++) {
		most = most * (long double)backoff->factor / 1000;
	}
	return most < (long double)backoff->max_ns ? most : (long double)backoff->max_ns;
}

static struct backoff
random_backoff(struct random *random)
{
	static const int64_t units[] = { NS_PER_MS, NS_PER_S, 60 * NS_PER_S, HOUR_NS };
	struct backoff backoff = {
		.attempts = 1 + random_up_to(random, 999),
		.first_ns = (1 + random_up_to(random, 99)) * units[random_up_to(random, 3)],
		.factor = 1000 + random_up_to(random, random_up_to(random, 1) == 0 ? 2000 : 99000),
		.max_ns = (1 + random_up_to(random, 719)) * units[random_up_to(random, 3)],
		.give_up_after_ns = (1 + random_up_to(random, 364)) * DAY_NS,
		.jitter = random_up_to(random, 3) > 0,
	};
	return backoff;
}

static void
the_default_waits_double_up_to_an_hour(void)
{
	static const int64_t seconds[] = { 1,   2,   4,   8,    16,   32,   64,
		                           128, 256, 512, 1024, 2048, 3600, 3600 };
	struct backoff exact = defaults;
	exact.jitter = false;
	for (size_t i = 0; i < COUNT(seconds); i++) {
		struct random random;
		check_random(&random);
		int64_t n = (int64_t)i + 1;
		CHECK_ROW(backoff_most(&defaults, n) == seconds[i] * NS_PER_S, "n = %" PRId64, n);
		CHECK_ROW(backoff_wait(&exact, n, &random) == seconds[i] * NS_PER_S, "n = %" PRId64,
		          n);
	}
	CHECK(backoff_most(&defaults, INT64_MAX) == HOUR_NS);
}

static void
factors_are_decimals(void)
{
	struct backoff backoff = { .first_ns = NS_PER_S, .factor = 1500, .max_ns = HOUR_NS };
	CHECK(backoff_most(&backoff, 2) == 1500 * NS_PER_MS);
	CHECK(backoff_most(&backoff, 3) == 2250 * NS_PER_MS);
	backoff.factor = 1000;
	CHECK(backoff_most(&backoff, 1) == NS_PER_S && backoff_most(&backoff, 1000) == NS_PER_S);
	backoff.first_ns = 2 * HOUR_NS; /* longer than the longest */
	CHECK(backoff_most(&backoff, 1) == HOUR_NS);
	backoff = (struct backoff){ .first_ns = 30 * DAY_NS,
		                    .factor = 100000,
		                    .max_ns = 30 * DAY_NS };
	CHECK(backoff_most(&backoff, 5) == 30 * DAY_NS);
}

/* Three million draws: never below 0, never above what is promised, exact without jitter. */
static void
waits_stay_in_the_promised_range(void)
{
	struct random random;
	check_random(&random);
	for (int round = 0; round < 30000 && check.failures == 0; round++) {
		struct backoff backoff = random_backoff(&random);
		int64_t n = 1 + random_up_to(&random, random_up_to(&random, 1) == 0 ? 20 : 999);
		long double most = promised(&backoff, n);
		/* Each step cuts a fraction of a nanosecond, and later steps multiply what was cut. */
		long double least = most - (most / 1000 + (long double)n);
		for (int i = 0; i < 100; i++) {
			int64_t wait = backoff_wait(&backoff, n, &random);
			if (!CHECK_ROW(wait >= 0 && (long double)wait <= most + 1 &&
			                       (backoff.jitter || (long double)wait >= least),
			               "first %" PRId64 " factor %" PRId64 " max %" PRId64
			               " n %" PRId64 ": %" PRId64 " of %.0Lf",
			               backoff.first_ns, backoff.factor, backoff.max_ns, n, wait,
			               most)) {
				break;
			}
		}
	}
}

/* Full jitter: every tenth of the range is drawn as often as any other. */
static void
waits_are_spread_over_the_whole_range(void)
{
	enum {
		DRAWS = 1000000,
		PARTS = 10
	};
	struct random random;
	unsigned parts[PARTS] = { 0 };
	check_random(&random);
	int64_t most = backoff_most(&defaults, 8);
	for (int i = 0; i < DRAWS; i++) {
		int64_t part = backoff_wait(&defaults, 8, &random) * PARTS / (most + 1);
		parts[part]++;
	}
	for (int i = 0; i < PARTS; i++) { /* 3000 is ten deviations */
		CHECK_ROW(parts[i] > DRAWS / PARTS - 3000 && parts[i] < DRAWS / PARTS + 3000,
		          "tenth %d: %u of %d", i, parts[i], DRAWS);
	}
}

static void
a_delivery_dies_by_attempts_or_by_time(void)
{
	static const struct {
		int64_t attempts;
		int64_t since_ns;
		bool dies;
	} rows[] = {
		{ 1, -1, false },         { 11, 3 * DAY_NS - 1, false },
		{ 11, 3 * DAY_NS, true }, { 12, 0, true },
		{ 12, -1, true },         { 13, 0, true },
		{ 2, INT64_MAX, true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(backoff_exhausted(&defaults, rows[i].attempts, rows[i].since_ns) ==
		                  rows[i].dies,
		          "%" PRId64 " attempts, %" PRId64 " ns", rows[i].attempts,
		          rows[i].since_ns);
	}
	struct backoff once = defaults;
	once.attempts = 1;
	CHECK(backoff_exhausted(&once, 1, -1));
}

/* Whole lives in virtual time: so many tries, at such distances, and no try after its time. */
static void
lives_take_as_long_as_promised(void)
{
	struct random random;
	check_random(&random);
	for (int life = 0; life < 20000 && check.failures == 0; life++) {
		struct backoff backoff = life % 2 == 0 ? defaults : random_backoff(&random);
		int64_t now = 0;
		int64_t first_failed = -1;
		int64_t attempts = 0;
		long double most = 0;
		for (;;) {
			attempts++;
			now += random_up_to(&random, 30 * NS_PER_S); /* the try itself, failing */
			int64_t since = first_failed < 0 ? -1 : now - first_failed;
			first_failed = first_failed < 0 ? now : first_failed;
			if (backoff_exhausted(&backoff, attempts, since)) {
				CHECK_ROW(attempts == backoff.attempts ||
				                  since >= backoff.give_up_after_ns,
				          "%" PRId64 " attempts, %" PRId64 " ns", attempts, since);
				break;
			}
			CHECK(attempts < backoff.attempts && since < backoff.give_up_after_ns);
			int64_t wait = backoff_wait(&backoff, attempts, &random);
			most += promised(&backoff, attempts) + 30.0L * NS_PER_S + 1;
			now += wait;
		}
		CHECK_ROW((long double)(now - first_failed) <= most, "%" PRId64, now);
		CHECK(attempts <= backoff.attempts);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "the default waits double up to an hour",
		  the_default_waits_double_up_to_an_hour },
		{ "factors are decimals and nothing overflows", factors_are_decimals },
		{ "waits stay in the promised range", waits_stay_in_the_promised_range },
		{ "waits are spread over the whole range", waits_are_spread_over_the_whole_range },
		{ "a delivery dies by attempts or by time",
		  a_delivery_dies_by_attempts_or_by_time },
		{ "lives take as long as promised", lives_take_as_long_as_promised },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
