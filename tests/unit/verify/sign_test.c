#include "receiver/verify/sign.h"

#include "receiver/verify/presets.h"
#include "receiver/verify/value.h"

#include "tests/unit/check.h"
#include "tests/unit/vectors.h"

#define NOW_NS    (INT64_C(1767735553) * NS_PER_S + 123456789)
#define FIELDS    8
#define SECRET    "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
#define HEX_SCRET "736563726574"

/* "Name: value\n" lines as fields; they point into the text. */
static struct fields
fields_of(struct span lines, struct field *fields)
{
	size_t count = 0;
	while (lines.size > 0 && count < FIELDS) {
		const char *colon = memchr(lines.data, ':', lines.size);
		const char *end = memchr(lines.data, '\n', lines.size);
		ALWAYS(colon != NULL && end != NULL && colon + 1 < end && colon[1] == ' ',
		       "sign-line");
		fields[count].name = (struct span){ lines.data, (size_t)(colon - lines.data) };
		fields[count].value = (struct span){ colon + 2, (size_t)(end - colon - 2) };
		count++;
		lines = span_after(lines, (size_t)(end - lines.data) + 1);
	}
	return (struct fields){ fields, count };
}

static void
check_value(const char *who, const struct scheme_value *from, struct fields fields,
            struct span body, struct span wanted)
{
	if (from->from != SCHEME_FROM_HEADER && from->from != SCHEME_FROM_JSON) {
		return;
	}
	struct buffer text;
	buffer_init(&text, 4096);
	CHECK_ROW(value_read(from, fields, body, &text) == VALUE_FOUND &&
	                  span_equal(buffer_view(&text), wanted),
	          "%s: %s", who, check_quote(buffer_view(&text)));
	buffer_finish(&text);
}

/* Whether the type lies where a part of the id lies too: a sample cannot carry both. */
static bool
is_part_of_id(const struct scheme *scheme, const char *pointer)
{
	bool found = false;
	for (size_t i = 0; i < scheme->id.part_count; i++) {
		found = found || strcmp(scheme->id.parts[i], pointer) == 0;
	}
	return found;
}

/* Signs a sample for `scheme` and lets the engine judge it, at `later_ns` after it was signed. */
static enum verdict
sign_and_judge(const char *who, const struct scheme *scheme, struct span id, struct span type,
               int64_t later_ns)
{
	struct secrets secrets = { .count = 0 };
	struct error err;
	ALWAYS(secrets_add(&secrets, scheme->key,
	                   scheme->key == SCHEME_KEY_HEX ? SPAN(HEX_SCRET) : SPAN(SECRET), 0, &err),
	       "sign-secret");
	struct buffer body;
	struct buffer lines;
	buffer_init(&body, 65536);
	buffer_init(&lines, 65536);
	struct field fields[FIELDS];
	struct verify_request request = { .method = SPAN("POST"),
		                          .path = SPAN("/hook"),
		                          .url = SPAN("https://example.com/hook") };
	int64_t now_ns = NOW_NS;
	sign_sample(scheme, id, type, &body);
	if (scheme->timestamp.from == SCHEME_FROM_JSON) { /* the sample is of this moment */
		struct buffer text;
		int64_t then = 0;
		buffer_init(&text, 256);
		CHECK_ROW(value_read(&scheme->timestamp, (struct fields){ 0 }, buffer_view(&body),
		                     &text) == VALUE_FOUND &&
		                  timestamp_parse(scheme->unit, buffer_view(&text), &then),
		          "%s", who);
		buffer_finish(&text);
		now_ns = then;
	}
	sign_lines(scheme, &secrets.items[0], &request, now_ns, id, type, buffer_view(&body),
	           &lines);
	CHECK(!body.failed && !lines.failed);
	request.fields = fields_of(buffer_view(&lines), fields);
	struct verification v;
	enum verdict verdict =
		verification_begin(&v, scheme, &secrets, &request, now_ns + later_ns, false);
	if (verdict == VERDICT_GOOD) {
		verification_feed(&v, buffer_view(&body));
		verdict = verification_end(&v, buffer_view(&body));
	}
	verification_drop(&v);
	check_value(who, &scheme->id, request.fields, buffer_view(&body), id);
	if (!is_part_of_id(scheme, scheme->type.name)) {
		check_value(who, &scheme->type, request.fields, buffer_view(&body), type);
	}
	buffer_finish(&body);
	buffer_finish(&lines);
	secrets_finish(&secrets);
	return verdict;
}

static void
is_accepted(const char *who, const struct scheme *scheme)
{
	static const struct {
		struct span id;
		struct span type;
	} rows[] = {
		{ TEXT("evt_1"), TEXT("invoice.paid") },
		{ TEXT("692bd66b-0493-499d-acae-35420f132d06"), TEXT("push") },
		{ TEXT("Grüße \"{}\" 🦊"), TEXT("a/b c\\d") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum verdict verdict =
			sign_and_judge(who, scheme, rows[i].id, rows[i].type, NS_PER_S);
		CHECK_ROW(verdict == VERDICT_GOOD, "%s, %s: %s", who, check_quote(rows[i].id),
		          verdict_word(verdict));
	}
	bool timed = scheme->timestamp.from != SCHEME_NOWHERE;
	enum verdict late = sign_and_judge(who, scheme, SPAN("1"), SPAN("t"),
	                                   scheme->tolerance_ns + 2 * NS_PER_S);
	CHECK_ROW(late == (timed ? VERDICT_TIMESTAMP_TOO_OLD : VERDICT_GOOD), "%s: %s", who,
	          verdict_word(late));
}

static void
every_preset_takes_what_is_signed_for_it(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		is_accepted(preset->name, &preset->scheme);
	}
}

static void
every_scheme_of_the_vectors_takes_what_is_signed_for_it(void)
{
	json_t *file = vectors_load();
	json_t *providers = json_object_get(file, "providers");
	CHECK(json_array_size(providers) >= 12);
	for (size_t i = 0; i < json_array_size(providers); i++) {
		const json_t *provider = json_array_get(providers, i);
		struct scheme scheme = vectors_scheme(provider);
		is_accepted(vectors_text(provider, "name"), &scheme);
	}
	json_decref(file);
}

static void
a_sample_is_json_with_id_and_type_in_their_places(void)
{
	struct scheme scheme = {
		.id = { .from = SCHEME_FROM_JSON, .name = "/event/id" },
		.type = { .from = SCHEME_FROM_JSON, .name = "/type" },
	};
	struct buffer body;
	buffer_init(&body, 4096);
	sign_sample(&scheme, SPAN("e\"1"), SPAN("\xff"), &body);
	CHECK_ROW(span_equal(buffer_view(&body),
	                     SPAN("{\"event\":{\"id\":\"e\\\"1\"},\"type\":\"ÿ\"}")),
	          "%s", check_quote(buffer_view(&body)));
	buffer_finish(&body);
	scheme = (struct scheme){
		.id = { .from = SCHEME_FROM_JSON, .name = "/event/id" },
		.type = { .from = SCHEME_FROM_JSON, .name = "/event/type" },
	};
	sign_sample(&scheme, SPAN("1"), SPAN("t"),
	            &body); /* of repeated keys the first would count */
	CHECK_ROW(span_equal(buffer_view(&body), SPAN("{\"event\":{\"id\":\"1\",\"type\":\"t\"}}")),
	          "%s", check_quote(buffer_view(&body)));
	buffer_finish(&body);
	scheme = (struct scheme){ .id = { .from = SCHEME_GENERATED } };
	sign_sample(&scheme, SPAN("1"), SPAN("t"), &body);
	json_t *value = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, NULL);
	CHECK_ROW(value != NULL, "%s", check_quote(buffer_view(&body)));
	json_decref(value);
	buffer_finish(&body);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every preset takes what is signed for it",
		  every_preset_takes_what_is_signed_for_it },
		{ "every scheme of the vectors takes what is signed for it",
		  every_scheme_of_the_vectors_takes_what_is_signed_for_it },
		{ "a sample is JSON with id and type in their places",
		  a_sample_is_json_with_id_and_type_in_their_places },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	signature_thread_finish();
	return code;
}
