#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

/* Signed requests, made before the start: what is sent must cost the generator next to nothing. */
#include <stddef.h>

#include "tests/bench/options.h"

/* Whole requests, one behind the other, alike but for body, signature and id. */
struct messages {
	char *bytes;
	size_t each_bytes, id_offset;
	unsigned count, next;
};

/* Reads the secret and signs; ends the program when it cannot. */
void messages_create(struct messages *messages, const struct options *options);
unsigned messages_take(struct messages *messages); /* the next one's index, round and round */
/* The bytes of a message. With `ids` other than ID_FIXED it gets a new id: send or copy it before
 * the same index is stamped again. */
char *messages_stamp(struct messages *messages, unsigned index, enum id_kind ids);
char *messages_at(const struct messages *messages, unsigned index);

#endif
