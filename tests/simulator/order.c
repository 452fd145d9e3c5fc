/* sqlite/order.c, step for step, on the simulated store. */
#include "tests/simulator/world.h"

struct head {
	int32_t number; /* 0: none */
	bool held;
};

static struct head
find_first(struct world *world, int32_t root, int32_t after)
{
	int32_t number = tree_after(&world->order, root, after, after);
	return (struct head){ number, number != 0 && world->deliveries[number].held };
}

static void
set_held(struct world *world, struct head head, bool held)
{
	if (head.number != 0 && head.held != held) {
		store_set_held(world, head.number, held, held ? INT64_MIN : world->batch_now_ns);
	}
}

static bool
is_blocked_by_dead(struct world *world, const struct handler *handler, const struct key *key,
                   struct head pending)
{
	if (!handler->configured || !handler->holds) {
		return false;
	}
	struct head dead = find_first(world, key->dead, 0);
	return dead.number != 0 && (pending.number == 0 || dead.number < pending.number);
}

void
order_settle_key(struct world *world, struct handler *handler, int32_t which)
{
	struct key *key = &handler->keys[which];
	bool runs = key->worked_on > 0;
	struct head first = find_first(world, key->pending, 0);
	if (first.number == 0) {
		return;
	}
	struct head second = find_first(world, key->pending, first.number);
	bool blocked = is_blocked_by_dead(world, handler, key, first);
	set_held(world, second, true);
	set_held(world, first, runs || blocked);
	if (!runs && !blocked) {
		/* held ones that are set free are due now at the earliest */
		store_told_due(world, first.number, world->deliveries[first.number].due_ns);
	}
}

/* One that ran while older ones came back, and is pending again, waits for them. */
static void
hold_behind(struct world *world, int32_t number)
{
	const struct delivery *delivery = &world->deliveries[number];
	const struct key *key = &world->handlers[delivery->handler].keys[delivery->key];
	struct head first = find_first(world, key->pending, 0);
	if (first.number != 0 && first.number < number && delivery->state == DELIVERY_PENDING) {
		set_held(world, (struct head){ number, delivery->held }, true);
	}
}

void
order_settle(struct world *world, int32_t number)
{
	const struct delivery *delivery = &world->deliveries[number];
	if (delivery->key != 0) {
		hold_behind(world, number);
		order_settle_key(world, &world->handlers[delivery->handler], delivery->key);
	}
}

bool
order_is_blocked(struct world *world, struct handler *handler, int32_t which)
{
	struct key *key = &handler->keys[which];
	if (key->worked_on > 0) {
		return true;
	}
	struct head pending = find_first(world, key->pending, 0);
	return pending.number != 0 || is_blocked_by_dead(world, handler, key, pending);
}
