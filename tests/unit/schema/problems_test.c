#include "receiver/schema/problems.h"

#include <string.h>

#include "tests/unit/check.h"

struct fixture {
	struct arena arena;
	struct problems problems;
	struct buffer out;
};

static void
start(struct fixture *f, const char *source)
{
	arena_init(&f->arena);
	problems_init(&f->problems, &f->arena, "h.yaml", span_of(source));
	buffer_init(&f->out, 65536);
}

static void
prints(struct fixture *f, const char *wanted)
{
	problems_print(&f->problems, &f->out);
	CHECK_ROW(span_equal(buffer_view(&f->out), span_of(wanted)), "%s, not %s",
	          check_quote(buffer_view(&f->out)), check_quote(span_of(wanted)));
	buffer_finish(&f->out);
	arena_finish(&f->arena);
}

static void
a_problem_is_told_with_its_line_and_a_caret(void)
{
	struct fixture f;
	start(&f, "sources:\n  github:\n    atempts: 12\n");
	problems_add(&f.problems, (struct place){ 3, 5, 7 }, "unknown key \"%s\"", "atempts");
	CHECK(f.problems.errors == 1);
	prints(&f, "h.yaml:3:5: error: unknown key \"atempts\"\n"
	           "        atempts: 12\n"
	           "        ^~~~~~~\n");
}

static void
problems_are_told_in_the_order_of_the_file(void)
{
	struct fixture f;
	start(&f, "a: 1\nb: 2\n");
	problems_add(&f.problems, (struct place){ 2, 4, 1 }, "last");
	problems_add(&f.problems, (struct place){ 1, 4, 1 }, "second");
	problems_warn(&f.problems, (struct place){ 2, 1, 1 }, "third");
	problems_add(&f.problems, (struct place){ 0 }, "first");
	CHECK(f.problems.errors == 3 && f.problems.count == 4);
	prints(&f, "h.yaml: error: first\n"
	           "h.yaml:1:4: error: second\n    a: 1\n       ^\n"
	           "h.yaml:2:1: warning: third\n    b: 2\n    ^\n"
	           "h.yaml:2:4: error: last\n    b: 2\n       ^\n");
}

/* Columns count characters; a tab stays a tab, so that the caret stands below its character anywhere. */
static void
the_caret_stands_below_its_character(void)
{
	struct fixture f;
	start(&f, "gr\xc3\xbc\xc3\x9f"
	          "e: x\n{\ta: b}\r\n");
	problems_add(&f.problems, (struct place){ 1, 8, 1 }, "one");
	problems_add(&f.problems, (struct place){ 2, 6, 1 }, "two");
	prints(&f, "h.yaml:1:8: error: one\n    gr\xc3\xbc\xc3\x9f"
	           "e: x\n           ^\n"
	           "h.yaml:2:6: error: two\n    {\ta: b}\n     \t   ^\n");
}

static void
a_place_outside_the_file_is_told_without_a_line(void)
{
	struct fixture f;
	start(&f, "a: 1");
	problems_add(&f.problems, (struct place){ 9, 1, 1 }, "beyond");
	problems_add(&f.problems, (struct place){ 1, 200, 1 }, "right of it");
	prints(&f, "h.yaml:1:200: error: right of it\n    a: 1\n        ^\n"
	           "h.yaml:9:1: error: beyond\n");
}

static void
no_more_than_a_hundred_are_told(void)
{
	struct fixture f;
	start(&f, "");
	for (int i = 0; i < PROBLEMS_MOST + 7; i++) {
		problems_add(&f.problems, (struct place){ 0 }, "again");
	}
	CHECK(f.problems.count == PROBLEMS_MOST && f.problems.errors == PROBLEMS_MOST + 7);
	problems_print(&f.problems, &f.out);
	char *text = buffer_steal(&f.out);
	CHECK(strstr(text, "h.yaml: and 7 more\n") != NULL);
	free(text);
	arena_finish(&f.arena);
}

static void
the_nearest_word_is_proposed_when_it_is_near(void)
{
	static const char *const words[] = { "attempts", "first",  "factor", "max",
		                             "jitter",   "exec",   "log",    "give_up_after",
		                             "env",      "header", NULL };
	static const struct {
		const char *text;
		const char *nearest;
	} rows[] = {
		{ "atempts", "attempts" },
		{ "attemps", "attempts" },
		{ "attmepts", "attempts" },
		{ "attempt", "attempts" },
		{ "fist", "first" },
		{ "fsirt", "first" },
		{ "mx", "max" },
		{ "maxx", "max" },
		{ "lgo", "log" },
		{ "exce", "exec" },
		{ "give_up_afer", "give_up_after" },
		{ "giveupafter", "give_up_after" },
		{ "headers", "header" },
		{ "completely", NULL },
		{ "", NULL },
		{ "zzz", NULL },
		{ "x", NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *nearest = problems_nearest(span_of(rows[i].text), words);
		CHECK_ROW((nearest == NULL) == (rows[i].nearest == NULL) &&
		                  (nearest == NULL || strcmp(nearest, rows[i].nearest) == 0),
		          "%s: %s", rows[i].text, nearest);
	}
	char longest[200];
	memset(longest, 'a', sizeof(longest));
	CHECK(problems_nearest((struct span){ longest, sizeof(longest) }, words) == NULL);
	CHECK(problems_nearest(SPAN("x"), &words[COUNT(words) - 1]) == NULL);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a problem is told with its line and a caret",
		  a_problem_is_told_with_its_line_and_a_caret },
		{ "problems are told in the order of the file",
		  problems_are_told_in_the_order_of_the_file },
		{ "the caret stands below its character", the_caret_stands_below_its_character },
		{ "a place outside the file is told without a line",
		  a_place_outside_the_file_is_told_without_a_line },
		{ "no more than a hundred are told", no_more_than_a_hundred_are_told },
		{ "the nearest word is proposed when it is near",
		  the_nearest_word_is_proposed_when_it_is_near },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
