/* What SQLite and the disk allow a store: commits (WAL, synchronous=FULL) of so many events each, on one thread.
 *   commits SECONDS FILE EVENTS BYTES      the rate is that of commits */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "tests/bench/limits/threads.h"

static sqlite3 *database;
static sqlite3_stmt *begin, *insert, *end;
static unsigned events;

static void
run_sql(const char *sql)
{
	if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK) {
		errx(1, "%s: %s", sql, sqlite3_errmsg(database));
	}
}

static sqlite3_stmt *
prepared(const char *sql)
{
	sqlite3_stmt *statement = NULL;
	if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) {
		errx(1, "%s: %s", sql, sqlite3_errmsg(database));
	}
	return statement;
}

static bool
step(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	sqlite3_reset(statement);
	if (code != SQLITE_DONE) {
		warnx("%s", sqlite3_errmsg(database));
		return false;
	}
	return true;
}

static bool
commit(unsigned thread)
{
	(void)thread;
	bool good = step(begin);
	for (unsigned i = 0; i < events && good; i++) {
		good = step(insert);
	}
	return good && step(end);
}

int
main(int argc, char **argv)
{
	if (argc != 5) {
		errx(2, "usage: commits SECONDS FILE EVENTS BYTES");
	}
	events = (unsigned)threads_number(argv[3], 1, 1e6);
	int bytes = (int)threads_number(argv[4], 0, 64 << 20);
	char *body = malloc((size_t)bytes + 1);
	if (body == NULL || sqlite3_open(argv[2], &database) != SQLITE_OK) {
		errx(1, "%s cannot be opened", argv[2]);
	}
	memset(body, 'x', (size_t)bytes);
	run_sql("PRAGMA journal_mode = WAL");
	run_sql("PRAGMA synchronous = FULL");
	run_sql("CREATE TABLE events (seq INTEGER PRIMARY KEY, body BLOB)");
	begin = prepared("BEGIN IMMEDIATE");
	insert = prepared("INSERT INTO events (body) VALUES (?)");
	end = prepared("COMMIT");
	sqlite3_bind_blob(insert, 1, body, bytes, SQLITE_STATIC);
	int code = threads_run(1, threads_number(argv[1], 0.1, 3600), commit);
	sqlite3_finalize(begin);
	sqlite3_finalize(insert);
	sqlite3_finalize(end);
	sqlite3_close(database);
	return code;
}
