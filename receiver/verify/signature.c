#include "receiver/verify/signature.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/verify/form.h"
#include "receiver/verify/items.h"
#include "receiver/verify/json_pointer.h"
#include "receiver/verify/jwt.h"
#include "receiver/verify/key_url.h"
#include "receiver/verify/mac.h"
#include "receiver/verify/sns.h"
#include "receiver/verify/template.h"

static const char *const words[] = {
	[VERDICT_GOOD] = "good",
	[VERDICT_SIGNATURE_MISSING] = "signature_missing",
	[VERDICT_SIGNATURE_MALFORMED] = "signature_malformed",
	[VERDICT_TIMESTAMP_MISSING] = "timestamp_missing",
	[VERDICT_SIGNATURE_MISMATCH] = "signature_mismatch",
	[VERDICT_TIMESTAMP_TOO_OLD] = "timestamp_too_old",
	[VERDICT_TIMESTAMP_IN_FUTURE] = "timestamp_in_future",
	[VERDICT_KEY_UNAVAILABLE] = "key_unavailable",
};
static_assert(COUNT(words) == VERDICTS, "a verdict without a word");

const char *
verdict_word(enum verdict verdict)
{
	return words[verdict];
}

static bool
is_mac(const struct scheme *scheme)
{
	return scheme->algorithm == SCHEME_SHA256 || scheme->algorithm == SCHEME_SHA1;
}

/* --- signatures as they come --- */

/* The bytes that a signature must have; 0: their number varies. */
static size_t
signature_size(const struct scheme *scheme)
{
	switch (scheme->algorithm) {
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_ITEMS: return mac_size(scheme->algorithm);
	case SCHEME_ED25519: return 64;
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_RSA_SHA256:
	case SCHEME_TOKEN:
	case SCHEME_SNS:
	case SCHEME_JWT: break;
	}
	return 0;
}

bool
verification_take(struct verification *v, struct span text)
{
	size_t used = 0;
	if (v->signature_count > 0) {
		used = (size_t)v->parts[v->signature_count - 1].at +
		       v->parts[v->signature_count - 1].size;
	}
	size_t size = 0;
	size_t wanted = signature_size(v->scheme);
	unsigned char *room = v->signatures + used;
	bool decoded = v->scheme->encoding == SCHEME_HEX
	                       ? hex_decode(text, room, sizeof(v->signatures) - used, &size)
	                       : base64_decode(text, room, sizeof(v->signatures) - used, &size);
	if (!decoded || size == 0 || (wanted != 0 && size != wanted) ||
	    v->signature_count == SIGNATURES_MOST) {
		return false;
	}
	v->parts[v->signature_count].at = (unsigned short)used;
	v->parts[v->signature_count].size = (unsigned short)size;
	v->signature_count++;
	return true;
}

struct span
verification_signature(const struct verification *v, size_t index)
{
	return (struct span){ (const char *)v->signatures + v->parts[index].at,
		              v->parts[index].size };
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
	(void)verification_take(v, span_after(element, prefix.size));
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

/* Every header whose name begins so. */
static enum verdict
read_header_family(struct verification *v, struct span beginning)
{
	const struct fields *fields = &v->request->fields;
	bool any = false;
	for (size_t i = 0; i < fields->count; i++) {
		struct span name = fields->items[i].name;
		struct span value = span_trim(fields->items[i].value);
		if (name.size < beginning.size || value.size == 0 ||
		    !span_equal_nocase((struct span){ name.data, beginning.size }, beginning)) {
			continue;
		}
		any = true;
		if (!take_elements(v, value)) {
			return VERDICT_SIGNATURE_MALFORMED;
		}
	}
	return !any                      ? VERDICT_SIGNATURE_MISSING
	       : v->signature_count == 0 ? VERDICT_SIGNATURE_MALFORMED
	                                 : VERDICT_GOOD;
}

static enum verdict
read_signature_header(struct verification *v)
{
	struct span name = span_of(v->scheme->signature_header);
	if (name.size > 0 && name.data[name.size - 1] == '*') {
		return read_header_family(v, (struct span){ name.data, name.size - 1 });
	}
	struct span value = { 0 };
	size_t found = request_field(v->request, v->scheme, v->scheme->signature_header, &value);
	if (found == 0 || (found == 1 && span_trim(value).size == 0)) {
		return VERDICT_SIGNATURE_MISSING;
	}
	if (found > 1 || !take_elements(v, span_trim(value)) || v->signature_count == 0) {
		return VERDICT_SIGNATURE_MALFORMED;
	}
	return VERDICT_GOOD;
}

static enum verdict
read_signature_json(struct verification *v, struct span body)
{
	struct buffer text;
	buffer_init(&text, 4096);
	enum verdict verdict = VERDICT_GOOD;
	enum json_find found = json_text_at(body, span_of(v->scheme->signature_json), &text);
	if (found != JSON_FOUND || text.size == 0) {
		verdict = VERDICT_SIGNATURE_MISSING;
	} else if (!take_elements(v, buffer_view(&text)) || v->signature_count == 0) {
		verdict = VERDICT_SIGNATURE_MALFORMED;
	}
	buffer_finish(&text);
	return verdict;
}

/* --- time --- */

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

void
timestamp_write(enum scheme_unit unit, int64_t wall_ns, struct buffer *out)
{
	char text[CLOCK_TEXT_BYTES];
	switch (unit) {
	case SCHEME_SECONDS: buffer_format(out, "%" PRId64, wall_ns / NS_PER_S); return;
	case SCHEME_MILLISECONDS: buffer_format(out, "%" PRId64, wall_ns / NS_PER_MS); return;
	case SCHEME_RFC3339:
		clock_text(wall_ns, text);
		buffer_text(out, text);
		return;
	}
}

/* The time's text, where the head has it. */
static enum verdict
read_head_timestamp(struct verification *v)
{
	const struct scheme_value *from = &v->scheme->timestamp;
	if (from->from == SCHEME_FROM_HEADER) {
		struct span value = { 0 };
		if (request_field(v->request, v->scheme, from->name, &value) != 1) {
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

enum verdict
verification_age(struct verification *v, int64_t then_ns, int64_t unit_ns)
{
	int64_t now = v->now_ns / unit_ns * unit_ns; /* fractions of the unit say nothing */
	v->age_ns = now - then_ns;
	if (v->age_ns > v->scheme->tolerance_ns) {
		return VERDICT_TIMESTAMP_TOO_OLD;
	}
	return -v->age_ns > v->scheme->tolerance_ns ? VERDICT_TIMESTAMP_IN_FUTURE : VERDICT_GOOD;
}

static enum verdict
judge_age(struct verification *v)
{
	int64_t then;
	if (v->timestamp.data == NULL ||
	    !scheme_time_signed(v->scheme) || /* a time that nobody signed says nothing */
	    !timestamp_parse(v->scheme->unit, v->timestamp, &then)) {
		return VERDICT_GOOD;
	}
	return verification_age(v, then,
	                        v->scheme->unit == SCHEME_SECONDS        ? NS_PER_S
	                        : v->scheme->unit == SCHEME_MILLISECONDS ? NS_PER_MS
	                                                                 : 1);
}

/* --- tokens: the head carries the secret itself --- */

static bool
token_equals(const struct scheme *scheme, const struct secret *secret, struct span token)
{
	unsigned char wanted[EVP_MAX_MD_SIZE];
	unsigned char given[EVP_MAX_MD_SIZE];
	struct buffer text;
	struct span key = { (const char *)secret->key, secret->size };
	buffer_init(&text, SECRET_MOST_BYTES * 2);
	if (scheme->key == SCHEME_KEY_BASIC) {
		base64_encode(&text, secret->key, secret->size);
		key = buffer_view(&text);
	}
	/* Hashes of equal length, so that not even the length of the secret shows in the time. */
	bool made = EVP_Digest(key.data, key.size, wanted, NULL, EVP_sha256(), NULL) == 1 &&
	            EVP_Digest(token.data, token.size, given, NULL, EVP_sha256(), NULL) == 1;
	ALWAYS(made, "token-digest");
	bool same = CRYPTO_memcmp(wanted, given, 32) == 0;
	memory_wipe(text.data, text.size);
	buffer_finish(&text);
	return same;
}

static enum verdict
judge_token(struct verification *v)
{
	const struct scheme *scheme = v->scheme;
	struct span value = { 0 };
	struct buffer query;
	size_t found = request_field(v->request, scheme, scheme->signature_header, &value);
	value = span_trim(value);
	buffer_init(&query, SECRET_MOST_BYTES * 2);
	enum verdict verdict = VERDICT_SIGNATURE_MISMATCH;
	struct span prefix = span_of(scheme->prefix);
	if ((found == 0 || value.size == 0) && scheme->token_query != NULL &&
	    form_find(v->request->query, span_of(scheme->token_query), &query) && query.size > 0) {
		value = buffer_view(&query);
		prefix = (struct span){ 0 };
	} else if (found == 0 || (found == 1 && value.size == 0)) {
		verdict = VERDICT_SIGNATURE_MISSING;
	} else if (found > 1 || value.size < prefix.size ||
	           !span_equal_nocase((struct span){ value.data, prefix.size }, prefix)) {
		verdict = VERDICT_SIGNATURE_MALFORMED;
	}
	if (verdict == VERDICT_SIGNATURE_MISMATCH) {
		struct span token = span_trim(span_after(value, prefix.size));
		for (size_t i = 0; i < v->keys->secrets->count; i++) {
			const struct secret *secret = &v->keys->secrets->items[i];
			if (secret_live(secret, v->now_ns) && token_equals(scheme, secret, token) &&
			    v->matched < 0) {
				v->matched = (int)i;
			}
		}
		verdict = v->matched < 0 ? VERDICT_SIGNATURE_MISMATCH : VERDICT_GOOD;
	}
	buffer_finish(&query);
	return verdict;
}

/* --- the head --- */

static bool
needs_whole_body(const struct scheme *scheme)
{
	return !is_mac(scheme) || scheme->signature_json != NULL || scheme->url_port ||
	       !template_streams(scheme) ||
	       (scheme->timestamp.from == SCHEME_FROM_JSON &&
	        scheme_signs(scheme, SCHEME_TIMESTAMP));
}

/* The certificate's URL where the head has it; one that is not allowed is never fetched. */
static enum verdict
judge_certificate_header(struct verification *v)
{
	struct span url = { 0 };
	if (v->scheme->certificate_header == NULL) {
		return VERDICT_GOOD;
	}
	if (fields_find(v->request->fields, span_of(v->scheme->certificate_header), &url) != 1 ||
	    url.size >= KEY_NAME_MOST_BYTES ||
	    !key_url_allowed(url, v->scheme->certificate_hosts, v->scheme->certificate_ending)) {
		return VERDICT_SIGNATURE_MALFORMED;
	}
	return VERDICT_GOOD;
}

static enum verdict
judge_body_hash_query(const struct verification *v)
{
	const char *name = v->scheme->body_hash_query;
	struct buffer ignored;
	buffer_init(&ignored, 4096);
	bool there = name == NULL || form_find(v->request->query, span_of(name), &ignored);
	buffer_finish(&ignored);
	return there ? VERDICT_GOOD : VERDICT_SIGNATURE_MALFORMED;
}

enum verdict
verification_head(struct verification *v, const struct scheme *scheme,
                  const struct verify_keys *keys, const struct verify_request *request,
                  int64_t now_ns)
{
	v->scheme = scheme;
	v->keys = keys;
	v->request = request;
	v->now_ns = now_ns;
	v->signature_count = 0;
	v->timestamp = (struct span){ 0 };
	v->age_ns = 0;
	v->matched = -1;
	v->deferred = needs_whole_body(scheme);
	v->rest = (struct span){ 0 };
	v->owned = false;
	v->takes_body = false;
	v->wanted_key[0] = '\0';
	memset(v->contexts, 0, sizeof(v->contexts));
	switch (scheme->algorithm) {
	case SCHEME_TOKEN: return judge_token(v);
	case SCHEME_JWT: return jwt_head(v);
	case SCHEME_ITEMS:
	case SCHEME_SNS: return VERDICT_GOOD;
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_ED25519:
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_RSA_SHA256: break;
	}
	enum verdict verdict =
		scheme->signature_json != NULL ? VERDICT_GOOD : read_signature_header(v);
	if (verdict == VERDICT_GOOD && !template_list_holds(scheme, request)) {
		verdict = VERDICT_SIGNATURE_MALFORMED;
	}
	verdict = verdict == VERDICT_GOOD ? judge_certificate_header(v) : verdict;
	verdict = verdict == VERDICT_GOOD ? judge_body_hash_query(v) : verdict;
	return verdict == VERDICT_GOOD ? read_head_timestamp(v) : verdict;
}

/* --- hashing a template as its body comes --- */

static struct template_values
values_of(const struct verification *v, struct span body)
{
	struct template_values values = { .scheme = v->scheme,
		                          .request = v->request,
		                          .url = v->request->url,
		                          .timestamp = v->timestamp,
		                          .body = body };
	if (v->scheme->id.from == SCHEME_FROM_HEADER) {
		(void)request_field(v->request, v->scheme, v->scheme->id.name, &values.id);
	}
	return values;
}

static void
update_all(struct verification *v, struct span piece)
{
	for (size_t i = 0; i < v->keys->secrets->count; i++) {
		if (v->contexts[i] != NULL) {
			mac_update(v->contexts[i], piece);
		}
	}
}

/* Hashes the template up to {body}, or to its end. True when {body} was met. */
static bool
hash_until_body(struct verification *v)
{
	struct template_values values = values_of(v, (struct span){ 0 });
	struct scheme_piece piece;
	struct buffer room;
	bool body = false;
	buffer_init(&room, 1024 * 1024);
	while (!body && scheme_next_piece(&v->rest, &piece)) {
		struct span text = { 0 };
		body = piece.token == SCHEME_BODY;
		if (!body && template_text(&values, &piece, &room, &text)) {
			update_all(v, text);
		}
	}
	buffer_finish(&room);
	return body;
}

bool
verification_streams(const struct verification *v)
{
	return is_mac(v->scheme) && !v->deferred;
}

void
verification_secrets(struct verification *v, bool streaming)
{
	if (!is_mac(v->scheme)) {
		return;
	}
	v->owned = streaming && verification_streams(v);
	mac_thread_begin();
	for (size_t i = 0; i < v->keys->secrets->count; i++) {
		const struct secret *secret = &v->keys->secrets->items[i];
		if (secret_live(secret, v->now_ns)) {
			v->contexts[i] = v->owned ? mac_new(v->scheme->algorithm, secret)
			                          : mac_kept(v->scheme->algorithm, secret);
		}
	}
	if (!v->deferred) {
		v->rest = span_of(v->scheme->signed_text);
		v->takes_body = hash_until_body(v);
	}
}

enum verdict
verification_begin(struct verification *v, const struct scheme *scheme,
                   const struct verify_keys *keys, const struct verify_request *request,
                   int64_t now_ns, bool streaming)
{
	enum verdict verdict = verification_head(v, scheme, keys, request, now_ns);
	if (verdict == VERDICT_GOOD) {
		verification_secrets(v, streaming);
	}
	return verdict;
}

void
verification_feed(struct verification *v, struct span piece)
{
	if (verification_streams(v) && v->takes_body) {
		update_all(v, piece);
	}
}

static void
compare(struct verification *v)
{
	size_t size = mac_size(v->scheme->algorithm);
#ifdef HOOKLATCH_NEGATIVE_HALF_SIGNATURE
	size /= 2; /* a build that must be caught */
#endif
	for (size_t i = 0; i < v->keys->secrets->count; i++) {
		if (v->contexts[i] == NULL) {
			continue;
		}
		unsigned char made[MAC_MOST_BYTES];
		mac_finish(v->contexts[i], made);
		int same = 0;
		for (size_t j = 0; j < v->signature_count; j++) {
			same |= CRYPTO_memcmp(made, verification_signature(v, j).data, size) == 0;
		}
		if (same != 0 && v->matched < 0) {
			v->matched = (int)i;
		}
		memory_wipe(made, sizeof(made));
	}
}

/* The whole template with this URL; the contexts are begun anew. */
static void
hash_whole(struct verification *v, struct span body, struct span url)
{
	struct template_values values = values_of(v, body);
	struct buffer text;
	values.url = url;
	buffer_init(&text, body.size * 2 + 1024 * 1024);
	if (template_write(&values, &text)) {
		for (size_t i = 0; i < v->keys->secrets->count; i++) {
			if (v->contexts[i] != NULL) {
				v->contexts[i] =
					mac_kept(v->scheme->algorithm, &v->keys->secrets->items[i]);
				mac_update(v->contexts[i], buffer_view(&text));
			}
		}
		compare(v);
	}
	buffer_finish(&text);
}

static void
judge_deferred_mac(struct verification *v, struct span body)
{
	struct buffer other;
	buffer_init(&other, 65536);
	hash_whole(v, body, v->request->url);
	if (v->matched < 0 && v->scheme->url_port && template_other_port(v->request->url, &other)) {
		hash_whole(v, body, buffer_view(&other));
	}
	buffer_finish(&other);
}

/* The body's hash in the query, which the URL's signature covers. */
static bool
body_hash_fits(const struct verification *v, struct span body)
{
	unsigned char given[32];
	unsigned char made[EVP_MAX_MD_SIZE];
	size_t size = 0;
	struct buffer text;
	buffer_init(&text, 4096);
	bool same = form_find(v->request->query, span_of(v->scheme->body_hash_query), &text) &&
	            hex_decode(buffer_view(&text), given, sizeof(given), &size) &&
	            size == sizeof(given) &&
	            EVP_Digest(body.data, body.size, made, NULL, EVP_sha256(), NULL) == 1 &&
	            CRYPTO_memcmp(made, given, sizeof(given)) == 0;
	buffer_finish(&text);
	return same;
}

/* --- public keys --- */

enum key_found
verification_keys(struct verification *v, struct span name, struct key_candidates *ret)
{
	const struct public_keys *known = v->keys->public_keys;
	ret->count = 0;
	ret->owned = false;
	for (size_t i = 0; known != NULL && i < known->count; i++) {
		const struct public_key *key = &known->items[i];
		if (public_key_live(key, v->now_ns) &&
		    (key->name == NULL || name.size == 0 || span_equal(span_of(key->name), name))) {
			ret->index[ret->count] = (int)i;
			ret->keys[ret->count++] = key->key;
		}
	}
	if (known != NULL && known->count > 0) {
		return ret->count > 0 ? KEY_FOUND : KEY_ABSENT;
	}
	(void)snprintf(v->wanted_key, sizeof(v->wanted_key), "%.*s", SPAN_ARG(name));
	if (v->keys->ring == NULL || name.size >= sizeof(v->wanted_key)) {
		return KEY_UNAVAILABLE;
	}
	enum key_found found = v->keys->ring->find(v->keys->ring->context, name, &ret->keys[0]);
	ret->count = found == KEY_FOUND ? 1 : 0;
	ret->index[0] = 0;
	ret->owned = true;
	return found;
}

void
key_candidates_finish(struct key_candidates *candidates)
{
	for (size_t i = 0; candidates->owned && i < candidates->count; i++) {
		EVP_PKEY_free(candidates->keys[i]);
	}
	candidates->count = 0;
}

static enum verdict
judge_public_key(struct verification *v, struct span body)
{
	struct key_candidates candidates;
	struct span name = { 0 };
	if (v->scheme->certificate_header != NULL) {
		(void)fields_find(v->request->fields, span_of(v->scheme->certificate_header),
		                  &name);
	}
	enum key_found found = verification_keys(v, name, &candidates);
	if (found != KEY_FOUND) {
		return found == KEY_ABSENT ? VERDICT_SIGNATURE_MISMATCH : VERDICT_KEY_UNAVAILABLE;
	}
	struct template_values values = values_of(v, body);
	struct buffer message;
	buffer_init(&message, body.size * 2 + 1024 * 1024);
	bool made = template_write(&values, &message);
	for (size_t i = 0; made && i < candidates.count && v->matched < 0; i++) {
		for (size_t j = 0; j < v->signature_count; j++) {
			if (public_key_verifies(candidates.keys[i], v->scheme->algorithm,
			                        verification_signature(v, j),
			                        buffer_view(&message))) {
				v->matched = candidates.index[i];
			}
		}
	}
	buffer_finish(&message);
	key_candidates_finish(&candidates);
	return v->matched < 0 ? VERDICT_SIGNATURE_MISMATCH : judge_age(v);
}

/* --- the end --- */

static enum verdict
judge_mac(struct verification *v, struct span body)
{
	if (v->deferred) {
		judge_deferred_mac(v, body);
	} else {
		while (hash_until_body(v)) { /* a template may name the body again */
			update_all(v, body);
		}
		compare(v);
	}
	if (v->matched >= 0 && v->scheme->body_hash_query != NULL && !body_hash_fits(v, body)) {
		v->matched = -1;
	}
	return v->matched < 0 ? VERDICT_SIGNATURE_MISMATCH : judge_age(v);
}

enum verdict
verification_end(struct verification *v, struct span body)
{
	switch (v->scheme->algorithm) {
	case SCHEME_TOKEN: return VERDICT_GOOD; /* its head was */
	case SCHEME_ITEMS: return items_judge(v, body);
	case SCHEME_SNS: return sns_judge(v, body);
	case SCHEME_JWT: return jwt_judge(v, body);
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_ED25519:
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_RSA_SHA256: break;
	}
	if (v->scheme->signature_json != NULL) {
		enum verdict verdict = read_signature_json(v, body);
		if (verdict != VERDICT_GOOD) {
			return verdict;
		}
	}
	if (v->scheme->timestamp.from == SCHEME_FROM_JSON && !read_json_timestamp(v, body)) {
		return VERDICT_TIMESTAMP_MISSING;
	}
	return is_mac(v->scheme) ? judge_mac(v, body) : judge_public_key(v, body);
}

void
verification_drop(struct verification *v)
{
	for (size_t i = 0; v->owned && i < COUNT(v->contexts); i++) {
		mac_free(v->contexts[i]);
	}
	memset(v->contexts, 0, sizeof(v->contexts));
}

enum verdict
verification_whole(struct verification *v, const struct scheme *scheme,
                   const struct verify_keys *keys, const struct verify_request *request,
                   int64_t now_ns, struct span body)
{
	enum verdict verdict = verification_begin(v, scheme, keys, request, now_ns, false);
	if (verdict == VERDICT_GOOD) {
		verification_feed(v, body);
		verdict = verification_end(v, body);
	}
	return verdict;
}
