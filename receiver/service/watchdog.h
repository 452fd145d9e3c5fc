/* Ends a process whose threads stand still: a disk that never answers, a bug that never returns. A supervisor starts it anew;
 * what was acknowledged is stored, and claims come back with the next start.
 * systemd's own watchdog (sd_watchdog_enabled(3), WATCHDOG_USEC) is fed as long as nothing stands still.
 * A process that was stopped, or a machine that slept, is not judged before it has been awake for stall_ns.
 * Threads  main. */
#ifndef HOOKLATCH_SERVICE_WATCHDOG_H
#define HOOKLATCH_SERVICE_WATCHDOG_H

#include "receiver/dispatch/engine.h"
#include "receiver/net/net.h"
#include "receiver/store/store.h"

struct watchdog {
	const struct store *store;
	const struct engine *engine;
	struct net *net;
	int64_t looked_ns; /* when it looked last; 0: not yet */
	int64_t awake_ns;  /* since when it has looked in time */
};

/* How often to look. `stall_ns`: limits.stall_timeout. */
int64_t watchdog_period_ns(int64_t stall_ns);
/* The name of a thread that has stood still for longer than stall_ns; NULL: all go. */
const char *watchdog_look(struct watchdog *watchdog, int64_t stall_ns);

#endif
