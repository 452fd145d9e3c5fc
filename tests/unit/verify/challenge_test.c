#include "receiver/verify/challenge.h"

#include <string.h>

#include <openssl/hmac.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/mac.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

#define REPLY_MOST_BYTES 16384
#define FIELDS_MOST      2

static const char *const result_names[] = {
	[CHALLENGE_ANSWERED] = "answered",
	[CHALLENGE_PROOF_MISSING] = "proof missing",
	[CHALLENGE_PROOF_WRONG] = "proof wrong",
	[CHALLENGE_UNREADABLE] = "unreadable",
};

struct answer {
	enum challenge_result result;
	struct buffer reply;
	struct buffer fields;
};

static void
ask(const struct challenge *row, const struct verify_request *request, struct span body,
    const char *secret_text, const char *verify_token, struct answer *answer)
{
	struct secrets secrets = { .count = 0 };
	struct error err;
	if (secret_text != NULL) {
		ALWAYS(secrets_add(&secrets, SCHEME_KEY_RAW, span_of(secret_text), 0, &err),
		       "challenge-secret");
	}
	buffer_init(&answer->reply, REPLY_MOST_BYTES);
	buffer_init(&answer->fields, REPLY_MOST_BYTES);
	answer->result =
		challenge_answer(row, request, body, secret_text == NULL ? NULL : &secrets.items[0],
	                         span_of(verify_token), &answer->reply, &answer->fields);
	secrets_finish(&secrets);
}

static void
answer_finish(struct answer *answer)
{
	buffer_finish(&answer->reply);
	buffer_finish(&answer->fields);
}

/* By OpenSSL's old function, not by the room. */
static void
hmac(const char *key, struct span text, bool hex, struct buffer *out)
{
	unsigned char made[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	(void)HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text.data, text.size,
	           made, &size);
	if (hex) {
		hex_encode(out, made, size);
	} else {
		base64_encode(out, made, size);
	}
}

/* --- every row --- */

static const struct {
	const char *name;
	const char *method;
	struct span query;
	struct field fields[FIELDS_MOST];
	struct span body;
	const char *reply; /* %h, %b: the HMAC of "abc123" in hex, in base64 */
	const char *fields_reply;
} good[] = {
	{ "slack",
	  "POST",
	  TEXT(""),
	  { { TEXT(""), TEXT("") } },
	  TEXT("{\"challenge\":\"a<b>&\\\"\\u00e9\\n\",\"type\":\"url_verification\"}"),
	  "a<b>&\"\xc3\xa9\n",
	  "X-Content-Type-Options: nosniff\r\n" },
	{ "slack",
	  "POST",
	  TEXT(""),
	  { { TEXT(""), TEXT("") } },
	  TEXT("{\"type\":\"url_verification\",\"challenge\":12345678901234567890}"),
	  "12345678901234567890",
	  "X-Content-Type-Options: nosniff\r\n" },
	{ "zoom",
	  "POST",
	  TEXT(""),
	  { { TEXT(""), TEXT("") } },
	  TEXT("{\"event\":\"endpoint.url_validation\",\"payload\":{\"plainToken\":\"abc123\"}}"),
	  "{\"plainToken\":\"abc123\",\"encryptedToken\":\"%h\"}",
	  "" },
	{ "discord-events",
	  "POST",
	  TEXT(""),
	  { { TEXT(""), TEXT("") } },
	  TEXT("{\"version\":1,\"type\":0}"),
	  "",
	  "" },
	{ "discord-interactions",
	  "POST",
	  TEXT(""),
	  { { TEXT(""), TEXT("") } },
	  TEXT("{\"type\":1,\"id\":\"1\"}"),
	  "{\"type\":1}",
	  "" },
	{ "meta",
	  "GET",
	  TEXT("hub.mode=subscribe&hub.challenge=1+%3Cb%3E&hub.verify_token=our%20word"),
	  { { TEXT(""), TEXT("") } },
	  TEXT(""),
	  "1 <b>",
	  "X-Content-Type-Options: nosniff\r\n" },
	{ "x",
	  "GET",
	  TEXT("nonce=z&crc_token=abc123"),
	  { { TEXT(""), TEXT("") } },
	  TEXT(""),
	  "{\"response_token\":\"sha256=%b\"}",
	  "" },
	{ "echo",
	  "GET",
	  TEXT("challenge=%3Cscript%3E+x"),
	  { { TEXT(""), TEXT("") } },
	  TEXT(""),
	  "<script> x",
	  "X-Content-Type-Options: nosniff\r\n" },
	{ "okta",
	  "GET",
	  TEXT(""),
	  { { TEXT("x-okta-verification-challenge"), TEXT("a\"b\\c/\xc3\xa9") } },
	  TEXT(""),
	  "{\"verification\":\"a\\\"b\\\\c/\xc3\xa9\"}",
	  "" },
	{ "event-grid",
	  "POST",
	  TEXT(""),
	  { { TEXT("aeg-event-type"), TEXT("SubscriptionValidation") } },
	  TEXT("[{\"id\":\"1\",\"data\":{\"validationCode\":\"A-1\\\"\"}}]"),
	  "{\"validationResponse\":\"A-1\\\"\"}",
	  "" },
	{ "cloudevents",
	  "OPTIONS",
	  TEXT(""),
	  { { TEXT("WebHook-Request-Origin"), TEXT("eventemitter.example.com") } },
	  TEXT(""),
	  "",
	  "Allow: POST\r\nWebHook-Allowed-Origin: eventemitter.example.com\r\n"
	  "WebHook-Allowed-Rate: *\r\n" },
	{ "aws-sns",
	  "POST",
	  TEXT(""),
	  { { TEXT(""), TEXT("") } },
	  TEXT("{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://sns/\"}"),
	  "",
	  "" },
	{ "line",
	  "POST",
	  TEXT(""),
	  { { TEXT(""), TEXT("") } },
	  TEXT("{\"destination\":\"U1\",\"events\":[ ]}"),
	  "",
	  "" },
	{ "intercom", "HEAD", TEXT(""), { { TEXT(""), TEXT("") } }, TEXT(""), "", "" },
};

static struct verify_request
request_of(size_t i)
{
	return (struct verify_request){ .method = span_of(good[i].method),
		                        .query = good[i].query,
		                        .fields = { good[i].fields,
		                                    good[i].fields[0].name.size > 0 ? 1 : 0 } };
}

/* The reply with %h and %b filled in. */
static void
write_wanted(const char *reply, struct buffer *out)
{
	for (; *reply != '\0'; reply++) {
		if (reply[0] == '%' && (reply[1] == 'h' || reply[1] == 'b')) {
			hmac("secret", SPAN("abc123"), reply[1] == 'h', out);
			reply++;
		} else {
			buffer_byte(out, *reply);
		}
	}
}

static void
every_check_is_answered_as_its_provider_wants(void)
{
	for (const struct challenge *row = challenges; row->name != NULL; row++) {
		bool tried = false;
		for (size_t i = 0; i < COUNT(good); i++) {
			tried = tried || strcmp(good[i].name, row->name) == 0;
		}
		CHECK_ROW(tried, "%s", row->name);
	}
	for (size_t i = 0; i < COUNT(good); i++) {
		const struct challenge *row = challenge_find(good[i].name);
		struct verify_request request = request_of(i);
		struct answer answer;
		struct buffer wanted;
		buffer_init(&wanted, 4096);
		write_wanted(good[i].reply, &wanted);
		CHECK_ROW(challenge_is(row, &request, edge_copy(0, good[i].body)), "%s", row->name);
		ask(row, &request, edge_copy(0, good[i].body), "secret", "our word", &answer);
		CHECK_ROW(answer.result == CHALLENGE_ANSWERED, "%s: %s", row->name,
		          result_names[answer.result]);
		CHECK_ROW(span_equal(buffer_view(&answer.reply), buffer_view(&wanted)), "%s: %s",
		          row->name, check_quote(buffer_view(&answer.reply)));
		CHECK_ROW(span_equal(buffer_view(&answer.fields), span_of(good[i].fields_reply)),
		          "%s: %s", row->name, check_quote(buffer_view(&answer.fields)));
		answer_finish(&answer);
		buffer_finish(&wanted);
	}
}

/* One provider's check is no check of another. */
static void
no_check_is_taken_for_another(void)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		for (const struct challenge *row = challenges; row->name != NULL; row++) {
			struct verify_request request = request_of(i);
			CHECK_ROW(challenge_is(row, &request, good[i].body) ==
			                  (strcmp(row->name, good[i].name) == 0),
			          "%s taken for %s", good[i].name, row->name);
		}
	}
}

static void
other_methods_are_no_checks(void)
{
	static const char *const methods[] = { "GET", "POST", "HEAD", "OPTIONS", "PUT", "get", "" };
	for (size_t i = 0; i < COUNT(good); i++) {
		for (size_t j = 0; j < COUNT(methods); j++) {
			struct verify_request request = request_of(i);
			request.method = span_of(methods[j]);
			CHECK_ROW(challenge_is(challenge_find(good[i].name), &request,
			                       good[i].body) ==
			                  (strcmp(methods[j], good[i].method) == 0),
			          "%s with %s", good[i].name, methods[j]);
		}
	}
}

/* --- what is none --- */

static void
events_are_no_checks(void)
{
	static const struct {
		const char *name;
		struct span query;
		struct field field;
		struct span body;
	} rows[] = {
		{ "slack",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"type\":\"event_callback\"}") },
		{ "slack",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"a\":{\"type\":\"url_verification\"}}") },
		{ "slack",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"type\":\"url_verification2\"}") },
		{ "slack",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"type\":\"x\",\"type\":\"url_verification\"}") }, /* the first counts */
		{ "slack",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"type\":[\"url_verification\"]}") },
		{ "slack", TEXT(""), { TEXT(""), TEXT("") }, TEXT("type=url_verification") },
		{ "slack", TEXT(""), { TEXT(""), TEXT("") }, TEXT("") },
		{ "zoom",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"event\":\"meeting.started\",\"payload\":{\"plainToken\":\"a\"}}") },
		{ "discord-events", TEXT(""), { TEXT(""), TEXT("") }, TEXT("{\"type\":1}") },
		{ "discord-events", TEXT(""), { TEXT(""), TEXT("") }, TEXT("{\"type\":00}") },
		{ "discord-interactions", TEXT(""), { TEXT(""), TEXT("") }, TEXT("{\"type\":2}") },
		{ "discord-interactions",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"type\":1.0}") },
		{ "line", TEXT(""), { TEXT(""), TEXT("") }, TEXT("{\"events\":[1]}") },
		{ "line", TEXT(""), { TEXT(""), TEXT("") }, TEXT("{\"events\":{}}") },
		{ "line", TEXT(""), { TEXT(""), TEXT("") }, TEXT("{\"events\":[") },
		{ "line", TEXT(""), { TEXT(""), TEXT("") }, TEXT("{}") },
		{ "aws-sns",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"Type\":\"Notification\"}") },
		{ "aws-sns",
		  TEXT(""),
		  { TEXT(""), TEXT("") },
		  TEXT("{\"Type\":\"UnsubscribeConfirmation\"}") },
		{ "event-grid",
		  TEXT(""),
		  { TEXT("aeg-event-type"), TEXT("Notification") },
		  TEXT("[]") },
		{ "event-grid",
		  TEXT(""),
		  { TEXT("aeg-event"), TEXT("SubscriptionValidation") },
		  TEXT("[]") },
		{ "meta",
		  TEXT("hub.mode=unsubscribe&hub.challenge=1"),
		  { TEXT(""), TEXT("") },
		  TEXT("") },
		{ "meta", TEXT("mode=subscribe"), { TEXT(""), TEXT("") }, TEXT("") },
		{ "x", TEXT("crc_token="), { TEXT(""), TEXT("") }, TEXT("") },
		{ "x", TEXT("CRC_token=a"), { TEXT(""), TEXT("") }, TEXT("") },
		{ "x", TEXT(""), { TEXT(""), TEXT("") }, TEXT("") },
		{ "echo", TEXT("challenge"), { TEXT(""), TEXT("") }, TEXT("") },
		{ "echo", TEXT("challenge=%zz"), { TEXT(""), TEXT("") }, TEXT("") },
		{ "okta", TEXT(""), { TEXT("X-Okta-Verification-Challenge"), TEXT("") }, TEXT("") },
		{ "cloudevents", TEXT(""), { TEXT("Origin"), TEXT("x") }, TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct challenge *row = challenge_find(rows[i].name);
		struct verify_request request = {
			.method = span_of(row->method),
			.query = rows[i].query,
			.fields = { &rows[i].field, rows[i].field.name.size > 0 ? 1 : 0 },
		};
		CHECK_ROW(!challenge_is(row, &request, edge_copy(0, rows[i].body)), "%s: %s %s",
		          row->name, check_quote(rows[i].query), check_quote(rows[i].body));
	}
}

static void
a_header_that_stands_twice_is_no_mark(void)
{
	static const struct field twice[] = {
		{ TEXT("WebHook-Request-Origin"), TEXT("a.example.com") },
		{ TEXT("webhook-request-origin"), TEXT("a.example.com") },
	};
	struct verify_request request = { .method = SPAN("OPTIONS"), .fields = { twice, 2 } };
	CHECK(!challenge_is(challenge_find("cloudevents"), &request, SPAN("")));
	request.fields.count = 1;
	CHECK(challenge_is(challenge_find("cloudevents"), &request, SPAN("")));
}

/* --- what is given back --- */

/* A value of `size` bytes in its place, for each kind of place. */
static void
write_value(const char *before, size_t size, const char *after, struct buffer *out)
{
	buffer_text(out, before);
	for (size_t i = 0; i < size; i++) {
		buffer_byte(out, 'a');
	}
	buffer_text(out, after);
}

static void
no_more_is_given_back_than_a_kilobyte(void)
{
	static const struct {
		const char *name;
		const char *before; /* in the query, the header or the body */
		const char *after;
		bool marks; /* the value is what tells the check from an event */
	} rows[] = {
		{ "slack", "{\"type\":\"url_verification\",\"challenge\":\"", "\"}", false },
		{ "zoom", "{\"event\":\"endpoint.url_validation\",\"payload\":{\"plainToken\":\"",
		  "\"}}", false },
		{ "event-grid", "[{\"data\":{\"validationCode\":\"", "\"}}]", false },
		{ "meta", "hub.mode=subscribe&hub.verify_token=t&hub.challenge=", "&x=y", false },
		{ "echo", "challenge=", "&x=y", true },
		{ "x", "crc_token=", "", true },
		{ "okta", "", "", true },
		{ "cloudevents", "", "", true },
	};
	static const size_t sizes[] = { 1, CHALLENGE_MOST_BYTES, CHALLENGE_MOST_BYTES + 1, 8000 };
	for (size_t i = 0; i < COUNT(rows) * COUNT(sizes); i++) {
		const struct challenge *row = challenge_find(rows[i / COUNT(sizes)].name);
		size_t size = sizes[i % COUNT(sizes)];
		bool fits = size <= CHALLENGE_MOST_BYTES;
		bool marks = rows[i / COUNT(sizes)].marks;
		struct answer answer;
		struct buffer text;
		buffer_init(&text, 16384);
		write_value(rows[i / COUNT(sizes)].before, size, rows[i / COUNT(sizes)].after,
		            &text);
		bool post = strcmp(row->method, "POST") == 0;
		bool header = row->mark == CHALLENGE_BY_HEADER && !post;
		struct field fields[] = {
			{ SPAN("aeg-event-type"), SPAN("SubscriptionValidation") },
			{ span_of(header ? row->mark_name : "X-None"), buffer_view(&text) },
		};
		struct verify_request request = {
			.method = span_of(row->method),
			.fields = { fields, 2 },
			.query = post || header ? SPAN("") : buffer_view(&text),
		};
		struct span body = post ? buffer_view(&text) : SPAN("");
		CHECK_ROW(challenge_is(row, &request, body) == (fits || !marks), "%s: %zu",
		          row->name, size);
		ask(row, &request, body, "secret", "t", &answer);
		CHECK_ROW((answer.result == CHALLENGE_ANSWERED) == fits &&
		                  (fits || answer.result == CHALLENGE_UNREADABLE),
		          "%s: %zu: %s", row->name, size, result_names[answer.result]);
		answer_finish(&answer);
		buffer_finish(&text);
	}
}

static void
what_is_missing_or_no_text_is_not_answered(void)
{
	static const struct {
		const char *name;
		struct span query;
		struct span body;
	} rows[] = {
		{ "slack", TEXT(""), TEXT("{\"type\":\"url_verification\"}") },
		{ "slack", TEXT(""), TEXT("{\"type\":\"url_verification\",\"challenge\":\"\"}") },
		{ "slack", TEXT(""), TEXT("{\"type\":\"url_verification\",\"challenge\":null}") },
		{ "slack", TEXT(""), TEXT("{\"type\":\"url_verification\",\"challenge\":[]}") },
		{ "slack", TEXT(""),
		  TEXT("{\"type\":\"url_verification\",\"challenge\":\"\\ud800\"}") },
		{ "zoom", TEXT(""), TEXT("{\"event\":\"endpoint.url_validation\"}") },
		{ "event-grid", TEXT(""), TEXT("[]") },
		{ "event-grid", TEXT(""), TEXT("{\"data\":{\"validationCode\":\"1\"}}") },
		{ "event-grid", TEXT(""), TEXT("no json") },
		{ "meta", TEXT("hub.mode=subscribe&hub.verify_token=t"), TEXT("") },
		{ "meta", TEXT("hub.mode=subscribe&hub.verify_token=t&hub.challenge="), TEXT("") },
		{ "meta", TEXT("hub.mode=subscribe&hub.verify_token=t&hub.challenge=%"), TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct challenge *row = challenge_find(rows[i].name);
		struct field field = { SPAN("aeg-event-type"), SPAN("SubscriptionValidation") };
		struct verify_request request = { .method = span_of(row->method),
			                          .query = rows[i].query,
			                          .fields = { &field, 1 } };
		struct answer answer;
		CHECK_ROW(challenge_is(row, &request, rows[i].body), "%s: %s", row->name,
		          check_quote(rows[i].body));
		ask(row, &request, edge_copy(0, rows[i].body), "secret", "t", &answer);
		CHECK_ROW(answer.result == CHALLENGE_UNREADABLE, "%s: %s: %s", row->name,
		          check_quote(rows[i].body), result_names[answer.result]);
		answer_finish(&answer);
	}
}

struct hashed_row {
	struct span token; /* as it stands in a query */
	struct span json;  /* and in JSON */
	bool hashed;
};

static void
hash_rows(const struct hashed_row *rows, size_t count)
{
	for (size_t i = 0; i < count * 2; i++) {
		struct span token = rows[i / 2].token;
		struct span json = rows[i / 2].json;
		const struct challenge *row = challenge_find(i % 2 == 0 ? "x" : "zoom");
		struct buffer text;
		struct answer answer;
		buffer_init(&text, 4096);
		if (i % 2 == 0) {
			buffer_format(&text, "crc_token=%.*s", SPAN_ARG(token));
		} else {
			buffer_format(
				&text,
				"{\"event\":\"endpoint.url_validation\",\"payload\":{\"plainToken\":\"%.*s\"}}",
				SPAN_ARG(json));
		}
		struct verify_request request = { .method = span_of(row->method),
			                          .query = i % 2 == 0 ? buffer_view(&text)
			                                              : SPAN("") };
		ask(row, &request, buffer_view(&text), "secret", "", &answer);
		CHECK_ROW((answer.result == CHALLENGE_ANSWERED) == rows[i / 2].hashed &&
		                  (rows[i / 2].hashed || answer.result == CHALLENGE_UNREADABLE),
		          "%s: %s: %s", row->name, check_quote(token), result_names[answer.result]);
		answer_finish(&answer);
		buffer_finish(&text);
	}
}

/* Whoever asks for the HMAC of an event could send it afterwards. */
static void
nothing_is_hashed_that_could_be_an_event(void)
{
	static const struct hashed_row rows[] = {
		{ TEXT("kI8EpTWUQw84tUiTB6Rb%3D"), TEXT("kI8EpTWUQw84tUiTB6Rb="), true },
		{ TEXT("a.b_c-d~e%2F%2B0"), TEXT("a.b_c-d~e/+0"), true },
		{ TEXT("{}"), TEXT("{}"), false },
		{ TEXT("{%22tweet_create_events%22:[]}"), TEXT("{\\\"a\\\":[]}"), false },
		{ TEXT("[]"), TEXT("[]"), false },
		{ TEXT("[1]"), TEXT("[1]"), false },
		{ TEXT("%22a%22"), TEXT("\\\"a\\\""), false },
		{ TEXT("v0:1767735553:{}"), TEXT("v0:1767735553:{}"), false },
		{ TEXT("v0:1767735553:a"), TEXT("v0:1767735553:a"), false },
		{ TEXT("a+b"), TEXT("a b"), false },
		{ TEXT("a%0A"), TEXT("a\\n"), false },
		{ TEXT("a%09"), TEXT("a\\t"), false },
		{ TEXT("a,b"), TEXT("a,b"), false },
		{ TEXT("a%26b"), TEXT("a&b"), false },
		{ TEXT("a%25b"), TEXT("a%b"), false },
		{ TEXT("a%C3%A9"), TEXT("a\\u00e9"), false },
		{ TEXT("a%ff"), TEXT(""), false },
		{ TEXT("a%7F"), TEXT("a\\u007f"), false },
	};
	hash_rows(rows, COUNT(rows));
}

static void
nothing_is_hashed_with_a_null_byte(void)
{
	static const struct hashed_row rows[] = {
		{ TEXT("a%00b"), TEXT("a\\u0000b"), false },
		{ TEXT("%00"), TEXT("\\u0000"), false },
	};
	hash_rows(rows, COUNT(rows));
}

static void
nothing_is_hashed_without_a_secret(void)
{
	struct verify_request request = { .method = SPAN("GET"), .query = SPAN("crc_token=abc") };
	struct answer answer;
	ask(challenge_find("x"), &request, SPAN(""), NULL, "", &answer);
	CHECK(answer.result == CHALLENGE_UNREADABLE);
	answer_finish(&answer);
}

/* --- the verify token --- */

static void
only_the_right_verify_token_is_answered(void)
{
	static const struct {
		const char *token; /* of the source */
		struct span query;
		enum challenge_result result;
	} rows[] = {
		{ "our word", TEXT("hub.verify_token=our%20word"), CHALLENGE_ANSWERED },
		{ "our word", TEXT("hub.verify_token=our+word"), CHALLENGE_ANSWERED },
		{ "our word", TEXT("hub.verify_token=our+wor"), CHALLENGE_PROOF_WRONG },
		{ "our word", TEXT("hub.verify_token=our+word2"), CHALLENGE_PROOF_WRONG },
		{ "our word", TEXT("hub.verify_token=Our+word"), CHALLENGE_PROOF_WRONG },
		{ "our word", TEXT("hub.verify_token=our+word%00"), CHALLENGE_PROOF_WRONG },
		{ "our word", TEXT("hub.verify_token=no&hub.verify_token=our+word"),
		  CHALLENGE_PROOF_WRONG },
		{ "our word", TEXT("hub.verify_token="), CHALLENGE_PROOF_MISSING },
		{ "our word", TEXT("hub.verify_token"), CHALLENGE_PROOF_MISSING },
		{ "our word", TEXT("verify_token=our+word"), CHALLENGE_PROOF_MISSING },
		{ "our word", TEXT(""), CHALLENGE_PROOF_MISSING },
		{ "", TEXT("hub.verify_token="), CHALLENGE_PROOF_MISSING },
		{ "", TEXT("hub.verify_token=x"), CHALLENGE_PROOF_WRONG },
	};
	const struct challenge *row = challenge_find("meta");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer answer;
		struct buffer query;
		buffer_init(&query, 4096);
		buffer_format(&query, "hub.mode=subscribe&hub.challenge=1&%.*s",
		              SPAN_ARG(rows[i].query));
		struct verify_request request = { .method = SPAN("GET"),
			                          .query = buffer_view(&query) };
		ask(row, &request, SPAN(""), "secret", rows[i].token, &answer);
		CHECK_ROW(answer.result == rows[i].result, "%s: %s", check_quote(rows[i].query),
		          result_names[answer.result]);
		/* Nothing of the sender's goes out before the proof. */
		CHECK_ROW((answer.reply.size > 0) == (rows[i].result == CHALLENGE_ANSWERED) &&
		                  (rows[i].result == CHALLENGE_ANSWERED || answer.fields.size == 0),
		          "%s", check_quote(rows[i].query));
		answer_finish(&answer);
		buffer_finish(&query);
	}
}

static void
a_made_up_check_is_only_data(void)
{
	static const struct challenge made_up = {
		.name = "made-up",
		.method = "GET",
		.mark = CHALLENGE_BY_QUERY,
		.mark_name = "ping",
		.mark_value = "1",
		.proof = CHALLENGE_VERIFY_TOKEN,
		.proof_name = "who",
		.status = 202,
		.content_type = "application/json",
		.reply = "{\"a\":{\"b\":{quote header:X-Nonce},\"c\":\"{hex query:n}\"}}",
		.fields = "X-Back: {base64 query:n}\r\n",
	};
	static const struct field field = { TEXT("X-Nonce"), TEXT("\"q\"") };
	struct verify_request request = { .method = SPAN("GET"),
		                          .query = SPAN("who=me&ping=1&n=N1"),
		                          .fields = { &field, 1 } };
	struct answer answer;
	struct buffer wanted;
	buffer_init(&wanted, 4096);
	buffer_text(&wanted, "{\"a\":{\"b\":\"\\\"q\\\"\",\"c\":\"");
	hmac("secret", SPAN("N1"), true, &wanted);
	buffer_text(&wanted, "\"}}");
	CHECK(challenge_is(&made_up, &request, SPAN("")));
	ask(&made_up, &request, SPAN(""), "secret", "me", &answer);
	CHECK_ROW(answer.result == CHALLENGE_ANSWERED &&
	                  span_equal(buffer_view(&answer.reply), buffer_view(&wanted)),
	          "%s", check_quote(buffer_view(&answer.reply)));
	wanted.size = 0;
	buffer_text(&wanted, "X-Back: ");
	hmac("secret", SPAN("N1"), false, &wanted);
	buffer_text(&wanted, "\r\n");
	CHECK_ROW(span_equal(buffer_view(&answer.fields), buffer_view(&wanted)), "%s",
	          check_quote(buffer_view(&answer.fields)));
	answer_finish(&answer);
	buffer_finish(&wanted);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every check is answered as its provider wants",
		  every_check_is_answered_as_its_provider_wants },
		{ "no check is taken for another", no_check_is_taken_for_another },
		{ "other methods are no checks", other_methods_are_no_checks },
		{ "events are no checks", events_are_no_checks },
		{ "a header that stands twice is no mark", a_header_that_stands_twice_is_no_mark },
		{ "no more is given back than a kilobyte", no_more_is_given_back_than_a_kilobyte },
		{ "what is missing or no text is not answered",
		  what_is_missing_or_no_text_is_not_answered },
		{ "nothing is hashed that could be an event",
		  nothing_is_hashed_that_could_be_an_event },
		{ "nothing is hashed with a null byte", nothing_is_hashed_with_a_null_byte },
		{ "nothing is hashed without a secret", nothing_is_hashed_without_a_secret },
		{ "only the right verify token is answered",
		  only_the_right_verify_token_is_answered },
		{ "a made-up check is only data", a_made_up_check_is_only_data },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	mac_thread_finish();
	return code;
}
