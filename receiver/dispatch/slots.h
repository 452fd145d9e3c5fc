/* Slots: who may call a handler now. Each handler has one slot of its own, that nobody else can take; further calls up to
 * its `concurrency` take shared ones. So a handler that hangs in all its slots never delays another.
 * Calls that no worker is kept by take no shared slots: those on the store thread, and those of a brief handler
 * (handlers/handler.h), which wait in line for one worker. Of the latter SLOTS_AHEAD may be claimed, not `concurrency`, so that
 * a whole batch of fresh deliveries runs at once.
 * Both the store (for fresh deliveries) and dispatch (for all others) take slots, by atomic counters alone.
 * Threads: any. */
#ifndef HOOKLATCH_DISPATCH_SLOTS_H
#define HOOKLATCH_DISPATCH_SLOTS_H

#include <stdatomic.h>

#include "receiver/base/compiler.h"

#define SLOTS_AHEAD 512

enum slot {
	SLOT_NONE = -1,
	SLOT_OWN,
	SLOT_SHARED,
	SLOT_APART,
};

struct shared_slots {
	atomic_llong free;
	atomic_bool closed; /* no more calls: the service stops */
};

struct slots {
	struct shared_slots *shared;
	atomic_llong most;
	atomic_llong room; /* calls that are still allowed */
	atomic_int own;    /* 1: free */
	atomic_bool apart; /* it takes no shared ones */
};

void shared_slots_init(struct shared_slots *shared, int64_t count);
void slots_init(struct slots *slots, struct shared_slots *shared);
/* From one setting to another: what is taken stays so. One thread. */
void slots_change(struct slots *slots, int64_t most, bool apart);
int64_t slots_taken(const struct slots *slots);
enum slot slots_take(struct slots *slots);
void slots_give(struct slots *slots, enum slot slot);

#endif
