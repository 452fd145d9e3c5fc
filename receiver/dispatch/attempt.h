/* One try of a delivery: runs the handler on a worker and says what becomes of the delivery. */
#ifndef HOOKLATCH_DISPATCH_ATTEMPT_H
#define HOOKLATCH_DISPATCH_ATTEMPT_H

#include "receiver/config/config.h"
#include "receiver/dispatch/backoff.h"
#include "receiver/store/store.h"

/* A call on its way to a worker. */
struct call {
	struct call *next;
	struct delivery_key key;
	struct event *event;   /* the call's own reference */
	struct config *config; /* the call's own reference */
	const struct handler *handler;
	int slot;
	bool ordered;
	int64_t attempts;
	int64_t round;
	int64_t key_round;           /* see handler.h */
	int64_t first_failed_ran_ns; /* -1: no try has failed yet */
	int64_t ran_base_ns;         /* the handler's clock is this plus boot time */
	int64_t due_ns;              /* wall time at which it was due */
};

/* Runs it; the call is freed. The result takes over the event. */
struct result_intent *attempt_run(struct call *call, const struct attempt_stop *stop,
                                  struct random *random);
/* What a kind sees of a call. */
struct attempt attempt_of(const struct call *call, const struct attempt_stop *stop);
/* The result of a call that was made elsewhere: the call is freed. Times are wall time, ns. */
struct result_intent *attempt_result(struct call *call, const struct outcome *outcome,
                                     int64_t started_ns, int64_t duration_ns,
                                     struct random *random);
void call_free(struct call *call); /* one that was not run */

struct backoff backoff_of(const struct handler *handler);

/* Once the result is committed: attempt.failed, delivery.dead, delivery.done. */
void attempt_log(const struct result_intent *result, const char *handler);

#endif
