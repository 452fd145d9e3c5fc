/* The keyring: keys that providers publish, fetched when a request names one that is not known yet. Certificates by
 * their URL (PayPal, Amazon SNS), JSON Web Keys by their kid (Plaid). Checked, then kept in memory and, beside the store,
 * on disk, so that a restart needs no network. Only hosts of the source's scheme are asked, over verified TLS, without
 * redirects, within `fetch.timeout`, at most KEYRING_FETCHES_A_MINUTE times.
 *
 * Threads  keyring_find() any, from memory alone; fetching on a thread of its own; create and destroy on main.
 * Failure  A key that cannot be had now is KEY_UNAVAILABLE: the sender is told to come again (503). */
#ifndef HOOKLATCH_KEYRING_KEYRING_H
#define HOOKLATCH_KEYRING_KEYRING_H

#include "receiver/base/queue.h"
#include "receiver/config/config.h"
#include "receiver/verify/signature.h"

#define KEYRING_KEYS_MOST        256 /* in memory; then the oldest goes */
#define KEYRING_FETCHES_A_MINUTE 60
#define KEYRING_REFUSED_NS \
	(60 * NS_PER_S) /* how long a name that could not be had is not asked for again */
#define KEYRING_JWK_NS \
	(24 * 3600 * NS_PER_S) /* how long a JSON Web Key is used without asking again */
#define KEYRING_ANSWER_MOST_BYTES (64 * 1024)

struct keyring;

/* `directory` is made when it is needed. */
bool keyring_create(struct keyring **ret, const char *directory, struct error *err) MUST_CHECK;
bool keyring_start(struct keyring *keyring, struct error *err) MUST_CHECK;
void keyring_stop(
	struct keyring
		*keyring); /* what waits is told KEY_UNAVAILABLE; after it no callback runs */
void keyring_destroy(struct keyring *keyring); /* takes NULL */

/* Whether this source's keys can be fetched at all. */
bool keyring_serves(const struct source *source);
/* *ret is the caller's own reference. */
enum key_found keyring_find(struct keyring *keyring, const struct source *source, struct span name,
                            struct evp_pkey_st **ret);

/* A wish for a key; or, with `visit`, for a visit to a URL (the confirmation of a subscription). */
struct key_wish {
	struct queue_item item;
	struct config *config; /* the wish's own reference: `source` is in it */
	const struct source *source;
	char *name; /* owned */
	bool visit;
	int64_t deadline_ns; /* boot time */
	void (*done)(
		struct key_wish *
			wish); /* on the keyring's thread; the wish is the callee's. NULL: nobody waits */
	void *context;
	uint64_t cookie;
};
void keyring_wish(struct keyring *keyring, struct key_wish *wish);
void key_wish_free(struct key_wish *wish);

#endif
