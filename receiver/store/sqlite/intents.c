/* What the writer does for each intent, inside a transaction. Every move of a delivery is one guarded UPDATE: a lost race
 * is a count of zero, not damage. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/store/sqlite/writer_priv.h"

void
batch_due(struct store *store, struct delivery_key key, int64_t due_ns, bool retry)
{
	struct batch *batch = &store->batch;
	if (batch->due_count == batch->due_room) {
		batch->due_room = batch->due_room == 0 ? 64 : batch->due_room * 2;
		batch->due = memory_resize(batch->due, batch->due_room * sizeof(*batch->due));
	}
	batch->due[batch->due_count++] = (struct due){ key, due_ns, retry };
}

/* --- arrivals --- */

static void
ON_THREAD(store_thread) add_job(struct store *store, struct delivery_key key, struct event *event,
                                int slot, bool at_most_once)
{
	struct job *job = memory_need(sizeof(*job));
	job->key = key;
	job->event = event_share(event);
	job->slot = slot;
	job->attempts = 1;
	job->first_failed_ran_ns = -1;
	job->at_most_once = at_most_once;
	*store->batch.jobs_tail = job;
	store->batch.jobs_tail = &job->next;
}

bool
insert_delivery(struct store *store, int64_t seq, int64_t handler, struct event *event,
                bool at_most_once, bool may_run, struct error *err)
{
	const struct store_listener *listener = &store->listener;
	struct delivery_key key = { seq, handler };
	int slot = -1;
	if (may_run && store->listening && store->claims_returned &&
	    !atomic_load(&store->claims_paused)) {
		slot = listener->take_slot(listener->context, handler);
	}
	enum delivery_state state = slot < 0       ? DELIVERY_PENDING
	                            : at_most_once ? DELIVERY_DONE
	                                           : DELIVERY_RUNNING;
	int64_t changes;
	if (!statement_run(store,
	                   statement_bind(store, SQL_DELIVERY_INSERT, "iiiiit", seq, handler,
	                                  (int64_t)state, (int64_t)(slot < 0 ? 0 : 1),
	                                  store->batch.now_ns,
	                                  state == DELIVERY_DONE ? "unknown" : NULL),
	                   &changes, err)) {
		if (slot >= 0) {
			listener->give_slot(listener->context, handler, slot);
		}
		return false;
	}
	ALWAYS(changes == 1, "delivery-is-new");
	ledger_add(store, seq, handler, LEDGER_RECEIVED, 1);
	ledger_add(store, seq, handler, state, 1);
	if (slot < 0) {
		batch_due(store, key, store->batch.now_ns, false);
	} else {
		add_job(store, key, event, slot, at_most_once);
	}
	return true;
}

static bool
ON_THREAD(store_thread)
	insert_deliveries(struct store *store, struct arrival *arrival, struct error *err)
{
	for (size_t i = 0; i < arrival->wanted_count; i++) {
		if (!insert_delivery(store, arrival->event->seq, arrival->wanted[i].handler,
		                     arrival->event, arrival->wanted[i].at_most_once, true, err)) {
			return false;
		}
	}
	return true;
}

bool
reopen_delivery(struct store *store, struct delivery_key key, enum delivery_state from,
                bool revival, bool *changed, struct error *err)
{
	int64_t changes;
	if (!statement_run(store,
	                   statement_bind(store, SQL_DELIVERY_REOPEN, "iiiii", key.seq, key.handler,
	                                  (int64_t)from, (int64_t)(revival ? 1 : 0),
	                                  store->batch.now_ns),
	                   &changes, err)) {
		return false;
	}
	*changed = changes == 1;
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
                                        struct error *err)
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
		if (state == DELIVERY_DEAD && revivals < STORE_REVIVALS_MOST &&
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
		                     true, &changed, err)) {
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
	                                  event->source, event->id, event->type, event->received_ns,
	                                  event->headers, hash, event->body),
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
	statement_reset(statement);
	event->seq = seq;
	return judge_duplicate(store, arrival, seq, err);
}

/* --- claims --- */

static bool
ON_THREAD(store_thread) bury(struct store *store, struct delivery_key key, const char *reason,
                             struct span output, struct error *err)
{
	return statement_run(store,
	                     statement_bind(store, SQL_DEAD_INSERT, "iitwb", key.seq, key.handler,
	                                    reason, store->batch.now_ns, output),
	                     NULL, err);
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
	       bury(store, claim->key, "corrupt", (struct span){ 0 }, err);
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
	sqlite3_stmt *statement =
		statement_bind(store, SQL_DELIVERY_CLAIM, "iiiti", claim->key.seq,
	                       claim->key.handler, (int64_t)to,
	                       claim->at_most_once ? "unknown" : NULL, claim->expected_due_ns);
	int code = statement_step(store, statement, err);
	if (code == SQLITE_ROW) {
		claim->claimed = true;
		claim->attempts = sqlite3_column_int64(statement, 0);
		claim->round = sqlite3_column_int64(statement, 1);
		claim->first_failed_ran_ns = sqlite3_column_type(statement, 2) == SQLITE_NULL
		                                     ? -1
		                                     : sqlite3_column_int64(statement, 2);
		code = statement_step(store, statement, err);
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	if (claim->claimed) {
		ledger_move(store, claim->key, DELIVERY_PENDING, to);
		return true;
	}
	statement =
		statement_bind(store, SQL_DELIVERY_DUE, "ii", claim->key.seq, claim->key.handler);
	code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	claim->later = code == SQLITE_ROW;
	claim->due_ns = claim->later ? sqlite3_column_int64(statement, 0) : 0;
	statement_reset(statement);
	return true;
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
			                      result->error_type == NULL ? "succeeded" : "failed",
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
		return true;
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

/* --- changes --- */

static bool
ON_THREAD(store_thread)
	apply_moves(struct store *store, struct change *change, enum delivery_state from,
                    enum delivery_state to, struct error *err)
{
	change->changed = 0;
	for (size_t i = 0; i < change->key_count; i++) {
		int64_t changes;
		struct delivery_key key = change->keys[i];
		if (!statement_run(store,
		                   statement_bind(store, SQL_DELIVERY_MOVE, "iiii", key.seq,
		                                  key.handler, (int64_t)from, (int64_t)to),
		                   &changes, err)) {
			return false;
		}
		if (changes == 1) {
			ledger_move(store, key, from, to);
			change->changed++;
		}
	}
	return statement_run(store,
	                     statement_bind(store, SQL_AUDIT, "wtttti", store->batch.now_ns,
	                                    change->who,
	                                    to == DELIVERY_DISCARDED ? "discard" : "restore",
	                                    change->filter, change->reason, change->changed),
	                     NULL, err);
}

static bool
ON_THREAD(store_thread) apply_change(struct store *store, struct change *change, struct error *err)
{
	switch (change->kind) {
	case CHANGE_REPLAY:
	case CHANGE_REPLAY_CANCEL: return apply_replay_change(store, change, err);
	case CHANGE_DISCARD:
		return apply_moves(store, change, DELIVERY_DEAD, DELIVERY_DISCARDED, err);
	case CHANGE_RESTORE:
		return apply_moves(store, change, DELIVERY_DISCARDED, DELIVERY_DEAD, err);
	case CHANGE_NAMES: return names_apply(store, change->names, err);
	}
	return true;
}

bool
apply_intent(struct store *store, struct intent *intent, struct error *err)
{
	switch (intent->kind) {
	case INTENT_ARRIVAL:
		return apply_arrival(store, CONTAINER(intent, struct arrival, intent), err);
	case INTENT_CLAIM: return apply_claim(store, CONTAINER(intent, struct claim, intent), err);
	case INTENT_RESULT:
		return apply_result(store, CONTAINER(intent, struct result_intent, intent), err);
	case INTENT_CHANGE:
		return apply_change(store, CONTAINER(intent, struct change, intent), err);
	}
	return true;
}

/* --- what a killed life left --- */

#define RETURN_SLICE 128

struct left {
	struct returned plan;
	int64_t round;
};

static bool
ON_THREAD(store_thread) return_one(struct store *store, struct left *left, struct error *err)
{
	static const char crashed[] = "crashed: the service ended in the middle of this try";
	struct returned *plan = &left->plan;
	char text[sizeof(crashed)];
	memcpy(text, crashed, sizeof(text));
	store->listener.returned(store->listener.context, plan);
	struct result_intent result = {
		.key = plan->key,
		.move = plan->dead ? MOVE_DEAD : MOVE_AGAIN,
		.round = left->round,
		.attempts = plan->attempts,
		.due_ns = plan->due_ns,
		.started_ns = store->batch.now_ns,
		.ran_ns = plan->ran_ns,
		.reason = "crashed",
		.error_type = "crashed",
		.error = text,
	};
	if (!plan->dead) {
		batch_due(store, plan->key, plan->due_ns, true);
	}
	return apply_result(store, &result, err);
}

bool
apply_returned(struct store *store, struct error *err)
{
	struct left left[RETURN_SLICE];
	size_t count = 0;
	sqlite3_stmt *statement = statement_bind(store, SQL_RUNNING_LIST, "");
	int code;
	while ((code = statement_step(store, statement, err)) == SQLITE_ROW &&
	       count < RETURN_SLICE) {
		bool first = sqlite3_column_type(statement, 4) == SQLITE_NULL;
		left[count++] = (struct left){
			.plan = { .key = { sqlite3_column_int64(statement, 0),
			                   sqlite3_column_int64(statement, 1) },
			          .attempts = sqlite3_column_int64(statement, 2),
			          .first_failed_ran_ns =
			                  first ? -1 : sqlite3_column_int64(statement, 4),
			          .ran_ns = sqlite3_column_int64(statement, 5) },
			.round = sqlite3_column_int64(statement, 3),
		};
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	for (size_t i = 0; i < count; i++) {
		if (!return_one(store, &left[i], err)) {
			return false;
		}
	}
	store->batch.last_returned = count < RETURN_SLICE;
	return true;
}
