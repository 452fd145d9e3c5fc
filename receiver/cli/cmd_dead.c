/* dead list, show, replay, discard, restore; events replay, discard, erase; replays */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/base/units.h"
#include "receiver/cli/client.h"
#include "receiver/cli/progress.h"
#include "receiver/cli/show.h"

static const struct column dead_columns[] = { { "ID", "id", 0 },
	                                      { "SOURCE", "source", 0 },
	                                      { "EVENT ID", "event_id", 40 },
	                                      { "TYPE", "type", 32 },
	                                      { "HANDLER", "handler", 0 },
	                                      { "STATE", "state", 0 },
	                                      { "ATTEMPTS", "attempts", 0 },
	                                      { "REASON", "reason", 0 },
	                                      { "DIED", "died_at", 0 },
	                                      { "LAST ERROR", "last_error", 60 } };

int
run_dead_list(struct invocation *invocation)
{
	return list_command(invocation, "/v1/dead", dead_columns, COUNT(dead_columns));
}

static void
show_dead(const json_t *dead)
{
	print_object(dead);
	(void)puts("tries");
	show_attempts(json_object_get(dead, "attempts_made"));
	(void)puts("output");
	show_text(json_object_get(dead, "output"));
}

int
run_dead_show(struct invocation *invocation)
{
	if (invocation->argument_count != 1) {
		return usage_error(invocation,
		                   "expected one ID: a number, or <source>/<event id>[/<handler>]");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	char *path = client_path("/v1/dead/", invocation->arguments[0], NULL);
	json_t *dead = NULL;
	int code = client_call(config, path, NULL, NULL, &dead);
	if (code == EXIT_OK && has_option(invocation, "json")) {
		print_json(dead);
	} else if (code == EXIT_OK && json_is_array(dead)) {
		size_t index;
		json_t *one;
		json_array_foreach(dead, index, one) {
			show_dead(one);
		}
	} else if (code == EXIT_OK) {
		show_dead(dead);
	}
	json_decref(dead);
	free(path);
	config_release(config);
	return code;
}

/* --- what replay, discard and restore share --- */

/* The body of the request: filter, ids and the rest of the options. NULL after telling what is wrong. */
static json_t *
request_body(const struct invocation *invocation, struct filter *filter)
{
	if (!option_filter(invocation, filter)) {
		return NULL;
	}
	if (filter->limit !=
	    0) { /* a change takes all that it names, so that its dry run tells the truth */
		(void)usage_error(
			invocation,
			"--limit is for lists; narrow a change with --since, --until or IDs");
		filter_finish(filter);
		return NULL;
	}
	if (invocation->argument_count == 0 && filter_empty(filter) && filter->until_ns == 0 &&
	    !has_option(invocation, "all")) {
		(void)usage_error(invocation, "nothing is chosen: name IDs, a filter, or --all");
		filter_finish(filter);
		return NULL;
	}
	struct buffer query;
	buffer_init(&query, 65536);
	filter_query(filter, &query);
	char *text = buffer_steal(&query);
	json_t *ids = json_array();
	for (size_t i = 0; i < invocation->argument_count; i++) {
		(void)json_array_append_new(ids, json_string(invocation->arguments[i]));
	}
	const char *reason = option(invocation, "reason");
	json_t *body = json_pack("{s:s, s:o, s:o, s:b, s:b}", "filter", text, "ids", ids, "reason",
	                         reason == NULL ? json_null() : json_string(reason), "again",
	                         has_option(invocation, "again") ? 1 : 0, "dry_run",
	                         has_option(invocation, "dry-run") ? 1 : 0);
	free(text);
	return body;
}

/* How many it would be, without doing it; -1 with *code set. */
static int64_t
count_first(struct config *config, const char *path, const json_t *body, json_t **plan, int *code)
{
	json_t *asked = json_copy((json_t *)(uintptr_t)body);
	(void)json_object_set_new(asked, "dry_run", json_true());
	*plan = NULL;
	*code = client_call(config, path, NULL, asked, plan);
	json_decref(asked);
	return *code == EXIT_OK ? json_integer_value(json_object_get(*plan, "count")) : -1;
}

static void
print_plan(const struct invocation *invocation, const json_t *plan, const char *words)
{
	const char *options = json_string_value(json_object_get(plan, "options"));
	long long count = (long long)json_integer_value(json_object_get(plan, "count"));
	if (has_option(invocation, "json")) {
		print_json(plan);
		return;
	}
	long long skipped = (long long)json_integer_value(json_object_get(plan, "skipped"));
	(void)printf("%lld would be %s\n", count, words);
	if (skipped > 0) {
		(void)printf("%lld would be skipped: they are in another state\n", skipped);
	}
	json_t *first = json_object_get(plan, "first");
	size_t index;
	json_t *row;
	json_array_foreach(first, index, row) {
		char *source = cell_text(json_object_get(row, "source"));
		char *id = cell_text(json_object_get(row, "event_id"));
		char *handler = cell_text(json_object_get(row, "handler"));
		char *error = cell_text(json_object_get(row, "last_error"));
		(void)printf("  %s/%s%s%s  %s\n", source, id, handler[0] == '\0' ? "" : "/",
		             handler, error);
		free(source);
		free(id);
		free(handler);
		free(error);
	}
	if (options != NULL) {
		(void)printf("exactly these: hooklatch %s %s", invocation->command->noun,
		             invocation->command->verb);
		if (option(invocation, "config") != NULL) {
			(void)printf(" -c '%s'", invocation->config_file);
		}
		(void)printf("%s", options);
		for (size_t i = 0; i < invocation->argument_count; i++) {
			(void)printf(" '%s'", invocation->arguments[i]);
		}
		(void)puts("");
	}
}

/* --- replay --- */

static bool
read_rate(const struct invocation *invocation, json_t *body)
{
	const char *text = option(invocation, "rate");
	int64_t rate = 0;
	if (text != NULL && (!units_rate(span_of(text), &rate) || rate == 0)) {
		(void)usage_error(invocation, "--rate: expected a rate such as 50/s");
		return false;
	}
	(void)json_object_set_new(body, "rate", json_integer(rate));
	return true;
}

/* Of a plan or of a replay that is over. */
static int
refused_result(const json_t *replay, int64_t moved)
{
	int64_t refused = json_integer_value(json_object_get(replay, "refused"));
	int64_t bodiless = json_integer_value(json_object_get(replay, "bodiless"));
	if (bodiless > 0) {
		complain("%lld were refused: their body is not stored any more",
		         (long long)bodiless);
	}
	if (refused > bodiless) {
		complain(
			"%lld were refused: what is done by at-most-once and effectively-once handlers, or forgotten by their destination, is replayed with --again alone",
			(long long)(refused - bodiless));
	}
	return refused == 0 ? EXIT_OK : moved > 0 ? EXIT_PARTLY : EXIT_FAILED;
}

static int
follow(const struct invocation *invocation, struct config *config, int64_t id)
{
	char path[64];
	struct progress progress;
	(void)snprintf(path, sizeof(path), "/v1/replays/%lld", (long long)id);
	progress_begin(&progress);
	for (;;) {
		json_t *replay = NULL;
		int code = client_call(config, path, NULL, NULL, &replay);
		if (code != EXIT_OK) {
			return code;
		}
		int64_t done = json_integer_value(json_object_get(replay, "replayed")) +
		               json_integer_value(json_object_get(replay, "created")) +
		               json_integer_value(json_object_get(replay, "skipped")) +
		               json_integer_value(json_object_get(replay, "refused"));
		progress_show(&progress, done,
		              json_integer_value(json_object_get(replay, "total")));
		const char *state = json_string_value(json_object_get(replay, "state"));
		if (state == NULL || strcmp(state, "running") != 0) {
			progress_end(&progress);
			if (has_option(invocation, "json")) {
				print_json(replay);
			} else {
				say("replay %lld %s: %lld put back to work, %lld made, %lld skipped, %lld refused",
				    (long long)id, state,
				    (long long)json_integer_value(
					    json_object_get(replay, "replayed")),
				    (long long)json_integer_value(
					    json_object_get(replay, "created")),
				    (long long)json_integer_value(
					    json_object_get(replay, "skipped")),
				    (long long)json_integer_value(
					    json_object_get(replay, "refused")));
			}
			code = refused_result(replay,
			                      json_integer_value(
						      json_object_get(replay, "replayed")) +
			                              json_integer_value(
							      json_object_get(replay, "created")));
			json_decref(replay);
			return code;
		}
		json_decref(replay);
		struct timespec step = { 0, 100 * NS_PER_MS };
		(void)nanosleep(&step, NULL);
	}
}

/* Says which of the named are not there; the code that it comes to. */
static int
absent_result(const json_t *plan, int code)
{
	size_t index;
	json_t *name;
	json_array_foreach(json_object_get(plan, "absent"), index, name) {
		char *text = cell_text(name);
		complain("there is no dead letter %s", text);
		free(text);
		code = code == EXIT_OK ? EXIT_PARTLY : code;
	}
	return code;
}

static int
nothing_result(const json_t *plan)
{
	long long skipped = (long long)json_integer_value(json_object_get(plan, "skipped"));
	if (skipped > 0) {
		complain("nothing to do: %lld skipped, they are in another state", skipped);
	} else {
		complain("nothing matches");
	}
	return EXIT_NOTHING;
}

static int
start_replay(const struct invocation *invocation, struct config *config, json_t *body)
{
	json_t *plan;
	int code;
	int64_t count = count_first(config, "/v1/replays", body, &plan, &code);
	if (count < 0) {
		return code;
	}
	int named = absent_result(plan, EXIT_OK);
	if (has_option(invocation, "dry-run")) {
		print_plan(invocation, plan, "replayed");
		code = refused_result(plan, count);
		json_decref(plan);
		return code != EXIT_OK ? code : count == 0 ? EXIT_NOTHING : named;
	}
	if (count == 0) {
		code = refused_result(plan, 0);
		code = code == EXIT_OK ? nothing_result(plan) : code;
		json_decref(plan);
		return code;
	}
	long long skipped = (long long)json_integer_value(json_object_get(plan, "skipped"));
	json_decref(plan);
	if (has_option(invocation, "all") || has_option(invocation, "again")) {
		code = confirm(invocation, "Replay %lld deliveries?", (long long)count);
		if (code != EXIT_OK) {
			return code;
		}
	}
	json_t *made = NULL;
	code = client_call(config, "/v1/replays", NULL, body, &made);
	if (code != EXIT_OK) {
		return code;
	}
	int64_t id = json_integer_value(json_object_get(made, "id"));
	if (skipped > 0) {
		say("%lld skipped: they are in another state", skipped);
	}
	if (has_option(invocation, "wait")) {
		json_decref(made);
		code = follow(invocation, config, id);
		return code == EXIT_OK ? named : code;
	}
	if (has_option(invocation, "json")) {
		print_json(made);
	}
	say("Replaying %lld as replay %lld; follow it with: hooklatch replays show %lld",
	    (long long)count, (long long)id, (long long)id);
	code = refused_result(made, count);
	json_decref(made);
	return code == EXIT_OK ? named : code;
}

static int
replay(struct invocation *invocation, const char *kind)
{
	struct filter filter;
	json_t *body = request_body(invocation, &filter);
	if (body == NULL) {
		return EXIT_USAGE;
	}
	int code = EXIT_USAGE;
	(void)json_object_set_new(body, "kind", json_string(kind));
	/* A handler by its exact name is filled from history. */
	if (strcmp(kind, "events") == 0 && filter.handler != NULL &&
	    strchr(filter.handler, '*') == NULL && invocation->argument_count == 0) {
		(void)json_object_set_new(body, "fill", json_string(filter.handler));
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config != NULL && read_rate(invocation, body)) {
		code = start_replay(invocation, config, body);
	}
	json_decref(body);
	filter_finish(&filter);
	config_release(config);
	return code;
}

int
run_dead_replay(struct invocation *invocation)
{
	return replay(invocation, "dead");
}

int
run_events_replay(struct invocation *invocation)
{
	return replay(invocation, "events");
}

/* --- discard and restore --- */

static int
move(struct invocation *invocation, const char *path, const char *done, const char *next)
{
	struct filter filter;
	json_t *body = request_body(invocation, &filter);
	if (body == NULL) {
		return EXIT_USAGE;
	}
	json_t *plan = NULL;
	json_t *answer = NULL;
	int code = EXIT_USAGE;
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	int64_t count = config == NULL ? -1 : count_first(config, path, body, &plan, &code);
	int named = count < 0 ? EXIT_OK : absent_result(plan, EXIT_OK);
	if (count == 0) {
		code = nothing_result(plan);
	} else if (count > 0 && has_option(invocation, "dry-run")) {
		print_plan(invocation, plan, done);
	} else if (count > 0) {
		if (count > 1 || has_option(invocation, "all")) {
			code = confirm(invocation, "%lld will be %s.", (long long)count, done);
		}
		if (code == EXIT_OK) {
			code = client_call(config, path, NULL, body, &answer);
		}
		if (code == EXIT_OK && has_option(invocation, "json")) {
			print_json(answer);
		}
		if (code == EXIT_OK) {
			say("%lld %s; %s",
			    (long long)json_integer_value(json_object_get(answer, "changed")), done,
			    next);
			code = named;
		}
	}
	json_decref(plan);
	json_decref(answer);
	json_decref(body);
	filter_finish(&filter);
	config_release(config);
	return code;
}

int
run_dead_discard(struct invocation *invocation)
{
	return move(
		invocation, "/v1/dead/discard", "discarded",
		"hooklatch dead list --state discarded shows them, hooklatch dead restore brings them back");
}

int
run_dead_restore(struct invocation *invocation)
{
	return move(invocation, "/v1/dead/restore", "restored", "hooklatch dead list shows them");
}

int
run_events_discard(struct invocation *invocation)
{
	return move(invocation, "/v1/events/discard", "discarded",
	            "hooklatch events replay --state discarded brings them back");
}

int
run_events_erase(struct invocation *invocation)
{
	return move(invocation, "/v1/events/erase", "erased",
	            "what is pending or runs is left alone; keys and states stay");
}

/* --- replays --- */

int
run_replays_list(struct invocation *invocation)
{
	static const struct column columns[] = { { "ID", "id", 0 },
		                                 { "KIND", "kind", 0 },
		                                 { "STATE", "state", 0 },
		                                 { "TOTAL", "total", 0 },
		                                 { "REPLAYED", "replayed", 0 },
		                                 { "CREATED", "created", 0 },
		                                 { "SKIPPED", "skipped", 0 },
		                                 { "BEGUN", "created_at", 0 },
		                                 { "WHO", "who", 0 },
		                                 { "FILTER", "filter", 60 } };
	return list_command(invocation, "/v1/replays", columns, COUNT(columns));
}

static int
one_replay(struct invocation *invocation, const char *end, json_t *body)
{
	int64_t id;
	if (invocation->argument_count != 1 ||
	    !span_number(span_of(invocation->arguments[0]), &id)) {
		return usage_error(invocation, "expected the number of a replay");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	char path[64];
	(void)snprintf(path, sizeof(path), "/v1/replays/%lld%s", (long long)id, end);
	json_t *shown = NULL;
	int code = client_call(config, path, NULL, body, &shown);
	if (code == EXIT_OK && has_option(invocation, "json")) {
		print_json(shown);
	} else if (code == EXIT_OK) {
		print_object(shown);
	}
	json_decref(shown);
	config_release(config);
	return code;
}

int
run_replays_show(struct invocation *invocation)
{
	return one_replay(invocation, "", NULL);
}

static int
change_replay(struct invocation *invocation, const char *verb)
{
	json_t *body = json_object();
	int code = one_replay(invocation, verb, body);
	json_decref(body);
	return code;
}

int
run_replays_cancel(struct invocation *invocation)
{
	return change_replay(invocation, "/cancel");
}

int
run_replays_resume(struct invocation *invocation)
{
	return change_replay(invocation, "/resume");
}
