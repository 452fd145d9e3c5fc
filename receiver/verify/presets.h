/* The table of providers: what each signs, how it names its events, how long it repeats. A new provider is a row. */
#ifndef HOOKLATCH_VERIFY_PRESETS_H
#define HOOKLATCH_VERIFY_PRESETS_H

#include "receiver/verify/scheme.h"

struct preset {
	const char *name;
	const char *title;
	const char *docs;
	struct scheme scheme;
	int64_t body_limit;      /* bytes; 0: limits.body */
	int64_t retry_window_ns; /* how long it repeats by itself; 0: it does not */
	int64_t answer_ns;       /* how long it waits for an answer; 0: no number is published */
	const char *retries;     /* in words */
	const char *redelivery;  /* in words: what its button does */
	const char *secret;      /* who chooses it, where it is found */
	const char *steps;       /* what to do at the provider; lines */
};

extern const struct preset presets[]; /* the last has no name */

const struct preset *preset_find(const char *name);

#endif
