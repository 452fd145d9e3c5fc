#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/store/sqlite/sqlite_priv.h"

#define LOCK_FILE_BYTES 256
#define LOCK_WAIT_NS    (5 * NS_PER_S)
#define LOCK_STEP_NS    (20 * NS_PER_MS)

/* The file says "serve 1234" or "command 1234", and on its second line "stored 42 at 2026-01-02T03:04:05.678901Z". */
static void
read_owner(int fd, char *text, size_t room)
{
	ssize_t size = pread(fd, text, room - 1, 0);
	text[size < 0 ? 0 : size] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static void
read_mark(struct lock *lock)
{
	char text[LOCK_FILE_BYTES];
	ssize_t size = pread(lock->fd, text, sizeof(text) - 1, 0);
	text[size < 0 ? 0 : size] = '\0';
	char *line = strstr(text, "\nstored ");
	char *end = NULL;
	lock->mark_seq = line == NULL ? 0 : strtoll(line + strlen("\nstored "), &end, 10);
	if (lock->mark_seq <= 0 || strncmp(end, " at ", 4) != 0 ||
	    !clock_parse((struct span){ end + 4, strcspn(end + 4, "\n") }, &lock->mark_ns)) {
		lock->mark_seq = 0;
	}
}

/* The text is for people and for the next start; the lock holds without it, on a full disk too. */
static void
write_file(const struct lock *lock)
{
	char text[LOCK_FILE_BYTES];
	char when[CLOCK_TEXT_BYTES];
	int size = snprintf(text, sizeof(text), "%s %ld\n", lock->serving ? "serve" : "command",
	                    (long)getpid());
	if (lock->mark_seq > 0) {
		clock_text(lock->mark_ns, when);
		size += snprintf(text + size, sizeof(text) - (size_t)size, "stored %lld at %s\n",
		                 (long long)lock->mark_seq, when);
	}
	if (pwrite(lock->fd, text, (size_t)size, 0) == size) {
		(void)!ftruncate(lock->fd, size);
	}
}

/* The kernel knows the pid; the text may still be of who was there before. */
static bool
locked_error(struct error *err, const char *store_path, const char *owner)
{
	const char *text = strchr(owner, ' ');
	long pid = holder_of_store(store_path);
	bool service = strncmp(owner, "serve", 5) == 0;
	return error_set(err, ERROR_LOCKED, "the store is in use by %s, pid %ld",
	                 service ? "another hooklatch serve" : "a command",
	                 pid != 0       ? pid
	                 : text == NULL ? 0
	                                : strtol(text, NULL, 10));
}

bool
lock_held(const struct lock *lock, struct error *err)
{
	struct stat ours;
	struct stat there;
	bool same = fstat(lock->fd, &ours) == 0 && stat(lock->path, &there) == 0 &&
	            ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
	return same ||
	       error_set(
		       err, ERROR_STORE_BAD,
		       "%s was removed or replaced while it was in use: another service may have the store",
		       lock->path);
}

/* A service that lost its lock file has the store all the same. */
static bool
alone(const char *store_path, struct error *err)
{
	long other = holder_of_file(store_path);
	return other == 0 ||
	       error_set(
		       err, ERROR_LOCKED,
		       "the store is in use by another hooklatch serve, pid %ld, that does not hold its lock file",
		       other);
}

bool
lock_take(struct lock *lock, const char *store_path, bool serving, struct error *err)
{
	struct buffer path;
	buffer_init(&path, 65536);
	buffer_format(&path, "%s.lock", store_path);
	lock->path = buffer_steal(&path);
	lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock->fd < 0) {
		(void)error_system(err, "cannot open the lock file %s", lock->path);
		free(lock->path);
		lock->path = NULL;
		return false;
	}
	int64_t until_ns = clock_boot_ns() + LOCK_WAIT_NS;
	char owner[64] = "";
	while (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
		read_owner(lock->fd, owner, sizeof(owner));
		/* Another service stays: no use in waiting. A command holds the lock for a moment. */
		bool other_service = strncmp(owner, "serve", 5) == 0;
		if ((errno != EWOULDBLOCK && errno != EINTR) || (serving && other_service) ||
		    clock_boot_ns() > until_ns) {
			(void)locked_error(err, store_path, owner);
			lock_release(lock);
			return false;
		}
		struct timespec step = { 0, LOCK_STEP_NS };
		(void)nanosleep(&step, NULL);
	}
	read_mark(lock);
	lock->serving = serving;
	write_file(lock);
	if (serving && !alone(store_path, err)) {
		lock_release(lock);
		return false;
	}
	return true;
}

void
lock_look(const char *store_path, int64_t *seq, int64_t *wall_ns)
{
	struct buffer path;
	buffer_init(&path, 65536);
	buffer_format(&path, "%s.lock", store_path);
	char *name = buffer_steal(&path);
	struct lock lock = { .fd = open(name, O_RDONLY | O_CLOEXEC) };
	if (lock.fd >= 0) {
		read_mark(&lock);
		(void)close(lock.fd);
	}
	*seq = lock.mark_seq;
	*wall_ns = lock.mark_ns;
	free(name);
}

void
lock_mark(struct lock *lock, int64_t seq, int64_t wall_ns)
{
	if (lock->fd >= 0 && seq > lock->mark_seq) {
		lock->mark_seq = seq;
		lock->mark_ns = wall_ns;
		write_file(lock);
	}
}

void
lock_release(struct lock *lock)
{
	if (lock->fd >= 0) {
		(void)close(lock->fd); /* the file stays: removing it would let two own it */
		lock->fd = -1;
	}
	free(lock->path);
	lock->path = NULL;
}
