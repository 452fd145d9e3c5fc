/* Lists for people and programs: aligned on a terminal, tab-separated when piped, JSON when asked for. Control
 * characters of data never reach a terminal. */
#ifndef HOOKLATCH_CLI_TABLE_H
#define HOOKLATCH_CLI_TABLE_H

#include "receiver/cli/command.h"

struct column {
	const char *title;
	const char *key; /* of the rows' objects */
	size_t most;     /* on a terminal; 0: any width */
};

/* Prints an array of objects. EXIT_NOTHING when it is empty ("[]" with --json). */
int print_list(const struct invocation *invocation, const json_t *rows,
               const struct column *columns, size_t count);
/* What may be shown: control characters, and those that turn around what is seen, become \xNN or \u{N}. The caller frees it. */
char *harmless_text(struct span text);
/* A document on stdout; what harmless_text() changes is written as \uNNNN, since it may reach a terminal. */
void put_json(const json_t *document, size_t flags);
/* One document with --json. */
void print_json(const json_t *document);
/* "key: value" lines of an object's plain members. */
void print_object(const json_t *object);
/* The text of a value without control characters. The caller frees it. */
char *cell_text(const json_t *value);

#endif
