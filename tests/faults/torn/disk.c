#include "tests/faults/torn/disk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#include "tests/faults/torn/tape.h"

static struct {
	pthread_mutex_t lock;
	struct image image;
	struct tape *tape;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- content --- */

static void
content_reserve(struct content *content, size_t size)
{
	if (size > content->room) {
		size_t room = size + size / 2 + 4096;
		content->data = memory_resize(content->data, room);
		content->room = room;
	}
}

void
content_cut(struct content *content, size_t size)
{
	content_reserve(content, size);
	if (size > content->size) {
		memset(content->data + content->size, 0, size - content->size);
	}
	content->size = size;
}

void
content_write(struct content *content, size_t at, const void *data, size_t size)
{
	if (at + size > content->size) {
		content_cut(content, at + size);
	}
	if (size > 0) {
		memcpy(content->data + at, data, size);
	}
}

void
content_copy(struct content *to, const struct content *from)
{
	content_reserve(to, from->size);
	if (from->size > 0) {
		memcpy(to->data, from->data, from->size);
	}
	to->size = from->size;
}

/* --- images --- */

void
image_copy(struct image *to, const struct image *from)
{
	memset(to, 0, sizeof(*to));
	to->count = from->count;
	for (size_t i = 0; i < from->count; i++) {
		memcpy(to->files[i].name, from->files[i].name, DISK_NAME_BYTES);
		to->files[i].linked = from->files[i].linked;
		content_copy(&to->files[i].content, &from->files[i].content);
	}
}

void
image_finish(struct image *image)
{
	for (size_t i = 0; i < image->count; i++) {
		free(image->files[i].content.data);
	}
	memset(image, 0, sizeof(*image));
}

int
image_find(const struct image *image, const char *name)
{
	for (size_t i = 0; i < image->count; i++) {
		if (image->files[i].linked && strcmp(image->files[i].name, name) == 0) {
			return (int)i;
		}
	}
	return DISK_NONE;
}

/* --- the disk --- */

void
disk_mount(struct image *image, struct tape *tape)
{
	(void)pthread_mutex_lock(&disk.lock);
	ALWAYS(disk.image.count == 0, "disk-is-free");
	disk.image = *image;
	disk.tape = tape;
	memset(image, 0, sizeof(*image));
	(void)pthread_mutex_unlock(&disk.lock);
}

void
disk_unmount(struct image *ret)
{
	(void)pthread_mutex_lock(&disk.lock);
	if (ret != NULL) {
		*ret = disk.image;
		memset(&disk.image, 0, sizeof(disk.image));
	} else {
		image_finish(&disk.image);
	}
	disk.tape = NULL;
	(void)pthread_mutex_unlock(&disk.lock);
}

bool
disk_holds(const char *path)
{
	return strncmp(path, DISK_ROOT, strlen(DISK_ROOT)) == 0;
}

static struct disk_file *
file_at(int file)
{
	ALWAYS(file >= 0 && (size_t)file < disk.image.count, "disk-file");
	return &disk.image.files[file];
}

static void
record(enum step_kind kind, int file, size_t at, const void *data, size_t size)
{
	if (disk.tape != NULL) {
		tape_step(disk.tape, kind, file, disk.image.files[file].name, at, data, size);
	}
}

int
disk_open(const char *path, bool create)
{
	const char *name = path + strlen(DISK_ROOT);
	(void)pthread_mutex_lock(&disk.lock);
	int file = image_find(&disk.image, name);
	if (file == DISK_NONE && create) {
		ALWAYS(disk.image.count < DISK_FILES_MOST && strlen(name) < DISK_NAME_BYTES,
		       "disk-room");
		file = (int)disk.image.count++;
		struct disk_file *made = &disk.image.files[file];
		memcpy(made->name, name, strlen(name) + 1);
		made->linked = true;
		record(STEP_CREATE, file, 0, NULL, 0);
	}
	(void)pthread_mutex_unlock(&disk.lock);
	return file;
}

size_t
disk_read(int file, size_t at, void *data, size_t size)
{
	(void)pthread_mutex_lock(&disk.lock);
	const struct content *content = &file_at(file)->content;
	size_t there = at >= content->size ? 0 : content->size - at;
	size_t got = there < size ? there : size;
	if (got > 0) {
		memcpy(data, content->data + at, got);
	}
	(void)pthread_mutex_unlock(&disk.lock);
	return got;
}

void
disk_write(int file, size_t at, const void *data, size_t size)
{
	(void)pthread_mutex_lock(&disk.lock);
	record(STEP_WRITE, file, at, data, size);
	content_write(&file_at(file)->content, at, data, size);
	(void)pthread_mutex_unlock(&disk.lock);
}

void
disk_cut(int file, size_t size)
{
	(void)pthread_mutex_lock(&disk.lock);
	record(STEP_CUT, file, size, NULL, 0);
	content_cut(&file_at(file)->content, size);
	(void)pthread_mutex_unlock(&disk.lock);
}

size_t
disk_size(int file)
{
	(void)pthread_mutex_lock(&disk.lock);
	size_t size = file_at(file)->content.size;
	(void)pthread_mutex_unlock(&disk.lock);
	return size;
}

void
disk_sync(int file, bool names)
{
	(void)pthread_mutex_lock(&disk.lock);
	record(STEP_SYNC, file, 0, NULL, 0);
	if (names) {
		record(STEP_SYNC_NAMES, file, 0, NULL, 0);
	}
	(void)pthread_mutex_unlock(&disk.lock);
}

void
disk_sync_names(void)
{
	(void)pthread_mutex_lock(&disk.lock);
	record(STEP_SYNC_NAMES, 0, 0, NULL, 0); /* of no file in particular */
	(void)pthread_mutex_unlock(&disk.lock);
}

bool
disk_remove(const char *path, bool names)
{
	(void)pthread_mutex_lock(&disk.lock);
	int file = image_find(&disk.image, path + strlen(DISK_ROOT));
	if (file != DISK_NONE) {
		record(STEP_REMOVE, file, 0, NULL, 0);
		disk.image.files[file].linked = false;
		if (names) {
			record(STEP_SYNC_NAMES, file, 0, NULL, 0);
		}
	}
	(void)pthread_mutex_unlock(&disk.lock);
	return file != DISK_NONE;
}
