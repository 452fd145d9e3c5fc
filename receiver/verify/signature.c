#include "receiver/verify/signature.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/verify/json_pointer.h"

#define KEPT_CONTEXTS \
	64 /* keyed contexts that a thread keeps; re-keying costs more than the hash of a small body */

static _Thread_local struct {
	uint64_t serial;
	EVP_MAC_CTX *context;
} kept[KEPT_CONTEXTS];

static _Thread_local EVP_MAC *mac; /* EVP_MAC_fetch() is dear: once a thread */

static const char *const words[] = {
	[VERDICT_GOOD] = "good",
	[VERDICT_SIGNATURE_MISSING] = "signature_missing",
	[VERDICT_SIGNATURE_MALFORMED] = "signature_malformed",
	[VERDICT_TIMESTAMP_MISSING] = "timestamp_missing",
	[VERDICT_SIGNATURE_MISMATCH] = "signature_mismatch",
	[VERDICT_TIMESTAMP_TOO_OLD] = "timestamp_too_old",
	[VERDICT_TIMESTAMP_IN_FUTURE] = "timestamp_in_future",
};
static_assert(COUNT(words) == VERDICTS, "a verdict without a word");

const char *
verdict_word(enum verdict verdict)
{
	return words[verdict];
}

static EVP_MAC_CTX *
new_context(const struct scheme *scheme, const struct secret *secret)
{
	if (mac == NULL) {
		mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	}
	char sha256[] = "SHA256";
	char sha1[] = "SHA1";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		                                 scheme->algorithm == SCHEME_SHA1 ? sha1 : sha256,
		                                 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
	ALWAYS(context != NULL && EVP_MAC_init(context, secret->key, secret->size, parameters) == 1,
	       "hmac-init");
	return context;
}

/* A keyed context at its beginning. */
static EVP_MAC_CTX *
kept_context(const struct scheme *scheme, const struct secret *secret)
{
	size_t slot = secret->serial % KEPT_CONTEXTS;
	if (kept[slot].serial == secret->serial) {
		ALWAYS(EVP_MAC_init(kept[slot].context, NULL, 0, NULL) == 1, "hmac-again");
		return kept[slot].context;
	}
	EVP_MAC_CTX_free(kept[slot].context);
	kept[slot].context = new_context(scheme, secret);
	kept[slot].serial = secret->serial;
	return kept[slot].context;
}

void
signature_thread_finish(void)
{
	for (size_t i = 0; i < KEPT_CONTEXTS; i++) {
		EVP_MAC_CTX_free(kept[i].context);
		kept[i].context = NULL;
		kept[i].serial = 0;
	}
	EVP_MAC_free(mac);
	mac = NULL;
}

static void
hash(EVP_MAC_CTX *context, struct span text)
{
	if (text.size > 0) {
		ALWAYS(EVP_MAC_update(context, (const unsigned char *)text.data, text.size) == 1,
		       "hmac-update");
	}
}

static size_t
digest_bytes(const struct scheme *scheme)
{
	return scheme->algorithm == SCHEME_SHA1 ? 20 : 32;
}

static bool
decode_signature(struct verification *v, struct span text)
{
	unsigned char bytes[SIGNATURE_MOST_BYTES];
	size_t size;
	bool decoded = v->scheme->encoding == SCHEME_HEX
	                       ? hex_decode(text, bytes, sizeof(bytes), &size)
	                       : base64_decode(text, bytes, sizeof(bytes), &size);
	if (!decoded || size != digest_bytes(v->scheme)) {
		return false;
	}
	memcpy(v->signatures[v->signature_count++], bytes, size);
	return true;
}

/* One element of the header: a signature, the time, or nothing of ours. */
static bool
take_element(struct verification *v, struct span element)
{
	const struct scheme *scheme = v->scheme;
	if (scheme->timestamp_prefix != NULL &&
	    span_starts(element, span_of(scheme->timestamp_prefix))) {
		if (v->timestamp.data != NULL) {
			return false; /* two times: which one was signed? */
		}
		v->timestamp = span_after(element, strlen(scheme->timestamp_prefix));
		return true;
	}
	struct span prefix = span_of(scheme->prefix);
	if (!span_starts(element, prefix)) {
		return true;
	}
	if (v->signature_count == SIGNATURES_MOST) {
		return false;
	}
	(void)decode_signature(v, span_after(element, prefix.size));
	return true;
}

static bool
take_elements(struct verification *v, struct span value)
{
	if (v->scheme->separator == '\0') {
		return take_element(v, value);
	}
	for (;;) {
		size_t size = 0;
		while (size < value.size && value.data[size] != v->scheme->separator) {
			size++;
		}
		if (!take_element(v, span_trim((struct span){ value.data, size }))) {
			return false;
		}
		if (size == value.size) {
			return true;
		}
		value = span_after(value, size + 1);
	}
}

static enum verdict
read_header(struct verification *v)
{
	struct span value = { 0 };
	size_t found =
		fields_find(v->request->fields, span_of(v->scheme->signature_header), &value);
	if (found == 0 || (found == 1 && span_trim(value).size == 0)) {
		return VERDICT_SIGNATURE_MISSING;
	}
	if (found > 1 || !take_elements(v, span_trim(value)) || v->signature_count == 0) {
		return VERDICT_SIGNATURE_MALFORMED;
	}
	return VERDICT_GOOD;
}

bool
timestamp_parse(enum scheme_unit unit, struct span text, int64_t *wall_ns)
{
	int64_t number;
	if (text.size > TIMESTAMP_MOST_BYTES) {
		return false;
	}
	switch (unit) {
	case SCHEME_SECONDS:
		if (!span_number(text, &number) || number > INT64_MAX / NS_PER_S) {
			return false;
		}
		*wall_ns = number * NS_PER_S;
		return true;
	case SCHEME_MILLISECONDS:
		if (!span_number(text, &number) || number > INT64_MAX / NS_PER_MS) {
			return false;
		}
		*wall_ns = number * NS_PER_MS;
		return true;
	case SCHEME_RFC3339: return clock_parse(text, wall_ns);
	}
	return false;
}

/* The time's text, where the head has it. */
static enum verdict
read_head_timestamp(struct verification *v)
{
	const struct scheme_value *from = &v->scheme->timestamp;
	if (from->from == SCHEME_FROM_HEADER) {
		struct span value = { 0 };
		if (fields_find(v->request->fields, span_of(from->name), &value) != 1) {
			return VERDICT_TIMESTAMP_MISSING;
		}
		v->timestamp = value;
	}
	int64_t ignored;
	if ((from->from == SCHEME_FROM_HEADER || from->from == SCHEME_FROM_SIGNATURE) &&
	    !timestamp_parse(v->scheme->unit, v->timestamp, &ignored)) {
		return VERDICT_TIMESTAMP_MISSING;
	}
	return VERDICT_GOOD;
}

static struct span
id_header(const struct scheme *scheme, struct fields fields)
{
	struct span value = { 0 };
	if (scheme->id.from == SCHEME_FROM_HEADER) {
		(void)fields_find(fields, span_of(scheme->id.name), &value);
	}
	return value;
}

/* The text of a piece of the template; the body is not among them. */
static struct span
token_text(const struct verify_request *request, enum scheme_token token, struct span literal,
           struct span timestamp, struct span id)
{
	switch (token) {
	case SCHEME_LITERAL: return literal;
	case SCHEME_TIMESTAMP: return timestamp;
	case SCHEME_ID: return id;
	case SCHEME_METHOD: return request->method;
	case SCHEME_PATH: return request->path;
	case SCHEME_URL: return request->url;
	case SCHEME_BODY: break;
	}
	return (struct span){ 0 };
}

/* Hashes the template up to {body}, or to its end. True when {body} was met. */
static bool
hash_until_body(struct verification *v, struct span *text)
{
	struct span id = id_header(v->scheme, v->request->fields);
	enum scheme_token token;
	struct span literal = { 0 };
	while (scheme_next_token(text, &token, &literal)) {
		if (token == SCHEME_BODY) {
			return true;
		}
		struct span piece = token_text(v->request, token, literal, v->timestamp, id);
		for (size_t i = 0; i < v->secrets->count; i++) {
			if (v->contexts[i] != NULL) {
				hash(v->contexts[i], piece);
			}
		}
	}
	return false;
}

enum verdict
verification_head(struct verification *v, const struct scheme *scheme,
                  const struct secrets *secrets, const struct verify_request *request,
                  int64_t now_ns)
{
	v->scheme = scheme;
	v->secrets = secrets;
	v->request = request;
	v->now_ns = now_ns;
	v->signature_count = 0;
	v->timestamp = (struct span){ 0 };
	v->age_ns = 0;
	v->matched = -1;
	v->deferred = scheme->timestamp.from == SCHEME_FROM_JSON &&
	              scheme_signs(scheme, SCHEME_TIMESTAMP);
	v->rest = (struct span){ 0 };
	v->owned = false;
	memset(v->contexts, 0, sizeof(v->contexts));
	enum verdict verdict = read_header(v);
	return verdict == VERDICT_GOOD ? read_head_timestamp(v) : verdict;
}

void
verification_secrets(struct verification *v, bool streaming)
{
	v->owned = streaming;
	for (size_t i = 0; i < v->secrets->count; i++) {
		const struct secret *secret = &v->secrets->items[i];
		if (secret_live(secret, v->now_ns)) {
			v->contexts[i] = streaming ? new_context(v->scheme, secret)
			                           : kept_context(v->scheme, secret);
		}
	}
	if (!v->deferred) {
		v->rest = span_of(v->scheme->signed_text);
		(void)hash_until_body(v, &v->rest);
	}
}

enum verdict
verification_begin(struct verification *v, const struct scheme *scheme,
                   const struct secrets *secrets, const struct verify_request *request,
                   int64_t now_ns, bool streaming)
{
	enum verdict verdict = verification_head(v, scheme, secrets, request, now_ns);
	if (verdict == VERDICT_GOOD) {
		verification_secrets(v, streaming);
	}
	return verdict;
}

void
verification_feed(struct verification *v, struct span piece)
{
	for (size_t i = 0; i < v->secrets->count && !v->deferred; i++) {
		if (v->contexts[i] != NULL) {
			hash(v->contexts[i], piece);
		}
	}
}

/* The pieces behind the body; a template may name the body again. */
static void
hash_rest(struct verification *v, struct span body)
{
	while (hash_until_body(v, &v->rest)) {
		verification_feed(v, body);
	}
}

static bool
read_json_timestamp(struct verification *v, struct span body)
{
	struct json_slice slice;
	if (json_pointer_find(body, span_of(v->scheme->timestamp.name), &slice) != JSON_FOUND) {
		return false;
	}
	if (slice.kind == JSON_STRING) {
		slice.raw = (struct span){ slice.raw.data + 1, slice.raw.size - 2 };
	}
	v->timestamp = slice.raw;
	int64_t ignored;
	return timestamp_parse(v->scheme->unit, v->timestamp, &ignored);
}

static void
compare(struct verification *v)
{
	for (size_t i = 0; i < v->secrets->count; i++) {
		if (v->contexts[i] == NULL) {
			continue;
		}
		unsigned char made[EVP_MAX_MD_SIZE];
		size_t size = 0;
		ALWAYS(EVP_MAC_final(v->contexts[i], made, &size, sizeof(made)) == 1, "hmac-final");
		int same = 0;
		for (size_t j = 0; j < v->signature_count; j++) {
			same |= CRYPTO_memcmp(made, v->signatures[j], digest_bytes(v->scheme)) == 0;
		}
		if (same != 0 && v->matched < 0) {
			v->matched = (int)i;
		}
		memory_wipe(made, sizeof(made));
	}
}

/* Exactly `tolerance` old is good; times are compared in their own unit, so that fractions of it say nothing. */
static enum verdict
judge_age(struct verification *v)
{
	int64_t then;
	bool is_signed = v->scheme->timestamp.from == SCHEME_FROM_JSON
	                         ? scheme_signs(v->scheme, SCHEME_BODY)
	                         : false;
	is_signed = is_signed || scheme_signs(v->scheme, SCHEME_TIMESTAMP);
	if (!is_signed || v->timestamp.data == NULL || /* a time that nobody signed says nothing */
	    !timestamp_parse(v->scheme->unit, v->timestamp, &then)) {
		return VERDICT_GOOD;
	}
	int64_t unit = v->scheme->unit == SCHEME_SECONDS        ? NS_PER_S
	               : v->scheme->unit == SCHEME_MILLISECONDS ? NS_PER_MS
	                                                        : 1;
	int64_t now = v->now_ns / unit * unit;
	v->age_ns = now - then;
	if (v->age_ns > v->scheme->tolerance_ns) {
		return VERDICT_TIMESTAMP_TOO_OLD;
	}
	return -v->age_ns > v->scheme->tolerance_ns ? VERDICT_TIMESTAMP_IN_FUTURE : VERDICT_GOOD;
}

enum verdict
verification_end(struct verification *v, struct span body)
{
	if (v->scheme->timestamp.from == SCHEME_FROM_JSON && !read_json_timestamp(v, body)) {
		return VERDICT_TIMESTAMP_MISSING;
	}
	if (v->deferred) {
		v->deferred = false;
		v->rest = span_of(v->scheme->signed_text);
		if (hash_until_body(v, &v->rest)) {
			verification_feed(v, body);
		}
	}
	hash_rest(v, body);
	compare(v);
	return v->matched < 0 ? VERDICT_SIGNATURE_MISMATCH : judge_age(v);
}

void
verification_drop(struct verification *v)
{
	for (size_t i = 0; v->owned && i < COUNT(v->contexts); i++) {
		EVP_MAC_CTX_free(v->contexts[i]);
	}
	memset(v->contexts, 0, sizeof(v->contexts));
}

void
signature_make(const struct scheme *scheme, const struct secret *secret,
               const struct verify_request *request, struct span timestamp, struct span id,
               struct span body, struct buffer *out)
{
	EVP_MAC_CTX *context = kept_context(scheme, secret);
	struct span text = span_of(scheme->signed_text);
	enum scheme_token token;
	struct span literal = { 0 };
	while (scheme_next_token(&text, &token, &literal)) {
		hash(context, token == SCHEME_BODY
		                      ? body
		                      : token_text(request, token, literal, timestamp, id));
	}
	unsigned char made[EVP_MAX_MD_SIZE];
	size_t size = 0;
	ALWAYS(EVP_MAC_final(context, made, &size, sizeof(made)) == 1, "hmac-final");
	if (scheme->encoding == SCHEME_HEX) {
		hex_encode(out, made, size);
	} else {
		base64_encode(out, made, size);
	}
}
