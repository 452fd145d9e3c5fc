/* A YAML 1.2 file as a tree with places: scalars as text, without YAML's own typing (the schema types them).
 * Read through libfyaml. Refused: anchors, aliases, tags, several documents, keys that are no scalars, repeated keys,
 * bytes that are no UTF-8, and what passes the limits below. JSON is a subset of YAML 1.2 and is read as such. */
#ifndef HOOKLATCH_SCHEMA_DOCUMENT_H
#define HOOKLATCH_SCHEMA_DOCUMENT_H

#include "receiver/schema/problems.h"

#define DOCUMENT_MOST_BYTES (1024 * 1024)
#define DOCUMENT_MOST_DEPTH 32

enum node_kind {
	NODE_SCALAR,
	NODE_LIST,
	NODE_MAP,
};

struct node {
	enum node_kind kind;
	struct place place;
	const char *origin; /* of one that is not in the file, in words; else NULL */
	bool plain;         /* a scalar without quotes: an empty one or `null` is "nothing" */
	struct span text;   /* of a scalar; terminated */
	struct node *first; /* children of a list or a map */
	struct node *next;  /* sibling */
	struct span key;    /* in a map; terminated */
	struct place key_place;
};

/* The root, which is a map (with problems added where anchors, aliases or tags stand), or NULL with problems added. The tree lives in problems->arena. */
struct node *document_parse(struct problems *problems) MUST_CHECK;

const struct node *node_child(const struct node *map,
                              const char *key); /* NULL when it is not written */
/* Whether two trees say the same, wherever they stand. NULL equals NULL alone. */
bool node_equal(const struct node *a, const struct node *b);
/* The place of a key of this map, or of the map itself: for errors about a key. */
struct place node_key_place(const struct node *map, const char *key);

#endif
