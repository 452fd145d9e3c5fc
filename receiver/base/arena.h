/* An arena: what lives and dies together. Grows by blocks, is freed as a whole. Threads: one at a time. */
#ifndef HOOKLATCH_BASE_ARENA_H
#define HOOKLATCH_BASE_ARENA_H

#include "receiver/base/bytes.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
};

void arena_init(struct arena *arena);
void arena_finish(struct arena *arena);
void *arena_take(struct arena *arena, size_t size); /* zeroed, aligned for anything, never NULL */
char *arena_text(struct arena *arena, struct span text);
/* Room for one more element of `size` at the end of *items; doubles as it grows. Returns the new element. */
void *arena_append(struct arena *arena, void **items, size_t *count, size_t size);

#endif
