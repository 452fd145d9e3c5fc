#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/encoding.h"

static bool
add_delivery(void *context, const struct delivery_row *row)
{
	(void)json_array_append_new(context, json_of_delivery(row));
	return true;
}

static bool
add_attempt(void *context, const struct attempt_row *row)
{
	(void)json_array_append_new(context, json_of_attempt(row));
	return true;
}

static bool
add_event(void *context, const struct event_row *row)
{
	(void)json_array_append_new(context,
	                            json_pack("{s:o, s:o, s:o, s:o, s:I, s:I}", "source",
	                                      json_of_span(row->source), "event_id",
	                                      json_of_span(row->id), "type",
	                                      json_of_span(row->type), "received_at",
	                                      json_of_span(row->received_at), "sequence",
	                                      (json_int_t)row->seq, "size", (json_int_t)row->size));
	return true;
}

static bool
add_deliveries(struct reader *reader, json_t *events, struct error *err)
{
	size_t index;
	json_t *event;
	json_array_foreach(events, index, event) {
		json_t *deliveries = json_array();
		(void)json_object_set_new(event, "deliveries", deliveries);
		int64_t seq = json_integer_value(json_object_get(event, "sequence"));
		if (!reader_deliveries(reader, seq, add_delivery, deliveries, err)) {
			return false;
		}
	}
	return true;
}

json_t *
events_list(struct call_context *context, struct error *err)
{
	struct filter filter;
	if (!request_filter(context, &filter, err)) {
		return NULL;
	}
	json_t *events = json_array();
	int64_t limit = filter.limit == 0 ? API_LIST_LIMIT : filter.limit;
	bool good = reader_events(context->reader, &filter, -1, limit, add_event, events, err) &&
	            add_deliveries(context->reader, events, err);
	filter_finish(&filter);
	if (!good) {
		json_decref(events);
		return NULL;
	}
	return events;
}

struct shown {
	json_t *event;
};

static bool
show_event(void *context, const struct event_row *row)
{
	struct shown *shown = context;
	struct buffer base64;
	buffer_init(&base64, row->body.size * 2 + 16);
	base64_encode(&base64, (const unsigned char *)row->body.data, row->body.size);
	bool text = utf8_valid(row->body) &&
	            (row->body.size == 0 || memchr(row->body.data, '\0', row->body.size) == NULL);
	json_t *headers = json_loadb(row->headers.data, row->headers.size, JSON_ALLOW_NUL, NULL);
	shown->event =
		json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o}", "source",
	                  json_of_span(row->source), "event_id", json_of_span(row->id), "type",
	                  json_of_span(row->type), "received_at", json_of_span(row->received_at),
	                  "sequence", (json_int_t)row->seq, "size", (json_int_t)row->size,
	                  "headers", headers == NULL ? json_array() : headers, "body",
	                  text ? json_of_span(row->body) : json_null(), "body_base64",
	                  json_of_span(base64.data == NULL ? SPAN("") : buffer_view(&base64)));
	buffer_finish(&base64);
	return false;
}

json_t *
events_show(struct call_context *context, struct error *err)
{
	char *source;
	char *id;
	if (!path_event(context->rest, &source, &id, err)) {
		return NULL;
	}
	struct shown shown = { NULL };
	bool good = reader_event_row(context->reader, span_of(source), span_of(id), show_event,
	                             &shown, err);
	free(source);
	free(id);
	if (!good) {
		return NULL;
	}
	int64_t seq = json_integer_value(json_object_get(shown.event, "sequence"));
	struct request_row request = { 0 };
	bool several = false;
	if (!reader_request(context->reader, seq, &request, &several, err)) {
		json_decref(shown.event);
		return NULL;
	}
	if (several) { /* size null: the whole body is gone */
		(void)json_object_set_new(shown.event, "request",
		                          json_pack("{s:I, s:I, s:I, s:o}", "id",
		                                    (json_int_t)request.id, "position",
		                                    (json_int_t)request.position, "events",
		                                    (json_int_t)request.events, "size",
		                                    request.size < 0 ? json_null()
		                                                     : json_integer(request.size)));
	}
	json_t *deliveries = json_array();
	json_t *attempts = json_array();
	(void)json_object_set_new(shown.event, "deliveries", deliveries);
	(void)json_object_set_new(shown.event, "attempts", attempts);
	if (!reader_deliveries(context->reader, seq, add_delivery, deliveries, err) ||
	    !reader_attempts(context->reader, seq, 0, API_LIST_LIMIT, add_attempt, attempts, err)) {
		json_decref(shown.event);
		return NULL;
	}
	return shown.event;
}
