#include "receiver/base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"

/* What a confined child says about itself: its exit code, or minus the signal that ended it. */
static int
confined(enum confinement confinement, int (*ask)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		struct error err;
		_exit(confine_thread(confinement, &err) ? ask() : 99);
	}
	int status = 0;
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int
ask_for_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int
ask_for_a_file_to_write(void)
{
	return open("/dev/null", O_WRONLY) < 0 ? errno : 0;
}

static int
ask_for_a_file_to_read(void)
{
	return open("/dev/null", O_RDONLY) < 0 ? errno : 0;
}

static int
ask_for_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	                       MAP_FAILED
	               ? errno
	               : 0;
}

static int
ask_for_memory(void)
{
	void *memory = malloc(64 * 1024 * 1024);
	free(memory);
	return memory == NULL ? errno : 0;
}

static int
ask_for_a_child(void)
{
	/* cppcheck-suppress leakNoVarFunctionCall ; a raw clone(2), as a stranger would make it */
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 ? errno : 0;
}

static int
ask_for_a_program(void)
{
	char program[] = "/bin/true";
	char *const words[] = { program, NULL };
	(void)execv(program, words);
	return errno;
}

static int
ask_for_a_core(void)
{
	abort();
}

static void
a_net_loop_reads_and_answers_and_does_nothing_else(void)
{
	CHECK(confined(CONFINE_NET, ask_for_memory) == 0);
	CHECK(confined(CONFINE_NET, ask_for_a_file_to_read) == 0);
	CHECK(confined(CONFINE_NET, ask_for_a_file_to_write) == ENOSYS);
	CHECK(confined(CONFINE_NET, ask_for_a_socket) == ENOSYS);
	CHECK(confined(CONFINE_NET, ask_for_code) == ENOSYS);
	CHECK(confined(CONFINE_NET, ask_for_a_child) == ENOSYS);
	CHECK(confined(CONFINE_NET, ask_for_a_program) == -SIGSYS);
	CHECK(confined(CONFINE_NET, ask_for_a_core) == -SIGABRT);
}

static void
the_store_has_files_and_nothing_else(void)
{
	CHECK(confined(CONFINE_STORE, ask_for_memory) == 0);
	CHECK(confined(CONFINE_STORE, ask_for_a_file_to_write) == 0);
	CHECK(confined(CONFINE_STORE, ask_for_a_socket) == ENOSYS);
	CHECK(confined(CONFINE_STORE, ask_for_code) == ENOSYS);
	CHECK(confined(CONFINE_STORE, ask_for_a_child) == ENOSYS);
	CHECK(confined(CONFINE_STORE, ask_for_a_program) == -SIGSYS);
	CHECK(confined(CONFINE_STORE, ask_for_a_core) == -SIGABRT);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a net loop reads and answers and does nothing else",
		  a_net_loop_reads_and_answers_and_does_nothing_else },
		{ "the store has files and nothing else", the_store_has_files_and_nothing_else },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
