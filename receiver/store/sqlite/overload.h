/* Whether more events come than can be stored. Pure: time is an argument.
 *
 * A queue that comes and goes is no overload, however long it is: it is how events outlive a stall of the disk. One that is never
 * taken in one batch, and in which the first has waited for OVERLOAD_WAIT_NS and longer since OVERLOAD_AFTER_NS, is: from then on as
 * many may wait as are stored within OVERLOAD_WAIT_NS, until the queue is short again. More of them would be stored no sooner, and
 * each of them later. */
#ifndef HOOKLATCH_STORE_SQLITE_OVERLOAD_H
#define HOOKLATCH_STORE_SQLITE_OVERLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "receiver/base/clock.h"

#define OVERLOAD_WAIT_NS  (400 * NS_PER_MS)
#define OVERLOAD_AFTER_NS (2 * NS_PER_S)

struct overload {
	int64_t since_ns; /* the queue is too long since then; 0: it is not */
	bool on;
	int64_t event_ns; /* what an event costs in a batch that is full; 0: none was yet */
	int64_t batch;    /* events of the last one that was */
};

/* A batch was filled, and its first event has waited so long. `rest`: it is full, others are left behind it. */
void overload_begin(struct overload *overload, int64_t now_ns, int64_t waited_ns, bool rest);
/* A full batch took so long, with all that is done between two of them. */
void overload_end(struct overload *overload, int64_t took_ns, size_t events);
/* How many events may wait now; INT64_MAX: any number. */
int64_t overload_most(const struct overload *overload);

#endif
