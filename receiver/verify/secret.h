/* Secrets: keys in the form the scheme wants, each with the time until which it is used. Immutable once made. */
#ifndef HOOKLATCH_VERIFY_SECRET_H
#define HOOKLATCH_VERIFY_SECRET_H

#include "receiver/base/error.h"
#include "receiver/verify/scheme.h"

#define SECRETS_MOST      16 /* of one source */
#define SECRET_MOST_BYTES 4096

struct secret {
	unsigned char *key;
	size_t size;
	int64_t until_ns; /* wall time; from then on it is not used; 0: for ever */
	uint64_t serial;  /* unlike that of any other secret of this process */
};

struct secrets {
	struct secret items[SECRETS_MOST];
	size_t count;
};

/* Appends a secret made from its text. */
bool secrets_add(struct secrets *secrets, enum scheme_key kind, struct span text, int64_t until_ns,
                 struct error *err) MUST_CHECK;
void secrets_finish(struct secrets *secrets); /* wipes them */
uint_fast64_t secrets_wiped(void);            /* how often that happened. Any thread. */
bool secret_live(const struct secret *secret, int64_t now_ns);

#endif
