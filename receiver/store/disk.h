/* The disk that a store lies on: its kind, its room, how long a sync takes. Nothing here touches the store's own files.
 * Threads: any. */
#ifndef HOOKLATCH_STORE_DISK_H
#define HOOKLATCH_STORE_DISK_H

#include "receiver/base/error.h"

enum disk_kind {
	DISK_LOCAL,
	DISK_NETWORK, /* the WAL's index is shared memory: over a network it is no memory */
	DISK_MEMORY,  /* nothing outlives a power cut */
};

struct disk {
	enum disk_kind kind;
	bool stable_device; /* stat(2) tells the device that the kernel goes by */
	char name[32];      /* of the file system, or its magic number: statfs(2) */
	int64_t bytes;
	int64_t free_bytes; /* for those who are not root */
	int64_t files;      /* 0: the file system does not count them */
	int64_t free_files;
};

/* Of the directory that holds the file at `path`. */
bool disk_look(const char *path, struct disk *ret, struct error *err) MUST_CHECK;

struct disk_times {
	int64_t median_ns;
	int64_t worst_ns;
	int64_t ahead_ns; /* how far the file system's clock is before ours */
};

/* Writes a page and syncs it (fdatasync(2)), again and again, in a file of its own beside `path`, which is gone afterwards. */
bool disk_measure(const char *path, size_t rounds, struct disk_times *ret, struct error *err)
	MUST_CHECK;

/* fsync(2) of a file, and of the directory that holds the file at `path`. Not of the store's own files, whose locks would fall. */
bool disk_sync_file(const char *path, struct error *err) MUST_CHECK;
bool disk_sync_directory(const char *path, struct error *err) MUST_CHECK;

#endif
