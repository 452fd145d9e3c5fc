/* A disk in memory, on which the store lives: a SQLite VFS (vfs.c) and the system calls that the store makes itself (calls.c)
 * end here. Every change can be recorded on a tape (tape.h), from which power cuts are played.
 * Threads: any; one disk is mounted at a time. */
#ifndef HOOKLATCH_TESTS_TORN_DISK_H
#define HOOKLATCH_TESTS_TORN_DISK_H

#include "receiver/base/compiler.h"

#define DISK_ROOT       "/torn/" /* what lies below it is ours, the rest is the machine's */
#define DISK_STORE_NAME "h.db"
#define DISK_STORE      DISK_ROOT DISK_STORE_NAME
#define DISK_NAME_BYTES 48
#define DISK_FILES_MOST 24
#define DISK_NONE       (-1)

struct content {
	unsigned char *data;
	size_t size;
	size_t room;
};

/* A file stays in its place when its name is gone: others may have it open. */
struct disk_file {
	char name[DISK_NAME_BYTES];
	bool linked;
	struct content content;
};

struct image {
	struct disk_file files[DISK_FILES_MOST];
	size_t count;
};

void content_write(struct content *content, size_t at, const void *data, size_t size);
void content_cut(struct content *content, size_t size); /* longer: with zeros */
void content_copy(struct content *to, const struct content *from);
void image_copy(struct image *to, const struct image *from);
void image_finish(struct image *image);
int image_find(const struct image *image, const char *name); /* DISK_NONE: there is none */

struct tape;

/* Takes the image over. `tape` NULL: nothing is recorded. */
void disk_mount(struct image *image, struct tape *tape);
/* Gives the image back; NULL frees it. */
void disk_unmount(struct image *ret);
bool disk_holds(const char *path);
int disk_open(const char *path, bool create);
size_t disk_read(int file, size_t at, void *data, size_t size);
void disk_write(int file, size_t at, const void *data, size_t size);
void disk_cut(int file, size_t size);
size_t disk_size(int file);
/* `names`: those of the directory too. */
void disk_sync(int file, bool names);
void disk_sync_names(void);
bool disk_remove(const char *path, bool names);

/* vfs.c: makes it the default of this process. */
void vfs_register(uint64_t seed);

#endif
