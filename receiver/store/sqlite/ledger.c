/* The ledger: how many deliveries each segment of events has in each state, changed in the same transactions as the
 * deliveries themselves. Totals are in memory for whoever asks. */
#include "receiver/store/sqlite/writer_priv.h"

bool
ledger_load(struct store *store, struct error *err)
{
	sqlite3_stmt *statement;
	static const char sql[] =
		"SELECT handler, state, sum(count) FROM ledger GROUP BY handler, state";
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, sql);
	}
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t handler = sqlite3_column_int64(statement, 0);
		int64_t state = sqlite3_column_int64(statement, 1);
		int64_t count = sqlite3_column_int64(statement, 2);
		if (handler > 0 && handler < STORE_HANDLERS_MOST && state >= 0 &&
		    state <= LEDGER_RECEIVED) {
			atomic_store(&store->counts[handler][state], count);
			(void)atomic_fetch_add(&store->totals[state], count);
		}
	}
	bool good = code == SQLITE_DONE || sqlite_error(err, store->database, sql);
	(void)sqlite3_finalize(statement);
	return good;
}

void
ledger_add(struct store *store, int64_t seq, int64_t handler, unsigned state, int64_t count)
{
	struct batch *batch = &store->batch;
	int64_t segment = seq >> LEDGER_SEGMENT_BITS;
	for (size_t i = batch->delta_count; i > 0; i--) { /* the latest are the likeliest */
		struct delta *delta = &batch->deltas[i - 1];
		if (delta->segment == segment && delta->handler == handler &&
		    delta->state == state) {
			delta->count += count;
			return;
		}
	}
	if (batch->delta_count == batch->delta_room) {
		batch->delta_room = batch->delta_room == 0 ? 256 : batch->delta_room * 2;
		batch->deltas =
			memory_resize(batch->deltas, batch->delta_room * sizeof(*batch->deltas));
	}
	batch->deltas[batch->delta_count++] = (struct delta){ segment, handler, state, count };
}

void
ledger_move(struct store *store, struct delivery_key key, enum delivery_state from,
            enum delivery_state to)
{
	ALWAYS(delivery_may_move(from, to), "delivery-move");
	ledger_add(store, key.seq, key.handler, from, -1);
	ledger_add(store, key.seq, key.handler, to, 1);
}

bool
ledger_flush(struct store *store, struct error *err)
{
	for (size_t i = 0; i < store->batch.delta_count; i++) {
		const struct delta *delta = &store->batch.deltas[i];
		if (delta->count != 0 &&
		    !statement_run(store,
		                   statement_bind(store, SQL_LEDGER_ADD, "iiii", delta->segment,
		                                  delta->handler, (int64_t)delta->state,
		                                  delta->count),
		                   NULL, err)) {
			return false;
		}
	}
	return true;
}

void
ledger_publish(struct store *store)
{
	for (size_t i = 0; i < store->batch.delta_count; i++) {
		const struct delta *delta = &store->batch.deltas[i];
		(void)atomic_fetch_add(&store->counts[delta->handler][delta->state], delta->count);
		(void)atomic_fetch_add(&store->totals[delta->state], delta->count);
	}
}
