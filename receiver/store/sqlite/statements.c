#include <stdarg.h>

#include "receiver/store/sqlite/writer_priv.h"

/* RETURNING of SQLite 3.40 takes `x IS NOT NULL` for true, whatever x is: typeof(x) tells. */
static const char *const texts[] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_DATA_VERSION] = "PRAGMA data_version",
	[SQL_EFFECT_BEGIN] = "SAVEPOINT effect",
	[SQL_EFFECT_KEEP] = "RELEASE effect",
	[SQL_EFFECT_UNDO] = "ROLLBACK TO effect",
	[SQL_EVENT_INSERT] =
		"INSERT INTO events (seq, source, event_id, type, received_at, headers, hash, body) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
	/* typeof() reads no body, IS NULL reads all of it. */
	[SQL_EVENT_FIND] =
		"SELECT seq, hash, typeof(body) = 'null' FROM events WHERE source = ?1 AND event_id = ?2",
	[SQL_DELIVERY_INSERT] =
		"INSERT INTO delivery (seq, handler, state, attempts, due, outcome, order_key, held) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
	[SQL_DELIVERY_STATES] = "SELECT handler, state, revivals FROM delivery WHERE seq = ?1",
	[SQL_DELIVERY_REOPEN] =
		"UPDATE delivery SET state = 0, attempts = 0, round = round + 1, revivals = revivals + ?4, retry = 1, "
		"due = ?5, first_failed_at = NULL, first_failed_ran = NULL, outcome = NULL, "
		"held = typeof(order_key) <> 'null', key_round = CASE WHEN ?6 THEN round + 1 ELSE key_round END "
		"WHERE seq = ?1 AND handler = ?2 AND state = ?3 RETURNING typeof(order_key) <> 'null'",
	[SQL_DELIVERY_CLAIM] =
		"UPDATE delivery SET state = ?3, attempts = attempts + 1, outcome = ?4 "
		"WHERE seq = ?1 AND handler = ?2 AND state = 0 AND held = 0 AND due = ?5 AND attempts < ?6 "
		"RETURNING attempts, round, first_failed_ran, key_round, typeof(order_key) <> 'null'",
	[SQL_DELIVERY_DUE] =
		"SELECT due, retry, attempts FROM delivery WHERE seq = ?1 AND handler = ?2 AND state = 0 AND held = 0",
	[SQL_DELIVERY_CORRUPT] =
		"UPDATE delivery SET state = 3, last_error = ?3 WHERE seq = ?1 AND handler = ?2 AND state = 0 "
		"RETURNING attempts, round, typeof(order_key) <> 'null'",
	[SQL_DELIVERY_DONE] =
		"UPDATE delivery SET state = 2, last_error = NULL, lease_until = NULL "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_OUTCOME] =
		"UPDATE delivery SET outcome = ?5, last_error = ?6 "
		"WHERE seq = ?1 AND handler = ?2 AND state = 2 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_AGAIN] =
		"UPDATE delivery SET state = 0, retry = 1, due = ?5, last_error = ?6, lease_until = NULL, "
		"first_failed_at = coalesce(first_failed_at, ?7), first_failed_ran = coalesce(first_failed_ran, ?8) "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_DEAD] =
		"UPDATE delivery SET state = 3, last_error = ?5, lease_until = NULL, "
		"first_failed_at = coalesce(first_failed_at, ?6) "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_GIVE_BACK] =
		"UPDATE delivery SET state = 0, attempts = attempts - 1, due = ?5, lease_until = NULL "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_MOVE] =
		"UPDATE delivery SET state = ?4 WHERE seq = ?1 AND handler = ?2 AND state = ?3 "
		"RETURNING typeof(order_key) <> 'null'",
	[SQL_ATTEMPT_INSERT] =
		"INSERT INTO attempt (seq, handler, round, number, started_at, duration_ms, result, "
		"error_type, error, output, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[SQL_DEAD_INSERT] =
		"INSERT INTO dead_letter (seq, handler, reason, attempts, first_failed_at, died_at, output) "
		"SELECT ?1, ?2, ?3, attempts, CASE WHEN first_failed_at IS NOT NULL THEN "
		"strftime('%Y-%m-%dT%H:%M:%S', first_failed_at / 1000000000, 'unixepoch') || "
		"printf('.%06dZ', first_failed_at / 1000 % 1000000) END, ?4, ?5 "
		"FROM delivery WHERE seq = ?1 AND handler = ?2",
	[SQL_DEAD_REMOVE] = "DELETE FROM dead_letter WHERE seq = ?1 AND handler = ?2",
	[SQL_HANDLER_RAN] = "UPDATE handler SET ran_ns = max(ran_ns, ?2) WHERE id = ?1",
	[SQL_LEDGER_ADD] =
		"INSERT INTO ledger (segment, handler, state, count) VALUES (?1, ?2, ?3, ?4) "
		"ON CONFLICT DO UPDATE SET count = count + excluded.count",
	[SQL_META_SET] =
		"INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
	[SQL_RUNNING_LIST] =
		"SELECT d.seq, d.handler, d.attempts, d.round, d.first_failed_ran, h.ran_ns, d.order_key IS NOT NULL "
		"FROM delivery AS d JOIN handler AS h ON h.id = d.handler "
		"WHERE d.state = 1 AND d.lease_until IS NULL LIMIT 128",
	[SQL_DELIVERY_RUNS] =
		"SELECT 1 FROM delivery WHERE seq = ?1 AND handler = ?2 AND state = 1 "
		"AND round = ?3 AND attempts = ?4",
	[SQL_ORDER_KEY] = "SELECT order_key FROM delivery WHERE seq = ?1 AND handler = ?2",
	[SQL_ORDER_RUNNING] =
		"SELECT 1 FROM delivery WHERE handler = ?1 AND order_key = ?2 AND state = 1 "
		"AND state IN (0, 1, 3) LIMIT 1",
	[SQL_ORDER_FIRST] =
		"SELECT seq, held, retry, due FROM delivery WHERE handler = ?1 AND order_key = ?2 AND state = ?3 "
		"AND state IN (0, 1, 3) AND seq > ?4 ORDER BY seq LIMIT 1",
	[SQL_ORDER_HOLD] =
		"UPDATE delivery SET held = ?3, due = max(due, ?4) WHERE seq = ?1 AND handler = ?2 AND state = 0",
	[SQL_ORDER_KEYS] =
		"SELECT DISTINCT order_key FROM delivery WHERE handler = ?1 AND (?2 IS NULL OR order_key > ?2) AND order_key IS NOT NULL AND state = 0 "
		"AND state IN (0, 1, 3) ORDER BY order_key LIMIT 128",
	[SQL_LEASE_COUNT] =
		"SELECT count(*) FROM delivery WHERE handler = ?1 AND lease_until IS NOT NULL",
	[SQL_LEASE_FIND] =
		"SELECT seq, due FROM delivery WHERE handler = ?1 AND retry = ?2 AND state = 0 AND held = 0 AND due <= ?3 "
		"ORDER BY due LIMIT ?4",
	[SQL_LEASE_TAKE] =
		"UPDATE delivery SET state = 1, attempts = attempts + 1, lease_until = ?3 "
		"WHERE seq = ?1 AND handler = ?2 AND state = 0 RETURNING attempts, round",
	[SQL_LEASE_EXTEND] =
		"UPDATE delivery SET lease_until = ?5 WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 "
		"AND attempts = ?4 AND lease_until > ?6",
	[SQL_LEASE_LIVE] =
		"SELECT first_failed_ran, order_key IS NOT NULL FROM delivery WHERE seq = ?1 AND handler = ?2 AND state = 1 "
		"AND round = ?3 AND attempts = ?4 AND lease_until > ?5",
	[SQL_LEASE_OVER] =
		"SELECT d.seq, d.handler, d.attempts, d.round, d.first_failed_ran, h.ran_ns, d.order_key IS NOT NULL "
		"FROM delivery AS d JOIN handler AS h ON h.id = d.handler "
		"WHERE d.lease_until IS NOT NULL AND d.lease_until <= ?1 LIMIT 128",
	[SQL_LEASE_SHIFT] =
		"UPDATE delivery SET lease_until = lease_until + ?1 WHERE lease_until IS NOT NULL",
	[SQL_LEASE_NEXT] = "SELECT min(lease_until) FROM delivery WHERE lease_until IS NOT NULL",
	[SQL_PAUSE] =
		"UPDATE handler SET paused_at = ?2, paused_until = ?3, paused_by = ?4, paused_reason = ?5 WHERE id = ?1",
	[SQL_OWN_DEATH] =
		"SELECT l.id, e.source, e.event_id, e.type, h.name, l.attempts, l.reason, d.last_error, l.seq, l.died_at "
		"FROM dead_letter AS l JOIN delivery AS d ON d.seq = l.seq AND d.handler = l.handler "
		"JOIN events AS e ON e.seq = l.seq JOIN handler AS h ON h.id = l.handler "
		"WHERE l.seq = ?1 AND l.handler = ?2 AND e.source <> 'hooklatch'",
	[SQL_PURGE_BODIES] =
		"SELECT e.seq, e.received_at, EXISTS (SELECT 1 FROM delivery AS d WHERE d.seq = e.seq "
		"AND d.state IN (0, 1, 3)) FROM events AS e INDEXED BY events_body "
		"WHERE e.body IS NOT NULL AND e.seq > ?1 ORDER BY e.seq LIMIT ?2",
	[SQL_PURGE_EVENTS] =
		"SELECT e.seq, e.received_at, EXISTS (SELECT 1 FROM delivery AS d WHERE d.seq = e.seq "
		"AND d.state IN (0, 1, 3)) FROM events AS e WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
	[SQL_PURGE_DELIVERIES] = "DELETE FROM delivery WHERE seq = ?1",
	[SQL_PURGE_ATTEMPTS] = "DELETE FROM attempt WHERE seq = ?1",
	[SQL_PURGE_LETTERS] = "DELETE FROM dead_letter WHERE seq = ?1",
	[SQL_PURGE_EVENT] = "DELETE FROM events WHERE seq = ?1",
	[SQL_REQUEST_INSERT] =
		"INSERT INTO hooklatch_request (source, received_at, events, body) VALUES (?1, ?2, ?3, ?4)",
	[SQL_REQUEST_EVENT] =
		"INSERT INTO hooklatch_request_event (seq, request, position) VALUES (?1, ?2, ?3)",
	[SQL_REQUEST_FORGET] = "UPDATE hooklatch_request SET body = NULL WHERE id = "
			       "(SELECT request FROM hooklatch_request_event WHERE seq = ?1)",
	[SQL_REQUEST_EVENT_DROP] =
		"DELETE FROM hooklatch_request_event WHERE seq = ?1 RETURNING request",
	[SQL_REQUEST_DROP] = "DELETE FROM hooklatch_request WHERE id = ?1 AND NOT EXISTS "
			     "(SELECT 1 FROM hooklatch_request_event WHERE request = ?1)",
	[SQL_ERASE_FINISHED] =
		"UPDATE events SET body = NULL, headers = '[]' WHERE seq = ?1 AND body IS NOT NULL AND NOT EXISTS "
		"(SELECT 1 FROM delivery AS d WHERE d.seq = ?1 AND d.state IN (0, 1))",
	[SQL_ERASE] = "UPDATE events SET body = NULL, headers = '[]' WHERE seq = ?1",
	[SQL_AUDIT] =
		"INSERT INTO hooklatch_audit (at, who, action, filter, reason, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
};
static_assert(COUNT(texts) == STATEMENTS, "a statement without a text");

bool
statements_prepare(struct store *store, struct error *err)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		if (sqlite3_prepare_v3(store->database, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
		                       &store->statements[i], NULL) != SQLITE_OK) {
			return sqlite_error(err, store->database, texts[i]);
		}
	}
	return true;
}

void
statements_finish(struct store *store)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		(void)sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
}

sqlite3_stmt *
statement_bind(struct store *store, enum statement which, const char *format, ...)
{
	sqlite3_stmt *statement = store->statements[which];
	va_list arguments;
	va_start(arguments, format);
	for (int i = 1; format[i - 1] != '\0'; i++) {
		struct span span;
		switch (format[i - 1]) {
		case 'i': (void)sqlite3_bind_int64(statement, i, va_arg(arguments, int64_t)); break;
		case 't': bind_text(statement, i, va_arg(arguments, const char *)); break;
		case 's': bind_span(statement, i, va_arg(arguments, struct span)); break;
		case 'b':
			span = va_arg(arguments, struct span);
			(void)sqlite3_bind_blob64(statement, i, span.data == NULL ? "" : span.data,
			                          span.size, SQLITE_STATIC);
			break;
		case 'w': bind_time(statement, i, va_arg(arguments, int64_t)); break;
		default: (void)sqlite3_bind_null(statement, i); break;
		}
	}
	va_end(arguments);
	return statement;
}

int
statement_step(struct store *store, sqlite3_stmt *statement, struct error *err)
{
	int code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		(void)sqlite_error(err, store->database, sqlite3_sql(statement));
		statement_reset(statement);
		return 0;
	}
	return code;
}

void
statement_reset(sqlite3_stmt *statement)
{
	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
}

bool
statement_flag(struct store *store, sqlite3_stmt *statement, bool *changed, bool *flag,
               struct error *err)
{
	int code = statement_step(store, statement, err);
	*changed = code == SQLITE_ROW;
	if (*changed) {
		*flag = sqlite3_column_int(statement, 0) != 0;
		code = statement_step(store, statement, err);
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	return true;
}

bool
statement_run(struct store *store, sqlite3_stmt *statement, int64_t *changes, struct error *err)
{
	int code;
	do {
		code = statement_step(store, statement, err);
	} while (code == SQLITE_ROW);
	if (code == 0) {
		return false;
	}
	if (changes != NULL) {
		*changes = sqlite3_changes64(store->database);
	}
	statement_reset(statement);
	return true;
}
