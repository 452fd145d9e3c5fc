#include "receiver/dispatch/workers.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "receiver/log/log.h"

#define WORKER_IDLE_MOST 4 /* idle threads that are kept */

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
	size_t threads;
	struct worker *over; /* the latest whose thread ends by itself, and is to be joined */
	size_t idle;
	size_t waiting; /* calls in the list */
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

static struct call *
next_call(struct workers *workers, struct worker *worker)
{
	struct worker *before = NULL;
	(void)pthread_mutex_lock(&workers->lock);
	workers->idle++;
	while (workers->first == NULL && !workers->ending && workers->idle <= WORKER_IDLE_MOST) {
		(void)pthread_cond_wait(&workers->work, &workers->lock);
	}
	workers->idle--;
	struct call *call = workers->first;
	if (call != NULL) {
		workers->first = call->next;
		if (workers->first == NULL) {
			workers->last = &workers->first;
		}
		workers->waiting--;
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
worker_run(void *context)
{
	thread_is(&worker_thread);
	struct worker *worker = context;
	struct workers *workers = worker->workers;
	struct random random;
	random_seed_system(&random);
	struct call *call;
	for (;;) {
		call = next_call(workers, worker);
		if (call == NULL) {
			return; /* what the thread keeps for itself is freed now, before somebody has joined it */
		}
		int slot = call->slot;
		struct result_intent *result = attempt_run(call, &workers->stop, &random);
		workers->ended(workers->context, result->key, slot, result->news);
		store_submit(workers->store, &result->intent);
		(void)atomic_fetch_sub(&workers->running, 1);
	}
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
	workers->last = &workers->first;
	workers->stop.end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	workers->stop.kill_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (workers->stop.end_fd < 0 || workers->stop.kill_fd < 0) {
		(void)error_system(err, "eventfd");
		workers_destroy(workers);
		return false;
	}
	*ret = workers;
	return true;
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
	bool start = workers->waiting > workers->idle;
	if (start) {
		workers->threads++;
	} else {
		(void)pthread_cond_signal(&workers->work);
	}
	(void)pthread_mutex_unlock(&workers->lock);
	if (start) {
		pthread_t thread;
		struct error err;
		struct worker *worker = memory_need(sizeof(*worker));
		worker->workers = workers;
		if (!thread_start(&thread, &worker_thread, worker_run, worker, &err)) {
			free(worker);
			(void)pthread_mutex_lock(&workers->lock);
			workers->threads--;
			bool hopeless = workers->threads == 0;
			(void)pthread_mutex_unlock(&workers->lock);
			log_say(LOG_ERROR, "worker.failed", "%s", err.text);
			ALWAYS(!hopeless, "worker-thread");
		}
	}
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
	(void)pthread_cond_broadcast(&workers->work);
	while (workers->threads > 0) {
		(void)pthread_cond_wait(&workers->gone, &workers->lock);
	}
	struct worker *over = workers->over;
	(void)pthread_mutex_unlock(&workers->lock);
	join(over);
	(void)pthread_mutex_destroy(&workers->lock);
	(void)pthread_cond_destroy(&workers->work);
	(void)pthread_cond_destroy(&workers->gone);
	if (workers->stop.end_fd >= 0) {
		(void)close(workers->stop.end_fd);
	}
	if (workers->stop.kill_fd >= 0) {
		(void)close(workers->stop.kill_fd);
	}
	free(workers);
}
