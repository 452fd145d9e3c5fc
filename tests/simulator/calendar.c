#include "tests/simulator/calendar.h"

#include <stdlib.h>

#include "receiver/base/bytes.h"

static bool
before(const struct entry *a, const struct entry *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void
calendar_add(struct calendar *calendar, struct entry entry)
{
	if (calendar->count == calendar->room) {
		calendar->room = calendar->room == 0 ? 1024 : calendar->room * 2;
		calendar->heap =
			memory_resize(calendar->heap, calendar->room * sizeof(*calendar->heap));
	}
	entry.order = calendar->order++;
	size_t at = calendar->count++;
	while (at > 0 && before(&entry, &calendar->heap[(at - 1) / 2])) {
		calendar->heap[at] = calendar->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	calendar->heap[at] = entry;
}

bool
calendar_take(struct calendar *calendar, struct entry *ret)
{
	if (calendar->count == 0) {
		return false;
	}
	*ret = calendar->heap[0];
	struct entry last = calendar->heap[--calendar->count];
	size_t at = 0;
	for (;;) {
		size_t child = at * 2 + 1;
		if (child >= calendar->count) {
			break;
		}
		if (child + 1 < calendar->count &&
		    before(&calendar->heap[child + 1], &calendar->heap[child])) {
			child++;
		}
		if (!before(&calendar->heap[child], &last)) {
			break;
		}
		calendar->heap[at] = calendar->heap[child];
		at = child;
	}
	calendar->heap[at] = last;
	return true;
}

void
calendar_finish(struct calendar *calendar)
{
	free(calendar->heap);
	*calendar = (struct calendar){ 0 };
}
