/* What proxies, frameworks and shells do to bodies on the way: undone, one at a time. Pure. */
#ifndef HOOKLATCH_VERIFY_ALTERATION_H
#define HOOKLATCH_VERIFY_ALTERATION_H

#include "receiver/base/bytes.h"

struct alteration {
	const char *
		text; /* what was done to the body, as the end of "the body was altered on the way: …" */
	/* Undoes it; false: it cannot have been. */
	bool (*undo)(struct span body, struct buffer *out);
};

extern const struct alteration alterations[]; /* the last has no text */

/* JSON that ends before it ends. */
bool alteration_truncated(struct span body);

#endif
