/* Keys of our own, made by OpenSSL, where a provider signs with a key of its own. */
#ifndef HOOKLATCH_TESTS_UNIT_KEYS_H
#define HOOKLATCH_TESTS_UNIT_KEYS_H

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "receiver/base/encoding.h"
#include "receiver/base/error.h"
#include "receiver/verify/scheme.h"

/* One of each kind for the whole program: RSA keys take their time. */
static struct {
	EVP_PKEY *ed25519;
	EVP_PKEY *p256;
	EVP_PKEY *rsa;
} test_keys;

static UNUSED EVP_PKEY *
key_ed25519(void)
{
	if (test_keys.ed25519 == NULL) {
		test_keys.ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		ALWAYS(test_keys.ed25519 != NULL, "key-ed25519");
	}
	return test_keys.ed25519;
}

static UNUSED EVP_PKEY *
key_p256(void)
{
	if (test_keys.p256 == NULL) {
		test_keys.p256 = EVP_EC_gen("P-256");
		ALWAYS(test_keys.p256 != NULL, "key-p256");
	}
	return test_keys.p256;
}

static UNUSED EVP_PKEY *
key_rsa(void)
{
	if (test_keys.rsa == NULL) {
		test_keys.rsa = EVP_RSA_gen(2048);
		ALWAYS(test_keys.rsa != NULL, "key-rsa");
	}
	return test_keys.rsa;
}

static UNUSED void
keys_finish(void)
{
	EVP_PKEY_free(test_keys.ed25519);
	EVP_PKEY_free(test_keys.p256);
	EVP_PKEY_free(test_keys.rsa);
}

/* The private key that a scheme signs with; NULL: it has secrets. */
static UNUSED EVP_PKEY *
key_for(enum scheme_algorithm algorithm)
{
	switch (algorithm) {
	case SCHEME_ED25519: return key_ed25519();
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_JWT: return key_p256();
	case SCHEME_RSA_SHA256:
	case SCHEME_SNS: return key_rsa();
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_TOKEN:
	case SCHEME_ITEMS: break;
	}
	return NULL;
}

static UNUSED void
key_take(BIO *bio, struct buffer *out)
{
	char *data = NULL;
	long size = BIO_get_mem_data(bio, &data);
	buffer_init(out, 65536);
	buffer_append(out, data, (size_t)size);
	BIO_free(bio);
}

/* The following begin `out`. */

static UNUSED void
key_public_pem(EVP_PKEY *key, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	ALWAYS(PEM_write_bio_PUBKEY(bio, key) == 1, "key-public-pem");
	key_take(bio, out);
}

static UNUSED void
key_private_pem(EVP_PKEY *key, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	ALWAYS(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1,
	       "key-private-pem");
	key_take(bio, out);
}

/* base64 of its SubjectPublicKeyInfo */
static UNUSED void
key_public_der(EVP_PKEY *key, struct buffer *out)
{
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	ALWAYS(size > 0, "key-public-der");
	buffer_init(out, 65536);
	base64_encode(out, der, (size_t)size);
	OPENSSL_free(der);
}

/* Self-signed, so that it is a certificate at all. */
static UNUSED void
key_certificate(EVP_PKEY *key, struct buffer *out)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	ALWAYS(X509_set_version(certificate, X509_VERSION_3) == 1 &&
	               ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
	               X509_gmtime_adj(X509_getm_notBefore(certificate), 0) != NULL &&
	               X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) != NULL &&
	               X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	                                          (const unsigned char *)"test", -1, -1, 0) == 1 &&
	               X509_set_issuer_name(certificate, name) == 1 &&
	               X509_set_pubkey(certificate, key) == 1 &&
	               X509_sign(certificate, key, EVP_sha256()) > 0,
	       "key-certificate");
	BIO *bio = BIO_new(BIO_s_mem());
	ALWAYS(PEM_write_bio_X509(bio, certificate) == 1, "key-certificate-pem");
	key_take(bio, out);
	X509_free(certificate);
}

/* A JWK of a P-256 key: RFC 7518 section 6.2.1. */
static UNUSED void
key_jwk(EVP_PKEY *key, const char *kid, struct buffer *out)
{
	unsigned char point[65];
	size_t size = 0;
	ALWAYS(EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &size) == 1 &&
	               size == sizeof(point) && point[0] == POINT_CONVERSION_UNCOMPRESSED,
	       "key-point");
	buffer_init(out, 65536);
	buffer_format(out, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"", kid);
	base64url_encode(out, point + 1, 32);
	buffer_text(out, "\",\"y\":\"");
	base64url_encode(out, point + 33, 32);
	buffer_text(out, "\"}");
}

#endif
