/* Events, failed tries and deaths after a cursor, from the tables, so that nothing is missed however long the reader was
 * away (a death is told by the try that it came with, which outlives a replay); what was done comes from the service's
 * memory, as far back as that goes. A cursor is "<sequence>.<attempt row>.<done>". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"
#include "receiver/base/glob.h"

#define TAIL_ROWS 500 /* of each kind at once */

struct cursor {
	int64_t seq;
	int64_t attempt;
	int64_t done;
};

struct tail {
	json_t *items;
	struct cursor cursor;
	struct filter filter;
	size_t attempts; /* that were looked at */
};

static json_t *
line(const char *level, const char *event, const char *message)
{
	return json_pack("{s:s, s:s, s:s}", "level", level, "event", event, "msg", message);
}

static void
add(struct tail *tail, json_t *item, json_t *ts)
{
	(void)json_object_set_new(item, "ts", ts);
	(void)json_array_append_new(tail->items, item);
}

static bool
add_event(void *context, const struct event_row *row)
{
	struct tail *tail = context;
	json_t *item = line("info", "event.accepted", "stored");
	(void)json_object_set_new(item, "source", json_of_span(row->source));
	(void)json_object_set_new(item, "event_id", json_of_span(row->id));
	(void)json_object_set_new(item, "type", json_of_span(row->type));
	(void)json_object_set_new(item, "sequence", json_integer(row->seq));
	(void)json_object_set_new(item, "size", json_integer(row->size));
	add(tail, item, json_of_span(row->received_at));
	tail->cursor.seq = row->seq;
	return true;
}

static bool
takes(const char *glob, struct span text)
{
	return glob == NULL || glob_match(span_of(glob), text);
}

/* An id is given with its source before it, or without. */
static bool
takes_id(const char *glob, struct span source, struct span id)
{
	if (glob == NULL || glob_match(span_of(glob), id)) {
		return true;
	}
	struct buffer whole;
	buffer_init(&whole, source.size + id.size + 2);
	buffer_span(&whole, source);
	buffer_byte(&whole, '/');
	buffer_span(&whole, id);
	bool fits = glob_match(span_of(glob), buffer_view(&whole));
	buffer_finish(&whole);
	return fits;
}

static json_t *
attempt_item(const struct attempt_row *row, const char *level, const char *event, const char *text)
{
	json_t *item = line(level, event, text);
	(void)json_object_set_new(item, "source", json_of_span(row->source));
	(void)json_object_set_new(item, "event_id", json_of_span(row->event_id));
	(void)json_object_set_new(item, "type", json_of_span(row->type));
	(void)json_object_set_new(item, "handler", json_of_span(row->handler));
	(void)json_object_set_new(item, "sequence", json_integer(row->seq));
	(void)json_object_set_new(item, "attempt", json_integer(row->number));
	(void)json_object_set_new(item, "error_type", json_of_span(row->error_type));
	(void)json_object_set_new(item, "error", json_of_span(row->error));
	return item;
}

static bool
add_attempt(void *context, const struct attempt_row *row)
{
	struct tail *tail = context;
	const struct filter *filter = &tail->filter;
	tail->cursor.attempt = row->id;
	tail->attempts++;
	if (!span_equal(row->result, SPAN("failed")) || !takes(filter->source, row->source) ||
	    !takes(filter->type, row->type) || !takes(filter->handler, row->handler) ||
	    !takes(filter->error, row->error) ||
	    !takes_id(filter->id, row->source, row->event_id)) {
		return true;
	}
	int64_t ended_ns = 0;
	if (clock_parse(row->started_at, &ended_ns)) {
		ended_ns += row->duration_ms * NS_PER_MS;
	}
	json_t *item = attempt_item(row, "warn", "attempt.failed", "a try failed");
	(void)json_object_set_new(item, "duration_ms", json_integer(row->duration_ms));
	add(tail, item, json_of_time(ended_ns));
	if (row->reason.data != NULL) {
		item = attempt_item(row, "error", "delivery.dead", "the delivery is dead");
		(void)json_object_set_new(item, "state", json_string("dead"));
		(void)json_object_set_new(item, "reason", json_of_span(row->reason));
		add(tail, item, json_of_time(ended_ns));
	}
	return true;
}

struct done_event {
	json_t *item;
	bool wanted;
	const struct filter *filter;
};

static bool
fill_done(void *context, const struct event_row *row)
{
	struct done_event *done = context;
	done->wanted = takes(done->filter->source, row->source) &&
	               takes(done->filter->type, row->type) &&
	               takes_id(done->filter->id, row->source, row->id);
	(void)json_object_set_new(done->item, "source", json_of_span(row->source));
	(void)json_object_set_new(done->item, "event_id", json_of_span(row->id));
	(void)json_object_set_new(done->item, "type", json_of_span(row->type));
	return false;
}

static bool
add_done(struct call_context *context, struct tail *tail, struct error *err)
{
	struct done_note *notes = memory_need(TAIL_ROWS * sizeof(*notes));
	size_t count = store_notes_after(context->api->store, tail->cursor.done, notes, TAIL_ROWS);
	bool good = true;
	struct filter any;
	filter_init(&any);
	for (size_t i = 0; good && i < count; i++) {
		const char *handler = store_handler_name(context->api->store, notes[i].handler);
		struct done_event done = { line("info", "delivery.done", "handled"), false,
			                   &tail->filter };
		good = reader_events(context->reader, &any, notes[i].seq - 1, 1, fill_done, &done,
		                     err);
		(void)json_object_set_new(done.item, "handler",
		                          json_string(handler == NULL ? "" : handler));
		(void)json_object_set_new(done.item, "sequence", json_integer(notes[i].seq));
		(void)json_object_set_new(done.item, "state", json_string("done"));
		(void)json_object_set_new(done.item, "attempt", json_integer(notes[i].attempts));
		(void)json_object_set_new(done.item, "duration_ms",
		                          json_integer(notes[i].duration_ns / NS_PER_MS));
		if (good && done.wanted && takes(tail->filter.handler, span_of(handler))) {
			add(tail, done.item, json_of_time(notes[i].at_ns));
		} else {
			json_decref(done.item);
		}
		tail->cursor.done = notes[i].number;
	}
	free(notes);
	return good;
}

/* "after=…" of the query. Without it: from now on. */
static bool
read_cursor(struct call_context *context, struct cursor *cursor)
{
	struct span query = context->request->query;
	while (query.size > 0) {
		size_t size = 0;
		while (size < query.size && query.data[size] != '&') {
			size++;
		}
		struct span pair = { query.data, size };
		if (span_starts(pair, SPAN("after="))) {
			char text[96] = "";
			struct span value = span_after(pair, 6);
			memcpy(text, value.data,
			       value.size < sizeof(text) ? value.size : sizeof(text) - 1);
			char *at = text;
			int64_t *const parts[] = { &cursor->seq, &cursor->attempt, &cursor->done };
			for (size_t i = 0; i < COUNT(parts); i++) {
				*parts[i] = strtoll(at, &at, 10);
				at += *at == '.' ? 1 : 0;
			}
			return true;
		}
		query = span_after(query, size == query.size ? size : size + 1);
	}
	return false;
}

struct ordered {
	json_t *item;
	size_t index;
};

/* Of the same instant, in the order in which they were found: a death follows its try. */
static int
by_time(const void *left, const void *right)
{
	const struct ordered *a = left;
	const struct ordered *b = right;
	const char *x = json_string_value(json_object_get(a->item, "ts"));
	const char *y = json_string_value(json_object_get(b->item, "ts"));
	int order = strcmp(x == NULL ? "" : x, y == NULL ? "" : y);
	return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static json_t *
sorted(json_t *items)
{
	size_t count = json_array_size(items);
	struct ordered *list = memory_need(count * sizeof(*list) + 1);
	for (size_t i = 0; i < count; i++) {
		list[i] = (struct ordered){ json_array_get(items, i), i };
	}
	if (count > 1) {
		qsort(list, count, sizeof(*list), by_time);
	}
	json_t *ordered = json_array();
	for (size_t i = 0; i < count; i++) {
		(void)json_array_append(ordered, list[i].item);
	}
	free(list);
	json_decref(items);
	return ordered;
}

static bool
oldest_seq(void *context, const struct event_row *row)
{
	*(int64_t *)context = row->seq;
	return true;
}

static int64_t
back_from(int64_t last, int64_t count)
{
	return last > count ? last - count : 0;
}

/* Far enough back for the last `limit` happenings of each kind, as the filter sees events. */
static bool
first_cursor(struct call_context *context, struct tail *tail, struct error *err)
{
	struct store_counts counts;
	int64_t back = tail->filter.limit;
	if (!reader_counts(context->reader, &counts, err)) {
		return false;
	}
	int64_t first = counts.last_seq + 1;
	if (back > 0 &&
	    !reader_events(context->reader, &tail->filter, -1, back, oldest_seq, &first, err)) {
		return false;
	}
	tail->cursor = (struct cursor){ .seq = first - 1,
		                        .attempt = back_from(counts.last_attempt, back) };
	if (context->api->store != NULL) {
		tail->cursor.done = store_notes_last(context->api->store);
	}
	return true;
}

json_t *
tail_show(struct call_context *context, struct error *err)
{
	struct tail tail = { .items = json_array() };
	if (!request_filter(context, &tail.filter, err)) {
		json_decref(tail.items);
		return NULL;
	}
	bool good = true;
	if (!read_cursor(context, &tail.cursor)) {
		good = first_cursor(context, &tail, err);
	} else {
		struct filter filter = tail.filter;
		filter.limit = 0;
		good = reader_events(context->reader, &filter, tail.cursor.seq, TAIL_ROWS,
		                     add_event, &tail, err) &&
		       reader_attempts(context->reader, 0, tail.cursor.attempt, TAIL_ROWS,
		                       add_attempt, &tail, err) &&
		       (context->api->store == NULL || add_done(context, &tail, err));
	}
	filter_finish(&tail.filter);
	tail.items = sorted(tail.items);
	if (!good) {
		json_decref(tail.items);
		return NULL;
	}
	char cursor[96];
	(void)snprintf(cursor, sizeof(cursor), "%" PRId64 ".%" PRId64 ".%" PRId64, tail.cursor.seq,
	               tail.cursor.attempt, tail.cursor.done);
	return json_pack("{s:s, s:o, s:b}", "cursor", cursor, "items", tail.items, "more",
	                 tail.attempts == TAIL_ROWS ? 1 : 0);
}
