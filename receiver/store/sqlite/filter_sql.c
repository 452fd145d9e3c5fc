/* A filter as SQL conditions on e (events), d (delivery) and h (handler). Values are always parameters. */
#include "receiver/base/clock.h"
#include "receiver/base/glob.h"
#include "receiver/store/sqlite/writer_priv.h"

static void
sql_glob(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count;
	const char *pattern = (const char *)sqlite3_value_text(values[0]);
	const char *text = (const char *)sqlite3_value_text(values[1]);
	struct span pattern_span = { pattern, (size_t)sqlite3_value_bytes(values[0]) };
	struct span text_span = { text, (size_t)sqlite3_value_bytes(values[1]) };
	sqlite3_result_int(context,
	                   pattern != NULL && text != NULL && glob_match(pattern_span, text_span)
	                           ? 1
	                           : 0);
}

bool
filter_functions(sqlite3 *database, struct error *err)
{
	if (sqlite3_create_function_v2(database, "hooklatch_glob", 2,
	                               SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sql_glob, NULL,
	                               NULL, NULL) != SQLITE_OK) {
		return sqlite_error(err, database, "hooklatch_glob");
	}
	return true;
}

static bool
is_glob(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '*') {
			return true;
		}
	}
	return false;
}

static void
add_text(struct buffer *sql, const char *column, const char *value)
{
	if (value != NULL && is_glob(value)) {
		buffer_format(sql, " AND hooklatch_glob(?, %s)", column);
	} else if (value != NULL) {
		buffer_format(sql, " AND %s = ?", column);
	}
}

void
filter_sql(const struct filter *filter, struct buffer *sql)
{
	/* The sign keeps SQLite off the index of ids, all of a source's: it would be read whole, for each slice and each page. */
	add_text(sql, "+e.source", filter->source);
	add_text(sql, "e.type", filter->type);
	add_text(sql, "h.name", filter->handler);
	add_text(sql, "d.last_error", filter->error);
	if (filter->id != NULL) {
		bool glob = is_glob(filter->id);
		buffer_text(
			sql,
			glob ? " AND (hooklatch_glob(?, e.event_id) OR hooklatch_glob(?, e.source || '/' || e.event_id))"
			     : " AND (e.event_id = ? OR e.source || '/' || e.event_id = ?)");
	}
	if (filter->states != 0) {
		buffer_format(sql, " AND (1 << d.state) & %u", filter->states);
	}
	if (filter->since_ns != 0) {
		buffer_text(sql, " AND e.received_at >= ?");
	}
	if (filter->until_ns != 0) {
		buffer_text(sql, " AND e.received_at <= ?");
	}
}

void
filter_bind(const struct filter *filter, sqlite3_stmt *statement, int first)
{
	const char *const texts[] = { filter->source, filter->type, filter->handler,
		                      filter->error,  filter->id,   filter->id };
	for (size_t i = 0; i < COUNT(texts); i++) {
		if (texts[i] != NULL) {
			(void)sqlite3_bind_text(statement, first++, texts[i], -1, SQLITE_TRANSIENT);
		}
	}
	if (filter->since_ns != 0) {
		bind_time(statement, first++, filter->since_ns);
	}
	if (filter->until_ns != 0) {
		bind_time(statement, first, filter->until_ns);
	}
}
