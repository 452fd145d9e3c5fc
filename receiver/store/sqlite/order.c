/* Order: of the deliveries of a handler with the same key one at a time is worked on, the oldest. All others that are
 * pending are `held`: they are in no index of what is due and cost no memory. Whatever ends or changes the head calls
 * order_settle(), in the same transaction:
 *
 *   somebody runs            nobody else is free
 *   a dead one is the oldest and the handler holds (`on_dead: hold`): nobody is free
 *   else                     the oldest pending one is free, the next one is not
 *
 * Only the oldest pending one can be free, but for the moment in which an older one comes back (replay, revival, restore):
 * then the one behind it is held again. Each step is a seek in the index (handler, order_key, state, seq). */
#include <stdlib.h>
#include <string.h>

#include "receiver/store/sqlite/writer_priv.h"

struct head {
	bool there;
	int64_t seq;
	bool held;
	bool retry;
	int64_t due_ns;
};

/* The oldest delivery of the key in this state, behind `after`. */
static bool
find_first(struct store *store, int64_t handler, struct span key, enum delivery_state state,
           int64_t after, struct head *head, struct error *err)
{
	sqlite3_stmt *statement =
		statement_bind(store, SQL_ORDER_FIRST, "isii", handler, key, (int64_t)state, after);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	*head = (struct head){ .there = code == SQLITE_ROW };
	if (head->there) {
		head->seq = sqlite3_column_int64(statement, 0);
		head->held = sqlite3_column_int(statement, 1) != 0;
		head->retry = sqlite3_column_int(statement, 2) != 0;
		head->due_ns = sqlite3_column_int64(statement, 3);
	}
	statement_reset(statement);
	return true;
}

/* --- at-most-once: done on disk before the try, so that its try is known in memory alone; a crash ends it --- */

static bool
try_of_key(const struct store *store, int64_t handler, struct span key)
{
	for (size_t i = 0; i < store->try_count; i++) {
		const struct open_try *one = &store->tries[i];
		if (one->delivery.handler == handler && one->key != NULL &&
		    span_equal(span_of(one->key), key)) {
			return true;
		}
	}
	return false;
}

bool
order_is_tried(const struct store *store, int64_t seq, int64_t handler)
{
	for (size_t i = 0; i < store->try_count; i++) {
		const struct open_try *one = &store->tries[i];
		if (one->delivery.seq == seq &&
		    (handler == 0 || one->delivery.handler == handler)) {
			return true;
		}
	}
	return false;
}

void
order_try_begins(struct store *store, struct delivery_key delivery, struct span key)
{
	store->tries = memory_resize(store->tries, (store->try_count + 1) * sizeof(*store->tries));
	store->tries[store->try_count++] =
		(struct open_try){ delivery, key.data == NULL ? NULL : span_copy(key), true };
}

static void
drop_try(struct store *store, size_t i)
{
	free(store->tries[i].key);
	store->tries[i] = store->tries[--store->try_count];
}

bool
order_try_orphaned(struct store *store, struct delivery_key delivery, struct error *err)
{
	char *key = NULL;
	for (size_t i = 0; i < store->try_count; i++) {
		const struct open_try *one = &store->tries[i];
		if (key == NULL && one->key != NULL && one->delivery.seq == delivery.seq &&
		    one->delivery.handler == delivery.handler) {
			key = memory_text(one->key);
		}
	}
	order_try_ends(store, delivery);
	bool good = key == NULL || order_settle_key(store, delivery.handler, span_of(key), err);
	free(key);
	return good;
}

void
order_try_ends(struct store *store, struct delivery_key delivery)
{
	for (size_t i = store->try_count; i > 0; i--) {
		const struct open_try *one = &store->tries[i - 1];
		if (one->delivery.seq == delivery.seq &&
		    one->delivery.handler == delivery.handler) {
			drop_try(store, i - 1);
		}
	}
}

void
order_tries_settle(struct store *store, bool committed)
{
	for (size_t i = store->try_count; i > 0; i--) {
		if (store->tries[i - 1].fresh && !committed) {
			drop_try(store, i - 1);
		} else {
			store->tries[i - 1].fresh = false;
		}
	}
}

void
order_finish(struct store *store)
{
	while (store->try_count > 0) {
		drop_try(store, store->try_count - 1);
	}
	free(store->tries);
}

/* --- who is free --- */

static bool
anyone_runs(struct store *store, int64_t handler, struct span key, bool *runs, struct error *err)
{
	sqlite3_stmt *statement = statement_bind(store, SQL_ORDER_RUNNING, "is", handler, key);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	*runs = code == SQLITE_ROW || try_of_key(store, handler, key);
	statement_reset(statement);
	return true;
}

static bool
set_held(struct store *store, int64_t handler, const struct head *head, bool held,
         struct error *err)
{
	return !head->there || head->held == held ||
	       statement_run(store,
	                     statement_bind(store, SQL_ORDER_HOLD, "iiii", head->seq, handler,
	                                    (int64_t)(held ? 1 : 0),
	                                    held ? INT64_MIN : store->batch.now_ns),
	                     NULL, err);
}

/* Whether a dead one keeps its key, and is older than the oldest pending one. */
static bool
is_blocked_by_dead(struct store *store, int64_t handler, struct span key,
                   const struct head *pending, bool *blocked, struct error *err)
{
	struct head dead = { .there = false };
	*blocked = false;
	if (!store->listening || !store->listener.holds(store->listener.context, handler)) {
		return true;
	}
	if (!find_first(store, handler, key, DELIVERY_DEAD, 0, &dead, err)) {
		return false;
	}
	*blocked = dead.there && (!pending->there || dead.seq < pending->seq);
	return true;
}

bool
order_settle_key(struct store *store, int64_t handler, struct span key, struct error *err)
{
	struct head first;
	struct head second = { .there = false };
	bool runs;
	bool blocked;
	if (!anyone_runs(store, handler, key, &runs, err) ||
	    !find_first(store, handler, key, DELIVERY_PENDING, 0, &first, err)) {
		return false;
	}
	if (!first.there) {
		return true;
	}
	if (!find_first(store, handler, key, DELIVERY_PENDING, first.seq, &second, err) ||
	    !is_blocked_by_dead(store, handler, key, &first, &blocked, err) ||
	    !set_held(store, handler, &second, true, err)) {
		return false;
	}
	if (!set_held(store, handler, &first, runs || blocked, err)) {
		return false;
	}
	if (!runs &&
	    !blocked) { /* dispatch may not know it, or not when: one that it knows stays as it is */
		int64_t now = store->batch.now_ns;
		batch_due(store, (struct delivery_key){ first.seq, handler },
		          first.due_ns > now ? first.due_ns : now, first.retry);
	}
	return true;
}

/* One that ran while older ones came back, and is pending again, waits for them. */
static bool
hold_behind(struct store *store, struct delivery_key delivery, struct span key, struct error *err)
{
	struct head first;
	if (!find_first(store, delivery.handler, key, DELIVERY_PENDING, 0, &first, err)) {
		return false;
	}
	struct head one = { .there = first.there && first.seq < delivery.seq, .seq = delivery.seq };
	return set_held(store, delivery.handler, &one, true, err); /* if it is pending at all */
}

/* The order key of a delivery on disk; NULL: none. The caller frees it. */
static bool
read_key(struct store *store, struct delivery_key delivery, char **key, struct error *err)
{
	sqlite3_stmt *statement =
		statement_bind(store, SQL_ORDER_KEY, "ii", delivery.seq, delivery.handler);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	struct span text = { NULL, 0 };
	if (code == SQLITE_ROW) {
		text = (struct span){ (const char *)sqlite3_column_text(statement, 0),
			              (size_t)sqlite3_column_bytes(statement, 0) };
	}
	*key = text.data == NULL ? NULL : span_copy(text);
	statement_reset(statement);
	return true;
}

bool
order_try_of(struct store *store, struct delivery_key delivery, struct error *err)
{
	char *key;
	if (!read_key(store, delivery, &key, err)) {
		return false;
	}
	order_try_begins(store, delivery, span_of(key));
	free(key);
	return true;
}

bool
order_settle(struct store *store, struct delivery_key delivery, struct error *err)
{
	char *key;
	if (!read_key(store, delivery, &key, err)) {
		return false;
	}
	bool good = key == NULL || (hold_behind(store, delivery, span_of(key), err) &&
	                            order_settle_key(store, delivery.handler, span_of(key), err));
	free(key);
	return good;
}

bool
order_is_blocked(struct store *store, int64_t handler, struct span key, bool *blocked,
                 struct error *err)
{
	struct head pending;
	if (!anyone_runs(store, handler, key, blocked, err)) {
		return false;
	}
	if (*blocked) {
		return true;
	}
	if (!find_first(store, handler, key, DELIVERY_PENDING, 0, &pending, err)) {
		return false;
	}
	if (pending.there) {
		*blocked = true;
		return true;
	}
	return is_blocked_by_dead(store, handler, key, &pending, blocked, err);
}

/* A slice of the keys that have held deliveries: what a reload or a crash left with nobody free. */
bool
order_settle_slice(struct store *store, struct change *change, struct error *err)
{
	char *keys[ORDER_SLICE];
	size_t count = 0;
	sqlite3_stmt *statement =
		statement_bind(store, SQL_ORDER_KEYS, "it", change->id, change->after);
	int code;
	while ((code = statement_step(store, statement, err)) == SQLITE_ROW &&
	       count < ORDER_SLICE) {
		keys[count++] =
			span_copy((struct span){ (const char *)sqlite3_column_text(statement, 0),
		                                 (size_t)sqlite3_column_bytes(statement, 0) });
	}
	bool good = code != 0;
	if (good) {
		statement_reset(statement);
	}
	for (size_t i = 0; i < count; i++) {
		good = good && order_settle_key(store, change->id, span_of(keys[i]), err);
	}
	change->changed = (int64_t)count;
	if (good && count > 0) {
		free(change->after);
		change->after = keys[--count];
	}
	for (size_t i = 0; i < count; i++) {
		free(keys[i]);
	}
	return good;
}
