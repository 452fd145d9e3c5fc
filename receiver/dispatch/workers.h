/* Worker threads, started on demand: each makes one call at a time. How many there can be is decided by the slots. Calls of brief
 * handlers wait in a line of their own, which one worker at a time works off.
 * Threads: workers_push() from any thread; the rest on main. Workers come from a thread of their own kind, never from the
 * one that pushes: they must not inherit its confinement (receiver/base/confine.h). */
#ifndef HOOKLATCH_DISPATCH_WORKERS_H
#define HOOKLATCH_DISPATCH_WORKERS_H

#include "receiver/dispatch/attempt.h"

struct workers;

/* `ended` is called on the worker when a call is over, before its result is on its way: its slot is free. */
bool workers_create(struct workers **ret, struct store *store,
                    void (*ended)(void *context, struct delivery_key key, int slot, int news),
                    void *context, struct error *err) MUST_CHECK;
/* Takes the call. When no thread can be started the call waits for one that becomes free; where there is none, it is given
 * back uncounted. */
void workers_push(struct workers *workers, struct call *call);
/* The same for `count` calls of brief handlers, linked by `next`. */
void workers_push_brief(struct workers *workers, struct call *first, struct call *last,
                        size_t count);
int64_t workers_running(const struct workers *workers); /* calls that wait or run */
/* Tells all running handlers to end: politely, or at once. */
void workers_end(struct workers *workers, bool at_once);
/* After the last call has ended. Takes NULL. */
void workers_destroy(struct workers *workers);

#endif
