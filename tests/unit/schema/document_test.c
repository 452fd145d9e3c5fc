#include "receiver/schema/document.h"

#include <string.h>

#include "tests/unit/check.h"

struct fixture {
	struct arena arena;
	struct problems problems;
	struct node *root;
};

static void
start(struct fixture *f, struct span source)
{
	arena_init(&f->arena);
	/* As config_load() does it: terminated, in the arena. */
	struct span text = { arena_text(&f->arena, source), source.size };
	problems_init(&f->problems, &f->arena, "h.yaml", text);
	f->root = document_parse(&f->problems);
}

static void
finish(struct fixture *f)
{
	arena_finish(&f->arena);
}

static bool
stands_at(struct place place, int line, int column, int width)
{
	return place.line == line && place.column == column && place.width == width;
}

static void
a_document_becomes_a_tree_with_places(void)
{
	struct fixture f;
	start(&f, SPAN("a: 1\nlist: [ x, \"y\" ]\n\"quoted key\":\n  b: 'z'\n  c:\n"));
	if (!CHECK(f.root != NULL && f.problems.count == 0)) {
		finish(&f);
		return;
	}
	const struct node *a = node_child(f.root, "a");
	CHECK(a->kind == NODE_SCALAR && a->plain && span_equal(a->text, SPAN("1")));
	CHECK(stands_at(a->key_place, 1, 1, 1) && stands_at(a->place, 1, 4, 1));
	const struct node *list = node_child(f.root, "list");
	CHECK(list->kind == NODE_LIST && stands_at(list->place, 2, 7, 1));
	CHECK(span_equal(list->first->text, SPAN("x")) && list->first->plain);
	CHECK(stands_at(list->first->place, 2, 9, 1));
	CHECK(span_equal(list->first->next->text, SPAN("y")) && !list->first->next->plain);
	CHECK(list->first->next->next == NULL);
	const struct node *map = node_child(f.root, "quoted key");
	CHECK(map->kind == NODE_MAP && map->key_place.line == 3);
	CHECK(span_equal(node_child(map, "b")->text, SPAN("z")));
	const struct node *c = node_child(map, "c");
	CHECK(c->text.size == 0 && c->plain && c->text.data[0] == '\0' && c->place.line == 5);
	CHECK(node_child(map, "d") == NULL && node_child(a, "d") == NULL);
	CHECK(node_child(NULL, "d") == NULL);
	CHECK(stands_at(node_key_place(f.root, "list"), 2, 1, 4));
	CHECK(node_key_place(map, "d").line == 3 && node_key_place(NULL, "d").line == 0);
	finish(&f);
}

static void
json_is_read_as_it_is(void)
{
	struct fixture f;
	start(&f, SPAN("{\"a\": {\"b\": [1, true, null, \"\\u00e9\"]}, \"c\": \"\"}"));
	if (CHECK(f.root != NULL)) {
		const struct node *b = node_child(node_child(f.root, "a"), "b");
		CHECK(b->kind == NODE_LIST);
		CHECK(span_equal(b->first->next->next->next->text, SPAN("é")));
		CHECK(!node_child(f.root, "c")->plain);
	}
	finish(&f);
}

struct refused {
	struct span source;
	const char *told; /* in the report */
};

static void
refuses(const struct refused *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct fixture f;
		struct buffer out;
		buffer_init(&out, 65536);
		start(&f, rows[i].source);
		problems_print(&f.problems, &out);
		char *report = buffer_steal(&out);
		CHECK_ROW(f.problems.errors > 0 && strstr(report, rows[i].told) != NULL, "%s: %s",
		          check_quote(rows[i].source), report);
		free(report);
		finish(&f);
	}
}

static void
what_yaml_can_do_beyond_trees_is_refused(void)
{
	static const struct refused rows[] = {
		{ TEXT("a: &x 1\nb: *x\n"), "h.yaml:1:5: error: anchors are not used" },
		{ TEXT("a: &x { b: 1 }\n"), "h.yaml:1:5: error: anchors are not used" },
		{ TEXT("a: &x [ 1 ]\n"), "h.yaml:1:5: error: anchors are not used" },
		{ TEXT("&x a: 1\n"), "h.yaml:1:2: error: anchors are not used" },
		{ TEXT("a: !!str 1\n"), "h.yaml:1:4: error: tags are not used" },
		{ TEXT("a: !x { b: 1 }\n"), "h.yaml:1:4: error: tags are not used" },
		{ TEXT("a: 1\n---\nb: 2\n"), "h.yaml:2:1: error: one document only" },
		{ TEXT("[ a ]: 1\n"), "h.yaml:1:1: error: a key must be a word" },
		{ TEXT("{ a: 1 }: 1\n"), "h.yaml:1:1: error: a key must be a word" },
		{ TEXT("? [ a ]\n: 1\n"), "h.yaml:1:3: error: a key must be a word" },
		{ TEXT("a: 1\nb: 2\na: 3\n"),
		  "h.yaml:3:1: error: the key \"a\" stands here twice" },
		{ TEXT("a: { b: 1, \"b\": 2 }\n"),
		  "h.yaml:1:13: error: the key \"b\" stands here twice" },
	};
	refuses(rows, COUNT(rows));
}

/* `*x` alone: libfyaml knows no anchor of that name, or we refuse the alias. */
static void
an_alias_is_refused(void)
{
	struct fixture f;
	start(&f, SPAN("a: *x\n"));
	CHECK(f.problems.errors > 0);
	finish(&f);
	start(&f, SPAN("a: 1\nb: { <<: *a }\n"));
	CHECK(f.problems.errors > 0);
	finish(&f);
}

static void
what_is_no_map_is_refused(void)
{
	static const struct refused rows[] = {
		{ TEXT(""), "error: a map is expected" },
		{ TEXT("\n\n# nothing\n"), "error: a map is expected" },
		{ TEXT("word"), "error: a map is expected" },
		{ TEXT("[ a, b ]"), "error: a map is expected" },
		{ TEXT("- a\n- b\n"), "error: a map is expected" },
		{ TEXT("--- {}\n--- {}\n"), "h.yaml:2:1: error: one document only" },
		{ TEXT("a: \"\xff\"\n"), "error: a byte that is no UTF-8" },
		{ TEXT("a: 1\0b: 2\n"), "error: a NUL byte" },
	};
	refuses(rows, COUNT(rows));
}

/* Errors of syntax come from libfyaml: where they stand counts, their words do not. */
static void
broken_yaml_is_told_with_its_place(void)
{
	static const struct {
		struct span source;
		int line;
	} rows[] = {
		{ TEXT("a: [ 1\n"), 0 },       { TEXT("a: { b: 1\nc: 2\n"), 0 },
		{ TEXT("a: 1\n b: 2\n"), 0 },  { TEXT("a: \"x\n"), 0 },
		{ TEXT("a: 'x\n"), 0 },        { TEXT("a: b: c\n"), 1 },
		{ TEXT("a: 1\n\tb: 2\n"), 0 }, { TEXT("a: \"\\q\"\n"), 1 },
		{ TEXT("- a\nb: 1\n"), 2 },    { TEXT("a: 1\nb\nc: 1\n"), 0 },
		{ TEXT("a: ]\n"), 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		start(&f, rows[i].source);
		if (CHECK_ROW(f.root == NULL && f.problems.errors == 1, "%s: %zu errors",
		              check_quote(rows[i].source), f.problems.errors)) {
			struct place place = f.problems.items[0].place;
			CHECK_ROW(rows[i].line == 0 || place.line == rows[i].line, "%s: %d:%d: %s",
			          check_quote(rows[i].source), place.line, place.column,
			          f.problems.items[0].text);
		}
		finish(&f);
	}
}

static void
depth_and_size_are_bounded(void)
{
	for (int depth = DOCUMENT_MOST_DEPTH - 1; depth <= DOCUMENT_MOST_DEPTH; depth++) {
		struct fixture f;
		struct buffer text;
		buffer_init(&text, 4096);
		buffer_text(&text, "a: ");
		for (int i = 0; i < depth; i++) {
			buffer_byte(&text, '[');
		}
		for (int i = 0; i < depth; i++) {
			buffer_byte(&text, ']');
		}
		start(&f, buffer_view(&text)); /* the root is a level too */
		CHECK_ROW((f.root != NULL) == (depth < DOCUMENT_MOST_DEPTH), "%d deep", depth);
		finish(&f);
		buffer_finish(&text);
	}
	struct buffer text;
	struct fixture f;
	buffer_init(&text, DOCUMENT_MOST_BYTES + 100);
	buffer_text(&text, "a: 1\n#");
	while (text.size < DOCUMENT_MOST_BYTES) {
		buffer_byte(&text, 'x');
	}
	start(&f, buffer_view(&text));
	CHECK(f.root != NULL);
	finish(&f);
	buffer_byte(&text, 'x');
	start(&f, buffer_view(&text));
	CHECK(f.root == NULL && f.problems.errors == 1);
	finish(&f);
	buffer_finish(&text);
}

static void
trees_are_compared_wherever_they_stand(void)
{
	static const struct {
		struct span a;
		struct span b;
		bool same;
	} rows[] = {
		{ TEXT("a: 1\n"), TEXT("{ \"a\": '1' }"), true },
		{ TEXT("a: [ 1, 2 ]\n"), TEXT("\n\na:\n- 1\n- 2\n"), true },
		{ TEXT("a: 1\n"), TEXT("a: 2\n"), false },
		{ TEXT("a: 1\n"), TEXT("b: 1\n"), false },
		{ TEXT("a: 1\n"), TEXT("a: [ 1 ]\n"), false },
		{ TEXT("a: [ 1 ]\n"), TEXT("a: [ 1, 1 ]\n"), false },
		{ TEXT("a: {}\n"), TEXT("a: []\n"), false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture a;
		struct fixture b;
		start(&a, rows[i].a);
		start(&b, rows[i].b);
		CHECK_ROW(node_equal(a.root, b.root) == rows[i].same &&
		                  node_equal(b.root, a.root) == rows[i].same,
		          "%s and %s", check_quote(rows[i].a), check_quote(rows[i].b));
		CHECK(!node_equal(a.root, NULL) && node_equal(NULL, NULL));
		finish(&a);
		finish(&b);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a document becomes a tree with places", a_document_becomes_a_tree_with_places },
		{ "JSON is read as it is", json_is_read_as_it_is },
		{ "what YAML can do beyond trees is refused",
		  what_yaml_can_do_beyond_trees_is_refused },
		{ "an alias is refused", an_alias_is_refused },
		{ "what is no map is refused", what_is_no_map_is_refused },
		{ "broken YAML is told with its place", broken_yaml_is_told_with_its_place },
		{ "depth and size are bounded", depth_and_size_are_bounded },
		{ "trees are compared wherever they stand",
		  trees_are_compared_wherever_they_stand },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
