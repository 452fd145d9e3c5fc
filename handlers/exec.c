/* Handler `exec: [program, argument…]`: the body on stdin, the rest in the environment, no shell.
 * The program gets a process group of its own; at the timeout the group gets SIGTERM, 5 s later SIGKILL; what is left
 * of the group when the program has ended is killed. stdout goes nowhere; the last 4 KiB of stderr are kept.
 * Exit 0 done, 65 (EX_DATAERR, sysexits.h) dead, 75 (EX_TEMPFAIL) and anything else: again. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "receiver/base/clock.h"

#include "handlers/kinds.h"

#define ENVIRONMENT_MOST  64
#define BLIND_TICK_MS     50 /* how often a child without a descriptor is looked at */
#define STDERR_READ_BYTES 16384
#define PATH_MOST_BYTES   4096

struct exec_settings {
	struct schema_list program;     /* const char * */
	struct schema_list environment; /* names that are passed on */
};

static const struct schema_row rows[] = {
	{
		.name = "exec",
		.kind = SCHEMA_TEXTS,
		.offset = offsetof(struct exec_settings, program),
		.reload = true,
		.text = "Runs this program with these arguments, without a shell; the body is on its stdin. "
			"Exit 0 is done, 65 is dead at once, 75 and any other is tried again.",
	},
	{
		.name = "environment",
		.kind = SCHEMA_TEXTS,
		.offset = offsetof(struct exec_settings, environment),
		.reload = true,
		.text = "With exec: names of environment variables that the program gets too.",
	},
	{ .name = NULL },
};

static bool
check_exec(void *settings, const struct kind_check *check)
{
	const struct exec_settings *exec = settings;
	const char *const *program = exec->program.items;
	if (exec->program.count == 0 || program[0][0] == '\0') {
		problems_add(check->problems, node_key_place(check->node, "exec"),
		             "exec: the program is missing");
		return false;
	}
	if (exec->environment.count > ENVIRONMENT_MOST / 2) {
		problems_add(check->problems, node_key_place(check->node, "environment"),
		             "environment: more than %d names", ENVIRONMENT_MOST / 2);
		return false;
	}
	return true;
}

static const char *
exec_program(const void *settings)
{
	const char *const *program = ((const struct exec_settings *)settings)->program.items;
	return program[0];
}

/* One call: the child and its pipes. */
struct call {
	const struct attempt *attempt;
	struct outcome *outcome;
	pid_t pid;
	int pid_fd;
	int in_fd;  /* the child's stdin, our end */
	int err_fd; /* the child's stderr, our end */
	size_t written;
	char tail[OUTCOME_OUTPUT_BYTES * 2];
	size_t tail_size;
	char headers_file[PATH_MOST_BYTES];
	bool timed_out;
	bool stopped;
	int feed_errno; /* the program did not get all of the body; 0: it did, or did not want it */
};

/* --- environment --- */

struct environment {
	char *items[ENVIRONMENT_MOST + 1];
	size_t count;
};

static void
put_variable(struct environment *environment, const char *name, const char *value)
{
	if (value == NULL || environment->count == ENVIRONMENT_MOST) {
		return;
	}
	size_t size = strlen(name) + strlen(value) + 2;
	char *item = memory_need(size);
	(void)snprintf(item, size, "%s=%s", name, value);
	environment->items[environment->count++] = item;
}

static void
put_number(struct environment *environment, const char *name, int64_t value)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	put_variable(environment, name, text);
}

static void
fill_environment(struct environment *environment, const struct call *call)
{
	static const char *const passed[] = { "PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR" };
	const struct attempt *attempt = call->attempt;
	const struct event *event = attempt->event;
	const struct exec_settings *settings = attempt->settings;
	for (size_t i = 0; i < COUNT(passed); i++) {
		put_variable(environment, passed[i], getenv(passed[i]));
	}
	const char *const *names = settings->environment.items;
	for (size_t i = 0; i < settings->environment.count; i++) {
		put_variable(environment, names[i], getenv(names[i]));
	}
	char received[CLOCK_TEXT_BYTES];
	clock_text(event->received_ns, received);
	char key[IDEMPOTENCY_KEY_MOST + 1];
	idempotency_key(attempt, key);
	char trace[56];
	trace_parent(event, trace);
	put_variable(environment, "HOOKLATCH_EVENT_ID", event->id.data);
	put_variable(environment, "HOOKLATCH_SOURCE", event->source.data);
	put_variable(environment, "HOOKLATCH_TYPE", event->type.data);
	put_variable(environment, "HOOKLATCH_HANDLER", attempt->handler);
	put_number(environment, "HOOKLATCH_ATTEMPT", attempt->number);
	put_number(environment, "HOOKLATCH_SEQUENCE", event->seq);
	put_variable(environment, "HOOKLATCH_RECEIVED_AT", received);
	put_variable(environment, "HOOKLATCH_IDEMPOTENCY_KEY", key);
	put_variable(environment, "HOOKLATCH_HEADERS_FILE", call->headers_file);
	put_variable(environment, "TRACEPARENT", trace);
}

static void
free_environment(struct environment *environment)
{
	for (size_t i = 0; i < environment->count; i++) {
		free(environment->items[i]);
	}
}

/* --- start --- */

static bool
write_file(int fd, struct span text)
{
	while (text.size > 0) {
		ssize_t wrote = write(fd, text.data, text.size);
		if (wrote < 0 && errno != EINTR) {
			return false;
		}
		text = span_after(text, wrote < 0 ? 0 : (size_t)wrote);
	}
	return true;
}

static bool
make_headers_file(struct call *call, struct error *err)
{
	int size = snprintf(call->headers_file, sizeof(call->headers_file), "%s/headers-XXXXXX",
	                    call->attempt->scratch);
	if (size >= (int)sizeof(call->headers_file)) {
		call->headers_file[0] = '\0';
		return error_set(err, ERROR_LIMIT, "the path of %s is too long",
		                 call->attempt->scratch);
	}
	int fd = mkostemp(call->headers_file, O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && mkdir(call->attempt->scratch, 0700) == 0) {
		fd = mkostemp(call->headers_file, O_CLOEXEC);
	}
	if (fd < 0) {
		call->headers_file[0] = '\0';
		return error_system(err, "cannot make the headers' file");
	}
	bool good = write_file(fd, call->attempt->event->headers);
	if (!good) {
		(void)error_system(err, "cannot write the headers' file");
	}
	(void)close(fd);
	return good;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0) {
		(void)close(*fd);
		*fd = -1;
	}
}

/* posix_spawn(3) with all signals as they were at the beginning of time; returns its errno. */
static int
spawn(struct call *call, int child_in, int child_err, char *const *arguments,
      char *const *variables)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigset_t all;
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	int code = posix_spawn_file_actions_adddup2(&actions, child_in, STDIN_FILENO);
	code = code != 0 ? code
	                 : posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
	                                                    O_WRONLY, 0);
	code = code != 0 ? code
	                 : posix_spawn_file_actions_adddup2(&actions, child_err, STDERR_FILENO);
	/* All is close-on-exec already; but libraries may open files at this very moment. */
	code = code != 0 ? code
	                 : posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	code = code != 0 ? code
	                 : posix_spawn_file_actions_addchdir_np(&actions, call->attempt->directory);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
	                                                    POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	code = code != 0 ? code
	                 : posix_spawnp(&call->pid, arguments[0], &actions, &attributes, arguments,
	                                variables);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return code;
}

static void
spawn_failed(struct call *call, int code, const char *program)
{
	char reason[96];
	const char *text = strerror_r(code, reason, sizeof(reason));
	if (code == EAGAIN || code == ENOMEM || code == EMFILE || code == ENFILE) {
		outcome_fail(call->outcome, OUTCOME_GIVE_BACK, ABOUT_NOTHING, "spawn_failed",
		             "cannot start a process now: %s", text);
	} else if (code == E2BIG) {
		outcome_fail(call->outcome, OUTCOME_DEAD, ABOUT_NOTHING, "spawn_failed",
		             "the event's description does not fit an environment");
	} else {
		outcome_fail(call->outcome, OUTCOME_RETRY, ABOUT_FAILURE, "spawn_failed",
		             "cannot run %.160s: %s", program, text);
	}
}

static bool
start(struct call *call)
{
	const struct exec_settings *settings = call->attempt->settings;
	const char *const *program = settings->program.items;
	struct error err;
	int in[2];
	int errors[2];
	if (!make_headers_file(call, &err)) {
		outcome_fail(call->outcome, OUTCOME_GIVE_BACK, ABOUT_NOTHING, "spawn_failed",
		             "%.200s", err.text);
		return false;
	}
	if (pipe2(in, O_CLOEXEC) != 0) {
		spawn_failed(call, errno, program[0]);
		return false;
	}
	if (pipe2(errors, O_CLOEXEC) != 0) {
		spawn_failed(call, errno, program[0]);
		(void)close(in[0]);
		(void)close(in[1]);
		return false;
	}
	char **arguments = memory_need((settings->program.count + 1) * sizeof(*arguments));
	for (size_t i = 0; i < settings->program.count; i++) {
		arguments[i] = memory_text(program[i]);
	}
	struct environment environment = { .count = 0 };
	fill_environment(&environment, call);
	int code = spawn(call, in[0], errors[1], arguments, environment.items);
	free_environment(&environment);
	for (size_t i = 0; i < settings->program.count; i++) {
		free(arguments[i]);
	}
	free(arguments);
	(void)close(in[0]);
	(void)close(errors[1]);
	call->in_fd = in[1];
	call->err_fd = errors[0];
	if (code != 0) {
		call->pid = 0;
		spawn_failed(call, code, program[0]);
		return false;
	}
	(void)fcntl(call->in_fd, F_SETFL, O_NONBLOCK);
	(void)fcntl(call->err_fd, F_SETFL, O_NONBLOCK);
	call->pid_fd = pidfd_open(call->pid, 0);
	return true;
}

/* --- while it runs --- */

static void
feed(struct call *call)
{
	struct span rest = span_after(call->attempt->event->body, call->written);
	while (rest.size > 0) {
		ssize_t wrote = write(call->in_fd, rest.data, rest.size);
		if (wrote < 0) {
			if (errno == EAGAIN || errno == EINTR) {
				return;
			}
			/* EPIPE: it has read enough; its exit code decides. */
			call->feed_errno = errno == EPIPE ? 0 : errno;
			break;
		}
		call->written += (size_t)wrote;
		rest = span_after(rest, (size_t)wrote);
	}
	close_fd(&call->in_fd);
}

static void
keep_tail(struct call *call, const char *data, size_t size)
{
	if (size > OUTCOME_OUTPUT_BYTES) {
		data += size - OUTCOME_OUTPUT_BYTES;
		size = OUTCOME_OUTPUT_BYTES;
	}
	if (call->tail_size + size > sizeof(call->tail)) {
		size_t keep = OUTCOME_OUTPUT_BYTES < call->tail_size ? OUTCOME_OUTPUT_BYTES
		                                                     : call->tail_size;
		memmove(call->tail, call->tail + call->tail_size - keep, keep);
		call->tail_size = keep;
	}
	memcpy(call->tail + call->tail_size, data, size);
	call->tail_size += size;
}

/* Takes what is there, but not for ever: a flood has its turn like everything else. */
static void
drain_errors(struct call *call)
{
	char data[STDERR_READ_BYTES / 2];
	for (int turns = 0; turns < 64; turns++) {
		ssize_t size = read(call->err_fd, data, sizeof(data));
		if (size > 0) {
			keep_tail(call, data, (size_t)size);
		} else if (size == 0) {
			close_fd(&call->err_fd);
			return;
		} else if (errno != EINTR) {
			return;
		}
	}
}

static int
milliseconds_until(int64_t deadline_ns)
{
	int64_t left = deadline_ns - clock_boot_ns();
	return left <= 0 ? 0 : (int)((left + NS_PER_MS - 1) / NS_PER_MS);
}

/* Without a descriptor for the child (there may be none left just now) its end is looked for again and again. */
static bool
has_ended(const struct call *call)
{
	siginfo_t info = { 0 };
	return call->pid_fd < 0 &&
	       waitid(P_PID, (id_t)call->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == call->pid;
}

/* Waits for the end of the child; what it is told on the way depends on the clock and on our own stop. */
static void
attend(struct call *call)
{
	const struct attempt_stop *stop = call->attempt->stop;
	int64_t term_ns = clock_boot_ns() + call->attempt->timeout_ns;
	int64_t kill_ns = INT64_MAX;
	bool killed = false;
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = call->pid_fd, .events = POLLIN },
			{ .fd = call->in_fd, .events = POLLOUT },
			{ .fd = call->err_fd, .events = POLLIN },
			{ .fd = killed || call->stopped ? -1 : stop->end_fd, .events = POLLIN },
			{ .fd = killed ? -1 : stop->kill_fd, .events = POLLIN },
		};
		int64_t next_ns = term_ns < kill_ns ? term_ns : kill_ns;
		int wait = next_ns == INT64_MAX ? -1 : milliseconds_until(next_ns);
		if (call->pid_fd < 0 && (wait < 0 || wait > BLIND_TICK_MS)) {
			wait = BLIND_TICK_MS;
		}
		(void)poll(fds, COUNT(fds), wait);
		if (fds[1].revents != 0) {
			feed(call);
		}
		if (fds[2].revents != 0) {
			drain_errors(call);
		}
		if (fds[0].revents != 0 || has_ended(call)) {
			return;
		}
		int64_t now = clock_boot_ns();
		bool end = fds[3].revents != 0;
		if (end || now >= term_ns) {
			call->stopped = call->stopped || end;
			call->timed_out = call->timed_out || !end;
			term_ns = INT64_MAX;
			kill_ns = now + HANDLER_KILL_AFTER_NS;
			(void)kill(-call->pid, SIGTERM);
		}
		if (fds[4].revents != 0 || now >= kill_ns) {
			call->stopped = call->stopped || fds[4].revents != 0;
			killed = true;
			term_ns = INT64_MAX;
			kill_ns = INT64_MAX;
			(void)kill(-call->pid, SIGKILL);
		}
	}
}

static void
judge(struct call *call, int status)
{
	struct outcome *outcome = call->outcome;
	outcome->unsure = call->timed_out || WIFSIGNALED(status);
	if (call->timed_out) {
		outcome_fail(outcome, OUTCOME_RETRY, ABOUT_FAILURE, "timeout",
		             "timeout: not done after %" PRId64 " ms",
		             call->attempt->timeout_ns / NS_PER_MS);
	} else if (call->feed_errno != 0) {
		char reason[96];
		outcome_fail(outcome, OUTCOME_RETRY, ABOUT_NOTHING, "body",
		             "the program could not be given the body: %s",
		             strerror_r(call->feed_errno, reason, sizeof(reason)));
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		outcome->kind =
			OUTCOME_DONE; /* even when it was asked to stop: it has done its work */
		outcome->about = ABOUT_SUCCESS;
	} else if (call->stopped) {
		outcome_fail(outcome, OUTCOME_GIVE_BACK, ABOUT_NOTHING, "stopped",
		             "broken off by the service's stop");
	} else if (WIFSIGNALED(status)) {
		outcome_fail(outcome, OUTCOME_RETRY, ABOUT_FAILURE, "signal",
		             "ended by signal %d (SIG%s)", WTERMSIG(status),
		             sigabbrev_np(WTERMSIG(status)) == NULL
		                     ? "?"
		                     : sigabbrev_np(WTERMSIG(status)));
	} else {
		int code = WEXITSTATUS(status);
		outcome_fail(outcome, code == EX_DATAERR ? OUTCOME_DEAD : OUTCOME_RETRY,
		             code == EX_DATAERR ? ABOUT_NOTHING : ABOUT_FAILURE, "exit",
		             "exit %d%s", code,
		             code == EX_DATAERR    ? " (EX_DATAERR)"
		             : code == EX_TEMPFAIL ? " (EX_TEMPFAIL)"
		                                   : "");
	}
}

static void
finish(struct call *call)
{
	int status = 0;
	if (call->pid > 0) {
		(void)kill(
			-call->pid,
			SIGKILL); /* what is left of the group; the child is not reaped yet, its number is ours */
		while (waitpid(call->pid, &status, 0) < 0 && errno == EINTR) {
		}
		if (call->err_fd >= 0) {
			drain_errors(call);
		}
		judge(call, status);
	}
	size_t keep =
		call->tail_size < OUTCOME_OUTPUT_BYTES ? call->tail_size : OUTCOME_OUTPUT_BYTES;
	/* A character that the cut went through is left out: text stays text. */
	for (int i = 0;
	     i < 3 && keep == OUTCOME_OUTPUT_BYTES - (size_t)i && call->tail_size > keep &&
	     ((unsigned char)call->tail[call->tail_size - keep] & 0xc0U) == 0x80U;
	     i++) {
		keep--;
	}
	memcpy(call->outcome->output, call->tail + call->tail_size - keep, keep);
	call->outcome->output_size = keep;
	close_fd(&call->in_fd);
	close_fd(&call->err_fd);
	close_fd(&call->pid_fd);
	if (call->headers_file[0] != '\0') {
		(void)unlink(call->headers_file);
	}
}

static void
run_exec(const struct attempt *attempt, struct outcome *outcome)
{
	struct call *call = memory_need(sizeof(*call));
	call->attempt = attempt;
	call->outcome = outcome;
	call->pid_fd = -1;
	call->in_fd = -1;
	call->err_fd = -1;
	if (start(call)) {
		attend(call);
	}
	finish(call);
	free(call);
}

const struct handler_kind handler_exec = {
	.name = "exec",
	.rows = rows,
	.settings_bytes = sizeof(struct exec_settings),
	.program = exec_program,
	.guarantees = 1U << GUARANTEE_AT_LEAST_ONCE | 1U << GUARANTEE_AT_MOST_ONCE,
	.check = check_exec,
	.run = run_exec,
};
