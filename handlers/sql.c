/* Handler `sql: "INSERT …"`: a statement, or several, in the transaction that records the delivery as done: effectively-once
 * by construction. It may create and use any table but ours; `setup` runs once at start. Checked on a database in memory,
 * so that a mistake is told with its place before it meets an event. */
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"

#include "handlers/kinds.h"

struct sql_settings {
	const char *sql;
	const char *setup;
};

static const struct schema_row rows[] = {
	{ .name = "sql",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct sql_settings, sql),
	  .reload = true,
	  .text = "Runs this SQL in the transaction that records the delivery as done, with :event_id :source :type :sequence "
	          ":body :received_at. It may use any table but ours." },
	{ .name = "setup",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct sql_settings, setup),
	  .reload = true,
	  .text = "With sql: runs once at start, such as CREATE TABLE IF NOT EXISTS." },
	{ .name = NULL },
};

#define PARAMETERS 6

static void
fill_parameters(struct parameter parameters[PARAMETERS], const struct event *event,
                const char *received)
{
	bool text =
		utf8_valid(event->body) &&
		(event->body.size == 0 || memchr(event->body.data, '\0', event->body.size) == NULL);
	parameters[0] = (struct parameter){ ":event_id", PARAMETER_TEXT, event->id, 0 };
	parameters[1] = (struct parameter){ ":source", PARAMETER_TEXT, event->source, 0 };
	parameters[2] = (struct parameter){ ":type", PARAMETER_TEXT, event->type, 0 };
	parameters[3] = (struct parameter){ ":sequence", PARAMETER_INTEGER, { 0 }, event->seq };
	parameters[4] = (struct parameter){ ":body", text ? PARAMETER_TEXT : PARAMETER_BLOB,
		                            event->body, 0 };
	parameters[5] = (struct parameter){ ":received_at", PARAMETER_TEXT, span_of(received), 0 };
}

/* The place of a byte of a value: exact where the value stands on one line. */
static struct place
place_in(const struct node *value, int offset)
{
	struct place place = value->place;
	if (offset > 0 && memchr(value->text.data, '\n', value->text.size) == NULL) {
		place.column += offset; /* a text in quotes is placed behind the first */
		place.width = 1;
	}
	return place;
}

/* What the statements say to an event without a body worth reading: only what is wrong with any event is told. */
static bool
check_sql(void *settings, const struct kind_check *check)
{
	const struct sql_settings *sql = settings;
	struct event nobody = { .id = SPAN("id"),
		                .source = SPAN("source"),
		                .type = SPAN("type"),
		                .body = SPAN("{}") };
	struct parameter parameters[PARAMETERS];
	struct sandbox_fault fault;
	struct error err;
	bool in_setup;
	if (sql->sql == NULL) {
		return true;
	}
	fill_parameters(parameters, &nobody, "1970-01-01T00:00:00.000000Z");
	if (sandbox_check(check->setups, sql->setup, sql->sql, parameters, PARAMETERS, &in_setup,
	                  &fault, &err)) {
		return true;
	}
	const char *key = in_setup ? "setup" : "sql";
	problems_add(check->problems, place_in(node_child(check->node, key), fault.offset),
	             "%s: %s", key, err.text);
	return false;
}

static bool
commit_sql(const struct attempt *attempt, const struct transaction *transaction, struct error *err)
{
	const struct sql_settings *sql = attempt->settings;
	struct parameter parameters[PARAMETERS];
	char received[CLOCK_TEXT_BYTES];
	clock_text(attempt->event->received_ns, received);
	fill_parameters(parameters, attempt->event, received);
	return transaction->execute(transaction->context, span_of(sql->sql), parameters, PARAMETERS,
	                            err);
}

static const char *
setup_sql(const void *settings)
{
	return ((const struct sql_settings *)settings)->setup;
}

const struct handler_kind handler_sql = {
	.name = "sql",
	.rows = rows,
	.settings_bytes = sizeof(struct sql_settings),
	.guarantees = 1U << GUARANTEE_AT_LEAST_ONCE | 1U << GUARANTEE_EFFECTIVELY_ONCE,
	.check = check_sql,
	.commit = commit_sql,
	.setup = setup_sql,
	.guarantee = GUARANTEE_EFFECTIVELY_ONCE,
	.timeout = "100ms",
	.timeout_most = "1s",
};
