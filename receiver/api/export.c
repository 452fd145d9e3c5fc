/* Whole events, page by page, for another program: {"items", "cursor"}. An empty page is the end. */
#include <stdlib.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/encoding.h"

#define PAGE_EVENTS 500
#define PAGE_BYTES \
	(16 * 1024 * 1024) /* of bodies: the one that passes it is the last of its page */

struct page {
	json_t *items;
	int64_t cursor;
	size_t bytes;
};

static bool
add_event(void *context, const struct event_row *row)
{
	struct page *page = context;
	struct buffer base64;
	buffer_init(&base64, row->body.size * 2 + 16);
	base64_encode(&base64, (const unsigned char *)row->body.data, row->body.size);
	json_t *headers = json_loadb(row->headers.data, row->headers.size, JSON_ALLOW_NUL, NULL);
	json_t *body = row->body.data == NULL ? json_null()
	               : base64.data == NULL  ? json_string("")
	                                      : json_of_span(buffer_view(&base64));
	(void)json_array_append_new(page->items,
	                            json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:I}", "source",
	                                      json_of_span(row->source), "event_id",
	                                      json_of_span(row->id), "type",
	                                      json_of_span(row->type), "received_at",
	                                      json_of_span(row->received_at), "sequence",
	                                      (json_int_t)row->seq, "headers",
	                                      headers == NULL ? json_array() : headers, "body",
	                                      body, "cursor", (json_int_t)row->seq));
	buffer_finish(&base64);
	page->cursor = row->seq;
	page->bytes += row->body.size;
	return page->bytes < PAGE_BYTES;
}

json_t *
export_show(struct call_context *context, struct error *err)
{
	struct filter filter;
	int64_t after = 0;
	if (!query_number(context, "after", 0, INT64_MAX, &after, err) ||
	    !request_filter(context, &filter, err)) {
		return NULL;
	}
	struct page page = { json_array(), after, 0 };
	int64_t limit =
		filter.limit == 0 || filter.limit > PAGE_EVENTS ? PAGE_EVENTS : filter.limit;
	bool good =
		reader_export(context->reader, &filter, NULL, after, limit, add_event, &page, err);
	filter_finish(&filter);
	if (!good) {
		json_decref(page.items);
		return NULL;
	}
	return json_pack("{s:o, s:I}", "items", page.items, "cursor", (json_int_t)page.cursor);
}
