#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/store/disk.h"
#include "receiver/store/sqlite/migrations.h"
#include "receiver/store/sqlite/sqlite_priv.h"

#define BACKUP_MOST_BYTES (1024LL * 1024 * 1024) /* a larger file is migrated without a copy */

int
migrate_newest(void)
{
	return migration_count == 0 ? 0 : migrations[migration_count - 1].version;
}

/* The schema's version; 0 for an empty file. */
static bool
current_version(sqlite3 *database, int64_t *version, struct error *err)
{
	int64_t tables;
	if (!sqlite_number(database,
	                   "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'",
	                   &tables, err)) {
		return false;
	}
	*version = 0;
	return tables == 0 ||
	       sqlite_number(database, "SELECT coalesce(max(version), 0) FROM schema_migrations",
	                     version, err);
}

static bool
apply(sqlite3 *database, const struct migration *migration, struct error *err)
{
	char version[24];
	char when[CLOCK_TEXT_BYTES];
	(void)snprintf(version, sizeof(version), "%d", migration->version);
	clock_text(clock_wall_ns(), when);
	char *record = sqlite3_mprintf(
		"INSERT INTO schema_migrations (version, name, applied_at) VALUES (%s, %Q, %Q)",
		version, migration->name, when);
	ALWAYS(record != NULL, "migration-record");
	bool good = sqlite_run(database, "BEGIN IMMEDIATE", err) &&
	            sqlite_run(database, migration->sql, err) &&
	            sqlite_run(database, record, err) && sqlite_run(database, "COMMIT", err);
	sqlite3_free(record);
	if (!good) {
		(void)sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
		(void)error_prefix(err, "migration %s", migration->name);
	}
	return good;
}

/* While the file is small a copy of it is made first. It and the end of its journal are on the disk before the schema changes;
 * what a start left that was broken off, in the copy or behind it, is made anew. */
static bool
copy_before(sqlite3 *database, const char *path, int64_t version, struct error *err)
{
	struct stat status;
	if (stat(path, &status) != 0 || status.st_size > BACKUP_MOST_BYTES) {
		return true;
	}
	char *copy = sqlite3_mprintf("%s.before-%04d", path, (int)version + 1);
	char *journal = sqlite3_mprintf("%s-journal", copy);
	char *sql = sqlite3_mprintf("VACUUM INTO %Q", copy);
	ALWAYS(copy != NULL && journal != NULL && sql != NULL, "backup-name");
	mode_t mask = umask(0077); /* it holds what the events hold */
	(void)unlink(copy);
	(void)unlink(journal);
	bool good = sqlite_run(database, sql, err) && disk_sync_file(copy, err) &&
	            disk_sync_directory(path, err);
	(void)umask(mask);
	sqlite3_free(sql);
	sqlite3_free(journal);
	sqlite3_free(copy);
	return good;
}

bool
migrate_may(sqlite3 *database, const char *path, struct error *err)
{
	int64_t version;
	if (!current_version(database, &version, err)) {
		return false;
	}
	return version <= migrate_newest() ||
	       error_set(
		       err, ERROR_REFUSED,
		       "%s has schema version %lld; this program knows versions up to %d. Use the newer "
		       "hooklatch that made it, or restore a backup from before",
		       path, (long long)version, migrate_newest());
}

bool
migrate(sqlite3 *database, const char *path, int *applied, struct error *err)
{
	int64_t version;
	*applied = 0;
	if (!current_version(database, &version, err)) {
		return false;
	}
	if (version > 0 && version < migrate_newest() &&
	    !copy_before(database, path, version, err)) {
		return false;
	}
	for (size_t i = 0; i < migration_count; i++) {
		if (migrations[i].version > version) {
			if (!apply(database, &migrations[i], err)) {
				return false;
			}
			(*applied)++;
		}
	}
	return true;
}
