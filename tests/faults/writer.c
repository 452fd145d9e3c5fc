/* The smallest program that promises durability, to try the preload libraries and the checker on: stores the ids FIRST …
 * FIRST+COUNT-1 in a database with a WAL, one commit each, and prints each id as its acknowledgement.
 *
 *   writer DATABASE full|normal after|before FIRST COUNT
 *
 * full, normal: `synchronous`. after, before: when it prints, seen from the commit. Exit 0: all stored.
 * A second thread writes to another file all the while, because what is counted must be the store's calls alone. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

struct settings {
	const char *path;
	bool full, early;
	int first, count;
};

static sqlite3 *db;
static atomic_bool stop;

static void
check(int result, int expected, const char *what)
{
	if (result != expected) {
		fprintf(stderr, "writer: %s: %s\n", what, sqlite3_errmsg(db));
		exit(1);
	}
}

static void
run(const char *sql)
{
	check(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, sql);
}

static void
acknowledge(int id)
{
	char line[16];
	int length = snprintf(line, sizeof line, "%d\n", id);
	if (write(STDOUT_FILENO, line, (size_t)length) != length) {
		exit(1);
	}
}

static void
store(const struct settings *settings)
{
	sqlite3_stmt *insert;

	check(sqlite3_open(settings->path, &db), SQLITE_OK, "open");
	run("PRAGMA journal_mode = WAL");
	run(settings->full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
	run("PRAGMA wal_autocheckpoint = 40"); /* several checkpoints in each life */
	run("CREATE TABLE IF NOT EXISTS ids (id INTEGER PRIMARY KEY, body BLOB)");
	check(sqlite3_prepare_v2(db, "INSERT INTO ids VALUES (?, randomblob(3000))", -1, &insert,
	                         NULL),
	      SQLITE_OK, "prepare");
	for (int id = settings->first; id < settings->first + settings->count; id++) {
		if (settings->early) {
			acknowledge(id);
		}
		check(sqlite3_bind_int(insert, 1, id), SQLITE_OK, "bind");
		check(sqlite3_step(insert), SQLITE_DONE, "insert");
		check(sqlite3_reset(insert), SQLITE_OK, "reset");
		if (!settings->early) {
			acknowledge(id);
		}
	}
	check(sqlite3_finalize(insert), SQLITE_OK, "finalize");
	check(sqlite3_close(db), SQLITE_OK, "close");
}

static void *
disturb(void *null)
{
	int fd = *(int *)null;
	while (!atomic_load(&stop)) {
		if (write(fd, "x", 1) != 1) {
			exit(1);
		}
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 6) {
		return 2;
	}
	struct settings settings = {
		.path = argv[1],
		.full = strcmp(argv[2], "full") == 0,
		.early = strcmp(argv[3], "before") == 0,
		.first = (int)strtol(argv[4], NULL, 10),
		.count = (int)strtol(argv[5], NULL, 10),
	};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || pthread_create(&thread, NULL, disturb, &null) != 0) {
		return 1;
	}
	store(&settings);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	close(null);
	return 0;
}
