/* config check, config show, config schema */
#include <stdio.h>
#include <stdlib.h>

#include "receiver/cli/command.h"
#include "receiver/cli/table.h"

static struct config *
load(const struct invocation *invocation, bool quiet)
{
	struct buffer report;
	buffer_init(&report, 1024 * 1024);
	struct config *config = config_load(invocation->config_file, CONFIG_TO_SERVE, &report);
	if (report.size > 0 && !(quiet && config != NULL)) {
		(void)fwrite(report.data, 1, report.size, stderr);
	}
	buffer_finish(&report);
	return config;
}

int
run_config_check(struct invocation *invocation)
{
	struct config *config = load(invocation, false);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	say("%s: good, %zu sources, %zu handlers", config->file, config->source_count,
	    config->handler_count);
	config_release(config);
	return EXIT_OK;
}

int
run_config_show(struct invocation *invocation)
{
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	config_make_effective(config);
	struct buffer out;
	buffer_init(&out, 16 * 1024 * 1024);
	if (has_option(invocation, "json")) {
		schema_show_json(&out, config_rows(), config->root, config->file);
	} else {
		schema_show(&out, config_rows(), config->root, config->file);
	}
	(void)fwrite(out.data, 1, out.size, stdout);
	buffer_finish(&out);
	config_release(config);
	return EXIT_OK;
}

int
run_config_schema(struct invocation *invocation)
{
	struct buffer out;
	buffer_init(&out, 16 * 1024 * 1024);
	if (has_option(invocation, "manual")) {
		schema_manual(&out, config_rows());
	} else {
		schema_json(&out, config_rows(), "hooklatch.yaml");
	}
	(void)fwrite(out.data, 1, out.size, stdout);
	buffer_finish(&out);
	return EXIT_OK;
}
