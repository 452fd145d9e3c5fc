/* One request out for a key, and what makes its answer one. On the keyring's thread alone. */
#ifndef HOOKLATCH_KEYRING_FETCH_H
#define HOOKLATCH_KEYRING_FETCH_H

#include "receiver/keyring/keyring.h"

/* The host of the API that has a source's JSON Web Keys. */
const char *fetch_api_host(const struct source *source);

/* The text of a key: PEM certificates, or the API's JSON. *absent: the API says that there is none. */
bool fetch_get(const struct key_wish *wish, struct buffer *text, bool *absent, struct error *err)
	MUST_CHECK;
/* The key in such a text, checked: a certificate's dates, names and chain. *for_ns: how long it may be used. */
bool fetch_parse(const struct key_wish *wish, struct span text, struct evp_pkey_st **ret,
                 int64_t *for_ns, struct error *err) MUST_CHECK;
/* A GET of the wish's URL, which must be on a host of the source's scheme. */
bool fetch_visit(const struct key_wish *wish, struct buffer *text, struct error *err) MUST_CHECK;

void fetch_thread_finish(void);

#endif
