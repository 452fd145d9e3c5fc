#include "receiver/base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "receiver/base/bytes.h"

#define GIVE_WAY 10 /* of the nice value: about a tenth of an equal share */

struct start {
	const struct thread_role *role;
	void (*run)(void *context);
	void *context;
};

static _Thread_local const struct thread_role *current_role;

static void *
thread_main(void *argument)
{
	struct start start = *(struct start *)argument;
	free(argument);
	current_role = start.role;
	/* pthread_setname_np(3) from outside opens a file that a child started meanwhile would inherit. */
	(void)prctl(PR_SET_NAME, start.role->name);
	start.run(start.context);
	return NULL;
}

bool
thread_start(pthread_t *ret, const struct thread_role *role, void (*run)(void *context),
             void *context, struct error *err)
{
	struct start *start = memory_need(sizeof(*start));
	*start = (struct start){ role, run, context };
	sigset_t all;
	sigset_t old;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_t thread;
	int code = pthread_create(&thread, NULL, thread_main, start);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code != 0) {
		free(start);
		errno = code;
		return error_system(err, "cannot start the thread %s", role->name);
	}
	*ret = thread;
	return true;
}

size_t
thread_cores(void)
{
	cpu_set_t cores;
	CPU_ZERO(&cores);
	int count = sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
	return count < 1 ? 1 : (size_t)count;
}

void
thread_give_way(void)
{
	/* On Linux a nice value is a thread's: sched(7). */
	id_t self = (id_t)gettid();
	int now = getpriority(PRIO_PROCESS, self);
	(void)setpriority(PRIO_PROCESS, self, now + GIVE_WAY);
}

void
thread_is(const struct thread_role *role)
{
	ALWAYS(current_role == role, "thread-role");
}

void
thread_become(const struct thread_role *role)
{
	current_role = role;
}
