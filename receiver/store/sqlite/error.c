#include <errno.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/metrics/metrics.h"
#include "receiver/store/sqlite/sqlite_priv.h"

static bool
is_sync(int extended)
{
	return extended == SQLITE_IOERR_FSYNC || extended == SQLITE_IOERR_DIR_FSYNC;
}

/* Full: SQLITE_FULL, or any failure but of a sync whose errno says that there is no room. */
static bool
is_full(int extended, int system)
{
	if ((extended & 0xff) == SQLITE_FULL) {
		return true;
	}
	return !is_sync(extended) && (extended & 0xff) == SQLITE_IOERR &&
	       (system == ENOSPC || system == EDQUOT || system == EFBIG);
}

/* What the system said: a COMMIT that fails leaves it with the file alone, and that is the WAL. */
static int
last_errno(sqlite3 *database)
{
	int system = sqlite3_system_errno(database);
	sqlite3_file *wal = NULL;
	if (system == 0 &&
	    sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) ==
	            SQLITE_OK &&
	    wal != NULL && wal->pMethods != NULL) {
		(void)wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &system);
	}
	if (system == 0) {
		(void)sqlite3_file_control(database, "main", SQLITE_FCNTL_LAST_ERRNO, &system);
	}
	return system;
}

bool
sqlite_error(struct error *err, sqlite3 *database, const char *what)
{
	int extended = sqlite3_extended_errcode(database);
	int system = (extended & 0xff) == SQLITE_IOERR ? last_errno(database) : 0;
	metrics_database_error(extended & 0xff);
	enum error_kind kind = ERROR_STORE_BAD;
	switch (extended & 0xff) { /* the fault of one statement, not of the store */
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH: kind = ERROR_INVALID; break;
	case SQLITE_NOMEM: kind = ERROR_STORE_BUSY; break;
	default: break;
	}
	if (is_full(extended, system) || extended == SQLITE_IOERR_SHMSIZE) {
		kind = ERROR_STORE_FULL;
	} else if ((extended & 0xff) == SQLITE_BUSY || (extended & 0xff) == SQLITE_LOCKED) {
		kind = ERROR_STORE_BUSY;
	}
	(void)error_set(err, kind, "%s: %s (SQLite code %d%s%s)", what, sqlite3_errmsg(database),
	                extended, system == 0 ? "" : ", ",
	                system == 0 ? "" : strerrorname_np(system));
	err->sys_errno = system;
	return false;
}

bool
sqlite_run(sqlite3 *database, const char *sql, struct error *err)
{
	if (sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK) {
		return true;
	}
	char what[80];
	size_t size = strcspn(sql, "\n;");
	size = size < sizeof(what) - 1 ? size : sizeof(what) - 1;
	memcpy(what, sql, size);
	what[size] = '\0';
	return sqlite_error(err, database, what);
}

bool
sqlite_number(sqlite3 *database, const char *sql, int64_t *ret, struct error *err)
{
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, database, sql);
	}
	int code = sqlite3_step(statement);
	bool good = code == SQLITE_ROW || code == SQLITE_DONE;
	if (good) {
		*ret = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	} else {
		(void)sqlite_error(err, database, sql);
	}
	(void)sqlite3_finalize(statement);
	return good;
}

void
bind_time(sqlite3_stmt *statement, int index, int64_t wall_ns)
{
	char text[CLOCK_TEXT_BYTES];
	clock_text(wall_ns, text);
	(void)sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT);
}

void
bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	(void)sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void
bind_span(sqlite3_stmt *statement, int index, struct span text)
{
	(void)sqlite3_bind_text64(statement, index, text.data == NULL ? "" : text.data, text.size,
	                          SQLITE_STATIC, SQLITE_UTF8);
}
