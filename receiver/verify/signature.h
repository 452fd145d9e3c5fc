/* The engine: judges a request by a scheme and its secrets. Pure but for OpenSSL; time is an argument.
 *
 *   verification_head()   with the head: what it alone decides
 *   verification_begin()  the same, and then the secrets
 *   verification_feed()   with the body as it arrives (any number of times)
 *   verification_end()    with the whole body: the verdict
 *   verification_drop()   always, once
 *
 * The order of judgement: signature_missing, signature_malformed, timestamp_missing, signature_mismatch, then the age.
 * The comparison takes the same time wherever the first difference is, and goes through every live secret.
 * Threads: a verification belongs to one thread; secrets are shared and never changed. */
#ifndef HOOKLATCH_VERIFY_SIGNATURE_H
#define HOOKLATCH_VERIFY_SIGNATURE_H

#include "receiver/base/field.h"
#include "receiver/verify/secret.h"

#define SIGNATURES_MOST      16 /* elements of one header that are signatures */
#define SIGNATURE_MOST_BYTES 64 /* of one decoded signature */
#define TIMESTAMP_MOST_BYTES 64

enum verdict {
	VERDICT_GOOD,
	VERDICT_SIGNATURE_MISSING,
	VERDICT_SIGNATURE_MALFORMED,
	VERDICT_TIMESTAMP_MISSING,
	VERDICT_SIGNATURE_MISMATCH,
	VERDICT_TIMESTAMP_TOO_OLD,
	VERDICT_TIMESTAMP_IN_FUTURE,
	VERDICTS,
};

struct verify_request {
	struct span method;
	struct span path;
	struct span url; /* from the configuration, never from the request */
	struct fields fields;
};

struct verification {
	const struct scheme *scheme;
	const struct secrets *secrets;
	const struct verify_request *request; /* must live until the end */
	int64_t now_ns;
	unsigned char signatures[SIGNATURES_MOST][SIGNATURE_MOST_BYTES];
	size_t signature_count;
	struct span timestamp; /* its text as received; points into the request or the body */
	int64_t age_ns;        /* of the timestamp, after the end; negative: in the future */
	int matched;           /* index of the secret, or -1 */
	bool deferred;         /* the body must be whole before anything can be hashed */
	struct span rest;      /* of the template, behind {body} */
	void *contexts[SECRETS_MOST];
	bool owned; /* the contexts are this verification's own */
};

enum verdict verification_head(struct verification *v, const struct scheme *scheme,
                               const struct secrets *secrets, const struct verify_request *request,
                               int64_t now_ns) MUST_CHECK;
/* After a good head. `streaming`: the body comes in pieces, between which other verifications run on this thread. */
void verification_secrets(struct verification *v, bool streaming);
enum verdict verification_begin(struct verification *v, const struct scheme *scheme,
                                const struct secrets *secrets, const struct verify_request *request,
                                int64_t now_ns, bool streaming) MUST_CHECK;
void verification_feed(struct verification *v, struct span piece);
enum verdict verification_end(struct verification *v, struct span body) MUST_CHECK;
void verification_drop(struct verification *v);

/* The signed text's signature with one secret, encoded as the scheme wants, without prefix. */
void signature_make(const struct scheme *scheme, const struct secret *secret,
                    const struct verify_request *request, struct span timestamp, struct span id,
                    struct span body, struct buffer *out);

/* Frees what this thread keeps between verifications; before it ends. */
void signature_thread_finish(void);

const char *verdict_word(enum verdict verdict);

/* A timestamp's text in its unit, as wall time. */
bool timestamp_parse(enum scheme_unit unit, struct span text, int64_t *wall_ns) MUST_CHECK;

#endif
