/* LD_PRELOAD library, linked together with kill_preload.c: the power goes off at the n-th storage call.
 *
 * SIGKILL leaves in the page cache what was written and not synced; a power cut does not. So this library keeps, in a
 * directory elsewhere, for the database and its -wal a shadow: the file as the disk has it at the least.
 *   - At load the shadow is a copy of the file: the process starts on a disk without anything unsynced.
 *   - A write or ftruncate changes the file only; its range is noted.
 *   - An fsync or fdatasync that succeeds copies the noted ranges and the size into the shadow, before the program sees
 *     it succeed. One that fails forgets them: Linux calls such pages clean and never writes them again.
 *   - Directory entries change at once (unlink, rename; a new file is there, empty): a journal may commit them at any
 *     time, the contents not until they are synced.
 * When the process has died, at whatever instant, the test puts the shadows in place of the files: that is the disk after
 * the power cut. -shm is volatile; the test removes it or leaves what it holds.
 *
 *   HOOKLATCH_SHADOW      the directory; the files in it are named like the store's
 *   HOOKLATCH_POWER_KEEP  a seed: at the cut each unsynced sector of 512 bytes, and the size, reaches the disk or not, by
 *                         a coin. Unset or 0: nothing unsynced does.
 *
 * Not modelled: O_DSYNC, sync(2), syncfs(2), sync_file_range(2) (none makes anything durable here), O_TRUNC. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload.h"

#define SECTOR_BYTES 512

struct range {
	off_t offset, end;
};

struct unsynced {
	char path[PATH_MAX + 8], shadow[PATH_MAX + 8];
	struct range *ranges;
	size_t n, room;
	off_t least_size; /* the smallest that ftruncate made it since the last sync */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct unsynced files[STORE_WAL + 1];
static uint64_t keep;

static void
give_up(const char *what)
{
	fprintf(stderr, "power_preload: %s: %s\n", what, strerror(errno));
	abort();
}

static void
forget(struct unsynced *file)
{
	file->n = 0;
	file->least_size = INT64_MAX;
}

/* Raw calls: nothing that a sanitizer or kill_preload.c would take for the program's own. */
static void
copy(int to, int from, struct range range)
{
	static char data[65536]; /* one call at a time */

	while (range.offset < range.end) {
		size_t wanted = sizeof data;
		if (range.end - range.offset < (off_t)wanted) {
			wanted = (size_t)(range.end - range.offset);
		}
		long got = syscall(SYS_pread64, from, data, wanted, range.offset);
		if (got < 0) {
			give_up("reading the store");
		}
		if (got == 0) { /* cut off since */
			return;
		}
		if (syscall(SYS_pwrite64, to, data, got, range.offset) != got) {
			give_up("writing the shadow");
		}
		range.offset += got;
	}
}

static void
resize(int fd, off_t size)
{
	if (syscall(SYS_ftruncate, fd, size) != 0) {
		give_up("resizing the shadow");
	}
}

static off_t
size_of(int fd)
{
	struct stat status;
	if (fstat(fd, &status) != 0) {
		give_up("fstat");
	}
	return status.st_size;
}

static int
open_shadow(const struct unsynced *file)
{
	int fd = open(file->shadow, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		give_up(file->shadow);
	}
	return fd;
}

static void
begin_with_copy(struct unsynced *file, const char *store, const char *directory, const char *suffix)
{
	snprintf(file->path, sizeof file->path, "%s%s", store, suffix);
	snprintf(file->shadow, sizeof file->shadow, "%s%s%s", directory, strrchr(store, '/'),
	         suffix);
	forget(file);
	unlink(file->shadow);
	int from = open(file->path, O_RDONLY | O_CLOEXEC);
	if (from < 0) {
		return;
	}
	int to = open_shadow(file);
	copy(to, from, (struct range){ 0, size_of(from) });
	close(to);
	close(from); /* the program holds no POSIX lock yet that this could drop */
}

void
disk_open(const char *store)
{
	const char *directory = getenv("HOOKLATCH_SHADOW");
	const char *seed = getenv("HOOKLATCH_POWER_KEEP");
	if (directory == NULL) {
		errno = EINVAL;
		give_up("HOOKLATCH_SHADOW");
	}
	keep = seed != NULL ? strtoull(seed, NULL, 10) : 0;
	begin_with_copy(&files[STORE_DATABASE], store, directory, "");
	begin_with_copy(&files[STORE_WAL], store, directory, "-wal");
}

void
disk_begin(void)
{
	pthread_mutex_lock(&lock);
}

void
disk_end(void)
{
	pthread_mutex_unlock(&lock);
}

void
disk_wrote(enum store_file which, off_t offset, off_t bytes)
{
	struct unsynced *file = &files[which];

	if (file->n > 0 && file->ranges[file->n - 1].end == offset) {
		file->ranges[file->n - 1].end += bytes;
		return;
	}
	if (file->n == file->room) {
		file->room = file->room == 0 ? 64 : file->room * 2;
		file->ranges = realloc(file->ranges, file->room * sizeof *file->ranges);
		if (file->ranges == NULL) {
			give_up("ranges");
		}
	}
	file->ranges[file->n++] = (struct range){ offset, offset + bytes };
}

void
disk_resized(enum store_file which, off_t size)
{
	if (size < files[which].least_size) {
		files[which].least_size = size;
	}
}

void
disk_synced(enum store_file which, int fd, bool ok)
{
	struct unsynced *file = &files[which];

	if (ok) {
		int shadow = open_shadow(file);
		if (file->least_size < size_of(shadow)) { /* zeros, should it grow again */
			resize(shadow, file->least_size);
		}
		for (size_t i = 0; i < file->n; i++) {
			copy(shadow, fd, file->ranges[i]);
		}
		resize(shadow, size_of(fd));
		close(shadow);
	}
	forget(file);
}

void
disk_removed(enum store_file which)
{
	/* not unlink(): that is kill_preload.c's, and asks for the lock that we hold */
	if (syscall(SYS_unlinkat, AT_FDCWD, files[which].shadow, 0) != 0 && errno != ENOENT) {
		give_up(files[which].shadow);
	}
	forget(&files[which]);
}

static bool
coin(void)
{
	/* splitmix64 */
	keep += 0x9e3779b97f4a7c15;
	uint64_t x = keep;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return ((x ^ (x >> 31)) & 1) != 0;
}

static void
keep_some(struct unsynced *file)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC); /* never closed: see above */
	if (fd < 0) {
		return;
	}
	int shadow = open_shadow(file);
	if (file->least_size < size_of(shadow) && coin()) {
		resize(shadow, file->least_size);
	}
	for (size_t i = 0; i < file->n; i++) {
		struct range rest = file->ranges[i];
		while (rest.offset < rest.end) {
			struct range sector = { rest.offset,
				                (rest.offset / SECTOR_BYTES + 1) * SECTOR_BYTES };
			if (sector.end > rest.end) {
				sector.end = rest.end;
			}
			if (coin()) {
				copy(shadow, fd, sector);
			}
			rest.offset = sector.end;
		}
	}
	if (coin()) {
		resize(shadow, size_of(fd));
	}
	close(shadow);
}

void
disk_power_cut(void)
{
	if (keep == 0) {
		return;
	}
	keep_some(&files[STORE_DATABASE]);
	keep_some(&files[STORE_WAL]);
}
