/* The writer: one thread, one connection that writes and checkpoints.
 *
 * Group commit: what waits in the inbox is run in one transaction and committed with one sync; while the disk works the
 * next batch gathers by itself. The instants of promise:
 *   1. COMMIT returns            the batch is in the WAL and synced (synchronous=FULL)
 *   2. the files are checked     still the ones that were opened
 *   3. arrived() is called       the answers go out
 *   4. the WAL is checkpointed   when it is large enough; nobody waits for it
 * A failure at 1 or 2 is no acknowledgement. On an error of one statement the batch is rolled back and run again one by
 * one, so that one bad event never fails its neighbours. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/base/confine.h"
#include "receiver/log/log.h"
#include "receiver/metrics/metrics.h"
#include "receiver/store/sqlite/gather.h"
#include "receiver/store/sqlite/writer_priv.h"

struct thread_role store_thread = { "store" };

/* --- transactions --- */

static void
batch_begin(struct store *store)
{
	struct batch *batch = &store->batch;
	batch->first_seq = store->next_seq;
	batch->delta_count = 0;
	batch->jobs = NULL;
	batch->jobs_tail = &batch->jobs;
	batch->due_count = 0;
	batch->note_count = 0;
	batch->now_ns = clock_wall_ns();
}

/* Undoes what the batch has done beside the file. */
static void
batch_undo(struct store *store)
{
	struct batch *batch = &store->batch;
	while (batch->jobs != NULL) {
		struct job *job = batch->jobs;
		batch->jobs = job->next;
		store->listener.give_slot(store->listener.context, job->key.handler, job->slot);
		event_release(job->event);
		free(job);
	}
	store->next_seq = batch->first_seq;
	order_tries_settle(store, false);
	batch_begin(store);
}

/* data_version changes when another connection has committed; nobody but us should. */
static bool
look_for_others(struct store *store, struct error *err)
{
	sqlite3_stmt *statement = store->statements[SQL_DATA_VERSION];
	if (statement_step(store, statement, err) != SQLITE_ROW) {
		return false;
	}
	int64_t version = sqlite3_column_int64(statement, 0);
	statement_reset(statement);
	if (store->data_version != 0 && version != store->data_version && !store->foreign) {
		log_say(LOG_WARN, "store.foreign",
		        "another process has written to the database beside the service; that is not supported, and "
		        "with this SQLite (%s) it can corrupt it",
		        sqlite3_libversion());
		store->foreign = true;
	}
	store->data_version = version;
	return true;
}

static bool
begin(struct store *store, struct error *err)
{
	gather_drop(store->database);
	return statement_run(store, store->statements[SQL_BEGIN], NULL, err) &&
	       look_for_others(store, err);
}

static void
rollback(struct store *store)
{
	gather_drop(store->database);
	if (sqlite3_get_autocommit(store->database) == 0) {
		struct error ignored;
		if (!statement_run(store, store->statements[SQL_ROLLBACK], NULL, &ignored)) {
			log_say(LOG_ERROR, "store.rollback_failed", "%s", ignored.text);
		}
	}
}

/* Only a checkpoint writes to the database, and only we make one. */
static void
remember_file(struct store *store)
{
	struct stat status;
	if (stat(store->path, &status) == 0) {
		store->file_time = status.st_mtim;
		store->file_size = status.st_size;
	}
}

/* SQLite goes on happily in a file that was unlinked or replaced: both names must still be what was opened. */
static bool
files_are_ours(struct store *store, struct error *err)
{
	int moved = 0;
	if (sqlite3_file_control(store->database, "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
	            SQLITE_OK &&
	    moved != 0) {
		return error_set(err, ERROR_STORE_BAD,
		                 "%s was removed, renamed or replaced while it was in use",
		                 store->path);
	}
	if (store->serving && !lock_held(&store->lock, err)) {
		return false;
	}
	struct stat status;
	if (store->listening && !store->foreign &&
	    (stat(store->path, &status) != 0 || status.st_size != store->file_size ||
	     status.st_mtim.tv_sec != store->file_time.tv_sec ||
	     status.st_mtim.tv_nsec != store->file_time.tv_nsec)) {
		return error_set(err, ERROR_STORE_BAD, "%s was overwritten while it was in use",
		                 store->path);
	}
	char wal[4096];
	(void)snprintf(wal, sizeof(wal), "%s-wal", store->path);
	bool there = stat(wal, &status) == 0;
	if (there && store->wal_inode == 0) {
		store->wal_inode = status.st_ino;
		store->wal_device = status.st_dev;
	}
	if (!there || status.st_ino != store->wal_inode || status.st_dev != store->wal_device) {
		return error_set(err, ERROR_STORE_BAD,
		                 "%s was removed, renamed or replaced while it was in use", wal);
	}
	if (status.st_size < store->wal_size) { /* we never cut it */
		return error_set(err, ERROR_STORE_BAD, "%s was cut while it was in use", wal);
	}
	store->wal_size = status.st_size;
	return true;
}

static bool
ON_THREAD(store_thread) commit(struct store *store, struct error *err)
{
	if (store->next_seq - 1 > store->stored_seq) {
		if (!statement_run(store,
		                   statement_bind(store, SQL_META_SET, "ti", "seq",
		                                  store->next_seq - 1),
		                   NULL, err)) {
			return false;
		}
	}
	return ledger_flush(store, err) &&
	       statement_run(store, store->statements[SQL_COMMIT], NULL, err) &&
	       files_are_ours(store, err);
}

static void
keep_notes(struct store *store)
{
	struct batch *batch = &store->batch;
	if (batch->note_count == 0) {
		return;
	}
	(void)pthread_mutex_lock(&store->notes_lock);
	for (size_t i = 0; i < batch->note_count; i++) {
		batch->notes[i].number = ++store->notes_last;
		store->notes[store->notes_last % STORE_NOTES] = batch->notes[i];
	}
	(void)pthread_mutex_unlock(&store->notes_lock);
}

static void
set_state(struct store *store, enum store_state state, const char *why)
{
	int old = atomic_exchange(&store->state, (int)state);
	(void)pthread_mutex_lock(&store->text_lock);
	(void)snprintf(store->why, sizeof(store->why), "%s", why);
	(void)pthread_mutex_unlock(&store->text_lock);
	if (old == (int)state) {
		return;
	}
	if (state == STORE_GOOD) {
		log_say(LOG_INFO, "store.recovered", "the store takes events again");
	} else if (state == STORE_FULL) {
		log_say(LOG_ERROR, "store.full",
		        "no space: events are answered 503 until there is some; %s", why);
	} else if (state == STORE_BUSY) {
		long holder = holder_of_writing(store->path);
		struct log_line line;
		log_begin(&line, LOG_ERROR, "store.busy", "%s: events are answered 503; %s",
		          holder != 0 ? "another process holds the database"
		                      : "the store cannot be written now",
		          why);
		if (holder != 0) {
			log_number(&line, "pid", holder);
		}
		log_end(&line);
	}
}

/* Beside the file, not synced: an older copy of the store that is put in its place is known by it. */
static void
mark(struct store *store)
{
	if (store->serving) {
		lock_mark(&store->lock, store->stored_seq, store->batch.now_ns);
	}
}

/* What a committed transaction makes known, the answers apart. */
static void
ON_THREAD(store_thread) publish(struct store *store)
{
	struct batch *batch = &store->batch;
	const struct store_listener *listener = &store->listener;
	store->stored_seq = store->next_seq - 1;
	mark(store);
	order_tries_settle(store, true);
	keep_notes(store);
	(void)atomic_fetch_add(&store->commits, 1);
	metrics_add(METRIC_COMMITS, 1);
	if (atomic_load(&store->state) == STORE_BUSY) {
		set_state(store, STORE_GOOD, "");
	}
	if (batch->jobs != NULL) {
		listener->jobs(listener->context, batch->jobs);
		batch->jobs = NULL;
	}
	if (batch->due_count > 0 && store->listening) {
		listener->due(listener->context, batch->due, batch->due_count);
	}
}

void
writer_failed(struct store *store, const struct error *err)
{
	switch (err->kind) {
	case ERROR_STORE_FULL:
		if (atomic_load(&store->state) == STORE_FULL) {
			store->reserve_spent = true;
		}
		set_state(store, STORE_FULL, err->text);
		reserve_give(&store->reserve);
		break;
	case ERROR_STORE_BUSY: set_state(store, STORE_BUSY, err->text); break;
	case ERROR_INVALID: break; /* one statement's fault */
	default:
		set_state(store, STORE_BROKEN, err->text);
		if (store->listening) {
			store->listener.broken(store->listener.answers, err);
		}
		break;
	}
	store->probe_at_ns = clock_boot_ns() + STORE_PROBE_NS;
}

bool
writer_transaction(struct store *store,
                   bool (*work)(struct store *store, void *context, struct error *err),
                   void *context, struct error *err)
{
	if (atomic_load(&store->state) == STORE_BROKEN) {
		return error_set(err, ERROR_STORE_BAD, "the store cannot be trusted any more");
	}
	batch_begin(store);
	if (begin(store, err) && work(store, context, err) && commit(store, err)) {
		ledger_publish(store);
		publish(store);
		return true;
	}
	rollback(store);
	batch_undo(store);
	writer_failed(store, err);
	return false;
}

/* --- batches --- */

struct pack {
	struct intent *items[STORE_BATCH_MOST];
	enum intent_kind
		kinds[STORE_BATCH_MOST]; /* of items that may have been handed out already */
	size_t count;
	size_t events;
};

static bool
ON_THREAD(store_thread) pack_work(struct store *store, void *context, struct error *err)
{
	struct pack *pack = context;
	for (size_t i = 0; i < pack->count; i++) {
		if (!apply_intent(store, pack->items[i], err)) {
			return false;
		}
	}
	return true;
}

static void
end_change(struct change *change, const struct error *err)
{
	(void)pthread_mutex_lock(&change->lock);
	change->good = err == NULL;
	if (err != NULL) {
		change->error = *err;
	}
	change->over = true;
	(void)pthread_cond_signal(&change->ended);
	(void)pthread_mutex_unlock(&change->lock);
}

static void
ON_THREAD(store_thread)
	tell_change(struct store *store, struct change *change, const struct error *err)
{
	const struct store_listener *listener = &store->listener;
	bool pauses = change->kind == CHANGE_PAUSE;
	if (err == NULL && store->listening && (pauses || change->kind == CHANGE_RESUME)) {
		atomic_store(&store->paused[change->id], pauses ? change->until : 0);
		listener->paused(listener->context, change->id, pauses, change->until);
	}
	end_change(change, err);
}

/* Hands the intents of one kind out of the pack to their listener. */
static void
ON_THREAD(store_thread) tell(struct store *store, const struct pack *pack, enum intent_kind kind,
                             const struct error *err)
{
	const struct store_listener *listener = &store->listener;
	void *items[STORE_BATCH_MOST];
	size_t count = 0;
	for (size_t i = 0; i < pack->count; i++) {
		struct intent *intent = pack->items[i];
		if (pack->kinds[i] != kind) {
			continue;
		}
		switch (kind) {
		case INTENT_ARRIVAL:
			if (CONTAINER(intent, struct arrival, intent)->own) {
				arrival_free(CONTAINER(intent, struct arrival, intent));
			} else {
				items[count++] = CONTAINER(intent, struct arrival, intent);
			}
			break;
		case INTENT_CLAIM: items[count++] = CONTAINER(intent, struct claim, intent); break;
		case INTENT_RESULT:
			items[count++] = CONTAINER(intent, struct result_intent, intent);
			break;
		case INTENT_CHANGE:
			tell_change(store, CONTAINER(intent, struct change, intent), err);
			break;
		case INTENT_EFFECT: break;
		}
	}
	if (count == 0) {
		return;
	}
	switch (kind) {
	case INTENT_ARRIVAL:
		listener->arrived(listener->answers, (struct arrival *const *)items, count);
		break;
	case INTENT_CLAIM:
		listener->claimed(listener->context, (struct claim *const *)items, count);
		break;
	case INTENT_RESULT:
		listener->settled(listener->context, (struct result_intent *const *)items, count);
		break;
	case INTENT_CHANGE:
	case INTENT_EFFECT: break;
	}
}

static void
ON_THREAD(store_thread)
	tell_all(struct store *store, const struct pack *pack, const struct error *err)
{
	tell(store, pack, INTENT_ARRIVAL, err);
	tell(store, pack, INTENT_RESULT, err);
	tell(store, pack, INTENT_CLAIM, err);
	tell(store, pack, INTENT_CHANGE, err);
}

static void
wait_again(struct store *store, struct intent *intent)
{
	intent->next = store->waiting;
	store->waiting = intent;
	if (store->waiting_tail == &store->waiting) {
		store->waiting_tail = &intent->next;
	}
}

/* Gives an intent that was not stored its answer; false: it waits, to be written first. */
static bool
refuse(struct intent *intent, enum arrival_result result)
{
	switch (intent->kind) {
	case INTENT_ARRIVAL:
		CONTAINER(intent, struct arrival, intent)->result = result;
		return true;
	case INTENT_CLAIM: {
		struct claim *claim = CONTAINER(intent, struct claim, intent);
		claim->claimed = false;
		claim->later = true;
		claim->refused = result == ARRIVAL_FULL || result == ARRIVAL_BUSY;
		claim->due_ns =
			claim->refused ? claim->expected_due_ns : clock_wall_ns() + STORE_PROBE_NS;
		return true;
	}
	case INTENT_RESULT:
	case INTENT_EFFECT: return false;
	case INTENT_CHANGE:
		return true; /* whoever asked is told so, and decides whether to ask again */
	}
	return false;
}

/* What waits behind a pack that failed would fail too: nobody's answer depends on how many results come first. */
static void
ON_THREAD(store_thread)
	refuse_waiting(struct store *store, enum arrival_result result, const struct error *err)
{
	struct pack told = { .count = 0 };
	struct intent **at = &store->waiting;
	while (*at != NULL && told.count < STORE_BATCH_MOST) {
		struct intent *intent = *at;
		if (refuse(intent, result)) {
			*at = intent->next;
			told.kinds[told.count] = intent->kind;
			told.items[told.count++] = intent;
		} else {
			at = &intent->next;
		}
	}
	if (*at == NULL) {
		store->waiting_tail = at;
	}
	tell_all(store, &told, err);
}

/* The pack was not stored: whoever waits for an answer is told so; results wait and are written first. */
static void
ON_THREAD(store_thread) pack_failed(struct store *store, struct pack *pack, const struct error *err)
{
	enum arrival_result result = err->kind == ERROR_STORE_FULL   ? ARRIVAL_FULL
	                             : err->kind == ERROR_STORE_BUSY ? ARRIVAL_BUSY
	                                                             : ARRIVAL_BAD;
	struct pack told = { .count = 0 };
	for (size_t i = 0; i < pack->count; i++) {
		if (refuse(pack->items[i], result)) {
			told.kinds[told.count] = pack->kinds[i];
			told.items[told.count++] = pack->items[i];
			pack->items[i] = NULL;
		}
	}
	for (size_t i = pack->count; i > 0; i--) {
		if (pack->items[i - 1] != NULL) {
			wait_again(store, pack->items[i - 1]);
		}
	}
	tell_all(store, &told, err);
	if (err->kind != ERROR_INVALID) {
		refuse_waiting(store, result, err);
	}
}

static bool
ON_THREAD(store_thread) pack_run(struct store *store, struct pack *pack, struct error *err)
{
	batch_begin(store);
	bool good = begin(store, err) && pack_work(store, pack, err);
#ifdef HOOKLATCH_NEGATIVE_ANSWER_BEFORE_COMMIT
	if (good) { /* a build that breaks the promise on purpose; the suites must catch it */
		tell(store, pack, INTENT_ARRIVAL, NULL);
		for (size_t i = 0; i < pack->count;) {
			if (pack->kinds[i] == INTENT_ARRIVAL) {
				pack->kinds[i] = pack->kinds[--pack->count];
				pack->items[i] = pack->items[pack->count];
			} else {
				i++;
			}
		}
	}
#endif
	int64_t begun_ns = clock_boot_ns();
	good = good && commit(store, err);
	if (!good) {
		rollback(store);
		batch_undo(store);
		return false;
	}
	metrics_observe(HISTOGRAM_COMMIT, clock_boot_ns() - begun_ns);
	metrics_observe(HISTOGRAM_BATCH, (int64_t)pack->events);
	metrics_add(METRIC_COMMIT_EVENTS, (int64_t)pack->events);
	if (pack->events > 0) {
		atomic_store(&store->busy_until_ns, clock_boot_ns() + UPKEEP_BUSY_NS);
	}
	ledger_publish(store); /* who has its answer may ask for what is counted */
	tell_all(store, pack, NULL);
	publish(store);
	return true;
}

static void
ON_THREAD(store_thread) guilty(struct store *store, struct pack *one, const struct error *err)
{
	struct log_line line;
	log_begin(&line, LOG_ERROR, "store.refused", "an entry could not be stored");
	log_error(&line, err);
	log_end(&line);
	if (one->items[0]->kind == INTENT_RESULT) { /* its delivery would hang for ever */
		struct error bad = *err;
		bad.kind = ERROR_STORE_BAD;
		writer_failed(store, &bad);
		return;
	}
	pack_failed(store, one, err);
}

static void
ON_THREAD(store_thread) run_pack(struct store *store, struct pack *pack)
{
	struct error err;
	if (atomic_load(&store->state) == STORE_BROKEN) {
		(void)error_set(&err, ERROR_STORE_BAD, "the store cannot be trusted any more");
		pack_failed(store, pack, &err);
		return;
	}
	if (pack_run(store, pack, &err)) {
		return;
	}
	if (err.kind != ERROR_INVALID) {
		writer_failed(store, &err);
		pack_failed(store, pack, &err);
		return;
	}
	for (size_t i = 0; i < pack->count; i++) { /* find the guilty one; the others are stored */
		struct pack one = { .items = { pack->items[i] },
			            .kinds = { pack->kinds[i] },
			            .count = 1,
			            .events = 0 };
		if (!pack_run(store, &one, &err)) {
			if (err.kind == ERROR_INVALID) {
				guilty(store, &one, &err);
			} else {
				writer_failed(store, &err);
				pack_failed(store, &one, &err);
			}
		}
	}
}

/* --- the thread --- */

static void
take_inbox(struct store *store)
{
	struct queue_item *item = queue_take(&store->inbox);
	while (item != NULL) {
		struct queue_item *next = item->next;
		struct intent *intent = CONTAINER(item, struct intent, item);
		struct intent ***tail =
			intent->kind == INTENT_EFFECT ? &store->effects_tail : &store->waiting_tail;
		intent->next = NULL;
		**tail = intent;
		*tail = &intent->next;
		item = next;
	}
}

/* A setup runs in a transaction of its own. */
static struct change *
setup_of(struct intent *intent)
{
	struct change *change = intent == NULL || intent->kind != INTENT_CHANGE
	                                ? NULL
	                                : CONTAINER(intent, struct change, intent);
	return change != NULL && change->kind == CHANGE_SETUP ? change : NULL;
}

/* What an intent brings into the batch: bytes of bodies, and events. */
static size_t
intent_weight(struct intent *intent, size_t *bytes)
{
	size_t events = 0;
	const struct arrival *arrival =
		intent->kind == INTENT_ARRIVAL ? CONTAINER(intent, struct arrival, intent) : NULL;
	for (; arrival != NULL; arrival = arrival->sibling) {
		*bytes += arrival->event->body.size;
		*bytes += arrival->whole == NULL ? 0 : arrival->whole->size;
		events++;
	}
	return events;
}

static void
fill_pack(struct store *store, struct pack *pack)
{
	size_t bytes = 0;
	pack->count = 0;
	pack->events = 0;
	while (store->waiting != NULL && pack->count < STORE_BATCH_MOST &&
	       setup_of(store->waiting) == NULL) {
		struct intent *intent = store->waiting;
		size_t events = intent_weight(intent, &bytes);
		if (pack->count > 0 && bytes > STORE_BATCH_BYTES) {
			return;
		}
		pack->events += events;
		pack->kinds[pack->count] = intent->kind;
		pack->items[pack->count++] = intent;
		store->waiting = intent->next;
		if (store->waiting == NULL) {
			store->waiting_tail = &store->waiting;
		}
	}
}

static int
on_wal(void *context, sqlite3 *database, const char *name, int pages)
{
	(void)database;
	(void)name;
	((struct store *)context)->wal_pages = pages;
	return SQLITE_OK;
}

/* False: there was no need. */
static bool
ON_THREAD(store_thread) checkpoint(struct store *store)
{
	if (store->wal_pages < WAL_CHECKPOINT_PAGES) {
		return false;
	}
	int left = 0;
	int done = 0;
	if (sqlite3_wal_checkpoint_v2(store->database, "main", SQLITE_CHECKPOINT_PASSIVE, &left,
	                              &done) != SQLITE_OK) {
		struct error err;
		(void)sqlite_error(&err, store->database, "checkpoint");
		writer_failed(store, &err);
		metrics_add(METRIC_CHECKPOINTS_FAILED, 1);
	}
	metrics_add(METRIC_CHECKPOINTS, 1);
	store->wal_pages = left > done ? left - done : 0;
	bool pinned = store->wal_pages > WAL_PINNED_PAGES;
	if (pinned && !store->pinned) {
		log_say(LOG_WARN, "store.pinned",
		        "a reader holds the checkpoint up: %d pages of the write-ahead log cannot be copied yet, and it grows",
		        store->wal_pages);
	}
	store->pinned = pinned;
	remember_file(store);
	return true;
}

static bool
ON_THREAD(store_thread) returned_work(struct store *store, void *context, struct error *err)
{
	(void)context;
	return apply_returned(store, err);
}

static bool
ON_THREAD(store_thread) probe_work(struct store *store, void *context, struct error *err)
{
	(void)context;
	return statement_run(store,
	                     statement_bind(store, SQL_META_SET, "ti", "probe", clock_wall_ns()),
	                     NULL, err);
}

/* While it does not work: tries again, so that it recovers by itself without an event's help. */
static void
ON_THREAD(store_thread) probe(struct store *store)
{
	struct error err;
	int state = atomic_load(&store->state);
	if ((state != STORE_FULL && state != STORE_BUSY) || clock_boot_ns() < store->probe_at_ns) {
		return;
	}
	if (state == STORE_FULL && store->serving && !reserve_hold(&store->reserve)) {
		store->probe_at_ns = clock_boot_ns() + STORE_PROBE_NS;
		return;
	}
	if (!writer_transaction(store, probe_work, NULL, &err)) {
		log_say(LOG_DEBUG, "store.probe", "still not: %s", err.text);
	} else if (state == STORE_FULL) {
		store->reserve_spent = false;
		set_state(store, STORE_GOOD, "");
	}
}

static bool
ON_THREAD(store_thread) return_claims(struct store *store)
{
	struct error err;
	while (!store->claims_returned) {
		if (!writer_transaction(store, returned_work, NULL, &err)) {
			return false;
		}
		store->claims_returned = store->batch.last_returned; /* committed */
	}
	return true;
}

static bool
ON_THREAD(store_thread) leases_work(struct store *store, void *context, struct error *err)
{
	(void)context;
	return apply_leases_over(store, err);
}

static void
ON_THREAD(store_thread) return_leases(struct store *store)
{
	struct error err;
	if (atomic_load(&store->state) == STORE_GOOD && store->claims_returned &&
	    store->lease_at_ns <= leases_now(store) &&
	    !writer_transaction(store, leases_work, NULL, &err)) {
		log_say(LOG_WARN, "lease.return_failed", "%s", err.text);
	}
}

static bool
only_results_wait(const struct store *store)
{
	for (const struct intent *intent = store->waiting; intent != NULL; intent = intent->next) {
		if (intent->kind != INTENT_RESULT && intent->kind != INTENT_EFFECT) {
			return false;
		}
	}
	return true;
}

static int64_t
next_wake(const struct store *store)
{
	int state = atomic_load(&store->state);
	if (state == STORE_GOOD &&
	    (store->waiting != NULL || store->effects != NULL || !store->claims_returned)) {
		return 0;
	}
	int64_t next = state == STORE_GOOD ? replays_next(store) : INT64_MAX;
	int64_t purge = state == STORE_GOOD ? purge_next(store) : INT64_MAX;
	next = purge < next ? purge : next;
	int64_t busy_ns = atomic_load(&store->busy_until_ns);
	if (next < busy_ns && next < store->upkeep_at_ns) {
		next = store->upkeep_at_ns < busy_ns ? store->upkeep_at_ns : busy_ns;
	}
	if (state == STORE_GOOD && store->lease_at_ns != INT64_MAX) {
		int64_t lease = clock_boot_ns() + store->lease_at_ns - leases_now(store);
		next = lease < next ? lease : next;
	}
	if (state == STORE_FULL || state == STORE_BUSY) {
		next = store->probe_at_ns;
	}
	if (next == INT64_MAX) {
		return -1;
	}
	int64_t wait = next - clock_boot_ns();
	return wait < 0 ? 0 : wait;
}

/* The disk is full: what is new is refused, and what was done is written into the space that was set aside for it. */
static void
ON_THREAD(store_thread) turn_full(struct store *store, struct pack *pack)
{
	struct error err;
	(void)pthread_mutex_lock(&store->text_lock);
	(void)error_set(&err, ERROR_STORE_FULL, "%s", store->why);
	(void)pthread_mutex_unlock(&store->text_lock);
	refuse_waiting(store, ARRIVAL_FULL, &err);
	if (store->waiting != NULL && !store->reserve.held && !store->reserve_spent) {
		fill_pack(store, pack);
		run_pack(store, pack);
	}
}

static bool
ON_THREAD(store_thread) shift_work(struct store *store, void *context, struct error *err)
{
	const int64_t *step_ns = context;
	return statement_run(store, statement_bind(store, SQL_LEASE_SHIFT, "i", *step_ns), NULL,
	                     err) &&
	       leases_next(store, err);
}

/* A lease was promised for a while, not until a time on the wall: when the clock is set, the times of leases go with it. */
static void
ON_THREAD(store_thread) follow_clock(struct store *store)
{
	struct error err;
	int64_t wall_from_boot_ns = clock_wall_ns() - clock_boot_ns();
	int64_t step_ns = wall_from_boot_ns - store->wall_from_boot_ns;
	if (store->wall_from_boot_ns == 0 || store->lease_at_ns == INT64_MAX) {
		store->wall_from_boot_ns = wall_from_boot_ns;
	} else if ((step_ns > CLOCK_STEP_NS || step_ns < -CLOCK_STEP_NS) &&
	           atomic_load(&store->state) == STORE_GOOD) {
		if (writer_transaction(store, shift_work, &step_ns, &err)) {
			store->wall_from_boot_ns = wall_from_boot_ns;
		} else {
			log_say(LOG_WARN, "lease.shift_failed", "%s", err.text);
		}
	}
}

int64_t
upkeep_end_ns(const struct store *store)
{
	int64_t now_ns = clock_boot_ns();
	return now_ns +
	       (now_ns < atomic_load(&store->busy_until_ns) ? UPKEEP_SHORT_NS : UPKEEP_LONG_NS);
}

/* A slice of each replay and of the purge. While events come it pauses seven times as long as it took: whoever waits for an
 * answer waits for one short slice at most, and seldom. */
static void
ON_THREAD(store_thread) upkeep(struct store *store)
{
	int64_t begun_ns = clock_boot_ns();
	if (begun_ns < atomic_load(&store->busy_until_ns) && begun_ns < store->upkeep_at_ns) {
		return;
	}
	replays_step(store);
	purge_step(store);
	int64_t ended_ns = clock_boot_ns();
	store->upkeep_at_ns = ended_ns + (ended_ns - begun_ns) * (UPKEEP_SHARE - 1);
}

static const struct arrival *
first_arrival(const struct pack *pack)
{
	for (size_t i = 0; i < pack->count; i++) {
		if (pack->kinds[i] == INTENT_ARRIVAL) {
			const struct arrival *arrival =
				CONTAINER(pack->items[i], struct arrival, intent);
			if (!arrival->own) {
				return arrival;
			}
		}
	}
	return NULL;
}

/* Whether the queue behind the pack is one too many. */
static void
ON_THREAD(store_thread) judge_queue(struct store *store, const struct pack *pack)
{
	struct overload *overload = &store->overload;
	const struct arrival *first = first_arrival(pack);
	bool was = overload->on;
	if (first == NULL) {
		return; /* it says nothing about how long events wait */
	}
	int64_t now_ns = clock_boot_ns();
	overload_begin(overload, now_ns, now_ns - first->since_ns, store->waiting != NULL);
	if (overload->on && !was) {
		log_say(LOG_ERROR, "store.overloaded",
		        "more events come than can be stored: those that would wait too long are answered 503");
	} else if (was && !overload->on) {
		log_say(LOG_INFO, "store.caught_up", "all that comes is stored again");
	}
	atomic_store(&store->waiting_most, overload_most(overload));
}

/* One turn: a batch of what waits, then a checkpoint or some upkeep; both only where each turn needs a checkpoint. */
static void
ON_THREAD(store_thread) turn(struct store *store, struct pack *pack)
{
	int64_t begun_ns = clock_boot_ns();
	size_t full = 0; /* events of a full pack */
	take_inbox(store);
	probe(store);
	follow_clock(store);
	bool returned = return_claims(store);
	bool good = atomic_load(&store->state) == STORE_GOOD;
	struct change *setup = setup_of(store->waiting);
	if (setup != NULL) {
		store->waiting = setup->intent.next;
		if (store->waiting == NULL) {
			store->waiting_tail = &store->waiting;
		}
		setup_run(store, setup);
		end_change(setup, setup->good ? NULL : &setup->error);
	} else if (store->waiting != NULL && atomic_load(&store->state) == STORE_FULL) {
		turn_full(store, pack);
	} else if (store->waiting != NULL && (good || !only_results_wait(store))) {
		fill_pack(store, pack);
		judge_queue(store, pack);
		full = store->waiting != NULL ? pack->events : 0;
		run_pack(store, pack);
	}
	effects_step(store);
	return_leases(store);
	store->upkeep_skipped = checkpoint(store) && !store->upkeep_skipped;
	if (!store->upkeep_skipped && returned && atomic_load(&store->state) == STORE_GOOD &&
	    !atomic_load(&store->stopping)) {
		upkeep(store);
	}
	overload_end(&store->overload, clock_boot_ns() - begun_ns, full);
}

/* Everything that can be written is. */
static bool
may_end(struct store *store)
{
	if (!atomic_load(&store->stopping)) {
		return false;
	}
	take_inbox(store);
	return (store->waiting == NULL && store->effects == NULL) ||
	       (atomic_load(&store->state) != STORE_GOOD && only_results_wait(store));
}

static void
store_run(void *context)
{
	thread_is(&store_thread);
	struct store *store = context;
	struct pack *pack = memory_need(sizeof(*pack));
	struct error err;
	if (!confine_thread(CONFINE_STORE, &err)) {
		log_say(LOG_WARN, "thread.unconfined", "the store keeps all system calls: %s",
		        err.text);
	}
	while (!may_end(store)) {
		pulse_end(&store->pulse);
		queue_wait(&store->inbox, next_wake(store));
		pulse_begin(&store->pulse);
		turn(store, pack);
	}
	pulse_end(&store->pulse);
	free(pack);
}

bool
store_start(struct store *store, const struct store_listener *listener, struct error *err)
{
	store->listener = *listener;
	store->listening = true;
	(void)sqlite3_wal_hook(store->database, on_wal, store);
	remember_file(store);
	if (!thread_start(&store->thread, &store_thread, store_run, store, err)) {
		return false;
	}
	store->started = true;
	return true;
}

static void
drop_arrivals(struct arrival *arrival)
{
	while (arrival != NULL) {
		struct arrival *next = arrival->sibling;
		arrival_free(arrival);
		arrival = next;
	}
}

/* What could not be written is dropped; how many it was. The thread has ended. */
static int64_t
drop_waiting(struct store *store)
{
	int64_t count = 0;
	while (store->waiting != NULL) {
		struct intent *intent = store->waiting;
		store->waiting = intent->next;
		count++;
		if (intent->kind == INTENT_ARRIVAL) {
			drop_arrivals(CONTAINER(intent, struct arrival, intent));
		} else if (intent->kind == INTENT_RESULT) {
			struct result_intent *result =
				CONTAINER(intent, struct result_intent, intent);
			event_release(result->event);
			free(result->error);
			free(result->output);
			free(result);
		}
	}
	while (store->effects != NULL) {
		struct effect *effect = CONTAINER(store->effects, struct effect, intent);
		store->effects = effect->intent.next;
		effect->orphaned = true;
		count++;
		store->listener.effects(store->listener.context, &effect, 1);
	}
	return count;
}

int64_t
store_stop(struct store *store)
{
	if (store->started) {
		atomic_store(&store->stopping, true);
		queue_wake(&store->inbox);
		(void)pthread_join(store->thread, NULL);
		store->started = false;
	}
	return drop_waiting(store);
}

void
store_close(struct store *store)
{
	if (store == NULL) {
		return;
	}
	(void)store_stop(store);
	take_inbox(store); /* what came after the end */
	(void)drop_waiting(store);
	statements_finish(store);
	replays_finish(store);
	order_finish(store);
	if (store->database != NULL) {
		(void)sqlite3_close_v2(store->database);
	}
	for (size_t i = 0; i < STORE_HANDLERS_MOST; i++) {
		free(atomic_load(&store->names[i]));
	}
	reserve_close(&store->reserve);
	lock_mark(&store->lock, store->stored_seq, clock_wall_ns());
	lock_release(&store->lock);
	queue_finish(&store->inbox);
	(void)pthread_mutex_destroy(&store->text_lock);
	(void)pthread_mutex_destroy(&store->notes_lock);
	free(store->batch.due);
	free(store->batch.deltas);
	free(store->torn_log);
	free(store->path);
	free(store);
}

void
arrival_empty(struct arrival *arrival)
{
	for (size_t i = 0; i < arrival->wanted_count; i++) {
		free(arrival->wanted[i].order_key);
	}
	if (arrival->whole != NULL) {
		free(arrival->whole->body);
		free(arrival->whole);
	}
	event_release(arrival->event);
}

void
arrival_free(struct arrival *arrival)
{
	arrival_empty(arrival);
	free(arrival);
}

void
store_submit(struct store *store, struct intent *intent)
{
	queue_push(&store->inbox, &intent->item);
}

bool
store_submit_quietly(struct store *store, struct intent *intent)
{
	return queue_put(&store->inbox, &intent->item);
}

void
store_wake(struct store *store)
{
	queue_wake(&store->inbox);
}

bool
store_change(struct store *store, struct change *change, struct error *err)
{
	change->intent.kind = INTENT_CHANGE;
	change->over = false;
	(void)pthread_mutex_init(&change->lock, NULL);
	(void)pthread_cond_init(&change->ended, NULL);
	store_submit(store, &change->intent);
	(void)pthread_mutex_lock(&change->lock);
	while (!change->over) {
		(void)pthread_cond_wait(&change->ended, &change->lock);
	}
	(void)pthread_mutex_unlock(&change->lock);
	(void)pthread_cond_destroy(&change->ended);
	(void)pthread_mutex_destroy(&change->lock);
	if (!change->good) {
		*err = change->error;
	}
	return change->good;
}

void
store_pause_claims(struct store *store)
{
	atomic_store(&store->claims_paused, true);
	if (store->started) {
		struct change change = { .kind = CHANGE_NOTHING };
		struct error ignored;
		bool told = store_change(store, &change, &ignored);
		(void)told; /* over either way */
	}
}

/* --- what anybody may read --- */

bool
store_ready(const struct store *store, struct buffer *why)
{
	static const char *const names[] = { "good", "full", "busy", "broken" };
	int state = atomic_load(&store->state);
	int64_t busy_ns = pulse_age_ns(&store->pulse);
	if (state == STORE_GOOD && busy_ns < STORE_STUCK_NS) {
		return true;
	}
	if (state == STORE_GOOD) {
		buffer_format(why, "store stuck: the disk has not answered for %lld ms",
		              (long long)(busy_ns / NS_PER_MS));
		return false;
	}
	struct store *locked = (struct store *)(uintptr_t)store;
	(void)pthread_mutex_lock(&locked->text_lock);
	buffer_format(why, "store %s: %s", names[state], locked->why);
	(void)pthread_mutex_unlock(&locked->text_lock);
	return false;
}

int64_t
store_count(const struct store *store, int64_t handler, unsigned state)
{
	if (handler == 0) {
		return atomic_load(&store->totals[state]);
	}
	return handler > 0 && handler < STORE_HANDLERS_MOST
	               ? atomic_load(&store->counts[handler][state])
	               : 0;
}

int64_t
store_handler_ran_ns(const struct store *store, int64_t handler)
{
	return atomic_load(&store->ran_ns[handler]);
}

int64_t
store_handler_paused(const struct store *store, int64_t handler)
{
	int64_t until_ns = atomic_load(&store->paused[handler]);
	return until_ns > clock_wall_ns() ? until_ns : 0;
}

const char *
store_handler_name(const struct store *store, int64_t handler)
{
	return handler > 0 && handler < STORE_HANDLERS_MOST ? atomic_load(&store->names[handler])
	                                                    : NULL;
}

int64_t
store_handlers(const struct store *store)
{
	return atomic_load(&store->highest_handler);
}

int64_t
store_imbalance(const struct store *store)
{
	int64_t sum = 0;
	for (unsigned state = 0; state < DELIVERY_STATES; state++) {
		sum += atomic_load(&store->totals[state]);
	}
	int64_t off = atomic_load(&store->totals[LEDGER_RECEIVED]) - sum;
	int64_t audited = atomic_load(&store->imbalance);
	return audited != 0 ? audited : off;
}

void
store_set_imbalance(struct store *store, int64_t off)
{
	atomic_store(&store->imbalance, off);
}

bool
store_owned(const struct store *store, struct error *err)
{
	return !store->serving || lock_held(&store->lock, err);
}

bool
store_overloaded(const struct store *store, int64_t waiting)
{
	return waiting > atomic_load(&store->waiting_most);
}

bool
store_pressed(const struct store *store)
{
	return clock_boot_ns() < atomic_load(&store->busy_until_ns);
}

int64_t
store_busy_ns(const struct store *store)
{
	return pulse_age_ns(&store->pulse);
}

int64_t
store_commits(const struct store *store)
{
	return atomic_load(&store->commits);
}

const char *
store_path(const struct store *store)
{
	return store->path;
}

int64_t
store_wal_bytes(const struct store *store)
{
	char wal[4096];
	struct stat status;
	(void)snprintf(wal, sizeof(wal), "%s-wal", store->path);
	return stat(wal, &status) == 0 ? status.st_size : -1;
}

int64_t
store_free_bytes(const struct store *store)
{
	struct statvfs status;
	return statvfs(store->path, &status) == 0 ? (int64_t)(status.f_bavail * status.f_frsize)
	                                          : -1;
}

size_t
store_notes_after(struct store *store, int64_t number, struct done_note *notes, size_t room)
{
	size_t count = 0;
	(void)pthread_mutex_lock(&store->notes_lock);
	int64_t first = number + 1 > store->notes_last - STORE_NOTES + 1
	                        ? number + 1
	                        : store->notes_last - STORE_NOTES + 1;
	for (int64_t i = first < 1 ? 1 : first; i <= store->notes_last && count < room; i++) {
		notes[count++] = store->notes[i % STORE_NOTES];
	}
	(void)pthread_mutex_unlock(&store->notes_lock);
	return count;
}

int64_t
store_notes_last(struct store *store)
{
	(void)pthread_mutex_lock(&store->notes_lock);
	int64_t last = store->notes_last;
	(void)pthread_mutex_unlock(&store->notes_lock);
	return last;
}
