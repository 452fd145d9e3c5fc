#include "receiver/store/disk.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "receiver/base/bytes.h"
#include "receiver/base/clock.h"

#define PAGE_BYTES   4096
#define ROUNDS_MOST  1000
#define CIFS_MAGIC   0xFF534D42UL
#define SMB2_MAGIC   0xFE534D42UL
#define XFS_MAGIC    0x58465342UL
#define ZFS_MAGIC    0x2FC12FC1UL
#define FUSE_MAGIC   0x65735546UL
#define CEPH_MAGIC   0x00C36400UL
#define MAGIC_32BITS 0xffffffffUL

static const struct {
	unsigned long magic;
	enum disk_kind kind;
	const char *name;
} kinds[] = {
	{ NFS_SUPER_MAGIC, DISK_NETWORK, "nfs" },
	{ SMB_SUPER_MAGIC, DISK_NETWORK, "smb" },
	{ SMB2_MAGIC, DISK_NETWORK, "smb2" },
	{ CIFS_MAGIC, DISK_NETWORK, "cifs" },
	{ CEPH_MAGIC, DISK_NETWORK, "ceph" },
	{ TMPFS_MAGIC, DISK_MEMORY, "tmpfs" },
	{ RAMFS_MAGIC, DISK_MEMORY, "ramfs" },
	{ EXT4_SUPER_MAGIC, DISK_LOCAL, "ext4" },
	{ XFS_MAGIC, DISK_LOCAL, "xfs" },
	{ BTRFS_SUPER_MAGIC, DISK_LOCAL, "btrfs" },
	{ F2FS_SUPER_MAGIC, DISK_LOCAL, "f2fs" },
	{ ZFS_MAGIC, DISK_LOCAL, "zfs" },
	{ OVERLAYFS_SUPER_MAGIC, DISK_LOCAL, "overlayfs" },
	{ FUSE_MAGIC, DISK_LOCAL, "fuse" },
};

/* The caller frees it. */
static char *
directory_of(const char *path)
{
	char *copy = memory_text(path);
	char *slash = strrchr(copy, '/');
	if (slash == NULL) {
		free(copy);
		return memory_text(".");
	}
	slash[slash == copy ? 1 : 0] = '\0';
	return copy;
}

bool
disk_look(const char *path, struct disk *ret, struct error *err)
{
	char *directory = directory_of(path);
	struct statfs status;
	if (statfs(directory, &status) != 0) {
		(void)error_system(err, "cannot look at the directory %s of the store", directory);
		free(directory);
		return false;
	}
	free(directory);
	unsigned long magic = (unsigned long)status.f_type & MAGIC_32BITS;
	*ret = (struct disk){ .kind = DISK_LOCAL,
		              .stable_device =
		                      magic != BTRFS_SUPER_MAGIC && magic != OVERLAYFS_SUPER_MAGIC,
		              .bytes = (int64_t)(status.f_blocks * (unsigned long)status.f_bsize),
		              .free_bytes =
		                      (int64_t)(status.f_bavail * (unsigned long)status.f_bsize),
		              .files = (int64_t)status.f_files,
		              .free_files = (int64_t)status.f_ffree };
	(void)snprintf(ret->name, sizeof(ret->name), "0x%lx", magic);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (kinds[i].magic == magic) {
			ret->kind = kinds[i].kind;
			(void)snprintf(ret->name, sizeof(ret->name), "%s", kinds[i].name);
		}
	}
	return true;
}

static int
by_size(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;
	return left < right ? -1 : left > right ? 1 : 0;
}

static bool
measure(int fd, size_t rounds, struct disk_times *ret, struct error *err)
{
	char page[PAGE_BYTES] = "hooklatch";
	int64_t times[ROUNDS_MOST];
	for (size_t i = 0; i < rounds; i++) {
		int64_t begun_ns = clock_boot_ns();
		if (pwrite(fd, page, sizeof(page), (off_t)(i * sizeof(page))) !=
		            (ssize_t)sizeof(page) ||
		    fdatasync(fd) != 0) {
			return error_system(err, "cannot write and sync beside the store");
		}
		times[i] = clock_boot_ns() - begun_ns;
	}
	struct stat status;
	int64_t now_ns = clock_wall_ns();
	if (fstat(fd, &status) != 0) {
		return error_system(err, "cannot look at a file beside the store");
	}
	qsort(times, rounds, sizeof(times[0]), by_size);
	ret->median_ns = times[rounds / 2];
	ret->worst_ns = times[rounds - 1];
	ret->ahead_ns = (int64_t)status.st_mtim.tv_sec * NS_PER_S + status.st_mtim.tv_nsec - now_ns;
	return true;
}

bool
disk_measure(const char *path, size_t rounds, struct disk_times *ret, struct error *err)
{
	ALWAYS(rounds > 0 && rounds <= ROUNDS_MOST, "disk-rounds");
	struct buffer name;
	buffer_init(&name, 65536);
	buffer_format(&name, "%s.probe-XXXXXX", path);
	char *probe = buffer_steal(&name);
	int fd = mkostemp(probe, O_CLOEXEC);
	if (fd < 0) {
		(void)error_system(err, "cannot make a file beside the store: %s", probe);
		free(probe);
		return false;
	}
	(void)unlink(probe);
	free(probe);
	bool good = measure(fd, rounds, ret, err);
	(void)close(fd);
	return good;
}

static bool
sync_opened(const char *path, int flags, struct error *err)
{
	int fd = open(path, flags | O_RDONLY | O_CLOEXEC);
	bool good = (fd >= 0 && fsync(fd) == 0) || error_system(err, "cannot sync %s", path);
	if (fd >= 0) {
		(void)close(fd);
	}
	return good;
}

bool
disk_sync_file(const char *path, struct error *err)
{
	return sync_opened(path, 0, err);
}

bool
disk_sync_directory(const char *path, struct error *err)
{
	char *directory = directory_of(path);
	bool good = sync_opened(directory, O_DIRECTORY, err);
	free(directory);
	return good;
}
