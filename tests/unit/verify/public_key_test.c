#include "receiver/verify/public_key.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"
#include "tests/unit/keys.h"

static bool
add(enum scheme_algorithm algorithm, struct span text, EVP_PKEY *wanted)
{
	struct public_keys keys = { .count = 0 };
	struct error err = { .kind = ERROR_NONE };
	bool good = public_keys_add(&keys, algorithm, text, 0, &err);
	CHECK(keys.count == (good ? 1 : 0) && (err.kind == ERROR_INVALID) == !good);
	CHECK(!good || (keys.items[0].name == NULL && keys.items[0].until_ns == 0));
	CHECK(!good || wanted == NULL || EVP_PKEY_eq(keys.items[0].key, wanted) == 1);
	public_keys_finish(&keys);
	CHECK(keys.count == 0);
	return good;
}

/* Every form of every kind of key, against every algorithm. */
static void
a_key_is_taken_for_the_schemes_that_it_fits(void)
{
	static const enum scheme_algorithm algorithms[] = {
		SCHEME_ED25519, SCHEME_ECDSA_P256_SHA256,
		SCHEME_JWT,     SCHEME_RSA_SHA256,
		SCHEME_SNS,     SCHEME_SHA256,
		SCHEME_SHA1,    SCHEME_TOKEN,
		SCHEME_ITEMS,
	};
	EVP_PKEY *keys[] = { key_ed25519(), key_p256(), key_rsa() };
	for (size_t i = 0; i < COUNT(keys); i++) {
		struct buffer pem;
		struct buffer der;
		key_public_pem(keys[i], &pem);
		key_public_der(keys[i], &der);
		for (size_t j = 0; j < COUNT(algorithms); j++) {
			bool fits = key_for(algorithms[j]) == keys[i];
			CHECK_ROW(add(algorithms[j], edge_copy(0, buffer_view(&pem)), keys[i]) ==
			                  fits,
			          "PEM of key %zu for algorithm %zu", i, j);
			CHECK_ROW(add(algorithms[j], edge_copy(0, buffer_view(&der)), keys[i]) ==
			                  fits,
			          "DER of key %zu for algorithm %zu", i, j);
		}
		buffer_finish(&pem);
		buffer_finish(&der);
	}
}

/* The 32 bytes themselves: Discord in hex, Standard Webhooks in base64 behind whpk_. */
static void
ed25519_may_be_its_bytes(void)
{
	unsigned char raw[32];
	size_t size = sizeof(raw);
	CHECK(EVP_PKEY_get_raw_public_key(key_ed25519(), raw, &size) == 1 && size == 32);
	CHECK(!add(SCHEME_ED25519,
	           SPAN("gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg"),
	           NULL)); /* as long, and no hexadecimal */
	static const struct {
		const char *before;
		bool hex;
		const char *after;
		size_t bytes;
		bool good;
	} rows[] = {
		{ "", true, "", 32, true },
		{ "  ", true, " \t", 32, true },
		{ "", false, "", 32, true },
		{ "whpk_", false, "", 32, true },
		{ " whpk_", false, " ", 32, true },
		{ "", true, "", 31, false },
		{ "", true, "0", 32, false },
		{ "0x", true, "", 32, false },
		{ "whpk_", true, "", 32, false },
		{ "whsk_", false, "", 32, false },
		{ "whpk_whpk_", false, "", 32, false },
		{ "WHPK_", false, "", 32, false },
		{ "", false, "", 31, false },
		{ "whpk_", false, "", 31, false },
		{ "", false, "=", 32, false },
		{ "", false, "", 0, false },
		{ "whpk_", false, "", 0, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer text;
		buffer_init(&text, 256);
		buffer_text(&text, rows[i].before);
		if (rows[i].hex) {
			hex_encode(&text, raw, rows[i].bytes);
		} else {
			base64_encode(&text, raw, rows[i].bytes);
		}
		buffer_text(&text, rows[i].after);
		CHECK_ROW(add(SCHEME_ED25519, edge_copy(0, buffer_view(&text)), key_ed25519()) ==
		                  rows[i].good,
		          "%s", check_quote(buffer_view(&text)));
		/* 32 bytes are a key of nothing else. */
		CHECK_ROW(!add(SCHEME_ECDSA_P256_SHA256, buffer_view(&text), NULL), "%s",
		          check_quote(buffer_view(&text)));
		buffer_finish(&text);
	}
}

static void
weak_and_other_keys_are_refused(void)
{
	EVP_PKEY *p384 = EVP_EC_gen("P-384");
	EVP_PKEY *k256 = EVP_EC_gen("secp256k1");
	EVP_PKEY *rsa1024 = EVP_RSA_gen(1024);
	EVP_PKEY *rsa2040 = EVP_RSA_gen(2040);
	EVP_PKEY *x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	EVP_PKEY *ed448 = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	const struct {
		EVP_PKEY *key;
		enum scheme_algorithm algorithm;
	} rows[] = {
		{ p384, SCHEME_ECDSA_P256_SHA256 }, { p384, SCHEME_JWT },
		{ k256, SCHEME_ECDSA_P256_SHA256 }, { k256, SCHEME_JWT },
		{ rsa1024, SCHEME_RSA_SHA256 },     { rsa1024, SCHEME_SNS },
		{ rsa2040, SCHEME_RSA_SHA256 },     { rsa2040, SCHEME_SNS },
		{ x25519, SCHEME_ED25519 },         { ed448, SCHEME_ED25519 },
		{ p384, SCHEME_ED25519 },           { rsa1024, SCHEME_ECDSA_P256_SHA256 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer text;
		key_public_pem(rows[i].key, &text);
		CHECK_ROW(!add(rows[i].algorithm, buffer_view(&text), NULL), "row %zu", i);
		buffer_finish(&text);
		key_public_der(rows[i].key, &text);
		CHECK_ROW(!add(rows[i].algorithm, buffer_view(&text), NULL), "row %zu", i);
		buffer_finish(&text);
	}
	struct buffer pem;
	struct public_keys keys = { .count = 0 };
	struct error err = { .kind = ERROR_NONE };
	key_certificate(rsa1024, &pem);
	CHECK(!public_keys_add_certificate(&keys, buffer_view(&pem), NULL, &err) &&
	      err.kind == ERROR_INVALID && keys.count == 0);
	buffer_finish(&pem);
	key_certificate(key_p256(), &pem);
	CHECK(!public_keys_add_certificate(&keys, buffer_view(&pem), NULL, &err));
	buffer_finish(&pem);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const EVP_PKEY *key = rows[i].key;
		bool seen = false;
		for (size_t j = 0; j < i; j++) {
			seen = seen || rows[j].key == key;
		}
		if (!seen) {
			EVP_PKEY_free(rows[i].key);
		}
	}
}

static void
what_is_no_key_is_refused(void)
{
	struct buffer private_pem;
	struct buffer certificate;
	struct buffer longer;
	key_private_pem(key_ed25519(), &private_pem);
	key_certificate(key_rsa(), &certificate);
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key_p256(), &der);
	buffer_init(&longer, 4096);
	unsigned char more[256] = { 0 };
	memcpy(more, der, (size_t)size);
	base64_encode(&longer, more, (size_t)size + 1); /* a byte behind its end */
	OPENSSL_free(der);
	const struct {
		enum scheme_algorithm algorithm;
		struct span text;
	} rows[] = {
		{ SCHEME_ED25519, SPAN("") },
		{ SCHEME_ED25519, SPAN(" ") },
		{ SCHEME_ED25519, SPAN("my key") },
		{ SCHEME_ED25519, SPAN("-----BEGIN PUBLIC KEY-----\n") },
		{ SCHEME_ED25519,
		  SPAN("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n") },
		{ SCHEME_ED25519, buffer_view(&private_pem) },
		{ SCHEME_RSA_SHA256, buffer_view(&certificate) },
		{ SCHEME_ECDSA_P256_SHA256, buffer_view(&longer) },
		{ SCHEME_ECDSA_P256_SHA256, SPAN("AAAA") },
		{ SCHEME_ECDSA_P256_SHA256, SPAN("****") },
		/* points that are on no curve: the length is right */
		{ SCHEME_ECDSA_P256_SHA256,
		  SPAN("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		       "AAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ==") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(!add(rows[i].algorithm, edge_copy(0, rows[i].text), NULL), "row %zu: %s",
		          i, check_quote(rows[i].text));
	}
	buffer_finish(&private_pem);
	buffer_finish(&certificate);
	buffer_finish(&longer);
}

static void
a_certificate_brings_its_key_and_its_url(void)
{
	struct public_keys keys = { .count = 0 };
	struct error err = { .kind = ERROR_NONE };
	struct buffer pem;
	struct buffer chain;
	key_certificate(key_rsa(), &pem);
	buffer_init(&chain, 65536);
	buffer_text(&chain, "a text before it\n");
	buffer_span(&chain, buffer_view(&pem));
	buffer_text(&chain, "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n");
	CHECK(public_keys_add_certificate(&keys, edge_copy(0, buffer_view(&pem)), "https://a/b",
	                                  &err));
	CHECK(public_keys_add_certificate(&keys, edge_copy(0, buffer_view(&chain)), NULL, &err));
	CHECK(keys.count == 2 && strcmp(keys.items[0].name, "https://a/b") == 0 &&
	      keys.items[1].name == NULL);
	CHECK(EVP_PKEY_eq(keys.items[0].key, key_rsa()) == 1 &&
	      EVP_PKEY_eq(keys.items[1].key, key_rsa()) == 1);
	buffer_finish(&pem);
	static const struct span wrong[] = {
		TEXT(""),
		TEXT("no certificate"),
		TEXT("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
		TEXT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		CHECK_ROW(!public_keys_add_certificate(&keys, edge_copy(0, wrong[i]), NULL, &err),
		          "%s", check_quote(wrong[i]));
	}
	key_public_pem(key_rsa(), &pem);
	CHECK(!public_keys_add_certificate(&keys, buffer_view(&pem), NULL, &err));
	CHECK(keys.count == 2);
	buffer_finish(&pem);
	buffer_finish(&chain);
	public_keys_finish(&keys);
}

/* --- JSON Web Keys --- */

static void
jwks_come_alone_as_a_set_or_as_an_array(void)
{
	static const struct {
		const char *before;
		const char *between; /* NULL: one key */
		const char *after;
	} rows[] = {
		{ "", NULL, "" },
		{ " ", NULL, "\n" },
		{ "{\"keys\":[", NULL, "]}" },
		{ "{\"x\":1,\"keys\":[ ", " , ", " ]}" },
		{ "[", NULL, "]" },
		{ "[\n", ",\n", "\n]\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct public_keys keys = { .count = 0 };
		struct error err = { .kind = ERROR_NONE };
		struct buffer text;
		struct buffer one;
		buffer_init(&text, 65536);
		buffer_text(&text, rows[i].before);
		key_jwk(key_p256(), "k1", &one);
		buffer_span(&text, buffer_view(&one));
		buffer_finish(&one);
		if (rows[i].between != NULL) {
			buffer_text(&text, rows[i].between);
			key_jwk(key_p256(), "k\\u00e9", &one);
			buffer_span(&text, buffer_view(&one));
			buffer_finish(&one);
		}
		buffer_text(&text, rows[i].after);
		size_t count = rows[i].between == NULL ? 1 : 2;
		CHECK_ROW(public_keys_add_jwks(&keys, edge_copy(0, buffer_view(&text)), &err) &&
		                  keys.count == count,
		          "row %zu: %zu %s", i, keys.count, err.text);
		CHECK_ROW(strcmp(keys.items[0].name, "k1") == 0 &&
		                  EVP_PKEY_eq(keys.items[0].key, key_p256()) == 1,
		          "row %zu", i);
		CHECK_ROW(count == 1 || strcmp(keys.items[1].name, "k\xc3\xa9") == 0, "row %zu", i);
		public_keys_finish(&keys);
		buffer_finish(&text);
	}
}

#define X "\"x\":\"mjT_fq4ZlYE5iOkH2uC5wvoRG0EXuYbmx1DRz_hChl8\""

static void
what_is_no_p256_jwk_is_refused(void)
{
	struct buffer good;
	key_jwk(key_p256(), "k", &good);
	EVP_PKEY *key = public_key_from_jwk(buffer_view(&good));
	CHECK(key != NULL && EVP_PKEY_eq(key, key_p256()) == 1);
	EVP_PKEY_free(key);
	static const struct {
		const char *what;
		const char *with;
		bool key; /* public_key_from_jwk() does not look at kid */
	} changes[] = {
		{ "\"kty\":\"EC\"", "\"kty\":\"RSA\"", false },
		{ "\"kty\":\"EC\"", "\"kty\":\"ec\"", false },
		{ "\"kty\":\"EC\",", "", false },
		{ "\"crv\":\"P-256\"", "\"crv\":\"P-384\"", false },
		{ "\"crv\":\"P-256\"", "\"crv\":\"secp256k1\"", false },
		{ "\"crv\":\"P-256\",", "", false },
		{ "\"x\":\"", "\"x\":\"A", false },
		{ "\"x\":\"", "\"x\":\"=", false },
		{ "\"x\":\"", "\"X\":\"", false },
		{ "\"y\":\"", "\"y\":\"AAAA", false },
		{ "\"y\":\"", "\"z\":\"", false },
		{ "\"kid\":\"k\",", "", true },
		{ "\"kid\":\"k\"", "\"kid\":null", true },
		{ "\"kid\":\"k\"", "\"kid\":[\"k\"]", true },
	};
	for (size_t i = 0; i < COUNT(changes); i++) {
		struct public_keys keys = { .count = 0 };
		struct error err = { .kind = ERROR_NONE };
		struct buffer text;
		const char *at =
			memmem(good.data, good.size, changes[i].what, strlen(changes[i].what));
		ALWAYS(at != NULL, "jwk-change");
		size_t before = (size_t)(at - good.data);
		buffer_init(&text, 4096);
		buffer_append(&text, good.data, before);
		buffer_text(&text, changes[i].with);
		buffer_span(&text,
		            span_after(buffer_view(&good), before + strlen(changes[i].what)));
		key = public_key_from_jwk(edge_copy(0, buffer_view(&text)));
		CHECK_ROW((key != NULL) == changes[i].key, "%s", check_quote(buffer_view(&text)));
		EVP_PKEY_free(key);
		CHECK_ROW(!public_keys_add_jwks(&keys, edge_copy(0, buffer_view(&text)), &err) &&
		                  err.kind == ERROR_INVALID && keys.count == 0,
		          "%s", check_quote(buffer_view(&text)));
		buffer_finish(&text);
	}
	static const struct span wrong[] = {
		TEXT(""),
		TEXT("{}"),
		TEXT("[{}]"),
		TEXT("no json"),
		TEXT("{\"keys\":[{}]}"),
		TEXT("{\"keys\":{}}"),
		TEXT("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\"," X
		     ",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"), /* on no curve */
		TEXT("{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"AAAA\"}"),
	};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct public_keys keys = { .count = 0 };
		struct error err = { .kind = ERROR_NONE };
		CHECK_ROW(!public_keys_add_jwks(&keys, edge_copy(0, wrong[i]), &err) &&
		                  keys.count == 0,
		          "%s", check_quote(wrong[i]));
	}
	buffer_finish(&good);
}

static void
a_set_that_breaks_off_is_refused(void)
{
	static const char *const forms[] = { "[", "{\"keys\":[" };
	static const char *const ends[] = { "", ",", " x]", ",{}]", ",]" };
	for (size_t i = 0; i < COUNT(forms) * COUNT(ends); i++) {
		struct public_keys keys = { .count = 0 };
		struct error err = { .kind = ERROR_NONE };
		struct buffer text;
		struct buffer one;
		buffer_init(&text, 4096);
		key_jwk(key_p256(), "k", &one);
		buffer_text(&text, forms[i / COUNT(ends)]);
		buffer_span(&text, buffer_view(&one));
		buffer_text(&text, ends[i % COUNT(ends)]);
		CHECK_ROW(!public_keys_add_jwks(&keys, edge_copy(0, buffer_view(&text)), &err) &&
		                  err.kind == ERROR_INVALID,
		          "%s", check_quote(buffer_view(&text)));
		public_keys_finish(&keys);
		buffer_finish(&one);
		buffer_finish(&text);
	}
}

/* --- limits and time --- */

static void
sixteen_keys_are_kept_and_no_more(void)
{
	struct public_keys keys = { .count = 0 };
	struct error err = { .kind = ERROR_NONE };
	struct buffer der;
	struct buffer pem;
	struct buffer jwk;
	key_public_der(key_p256(), &der);
	key_certificate(key_rsa(), &pem);
	key_jwk(key_p256(), "k", &jwk);
	for (int64_t i = 0; i < PUBLIC_KEYS_MOST; i++) {
		CHECK(public_keys_add(&keys, SCHEME_ECDSA_P256_SHA256, buffer_view(&der), i, &err));
	}
	CHECK(!public_keys_add(&keys, SCHEME_ECDSA_P256_SHA256, buffer_view(&der), 0, &err) &&
	      err.kind == ERROR_LIMIT);
	CHECK(!public_keys_add_certificate(&keys, buffer_view(&pem), NULL, &err) &&
	      err.kind == ERROR_LIMIT);
	CHECK(!public_keys_add_jwks(&keys, buffer_view(&jwk), &err) && err.kind == ERROR_LIMIT);
	CHECK(keys.count == PUBLIC_KEYS_MOST);
	CHECK(public_key_live(&keys.items[0], INT64_MAX)); /* 0: for ever */
	CHECK(public_key_live(&keys.items[5], 4));
	CHECK(!public_key_live(&keys.items[5], 5)); /* from `until` on it is not used */
	buffer_finish(&der);
	buffer_finish(&pem);
	buffer_finish(&jwk);
	public_keys_finish(&keys);
}

/* --- signatures --- */

static void
sign(EVP_PKEY *key, const EVP_MD *digest, struct span text, struct buffer *out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char made[1024];
	size_t size = sizeof(made);
	ALWAYS(EVP_DigestSignInit(context, NULL, digest, NULL, key) == 1 &&
	               EVP_DigestSign(context, made, &size, (const unsigned char *)text.data,
	                              text.size) == 1,
	       "test-sign");
	EVP_MD_CTX_free(context);
	buffer_init(out, 4096);
	buffer_append(out, made, size);
}

static void
only_the_right_signature_is_good(void)
{
	static const enum scheme_algorithm algorithms[] = {
		SCHEME_ED25519, SCHEME_ECDSA_P256_SHA256, SCHEME_JWT, SCHEME_RSA_SHA256, SCHEME_SNS,
	};
	for (size_t i = 0; i < COUNT(algorithms); i++) {
		struct buffer made;
		EVP_PKEY *key = key_for(algorithms[i]);
		enum scheme_algorithm other =
			algorithms[i] == SCHEME_ED25519 ? SCHEME_JWT : SCHEME_ED25519;
		sign(key, algorithms[i] == SCHEME_ED25519 ? NULL : EVP_sha256(), SPAN("text"),
		     &made);
		struct span signature = buffer_view(&made);
		CHECK_ROW(public_key_verifies(key, algorithms[i], signature, SPAN("text")),
		          "algorithm %zu", i);
		CHECK_ROW(!public_key_verifies(key, algorithms[i], signature, SPAN("texT")),
		          "algorithm %zu", i);
		CHECK_ROW(!public_key_verifies(key, algorithms[i], signature, SPAN("")),
		          "algorithm %zu", i);
		CHECK_ROW(!public_key_verifies(key, algorithms[i],
		                               (struct span){ made.data, made.size - 1 },
		                               SPAN("text")),
		          "algorithm %zu", i);
		CHECK_ROW(!public_key_verifies(key, algorithms[i], SPAN(""), SPAN("text")),
		          "algorithm %zu", i);
		CHECK_ROW(!public_key_verifies(key, other, signature, SPAN("text")),
		          "algorithm %zu", i);
		CHECK_ROW(!public_key_verifies(key, SCHEME_SHA256, signature, SPAN("text")),
		          "algorithm %zu", i);
		for (size_t bit = 0; bit < made.size * 8; bit++) {
			made.data[bit / 8] = (char)(made.data[bit / 8] ^ 1 << bit % 8);
			CHECK_ROW(!public_key_verifies(key, algorithms[i], signature, SPAN("text")),
			          "algorithm %zu bit %zu", i, bit);
			made.data[bit / 8] = (char)(made.data[bit / 8] ^ 1 << bit % 8);
		}
		buffer_finish(&made);
	}
	struct buffer empty;
	sign(key_ed25519(), NULL, SPAN(""), &empty);
	CHECK(public_key_verifies(key_ed25519(), SCHEME_ED25519, buffer_view(&empty),
	                          (struct span){ 0 }));
	buffer_finish(&empty);
}

static void
sha1_is_for_sns_alone(void)
{
	struct buffer sha1;
	struct buffer sha256;
	sign(key_rsa(), EVP_sha1(), SPAN("text"), &sha1);
	sign(key_rsa(), EVP_sha256(), SPAN("text"), &sha256);
	CHECK(public_key_verifies_sha1(key_rsa(), buffer_view(&sha1), SPAN("text")));
	CHECK(!public_key_verifies_sha1(key_rsa(), buffer_view(&sha256), SPAN("text")));
	CHECK(!public_key_verifies_sha1(key_p256(), buffer_view(&sha1), SPAN("text")));
	CHECK(!public_key_verifies(key_rsa(), SCHEME_SNS, buffer_view(&sha1), SPAN("text")));
	CHECK(!public_key_verifies(key_rsa(), SCHEME_RSA_SHA256, buffer_view(&sha1), SPAN("text")));
	buffer_finish(&sha1);
	buffer_finish(&sha256);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a key is taken for the schemes that it fits",
		  a_key_is_taken_for_the_schemes_that_it_fits },
		{ "Ed25519 may be its bytes", ed25519_may_be_its_bytes },
		{ "weak and other keys are refused", weak_and_other_keys_are_refused },
		{ "what is no key is refused", what_is_no_key_is_refused },
		{ "a certificate brings its key and its URL",
		  a_certificate_brings_its_key_and_its_url },
		{ "JWKs come alone, as a set or as an array",
		  jwks_come_alone_as_a_set_or_as_an_array },
		{ "what is no P-256 JWK is refused", what_is_no_p256_jwk_is_refused },
		{ "a set that breaks off is refused", a_set_that_breaks_off_is_refused },
		{ "sixteen keys are kept and no more", sixteen_keys_are_kept_and_no_more },
		{ "only the right signature is good", only_the_right_signature_is_good },
		{ "SHA-1 is for SNS alone", sha1_is_for_sns_alone },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	keys_finish();
	return code;
}
