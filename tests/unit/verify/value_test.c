#include "receiver/verify/value.h"

#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static const char *const find_names[] = {
	[VALUE_FOUND] = "found",
	[VALUE_ABSENT] = "absent",
	[VALUE_REPEATED] = "repeated",
	[VALUE_UNREADABLE] = "unreadable",
};

static void
reads(const struct scheme_value *value, struct fields fields, struct span body, size_t limit,
      enum value_find wanted, struct span text)
{
	struct buffer out;
	buffer_init(&out, limit);
	struct verify_request request = { .fields = fields };
	enum value_find find =
		value_read(&presets[0].scheme, value, &request, edge_copy(0, body), &out);
	CHECK_ROW(find == wanted, "%s: %s", check_quote(body), find_names[find]);
	CHECK_ROW(find != VALUE_FOUND || span_equal(buffer_view(&out), text), "%s: %s",
	          check_quote(body), check_quote(buffer_view(&out)));
	buffer_finish(&out);
}

static void
a_header_is_read_once(void)
{
	static const struct field items[] = {
		{ TEXT("X-Id"), TEXT("a") },      { TEXT("x-twice"), TEXT("a") },
		{ TEXT("X-Twice"), TEXT("b") },   { TEXT("X-Empty"), TEXT("") },
		{ TEXT("X-Same"), TEXT("same") }, { TEXT("X-SAME"), TEXT("same") },
	};
	struct fields fields = { items, COUNT(items) };
	static const struct {
		const char *name;
		enum value_find find;
	} rows[] = {
		{ "X-Id", VALUE_FOUND },       { "x-iD", VALUE_FOUND },
		{ "X-Twice", VALUE_REPEATED }, { "X-Same", VALUE_REPEATED },
		{ "X-Empty", VALUE_ABSENT },   { "X-Missing", VALUE_ABSENT },
		{ "X-I", VALUE_ABSENT },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scheme_value value = { .from = SCHEME_FROM_HEADER, .name = rows[i].name };
		reads(&value, fields, SPAN(""), 64, rows[i].find, SPAN("a"));
	}
}

static void
a_json_value_keeps_its_digits(void)
{
	static const struct {
		struct span body;
		enum value_find find;
		struct span text;
	} rows[] = {
		{ TEXT("{\"id\":\"evt_1\"}"), VALUE_FOUND, TEXT("evt_1") },
		{ TEXT("{\"id\":\"\\u00e9\"}"), VALUE_FOUND, TEXT("\xc3\xa9") },
		{ TEXT("{\"id\":12345678901234567890}"), VALUE_FOUND,
		  TEXT("12345678901234567890") },
		{ TEXT("{\"id\":1.50}"), VALUE_FOUND, TEXT("1.50") },
		{ TEXT("{\"id\":\"\"}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"id\":null}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"id\":true}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"id\":{}}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"id\":[1]}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"id\":\"\\ud800\"}"), VALUE_UNREADABLE, TEXT("") },
		{ TEXT("{\"id\":\"\xff\"}"), VALUE_UNREADABLE, TEXT("") },
		{ TEXT("{\"id\":01}"), VALUE_UNREADABLE, TEXT("") },
		{ TEXT("{\"id\":\"a"), VALUE_UNREADABLE, TEXT("") },
		{ TEXT("id=1"), VALUE_UNREADABLE, TEXT("") },
		{ TEXT(""), VALUE_UNREADABLE, TEXT("") },
	};
	struct scheme_value value = { .from = SCHEME_FROM_JSON, .name = "/id" };
	for (size_t i = 0; i < COUNT(rows); i++) {
		reads(&value, (struct fields){ 0 }, rows[i].body, 64, rows[i].find, rows[i].text);
	}
	reads(&value, (struct fields){ 0 }, SPAN("{\"id\":\"12345\"}"), 4, VALUE_UNREADABLE,
	      SPAN(""));
}

static void
parts_are_joined_and_a_missing_one_is_empty(void)
{
	static const struct {
		struct span body;
		enum value_find find;
		struct span text;
	} rows[] = {
		{ TEXT("{\"a\":\"x\",\"b\":{\"c\":2},\"d\":\"y\"}"), VALUE_FOUND, TEXT("x:2:y") },
		{ TEXT("{\"d\":\"y\"}"), VALUE_FOUND, TEXT("::y") },
		{ TEXT("{\"a\":\"x\"}"), VALUE_FOUND, TEXT("x::") },
		{ TEXT("{\"a\":null,\"b\":{\"c\":\"\"},\"d\":0}"), VALUE_FOUND, TEXT("::0") },
		{ TEXT("{}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"a\":\"\",\"d\":null}"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"a\":\"x\",\"d\":\"\\ud800\"}"), VALUE_UNREADABLE, TEXT("") },
		{ TEXT("[]"), VALUE_ABSENT, TEXT("") },
		{ TEXT("x"), VALUE_UNREADABLE, TEXT("") },
	};
	struct scheme_value value = { .from = SCHEME_FROM_PARTS,
		                      .parts = { "/a", "/b/c", "/d" },
		                      .part_count = 3 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		reads(&value, (struct fields){ 0 }, rows[i].body, 64, rows[i].find, rows[i].text);
	}
}

static void
parts_may_be_headers(void)
{
	static const struct field items[] = { { TEXT("X-Id"), TEXT("h") },
		                              { TEXT("X-Twice"), TEXT("1") },
		                              { TEXT("x-twice"), TEXT("2") } };
	struct fields fields = { items, COUNT(items) };
	static const struct {
		const char *parts[2];
		enum value_find find;
		struct span text;
	} rows[] = {
		{ { "x-id", "/a" }, VALUE_FOUND, TEXT("h:x") },
		{ { "/a", "X-Missing" }, VALUE_FOUND, TEXT("x:") },
		{ { "X-Missing", "/b" }, VALUE_ABSENT, TEXT("") },
		{ { "/a", "X-Twice" }, VALUE_REPEATED, TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scheme_value value = { .from = SCHEME_FROM_PARTS,
			                      .parts = { rows[i].parts[0], rows[i].parts[1] },
			                      .part_count = 2 };
		reads(&value, fields, SPAN("{\"a\":\"x\"}"), 64, rows[i].find, rows[i].text);
	}
}

static void
what_is_generated_or_nowhere_is_absent(void)
{
	static const enum scheme_from from[] = { SCHEME_NOWHERE, SCHEME_GENERATED };
	for (size_t i = 0; i < COUNT(from); i++) {
		struct scheme_value value = { .from = from[i] };
		reads(&value, (struct fields){ 0 }, SPAN("{}"), 64, VALUE_ABSENT, SPAN(""));
	}
}

static void
a_form_has_parameters(void)
{
	static const struct {
		struct span body;
		enum value_find find;
		struct span text;
	} rows[] = {
		{ TEXT("id=1"), VALUE_FOUND, TEXT("1") },
		{ TEXT("a=b&id=a+b%21&id=2"), VALUE_FOUND, TEXT("a b!") }, /* the first counts */
		{ TEXT("%69%64=1"), VALUE_FOUND, TEXT("1") },
		{ TEXT("ID=1"), VALUE_ABSENT, TEXT("") },
		{ TEXT("xid=1"), VALUE_ABSENT, TEXT("") },
		{ TEXT("id=%zz"), VALUE_ABSENT, TEXT("") },
		{ TEXT("{\"id\":1}"), VALUE_ABSENT, TEXT("") },
		{ TEXT(""), VALUE_ABSENT, TEXT("") },
	};
	struct scheme_value value = { .from = SCHEME_FROM_FORM, .name = "id" };
	for (size_t i = 0; i < COUNT(rows); i++) {
		reads(&value, (struct fields){ 0 }, rows[i].body, 64, rows[i].find, rows[i].text);
	}
}

static void
an_empty_parameter_is_absent(void)
{
	struct scheme_value value = { .from = SCHEME_FROM_FORM, .name = "id" };
	reads(&value, (struct fields){ 0 }, SPAN("id=&a=b"), 64, VALUE_ABSENT, SPAN(""));
	reads(&value, (struct fields){ 0 }, SPAN("id"), 64, VALUE_ABSENT, SPAN(""));
}

static void
a_constant_is_itself(void)
{
	struct scheme_value value = { .from = SCHEME_CONSTANT, .name = "list_folder" };
	reads(&value, (struct fields){ 0 }, SPAN(""), 64, VALUE_FOUND, SPAN("list_folder"));
}

/* Id, time and signature come under the names of one family. */
static void
names_follow_the_family_of_the_signature(void)
{
	static const struct field own[] = { { TEXT("Svix-Signature"), TEXT("s") },
		                            { TEXT("svix-id"), TEXT("1") },
		                            { TEXT("webhook-id"), TEXT("2") } };
	static const struct field other[] = { { TEXT("Webhook-Signature"), TEXT("s") },
		                              { TEXT("svix-id"), TEXT("1") },
		                              { TEXT("webhook-ID"), TEXT("2") } };
	const struct scheme *scheme = &preset_find("svix")->scheme;
	static const struct {
		const struct field *items;
		bool other_family;
		const char *id;
	} rows[] = { { own, false, "1" }, { other, true, "2" } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verify_request request = { .fields = { rows[i].items, 3 } };
		struct buffer out;
		struct span value = { 0 };
		buffer_init(&out, 64);
		request_family(&request, scheme);
		CHECK_ROW(request.other_family == rows[i].other_family, "row %zu", i);
		CHECK_ROW(value_read(scheme, &scheme->id, &request, SPAN(""), &out) ==
		                          VALUE_FOUND &&
		                  span_equal(buffer_view(&out), span_of(rows[i].id)),
		          "row %zu: %s", i, check_quote(buffer_view(&out)));
		CHECK_ROW(request_field(&request, scheme, "svix-signature", &value) == 1, "row %zu",
		          i);
		CHECK_ROW(request_field(&request, scheme, "Other", &value) == 0, "row %zu", i);
		buffer_finish(&out);
	}
	/* A scheme without another family has no other names. */
	struct verify_request request = { .fields = { other, 3 } };
	request_family(&request, &preset_find("openai")->scheme);
	CHECK(!request.other_family);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a header is read when it stands there once", a_header_is_read_once },
		{ "a JSON value is decoded and a number keeps its digits",
		  a_json_value_keeps_its_digits },
		{ "parts are joined and a missing one is empty",
		  parts_are_joined_and_a_missing_one_is_empty },
		{ "parts may be headers", parts_may_be_headers },
		{ "a form has parameters", a_form_has_parameters },
		{ "an empty parameter is absent", an_empty_parameter_is_absent },
		{ "a constant is itself", a_constant_is_itself },
		{ "names follow the family of the signature",
		  names_follow_the_family_of_the_signature },
		{ "what is generated or nowhere is absent",
		  what_is_generated_or_nowhere_is_absent },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
