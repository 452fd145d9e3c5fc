/* Problems of a configuration file, gathered so that all are told at once, in the order of the file:
 *   hooklatch.yaml:7:12: error: unknown key "atempts"; did you mean "attempts"?
 *          atempts: 12
 *          ^~~~~~~ */
#ifndef HOOKLATCH_SCHEMA_PROBLEMS_H
#define HOOKLATCH_SCHEMA_PROBLEMS_H

#include "receiver/base/arena.h"
#include "receiver/base/error.h"

#define PROBLEMS_MOST 100 /* what is beyond is counted, not told */

/* A place in the file; line and column from 1. {0} is the file as a whole. */
struct place {
	int line;
	int column;
	int width;
};

#define PROBLEMS_HIDDEN_MOST 64

struct problem {
	struct place place;
	bool warning;
	const char *text;
};

struct problems {
	struct arena *arena;
	const char *file;
	struct span source;
	struct problem *items;
	size_t count;
	size_t errors;
	size_t untold;
	int hidden
		[PROBLEMS_HIDDEN_MOST]; /* lines that hold a secret by mistake: they are not shown */
	size_t hidden_count;
	bool reading; /* for a command that only reads: what lies beside the file is not looked at */
};

void problems_init(struct problems *problems, struct arena *arena, const char *file,
                   struct span source);
void problems_add(struct problems *problems, struct place place, const char *format, ...)
	PRINTF(3, 4);
void problems_warn(struct problems *problems, struct place place, const char *format, ...)
	PRINTF(3, 4);
/* A line that is never to be shown: somebody wrote a secret into the file itself. */
void problems_hide(struct problems *problems, int line);
/* All of them as text, sorted by place. */
void problems_print(struct problems *problems, struct buffer *out);

/* The word of `words` (NULL at the end) that is nearest to `text`, or NULL when none is near. */
const char *problems_nearest(struct span text, const char *const *words);

#endif
