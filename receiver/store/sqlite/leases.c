/* Leases: a consumer takes deliveries of a `pull` handler for a while. A lease's name is delivery, round and attempt; it is
 * counted, durably, before the consumer gets it, and outlives a restart. */
#include <stdlib.h>

#include "receiver/base/clock.h"
#include "receiver/store/sqlite/writer_priv.h"

int64_t
leases_now(const struct store *store)
{
	return store->wall_from_boot_ns == 0 ? clock_wall_ns()
	                                     : clock_boot_ns() + store->wall_from_boot_ns;
}

bool
leases_next(struct store *store, struct error *err)
{
	sqlite3_stmt *statement = statement_bind(store, SQL_LEASE_NEXT, "");
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	bool any = code == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL;
	store->lease_at_ns = any ? sqlite3_column_int64(statement, 0) : INT64_MAX;
	statement_reset(statement);
	return true;
}

static bool
count_out(struct store *store, int64_t handler, int64_t *count, struct error *err)
{
	sqlite3_stmt *statement = statement_bind(store, SQL_LEASE_COUNT, "i", handler);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	*count = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	statement_reset(statement);
	return true;
}

/* The earliest due ones of a lane; at most `room`. */
static bool
find_due(struct store *store, int64_t handler, bool retry, size_t room, struct due *items,
         size_t *count, struct error *err)
{
	sqlite3_stmt *statement =
		statement_bind(store, SQL_LEASE_FIND, "iiii", handler, (int64_t)(retry ? 1 : 0),
	                       store->batch.now_ns, (int64_t)room);
	int code;
	while ((code = statement_step(store, statement, err)) == SQLITE_ROW) {
		items[(*count)++] = (struct due){ { sqlite3_column_int64(statement, 0), handler },
			                          sqlite3_column_int64(statement, 1),
			                          retry,
			                          0 };
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	return true;
}

static bool
ON_THREAD(store_thread) take_one(struct store *store, struct delivery_key key, struct take *take,
                                 struct lease_key *lease, struct error *err)
{
	sqlite3_stmt *statement =
		statement_bind(store, SQL_LEASE_TAKE, "iii", key.seq, key.handler, take->until_ns);
	int code = statement_step(store, statement, err);
	if (code == SQLITE_ROW) {
		*lease = (struct lease_key){ key, sqlite3_column_int64(statement, 1),
			                     sqlite3_column_int64(statement, 0) };
		code = statement_step(store, statement, err);
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	ledger_move(store, key, DELIVERY_PENDING, DELIVERY_RUNNING);
	return true;
}

bool
apply_take(struct store *store, struct change *change, struct error *err)
{
	struct take *take = change->take;
	struct due *items = memory_need(2 * TAKE_MOST * sizeof(*items));
	size_t count = 0;
	int64_t out = 0;
	bool good = count_out(store, change->id, &out, err);
	int64_t room = take->out_most - out < take->most ? take->out_most - out : take->most;
	room = room > TAKE_MOST ? TAKE_MOST : room;
	change->changed = 0;
	take->until_ns = leases_now(store) + take->visibility_ns;
	if (good && room > 0 && !atomic_load(&store->claims_paused)) {
		good = find_due(store, change->id, false, (size_t)room, items, &count, err);
		size_t fresh = count;
		good = good && find_due(store, change->id, true, (size_t)room, items, &count, err);
		/* Both lanes are in due order: merge them. */
		for (size_t i = 0, j = fresh;
		     good && change->changed < room && (i < fresh || j < count);) {
			bool second =
				i == fresh || (j < count && items[j].due_ns < items[i].due_ns);
			good = take_one(store, second ? items[j++].key : items[i++].key, take,
			                &take->leases[change->changed], err);
			change->changed++;
		}
	}
	free(items);
	return good && leases_next(store, err);
}

/* The delivery is with this consumer still. */
static bool
find_live(struct store *store, const struct lease_key *lease, bool *live, bool *ordered,
          int64_t *first_failed_ran_ns, struct error *err)
{
	sqlite3_stmt *statement =
		statement_bind(store, SQL_LEASE_LIVE, "iiiii", lease->key.seq, lease->key.handler,
	                       lease->round, lease->attempts, leases_now(store));
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	*live = code == SQLITE_ROW;
	*ordered = *live && sqlite3_column_int(statement, 1) != 0;
	*first_failed_ran_ns = *live && sqlite3_column_type(statement, 0) != SQLITE_NULL
	                               ? sqlite3_column_int64(statement, 0)
	                               : -1;
	statement_reset(statement);
	return true;
}

static enum result_move
move_of(const struct lease_change *wanted, bool exhausted)
{
	switch (wanted->move) {
	case LEASE_ACK: return MOVE_DONE;
	case LEASE_AGAIN: return exhausted ? MOVE_DEAD : MOVE_AGAIN;
	case LEASE_DEAD: return MOVE_DEAD;
	case LEASE_RELEASE:
	case LEASE_EXTEND: break;
	}
	return MOVE_GIVE_BACK;
}

bool
apply_lease(struct store *store, struct change *change, struct error *err)
{
	const struct lease_change *wanted = change->lease;
	const struct lease_key *lease = &wanted->lease;
	bool live;
	bool ordered;
	change->changed = 0;
	struct returned plan = { .key = lease->key,
		                 .attempts = lease->attempts,
		                 .ran_ns = wanted->ran_ns,
		                 .rejected = true };
	if (!find_live(store, lease, &live, &ordered, &plan.first_failed_ran_ns, err)) {
		return false;
	}
	if (!live) {
		return true;
	}
	change->changed = 1;
	if (wanted->move == LEASE_EXTEND) {
		return statement_run(store,
		                     statement_bind(store, SQL_LEASE_EXTEND, "iiiiii",
		                                    lease->key.seq, lease->key.handler,
		                                    lease->round, lease->attempts, wanted->due_ns,
		                                    leases_now(store)),
		                     NULL, err) &&
		       leases_next(store, err);
	}
	if (wanted->move == LEASE_AGAIN) {
		store->listener.lease_over(store->listener.context, &plan);
	}
	int64_t due_ns = wanted->due_ns < 0 ? plan.due_ns : wanted->due_ns;
	bool back = wanted->move == LEASE_RELEASE || wanted->move == LEASE_AGAIN;
	char *error = memory_text(wanted->error);
	struct result_intent result = {
		.key = lease->key,
		.move = move_of(wanted, plan.dead),
		.retried = lease->attempts > 1 || lease->round > 0,
		.ordered = ordered,
		.round = lease->round,
		.attempts = lease->attempts,
		.due_ns = due_ns,
		.started_ns = store->batch.now_ns,
		.ran_ns = wanted->ran_ns,
		.reason = wanted->move == LEASE_AGAIN ? "attempts" : wanted->reason,
		.error_type = wanted->move == LEASE_ACK ? NULL : wanted->error_type,
		.error = error,
	};
	bool good = apply_result(store, &result, err);
	free(error);
	if (good && back && result.move != MOVE_DEAD && !ordered) {
		batch_due(store, lease->key, due_ns, result.move == MOVE_AGAIN || result.retried);
	}
	return good && leases_next(store, err);
}
