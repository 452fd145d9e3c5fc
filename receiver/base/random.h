/* Chance. A generator is an argument, seeded by the caller: policy can be played again from its seed.
 * xoshiro256** by Blackman and Vigna (public domain, https://prng.di.unimi.it/); not for secrets. */
#ifndef HOOKLATCH_BASE_RANDOM_H
#define HOOKLATCH_BASE_RANDOM_H

#include "receiver/base/compiler.h"

struct random {
	uint64_t state[4];
};

void random_seed(struct random *random, uint64_t seed);
void random_seed_system(struct random *random); /* from getrandom(2) */
uint64_t random_next(struct random *random);
/* Uniform in 0 … most, both included. */
int64_t random_up_to(struct random *random, int64_t most);
/* Unpredictable bytes from getrandom(2). */
void random_secret(void *data, size_t size);
/* A UUID of version 7 (RFC 9562 section 5.7): it rises with time, which is cheap to index. */
void random_uuid(int64_t wall_ns, char text[37]);

#endif
