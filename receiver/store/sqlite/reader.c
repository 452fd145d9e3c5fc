#include "receiver/store/reader.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/store/sqlite/writer_priv.h"

#define EXPORT_IDS     64   /* a parameter behind those of any filter */
#define RARE_SOURCE    63   /* the same */
#define RARE_MOST      1000 /* events of a source that are found by its index */
#define PROGRESS_STEPS 1000 /* virtual machine steps between looks at the clock */
/* Ids that one query of a long walk goes through: none pins the log for long, and each has the time limit for itself. */
#define WALK_WINDOW 100000
/* While the store is pressed: how long a reader runs, and how long it then leaves the machine to the store. */
#define PACE_RUN_NS   NS_PER_MS
#define PACE_PAUSE_NS (4 * NS_PER_MS)

struct reader {
	sqlite3 *database;
	sqlite3_stmt *due;
	sqlite3_stmt *event;
	int64_t limit_ns;
	int64_t until_ns; /* boot time; 0: no limit */
	const struct store *paced_by;
	int64_t paused_ns; /* boot time of the end of the last pause */
	char *path;
};

static int
on_progress(void *context)
{
	struct reader *reader = context;
	int64_t now_ns = clock_boot_ns();
	if (reader->paced_by != NULL && now_ns - reader->paused_ns > PACE_RUN_NS) {
		if (store_pressed(reader->paced_by)) {
			struct timespec pause = { 0, PACE_PAUSE_NS };
			(void)nanosleep(&pause, NULL);
			reader->until_ns += reader->until_ns == 0 ? 0 : PACE_PAUSE_NS;
		}
		reader->paused_ns = clock_boot_ns();
	}
	return reader->until_ns != 0 && now_ns > reader->until_ns;
}

static bool
failed(struct reader *reader, const char *what, struct error *err)
{
	int code = sqlite3_extended_errcode(reader->database) & 0xff;
	if (code == SQLITE_INTERRUPT) {
		return error_set(err, ERROR_LIMIT, "%s: took longer than it may; narrow the filter",
		                 what);
	}
	return sqlite_error(err, reader->database, what);
}

bool
reader_open(struct reader **ret, const char *path, struct error *err)
{
	struct reader *reader = memory_need(sizeof(*reader));
	reader->path = memory_text(path);
	if (sqlite3_open_v2(path, &reader->database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
	                    NULL) != SQLITE_OK) {
		(void)sqlite_error(err, reader->database, "cannot open the store");
		(void)error_prefix(err, "%s", path);
		reader_close(reader);
		return false;
	}
	(void)sqlite3_db_config(reader->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_busy_timeout(reader->database, SQLITE_BUSY_MS);
	sqlite3_progress_handler(reader->database, PROGRESS_STEPS, on_progress, reader);
	int64_t version;
	int64_t application;
	if (!filter_functions(reader->database, err) ||
	    !sqlite_number(reader->database, "PRAGMA application_id", &application, err) ||
	    !sqlite_number(reader->database, "SELECT max(version) FROM schema_migrations", &version,
	                   err)) {
		(void)error_prefix(err, "%s", path);
		reader_close(reader);
		return false;
	}
	if (application != SQLITE_APPLICATION_ID || version != migrate_newest()) {
		(void)error_set(
			err, ERROR_REFUSED,
			"%s has schema version %lld, this program reads %d; run `hooklatch migrate`",
			path, (long long)version, migrate_newest());
		reader_close(reader);
		return false;
	}
	*ret = reader;
	return true;
}

void
reader_close(struct reader *reader)
{
	if (reader == NULL) {
		return;
	}
	(void)sqlite3_finalize(reader->due);
	(void)sqlite3_finalize(reader->event);
	(void)sqlite3_close_v2(reader->database);
	free(reader->path);
	free(reader);
}

void
reader_limit(struct reader *reader, int64_t ns)
{
	reader->limit_ns = ns;
}

void
reader_pace(struct reader *reader, const struct store *store)
{
	reader->paced_by = store;
}

static sqlite3_stmt *
prepare(struct reader *reader, const char *sql, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	reader->paused_ns = clock_boot_ns();
	reader->until_ns = reader->limit_ns == 0 ? 0 : reader->paused_ns + reader->limit_ns;
	if (sqlite3_prepare_v2(reader->database, sql, -1, &statement, NULL) != SQLITE_OK) {
		(void)failed(reader, "query", err);
		return NULL;
	}
	return statement;
}

/* NULL is a span without data. */
static struct span
column_span(sqlite3_stmt *statement, int column)
{
	const void *data = sqlite3_column_blob(statement, column);
	size_t size = (size_t)sqlite3_column_bytes(statement, column);
	if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
		return (struct span){ NULL, 0 };
	}
	return (struct span){ data == NULL ? "" : data, size };
}

/* --- for dispatch --- */

bool
reader_due(struct reader *reader, int64_t handler, bool retry, struct due *items, size_t room,
           size_t *count, struct error *err)
{
	static const char sql[] =
		"SELECT seq, due FROM delivery WHERE handler = ?1 AND retry = ?2 AND state = 0 AND held = 0 "
		"ORDER BY due LIMIT ?3";
	if (reader->due == NULL && (reader->due = prepare(reader, sql, err)) == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(reader->due, 1, handler);
	(void)sqlite3_bind_int(reader->due, 2, retry ? 1 : 0);
	(void)sqlite3_bind_int64(reader->due, 3, (int64_t)room);
	size_t found = 0;
	while (found < room && sqlite3_step(reader->due) == SQLITE_ROW) {
		items[found++] =
			(struct due){ .key = { sqlite3_column_int64(reader->due, 0), handler },
			              .due_ns = sqlite3_column_int64(reader->due, 1),
			              .retry = retry };
	}
	bool good = found == room || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "due deliveries", err);
	(void)sqlite3_reset(reader->due);
	*count = found;
	return good;
}

bool
reader_event(struct reader *reader, int64_t seq, struct event **ret, bool *intact,
             struct error *err)
{
	static const char sql[] =
		"SELECT source, event_id, type, received_at, headers, hash, body FROM events WHERE seq = ?1";
	if (reader->event == NULL && (reader->event = prepare(reader, sql, err)) == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(reader->event, 1, seq);
	int code = sqlite3_step(reader->event);
	if (code != SQLITE_ROW) {
		bool absent = code == SQLITE_DONE;
		(void)sqlite3_reset(reader->event);
		return absent ? error_set(err, ERROR_NOT_FOUND, "the event is not in the store")
		              : failed(reader, "event", err);
	}
	struct span headers = column_span(reader->event, 4);
	struct span hash = column_span(reader->event, 5);
	struct span body = column_span(reader->event, 6);
	struct event_parts parts = { .source = column_span(reader->event, 0),
		                     .id = column_span(reader->event, 1),
		                     .type = column_span(reader->event, 2),
		                     .headers = headers,
		                     .body_block = span_copy(body),
		                     .body_size = body.size };
	if (!clock_parse(column_span(reader->event, 3), &parts.received_ns)) {
		parts.received_ns = 0;
	}
	struct event *event = event_create(&parts);
	event->seq = seq;
	*intact =
		hash.size == sizeof(event->hash) && memcmp(hash.data, &event->hash, hash.size) == 0;
	(void)sqlite3_reset(reader->event);
	*ret = event;
	return true;
}

static bool
snapshot_number(struct reader *reader, const char *sql, int64_t argument, int64_t *ret,
                struct error *err)
{
	sqlite3_stmt *statement = prepare(reader, sql, err);
	if (statement == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(statement, 1, argument);
	int code = sqlite3_step(statement);
	bool good = code == SQLITE_ROW || code == SQLITE_DONE;
	if (good) {
		*ret = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	} else {
		(void)failed(reader, "audit", err);
	}
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_audit(struct reader *reader, int64_t segment, int64_t *off, struct error *err)
{
	/* One statement is one snapshot: what the rows say, less what the ledger says, cell by cell. */
	static const char sql[] =
		"SELECT count(*) FROM (SELECT handler, state, sum(n) AS n FROM ("
		"SELECT handler, state, count(*) AS n FROM delivery WHERE seq >= ?1 << 16 AND seq < (?1 + 1) << 16 "
		"GROUP BY handler, state UNION ALL "
		"SELECT handler, 5, count(*) FROM delivery WHERE seq >= ?1 << 16 AND seq < (?1 + 1) << 16 GROUP BY handler "
		"UNION ALL SELECT handler, state, -count FROM ledger WHERE segment = ?1) "
		"GROUP BY handler, state HAVING sum(n) <> 0)";
	return snapshot_number(reader, sql, segment, off, err);
}

bool
reader_segments(struct reader *reader, int64_t *highest, struct error *err)
{
	return snapshot_number(reader, "SELECT coalesce(max(segment), -1) + ?1 FROM ledger", 0,
	                       highest, err);
}

/* --- long walks --- */

/* The ids that a walk over a table goes through: behind *first, up to *last. */
static bool
walk_ends(struct reader *reader, bool letters, int64_t *first, int64_t *last, struct error *err)
{
	return snapshot_number(reader,
	                       letters ? "SELECT coalesce(min(id), ?1) - 1 FROM dead_letter"
	                               : "SELECT coalesce(min(seq), ?1) - 1 FROM events",
	                       1, first, err) &&
	       snapshot_number(reader,
	                       letters ? "SELECT coalesce(max(id), ?1) FROM dead_letter"
	                               : "SELECT coalesce(max(seq), ?1) FROM events",
	                       0, last, err);
}

/* --- lists --- */

static bool
walk_events(struct reader *reader, sqlite3_stmt *statement, bool whole, event_row_fn *row,
            void *context, struct error *err)
{
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		struct event_row event = { .seq = sqlite3_column_int64(statement, 0),
			                   .source = column_span(statement, 1),
			                   .id = column_span(statement, 2),
			                   .type = column_span(statement, 3),
			                   .received_at = column_span(statement, 4),
			                   .size = sqlite3_column_int64(statement, 5) };
		if (whole) {
			event.headers = column_span(statement, 6);
			event.body = column_span(statement, 7);
		}
		go_on = row(context, &event);
	}
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "events", err);
	(void)sqlite3_finalize(statement);
	return good;
}

static bool
needs_delivery(const struct filter *filter)
{
	return filter->handler != NULL || filter->states != 0 || filter->error != NULL;
}

/* "FROM events AS e WHERE …" with the filter's conditions, through its deliveries where it asks for them. */
static void
events_where(const struct filter *filter, struct buffer *sql)
{
	buffer_text(sql, " FROM events AS e WHERE 1");
	if (needs_delivery(filter)) {
		buffer_text(
			sql,
			" AND EXISTS (SELECT 1 FROM delivery AS d JOIN handler AS h ON h.id = d.handler "
			"WHERE d.seq = e.seq");
		filter_sql(filter, sql);
		buffer_byte(sql, ')');
	} else {
		filter_sql(filter, sql);
	}
}

/* A source that has few events, or none: its index finds them at once, where a walk would go through all the others. */
static bool
source_is_rare(struct reader *reader, const struct filter *filter, bool *rare, struct error *err)
{
	*rare = false;
	if (filter->source == NULL || strchr(filter->source, '*') != NULL) {
		return true;
	}
	sqlite3_stmt *statement =
		prepare(reader,
	                "SELECT count(*) FROM (SELECT 1 FROM events WHERE source = ?1 LIMIT ?2)",
	                err);
	if (statement == NULL) {
		return false;
	}
	bind_text(statement, 1, filter->source);
	(void)sqlite3_bind_int(statement, 2, RARE_MOST + 1);
	bool good = sqlite3_step(statement) == SQLITE_ROW || failed(reader, "source", err);
	*rare = good && sqlite3_column_int(statement, 0) <= RARE_MOST;
	(void)sqlite3_finalize(statement);
	return good;
}

/* What a list of events asks for, and what became of it. */
struct walk {
	const struct filter *filter;
	const char *ids; /* JSON, or NULL */
	bool whole;      /* headers and bodies too */
	bool newest_first;
	bool rare;
	int64_t left; /* rows that are still wanted */
	event_row_fn *row;
	void *context;
};

static bool
on_walked(void *context, const struct event_row *row)
{
	struct walk *walk = context;
	walk->left--;
	if (!walk->row(walk->context, row)) {
		walk->left = 0;
	}
	return walk->left > 0;
}

/* The rows behind `after`, up to `until`. */
static bool
walk_window(struct reader *reader, struct walk *walk, int64_t after, int64_t until,
            struct error *err)
{
	struct buffer sql;
	buffer_init(&sql, 8192);
	buffer_text(&sql,
	            "SELECT e.seq, e.source, e.event_id, e.type, e.received_at, length(e.body)");
	buffer_text(&sql, walk->whole ? ", e.headers, e.body" : "");
	events_where(walk->filter, &sql);
	if (walk->ids != NULL) {
		buffer_format(&sql, " AND e.seq IN (SELECT value FROM json_each(?%d))", EXPORT_IDS);
	}
	if (walk->rare) {
		buffer_format(&sql, " AND e.seq IN (SELECT seq FROM events WHERE source = ?%d)",
		              RARE_SOURCE);
	}
	buffer_format(&sql, " AND e.seq > %lld AND e.seq <= %lld ORDER BY e.seq%s LIMIT %lld",
	              (long long)after, (long long)until, walk->newest_first ? " DESC" : "",
	              (long long)walk->left);
	buffer_byte(&sql, '\0');
	sqlite3_stmt *statement = prepare(reader, sql.data, err);
	buffer_finish(&sql);
	if (statement == NULL) {
		return false;
	}
	filter_bind(walk->filter, statement, 1);
	if (walk->ids != NULL) {
		bind_text(statement, EXPORT_IDS, walk->ids);
	}
	if (walk->rare) {
		bind_text(statement, RARE_SOURCE, walk->filter->source);
	}
	return walk_events(reader, statement, walk->whole, on_walked, walk, err);
}

static bool
walk_all(struct reader *reader, struct walk *walk, int64_t after, struct error *err)
{
	int64_t first = 0;
	int64_t last = 0;
	if (!source_is_rare(reader, walk->filter, &walk->rare, err) ||
	    !walk_ends(reader, false, &first, &last, err)) {
		return false;
	}
	first = after > first ? after : first;
	if (walk->ids != NULL || walk->rare) {
		return walk_window(reader, walk, first, last, err);
	}
	bool good = true;
	while (good && walk->left > 0 && first < last) {
		int64_t window = last - first < WALK_WINDOW ? last - first : WALK_WINDOW;
		if (walk->newest_first) {
			good = walk_window(reader, walk, last - window, last, err);
			last -= window;
		} else {
			good = walk_window(reader, walk, first, first + window, err);
			first += window;
		}
	}
	return good;
}

bool
reader_events(struct reader *reader, const struct filter *filter, int64_t after, int64_t limit,
              event_row_fn *row, void *context, struct error *err)
{
	struct walk walk = { .filter = filter,
		             .newest_first = after < 0,
		             .left = limit,
		             .row = row,
		             .context = context };
	return walk_all(reader, &walk, after, err);
}

bool
reader_export(struct reader *reader, const struct filter *filter, const char *ids, int64_t after,
              int64_t limit, event_row_fn *row, void *context, struct error *err)
{
	struct walk walk = { .filter = filter,
		             .ids = ids,
		             .whole = true,
		             .left = limit,
		             .row = row,
		             .context = context };
	return walk_all(reader, &walk, after, err);
}

bool
reader_request(struct reader *reader, int64_t seq, struct request_row *ret, bool *found,
               struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT r.id, e.position, r.events, coalesce(length(r.body), -1) "
		"FROM hooklatch_request_event AS e JOIN hooklatch_request AS r ON r.id = e.request "
		"WHERE e.seq = ?1",
		err);
	if (statement == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(statement, 1, seq);
	*found = sqlite3_step(statement) == SQLITE_ROW;
	if (*found) {
		*ret = (struct request_row){ .id = sqlite3_column_int64(statement, 0),
			                     .position = sqlite3_column_int64(statement, 1),
			                     .events = sqlite3_column_int64(statement, 2),
			                     .size = sqlite3_column_int64(statement, 3) };
	}
	bool good = *found || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "request", err);
	(void)sqlite3_finalize(statement);
	return good;
}

struct found {
	event_row_fn *row;
	void *context;
	bool any;
};

static bool
on_found(void *context, const struct event_row *row)
{
	struct found *found = context;
	found->any = true;
	return found->row(found->context, row);
}

bool
reader_event_row(struct reader *reader, struct span source, struct span id, event_row_fn *row,
                 void *context, struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT seq, source, event_id, type, received_at, length(body), headers, body "
		"FROM events WHERE source = ?1 AND event_id = ?2",
		err);
	if (statement == NULL) {
		return false;
	}
	bind_span(statement, 1, source);
	bind_span(statement, 2, id);
	struct found found = { row, context, false };
	if (!walk_events(reader, statement, true, on_found, &found, err)) {
		return false;
	}
	return found.any || error_set(err, ERROR_NOT_FOUND, "there is no event %.*s/%.*s",
	                              SPAN_ARG(source), SPAN_ARG(id));
}

bool
reader_event_seq(struct reader *reader, struct span source, struct span id, int64_t *seq,
                 struct error *err)
{
	sqlite3_stmt *statement =
		prepare(reader, "SELECT seq FROM events WHERE source = ?1 AND event_id = ?2", err);
	if (statement == NULL) {
		return false;
	}
	bind_span(statement, 1, source);
	bind_span(statement, 2, id);
	bool found = sqlite3_step(statement) == SQLITE_ROW;
	*seq = found ? sqlite3_column_int64(statement, 0) : 0;
	bool good = found || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "event", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_deliveries(struct reader *reader, int64_t seq, delivery_row_fn *row, void *context,
                  struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT d.handler, h.name, d.state, d.attempts, d.round, d.due, d.last_error, d.outcome, "
		"d.held, d.retry, coalesce(d.lease_until, 0), d.order_key, "
		"CASE WHEN h.paused_at IS NULL THEN 0 ELSE coalesce(h.paused_until, 9223372036854775807) END, h.paused_reason "
		"FROM delivery AS d JOIN handler AS h ON h.id = d.handler WHERE d.seq = ?1 ORDER BY h.name",
		err);
	if (statement == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(statement, 1, seq);
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		struct delivery_row delivery = {
			.handler = sqlite3_column_int64(statement, 0),
			.handler_name = column_span(statement, 1),
			.state = (enum delivery_state)sqlite3_column_int(statement, 2),
			.attempts = sqlite3_column_int64(statement, 3),
			.round = sqlite3_column_int64(statement, 4),
			.due_ns = sqlite3_column_int64(statement, 5),
			.last_error = column_span(statement, 6),
			.outcome = column_span(statement, 7),
			.held = sqlite3_column_int(statement, 8) != 0,
			.retry = sqlite3_column_int(statement, 9) != 0,
			.lease_until_ns = sqlite3_column_int64(statement, 10),
			.order_key = column_span(statement, 11),
			.paused_ns = sqlite3_column_int64(statement, 12),
			.paused_reason = column_span(statement, 13),
		};
		go_on = row(context, &delivery);
	}
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "deliveries", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_order_head(struct reader *reader, struct delivery_key delivery, struct span key, bool dead,
                  named_delivery_fn *row, void *context, struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT e.source, e.event_id, e.type, h.name, d.state, d.last_error FROM delivery AS d "
		"JOIN events AS e ON e.seq = d.seq JOIN handler AS h ON h.id = d.handler "
		"WHERE d.handler = ?1 AND d.order_key = ?2 AND d.state IN (0, 1, 3) AND (?3 OR d.state <> 3) "
		"AND (d.seq < ?4 OR d.state = 1) "
		"ORDER BY d.state <> 1, d.seq LIMIT 1",
		err);
	if (statement == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(statement, 1, delivery.handler);
	bind_span(statement, 2, key);
	(void)sqlite3_bind_int(statement, 3, dead ? 1 : 0);
	(void)sqlite3_bind_int64(statement, 4, delivery.seq);
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		struct named_delivery head = {
			.source = column_span(statement, 0),
			.event_id = column_span(statement, 1),
			.type = column_span(statement, 2),
			.handler = column_span(statement, 3),
			.state = (enum delivery_state)sqlite3_column_int(statement, 4),
			.last_error = column_span(statement, 5),
		};
		(void)row(context, &head);
	}
	bool good = code == SQLITE_ROW || code == SQLITE_DONE || failed(reader, "order", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_attempts(struct reader *reader, int64_t seq, int64_t after, int64_t limit,
                attempt_row_fn *row, void *context, struct error *err)
{
	static const char columns[] =
		"SELECT a.id, a.seq, e.source, e.event_id, e.type, h.name, a.round, a.number, a.started_at, a.duration_ms, "
		"a.result, a.error_type, a.error, a.output, a.reason FROM attempt AS a JOIN events AS e ON e.seq = a.seq "
		"JOIN handler AS h ON h.id = a.handler WHERE ";
	struct buffer sql;
	buffer_init(&sql, 4096);
	buffer_text(&sql, columns);
	buffer_text(&sql, seq > 0 ? "a.seq = ?1" : "a.id > ?2");
	buffer_text(&sql, " ORDER BY a.id LIMIT ?3");
	buffer_byte(&sql, '\0');
	sqlite3_stmt *statement = prepare(reader, sql.data, err);
	buffer_finish(&sql);
	if (statement == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(statement, 1, seq);
	(void)sqlite3_bind_int64(statement, 2, after);
	(void)sqlite3_bind_int64(statement, 3, limit);
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		struct attempt_row attempt = { .id = sqlite3_column_int64(statement, 0),
			                       .seq = sqlite3_column_int64(statement, 1),
			                       .source = column_span(statement, 2),
			                       .event_id = column_span(statement, 3),
			                       .type = column_span(statement, 4),
			                       .handler = column_span(statement, 5),
			                       .round = sqlite3_column_int64(statement, 6),
			                       .number = sqlite3_column_int64(statement, 7),
			                       .started_at = column_span(statement, 8),
			                       .duration_ms = sqlite3_column_int64(statement, 9),
			                       .result = column_span(statement, 10),
			                       .error_type = column_span(statement, 11),
			                       .error = column_span(statement, 12),
			                       .output = column_span(statement, 13),
			                       .reason = column_span(statement, 14) };
		go_on = row(context, &attempt);
	}
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "attempts", err);
	(void)sqlite3_finalize(statement);
	return good;
}

static void
dead_where(const struct filter *filter, const char *ids, struct buffer *sql)
{
	buffer_text(
		sql,
		" FROM dead_letter AS l JOIN delivery AS d ON d.seq = l.seq AND d.handler = l.handler "
		"JOIN events AS e ON e.seq = l.seq JOIN handler AS h ON h.id = l.handler WHERE ");
	buffer_text(sql, ids == NULL ? "?1 IS NULL" : "l.id IN (SELECT value FROM json_each(?1))");
	if (filter->states == 0) {
		buffer_text(sql, " AND d.state = 3");
	}
	filter_sql(filter, sql);
}

bool
reader_dead(struct reader *reader, const struct filter *filter, const char *ids, int64_t after,
            int64_t until, int64_t limit, dead_row_fn *row, void *context, struct error *err)
{
	struct buffer sql;
	buffer_init(&sql, 8192);
	buffer_text(
		&sql,
		"SELECT l.id, l.seq, l.handler, e.source, e.event_id, e.type, h.name, d.state, l.attempts, l.reason, "
		"d.last_error, l.first_failed_at, l.died_at, l.output");
	dead_where(filter, ids, &sql);
	buffer_format(&sql, " AND l.id > %lld AND l.id <= %lld ORDER BY l.id LIMIT %lld",
	              (long long)after, (long long)until, (long long)limit);
	buffer_byte(&sql, '\0');
	sqlite3_stmt *statement = prepare(reader, sql.data, err);
	buffer_finish(&sql);
	if (statement == NULL) {
		return false;
	}
	bind_text(statement, 1, ids);
	filter_bind(filter, statement, 2);
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		struct dead_row dead = { .id = sqlite3_column_int64(statement, 0),
			                 .key = { sqlite3_column_int64(statement, 1),
			                          sqlite3_column_int64(statement, 2) },
			                 .source = column_span(statement, 3),
			                 .event_id = column_span(statement, 4),
			                 .type = column_span(statement, 5),
			                 .handler = column_span(statement, 6),
			                 .state = (enum delivery_state)sqlite3_column_int(statement,
			                                                                  7),
			                 .attempts = sqlite3_column_int64(statement, 8),
			                 .reason = column_span(statement, 9),
			                 .last_error = column_span(statement, 10),
			                 .first_failed_at = column_span(statement, 11),
			                 .died_at = column_span(statement, 12),
			                 .output = column_span(statement, 13) };
		go_on = row(context, &dead);
	}
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "dead letters", err);
	(void)sqlite3_finalize(statement);
	return good;
}

/* A count with the filter's parameters behind ?1. */
static bool
count_with(struct reader *reader, struct buffer *sql, const struct filter *filter, const char *ids,
           int64_t *count, struct error *err)
{
	buffer_byte(sql, '\0');
	sqlite3_stmt *statement = prepare(reader, sql->data, err);
	if (statement == NULL) {
		return false;
	}
	bind_text(statement, 1, ids);
	filter_bind(filter, statement, 2);
	bool good = sqlite3_step(statement) == SQLITE_ROW || failed(reader, "count", err);
	if (good) {
		*count = sqlite3_column_int64(statement, 0);
	}
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_dead_count(struct reader *reader, const struct filter *filter, const char *ids,
                  int64_t *count, struct error *err)
{
	struct buffer sql;
	buffer_init(&sql, 8192);
	buffer_text(&sql, "SELECT count(*)");
	dead_where(filter, ids, &sql);
	bool good = count_with(reader, &sql, filter, ids, count, err);
	buffer_finish(&sql);
	return good;
}

static void
deliveries_where(const struct filter *filter, const char *ids, struct buffer *sql)
{
	buffer_text(sql, " FROM delivery AS d JOIN events AS e ON e.seq = d.seq "
	                 "JOIN handler AS h ON h.id = d.handler WHERE ");
	buffer_text(sql, ids == NULL ? "?1 IS NULL" : "d.seq IN (SELECT value FROM json_each(?1))");
	filter_sql(filter, sql);
}

static void
add_count(struct delivery_counts *counts, sqlite3_stmt *statement)
{
	int state = sqlite3_column_int(statement, 0);
	bool guarded = sqlite3_column_int(statement, 1) != 0;
	bool bodiless = sqlite3_column_int(statement, 2) != 0;
	int64_t count = sqlite3_column_int64(statement, 3);
	if (state < 0 || state >= DELIVERY_STATES) {
		return;
	}
	counts->states[state] += count;
	counts->bodiless[state] += bodiless ? count : 0;
	counts->guarded[state] += guarded && !bodiless ? count : 0;
}

/* What is behind `after`, up to `until`, comes on top of *counts. */
static bool
count_window(struct reader *reader, const struct filter *filter, bool letters, const char *ids,
             const char *guarded, int64_t after, int64_t until, struct delivery_counts *counts,
             struct error *err)
{
	struct buffer sql;
	buffer_init(&sql, 8192);
	buffer_text(
		&sql,
		"SELECT d.state, d.outcome IS NOT NULL OR EXISTS (SELECT 1 FROM json_each(?2) AS g WHERE g.key = h.name "
		"AND (d.state = 2 OR d.first_failed_at < g.value)), typeof(e.body) = 'null', count(*)");
	if (letters) {
		dead_where(filter, ids, &sql);
	} else {
		deliveries_where(filter, ids, &sql);
	}
	const char *column = letters ? "l.id" : "d.seq";
	buffer_format(&sql, " AND %s > %lld AND %s <= %lld GROUP BY 1, 2, 3", column,
	              (long long)after, column, (long long)until);
	buffer_byte(&sql, '\0');
	sqlite3_stmt *statement = prepare(reader, sql.data, err);
	buffer_finish(&sql);
	if (statement == NULL) {
		return false;
	}
	bind_text(statement, 1, ids);
	bind_text(statement, 2, guarded);
	filter_bind(filter, statement, 3);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		add_count(counts, statement);
	}
	bool good =
		sqlite3_errcode(reader->database) == SQLITE_DONE || failed(reader, "count", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_delivery_counts(struct reader *reader, const struct filter *filter, bool letters,
                       const char *ids, const char *guarded, struct delivery_counts *counts,
                       struct error *err)
{
	struct filter any = *filter; /* its texts stay the caller's */
	memset(counts, 0, sizeof(*counts));
	any.states = letters ? filter->states : 0;
	if (ids != NULL) {
		return count_window(reader, &any, letters, ids, guarded, 0, INT64_MAX, counts, err);
	}
	int64_t after = 0;
	int64_t last = 0;
	bool good = walk_ends(reader, letters, &after, &last, err);
	for (; good && after < last; after += WALK_WINDOW) {
		good = count_window(reader, &any, letters, ids, guarded, after, after + WALK_WINDOW,
		                    counts, err);
	}
	return good;
}

/* Behind `after`, of events up to `until`; *limit is what is still wanted. */
static bool
named_window(struct reader *reader, const struct filter *filter, const char *ids,
             struct delivery_key after, int64_t until, int64_t *limit, named_delivery_fn *row,
             void *context, struct error *err)
{
	struct buffer sql;
	buffer_init(&sql, 8192);
	buffer_text(
		&sql,
		"SELECT e.source, e.event_id, e.type, h.name, d.state, d.last_error, d.seq, d.handler");
	deliveries_where(filter, ids, &sql);
	buffer_format(&sql,
	              " AND (d.seq, d.handler) > (%lld, %lld) AND d.seq <= %lld "
	              "ORDER BY d.seq, d.handler LIMIT %lld",
	              (long long)after.seq, (long long)after.handler, (long long)until,
	              (long long)*limit);
	buffer_byte(&sql, '\0');
	sqlite3_stmt *statement = prepare(reader, sql.data, err);
	buffer_finish(&sql);
	if (statement == NULL) {
		return false;
	}
	bind_text(statement, 1, ids);
	filter_bind(filter, statement, 2);
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		struct named_delivery delivery = {
			.source = column_span(statement, 0),
			.event_id = column_span(statement, 1),
			.type = column_span(statement, 2),
			.handler = column_span(statement, 3),
			.state = (enum delivery_state)sqlite3_column_int(statement, 4),
			.last_error = column_span(statement, 5),
			.key = { sqlite3_column_int64(statement, 6),
			         sqlite3_column_int64(statement, 7) },
		};
		go_on = row(context, &delivery);
		(*limit)--;
	}
	*limit = go_on ? *limit : 0;
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "deliveries", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_named_deliveries(struct reader *reader, const struct filter *filter, const char *ids,
                        struct delivery_key after, int64_t limit, named_delivery_fn *row,
                        void *context, struct error *err)
{
	if (ids != NULL) {
		return named_window(reader, filter, ids, after, INT64_MAX, &limit, row, context,
		                    err);
	}
	int64_t first = 0;
	int64_t last = 0;
	bool good = walk_ends(reader, false, &first, &last, err);
	after = after.seq < first ? (struct delivery_key){ first, INT64_MAX } : after;
	while (good && limit > 0 && after.seq <= last) {
		int64_t until = after.seq + WALK_WINDOW;
		good = named_window(reader, filter, ids, after, until, &limit, row, context, err);
		after = (struct delivery_key){ until, INT64_MAX };
	}
	return good;
}

static bool
unfilled_window(struct reader *reader, const struct filter *filter, const char *handler,
                bool bodies, int64_t after, int64_t until, event_row_fn *row, void *context,
                struct error *err)
{
	struct buffer sql;
	buffer_init(&sql, 8192);
	buffer_format(
		&sql,
		"SELECT e.seq, e.source, e.event_id, e.type, e.received_at, length(e.body), NULL, %s "
		"FROM events AS e WHERE e.body IS NOT NULL AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.seq = e.seq "
		"AND d.handler = (SELECT id FROM handler WHERE name = ?1))",
		bodies ? "e.body" : "NULL");
	filter_sql(filter, &sql);
	buffer_format(&sql, " AND e.seq > %lld AND e.seq <= %lld ORDER BY e.seq", (long long)after,
	              (long long)until);
	buffer_byte(&sql, '\0');
	sqlite3_stmt *statement = prepare(reader, sql.data, err);
	buffer_finish(&sql);
	if (statement == NULL) {
		return false;
	}
	bind_text(statement, 1, handler);
	filter_bind(filter, statement, 2);
	return walk_events(reader, statement, true, row, context, err);
}

bool
reader_unfilled(struct reader *reader, const struct filter *filter, const char *handler,
                bool bodies, event_row_fn *row, void *context, struct error *err)
{
	struct filter events = *filter; /* its texts stay the caller's */
	events.handler = NULL;
	events.error = NULL;
	events.states = 0;
	int64_t after = 0;
	int64_t last = 0;
	bool good = walk_ends(reader, false, &after, &last, err);
	for (; good && after < last; after += WALK_WINDOW) {
		good = unfilled_window(reader, &events, handler, bodies, after, after + WALK_WINDOW,
		                       row, context, err);
	}
	return good;
}

bool
reader_replays(struct reader *reader, int64_t id, replay_row_fn *row, void *context,
               struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT id, kind, filter, handler, rate, until, position, state, total, replayed, "
		"created, skipped, refused, created_at, finished_at, who, reason FROM replay "
		"WHERE ?1 = 0 OR id = ?1 ORDER BY id",
		err);
	if (statement == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(statement, 1, id);
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		struct replay_row replay = { .id = sqlite3_column_int64(statement, 0),
			                     .kind = column_span(statement, 1),
			                     .filter = column_span(statement, 2),
			                     .handler = column_span(statement, 3),
			                     .rate = sqlite3_column_int64(statement, 4),
			                     .until = sqlite3_column_int64(statement, 5),
			                     .position = sqlite3_column_int64(statement, 6),
			                     .state = column_span(statement, 7),
			                     .total = sqlite3_column_int64(statement, 8),
			                     .replayed = sqlite3_column_int64(statement, 9),
			                     .created = sqlite3_column_int64(statement, 10),
			                     .skipped = sqlite3_column_int64(statement, 11),
			                     .refused = sqlite3_column_int64(statement, 12),
			                     .created_at = column_span(statement, 13),
			                     .finished_at = column_span(statement, 14),
			                     .who = column_span(statement, 15),
			                     .reason = column_span(statement, 16) };
		go_on = row(context, &replay);
	}
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "replays", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_oldest_pending(struct reader *reader, int64_t handler, int64_t *age_ns, struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT received_at FROM events WHERE seq = "
		"(SELECT min(seq) FROM delivery WHERE handler = ?1 AND state = 0 AND held = 0)",
		err);
	if (statement == NULL) {
		return false;
	}
	(void)sqlite3_bind_int64(statement, 1, handler);
	int64_t received_ns;
	int code = sqlite3_step(statement);
	*age_ns = -1;
	if (code == SQLITE_ROW && clock_parse(column_span(statement, 0), &received_ns)) {
		int64_t age = clock_wall_ns() - received_ns;
		*age_ns = age < 0 ? 0 : age;
	}
	bool good = code == SQLITE_ROW || code == SQLITE_DONE || failed(reader, "lag", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_dead_depth(struct reader *reader, depth_row_fn *row, void *context, struct error *err)
{
	sqlite3_stmt *statement =
		prepare(reader,
	                "SELECT h.name, l.reason, count(*) FROM dead_letter AS l "
	                "JOIN delivery AS d ON d.seq = l.seq AND d.handler = l.handler "
	                "JOIN handler AS h ON h.id = l.handler WHERE d.state = 3 GROUP BY 1, 2",
	                err);
	if (statement == NULL) {
		return false;
	}
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		go_on = row(context, column_span(statement, 0), column_span(statement, 1),
		            sqlite3_column_int64(statement, 2));
	}
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "dead letters", err);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_handlers(struct reader *reader, handler_row_fn *row, void *context, struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT h.name, l.state, sum(l.count) FROM handler AS h "
		"LEFT JOIN ledger AS l ON l.handler = h.id GROUP BY h.id, l.state ORDER BY h.name",
		err);
	if (statement == NULL) {
		return false;
	}
	char *name = NULL;
	int64_t states[LEDGER_RECEIVED + 1] = { 0 };
	bool go_on = true;
	while (go_on && sqlite3_step(statement) == SQLITE_ROW) {
		const char *next = (const char *)sqlite3_column_text(statement, 0);
		if (name != NULL && strcmp(name, next) != 0) {
			go_on = row(context, span_of(name), states);
			memset(states, 0, sizeof(states));
		}
		if (name == NULL || strcmp(name, next) != 0) {
			free(name);
			name = memory_text(next);
		}
		int state = sqlite3_column_int(statement, 1);
		if (sqlite3_column_type(statement, 1) != SQLITE_NULL && state >= 0 &&
		    state <= LEDGER_RECEIVED) {
			states[state] = sqlite3_column_int64(statement, 2);
		}
	}
	bool good = !go_on || sqlite3_errcode(reader->database) == SQLITE_DONE ||
	            failed(reader, "handlers", err);
	if (good && go_on && name != NULL) {
		(void)row(context, span_of(name), states);
	}
	free(name);
	(void)sqlite3_finalize(statement);
	return good;
}

static bool
read_oldest(struct reader *reader, struct store_counts *counts, struct error *err)
{
	sqlite3_stmt *statement = prepare(
		reader,
		"SELECT received_at FROM events WHERE seq = (SELECT min(seq) FROM ("
		"SELECT min(seq) AS seq FROM delivery INDEXED BY delivery_due WHERE state = 0 AND held = 0 UNION ALL "
		"SELECT min(seq) FROM delivery INDEXED BY delivery_order WHERE state = 0 AND held = 1 "
		"AND order_key IS NOT NULL AND state IN (0, 1, 3)))",
		err);
	if (statement == NULL) {
		return false;
	}
	int code = sqlite3_step(statement);
	bool good =
		code == SQLITE_ROW || code == SQLITE_DONE || failed(reader, "oldest pending", err);
	if (code == SQLITE_ROW) {
		(void)snprintf(counts->text, sizeof(counts->text), "%s",
		               (const char *)sqlite3_column_text(statement, 0));
		counts->oldest_pending_at = span_of(counts->text);
		counts->any_pending = true;
	}
	(void)sqlite3_finalize(statement);
	return good;
}

bool
reader_counts(struct reader *reader, struct store_counts *counts, struct error *err)
{
	memset(counts, 0, sizeof(*counts));
	sqlite3_stmt *statement =
		prepare(reader, "SELECT state, sum(count) FROM ledger GROUP BY state", err);
	if (statement == NULL) {
		return false;
	}
	while (sqlite3_step(statement) == SQLITE_ROW) {
		int state = sqlite3_column_int(statement, 0);
		if (state >= 0 && state <= LEDGER_RECEIVED) {
			counts->states[state] = sqlite3_column_int64(statement, 1);
		}
	}
	bool good =
		sqlite3_errcode(reader->database) == SQLITE_DONE || failed(reader, "counts", err);
	(void)sqlite3_finalize(statement);
	return good && read_oldest(reader, counts, err) &&
	       snapshot_number(reader, "SELECT coalesce(max(seq), 0) + ?1 FROM events", 0,
	                       &counts->last_seq, err) &&
	       snapshot_number(reader, "SELECT coalesce(max(id), 0) + ?1 FROM dead_letter", 0,
	                       &counts->last_dead, err) &&
	       snapshot_number(reader, "SELECT coalesce(max(id), 0) + ?1 FROM attempt", 0,
	                       &counts->last_attempt, err);
}
