/* Which of a provider's events are here, and how they stand: for `hooklatch reconcile`. */
#include "receiver/api/api_priv.h"

static bool
add_state(void *context, const struct delivery_row *row)
{
	json_t *deliveries = context;
	(void)json_array_append_new(deliveries,
	                            json_pack("{s:o, s:s, s:o}", "handler",
	                                      json_of_span(row->handler_name), "state",
	                                      delivery_state_name(row->state), "last_error",
	                                      json_of_span(row->last_error)));
	return true;
}

/* POST {"source": NAME, "ids": [ID…]}: [{"event_id", "known", "deliveries"}…] in the same order. */
json_t *
known_list(struct call_context *context, struct error *err)
{
	const json_t *source = json_object_get(context->body, "source");
	const json_t *ids = json_object_get(context->body, "ids");
	if (!json_is_string(source) || !json_is_array(ids) ||
	    json_array_size(ids) > API_RESOLVE_MOST) {
		(void)error_set(err, ERROR_INVALID, "expected a source and at most %d ids",
		                API_RESOLVE_MOST);
		return NULL;
	}
	json_t *list = json_array();
	size_t index;
	json_t *id;
	json_array_foreach(ids, index, id) {
		int64_t seq = 0;
		json_t *deliveries = json_array();
		bool good = reader_event_seq(context->reader, span_of_json(source),
		                             span_of_json(id), &seq, err) &&
		            (seq == 0 ||
		             reader_deliveries(context->reader, seq, add_state, deliveries, err));
		(void)json_array_append_new(list,
		                            json_pack("{s:O, s:b, s:o}", "event_id", id, "known",
		                                      seq != 0 ? 1 : 0, "deliveries", deliveries));
		if (!good) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
