/* Effects: statements of users that run in the transaction that records their delivery as done, and in no other. A batch
 * of them shares one transaction, each behind a savepoint. After an error the savepoint undoes this one alone; but an
 * interrupt and OR ROLLBACK take the whole transaction with them, and the savepoint too: then the batch runs again without
 * the guilty one. What failed is told to the listener, which submits a result like that of any try. */
#include <string.h>
#include <sys/statvfs.h>

#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/store/sqlite/writer_priv.h"

#define EFFECTS_MOST    64
#define EFFECTS_TURN_NS (20 * NS_PER_MS) /* then the others have their turn */

struct effect_scope {
	struct store *store;
	int64_t timeout_ns;
};

#define ROOM_LEAST_BYTES (16 * 1024 * 1024)

/* SQLite says SQLITE_FULL of a disk, and of numbers that are used up. */
static bool
has_room(const struct store *store)
{
	struct statvfs status;
	return statvfs(store->path, &status) == 0 &&
	       (uint64_t)status.f_bavail * status.f_frsize >= ROOM_LEAST_BYTES;
}

bool
effect_execute(struct effect_scope *scope, struct span sql, const struct parameter *parameters,
               size_t count, struct error *err)
{
	struct store *store = scope->store;
	struct sandbox_fault fault;
	if (sandbox_run(&store->sandbox, store->database, sql, parameters, count, scope->timeout_ns,
	                &fault, err)) {
		return true;
	}
	if (err->kind != ERROR_SYSTEM) {
		return false;
	}
	struct error statement = *err;
	(void)sqlite_error(err, store->database, "a handler's statement");
	if (err->kind == ERROR_STORE_FULL &&
	    has_room(store)) { /* the last number of an AUTOINCREMENT */
		*err = statement;
		err->kind = ERROR_INVALID;
	}
	return false;
}

struct effect_pack {
	struct effect *items[EFFECTS_MOST];
	bool failed[EFFECTS_MOST];
	size_t count;
	size_t ran; /* of them: in the transaction that was committed */
};

/* The delivery is still this try's. */
static bool
ON_THREAD(store_thread)
	is_running(struct store *store, const struct effect *effect, bool *runs, struct error *err)
{
	sqlite3_stmt *statement =
		statement_bind(store, SQL_DELIVERY_RUNS, "iiii", effect->key.seq,
	                       effect->key.handler, effect->round, effect->attempts);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	*runs = code == SQLITE_ROW;
	statement_reset(statement);
	return true;
}

/* The delivery becomes done in the same transaction. */
static bool
ON_THREAD(store_thread) record(struct store *store, struct effect *effect, struct error *err)
{
	struct result_intent result = { .key = effect->key,
		                        .move = MOVE_DONE,
		                        .retried = effect->retried,
		                        .ordered = effect->ordered,
		                        .round = effect->round,
		                        .attempts = effect->attempts,
		                        .started_ns = effect->started_ns,
		                        .duration_ns = effect->duration_ns };
	return apply_result(store, &result, err);
}

/* False: the transaction cannot go on. */
static bool
ON_THREAD(store_thread)
	run_one(struct store *store, struct effect *effect, bool *failed, struct error *err)
{
	struct effect_scope scope = { store, effect->timeout_ns };
	int64_t begun_ns = clock_boot_ns();
	bool runs;
	if (!is_running(store, effect, &runs, err)) {
		return false;
	}
	effect->orphaned = !runs;
	*failed = !runs;
	if (!runs) {
		return true;
	}
	if (!statement_run(store, store->statements[SQL_EFFECT_BEGIN], NULL, err)) {
		return false;
	}
	effect->started_ns = store->batch.now_ns;
	bool good = effect->run(effect->context, &scope, &effect->error);
	effect->duration_ns = clock_boot_ns() - begun_ns;
	*failed = !good;
	if (good) {
		return record(store, effect, err) &&
		       statement_run(store, store->statements[SQL_EFFECT_KEEP], NULL, err);
	}
	if (effect->error.kind != ERROR_INVALID && effect->error.kind != ERROR_LIMIT) {
		*err = effect->error;
		return false;
	}
	if (sqlite3_get_autocommit(store->database) != 0) { /* all of it is gone */
		return error_set(err, ERROR_INVALID, "the transaction was rolled back");
	}
	return statement_run(store, store->statements[SQL_EFFECT_UNDO], NULL, err) &&
	       statement_run(store, store->statements[SQL_EFFECT_KEEP], NULL, err);
}

/* One look at the batch, without those that have failed. */
static bool
ON_THREAD(store_thread) effects_work(struct store *store, void *context, struct error *err)
{
	struct effect_pack *pack = context;
	int64_t until_ns = clock_boot_ns() + EFFECTS_TURN_NS;
	pack->ran = 0;
	while (pack->ran < pack->count && (pack->ran == 0 || clock_boot_ns() < until_ns)) {
		size_t i = pack->ran++;
		if (!pack->failed[i] && !run_one(store, pack->items[i], &pack->failed[i], err)) {
			return false;
		}
	}
	return true;
}

static void
take_pack(struct store *store, struct effect_pack *pack)
{
	pack->count = 0;
	while (store->effects != NULL && pack->count < EFFECTS_MOST) {
		struct intent *intent = store->effects;
		store->effects = intent->next;
		pack->failed[pack->count] = false;
		pack->items[pack->count++] = CONTAINER(intent, struct effect, intent);
	}
	if (store->effects == NULL) {
		store->effects_tail = &store->effects;
	}
}

static void
put_back(struct store *store, struct effect *effect)
{
	struct intent *intent = &effect->intent;
	intent->next = store->effects;
	store->effects = intent;
	if (store->effects_tail == &store->effects) {
		store->effects_tail = &intent->next;
	}
}

/* Those of the first `count` that are over are told; the others wait again, in their order. */
static void
ON_THREAD(store_thread)
	tell_pack(struct store *store, struct effect_pack *pack, size_t count, bool committed)
{
	struct effect *over[EFFECTS_MOST];
	size_t over_count = 0;
	for (size_t i = pack->count; i > 0; i--) {
		if (i > count || (!committed && !pack->failed[i - 1])) {
			put_back(store, pack->items[i - 1]);
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (committed || pack->failed[i]) {
			pack->items[i]->done = !pack->failed[i];
			over[over_count++] = pack->items[i];
		}
	}
	store->listener.effects(store->listener.context, over, over_count);
}

/* False: this turn is over. */
static bool
ON_THREAD(store_thread) run_pack(struct store *store, struct effect_pack *pack)
{
	struct error err;
	if (writer_transaction(store, effects_work, pack, &err)) {
		tell_pack(store, pack, pack->ran, true);
		return true;
	}
	/* A guilty one took the others with it: they run again, but first those have their turn who wait for us. When it was
	 * the disk, all of them wait. */
	tell_pack(store, pack, err.kind == ERROR_INVALID ? pack->ran : 0, false);
	return false;
}

void
effects_step(struct store *store)
{
	struct effect_pack pack;
	int64_t until_ns = clock_boot_ns() + EFFECTS_TURN_NS;
	bool goes_on = true;
	while (goes_on && store->effects != NULL && atomic_load(&store->state) == STORE_GOOD &&
	       clock_boot_ns() < until_ns) {
		take_pack(store, &pack);
		goes_on = run_pack(store, &pack);
	}
}

/* --- setup --- */

static bool
ON_THREAD(store_thread) setup_work(struct store *store, void *context, struct error *err)
{
	struct effect *effect = context;
	struct effect_scope scope = { store, effect->timeout_ns };
	bool good = effect->run(effect->context, &scope, err);
	effect->orphaned = !good && err->kind == ERROR_LIMIT;
	if (effect->orphaned) {
		err->kind = ERROR_INVALID; /* the statement's fault, not the store's */
	}
	return good;
}

void
setup_run(struct store *store, struct change *change)
{
	change->good = writer_transaction(store, setup_work, change->effect, &change->error);
	if (!change->good && change->effect->orphaned) {
		change->error.kind = ERROR_LIMIT; /* its time was over */
	}
}
