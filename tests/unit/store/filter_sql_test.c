/* How SQLite goes about what a filter asks for. */
#include <stdlib.h>
#include <string.h>

#include "receiver/store/sqlite/writer_priv.h"

#include "tests/unit/check.h"

static sqlite3 *
open_schema(void)
{
	sqlite3 *database = NULL;
	struct error err;
	int applied = 0;
	ALWAYS(sqlite3_open(":memory:", &database) == SQLITE_OK, "test-open");
	ALWAYS(filter_functions(database, &err), "test-functions");
	ALWAYS(migrate(database, ":memory:", &applied, &err), "test-schema");
	return database;
}

/* The plan of `head` with the filter's conditions, as one text. */
static void
plan_of(sqlite3 *database, const char *head, const struct filter *filter, const char *tail,
        struct buffer *plan)
{
	struct buffer sql;
	sqlite3_stmt *statement = NULL;
	buffer_init(&sql, 8192);
	buffer_text(&sql, "EXPLAIN QUERY PLAN ");
	buffer_text(&sql, head);
	filter_sql(filter, &sql);
	buffer_text(&sql, tail);
	buffer_byte(&sql, '\0');
	ALWAYS(sqlite3_prepare_v2(database, sql.data, -1, &statement, NULL) == SQLITE_OK,
	       "test-plan");
	while (sqlite3_step(statement) == SQLITE_ROW) {
		buffer_text(plan, (const char *)sqlite3_column_text(statement, 3));
		buffer_byte(plan, '\n');
	}
	buffer_byte(plan, '\0');
	(void)sqlite3_finalize(statement);
	buffer_finish(&sql);
}

/* With a source in the filter SQLite would rather walk all ids of that source, in each slice of a replay. */
static void
a_source_is_no_reason_to_read_the_index_of_ids(void)
{
	static const struct {
		const char *head;
		const char *tail;
	} rows[] = {
		{ "SELECT e.seq FROM events AS e WHERE e.seq > 1 AND e.seq <= 9",
		  " ORDER BY e.seq DESC LIMIT 3" },
		{ "SELECT e.seq FROM events AS e LEFT JOIN delivery AS d ON d.seq = e.seq AND d.handler = 1 "
		  "WHERE e.seq > 1 AND e.seq <= 9",
		  " ORDER BY 1" },
		{ "SELECT d.seq FROM delivery AS d JOIN events AS e ON e.seq = d.seq JOIN handler AS h ON h.id = d.handler "
		  "WHERE d.seq > 1 AND d.seq <= 9",
		  " ORDER BY 1" },
		{ "SELECT l.id FROM dead_letter AS l JOIN delivery AS d ON d.seq = l.seq AND d.handler = l.handler "
		  "JOIN events AS e ON e.seq = l.seq JOIN handler AS h ON h.id = l.handler WHERE l.id > 1 AND l.id <= 9",
		  " ORDER BY 1" },
	};
	char source[] = "github";
	char type[] = "push";
	struct filter filter = { .source = source, .type = type, .since_ns = 1 };
	sqlite3 *database = open_schema();
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer plan;
		buffer_init(&plan, 8192);
		plan_of(database, rows[i].head, &filter, rows[i].tail, &plan);
		CHECK_ROW(strstr(plan.data, "autoindex_events") == NULL, "%s: %s", rows[i].head,
		          plan.data);
		CHECK_ROW(strstr(plan.data, "ORDER BY") == NULL, "sorts: %s: %s", rows[i].head,
		          plan.data);
		buffer_finish(&plan);
	}
	(void)sqlite3_close(database);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a source is no reason to read the index of ids",
		  a_source_is_no_reason_to_read_the_index_of_ids },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
