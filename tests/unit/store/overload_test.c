#include "receiver/store/sqlite/overload.h"

#include "receiver/base/bytes.h"

#include "tests/unit/check.h"

#define BATCH 512

/* A store that takes `batch_ns` for a batch while `rate` events come a second, from an empty queue on. */
struct play {
	struct overload overload;
	int64_t now_ns;
	double waiting;
	double refused;
	double longest_s; /* wait of an event that was taken */
};

static void
play_for(struct play *play, double seconds, double rate, int64_t batch_ns)
{
	int64_t end_ns = play->now_ns + (int64_t)(seconds * (double)NS_PER_S);
	while (play->now_ns < end_ns) {
		double batch = play->waiting < BATCH ? play->waiting : BATCH;
		bool rest = play->waiting > BATCH;
		double each_s = (double)batch_ns / (double)NS_PER_S / BATCH;
		double waited_s = play->waiting * each_s;
		play->longest_s = waited_s > play->longest_s ? waited_s : play->longest_s;
		overload_begin(&play->overload, play->now_ns,
		               (int64_t)(waited_s * (double)NS_PER_S), rest);
		play->now_ns += batch_ns;
		overload_end(&play->overload, batch_ns, rest ? BATCH : 0);
		play->waiting += rate * (double)batch_ns / (double)NS_PER_S - batch;
		double most = (double)overload_most(&play->overload);
		if (play->waiting > most) {
			play->refused += play->waiting - most;
			play->waiting = most;
		}
	}
}

static void
what_one_batch_takes_is_no_overload_on_the_slowest_disk(void)
{
	struct play play = { .now_ns = NS_PER_S };
	play_for(&play, 600, 100, 3 * NS_PER_S);
	CHECK(play.refused == 0 && !play.overload.on);
	CHECK(overload_most(&play.overload) == INT64_MAX);
}

static void
a_stall_loses_nothing(void)
{
	struct play play = { .now_ns = NS_PER_S };
	play_for(&play, 5, 5000, 50 * NS_PER_MS);
	play.now_ns += 5 * NS_PER_S; /* the disk answers nobody, and 25 000 events come */
	play.waiting += 25000;
	play_for(&play, 1.9, 5000, 50 * NS_PER_MS);
	CHECK(play.refused == 0);
	CHECK(play.longest_s > 2);
}

static void
twice_as_many_as_can_be_stored_are_halved(void)
{
	struct play play = { .now_ns = NS_PER_S };
	double rate = BATCH / 0.05; /* what it can take */
	play_for(&play, 10, 2 * rate, 50 * NS_PER_MS);
	CHECK(play.overload.on);
	play.longest_s = 0;
	play.refused = 0;
	play_for(&play, 60, 2 * rate, 50 * NS_PER_MS);
	CHECK(play.refused > 0.95 * 60 * rate && play.refused < 1.05 * 60 * rate);
	CHECK(play.longest_s < 0.5);
	CHECK(play.waiting > BATCH); /* and the store never runs dry */
}

static void
when_it_keeps_up_again_nothing_is_refused(void)
{
	struct play play = { .now_ns = NS_PER_S };
	double rate = BATCH / 0.05;
	play_for(&play, 10, 2 * rate, 50 * NS_PER_MS);
	play_for(&play, 5, 0.5 * rate, 50 * NS_PER_MS);
	play.refused = 0;
	CHECK(!play.overload.on);
	play_for(&play, 60, 0.9 * rate, 50 * NS_PER_MS);
	CHECK(play.refused == 0 && !play.overload.on);
}

static void
a_slow_disk_has_two_full_batches_all_the_same(void)
{
	struct play play = { .now_ns = NS_PER_S };
	play_for(&play, 20, 2 * BATCH, NS_PER_S);
	CHECK(play.overload.on);
	CHECK(overload_most(&play.overload) == 2 * BATCH);
}

static void
the_cost_follows_what_is_seen(void)
{
	struct overload overload = { .on = true, .since_ns = 1 };
	CHECK(overload_most(&overload) == INT64_MAX); /* it knows nothing yet */
	overload_end(&overload, NS_PER_S, 0);
	CHECK(overload.event_ns == 0);
	overload_end(&overload, 10 * NS_PER_MS, 100);
	CHECK(overload_most(&overload) == OVERLOAD_WAIT_NS / (100 * NS_PER_US));
	for (int i = 0; i < 100; i++) {
		overload_end(&overload, 20 * NS_PER_MS, 100);
	}
	CHECK(overload_most(&overload) <= OVERLOAD_WAIT_NS / (199 * NS_PER_US));
	CHECK(overload_most(&overload) >= OVERLOAD_WAIT_NS / (200 * NS_PER_US));
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "what one batch takes is no overload on the slowest disk",
		  what_one_batch_takes_is_no_overload_on_the_slowest_disk },
		{ "a stall loses nothing", a_stall_loses_nothing },
		{ "twice as many as can be stored are halved",
		  twice_as_many_as_can_be_stored_are_halved },
		{ "when it keeps up again nothing is refused",
		  when_it_keeps_up_again_nothing_is_refused },
		{ "a slow disk has two full batches all the same",
		  a_slow_disk_has_two_full_batches_all_the_same },
		{ "the cost follows what is seen", the_cost_follows_what_is_seen },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
