#include "receiver/dispatch/workers.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/base/confine.h"
#include "receiver/log/log.h"

#define WORKER_IDLE_MOST 4 /* idle threads that are kept */

static struct thread_role starter_thread = { "starter" };

struct worker {
	struct workers *workers;
	pthread_t thread; /* its own word, once it is over */
};

struct workers {
	struct store *store;
	void (*ended)(void *context, struct delivery_key key, int slot, int news);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t gone;
	struct call *first;
	struct call **last;
	struct call *line; /* of brief ones */
	struct call **line_last;
	bool line_taken; /* a worker works it off */
	size_t threads;
	struct worker *over; /* the latest whose thread ends by itself, and is to be joined */
	size_t idle;
	size_t waiting; /* calls in the list */
	pthread_t starter;
	bool has_starter;
	pthread_cond_t need;
	size_t wanted; /* threads that are to be started */
	bool ending;
	atomic_llong running;
	struct attempt_stop stop;
};

static void
join(struct worker *worker)
{
	if (worker != NULL) {
		(void)pthread_join(worker->thread, NULL);
		free(worker);
	}
}

/* With the lock held, which these keep. */
static bool
line_waits(const struct workers *workers)
{
	return workers->line != NULL && !workers->line_taken;
}

static struct call *
take_line(struct workers *workers)
{
	struct call *calls = workers->line;
	workers->line = NULL;
	workers->line_last = &workers->line;
	return calls;
}

/* A call, or the line: *has_line says which, and whether this worker had it. */
static struct call *
next_calls(struct workers *workers, struct worker *worker, bool *has_line)
{
	struct worker *before = NULL;
	(void)pthread_mutex_lock(&workers->lock);
	workers->line_taken = workers->line_taken && !*has_line;
	workers->idle++;
	while (workers->first == NULL && !line_waits(workers) && !workers->ending &&
	       workers->idle <= WORKER_IDLE_MOST) {
		(void)pthread_cond_wait(&workers->work, &workers->lock);
	}
	workers->idle--;
	struct call *call = workers->first;
	*has_line = call == NULL && line_waits(workers);
	if (call != NULL) {
		workers->first = call->next;
		if (workers->first == NULL) {
			workers->last = &workers->first;
		}
		call->next = NULL;
		workers->waiting--;
	} else if (*has_line) {
		call = take_line(workers);
		workers->line_taken = true;
	} else {
		workers->threads--;
		worker->thread = pthread_self();
		before = workers->over; /* each that ends joins the one that ended before it */
		workers->over = worker;
		(void)pthread_cond_signal(&workers->gone);
	}
	(void)pthread_mutex_unlock(&workers->lock);
	join(before);
	return call;
}

static void
end_call(struct workers *workers, int slot, struct result_intent *result)
{
	workers->ended(workers->context, result->key, slot, result->news);
	store_submit(workers->store, &result->intent);
	(void)atomic_fetch_sub(&workers->running, 1);
}

static void
worker_run(void *context)
{
	thread_is(&worker_thread);
	struct worker *worker = context;
	struct workers *workers = worker->workers;
	struct random random;
	random_seed_system(&random);
	struct call *call;
	bool has_line = false;
	confine_not_umask();
	while ((call = next_calls(workers, worker, &has_line)) != NULL) {
		while (call != NULL) {
			struct call *next = call->next;
			int slot = call->slot;
			end_call(workers, slot, attempt_run(call, &workers->stop, &random));
			call = next;
		}
	}
	/* What the thread keeps for itself is freed now, before somebody has joined it. */
}

/* Nobody is there to make the calls that wait, and nobody can be started: they are not counted, and tried again. */
static void
give_back(struct workers *workers, struct call *calls, const struct error *err,
          struct random *random)
{
	while (calls != NULL) {
		struct call *call = calls;
		calls = call->next;
		struct outcome outcome = { .kind = OUTCOME_DONE };
		outcome_fail(&outcome, OUTCOME_GIVE_BACK, ABOUT_NOTHING, "spawn_failed", "%s",
		             err->text);
		int slot = call->slot; /* the call is gone with its result */
		end_call(workers, slot, attempt_result(call, &outcome, clock_wall_ns(), 0, random));
	}
}

/* With the lock held, which it keeps: all calls that wait. */
static struct call *
take_all(struct workers *workers)
{
	*workers->last = take_line(workers);
	struct call *calls = workers->first;
	workers->first = NULL;
	workers->last = &workers->first;
	workers->waiting = 0;
	return calls;
}

static void
start_worker(struct workers *workers, struct random *random)
{
	pthread_t thread;
	struct error err;
	struct worker *worker = memory_need(sizeof(*worker));
	worker->workers = workers;
	if (thread_start(&thread, &worker_thread, worker_run, worker, &err)) {
		return;
	}
	free(worker);
	(void)pthread_mutex_lock(&workers->lock);
	workers->threads--;
	/* No push asks for a thread as long as the line waits: it is not left to calls that may take long. */
	struct call *calls = workers->threads == 0                       ? take_all(workers)
	                     : line_waits(workers) && workers->idle == 0 ? take_line(workers)
	                                                                 : NULL;
	(void)pthread_mutex_unlock(&workers->lock);
	log_say(LOG_ERROR, "worker.failed", "%s", err.text);
	give_back(workers, calls, &err, random);
}

/* Threads have what their maker has. Calls come from the store's thread, which may do nothing but store: what it can no
 * longer do, handlers must be able to. */
static void
starter_run(void *context)
{
	struct workers *workers = context;
	struct random random;
	random_seed_system(&random);
	(void)pthread_mutex_lock(&workers->lock);
	while (!workers->ending) {
		if (workers->wanted == 0) {
			(void)pthread_cond_wait(&workers->need, &workers->lock);
			continue;
		}
		workers->wanted--;
		(void)pthread_mutex_unlock(&workers->lock);
		start_worker(workers, &random);
		(void)pthread_mutex_lock(&workers->lock);
	}
	(void)pthread_mutex_unlock(&workers->lock);
}

bool
workers_create(struct workers **ret, struct store *store,
               void (*ended)(void *context, struct delivery_key key, int slot, int news),
               void *context, struct error *err)
{
	struct workers *workers = memory_need(sizeof(*workers));
	workers->store = store;
	workers->ended = ended;
	workers->context = context;
	(void)pthread_mutex_init(&workers->lock, NULL);
	(void)pthread_cond_init(&workers->work, NULL);
	(void)pthread_cond_init(&workers->gone, NULL);
	(void)pthread_cond_init(&workers->need, NULL);
	workers->last = &workers->first;
	workers->line_last = &workers->line;
	workers->stop.end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	workers->stop.kill_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (workers->stop.end_fd < 0 || workers->stop.kill_fd < 0) {
		(void)error_system(err, "eventfd");
		workers_destroy(workers);
		return false;
	}
	workers->has_starter =
		thread_start(&workers->starter, &starter_thread, starter_run, workers, err);
	if (!workers->has_starter) {
		workers_destroy(workers);
		return false;
	}
	*ret = workers;
	return true;
}

/* With the lock held, which it keeps: there is one more thing for a worker to do. */
static void
need_worker(struct workers *workers)
{
	if (workers->waiting + (line_waits(workers) ? 1 : 0) > workers->idle) {
		workers->threads++;
		workers->wanted++;
		(void)pthread_cond_signal(&workers->need);
	} else {
		(void)pthread_cond_signal(&workers->work);
	}
}

void
workers_push(struct workers *workers, struct call *call)
{
	call->next = NULL;
	(void)atomic_fetch_add(&workers->running, 1);
	(void)pthread_mutex_lock(&workers->lock);
	*workers->last = call;
	workers->last = &call->next;
	workers->waiting++;
	need_worker(workers);
	(void)pthread_mutex_unlock(&workers->lock);
}

void
workers_push_brief(struct workers *workers, struct call *first, struct call *last, size_t count)
{
	(void)atomic_fetch_add(&workers->running, (long long)count);
	(void)pthread_mutex_lock(&workers->lock);
	bool waited = workers->line_taken || workers->line != NULL;
	*workers->line_last = first;
	workers->line_last = &last->next;
	if (!waited) {
		need_worker(workers);
	}
	(void)pthread_mutex_unlock(&workers->lock);
}

int64_t
workers_running(const struct workers *workers)
{
	return atomic_load(&workers->running);
}

void
workers_end(struct workers *workers, bool at_once)
{
	(void)eventfd_write(workers->stop.end_fd, 1);
	if (at_once) {
		(void)eventfd_write(workers->stop.kill_fd, 1);
	}
}

void
workers_destroy(struct workers *workers)
{
	if (workers == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&workers->lock);
	workers->ending = true;
	workers->threads -= workers->wanted; /* these will not be */
	workers->wanted = 0;
	(void)pthread_cond_broadcast(&workers->work);
	(void)pthread_cond_signal(&workers->need);
	(void)pthread_mutex_unlock(&workers->lock);
	if (workers->has_starter) {
		(void)pthread_join(workers->starter, NULL);
	}
	(void)pthread_mutex_lock(&workers->lock);
	while (workers->threads > 0) {
		(void)pthread_cond_wait(&workers->gone, &workers->lock);
	}
	struct worker *over = workers->over;
	(void)pthread_mutex_unlock(&workers->lock);
	join(over);
	(void)pthread_mutex_destroy(&workers->lock);
	(void)pthread_cond_destroy(&workers->work);
	(void)pthread_cond_destroy(&workers->gone);
	(void)pthread_cond_destroy(&workers->need);
	if (workers->stop.end_fd >= 0) {
		(void)close(workers->stop.end_fd);
	}
	if (workers->stop.kill_fd >= 0) {
		(void)close(workers->stop.kill_fd);
	}
	free(workers);
}
