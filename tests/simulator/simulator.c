/* Plays the production schedule, breakers, budgets, backoffs, windows and slots through virtual days of faults.
 *
 *   simulator [--seed N] [--seeds N] [--deliveries N] [--trace NUMBER]
 *
 * The same seed plays the same run. Ends with "N passed, N failed", a seed each; a broken rule ends it at once, with 1. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulator/world.h"

#define SEEDS_BY_ITSELF      12
#define DELIVERIES_BY_ITSELF 105000 /* a seed: above a million in all */

static int
usage(void)
{
	(void)fprintf(stderr,
	              "simulator [--seed N] [--seeds N] [--deliveries N] [--trace NUMBER]\n");
	return 2;
}

static int64_t
play(uint64_t seed, int64_t deliveries, int32_t traced)
{
	struct world world = { .seed = seed, .wanted = deliveries, .traced = traced };
	world_play(&world);
	const struct tally *tally = &world.tally;
	const int64_t *states = world.counts.by_state;
	(void)printf("ok   seed %" PRIu64 ": %" PRId64 " received, %" PRId64 " done, %" PRId64
	             " dead, %" PRId64 " discarded in %" PRId64 " s; %" PRId64 " tries, %" PRId64
	             " again, %" PRId64 " at once, %" PRId64 " given back; %" PRId64
	             " claims for nothing; %" PRId64 " fetches, %" PRId64 " failed, %" PRId64
	             " stale rows; %" PRId64 " crashes, %" PRId64 " pauses, %" PRId64
	             " reloads, %" PRId64 " bad commits; %" PRId64 " replayed; %" PRId64
	             " breakers opened, %" PRId64 " probes; %" PRId64 " of %" PRId64
	             " out of order, %" PRId64 " pumps, %" PRId64 " steps\n",
	             seed, world.counts.received, states[DELIVERY_DONE], states[DELIVERY_DEAD],
	             states[DELIVERY_DISCARDED], world.now_ns / NS_PER_S, tally->tries,
	             tally->retries, tally->first_tries_at_once, tally->given_back, tally->not_run,
	             tally->fetches, tally->fetches_failed, tally->stale, tally->crashes,
	             tally->pauses, tally->reloads, tally->batches_failed, tally->reopened,
	             tally->opened, tally->probes, tally->out_of_order, tally->ordered_checks,
	             tally->pumps, tally->steps);
	return world.counts.received;
}

int
main(int argc, char **argv)
{
	uint64_t first = 1;
	int64_t seeds = SEEDS_BY_ITSELF;
	int64_t deliveries = DELIVERIES_BY_ITSELF;
	int32_t traced = 0;
	int64_t received = 0;
	for (int i = 1; i < argc; i += 2) {
		const char *value = argv[i + 1]; /* NULL behind the last one */
		if (value == NULL) {
			return usage();
		}
		if (strcmp(argv[i], "--seed") == 0) {
			first = strtoull(value, NULL, 0);
			seeds = 1;
		} else if (strcmp(argv[i], "--seeds") == 0) {
			seeds = strtoll(value, NULL, 0);
		} else if (strcmp(argv[i], "--deliveries") == 0) {
			deliveries = strtoll(value, NULL, 0);
		} else if (strcmp(argv[i], "--trace") == 0) {
			traced = (int32_t)strtol(value, NULL, 0);
		} else {
			return usage();
		}
	}
	if (seeds < 1 || deliveries < 1 || deliveries > 10000000) {
		return usage();
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (int64_t i = 0; i < seeds; i++) {
		received += play(first + (uint64_t)i, deliveries, traced);
	}
	(void)printf("%" PRId64 " deliveries\n%" PRId64 " passed, 0 failed\n", received, seeds);
	return EXIT_SUCCESS;
}
