/* Slots: who may call a handler now. Each handler has one slot of its own, that nobody else can take; further calls up to
 * its `concurrency` take shared ones. So a handler that hangs in all its slots never delays another.
 * Both the store (for fresh deliveries) and dispatch (for all others) take slots, by atomic counters alone.
 * Threads: any. */
#ifndef HOOKLATCH_DISPATCH_SLOTS_H
#define HOOKLATCH_DISPATCH_SLOTS_H

#include <stdatomic.h>

#include "receiver/base/compiler.h"

enum slot {
	SLOT_NONE = -1,
	SLOT_OWN,
	SLOT_SHARED,
};

struct shared_slots {
	atomic_llong free;
	atomic_bool closed; /* no more calls: the service stops */
};

struct slots {
	struct shared_slots *shared;
	atomic_llong room; /* calls that `concurrency` still allows */
	atomic_int own;    /* 1: free */
};

void shared_slots_init(struct shared_slots *shared, int64_t count);
void slots_init(struct slots *slots, struct shared_slots *shared, int64_t concurrency);
void slots_change(struct slots *slots, int64_t difference); /* of concurrency */
enum slot slots_take(struct slots *slots);
void slots_give(struct slots *slots, enum slot slot);

#endif
