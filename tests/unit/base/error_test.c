#include "receiver/base/error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"

static void
an_error_has_a_kind_and_a_text(void)
{
	struct error err;
	CHECK(!error_set(&err, ERROR_LIMIT, "%d of %s", 3, "four"));
	CHECK(err.kind == ERROR_LIMIT && err.sys_errno == 0);
	CHECK(strcmp(err.text, "3 of four") == 0);
	errno = ENOENT;
	CHECK(!error_system(&err, "cannot open %s", "it"));
	CHECK(err.kind == ERROR_SYSTEM && err.sys_errno == ENOENT);
	CHECK(strcmp(err.text, "cannot open it: No such file or directory") == 0);
	CHECK(!error_prefix(&err, "%s", "start"));
	CHECK(strcmp(err.text, "start: cannot open it: No such file or directory") == 0);
}

static void
a_long_text_is_cut(void)
{
	struct error err;
	char text[2 * ERROR_TEXT_BYTES];
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	CHECK(!error_set(&err, ERROR_INVALID, "%s", text));
	CHECK(strlen(err.text) == ERROR_TEXT_BYTES - 1);
	CHECK(!error_prefix(&err, "%s", text));
	CHECK(strlen(err.text) == ERROR_TEXT_BYTES - 1);
}

/* What a child wrote to where the log goes, and how it ended. */
static int
said_by_child(void (*run)(void), char *said, size_t room)
{
	int ends[2];
	CHECK(pipe(ends) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		fatal_to(ends[1]);
		run();
		_exit(0);
	}
	(void)close(ends[1]);
	ssize_t size = read(ends[0], said, room - 1);
	said[size < 0 ? 0 : size] = '\0';
	(void)close(ends[0]);
	int status = 0;
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void
break_a_rule(void)
{
	volatile int three = 3;
	ALWAYS(three == 4, "three-is-four");
}

static void
say_what_is_no_json(void)
{
	fatal_say("service.failed", "a \"word\", a \\ and a\nline");
}

static void
an_assertion_has_a_name_in_the_log_and_ends_the_process(void)
{
	char said[2048];
	CHECK(said_by_child(break_a_rule, said, sizeof(said)) == -SIGABRT);
	CHECK(strstr(said,
	             "\"level\":\"fatal\",\"event\":\"assertion.failed\",\"msg\":\"three-is-four: three == 4 (") !=
	      NULL);
	CHECK(strncmp(said, "{\"ts\":\"2", 8) == 0 && said[strlen(said) - 1] == '\n');
	CHECK(strstr(said, "Z\",\"level\"") != NULL);
}

static void
a_last_line_is_json(void)
{
	char said[2048];
	CHECK(said_by_child(say_what_is_no_json, said, sizeof(said)) == 0);
	CHECK(strstr(said, "\"msg\":\"a /word/, a / and a/line\"}\n") != NULL);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "an error has a kind and a text", an_error_has_a_kind_and_a_text },
		{ "a long text is cut", a_long_text_is_cut },
		{ "an assertion has a name in the log and ends the process",
		  an_assertion_has_a_name_in_the_log_and_ends_the_process },
		{ "a last line is JSON", a_last_line_is_json },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
