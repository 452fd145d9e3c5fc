#include "receiver/intake/waiting.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"

#define NONE UINT32_MAX

void
waiting_init(struct waiting *waiting)
{
	*waiting = (struct waiting){ .first_free = NONE };
}

void
waiting_finish(struct waiting *waiting)
{
	free(waiting->slots);
	waiting_init(waiting);
}

uint64_t
waiting_add(struct waiting *waiting, void *item)
{
	if (waiting->first_free == NONE) {
		uint32_t more = waiting->count == 0 ? 64 : waiting->count;
		waiting->slots = memory_resize(waiting->slots, (size_t)(waiting->count + more) *
		                                                       sizeof(*waiting->slots));
		for (uint32_t i = 0; i < more; i++) {
			waiting->slots[waiting->count + i] = (struct waiting_slot){
				.next_free = i + 1 == more ? NONE : waiting->count + i + 1,
			};
		}
		waiting->first_free = waiting->count;
		waiting->count += more;
	}
	uint32_t slot = waiting->first_free;
	waiting->first_free = waiting->slots[slot].next_free;
	waiting->slots[slot].item = item;
	return (uint64_t)waiting->slots[slot].generation << 32U | slot;
}

void *
waiting_take(struct waiting *waiting, uint64_t cookie)
{
	uint32_t slot = (uint32_t)cookie;
	if (slot >= waiting->count ||
	    waiting->slots[slot].generation != (uint32_t)(cookie >> 32U)) {
		return NULL;
	}
	void *item = waiting->slots[slot].item;
	waiting->slots[slot].item = NULL;
	waiting->slots[slot].generation++;
	waiting->slots[slot].next_free = waiting->first_free;
	waiting->first_free = slot;
	return item;
}
