/* The schema reader, over rows of this test's own: it knows no word of ours. */
#include <string.h>

#include "receiver/base/units.h"
#include "receiver/schema/row.h"

#include "tests/unit/check.h"

#define FIELD(type, member) .offset = offsetof(struct type, member)

struct inner {
	struct schema_entry entry;
	const char *name;
	int64_t count;
};

struct outer {
	struct schema_entry entry;
	bool flag;
	int64_t whole;
	int64_t decimal;
	int64_t wait_ns;
	int64_t bytes;
	int64_t rate;
	const char *text;
	int word;
	struct schema_list texts;
	struct inner map;
	struct inner nick; /* a plain text stands for { name: … } */
	struct schema_list list;
	struct schema_list named;
	struct schema_list globs;
};

static const char *const colours[] = { "red", "green", "blue", NULL };

static const struct schema_row inner_rows[] = {
	{ .name = "name", .kind = SCHEMA_TEXT, FIELD(inner, name), .required = true },
	{ .name = "count",
	  .kind = SCHEMA_INTEGER,
	  FIELD(inner, count),
	  .fallback = "3",
	  .least = "1",
	  .most = "9" },
	{ .name = NULL },
};

static const struct schema_row rows[] = {
	{ .name = "flag", .kind = SCHEMA_BOOL, FIELD(outer, flag), .fallback = "true" },
	{ .name = "whole", .kind = SCHEMA_INTEGER, FIELD(outer, whole), .least = "10" },
	{ .name = "decimal",
	  .kind = SCHEMA_DECIMAL,
	  FIELD(outer, decimal),
	  .fallback = "1.5",
	  .least = "1",
	  .most = "100" },
	{ .name = "wait",
	  .kind = SCHEMA_DURATION,
	  FIELD(outer, wait_ns),
	  .fallback = "30s",
	  .least = "100ms",
	  .most = "5m" },
	{ .name = "bytes",
	  .kind = SCHEMA_SIZE,
	  FIELD(outer, bytes),
	  .fallback = "1MiB",
	  .most = "1GiB" },
	{ .name = "rate", .kind = SCHEMA_RATE, FIELD(outer, rate), .fallback = "100/s" },
	{ .name = "text", .kind = SCHEMA_TEXT, FIELD(outer, text) },
	{ .name = "word",
	  .kind = SCHEMA_WORD,
	  FIELD(outer, word),
	  .words = colours,
	  .fallback = "green" },
	{ .name = "texts", .kind = SCHEMA_TEXTS, FIELD(outer, texts) },
	{ .name = "map", .kind = SCHEMA_MAP, FIELD(outer, map), .rows = inner_rows },
	{ .name = "nick",
	  .kind = SCHEMA_MAP,
	  FIELD(outer, nick),
	  .rows = inner_rows,
	  .scalar = "name" },
	{ .name = "list",
	  .kind = SCHEMA_LIST,
	  FIELD(outer, list),
	  .rows = inner_rows,
	  .size = sizeof(struct inner) },
	{ .name = "named",
	  .kind = SCHEMA_NAMED,
	  FIELD(outer, named),
	  .rows = inner_rows,
	  .size = sizeof(struct inner) },
	{ .name = "globs", .kind = SCHEMA_GLOBS, FIELD(outer, globs) },
	{ .name = "later", .kind = SCHEMA_TEXT, .later = true },
	{ .name = NULL },
};

struct fixture {
	struct arena arena;
	struct problems problems;
	struct outer read;
	char *report;
};

static void
start(struct fixture *f, const char *source)
{
	memset(f, 0, sizeof(*f));
	arena_init(&f->arena);
	struct span text = { arena_text(&f->arena, span_of(source)), strlen(source) };
	problems_init(&f->problems, &f->arena, "h.yaml", text);
	const struct node *root = document_parse(&f->problems);
	if (root != NULL) {
		schema_read(&f->problems, rows, root, &f->read);
	}
	struct buffer out;
	buffer_init(&out, 65536);
	problems_print(&f->problems, &out);
	f->report = buffer_steal(&out);
}

static void
finish(struct fixture *f)
{
	free(f->report);
	arena_finish(&f->arena);
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

static void
what_is_not_written_is_the_fallback(void)
{
	struct fixture f;
	start(&f, "{}");
	CHECK_ROW(f.problems.count == 0, "%s", f.report);
	CHECK(f.read.flag && f.read.whole == 0 && f.read.decimal == 1500);
	CHECK(f.read.wait_ns == 30 * NS_PER_S && f.read.bytes == 1048576);
	CHECK(f.read.rate == 100 * UNITS_RATE_PERIOD_S && f.read.text == NULL && f.read.word == 1);
	CHECK(f.read.texts.count == 0 && f.read.list.count == 0 && f.read.named.count == 0);
	CHECK(f.read.map.entry.node == NULL && f.read.map.count == 3 && f.read.map.name == NULL);
	CHECK(f.read.entry.node != NULL);
	finish(&f);
}

static void
every_kind_is_read(void)
{
	struct fixture f;
	start(&f,
	      "flag: false\nwhole: 12\ndecimal: 2.25\nwait: 250ms\nbytes: 16KiB\nrate: 30/m\n"
	      "text: \"true\"\nword: blue\ntexts: [ a, \"\", 'c d' ]\nmap: { name: m, count: 9 }\n"
	      "nick: n\nlist: [ { name: x }, { name: y, count: 1 } ]\n"
	      "named: { b-1: { name: x }, a_2: { name: y } }\n"
	      "globs: { /ref: refs/*, /action: [ opened, \"re*\" ], \"\": x }\n");
	CHECK_ROW(f.problems.count == 0, "%s", f.report);
	CHECK(!f.read.flag && f.read.whole == 12 && f.read.decimal == 2250);
	CHECK(f.read.wait_ns == 250 * NS_PER_MS && f.read.bytes == 16384 &&
	      f.read.rate == UNITS_RATE_PERIOD_S / 2);
	CHECK(same(f.read.text, "true") && f.read.word == 2);
	const char *const *texts = f.read.texts.items;
	CHECK(f.read.texts.count == 3 && same(texts[0], "a") && same(texts[1], "") &&
	      same(texts[2], "c d"));
	CHECK(f.read.map.entry.node != NULL && same(f.read.map.name, "m") && f.read.map.count == 9);
	CHECK(f.read.nick.entry.node != NULL && same(f.read.nick.name, "n") &&
	      f.read.nick.count == 3);
	const struct inner *list = f.read.list.items;
	CHECK(f.read.list.count == 2 && same(list[0].name, "x") && list[0].count == 3 &&
	      same(list[1].name, "y") && list[1].count == 1 && list[1].entry.name == NULL);
	const struct inner *named = f.read.named.items;
	CHECK(f.read.named.count == 2 && same(named[0].entry.name, "b-1") &&
	      same(named[1].entry.name, "a_2") && same(named[1].name, "y"));
	const struct schema_globs *globs = f.read.globs.items;
	if (CHECK(f.read.globs.count == 3 && same(globs[1].key, "/action") &&
	          globs[0].globs.count == 1 && globs[1].globs.count == 2)) {
		CHECK(same(((const char *const *)globs[0].globs.items)[0], "refs/*"));
		CHECK(same(((const char *const *)globs[1].globs.items)[1], "re*"));
	}
	finish(&f);
}

/* Lists grow past what one block of the arena takes. */
static void
long_lists_are_whole(void)
{
	struct buffer text;
	struct fixture f;
	buffer_init(&text, 1 << 20);
	buffer_text(&text, "list:\n");
	for (int i = 0; i < 1000; i++) {
		buffer_format(&text, "  - { name: n%d, count: %d }\n", i, i % 9 + 1);
	}
	char *source = buffer_steal(&text);
	start(&f, source);
	CHECK_ROW(f.problems.count == 0, "%s", f.report);
	const struct inner *list = f.read.list.items;
	CHECK(f.read.list.count == 1000);
	for (int i = 0; i < 1000 && f.read.list.count == 1000; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "n%d", i);
		CHECK_ROW(same(list[i].name, name) && list[i].count == i % 9 + 1, "%d", i);
	}
	finish(&f);
	free(source);
}

struct told {
	const char *source;
	const char *told; /* in the report */
};

static void
tells(const struct told *told, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct fixture f;
		start(&f, told[i].source);
		CHECK_ROW(f.problems.errors > 0 && strstr(f.report, told[i].told) != NULL, "%s: %s",
		          told[i].source, f.report);
		finish(&f);
	}
}

static void
unknown_keys_are_told_with_the_nearest(void)
{
	static const struct told told[] = {
		{ "colour: red\n", "h.yaml:1:1: error: unknown key \"colour\"\n" },
		{ "wrod: red\n", "h.yaml:1:1: error: unknown key \"wrod\"; did you mean \"word\"?\n"
		                 "    wrod: red\n"
		                 "    ^~~~\n" },
		{ "map: { name: x, cuont: 1 }\n",
		  "h.yaml:1:17: error: unknown key \"cuont\"; did you mean \"count\"?" },
		{ "list:\n  - name: x\n    nmae: y\n",
		  "h.yaml:3:5: error: unknown key \"nmae\"; did you mean \"name\"?" },
		{ "named:\n  a:\n    name: x\n    conut: 1\n",
		  "h.yaml:4:5: error: unknown key \"conut\"; did you mean \"count\"?" },
		{ "Flag: true\n", "error: unknown key \"Flag\"; did you mean \"flag\"?" },
	};
	tells(told, COUNT(told));
}

static void
values_of_the_wrong_kind_are_told(void)
{
	static const struct told told[] = {
		{ "flag: yes\n", "h.yaml:1:7: error: flag: expected true or false" },
		{ "flag: True\n", "flag: expected true or false" },
		{ "flag: [ true ]\n", "flag: expected true or false" },
		{ "whole: 1.5\n", "h.yaml:1:8: error: whole: expected a whole number" },
		{ "whole: -12\n", "whole: expected a whole number" },
		{ "whole: 0x20\n", "whole: expected a whole number" },
		{ "whole: twelve\n", "whole: expected a whole number" },
		{ "whole: {}\n", "whole: expected a whole number" },
		{ "decimal: x\n", "decimal: expected a number" },
		{ "decimal: 2/s\n", "decimal: expected a number" },
		{ "wait: 30\n", "h.yaml:1:7: error: wait: expected a duration with its unit" },
		{ "wait: 30 s\n", "wait: expected a duration with its unit" },
		{ "bytes: 512\n", "bytes: expected a size with its unit" },
		{ "rate: 100\n", "rate: expected a rate with its unit" },
		{ "text: [ a ]\n", "h.yaml:1:7: error: text: expected a text" },
		{ "text: { a: b }\n", "text: expected a text" },
		{ "text:\n", "text: expected a text" },
		{ "text: null\n", "text: expected a text" },
		{ "text: ~\n", "text: expected a text" },
		{ "whole: ''\n", "whole: expected a whole number" },
		{ "word: gren\n",
		  "word: \"gren\" is none of: red, green, blue; did you mean \"green\"?" },
		{ "word: x\n", "word: \"x\" is none of: red, green, blue\n" },
		{ "word: RED\n", "word: \"RED\" is none of" },
		{ "texts: a\n", "h.yaml:1:8: error: texts: expected a list of texts" },
		{ "texts: [ [ a ] ]\n", "h.yaml:1:10: error: texts: expected a text" },
		{ "texts: { a: b }\n", "texts: expected a list of texts" },
		{ "map: x\n", "map: expected a map" },
		{ "map: [ x ]\n", "map: expected a map" },
		{ "nick: [ x ]\n", "nick: expected a map" },
		{ "nick:\n", "nick: expected a map" },
		{ "list: { name: x }\n", "list: expected a list" },
		{ "list: [ x ]\n", "h.yaml:1:9: error: list: expected a map" },
		{ "named: [ x ]\n", "named: expected a map of names" },
		{ "named: { a: x }\n", "named: expected a map" },
		{ "globs: [ x ]\n", "globs: expected a map of JSON pointers" },
		{ "globs: { ref: x }\n", "h.yaml:1:10: error: globs: a JSON pointer begins with" },
		{ "globs: { /ref: { a: b } }\n", "globs: expected a text or a list of texts" },
		{ "globs: { /ref: [ [ a ] ] }\n", "globs: expected a text" },
	};
	tells(told, COUNT(told));
}

static void
values_out_of_range_are_told(void)
{
	static const struct told told[] = {
		{ "whole: 9\n", "h.yaml:1:8: error: whole: 9 is out of range: 10 or more" },
		{ "decimal: 0.999\n", "decimal: 0.999 is out of range: 1 to 100" },
		{ "decimal: 100.001\n", "decimal: 100.001 is out of range: 1 to 100" },
		{ "wait: 99ms\n", "wait: 99ms is out of range: 100ms to 5m" },
		{ "wait: 6m\n", "wait: 6m is out of range: 100ms to 5m" },
		{ "bytes: 2GiB\n", "bytes: 2GiB is out of range: at most 1GiB" },
		{ "map: { name: x, count: 10 }\n", "count: 10 is out of range: 1 to 9" },
	};
	tells(told, COUNT(told));
	static const char *const edges[] = { "whole: 10\n",   "decimal: 1\n", "decimal: 100\n",
		                             "wait: 100ms\n", "wait: 5m\n",   "bytes: 1GiB\n" };
	for (size_t i = 0; i < COUNT(edges); i++) {
		struct fixture f;
		start(&f, edges[i]);
		CHECK_ROW(f.problems.count == 0, "%s: %s", edges[i], f.report);
		finish(&f);
	}
}

static void
missing_and_later_keys_are_told(void)
{
	static const struct told told[] = {
		{ "map: { count: 1 }\n", "h.yaml:1:1: error: the key \"name\" is missing" },
		{ "list:\n  - count: 1\n", "h.yaml:2:5: error: the key \"name\" is missing" },
		{ "named: { a: {} }\n", "h.yaml:1:10: error: the key \"name\" is missing" },
		{ "later: x\n", "h.yaml:1:1: error: later: not in this version" },
		{ "later:\n  deep: [ 1 ]\n", "h.yaml:1:1: error: later: not in this version" },
	};
	tells(told, COUNT(told));
}

static void
names_keep_to_their_alphabet(void)
{
	static const struct {
		const char *name;
		bool good;
	} names[] = {
		{ "a", true },
		{ "0-_z", true },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
		{ "A", false },
		{ "a.b", false },
		{ "a b", false },
		{ "a/b", false },
		{ "\"\"", false },
		{ "é", false },
	};
	for (size_t i = 0; i < COUNT(names); i++) {
		struct fixture f;
		char source[256];
		(void)snprintf(source, sizeof(source), "named:\n  %s: { name: x }\n",
		               names[i].name);
		start(&f, source);
		CHECK_ROW((f.problems.errors == 0) == names[i].good &&
		                  (names[i].good ||
		                   strstr(f.report, "h.yaml:2:3: error:") != NULL ||
		                   names[i].name[0] == '"') &&
		                  (names[i].good || strstr(f.report, "a name is 1 to 64") != NULL),
		          "%s: %s", source, f.report);
		finish(&f);
	}
}

static void
all_problems_are_told_at_once(void)
{
	struct fixture f;
	start(&f, "flag: maybe\nwait: 30\nwrod: red\nmap: {}\nlater: x\nflag: true\n");
	CHECK_ROW(f.problems.errors == 6, "%s", f.report);
	static const char *const places[] = { "h.yaml:1:7:", "h.yaml:2:7:", "h.yaml:3:1:",
		                              "h.yaml:4:",   "h.yaml:5:1:", "h.yaml:6:1:" };
	const char *at = f.report;
	for (size_t i = 0; i < COUNT(places) && at != NULL; i++) { /* in the order of the file */
		at = strstr(at, places[i]);
		CHECK_ROW(at != NULL, "%s in %s", places[i], f.report);
	}
	finish(&f);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "what is not written is the fallback", what_is_not_written_is_the_fallback },
		{ "every kind is read", every_kind_is_read },
		{ "long lists are whole", long_lists_are_whole },
		{ "unknown keys are told with the nearest one",
		  unknown_keys_are_told_with_the_nearest },
		{ "values of the wrong kind are told", values_of_the_wrong_kind_are_told },
		{ "values out of range are told, at the edge they are good",
		  values_out_of_range_are_told },
		{ "missing and later keys are told", missing_and_later_keys_are_told },
		{ "names keep to their alphabet", names_keep_to_their_alphabet },
		{ "all problems are told at once", all_problems_are_told_at_once },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
