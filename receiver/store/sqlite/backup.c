#include "receiver/store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/bytes.h"
#include "receiver/store/disk.h"
#include "receiver/store/inspection.h"
#include "receiver/store/sqlite/sqlite_priv.h"

#define DRAFT_ENDING \
	".incomplete-%ld" /* with our pid: another backup to the same name has one of its own */

static char *
with(const char *path, const char *ending)
{
	struct buffer text;
	buffer_init(&text, 65536);
	buffer_format(&text, "%s%s", path, ending);
	return buffer_steal(&text);
}

/* The database's size, its WAL's frames among it: the copy may be as large. */
static bool
check_room(const char *path, const char *target, struct error *err)
{
	struct stat file;
	struct stat wal = { .st_size = 0 };
	struct disk there;
	char *wal_path = with(path, "-wal");
	bool good = (stat(path, &file) == 0 || error_system(err, "%s", path)) &&
	            disk_look(target, &there, err);
	(void)stat(wal_path, &wal);
	if (good) {
		int64_t wanted = 2 * (int64_t)(file.st_size + wal.st_size);
		good = there.free_bytes >= wanted ||
		       error_set(err, ERROR_REFUSED,
		                 "%s: %lld MiB are free there, twice the store's size is %lld MiB",
		                 target, (long long)(there.free_bytes >> 20U),
		                 (long long)(wanted >> 20U));
	}
	free(wal_path);
	return good;
}

static bool
copy(const char *path, const char *draft, struct error *err)
{
	sqlite3 *database = NULL;
	int64_t application = 0;
	bool good = sqlite_open_reading(&database, path, err) &&
	            sqlite_number(database, "PRAGMA application_id", &application, err);
	if (good && application != SQLITE_APPLICATION_ID) {
		good = error_set(err, ERROR_REFUSED, "%s is no store of hooklatch", path);
	}
	sqlite3_stmt *statement = NULL;
	if (good &&
	    sqlite3_prepare_v2(database, "VACUUM INTO ?1", -1, &statement, NULL) != SQLITE_OK) {
		good = sqlite_error(err, database, "backup");
	}
	if (good) {
		(void)sqlite3_bind_text(statement, 1, draft, -1, SQLITE_STATIC);
		good = sqlite3_step(statement) == SQLITE_DONE ||
		       sqlite_error(err, database, "backup");
	}
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(database);
	return good;
}

/* Every page, every index, and the sums that the ledger keeps. */
static bool
check_copy(const char *draft, struct backup *ret, struct error *err)
{
	sqlite3 *database = NULL;
	int64_t sound = 0;
	int64_t told = 0;
	bool good =
		sqlite_open_reading(&database, draft, err) &&
		sqlite_number(
			database,
			"SELECT count(*) = 1 AND min(integrity_check) = 'ok' FROM pragma_integrity_check",
			&sound, err) &&
		sqlite_number(database, "SELECT count(*) FROM events", &ret->events, err) &&
		sqlite_number(database, "SELECT count(*) FROM delivery", &ret->deliveries, err) &&
		sqlite_number(database,
	                      "SELECT coalesce(sum(count), 0) FROM ledger WHERE state = 5", &told,
	                      err);
	struct inspection bodies = { 0 };
	good = good && sound == 1 ? bodies_check(database, &bodies, err) : good;
	ret->rotten = bodies.rotten;
	memcpy(ret->first_rotten, bodies.first_rotten, sizeof(ret->first_rotten));
	(void)sqlite3_close(database);
	if (good && sound != 1) {
		good = error_set(
			err, ERROR_STORE_DAMAGED,
			"the copy is not sound, so the store is not: `PRAGMA integrity_check` says where");
	} else if (good && told != ret->deliveries) {
		good = error_set(err, ERROR_STORE_DAMAGED,
		                 "the copy has %lld deliveries, its ledger tells of %lld",
		                 (long long)ret->deliveries, (long long)told);
	}
	return good;
}

static bool
name_copy(const char *path, const char *draft, const char *target, struct backup *ret,
          struct error *err)
{
	struct stat file;
	/* Made by root it is the service's all the same: it may have to take its place. */
	bool good = stat(path, &file) == 0 &&
	            (geteuid() != 0 || chown(draft, file.st_uid, file.st_gid) == 0);
	good = good ? disk_sync_file(draft, err) : error_system(err, "%s", draft);
	if (good && renameat2(AT_FDCWD, draft, AT_FDCWD, target, RENAME_NOREPLACE) != 0) {
		good = error_system(err, "%s", target);
	}
	good = good && disk_sync_directory(target, err) &&
	       (stat(target, &file) == 0 || error_system(err, "%s", target));
	ret->bytes = good ? (int64_t)file.st_size : 0;
	return good;
}

/* While nobody has the store its log was looked at by nobody. */
static bool
check_log(const char *path, struct error *err)
{
	struct inspection_owner owner;
	int64_t commits;
	store_owner(path, &owner);
	return owner.pid != 0 || store_scan_wal(path, &commits, err);
}

/* A file of such a name beside the store is its own: SQLite would read a journal, and end with what it is not. */
static bool
check_name(const char *path, const char *target, struct error *err)
{
	static const char *const endings[] = { "-journal", "-wal", "-shm" };
	const char *own = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
	const char *name = strrchr(target, '/') == NULL ? target : strrchr(target, '/') + 1;
	for (size_t i = 0; i < COUNT(endings); i++) {
		char *taken = with(own, endings[i]);
		bool same = strcmp(name, taken) == 0;
		free(taken);
		if (same) {
			return error_set(
				err, ERROR_REFUSED,
				"%s: SQLite takes a file of this name for a part of the store",
				target);
		}
	}
	return true;
}

bool
store_backup(const char *path, const char *target, struct backup *ret, struct error *err)
{
	char ending[64];
	(void)snprintf(ending, sizeof(ending), DRAFT_ENDING, (long)getpid());
	char *draft = with(target, ending);
	mode_t mask = umask(0077); /* it holds what the events hold */
	bool good = access(target, F_OK) != 0 ||
	            error_set(err, ERROR_REFUSED, "%s is there already", target);
	good = good && check_name(path, target, err) && check_log(path, err) &&
	       check_room(path, target, err);
	if (good) {
		(void)unlink(draft); /* of one that was broken off */
		good = copy(path, draft, err) && check_copy(draft, ret, err) &&
		       name_copy(path, draft, target, ret, err);
		if (!good) {
			(void)unlink(draft);
		}
	}
	(void)umask(mask);
	free(draft);
	return good;
}
