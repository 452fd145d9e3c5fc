#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/store/sqlite/sqlite_priv.h"

#define LOCK_WAIT_NS (5 * NS_PER_S)
#define LOCK_STEP_NS (20 * NS_PER_MS)

/* The file says "serve 1234" or "command 1234". */
static void
read_owner(int fd, char *text, size_t room)
{
	ssize_t size = pread(fd, text, room - 1, 0);
	text[size < 0 ? 0 : size] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static bool
locked_error(struct error *err, const char *owner)
{
	const char *pid = strchr(owner, ' ');
	bool service = strncmp(owner, "serve", 5) == 0;
	return error_set(err, ERROR_LOCKED, "the store is in use by %s, pid %s",
	                 service ? "another hooklatch serve" : "a command",
	                 pid == NULL ? "unknown" : pid + 1);
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
			(void)locked_error(err, owner);
			lock_release(lock);
			return false;
		}
		struct timespec step = { 0, LOCK_STEP_NS };
		(void)nanosleep(&step, NULL);
	}
	int size = snprintf(owner, sizeof(owner), "%s %ld\n", serving ? "serve" : "command",
	                    (long)getpid());
	if (ftruncate(lock->fd, 0) != 0 || pwrite(lock->fd, owner, (size_t)size, 0) != size) {
		/* The name is for people; the lock holds without it, on a full disk too. */
		return true;
	}
	return true;
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
