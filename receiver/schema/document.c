#include "receiver/schema/document.h"

#include <stdlib.h>
#include <string.h>

#include <libfyaml.h>

#include "receiver/base/encoding.h"

struct builder {
	struct problems *problems;
	struct node *open[DOCUMENT_MOST_DEPTH]; /* the collections that are not closed yet */
	struct node **tail[DOCUMENT_MOST_DEPTH];
	size_t depth;
	struct node *root;
	struct span key; /* of the value that comes next, in a map */
	struct place key_place;
	bool has_key;
	bool failed;
};

static struct place
token_place(struct fy_token *token)
{
	const struct fy_mark *start = token == NULL ? NULL : fy_token_start_mark(token);
	if (start == NULL) {
		return (struct place){ 1, 1, 1 };
	}
	const struct fy_mark *end = fy_token_end_mark(token);
	int width = end != NULL && end->line == start->line && end->column > start->column
	                    ? end->column - start->column
	                    : 1;
	return (struct place){ start->line + 1, start->column + 1, width };
}

static bool
fail(struct builder *builder, struct place place, const char *text)
{
	problems_add(builder->problems, place, "%s", text);
	builder->failed = true;
	return false;
}

static bool
repeated(const struct node *map, struct span key)
{
	for (const struct node *child = map->first; child != NULL; child = child->next) {
		if (span_equal(child->key, key)) {
			return true;
		}
	}
	return false;
}

/* Takes a scalar that stands where a map wants a key. */
static bool
take_key(struct builder *builder, struct span text, struct place place)
{
	struct node *map = builder->open[builder->depth - 1];
	if (repeated(map, text)) {
		problems_add(builder->problems, place, "the key \"%.*s\" stands here twice",
		             SPAN_ARG(text));
	}
	builder->key = text;
	builder->key_place = place;
	builder->has_key = true;
	return true;
}

static bool
add_node(struct builder *builder, struct node *node)
{
	if (builder->depth == 0) {
		builder->root = node;
		return true;
	}
	struct node *parent = builder->open[builder->depth - 1];
	ALWAYS(parent != NULL, "open-node");
	if (parent->kind == NODE_MAP) {
		if (!builder->has_key) {
			return fail(builder, node->place, "a key must be a word");
		}
		node->key = builder->key;
		node->key_place = builder->key_place;
		builder->has_key = false;
	}
	*builder->tail[builder->depth - 1] = node;
	builder->tail[builder->depth - 1] = &node->next;
	return true;
}

static bool
open_node(struct builder *builder, struct fy_token *token, enum node_kind kind)
{
	struct node *node = arena_take(builder->problems->arena, sizeof(*node));
	node->kind = kind;
	node->place = token_place(token);
	node->place.width = 1;
	if (builder->depth == DOCUMENT_MOST_DEPTH) {
		return fail(builder, node->place, "nested too deeply");
	}
	if (!add_node(builder, node)) {
		return false;
	}
	builder->open[builder->depth] = node;
	builder->tail[builder->depth] = &node->first;
	builder->depth++;
	return true;
}

static bool
take_scalar(struct builder *builder, struct fy_token *token)
{
	size_t size = 0;
	const char *data = token == NULL ? "" : fy_token_get_text(token, &size);
	struct span text = { arena_text(builder->problems->arena, (struct span){ data, size }),
		             size };
	struct place place = token_place(token);
	const struct node *parent = builder->depth == 0 ? NULL : builder->open[builder->depth - 1];
	if (parent != NULL && parent->kind == NODE_MAP && !builder->has_key) {
		return take_key(builder, text, place);
	}
	struct node *node = arena_take(builder->problems->arena, sizeof(*node));
	node->kind = NODE_SCALAR;
	node->place = token == NULL && builder->has_key ? builder->key_place : place;
	node->plain = token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
	node->text = text;
	return add_node(builder, node);
}

/* The rest of the file is read all the same, so that all errors are told at once. */
static void
refuse_decoration(const struct builder *builder, struct fy_token *anchor, struct fy_token *tag)
{
	if (anchor != NULL) {
		problems_add(builder->problems, token_place(anchor),
		             "anchors are not used in this file");
	}
	if (tag != NULL) {
		problems_add(builder->problems, token_place(tag), "tags are not used in this file");
	}
}

static bool
take_event(struct builder *builder, struct fy_event *event, size_t *documents)
{
	switch (event->type) {
	case FYET_DOCUMENT_START:
		(*documents)++;
		if (*documents > 1) {
			return fail(builder, token_place(event->document_start.document_start),
			            "one document only: nothing may follow \"---\"");
		}
		return true;
	case FYET_MAPPING_START:
		refuse_decoration(builder, event->mapping_start.anchor, event->mapping_start.tag);
		return open_node(builder, event->mapping_start.mapping_start, NODE_MAP);
	case FYET_SEQUENCE_START:
		refuse_decoration(builder, event->sequence_start.anchor, event->sequence_start.tag);
		return open_node(builder, event->sequence_start.sequence_start, NODE_LIST);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END: builder->depth--; return true;
	case FYET_SCALAR:
		refuse_decoration(builder, event->scalar.anchor, event->scalar.tag);
		return take_scalar(builder, event->scalar.value);
	case FYET_ALIAS:
		problems_add(builder->problems, token_place(event->alias.anchor),
		             "aliases are not used in this file");
		return take_scalar(builder, NULL); /* nothing, in its place */
	case FYET_NONE:
	case FYET_STREAM_START:
	case FYET_STREAM_END:
	case FYET_DOCUMENT_END: return true;
	}
	return true;
}

static void
add_syntax_errors(struct problems *problems, struct fy_diag *diag)
{
	size_t before = problems->errors;
	void *iterator = NULL;
	struct fy_diag_error *error;
	while ((error = fy_diag_errors_iterate(diag, &iterator)) != NULL) {
		if (error->type == FYET_ERROR &&
		    problems->errors == before) { /* what follows is its echo */
			problems_add(problems, (struct place){ error->line, error->column, 1 },
			             "%s", error->msg);
		}
	}
	if (problems->errors == before) {
		problems_add(problems, (struct place){ 0 }, "this is not YAML");
	}
}

static struct place
place_of_bad_byte(struct span source)
{
	struct place place = { .line = 1, .column = 1, .width = 1 };
	size_t good = utf8_valid_prefix(source);
	for (size_t i = 0; i < good; i++) {
		bool ends = source.data[i] == '\n';
		place.line += ends ? 1 : 0;
		place.column = ends ? 1 : place.column + 1;
	}
	return place;
}

static bool
check_bytes(struct problems *problems)
{
	struct span source = problems->source;
	if (source.size > DOCUMENT_MOST_BYTES) {
		problems_add(problems, (struct place){ 0 }, "larger than %d bytes",
		             DOCUMENT_MOST_BYTES);
		return false;
	}
	if (source.size > 0 && memchr(source.data, '\0', source.size) != NULL) {
		problems_add(problems, (struct place){ 0 }, "a NUL byte is in this file");
		return false;
	}
	if (!utf8_valid(source)) {
		problems_add(problems, place_of_bad_byte(source), "a byte that is no UTF-8");
		return false;
	}
	return true;
}

static bool
run_parser(struct builder *builder, struct fy_parser *parser)
{
	size_t documents = 0;
	struct fy_event *event;
	while (!builder->failed && (event = fy_parser_parse(parser)) != NULL) {
		bool ended = event->type == FYET_STREAM_END;
		(void)take_event(builder, event, &documents);
		fy_parser_event_free(parser, event);
		if (ended) {
			return true;
		}
	}
	return false;
}

struct node *
document_parse(struct problems *problems)
{
	if (!check_bytes(problems)) {
		return NULL;
	}
	struct fy_diag_cfg diag_config;
	fy_diag_cfg_default(&diag_config);
	struct fy_diag *diag = fy_diag_create(&diag_config);
	ALWAYS(diag != NULL, "fy-diag");
	fy_diag_set_collect_errors(diag, true);
	unsigned flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_ALLOW_DUPLICATE_KEYS;
	flags |= (unsigned)FYPCF_DEFAULT_VERSION_1_2 | (unsigned)FYPCF_JSON_NONE;
	struct fy_parse_cfg config = { .flags = (enum fy_parse_cfg_flags)flags, .diag = diag };
	struct fy_parser *parser = fy_parser_create(&config);
	struct builder builder = { .problems = problems };
	ALWAYS(parser != NULL && fy_parser_set_string(parser, problems->source.data,
	                                              problems->source.size) == 0,
	       "fy-parser");
	bool ended = run_parser(&builder, parser);
	if (!ended && !builder.failed) {
		add_syntax_errors(problems, diag);
	}
	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	if (!ended || builder.failed) {
		return NULL;
	}
	if (builder.root == NULL || builder.root->kind != NODE_MAP) {
		problems_add(problems, (struct place){ 1, 1, 1 },
		             "a map is expected, such as `sources:` and `handlers:`");
		return NULL;
	}
	return builder.root;
}

const struct node *
node_child(const struct node *map, const char *key)
{
	const struct node *child = map == NULL || map->kind != NODE_MAP ? NULL : map->first;
	while (child != NULL && !span_equal(child->key, span_of(key))) {
		child = child->next;
	}
	return child;
}

struct place
node_key_place(const struct node *map, const char *key)
{
	const struct node *child = node_child(map, key);
	if (child != NULL) {
		return child->key_place;
	}
	if (map == NULL) {
		return (struct place){ 0 };
	}
	return map->key.size > 0 ? map->key_place : map->place;
}

bool
node_equal(const struct node *a, const struct node *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	if (a->kind != b->kind || !span_equal(a->text, b->text) || !span_equal(a->key, b->key)) {
		return false;
	}
	const struct node *x = a->first;
	const struct node *y = b->first;
	while (x != NULL && y != NULL && node_equal(x, y)) { /* as deep as DOCUMENT_MOST_DEPTH */
		x = x->next;
		y = y->next;
	}
	return x == NULL && y == NULL;
}
