/* Deliveries on disk. A turn applies what waits and tells it in the order of sqlite/writer.c: results, claims, changes,
 * then the tries that begin with their arrival, then what became due. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#include "tests/simulator/invariant.h"
#include "tests/simulator/world.h"

#define BATCH_MOST    512
#define PROBE_NS      NS_PER_S
#define REVIVALS_MOST 10

/* --- one delivery --- */

static bool
is_known(const struct delivery *delivery)
{
	return delivery->state == DELIVERY_PENDING && !delivery->held && delivery->claiming == 0;
}

/* In the trees of what the schedule should know, if it should. */
void
store_know(struct world *world, int32_t number, int64_t at_ns)
{
	struct delivery *delivery = &world->deliveries[number];
	at_ns = at_ns > delivery->patient_ns ? at_ns : delivery->patient_ns;
	if (is_known(delivery) && !world->known.nodes[number].in) {
		tree_add(&world->known, &world->handlers[delivery->handler].known[delivery->retry],
		         number, at_ns);
	}
}

void
store_unknow(struct world *world, int32_t number)
{
	struct delivery *delivery = &world->deliveries[number];
	if (delivery->state == DELIVERY_PENDING && world->known.nodes[number].in) {
		tree_remove(&world->known,
		            &world->handlers[delivery->handler].known[delivery->retry], number);
	}
}

/* Out of every index, to be changed. */
static void
take_out(struct world *world, int32_t number)
{
	struct delivery *delivery = &world->deliveries[number];
	struct handler *handler = &world->handlers[delivery->handler];
	struct key *key = &handler->keys[delivery->key];
	store_unknow(world, number);
	if (delivery->state == DELIVERY_PENDING && !delivery->held) {
		tree_remove(&world->due, &handler->due[delivery->retry], number);
	}
	if (delivery->state == DELIVERY_RUNNING) {
		tree_remove(&world->known, &handler->running, number);
	}
	if (delivery->key != 0) {
		switch (delivery->state) {
		case DELIVERY_PENDING: tree_remove(&world->order, &key->pending, number); break;
		case DELIVERY_DEAD: tree_remove(&world->order, &key->dead, number); break;
		case DELIVERY_RUNNING: key->running--; break;
		case DELIVERY_DONE:
		case DELIVERY_DISCARDED:
		case DELIVERY_STATES: break;
		}
	}
}

static void
put_in(struct world *world, int32_t number)
{
	struct delivery *delivery = &world->deliveries[number];
	struct handler *handler = &world->handlers[delivery->handler];
	struct key *key = &handler->keys[delivery->key];
	if (delivery->state == DELIVERY_PENDING && !delivery->held) {
		tree_add(&world->due, &handler->due[delivery->retry], number, delivery->due_ns);
	}
	if (delivery->state == DELIVERY_RUNNING) {
		tree_add(&world->known, &handler->running, number, 0);
	}
	if (delivery->key != 0) {
		switch (delivery->state) {
		case DELIVERY_PENDING:
			tree_add(&world->order, &key->pending, number, number);
			break;
		case DELIVERY_DEAD: tree_add(&world->order, &key->dead, number, number); break;
		case DELIVERY_RUNNING: key->running++; break;
		case DELIVERY_DONE:
		case DELIVERY_DISCARDED:
		case DELIVERY_STATES: break;
		}
	}
	store_know(world, number, delivery->due_ns);
}

static void
move_to(struct world *world, int32_t number, enum delivery_state to)
{
	struct delivery *delivery = &world->deliveries[number];
	bool claimed_done = delivery->state == DELIVERY_PENDING && to == DELIVERY_DONE;
	if (!claimed_done && !delivery_may_move(delivery->state, to)) {
		rule_broken(world, "delivery %d goes from %s to %s", number,
		            delivery_state_name(delivery->state), delivery_state_name(to));
	}
	take_out(world, number);
	world->counts.by_state[delivery->state]--;
	world->counts.by_state[to]++;
	trace(world, number, "goes to %s", delivery_state_name(to));
	delivery->state = to;
}

void
store_set_held(struct world *world, int32_t number, bool held, int64_t least_due_ns)
{
	struct delivery *delivery = &world->deliveries[number];
	trace(world, number, held ? "is held" : "is free");
	take_out(world, number);
	delivery->held = held;
	delivery->due_ns = delivery->due_ns > least_due_ns ? delivery->due_ns : least_due_ns;
	put_in(world, number);
}

/* --- what a batch tells --- */

void
store_told_due(struct world *world, int32_t number, int64_t due_ns)
{
	if (world->told_count == world->told_room) {
		world->told_room = world->told_room == 0 ? 64 : world->told_room * 2;
		world->told_due =
			memory_resize(world->told_due, world->told_room * sizeof(struct row));
	}
	world->told_due[world->told_count++] = (struct row){ number, due_ns };
}

static void
add_job(struct world *world, int32_t number, enum slot slot)
{
	if (world->job_count == world->job_room) {
		world->job_room = world->job_room == 0 ? 64 : world->job_room * 2;
		world->jobs = memory_resize(world->jobs, world->job_room * sizeof(*world->jobs));
		world->job_slots = memory_resize(world->job_slots,
		                                 world->job_room * sizeof(*world->job_slots));
	}
	world->jobs[world->job_count] = number;
	world->job_slots[world->job_count++] = slot;
}

static void
tell_due(struct world *world, int32_t number, int64_t due_ns, bool retry)
{
	struct message message = { .kind = TELLS_DUE,
		                   .handler = world->deliveries[number].handler,
		                   .lane = retry ? 1 : 0,
		                   .number = number,
		                   .due_ns = due_ns };
	dispatch_tell(world, &message);
}

/* --- work begins and ends --- */

static void
begin_work(struct world *world, int32_t number, int lane)
{
	struct delivery *delivery = &world->deliveries[number];
	rule_worked_on(world, number, lane);
	delivery->worked_on = true;
	delivery->tries++;
	world->handlers[delivery->handler].keys[delivery->key].worked_on++;
}

static void
end_work(struct world *world, int32_t number)
{
	struct delivery *delivery = &world->deliveries[number];
	delivery->worked_on = false;
	world->handlers[delivery->handler].keys[delivery->key].worked_on--;
}

static void
apply_arrival(struct world *world, const struct intention *arrival)
{
	struct handler *handler = &world->handlers[arrival->handler];
	int32_t number = ++world->count;
	struct delivery *delivery = &world->deliveries[number];
	*delivery = (struct delivery){ .due_ns = world->batch_now_ns,
		                       .first_failed_ran_ns = -1,
		                       .handler = (int32_t)arrival->handler,
		                       .key = arrival->key,
		                       .state = DELIVERY_PENDING,
		                       .poison = chance(world, 200) };
	world->counts.received++;
	world->counts.by_state[DELIVERY_PENDING]++;
	delivery->held = arrival->key != 0 && order_is_blocked(world, handler, arrival->key);
	enum slot slot = delivery->held ? SLOT_NONE : dispatch_take_slot(world, arrival->handler);
	put_in(world, number);
	if (slot != SLOT_NONE) {
		begin_work(world, number, -1);
		move_to(world, number, handler->at_most_once ? DELIVERY_DONE : DELIVERY_RUNNING);
		delivery->attempts = 1;
		put_in(world, number);
		add_job(world, number, slot);
		world->tally.first_tries_at_once++;
	} else if (!delivery->held) {
		store_told_due(world, number, world->batch_now_ns);
	}
}

static void
apply_claim(struct world *world, struct intention *claim)
{
	struct delivery *delivery = &world->deliveries[claim->number];
	struct handler *handler = &world->handlers[claim->handler];
	claim->claimed = false;
	claim->later = false;
	if (claim->corrupt) {
		if (delivery->state == DELIVERY_PENDING) {
			move_to(world, claim->number, DELIVERY_DEAD);
			put_in(world, claim->number);
			order_settle(world, claim->number);
		}
		return;
	}
	if (delivery->state != DELIVERY_PENDING || delivery->held) {
		return;
	}
	if (delivery->attempts >= handler->backoff.attempts && !handler->at_most_once) {
		move_to(world, claim->number, DELIVERY_DEAD);
		put_in(world, claim->number);
		order_settle(world, claim->number);
		return;
	}
	if (delivery->due_ns != claim->item.due_ns) {
		claim->later = true;
		claim->due_ns = delivery->due_ns;
		claim->lane = delivery->retry ? 1 : 0;
		return;
	}
	begin_work(world, claim->number, claim->lane);
	move_to(world, claim->number, handler->at_most_once ? DELIVERY_DONE : DELIVERY_RUNNING);
	delivery->attempts++;
	put_in(world, claim->number);
	claim->claimed = true;
}

static void
apply_result(struct world *world, struct intention *result)
{
	struct delivery *delivery = &world->deliveries[result->number];
	struct handler *handler = &world->handlers[delivery->handler];
	result->applied = false;
	if (delivery->round != result->round || delivery->attempts != result->attempts ||
	    !delivery->worked_on) {
		rule_broken(world,
		            "delivery %d: the result of round %d, try %d comes in round %d, try %d",
		            result->number, result->round, result->attempts, delivery->round,
		            delivery->attempts);
	}
	end_work(world, result->number);
	if (delivery->tries != delivery->attempts) {
		rule_broken(world, "delivery %d: %d attempts are counted, %d were made",
		            result->number, delivery->attempts, delivery->tries);
	}
	if (handler->at_most_once && delivery->state == DELIVERY_DONE) {
		order_settle(world, result->number);
		return;
	}
	result->applied = true;
	if (result->counted && result->move != MOVES_DONE && result->ran_ns > handler->ran_ns) {
		handler->ran_ns = result->ran_ns;
	}
	switch (result->move) {
	case MOVES_DONE: move_to(world, result->number, DELIVERY_DONE); break;
	case MOVES_DEAD: move_to(world, result->number, DELIVERY_DEAD); break;
	case MOVES_AGAIN:
		move_to(world, result->number, DELIVERY_PENDING);
		delivery->retry = true;
		delivery->due_ns = result->due_ns;
		if (delivery->first_failed_ran_ns < 0) {
			delivery->first_failed_ran_ns = result->ran_ns;
		}
		break;
	case MOVES_BACK:
		move_to(world, result->number, DELIVERY_PENDING);
		delivery->attempts--;
		delivery->tries--;
		delivery->due_ns = result->due_ns;
		world->tally.given_back++;
		break;
	}
	delivery->earliest_ns = result->earliest_ns > delivery->earliest_ns ? result->earliest_ns
	                                                                    : delivery->earliest_ns;
	put_in(world, result->number);
	order_settle(world, result->number);
}

static void
apply_reopen(struct world *world, int32_t number)
{
	struct delivery *delivery = &world->deliveries[number];
	if ((delivery->state != DELIVERY_DEAD && delivery->state != DELIVERY_DONE &&
	     delivery->state != DELIVERY_DISCARDED) ||
	    delivery->worked_on || delivery->revivals >= REVIVALS_MOST) {
		return;
	}
	move_to(world, number, DELIVERY_PENDING);
	delivery->attempts = 0;
	delivery->tries = 0;
	delivery->round++;
	delivery->revivals++;
	delivery->retry = true;
	delivery->due_ns = world->batch_now_ns;
	delivery->earliest_ns = 0;
	delivery->first_failed_ran_ns = -1;
	delivery->held = delivery->key != 0;
	put_in(world, number);
	world->tally.reopened++;
	if (delivery->key != 0) {
		order_settle(world, number);
	} else {
		store_told_due(world, number, world->batch_now_ns);
	}
}

static void
apply_move(struct world *world, int32_t number, enum delivery_state from, enum delivery_state to)
{
	if (world->deliveries[number].state == from) {
		move_to(world, number, to);
		put_in(world, number);
		order_settle(world, number);
	}
}

static void
apply(struct world *world, struct intention *intention)
{
	switch (intention->what) {
	case INTENDS_ARRIVAL: apply_arrival(world, intention); break;
	case INTENDS_CLAIM: apply_claim(world, intention); break;
	case INTENDS_RESULT: apply_result(world, intention); break;
	case INTENDS_REOPEN: apply_reopen(world, intention->number); break;
	case INTENDS_DISCARD:
		apply_move(world, intention->number, DELIVERY_DEAD, DELIVERY_DISCARDED);
		break;
	case INTENDS_RESTORE:
		apply_move(world, intention->number, DELIVERY_DISCARDED, DELIVERY_DEAD);
		break;
	case INTENDS_PAUSE:
		world->handlers[intention->handler].paused_until_ns = intention->until_ns;
		break;
	}
}

/* --- telling --- */

static void
tell_results(struct world *world)
{
	for (size_t i = 0; i < world->batch.count; i++) {
		const struct intention *result = &world->batch.items[i];
		if (result->what != INTENDS_RESULT || !result->applied ||
		    world->deliveries[result->number].key != 0) {
			continue; /* the store tells of ordered ones */
		}
		if (result->move == MOVES_AGAIN || result->move == MOVES_BACK) {
			tell_due(world, result->number, result->due_ns,
			         result->move == MOVES_AGAIN || result->attempts > 1 ||
			                 result->round > 0);
		}
	}
}

static void
tell_claims(struct world *world)
{
	for (size_t i = 0; i < world->batch.count; i++) {
		const struct intention *claim = &world->batch.items[i];
		if (claim->what != INTENDS_CLAIM) {
			continue;
		}
		if (claim->claimed) {
			call_start(world, claim->number, claim->slot);
		} else {
			world->tally.not_run++;
			dispatch_give_slot(world, claim->handler, claim->slot);
		}
		struct message message = { .kind = TELLS_CLAIMED,
			                   .handler = claim->handler,
			                   .lane = claim->lane,
			                   .number = claim->number,
			                   .runs = claim->claimed,
			                   .later = claim->later,
			                   .due_ns = claim->due_ns };
		dispatch_tell(world, &message);
	}
}

static void
tell_changes(struct world *world)
{
	for (size_t i = 0; i < world->batch.count; i++) {
		const struct intention *change = &world->batch.items[i];
		if (change->what == INTENDS_PAUSE) {
			struct message message = { .kind = TELLS_PAUSED,
				                   .handler = change->handler,
				                   .due_ns = change->until_ns };
			dispatch_tell(world, &message);
		}
	}
}

static void
publish(struct world *world)
{
	for (size_t i = 0; i < world->job_count; i++) {
		call_start(world, world->jobs[i], world->job_slots[i]);
	}
	for (size_t i = 0; i < world->told_count; i++) {
		int32_t number = world->told_due[i].number;
		tell_due(world, number, world->told_due[i].due_ns, world->deliveries[number].retry);
	}
	world->job_count = 0;
	world->told_count = 0;
}

/* The disk is full: arrivals are not taken, claims come back, results and changes wait and are written first. */
static void
batch_fails(struct world *world)
{
	size_t kept = 0;
	world->tally.batches_failed++;
	for (size_t i = 0; i < world->batch.count; i++) {
		struct intention *intention = &world->batch.items[i];
		if (intention->what == INTENDS_CLAIM) {
			dispatch_give_slot(world, intention->handler, intention->slot);
			struct message message = { .kind = TELLS_CLAIMED,
				                   .handler = intention->handler,
				                   .lane = intention->lane,
				                   .number = intention->number,
				                   .later = true,
				                   .due_ns = world->now_ns + PROBE_NS };
			dispatch_tell(world, &message);
		} else if (intention->what != INTENDS_ARRIVAL) {
			world->batch.items[kept++] = *intention;
		}
	}
	world->batch.count = kept;
}

/* --- turns --- */

static void
append(struct intentions *to, const struct intention *intention)
{
	if (to->count == to->room) {
		to->room = to->room == 0 ? 64 : to->room * 2;
		to->items = memory_resize(to->items, to->room * sizeof(*to->items));
	}
	to->items[to->count++] = *intention;
}

static int64_t
commit_time(struct world *world)
{
	return chance(world, 400) ? between(world, 10 * NS_PER_MS, 400 * NS_PER_MS)
	                          : between(world, 100 * NS_PER_US, 4 * NS_PER_MS);
}

void
store_submit(struct world *world, const struct intention *intention)
{
	if (intention != NULL) {
		append(&world->inbox, intention);
	}
	if (!world->turning && world->up) {
		world->turning = true;
		world->batch_now_ns = world->now_ns;
		plan_in(world, commit_time(world), HAPPENS_TURN, 0);
	}
}

void
store_turn(struct world *world)
{
	size_t take = world->inbox.count < BATCH_MOST ? world->inbox.count : BATCH_MOST;
	world->batch.count = 0;
	for (size_t i = 0; i < take; i++) {
		append(&world->batch, &world->inbox.items[i]);
	}
	memmove(world->inbox.items, world->inbox.items + take,
	        (world->inbox.count - take) * sizeof(*world->inbox.items));
	world->inbox.count -= take;
	world->turning = false;
	if (!world->calm && world->now_ns < world->disk_bad_until_ns) {
		batch_fails(world);
		struct intentions rest = world->inbox; /* results first */
		world->inbox = (struct intentions){ 0 };
		for (size_t i = 0; i < world->batch.count; i++) {
			append(&world->inbox, &world->batch.items[i]);
		}
		for (size_t i = 0; i < rest.count; i++) {
			append(&world->inbox, &rest.items[i]);
		}
		free(rest.items);
		if (world->inbox.count > 0) {
			world->turning = true;
			world->batch_now_ns = world->now_ns + PROBE_NS;
			plan_in(world, PROBE_NS, HAPPENS_TURN, 0);
		}
		return;
	}
	for (size_t i = 0; i < world->batch.count; i++) {
		apply(world, &world->batch.items[i]);
	}
	tell_results(world);
	tell_claims(world);
	tell_changes(world);
	publish(world);
	if (world->inbox.count > 0) {
		store_submit(world, NULL);
	}
}

size_t
store_due(struct world *world, struct handler *handler, int lane, struct row *rows, size_t room)
{
	size_t count = 0;
	int32_t root = handler->due[lane];
	int32_t number = tree_first(&world->due, root);
	while (number != 0 && count < room) {
		int64_t due = world->deliveries[number].due_ns;
		rows[count++] = (struct row){ number, due };
		number = tree_after(&world->due, root, due, number);
	}
	return count;
}

/* --- after a crash --- */

static void
recover_one(struct world *world, struct handler *handler, int32_t number)
{
	struct delivery *delivery = &world->deliveries[number];
	struct intention result = { .what = INTENDS_RESULT,
		                    .handler = handler->number,
		                    .number = number,
		                    .round = delivery->round,
		                    .attempts = delivery->attempts,
		                    .counted = true,
		                    .ran_ns = handler->ran_ns,
		                    .due_ns = world->now_ns };
	if (handler->configured) {
		result.move =
			plan_again(world, handler, delivery, handler->ran_ns, 0, &result.due_ns);
		result.earliest_ns = result.due_ns;
	} else { /* as listen_returned(): due at once, whenever the handler comes back */
		result.move = MOVES_AGAIN;
	}
	apply_result(world, &result);
	if (result.move == MOVES_AGAIN && delivery->key == 0) {
		store_told_due(world, number, result.due_ns);
	}
}

void
store_recover(struct world *world)
{
	world->batch_now_ns = world->now_ns;
	for (int64_t i = 1; i <= world->handler_count; i++) {
		struct handler *handler = &world->handlers[i];
		int32_t number;
		while ((number = tree_first(&world->known, handler->running)) != 0) {
			recover_one(world, handler, number);
		}
	}
	for (int64_t i = 1; i <= world->handler_count; i++) {
		struct handler *handler = &world->handlers[i];
		for (int32_t key = 1; key <= handler->key_count; key++) {
			if (handler->configured) {
				order_settle_key(world, handler, key);
			}
		}
	}
	publish(world);
}
