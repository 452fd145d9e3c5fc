/* stats, tail */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "receiver/base/clock.h"
#include "receiver/cli/client.h"
#include "receiver/cli/rates.h"
#include "receiver/cli/table.h"

#define TAIL_STEP_NS  (250 * NS_PER_MS)
#define TAIL_ALL      (SIZE_MAX / 2)
#define TAIL_FIRST    10
#define WATCH_STEP_NS NS_PER_S

/* Behind the counts of a handler: its guarantee, and what holds it up. */
static void
print_handler(const json_t *row)
{
	if (!json_is_true(json_object_get(row, "configured"))) {
		(void)puts(" (not configured)");
		return;
	}
	(void)printf(" %s", json_string_value(json_object_get(row, "guarantee")));
	const json_t *lag = json_object_get(row, "oldest_pending_seconds");
	if (json_is_real(lag)) {
		(void)printf(", oldest pending %.1f s", json_real_value(lag));
	}
	const char *breaker =
		json_string_value(json_object_get(json_object_get(row, "breaker"), "state"));
	if (breaker != NULL) {
		(void)printf(", breaker %s", breaker);
	}
	const json_t *tokens = json_object_get(row, "retry_tokens");
	if (json_is_real(tokens)) {
		(void)printf(", %.1f retry tokens", json_real_value(tokens));
	}
	if (json_is_true(json_object_get(row, "paused"))) {
		(void)printf(", paused");
	}
	char *why = cell_text(json_object_get(row, "why"));
	(void)printf("%s%s\n", why[0] == '\0' ? "" : ": ", why);
	free(why);
}

/* `rates` is NULL at the first look. */
static void
print_stats(const struct invocation *invocation, json_t *stats, const json_t *rates)
{
	if (has_option(invocation, "json")) {
		if (rates != NULL) {
			(void)json_object_set(stats, "rates", (json_t *)(uintptr_t)rates);
		}
		print_json(stats);
		return;
	}
	if (rates != NULL) {
		rates_print(rates);
	}
	print_object(stats);
	const char *key;
	json_t *value;
	json_object_foreach(json_object_get(stats, "rejected"), key, value) {
		(void)printf("rejected %s: %lld\n", key, (long long)json_integer_value(value));
	}
	json_object_foreach(json_object_get(stats, "sources"), key, value) {
		const char *id = json_string_value(json_object_get(value, "event_id"));
		if (id != NULL && strcmp(id, "generated") == 0) {
			(void)printf(
				"source %s: generated event ids, repeats cannot be recognised\n",
				key);
		}
	}
	json_object_foreach(json_object_get(stats, "handlers"), key, value) {
		(void)printf("handler %s:", key);
		static const char *const states[] = { "pending", "running", "done", "dead",
			                              "discarded" };
		for (size_t i = 0; i < COUNT(states); i++) {
			(void)printf(" %s %lld", states[i],
			             (long long)json_integer_value(
					     json_object_get(value, states[i])));
		}
		print_handler(value);
	}
}

int
run_stats(struct invocation *invocation)
{
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	int code;
	json_t *before = NULL;
	int64_t before_ns = 0;
	for (;;) {
		json_t *stats = NULL;
		int64_t now_ns = clock_boot_ns();
		code = client_call(config, "/v1/stats", NULL, NULL, &stats);
		if (code == EXIT_OK) {
			if (has_option(invocation, "watch") && invocation->terminal) {
				(void)fputs("\033[H\033[2J", stdout);
			}
			json_t *rates = rates_between(before, stats, now_ns - before_ns);
			print_stats(invocation, stats, rates);
			(void)fflush(stdout);
			json_decref(rates);
		}
		json_decref(before);
		before = stats;
		before_ns = now_ns;
		if (code != EXIT_OK || !has_option(invocation, "watch")) {
			break;
		}
		struct timespec step = { .tv_sec = WATCH_STEP_NS / NS_PER_S };
		(void)nanosleep(&step, NULL);
	}
	json_decref(before);
	config_release(config);
	return code;
}

static void
print_happening(const struct invocation *invocation, const json_t *item)
{
	if (has_option(invocation, "jsonl") || has_option(invocation, "json")) {
		put_json(item, JSON_COMPACT);
		(void)putchar('\n');
		return;
	}
	const char *level = json_string_value(json_object_get(item, "level"));
	const char *paint = !invocation->colour                            ? ""
	                    : level != NULL && strcmp(level, "error") == 0 ? "\033[31m"
	                    : level != NULL && strcmp(level, "warn") == 0  ? "\033[33m"
	                                                                   : "\033[32m";
	static const char *const keys[] = { "ts",   "event",   "source",  "event_id",
		                            "type", "handler", "attempt", "error" };
	for (size_t i = 0; i < COUNT(keys); i++) {
		char *text = cell_text(json_object_get(item, keys[i]));
		(void)printf("%s%s%s%s", i == 0 ? "" : (invocation->terminal ? "  " : "\t"),
		             i == 1 ? paint : "", text,
		             i == 1 && invocation->colour ? "\033[0m" : "");
		free(text);
	}
	(void)putchar('\n');
}

/* One look: prints the last `most` of what came after the cursor, and moves it. */
static int
look(const struct invocation *invocation, struct config *config, const char *filter,
     char cursor[128], size_t most, size_t *seen, bool *more)
{
	struct buffer query;
	buffer_init(&query, 65536);
	buffer_format(&query, "%s%s%s", filter, cursor[0] == '\0' ? "" : "&after=", cursor);
	char *text = buffer_steal(&query);
	json_t *answer = NULL;
	int code = client_call(config, "/v1/tail", text, NULL, &answer);
	free(text);
	if (code != EXIT_OK) {
		return code;
	}
	json_t *items = json_object_get(answer, "items");
	size_t index;
	json_t *item;
	json_array_foreach(items, index, item) {
		if (index + most >= json_array_size(items)) {
			print_happening(invocation, item);
		}
	}
	*seen = json_array_size(items);
	*more = *seen > 0 || json_is_true(json_object_get(answer, "more"));
	(void)snprintf(cursor, 128, "%s", json_string_value(json_object_get(answer, "cursor")));
	(void)fflush(stdout);
	json_decref(answer);
	return EXIT_OK;
}

int
run_tail(struct invocation *invocation)
{
	struct filter filter;
	if (!option_filter(invocation, &filter)) {
		return EXIT_USAGE;
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		filter_finish(&filter);
		return EXIT_USAGE;
	}
	struct buffer query;
	buffer_init(&query, 65536);
	if (filter.limit == 0) {
		filter.limit = TAIL_FIRST;
	}
	filter_query(&filter, &query);
	char *text = buffer_steal(&query);
	char cursor[128] = "";
	size_t seen = 0;
	size_t printed = 0;
	bool more = false;
	size_t most = (size_t)filter.limit; /* of the first look; then everything */
	int code = look(invocation, config, text, cursor, 0, &seen, &more);
	while (code == EXIT_OK) {
		code = look(invocation, config, text, cursor, most, &seen, &more);
		printed += seen;
		most = TAIL_ALL;
		if (!has_option(invocation, "follow")) {
			break;
		}
		struct timespec step = { 0, more ? 0 : TAIL_STEP_NS };
		(void)nanosleep(&step, NULL);
	}
	free(text);
	filter_finish(&filter);
	config_release(config);
	return code == EXIT_OK && printed == 0 ? EXIT_NOTHING : code;
}
