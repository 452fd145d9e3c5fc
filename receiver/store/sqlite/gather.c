#include "receiver/store/sqlite/gather.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

/* The unix VFS cuts a write's size to 17 bits: https://sqlite.org/src/file?name=src/os_unix.c, seekAndWriteFd(). */
#define GATHER_MOST_BYTES ((size_t)124 * 1024)

struct gathered_file {
	sqlite3_file shown;
	sqlite3_file *below; /* behind this struct, in the room that SQLite gives */
	char *data; /* NULL: nothing was written yet, or there is no memory: then nothing is gathered */
	size_t size;
	sqlite3_int64 at; /* where data belongs */
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *below;
	sqlite3_io_methods methods;
	bool registered;
} gather;

static struct gathered_file *
file_of(sqlite3_file *shown)
{
	return (struct gathered_file *)(void *)shown;
}

/* What was gathered is written, or lost with an error: the transaction that needed it fails. */
static int
flush(struct gathered_file *file)
{
	if (file->size == 0) {
		return SQLITE_OK;
	}
	int size = (int)file->size;
	file->size = 0;
	return file->below->pMethods->xWrite(file->below, file->data, size, file->at);
}

static int
on_write(sqlite3_file *shown, const void *data, int size, sqlite3_int64 at)
{
	struct gathered_file *file = file_of(shown);
	size_t more = (size_t)size;
	bool follows = at == file->at + (sqlite3_int64)file->size;
	if (!follows || file->size + more > GATHER_MOST_BYTES) {
		int code = flush(file);
		if (code != SQLITE_OK) {
			return code;
		}
	}
	if (file->data == NULL) {
		file->data = malloc(GATHER_MOST_BYTES);
	}
	if (file->data == NULL || more > GATHER_MOST_BYTES) {
		return file->below->pMethods->xWrite(file->below, data, size, at);
	}
	if (file->size == 0) {
		file->at = at;
	}
	memcpy(file->data + file->size, data, more);
	file->size += more;
	return SQLITE_OK;
}

/* What is still there was never synced: it belongs to a transaction that is no more. */
static int
on_close(sqlite3_file *shown)
{
	struct gathered_file *file = file_of(shown);
	free(file->data);
	return file->below->pMethods->xClose(file->below);
}

static int
on_read(sqlite3_file *shown, void *data, int size, sqlite3_int64 at)
{
	struct gathered_file *file = file_of(shown);
	int code = flush(file);
	return code == SQLITE_OK ? file->below->pMethods->xRead(file->below, data, size, at) : code;
}

static int
on_truncate(sqlite3_file *shown, sqlite3_int64 size)
{
	struct gathered_file *file = file_of(shown);
	int code = flush(file);
	return code == SQLITE_OK ? file->below->pMethods->xTruncate(file->below, size) : code;
}

static int
on_sync(sqlite3_file *shown, int flags)
{
	struct gathered_file *file = file_of(shown);
	int code = flush(file);
	return code == SQLITE_OK ? file->below->pMethods->xSync(file->below, flags) : code;
}

static int
on_size(sqlite3_file *shown, sqlite3_int64 *size)
{
	struct gathered_file *file = file_of(shown);
	int code = flush(file);
	return code == SQLITE_OK ? file->below->pMethods->xFileSize(file->below, size) : code;
}

static int
on_lock(sqlite3_file *shown, int level)
{
	struct gathered_file *file = file_of(shown);
	return file->below->pMethods->xLock(file->below, level);
}

static int
on_unlock(sqlite3_file *shown, int level)
{
	struct gathered_file *file = file_of(shown);
	return file->below->pMethods->xUnlock(file->below, level);
}

static int
on_reserved(sqlite3_file *shown, int *result)
{
	struct gathered_file *file = file_of(shown);
	return file->below->pMethods->xCheckReservedLock(file->below, result);
}

static int
on_control(sqlite3_file *shown, int operation, void *argument)
{
	struct gathered_file *file = file_of(shown);
	int code = flush(file);
	return code == SQLITE_OK
	               ? file->below->pMethods->xFileControl(file->below, operation, argument)
	               : code;
}

static int
on_sector_size(sqlite3_file *shown)
{
	struct gathered_file *file = file_of(shown);
	return file->below->pMethods->xSectorSize(file->below);
}

static int
on_characteristics(sqlite3_file *shown)
{
	struct gathered_file *file = file_of(shown);
	return file->below->pMethods->xDeviceCharacteristics(file->below);
}

/* Everything but the write-ahead log is the VFS's below, without a layer between. */
static int
on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *shown, int flags, int *out_flags)
{
	(void)vfs;
	sqlite3_vfs *below = gather.below;
	if ((flags & SQLITE_OPEN_WAL) == 0) {
		return below->xOpen(below, name, shown, flags, out_flags);
	}
	struct gathered_file *file = file_of(shown);
	memset(file, 0, sizeof(*file));
	file->below = (sqlite3_file *)(void *)(file + 1);
	int code = below->xOpen(below, name, file->below, flags, out_flags);
	if (file->below->pMethods != NULL) { /* else xClose() is not called */
		shown->pMethods = &gather.methods;
	}
	return code;
}

static int
on_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	return gather.below->xDelete(gather.below, name, sync);
}

static int
on_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
	(void)vfs;
	return gather.below->xAccess(gather.below, name, flags, result);
}

static int
on_path(sqlite3_vfs *vfs, const char *name, int room, char *result)
{
	(void)vfs;
	return gather.below->xFullPathname(gather.below, name, room, result);
}

static int
on_random(sqlite3_vfs *vfs, int size, char *result)
{
	(void)vfs;
	return gather.below->xRandomness(gather.below, size, result);
}

static int
on_sleep(sqlite3_vfs *vfs, int microseconds)
{
	(void)vfs;
	return gather.below->xSleep(gather.below, microseconds);
}

static int
on_time(sqlite3_vfs *vfs, double *julian)
{
	(void)vfs;
	return gather.below->xCurrentTime(gather.below, julian);
}

static int
on_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *julian_ms)
{
	(void)vfs;
	return gather.below->xCurrentTimeInt64(gather.below, julian_ms);
}

static int
on_last_error(sqlite3_vfs *vfs, int size, char *text)
{
	(void)vfs;
	return gather.below->xGetLastError(gather.below, size, text);
}

static void
register_vfs(void)
{
	sqlite3_vfs *below = sqlite3_vfs_find(NULL);
	if (below == NULL || below->iVersion < 2) {
		return;
	}
	gather.below = below;
	gather.methods = (sqlite3_io_methods){ .iVersion = 1,
		                               .xClose = on_close,
		                               .xRead = on_read,
		                               .xWrite = on_write,
		                               .xTruncate = on_truncate,
		                               .xSync = on_sync,
		                               .xFileSize = on_size,
		                               .xLock = on_lock,
		                               .xUnlock = on_unlock,
		                               .xCheckReservedLock = on_reserved,
		                               .xFileControl = on_control,
		                               .xSectorSize = on_sector_size,
		                               .xDeviceCharacteristics = on_characteristics };
	gather.vfs = (sqlite3_vfs){ .iVersion = 2,
		                    .szOsFile = (int)sizeof(struct gathered_file) + below->szOsFile,
		                    .mxPathname = below->mxPathname,
		                    .zName = "hooklatch",
		                    .xOpen = on_open,
		                    .xDelete = on_delete,
		                    .xAccess = on_access,
		                    .xFullPathname = on_path,
		                    .xRandomness = on_random,
		                    .xSleep = on_sleep,
		                    .xCurrentTime = on_time,
		                    .xGetLastError = on_last_error,
		                    .xCurrentTimeInt64 = on_time_ms };
	gather.registered = sqlite3_vfs_register(&gather.vfs, 0) == SQLITE_OK;
}

const char *
gather_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, register_vfs);
	return gather.registered ? gather.vfs.zName : NULL;
}

void
gather_drop(sqlite3 *database)
{
	sqlite3_file *log = NULL;
	if (sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log) ==
	            SQLITE_OK &&
	    log != NULL && log->pMethods == &gather.methods) {
		file_of(log)->size = 0;
	}
}
