/* What an operator ends for good: pending deliveries (discard), and what the store knows of a person (erase). Each change is
 * made page by page, a transaction each; nothing that came after the call began is touched. */
#include <stdlib.h>

#include "receiver/api/api_priv.h"

struct page {
	struct delivery_key keys[API_CHANGE_KEYS];
	size_t count;
};

static bool
add_delivery(void *context, const struct named_delivery *row)
{
	struct page *page = context;
	page->keys[page->count++] = row->key;
	return page->count < API_CHANGE_KEYS;
}

static bool
add_event(void *context, const struct event_row *row)
{
	struct page *page = context;
	page->keys[page->count++] = (struct delivery_key){ row->seq, 0 };
	return page->count < API_CHANGE_KEYS;
}

struct ending {
	enum change_kind kind;
	struct filter filter;
	char *ids;
	int64_t last_seq;
};

static bool
next_page(struct call_context *context, const struct ending *ending, struct delivery_key after,
          struct page *page, struct error *err)
{
	page->count = 0;
	return ending->kind == CHANGE_END
	               ? reader_named_deliveries(context->reader, &ending->filter, ending->ids,
	                                         after, API_CHANGE_KEYS, add_delivery, page, err)
	               : reader_export(context->reader, &ending->filter, ending->ids, after.seq,
	                               API_CHANGE_KEYS, add_event, page, err);
}

/* Forgets what came later. */
static void
cut_page(const struct ending *ending, struct page *page)
{
	while (page->count > 0 && page->keys[page->count - 1].seq > ending->last_seq) {
		page->count--;
	}
}

static json_t *
count_all(struct call_context *context, const struct ending *ending, struct error *err)
{
	int64_t count = 0;
	struct delivery_key after = { 0, 0 };
	struct page page;
	do {
		if (!next_page(context, ending, after, &page, err)) {
			return NULL;
		}
		cut_page(ending, &page);
		count += (int64_t)page.count;
		after = page.count > 0 ? page.keys[page.count - 1] : after;
	} while (page.count > 0);
	return json_pack("{s:b, s:I, s:o}", "dry_run", 1, "count", (json_int_t)count, "options",
	                 json_of_options(&ending->filter));
}

static json_t *
change_all(struct call_context *context, const struct ending *ending, struct error *err)
{
	struct buffer text;
	buffer_init(&text, 65536);
	filter_query(&ending->filter, &text);
	char *query = buffer_steal(&text);
	int64_t changed = 0;
	int64_t looked = 0;
	struct delivery_key after = { 0, 0 };
	struct page page;
	bool good;
	do {
		good = next_page(context, ending, after, &page, err);
		cut_page(ending, &page);
		if (!good || page.count == 0) {
			break;
		}
		struct change change = { .kind = ending->kind,
			                 .filter = query,
			                 .keys = page.keys,
			                 .key_count = page.count,
			                 .who = context->request->who,
			                 .reason = json_string_value(
						 json_object_get(context->body, "reason")) };
		good = store_change(context->api->store, &change, err);
		changed += good ? change.changed : 0;
		looked += (int64_t)page.count;
		after = page.keys[page.count - 1];
	} while (good);
	free(query);
	return good ? json_pack("{s:I, s:I}", "changed", (json_int_t)changed, "skipped",
	                        (json_int_t)(looked - changed))
	            : NULL;
}

static json_t *
end(struct call_context *context, enum change_kind kind, struct error *err)
{
	struct ending ending = { .kind = kind };
	struct store_counts counts;
	json_t *answer = NULL;
	if (!request_filter(context, &ending.filter, err)) {
		return NULL;
	}
	if (request_event_ids(context, &ending.ids, err) &&
	    reader_counts(context->reader, &counts, err)) {
		ending.last_seq = counts.last_seq;
		if (kind == CHANGE_END) {
			ending.filter.states = 1U << DELIVERY_PENDING;
		}
		if (json_is_true(json_object_get(context->body, "dry_run"))) {
			answer = count_all(context, &ending, err);
		} else if (context->api->store == NULL) {
			(void)error_set(err, ERROR_REFUSED, "nothing can be changed here");
		} else {
			answer = change_all(context, &ending, err);
		}
	}
	free(ending.ids);
	filter_finish(&ending.filter);
	return answer;
}

json_t *
events_discard(struct call_context *context, struct error *err)
{
	return end(context, CHANGE_END, err);
}

json_t *
events_erase(struct call_context *context, struct error *err)
{
	return end(context, CHANGE_ERASE, err);
}
