/* Images of one life that were started from, and which state each of them held. */
#ifndef HOOKLATCH_TESTS_TORN_SEEN_H
#define HOOKLATCH_TESTS_TORN_SEEN_H

#include "tests/faults/torn/disk.h"

struct seen {
	struct {
		uint64_t key; /* 0: free */
		int64_t state;
	} * cells;
	size_t room; /* a power of two */
	size_t count;
};

void seen_init(struct seen *seen);
void seen_finish(struct seen *seen);
uint64_t seen_key(const struct image *image);
/* False: it is new. */
bool seen_find(const struct seen *seen, uint64_t key, int64_t *state);
void seen_add(struct seen *seen, uint64_t key, int64_t state);

#endif
