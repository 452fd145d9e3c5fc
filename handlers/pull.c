/* Handler `pull: { visibility }`: its deliveries wait until a consumer takes them (POST /v1/handlers/NAME/take). What is not
 * acknowledged within `visibility` is given out again and counts as an attempt. */
#include "handlers/pull.h"

#include "handlers/kinds.h"

static const struct schema_row pull_rows[] = {
	{ .name = "visibility",
	  .kind = SCHEMA_DURATION,
	  .offset = offsetof(struct pull_settings, visibility_ns) -
	            offsetof(struct pull_settings, entry),
	  .fallback = "60s",
	  .least = "1s",
	  .most = "12h",
	  .reload = true,
	  .text = "How long a consumer has a delivery to itself before it is given out again." },
	{ .name = NULL },
};

static const struct schema_row rows[] = {
	{ .name = "pull",
	  .kind = SCHEMA_MAP,
	  .off = true,
	  .offset = offsetof(struct pull_settings, entry),
	  .rows = pull_rows,
	  .size = sizeof(struct pull_settings),
	  .reload = true,
	  .text = "Waits for a consumer: take, ack, nack and extend over the admin API, or hooklatch take." },
	{ .name = NULL },
};

static bool
check_pull(void *settings, const struct kind_check *check)
{
	(void)settings;
	(void)check;
	return true;
}

const struct handler_kind handler_pull = {
	.name = "pull",
	.rows = rows,
	.settings_bytes = sizeof(struct pull_settings),
	.guarantees = 1U << GUARANTEE_AT_LEAST_ONCE,
	.check = check_pull,
};
