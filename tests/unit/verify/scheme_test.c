#include "receiver/verify/scheme.h"

#include <string.h>

#include "receiver/verify/json_pointer.h"
#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static void
a_template_comes_apart_in_order(void)
{
	struct span text = edge_copy(0, SPAN("v0:{timestamp}{id}.{body}{method}{path}{url}x"));
	static const struct {
		enum scheme_token token;
		struct span literal;
	} pieces[] = {
		{ SCHEME_LITERAL, TEXT("v0:") }, { SCHEME_TIMESTAMP, TEXT("") },
		{ SCHEME_ID, TEXT("") },         { SCHEME_LITERAL, TEXT(".") },
		{ SCHEME_BODY, TEXT("") },       { SCHEME_METHOD, TEXT("") },
		{ SCHEME_PATH, TEXT("") },       { SCHEME_URL, TEXT("") },
		{ SCHEME_LITERAL, TEXT("x") },
	};
	enum scheme_token token;
	struct span literal = { 0 };
	for (size_t i = 0; i < COUNT(pieces); i++) {
		CHECK_ROW(scheme_next_token(&text, &token, &literal) && token == pieces[i].token,
		          "piece %zu", i);
		CHECK_ROW(token != SCHEME_LITERAL || span_equal(literal, pieces[i].literal),
		          "piece %zu: %s", i, check_quote(literal));
	}
	CHECK(!scheme_next_token(&text, &token, &literal));
	CHECK(!scheme_next_token(&text, &token, &literal));
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
		{ TEXT("{json:/a}{body}"), TEXT("{json:/a}") },
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

/* What config/check.c asks of `provider: hmac` holds for our own rows too. */
static void
every_preset_is_sound(void)
{
	size_t count = 0;
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		const struct scheme *scheme = &preset->scheme;
		struct span wrong;
		count++;
		CHECK_ROW(preset_find(preset->name) == preset, "%s", preset->name);
		CHECK_ROW(preset->title != NULL && strncmp(preset->docs, "https://", 8) == 0 &&
		                  preset->secret != NULL && preset->retries != NULL &&
		                  preset->redelivery != NULL && preset->steps != NULL,
		          "%s", preset->name);
		CHECK_ROW(scheme->signature_header != NULL &&
		                  scheme_template_valid(span_of(scheme->signed_text), &wrong),
		          "%s", preset->name);
		CHECK_ROW(scheme_signs(scheme, SCHEME_BODY), "%s", preset->name);
		CHECK_ROW(!scheme_signs(scheme, SCHEME_TIMESTAMP) ||
		                  (scheme->timestamp.from != SCHEME_NOWHERE &&
		                   scheme->tolerance_ns > 0),
		          "%s", preset->name);
		CHECK_ROW(!scheme_signs(scheme, SCHEME_ID) || scheme->id.from == SCHEME_FROM_HEADER,
		          "%s", preset->name);
		CHECK_ROW((scheme->timestamp.from == SCHEME_FROM_SIGNATURE) ==
		                  (scheme->timestamp_prefix != NULL && scheme->separator != '\0'),
		          "%s", preset->name);
		CHECK_ROW(scheme->id.from != SCHEME_NOWHERE, "%s", preset->name);
		CHECK_ROW(scheme->id.from != SCHEME_FROM_JSON ||
		                  json_pointer_valid(span_of(scheme->id.name)),
		          "%s", preset->name);
	}
	CHECK(count >= 3);
	CHECK(preset_find("githu") == NULL && preset_find("") == NULL);
	CHECK(preset_find("GitHub") == NULL);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a template comes apart in order", a_template_comes_apart_in_order },
		{ "a template with an unknown word is told",
		  a_template_with_an_unknown_word_is_told },
		{ "a scheme knows what it signs", a_scheme_knows_what_it_signs },
		{ "every preset is sound", every_preset_is_sound },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
