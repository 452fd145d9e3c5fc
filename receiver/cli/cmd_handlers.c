/* pause, resume, take */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/units.h"
#include "receiver/cli/client.h"
#include "receiver/cli/table.h"

/* --- pause and resume --- */

/* --until: how long from now, or an RFC 3339 time. */
static bool
read_until(const struct invocation *invocation, json_t *body)
{
	const char *text = option(invocation, "until");
	int64_t age_ns;
	int64_t until_ns;
	if (text == NULL) {
		return true;
	}
	if (units_duration(span_of(text), &age_ns)) {
		until_ns = clock_wall_ns() + age_ns;
	} else if (!clock_parse(span_of(text), &until_ns)) {
		(void)usage_error(invocation,
		                  "--until: expected how long, such as 2h, or an RFC 3339 time");
		return false;
	}
	char time[CLOCK_TEXT_BYTES];
	clock_text(until_ns, time);
	(void)json_object_set_new(body, "until", json_string(time));
	return true;
}

static int
change_handler(struct invocation *invocation, const char *verb)
{
	if (invocation->argument_count != 1) {
		return usage_error(invocation, "expected the name of one handler");
	}
	const char *name = invocation->arguments[0];
	const char *reason = option(invocation, "reason");
	json_t *body = json_object();
	if (reason != NULL) {
		(void)json_object_set_new(body, "reason", json_string(reason));
	}
	int code = EXIT_USAGE;
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config != NULL && read_until(invocation, body)) {
		char *path = client_path("/v1/handlers/", name, verb);
		json_t *answer = NULL;
		code = client_call(config, path, NULL, body, &answer);
		if (code == EXIT_OK && has_option(invocation, "json")) {
			print_json(answer);
		}
		const char *until = json_string_value(json_object_get(answer, "until"));
		if (code == EXIT_OK && strcmp(verb, "pause") == 0) {
			say("%s is paused%s%s; receiving goes on. hooklatch resume %s lets it go on",
			    name, until == NULL ? "" : " until ", until == NULL ? "" : until, name);
		} else if (code == EXIT_OK) {
			say("%s goes on", name);
		}
		json_decref(answer);
		free(path);
	}
	json_decref(body);
	config_release(config);
	return code;
}

int
run_pause(struct invocation *invocation)
{
	return change_handler(invocation, "pause");
}

int
run_resume(struct invocation *invocation)
{
	return change_handler(invocation, "resume");
}

/* --- take --- */

#define EXTEND_EVERY_PART 3 /* a lease is extended when a third of it is over */

static void
put_variable(const char *name, const json_t *value)
{
	char *text = json_is_integer(value) ? NULL : memory_text(json_string_value(value));
	char number[24];
	(void)snprintf(number, sizeof(number), "%" PRId64, (int64_t)json_integer_value(value));
	(void)setenv(name, text == NULL ? number : text, 1);
	free(text);
}

/* The command in a shell, with the delivery's names in its environment and the body on its stdin. Never returns. */
static void NORETURN
run_command(const char *command, const char *handler, const json_t *item, int in)
{
	put_variable("HOOKLATCH_LEASE", json_object_get(item, "lease"));
	put_variable("HOOKLATCH_EVENT_ID", json_object_get(item, "event_id"));
	put_variable("HOOKLATCH_SOURCE", json_object_get(item, "source"));
	put_variable("HOOKLATCH_TYPE", json_object_get(item, "type"));
	put_variable("HOOKLATCH_ATTEMPT", json_object_get(item, "attempt"));
	put_variable("HOOKLATCH_SEQUENCE", json_object_get(item, "sequence"));
	put_variable("HOOKLATCH_RECEIVED_AT", json_object_get(item, "received_at"));
	(void)setenv("HOOKLATCH_HANDLER", handler, 1);
	(void)dup2(in, STDIN_FILENO);
	(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* The body in a file that has no name: a command that does not read it holds nobody up. -1: none could be made. */
static int
body_file(const json_t *item)
{
	struct span text = span_of(json_string_value(json_object_get(item, "body")));
	FILE *file = tmpfile();
	unsigned char *body = memory_need(text.size + 1);
	size_t size = 0;
	int fd = -1;
	if (file != NULL && base64_decode(text, body, text.size + 1, &size) &&
	    fwrite(body, 1, size, file) == size && fflush(file) == 0) {
		fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
		(void)lseek(fd, 0, SEEK_SET);
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	free(body);
	return fd;
}

static int
lease_call(struct config *config, const json_t *item, const char *verb, const char *query)
{
	char *path =
		client_path("/v1/leases/", json_string_value(json_object_get(item, "lease")), verb);
	json_t *body = json_object();
	json_t *answer = NULL;
	int code = client_call(config, path, query, body, &answer);
	json_decref(answer);
	json_decref(body);
	free(path);
	return code;
}

/* Waits for the command, and keeps the lease meanwhile. The exit code, or -1. */
static int
wait_for(struct config *config, const json_t *item, pid_t pid)
{
	int64_t until_ns = 0;
	int status = 0;
	int64_t length_ns = NS_PER_S;
	if (clock_parse(span_of(json_string_value(json_object_get(item, "lease_until"))),
	                &until_ns) &&
	    until_ns - clock_wall_ns() > length_ns) {
		length_ns = until_ns - clock_wall_ns();
	}
	char query[48];
	(void)snprintf(query, sizeof(query), "by=%" PRId64 "ms", length_ns / NS_PER_MS);
	struct pollfd child = { .fd = pidfd_open(pid, 0), .events = POLLIN };
	int part_ms = (int)(length_ns / EXTEND_EVERY_PART / NS_PER_MS);
	while (child.fd >= 0 && poll(&child, 1, part_ms) == 0) {
		(void)lease_call(config, item, "extend", query);
	}
	if (child.fd >= 0) {
		(void)close(child.fd);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* 0 acknowledges, 65 is dead at once, anything else is tried again: as with `exec`. */
static bool
process(struct config *config, const char *command, const char *handler, const json_t *item)
{
	int in = body_file(item);
	pid_t pid = in < 0 ? -1 : fork();
	if (pid == 0) {
		run_command(command, handler, item, in);
	}
	int status = pid < 0 ? -1 : wait_for(config, item, pid);
	if (in >= 0) {
		(void)close(in);
	}
	if (status == 0) {
		return lease_call(config, item, "ack", NULL) == EXIT_OK;
	}
	char query[64];
	(void)snprintf(query, sizeof(query), "%serror=exit%%20code%%20%d",
	               status == EX_DATAERR ? "dead&" : "", status);
	(void)lease_call(config, item, "nack", query);
	return false;
}

static int
process_all(struct config *config, const char *command, const char *handler, const json_t *items)
{
	size_t done = 0;
	size_t index;
	json_t *item;
	json_array_foreach(items, index, item) {
		done += process(config, command, handler, item) ? 1 : 0;
	}
	return done == json_array_size(items) ? EXIT_OK : done > 0 ? EXIT_PARTLY : EXIT_FAILED;
}

static int
print_items(const struct invocation *invocation, const json_t *items)
{
	if (has_option(invocation, "json")) {
		print_json(items);
		return EXIT_OK;
	}
	size_t index;
	json_t *item;
	json_array_foreach(items, index, item) {
		put_json(item, JSON_COMPACT);
		(void)putchar('\n');
	}
	return EXIT_OK;
}

static char *
take_query_of(const struct invocation *invocation)
{
	struct buffer query;
	buffer_init(&query, 65536);
	static const char *const names[] = { "max", "wait" };
	for (size_t i = 0; i < COUNT(names); i++) {
		const char *value = option(invocation, names[i]);
		if (value != NULL) {
			buffer_format(&query, "%s%s=", query.size == 0 ? "" : "&", names[i]);
			percent_encode(&query, span_of(value));
		}
	}
	return buffer_steal(&query);
}

int
run_take(struct invocation *invocation)
{
	if (invocation->argument_count != 1) {
		return usage_error(invocation, "expected the name of one handler");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	const char *handler = invocation->arguments[0];
	const char *command = option(invocation, "exec");
	char *path = client_path("/v1/handlers/", handler, "take");
	char *query = take_query_of(invocation);
	json_t *body = json_object();
	json_t *items = NULL;
	int code = client_call(config, path, query, body, &items);
	if (code == EXIT_OK && json_array_size(items) == 0) {
		code = EXIT_NOTHING;
		if (has_option(invocation, "json")) {
			print_json(items);
		}
	} else if (code == EXIT_OK) {
		code = command != NULL ? process_all(config, command, handler, items)
		                       : print_items(invocation, items);
	}
	json_decref(items);
	json_decref(body);
	free(query);
	free(path);
	config_release(config);
	return code;
}
