/* The text of a configuration, as config_load() takes it to read: reader, schema and checks; no file is opened. What is
 * good can be shown, and a report says where each error stands. */
#include "receiver/config/config.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

static struct config *
load(struct span text, struct buffer *report)
{
	struct config *config = memory_need(sizeof(*config));
	atomic_init(&config->references, 1);
	atomic_init(&config->keyed, 1);
	arena_init(&config->arena);
	config->file = memory_text("fuzz.yaml");
	config->directory = memory_text("/etc/hooklatch");
	config->text = (struct span){ arena_text(&config->arena, text), text.size };
	problems_init(&config->problems, &config->arena, config->file, config->text);
	config->root = document_parse(&config->problems);
	if (config->root != NULL) {
		schema_read(&config->problems, config_rows(), config->root, &config->settings);
		config_check(config, CONFIG_TO_READ);
	}
	problems_print(&config->problems, report);
	return config;
}

/* What holds of every configuration that is taken. */
static void
check_good(const struct config *config)
{
	PROPERTY(config->root != NULL && config->store_path != NULL && config->admin_path != NULL);
	for (size_t i = 0; i < config->source_count; i++) {
		const struct source *source = &config->sources[i];
		PROPERTY(source->settings->path[0] == '/');
		PROPERTY(config_source_by_path(config, span_of(source->settings->path)) == source);
		const struct scheme *scheme = &source->scheme;
		PROPERTY(source->settings->secrets.count > 0 || !scheme_has_secrets(scheme));
		PROPERTY(scheme->signature_header != NULL || scheme->signature_json != NULL ||
		         source->preset != NULL);
		PROPERTY(source->preset != NULL || scheme_body_signed(scheme) ||
		         scheme->algorithm == SCHEME_TOKEN || scheme->signature_json != NULL);
		PROPERTY(scheme->id.from != SCHEME_NOWHERE || scheme->events.array != NULL);
	}
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		PROPERTY(handler->kind != NULL && handler->settings->concurrency > 0);
		PROPERTY(handler->settings->retry.attempts > 0);
		(void)handler_wants(handler, SPAN("github"), SPAN("push"),
		                    SPAN("{\"ref\":\"refs/heads/main\",\"n\":[1,{\"a\":null}]}"));
	}
	PROPERTY(config->settings.retry_budget.rate > 0 && config->settings.retry_budget.burst > 0);
	struct buffer shown;
	buffer_init(&shown, (size_t)64 << 20);
	schema_show(&shown, config_rows(), config->root, config->file);
	schema_show_json(&shown, config_rows(), config->root, config->file);
	buffer_finish(&shown);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer report;
	buffer_init(&report, (size_t)64 << 20);
	struct config *config = load((struct span){ (const char *)data, size }, &report);
	PROPERTY((config->problems.count == 0) == (report.size == 0) && !report.failed);
	PROPERTY(config->root != NULL || config->problems.errors > 0);
	if (config->problems.errors == 0) {
		check_good(config);
	}
	config_release(config);
	buffer_finish(&report);
	return 0;
}
