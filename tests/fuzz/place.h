/* Files for the targets that need some: a directory in memory, the same for a whole run. tests/fuzz/run makes one and takes it away;
 * alone, a target makes its own below /dev/shm. */
#ifndef HOOKLATCH_TESTS_FUZZ_PLACE_H
#define HOOKLATCH_TESTS_FUZZ_PLACE_H

#include <fcntl.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define PLACE_PATH_BYTES 256

/* The file's path, good until the end. */
static UNUSED void
place_file(char path[PLACE_PATH_BYTES], const char *name)
{
	static char own[] = "/dev/shm/hooklatch-fuzz-XXXXXX";
	static const char *place;
	if (place == NULL) {
		place = getenv("HOOKLATCH_FUZZ_PLACE");
	}
	if (place == NULL) {
		place = mkdtemp(own);
	}
	PROPERTY(place != NULL);
	(void)snprintf(path, PLACE_PATH_BYTES, "%s/%s-%ld", place, name, (long)getpid());
}

static UNUSED void
place_write(const char *path, struct span text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	PROPERTY(fd >= 0 && write(fd, text.data, text.size) == (ssize_t)text.size);
	PROPERTY(close(fd) == 0);
}

static UNUSED void
place_read(const char *path, struct buffer *out)
{
	char data[8192];
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	PROPERTY(fd >= 0);
	while ((got = read(fd, data, sizeof(data))) > 0) {
		buffer_append(out, data, (size_t)got);
	}
	PROPERTY(got == 0 && !out->failed && close(fd) == 0);
}

#endif
