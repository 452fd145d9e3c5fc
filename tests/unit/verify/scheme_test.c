#include "receiver/verify/scheme.h"

#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static void
a_template_comes_apart_in_order(void)
{
	struct span text = edge_copy(
		0, SPAN("v0:{timestamp}{id}.{body}{method}{path}{query}{url}x{sorted_form_params}"
	                "{json:/a/b}{header:X-A}{signed_headers:X-B}{webhook_id}{crc32}"));
	static const struct {
		enum scheme_token token;
		struct span text;
	} pieces[] = {
		{ SCHEME_LITERAL, TEXT("v0:") }, { SCHEME_TIMESTAMP, TEXT("") },
		{ SCHEME_ID, TEXT("") },         { SCHEME_LITERAL, TEXT(".") },
		{ SCHEME_BODY, TEXT("") },       { SCHEME_METHOD, TEXT("") },
		{ SCHEME_PATH, TEXT("") },       { SCHEME_QUERY, TEXT("") },
		{ SCHEME_URL, TEXT("") },        { SCHEME_LITERAL, TEXT("x") },
		{ SCHEME_FORM, TEXT("") },       { SCHEME_JSON, TEXT("/a/b") },
		{ SCHEME_HEADER, TEXT("X-A") },  { SCHEME_SIGNED_HEADERS, TEXT("X-B") },
		{ SCHEME_WEBHOOK_ID, TEXT("") }, { SCHEME_CRC32, TEXT("") },
	};
	struct scheme_piece piece = { SCHEME_LITERAL, { 0 } };
	for (size_t i = 0; i < COUNT(pieces); i++) {
		CHECK_ROW(scheme_next_piece(&text, &piece) && piece.token == pieces[i].token,
		          "piece %zu", i);
		CHECK_ROW(span_equal(piece.text, pieces[i].text), "piece %zu: %s", i,
		          check_quote(piece.text));
	}
	CHECK(!scheme_next_piece(&text, &piece));
	CHECK(!scheme_next_piece(&text, &piece));
}

static void
a_template_with_an_unknown_word_is_told(void)
{
	static const struct {
		struct span text;
		struct span wrong; /* empty: it is valid */
	} rows[] = {
		{ TEXT(""), TEXT("") },
		{ TEXT("{body}"), TEXT("") },
		{ TEXT("}"), TEXT("") },
		{ TEXT("a}b{body}"), TEXT("") },
		{ TEXT("{Body}"), TEXT("{Body}") },
		{ TEXT("{body"), TEXT("{body") },
		{ TEXT("{"), TEXT("{") },
		{ TEXT("{{body}}"), TEXT("{") },
		{ TEXT("{timestamp}.{payload}.{id}"), TEXT("{payload}.") },
		{ TEXT("{json:/a}{body}"), TEXT("") },
		{ TEXT("{sorted_form_params}{crc32}{webhook_id}{query}"), TEXT("") },
		{ TEXT("{json:/a"), TEXT("{json:/a") },
		{ TEXT("{json:}"), TEXT("{json:}") }, /* nothing is named */
		{ TEXT("{json}{body}"), TEXT("{json}") },
		{ TEXT("{header:}"), TEXT("{header:}") },
		{ TEXT("{header:X-A}{headers:X-A}"), TEXT("{headers:X-A}") },
		{ TEXT("{body:x}"), TEXT("{body:x}") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span wrong = { 0 };
		bool valid = scheme_template_valid(edge_copy(0, rows[i].text), &wrong);
		CHECK_ROW(valid == (rows[i].wrong.size == 0) && span_equal(wrong, rows[i].wrong),
		          "%s: %s", check_quote(rows[i].text), check_quote(wrong));
	}
}

static void
a_scheme_knows_what_it_signs(void)
{
	struct scheme scheme = { .signed_text = "{id}.{body}" };
	CHECK(scheme_signs(&scheme, SCHEME_ID));
	CHECK(scheme_signs(&scheme, SCHEME_BODY));
	CHECK(scheme_signs(&scheme, SCHEME_LITERAL));
	CHECK(!scheme_signs(&scheme, SCHEME_TIMESTAMP));
	CHECK(!scheme_signs(&scheme, SCHEME_URL));
}

/* What `hooklatch providers` and the checks of the configuration say about a scheme. */
static void
what_a_signature_says_is_told(void)
{
	static const struct {
		const char *name;
		bool body;
		bool time;
		bool id;
		bool secrets;
	} rows[] = {
		{ "github", true, false, false, true },
		{ "stripe", true, true, true, true },
		{ "standard-webhooks", true, true, true, true },
		{ "linear", true, true, false, true },   /* its time is in the signed body */
		{ "mailgun", false, true, false, true }, /* time and a token, nothing else */
		{ "twilio", true, false, false, true },
		{ "twilio-json", true, false, false, true },
		{ "contentful", true, true, false, true },
		{ "hubspot", true, true, true, true },
		{ "dropbox", true, false, false, true },
		{ "gitlab-token", false, false, false, true },
		{ "okta", false, false, false, true },
		{ "standard-webhooks-ed25519", true, true, true, false },
		{ "sendgrid", true, true, true, false },
		{ "paypal", false, false, false, false }, /* a CRC-32 is no hash */
		{ "plaid", true, true, false, false },
		{ "aws-sns", true, false, true, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct preset *preset = preset_find(rows[i].name);
		if (!CHECK_ROW(preset != NULL, "%s", rows[i].name)) {
			continue;
		}
		const struct scheme *scheme = &preset->scheme;
		CHECK_ROW(scheme_body_signed(scheme) == rows[i].body, "%s", rows[i].name);
		CHECK_ROW(scheme_time_signed(scheme) == rows[i].time, "%s", rows[i].name);
		CHECK_ROW(scheme_id_signed(scheme) == rows[i].id, "%s", rows[i].name);
		CHECK_ROW(scheme_has_secrets(scheme) == rows[i].secrets, "%s", rows[i].name);
	}
}

static void
a_media_type_is_compared_without_its_parameters(void)
{
	static const struct {
		struct span content_type;
		bool same;
	} rows[] = {
		{ TEXT("application/json"), true },
		{ TEXT("Application/JSON; charset=utf-8"), true },
		{ TEXT(" application/json ;x"), true },
		{ TEXT("application/json;"), true },
		{ TEXT("application/jsonx"), false },
		{ TEXT("application/json x"), false },
		{ TEXT("x;application/json"), false },
		{ TEXT(""), false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(scheme_media_type_is(edge_copy(0, rows[i].content_type),
		                               "application/json") == rows[i].same,
		          "%s", check_quote(rows[i].content_type));
	}
	const struct scheme *scheme = &preset_find("cloudevents")->scheme;
	const struct scheme_mode *mode =
		scheme_mode_of(scheme, SPAN("application/cloudevents+json; charset=utf-8"));
	CHECK(mode != NULL && mode->events.array == NULL);
	mode = scheme_mode_of(scheme, SPAN("application/cloudevents-batch+json"));
	CHECK(mode != NULL && mode->events.array != NULL);
	CHECK(scheme_mode_of(scheme, SPAN("application/json")) == NULL);
	CHECK(scheme_mode_of(&presets[0].scheme, SPAN("application/json")) == NULL);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a template comes apart in order", a_template_comes_apart_in_order },
		{ "a template with an unknown word is told",
		  a_template_with_an_unknown_word_is_told },
		{ "a scheme knows what it signs", a_scheme_knows_what_it_signs },
		{ "what a signature says is told", what_a_signature_says_is_told },
		{ "a media type is compared without its parameters",
		  a_media_type_is_compared_without_its_parameters },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
