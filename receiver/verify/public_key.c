#include "receiver/verify/public_key.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/json_pointer.h"

#define ED25519_BYTES    32
#define P256_COORDINATE  32
#define P256_POINT_BYTES (1 + 2 * P256_COORDINATE)

static EVP_PKEY *
from_pem(struct span text)
{
	BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return key;
}

static EVP_PKEY *
from_bytes(enum scheme_algorithm algorithm, const unsigned char *bytes, size_t size)
{
	if (algorithm == SCHEME_ED25519 && size == ED25519_BYTES) {
		return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, size);
	}
	const unsigned char *at = bytes;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)size);
	if (key != NULL && at != bytes + size) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

bool
public_key_fits(const EVP_PKEY *key, enum scheme_algorithm algorithm)
{
	switch (algorithm) {
	case SCHEME_ED25519: return EVP_PKEY_is_a(key, "ED25519") == 1;
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_JWT: {
		char group[32];
		size_t size = 0;
		return EVP_PKEY_is_a(key, "EC") == 1 &&
		       EVP_PKEY_get_group_name(key, group, sizeof(group), &size) == 1 &&
		       (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
	}
	case SCHEME_RSA_SHA256:
	case SCHEME_SNS: return EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) >= 2048;
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_TOKEN:
	case SCHEME_ITEMS: break;
	}
	return false;
}

static bool
add(struct public_keys *keys, EVP_PKEY *key, const char *name, int64_t until_ns, struct error *err)
{
	if (keys->count == PUBLIC_KEYS_MOST) {
		EVP_PKEY_free(key);
		return error_set(err, ERROR_LIMIT, "more than %d public keys", PUBLIC_KEYS_MOST);
	}
	keys->items[keys->count++] =
		(struct public_key){ .key = key, .name = memory_text(name), .until_ns = until_ns };
	return true;
}

bool
public_keys_add(struct public_keys *keys, enum scheme_algorithm algorithm, struct span text,
                int64_t until_ns, struct error *err)
{
	unsigned char bytes[4096];
	size_t size = 0;
	EVP_PKEY *key = NULL;
	text = span_trim(text);
	if (span_starts(text, SPAN("-----BEGIN "))) {
		key = from_pem(text);
	} else if (text.size == (size_t)2 * ED25519_BYTES &&
	           hex_decode(text, bytes, sizeof(bytes), &size)) {
		key = from_bytes(algorithm, bytes, size);
	} else {
		struct span base64 = span_starts(text, SPAN("whpk_")) ? span_after(text, 5) : text;
		if (base64_decode(base64, bytes, sizeof(bytes), &size)) {
			key = from_bytes(algorithm, bytes, size);
		}
	}
	if (key == NULL || !public_key_fits(key, algorithm)) {
		EVP_PKEY_free(key);
		return error_set(
			err, ERROR_INVALID,
			"no public key of this scheme: expected PEM, base64 of its DER form%s",
			algorithm == SCHEME_ED25519 ? ", or its 32 bytes in hex or base64" : "");
	}
	return add(keys, key, NULL, until_ns, err);
}

bool
public_keys_add_certificate(struct public_keys *keys, struct span pem, const char *url,
                            struct error *err)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
	EVP_PKEY *key = certificate == NULL ? NULL : X509_get_pubkey(certificate);
	X509_free(certificate);
	BIO_free(bio);
	if (key == NULL || !public_key_fits(key, SCHEME_RSA_SHA256)) {
		EVP_PKEY_free(key);
		return error_set(err, ERROR_INVALID,
		                 "no PEM certificate with an RSA key of at least 2048 bits");
	}
	return add(keys, key, url, 0, err);
}

/* --- JSON Web Keys --- */

/* A coordinate of the point: RFC 7518 section 6.2.1.2. */
static bool
coordinate(struct span jwk, const char *pointer, unsigned char out[P256_COORDINATE])
{
	struct buffer text;
	size_t size = 0;
	buffer_init(&text, 128);
	bool good = json_text_at(jwk, span_of(pointer), &text) == JSON_FOUND &&
	            base64url_decode(buffer_view(&text), out, P256_COORDINATE, &size) &&
	            size == P256_COORDINATE;
	buffer_finish(&text);
	return good;
}

static bool
member_is(struct span jwk, const char *pointer, const char *wanted)
{
	struct buffer text;
	buffer_init(&text, 128);
	bool same = json_text_at(jwk, span_of(pointer), &text) == JSON_FOUND &&
	            span_equal(buffer_view(&text), span_of(wanted));
	buffer_finish(&text);
	return same;
}

EVP_PKEY *
public_key_from_jwk(struct span jwk)
{
	unsigned char point[P256_POINT_BYTES] = { POINT_CONVERSION_UNCOMPRESSED };
	if (!member_is(jwk, "/kty", "EC") || !member_is(jwk, "/crv", "P-256") ||
	    !coordinate(jwk, "/x", point + 1) ||
	    !coordinate(jwk, "/y", point + 1 + P256_COORDINATE)) {
		return NULL;
	}
	char group[] = "prime256v1";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
		key = NULL;
	}
	EVP_PKEY_CTX_free(context);
	return key;
}

static bool
add_jwk(struct public_keys *keys, struct span jwk, struct error *err)
{
	struct buffer kid;
	buffer_init(&kid, 1024);
	EVP_PKEY *key = public_key_from_jwk(jwk);
	bool good = key != NULL && json_text_at(jwk, SPAN("/kid"), &kid) == JSON_FOUND;
	if (!good) {
		EVP_PKEY_free(key);
		(void)error_set(err, ERROR_INVALID,
		                "a JWK is not of kty EC and crv P-256 with x, y and kid");
	} else {
		char *name = span_copy(buffer_view(&kid));
		good = add(keys, key, name, 0, err);
		free(name);
	}
	buffer_finish(&kid);
	return good;
}

bool
public_keys_add_jwks(struct public_keys *keys, struct span json, struct error *err)
{
	struct json_items items;
	struct json_slice slice = { 0 };
	enum json_find found = json_items_begin(json, SPAN("/keys"), &items);
	if (found != JSON_FOUND) {
		found = json_items_begin(json, SPAN(""), &items);
	}
	if (found != JSON_FOUND) {
		return add_jwk(keys, json, err);
	}
	bool good = true;
	while (good && (found = json_items_next(&items, &slice)) == JSON_FOUND) {
		good = add_jwk(keys, slice.raw, err);
	}
	if (good && found == JSON_BROKEN) {
		good = error_set(err, ERROR_INVALID, "the JWK Set is no JSON");
	}
	return good;
}

void
public_keys_finish(struct public_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		EVP_PKEY_free(keys->items[i].key);
		free(keys->items[i].name);
	}
	keys->count = 0;
}

bool
public_key_live(const struct public_key *key, int64_t now_ns)
{
	return key->until_ns == 0 || now_ns < key->until_ns;
}

/* --- signatures --- */

static bool
verifies(EVP_PKEY *key, const EVP_MD *digest, struct span signature, struct span message)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context != NULL &&
	            EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
	            EVP_DigestVerify(context, (const unsigned char *)signature.data, signature.size,
	                             (const unsigned char *)(message.size == 0 ? "" : message.data),
	                             message.size) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

bool
public_key_verifies(EVP_PKEY *key, enum scheme_algorithm algorithm, struct span signature,
                    struct span message)
{
	return public_key_fits(key, algorithm) &&
	       verifies(key, algorithm == SCHEME_ED25519 ? NULL : EVP_sha256(), signature, message);
}

bool
public_key_verifies_sha1(EVP_PKEY *key, struct span signature, struct span message)
{
	return public_key_fits(key, SCHEME_SNS) && verifies(key, EVP_sha1(), signature, message);
}
