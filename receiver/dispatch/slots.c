#include "receiver/dispatch/slots.h"

#include "receiver/base/error.h"

void
shared_slots_init(struct shared_slots *shared, int64_t count)
{
	atomic_init(&shared->free, count);
	atomic_init(&shared->closed, false);
}

void
slots_init(struct slots *slots, struct shared_slots *shared)
{
	slots->shared = shared;
	atomic_init(&slots->most, 0);
	atomic_init(&slots->room, 0);
	atomic_init(&slots->own, 1);
	atomic_init(&slots->apart, false);
}

void
slots_change(struct slots *slots, int64_t most, bool apart)
{
	long long before = atomic_exchange(&slots->most, most);
	atomic_store(&slots->apart, apart);
	(void)atomic_fetch_add(&slots->room, most - before);
}

int64_t
slots_taken(const struct slots *slots)
{
	return atomic_load(&slots->most) - atomic_load(&slots->room);
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
	if (atomic_load(&slots->apart)) {
		return SLOT_APART;
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
	ALWAYS(slot == SLOT_OWN || slot == SLOT_SHARED || slot == SLOT_APART, "slot");
	if (slot == SLOT_OWN) {
		atomic_store(&slots->own, 1);
	} else if (slot == SLOT_SHARED) {
		(void)atomic_fetch_add(&slots->shared->free, 1);
	}
	(void)atomic_fetch_add(&slots->room, 1);
}
