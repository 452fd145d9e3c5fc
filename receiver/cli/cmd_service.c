/* serve, migrate */
#include "receiver/base/clock.h"
#include "receiver/cli/command.h"
#include "receiver/log/log.h"
#include "receiver/service/service.h"
#include "receiver/store/store.h"

int
run_serve(struct invocation *invocation)
{
	struct service_options options = { .config_file = invocation->config_file,
		                           .salvage_wal = has_option(invocation, "salvage-wal") };
	return service_run(&options);
}

int
run_migrate(struct invocation *invocation)
{
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	struct store *store = NULL;
	struct error err;
	struct store_options options = { .path = config->store_path };
	log_set_level(LOG_WARN);
	bool good = store_open(&store, &options, &err);
	if (good) {
		say("%s has this version's schema", config->store_path);
	} else {
		complain("%s", err.text);
	}
	store_close(store);
	config_release(config);
	return good ? EXIT_OK : EXIT_FAILED;
}
