#include "receiver/base/arena.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_BYTES 8192
#define ARENA_ALIGN       16

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t room;
	_Alignas(ARENA_ALIGN) char data[];
};

void
arena_init(struct arena *arena)
{
	arena->blocks = NULL;
}

void
arena_finish(struct arena *arena)
{
	while (arena->blocks != NULL) {
		struct arena_block *next = arena->blocks->next;
		free(arena->blocks);
		arena->blocks = next;
	}
}

void *
arena_take(struct arena *arena, size_t size)
{
	size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
	struct arena_block *block = arena->blocks;
	if (block == NULL || block->room - block->used < size) {
		size_t room = size > ARENA_BLOCK_BYTES ? size : ARENA_BLOCK_BYTES;
		block = memory_need(sizeof(*block) + room);
		block->room = room;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	void *data = block->data + block->used;
	block->used += size;
	return data;
}

char *
arena_text(struct arena *arena, struct span text)
{
	char *copy = arena_take(arena, text.size + 1);
	if (text.size > 0) {
		memcpy(copy, text.data, text.size);
	}
	return copy;
}

void *
arena_append(struct arena *arena, void **items, size_t *count, size_t size)
{
	bool full = *count == 0 || (*count >= 4 && (*count & (*count - 1)) == 0);
	if (full) {
		void *larger = arena_take(arena, (*count == 0 ? 4 : *count * 2) * size);
		if (*count > 0) {
			memcpy(larger, *items, *count * size);
		}
		*items = larger;
	}
	return (char *)*items + (*count)++ * size;
}
