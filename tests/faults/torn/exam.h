/* Examining: the lives of a store are recorded, the power goes off at their steps, and each different image of what may be left
 * is started from. */
#ifndef HOOKLATCH_TESTS_TORN_EXAM_H
#define HOOKLATCH_TESTS_TORN_EXAM_H

#include "tests/faults/torn/tape.h"

struct plan {
	uint64_t seed;
	int64_t stores;
	int64_t points; /* of them, over all first lives */
	int64_t images;
	int64_t depth; /* lives that begin with an image of a life that began with an image … */
	int64_t jobs;
	bool syncs;
	bool normal;
};

/* All of them numbers, which are added up over processes. */
struct share {
	int64_t lives;
	int64_t points;
	int64_t images; /* different ones of their life */
	int64_t repeated;
	int64_t acked;
	int64_t checked; /* acknowledged events looked for, over all images */
	int64_t lost;    /* images without a commit that had returned */
	int64_t corrupt; /* not sound, or left by no commit */
	int64_t false_alarms;
	int64_t refused;
	int64_t older;  /* than the lock file says */
	int64_t copies; /* from before a migration, looked at */
	int64_t bad_copies;
	int64_t phases[PHASES]; /* points */
};
struct figures {
	struct share commits; /* cuts while a first life commits */
	struct share
		compound; /* in its start, migration, purge, checkpoint, end, and in lives that began with an image */
	int64_t nested_images;
	int64_t deepest;
};

/* One store: from its first start, or from the first version of its schema, over several lives. `owed`: images that are still
 * to be made up for. */
void exam_begin(const struct plan *plan); /* once a process, before the first store */
void exam_store(const struct plan *plan, uint64_t seed, int64_t *owed, struct figures *figures);

#endif
