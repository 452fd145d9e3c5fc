/* Only in VARIANT=coverage. gcov writes its counts at exit(); what would keep it from that, or would be seen of it, is mended
 * here. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

void __gcov_dump(void);
void __real__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code) __attribute__((noreturn));

/* A test may have left the process no room for a file: the limit is lifted again as far as it goes. A test may have taken
 * rights or memory from it: what gcov says about that must not stand in the log. gcov's own destructors have a priority, and
 * run after this one. */
static void __attribute__((destructor)) make_room(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_FSIZE, &limit);
	}
	(void)close(STDERR_FILENO);
	(void)open("/dev/null", O_WRONLY | O_CLOEXEC); /* the lowest number that is free */
}

/* The linker sends our calls of _exit() here: a process that leaves past exit(), as after an error of the store. */
void
__wrap__exit(int code)
{
	make_room();
	__gcov_dump();
	__real__exit(code);
}
