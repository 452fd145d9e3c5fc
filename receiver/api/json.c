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
	                 row->state == DELIVERY_PENDING && !row->held ? json_of_time(row->due_ns)
	                                                              : json_null(),
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

char *
path_segment(struct span rest)
{
	size_t size = 0;
	while (size < rest.size && rest.data[size] != '/') {
		size++;
	}
	return decode_segment((struct span){ rest.data, size });
}

bool
path_event(struct span rest, char **source, char **id, struct error *err)
{
	size_t slash = 0;
	while (slash < rest.size && rest.data[slash] != '/') {
		slash++;
	}
	if (slash == rest.size) {
		return error_set(err, ERROR_INVALID, "expected <source>/<event id>");
	}
	*source = decode_segment((struct span){ rest.data, slash });
	*id = decode_segment(span_after(rest, slash + 1));
	return true;
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
	struct other_ids *others;
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

struct living {
	int64_t seq;
	struct span handler; /* empty: any */
	int64_t count;
};

static bool
on_living_event(void *context, const struct event_row *row)
{
	((struct living *)context)->seq = row->seq;
	return false;
}

static bool
on_living(void *context, const struct delivery_row *row)
{
	struct living *living = context;
	living->count +=
		living->handler.size == 0 || span_equal(living->handler, row->handler_name) ? 1 : 0;
	return true;
}

/* How many deliveries "<source>/<event id>[/<handler>]" names, whatever their state; false: none. */
static bool
count_living(struct reader *reader, struct span name, int64_t *count)
{
	struct error ignored;
	size_t slash = 0;
	while (slash < name.size && name.data[slash] != '/') {
		slash++;
	}
	if (slash >= name.size) {
		return false;
	}
	struct span source = { name.data, slash };
	struct span id = span_after(name, slash + 1);
	struct living living = { .seq = 0 };
	if (!reader_event_row(reader, source, id, on_living_event, &living, &ignored)) {
		size_t end = id.size;
		while (end > 0 && id.data[end - 1] != '/') {
			end--;
		}
		living.handler = span_after(id, end);
		if (end == 0 || !reader_event_row(reader, source, (struct span){ id.data, end - 1 },
		                                  on_living_event, &living, &ignored)) {
			return false;
		}
	}
	if (!reader_deliveries(reader, living.seq, on_living, &living, &ignored)) {
		return false;
	}
	*count += living.count;
	return living.count > 0;
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
	if (good && json_array_size(resolved->numbers) == resolved->before &&
	    (is_number || !count_living(context->reader, text, &resolved->others->skipped))) {
		(void)json_array_append(resolved->others->absent, (json_t *)(uintptr_t)given);
	}
	return good;
}

bool
request_dead_ids(struct call_context *context, char **ids, struct other_ids *others,
                 struct error *err)
{
	json_t *given = json_object_get(context->body, "ids");
	others->absent = json_array();
	others->skipped = 0;
	*ids = NULL;
	if (json_array_size(given) == 0) {
		return true;
	}
	struct resolved resolved = { .numbers = json_array(), .others = others };
	size_t index;
	json_t *one;
	bool good = true;
	json_array_foreach(given, index, one) {
		good = good && resolve_one(context, one, &resolved, err);
	}
	if (good && json_array_size(resolved.numbers) == 0 && others->skipped == 0) {
		char *name = json_dumps(json_array_get(others->absent, 0), JSON_ENCODE_ANY);
		good = error_set(err, ERROR_NOT_FOUND, "there is no dead letter %s", name);
		free(name);
	}
	if (good) {
		*ids = json_dumps(resolved.numbers, JSON_COMPACT);
	}
	json_decref(resolved.numbers);
	return good;
}

/* --- events by name --- */

struct event_seq {
	int64_t seq;
};

static bool
take_seq(void *context, const struct event_row *row)
{
	((struct event_seq *)context)->seq = row->seq;
	return false;
}

bool
request_event_ids(struct call_context *context, char **ids, struct error *err)
{
	json_t *given = json_object_get(context->body, "ids");
	*ids = NULL;
	if (json_array_size(given) == 0) {
		return true;
	}
	json_t *numbers = json_array();
	bool good = true;
	size_t index;
	json_t *one;
	json_array_foreach(given, index, one) {
		struct span name = span_of_json(one);
		size_t slash = 0;
		while (slash < name.size && name.data[slash] != '/') {
			slash++;
		}
		struct event_seq found = { 0 };
		if (!good) {
			continue;
		}
		if (slash >= name.size) {
			good = error_set(err, ERROR_INVALID,
			                 "\"%.*s\": expected <source>/<event id>", SPAN_ARG(name));
			continue;
		}
		good = reader_event_row(context->reader, (struct span){ name.data, slash },
		                        span_after(name, slash + 1), take_seq, &found, err);
		(void)json_array_append_new(numbers, json_integer(found.seq));
	}
	if (good) {
		*ids = json_dumps(numbers, JSON_COMPACT);
	}
	json_decref(numbers);
	return good;
}
