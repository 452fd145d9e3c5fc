#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"

static bool
add_dead(void *context, const struct dead_row *row)
{
	(void)json_array_append_new(context, json_of_dead(row, false));
	return true;
}

static bool
add_whole(void *context, const struct dead_row *row)
{
	(void)json_array_append_new(context, json_of_dead(row, true));
	return true;
}

json_t *
dead_list(struct call_context *context, struct error *err)
{
	struct filter filter;
	if (!request_filter(context, &filter, err)) {
		return NULL;
	}
	json_t *list = json_array();
	bool good =
		reader_dead(context->reader, &filter, NULL, 0, INT64_MAX,
	                    filter.limit == 0 ? API_LIST_LIMIT : filter.limit, add_dead, list, err);
	filter_finish(&filter);
	if (!good) {
		json_decref(list);
		return NULL;
	}
	return list;
}

struct attempts {
	json_t *list;
	struct span handler;
};

static bool
add_attempt_of(void *context, const struct attempt_row *row)
{
	struct attempts *attempts = context;
	if (span_equal(row->handler, attempts->handler)) {
		(void)json_array_append_new(attempts->list, json_of_attempt(row));
	}
	return true;
}

static json_t *
with_attempts(struct call_context *context, json_t *dead, struct error *err)
{
	struct attempts attempts = { json_array(), span_of_json(json_object_get(dead, "handler")) };
	(void)json_object_set_new(dead, "attempts_made", attempts.list);
	int64_t seq = json_integer_value(json_object_get(dead, "sequence"));
	return reader_attempts(context->reader, seq, 0, API_LIST_LIMIT, add_attempt_of, &attempts,
	                       err)
	               ? dead
	               : NULL;
}

/* One letter, or an array when the name stands for several. */
json_t *
dead_show(struct call_context *context, struct error *err)
{
	char *name = decode_segment(context->rest);
	json_t *body = json_pack("{s:[s]}", "ids", name);
	free(name);
	struct call_context inner = *context;
	inner.body = body;
	char *ids = NULL;
	struct other_ids others = { .absent = NULL };
	bool good = body != NULL && request_dead_ids(&inner, &ids, &others, err);
	if (good && others.skipped > 0) {
		good = error_set(err, ERROR_NOT_FOUND,
		                 "it is no dead letter: hooklatch events show tells how it stands");
	}
	json_decref(others.absent);
	json_decref(body);
	if (!good) {
		return NULL;
	}
	struct filter any;
	filter_init(&any);
	any.states = 1U << DELIVERY_DEAD | 1U << DELIVERY_DISCARDED;
	json_t *list = json_array();
	good = reader_dead(context->reader, &any, ids, 0, INT64_MAX, API_LIST_LIMIT, add_whole,
	                   list, err);
	free(ids);
	size_t index;
	json_t *dead;
	json_array_foreach(list, index, dead) {
		good = good && with_attempts(context, dead, err) != NULL;
	}
	if (!good) {
		json_decref(list);
		return NULL;
	}
	if (json_array_size(list) == 1) {
		json_t *only = json_incref(json_array_get(list, 0));
		json_decref(list);
		return only;
	}
	return list;
}

/* --- discard and restore --- */

struct page {
	struct delivery_key keys[API_CHANGE_KEYS];
	size_t count;
	int64_t last;
};

static bool
add_key(void *context, const struct dead_row *row)
{
	struct page *page = context;
	page->keys[page->count++] = row->key;
	page->last = row->id;
	return page->count < API_CHANGE_KEYS;
}

static json_t *
dry_run(struct call_context *context, const struct filter *filter, const char *ids,
        struct error *err)
{
	int64_t count = 0;
	json_t *first = json_array();
	if (!reader_dead_count(context->reader, filter, ids, &count, err) ||
	    !reader_dead(context->reader, filter, ids, 0, INT64_MAX, API_FIRST_ROWS, add_dead,
	                 first, err)) {
		json_decref(first);
		return NULL;
	}
	return json_pack("{s:b, s:I, s:o, s:o}", "dry_run", 1, "count", (json_int_t)count, "first",
	                 first, "options", json_of_options(filter));
}

/* Page by page, each in one transaction, until nothing is left of what was there at the beginning. */
static json_t *
move_all(struct call_context *context, enum change_kind kind, const struct filter *filter,
         const char *ids, struct error *err)
{
	struct buffer text;
	buffer_init(&text, 65536);
	filter_query(filter, &text);
	char *query = buffer_steal(&text);
	struct store_counts counts;
	int64_t changed = 0;
	int64_t after = 0;
	bool good = reader_counts(context->reader, &counts, err);
	while (good) {
		struct page page = { .count = 0 };
		good = reader_dead(context->reader, filter, ids, after, counts.last_dead,
		                   API_CHANGE_KEYS, add_key, &page, err);
		if (!good || page.count == 0) {
			break;
		}
		struct change change = { .kind = kind,
			                 .filter = query,
			                 .keys = page.keys,
			                 .key_count = page.count,
			                 .who = context->request->who,
			                 .reason = json_string_value(
						 json_object_get(context->body, "reason")) };
		good = store_change(context->api->store, &change, err);
		changed += good ? change.changed : 0;
		after = page.last;
	}
	free(query);
	return good ? json_pack("{s:I}", "changed", (json_int_t)changed) : NULL;
}

static json_t *
move(struct call_context *context, enum change_kind kind, enum delivery_state from,
     struct error *err)
{
	struct filter filter;
	char *ids = NULL;
	if (!request_filter(context, &filter, err)) {
		return NULL;
	}
	struct other_ids others = { .absent = NULL };
	json_t *answer = NULL;
	if (request_dead_ids(context, &ids, &others, err)) {
		filter.states = 1U << from;
		bool dry = json_is_true(json_object_get(context->body, "dry_run"));
		if (dry) {
			answer = dry_run(context, &filter, ids, err);
		} else if (context->api->store == NULL) {
			(void)error_set(err, ERROR_REFUSED, "nothing can be changed here");
		} else {
			answer = move_all(context, kind, &filter, ids, err);
		}
		(void)json_object_set_new(answer, "skipped", json_integer(others.skipped));
		(void)json_object_set(answer, "absent", others.absent);
	}
	json_decref(others.absent);
	free(ids);
	filter_finish(&filter);
	return answer;
}

json_t *
dead_discard(struct call_context *context, struct error *err)
{
	return move(context, CHANGE_DISCARD, DELIVERY_DEAD, err);
}

json_t *
dead_restore(struct call_context *context, struct error *err)
{
	return move(context, CHANGE_RESTORE, DELIVERY_DISCARDED, err);
}
