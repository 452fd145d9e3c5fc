/* A SQLite VFS (https://sqlite.org/vfs.html) over the default one that gathers the writes of the write-ahead log. SQLite writes each
 * frame as 24 bytes and a page; half of a commit's cost are these calls. What follows on what came before is collected and written
 * in one piece when it is to be synced, or before anything could see that it is missing. Order and durability stay as they are: with
 * synchronous=FULL a frame enters the log's index only after its sync, and a write that failed is reported by the sync that
 * needed it. Threads: the connection's. Only the writer opens its database with it. */
#ifndef HOOKLATCH_STORE_SQLITE_GATHER_H
#define HOOKLATCH_STORE_SQLITE_GATHER_H

#include <sqlite3.h>

/* Its name, for sqlite3_open_v2(); NULL (the default VFS) when it cannot be registered. */
const char *gather_vfs(void);
/* After a transaction that was rolled back: what it had written beyond SQLite's cache must not be written later, over what somebody
 * else may have put there since. */
void gather_drop(sqlite3 *database);

#endif
