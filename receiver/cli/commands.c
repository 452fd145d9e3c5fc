#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/cli/command.h"
#include "receiver/cli/table.h"

#define LIST " json jsonl "

const struct command commands[] = {
	{ "serve", NULL, " salvage-wal ", NULL, "run the service in the foreground", run_serve },
	{ "config", "check", " ", NULL, "look for errors in the configuration: exit 0 or 2",
	  run_config_check },
	{ "config", "show", " json ", NULL, "print every effective value and where it came from",
	  run_config_show },
	{ "config", "schema", " manual ", NULL, "print a JSON Schema for editors",
	  run_config_schema },
	{ "backup", NULL, " json ", "FILE",
	  "write a checked copy of the store, while the service runs or not", run_backup },
	{ "init", NULL, " source= ", "NAME", "write a source for a provider into the configuration",
	  run_init },
	{ "providers", NULL, LIST, "[NAME]", "list the presets, or tell how to register at one",
	  run_providers },
	{ "events", "list", LIST FILTER_OPTIONS, NULL, "list events, newest first",
	  run_events_list },
	{ "events", "show", " json ", "SOURCE/ID", "show one event with deliveries and attempts",
	  run_events_show },
	{ "events", "replay", FILTER_OPTIONS " all dry-run rate= wait yes again reason= json ",
	  "[SOURCE/ID…]", "process events again, or fill a new handler from history (--handler)",
	  run_events_replay },
	{ "events", "discard", FILTER_OPTIONS " all dry-run yes reason= json ", "[SOURCE/ID…]",
	  "end what is pending, without trying it", run_events_discard },
	{ "events", "erase", FILTER_OPTIONS " all dry-run yes reason= json ", "[SOURCE/ID…]",
	  "take bodies and headers away; keys and states stay", run_events_erase },
	{ "events", "export", FILTER_OPTIONS " after= ", NULL,
	  "write events as JSON lines, bodies in base64, each with a cursor for --after",
	  run_events_export },
	{ "dead", "list", LIST FILTER_OPTIONS, NULL, "list dead letters", run_dead_list },
	{ "dead", "show", " json ", "ID", "show one dead letter with its tries and last output",
	  run_dead_show },
	{ "dead", "replay", FILTER_OPTIONS " all dry-run rate= wait yes again reason= json ",
	  "[ID…]", "put dead letters back to work", run_dead_replay },
	{ "dead", "discard", FILTER_OPTIONS " all dry-run yes reason= json ", "[ID…]",
	  "give dead letters up", run_dead_discard },
	{ "dead", "restore", FILTER_OPTIONS " all dry-run yes reason= json ", "[ID…]",
	  "make discarded ones dead letters again", run_dead_restore },
	{ "replays", "list", LIST, NULL, "list replays", run_replays_list },
	{ "replays", "show", " json ", "ID", "show one replay", run_replays_show },
	{ "replays", "cancel", " json ", "ID", "stop a replay where it stands",
	  run_replays_cancel },
	{ "replays", "resume", " json ", "ID", "let a cancelled replay go on where it stood",
	  run_replays_resume },
	{ "explain", NULL, " json ", "SOURCE/ID",
	  "say for each handler why an event is not running, and when it will", run_explain },
	{ "pause", NULL, " until= reason= json ", "HANDLER",
	  "try nothing of a handler until it is resumed; receiving goes on", run_pause },
	{ "resume", NULL, " reason= json ", "HANDLER", "let a paused handler go on", run_resume },
	{ "take", NULL, " max= wait= exec= json jsonl ", "HANDLER",
	  "take deliveries of a pull handler, as JSON lines or for a command", run_take },
	{ "tail", NULL, " follow " LIST FILTER_OPTIONS, NULL, "show what happens; -f goes on",
	  run_tail },
	{ "stats", NULL, " json watch ", NULL, "counts by state, the ledger, lag, dedup rate",
	  run_stats },
	{ "reconcile", NULL, " source= provider-file= hook= json jsonl ", NULL,
	  "compare a provider's own list of deliveries with the store", run_reconcile },
	{ "send", NULL, " source= type= id= body= count= url= private-key= key-name= json ", NULL,
	  "sign as the provider would, and send", run_send },
	{ "sign", NULL, " source= type= id= body= body-out= now= private-key= key-name= ", NULL,
	  "print the headers that sign a body", run_sign },
	{ "verify", NULL, " source= headers= body= now= method= target= json ", NULL,
	  "say whether a signature holds, and why not", run_verify },
	{ "migrate", NULL, " ", NULL, "bring the store to this version's schema", run_migrate },
	{ "doctor", NULL, " quick " LIST, NULL,
	  "look at everything that the service needs; tell what is wrong, and what to do",
	  run_doctor },
	{ "version", NULL, " json ", NULL, "print the version", run_version },
	{ "help", NULL, " ", "[COMMAND]", "this page, or that of a command", run_help },
	{ NULL, NULL, NULL, NULL, NULL, NULL },
};

/* --- what commands use --- */

const char *
option(const struct invocation *invocation, const char *name)
{
	for (size_t i = 0; i < invocation->option_count; i++) {
		if (strcmp(invocation->options[i].name, name) == 0) {
			return invocation->options[i].value == NULL ? ""
			                                            : invocation->options[i].value;
		}
	}
	return NULL;
}

bool
has_option(const struct invocation *invocation, const char *name)
{
	return option(invocation, name) != NULL;
}

/* A message on stderr. What it repeats of others' words is shown, not obeyed; it may have several lines. */
static void PRINTF(1, 0) put(const char *format, va_list arguments)
{
	char *text = NULL;
	int size = vasprintf(&text, format, arguments);
	struct span rest = { text, size < 0 ? 0 : (size_t)size };
	while (rest.size > 0) {
		size_t plain = strcspn(rest.data, "\n\t");
		char *line = harmless_text((struct span){ rest.data, plain });
		(void)fputs(line, stderr);
		free(line);
		if (plain < rest.size) {
			(void)fputc(rest.data[plain], stderr);
			plain++;
		}
		rest = span_after(rest, plain);
	}
	free(text);
}

void
complain(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	(void)fputs("hooklatch: ", stderr);
	put(format, arguments);
	(void)fputc('\n', stderr);
	va_end(arguments);
}

void
say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	put(format, arguments);
	(void)fputc('\n', stderr);
	va_end(arguments);
}

int
usage_error(const struct invocation *invocation, const char *format, ...)
{
	const struct command *command = invocation->command;
	va_list arguments;
	va_start(arguments, format);
	(void)fputs("hooklatch: ", stderr);
	put(format, arguments);
	(void)fprintf(stderr, "\nTry: hooklatch help %s%s%s\n", command->noun,
	              command->verb == NULL ? "" : " ", command->verb == NULL ? "" : command->verb);
	va_end(arguments);
	return EXIT_USAGE;
}

int
confirm(const struct invocation *invocation, const char *format, ...)
{
	char question[512];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(question, sizeof(question), format, arguments);
	va_end(arguments);
	if (has_option(invocation, "yes")) {
		return EXIT_OK;
	}
	if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) {
		complain("%s Refused: say --yes", question);
		return EXIT_REFUSED;
	}
	(void)fprintf(stderr, "%s [y/N] ", question);
	char answer[16];
	if (fgets(answer, sizeof(answer), stdin) == NULL ||
	    (answer[0] != 'y' && answer[0] != 'Y')) {
		complain("nothing was changed");
		return EXIT_REFUSED;
	}
	return EXIT_OK;
}

bool
option_filter(const struct invocation *invocation, struct filter *filter)
{
	struct error err;
	int64_t now = clock_wall_ns();
	filter_init(filter);
	for (size_t i = 0; filter_names[i] != NULL; i++) {
		const char *value = option(invocation, filter_names[i]);
		if (value != NULL && !filter_set(filter, filter_names[i], value, now, &err)) {
			complain("%s", err.text);
			filter_finish(filter);
			return false;
		}
	}
	return true;
}

struct config *
command_config(const struct invocation *invocation, enum config_purpose purpose)
{
	struct buffer report;
	buffer_init(&report, 1024 * 1024);
	struct config *config = config_load(invocation->config_file, purpose, &report);
	if (config == NULL && report.size > 0) {
		(void)fwrite(report.data, 1, report.size, stderr);
	}
	buffer_finish(&report);
	return config;
}

/* --- reading the command line --- */

static const struct command *
find_command(const char *noun, const char *verb, bool *noun_known)
{
	*noun_known = false;
	for (const struct command *command = commands; command->noun != NULL; command++) {
		if (strcmp(command->noun, noun) != 0) {
			continue;
		}
		*noun_known = true;
		if (command->verb == NULL || (verb != NULL && strcmp(command->verb, verb) == 0)) {
			return command;
		}
	}
	return NULL;
}

static void
suggest(const char *word, const char *noun)
{
	const char *words[64];
	size_t count = 0;
	for (const struct command *command = commands;
	     command->noun != NULL && count < COUNT(words) - 1; command++) {
		if (noun == NULL) {
			words[count++] = command->noun;
		} else if (strcmp(noun, command->noun) == 0 && command->verb != NULL) {
			words[count++] = command->verb;
		}
	}
	words[count] = NULL;
	const char *nearest = problems_nearest(span_of(word), words);
	if (nearest != NULL) {
		say("Did you mean \"%s%s%s\"?", noun == NULL ? "" : noun, noun == NULL ? "" : " ",
		    nearest);
	}
}

/* Whether the command takes --name; *valued says whether with a value. */
static bool
takes_option(const struct command *command, const char *name, bool *valued)
{
	char wanted[96];
	static const char *const always = " config= color= help ";
	const char *const lists[] = { command->options, always };
	for (size_t i = 0; i < COUNT(lists); i++) {
		(void)snprintf(wanted, sizeof(wanted), " %s= ", name);
		if (strstr(lists[i], wanted) != NULL) {
			*valued = true;
			return true;
		}
		(void)snprintf(wanted, sizeof(wanted), " %s ", name);
		if (strstr(lists[i], wanted) != NULL) {
			*valued = false;
			return true;
		}
	}
	return false;
}

static void
suggest_option(const struct command *command, const char *name)
{
	char names[1024];
	const char *words[OPTIONS_MOST];
	size_t count = 0;
	(void)snprintf(names, sizeof(names), "%s config color help", command->options);
	char *rest = NULL;
	for (char *word = strtok_r(names, " =", &rest); word != NULL && count < COUNT(words) - 1;
	     word = strtok_r(NULL, " =", &rest)) {
		words[count++] = word;
	}
	words[count] = NULL;
	const char *nearest = problems_nearest(span_of(name), words);
	if (nearest != NULL) {
		say("Did you mean \"--%s\"?", nearest);
	}
}

static bool
take_option(struct invocation *invocation, const char *word, char **words, int count, int *at)
{
	char name[64];
	const char *equals = strchr(word, '=');
	size_t size = equals == NULL ? strlen(word) : (size_t)(equals - word);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(size < 60 ? size : 60), word);
	bool valued;
	if (!takes_option(invocation->command, name, &valued)) {
		complain("%s%s%s has no option --%s", invocation->command->noun,
		         invocation->command->verb == NULL ? "" : " ",
		         invocation->command->verb == NULL ? "" : invocation->command->verb, name);
		suggest_option(invocation->command, name);
		return false;
	}
	if (invocation->option_count == OPTIONS_MOST) {
		complain("too many options");
		return false;
	}
	const char *value = NULL;
	if (valued) {
		value = equals != NULL ? equals + 1 : *at + 1 < count ? words[++*at] : NULL;
		if (value == NULL) {
			complain("--%s needs a value", name);
			return false;
		}
	} else if (equals != NULL) {
		complain("--%s takes no value", name);
		return false;
	}
	struct option_value *slot = &invocation->options[invocation->option_count++];
	slot->name = memory_text(name);
	slot->value = value;
	return true;
}

static bool
take_short(struct invocation *invocation, const char *word, char **words, int count, int *at)
{
	if (strcmp(word, "-c") == 0) {
		if (*at + 1 >= count) {
			complain("-c needs a file");
			return false;
		}
		invocation->options[invocation->option_count++] =
			(struct option_value){ memory_text("config"), words[++*at] };
		return true;
	}
	if (strcmp(word, "-f") == 0) {
		return take_option(invocation, "follow", words, count, at);
	}
	if (strcmp(word, "-h") == 0) {
		return take_option(invocation, "help", words, count, at);
	}
	complain("there is no option %s", word);
	return false;
}

static bool
read_words(struct invocation *invocation, char **words, int count)
{
	bool plain = false;
	for (int i = 0; i < count; i++) {
		const char *word = words[i];
		bool good = true;
		if (!plain && strcmp(word, "--") == 0) {
			plain = true;
		} else if (!plain && strncmp(word, "--", 2) == 0) {
			good = take_option(invocation, word + 2, words, count, &i);
		} else if (!plain && word[0] == '-' && word[1] != '\0') {
			good = take_short(invocation, word, words, count, &i);
		} else if (invocation->command->arguments == NULL ||
		           invocation->argument_count == ARGUMENTS_MOST) {
			complain("\"%s\": nothing is expected here", word);
			good = false;
		} else {
			invocation->arguments[invocation->argument_count++] = word;
		}
		if (!good) {
			return false;
		}
	}
	return true;
}

static bool
wants_colour(const struct invocation *invocation)
{
	const char *when = option(invocation, "color");
	const char *none = getenv("NO_COLOR");
	const char *kind = getenv("TERM");
	if (when != NULL && strcmp(when, "auto") != 0) {
		return strcmp(when, "always") == 0;
	}
	return invocation->terminal && (none == NULL || none[0] == '\0') &&
	       (kind == NULL || strcmp(kind, "dumb") != 0);
}

static void
print_usage(const struct command *command)
{
	(void)printf("hooklatch %s%s%s", command->noun, command->verb == NULL ? "" : " ",
	             command->verb == NULL ? "" : command->verb);
	if (command->arguments != NULL) {
		(void)printf(" %s", command->arguments);
	}
	(void)printf(" [-c FILE]");
	char names[1024];
	(void)snprintf(names, sizeof(names), "%s", command->options);
	char *rest = NULL;
	for (char *word = strtok_r(names, " ", &rest); word != NULL;
	     word = strtok_r(NULL, " ", &rest)) {
		size_t size = strlen(word);
		bool valued = word[size - 1] == '=';
		(void)printf(" [--%.*s%s]", (int)(valued ? size - 1 : size), word,
		             valued ? " VALUE" : "");
	}
	(void)printf("\n    %s\n", command->text);
}

int
run_help(struct invocation *invocation)
{
	if (invocation->argument_count > 0) {
		const char *noun = invocation->arguments[0];
		const char *verb = invocation->argument_count > 1 ? invocation->arguments[1] : NULL;
		bool found = false;
		for (const struct command *command = commands; command->noun != NULL; command++) {
			if (strcmp(command->noun, noun) == 0 &&
			    (verb == NULL ||
			     (command->verb != NULL && strcmp(verb, command->verb) == 0))) {
				print_usage(command);
				found = true;
			}
		}
		if (!found) {
			complain("there is no command \"%s\"", noun);
			suggest(noun, NULL);
			return EXIT_USAGE;
		}
		return EXIT_OK;
	}
	(void)puts("hooklatch: a webhook receiver that stores what it acknowledges\n");
	(void)puts("Usage: hooklatch COMMAND [-c FILE] [OPTION…]\n");
	for (const struct command *command = commands; command->noun != NULL; command++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "%s%s%s", command->noun,
		               command->verb == NULL ? "" : " ",
		               command->verb == NULL ? "" : command->verb);
		(void)printf("  %-16s %s\n", name, command->text);
	}
	(void)puts(
		"\nFilters, everywhere: --source --type --handler --state --id --since --until --error --limit");
	(void)puts(
		"Exit: 0 ok, 1 failed, 2 usage or configuration, 3 nothing matched, 4 service unreachable,");
	(void)puts("      5 partly done, 6 findings, 7 refused (needs --yes)");
	(void)puts("Manual: hooklatch(1), hooklatch.yaml(5); hooklatch help COMMAND");
	return EXIT_OK;
}

int
run_version(struct invocation *invocation)
{
	if (has_option(invocation, "json")) {
		(void)printf("{\"version\":\"%s\"}\n", HOOKLATCH_VERSION);
	} else {
		(void)printf("hooklatch %s\n", HOOKLATCH_VERSION);
	}
	return EXIT_OK;
}

static void
finish(struct invocation *invocation)
{
	for (size_t i = 0; i < invocation->option_count; i++) {
		free((void *)(uintptr_t)invocation->options[i].name);
	}
	free(invocation->config_file);
	free(invocation);
}

int
command_line(int count, char **words)
{
	if (count < 2 || strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0) {
		static struct invocation none;
		int code = run_help(&none);
		return count < 2 ? EXIT_USAGE : code;
	}
	if (strcmp(words[1], "--version") == 0) {
		static struct invocation none;
		return run_version(&none);
	}
	bool noun_known;
	const char *verb = count > 2 ? words[2] : NULL;
	const struct command *command = find_command(words[1], verb, &noun_known);
	if (command == NULL) {
		if (noun_known) {
			complain("%s needs one of its commands%s%s", words[1],
			         verb == NULL ? "" : "; it has no ", verb == NULL ? "" : verb);
			suggest(verb == NULL ? "" : verb, words[1]);
		} else {
			complain("there is no command \"%s\"", words[1]);
			suggest(words[1], NULL);
		}
		say("Try: hooklatch help");
		return EXIT_USAGE;
	}
	struct invocation *invocation = memory_need(sizeof(*invocation));
	invocation->command = command;
	invocation->terminal = isatty(STDOUT_FILENO) != 0;
	int skip = command->verb == NULL ? 2 : 3;
	int code = EXIT_USAGE;
	if (read_words(invocation, words + skip, count - skip)) {
		invocation->config_file = config_find(option(invocation, "config"));
		invocation->colour = wants_colour(invocation);
		if (has_option(invocation, "help")) {
			print_usage(command);
			code = EXIT_OK;
		} else {
			code = command->run(invocation);
		}
	} else {
		say("Try: hooklatch help %s", command->noun);
	}
	if (fflush(stdout) != 0 && code == EXIT_OK) {
		code = EXIT_FAILED;
	}
	finish(invocation);
	return code;
}
