/* The schema: rows that describe keys. One table drives the reader, `config show`, the JSON Schema and the manual.
 * It knows no word of ours, so that a handler kind can bring rows of its own.
 *
 * Every struct that rows are read into begins with `struct schema_entry`. */
#ifndef HOOKLATCH_SCHEMA_ROW_H
#define HOOKLATCH_SCHEMA_ROW_H

#include "receiver/schema/document.h"

enum schema_kind {
	SCHEMA_BOOL,     /* bool */
	SCHEMA_INTEGER,  /* int64_t */
	SCHEMA_DECIMAL,  /* int64_t, thousandths */
	SCHEMA_DURATION, /* int64_t, ns */
	SCHEMA_SIZE,     /* int64_t, bytes */
	SCHEMA_RATE,     /* int64_t, per UNITS_RATE_PERIOD_S */
	SCHEMA_TEXT,     /* const char *, NULL when absent */
	SCHEMA_WORD,     /* int: index in `words` */
	SCHEMA_TEXTS,    /* struct schema_list of const char * */
	SCHEMA_MAP,      /* one struct, its keys in `rows` */
	SCHEMA_LIST,     /* struct schema_list of structs of `size` */
	SCHEMA_NAMED,    /* the same, from a map: name -> struct */
	SCHEMA_GLOBS, /* struct schema_list of struct schema_globs, from a map: key -> text or list of texts */
};

struct schema_entry {
	const struct node
		*node; /* NULL when it is not written; for places of errors and "is it written" */
	const char *name; /* its key, of an element of SCHEMA_NAMED */
};

struct schema_list {
	void *items;
	size_t count;
};

struct schema_globs {
	const char *key;
	struct schema_list globs; /* of const char * */
};

struct schema_row {
	const char *name;
	enum schema_kind kind;
	size_t offset;
	const char *fallback; /* as it would be written; NULL: nothing */
	const char *least;    /* as it would be written */
	const char *most;
	const char *const *words;      /* of SCHEMA_WORD, NULL at the end */
	const struct schema_row *rows; /* of SCHEMA_MAP, _LIST and _NAMED; the last has no name */
	size_t size;                   /* of the struct that they are read into */
	const char *scalar; /* SCHEMA_MAP: a plain text stands for a map with this one key */
	bool required;
	bool reload; /* a reload applies it */
	bool off;    /* SCHEMA_MAP: nothing of it holds unless it is written */
	bool secret; /* it tells where a secret is: what stands here instead may be one, and is never shown */
	bool later;       /* known, and refused in this version */
	const char *text; /* for the manual; a sentence or two */
};

/* Whether it may name an element of SCHEMA_NAMED: [a-z0-9_-]{1,64}. */
bool schema_name_valid(struct span name);

/* Reads `map` (NULL: nothing is written) into `into`, a zeroed struct that begins with schema_entry. */
void schema_read(struct problems *problems, const struct schema_row *rows, const struct node *map,
                 void *into);

/* `key: value   # file:line | default` for every row. */
void schema_show(struct buffer *out, const struct schema_row *rows, const struct node *map,
                 const char *file);
/* The same as one JSON object; a value is {"value": …, "origin": "file:line" | "default"}. */
void schema_show_json(struct buffer *out, const struct schema_row *rows, const struct node *map,
                      const char *file);
/* JSON Schema, draft 2020-12. */
void schema_json(struct buffer *out, const struct schema_row *rows, const char *title);
/* The reference in mdoc(7). */
void schema_manual(struct buffer *out, const struct schema_row *rows);

#endif
