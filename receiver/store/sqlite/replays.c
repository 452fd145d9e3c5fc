/* Replays: rows that the writer works off, a slice at a time, between the batches. A replay knows its filter, the last
 * thing that belongs to it, its position and its rate, so that it goes on after a restart where it stood. Each slice is a
 * transaction that moves the position too: whatever happens, each delivery is taken at most once by a replay. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "receiver/base/clock.h"
#include "receiver/base/units.h"
#include "receiver/log/log.h"
#include "receiver/store/sqlite/writer_priv.h"

#define SLICE_ROWS   128  /* deliveries that one slice moves; an event's are never parted */
#define SLICE_WINDOW 1024 /* ids that one slice may look at */

struct candidate {
	struct delivery_key key;
	int64_t position;
	enum delivery_state state;
	bool at_most_once;
	bool bodiless; /* purged or erased */
	int64_t first_failed_ns;
	int64_t due_ns; /* of its last try */
};

struct slice {
	struct replay *replay;
	size_t most;
	struct candidate *items; /* room for SLICE_ROWS and one event's */
	size_t count;
	int64_t position; /* after it */
	int64_t replayed;
	int64_t created;
	int64_t skipped;
	int64_t refused;
	bool over;
};

static void
replay_free(struct replay *replay)
{
	filter_finish(&replay->filter);
	free(replay->ids);
}

void
replays_finish(struct store *store)
{
	for (size_t i = 0; i < store->replay_count; i++) {
		replay_free(&store->replays[i]);
	}
	free(store->replays);
	store->replays = NULL;
	store->replay_count = 0;
}

static int64_t
handler_number(const struct store *store, const char *name)
{
	for (int64_t i = 1; i <= store_handlers(store); i++) {
		const char *known = store_handler_name(store, i);
		if (known != NULL && name != NULL && strcmp(known, name) == 0) {
			return i;
		}
	}
	return 0;
}

static const char load_sql[] =
	"SELECT id, kind, filter, ids, handler, states, again, rate, until, position, created_at FROM replay "
	"WHERE state = 'running' ORDER BY id";

static bool
load_one(struct store *store, sqlite3_stmt *statement)
{
	store->replays =
		memory_resize(store->replays, (store->replay_count + 1) * sizeof(*store->replays));
	struct replay *replay = &store->replays[store->replay_count];
	memset(replay, 0, sizeof(*replay));
	replay->id = sqlite3_column_int64(statement, 0);
	replay->of_dead = strcmp((const char *)sqlite3_column_text(statement, 1), "dead") == 0;
	replay->ids = memory_text((const char *)sqlite3_column_text(statement, 3));
	replay->handler = handler_number(store, (const char *)sqlite3_column_text(statement, 4));
	replay->states = (unsigned)sqlite3_column_int(statement, 5);
	replay->again = sqlite3_column_int(statement, 6) != 0;
	replay->rate = sqlite3_column_int64(statement, 7);
	replay->until = sqlite3_column_int64(statement, 8);
	replay->position = sqlite3_column_int64(statement, 9);
	if (!clock_parse(span_of((const char *)sqlite3_column_text(statement, 10)),
	                 &replay->created_ns)) {
		replay->created_ns = INT64_MAX;
	}
	struct error err;
	if (!filter_parse_query(&replay->filter,
	                        span_of((const char *)sqlite3_column_text(statement, 2)),
	                        clock_wall_ns(), &err)) {
		log_say(LOG_ERROR, "replay.unreadable", "replay %lld cannot be read: %s",
		        (long long)replay->id, err.text);
		replay_free(replay);
		return false;
	}
	replay->filter.limit = 0;
	store->replay_count++;
	return true;
}

bool
replays_load(struct store *store, struct error *err)
{
	sqlite3_stmt *statement;
	replays_finish(store);
	if (sqlite3_prepare_v2(store->database, load_sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, load_sql);
	}
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		(void)load_one(store, statement);
	}
	bool good = code == SQLITE_DONE || sqlite_error(err, store->database, load_sql);
	(void)sqlite3_finalize(statement);
	return good;
}

/* --- making and cancelling --- */

static bool
insert_replay(struct store *store, struct change *change, struct error *err)
{
	static const char sql[] =
		"INSERT INTO replay (kind, filter, ids, handler, states, again, rate, until, position, state, total, "
		"created_at, who, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 'running', ?9, ?10, ?11, ?12)";
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, sql);
	}
	bind_text(statement, 1, change->of_dead ? "dead" : "events");
	bind_text(statement, 2, change->filter);
	bind_text(statement, 3, change->ids);
	bind_text(statement, 4, change->handler);
	(void)sqlite3_bind_int64(statement, 5, (int64_t)change->states);
	(void)sqlite3_bind_int(statement, 6, change->again ? 1 : 0);
	(void)sqlite3_bind_int64(statement, 7, change->rate);
	(void)sqlite3_bind_int64(statement, 8, change->until);
	(void)sqlite3_bind_int64(statement, 9, change->total);
	bind_time(statement, 10, store->batch.now_ns);
	bind_text(statement, 11, change->who);
	bind_text(statement, 12, change->reason);
	bool good =
		sqlite3_step(statement) == SQLITE_DONE || sqlite_error(err, store->database, sql);
	(void)sqlite3_finalize(statement);
	change->id = sqlite3_last_insert_rowid(store->database);
	return good;
}

static bool
audit(struct store *store, const struct change *change, const char *action, struct error *err)
{
	return statement_run(store,
	                     statement_bind(store, SQL_AUDIT, "wtttti", store->batch.now_ns,
	                                    change->who, action, change->filter, change->reason,
	                                    change->changed),
	                     NULL, err);
}

bool
apply_replay_change(struct store *store, struct change *change, struct error *err)
{
	if (change->kind == CHANGE_REPLAY) {
		return insert_replay(store, change, err) && audit(store, change, "replay", err) &&
		       replays_load(store, err);
	}
	bool resumes = change->kind == CHANGE_REPLAY_RESUME;
	char sql[160];
	(void)snprintf(sql, sizeof(sql),
	               "UPDATE replay SET state = '%s' WHERE id = %lld AND state = '%s'",
	               resumes ? "running" : "cancelled", (long long)change->id,
	               resumes ? "cancelled" : "running");
	if (!sqlite_run(store->database, sql, err)) {
		return false;
	}
	change->changed = sqlite3_changes64(store->database);
	return audit(store, change, resumes ? "replay resume" : "replay cancel", err) &&
	       replays_load(store, err);
}

/* --- slices --- */

/* Names ?1 to ?3, so that the filter's parameters, which have no numbers, begin at ?4. */
static void
slice_sql(const struct replay *replay, struct buffer *sql)
{
	if (replay->of_dead) {
		buffer_text(
			sql,
			"SELECT l.seq, l.handler, l.id, d.state, d.outcome IS NOT NULL, typeof(e.body) = 'null', coalesce(d.first_failed_at, 0), coalesce(d.due, 0) FROM dead_letter AS l "
			"JOIN delivery AS d ON d.seq = l.seq AND d.handler = l.handler "
			"JOIN events AS e ON e.seq = l.seq JOIN handler AS h ON h.id = l.handler "
			"WHERE l.id > ?1 AND l.id <= ?2 AND ?3 IS ?3");
		if (replay->ids != NULL) {
			buffer_text(sql, " AND l.id IN (SELECT value FROM json_each(?3))");
		}
	} else if (replay->handler != 0) {
		buffer_text(
			sql,
			"SELECT e.seq, ?3, e.seq, coalesce(d.state, -1), d.outcome IS NOT NULL, typeof(e.body) = 'null', coalesce(d.first_failed_at, 0), coalesce(d.due, 0) FROM events AS e "
			"LEFT JOIN delivery AS d ON d.seq = e.seq AND d.handler = ?3 "
			"WHERE e.seq > ?1 AND e.seq <= ?2 AND ?3 IS ?3");
	} else {
		buffer_text(
			sql,
			"SELECT d.seq, d.handler, d.seq, d.state, d.outcome IS NOT NULL, typeof(e.body) = 'null', coalesce(d.first_failed_at, 0), coalesce(d.due, 0) FROM delivery AS d "
			"JOIN events AS e ON e.seq = d.seq JOIN handler AS h ON h.id = d.handler "
			"WHERE d.seq > ?1 AND d.seq <= ?2 AND ?3 IS ?3");
		if (replay->ids != NULL) {
			buffer_text(sql, " AND d.seq IN (SELECT value FROM json_each(?3))");
		}
	}
}

/* The rows of the next slice: about `most`, and all of the last position, because the replay goes on behind it. */
static int
slice_take(struct slice *slice, sqlite3_stmt *statement, bool *cut)
{
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct candidate item = {
			.key = { sqlite3_column_int64(statement, 0),
			         sqlite3_column_int64(statement, 1) },
			.position = sqlite3_column_int64(statement, 2),
			.state = (enum delivery_state)sqlite3_column_int(statement, 3),
			.at_most_once = sqlite3_column_int(statement, 4) != 0,
			.bodiless = sqlite3_column_int(statement, 5) != 0,
			.first_failed_ns = sqlite3_column_int64(statement, 6),
			.due_ns = sqlite3_column_int64(statement, 7),
		};
		if (slice->count >= slice->most &&
		    item.position != slice->items[slice->count - 1].position) {
			*cut = true;
			return SQLITE_DONE;
		}
		ALWAYS(slice->count < SLICE_ROWS + STORE_HANDLERS_MOST, "slice-room");
		slice->items[slice->count++] = item;
	}
	return code;
}

static bool
slice_rows(struct store *store, struct slice *slice, struct error *err)
{
	struct replay *replay = slice->replay;
	struct filter filter = replay->filter;
	filter.states = 0; /* judged one by one, so that what is skipped can be counted */
	filter.handler = replay->handler != 0 ? NULL : filter.handler;
	int64_t window = replay->ids != NULL ? INT64_MAX / 4 : SLICE_WINDOW;
	int64_t end = replay->until - replay->position < window ? replay->until
	                                                        : replay->position + window;
	struct buffer sql;
	buffer_init(&sql, 8192);
	slice_sql(replay, &sql);
	filter_sql(&filter, &sql);
	buffer_text(&sql, " ORDER BY 3");
	sqlite3_stmt *statement;
	bool good = sqlite3_prepare_v2(store->database, sql.data, (int)sql.size, &statement,
	                               NULL) == SQLITE_OK;
	buffer_finish(&sql);
	if (!good) {
		return sqlite_error(err, store->database, "replay");
	}
	(void)sqlite3_bind_int64(statement, 1, replay->position);
	(void)sqlite3_bind_int64(statement, 2, end);
	if (replay->ids != NULL) {
		bind_text(statement, 3, replay->ids);
	} else if (replay->handler != 0) {
		(void)sqlite3_bind_int64(statement, 3, replay->handler);
	}
	filter_bind(&filter, statement, 4);
	bool cut = false;
	good = slice_take(slice, statement, &cut) == SQLITE_DONE ||
	       sqlite_error(err, store->database, "replay");
	(void)sqlite3_finalize(statement);
	slice->position = cut ? slice->items[slice->count - 1].position : end;
	slice->over = slice->position >= replay->until;
	return good;
}

/* The stored event without its body's use elsewhere: for `on` and `when` of a handler that is filled from history. */
static bool
load_event(struct store *store, int64_t seq, struct event **ret, struct error *err)
{
	static const char sql[] = "SELECT source, event_id, type, body FROM events WHERE seq = ?1";
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, sql);
	}
	(void)sqlite3_bind_int64(statement, 1, seq);
	bool good =
		sqlite3_step(statement) == SQLITE_ROW || sqlite_error(err, store->database, sql);
	if (good) {
		size_t size = (size_t)sqlite3_column_bytes(statement, 3);
		char *body = memory_need(size + 1);
		if (size > 0) {
			memcpy(body, sqlite3_column_blob(statement, 3), size);
		}
		struct event_parts parts = {
			.source = span_of((const char *)sqlite3_column_text(statement, 0)),
			.id = span_of((const char *)sqlite3_column_text(statement, 1)),
			.type = span_of((const char *)sqlite3_column_text(statement, 2)),
			.body_block = body,
			.body_size = size
		};
		*ret = event_create(&parts);
		(*ret)->seq = seq;
	}
	(void)sqlite3_finalize(statement);
	return good;
}

static bool
ON_THREAD(store_thread) create_one(struct store *store, struct slice *slice,
                                   const struct candidate *item, struct error *err)
{
	const struct store_listener *listener = &store->listener;
	struct event *event = NULL;
	if (!load_event(store, item->key.seq, &event, err)) {
		return false;
	}
	bool good = true;
	struct wanted wanted = { .handler = item->key.handler };
	if (listener->wants(listener->context, item->key.handler, event, &wanted)) {
		slice->created++;
		good = insert_delivery(store, item->key.seq, &wanted, event, false, err) &&
		       (wanted.order_key == NULL || order_settle(store, item->key, err));
		free(wanted.order_key);
	}
	event_release(event);
	return good;
}

/* What became due after the replay was made was not among what it was made for: another replay, or its sender, has put
 * it back to work meanwhile. */
static bool
is_younger(const struct replay *replay, const struct candidate *item)
{
	return !replay->of_dead && replay->handler == 0 && item->due_ns > replay->created_ns;
}

static bool
ON_THREAD(store_thread) replay_one(struct store *store, struct slice *slice,
                                   const struct candidate *item, struct error *err)
{
	const struct replay *replay = slice->replay;
	if (item->bodiless && item->state != DELIVERY_PENDING && item->state != DELIVERY_RUNNING &&
	    ((int)item->state < 0 || (replay->states & (1U << item->state)) != 0)) {
		slice->refused++;
		return true;
	}
	if ((int)item->state < 0) {
		return create_one(store, slice, item, err);
	}
	if (item->state == DELIVERY_PENDING || item->state == DELIVERY_RUNNING ||
	    is_younger(replay, item) || order_is_tried(store, item->key.seq, item->key.handler) ||
	    (replay->states & (1U << item->state)) == 0) {
		/* A fill counted what is missing, and a replay of letters those that are dead: others are none of its business. */
		bool given_up =
			replay->of_dead && replay->ids == NULL && item->state == DELIVERY_DISCARDED;
		slice->skipped += replay->handler != 0 || given_up ? 0 : 1;
		return true;
	}
	const struct store_listener *listener = &store->listener;
	bool guarded = (item->state == DELIVERY_DONE && item->at_most_once) ||
	               listener->needs_again(listener->context, item->key.handler, item->state,
	                                     item->first_failed_ns);
	if (guarded && !replay->again) {
		slice->refused++;
		return true;
	}
	bool changed;
	bool fresh_key = replay->again && (guarded || item->state == DELIVERY_DONE);
	enum reopening how = fresh_key ? REOPEN_AGAIN : REOPEN_REPLAY;
	if (!reopen_delivery(store, item->key, item->state, how, &changed, err)) {
		return false;
	}
	slice->replayed += changed ? 1 : 0;
	return true;
}

/* At the end: what it was made for and did not find is what others took meanwhile. */
static bool
ON_THREAD(store_thread)
	count_taken(struct store *store, const struct replay *replay, struct error *err)
{
	char sql[256];
	(void)snprintf(
		sql, sizeof(sql),
		"UPDATE replay SET skipped = total - replayed - created - refused WHERE id = %lld "
		"AND replayed + created + refused + skipped < total",
		(long long)replay->id);
	return sqlite_run(store->database, sql, err);
}

static bool
ON_THREAD(store_thread) slice_work(struct store *store, void *context, struct error *err)
{
	struct slice *slice = context;
	struct replay *replay = slice->replay;
	if (!slice_rows(store, slice, err)) {
		return false;
	}
	int64_t end_ns = upkeep_end_ns(store);
	for (size_t i = 0; i < slice->count; i++) {
		if (i > 0 && slice->items[i].position != slice->items[i - 1].position &&
		    clock_boot_ns() > end_ns) {
			slice->position = slice->items[i - 1].position;
			slice->over = false;
			break;
		}
		if (!replay_one(store, slice, &slice->items[i], err)) {
			return false;
		}
	}
	char when[CLOCK_TEXT_BYTES];
	clock_text(store->batch.now_ns, when);
	char sql[640];
	(void)snprintf(
		sql, sizeof(sql),
		"UPDATE replay SET position = %lld, replayed = replayed + %lld, created = created + %lld, "
		"skipped = skipped + %lld, refused = refused + %lld%s%s%s WHERE id = %lld",
		(long long)slice->position, (long long)slice->replayed, (long long)slice->created,
		(long long)slice->skipped, (long long)slice->refused,
		slice->over ? ", state = 'done', finished_at = '" : "", slice->over ? when : "",
		slice->over ? "'" : "", (long long)replay->id);
	return sqlite_run(store->database, sql, err) &&
	       (!slice->over || count_taken(store, replay, err));
}

static size_t
allowance(const struct replay *replay)
{
	if (replay->rate == 0) {
		return SLICE_ROWS;
	}
	int64_t tenth =
		replay->rate / (10 * UNITS_RATE_PERIOD_S); /* what a tenth of a second allows */
	return tenth < 1 ? 1 : tenth > SLICE_ROWS ? SLICE_ROWS : (size_t)tenth;
}

static void
ON_THREAD(store_thread) step_one(struct store *store, struct replay *replay, bool *over)
{
	struct slice slice = { .replay = replay, .most = allowance(replay) };
	struct error err;
	*over = false;
	slice.items = memory_need((SLICE_ROWS + STORE_HANDLERS_MOST) * sizeof(*slice.items));
	bool good = writer_transaction(store, slice_work, &slice, &err);
	free(slice.items);
	if (!good) {
		replay->next_ns = clock_boot_ns() + NS_PER_S;
		return;
	}
	replay->position = slice.position;
	int64_t moved = slice.replayed + slice.created;
	replay->next_ns = replay->rate == 0 ? 0
	                                    : clock_boot_ns() + moved * UNITS_RATE_PERIOD_S *
	                                                                NS_PER_S / replay->rate;
	*over = slice.over;
	if (slice.over) {
		log_say(LOG_INFO, "replay.done", "replay %lld is done", (long long)replay->id);
	}
}

void
replays_step(struct store *store)
{
	for (size_t i = 0; i < store->replay_count;) {
		struct replay *replay = &store->replays[i];
		bool over = false;
		if (replay->next_ns <= clock_boot_ns()) {
			step_one(store, replay, &over);
		}
		if (!over) {
			i++;
			continue;
		}
		replay_free(replay);
		memmove(replay, replay + 1, (store->replay_count - i - 1) * sizeof(*replay));
		store->replay_count--;
	}
}

int64_t
replays_next(const struct store *store)
{
	int64_t next_ns = INT64_MAX;
	for (size_t i = 0; i < store->replay_count; i++) {
		next_ns = store->replays[i].next_ns < next_ns ? store->replays[i].next_ns : next_ns;
	}
	return next_ns;
}
