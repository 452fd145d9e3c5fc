#include "receiver/model/event.h"

#include <string.h>

#include "receiver/model/result.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static void
an_id_is_utf8_without_control_characters(void)
{
	static const struct {
		struct span id;
		bool valid;
	} rows[] = {
		{ TEXT("evt_1"), true },         { TEXT(" "), true },
		{ TEXT("a/b:c d"), true },       { TEXT("Grüße 🦊"), true },
		{ TEXT("\xc2\xa0"), true }, /* U+00A0, the first behind the C1 controls */
		{ TEXT("\xc3\x80"), true },      { TEXT(""), false },
		{ TEXT("a\0"), false },          { TEXT("a\nb"), false },
		{ TEXT("\x1f"), false },         { TEXT("\x7f"), false },
		{ TEXT("\xc2\x80"), false },     { TEXT("a\xc2\x9f"), false },
		{ TEXT("\xff"), false },         { TEXT("a\xc3"), false },
		{ TEXT("\xed\xa0\x80"), false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(event_id_valid(edge_copy(0, rows[i].id)) == rows[i].valid, "%s",
		          check_quote(rows[i].id));
	}
	char text[EVENT_ID_MOST_BYTES + 1];
	memset(text, 'x', sizeof(text));
	CHECK(event_id_valid((struct span){ text, EVENT_ID_MOST_BYTES }));
	CHECK(!event_id_valid((struct span){ text, EVENT_ID_MOST_BYTES + 1 }));
}

static void
an_event_holds_what_it_was_made_of(void)
{
	char *body = span_copy(SPAN("\0body"));
	struct event_parts parts = { .source = SPAN("github"),
		                     .id = SPAN("1"),
		                     .type = { 0 },
		                     .headers = SPAN("[]"),
		                     .body_block = body,
		                     .body_size = 5,
		                     .received_ns = 7 };
	struct event *event = event_create(&parts);
	CHECK(span_equal(event->source, SPAN("github")) && event->source.data[6] == '\0');
	CHECK(span_equal(event->id, SPAN("1")) && event->id.data[1] == '\0');
	CHECK(event->type.size == 0 && event->type.data[0] == '\0');
	CHECK(span_equal(event->body, SPAN("\0body")) && event->body.data == body);
	CHECK(span_equal(event->headers, SPAN("[]")) && event->headers.data[2] == '\0');
	CHECK(event->received_ns == 7 && event->seq == 0);
	CHECK(event_hash_equal(event->hash, event_hash_of(SPAN("\0body"))));
	CHECK(event_share(event) == event);
	event_release(event);
	CHECK(span_equal(event->id, SPAN("1"))); /* one reference is left */
	event_release(event);
	event_release(NULL);
}

static void
bodies_that_differ_have_other_hashes(void)
{
	struct event_hash nothing = event_hash_of((struct span){ 0 });
	CHECK(event_hash_equal(nothing, event_hash_of(SPAN(""))));
	char body[64] = { 0 };
	struct event_hash whole = event_hash_of((struct span){ body, sizeof(body) });
	for (size_t bit = 0; bit < sizeof(body) * 8; bit++) {
		body[bit / 8] = (char)(body[bit / 8] ^ 1 << bit % 8);
		CHECK(!event_hash_equal(whole, event_hash_of((struct span){ body, sizeof(body) })));
		body[bit / 8] = (char)(body[bit / 8] ^ 1 << bit % 8);
	}
	CHECK(!event_hash_equal(whole, event_hash_of((struct span){ body, sizeof(body) - 1 })));
}

/* PRODUCT section 4, the table. */
static void
words_and_statuses_are_those_of_the_product(void)
{
	static const struct {
		enum result result;
		int status;
		const char *word;
	} rows[] = {
		{ RESULT_ACCEPTED, 200, "accepted" },
		{ RESULT_DUPLICATE, 200, "duplicate" },
		{ RESULT_REVIVED, 200, "revived" },
		{ RESULT_IGNORED, 200, "ignored" },
		{ RESULT_MALFORMED, 400, "malformed" },
		{ RESULT_SIGNATURE_MISSING, 401, "signature_missing" },
		{ RESULT_SIGNATURE_MALFORMED, 401, "signature_malformed" },
		{ RESULT_SIGNATURE_MISMATCH, 401, "signature_mismatch" },
		{ RESULT_TIMESTAMP_MISSING, 401, "timestamp_missing" },
		{ RESULT_TIMESTAMP_TOO_OLD, 401, "timestamp_too_old" },
		{ RESULT_TIMESTAMP_IN_FUTURE, 401, "timestamp_in_future" },
		{ RESULT_ADDRESS_REFUSED, 403, "address_refused" },
		{ RESULT_NOT_FOUND, 404, "not_found" },
		{ RESULT_METHOD, 405, "method" },
		{ RESULT_TIMEOUT, 408, "timeout" },
		{ RESULT_BODY_TOO_LARGE, 413, "body_too_large" },
		{ RESULT_CONTENT_TYPE, 415, "content_type" },
		{ RESULT_HEADERS_TOO_LARGE, 431, "headers_too_large" },
		{ RESULT_STORE_UNAVAILABLE, 503, "store_unavailable" },
		{ RESULT_OVERLOADED, 503, "overloaded" },
		{ RESULT_KEY_UNAVAILABLE, 503, "key_unavailable" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct result_row *row = result_row(rows[i].result);
		CHECK_ROW(strcmp(row->word, rows[i].word) == 0 && row->status == rows[i].status &&
		                  row->text[0] != '\0',
		          "%s: %s, %d", rows[i].word, row->word, row->status);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "an id is UTF-8 without control characters",
		  an_id_is_utf8_without_control_characters },
		{ "an event holds what it was made of", an_event_holds_what_it_was_made_of },
		{ "bodies that differ have other hashes", bodies_that_differ_have_other_hashes },
		{ "words and statuses are those of the product",
		  words_and_statuses_are_those_of_the_product },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
