/* Header grammars: a byte that names a scheme, the signature header's value, a line feed, a timestamp header's value, a
 * line feed, the body. In the value "%S" is replaced by the right signature and "%T" by the time at which it was made, so
 * that good requests are met: without "%S" none may be good, and pieces of the body make no difference. Where the signature
 * is in the body, "%S" is replaced there: for the n-th item, where each has its own. A JSON Web Token is written as
 * "header TAB claims TAB %S", with "%H" for the body's hash. The byte's highest bit chooses the scheme's other way: its other
 * family of names, or the query. What is made of the request afterwards, events and explanations, only has to keep its
 * promises. */
#include "receiver/verify/signature.h"

#include <string.h>

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/challenge.h"
#include "receiver/verify/diagnose.h"
#include "receiver/verify/events.h"
#include "receiver/verify/items.h"
#include "receiver/verify/mac.h"
#include "receiver/verify/presets.h"
#include "receiver/verify/sns.h"
#include "receiver/verify/template.h"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/json_walk.h"

#define NOW_NS      (INT64_C(1767735553) * NS_PER_S)
#define NOW         "1767735553"
#define NOW_RFC3339 "2026-01-06T21:39:13Z"
#define NOW_MS      NOW "000"
#define CERTIFICATE "https://api.paypal.com/v1/notifications/certs/CERT-1"
#define TOPIC       "arn:aws:sns:us-east-1:123456789012:orders"
#define FIELDS_MOST 8
#define OTHER_WAY   0x80U

#define SIGNATURE_MOST 512

static const struct scheme generic[] = {
	{
		.signature_header = "X-Signature",
		.separator = ';',
		.prefix = "h1=",
		.timestamp_prefix = "ts=",
		.algorithm = SCHEME_SHA1,
		.signed_text = "{timestamp}:{method}{path}{url}{body}",
		.timestamp = { .from = SCHEME_FROM_SIGNATURE },
		.unit = SCHEME_RFC3339,
		.tolerance_ns = 60 * NS_PER_S,
		.id = { .from = SCHEME_GENERATED },
	},
	{
		.signature_header = "X-Signature",
		.encoding = SCHEME_BASE64,
		.signed_text = "{body}{timestamp}",
		.timestamp = { .from = SCHEME_FROM_JSON, .name = "/t" },
		.unit = SCHEME_MILLISECONDS,
		.tolerance_ns = 60 * NS_PER_S,
		.id = { .from = SCHEME_FROM_JSON, .name = "/t" },
	},
};

struct request {
	const struct scheme *scheme;
	const struct challenge *challenge;
	bool other_way;
	struct secrets secrets;
	struct public_keys public_keys;
	struct verify_keys keys;
	struct verify_request request;
	struct field fields[FIELDS_MOST];
	struct buffer names; /* of fields */
	struct span id;
	struct span body;
	int right; /* the index of the secret or key that fits */
};

static bool
in_body(const struct scheme *scheme)
{
	return scheme->signature_json != NULL || scheme->algorithm == SCHEME_SNS ||
	       scheme->algorithm == SCHEME_ITEMS;
}

/* --- keys, made once --- */

static EVP_PKEY *
private_key(enum scheme_algorithm algorithm)
{
	static EVP_PKEY *ed25519;
	static EVP_PKEY *p256;
	static EVP_PKEY *rsa;
	if (ed25519 == NULL) {
		ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		p256 = EVP_EC_gen("P-256");
		rsa = EVP_RSA_gen(2048);
		PROPERTY(ed25519 != NULL && p256 != NULL && rsa != NULL);
	}
	switch (algorithm) {
	case SCHEME_ED25519: return ed25519;
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_JWT: return p256;
	case SCHEME_RSA_SHA256:
	case SCHEME_SNS: return rsa;
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_TOKEN:
	case SCHEME_ITEMS: break;
	}
	return NULL;
}

static void
make_keys(struct request *request)
{
	const struct scheme *scheme = request->scheme;
	struct error err;
	request->keys = (struct verify_keys){ .secrets = &request->secrets,
		                              .public_keys = &request->public_keys };
	if (scheme_has_secrets(scheme)) {
		static const struct span texts[] = { [SCHEME_KEY_RAW] = { "c2VjcmV0", 8 },
			                             [SCHEME_KEY_BASE64_AFTER_WHSEC] = { "c2VjcmV0",
			                                                                 8 },
			                             [SCHEME_KEY_HEX] = { "00ff", 4 },
			                             [SCHEME_KEY_BASIC] = { "a:b", 3 } };
		struct span text = texts[scheme->key];
		PROPERTY(
			secrets_add(&request->secrets, scheme->key, text, NOW_NS, &err)); /* over */
		PROPERTY(secrets_add(&request->secrets, scheme->key, text, 0, &err));
		request->right = 1;
		return;
	}
	EVP_PKEY *key = private_key(scheme->algorithm);
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	struct buffer text;
	buffer_init(&text, 65536);
	PROPERTY(size > 0);
	base64_encode(&text, der, (size_t)size);
	PROPERTY(public_keys_add(&request->public_keys, scheme->algorithm, buffer_view(&text), 0,
	                         &err));
	OPENSSL_free(der);
	buffer_finish(&text);
	request->right = 0;
}

/* --- the right signature --- */

static void
encode(const struct scheme *scheme, const unsigned char *made, size_t size, struct buffer *out)
{
	if (scheme->encoding == SCHEME_HEX) {
		hex_encode(out, made, size);
	} else {
		base64_encode(out, made, size);
	}
}

static void
put_token(const struct request *request, struct buffer *out)
{
	const struct secret *secret = &request->secrets.items[1];
	if (request->scheme->key == SCHEME_KEY_BASIC) {
		base64_encode(out, secret->key, secret->size);
	} else {
		buffer_append(out, secret->key, secret->size);
	}
}

static size_t
sign_with_key(const struct scheme *scheme, const EVP_MD *digest, struct span text,
              unsigned char made[SIGNATURE_MOST])
{
	size_t size = SIGNATURE_MOST;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	PROPERTY(EVP_DigestSignInit(context, NULL, digest, NULL, private_key(scheme->algorithm)) ==
	                 1 &&
	         EVP_DigestSign(context, made, &size,
	                        (const unsigned char *)(text.size == 0 ? "" : text.data),
	                        text.size) == 1);
	EVP_MD_CTX_free(context);
	return size;
}

/* Of the n-th item. */
static bool
put_item_signature(const struct request *request, struct span body, size_t n, struct buffer *out)
{
	struct json_items items;
	struct json_slice item = { 0 };
	struct buffer text;
	unsigned char made[SIGNATURE_MOST];
	bool found = json_items_begin(body, SPAN(ITEMS_ARRAY), &items) == JSON_FOUND;
	for (size_t i = 0; found && i <= n; i++) {
		found = json_items_next(&items, &item) == JSON_FOUND;
	}
	buffer_init(&text, 65536);
	if (found && items_text(item.raw, &text)) {
		mac_once(SCHEME_SHA256, &request->secrets.items[1], buffer_view(&text), made);
		base64_encode(out, made, mac_size(SCHEME_SHA256));
	} else {
		found = false;
	}
	buffer_finish(&text);
	return found;
}

/* A field of the body, for whoever else reads it: the document must be taken by jansson too. */
static bool
body_says(struct span body, const char *pointer, const char *wanted)
{
	json_t *root = json_loadb(body.data, body.size, JSON_ALLOW_NUL, NULL);
	const json_t *value = json_walk(root, span_of(pointer));
	bool same =
		jansson_is(value, JANSSON_STRING) && strcmp(json_string_value(value), wanted) == 0;
	json_decref(root);
	return same;
}

/* What our scanner reads jansson may refuse: a number beyond all measure, a byte that is no UTF-8. */
static bool
jansson_refuses(struct span body)
{
	json_t *root = json_loadb(body.data, body.size, JSON_ALLOW_NUL, NULL);
	json_decref(root);
	return root == NULL;
}

static bool
put_sns_signature(const struct request *request, struct span body, struct buffer *out)
{
	unsigned char made[SIGNATURE_MOST];
	struct buffer text;
	buffer_init(&text, (size_t)1 << 22);
	bool good = sns_text(body, &text);
	if (good) {
		bool sha1 = body_says(body, "/SignatureVersion", "1");
		size_t size = sign_with_key(request->scheme, sha1 ? EVP_sha1() : EVP_sha256(),
		                            buffer_view(&text), made);
		base64_encode(out, made, size);
	}
	buffer_finish(&text);
	return good;
}

/* False: the template cannot be filled from this request. */
static bool
put_signature(const struct request *request, struct span timestamp, struct span body, size_t n,
              struct buffer *out)
{
	const struct scheme *scheme = request->scheme;
	struct template_values values = { .scheme = scheme,
		                          .request = &request->request,
		                          .url = request->request.url,
		                          .timestamp = timestamp,
		                          .id = request->id,
		                          .body = body };
	unsigned char made[SIGNATURE_MOST];
	struct buffer text;
	if (scheme->algorithm == SCHEME_TOKEN) {
		put_token(request, out);
		return true;
	}
	if (scheme->algorithm == SCHEME_ITEMS) {
		return put_item_signature(request, body, n, out);
	}
	if (scheme->algorithm == SCHEME_SNS) {
		return put_sns_signature(request, body, out);
	}
	buffer_init(&text, (size_t)1 << 22);
	bool good = template_write(&values, &text);
	if (good && scheme_has_secrets(scheme)) {
		mac_once(scheme->algorithm, &request->secrets.items[1], buffer_view(&text), made);
		encode(scheme, made, mac_size(scheme->algorithm), out);
	} else if (good) {
		bool ed25519 = scheme->algorithm == SCHEME_ED25519;
		size_t size = sign_with_key(scheme, ed25519 ? NULL : EVP_sha256(),
		                            buffer_view(&text), made);
		encode(scheme, made, size, out);
	}
	buffer_finish(&text);
	return good;
}

/* The value with "%S" and "%T" replaced; true when a right signature is in it. */
static bool
fill_in(const struct request *request, struct span value, struct span timestamp, struct span body,
        struct buffer *out)
{
	bool is_signed = false;
	size_t n = 0;
	for (size_t i = 0; i < value.size; i++) {
		struct span rest = span_after(value, i);
		if (span_starts(rest, SPAN("%S"))) {
			is_signed = put_signature(request, timestamp, body, n++, out) || is_signed;
			i++;
		} else if (span_starts(rest, SPAN("%T"))) {
			buffer_span(out, timestamp);
			i++;
		} else {
			buffer_byte(out, value.data[i]);
		}
	}
	return is_signed;
}

static void
put_hash(struct span body, struct buffer *out)
{
	unsigned char hash[32];
	PROPERTY(EVP_Digest(body.data, body.size, hash, NULL, EVP_sha256(), NULL) == 1);
	hex_encode(out, hash, sizeof(hash));
}

/* RFC 7518 section 3.4: r and s, one behind the other. */
static void
put_pair(struct span text, const struct scheme *scheme, struct buffer *out)
{
	unsigned char made[SIGNATURE_MOST];
	unsigned char pair[64];
	const unsigned char *at = made;
	size_t size = sign_with_key(scheme, EVP_sha256(), text, made);
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)size);
	PROPERTY(signature != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(signature), pair, 32) == 32 &&
	         BN_bn2binpad(ECDSA_SIG_get0_s(signature), pair + 32, 32) == 32);
	ECDSA_SIG_free(signature);
	base64url_encode(out, pair, sizeof(pair));
}

/* "header TAB claims TAB %S" to a token; anything else stays as it is. */
static bool
fill_in_token(const struct request *request, struct span value, struct span body,
              struct buffer *out)
{
	struct span rest = value;
	struct span header = fuzz_take_until(&rest, '\t');
	struct span claims = fuzz_take_until(&rest, '\t');
	struct buffer written;
	if (!span_equal(rest, SPAN("%S"))) {
		buffer_span(out, value);
		return false;
	}
	buffer_init(&written, (size_t)1 << 20);
	for (size_t i = 0; i < claims.size; i++) {
		struct span at = span_after(claims, i);
		bool marked = span_starts(at, SPAN("%H")) || span_starts(at, SPAN("%T"));
		if (span_starts(at, SPAN("%H"))) {
			put_hash(body, &written);
		} else {
			buffer_span(&written, marked ? SPAN(NOW) : (struct span){ at.data, 1 });
		}
		i += marked ? 1 : 0;
	}
	base64url_encode(out, (const unsigned char *)header.data, header.size);
	buffer_byte(out, '.');
	base64url_encode(out, (const unsigned char *)(written.size == 0 ? "" : written.data),
	                 written.size);
	struct span text = buffer_view(out);
	struct buffer signature;
	buffer_init(&signature, 1024);
	put_pair(text, request->scheme, &signature);
	buffer_byte(out, '.');
	buffer_span(out, buffer_view(&signature));
	buffer_finish(&signature);
	buffer_finish(&written);
	return true;
}

/* --- the request --- */

/* Generic ones come first: what a byte names stays when presets are added. */
static void
choose_scheme(struct request *request, struct span digit)
{
	size_t count = 0;
	unsigned byte = digit.size == 0 ? 0 : (unsigned char)digit.data[0];
	while (presets[count].name != NULL) {
		count++;
	}
	PROPERTY(count + COUNT(generic) <= OTHER_WAY);
	size_t wanted = (byte & (OTHER_WAY - 1U)) % (count + COUNT(generic));
	request->other_way = (byte & OTHER_WAY) != 0;
	if (wanted < COUNT(generic)) {
		request->scheme = &generic[wanted];
		return;
	}
	const struct preset *preset = &presets[wanted - COUNT(generic)];
	request->scheme = &preset->scheme;
	request->challenge = preset->challenge == NULL ? NULL : challenge_find(preset->challenge);
}

/* A header's name, of the other family where that is wanted. */
static struct span
name_of(struct request *request, const char *name)
{
	const struct scheme *scheme = request->scheme;
	size_t from = request->names.size;
	if (!request->other_way || scheme->family == NULL ||
	    !span_starts(span_of(name), span_of(scheme->family))) {
		return span_of(name);
	}
	buffer_format(&request->names, "%s%s", scheme->other_family, name + strlen(scheme->family));
	return span_after(buffer_view(&request->names), from);
}

static void
add_field(struct request *request, struct span name, struct span value)
{
	PROPERTY(request->request.fields.count < FIELDS_MOST);
	request->fields[request->request.fields.count] = (struct field){ name, value };
	request->request.fields =
		(struct fields){ request->fields, request->request.fields.count + 1 };
}

/* The signature's field is the first, with the name of the scheme's, where it has one. */
static void
fill_request(struct request *request, struct span timestamp)
{
	static const char *const topics[] = { TOPIC };
	const struct scheme *scheme = request->scheme;
	request->request.method = SPAN("POST");
	request->request.path = SPAN("/hook");
	request->request.url = SPAN("https://example.com/hook");
	request->request.webhook_id = SPAN("WH-1");
	request->request.topic_arns = topics;
	request->request.topic_count = 1;
	buffer_init(&request->names, 65536);
	PROPERTY(buffer_reserve(&request->names, 4096)); /* spans into it stay */
	struct span name = scheme->signature_header == NULL
	                           ? SPAN("")
	                           : name_of(request, scheme->signature_header);
	if (name.size > 0 && name.data[name.size - 1] == '*') {
		buffer_append(&request->names, name.data, name.size - 1);
		buffer_byte(&request->names, '1');
		name = buffer_view(&request->names);
	}
	add_field(request, name.size == 0 ? SPAN("X-Other") : name, SPAN(""));
	if (scheme->timestamp.from == SCHEME_FROM_HEADER) {
		add_field(request, name_of(request, scheme->timestamp.name), timestamp);
	}
	if (scheme->id.from == SCHEME_FROM_HEADER) {
		request->id = SPAN("id_1");
		add_field(request, name_of(request, scheme->id.name), request->id);
	}
	if (scheme->certificate_header != NULL) {
		add_field(request, span_of(scheme->certificate_header), SPAN(CERTIFICATE));
	}
	struct span text = span_of(scheme->signed_text);
	struct scheme_piece piece;
	while (scheme_next_piece(&text, &piece)) {
		if (piece.token == SCHEME_SIGNED_HEADERS) {
			size_t from = request->names.size;
			buffer_span(&request->names, piece.text);
			buffer_byte(&request->names, ',');
			buffer_text(&request->names, scheme->timestamp.name);
			add_field(request, piece.text,
			          span_after(buffer_view(&request->names), from));
		}
	}
	if (scheme->body_hash_query != NULL) {
		size_t from = request->names.size;
		buffer_format(&request->names, "%s=", scheme->body_hash_query);
		put_hash(request->body, &request->names);
		request->request.query = span_after(buffer_view(&request->names), from);
	}
	add_field(request, SPAN("Content-Type"), SPAN("application/cloudevents+json"));
	request_family(&request->request, scheme);
	PROPERTY(request->request.other_family == (request->other_way && scheme->family != NULL));
}

/* The value in the signature's place: header, body, or query. */
static bool
fill_place(struct request *request, struct span value, struct span timestamp, struct span input,
           struct buffer *out, struct buffer *body)
{
	const struct scheme *scheme = request->scheme;
	bool is_signed;
	if (in_body(scheme)) {
		is_signed = fill_in(request, input, timestamp, input, body);
		request->body = buffer_view(body);
	} else if (scheme->algorithm == SCHEME_JWT) {
		is_signed = fill_in_token(request, value, input, out);
	} else if (request->other_way && scheme->token_query != NULL) {
		buffer_format(out, "%s=", scheme->token_query);
		is_signed = fill_in(request, value, timestamp, input, out);
	} else {
		is_signed = fill_in(request, value, timestamp, input, out);
	}
	return is_signed;
}

/* --- judging --- */

static enum verdict
judge(const struct request *from, size_t piece_size, int *matched)
{
	static struct verification v;
	struct span rest = from->body;
	enum verdict verdict =
		verification_head(&v, from->scheme, &from->keys, &from->request, NOW_NS);
	if (verdict == VERDICT_GOOD) {
		verification_secrets(&v, piece_size > 0 && verification_streams(&v));
		while (rest.size > 0) {
			size_t size = piece_size == 0 ? rest.size : piece_size;
			verification_feed(&v, fuzz_take(&rest, size));
		}
		verdict = verification_end(&v, from->body);
	}
	*matched = v.matched;
	verification_drop(&v);
	return verdict;
}

static bool
count_event(void *context, struct span id, struct span type, struct span text)
{
	size_t *count = context;
	PROPERTY((id.data == NULL) == (id.size == 0));
	PROPERTY(id.size <= EVENTS_NAME_MOST_BYTES && type.size <= EVENTS_NAME_MOST_BYTES);
	PROPERTY(utf8_plain(id) && utf8_plain(type));
	(void)text;
	++*count;
	return true;
}

static void
read_events(const struct request *request)
{
	size_t count = 0;
	struct events_reading reading = { .scheme = request->scheme,
		                          .request = &request->request,
		                          .body = request->body,
		                          .context = &count,
		                          .event = count_event };
	enum events_result result = events_read(&reading);
	PROPERTY(result != EVENTS_STOPPED);
	PROPERTY((reading.wrong != NULL) ==
	         (result == EVENTS_MALFORMED || result == EVENTS_TOO_MANY));
	PROPERTY(result != EVENTS_READ || reading.count == count);
	PROPERTY(reading.several || result != EVENTS_READ || count == 1);
	const struct challenge *challenge = request->challenge;
	if (challenge == NULL || !challenge_is(challenge, &request->request, request->body)) {
		return;
	}
	struct buffer reply;
	struct buffer fields;
	buffer_init(&reply, (size_t)CHALLENGE_MOST_BYTES * 8);
	buffer_init(&fields, (size_t)CHALLENGE_MOST_BYTES * 8);
	enum challenge_result answered =
		challenge_answer(challenge, &request->request, request->body,
	                         request->secrets.count > 0 ? &request->secrets.items[1] : NULL,
	                         SPAN("token"), &reply, &fields);
	PROPERTY(answered == CHALLENGE_ANSWERED || answered == CHALLENGE_UNREADABLE);
	buffer_finish(&reply);
	buffer_finish(&fields);
}

static void
explain(const struct request *request)
{
	struct verification v;
	enum verdict verdict = verification_whole(&v, request->scheme, &request->keys,
	                                          &request->request, NOW_NS, request->body);
	struct diagnosis diagnosis = { .scheme = request->scheme,
		                       .keys = &request->keys,
		                       .request = &request->request,
		                       .verification = &v,
		                       .verdict = verdict,
		                       .now_ns = NOW_NS,
		                       .body = request->body,
		                       .thorough = true };
	struct buffer why;
	buffer_init(&why, 65536);
	diagnose(&diagnosis, &why);
	PROPERTY((why.size == 0) == (verdict == VERDICT_GOOD));
	verification_drop(&v);
	buffer_finish(&why);
}

/* What a signature that fits does not prove by itself. */
static void
check_good(const struct request *request, struct span value)
{
	struct span body = request->body;
	if (request->scheme->algorithm == SCHEME_SNS) {
		PROPERTY(jansson_refuses(body) || body_says(body, "/TopicArn", TOPIC));
	}
	if (request->scheme->algorithm == SCHEME_JWT) {
		struct span claims = value;
		(void)fuzz_take_until(&claims, '\t');
		claims = fuzz_take_until(&claims, '\t');
		PROPERTY(memmem(claims.data, claims.size, "%H", 2) != NULL);
	}
}

static bool
has_signature_field(const struct request *request)
{
	const struct scheme *scheme = request->scheme;
	return scheme->signature_header != NULL && !in_body(scheme) &&
	       !(request->other_way && scheme->token_query != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = { (const char *)data, size };
	static struct request request;
	memset(&request, 0, sizeof(request));
	choose_scheme(&request, fuzz_take(&input, 1));
	struct span value = fuzz_take_until(&input, '\n');
	struct span time_value = fuzz_take_until(&input, '\n');
	make_keys(&request);
	char *time_copy = fuzz_copy(time_value);
	struct span timestamp = { time_copy, time_value.size };
	if (span_equal(timestamp, SPAN("%T"))) {
		timestamp = request.scheme->unit == SCHEME_RFC3339        ? SPAN(NOW_RFC3339)
		            : request.scheme->unit == SCHEME_MILLISECONDS ? SPAN(NOW_MS)
		                                                          : SPAN(NOW);
	}
	struct buffer filled;
	struct buffer filled_body;
	buffer_init(&filled, 1 << 20);
	buffer_init(&filled_body, 1 << 20);
	request.body = input;
	fill_request(&request, timestamp);
	bool is_signed = fill_place(&request, value, timestamp, input, &filled, &filled_body);
	char *body = fuzz_copy(request.body);
	char *value_copy = fuzz_copy(buffer_view(&filled));
	request.body = (struct span){ body, request.body.size };
	struct span value_span = { value_copy, filled.size };
	if (request.other_way && request.scheme->token_query != NULL) {
		request.request.query = value_span;
	} else {
		request.fields[0].value = value_span;
	}
	int matched;
	int again;
	enum verdict verdict = judge(&request, 0, &matched);
	PROPERTY(verdict != VERDICT_GOOD || (is_signed && matched == request.right));
	if (verdict == VERDICT_GOOD) {
		check_good(&request, value);
	}
	PROPERTY(!has_signature_field(&request) ||
	         (verdict == VERDICT_SIGNATURE_MISSING) ==
	                 (span_trim(request.fields[0].value).size == 0));
	PROPERTY(judge(&request, 1 + size % 7, &again) == verdict && again == matched);
	PROPERTY(judge(&request, SIZE_MAX, &again) == verdict && again == matched);
	read_events(&request);
	if (size % 4 == 0) { /* it costs a signature for each alteration */
		explain(&request);
	}
	free(value_copy);
	free(time_copy);
	free(body);
	buffer_finish(&filled);
	buffer_finish(&filled_body);
	buffer_finish(&request.names);
	secrets_finish(&request.secrets);
	public_keys_finish(&request.public_keys);
	return 0;
}
