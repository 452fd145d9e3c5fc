/* A delivery: one event for one handler. Its states and moves:
 *
 *   pending ──claim──▶ running ──ok──▶ done ──replay --again──▶ pending
 *      ▲                 │  │ └─fail, tries left─▶ pending (due later)
 *      │                 │  └──fail, none left / fatal──▶ dead ──replay, revival──▶ pending
 *      └──start-up───────┘                              └──discard──▶ discarded ──restore──▶ dead
 *   pending ──discard──▶ discarded ──replay──▶ pending        pending ──corrupt, used up──▶ dead
 *
 * The numbers are those in the database: never change one. */
#ifndef HOOKLATCH_MODEL_DELIVERY_H
#define HOOKLATCH_MODEL_DELIVERY_H

#include "receiver/base/bytes.h"

enum delivery_state {
	DELIVERY_PENDING,
	DELIVERY_RUNNING,
	DELIVERY_DONE,
	DELIVERY_DEAD,
	DELIVERY_DISCARDED,
	DELIVERY_STATES,
};

struct delivery_key {
	int64_t seq;
	int64_t handler; /* its number in the store */
};

const char *delivery_state_name(enum delivery_state state);
bool delivery_state_parse(struct span text, enum delivery_state *ret) MUST_CHECK;
bool delivery_may_move(enum delivery_state from, enum delivery_state to);

#endif
