#include "receiver/dispatch/backoff.h"

int64_t
backoff_most(const struct backoff *backoff, int64_t n)
{
	int64_t most = backoff->first_ns < backoff->max_ns ? backoff->first_ns : backoff->max_ns;
	for (int64_t i = 1; i < n && most < backoff->max_ns; i++) {
		int64_t longer;
		if (__builtin_mul_overflow(most, backoff->factor, &longer)) {
			return backoff->max_ns;
		}
		longer /= 1000;
		if (longer == most) { /* a factor of 1: it stays so for ever */
			break;
		}
		most = longer < backoff->max_ns ? longer : backoff->max_ns;
	}
	return most;
}

int64_t
backoff_wait(const struct backoff *backoff, int64_t n, struct random *random)
{
	int64_t most = backoff_most(backoff, n);
	return backoff->jitter ? random_up_to(random, most) : most;
}

bool
backoff_exhausted(const struct backoff *backoff, int64_t attempts, int64_t since_first_failed_ns)
{
	return attempts >= backoff->attempts || since_first_failed_ns >= backoff->give_up_after_ns;
}
