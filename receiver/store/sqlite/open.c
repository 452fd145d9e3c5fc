/* The order of start (ARCHITECTURE: lock, file system, WAL, open, identity, newest and oldest rows, checkpoint, durable
 * no-op, migrations). A start after a kill is the same start: recovery is the common path. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/store/disk.h"
#include "receiver/store/sqlite/gather.h"
#include "receiver/store/sqlite/writer_priv.h"

static bool
check_file_system(const char *path, struct error *err)
{
	struct disk disk;
	if (!disk_look(path, &disk, err)) {
		return false;
	}
	if (disk.kind == DISK_NETWORK) {
		return error_set(
			err, ERROR_REFUSED,
			"the store is on a network file system (%s); SQLite's WAL needs a local one",
			disk.name);
	}
	if (disk.kind == DISK_MEMORY) {
		log_say(LOG_WARN, "store.not_durable",
		        "the store is in memory (%s): a power cut loses all of it", disk.name);
	}
	return true;
}

/* A backup is not in WAL mode, and a database that has a log is: then the log is of another one. Before SQLite opens the file:
 * closing it here lets go of no lock. https://sqlite.org/fileformat2.html section 1.3.3 */
static bool
check_pair(const char *path, struct error *err)
{
	unsigned char header[20] = { 0 };
	struct stat log;
	struct buffer name;
	buffer_init(&name, 65536);
	buffer_format(&name, "%s-wal", path);
	char *wal = buffer_steal(&name);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* it may be anything */
	bool whole = fd >= 0 && pread(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header);
	if (fd >= 0) {
		(void)close(fd);
	}
	bool foreign = whole && memcmp(header, "SQLite format 3", 16) == 0 && header[18] == 1 &&
	               header[19] == 1 && stat(wal, &log) == 0 && log.st_size > 0;
	if (foreign) {
		(void)error_set(
			err, ERROR_REFUSED,
			"%s is a copy that never had a log, and beside it lies %s of another database: remove that and the -shm",
			path, wal);
	}
	free(wal);
	return !foreign;
}

static bool
check_wal(struct store *store, const struct store_options *options, struct error *err)
{
	struct wal_state state;
	if (!wal_scan(options->path, &state, err)) {
		if (err->kind != ERROR_STORE_DAMAGED || !options->salvage_wal) {
			return false;
		}
		char *kept = NULL;
		bool salvaged = wal_salvage(options->path, &state, &kept, err);
		if (salvaged) {
			log_say(LOG_WARN, "store.salvaged",
			        "%lld commits were good; the damaged file is kept as %s",
			        (long long)state.commits, kept);
		}
		free(kept);
		if (!salvaged) {
			return false;
		}
		state.tail_bytes = state.good_bytes; /* the rest was cut */
	}
	if (state.tail_bytes > state.good_bytes) {
		log_say(LOG_WARN, "store.torn",
		        "the write-ahead log has a torn tail: %lld bytes behind commit %lld are dropped, as a batch that was never synced",
		        (long long)(state.tail_bytes - state.good_bytes), (long long)state.commits);
		/* One commit behind the tear may be such a batch, or a damaged last one: judge_age() knows. */
		if (store->serving && state.lost_commits > 0 &&
		    !wal_keep(options->path, &store->torn_log, err)) {
			return false;
		}
	}
	return !state.there || wal_rewrite(options->path, &state, err);
}

static bool
check_identity(struct store *store, struct error *err)
{
	int64_t application;
	int64_t tables;
	if (!sqlite_number(store->database, "PRAGMA application_id", &application, err) ||
	    !sqlite_number(store->database, "SELECT count(*) FROM sqlite_schema", &tables, err)) {
		return error_prefix(err, "%s cannot be read; it is kept as it is. Restore a backup",
		                    store->path);
	}
	if (application != SQLITE_APPLICATION_ID && (application != 0 || tables != 0)) {
		return error_set(err, ERROR_REFUSED,
		                 "%s is a database of another program; it is left alone",
		                 store->path);
	}
	int64_t known = 0;
	if (!sqlite_number(store->database,
	                   "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'",
	                   &known, err)) {
		return false;
	}
	if (tables > 0 && known == 0) {
		return error_set(
			err, ERROR_STORE_DAMAGED,
			"%s has lost the table schema_migrations; it is kept as it is. Restore a backup",
			store->path);
	}
	return tables == 0 || migrate_may(store->database, store->path, err);
}

/* SQLite's own words for it would be of a disk. */
static bool
check_rights(const char *path, struct error *err)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	bool good = true;
	for (size_t i = 0; good && i < COUNT(endings); i++) {
		struct buffer text;
		buffer_init(&text, 65536);
		buffer_format(&text, "%s%s", path, endings[i]);
		char *name = buffer_steal(&text);
		struct stat status;
		if (i == 0 && stat(name, &status) == 0 && status.st_nlink > 1) {
			good = error_set(
				err, ERROR_REFUSED,
				"%s has %ld names (hard links): each would have a log and a lock of its own",
				name, (long)status.st_nlink);
		} else if (access(name, R_OK | W_OK) != 0 && errno != ENOENT) {
			good = error_system(err, "%s: this user must be able to read and write it",
			                    name);
		}
		free(name);
	}
	return good;
}

static bool
set_up(struct store *store, struct error *err)
{
	char cache[64];
	(void)snprintf(cache, sizeof(cache), "PRAGMA cache_size = -%d", SQLITE_CACHE_KIB);
	return sqlite_run(store->database, "PRAGMA page_size = 4096", err) &&
	       sqlite_run(store->database, "PRAGMA journal_mode = WAL", err) &&
#ifdef HOOKLATCH_NEGATIVE_SYNCHRONOUS_NORMAL
	       sqlite_run(store->database, "PRAGMA synchronous = NORMAL",
	                  err) && /* a build that must be caught */
#else
	       sqlite_run(store->database, "PRAGMA synchronous = FULL", err) &&
#endif
	       sqlite_run(store->database, "PRAGMA wal_autocheckpoint = 0", err) &&
	       sqlite_run(store->database, "PRAGMA cell_size_check = 1", err) &&
	       sqlite_run(store->database, "PRAGMA trusted_schema = 0", err) &&
	       sqlite_run(store->database, "PRAGMA temp_store = MEMORY", err) &&
	       sqlite_run(store->database, cache, err);
}

static bool
ON_THREAD(store_thread) open_database(struct store *store, struct error *err)
{
	mode_t mask = umask(0027);
#ifdef HOOKLATCH_NEGATIVE_SYNCHRONOUS_NORMAL
	const char *vfs = NULL; /* what is not synced would be gathered for ever */
#else
	const char *vfs = gather_vfs();
#endif
	int code = sqlite3_open_v2(store->path, &store->database,
	                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	                           vfs);
	(void)umask(mask);
	if (code != SQLITE_OK) {
		(void)sqlite_error(err, store->database, "cannot open the store");
		return error_prefix(err, "%s", store->path);
	}
	(void)sqlite3_extended_result_codes(store->database, 1);
	(void)sqlite3_busy_timeout(store->database, SQLITE_BUSY_MS);
	int keep = 1;
	(void)sqlite3_file_control(store->database, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	sandbox_install(&store->sandbox, store->database);
	if (!check_identity(store, err)) {
		/* A fresh -shm needs room: the space that was set aside is there for such. */
		if (err->kind != ERROR_STORE_FULL || !store->reserve.held) {
			return false;
		}
		writer_failed(store, err);
		if (!check_identity(store, err)) {
			return false;
		}
	}
	return set_up(store, err) && filter_functions(store->database, err);
}

/* The newest and the oldest row of each table, so that rot at the edges shows before an answer depends on it. */
static bool
touch_tables(struct store *store, struct error *err)
{
	static const char *const sql[] = {
		"SELECT count(*) FROM (SELECT * FROM events ORDER BY seq LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM events ORDER BY seq DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM delivery ORDER BY seq LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM delivery ORDER BY seq DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM attempt ORDER BY id DESC LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM dead_letter ORDER BY id DESC LIMIT 1)",
	};
	for (size_t i = 0; i < COUNT(sql); i++) {
		int64_t ignored;
		if (!sqlite_number(store->database, sql[i], &ignored, err)) {
			return err->kind == ERROR_STORE_FULL || err->kind == ERROR_STORE_BUSY
			               ? false
			               : error_prefix(
						 err,
						 "%s is not whole; it is kept as it is. Restore a backup",
						 store->path);
		}
	}
	return true;
}

static char *
suspect_path(const char *path)
{
	struct buffer text;
	buffer_init(&text, 65536);
	buffer_format(&text, "%s.suspect", path);
	return buffer_steal(&text);
}

/* A life that ended on a storage error left a mark: then the whole file is looked at, once. */
static bool
check_suspect(struct store *store, struct error *err)
{
	char *mark = suspect_path(store->path);
	bool good = true;
	if (access(mark, F_OK) == 0) {
		log_say(LOG_WARN, "store.checking",
		        "the last life ended on a storage error: checking the whole database");
		sqlite3_stmt *statement;
		good = sqlite3_prepare_v2(store->database, "PRAGMA quick_check(1)", -1, &statement,
		                          NULL) == SQLITE_OK &&
		       sqlite3_step(statement) == SQLITE_ROW;
		if (!good) {
			(void)sqlite_error(err, store->database, "quick_check");
		} else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
			good = error_set(
				err, ERROR_STORE_BAD,
				"%s is corrupt: %s. Restore a backup and ask the providers to "
				"redeliver what came since",
				store->path, (const char *)sqlite3_column_text(statement, 0));
		}
		(void)sqlite3_finalize(statement);
		if (good) {
			(void)unlink(mark);
		}
	}
	free(mark);
	return good;
}

/* What it was dropped for was not acknowledged. */
static void
drop_torn_log(struct store *store)
{
	if (store->torn_log != NULL) {
		(void)unlink(store->torn_log);
		free(store->torn_log);
		store->torn_log = NULL;
	}
}

/* A copy of the store that is older than what the last service had acknowledged: what came between is not here. It is said
 * aloud, and its numbers are not used again. */
static bool
judge_age(struct store *store, struct error *err)
{
	if (store->lock.mark_seq <= store->stored_seq) {
		drop_torn_log(store);
		return true;
	}
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(store->database,
	                       "SELECT received_at FROM events ORDER BY seq DESC LIMIT 1", -1,
	                       &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, "the newest event");
	}
	char until[CLOCK_TEXT_BYTES];
	bool some = sqlite3_step(statement) == SQLITE_ROW;
	clock_text(store->lock.mark_ns, until);
	struct log_line line;
	log_begin(
		&line, LOG_ERROR, "store.older",
		"this store ends before what was acknowledged on it: %lld events are missing, received after %s and up to "
		"%s; ask the providers to redeliver what they sent in that time%s%s",
		(long long)(store->lock.mark_seq - store->stored_seq),
		some ? (const char *)sqlite3_column_text(statement, 0) : "its beginning", until,
		store->torn_log == NULL ? "" : ". The log as it was found is kept as ",
		store->torn_log == NULL ? "" : store->torn_log);
	log_number(&line, "missing", store->lock.mark_seq - store->stored_seq);
	log_end(&line);
	(void)sqlite3_finalize(statement);
	store->stored_seq = store->lock.mark_seq;
	return true;
}

static bool
load_seq(struct store *store, struct error *err)
{
	int64_t stored;
	int64_t newest;
	if (!sqlite_number(store->database, "SELECT value FROM meta WHERE name = 'seq'", &stored,
	                   err) ||
	    !sqlite_number(store->database, "SELECT max(seq) FROM events", &newest, err)) {
		return false;
	}
	store->stored_seq = stored > newest ? stored : newest;
	if (!judge_age(store, err)) {
		return false;
	}
	store->next_seq = store->stored_seq + 1;
	return true;
}

/* The whole WAL into the database, and one commit that is synced: only then does this life answer. */
static bool
settle_file(struct store *store, struct error *err)
{
	char identity[128];
	(void)snprintf(identity, sizeof(identity), "PRAGMA application_id = %d",
	               SQLITE_APPLICATION_ID);
	if (sqlite3_wal_checkpoint_v2(store->database, "main", SQLITE_CHECKPOINT_RESTART, NULL,
	                              NULL) != SQLITE_OK) {
		(void)sqlite_error(err, store->database, "checkpoint at start");
		if (err->kind !=
		    ERROR_STORE_BUSY) { /* a reader may hold it up; nothing depends on it */
			return false;
		}
	}
	return sqlite_run(store->database, "BEGIN IMMEDIATE", err) &&
	       sqlite_run(store->database, identity, err) &&
	       sqlite_run(store->database, "COMMIT", err);
}

static bool
ON_THREAD(store_thread) prepare(struct store *store, struct error *err)
{
	int applied = 0;
	int64_t known = 0;
	if (!sqlite_number(store->database,
	                   "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'",
	                   &known, err)) {
		return false;
	}
	if (!settle_file(store, err)) {
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
		if (err->kind != ERROR_STORE_FULL || known == 0) {
			return false;
		}
		writer_failed(
			store,
			err); /* it listens, is not ready, answers 503, and recovers by itself */
	}
	if (!migrate(store->database, store->path, &applied, err)) {
		return false;
	}
	if (applied > 0) {
		log_say(LOG_INFO, "store.migrated", "the schema is at version %d",
		        migrate_newest());
	}
	return touch_tables(store, err) && check_suspect(store, err) && names_load(store, err) &&
	       load_seq(store, err) && ledger_load(store, err) && statements_prepare(store, err) &&
	       replays_load(store, err) && purge_load(store, err);
}

static bool
set_aside(struct store *store, struct error *err)
{
	if (!store->serving) {
		return true;
	}
	if (!reserve_open(&store->reserve, store->path, err)) {
		return false;
	}
	if (!reserve_hold(&store->reserve)) {
		log_say(LOG_WARN, "store.no_reserve",
		        "no room to set %d KiB aside: on a full disk the results of running handlers will have to wait",
		        RESERVE_BYTES / 1024);
	}
	return true;
}

bool
store_open(struct store **ret, const struct store_options *options, struct error *err)
{
	struct store *store = memory_need(sizeof(*store));
	store->path = memory_text(options->path);
	store->serving = options->serving;
	store->lock.fd = -1;
	store->reserve.fd = -1;
	store->inbox.fd = -1;
	store->waiting_tail = &store->waiting;
	store->effects_tail = &store->effects;
	store->lease_at_ns = 0; /* looked up in the first turn */
	atomic_store(&store->waiting_most, INT64_MAX);
	(void)pthread_mutex_init(&store->text_lock, NULL);
	(void)pthread_mutex_init(&store->notes_lock, NULL);
	thread_become(&store_thread); /* nobody else knows the store yet */
	thread_is(&store_thread);
	bool good =
		queue_init(&store->inbox, err) && check_file_system(store->path, err) &&
		lock_take(&store->lock, store->path, options->serving, err) &&
		set_aside(store, err) && check_rights(store->path, err) &&
		check_pair(store->path, err) && check_wal(store, options, err) &&
		open_database(store, err) && prepare(store, err) &&
		/* SQLite makes nothing of a sync of the directory that fails: the names of fresh files may be lost. */
		disk_sync_directory(store->path, err);
	thread_become(NULL);
	if (!good) {
		store_close(store);
		return false;
	}
	*ret = store;
	return true;
}
