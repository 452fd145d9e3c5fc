/* What a consumer of a `pull` handler does: take, and with each lease ack, nack, dead or extend. A lease is written
 * "<sequence>.<handler's number>.<round>.<attempt>". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/units.h"

#include "handlers/pull.h"

#define TAKE_BYTES_MOST \
	(64 * 1024 * 1024) /* of bodies in one answer; what is beyond goes back, uncounted */
#define TAKE_WAIT_MOST_NS (60 * NS_PER_S)
#define LEASE_MOST_NS     (12 * 3600 * NS_PER_S)
#define NACK_MOST_NS      (30 * 86400 * NS_PER_S)

/* --- take --- */

static json_t *
describe(const struct event *event, const struct lease_key *lease, int64_t until_ns)
{
	struct buffer base64;
	char name[96];
	buffer_init(&base64, event->body.size * 2 + 16);
	base64_encode(&base64, (const unsigned char *)event->body.data, event->body.size);
	(void)snprintf(name, sizeof(name), "%" PRId64 ".%" PRId64 ".%" PRId64 ".%" PRId64,
	               lease->key.seq, lease->key.handler, lease->round, lease->attempts);
	json_t *headers =
		json_loadb(event->headers.data, event->headers.size, JSON_ALLOW_NUL, NULL);
	json_t *item =
		json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "lease", name,
	                  "source", json_of_span(event->source), "event_id",
	                  json_of_span(event->id), "type", json_of_span(event->type), "attempt",
	                  (json_int_t)lease->attempts, "sequence", (json_int_t)event->seq,
	                  "received_at", json_of_time(event->received_ns), "lease_until",
	                  json_of_time(until_ns), "headers",
	                  headers == NULL ? json_array() : headers, "body",
	                  json_of_span(base64.data == NULL ? SPAN("") : buffer_view(&base64)));
	buffer_finish(&base64);
	return item;
}

static bool
end_lease(struct call_context *context, const struct lease_change *wanted, bool *live,
          struct error *err)
{
	struct lease_change lease = *wanted;
	struct change change = { .kind = CHANGE_LEASE,
		                 .lease = &lease,
		                 .who = context->request->who };
	lease.ran_ns = context->api->engine == NULL
	                       ? 0
	                       : engine_ran_ns(context->api->engine, lease.lease.key.handler);
	bool good = store_change(context->api->store, &change, err);
	*live = good && change.changed > 0;
	return good;
}

/* A lease that is not given out after all. */
static bool
put_back(struct call_context *context, const struct lease_key *lease, bool corrupt,
         struct error *err)
{
	bool live;
	struct lease_change change = { .lease = *lease,
		                       .move = corrupt ? LEASE_DEAD : LEASE_RELEASE,
		                       .due_ns = clock_wall_ns(),
		                       .reason = "corrupt",
		                       .error_type = "corrupt",
		                       .error = "the stored body is not what was received" };
	return end_lease(context, &change, &live, err);
}

static json_t *
give_out(struct call_context *context, const struct take *take, int64_t count, struct error *err)
{
	json_t *list = json_array();
	size_t bytes = 0;
	for (int64_t i = 0; i < count; i++) {
		const struct lease_key *lease = &take->leases[i];
		struct event *event = NULL;
		bool intact = false;
		bool fits = bytes < TAKE_BYTES_MOST;
		bool good = !fits ||
		            reader_event(context->reader, lease->key.seq, &event, &intact, err);
		if (good && fits && intact) {
			bytes += event->body.size;
			(void)json_array_append_new(list, describe(event, lease, take->until_ns));
		} else if (good) {
			good = put_back(context, lease, fits, err);
		}
		event_release(event);
		if (!good) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static const struct handler *
pull_handler(struct call_context *context, struct error *err)
{
	char *name = path_segment(context->rest);
	const struct handler *handler = config_handler_by_name(context->api->config, name);
	if (handler == NULL) {
		(void)error_set(err, ERROR_NOT_FOUND, "there is no handler %s", name);
	} else if (!handler_consumed(handler)) {
		(void)error_set(err, ERROR_REFUSED, "%s is no pull handler: nothing can be taken",
		                name);
		handler = NULL;
	}
	free(name);
	return handler;
}

json_t *
handlers_take(struct call_context *context, struct error *err)
{
	int64_t most = 1;
	int64_t wait_ns = 0;
	const struct handler *handler = pull_handler(context, err);
	if (handler == NULL || !query_number(context, "max", 1, TAKE_MOST, &most, err) ||
	    !query_duration(context, "wait", TAKE_WAIT_MOST_NS, &wait_ns, err)) {
		return NULL;
	}
	struct store *store = context->api->store;
	if (store == NULL) {
		(void)error_set(err, ERROR_REFUSED, "nothing can be changed here");
		return NULL;
	}
	const struct pull_settings *settings = handler->kind_settings;
	struct take *take = memory_need(sizeof(*take));
	take->most = most;
	take->out_most = handler->settings->concurrency;
	take->visibility_ns = settings->visibility_ns;
	struct change change = { .kind = CHANGE_TAKE,
		                 .id = handler->number,
		                 .take = take,
		                 .who = context->request->who };
	bool any = store_count(store, handler->number, DELIVERY_PENDING) > 0 &&
	           store_handler_paused(store, handler->number) == 0;
	bool good = !any || store_change(store, &change, err);
	json_t *list = good ? give_out(context, take, change.changed, err) : NULL;
	if (json_array_size(list) == 0 && wait_ns > 0) {
		context->parks_handler = handler->number;
		context->parks_ns = wait_ns;
	}
	free(take);
	return list;
}

/* --- leases --- */

static bool
parse_lease(struct span text, struct lease_key *lease)
{
	int64_t *const parts[] = { &lease->key.seq, &lease->key.handler, &lease->round,
		                   &lease->attempts };
	for (size_t i = 0; i < COUNT(parts); i++) {
		size_t size = 0;
		while (size < text.size && text.data[size] != '.') {
			size++;
		}
		bool last = i + 1 == COUNT(parts);
		if (!span_number((struct span){ text.data, size }, parts[i]) ||
		    (size == text.size) != last) {
			return false;
		}
		text = span_after(text, last ? size : size + 1);
	}
	return lease->key.handler > 0 && lease->key.handler < STORE_HANDLERS_MOST;
}

static json_t *
change_lease(struct call_context *context, struct lease_change *wanted, struct error *err)
{
	char *name = path_segment(context->rest);
	bool parsed = parse_lease(span_of(name), &wanted->lease);
	bool live = false;
	bool good = false;
	if (!parsed) {
		(void)error_set(err, ERROR_INVALID, "\"%s\" is no lease", name);
	} else if (context->api->store == NULL) {
		(void)error_set(err, ERROR_REFUSED, "nothing can be changed here");
	} else if (end_lease(context, wanted, &live, err)) {
		good = live || error_set(err, ERROR_REFUSED,
		                         "the lease is over: the delivery was given out again, "
		                         "or has ended; do not count on this try");
	}
	free(name);
	return good ? json_pack("{s:s}", "result", "ok") : NULL;
}

json_t *
leases_ack(struct call_context *context, struct error *err)
{
	struct lease_change change = { .move = LEASE_ACK };
	return change_lease(context, &change, err);
}

/* The consumer's own words, from {"error"} or the query. */
static char *
told_error(const struct call_context *context)
{
	const char *given = json_string_value(json_object_get(context->body, "error"));
	char *text = given != NULL ? memory_text(given) : query_text(context, "error");
	if (text == NULL || text[0] == '\0') {
		free(text);
		return memory_text("rejected: the consumer could not process it");
	}
	struct buffer whole;
	buffer_init(&whole, 4096);
	buffer_format(&whole, "rejected: %.1000s", text);
	free(text);
	return buffer_steal(&whole);
}

json_t *
leases_nack(struct call_context *context, struct error *err)
{
	int64_t delay_ns = -1;
	char *dead = query_text(context, "dead");
	if (dead != NULL && strcmp(dead, "false") == 0) {
		free(dead);
		dead = NULL;
	}
	bool good = query_duration(context, "delay", NACK_MOST_NS, &delay_ns, err);
	char *error = told_error(context);
	struct lease_change change = { .move = dead == NULL ? LEASE_AGAIN : LEASE_DEAD,
		                       .due_ns = delay_ns < 0 ? -1 : clock_wall_ns() + delay_ns,
		                       .reason = "rejected",
		                       .error_type = "rejected",
		                       .error = error };
	json_t *answer = good ? change_lease(context, &change, err) : NULL;
	free(error);
	free(dead);
	return answer;
}

json_t *
leases_extend(struct call_context *context, struct error *err)
{
	int64_t by_ns = -1;
	if (!query_duration(context, "by", LEASE_MOST_NS, &by_ns, err)) {
		return NULL;
	}
	if (by_ns < 0) {
		(void)error_set(err, ERROR_INVALID, "by: how long is missing, such as ?by=60s");
		return NULL;
	}
	struct lease_change change = { .move = LEASE_EXTEND, .due_ns = clock_wall_ns() + by_ns };
	return change_lease(context, &change, err);
}
