#include "tests/faults/torn/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>

#include "tests/faults/torn/disk.h"
#include "tests/faults/torn/life.h"

#define FIRST_FD     (1 << 20) /* above any that the machine gives out */
#define DIRECTORY_FD (FIRST_FD + DISK_FILES_MOST)

static bool
is_ours(int fd)
{
	return fd >= FIRST_FD && fd <= DIRECTORY_FD;
}

static bool
is_root(const char *path)
{
	size_t size = strlen(DISK_ROOT) - 1;
	return strncmp(path, DISK_ROOT, size) == 0 &&
	       (path[size] == '\0' || (path[size] == '/' && path[size + 1] == '\0'));
}

static int
missing(void)
{
	errno = ENOENT;
	return -1;
}

int64_t
__wrap_clock_wall_ns(void)
{
	return life_now_ns();
}

int64_t
__wrap_clock_boot_ns(void)
{
	return life_now_ns();
}

int
__wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (is_root(path)) {
		return DIRECTORY_FD;
	}
	if (!disk_holds(path)) {
		return __real_open(path, flags, mode);
	}
	int file = disk_open(path, (flags & O_CREAT) != 0);
	return file == DISK_NONE ? missing() : FIRST_FD + file;
}

int
__wrap_close(int fd)
{
	return is_ours(fd) ? 0 : __real_close(fd);
}

ssize_t
__wrap_pread(int fd, void *data, size_t size, off_t at)
{
	return is_ours(fd) ? (ssize_t)disk_read(fd - FIRST_FD, (size_t)at, data, size)
	                   : __real_pread(fd, data, size, at);
}

ssize_t
__wrap_pwrite(int fd, const void *data, size_t size, off_t at)
{
	if (!is_ours(fd)) {
		return __real_pwrite(fd, data, size, at);
	}
	disk_write(fd - FIRST_FD, (size_t)at, data, size);
	return (ssize_t)size;
}

/* The file's place is its inode. */
static int
describe(int file, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->st_mode = S_IFREG | 0600;
	ret->st_dev = 1;
	ret->st_ino = (ino_t)file + 1;
	ret->st_nlink = 1;
	ret->st_size = (off_t)disk_size(file);
	return 0;
}

int
__wrap_fstat(int fd, struct stat *ret)
{
	return is_ours(fd) ? describe(fd - FIRST_FD, ret) : __real_fstat(fd, ret);
}

int
__wrap_stat(const char *path, struct stat *ret)
{
	if (!disk_holds(path)) {
		return __real_stat(path, ret);
	}
	int file = disk_open(path, false);
	return file == DISK_NONE ? missing() : describe(file, ret);
}

int
__wrap_access(const char *path, int mode)
{
	if (!disk_holds(path)) {
		return __real_access(path, mode);
	}
	return disk_open(path, false) == DISK_NONE ? missing() : 0;
}

/* The name stays unsynced: POSIX promises it to a sync of the directory alone. */
int
__wrap_fsync(int fd)
{
	if (!is_ours(fd)) {
		return __real_fsync(fd);
	}
	if (fd == DIRECTORY_FD) {
		disk_sync_names();
	} else {
		disk_sync(fd - FIRST_FD, false);
	}
	return 0;
}

int
__wrap_ftruncate(int fd, off_t size)
{
	if (!is_ours(fd)) {
		return __real_ftruncate(fd, size);
	}
	disk_cut(fd - FIRST_FD, (size_t)size);
	return 0;
}

int
__wrap_unlink(const char *path)
{
	if (!disk_holds(path)) {
		return __real_unlink(path);
	}
	return disk_remove(path, false) ? 0 : missing();
}

int
__wrap_statfs(const char *path, struct statfs *ret)
{
	if (!is_root(path)) {
		return __real_statfs(path, ret);
	}
	memset(ret, 0, sizeof(*ret));
	ret->f_type = EXT4_SUPER_MAGIC;
	return 0;
}

int
__wrap_flock(int fd, int operation)
{
	return is_ours(fd) ? 0 : __real_flock(fd, operation);
}

/* Space that is set aside has no content. */
int
__wrap_fallocate(int fd, int mode, off_t at, off_t size)
{
	return is_ours(fd) ? 0 : __real_fallocate(fd, mode, at, size);
}
