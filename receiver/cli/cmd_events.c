/* events list, events show */
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

int
run_events_show(struct invocation *invocation)
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
	char *path = client_path("/v1/events/", source, slash + 1);
	json_t *event = NULL;
	int code = client_call(config, path, NULL, NULL, &event);
	if (code == EXIT_OK && has_option(invocation, "json")) {
		print_json(event);
	} else if (code == EXIT_OK) {
		show_event(event);
	}
	json_decref(event);
	free(path);
	free(source);
	config_release(config);
	return code;
}
