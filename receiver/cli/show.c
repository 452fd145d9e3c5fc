#include "receiver/cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/cli/client.h"

int
list_command(const struct invocation *invocation, const char *path, const struct column *columns,
             size_t count)
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
	filter_query(&filter, &query);
	char *text = buffer_steal(&query);
	json_t *rows = NULL;
	int code = client_call(config, path, text, NULL, &rows);
	if (code == EXIT_OK) {
		code = print_list(invocation, rows, columns, count);
		if (filter.limit == 0 && json_array_size(rows) == 1000) {
			say("the first 1000; --limit shows more");
		}
	}
	json_decref(rows);
	free(text);
	filter_finish(&filter);
	config_release(config);
	return code;
}

void
show_text(const json_t *text)
{
	const char *data = json_string_value(text);
	struct span left = { data, data == NULL ? 0 : json_string_length(text) };
	while (left.size > 0) {
		const char *feed = memchr(left.data, '\n', left.size);
		size_t size = feed == NULL ? left.size : (size_t)(feed - left.data);
		json_t *line = json_stringn_nocheck(left.data, size);
		char *harmless = cell_text(line);
		(void)printf("    %s\n", harmless);
		free(harmless);
		json_decref(line);
		left = span_after(left, feed == NULL ? size : size + 1);
	}
}

void
show_attempts(const json_t *attempts)
{
	size_t index;
	json_t *attempt;
	json_array_foreach(attempts, index, attempt) {
		char *error = cell_text(json_object_get(attempt, "error"));
		(void)printf("  %s  %s  round %lld, attempt %lld  %s  %lld ms  %s\n",
		             json_string_value(json_object_get(attempt, "started_at")),
		             json_string_value(json_object_get(attempt, "handler")),
		             (long long)json_integer_value(json_object_get(attempt, "round")),
		             (long long)json_integer_value(json_object_get(attempt, "attempt")),
		             json_string_value(json_object_get(attempt, "result")),
		             (long long)json_integer_value(json_object_get(attempt, "duration_ms")),
		             error);
		free(error);
		show_text(json_object_get(attempt, "output"));
	}
}

void
show_event(const json_t *event)
{
	size_t index;
	json_t *item;
	static const char *const keys[] = { "source",      "event_id", "type",
		                            "received_at", "sequence", "size" };
	for (size_t i = 0; i < COUNT(keys); i++) {
		char *text = cell_text(json_object_get(event, keys[i]));
		(void)printf("%-12s %s\n", keys[i], text);
		free(text);
	}
	(void)puts("deliveries");
	json_array_foreach(json_object_get(event, "deliveries"), index, item) {
		char *error = cell_text(json_object_get(item, "last_error"));
		char *next = cell_text(json_object_get(item, "next_attempt_at"));
		(void)printf("  %s  %s  attempts %lld%s%s%s%s\n",
		             json_string_value(json_object_get(item, "handler")),
		             json_string_value(json_object_get(item, "state")),
		             (long long)json_integer_value(json_object_get(item, "attempts")),
		             next[0] == '\0' ? "" : "  next ", next,
		             error[0] == '\0' ? "" : "  last error: ", error);
		free(error);
		free(next);
	}
	(void)puts("attempts");
	show_attempts(json_object_get(event, "attempts"));
	(void)puts("headers");
	json_array_foreach(json_object_get(event, "headers"), index, item) {
		char *name = cell_text(json_array_get(item, 0));
		char *value = cell_text(json_array_get(item, 1));
		(void)printf("  %s: %s\n", name, value);
		free(name);
		free(value);
	}
	(void)puts("body");
	if (json_is_null(json_object_get(event, "body"))) {
		(void)puts("    (no text; --json has it in base64)");
	} else {
		show_text(json_object_get(event, "body"));
	}
}
