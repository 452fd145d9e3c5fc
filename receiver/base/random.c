#include "receiver/base/random.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "receiver/base/error.h"

static uint64_t
rotate(uint64_t value, int count)
{
	return (value << count) | (value >> (64 - count));
}

void
random_seed(struct random *random, uint64_t seed)
{
	for (size_t i = 0; i < COUNT(random->state); i++) { /* splitmix64 */
		seed += UINT64_C(0x9e3779b97f4a7c15);
		uint64_t mixed = seed;
		mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
		random->state[i] = mixed ^ (mixed >> 31);
	}
}

void
random_seed_system(struct random *random)
{
	uint64_t seed;
	random_secret(&seed, sizeof(seed));
	random_seed(random, seed);
}

uint64_t
random_next(struct random *random)
{
	uint64_t *state = random->state;
	uint64_t result = rotate(state[1] * 5, 7) * 9;
	uint64_t shifted = state[1] << 17;
	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= shifted;
	state[3] = rotate(state[3], 45);
	return result;
}

int64_t
random_up_to(struct random *random, int64_t most)
{
	if (most <= 0) {
		return 0;
	}
	uint64_t range = (uint64_t)most + 1;
	uint64_t edge = UINT64_MAX - UINT64_MAX % range;
	uint64_t value;
	do {
		value = random_next(random);
	} while (value >= edge);
	return (int64_t)(value % range);
}

void
random_secret(void *data, size_t size)
{
	unsigned char *at = data;
	while (size > 0) {
		ssize_t got = getrandom(at, size, 0);
		ALWAYS(got > 0 || errno == EINTR, "getrandom");
		if (got > 0) {
			at += got;
			size -= (size_t)got;
		}
	}
}

void
random_uuid(int64_t wall_ns, char text[37])
{
	unsigned char b[16];
	uint64_t milliseconds = (uint64_t)(wall_ns / NS_PER_MS);
	random_secret(b, sizeof(b));
	for (unsigned i = 0; i < 6; i++) {
		b[i] = (unsigned char)(milliseconds >> (40U - 8U * i));
	}
	b[6] = (unsigned char)((b[6] & 0x0fU) | 0x70U);
	b[8] = (unsigned char)((b[8] & 0x3fU) | 0x80U);
	(void)snprintf(text, 37,
	               "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
	               b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	               b[13], b[14], b[15]);
}
