/* LD_PRELOAD library: counts the storage calls of a process and ends it with SIGKILL at the n-th one.
 *
 * A storage call is write, writev, pwrite, pwritev, ftruncate, fsync or fdatasync on a descriptor of the database or of
 * its -wal, or unlink or rename of one of them; -shm is memory, not storage. What a descriptor is, is asked of the kernel
 * at each call (/proc/self/fd), so there is nothing to keep in step with open, dup, close, unlink and rename: a file that
 * lost its name is "… (deleted)" and no storage any more. The calls themselves are made with syscall(2), so nothing is
 * looked up with dlsym, and it does not matter whether a sanitizer's runtime comes before us, which it must.
 *
 * Crashes are placed by this number and not by the clock, because a random instant mostly falls into the long syncs.
 *
 *   HOOKLATCH_STORE       absolute path of the database, without symbolic links; unset: the library does nothing
 *   HOOKLATCH_KILL_AT     n, from 1; unset or 0: only count
 *   HOOKLATCH_KILL_WHEN   before (default) | after the call was made
 *   HOOKLATCH_KILL_COUNT  a file of 8 bytes: the number of calls begun, to be read by the test at any time
 *
 * Not seen: io_uring, copy_file_range, sendfile and mapped writes into the store, remove(3), direct system calls. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

#define WEAK          __attribute__((weak))
#define HESITATION_NS 3000000

struct call {
	enum store_file file;
	uint64_t number;
};

static char database_path[PATH_MAX];
static char wal_path[PATH_MAX + 4];
static uint64_t kill_at;
static bool kill_after;
static _Atomic uint64_t own_count;
static _Atomic uint64_t *count = &own_count;

WEAK void
disk_open(const char *store)
{
	(void)store;
}

WEAK void
disk_begin(void)
{
}

WEAK void
disk_end(void)
{
}

WEAK void
disk_wrote(enum store_file file, off_t offset, off_t bytes)
{
	(void)file, (void)offset, (void)bytes;
}

WEAK void
disk_resized(enum store_file file, off_t size)
{
	(void)file, (void)size;
}

WEAK void
disk_synced(enum store_file file, int fd, bool ok)
{
	(void)file, (void)fd, (void)ok;
}

WEAK void
disk_removed(enum store_file file)
{
	(void)file;
}

WEAK void
disk_power_cut(void)
{
}

static void
give_up(const char *what)
{
	fprintf(stderr, "kill_preload: %s: %s\n", what, strerror(errno));
	abort();
}

static void
count_in_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		give_up(path);
	}
	void *page = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		give_up(path);
	}
	close(fd);
	count = page;
}

__attribute__((constructor)) static void
begin_to_count(void)
{
	const char *store = getenv("HOOKLATCH_STORE");
	const char *at = getenv("HOOKLATCH_KILL_AT");
	const char *when = getenv("HOOKLATCH_KILL_WHEN");
	const char *file = getenv("HOOKLATCH_KILL_COUNT");
	if (store == NULL) {
		return;
	}
	if (store[0] != '/' || strlen(store) >= sizeof database_path) {
		errno = EINVAL;
		give_up("HOOKLATCH_STORE");
	}
	kill_at = at != NULL ? strtoull(at, NULL, 10) : 0;
	kill_after = when != NULL && strcmp(when, "after") == 0;
	if (file != NULL) {
		count_in_file(file);
	}
	disk_open(store);
	snprintf(wal_path, sizeof wal_path, "%s-wal", store);
	strcpy(database_path, store); /* last: from here on calls are seen */
}

/* errno is the program's: whoever asks keeps it. */
static enum store_file
file_of(int fd)
{
	char link[32], path[PATH_MAX];
	int saved = errno;

	if (database_path[0] == '\0') {
		return STORE_NONE;
	}
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	errno = saved;
	if (length < 0) {
		return STORE_NONE;
	}
	path[length] = '\0';
	if (strcmp(path, database_path) == 0) {
		return STORE_DATABASE;
	}
	return strcmp(path, wal_path) == 0 ? STORE_WAL : STORE_NONE;
}

static bool
same_file(const struct stat *one, const char *path)
{
	struct stat other;
	return stat(path, &other) == 0 && one->st_dev == other.st_dev &&
	       one->st_ino == other.st_ino;
}

static enum store_file
file_named(int directory, const char *path)
{
	struct stat status;
	int saved = errno;
	enum store_file file = STORE_NONE;

	if (database_path[0] == '\0' || path == NULL) {
		return STORE_NONE;
	}
	if (fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		file = same_file(&status, database_path) ? STORE_DATABASE
		       : same_file(&status, wal_path)    ? STORE_WAL
		                                         : STORE_NONE;
	}
	errno = saved;
	return file;
}

/* The call did not come yet, and others go on: who answers too early has the time to do so. ppoll(2) is what the service leaves us. */
static void
hesitate(void)
{
	struct timespec moment = { 0, HESITATION_NS };
	(void)ppoll(NULL, 0, &moment, NULL);
}

static void
die(void)
{
	hesitate();
	disk_power_cut();
	/* By the thread itself: the service has confined it (receiver/base/confine.h). */
	syscall(SYS_tgkill, getpid(), gettid(), SIGKILL);
	for (;;) {
		pause();
	}
}

static struct call
call_begin(enum store_file file)
{
	struct call call = { .file = file };

	if (file == STORE_NONE) {
		return call;
	}
	disk_begin();
	call.number = atomic_fetch_add(count, 1) + 1;
	if (call.number == kill_at && !kill_after) {
		die();
	}
	return call;
}

static void
call_end(const struct call *call)
{
	if (call->file == STORE_NONE) {
		return;
	}
	if (call->number == kill_at) {
		die();
	}
	disk_end();
}

static ssize_t
wrote(const struct call *call, int fd, off_t offset, ssize_t bytes)
{
	int saved = errno;

	if (call->file != STORE_NONE && bytes > 0) {
		/* without an offset of its own it has just moved the descriptor's */
		disk_wrote(call->file, offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR) - bytes,
		           bytes);
	}
	call_end(call);
	errno = saved;
	return bytes;
}

ssize_t
write(int fd, const void *data, size_t bytes)
{
	struct call call = call_begin(file_of(fd));
	return wrote(&call, fd, -1, syscall(SYS_write, fd, data, bytes));
}

ssize_t
writev(int fd, const struct iovec *parts, int n)
{
	struct call call = call_begin(file_of(fd));
	return wrote(&call, fd, -1, syscall(SYS_writev, fd, parts, n));
}

ssize_t
pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
	struct call call = call_begin(file_of(fd));
	return wrote(&call, fd, offset, syscall(SYS_pwrite64, fd, data, bytes, offset));
}

ssize_t
pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
	struct call call = call_begin(file_of(fd));
	return wrote(&call, fd, offset, syscall(SYS_pwritev, fd, parts, n, offset, 0L));
}

/* RWF_DSYNC is not taken for a sync. */
ssize_t
pwritev2(int fd, const struct iovec *parts, int n, off_t offset, int flags)
{
	struct call call = call_begin(file_of(fd));
	return wrote(&call, fd, offset, syscall(SYS_pwritev2, fd, parts, n, offset, 0L, flags));
}

int
ftruncate(int fd, off_t size)
{
	struct call call = call_begin(file_of(fd));
	int result = (int)syscall(SYS_ftruncate, fd, size);
	int saved = errno;

	if (call.file != STORE_NONE && result == 0) {
		disk_resized(call.file, size);
	}
	call_end(&call);
	errno = saved;
	return result;
}

static int
sync_file(long number, int fd)
{
	struct call call = call_begin(file_of(fd));
	int result = (int)syscall(number, fd);
	int saved = errno;

	if (call.file != STORE_NONE) {
		disk_synced(call.file, fd, result == 0);
	}
	call_end(&call);
	errno = saved;
	return result;
}

int
fsync(int fd)
{
	return sync_file(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return sync_file(SYS_fdatasync, fd);
}

int
unlinkat(int directory, const char *path, int flags)
{
	struct call call = call_begin(file_named(directory, path));
	int result = (int)syscall(SYS_unlinkat, directory, path, flags);
	int saved = errno;

	if (call.file != STORE_NONE && result == 0) {
		disk_removed(call.file);
	}
	call_end(&call);
	errno = saved;
	return result;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

/* Only away from the store's names: nobody puts a file there while the service runs. */
int
renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
	struct call call = call_begin(file_named(from_directory, from));
	int result = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
	int saved = errno;

	if (call.file != STORE_NONE && result == 0) {
		disk_removed(call.file);
	}
	call_end(&call);
	errno = saved;
	return result;
}

int
renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	return renameat2(from_directory, from, to_directory, to, 0);
}

int
rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* The names that programs with _FILE_OFFSET_BITS=64 call; off_t has 64 bits here anyway. */
#define ALIAS(name) __attribute__((alias(name)))
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) ALIAS("pwrite");
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset) ALIAS("pwritev");
ssize_t pwritev64v2(int fd, const struct iovec *parts, int n, off64_t offset, int flags)
	ALIAS("pwritev2");
int ftruncate64(int fd, off64_t size) ALIAS("ftruncate");
