/* events list, show, export; explain */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/cli/client.h"
#include "receiver/cli/show.h"
#include "receiver/cli/table.h"

int
run_events_list(struct invocation *invocation)
{
	static const struct column columns[] = { { "RECEIVED", "received_at", 0 },
		                                 { "SOURCE", "source", 0 },
		                                 { "EVENT ID", "event_id", 48 },
		                                 { "TYPE", "type", 40 },
		                                 { "SIZE", "size", 0 },
		                                 { "DELIVERIES", "deliveries", 0 } };
	return list_command(invocation, "/v1/events", columns, COUNT(columns));
}

/* One document about "<source>/<event id>". */
static int
about_event(struct invocation *invocation, const char *prefix, void (*show)(const json_t *document))
{
	if (invocation->argument_count != 1 || strchr(invocation->arguments[0], '/') == NULL) {
		return usage_error(invocation, "expected one <source>/<event id>");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	const char *name = invocation->arguments[0];
	const char *slash = strchr(name, '/');
	char *source = span_copy((struct span){ name, (size_t)(slash - name) });
	char *path = client_path(prefix, source, slash + 1);
	json_t *event = NULL;
	int code = client_call(config, path, NULL, NULL, &event);
	if (code == EXIT_OK && has_option(invocation, "json")) {
		print_json(event);
	} else if (code == EXIT_OK) {
		show(event);
	}
	json_decref(event);
	free(path);
	free(source);
	config_release(config);
	return code;
}

int
run_events_show(struct invocation *invocation)
{
	return about_event(invocation, "/v1/events/", show_event);
}

static void
show_reasons(const json_t *document)
{
	size_t index;
	size_t number;
	json_t *delivery;
	json_t *reason;
	json_array_foreach(json_object_get(document, "deliveries"), index, delivery) {
		char *when = cell_text(json_object_get(delivery, "next_attempt_at"));
		(void)printf("%s  %s%s%s\n",
		             json_string_value(json_object_get(delivery, "handler")),
		             json_string_value(json_object_get(delivery, "state")),
		             when[0] == '\0' ? "" : "  not before ", when);
		free(when);
		json_array_foreach(json_object_get(delivery, "reasons"), number, reason) {
			char *text = cell_text(json_object_get(reason, "message"));
			(void)printf("  %s: %s\n",
			             json_string_value(json_object_get(reason, "reason")), text);
			free(text);
		}
	}
	if (json_array_size(json_object_get(document, "deliveries")) == 0) {
		(void)puts("unrouted: no handler wanted it when it came");
	}
}

int
run_explain(struct invocation *invocation)
{
	return about_event(invocation, "/v1/explain/", show_reasons);
}

/* --- export --- */

static char *
export_query(const struct filter *filter, int64_t after, int64_t limit)
{
	struct filter page = *filter; /* its texts stay the caller's */
	struct buffer query;
	page.limit = limit;
	buffer_init(&query, 65536);
	filter_query(&page, &query);
	buffer_format(&query, "&after=%lld", (long long)after);
	return buffer_steal(&query);
}

#define EXPORT_PAGE 500

int
run_events_export(struct invocation *invocation)
{
	struct filter filter;
	int64_t after = 0;
	const char *text = option(invocation, "after");
	if (text != NULL && !span_number(span_of(text), &after)) {
		return usage_error(invocation, "--after: expected a cursor of an earlier export");
	}
	if (!option_filter(invocation, &filter)) {
		return EXIT_USAGE;
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	int64_t left = filter.limit == 0 ? INT64_MAX : filter.limit;
	int64_t written = 0;
	int code = config == NULL ? EXIT_USAGE : EXIT_OK;
	bool over = false;
	while (code == EXIT_OK && left > 0 && !over) {
		char *query = export_query(&filter, after, left < EXPORT_PAGE ? left : EXPORT_PAGE);
		json_t *page = NULL;
		code = client_call(config, "/v1/export", query, NULL, &page);
		free(query);
		json_t *items = json_object_get(page, "items");
		size_t index;
		json_t *item;
		json_array_foreach(items, index, item) {
			put_json(item, JSON_COMPACT);
			(void)putchar('\n');
		}
		over = json_array_size(items) == 0;
		left -= (int64_t)json_array_size(items);
		written += (int64_t)json_array_size(items);
		after = json_integer_value(json_object_get(page, "cursor"));
		json_decref(page);
	}
	filter_finish(&filter);
	config_release(config);
	return code == EXIT_OK && written == 0 ? EXIT_NOTHING : code;
}
