/* Handlers as an operator sees them: how each stands, pause and resume. */
#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"

json_t *
json_of_line(const struct line_view *view)
{
	int64_t now_ns = clock_wall_ns();
	int64_t boot_ns = clock_boot_ns();
	json_t *breaker =
		view->watched ? json_pack("{s:s, s:o}", "state", breaker_state_name(view->breaker),
	                                  "until",
	                                  view->breaker == BREAKER_OPEN
	                                          ? json_of_time(now_ns + view->breaker_until_ns -
	                                                         boot_ns)
	                                          : json_null())
			      : json_null();
	return json_pack("{s:o, s:o, s:I, s:I}", "breaker", breaker, "retry_tokens",
	                 view->has_budget ? json_real((double)view->tokens_milli / 1000.0)
	                                  : json_null(),
	                 "running_slots", (json_int_t)view->in_use, "concurrency",
	                 (json_int_t)view->concurrency);
}

/* The handler of the path, in the configuration or in the store alone (its deliveries may be orphaned). */
static int64_t
handler_number(const struct call_context *context, const char *name)
{
	const struct store *store = context->api->store;
	for (int64_t i = 1; store != NULL && i <= store_handlers(store); i++) {
		const char *known = store_handler_name(store, i);
		if (known != NULL && strcmp(known, name) == 0) {
			return i;
		}
	}
	return 0;
}

static json_t *
change_pause(struct call_context *context, enum change_kind kind, int64_t until_ns,
             struct error *err)
{
	char *name = path_segment(context->rest);
	struct change change = {
		.kind = kind,
		.handler = name,
		.until = until_ns,
		.who = context->request->who,
		.reason = json_string_value(json_object_get(context->body, "reason")),
	};
	bool good = false;
	if (context->api->store == NULL) {
		(void)error_set(err, ERROR_REFUSED, "nothing can be changed here");
	} else if (config_handler_by_name(context->api->config, name) == NULL ||
	           (change.id = handler_number(context, name)) == 0) {
		(void)error_set(err, ERROR_NOT_FOUND, "there is no handler %s", name);
	} else {
		good = store_change(context->api->store, &change, err);
	}
	json_t *answer = good ? json_pack("{s:s, s:b, s:o}", "handler", name, "paused",
	                                  kind == CHANGE_PAUSE, "until",
	                                  kind == CHANGE_PAUSE && until_ns != INT64_MAX
	                                          ? json_of_time(until_ns)
	                                          : json_null())
	                      : NULL;
	free(name);
	return answer;
}

json_t *
handlers_pause(struct call_context *context, struct error *err)
{
	int64_t until_ns = INT64_MAX;
	const json_t *given = json_object_get(context->body, "until");
	const char *until = json_string_value(given);
	if (given != NULL && until == NULL && !json_is_null(given)) {
		until = ""; /* no text is no time */
	}
	if (until != NULL &&
	    (!clock_parse(span_of(until), &until_ns) || until_ns <= clock_wall_ns())) {
		(void)error_set(err, ERROR_INVALID, "until: \"%s\" is no RFC 3339 time to come",
		                until);
		return NULL;
	}
	return change_pause(context, CHANGE_PAUSE, until_ns, err);
}

json_t *
handlers_resume(struct call_context *context, struct error *err)
{
	return change_pause(context, CHANGE_RESUME, 0, err);
}
