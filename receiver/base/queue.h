/* A queue between threads: any thread pushes, one thread takes all that waits. Items are intrusive and belong to
 * whoever holds them. The consumer waits on queue_fd() (readable when something waits), alone or in an event loop. */
#ifndef HOOKLATCH_BASE_QUEUE_H
#define HOOKLATCH_BASE_QUEUE_H

#include <pthread.h>

#include "receiver/base/error.h"

struct queue_item {
	struct queue_item *next;
};

struct queue {
	pthread_mutex_t lock;
	struct queue_item *head;
	struct queue_item **tail;
	bool woken; /* the consumer has been told, and has not looked yet */
	int fd;     /* eventfd */
};

bool queue_init(struct queue *queue, struct error *err) MUST_CHECK;
void queue_finish(struct queue *queue);
void queue_push(struct queue *queue, struct queue_item *item);
/* The same, and wakes nobody: true when the caller must queue_wake() the consumer soon. */
bool queue_put(struct queue *queue, struct queue_item *item) MUST_CHECK;
/* The items in their order, or NULL. Clears the wake-up. */
struct queue_item *queue_take(struct queue *queue);
void queue_wake(struct queue *queue); /* wakes the consumer without an item */
int queue_fd(const struct queue *queue);
/* Waits until something may be there or timeout_ns has passed (-1: for ever). */
void queue_wait(const struct queue *queue, int64_t timeout_ns);

#endif
