/* Since when a thread works without coming back to wait: what a watchdog looks at.
 * Threads  begin and end: the thread that is watched (or who gave it the work, before it takes it); age: any. */
#ifndef HOOKLATCH_BASE_PULSE_H
#define HOOKLATCH_BASE_PULSE_H

#include <stdatomic.h>

#include "receiver/base/clock.h"

struct pulse {
	atomic_llong since_ns; /* CLOCK_BOOTTIME; 0: it waits */
};

static inline void
pulse_begin(struct pulse *pulse)
{
	atomic_store_explicit(&pulse->since_ns, clock_boot_ns(), memory_order_relaxed);
}

static inline void
pulse_end(struct pulse *pulse)
{
	atomic_store_explicit(&pulse->since_ns, 0, memory_order_relaxed);
}

/* Nanoseconds since it began; 0 when it waits. */
static inline int64_t
pulse_age_ns(const struct pulse *pulse)
{
	int64_t since_ns = atomic_load_explicit(&pulse->since_ns, memory_order_relaxed);
	return since_ns == 0 ? 0 : clock_boot_ns() - since_ns;
}

#endif
