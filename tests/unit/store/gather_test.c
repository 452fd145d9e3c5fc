/* The VFS that gathers the log's writes, against a model in memory: what is read is what was written, and what was synced is in the file. */
#include "receiver/store/sqlite/gather.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/unit/check.h"

#define FILE_MOST  ((size_t)10 * 1024 * 1024) /* many times what is gathered */
#define PIECE_MOST 9000
#define STEPS      6000

static char beside[] = "/tmp/hooklatch-gather-XXXXXX"; /* whose mode the log gets */
static char path[sizeof(beside) + 4];
static char model[FILE_MOST];
static char seen[FILE_MOST];

static sqlite3_file *
open_log(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(gather_vfs());
	sqlite3_file *file = memory_need((size_t)vfs->szOsFile);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;
	CHECK(vfs->xOpen(vfs, path, file, flags, &flags) == SQLITE_OK);
	CHECK(file->pMethods->xTruncate(file, 0) == SQLITE_OK);
	return file;
}

static void
close_log(sqlite3_file *file)
{
	CHECK(file->pMethods->xClose(file) == SQLITE_OK);
	free(file);
}

static size_t
bytes_in_file(void)
{
	struct stat status;
	return stat(path, &status) == 0 ? (size_t)status.st_size : 0;
}

static bool
file_is(const char *wanted, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = pread(fd, seen, FILE_MOST, 0);
	(void)close(fd);
	return got == (ssize_t)size && memcmp(seen, wanted, size) == 0;
}

static void
frames_are_written_with_the_sync(void)
{
	sqlite3_file *file = open_log();
	for (int i = 0; i < 8; i++) {
		CHECK(file->pMethods->xWrite(file, "frame", 5, (sqlite3_int64)i * 5) == SQLITE_OK);
	}
	CHECK(bytes_in_file() == 0);
	CHECK(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(file_is("frameframeframeframeframeframeframeframe", 40));
	/* A log that begins again does not wait for what was before it. */
	CHECK(file->pMethods->xWrite(file, "FRAME", 5, 0) == SQLITE_OK);
	CHECK(file->pMethods->xWrite(file, "again", 5, 0) ==
	      SQLITE_OK); /* not behind the last one */
	CHECK(file_is("FRAMEframeframeframeframeframeframeframe", 40));
	CHECK(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(file_is("againframeframeframeframeframeframeframe", 40));
	/* What is never synced is no part of the log. */
	CHECK(file->pMethods->xWrite(file, "AGAIN", 5, 0) == SQLITE_OK);
	close_log(file);
	CHECK(file_is("againframeframeframeframeframeframeframe", 40));
}

static size_t
below(struct random *random, size_t end)
{
	return (size_t)random_up_to(random, (int64_t)end - 1);
}

static void
what_is_read_is_what_was_written(void)
{
	struct random random;
	check_random(&random);
	sqlite3_file *file = open_log();
	size_t size = 0; /* of the model */
	size_t at = 0;   /* behind the last write */
	memset(model, 0, sizeof(model));
	for (int step = 0; step < STEPS; step++) {
		size_t dice = below(&random, 100);
		char data[PIECE_MOST];
		if (dice < 90) { /* mostly on and on, as a log is written */
			size_t more = 1 + below(&random, PIECE_MOST);
			at = dice < 2 ? below(&random, size + 1) : dice < 3 ? 0 : at;
			at = at + more > FILE_MOST ? 0 : at;
			for (size_t i = 0; i < more; i++) {
				data[i] = (char)(unsigned char)below(&random, 256);
			}
			CHECK(file->pMethods->xWrite(file, data, (int)more, (sqlite3_int64)at) ==
			      SQLITE_OK);
			memcpy(model + at, data, more);
			at += more;
			size = at > size ? at : size;
		} else if (dice < 97 && size > 0) {
			size_t from = below(&random, size);
			size_t count = 1 + below(&random, PIECE_MOST);
			count = from + count > size ? size - from : count;
			CHECK(file->pMethods->xRead(file, data, (int)count, (sqlite3_int64)from) ==
			      SQLITE_OK);
			if (!CHECK(memcmp(data, model + from, count) == 0)) {
				break;
			}
		} else if (dice < 98) {
			sqlite3_int64 told = -1;
			CHECK(file->pMethods->xFileSize(file, &told) == SQLITE_OK &&
			      told == (sqlite3_int64)size);
		} else if (dice == 98) {
			CHECK(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
			CHECK(file_is(model, size));
		} else if (below(&random, 8) == 0) {
			size = below(&random, size + 1);
			CHECK(file->pMethods->xTruncate(file, (sqlite3_int64)size) == SQLITE_OK);
			memset(model + size, 0, FILE_MOST - size);
			at = size;
		}
	}
	CHECK(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(file_is(model, size));
	close_log(file);
}

/* The file may not grow beyond a limit: the write fails, and the sync that needed it says so. */
static void
a_write_that_failed_fails_the_sync(void)
{
	struct rlimit old;
	(void)getrlimit(RLIMIT_FSIZE, &old);
	(void)signal(SIGXFSZ, SIG_IGN);
	sqlite3_file *file = open_log();
	static char block[100000];
	CHECK(file->pMethods->xWrite(file, block, sizeof(block), 0) == SQLITE_OK);
	CHECK(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	struct rlimit small = { sizeof(block), old.rlim_max };
	(void)setrlimit(RLIMIT_FSIZE, &small);
	CHECK(file->pMethods->xWrite(file, "lost", 4, sizeof(block)) == SQLITE_OK);
	int code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
	CHECK_ROW(code == SQLITE_FULL || (code & 0xff) == SQLITE_IOERR, "%d", code);
	(void)setrlimit(RLIMIT_FSIZE, &old);
	/* What failed is not written later, when nobody expects it any more. */
	CHECK(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(bytes_in_file() == sizeof(block));
	CHECK(file->pMethods->xWrite(file, "good", 4, sizeof(block)) == SQLITE_OK);
	CHECK(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	close_log(file);
	CHECK(bytes_in_file() == sizeof(block) + 4);
}

static void
other_files_have_no_layer(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(gather_vfs());
	sqlite3_file *file = memory_need((size_t)vfs->szOsFile);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB;
	static const char named[] =
		"/tmp/hooklatch-gather-main\0\0\0"; /* as SQLite gives a database's name */
	CHECK(vfs->xOpen(vfs, named, file, flags, &flags) == SQLITE_OK);
	CHECK(file->pMethods->iVersion > 1); /* the log's have no shared memory */
	CHECK(file->pMethods->xWrite(file, "page", 4, 0) == SQLITE_OK);
	struct stat status;
	CHECK(stat(named, &status) == 0 && status.st_size == 4);
	CHECK(file->pMethods->xClose(file) == SQLITE_OK);
	free(file);
	(void)unlink(named);
}

static void
run(sqlite3 *connection, const char *sql)
{
	CHECK_ROW(sqlite3_exec(connection, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
	          sqlite3_errmsg(connection));
}

/* What a rolled-back transaction had written must not come later, over the frames that somebody else has committed meanwhile. */
static void
what_was_rolled_back_is_dropped(void)
{
	static const char file[] = "/tmp/hooklatch-gather-two.db";
	static const char log_of[] = "/tmp/hooklatch-gather-two.db-wal";
	sqlite3 *database = NULL;
	sqlite3_file *log = NULL;
	struct stat before;
	struct stat after;
	CHECK(sqlite3_open_v2(file, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	                      gather_vfs()) == SQLITE_OK);
	gather_drop(database); /* there is no log yet */
	run(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x)");
	CHECK(sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log) ==
	      SQLITE_OK);
	CHECK(stat(log_of, &before) == 0 && before.st_size > 0);
	CHECK(log->pMethods->xWrite(log, "frame", 5, before.st_size) == SQLITE_OK);
	gather_drop(database);
	CHECK(log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(stat(log_of, &after) == 0 && after.st_size == before.st_size);
	run(database, "INSERT INTO t VALUES (1)");
	CHECK(stat(log_of, &after) == 0 && after.st_size > before.st_size);
	(void)sqlite3_close(database);
	(void)unlink(file);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "frames are written with the sync that they need",
		  frames_are_written_with_the_sync },
		{ "what is read is what was written", what_is_read_is_what_was_written },
		{ "a write that failed fails the sync", a_write_that_failed_fails_the_sync },
		{ "what was rolled back is dropped", what_was_rolled_back_is_dropped },
		{ "other files have no layer", other_files_have_no_layer },
	};
	(void)close(mkstemp(beside));
	(void)snprintf(path, sizeof(path), "%s-wal", beside);
	(void)sqlite3_initialize();
	int code = check_main(argc, argv, tests, COUNT(tests));
	(void)unlink(path);
	(void)unlink(beside);
	return code;
}
