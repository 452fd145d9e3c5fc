/* What the writer does for each intent, inside a transaction. Every move of a delivery is one guarded UPDATE: a lost race
 * is a count of zero, not damage. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/store/sqlite/writer_priv.h"

#ifdef HOOKLATCH_NEGATIVE_COUNTED_AFTER
/* A build that must be caught: a try is counted with its result, and not before it begins. */
static void
count_try(struct store *store, struct delivery_key key, int by, struct error *err)
{
	char sql[160];
	(void)snprintf(sql, sizeof(sql),
	               "UPDATE delivery SET attempts = attempts + %d "
	               "WHERE seq = %lld AND handler = %lld AND state = 1",
	               by, (long long)key.seq, (long long)key.handler);
	ALWAYS(sqlite_run(store->database, sql, err), "negative-count");
}
#endif

void
batch_due(struct store *store, struct delivery_key key, int64_t due_ns, bool retry)
{
	struct batch *batch = &store->batch;
	if (batch->due_count == batch->due_room) {
		batch->due_room = batch->due_room == 0 ? 64 : batch->due_room * 2;
		batch->due = memory_resize(batch->due, batch->due_room * sizeof(*batch->due));
	}
	batch->due[batch->due_count++] = (struct due){ key, due_ns, retry, 0 };
}

/* --- arrivals --- */

/* When it was received. A clock that says less than what the purge goes by was set back: it would be purged as if it were old. */
static int64_t
age_from(const struct store *store, const struct event *event)
{
	return event->received_ns > store->purge.horizon_ns ? event->received_ns
	                                                    : store->purge.horizon_ns;
}

static void
ON_THREAD(store_thread) add_job(struct store *store, struct delivery_key key, struct event *event,
                                int slot, const struct wanted *wanted)
{
	struct job *job = memory_need(sizeof(*job));
	job->key = key;
	job->event = event_share(event);
	job->slot = slot;
	job->attempts = 1;
	job->first_failed_ran_ns = -1;
	job->due_ns = store->batch.now_ns;
	job->at_most_once = wanted->at_most_once;
	job->ordered = wanted->order_key != NULL;
	*store->batch.jobs_tail = job;
	store->batch.jobs_tail = &job->next;
}

bool
insert_delivery(struct store *store, int64_t seq, const struct wanted *wanted, struct event *event,
                bool may_run, struct error *err)
{
	const struct store_listener *listener = &store->listener;
	struct delivery_key key = { seq, wanted->handler };
	bool held = false;
	if (wanted->order_key != NULL &&
	    !order_is_blocked(store, wanted->handler, span_of(wanted->order_key), &held, err)) {
		return false;
	}
	int slot = -1;
	if (may_run && !held && store->listening && store->claims_returned &&
	    !atomic_load(&store->claims_paused)) {
		slot = listener->take_slot(listener->context, wanted->handler);
	}
	enum delivery_state state = slot < 0               ? DELIVERY_PENDING
	                            : wanted->at_most_once ? DELIVERY_DONE
	                                                   : DELIVERY_RUNNING;
	int64_t changes;
	if (!statement_run(store,
	                   statement_bind(store, SQL_DELIVERY_INSERT, "iiiiitti", seq,
	                                  wanted->handler, (int64_t)state,
	                                  (int64_t)(slot < 0 ? 0 : 1), store->batch.now_ns,
	                                  state == DELIVERY_DONE ? "unknown" : NULL,
	                                  wanted->order_key, (int64_t)(held ? 1 : 0)),
	                   &changes, err)) {
		if (slot >= 0) {
			listener->give_slot(listener->context, wanted->handler, slot);
		}
		return false;
	}
	ALWAYS(changes == 1, "delivery-is-new");
	ledger_add(store, seq, wanted->handler, LEDGER_RECEIVED, 1);
	ledger_add(store, seq, wanted->handler, state, 1);
	if (slot >= 0) {
#ifdef HOOKLATCH_NEGATIVE_COUNTED_AFTER
		count_try(store, key, -1, err);
#endif
		if (wanted->at_most_once) {
			order_try_begins(store, key, span_of(wanted->order_key));
		}
		add_job(store, key, event, slot, wanted);
	} else if (!held) {
		batch_due(store, key, store->batch.now_ns, false);
	}
	return true;
}

static bool
ON_THREAD(store_thread)
	insert_deliveries(struct store *store, struct arrival *arrival, struct error *err)
{
	for (size_t i = 0; i < arrival->wanted_count; i++) {
		if (!insert_delivery(store, arrival->event->seq, &arrival->wanted[i],
		                     arrival->event, true, err)) {
			return false;
		}
	}
	return true;
}

bool
reopen_delivery(struct store *store, struct delivery_key key, enum delivery_state from,
                enum reopening how, bool *changed, struct error *err)
{
	sqlite3_stmt *statement =
		statement_bind(store, SQL_DELIVERY_REOPEN, "iiiiii", key.seq, key.handler,
	                       (int64_t)from, (int64_t)(how == REOPEN_REVIVAL ? 1 : 0),
	                       store->batch.now_ns, (int64_t)(how == REOPEN_AGAIN ? 1 : 0));
	bool ordered = false;
	if (!statement_flag(store, statement, changed, &ordered, err)) {
		return false;
	}
	if (!*changed) {
		return true;
	}
	if (from != DELIVERY_DONE &&
	    !statement_run(store,
	                   statement_bind(store, SQL_DEAD_REMOVE, "ii", key.seq, key.handler), NULL,
	                   err)) {
		return false;
	}
	ledger_move(store, key, from, DELIVERY_PENDING);
	if (ordered) {
		return order_settle(store, key, err);
	}
	batch_due(store, key, store->batch.now_ns, true);
	return true;
}

/* How a duplicate stands: the first of running, pending, dead, discarded, done that any delivery is in. */
static unsigned
rank(enum delivery_state state)
{
	static const unsigned ranks[] = { [DELIVERY_RUNNING] = 0,
		                          [DELIVERY_PENDING] = 1,
		                          [DELIVERY_DEAD] = 2,
		                          [DELIVERY_DISCARDED] = 3,
		                          [DELIVERY_DONE] = 4 };
	return ranks[state];
}

#define DELIVERIES_MOST 1024 /* of one event: as many as there are handlers */

static bool
ON_THREAD(store_thread) judge_duplicate(struct store *store, struct arrival *arrival, int64_t seq,
                                        bool erased, struct error *err)
{
	const struct store_listener *listener = &store->listener;
	sqlite3_stmt *statement = statement_bind(store, SQL_DELIVERY_STATES, "i", seq);
	int64_t dead[DELIVERIES_MOST];
	size_t dead_count = 0;
	int code;
	while ((code = statement_step(store, statement, err)) == SQLITE_ROW) {
		int64_t handler = sqlite3_column_int64(statement, 0);
		enum delivery_state state = (enum delivery_state)sqlite3_column_int(statement, 1);
		int64_t revivals = sqlite3_column_int64(statement, 2);
		if (state == DELIVERY_DEAD && !erased && revivals < STORE_REVIVALS_MOST &&
		    dead_count < DELIVERIES_MOST && listener->exists(listener->context, handler)) {
			dead[dead_count++] = handler;
			state = DELIVERY_PENDING;
		}
		if (!arrival->has_state || rank(state) < rank(arrival->state)) {
			arrival->state = state;
		}
		arrival->has_state = true;
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	for (size_t i = 0; i < dead_count; i++) {
		bool changed;
		if (!reopen_delivery(store, (struct delivery_key){ seq, dead[i] }, DELIVERY_DEAD,
		                     REOPEN_REVIVAL, &changed, err)) {
			return false;
		}
		arrival->result = changed ? ARRIVAL_REVIVED : arrival->result;
	}
	return true;
}

static struct event_hash
column_hash(sqlite3_stmt *statement, int column)
{
	struct event_hash hash = { 0 };
	const void *data = sqlite3_column_blob(statement, column);
	if (data != NULL && sqlite3_column_bytes(statement, column) == (int)sizeof(hash)) {
		memcpy(&hash, data, sizeof(hash));
	}
	return hash;
}

static bool
ON_THREAD(store_thread)
	apply_arrival(struct store *store, struct arrival *arrival, struct error *err)
{
	struct event *event = arrival->event;
	struct span hash = { (const char *)&event->hash, sizeof(event->hash) };
	int64_t changes;
	arrival->has_state = false;
	arrival->conflict = false;
	if (!statement_run(store,
	                   statement_bind(store, SQL_EVENT_INSERT, "issswsbb", store->next_seq,
	                                  event->source, event->id, event->type,
	                                  age_from(store, event), event->headers, hash,
	                                  event->body),
	                   &changes, err)) {
		return false;
	}
	if (changes == 1) {
		event->seq = store->next_seq++;
		arrival->result = ARRIVAL_ACCEPTED;
		return insert_deliveries(store, arrival, err);
	}
	arrival->result = ARRIVAL_DUPLICATE;
	sqlite3_stmt *statement =
		statement_bind(store, SQL_EVENT_FIND, "ss", event->source, event->id);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	ALWAYS(code == SQLITE_ROW, "duplicate-is-there");
	int64_t seq = sqlite3_column_int64(statement, 0);
	arrival->conflict = !event_hash_equal(column_hash(statement, 1), event->hash);
	bool erased = sqlite3_column_int(statement, 2) != 0;
	statement_reset(statement);
	event->seq = seq;
	return judge_duplicate(store, arrival, seq, erased, err);
}

/* The body of a request with several events, once, and the places of those that are new. */
static bool
ON_THREAD(store_thread)
	keep_request(struct store *store, const struct arrival *first, struct error *err)
{
	const struct event *event = first->event;
	struct span body = { first->whole->body, first->whole->size };
	if (!statement_run(store,
	                   statement_bind(store, SQL_REQUEST_INSERT, "swib", event->source,
	                                  age_from(store, event), (int64_t)first->whole->events,
	                                  body),
	                   NULL, err)) {
		return false;
	}
	int64_t request = sqlite3_last_insert_rowid(store->database);
	for (const struct arrival *one = first; one != NULL; one = one->sibling) {
		if (one->result == ARRIVAL_ACCEPTED &&
		    !statement_run(store,
		                   statement_bind(store, SQL_REQUEST_EVENT, "iii", one->event->seq,
		                                  request, one->position),
		                   NULL, err)) {
			return false;
		}
	}
	return true;
}

/* All events of a request, in the one transaction. */
static bool
ON_THREAD(store_thread)
	apply_arrivals(struct store *store, struct arrival *first, struct error *err)
{
	bool any = false;
	for (struct arrival *one = first; one != NULL; one = one->sibling) {
		if (!apply_arrival(store, one, err)) {
			return false;
		}
		any = any || one->result == ARRIVAL_ACCEPTED;
	}
	return first->whole == NULL || !any || keep_request(store, first, err);
}

/* --- claims --- */

static bool
ON_THREAD(store_thread) bury(struct store *store, struct delivery_key key, const char *reason,
                             struct span output, struct error *err)
{
	return statement_run(store,
	                     statement_bind(store, SQL_DEAD_INSERT, "iitwb", key.seq, key.handler,
	                                    reason, store->batch.now_ns, output),
	                     NULL, err) &&
	       own_death(store, key, err);
}

/* No try is made with a body that has changed; the row says so beside those of the tries. */
static bool
ON_THREAD(store_thread) apply_corrupt(struct store *store, struct claim *claim, struct error *err)
{
	static const char text[] = "the stored body is not what was received";
	sqlite3_stmt *statement = statement_bind(store, SQL_DELIVERY_CORRUPT, "iit", claim->key.seq,
	                                         claim->key.handler, text);
	int code = statement_step(store, statement, err);
	bool moved = code == SQLITE_ROW;
	int64_t attempts = moved ? sqlite3_column_int64(statement, 0) : 0;
	int64_t round = moved ? sqlite3_column_int64(statement, 1) : 0;
	bool ordered = moved && sqlite3_column_int(statement, 2) != 0;
	if (moved) {
		code = statement_step(store, statement, err);
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	if (!moved) {
		return true;
	}
	ledger_move(store, claim->key, DELIVERY_PENDING, DELIVERY_DEAD);
	return statement_run(store,
	                     statement_bind(store, SQL_ATTEMPT_INSERT, "iiiiwitttbt",
	                                    claim->key.seq, claim->key.handler, round, attempts,
	                                    store->batch.now_ns, (int64_t)0, "failed", "corrupt",
	                                    text, (struct span){ 0 }, "corrupt"),
	                     NULL, err) &&
	       bury(store, claim->key, "corrupt", (struct span){ 0 }, err) &&
	       (!ordered || order_settle(store, claim->key, err));
}

/* All tries were made while nobody knew how many there may be: a crash came when the handler was not configured. */
static bool
ON_THREAD(store_thread) apply_exhausted(struct store *store, struct claim *claim, struct error *err)
{
	bool changed;
	bool ordered = false;
	claim->later = false;
	if (!statement_flag(store,
	                    statement_bind(store, SQL_DELIVERY_MOVE, "iiii", claim->key.seq,
	                                   claim->key.handler, (int64_t)DELIVERY_PENDING,
	                                   (int64_t)DELIVERY_DEAD),
	                    &changed, &ordered, err)) {
		return false;
	}
	if (!changed) {
		return true;
	}
	ledger_move(store, claim->key, DELIVERY_PENDING, DELIVERY_DEAD);
	return bury(store, claim->key, "attempts", (struct span){ 0 }, err) &&
	       (!ordered || order_settle(store, claim->key, err));
}

static bool
ON_THREAD(store_thread) apply_claim(struct store *store, struct claim *claim, struct error *err)
{
	claim->claimed = false;
	claim->later = false;
	if (claim->corrupt) {
		return apply_corrupt(store, claim, err);
	}
	if (atomic_load(&store->claims_paused)) {
		return true;
	}
	if (!store->claims_returned) { /* what runs now must not be taken for what a killed life left running */
		claim->later = true;
		claim->due_ns = claim->expected_due_ns;
		return true;
	}
	enum delivery_state to = claim->at_most_once ? DELIVERY_DONE : DELIVERY_RUNNING;
	sqlite3_stmt *statement = statement_bind(store, SQL_DELIVERY_CLAIM, "iiitii",
	                                         claim->key.seq, claim->key.handler, (int64_t)to,
	                                         claim->at_most_once ? "unknown" : NULL,
	                                         claim->expected_due_ns, claim->attempts_most);
	int code = statement_step(store, statement, err);
	if (code == SQLITE_ROW) {
		claim->claimed = true;
		claim->attempts = sqlite3_column_int64(statement, 0);
		claim->round = sqlite3_column_int64(statement, 1);
		claim->first_failed_ran_ns = sqlite3_column_type(statement, 2) == SQLITE_NULL
		                                     ? -1
		                                     : sqlite3_column_int64(statement, 2);
		claim->key_round = sqlite3_column_int64(statement, 3);
		claim->ordered = sqlite3_column_int(statement, 4) != 0;
		code = statement_step(store, statement, err);
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	if (claim->claimed) {
#ifdef HOOKLATCH_NEGATIVE_COUNTED_AFTER
		count_try(store, claim->key, -1, err);
#endif
		ledger_move(store, claim->key, DELIVERY_PENDING, to);
		return !claim->at_most_once || order_try_of(store, claim->key, err);
	}
	statement =
		statement_bind(store, SQL_DELIVERY_DUE, "ii", claim->key.seq, claim->key.handler);
	code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	claim->later = code == SQLITE_ROW;
	claim->due_ns = claim->later ? sqlite3_column_int64(statement, 0) : 0;
	claim->retry = claim->later ? sqlite3_column_int(statement, 1) != 0 : claim->retry;
	bool exhausted = claim->later && sqlite3_column_int64(statement, 2) >= claim->attempts_most;
	statement_reset(statement);
	return !exhausted || apply_exhausted(store, claim, err);
}

/* --- results --- */

static bool
ON_THREAD(store_thread)
	record_attempt(struct store *store, const struct result_intent *result, struct error *err)
{
	bool succeeded = result->move == MOVE_DONE && result->error_type == NULL;
	if (result->move == MOVE_GIVE_BACK || (succeeded && !result->retried)) {
		return true;
	}
	struct span output = { result->output, result->output_size };
	return statement_run(store,
	                     statement_bind(store, SQL_ATTEMPT_INSERT, "iiiiwitttbt",
	                                    result->key.seq, result->key.handler, result->round,
	                                    result->attempts, result->started_ns,
	                                    result->duration_ns / NS_PER_MS,
	                                    succeeded ? "succeeded" : "failed", result->error_type,
	                                    result->error, output,
	                                    result->move == MOVE_DEAD ? result->reason : NULL),
	                     NULL, err);
}

static sqlite3_stmt *
ON_THREAD(store_thread) move_statement(struct store *store, const struct result_intent *result)
{
	int64_t seq = result->key.seq;
	int64_t handler = result->key.handler;
	switch (result->move) {
	case MOVE_DONE:
		if (result->at_most_once) {
			return statement_bind(store, SQL_DELIVERY_OUTCOME, "iiiitt", seq, handler,
			                      result->round, result->attempts,
			                      result->unknown              ? "unknown"
			                      : result->error_type == NULL ? "succeeded"
			                                                   : "failed",
			                      result->error);
		}
		return statement_bind(store, SQL_DELIVERY_DONE, "iiii", seq, handler, result->round,
		                      result->attempts);
	case MOVE_AGAIN:
		return statement_bind(store, SQL_DELIVERY_AGAIN, "iiiiitii", seq, handler,
		                      result->round, result->attempts, result->due_ns,
		                      result->error, result->started_ns + result->duration_ns,
		                      result->ran_ns);
	case MOVE_DEAD:
		return statement_bind(store, SQL_DELIVERY_DEAD, "iiiiti", seq, handler,
		                      result->round, result->attempts, result->error,
		                      result->started_ns + result->duration_ns);
	case MOVE_GIVE_BACK:
		return statement_bind(store, SQL_DELIVERY_GIVE_BACK, "iiiii", seq, handler,
		                      result->round, result->attempts, result->due_ns);
	}
	return NULL;
}

static void
ON_THREAD(store_thread) note_done(struct store *store, const struct result_intent *result)
{
	struct batch *batch = &store->batch;
	if (batch->note_count < COUNT(batch->notes)) {
		batch->notes[batch->note_count++] =
			(struct done_note){ .at_ns = store->batch.now_ns,
			                    .seq = result->key.seq,
			                    .handler = result->key.handler,
			                    .attempts = result->attempts,
			                    .duration_ns = result->duration_ns };
	}
}

static bool
ON_THREAD(store_thread)
	settle_ledger(struct store *store, const struct result_intent *result, struct error *err)
{
	switch (result->move) {
	case MOVE_DONE:
		if (!result->at_most_once) {
			ledger_move(store, result->key, DELIVERY_RUNNING, DELIVERY_DONE);
		}
		note_done(store, result);
		return true;
	case MOVE_AGAIN:
	case MOVE_GIVE_BACK:
		ledger_move(store, result->key, DELIVERY_RUNNING, DELIVERY_PENDING);
		return true;
	case MOVE_DEAD:
		ledger_move(store, result->key, DELIVERY_RUNNING, DELIVERY_DEAD);
		return bury(store, result->key, result->reason,
		            (struct span){ result->output, result->output_size }, err);
	}
	return true;
}

bool
apply_result(struct store *store, const struct result_intent *result, struct error *err)
{
	int64_t changes;
	if (!statement_run(store, move_statement(store, result), &changes, err)) {
		return false;
	}
	if (changes ==
	    0) { /* the delivery was taken from this try; what it did stands in the log */
		log_say(LOG_WARN, "attempt.orphaned",
		        "a try ended after its delivery had moved on (sequence %lld)",
		        (long long)result->key.seq);
		return !result->at_most_once || order_try_orphaned(store, result->key, err);
	}
	if (!record_attempt(store, result, err)) {
		return false;
	}
	if (result->error_type != NULL && result->move != MOVE_GIVE_BACK &&
	    !statement_run(store,
	                   statement_bind(store, SQL_HANDLER_RAN, "ii", result->key.handler,
	                                  result->ran_ns),
	                   NULL, err)) {
		return false;
	}
	if (!settle_ledger(store, result, err)) {
		return false;
	}
	if (result->at_most_once) {
		order_try_ends(store, result->key);
	}
	return !result->ordered || order_settle(store, result->key, err);
}

/* --- changes --- */

static bool
audit_moves(struct store *store, const struct change *change, const char *action, struct error *err)
{
	return statement_run(store,
	                     statement_bind(store, SQL_AUDIT, "wtttti", store->batch.now_ns,
	                                    change->who, action, change->filter, change->reason,
	                                    change->changed),
	                     NULL, err);
}

static bool
ON_THREAD(store_thread)
	apply_moves(struct store *store, struct change *change, enum delivery_state from,
                    enum delivery_state to, struct error *err)
{
	change->changed = 0;
	for (size_t i = 0; i < change->key_count; i++) {
		bool changed;
		bool ordered = false;
		struct delivery_key key = change->keys[i];
		if (!statement_flag(store,
		                    statement_bind(store, SQL_DELIVERY_MOVE, "iiii", key.seq,
		                                   key.handler, (int64_t)from, (int64_t)to),
		                    &changed, &ordered, err)) {
			return false;
		}
		if (changed) {
			ledger_move(store, key, from, to);
			change->changed++;
		}
		if (ordered && !order_settle(store, key, err)) {
			return false;
		}
	}
	return audit_moves(store, change,
	                   to == DELIVERY_DEAD          ? "restore"
	                   : change->kind == CHANGE_END ? "end"
	                                                : "discard",
	                   err);
}

/* Key and states stay; what is still to be handled needs its body. */
static bool
ON_THREAD(store_thread) apply_erase(struct store *store, struct change *change, struct error *err)
{
	change->changed = 0;
	for (size_t i = 0; i < change->key_count; i++) {
		bool erased;
		if (!erase_finished(store, change->keys[i].seq, &erased, err)) {
			return false;
		}
		change->changed += erased ? 1 : 0;
	}
	return audit_moves(store, change, "erase", err);
}

static bool
ON_THREAD(store_thread) apply_change(struct store *store, struct change *change, struct error *err)
{
	switch (change->kind) {
	case CHANGE_REPLAY:
	case CHANGE_REPLAY_CANCEL:
	case CHANGE_REPLAY_RESUME: return apply_replay_change(store, change, err);
	case CHANGE_END:
		return apply_moves(store, change, DELIVERY_PENDING, DELIVERY_DISCARDED, err);
	case CHANGE_ERASE: return apply_erase(store, change, err);
	case CHANGE_DISCARD:
		return apply_moves(store, change, DELIVERY_DEAD, DELIVERY_DISCARDED, err);
	case CHANGE_RESTORE:
		return apply_moves(store, change, DELIVERY_DISCARDED, DELIVERY_DEAD, err);
	case CHANGE_NAMES: return names_apply(store, change->names, err);
	case CHANGE_ORDER: return order_settle_slice(store, change, err);
	case CHANGE_PAUSE:
	case CHANGE_RESUME: return apply_pause(store, change, err);
	case CHANGE_TAKE: return apply_take(store, change, err);
	case CHANGE_LEASE: return apply_lease(store, change, err);
	case CHANGE_NOTHING: return true;
	case CHANGE_SETUP: break; /* effects.c: in a transaction of its own */
	}
	return true;
}

bool
apply_intent(struct store *store, struct intent *intent, struct error *err)
{
	switch (intent->kind) {
	case INTENT_ARRIVAL:
		return apply_arrivals(store, CONTAINER(intent, struct arrival, intent), err);
	case INTENT_CLAIM: return apply_claim(store, CONTAINER(intent, struct claim, intent), err);
	case INTENT_RESULT:
#ifdef HOOKLATCH_NEGATIVE_COUNTED_AFTER
		count_try(store, CONTAINER(intent, struct result_intent, intent)->key, 1, err);
#endif
		return apply_result(store, CONTAINER(intent, struct result_intent, intent), err);
	case INTENT_CHANGE:
		return apply_change(store, CONTAINER(intent, struct change, intent), err);
	case INTENT_EFFECT: break; /* effects.c: never in a transaction with others */
	}
	return true;
}

/* --- what a killed life left, and leases that are over --- */

#define RETURN_SLICE 128

struct left {
	struct returned plan;
	int64_t round;
	bool ordered;
};

static bool
ON_THREAD(store_thread) return_one(struct store *store, struct left *left, const char *type,
                                   const char *text, struct error *err)
{
	struct returned *plan = &left->plan;
	char *error = memory_text(text);
	struct result_intent result = {
		.key = plan->key,
		.move = plan->dead ? MOVE_DEAD : MOVE_AGAIN,
		.ordered = left->ordered,
		.round = left->round,
		.attempts = plan->attempts,
		.due_ns = plan->due_ns,
		.started_ns = store->batch.now_ns,
		.ran_ns = plan->ran_ns,
		.reason = type,
		.error_type = type,
		.error = error,
	};
	bool good = apply_result(store, &result, err);
	free(error);
	if (good && !plan->dead && !left->ordered) {
		batch_due(store, plan->key, plan->due_ns, true);
	}
	return good;
}

static bool
take_left(struct store *store, sqlite3_stmt *statement, struct left *left, size_t *count,
          struct error *err)
{
	int code;
	*count = 0;
	while ((code = statement_step(store, statement, err)) == SQLITE_ROW &&
	       *count < RETURN_SLICE) {
		bool first = sqlite3_column_type(statement, 4) == SQLITE_NULL;
		left[(*count)++] = (struct left){
			.plan = { .key = { sqlite3_column_int64(statement, 0),
			                   sqlite3_column_int64(statement, 1) },
			          .attempts = sqlite3_column_int64(statement, 2),
			          .first_failed_ran_ns =
			                  first ? -1 : sqlite3_column_int64(statement, 4),
			          .ran_ns = sqlite3_column_int64(statement, 5) },
			.round = sqlite3_column_int64(statement, 3),
			.ordered = sqlite3_column_int(statement, 6) != 0,
		};
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	return true;
}

bool
apply_returned(struct store *store, struct error *err)
{
	struct left left[RETURN_SLICE];
	size_t count;
	if (!take_left(store, statement_bind(store, SQL_RUNNING_LIST, ""), left, &count, err)) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		store->listener.returned(store->listener.context, &left[i].plan);
		if (!return_one(store, &left[i], "crashed",
		                "crashed: the service ended in the middle of this try", err)) {
			return false;
		}
	}
	store->batch.last_returned = count < RETURN_SLICE;
	return true;
}

bool
apply_leases_over(struct store *store, struct error *err)
{
	struct left left[RETURN_SLICE];
	size_t count;
	if (!take_left(store, statement_bind(store, SQL_LEASE_OVER, "i", leases_now(store)), left,
	               &count, err)) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		store->listener.lease_over(store->listener.context, &left[i].plan);
		if (!return_one(store, &left[i], "lease_expired",
		                "lease_expired: not acknowledged within its visibility", err)) {
			return false;
		}
	}
	return leases_next(store, err);
}
