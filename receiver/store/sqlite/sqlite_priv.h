/* What the files of the SQLite store share: errors, statements, the lock, the WAL. */
#ifndef HOOKLATCH_STORE_SQLITE_SQLITE_PRIV_H
#define HOOKLATCH_STORE_SQLITE_SQLITE_PRIV_H

#include <sqlite3.h>

#include "receiver/store/store.h"

#define SQLITE_APPLICATION_ID 0x686c6368 /* "hlch" */
#define SQLITE_BUSY_MS        2000
#define SQLITE_CACHE_KIB      2048

/* error.c: what SQLite said, as our kinds. FULL, BUSY, or BAD. */
bool sqlite_error(struct error *err, sqlite3 *database, const char *what);
bool sqlite_run(sqlite3 *database, const char *sql, struct error *err) MUST_CHECK;
bool sqlite_number(sqlite3 *database, const char *sql, int64_t *ret, struct error *err) MUST_CHECK;

/* reading.c: a connection that changes nothing, not even when it closes. To be closed even when it failed. */
bool sqlite_open_reading(sqlite3 **ret, const char *path, struct error *err) MUST_CHECK;

/* lock.c */
struct lock {
	int fd;
	char *path;
	bool serving;
	int64_t mark_seq; /* what the last service on this store had stored, and when; 0: not known */
	int64_t mark_ns;
};
/* One process owns a store. ERROR_LOCKED names the pid of the owner. */
bool lock_take(struct lock *lock, const char *store_path, bool serving, struct error *err)
	MUST_CHECK;
/* What the last service on a store noted; 0: nothing. */
void lock_look(const char *store_path, int64_t *seq, int64_t *wall_ns);
/* Notes what is stored by now. A mark that cannot be written is none. */
void lock_mark(struct lock *lock, int64_t seq, int64_t wall_ns);
/* Whether the file is still the one that was locked: another process may own one of the same name by now. Any thread. */
bool lock_held(const struct lock *lock, struct error *err) MUST_CHECK;
void lock_release(struct lock *lock);

/* holder.c: the pid of the process that owns the store, and of the one that holds its write lock; 0: none but us. */
long holder_of_store(const char *store_path);
long holder_of_writing(const char *store_path);
/* The pid of another service that has the store open; 0: none is known. */
long holder_of_file(const char *store_path);

/* wal_scan.c: before SQLite opens the file. */
struct wal_state {
	bool there;
	int64_t frames;       /* valid ones from the start */
	int64_t commits;      /* among them */
	int64_t lost_commits; /* with current salts, behind the first bad frame */
	int64_t good_bytes;   /* up to the last valid commit */
	int64_t tail_bytes;   /* up to the last frame with current salts */
};
/* Reads the WAL; ERROR_STORE_DAMAGED when two or more commits lie behind a frame that is bad. */
bool wal_scan(const char *store_path, struct wal_state *state, struct error *err) MUST_CHECK;
/* Writes its bytes back in place and syncs them: the page cache may hold what the disk never got. A torn tail becomes
 * zeros: a checkpoint may be held up, and then commits of two lives behind one bad frame would look like damage. */
bool wal_rewrite(const char *store_path, const struct wal_state *state, struct error *err)
	MUST_CHECK;
/* Copies it aside as it is; *kept, the copy's name, is the caller's even when that failed. */
bool wal_keep(const char *store_path, char **kept, struct error *err) MUST_CHECK;
/* Copies a damaged WAL aside, as wal_keep() does, and cuts it behind its last valid commit. */
bool wal_salvage(const char *store_path, const struct wal_state *state, char **kept,
                 struct error *err) MUST_CHECK;

/* inspection.c: compares each body with its checksum; counts into bodies and rotten. */
struct inspection;
bool bodies_check(sqlite3 *database, struct inspection *ret, struct error *err) MUST_CHECK;

/* migrate.c */
/* ERROR_REFUSED when a newer program made it. Changes nothing. */
bool migrate_may(sqlite3 *database, const char *path, struct error *err) MUST_CHECK;
bool migrate(sqlite3 *database, const char *path, int *applied, struct error *err) MUST_CHECK;
int migrate_newest(void);

/* Texts of RFC 3339 times in columns. */
void bind_time(sqlite3_stmt *statement, int index, int64_t wall_ns);
void bind_text(sqlite3_stmt *statement, int index,
               const char *text); /* NULL is NULL; static or kept until step */
void bind_span(sqlite3_stmt *statement, int index, struct span text);

#endif
