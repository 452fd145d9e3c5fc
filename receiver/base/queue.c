#include "receiver/base/queue.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

bool
queue_init(struct queue *queue, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		return error_system(err, "eventfd");
	}
	(void)pthread_mutex_init(&queue->lock, NULL);
	queue->head = NULL;
	queue->tail = &queue->head;
	queue->woken = false;
	queue->fd = fd;
	return true;
}

void
queue_finish(struct queue *queue)
{
	if (queue->fd >= 0) {
		(void)close(queue->fd);
		(void)pthread_mutex_destroy(&queue->lock);
		queue->fd = -1;
	}
}

/* Whether the consumer has not been told yet. */
static bool
add(struct queue *queue, struct queue_item *item, bool tells)
{
	item->next = NULL;
	(void)pthread_mutex_lock(&queue->lock);
	bool sleeps = !queue->woken;
	queue->woken = queue->woken || tells;
	*queue->tail = item;
	queue->tail = &item->next;
	(void)pthread_mutex_unlock(&queue->lock);
	return sleeps;
}

void
queue_wake(struct queue *queue)
{
	(void)pthread_mutex_lock(&queue->lock);
	queue->woken = true;
	(void)pthread_mutex_unlock(&queue->lock);
	(void)eventfd_write(queue->fd, 1); /* EAGAIN: it is already signalled for ever */
}

bool
queue_put(struct queue *queue, struct queue_item *item)
{
	return add(queue, item, false);
}

void
queue_push(struct queue *queue, struct queue_item *item)
{
	if (add(queue, item, true)) {
		(void)eventfd_write(queue->fd, 1);
	}
}

struct queue_item *
queue_take(struct queue *queue)
{
	eventfd_t ignored;
	(void)eventfd_read(queue->fd, &ignored);
	(void)pthread_mutex_lock(&queue->lock);
	struct queue_item *items = queue->head;
	queue->head = NULL;
	queue->tail = &queue->head;
	queue->woken = false;
	(void)pthread_mutex_unlock(&queue->lock);
	return items;
}

int
queue_fd(const struct queue *queue)
{
	return queue->fd;
}

void
queue_wait(const struct queue *queue, int64_t timeout_ns)
{
	struct pollfd poll_fd = { .fd = queue->fd, .events = POLLIN };
	struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / NS_PER_S),
		                    .tv_nsec = timeout_ns % NS_PER_S };
	(void)ppoll(&poll_fd, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
}
