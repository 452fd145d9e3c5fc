#include "receiver/dispatch/window.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#define TABLE_SLOTS (WINDOW_ROWS * 2) /* a power of two */

void
window_init(struct window *window)
{
	*window = (struct window){ .disk_ns = INT64_MIN, .marked_ns = INT64_MAX };
}

void
window_finish(struct window *window)
{
	free(window->heap);
	free(window->seqs);
	window_init(window);
}

/* --- which are in it --- */

static size_t
slot_of(int64_t seq)
{
	return (size_t)((uint64_t)seq * UINT64_C(0x9e3779b97f4a7c15) >> 40U) & (TABLE_SLOTS - 1);
}

static size_t
find(const struct window *window, int64_t seq)
{
	size_t slot = slot_of(seq);
	while (window->seqs[slot] != 0 && window->seqs[slot] != seq) {
		slot = (slot + 1) & (TABLE_SLOTS - 1);
	}
	return slot;
}

static void
forget(struct window *window, int64_t seq)
{
	size_t hole = find(window, seq);
	ALWAYS(window->seqs[hole] == seq, "window-known");
	size_t at = hole;
	for (;;) { /* what follows in the run moves up, so that it is still found */
		at = (at + 1) & (TABLE_SLOTS - 1);
		if (window->seqs[at] == 0) {
			break;
		}
		size_t home = slot_of(window->seqs[at]);
		if (((at - home) & (TABLE_SLOTS - 1)) >= ((at - hole) & (TABLE_SLOTS - 1))) {
			window->seqs[hole] = window->seqs[at];
			hole = at;
		}
	}
	window->seqs[hole] = 0;
}

/* --- the heap --- */

static bool
before(const struct window_item *a, const struct window_item *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->seq < b->seq);
}

static void
sift_up(struct window *window, size_t at)
{
	struct window_item item = window->heap[at];
	while (at > 0 && before(&item, &window->heap[(at - 1) / 2])) {
		window->heap[at] = window->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	window->heap[at] = item;
}

static void
sift_down(struct window *window, size_t at)
{
	struct window_item item = window->heap[at];
	for (;;) {
		size_t child = at * 2 + 1;
		if (child >= window->count) {
			break;
		}
		if (child + 1 < window->count &&
		    before(&window->heap[child + 1], &window->heap[child])) {
			child++;
		}
		if (!before(&window->heap[child], &item)) {
			break;
		}
		window->heap[at] = window->heap[child];
		at = child;
	}
	window->heap[at] = item;
}

static int
compare(const void *left, const void *right)
{
	const struct window_item *a = left;
	const struct window_item *b = right;
	return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

static void
leave_outside(struct window *window, int64_t at_ns)
{
	window->disk_ns = at_ns < window->disk_ns ? at_ns : window->disk_ns;
	window->marked_ns = at_ns < window->marked_ns ? at_ns : window->marked_ns;
}

/* Full: the later half goes back to disk, where it is anyway. */
static void
drop_half(struct window *window)
{
	qsort(window->heap, window->count, sizeof(window->heap[0]),
	      compare); /* a sorted array is a heap */
	size_t keep = window->count / 2;
	leave_outside(window, window->heap[keep].at_ns);
	for (size_t i = keep; i < window->count; i++) {
		forget(window, window->heap[i].seq);
	}
	window->count = keep;
}

void
window_add(struct window *window, struct window_item item)
{
	ALWAYS(item.seq > 0, "window-seq");
	if (window->heap == NULL) {
		window->heap = memory_need(WINDOW_ROWS * sizeof(window->heap[0]));
		window->seqs = memory_need(TABLE_SLOTS * sizeof(window->seqs[0]));
	}
	size_t slot = find(window, item.seq);
	if (window->seqs[slot] == item.seq) {
		return;
	}
	if (window->count == WINDOW_ROWS) {
		drop_half(window);
	}
	if (item.at_ns >
	    window->disk_ns) { /* others outside are earlier: it would only be in their way */
		leave_outside(window, item.at_ns);
		return;
	}
	window->seqs[find(window, item.seq)] = item.seq;
	window->heap[window->count++] = item;
	sift_up(window, window->count - 1);
}

const struct window_item *
window_first(const struct window *window)
{
	return window->count == 0 ? NULL : &window->heap[0];
}

struct window_item
window_take(struct window *window)
{
	ALWAYS(window->count > 0, "window-take");
	struct window_item first = window->heap[0];
	forget(window, first.seq);
	window->count--;
	if (window->count > 0) {
		window->heap[0] = window->heap[window->count];
		sift_down(window, 0);
	}
	return first;
}

/* --- the disk --- */

bool
window_wants(const struct window *window, int64_t now_ns)
{
	/* A fetch brings the earliest rows, most of which are here already as long as there are many. */
	bool room = window->count <= WINDOW_FETCH / 2;
	return !window->fetching && window->disk_ns <= now_ns &&
	       (room || window->heap[0].at_ns > window->disk_ns);
}

void
window_asked(struct window *window)
{
	if (window->count > WINDOW_ROWS - WINDOW_FETCH) {
		drop_half(window);
	}
	window->fetching = true;
	window->marked_ns = INT64_MAX;
	window->disk_ns = INT64_MAX; /* what comes meanwhile marks it again */
}

void
window_fetched(struct window *window, bool whole, int64_t last_ns)
{
	window->failed = false;
	int64_t rest_ns = whole ? INT64_MAX : last_ns;
	window->fetching = false;
	window->disk_ns = rest_ns < window->marked_ns ? rest_ns : window->marked_ns;
}

void
window_fetch_failed(struct window *window, int64_t again_ns)
{
	window->fetching = false;
	window->failed = true;
	window->disk_ns = again_ns;
}

int64_t
window_next(const struct window *window)
{
	int64_t first = window->count == 0 ? INT64_MAX : window->heap[0].at_ns;
	if (window->fetching) {
		return first;
	}
	return first < window->disk_ns ? first : window->disk_ns;
}
