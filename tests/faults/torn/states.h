/* What a store holds, as one number: two stores with the same content have the same. Read with SQLite alone. */
#ifndef HOOKLATCH_TESTS_TORN_STATES_H
#define HOOKLATCH_TESTS_TORN_STATES_H

#include <sqlite3.h>

#include "receiver/base/error.h"

#include "tests/faults/torn/tape.h"

struct digest {
	uint64_t low;
	uint64_t high;
};

/* What each commit of a life left, and before the first of them, what its base holds. */
struct states {
	struct digest *digests; /* one more than there are commits */
	size_t count;
};

bool states_digest(sqlite3 *database, struct digest *ret, struct error *err) MUST_CHECK;
/* integrity_check and foreign keys. */
bool states_sound(sqlite3 *database, struct error *err) MUST_CHECK;
/* Reads them off the tape, and looks at each: it is sound, its rows are what was sent, its ledger adds up, what was
 * acknowledged before the next commit is in it. */
bool states_read(struct states *states, const struct tape *tape, struct error *err) MUST_CHECK;
void states_finish(struct states *states);
/* The latest that has this content; -1: none. */
int64_t states_find(const struct states *states, struct digest digest);

#endif
