#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

/* One HTTP/1.1 answer with a Content-Length, fed as it comes. */
#include <stdbool.h>
#include <stddef.h>

enum {
	ANSWER_HEAD_BYTES = 4096
};

struct answer {
	char head[ANSWER_HEAD_BYTES];
	size_t head_have, seen, whole; /* `whole` is 0 until the head is there */
	unsigned status;
	bool close;    /* the server will end the connection */
	bool later;    /* Retry-After, in seconds */
	char word[64]; /* Hooklatch-Result */
};

void answer_init(struct answer *answer);
/* False when it is broken, or no answer that hooklatch or nginx would give here. */
bool answer_feed(struct answer *answer, const char *bytes, size_t count);
bool answer_complete(const struct answer *answer);

#endif
