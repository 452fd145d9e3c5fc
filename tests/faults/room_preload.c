/* LD_PRELOAD library: a system that has no room for another process or thread while a test says so.
 *
 *   HOOKLATCH_SPAWN    a file: while it is there, posix_spawnp() starts nothing and returns the number in it, an errno.
 *   HOOKLATCH_THREADS  a file: while it is there, only so many pthread_create() of this process succeed as the number in it says, and
 *                      all others return EAGAIN. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

typedef int spawn_fn(pid_t *, const char *, const posix_spawn_file_actions_t *,
                     const posix_spawnattr_t *, char *const[], char *const[]);
typedef int create_fn(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* The number in the file that the variable names, or -1: no such file. */
static int
number(const char *variable)
{
	const char *path = getenv(variable);
	char text[16] = "";
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return -1;
	}
	ssize_t size = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	return size <= 0 ? -1 : atoi(text);
}

int
posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
             const posix_spawnattr_t *attributes, char *const arguments[],
             char *const environment[])
{
	int code = number("HOOKLATCH_SPAWN");
	if (code > 0) {
		return code;
	}
	spawn_fn *real;
	*(void **)&real = dlsym(RTLD_NEXT, "posix_spawnp");
	return real(pid, file, actions, attributes, arguments, environment);
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
               void *argument)
{
	static atomic_int created;
	int most = number("HOOKLATCH_THREADS");
	if (most >= 0 && atomic_load(&created) >= most) {
		return EAGAIN;
	}
	(void)atomic_fetch_add(&created, 1);
	create_fn *real;
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(thread, attributes, run, argument);
}
