#include "receiver/verify/jwt.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/verify/json_pointer.h"

#define INTEGER_BYTES 32 /* r and s */

/* A token in its three parts: RFC 7515 section 7.1. */
struct token {
	struct span signed_part; /* header "." payload */
	struct span signature;
	struct buffer header;
	struct buffer payload;
};

static bool
decode_part(struct span text, struct buffer *out)
{
	size_t size = 0;
	buffer_init(out, JWT_MOST_BYTES);
	if (!buffer_reserve(out, text.size + 4) ||
	    !base64url_decode(text, (unsigned char *)out->data, text.size + 4, &size)) {
		return false;
	}
	out->size = size;
	return true;
}

static void
token_finish(struct token *token)
{
	buffer_finish(&token->header);
	buffer_finish(&token->payload);
}

static bool
token_read(struct span text, struct token *token)
{
	memset(token, 0, sizeof(*token));
	const char *first = text.size == 0 || text.size > JWT_MOST_BYTES
	                            ? NULL
	                            : memchr(text.data, '.', text.size);
	if (first == NULL) {
		return false;
	}
	struct span rest = span_after(text, (size_t)(first - text.data) + 1);
	const char *second = rest.size == 0 ? NULL : memchr(rest.data, '.', rest.size);
	if (second == NULL) {
		return false;
	}
	token->signed_part = (struct span){ text.data, (size_t)(second - text.data) };
	token->signature = span_after(rest, (size_t)(second - rest.data) + 1);
	return decode_part((struct span){ text.data, (size_t)(first - text.data) },
	                   &token->header) &&
	       decode_part((struct span){ rest.data, (size_t)(second - rest.data) },
	                   &token->payload);
}

static bool
claim(const struct buffer *part, const char *pointer, struct buffer *out)
{
	out->size = 0;
	return json_text_at(buffer_view(part), span_of(pointer), out) == JSON_FOUND;
}

/* r||s to the DER sequence that OpenSSL wants. */
static int
der_of(const unsigned char pair[2 * INTEGER_BYTES], unsigned char **der)
{
	ECDSA_SIG *signature = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(pair, INTEGER_BYTES, NULL);
	BIGNUM *s = BN_bin2bn(pair + INTEGER_BYTES, INTEGER_BYTES, NULL);
	ALWAYS(signature != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(signature, r, s) == 1,
	       "ecdsa-signature");
	int size = i2d_ECDSA_SIG(signature, der);
	ECDSA_SIG_free(signature);
	return size;
}

enum verdict
jwt_head(struct verification *v)
{
	struct span value = { 0 };
	struct token token;
	struct buffer text;
	size_t size = 0;
	unsigned char pair[2 * INTEGER_BYTES];
	size_t found = request_field(v->request, v->scheme, v->scheme->signature_header, &value);
	value = span_trim(value);
	if (found == 0 || (found == 1 && value.size == 0)) {
		return VERDICT_SIGNATURE_MISSING;
	}
	buffer_init(&text, JWT_MOST_BYTES);
	bool good = token_read(value, &token) && found == 1 &&
	            claim(&token.header, "/alg", &text) &&
	            span_equal(buffer_view(&text), SPAN("ES256")) &&
	            claim(&token.header, "/kid", &text) && text.size > 0 &&
	            text.size < KEY_NAME_MOST_BYTES &&
	            base64url_decode(token.signature, pair, sizeof(pair), &size) &&
	            size == sizeof(pair);
	buffer_finish(&text);
	token_finish(&token);
	return good ? VERDICT_GOOD : VERDICT_SIGNATURE_MALFORMED;
}

static bool
signature_fits(struct verification *v, const struct token *token,
               const struct key_candidates *candidates)
{
	unsigned char pair[2 * INTEGER_BYTES];
	unsigned char *der = NULL;
	size_t size = 0;
	if (!base64url_decode(token->signature, pair, sizeof(pair), &size)) {
		return false;
	}
	int der_size = der_of(pair, &der);
	struct span signature = { (const char *)der, der_size < 0 ? 0 : (size_t)der_size };
	for (size_t i = 0; i < candidates->count && v->matched < 0; i++) {
		if (public_key_verifies(candidates->keys[i], SCHEME_JWT, signature,
		                        token->signed_part)) {
			v->matched = candidates->index[i];
		}
	}
	OPENSSL_free(der);
	return v->matched >= 0;
}

static bool
body_fits(const struct token *token, struct span body, struct buffer *text)
{
	unsigned char given[32];
	unsigned char made[EVP_MAX_MD_SIZE];
	size_t size = 0;
	return claim(&token->payload, "/request_body_sha256", text) &&
	       hex_decode(buffer_view(text), given, sizeof(given), &size) &&
	       size == sizeof(given) &&
	       EVP_Digest(body.data, body.size, made, NULL, EVP_sha256(), NULL) == 1 &&
	       CRYPTO_memcmp(made, given, sizeof(given)) == 0;
}

static enum verdict
judge_claims(struct verification *v, const struct token *token, struct span body,
             struct buffer *text)
{
	int64_t then;
	if (!body_fits(token, body, text)) {
		v->matched = -1;
		return VERDICT_SIGNATURE_MISMATCH;
	}
	if (!claim(&token->payload, "/iat", text) ||
	    !timestamp_parse(SCHEME_SECONDS, buffer_view(text), &then)) {
		v->matched = -1;
		return VERDICT_TIMESTAMP_MISSING;
	}
	return verification_age(v, then, NS_PER_S);
}

enum verdict
jwt_judge(struct verification *v, struct span body)
{
	struct span value = { 0 };
	struct token token;
	struct buffer text;
	struct key_candidates candidates = { .count = 0 };
	enum verdict verdict = VERDICT_SIGNATURE_MALFORMED;
	(void)request_field(v->request, v->scheme, v->scheme->signature_header, &value);
	buffer_init(&text, JWT_MOST_BYTES);
	v->matched = -1;
	if (token_read(span_trim(value), &token) && claim(&token.header, "/kid", &text)) {
		enum key_found found = verification_keys(v, buffer_view(&text), &candidates);
		if (found == KEY_UNAVAILABLE) {
			verdict = VERDICT_KEY_UNAVAILABLE;
		} else if (found == KEY_ABSENT || !signature_fits(v, &token, &candidates)) {
			verdict = VERDICT_SIGNATURE_MISMATCH;
		} else {
			verdict = judge_claims(v, &token, body, &text);
		}
	}
	key_candidates_finish(&candidates);
	buffer_finish(&text);
	token_finish(&token);
	return verdict;
}
