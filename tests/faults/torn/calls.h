/* System calls that the store makes itself, beside SQLite: linked with --wrap, they end on the disk in memory when they are about
 * one of its paths, and on the machine's otherwise. So is the time it asks for. */
#ifndef HOOKLATCH_TESTS_TORN_CALLS_H
#define HOOKLATCH_TESTS_TORN_CALLS_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/vfs.h>

/* NOLINTBEGIN: the linker's names */
int64_t __wrap_clock_wall_ns(void);
int64_t __wrap_clock_boot_ns(void);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_pread(int fd, void *data, size_t size, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t at);
int __wrap_fstat(int fd, struct stat *ret);
int __wrap_stat(const char *path, struct stat *ret);
int __wrap_access(const char *path, int mode);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_unlink(const char *path);
int __wrap_statfs(const char *path, struct statfs *ret);
int __wrap_flock(int fd, int operation);
int __wrap_fallocate(int fd, int mode, off_t at, off_t size);

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
ssize_t __real_pread(int fd, void *data, size_t size, off_t at);
ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t at);
int __real_fstat(int fd, struct stat *ret);
int __real_stat(const char *path, struct stat *ret);
int __real_access(const char *path, int mode);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_unlink(const char *path);
int __real_statfs(const char *path, struct statfs *ret);
int __real_flock(int fd, int operation);
int __real_fallocate(int fd, int mode, off_t at, off_t size);
/* NOLINTEND */

#endif
