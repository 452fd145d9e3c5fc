/* The command line: a table of commands, their options, and what every command gets.
 * Data on stdout, messages on stderr. Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 nothing matched,
 * 4 service unreachable, 5 partly done, 6 findings, 7 refused (needs --yes). */
#ifndef HOOKLATCH_CLI_COMMAND_H
#define HOOKLATCH_CLI_COMMAND_H

#include <jansson.h>

#include "receiver/base/error.h"
#include "receiver/config/config.h"
#include "receiver/model/filter.h"

enum exit_code {
	EXIT_OK,
	EXIT_FAILED,
	EXIT_USAGE,
	EXIT_NOTHING,
	EXIT_UNREACHABLE,
	EXIT_PARTLY,
	EXIT_FINDINGS,
	EXIT_REFUSED,
};

#define OPTIONS_MOST   64
#define ARGUMENTS_MOST 4096

struct option_value {
	const char *name;
	const char *value; /* NULL: a flag */
};

/* One call of the program. */
struct invocation {
	const struct command *command;
	struct option_value options[OPTIONS_MOST];
	size_t option_count;
	const char *arguments[ARGUMENTS_MOST];
	size_t argument_count;
	char *config_file;
	bool colour;
	bool terminal; /* stdout is one */
};

struct command {
	const char *noun;
	const char *verb;    /* NULL: the noun alone */
	const char *options; /* names, each with a space before and behind; "name=" takes a value */
	const char *arguments; /* for usage: "[ID…]"; NULL: none */
	const char *text;
	int (*run)(struct invocation *invocation);
};

extern const struct command commands[]; /* the last has no noun */

/* main: returns the exit code. */
int command_line(int count, char **words);

/* --- for the commands --- */

const char *option(const struct invocation *invocation,
                   const char *name); /* value, "" for a flag, NULL: not given */
bool has_option(const struct invocation *invocation, const char *name);
/* The filters among the options. False after telling what is wrong. */
bool option_filter(const struct invocation *invocation, struct filter *filter) MUST_CHECK;
int usage_error(const struct invocation *invocation, const char *format, ...) PRINTF(2, 3);
/* "hooklatch: …" on stderr. */
void complain(const char *format, ...) PRINTF(1, 2);
void say(const char *format, ...) PRINTF(1, 2); /* a message on stderr */
/* Asks on a terminal; without one --yes decides. EXIT_OK, or EXIT_REFUSED after telling why. */
int confirm(const struct invocation *invocation, const char *format, ...) PRINTF(2, 3);

/* The configuration for a command; NULL after telling what is wrong. */
struct config *command_config(const struct invocation *invocation, enum config_purpose purpose);

#define FILTER_OPTIONS " source= type= handler= state= id= since= until= error= limit= "

int run_serve(struct invocation *invocation);
int run_doctor(struct invocation *invocation);
int run_backup(struct invocation *invocation);
int run_init(struct invocation *invocation);
int run_reconcile(struct invocation *invocation);
int run_config_check(struct invocation *invocation);
int run_config_show(struct invocation *invocation);
int run_config_schema(struct invocation *invocation);
int run_providers(struct invocation *invocation);
int run_events_list(struct invocation *invocation);
int run_events_show(struct invocation *invocation);
int run_events_replay(struct invocation *invocation);
int run_events_discard(struct invocation *invocation);
int run_events_erase(struct invocation *invocation);
int run_events_export(struct invocation *invocation);
int run_dead_list(struct invocation *invocation);
int run_dead_show(struct invocation *invocation);
int run_dead_replay(struct invocation *invocation);
int run_dead_discard(struct invocation *invocation);
int run_dead_restore(struct invocation *invocation);
int run_replays_list(struct invocation *invocation);
int run_replays_show(struct invocation *invocation);
int run_replays_cancel(struct invocation *invocation);
int run_replays_resume(struct invocation *invocation);
int run_explain(struct invocation *invocation);
int run_pause(struct invocation *invocation);
int run_resume(struct invocation *invocation);
int run_take(struct invocation *invocation);
int run_tail(struct invocation *invocation);
int run_stats(struct invocation *invocation);
int run_send(struct invocation *invocation);
int run_sign(struct invocation *invocation);
int run_verify(struct invocation *invocation);
int run_migrate(struct invocation *invocation);
int run_version(struct invocation *invocation);
int run_help(struct invocation *invocation);

#endif
