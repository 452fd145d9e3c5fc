#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

/* Signed requests, made before the start: what is sent must cost the generator next to nothing. */
#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/options.h"

enum {
	MESSAGES_ID_CHARS = 36 /* a UUID */
};

/* Whole requests, one behind the other, alike but for body, signature and id. */
struct messages {
	char *bytes;
	char *digits; /* the last one of each right signature */
	size_t each_bytes, id_offset, digit_offset;
	unsigned count, next;
};

/* Reads the secret and signs; ends the program when it cannot. */
void messages_create(struct messages *messages, const struct options *options);
unsigned messages_take(struct messages *messages); /* the next one's index, round and round */
/* The bytes of a message. With `ids` other than ID_FIXED it gets a new id, with `forged` a signature
 * that is wrong in its last digit: send or copy it before the same index is stamped again. */
char *messages_stamp(struct messages *messages, unsigned index, enum id_kind ids, bool forged);
const char *messages_id(const struct messages *messages, unsigned index); /* not terminated */
char *messages_at(const struct messages *messages, unsigned index);

#endif
