#include "receiver/base/random.h"

#include <ctype.h>
#include <string.h>

#include "tests/unit/check.h"

static void
a_seed_plays_the_same_again(void)
{
	struct random a;
	struct random b;
	random_seed(&a, check.seed);
	random_seed(&b, check.seed);
	uint64_t differing = 0;
	for (int i = 0; i < 1000; i++) {
		differing |= random_next(&a) ^ random_next(&b);
	}
	CHECK(differing == 0);
	random_seed(&b, check.seed + 1);
	CHECK(random_next(&a) != random_next(&b));
}

/* https://prng.di.unimi.it/: the state 1, 2, 3, 4 begins like this in the reference implementation. */
static void
numbers_are_those_of_xoshiro256(void)
{
	struct random random = { { 1, 2, 3, 4 } };
	static const uint64_t first[] = { UINT64_C(11520), 0, UINT64_C(1509978240),
		                          UINT64_C(1215971899390074240) };
	for (size_t i = 0; i < COUNT(first); i++) {
		uint64_t next = random_next(&random);
		CHECK_ROW(next == first[i], "number %zu: %" PRIu64, i, next);
	}
}

static void
draws_stay_in_their_range_and_reach_its_ends(void)
{
	struct random random;
	check_random(&random);
	for (int64_t most = 0; most < 40; most++) {
		unsigned seen[40] = { 0 };
		for (int i = 0; i < 4000; i++) {
			int64_t drawn = random_up_to(&random, most);
			if (!CHECK_ROW(drawn >= 0 && drawn <= most, "%" PRId64 " of %" PRId64,
			               drawn, most)) {
				return;
			}
			seen[drawn]++;
		}
		for (int64_t i = 0; i <= most; i++) { /* 100 expected; 20 is 8 deviations away */
			CHECK_ROW(seen[i] > 20, "%" PRId64 " of 0 to %" PRId64 ": %u of 4000", i,
			          most, seen[i]);
		}
	}
	for (int i = 0; i < 1000; i++) {
		CHECK(random_up_to(&random, INT64_MAX) >= 0);
	}
	CHECK(random_up_to(&random, 0) == 0);
	CHECK(random_up_to(&random, -5) == 0);
}

static void
a_uuid_of_version_7_carries_its_time(void)
{
	char text[37];
	char other[37];
	random_uuid(INT64_C(1645557742) * NS_PER_S, text); /* RFC 9562 appendix A.6 */
	random_uuid(INT64_C(1645557742) * NS_PER_S, other);
	CHECK(strlen(text) == 36 && strncmp(text, "017f22e2-79b0-7", 15) == 0);
	CHECK(strchr("89ab", text[19]) != NULL);
	CHECK(strcmp(text, other) != 0);
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		CHECK_ROW(dash ? text[i] == '-' : isxdigit((unsigned char)text[i]) != 0, "%s",
		          text);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a seed plays the same again", a_seed_plays_the_same_again },
		{ "the numbers are those of xoshiro256**", numbers_are_those_of_xoshiro256 },
		{ "draws stay in their range and reach its ends",
		  draws_stay_in_their_range_and_reach_its_ends },
		{ "a UUID of version 7 carries its time", a_uuid_of_version_7_carries_its_time },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
