#include "receiver/verify/reencode.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static bool
written(struct span json, const struct reencode_style *style, struct span wanted)
{
	struct buffer out;
	buffer_init(&out, 4096);
	bool good = reencode(edge_copy(0, json), style, &out);
	bool same = good ? wanted.data != NULL && span_equal(buffer_view(&out), wanted)
	                 : wanted.data == NULL;
	CHECK_ROW(same, "%s: %s", check_quote(json),
	          good ? check_quote(buffer_view(&out)) : "none");
	buffer_finish(&out);
	return same;
}

#define STRINGS "[\"\\u0000\\u001f\\\"\\\\\\b\\f\\n\\r\\t/\\u00e9\xe2\x82\xac\\ud83e\\udd8a\"]"

static void
a_text_is_written_in_each_style(void)
{
	static const struct {
		struct reencode_style style;
		struct span json;
		struct span out;
	} rows[] = {
		{ { .spaced = false },
		  TEXT(" { \"a\" : [ 1 , -2.50e1 , null ] }\n"),
		  TEXT("{\"a\":[1,-2.50e1,null]}") },
		{ { .spaced = true },
		  TEXT("{\"a\":[1,true],\"b\":{}}"),
		  TEXT("{\"a\": [1, true], \"b\": {}}") },
		{ { .spaced = true, .indent = 2 },
		  TEXT("{\"a\":[1,2],\"b\":[ ],\"c\":{ }}"),
		  TEXT("{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": [],\n  \"c\": {}\n}") },
		{ { .keep_space = true, .escapes = REENCODE_UTF8 },
		  TEXT(" [ \"\\u00e9\" , { } ] \r\n"),
		  TEXT(" [ \"\xc3\xa9\" , { } ] \r\n") },
		{ { .keep_space = true, .indent = 2 }, TEXT("[\t1 ]"), TEXT("[\t1 ]") },
		{ { .escapes = REENCODE_KEEP }, TEXT(STRINGS), TEXT(STRINGS) },
		{ { .escapes = REENCODE_UTF8 },
		  TEXT(STRINGS),
		  TEXT("[\"\\u0000\\u001F\\\"\\\\\\b\\f\\n\\r\\t/\xc3\xa9\xe2\x82\xac"
		       "\xf0\x9f\xa6\x8a\"]") },
		{ { .escapes = REENCODE_LOWER_CASE },
		  TEXT(STRINGS),
		  TEXT("[\"\\u0000\\u001f\\\"\\\\\\b\\f\\n\\r\\t/\\u00e9\\u20ac\\ud83e\\udd8a\"]") },
		{ { .escapes = REENCODE_UPPER_CASE, .slashes = true },
		  TEXT(STRINGS),
		  TEXT("[\"\\u0000\\u001F\\\"\\\\\\b\\f\\n\\r\\t\\/\\u00E9\\u20AC\\uD83E\\uDD8A\"]") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		(void)written(rows[i].json, &rows[i].style, rows[i].out);
	}
}

static void
what_is_no_json_is_refused(void)
{
	static const struct span rows[] = {
		TEXT(""),       TEXT(" \t\r\n"), TEXT("["),         TEXT("]"),
		TEXT("{\"a\""), TEXT("[\"a"),    TEXT("[\"a\\\""),  TEXT("[\"a\\"),
		TEXT("[1]]"),   TEXT("[nul]"),   TEXT("[01]"),      TEXT("[-]"),
		TEXT("[+1]"),   TEXT("[1\0]"),   TEXT("[\"\\x\"]"), TEXT("[\"\\ud800\"]"),
		TEXT("\0"),
	};
	static const struct reencode_style style = { .spaced = true,
		                                     .escapes = REENCODE_LOWER_CASE };
	for (size_t i = 0; i < COUNT(rows); i++) {
		(void)written(rows[i], &style, (struct span){ 0 });
	}
}

static void
what_has_no_room_is_refused(void)
{
	static const struct reencode_style style = { .spaced = true, .indent = 4 };
	struct buffer out;
	buffer_init(&out, 8);
	CHECK(!reencode(SPAN("[1,2,3,4]"), &style, &out));
	buffer_finish(&out);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a text is written in each style", a_text_is_written_in_each_style },
		{ "what is no JSON is refused", what_is_no_json_is_refused },
		{ "what has no room is refused", what_has_no_room_is_refused },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
