/* Requests that wait for the store, by cookie: the store never holds a pointer to what a loop may free.
 * One table a loop; only its loop touches it. A cookie is slot and generation: a late answer finds nobody. */
#ifndef HOOKLATCH_INTAKE_WAITING_H
#define HOOKLATCH_INTAKE_WAITING_H

#include "receiver/base/error.h"

struct waiting_slot {
	void *item;
	uint32_t generation;
	uint32_t next_free;
};

struct waiting {
	struct waiting_slot *slots;
	uint32_t count;
	uint32_t first_free;
};

void waiting_init(struct waiting *waiting);
void waiting_finish(struct waiting *waiting);
uint64_t waiting_add(struct waiting *waiting, void *item);
/* The item, which leaves the table; NULL when it has left before. */
void *waiting_take(struct waiting *waiting, uint64_t cookie);

#endif
