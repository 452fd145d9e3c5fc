/* Threads and their roles. A role says what a thread may touch; clang checks it where calls are direct
 * (ON_THREAD), and the first line of a callback checks it at run time (thread_is). A role is a kind: every net
 * loop has the role `net`. */
#ifndef HOOKLATCH_BASE_THREAD_H
#define HOOKLATCH_BASE_THREAD_H

#include <pthread.h>

#include "receiver/base/error.h"

struct CAPABILITY("thread") thread_role {
	const char *name; /* at most 15 bytes: it is the thread's name too */
};

/* Starts a thread with all signals blocked; signals go to the main thread alone. */
bool thread_start(pthread_t *ret, const struct thread_role *role, void (*run)(void *context),
                  void *context, struct error *err) MUST_CHECK;
/* Cores that this process may run on, at least 1: sched(7), cpuset(7). */
size_t thread_cores(void);
/* From now on the calling thread takes little of a core that others want too. */
void thread_give_way(void);
/* Ends the process when the calling thread has another role. */
void thread_is(const struct thread_role *role) IS_THREAD(role);
/* Takes a role for the calling thread: main, tests, and commands that do another thread's work themselves. */
void thread_become(const struct thread_role *role);

#endif
