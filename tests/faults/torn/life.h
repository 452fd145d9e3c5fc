/* A life of the store: the store's own code on the disk in memory, from the start over batches of arrivals, claims and results,
 * checkpoints and purges to the end. Seeded; what is submitted next is decided on the store thread, so that a seed plays the
 * same batches again. */
#ifndef HOOKLATCH_TESTS_TORN_LIFE_H
#define HOOKLATCH_TESTS_TORN_LIFE_H

#include "receiver/base/error.h"
#include "receiver/base/random.h"

#include "tests/faults/torn/disk.h"
#include "tests/faults/torn/tape.h"

struct life {
	uint64_t seed;
	int steps;     /* batches */
	int64_t first; /* number of its first event */
	bool normal;   /* synchronous=NORMAL, which is no promise */
};

/* Plays it on a copy of the tape's base; false: the store did not start. */
bool life_play(const struct life *life, struct tape *tape, struct error *err) MUST_CHECK;

/* A store of the first schema version, as a killed life left it. */
void life_old_store(uint64_t seed, struct image *ret);

/* What the event of that number says, always the same. The caller frees. */
char *life_body(int64_t number, size_t *size);
char *life_headers(int64_t number);

/* Time in this process: it goes on by a step with each commit, so that a seed plays the same life again. calls.c gives it to
 * whoever asks for the time. */
int64_t life_now_ns(void);

/* Watches each connection that is opened from now on, for the tape. NULL: no more. */
void life_watch(struct tape *tape);

#endif
