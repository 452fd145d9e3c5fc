/* A window onto the pending deliveries of one handler's lane: the earliest ones in memory, the rest on disk.
 * Invariant: every pending delivery that is not in the window is due at `disk_ns` or later, as far as commits are known.
 * Pure: times are boot time, ns. Bounded by WINDOW_ROWS. */
#ifndef HOOKLATCH_DISPATCH_WINDOW_H
#define HOOKLATCH_DISPATCH_WINDOW_H

#include "receiver/base/compiler.h"

#define WINDOW_ROWS  1024
#define WINDOW_FETCH 512 /* what a reader is asked for at once */

struct window_item {
	int64_t at_ns; /* boot time when it may be tried */
	int64_t seq;
	int64_t due_ns; /* as it stands on disk: wall time */
};

struct window {
	struct window_item *heap; /* by at_ns, then seq */
	size_t count;
	int64_t *seqs;     /* which are in it: open addressing, 0 is free */
	int64_t disk_ns;   /* nothing outside is due earlier; INT64_MAX: nothing is outside */
	int64_t marked_ns; /* the earliest that was left outside since the last fetch was asked for */
	bool fetching;
	bool failed; /* the last fetch: what is outside is unknown */
};

void window_init(struct window *window); /* everything may be on disk */
void window_finish(struct window *window);
/* Adds a delivery, or leaves it on disk when there is no room. One that is there stays as it is. */
void window_add(struct window *window, struct window_item item);
const struct window_item *window_first(const struct window *window); /* NULL: none */
struct window_item window_take(struct window *window);               /* the first */

/* Whether the reader should be asked now; then window_asked(), and window_fetched() with its answer. */
bool window_wants(const struct window *window, int64_t now_ns);
void window_asked(struct window *window);
/* `whole`: fewer rows than asked for, so nothing is left on disk. `last_ns`: when the last of them is due. */
void window_fetched(struct window *window, bool whole, int64_t last_ns);
/* A fetch that failed: again at `again_ns`. */
void window_fetch_failed(struct window *window, int64_t again_ns);
/* When there is something to do: the first item, or what is on disk. INT64_MAX: never. */
int64_t window_next(const struct window *window);

#endif
