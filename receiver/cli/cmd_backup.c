/* backup FILE: a whole and consistent copy of the store, made while the service runs or not. */
#include <inttypes.h>
#include <stdio.h>

#include "receiver/cli/command.h"
#include "receiver/cli/table.h"
#include "receiver/store/backup.h"

int
run_backup(struct invocation *invocation)
{
	if (invocation->argument_count != 1) {
		return usage_error(invocation, "the file to write");
	}
	const char *target = invocation->arguments[0];
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	struct backup backup = { 0 };
	struct error err;
	bool good = store_backup(config->store_path, target, &backup, &err);
	if (!good) {
		complain("%s", err.text);
	} else if (has_option(invocation, "json")) {
		json_t *report =
			json_pack("{s:s, s:I, s:I, s:I, s:I}", "file", target, "events",
		                  (json_int_t)backup.events, "deliveries",
		                  (json_int_t)backup.deliveries, "bytes", (json_int_t)backup.bytes,
		                  "rotten_bodies", (json_int_t)backup.rotten);
		put_json(report, JSON_INDENT(2));
		(void)putchar('\n');
		json_decref(report);
	} else {
		say("%s: %" PRId64 " events, %" PRId64 " deliveries, %" PRId64
		    " bytes; read back%s",
		    target, backup.events, backup.deliveries, backup.bytes,
		    backup.rotten == 0 ? " and sound" : "");
		say("to restore: stop the service, put it in the place of %s, and remove the -wal and -shm beside that",
		    config->store_path);
	}
	if (good && backup.rotten > 0) {
		complain(
			"%" PRId64
			" bodies are not what they were, in the store as in the copy, the first %s: ask the providers to redeliver them",
			backup.rotten, backup.first_rotten);
	}
	config_release(config);
	return !good ? EXIT_FAILED : backup.rotten > 0 ? EXIT_FINDINGS : EXIT_OK;
}
