#include "receiver/verify/events.h"

#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/received.h"

static const char *const result_names[] = {
	[EVENTS_READ] = "read",           [EVENTS_BESIDE] = "beside",
	[EVENTS_MALFORMED] = "malformed", [EVENTS_TOO_MANY] = "too many",
	[EVENTS_STOPPED] = "stopped",
};

/* The events as text: "id type text" and a line feed for each. */
static bool
note(void *context, struct span id, struct span type, struct span text)
{
	struct buffer *out = context;
	buffer_text(out, id.data == NULL ? "*" : "");
	buffer_span(out, id);
	buffer_byte(out, ' ');
	buffer_span(out, type);
	buffer_byte(out, ' ');
	buffer_span(out, text);
	buffer_byte(out, '\n');
	return true;
}

struct row {
	struct span body;
	enum events_result result;
	struct span noted; /* before whatever ended it */
};

static void
reads(const struct scheme *scheme, struct fields fields, const struct row *row, bool several)
{
	struct buffer noted;
	struct verify_request request = { .fields = fields };
	struct events_reading reading = { .scheme = scheme,
		                          .request = &request,
		                          .body = edge_copy(0, row->body),
		                          .context = &noted,
		                          .event = note };
	buffer_init(&noted, 1 << 20);
	enum events_result result = events_read(&reading);
	CHECK_ROW(result == row->result, "%s: %s (%s)", check_quote(row->body),
	          result_names[result], reading.wrong == NULL ? "" : reading.wrong);
	CHECK_ROW(span_equal(buffer_view(&noted), row->noted), "%s: %s", check_quote(row->body),
	          check_quote(buffer_view(&noted)));
	CHECK_ROW(reading.several == several, "%s", check_quote(row->body));
	CHECK_ROW((reading.wrong != NULL) ==
	                  (result == EVENTS_MALFORMED || result == EVENTS_TOO_MANY),
	          "%s", check_quote(row->body));
	buffer_finish(&noted);
}

static void
read_rows(const struct scheme *scheme, struct fields fields, const struct row *rows, size_t count,
          bool several)
{
	for (size_t i = 0; i < count; i++) {
		reads(scheme, fields, &rows[i], several);
	}
}

static void
an_array_at_the_root_is_split(void)
{
	static const struct row rows[] = {
		{ TEXT("[{\"id\":\"a\",\"eventType\":\"t\"}]"), EVENTS_READ,
		  TEXT("a t {\"id\":\"a\",\"eventType\":\"t\"}\n") },
		{ TEXT(" [ {\"id\": \"a\" } ,\n{\"id\":\"b\",\"eventType\":\"u v\"}\t] "),
		  EVENTS_READ,
		  TEXT("a  {\"id\": \"a\" }\nb u v {\"id\":\"b\",\"eventType\":\"u v\"}\n") },
		{ TEXT("[{\"id\":\"a\"},{\"id\":\"a\"}]"), EVENTS_READ,
		  TEXT("a  {\"id\":\"a\"}\na  {\"id\":\"a\"}\n") },
		{ TEXT("[]"), EVENTS_READ, TEXT("") },
		{ TEXT("[ \n ]"), EVENTS_READ, TEXT("") },
		/* one without an id spoils all */
		{ TEXT("[{\"id\":\"a\"},{}]"), EVENTS_MALFORMED, TEXT("a  {\"id\":\"a\"}\n") },
		{ TEXT("[{\"id\":null}]"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("[1]"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("[[]]"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("[{\"id\":\"a\"},null]"), EVENTS_MALFORMED, TEXT("a  {\"id\":\"a\"}\n") },
		/* no array */
		{ TEXT("{\"id\":\"a\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("\"[]\""), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("null"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT(""), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("["), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("[{\"id\":\"a\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("[{\"id\":\"a\"},]"), EVENTS_MALFORMED, TEXT("a  {\"id\":\"a\"}\n") },
		{ TEXT("[{\"id\":\"a\"} {\"id\":\"b\"}]"), EVENTS_MALFORMED,
		  TEXT("a  {\"id\":\"a\"}\n") },
		{ TEXT("[,{\"id\":\"a\"}]"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("no json"), EVENTS_MALFORMED, TEXT("") },
	};
	read_rows(&preset_find("azure-event-grid")->scheme, (struct fields){ 0 }, rows, COUNT(rows),
	          true);
}

static void
a_nested_array_is_split(void)
{
	static const struct row rows[] = {
		{ TEXT("{\"data\":{\"events\":[{\"uuid\":\"a\",\"eventType\":\"t\"},{\"uuid\":\"b\"}]}}"),
		  EVENTS_READ,
		  TEXT("a t {\"uuid\":\"a\",\"eventType\":\"t\"}\nb  {\"uuid\":\"b\"}\n") },
		{ TEXT("{\"data\":{\"events\":[]}}"), EVENTS_READ, TEXT("") },
		{ TEXT("{\"data\":{\"events\":[{\"id\":\"a\"}]}}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"data\":{\"events\":{}}}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"data\":{}}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"events\":[{\"uuid\":\"a\"}]}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("[{\"uuid\":\"a\"}]"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"data\":{\"events\":null,\"events\":[{\"uuid\":\"a\"}]}}"),
		  EVENTS_MALFORMED, TEXT("") }, /* the first counts */
	};
	read_rows(&preset_find("okta")->scheme, (struct fields){ 0 }, rows, COUNT(rows), true);
}

/* HubSpot, Postmark: above 2^53 they must survive. */
static void
numbers_as_ids_keep_their_digits(void)
{
	static const struct row array[] = {
		{ TEXT("[{\"subscriptionId\":9007199254740993,\"eventId\":18446744073709551617,"
		       "\"objectId\":-1,\"occurredAt\":1.50}]"),
		  EVENTS_READ,
		  TEXT("9007199254740993:18446744073709551617:-1:1.50  "
		       "{\"subscriptionId\":9007199254740993,\"eventId\":18446744073709551617,"
		       "\"objectId\":-1,\"occurredAt\":1.50}\n") },
		{ TEXT("[{\"eventId\":1}]"), EVENTS_READ, TEXT(":1::  {\"eventId\":1}\n") },
		{ TEXT("[{\"eventId\":01}]"), EVENTS_MALFORMED, TEXT("") },
	};
	static const struct row one[] = {
		{ TEXT("{\"RecordType\":\"Bounce\",\"ID\":123456789012345678901234567890}"),
		  EVENTS_READ,
		  TEXT("Bounce::123456789012345678901234567890::::: Bounce "
		       "{\"RecordType\":\"Bounce\",\"ID\":123456789012345678901234567890}\n") },
	};
	read_rows(&preset_find("hubspot")->scheme, (struct fields){ 0 }, array, COUNT(array), true);
	read_rows(&preset_find("postmark")->scheme, (struct fields){ 0 }, one, COUNT(one), false);
}

static void
an_id_is_a_short_plain_text(void)
{
	static const struct row rows[] = {
		{ TEXT("{\"id\":\"a b/c:d\",\"type\":\"x\"}"), EVENTS_READ,
		  TEXT("a b/c:d x {\"id\":\"a b/c:d\",\"type\":\"x\"}\n") },
		{ TEXT("{\"id\":\"\\u00e9\\ud83e\\udd8a\"}"), EVENTS_READ,
		  TEXT("\xc3\xa9\xf0\x9f\xa6\x8a  {\"id\":\"\\u00e9\\ud83e\\udd8a\"}\n") },
		{ TEXT("{\"id\":\"\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":\"a\\nb\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":\"a\\u0000\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":\"\\u007f\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":\"\\u0085\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":\"\\ud800\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":\"\xff\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":true}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\":{\"id\":\"a\"}}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"ID\":\"a\"}"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("{\"id\": broken"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT("[]"), EVENTS_MALFORMED, TEXT("") },
		{ TEXT(""), EVENTS_MALFORMED, TEXT("") },
		/* a type that is none is empty */
		{ TEXT("{\"id\":1,\"type\":null}"), EVENTS_READ,
		  TEXT("1  {\"id\":1,\"type\":null}\n") },
		{ TEXT("{\"id\":1,\"type\":\"a\\tb\"}"), EVENTS_READ,
		  TEXT("1  {\"id\":1,\"type\":\"a\\tb\"}\n") },
		{ TEXT("{\"id\":1,\"type\":\"\\udc00\"}"), EVENTS_READ,
		  TEXT("1  {\"id\":1,\"type\":\"\\udc00\"}\n") },
		{ TEXT("{\"id\":1,\"type\":7}"), EVENTS_READ, TEXT("1 7 {\"id\":1,\"type\":7}\n") },
		/* odd elsewhere */
		{ TEXT("{\"id\":1,\"type\":\"x\"} trailing"), EVENTS_READ,
		  TEXT("1 x {\"id\":1,\"type\":\"x\"} trailing\n") },
	};
	read_rows(&preset_find("mollie")->scheme, (struct fields){ 0 }, rows, COUNT(rows), false);
}

static void
names_have_at_most_512_bytes(void)
{
	static const struct {
		size_t id;
		size_t type;
		enum events_result result;
		size_t type_read;
	} rows[] = { { EVENTS_NAME_MOST_BYTES, 1, EVENTS_READ, 1 },
		     { EVENTS_NAME_MOST_BYTES + 1, 1, EVENTS_MALFORMED, 0 },
		     { 9000, 1, EVENTS_MALFORMED, 0 },
		     { 1, EVENTS_NAME_MOST_BYTES, EVENTS_READ, EVENTS_NAME_MOST_BYTES },
		     { 1, EVENTS_NAME_MOST_BYTES + 1, EVENTS_READ, 0 },
		     { 1, 9000, EVENTS_READ, 0 } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer body;
		struct received received = { .word = NULL };
		struct verify_request request = { .method = SPAN("POST") };
		buffer_init(&body, 65536);
		buffer_text(&body, "{\"id\":\"");
		for (size_t j = 0; j < rows[i].id; j++) {
			buffer_byte(&body, 'i');
		}
		buffer_text(&body, "\",\"type\":\"");
		for (size_t j = 0; j < rows[i].type; j++) {
			buffer_byte(&body, 't');
		}
		buffer_text(&body, "\"}");
		struct events_reading reading = { .scheme = &preset_find("mollie")->scheme,
			                          .request = &request,
			                          .body = buffer_view(&body),
			                          .context = &received,
			                          .event = received_event };
		CHECK_ROW(events_read(&reading) == rows[i].result, "row %zu", i);
		CHECK_ROW(received.count == (rows[i].result == EVENTS_READ ? 1 : 0), "row %zu", i);
		CHECK_ROW(received.events[0].id.size ==
		                          (rows[i].result == EVENTS_READ ? rows[i].id : 0) &&
		                  received.events[0].type.size == rows[i].type_read,
		          "row %zu", i);
		received_finish(&received);
		buffer_finish(&body);
	}
}

static void
an_id_in_a_header_stands_there_once(void)
{
	static const struct field items[] = { { TEXT("X-GitHub-Event"), TEXT("push") },
		                              { TEXT("x-github-delivery"), TEXT("d1") },
		                              { TEXT("X-GitHub-Delivery"), TEXT("d1") },
		                              { TEXT("X-GitHub-Event"), TEXT("push") } };
	static const struct {
		size_t from;
		size_t count;
		struct row row;
	} rows[] = {
		{ 0, 2, { TEXT("no json"), EVENTS_READ, TEXT("d1 push no json\n") } },
		{ 0, 2, { TEXT(""), EVENTS_READ, TEXT("d1 push \n") } },
		{ 1, 1, { TEXT("{}"), EVENTS_READ, TEXT("d1  {}\n") } },
		{ 0, 3, { TEXT("{}"), EVENTS_MALFORMED, TEXT("") } },
		{ 0, 1, { TEXT("{}"), EVENTS_MALFORMED, TEXT("") } },
		{ 0, 0, { TEXT("{}"), EVENTS_MALFORMED, TEXT("") } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fields fields = { items + rows[i].from, rows[i].count };
		reads(&preset_find("github")->scheme, fields, &rows[i].row, false);
	}
	struct row twice = { SPAN("{}"), EVENTS_READ, SPAN("d1  {}\n") };
	struct field types[] = { items[0], items[1], items[3] };
	reads(&preset_find("github")->scheme, (struct fields){ types, 3 }, &twice, false);
}

static void
an_id_that_the_receiver_makes_has_no_bytes(void)
{
	static const struct row dropbox[] = {
		{ TEXT("{\"id\":\"a\"}"), EVENTS_READ, TEXT("* list_folder {\"id\":\"a\"}\n") },
		{ TEXT("no json"), EVENTS_READ, TEXT("* list_folder no json\n") },
		{ TEXT(""), EVENTS_READ, TEXT("* list_folder \n") },
	};
	static const struct row plaid[] = {
		{ TEXT("{\"webhook_type\":\"ITEM\",\"webhook_code\":\"ERROR\"}"), EVENTS_READ,
		  TEXT("* ITEM:ERROR {\"webhook_type\":\"ITEM\",\"webhook_code\":\"ERROR\"}\n") },
		{ TEXT("{\"webhook_code\":\"ERROR\"}"), EVENTS_READ,
		  TEXT("* :ERROR {\"webhook_code\":\"ERROR\"}\n") },
		{ TEXT("{}"), EVENTS_READ, TEXT("*  {}\n") },
	};
	read_rows(&preset_find("dropbox")->scheme, (struct fields){ 0 }, dropbox, COUNT(dropbox),
	          false);
	read_rows(&preset_find("plaid")->scheme, (struct fields){ 0 }, plaid, COUNT(plaid), false);
}

/* https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md section 3 */
static void
cloudevents_come_in_three_modes(void)
{
	static const struct {
		struct span content_type;
		bool several;
		struct row row;
	} rows[] = {
		{ TEXT("application/json"),
		  false,
		  { TEXT("{\"source\":\"/x\",\"id\":\"9\",\"type\":\"no\"}"), EVENTS_READ,
		    TEXT("/s:1 com.t {\"source\":\"/x\",\"id\":\"9\",\"type\":\"no\"}\n") } },
		{ TEXT("text/plain"),
		  false,
		  { TEXT("anything"), EVENTS_READ, TEXT("/s:1 com.t anything\n") } },
		{ TEXT("application/cloudevents+json; charset=UTF-8"),
		  false,
		  { TEXT("{\"source\":\"/x\",\"id\":\"9\",\"type\":\"u\"}"), EVENTS_READ,
		    TEXT("/x:9 u {\"source\":\"/x\",\"id\":\"9\",\"type\":\"u\"}\n") } },
		{ TEXT("Application/CloudEvents+JSON"),
		  false,
		  { TEXT("{\"type\":\"u\"}"), EVENTS_MALFORMED, TEXT("") } },
		{ TEXT("application/cloudevents+json"),
		  false,
		  { TEXT("[{\"source\":\"/x\",\"id\":\"9\"}]"), EVENTS_MALFORMED, TEXT("") } },
		{ TEXT("application/cloudevents-batch+json"),
		  true,
		  { TEXT("[{\"source\":\"/x\",\"id\":\"9\",\"type\":\"u\"},{\"source\":\"/y\",\"id\":7}]"),
		    EVENTS_READ,
		    TEXT("/x:9 u {\"source\":\"/x\",\"id\":\"9\",\"type\":\"u\"}\n"
		         "/y:7  {\"source\":\"/y\",\"id\":7}\n") } },
		{ TEXT("application/cloudevents-batch+json"),
		  true,
		  { TEXT("[]"), EVENTS_READ, TEXT("") } },
		{ TEXT("application/cloudevents-batch+json"),
		  true,
		  { TEXT("{\"source\":\"/x\",\"id\":\"9\"}"), EVENTS_MALFORMED, TEXT("") } },
		{ TEXT("application/cloudevents-batch+json"),
		  true,
		  { TEXT("[{\"source\":\"/x\",\"id\":\"9\"},{}]"), EVENTS_MALFORMED,
		    TEXT("/x:9  {\"source\":\"/x\",\"id\":\"9\"}\n") } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct field items[] = { { SPAN("ce-source"), SPAN("/s") },
			                 { SPAN("Ce-Id"), SPAN("1") },
			                 { SPAN("ce-type"), SPAN("com.t") },
			                 { SPAN("content-type"), rows[i].content_type } };
		reads(&preset_find("cloudevents")->scheme, (struct fields){ items, COUNT(items) },
		      &rows[i].row, rows[i].several);
	}
}

/* What Slack sends beside events has no id: it is no fault. */
static void
what_comes_beside_events_is_told_apart(void)
{
	static const struct {
		struct span content_type;
		struct row row;
	} rows[] = {
		{ TEXT("application/json"),
		  { TEXT("{\"type\":\"app_rate_limited\",\"team_id\":\"T1\"}"), EVENTS_BESIDE,
		    TEXT("") } },
		{ TEXT("application/x-www-form-urlencoded"),
		  { TEXT("command=%2Fx&text=y"), EVENTS_BESIDE, TEXT("") } },
		{ TEXT("application/x-www-form-urlencoded; charset=utf-8"),
		  { TEXT("payload=%7B%7D"), EVENTS_BESIDE, TEXT("") } },
		{ TEXT("application/json"),
		  { TEXT("{\"type\":\"event_callback\",\"event_id\":\"E1\",\"event\":{\"type\":\"message\"}}"),
		    EVENTS_READ,
		    TEXT("E1 message {\"type\":\"event_callback\",\"event_id\":\"E1\",\"event\":{\"type\":"
		         "\"message\"}}\n") } },
		{ TEXT("application/json"),
		  { TEXT("{\"type\":\"app_rate_limited2\"}"), EVENTS_MALFORMED, TEXT("") } },
		{ TEXT("application/json"),
		  { TEXT("{\"a\":{\"type\":\"app_rate_limited\"}}"), EVENTS_MALFORMED, TEXT("") } },
		{ TEXT("text/plain"), { TEXT("command=%2Fx"), EVENTS_MALFORMED, TEXT("") } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct field item = { SPAN("Content-Type"), rows[i].content_type };
		reads(&preset_find("slack")->scheme, (struct fields){ &item, 1 }, &rows[i].row,
		      false);
	}
}

static bool
stop_at_third(void *context, struct span id, struct span type, struct span text)
{
	(void)id;
	(void)type;
	(void)text;
	return ++*(size_t *)context < 3;
}

static bool
count_event(void *context, struct span id, struct span type, struct span text)
{
	(void)id;
	(void)type;
	(void)text;
	++*(size_t *)context;
	return true;
}

static void
ten_thousand_are_taken_and_no_more(void)
{
	static const struct {
		size_t events;
		enum events_result result;
	} rows[] = { { EVENTS_MOST - 1, EVENTS_READ },
		     { EVENTS_MOST, EVENTS_READ },
		     { EVENTS_MOST + 1, EVENTS_TOO_MANY },
		     { EVENTS_MOST + 5000, EVENTS_TOO_MANY } };
	struct verify_request request = { .method = SPAN("POST") };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer body;
		size_t seen = 0;
		buffer_init(&body, 1 << 20);
		for (size_t j = 0; j < rows[i].events; j++) {
			buffer_format(&body, "%c{\"id\":%zu}", j == 0 ? '[' : ',', j);
		}
		buffer_byte(&body, ']');
		struct events_reading reading = {
			.scheme = &preset_find("azure-event-grid")->scheme,
			.request = &request,
			.body = buffer_view(&body),
			.context = &seen,
			.event = count_event,
		};
		enum events_result result = events_read(&reading);
		CHECK_ROW(result == rows[i].result, "%zu: %s", rows[i].events,
		          result_names[result]);
		CHECK_ROW(seen == (rows[i].events < EVENTS_MOST ? rows[i].events : EVENTS_MOST),
		          "%zu: %zu", rows[i].events, seen);
		CHECK_ROW((reading.wrong != NULL) == (result == EVENTS_TOO_MANY), "%zu",
		          rows[i].events);
		seen = 0;
		reading.event = stop_at_third;
		CHECK(events_read(&reading) == EVENTS_STOPPED && seen == 3);
		buffer_finish(&body);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "an array at the root is split", an_array_at_the_root_is_split },
		{ "a nested array is split", a_nested_array_is_split },
		{ "numbers as ids keep their digits", numbers_as_ids_keep_their_digits },
		{ "an id is a short plain text", an_id_is_a_short_plain_text },
		{ "names have at most 512 bytes", names_have_at_most_512_bytes },
		{ "an id in a header stands there once", an_id_in_a_header_stands_there_once },
		{ "an id that the receiver makes has no bytes",
		  an_id_that_the_receiver_makes_has_no_bytes },
		{ "CloudEvents come in three modes", cloudevents_come_in_three_modes },
		{ "what comes beside events is told apart",
		  what_comes_beside_events_is_told_apart },
		{ "ten thousand are taken and no more", ten_thousand_are_taken_and_no_more },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
