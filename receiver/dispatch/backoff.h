/* When a failed try is tried again. Pure: time and chance are arguments.
 * After the n-th failed try the wait is random in 0 … min(max, first·factor^(n−1)) (full jitter), or exactly that. */
#ifndef HOOKLATCH_DISPATCH_BACKOFF_H
#define HOOKLATCH_DISPATCH_BACKOFF_H

#include "receiver/base/random.h"

struct backoff {
	int64_t attempts; /* in all */
	int64_t first_ns;
	int64_t factor; /* thousandths */
	int64_t max_ns;
	int64_t give_up_after_ns;
	bool jitter;
};

/* The longest wait after the n-th failed try, n from 1. */
int64_t backoff_most(const struct backoff *backoff, int64_t n);
int64_t backoff_wait(const struct backoff *backoff, int64_t n, struct random *random);
/* Whether a delivery dies with this failed try: attempts used up, or give_up_after has passed since the first failed one
 * (in time that the handler could run; negative: this is the first). */
bool backoff_exhausted(const struct backoff *backoff, int64_t attempts,
                       int64_t since_first_failed_ns);

#endif
