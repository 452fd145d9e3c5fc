#include "receiver/model/delivery.h"

#include "receiver/base/error.h"

#define TO(state) (1U << DELIVERY_##state)

static const struct {
	const char *name;
	unsigned moves;
} states[] = {
	[DELIVERY_PENDING] = { "pending", TO(RUNNING) | TO(DONE) | TO(DEAD) | TO(DISCARDED) },
	[DELIVERY_RUNNING] = { "running", TO(PENDING) | TO(DONE) | TO(DEAD) },
	[DELIVERY_DONE] = { "done", TO(PENDING) },                 /* replay --again */
	[DELIVERY_DEAD] = { "dead", TO(PENDING) | TO(DISCARDED) }, /* replay, revival; discard */
	[DELIVERY_DISCARDED] = { "discarded", TO(PENDING) | TO(DEAD) }, /* replay; restore */
};
static_assert(COUNT(states) == DELIVERY_STATES, "a state without a row");

const char *
delivery_state_name(enum delivery_state state)
{
	ALWAYS((unsigned)state < DELIVERY_STATES, "delivery-state");
	return states[state].name;
}

bool
delivery_state_parse(struct span text, enum delivery_state *ret)
{
	for (unsigned i = 0; i < DELIVERY_STATES; i++) {
		if (span_equal(text, span_of(states[i].name))) {
			*ret = (enum delivery_state)i;
			return true;
		}
	}
	return false;
}

bool
delivery_may_move(enum delivery_state from, enum delivery_state to)
{
	return (states[from].moves & (1U << to)) != 0;
}
