/* The SQLite VFS of the disk in memory, as os_unix.c is of a real one: a journal or WAL that was made is synced together with its
 * name, shared memory is gone when the last connection is. One connection a file, so that locks are always free. */
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "receiver/base/bytes.h"
#include "receiver/base/random.h"

#include "tests/faults/torn/disk.h"

#define REGIONS_MOST 16

struct vfs_file {
	sqlite3_file base;
	int file;
	bool new_name; /* to be synced with the file */
	int keep_wal;
	int lock;
	void *regions[REGIONS_MOST];
};

static sqlite3_vfs vfs;
static struct random chance;

static struct vfs_file *
ours(sqlite3_file *file)
{
	return (struct vfs_file *)(void *)file;
}

static int
file_close(sqlite3_file *file)
{
	for (size_t i = 0; i < REGIONS_MOST; i++) {
		free(ours(file)->regions[i]);
		ours(file)->regions[i] = NULL;
	}
	return SQLITE_OK;
}

static int
file_read(sqlite3_file *file, void *data, int size, sqlite3_int64 at)
{
	size_t got = disk_read(ours(file)->file, (size_t)at, data, (size_t)size);
	if (got == (size_t)size) {
		return SQLITE_OK;
	}
	memset((char *)data + got, 0, (size_t)size - got);
	return SQLITE_IOERR_SHORT_READ;
}

static int
file_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
	disk_write(ours(file)->file, (size_t)at, data, (size_t)size);
	return SQLITE_OK;
}

static int
file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	disk_cut(ours(file)->file, (size_t)size);
	return SQLITE_OK;
}

static int
file_sync(sqlite3_file *file, int flags)
{
	(void)flags;
	disk_sync(ours(file)->file, ours(file)->new_name);
	ours(file)->new_name = false;
	return SQLITE_OK;
}

static int
file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	*size = (sqlite3_int64)disk_size(ours(file)->file);
	return SQLITE_OK;
}

static int
file_lock(sqlite3_file *file, int lock)
{
	ours(file)->lock = lock > ours(file)->lock ? lock : ours(file)->lock;
	return SQLITE_OK;
}

static int
file_unlock(sqlite3_file *file, int lock)
{
	ours(file)->lock = lock;
	return SQLITE_OK;
}

static int
file_check_lock(sqlite3_file *file, int *held)
{
	*held = ours(file)->lock >= SQLITE_LOCK_RESERVED;
	return SQLITE_OK;
}

static int
file_control(sqlite3_file *file, int what, void *argument)
{
	int *number = argument;
	switch (what) {
	case SQLITE_FCNTL_PERSIST_WAL:
		if (*number >= 0) {
			ours(file)->keep_wal = *number;
		}
		*number = ours(file)->keep_wal;
		return SQLITE_OK;
	case SQLITE_FCNTL_HAS_MOVED:
	case SQLITE_FCNTL_LAST_ERRNO: *number = 0; return SQLITE_OK;
	default: return SQLITE_NOTFOUND;
	}
}

static int
file_sector(sqlite3_file *file)
{
	(void)file;
	return 4096; /* what os_unix.c says */
}

static int
file_device(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as os_unix.c says by itself */
}

static int
shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
	if (region >= REGIONS_MOST) {
		return SQLITE_FULL;
	}
	if (ours(file)->regions[region] == NULL && extend != 0) {
		ours(file)->regions[region] = memory_need((size_t)size);
	}
	*ret = ours(file)->regions[region];
	return SQLITE_OK;
}

static int
shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
	(void)file;
	(void)offset;
	(void)count;
	(void)flags;
	return SQLITE_OK;
}

static void
shm_barrier(sqlite3_file *file)
{
	(void)file;
	__sync_synchronize();
}

static int
shm_unmap(sqlite3_file *file, int remove)
{
	(void)remove;
	return file_close(file);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
	.xShmMap = shm_map,
	.xShmLock = shm_lock,
	.xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

static int
vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	(void)self;
	struct vfs_file *opened = ours(file);
	memset(opened, 0, sizeof(*opened));
	if (name == NULL || !disk_holds(name)) {
		return SQLITE_CANTOPEN; /* everything temporary is in memory */
	}
	opened->file = disk_open(name, false);
	if (opened->file == DISK_NONE) {
		if ((flags & SQLITE_OPEN_CREATE) == 0) {
			return SQLITE_CANTOPEN;
		}
		opened->file = disk_open(name, true);
		opened->new_name = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
	}
	opened->base.pMethods = &methods;
	if (out_flags != NULL) {
		*out_flags = flags;
	}
	return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *self, const char *name, int sync)
{
	(void)self;
	return disk_remove(name, sync != 0) ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

/* As os_unix.c: an empty file does not exist. */
static int
vfs_access(sqlite3_vfs *self, const char *name, int flags, int *ret)
{
	(void)self;
	int file = disk_open(name, false);
	*ret = file != DISK_NONE && (flags != SQLITE_ACCESS_EXISTS || disk_size(file) > 0);
	return SQLITE_OK;
}

static int
vfs_path(sqlite3_vfs *self, const char *name, int room, char *ret)
{
	(void)self;
	(void)sqlite3_snprintf(room, ret, "%s", name);
	return SQLITE_OK;
}

static int
vfs_random(sqlite3_vfs *self, int size, char *ret)
{
	(void)self;
	for (int i = 0; i < size; i++) {
		ret[i] = (char)random_up_to(&chance, 255);
	}
	return size;
}

void
vfs_register(uint64_t seed)
{
	random_seed(&chance, seed);
	vfs = *sqlite3_vfs_find(NULL); /* clocks and sleep are the machine's */
	vfs.zName = "torn";
	vfs.pNext = NULL;
	vfs.szOsFile = (int)sizeof(struct vfs_file);
	vfs.xOpen = vfs_open;
	vfs.xDelete = vfs_delete;
	vfs.xAccess = vfs_access;
	vfs.xFullPathname = vfs_path;
	vfs.xRandomness = vfs_random;
	(void)sqlite3_vfs_register(&vfs, 1);
}
