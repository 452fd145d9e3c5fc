/* Our own happenings as events of the source `hooklatch`, for handlers whose `on` names them in full. They are inserted in
 * the transaction of what they tell, so that none is lost, and a happening to one of them makes no other: nothing feeds
 * itself. */
#include <inttypes.h>
#include <stdlib.h>

#include "receiver/base/encoding.h"
#include "receiver/store/sqlite/writer_priv.h"

#define OWN_HANDLERS_MOST STORE_HANDLERS_MOST /* that want to know of one happening */

static void
member(struct buffer *out, const char *name, sqlite3_stmt *statement, int column)
{
	buffer_format(out, "%s\"%s\":", out->size == 0 ? "{" : ",", name);
	if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
		buffer_text(out, "null");
	} else if (sqlite3_column_type(statement, column) == SQLITE_INTEGER) {
		buffer_format(out, "%" PRId64, (int64_t)sqlite3_column_int64(statement, column));
	} else {
		const char *text = (const char *)sqlite3_column_text(statement, column);
		json_quote(out,
		           (struct span){ text, (size_t)sqlite3_column_bytes(statement, column) });
	}
}

/* What died, as JSON. *letter 0: an event of our own died. */
static bool
describe(struct store *store, struct delivery_key key, struct buffer *out, int64_t *letter,
         struct error *err)
{
	static const char *const names[] = { "id",       "source",   "event_id", "type",
		                             "handler",  "attempts", "reason",   "last_error",
		                             "sequence", "died_at" };
	sqlite3_stmt *statement = statement_bind(store, SQL_OWN_DEATH, "ii", key.seq, key.handler);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	*letter = 0;
	if (code == SQLITE_ROW) {
		*letter = sqlite3_column_int64(statement, 0);
		for (size_t i = 0; i < COUNT(names); i++) {
			member(out, names[i], statement, (int)i);
		}
		buffer_byte(out, '}');
	}
	statement_reset(statement);
	return true;
}

static bool
ON_THREAD(store_thread) insert(struct store *store, struct event *event,
                               const struct wanted *wanted, size_t count, struct error *err)
{
	struct span hash = { (const char *)&event->hash, sizeof(event->hash) };
	event->seq = store->next_seq;
	if (!statement_run(store,
	                   statement_bind(store, SQL_EVENT_INSERT, "issswsbb", event->seq,
	                                  event->source, event->id, event->type, event->received_ns,
	                                  event->headers, hash, event->body),
	                   NULL, err)) {
		return false;
	}
	store->next_seq++;
	for (size_t i = 0; i < count; i++) {
		if (!insert_delivery(store, event->seq, &wanted[i], event, true, err)) {
			return false;
		}
	}
	return true;
}

bool
own_death(struct store *store, struct delivery_key key, struct error *err)
{
	const struct store_listener *listener = &store->listener;
	if (!store->listening || listener->wants_own == NULL) {
		return true;
	}
	struct span type = SPAN("delivery.dead");
	struct wanted any;
	if (listener->wants_own(listener->context, type, (struct span){ 0 }, &any, 1) == 0) {
		return true;
	}
	struct buffer body;
	int64_t letter = 0;
	char id[48];
	buffer_init(&body, 1024 * 1024);
	bool told = describe(store, key, &body, &letter, err);
	if (!told || letter == 0) {
		buffer_finish(&body);
		return told;
	}
	(void)snprintf(id, sizeof(id), "delivery.dead/%" PRId64, letter);
	size_t size = body.size;
	struct event_parts parts = { .source = SPAN("hooklatch"),
		                     .id = span_of(id),
		                     .type = type,
		                     .body_block = buffer_steal(&body),
		                     .body_size = size,
		                     .headers = SPAN("[]"),
		                     .received_ns = store->batch.now_ns };
	struct event *event = event_create(&parts);
	struct wanted *wanted = memory_need(OWN_HANDLERS_MOST * sizeof(*wanted));
	size_t count = listener->wants_own(listener->context, type, event->body, wanted,
	                                   OWN_HANDLERS_MOST);
	bool good = count == 0 || insert(store, event, wanted, count, err);
	for (size_t i = 0; i < count; i++) {
		free(wanted[i].order_key);
	}
	free(wanted);
	event_release(event);
	return good;
}
