/* What the system allows a handler that runs programs: posix_spawn and wait, again and again.
 *   spawn THREADS SECONDS PROGRAM */
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/limits/threads.h"

static char *program;

static bool
run(unsigned thread)
{
	char *const arguments[] = { program, NULL };
	pid_t pid = 0;
	int status = 0;
	(void)thread;
	int problem = posix_spawn(&pid, program, NULL, NULL, arguments, environ);
	if (problem != 0) {
		warnx("%s: %s", program, strerror(problem));
		return false;
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			warn("waitpid");
			return false;
		}
	}
	return status == 0;
}

int
main(int argc, char **argv)
{
	if (argc != 4) {
		errx(2, "usage: spawn THREADS SECONDS PROGRAM");
	}
	program = argv[3];
	return threads_run((unsigned)threads_number(argv[1], 1, THREADS_MOST),
	                   threads_number(argv[2], 0.1, 3600), run);
}
