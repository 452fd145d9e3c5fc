#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"

json_t *
json_of_span(struct span text)
{
	if (text.data == NULL) {
		return json_null();
	}
	if (utf8_valid(text)) {
		return json_stringn_nocheck(text.data, text.size);
	}
	struct buffer quoted;
	buffer_init(&quoted, text.size * 6 + 16);
	json_quote(&quoted, text);
	json_t *value =
		json_loadb(quoted.data, quoted.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	buffer_finish(&quoted);
	return value == NULL ? json_string("") : value;
}

json_t *
json_of_time(int64_t wall_ns)
{
	char text[CLOCK_TEXT_BYTES];
	clock_text(wall_ns, text);
	return json_string(text);
}

json_t *
json_of_delivery(const struct delivery_row *row)
{
	return json_pack("{s:o, s:s, s:I, s:o, s:o, s:o, s:I}", "handler",
	                 json_of_span(row->handler_name), "state", delivery_state_name(row->state),
	                 "attempts", (json_int_t)row->attempts, "next_attempt_at",
	                 row->state == DELIVERY_PENDING ? json_of_time(row->due_ns) : json_null(),
	                 "last_error", json_of_span(row->last_error), "outcome",
	                 json_of_span(row->outcome), "round", (json_int_t)row->round);
}

json_t *
json_of_dead(const struct dead_row *row, bool whole)
{
	json_t *dead =
		json_pack("{s:I, s:o, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:o, s:o, s:I}", "id",
	                  (json_int_t)row->id, "source", json_of_span(row->source), "event_id",
	                  json_of_span(row->event_id), "type", json_of_span(row->type), "handler",
	                  json_of_span(row->handler), "state", delivery_state_name(row->state),
	                  "attempts", (json_int_t)row->attempts, "reason",
	                  json_of_span(row->reason), "last_error", json_of_span(row->last_error),
	                  "first_failed_at", json_of_span(row->first_failed_at), "died_at",
	                  json_of_span(row->died_at), "sequence", (json_int_t)row->key.seq);
	if (whole) {
		(void)json_object_set_new(dead, "output", json_of_span(row->output));
	}
	return dead;
}

json_t *
json_of_attempt(const struct attempt_row *row)
{
	return json_pack("{s:o, s:I, s:I, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "handler",
	                 json_of_span(row->handler), "round", (json_int_t)row->round, "attempt",
	                 (json_int_t)row->number, "started_at", json_of_span(row->started_at),
	                 "duration_ms", (json_int_t)row->duration_ms, "result",
	                 json_of_span(row->result), "error_type", json_of_span(row->error_type),
	                 "error", json_of_span(row->error), "output", json_of_span(row->output),
	                 "reason", json_of_span(row->reason));
}

struct span
span_of_json(const json_t *value)
{
	return json_is_string(value)
	               ? (struct span){ json_string_value(value), json_string_length(value) }
	               : (struct span){ NULL, 0 };
}

json_t *
json_of_options(const struct filter *filter)
{
	struct filter bound = *filter; /* its texts stay the caller's */
	struct buffer options;
	buffer_init(&options, 65536);
	if (bound.until_ns == 0) {
		bound.until_ns = clock_wall_ns();
	}
	filter_options(&bound, &options);
	json_t *text = json_of_span(buffer_view(&options));
	buffer_finish(&options);
	return text;
}

char *
decode_segment(struct span segment)
{
	struct buffer text;
	buffer_init(&text, segment.size + 1);
	if (!percent_decode(&text, segment)) {
		text.size = 0;
	}
	return buffer_steal(&text);
}

bool
request_filter(const struct call_context *context, struct filter *filter, struct error *err)
{
	filter_init(filter);
	struct span query = context->body == NULL
	                            ? context->request->query
	                            : span_of_json(json_object_get(context->body, "filter"));
	if (!filter_parse_query(filter, query, clock_wall_ns(), err)) {
		filter_finish(filter);
		return false;
	}
	return true;
}

/* --- dead letters by name --- */

struct resolved {
	json_t *numbers;
	size_t before;
};

static bool
on_resolved(void *context, const struct dead_row *row)
{
	struct resolved *resolved = context;
	(void)json_array_append_new(resolved->numbers, json_integer(row->id));
	return json_array_size(resolved->numbers) < API_RESOLVE_MOST;
}

/* All dead or discarded letters of one event, of one handler or of all. */
static bool
resolve_event(struct reader *reader, const char *source, const char *id, const char *handler,
              struct resolved *resolved, struct error *err)
{
	struct filter filter;
	filter_init(&filter);
	filter.source = memory_text(source);
	filter.id = memory_text(id);
	filter.handler = memory_text(handler);
	filter.states = 1U << DELIVERY_DEAD | 1U << DELIVERY_DISCARDED;
	bool good = reader_dead(reader, &filter, NULL, 0, INT64_MAX, API_RESOLVE_MOST, on_resolved,
	                        resolved, err);
	filter_finish(&filter);
	return good;
}

/* "<source>/<event id>", else "<source>/<event id>/<handler>": ids may have slashes. */
static bool
resolve_name(struct reader *reader, const char *name, struct resolved *resolved, struct error *err)
{
	const char *slash = strchr(name, '/');
	if (slash == NULL) {
		return error_set(
			err, ERROR_INVALID,
			"\"%s\" is neither a dead letter's number nor <source>/<event id>[/<handler>]",
			name);
	}
	char *source = span_copy((struct span){ name, (size_t)(slash - name) });
	char *id = memory_text(slash + 1);
	bool good = resolve_event(reader, source, id, NULL, resolved, err);
	char *last = strrchr(id, '/');
	if (good && json_array_size(resolved->numbers) == resolved->before && last != NULL) {
		*last = '\0';
		good = resolve_event(reader, source, id, last + 1, resolved, err);
	}
	free(source);
	free(id);
	return good;
}

static bool
resolve_one(struct call_context *context, const json_t *given, struct resolved *resolved,
            struct error *err)
{
	struct span text = span_of_json(given);
	int64_t number = json_integer_value(given);
	resolved->before = json_array_size(resolved->numbers);
	bool is_number = json_is_integer(given) || span_number(text, &number);
	bool good;
	if (is_number) {
		char ids[32];
		struct filter any;
		filter_init(&any);
		any.states = 1U << DELIVERY_DEAD | 1U << DELIVERY_DISCARDED;
		(void)snprintf(ids, sizeof(ids), "[%lld]", (long long)number);
		good = reader_dead(context->reader, &any, ids, 0, INT64_MAX, 1, on_resolved,
		                   resolved, err);
	} else {
		good = resolve_name(context->reader, text.data == NULL ? "" : text.data, resolved,
		                    err);
	}
	if (good && json_array_size(resolved->numbers) == resolved->before) {
		if (is_number) {
			return error_set(err, ERROR_NOT_FOUND, "there is no dead letter %lld",
			                 (long long)number);
		}
		return error_set(err, ERROR_NOT_FOUND, "there is no dead letter %.*s",
		                 SPAN_ARG(text));
	}
	return good;
}

bool
request_dead_ids(struct call_context *context, char **ids, struct error *err)
{
	json_t *given = json_object_get(context->body, "ids");
	*ids = NULL;
	if (json_array_size(given) == 0) {
		return true;
	}
	struct resolved resolved = { .numbers = json_array() };
	size_t index;
	json_t *one;
	json_array_foreach(given, index, one) {
		if (!resolve_one(context, one, &resolved, err)) {
			json_decref(resolved.numbers);
			return false;
		}
	}
	*ids = json_dumps(resolved.numbers, JSON_COMPACT);
	json_decref(resolved.numbers);
	return true;
}
