#include "receiver/verify/json_pointer.h"

#include <string.h>

#include "receiver/base/encoding.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"
#include "tests/unit/json_walk.h"

static const char *const find_names[] = {
	[JSON_FOUND] = "found",
	[JSON_ABSENT] = "absent",
	[JSON_BROKEN] = "broken",
};

struct row {
	struct span text;
	struct span pointer;
	struct span raw; /* of what is found */
	enum json_find find;
};

static void
find_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct json_slice slice = { 0 };
		struct span text = edge_copy(0, rows[i].text);
		enum json_find find =
			json_pointer_find(text, edge_copy(1, rows[i].pointer), &slice);
		CHECK_ROW(find == rows[i].find, "%s in %s: %s", check_quote(rows[i].pointer),
		          check_quote(rows[i].text), find_names[find]);
		CHECK_ROW(find != JSON_FOUND || span_equal(slice.raw, rows[i].raw), "%s in %s: %s",
		          check_quote(rows[i].pointer), check_quote(rows[i].text),
		          check_quote(slice.raw));
		CHECK_ROW(find == JSON_FOUND || slice.raw.data == NULL,
		          "%s in %s: written without being found", check_quote(rows[i].pointer),
		          check_quote(rows[i].text));
	}
}

/* RFC 6901 section 5 */
#define EXAMPLE                                                                            \
	"{\n   \"foo\": [\"bar\", \"baz\"],\n   \"\": 0,\n   \"a/b\": 1,\n   \"c%d\": 2,"  \
	"\n   \"e^f\": 3,\n   \"g|h\": 4,\n   \"i\\\\j\": 5,\n   \"k\\\"l\": 6,\n   \" \"" \
	": 7,\n   \"m~n\": 8\n}"

static void
the_examples_of_rfc6901_are_found(void)
{
	static const struct row rows[] = {
		{ TEXT(EXAMPLE), TEXT(""), TEXT(EXAMPLE), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/foo"), TEXT("[\"bar\", \"baz\"]"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/foo/0"), TEXT("\"bar\""), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/foo/1"), TEXT("\"baz\""), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/"), TEXT("0"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/a~1b"), TEXT("1"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/c%d"), TEXT("2"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/e^f"), TEXT("3"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/g|h"), TEXT("4"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/i\\j"), TEXT("5"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/k\"l"), TEXT("6"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/ "), TEXT("7"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/m~0n"), TEXT("8"), JSON_FOUND },
		{ TEXT(EXAMPLE), TEXT("/foo/2"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/foo/-"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/foo/00"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/foo/01"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/foo/"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/foo/99999999999999999999"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/foo/0/0"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/fo"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/Foo"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("/ /x"), TEXT(""), JSON_ABSENT },
		{ TEXT(EXAMPLE), TEXT("//"), TEXT(""), JSON_ABSENT },
	};
	find_rows(rows, COUNT(rows));
}

static void
keys_are_compared_decoded(void)
{
	static const struct row rows[] = {
		{ TEXT("{\"\\u0069d\":1}"), TEXT("/id"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\u00e9\":1}"), TEXT("/\xc3\xa9"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\ud83e\\udd8a\":1}"), TEXT("/\xf0\x9f\xa6\x8a"), TEXT("1"),
		  JSON_FOUND },
		{ TEXT("{\"a\\/b\":1}"), TEXT("/a~1b"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\u002f\":1}"), TEXT("/~1"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"~1\":1}"), TEXT("/~01"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\n\":1}"), TEXT("/\n"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"i\\u0064\\u0000\":0,\"id\":1}"), TEXT("/id"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\ud800\":0,\"id\":1}"), TEXT("/id"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\x\":0,\"id\":1}"), TEXT("/id"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\xff\":0,\"id\":1}"), TEXT("/id"), TEXT("1"), JSON_FOUND },
		/* halves of a pair that do not fit, and escapes that end too early, are no key */
		{ TEXT("{\"\\ud83e\\u0041\":0,\"\\ud83e\\ue000\":0,\"id\":1}"), TEXT("/id"),
		  TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\udfff\\udd8a\":0,\"\\ud83e\\n12345\":0,\"id\":1}"), TEXT("/id"),
		  TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\ud83exxxxxxx\":0,\"\\ud83e\\uxxxx\":0,\"id\":1}"), TEXT("/id"),
		  TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\u12\":0,\"\\uxyzw\":0,\"id\":1}"), TEXT("/id"), TEXT("1"),
		  JSON_FOUND },
		{ TEXT("{\"\\uffff\":1}"), TEXT("/\xef\xbf\xbf"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"\\\0\":0,\"id\":1}"), TEXT("/id"), TEXT("1"), JSON_FOUND },
		{ TEXT("{\"ID\":0}"), TEXT("/id"), TEXT(""), JSON_ABSENT },
		{ TEXT("{\"id\\\"\":0}"), TEXT("/id"), TEXT(""), JSON_ABSENT },
	};
	find_rows(rows, COUNT(rows));
}

static void
of_repeated_keys_the_first_counts(void)
{
	static const struct row rows[] = {
		{ TEXT("{\"id\":\"a\",\"id\":\"b\"}"), TEXT("/id"), TEXT("\"a\""), JSON_FOUND },
		{ TEXT("{\"\\u0069d\":\"a\",\"id\":\"b\"}"), TEXT("/id"), TEXT("\"a\""),
		  JSON_FOUND },
		{ TEXT("{\"e\":{},\"e\":{\"id\":1}}"), TEXT("/e/id"), TEXT(""), JSON_ABSENT },
		{ TEXT("{\"e\":1,\"e\":{\"id\":1}}"), TEXT("/e/id"), TEXT(""), JSON_ABSENT },
	};
	find_rows(rows, COUNT(rows));
}

static void
what_is_odd_beside_the_way_does_not_matter(void)
{
	static const struct row rows[] = {
		{ TEXT("{\"n\":1e400,\"id\":\"x\"}"), TEXT("/id"), TEXT("\"x\""), JSON_FOUND },
		{ TEXT("{\"n\":123456789012345678901234567890,\"id\":\"x\"}"), TEXT("/id"),
		  TEXT("\"x\""), JSON_FOUND },
		{ TEXT("{\"s\":\"\\u0000\",\"id\":\"x\"}"), TEXT("/id"), TEXT("\"x\""),
		  JSON_FOUND },
		{ TEXT("{\"s\":\"\\udc00\",\"id\":\"x\"}"), TEXT("/id"), TEXT("\"x\""),
		  JSON_FOUND },
		{ TEXT("{\"s\":\"\xff\xfe\0\n\",\"id\":\"x\"}"), TEXT("/id"), TEXT("\"x\""),
		  JSON_FOUND },
		{ TEXT("{\"s\":\"\\\",\\\"id\\\":1,\\\\\",\"id\":\"x\"}"), TEXT("/id"),
		  TEXT("\"x\""), JSON_FOUND },
		{ TEXT("{\"a\":[{]},\"id\":\"x\"}"), TEXT("/id"), TEXT("\"x\""),
		  JSON_FOUND }, /* brackets are counted, not matched */
		{ TEXT("{\"n\":nul,\"id\":\"x\"}"), TEXT("/id"), TEXT("\"x\""), JSON_FOUND },
		{ TEXT("{\"id\":\"x\",\"rest\":"), TEXT("/id"), TEXT("\"x\""), JSON_FOUND },
		{ TEXT("{\"id\":\"x\"} and more"), TEXT("/id"), TEXT("\"x\""), JSON_FOUND },
		{ TEXT("[[1,[2]],{\"a\":[3]},\"x\"]"), TEXT("/2"), TEXT("\"x\""), JSON_FOUND },
		{ TEXT(" \r\n\t{ \"id\" \n:\t\"x\" }"), TEXT("/id"), TEXT("\"x\""), JSON_FOUND },
	};
	find_rows(rows, COUNT(rows));
}

static void
what_is_broken_on_the_way_is_told(void)
{
	static const struct row rows[] = {
		{ TEXT(""), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT(" "), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT(""), TEXT(""), TEXT(""), JSON_BROKEN },
		{ TEXT("{"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id\""), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id\":"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id\":}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id\":\"x"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id\":\"x\\\""), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id\":\"x\\"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"id\":{\"a\":1}"), TEXT("/id/b"), TEXT(""), JSON_ABSENT },
		{ TEXT("{\"id\" 1}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{id:1}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{'id':1}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"a\":1 \"id\":1}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"a\":1,}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{,\"id\":1}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("{\"a\":[1,\"id\":1}"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("[1,"), TEXT("/1"), TEXT(""), JSON_BROKEN },
		{ TEXT("[1,]"), TEXT("/1"), TEXT(""), JSON_BROKEN },
		{ TEXT("[,1]"), TEXT("/1"), TEXT(""), JSON_BROKEN },
		{ TEXT("[1 2]"), TEXT("/1"), TEXT(""), JSON_BROKEN },
		{ TEXT("payload=%7B%22id%22%3A1%7D"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("nul"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("01"), TEXT("/id"), TEXT(""), JSON_BROKEN },
		{ TEXT("null"), TEXT("/id"), TEXT(""), JSON_ABSENT },
		{ TEXT("12"), TEXT("/id"), TEXT(""), JSON_ABSENT },
		{ TEXT("\"id\""), TEXT("/id"), TEXT(""), JSON_ABSENT },
		{ TEXT("{}"), TEXT("/id"), TEXT(""), JSON_ABSENT },
		{ TEXT("[]"), TEXT("/0"), TEXT(""), JSON_ABSENT },
		{ TEXT("[]"), TEXT("/id"), TEXT(""), JSON_ABSENT },
	};
	find_rows(rows, COUNT(rows));
}

static void
kinds_are_told_apart(void)
{
	static const struct {
		struct span text;
		enum json_kind kind;
	} rows[] = {
		{ TEXT("\"a\""), JSON_STRING }, { TEXT("0"), JSON_NUMBER },
		{ TEXT("-1"), JSON_NUMBER },    { TEXT("true"), JSON_LITERAL },
		{ TEXT("null"), JSON_LITERAL }, { TEXT("{}"), JSON_OBJECT },
		{ TEXT("[]"), JSON_ARRAY },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_slice slice;
		CHECK_ROW(json_pointer_find(rows[i].text, SPAN(""), &slice) == JSON_FOUND &&
		                  slice.kind == rows[i].kind,
		          "%s", check_quote(rows[i].text));
	}
}

/* A hundred thousand brackets take a counter, not a stack; the way itself may be as deep as a pointer is long. */
static void
depth_costs_nothing(void)
{
	enum {
		DEPTH = 100000
	};
	struct buffer text;
	buffer_init(&text, DEPTH * 8);
	buffer_text(&text, "{\"deep\":");
	for (int i = 0; i < DEPTH; i++) {
		buffer_text(&text, i % 2 == 0 ? "[" : "{\"a\":");
	}
	for (int i = DEPTH - 1; i >= 0; i--) {
		buffer_text(&text, i % 2 == 0 ? "]" : "}");
	}
	buffer_text(&text, ",\"id\":\"x\"}");
	CHECK(!text.failed);
	struct json_slice slice;
	CHECK(json_pointer_find(buffer_view(&text), SPAN("/id"), &slice) == JSON_FOUND &&
	      span_equal(slice.raw, SPAN("\"x\"")));
	struct buffer pointer;
	buffer_init(&pointer, 1024);
	for (int i = 0; i < 300; i++) {
		buffer_text(&pointer, i == 0 ? "/deep" : i % 2 == 1 ? "/0" : "/a");
	}
	CHECK(json_pointer_find(buffer_view(&text), buffer_view(&pointer), &slice) == JSON_FOUND);
	buffer_finish(&text);
	buffer_finish(&pointer);
}

/* Cut anywhere, a text gives its value whole, or none; and nobody reads behind its end. */
static void
a_text_that_is_cut_gives_no_half_string(void)
{
	static const char text[] =
		"{\"a\":[1,{\"b\\\"\":\"\\u00e9\"}],\"e\":{\"id\":\"evt_\\n1\"}}";
	struct span whole = { text, sizeof(text) - 1 };
	size_t found = 0;
	for (size_t size = 0; size <= whole.size; size++) {
		struct json_slice slice = { 0 };
		enum json_find find = json_pointer_find(edge_copy(0, (struct span){ text, size }),
		                                        SPAN("/e/id"), &slice);
		CHECK_ROW(find != JSON_ABSENT, "cut at %zu", size);
		if (find == JSON_FOUND) {
			found++;
			CHECK_ROW(span_equal(slice.raw, SPAN("\"evt_\\n1\"")), "cut at %zu", size);
		}
	}
	CHECK(found == 3); /* with its closing quote, and the two brackets behind */
}

static void
values_become_text(void)
{
	static const struct {
		struct span raw;
		struct span text;
		bool good;
	} rows[] = {
		{ TEXT("\"\""), TEXT(""), true },
		{ TEXT("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\""), TEXT("a\"\\/\b\f\n\r\tz"), true },
		{ TEXT("\"\\u0041\\u00E9\\u20ac\""), TEXT("A\xc3\xa9\xe2\x82\xac"), true },
		{ TEXT("\"\\uD83E\\udd8a\""), TEXT("\xf0\x9f\xa6\x8a"), true },
		{ TEXT("\"\\u0000\""), TEXT("\0"), true },
		{ TEXT("\"\xc3\xa9\""), TEXT("\xc3\xa9"), true },
		{ TEXT("\"\\ud800\""), TEXT(""), false },
		{ TEXT("\"\\udc00\""), TEXT(""), false },
		{ TEXT("\"\\ud800\\ud800\""), TEXT(""), false },
		{ TEXT("\"\\ud800x\""), TEXT(""), false },
		{ TEXT("\"\\ud800\\n\""), TEXT(""), false },
		{ TEXT("\"\\u12\""), TEXT(""), false },
		{ TEXT("\"\\u12g4\""), TEXT(""), false },
		{ TEXT("\"\\u+123\""), TEXT(""), false },
		{ TEXT("\"\\x41\""), TEXT(""), false },
		{ TEXT("\"\\\0\""), TEXT(""), false },
		{ TEXT("\"a\nb\""), TEXT(""), false }, /* RFC 8259 section 7: MUST be escaped */
		{ TEXT("\"a\0b\""), TEXT(""), false },
		{ TEXT("\"\xff\""), TEXT(""), false },
		{ TEXT("\"\xed\xa0\x80\""), TEXT(""), false },
		{ TEXT("\"\xc0\xaf\""), TEXT(""), false },
		{ TEXT("0"), TEXT("0"), true },
		{ TEXT("-0"), TEXT("-0"), true },
		{ TEXT("123456789012345678901234567890"), TEXT("123456789012345678901234567890"),
		  true },
		{ TEXT("1.50"), TEXT("1.50"), true },
		{ TEXT("1e400"), TEXT("1e400"), true },
		{ TEXT("-1.5E-10"), TEXT("-1.5E-10"), true },
		{ TEXT("01"), TEXT(""), false },
		{ TEXT("-"), TEXT(""), false },
		{ TEXT("1."), TEXT(""), false },
		{ TEXT("1.e1"), TEXT(""), false },
		{ TEXT("1e"), TEXT(""), false },
		{ TEXT("1e+"), TEXT(""), false },
		{ TEXT("1x"), TEXT(""), false },
		{ TEXT("0x10"), TEXT(""), false },
		{ TEXT("-Infinity"), TEXT(""), false },
		{ TEXT("true"), TEXT("true"), true },
		{ TEXT("null"), TEXT("null"), true },
		{ TEXT("True"), TEXT(""), false },
		{ TEXT("nul"), TEXT(""), false },
		{ TEXT(".5"), TEXT(""), false },
		{ TEXT("+1"), TEXT(""), false },
		{ TEXT("{\"a\": 1}"), TEXT("{\"a\": 1}"), true },
		{ TEXT("[1]"), TEXT("[1]"), true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_slice slice;
		struct buffer out;
		buffer_init(&out, 64);
		struct span raw = edge_copy(0, rows[i].raw);
		if (CHECK_ROW(json_pointer_find(raw, SPAN(""), &slice) == JSON_FOUND &&
		                      slice.raw.size == raw.size,
		              "%s", check_quote(raw))) {
			bool good = json_slice_text(slice, &out);
			CHECK_ROW(good == rows[i].good, "%s: %s", check_quote(raw),
			          good ? "a text" : "none");
			CHECK_ROW(!good || span_equal(buffer_view(&out), rows[i].text),
			          "%s became %s", check_quote(raw), check_quote(buffer_view(&out)));
		}
		buffer_finish(&out);
	}
}

static void
a_path_is_unique_or_not(void)
{
	static const struct {
		struct span text;
		struct span pointer;
		bool unique;
	} rows[] = {
		{ TEXT("{\"a\":1,\"b\":2}"), TEXT("/a"), true },
		{ TEXT("{\"a\":1,\"a\":2}"), TEXT("/a"), false },
		{ TEXT("{\"a\":1,\"\\u0061\":2}"), TEXT("/a"), false },
		{ TEXT("{\"a\":{\"b\":1,\"b\":2}}"), TEXT("/a/b"), false },
		{ TEXT("{\"a\":{\"b\":1},\"a\":{}}"), TEXT("/a/b"), false },
		{ TEXT("{\"a\":{\"b\":1}}"), TEXT("/a/b"), true },
		{ TEXT("{}"), TEXT("/a"), true },
		{ TEXT("{\"b\":1,\"b\":2}"), TEXT("/a"), true },
		/* where there is no such path there are no two of it */
		{ TEXT(""), TEXT("/a"), true },
		{ TEXT(" "), TEXT("/a"), true },
		{ TEXT("[1]"), TEXT("/a"), true },
		{ TEXT("{"), TEXT("/a"), true },
		{ TEXT("{1"), TEXT("/a"), true },
		{ TEXT("{\"a"), TEXT("/a"), true },
		{ TEXT("{\"a\" 1}"), TEXT("/a"), true },
		{ TEXT("{\"a\":"), TEXT("/a"), true },
		{ TEXT("{\"a\":1"), TEXT("/a"), true },
		{ TEXT("{\"a\":1,\"a\":2"), TEXT("/a"), true },
		{ TEXT("{\"a\":1,\"a\":2}"), TEXT(""), true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(json_pointer_unique(edge_copy(0, rows[i].text),
		                              edge_copy(1, rows[i].pointer)) == rows[i].unique,
		          "%s in %s", check_quote(rows[i].pointer), check_quote(rows[i].text));
	}
}

static void
a_name_that_is_too_long_is_absent(void)
{
	static char name[8192];
	struct json_slice slice;
	memset(name, 'a', sizeof(name));
	name[0] = '/';
	struct span pointer = { name, sizeof(name) };
	CHECK(json_pointer_find(SPAN("{\"a\":1}"), pointer, &slice) == JSON_ABSENT);
	CHECK(json_pointer_unique(SPAN("{\"a\":1}"), pointer));
}

static void
elements_are_walked_to_a_good_end_or_a_broken_one(void)
{
	static const struct {
		struct span text;
		size_t count;
		enum json_find end;
	} rows[] = {
		{ TEXT("[]"), 0, JSON_ABSENT },    { TEXT("[ 1 , {} ]"), 2, JSON_ABSENT },
		{ TEXT("[1 2]"), 1, JSON_BROKEN }, { TEXT("[1,]"), 1, JSON_BROKEN },
		{ TEXT("[nul]"), 1, JSON_ABSENT }, /* what an element says is for whoever reads it */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_items items;
		struct json_slice slice;
		size_t count = 0;
		enum json_find found =
			json_items_begin(edge_copy(0, rows[i].text), SPAN(""), &items);
		CHECK_ROW(found == JSON_FOUND, "%s", check_quote(rows[i].text));
		while (found == JSON_FOUND) {
			found = json_items_next(&items, &slice);
			count += found == JSON_FOUND ? 1 : 0;
		}
		CHECK_ROW(found == rows[i].end && count == rows[i].count, "%s: %zu, %s",
		          check_quote(rows[i].text), count, find_names[found]);
	}
	struct json_items items;
	CHECK(json_items_begin(SPAN("{}"), SPAN(""), &items) == JSON_ABSENT);
	CHECK(json_items_begin(SPAN("{}"), SPAN("/a"), &items) == JSON_ABSENT);
	CHECK(json_items_begin(SPAN(""), SPAN(""), &items) == JSON_BROKEN);
}

static void
a_value_that_is_too_long_is_no_text(void)
{
	struct json_slice slice;
	CHECK(json_pointer_find(SPAN("[\"12345\",12345]"), SPAN("/0"), &slice) == JSON_FOUND);
	struct buffer out;
	buffer_init(&out, 4);
	CHECK(!json_slice_text(slice, &out));
	buffer_finish(&out);
	CHECK(json_pointer_find(SPAN("[\"12345\",12345]"), SPAN("/1"), &slice) == JSON_FOUND);
	CHECK(!json_slice_text(slice, &out));
	buffer_finish(&out);
}

static void
pointers_are_valid_or_not(void)
{
	static const struct span good[] = { TEXT(""),       TEXT("/"),   TEXT("//"),
		                            TEXT("/a/0/-"), TEXT("/~0"), TEXT("/~1~0"),
		                            TEXT("/~01"),   TEXT("/ \"") };
	static const struct span wrong[] = { TEXT("a"),   TEXT("a/b"), TEXT("/~"),
		                             TEXT("/~2"), TEXT("#/a"), TEXT("/a~/b") };
	for (size_t i = 0; i < COUNT(good); i++) {
		CHECK_ROW(json_pointer_valid(edge_copy(0, good[i])), "%s", check_quote(good[i]));
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		CHECK_ROW(!json_pointer_valid(edge_copy(0, wrong[i])), "%s", check_quote(wrong[i]));
	}
}

/* --- random documents, beside jansson --- */

static const char *const keys[] = { "",     "a",   "b",  "id",      "a/b",      "~",
	                            "0",    "1",   "é",  "\\u0061", "i\\u0064", "\\ud83e\\udd8a",
	                            "\\\"", "\\n", "\\/" };

static void
put_blanks(struct random *random, struct buffer *out)
{
	static const char blanks[] = " \t\r\n";
	while (random_up_to(random, 3) == 0) {
		buffer_byte(out, blanks[random_up_to(random, 3)]);
	}
}

static void
put_scalar(struct random *random, struct buffer *out)
{
	static const char *const scalars[] = { "0",           "-12",
		                               "1.5e3",       "true",
		                               "null",        "9007199254740993",
		                               "\"\"",        "\"text\"",
		                               "\"\\u0000\"", "\"]}\\\"{[\"",
		                               "\"\\\\\"",    "\"\\u00e9 é \\ud83e\\udd8a\"" };
	buffer_text(out, scalars[random_up_to(random, COUNT(scalars) - 1)]);
}

static void
put_value(struct random *random, struct buffer *out, int depth) /* NOLINT(misc-no-recursion) */
{
	put_blanks(random, out);
	int64_t kind = depth == 0 ? 0 : random_up_to(random, 2);
	if (kind == 0) {
		put_scalar(random, out);
		put_blanks(random, out);
		return;
	}
	buffer_byte(out, kind == 1 ? '{' : '[');
	int64_t count = random_up_to(random, 4);
	for (int64_t i = 0; i < count; i++) {
		buffer_text(out, i == 0 ? "" : ",");
		if (kind == 1) {
			put_blanks(random, out);
			buffer_format(out, "\"%s\"", keys[random_up_to(random, COUNT(keys) - 1)]);
			put_blanks(random, out);
			buffer_byte(out, ':');
		}
		put_value(random, out, depth - 1);
	}
	put_blanks(random, out);
	buffer_byte(out, kind == 1 ? '}' : ']');
	put_blanks(random, out);
}

static void
put_pointer(struct random *random, struct buffer *out)
{
	static const char *const tokens[] = { "",
		                              "a",
		                              "b",
		                              "id",
		                              "a~1b",
		                              "~0",
		                              "0",
		                              "1",
		                              "2",
		                              "01",
		                              "-",
		                              "é",
		                              "\xf0\x9f\xa6\x8a",
		                              "\"",
		                              "\n",
		                              "~1" };
	int64_t depth = random_up_to(random, 4);
	for (int64_t i = 0; i < depth; i++) {
		buffer_format(out, "/%s", tokens[random_up_to(random, COUNT(tokens) - 1)]);
	}
}

static bool
agrees(struct span text, struct span pointer, const json_t *document)
{
	struct json_slice slice = { 0 };
	enum json_find find = json_pointer_find(edge_copy(0, text), edge_copy(1, pointer), &slice);
	const json_t *value = json_walk(document, pointer);
	bool good = CHECK_ROW(find == (value == NULL ? JSON_ABSENT : JSON_FOUND), "%s in %s: %s",
	                      check_quote(pointer), check_quote(text), find_names[find]) &&
	            CHECK_ROW(value == NULL || jansson_is_kind(value, slice.kind), "%s in %s",
	                      check_quote(pointer), check_quote(text));
	if (good && jansson_is(value, JANSSON_STRING)) {
		struct buffer out;
		buffer_init(&out, 4096);
		good = CHECK_ROW(json_slice_text(slice, &out) &&
		                         span_equal(buffer_view(&out),
		                                    (struct span){ json_string_value(value),
		                                                   json_string_length(value) }),
		                 "%s in %s: %s", check_quote(pointer), check_quote(text),
		                 check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
	return good;
}

static void
the_scanner_agrees_with_jansson(void)
{
	struct random random;
	check_random(&random);
	unsigned compared = 0;
	unsigned strings = 0;
	bool good = true;
	for (int round = 0; round < 40000 && good; round++) {
		struct buffer text;
		buffer_init(&text, 65536);
		put_value(&random, &text, 4);
		json_t *document =
			json_loadb(text.data, text.size,
		                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
		for (int i = 0; i < 8 && document != NULL && good; i++) {
			struct buffer pointer;
			buffer_init(&pointer, 1024);
			put_pointer(&random, &pointer);
			good = agrees(buffer_view(&text), buffer_view(&pointer), document);
			strings += jansson_is(json_walk(document, buffer_view(&pointer)),
			                      JANSSON_STRING)
			                   ? 1
			                   : 0;
			compared++;
			buffer_finish(&pointer);
		}
		json_decref(document);
		buffer_finish(&text);
	}
	CHECK_ROW(compared > 20000 && strings > 1000, "%u compared, %u strings", compared, strings);
}

/* Random bytes over JSON's own alphabet: no answer is wrong, but none may leave the text. */
static void
a_slice_is_always_inside_its_text(void)
{
	static const char alphabet[] = "{}[]\",:\\ u00e9dit1-\n\xff";
	struct random random;
	check_random(&random);
	unsigned found = 0;
	for (int round = 0; round < 300000; round++) {
		char bytes[48];
		size_t size = (size_t)random_up_to(&random, sizeof(bytes));
		for (size_t i = 0; i < size; i++) {
			bytes[i] = alphabet[random_up_to(&random, sizeof(alphabet) - 2)];
		}
		struct span text = edge_copy(0, (struct span){ bytes, size });
		struct json_slice slice;
		static const struct span pointers[] = { TEXT(""), TEXT("/0"), TEXT("/d/1"),
			                                TEXT("/") };
		struct span pointer = pointers[random_up_to(&random, COUNT(pointers) - 1)];
		if (json_pointer_find(text, pointer, &slice) != JSON_FOUND) {
			continue;
		}
		found++;
		struct buffer out;
		buffer_init(&out, 64);
		(void)!json_slice_text(slice, &out);
		if (!CHECK_ROW(slice.raw.size > 0 && slice.raw.data >= text.data &&
		                       slice.raw.data + slice.raw.size <= text.data + text.size,
		               "%s in %s", check_quote(pointer), check_quote(text)) ||
		    !CHECK_ROW(slice.kind != JSON_STRING || (slice.raw.size >= 2 && out.size <= 64),
		               "%s in %s", check_quote(pointer), check_quote(text))) {
			buffer_finish(&out);
			return;
		}
		buffer_finish(&out);
	}
	CHECK(found > 1000);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "the examples of RFC 6901 are found", the_examples_of_rfc6901_are_found },
		{ "keys are compared decoded", keys_are_compared_decoded },
		{ "of repeated keys the first counts", of_repeated_keys_the_first_counts },
		{ "what is odd beside the way does not matter",
		  what_is_odd_beside_the_way_does_not_matter },
		{ "what is broken on the way is told", what_is_broken_on_the_way_is_told },
		{ "kinds are told apart", kinds_are_told_apart },
		{ "depth costs nothing", depth_costs_nothing },
		{ "a text that is cut gives no half string",
		  a_text_that_is_cut_gives_no_half_string },
		{ "values become text, or none when they are none", values_become_text },
		{ "a path is unique or not", a_path_is_unique_or_not },
		{ "a name that is too long is absent", a_name_that_is_too_long_is_absent },
		{ "elements are walked to a good end or a broken one",
		  elements_are_walked_to_a_good_end_or_a_broken_one },
		{ "a value that is too long is no text", a_value_that_is_too_long_is_no_text },
		{ "a pointer is empty or slashes and tokens", pointers_are_valid_or_not },
		{ "the scanner agrees with jansson on random documents",
		  the_scanner_agrees_with_jansson },
		{ "a slice is always inside its text", a_slice_is_always_inside_its_text },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
