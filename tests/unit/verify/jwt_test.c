#include "receiver/verify/jwt.h"

#include <string.h>

#include <openssl/ecdsa.h>
#include <openssl/hmac.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/signed.h"

#define NOW_S  INT64_C(1767735553)
#define NOW_NS (NOW_S * NS_PER_S + 999)
#define BODY   "{\"webhook_type\":\"ITEM\",\"webhook_code\":\"ERROR\"}"
#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"test\"}"

enum signer {
	BY_P256,
	BY_OTHER, /* another P-256 key */
	BY_HMAC,  /* HS256 with the public key as the secret: the old trick */
	BY_RSA,
	BY_NOBODY,
};

/* --- tokens by RFC 7515, not by the room --- */

static void
sign_text(enum signer signer, struct span text, struct buffer *out)
{
	static EVP_PKEY *other;
	unsigned char made[512];
	unsigned char pair[64];
	size_t size = sizeof(made);
	if (signer == BY_NOBODY) {
		return;
	}
	if (signer == BY_HMAC) {
		struct buffer pem;
		unsigned length = 0;
		key_public_pem(key_p256(), &pem);
		(void)HMAC(EVP_sha256(), pem.data, (int)pem.size, (const unsigned char *)text.data,
		           text.size, made, &length);
		base64url_encode(out, made, length);
		buffer_finish(&pem);
		return;
	}
	if (other == NULL) {
		other = EVP_EC_gen("P-256");
	}
	EVP_PKEY *key = signer == BY_RSA ? key_rsa() : signer == BY_OTHER ? other : key_p256();
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	ALWAYS(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
	               EVP_DigestSign(context, made, &size, (const unsigned char *)text.data,
	                              text.size) == 1,
	       "jwt-sign");
	EVP_MD_CTX_free(context);
	if (signer == BY_RSA) {
		base64url_encode(out, made, size);
		return;
	}
	const unsigned char *at = made;
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)size);
	ALWAYS(BN_bn2binpad(ECDSA_SIG_get0_r(signature), pair, 32) == 32 &&
	               BN_bn2binpad(ECDSA_SIG_get0_s(signature), pair + 32, 32) == 32,
	       "jwt-pair");
	ECDSA_SIG_free(signature);
	base64url_encode(out, pair, sizeof(pair));
}

static void
write_token(const char *header, const char *payload, enum signer signer, struct buffer *out)
{
	buffer_init(out, (size_t)4 * JWT_MOST_BYTES);
	base64url_encode(out, (const unsigned char *)header, strlen(header));
	buffer_byte(out, '.');
	base64url_encode(out, (const unsigned char *)payload, strlen(payload));
	struct buffer signature;
	buffer_init(&signature, 1024);
	sign_text(signer, buffer_view(out), &signature);
	buffer_byte(out, '.');
	buffer_span(out, buffer_view(&signature));
	buffer_finish(&signature);
}

/* What Plaid claims about `body`; `more` stands before it. */
static void
write_claims(const char *more, int64_t issued_s, struct span body, struct buffer *out)
{
	unsigned char hash[32];
	ALWAYS(EVP_Digest(body.data, body.size, hash, NULL, EVP_sha256(), NULL) == 1, "jwt-hash");
	buffer_init(out, 65536);
	buffer_format(out, "{%s\"iat\":%" PRId64 ",\"request_body_sha256\":\"", more, issued_s);
	hex_encode(out, hash, 32);
	buffer_text(out, "\"}");
}

/* --- judging --- */

struct fixture {
	struct public_keys keys;
	struct verify_keys verify_keys;
	struct field fields[2];
	struct verify_request request;
	int64_t now_ns;
	int matched;
	char wanted_key[KEY_NAME_MOST_BYTES];
};

static void
start(struct fixture *f)
{
	struct error err;
	struct buffer jwk;
	memset(f, 0, sizeof(*f));
	key_jwk(key_p256(), "test", &jwk);
	ALWAYS(public_keys_add_jwks(&f->keys, buffer_view(&jwk), &err), "jwt-keys");
	buffer_finish(&jwk);
	f->verify_keys.public_keys = &f->keys;
	f->request.method = SPAN("POST");
	f->now_ns = NOW_NS;
}

static const char *
word(struct fixture *f, struct span token, struct span body)
{
	struct verification v;
	f->fields[0] = (struct field){ SPAN("plaid-verification"), edge_copy(2, token) };
	f->request.fields =
		(struct fields){ f->fields, f->fields[1].name.size > 0 ? (size_t)2 : 1 };
	enum verdict verdict =
		verification_whole(&v, &preset_find("plaid")->scheme, &f->verify_keys, &f->request,
	                           f->now_ns, edge_copy(1, body));
	f->matched = v.matched;
	(void)snprintf(f->wanted_key, sizeof(f->wanted_key), "%s", v.wanted_key);
	verification_drop(&v);
	return verdict_word(verdict);
}

static void
finish(struct fixture *f)
{
	public_keys_finish(&f->keys);
}

static void
only_es256_with_a_kid_is_taken(void)
{
	static const struct {
		const char *header;
		enum signer signer;
		const char *word;
	} rows[] = {
		{ HEADER, BY_P256, "good" },
		{ "{\"kid\":\"test\",\"alg\":\"ES256\"}", BY_P256, "good" },
		{ "{\"alg\":\"none\",\"kid\":\"test\"}", BY_NOBODY, "signature_malformed" },
		{ "{\"alg\":\"none\",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"None\",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"HS256\",\"kid\":\"test\"}", BY_HMAC, "signature_malformed" },
		{ "{\"alg\":\"HS256\",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"RS256\",\"kid\":\"test\"}", BY_RSA, "signature_malformed" },
		{ "{\"alg\":\"RS256\",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"PS256\",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"ES384\",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"es256\",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"ES256 \",\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":[\"ES256\"],\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"test\"}", BY_P256,
		  "signature_malformed" }, /* the first counts */
		{ "{\"kid\":\"test\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"ES256\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"ES256\",\"kid\":\"\"}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"ES256\",\"kid\":null}", BY_P256, "signature_malformed" },
		{ "{\"alg\":\"ES256\",\"kid\":[\"test\"]}", BY_P256, "signature_malformed" },
		{ "", BY_P256, "signature_malformed" },
		{ "no json", BY_P256, "signature_malformed" },
		/* another key, or another's name */
		{ "{\"alg\":\"ES256\",\"kid\":\"tests\"}", BY_P256, "signature_mismatch" },
		{ "{\"alg\":\"ES256\",\"kid\":\"Test\"}", BY_P256, "signature_mismatch" },
		{ HEADER, BY_OTHER, "signature_mismatch" },
		{ HEADER, BY_NOBODY, "signature_malformed" },
		{ HEADER, BY_HMAC, "signature_malformed" },
		{ HEADER, BY_RSA, "signature_malformed" },
	};
	struct buffer claims;
	write_claims("", NOW_S, SPAN(BODY), &claims);
	char *payload = span_copy(buffer_view(&claims));
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		struct buffer token;
		start(&f);
		write_token(rows[i].header, payload, rows[i].signer, &token);
		const char *got = word(&f, buffer_view(&token), SPAN(BODY));
		CHECK_ROW(strcmp(got, rows[i].word) == 0, "%s: %s, not %s", rows[i].header, got,
		          rows[i].word);
		CHECK_ROW(f.matched == (strcmp(got, "good") == 0 ? 0 : -1), "%s: %d",
		          rows[i].header, f.matched);
		buffer_finish(&token);
		finish(&f);
	}
	free(payload);
	buffer_finish(&claims);
}

static void
the_body_is_bound_by_its_hash(void)
{
	struct buffer claims;
	struct buffer token;
	struct fixture f;
	start(&f);
	write_claims("", NOW_S, SPAN(BODY), &claims);
	char *payload = span_copy(buffer_view(&claims));
	write_token(HEADER, payload, BY_P256, &token);
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "good") == 0);
	static const struct span others[] = { TEXT(BODY "\n"), TEXT(" " BODY), TEXT(""), TEXT("{}"),
		                              TEXT("{\"webhook_type\":\"ITEM\","
		                                   "\"webhook_code\":\"ERROr\"}") };
	for (size_t i = 0; i < COUNT(others); i++) {
		CHECK_ROW(strcmp(word(&f, buffer_view(&token), others[i]), "signature_mismatch") ==
		                          0 &&
		                  f.matched == -1,
		          "%s", check_quote(others[i]));
	}
	buffer_finish(&token);
	free(payload);
	buffer_finish(&claims);
	finish(&f);
}

static void
claims_must_be_there(void)
{
	unsigned char hash[32];
	char hex[65];
	char payload[512];
	(void)EVP_Digest(BODY, strlen(BODY), hash, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < 32; i++) {
		(void)snprintf(hex + i * 2, 3, "%02x", hash[i]);
	}
	const struct {
		const char *before;
		const char *hash;
		const char *after;
		const char *word;
	} rows[] = {
		{ "{\"iat\":1767735553,\"request_body_sha256\":\"", hex, "\"}", "good" },
		{ "{\"iat\":\"1767735553\",\"request_body_sha256\":\"", hex, "\"}", "good" },
		{ "{\"request_body_sha256\":\"", hex, "\"}", "timestamp_missing" },
		{ "{\"iat\":null,\"request_body_sha256\":\"", hex, "\"}", "timestamp_missing" },
		{ "{\"iat\":1767735553.5,\"request_body_sha256\":\"", hex, "\"}",
		  "timestamp_missing" },
		{ "{\"iat\":-1,\"request_body_sha256\":\"", hex, "\"}", "timestamp_missing" },
		{ "{\"iat\":1e9,\"request_body_sha256\":\"", hex, "\"}", "timestamp_missing" },
		{ "{\"iat\":999999999999999999999,\"request_body_sha256\":\"", hex, "\"}",
		  "timestamp_missing" },
		{ "{\"iat\":1767735553}", "", "", "signature_mismatch" },
		{ "{\"iat\":1767735553,\"request_body_sha256\":\"", "", "\"}",
		  "signature_mismatch" },
		{ "{\"iat\":1767735553,\"request_body_sha256\":\"", hex + 2, "\"}",
		  "signature_mismatch" },
		{ "{\"iat\":1767735553,\"request_body_sha256\":\"00", hex, "\"}",
		  "signature_mismatch" },
		{ "{\"iat\":1767735553,\"request_body_sha256\":[\"", hex, "\"]}",
		  "signature_mismatch" },
		{ "{\"iat\":1767735553,\"request_body_sha256\":\"x\",\"request_body_sha256\":\"",
		  hex, "\"}", "signature_mismatch" },
		{ "no json", "", "", "signature_mismatch" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		struct buffer token;
		start(&f);
		(void)snprintf(payload, sizeof(payload), "%s%s%s", rows[i].before, rows[i].hash,
		               rows[i].after);
		write_token(HEADER, payload, BY_P256, &token);
		const char *got = word(&f, buffer_view(&token), SPAN(BODY));
		CHECK_ROW(strcmp(got, rows[i].word) == 0, "%s: %s", payload, got);
		buffer_finish(&token);
		finish(&f);
	}
}

static void
the_time_is_when_it_was_issued(void)
{
	static const struct {
		int64_t age_s;
		const char *word;
	} rows[] = { { 0, "good" },
		     { 300, "good" },
		     { 301, "timestamp_too_old" },
		     { 86400, "timestamp_too_old" },
		     { NOW_S, "timestamp_too_old" },
		     { -300, "good" },
		     { -301, "timestamp_in_future" } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		struct buffer claims;
		struct buffer token;
		start(&f);
		write_claims("", NOW_S - rows[i].age_s, SPAN(BODY), &claims);
		char *payload = span_copy(buffer_view(&claims));
		write_token(HEADER, payload, BY_P256, &token);
		const char *got = word(&f, buffer_view(&token), SPAN(BODY));
		CHECK_ROW(strcmp(got, rows[i].word) == 0, "%" PRId64 " s: %s", rows[i].age_s, got);
		free(payload);
		buffer_finish(&claims);
		buffer_finish(&token);
		finish(&f);
	}
}

static void
one_character_anywhere_is_refused(void)
{
	struct fixture f;
	struct buffer claims;
	struct buffer token;
	start(&f);
	write_claims("", NOW_S, SPAN(BODY), &claims);
	char *payload = span_copy(buffer_view(&claims));
	write_token(HEADER, payload, BY_P256, &token);
	for (size_t i = 0; i < token.size; i++) {
		char was = token.data[i];
		static const char others[] = { 'A', 'B', '.', '=', ' ', '_' };
		for (size_t j = 0; j < COUNT(others); j++) {
			token.data[i] = others[j];
			/* Only the last character has bits that say nothing, and these must be 0. */
			CHECK_ROW(others[j] == was ||
			                  strcmp(word(&f, buffer_view(&token), SPAN(BODY)),
			                         "good") != 0 ||
			                  others[j] == ' ',
			          "character %zu as '%c'", i, others[j]);
		}
		token.data[i] = was;
	}
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "good") == 0);
	free(payload);
	buffer_finish(&claims);
	buffer_finish(&token);
	finish(&f);
}

static void
what_is_no_token_is_malformed(void)
{
	struct fixture f;
	struct buffer claims;
	struct buffer token;
	struct buffer text;
	start(&f);
	write_claims("", NOW_S, SPAN(BODY), &claims);
	char *payload = span_copy(buffer_view(&claims));
	write_token(HEADER, payload, BY_P256, &token);
	static const struct {
		const char *before;
		const char *after;
		const char *word;
	} rows[] = {
		{ "", "", "good" },
		{ " ", "\t ", "good" },
		{ "Bearer ", "", "signature_malformed" },
		{ ".", "", "signature_malformed" },
		{ "", ".", "signature_malformed" },
		{ "", ".e30", "signature_malformed" },
		{ "", "=", "signature_malformed" },
		{ "", "A", "signature_malformed" },
		{ "e30.", "", "signature_malformed" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		buffer_init(&text, 65536);
		buffer_text(&text, rows[i].before);
		buffer_span(&text, buffer_view(&token));
		buffer_text(&text, rows[i].after);
		const char *got = word(&f, buffer_view(&text), SPAN(BODY));
		CHECK_ROW(strcmp(got, rows[i].word) == 0, "%s…%s: %s", rows[i].before,
		          rows[i].after, got);
		buffer_finish(&text);
	}
	static const struct {
		struct span text;
		const char *word;
	} others[] = {
		{ TEXT(""), "signature_missing" },
		{ TEXT(" \t"), "signature_missing" },
		{ TEXT("."), "signature_malformed" },
		{ TEXT(".."), "signature_malformed" },
		{ TEXT("a"), "signature_malformed" },
		{ TEXT("a.b"), "signature_malformed" },
		{ TEXT("e30.e30."), "signature_malformed" },
		{ TEXT("***.e30.AAAA"), "signature_malformed" },
	};
	for (size_t i = 0; i < COUNT(others); i++) {
		CHECK_ROW(strcmp(word(&f, others[i].text, SPAN(BODY)), others[i].word) == 0, "%s",
		          check_quote(others[i].text));
	}
	f.fields[1] = (struct field){ SPAN("Plaid-Verification"), buffer_view(&token) };
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "signature_malformed") == 0);
	free(payload);
	buffer_finish(&claims);
	buffer_finish(&token);
	finish(&f);
}

/* Exactly JWT_MOST_BYTES is taken. */
static void
a_token_has_a_limit(void)
{
	for (int over = 0; over < 2; over++) {
		struct fixture f;
		struct buffer claims = { 0 };
		struct buffer token = { 0 };
		start(&f);
		for (size_t pad = 2500; token.size < (size_t)JWT_MOST_BYTES + (size_t)over; pad++) {
			char more[4096];
			char dots[4000];
			memset(dots, 'x', sizeof(dots));
			(void)snprintf(more, sizeof(more), "\"pad\":\"%.*s\",", (int)pad, dots);
			buffer_finish(&claims);
			buffer_finish(&token);
			write_claims(more, NOW_S, SPAN(BODY), &claims);
			char *payload = span_copy(buffer_view(&claims));
			write_token(HEADER, payload, BY_P256, &token);
			free(payload);
		}
		bool fits = token.size <= JWT_MOST_BYTES;
		CHECK_ROW(strcmp(word(&f, buffer_view(&token), SPAN(BODY)),
		                 fits ? "good" : "signature_malformed") == 0,
		          "%zu bytes", token.size);
		CHECK_ROW(over == 0 || !fits, "%zu bytes", token.size);
		buffer_finish(&claims);
		buffer_finish(&token);
		finish(&f);
	}
}

/* Without pinned keys they are fetched by their kid; no key now is no refusal. */

static enum key_found
ring_find(void *context, struct span name, struct evp_pkey_st **ret)
{
	enum key_found found = *(enum key_found *)context;
	if (found == KEY_FOUND && span_equal(name, SPAN("test"))) {
		ALWAYS(EVP_PKEY_up_ref(key_p256()) == 1, "ring-key");
		*ret = key_p256();
		return KEY_FOUND;
	}
	return found == KEY_FOUND ? KEY_ABSENT : found;
}

static void
a_key_is_asked_for_by_its_kid(void)
{
	struct fixture f;
	struct buffer claims;
	struct buffer token;
	enum key_found found = KEY_FOUND;
	struct key_ring ring = { &found, ring_find };
	start(&f);
	write_claims("", NOW_S, SPAN(BODY), &claims);
	char *payload = span_copy(buffer_view(&claims));
	write_token(HEADER, payload, BY_P256, &token);
	f.verify_keys.ring = &ring;
	found = KEY_UNAVAILABLE;
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "good") == 0); /* it is pinned */
	public_keys_finish(&f.keys);
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "key_unavailable") == 0);
	CHECK_ROW(strcmp(f.wanted_key, "test") == 0, "%s", f.wanted_key);
	found = KEY_ABSENT;
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "signature_mismatch") == 0);
	found = KEY_FOUND;
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "good") == 0 && f.matched == 0);
	f.verify_keys.ring = NULL;
	CHECK(strcmp(word(&f, buffer_view(&token), SPAN(BODY)), "key_unavailable") == 0);
	free(payload);
	buffer_finish(&claims);
	buffer_finish(&token);
	finish(&f);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "only ES256 with a kid is taken", only_es256_with_a_kid_is_taken },
		{ "the body is bound by its hash", the_body_is_bound_by_its_hash },
		{ "claims must be there", claims_must_be_there },
		{ "the time is when it was issued", the_time_is_when_it_was_issued },
		{ "one character anywhere is refused", one_character_anywhere_is_refused },
		{ "what is no token is malformed", what_is_no_token_is_malformed },
		{ "a token has a limit", a_token_has_a_limit },
		{ "a key is asked for by its kid", a_key_is_asked_for_by_its_kid },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	keys_finish();
	return code;
}
