/* Handler `log: {}`: writes the event's description to the log. */
#include "receiver/log/log.h"

#include "handlers/kinds.h"

struct log_settings {
	struct schema_entry entry;
};

static const struct schema_row no_keys[] = { { .name = NULL } };

static const struct schema_row rows[] = {
	{
		.name = "log",
		.kind = SCHEMA_MAP,
		.offset = 0,
		.rows = no_keys,
		.size = sizeof(struct log_settings),
		.reload = true,
		.text = "Writes the event's description to the log.",
	},
	{ .name = NULL },
};

static bool
check_log(void *settings, const struct kind_check *check)
{
	(void)settings;
	(void)check;
	return true;
}

static void
run_log(const struct attempt *attempt, struct outcome *outcome)
{
	const struct event *event = attempt->event;
	struct log_line line;
	log_begin(&line, LOG_INFO, "event.logged", "%s received an event of %zu bytes",
	          attempt->handler, event->body.size);
	log_text(&line, "source", event->source);
	log_text(&line, "event_id", event->id);
	log_text(&line, "type", event->type);
	log_text(&line, "handler", span_of(attempt->handler));
	log_number(&line, "attempt", attempt->number);
	log_number(&line, "sequence", event->seq);
	log_number(&line, "size", (int64_t)event->body.size);
	log_end(&line);
	outcome->kind = OUTCOME_DONE;
	outcome->about = ABOUT_SUCCESS;
}

const struct handler_kind handler_log = {
	.name = "log",
	.rows = rows,
	.settings_bytes = sizeof(struct log_settings),
	.guarantees = 1U << GUARANTEE_AT_LEAST_ONCE | 1U << GUARANTEE_AT_MOST_ONCE,
	.check = check_log,
	.run = run_log,
	.brief = true,
};
