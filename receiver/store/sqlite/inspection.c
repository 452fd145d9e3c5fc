#include "receiver/store/inspection.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/store/sqlite/sqlite_priv.h"

/* --- who has it --- */

static bool
is_serving(const char *lock_path)
{
	char text[8] = "";
	int fd = open(lock_path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0) {
		(void)close(fd);
	}
	return size >= 5 && strncmp(text, "serve", 5) == 0;
}

static void
read_name(long pid, char *name, size_t room)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	FILE *file = fopen(path, "re");
	name[0] = '\0';
	if (file != NULL) {
		if (fgets(name, (int)room, file) == NULL) {
			name[0] = '\0';
		}
		(void)fclose(file);
	}
	name[strcspn(name, "\n")] = '\0';
}

static bool
has_open(const char *pid, const struct stat *database)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	DIR *directory = opendir(path);
	bool found = false;
	const struct dirent *entry;
	/* cppcheck-suppress readdirCalled ; the stream is this function's own */
	while (directory != NULL && !found && (entry = readdir(directory)) != NULL) {
		struct stat file;
		found = fstatat(dirfd(directory), entry->d_name, &file, 0) == 0 &&
		        file.st_ino == database->st_ino && file.st_dev == database->st_dev;
	}
	if (directory != NULL) {
		(void)closedir(directory);
	}
	return found;
}

static void
find_strangers(const struct stat *database, struct inspection_owner *ret)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;
	/* cppcheck-suppress readdirCalled ; the stream is this function's own */
	while (processes != NULL && (entry = readdir(processes)) != NULL) {
		long pid = strtol(entry->d_name, NULL, 10);
		if (pid <= 0 || pid == ret->pid || pid == (long)getpid() ||
		    ret->stranger_count == INSPECTION_STRANGERS_MOST ||
		    !has_open(entry->d_name, database)) {
			continue;
		}
		struct inspection_stranger *stranger = &ret->strangers[ret->stranger_count++];
		stranger->pid = pid;
		read_name(pid, stranger->name, sizeof(stranger->name));
	}
	if (processes != NULL) {
		(void)closedir(processes);
	}
}

void
store_owner(const char *path, struct inspection_owner *ret)
{
	struct stat file;
	struct buffer text;
	memset(ret, 0, sizeof(*ret));
	buffer_init(&text, 65536);
	buffer_format(&text, "%s.lock", path);
	char *lock = buffer_steal(&text);
	ret->pid = holder_of_store(path);
	ret->serving = ret->pid != 0 && is_serving(lock);
	free(lock);
	if (stat(path, &file) == 0) {
		find_strangers(&file, ret);
	}
}

/* --- what is in it --- */

bool
store_scan_wal(const char *path, int64_t *commits, struct error *err)
{
	struct wal_state state;
	if (!wal_scan(path, &state, err)) {
		return false;
	}
	*commits = state.there ? state.commits : 0;
	return true;
}

static bool
check_pages(sqlite3 *database, struct inspection *ret, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	bool good = sqlite3_prepare_v2(database, "PRAGMA integrity_check(1)", -1, &statement,
	                               NULL) == SQLITE_OK;
	int code = good ? sqlite3_step(statement) : SQLITE_ERROR;
	if (code == SQLITE_ROW) {
		const char *said = (const char *)sqlite3_column_text(statement, 0);
		if (said != NULL && strcmp(said, "ok") != 0) {
			(void)snprintf(ret->damage, sizeof(ret->damage), "%s", said);
		}
	} else {
		good = sqlite_error(err, database, "integrity_check");
	}
	(void)sqlite3_finalize(statement);
	return good;
}

bool
bodies_check(sqlite3 *database, struct inspection *ret, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	if (sqlite3_prepare_v2(
		    database,
		    "SELECT source || '/' || event_id, hash, body FROM events WHERE body IS NOT NULL ORDER BY seq",
		    -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, database, "bodies");
	}
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		const void *body = sqlite3_column_blob(statement, 2);
		struct span text = { body, (size_t)sqlite3_column_bytes(statement, 2) };
		struct event_hash hash = event_hash_of(text);
		const void *kept = sqlite3_column_blob(statement, 1);
		bool same = sqlite3_column_bytes(statement, 1) == (int)sizeof(hash) &&
		            memcmp(kept, &hash, sizeof(hash)) == 0;
		ret->bodies++;
		if (!same && ret->rotten++ == 0) {
			const char *name = (const char *)sqlite3_column_text(statement, 0);
			(void)snprintf(ret->first_rotten, sizeof(ret->first_rotten), "%s",
			               name == NULL ? "" : name);
		}
	}
	bool good = code == SQLITE_DONE || sqlite_error(err, database, "bodies");
	(void)sqlite3_finalize(statement);
	return good;
}

static bool
read_newest(sqlite3 *database, struct inspection *ret, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	if (sqlite3_prepare_v2(database, "SELECT received_at FROM events ORDER BY seq DESC LIMIT 1",
	                       -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, database, "the newest event");
	}
	if (sqlite3_step(statement) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(statement, 0);
		if (text == NULL || !clock_parse(span_of(text), &ret->newest_ns)) {
			ret->newest_ns = 0;
		}
	}
	(void)sqlite3_finalize(statement);
	return true;
}

static bool
inspect(sqlite3 *database, bool whole, struct inspection *ret, struct error *err)
{
	int64_t application = 0;
	if (!sqlite_number(database, "PRAGMA application_id", &application, err)) {
		return false;
	}
	if (application != SQLITE_APPLICATION_ID) {
		return error_set(err, ERROR_REFUSED, "it is no store of hooklatch");
	}
	ret->newest_schema = migrate_newest();
	if (!sqlite_number(database, "SELECT max(version) FROM schema_migrations", &ret->schema,
	                   err)) {
		return false;
	}
	if (ret->schema != ret->newest_schema) {
		return true; /* what follows is of this program's schema */
	}
	return sqlite_run(database, "BEGIN", err) && (!whole || check_pages(database, ret, err)) &&
	       (ret->damage[0] != '\0' ||
	        (sqlite_number(database, "SELECT count(*) FROM events", &ret->events, err) &&
	         sqlite_number(database, "SELECT count(*) FROM delivery", &ret->deliveries, err) &&
	         sqlite_number(database,
	                       "SELECT coalesce(sum(count), 0) FROM ledger WHERE state = 5",
	                       &ret->told, err) &&
	         sqlite_number(database,
	                       "SELECT max((SELECT coalesce(max(seq), 0) FROM events), "
	                       "coalesce((SELECT value FROM meta WHERE name = 'seq'), 0))",
	                       &ret->stored_seq, err) &&
	         read_newest(database, ret, err) && (!whole || bodies_check(database, ret, err))));
}

bool
store_inspect(const char *path, bool whole, struct inspection *ret, struct error *err)
{
	sqlite3 *database = NULL;
	memset(ret, 0, sizeof(*ret));
	lock_look(path, &ret->marked_seq, &ret->marked_ns); /* first: a service may go on */
	bool good = sqlite_open_reading(&database, path, err) && inspect(database, whole, ret, err);
	(void)sqlite3_close(database);
	return good;
}
