/* LD_PRELOAD library: a process whose wall clock a test sets, while everything else that measures time goes on.
 *
 * Only CLOCK_REALTIME (clock_gettime), gettimeofday and time are touched; CLOCK_MONOTONIC and CLOCK_BOOTTIME are what they
 * are, so deadlines and backoffs keep their length. The real functions are those of the C library, found behind us: with
 * clock_gettime they stay in the vDSO, so that no system call filter sees anything new.
 *
 *   HOOKLATCH_CLOCK   a file of 16 bytes that the test changes between requests: two signed numbers of nanoseconds,
 *                     what is added to the wall clock, and the instant at which it stands still (0: it runs).
 *                     Unset: the library does nothing. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

struct dial {
	_Atomic int64_t added_ns;
	_Atomic int64_t stands_ns;
};

typedef int clock_gettime_fn(clockid_t, struct timespec *);

static struct dial none;
static struct dial *dial = &none;
static _Atomic(clock_gettime_fn *) real;

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("HOOKLATCH_CLOCK");
	if (path == NULL) {
		return;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *memory =
		fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*dial), PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		abort();
	}
	(void)close(fd);
	dial = memory;
}

static int
read_real(clockid_t id, struct timespec *ret)
{
	clock_gettime_fn *function = atomic_load(&real);
	if (function == NULL) {
		*(void **)&function = dlsym(RTLD_NEXT, "clock_gettime");
		atomic_store(&real, function);
	}
	return function(id, ret);
}

int
clock_gettime(clockid_t id, struct timespec *ret)
{
	int result = read_real(id, ret);
	if (result != 0 || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) {
		return result;
	}
	int64_t stands_ns = atomic_load(&dial->stands_ns);
	int64_t now_ns = stands_ns != 0 ? stands_ns
	                                : ret->tv_sec * NS_PER_S + ret->tv_nsec +
	                                          atomic_load(&dial->added_ns);
	ret->tv_sec = now_ns / NS_PER_S;
	ret->tv_nsec = now_ns % NS_PER_S;
	return 0;
}

int
gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	int result = clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return result;
}

time_t
time(time_t *ret)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret != NULL) {
		*ret = now.tv_sec;
	}
	return now.tv_sec;
}
