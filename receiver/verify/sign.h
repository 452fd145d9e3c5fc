/* Signs as the provider would: the same schemes, in the other direction, so that each can be tried without its provider.
 * What the provider signs with a key of its own is signed with a private key that the caller brings. */
#ifndef HOOKLATCH_VERIFY_SIGN_H
#define HOOKLATCH_VERIFY_SIGN_H

#include "receiver/verify/signature.h"

struct signing {
	const struct scheme *scheme;
	const struct secret *secret;     /* where the scheme has secrets */
	struct evp_pkey_st *private_key; /* where it has not */
	const char
		*key_name; /* a certificate's URL or a JWK's kid; NULL: one of the scheme's form */
	const struct verify_request *request; /* its fields are not looked at */
	int64_t now_ns;
	struct span id; /* used where it is a header; otherwise the body must carry it */
	struct span type;
	struct span body;
};

struct signed_request {
	struct buffer
		lines; /* "Name: value\n" for signature, time, id and type, where these are headers */
	struct buffer body;  /* with the signature, where that is in it */
	struct buffer query; /* of the URL */
};

bool sign_request(const struct signing *signing, struct signed_request *ret, struct error *err)
	MUST_CHECK;
void signed_request_finish(struct signed_request *request);

/* A PEM private key; the caller frees it with sign_key_free(). NULL: it is none. */
struct evp_pkey_st *sign_key_read(struct span pem);
void sign_key_free(struct evp_pkey_st *key);

#endif
