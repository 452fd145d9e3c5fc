/* The engine: judges a request by a scheme and its keys. Pure but for OpenSSL; time is an argument.
 *
 *   verification_head()   with the head: what it alone decides
 *   verification_begin()  the same, and then the secrets
 *   verification_feed()   with the body as it arrives (any number of times), where verification_streams()
 *   verification_end()    with the whole body: the verdict. After VERDICT_KEY_UNAVAILABLE it may be asked again.
 *   verification_drop()   always, once
 *
 * The order of judgement: signature_missing, signature_malformed, timestamp_missing, signature_mismatch, then the age.
 * The comparison takes the same time wherever the first difference is, and goes through every live secret.
 * Threads: a verification belongs to one thread; keys are shared and never changed. */
#ifndef HOOKLATCH_VERIFY_SIGNATURE_H
#define HOOKLATCH_VERIFY_SIGNATURE_H

#include "receiver/verify/public_key.h"
#include "receiver/verify/request.h"
#include "receiver/verify/secret.h"

#define SIGNATURES_MOST      16   /* of one request */
#define SIGNATURES_BYTES     1024 /* of all of them, decoded */
#define TIMESTAMP_MOST_BYTES 64
#define KEY_NAME_MOST_BYTES  512 /* a certificate's URL, a JWK's kid */

enum verdict {
	VERDICT_GOOD,
	VERDICT_SIGNATURE_MISSING,
	VERDICT_SIGNATURE_MALFORMED,
	VERDICT_TIMESTAMP_MISSING,
	VERDICT_SIGNATURE_MISMATCH,
	VERDICT_TIMESTAMP_TOO_OLD,
	VERDICT_TIMESTAMP_IN_FUTURE,
	VERDICT_KEY_UNAVAILABLE,
	VERDICTS,
};

enum key_found {
	KEY_FOUND,
	KEY_ABSENT,      /* whoever has the keys says that there is none of this name */
	KEY_UNAVAILABLE, /* it cannot be had now */
};

/* Keys that are fetched by name: a certificate's URL, a JWK's kid. *ret is the caller's own reference. */
struct key_ring {
	void *context;
	enum key_found (*find)(void *context, struct span name, struct evp_pkey_st **ret);
};

struct verify_keys {
	const struct secrets *secrets;
	const struct public_keys *public_keys; /* when there are any, no others count */
	const struct key_ring *ring;           /* NULL: nothing is fetched */
};

struct verification {
	const struct scheme *scheme;
	const struct verify_keys *keys;
	const struct verify_request *request; /* must live until the end */
	int64_t now_ns;
	unsigned char signatures[SIGNATURES_BYTES];
	struct {
		unsigned short at;
		unsigned short size;
	} parts[SIGNATURES_MOST];
	size_t signature_count;
	struct span timestamp; /* its text as received; points into the request or the body */
	int64_t age_ns;        /* of the timestamp, after the end; negative: in the future */
	int matched;           /* index of the secret or public key, or -1 */
	bool deferred;         /* the body must be whole before anything can be hashed */
	struct span rest;      /* of the template, behind {body} */
	void *contexts[SECRETS_MOST];
	bool takes_body; /* the template has come to {body}: what is fed is hashed */
	bool owned;      /* the contexts are this verification's own */
	char wanted_key[KEY_NAME_MOST_BYTES]; /* of VERDICT_KEY_UNAVAILABLE */
};

enum verdict verification_head(struct verification *v, const struct scheme *scheme,
                               const struct verify_keys *keys, const struct verify_request *request,
                               int64_t now_ns) MUST_CHECK;
/* Whether a body may be fed in pieces; otherwise only verification_end() looks at it. */
bool verification_streams(const struct verification *v);
/* After a good head. `streaming`: the body comes in pieces, between which other verifications run on this thread. */
void verification_secrets(struct verification *v, bool streaming);
enum verdict verification_begin(struct verification *v, const struct scheme *scheme,
                                const struct verify_keys *keys,
                                const struct verify_request *request, int64_t now_ns,
                                bool streaming) MUST_CHECK;
void verification_feed(struct verification *v, struct span piece);
enum verdict verification_end(struct verification *v, struct span body) MUST_CHECK;
void verification_drop(struct verification *v);

/* All of it, for a body that is there. The caller drops it. */
enum verdict verification_whole(struct verification *v, const struct scheme *scheme,
                                const struct verify_keys *keys,
                                const struct verify_request *request, int64_t now_ns,
                                struct span body) MUST_CHECK;

const char *verdict_word(enum verdict verdict);

/* A timestamp's text in its unit, as wall time. */
bool timestamp_parse(enum scheme_unit unit, struct span text, int64_t *wall_ns) MUST_CHECK;
void timestamp_write(enum scheme_unit unit, int64_t wall_ns, struct buffer *out);

/* --- for the schemes that code says: sns.c, jwt.c, items.c --- */

/* Takes one signature's text; false: it is none. */
bool verification_take(struct verification *v, struct span text);
struct span verification_signature(const struct verification *v, size_t index);
/* The keys of a name: the configured ones, or the fetched one. */
struct key_candidates {
	struct evp_pkey_st *keys[PUBLIC_KEYS_MOST];
	int index[PUBLIC_KEYS_MOST];
	size_t count;
	bool owned;
};
enum key_found verification_keys(struct verification *v, struct span name,
                                 struct key_candidates *ret) MUST_CHECK;
void key_candidates_finish(struct key_candidates *candidates);
/* How old the time is, against the tolerance; exactly that old is good. */
enum verdict verification_age(struct verification *v, int64_t then_ns, int64_t unit_ns) MUST_CHECK;

#endif
