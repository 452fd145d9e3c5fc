#include "receiver/dispatch/slots.h"

#include "receiver/base/error.h"

void
shared_slots_init(struct shared_slots *shared, int64_t count)
{
	atomic_init(&shared->free, count);
	atomic_init(&shared->closed, false);
}

void
slots_init(struct slots *slots, struct shared_slots *shared, int64_t concurrency)
{
	slots->shared = shared;
	atomic_init(&slots->room, concurrency);
	atomic_init(&slots->own, 1);
}

void
slots_change(struct slots *slots, int64_t difference)
{
	(void)atomic_fetch_add(&slots->room, difference);
}

static bool
take_one(atomic_llong *counter)
{
	long long left = atomic_load(counter);
	while (left > 0) {
		if (atomic_compare_exchange_weak(counter, &left, left - 1)) {
			return true;
		}
	}
	return false;
}

enum slot
slots_take(struct slots *slots)
{
	if (atomic_load(&slots->shared->closed) || !take_one(&slots->room)) {
		return SLOT_NONE;
	}
	int free = 1;
	if (atomic_compare_exchange_strong(&slots->own, &free, 0)) {
		return SLOT_OWN;
	}
	if (take_one(&slots->shared->free)) {
		return SLOT_SHARED;
	}
	(void)atomic_fetch_add(&slots->room, 1);
	return SLOT_NONE;
}

void
slots_give(struct slots *slots, enum slot slot)
{
	ALWAYS(slot == SLOT_OWN || slot == SLOT_SHARED, "slot");
	if (slot == SLOT_OWN) {
		atomic_store(&slots->own, 1);
	} else {
		(void)atomic_fetch_add(&slots->shared->free, 1);
	}
	(void)atomic_fetch_add(&slots->room, 1);
}
