#include <stdarg.h>

#include "receiver/store/sqlite/writer_priv.h"

static const char *const texts[] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_EVENT_INSERT] =
		"INSERT INTO events (seq, source, event_id, type, received_at, headers, hash, body) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
	[SQL_EVENT_FIND] = "SELECT seq, hash FROM events WHERE source = ?1 AND event_id = ?2",
	[SQL_DELIVERY_INSERT] =
		"INSERT INTO delivery (seq, handler, state, attempts, due, outcome) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
	[SQL_DELIVERY_STATES] = "SELECT handler, state, revivals FROM delivery WHERE seq = ?1",
	[SQL_DELIVERY_REOPEN] =
		"UPDATE delivery SET state = 0, attempts = 0, round = round + 1, revivals = revivals + ?4, retry = 1, "
		"due = ?5, first_failed_at = NULL, first_failed_ran = NULL, outcome = NULL "
		"WHERE seq = ?1 AND handler = ?2 AND state = ?3",
	[SQL_DELIVERY_CLAIM] =
		"UPDATE delivery SET state = ?3, attempts = attempts + 1, outcome = ?4 "
		"WHERE seq = ?1 AND handler = ?2 AND state = 0 AND due = ?5 RETURNING attempts, round, first_failed_ran",
	[SQL_DELIVERY_DUE] =
		"SELECT due FROM delivery WHERE seq = ?1 AND handler = ?2 AND state = 0",
	[SQL_DELIVERY_CORRUPT] =
		"UPDATE delivery SET state = 3, last_error = ?3 WHERE seq = ?1 AND handler = ?2 AND state = 0 "
		"RETURNING attempts, round",
	[SQL_DELIVERY_DONE] =
		"UPDATE delivery SET state = 2, last_error = NULL "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_OUTCOME] =
		"UPDATE delivery SET outcome = ?5, last_error = ?6 "
		"WHERE seq = ?1 AND handler = ?2 AND state = 2 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_AGAIN] =
		"UPDATE delivery SET state = 0, retry = 1, due = ?5, last_error = ?6, "
		"first_failed_at = coalesce(first_failed_at, ?7), first_failed_ran = coalesce(first_failed_ran, ?8) "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_DEAD] =
		"UPDATE delivery SET state = 3, last_error = ?5, first_failed_at = coalesce(first_failed_at, ?6) "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_GIVE_BACK] =
		"UPDATE delivery SET state = 0, attempts = attempts - 1, due = ?5 "
		"WHERE seq = ?1 AND handler = ?2 AND state = 1 AND round = ?3 AND attempts = ?4",
	[SQL_DELIVERY_MOVE] =
		"UPDATE delivery SET state = ?4 WHERE seq = ?1 AND handler = ?2 AND state = ?3",
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
		"SELECT d.seq, d.handler, d.attempts, d.round, d.first_failed_ran, h.ran_ns "
		"FROM delivery AS d JOIN handler AS h ON h.id = d.handler WHERE d.state = 1 LIMIT 128",
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
