/* Public keys: what a provider signs against with a key of its own. Immutable once made; shared by all threads. */
#ifndef HOOKLATCH_VERIFY_PUBLIC_KEY_H
#define HOOKLATCH_VERIFY_PUBLIC_KEY_H

#include "receiver/base/error.h"
#include "receiver/verify/scheme.h"

#define PUBLIC_KEYS_MOST      16 /* of one source */
#define PUBLIC_KEY_MOST_BYTES 65536

struct evp_pkey_st;

struct public_key {
	struct evp_pkey_st *key;
	char *name;       /* a certificate's URL or a JWK's kid; NULL: for whatever is asked for */
	int64_t until_ns; /* wall time; from then on it is not used; 0: for ever */
};

struct public_keys {
	struct public_key items[PUBLIC_KEYS_MOST];
	size_t count;
};

/* A key as providers show it: PEM; base64 of a SubjectPublicKeyInfo (RFC 5280); for Ed25519 its 32 bytes in hex, or in
 * base64 behind an optional "whpk_" (Standard Webhooks). */
bool public_keys_add(struct public_keys *keys, enum scheme_algorithm algorithm, struct span text,
                     int64_t until_ns, struct error *err) MUST_CHECK;
/* The key of the first certificate of a PEM text. */
bool public_keys_add_certificate(struct public_keys *keys, struct span pem, const char *url,
                                 struct error *err) MUST_CHECK;
/* The P-256 keys of a JWK, a JWK Set (RFC 7517) or an array of JWKs. */
bool public_keys_add_jwks(struct public_keys *keys, struct span json, struct error *err) MUST_CHECK;
void public_keys_finish(struct public_keys *keys);

bool public_key_live(const struct public_key *key, int64_t now_ns);

/* One key from one JWK; the caller frees it. NULL: it is none. */
struct evp_pkey_st *public_key_from_jwk(struct span jwk);

/* Whether a key, public or private, is of the kind, curve and size that the algorithm wants. */
bool public_key_fits(const struct evp_pkey_st *key, enum scheme_algorithm algorithm);

/* Whether `signature` over `message` is that key's. */
bool public_key_verifies(struct evp_pkey_st *key, enum scheme_algorithm algorithm,
                         struct span signature, struct span message) MUST_CHECK;
/* RSA, PKCS #1 v1.5 with SHA-1: Amazon SNS, SignatureVersion 1. */
bool public_key_verifies_sha1(struct evp_pkey_st *key, struct span signature, struct span message)
	MUST_CHECK;

#endif
