#include "receiver/verify/sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/random.h"
#include "receiver/verify/items.h"
#include "receiver/verify/json_pointer.h"
#include "receiver/verify/mac.h"
#include "receiver/verify/sns.h"
#include "receiver/verify/template.h"

#define BODY_MOST_BYTES (1024L * 1024 * 1024)
#define LINES_MOST      16
#define SIGNATURE_BYTES 1024

/* The header lines so far, and as fields that a template can look at. */
struct lines {
	struct buffer text;
	char *names[LINES_MOST];
	char *values[LINES_MOST];
	struct field fields[LINES_MOST];
	size_t count;
};

static bool
has_line(const struct lines *lines, const char *name)
{
	for (size_t i = 0; i < lines->count; i++) {
		if (span_equal_nocase(lines->fields[i].name, span_of(name))) {
			return true;
		}
	}
	return false;
}

static void
add_line(struct lines *lines, const char *name, struct span value)
{
	if (name == NULL || lines->count == LINES_MOST || has_line(lines, name)) {
		return;
	}
	buffer_format(&lines->text, "%s: ", name);
	buffer_span(&lines->text, value);
	buffer_byte(&lines->text, '\n');
	lines->names[lines->count] = memory_text(name);
	lines->values[lines->count] = span_copy(value);
	lines->fields[lines->count].name = span_of(lines->names[lines->count]);
	lines->fields[lines->count].value = span_of(lines->values[lines->count]);
	lines->count++;
}

static void
lines_finish(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		free(lines->names[i]);
		free(lines->values[i]);
	}
}

/* --- values in a body --- */

/* Puts a JSON string where `pointer` names a value; false: there is none. */
static bool
put_string(struct buffer *body, const char *pointer, struct span text)
{
	struct json_slice slice = { 0 };
	if (json_pointer_find(buffer_view(body), span_of(pointer), &slice) != JSON_FOUND) {
		return false;
	}
	struct buffer changed;
	size_t before = (size_t)(slice.raw.data - body->data);
	buffer_init(&changed, BODY_MOST_BYTES);
	buffer_append(&changed, body->data, before);
	json_quote(&changed, text);
	buffer_span(&changed, span_after(buffer_view(body), before + slice.raw.size));
	buffer_finish(body);
	*body = changed;
	return !body->failed;
}

/* --- signatures --- */

static bool
sign_message(EVP_PKEY *key, const EVP_MD *digest, struct span message,
             unsigned char signature[SIGNATURE_BYTES], size_t *size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	*size = SIGNATURE_BYTES;
	bool good = context != NULL && EVP_DigestSignInit(context, NULL, digest, NULL, key) == 1 &&
	            EVP_DigestSign(context, signature, size,
	                           (const unsigned char *)(message.size == 0 ? "" : message.data),
	                           message.size) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

static void
encode(const struct scheme *scheme, const unsigned char *bytes, size_t size, struct buffer *out)
{
	if (scheme->encoding == SCHEME_HEX) {
		hex_encode(out, bytes, size);
	} else {
		base64_encode(out, bytes, size);
	}
}

static bool
sign_text(const struct signing *signing, struct span text, struct buffer *out, struct error *err)
{
	const struct scheme *scheme = signing->scheme;
	unsigned char made[SIGNATURE_BYTES];
	size_t size = mac_size(scheme->algorithm);
	if (scheme_has_secrets(scheme)) {
		mac_once(scheme->algorithm, signing->secret, text, made);
	} else if (signing->private_key == NULL) {
		return error_set(
			err, ERROR_INVALID,
			"this provider signs with a private key: --private-key FILE is needed");
	} else if (!public_key_fits(signing->private_key, scheme->algorithm) ||
	           !sign_message(signing->private_key,
	                         scheme->algorithm == SCHEME_ED25519 ? NULL : EVP_sha256(), text,
	                         made, &size)) {
		return error_set(err, ERROR_INVALID, "the private key does not fit this scheme");
	}
	encode(scheme, made, size, out);
	return true;
}

static struct verify_request
request_with(const struct signing *signing, const struct lines *lines, const struct buffer *query)
{
	struct verify_request request = *signing->request;
	request.fields = (struct fields){ lines->fields, lines->count };
	request.query = buffer_view(query);
	request.other_family = false;
	return request;
}

/* --- templates --- */

/* Headers that the template names: lists of signed headers, and what only has to be there. */
static void
add_template_headers(const struct signing *signing, struct lines *lines)
{
	const struct scheme *scheme = signing->scheme;
	struct span text = span_of(scheme->signed_text);
	struct scheme_piece piece;
	while (scheme_next_piece(&text, &piece)) {
		char *name = piece.token == SCHEME_HEADER || piece.token == SCHEME_SIGNED_HEADERS
		                     ? span_copy(piece.text)
		                     : NULL;
		struct buffer value;
		buffer_init(&value, 4096);
		if (piece.token == SCHEME_SIGNED_HEADERS) {
			buffer_lower(&value, span_of(name));
			buffer_byte(&value, ',');
			buffer_lower(&value, span_of(scheme->timestamp.name));
			add_line(lines, name, buffer_view(&value));
		} else if (piece.token == SCHEME_HEADER) {
			char uuid[37];
			random_uuid(signing->now_ns, uuid);
			if (strstr(name, "TIME") != NULL) {
				timestamp_write(SCHEME_RFC3339, signing->now_ns, &value);
			} else {
				buffer_text(&value, uuid);
			}
			add_line(lines, name, buffer_view(&value));
		}
		buffer_finish(&value);
		free(name);
	}
}

static void
add_body_hash(const struct signing *signing, struct signed_request *ret)
{
	unsigned char made[EVP_MAX_MD_SIZE];
	bool good = EVP_Digest(ret->body.data, ret->body.size, made, NULL, EVP_sha256(), NULL) == 1;
	ALWAYS(good, "body-digest");
	buffer_format(&ret->query, "%s%s=", ret->query.size > 0 ? "&" : "",
	              signing->scheme->body_hash_query);
	hex_encode(&ret->query, made, 32);
}

static bool
sign_template(const struct signing *signing, struct lines *lines, struct span timestamp,
              struct signed_request *ret, struct error *err)
{
	const struct scheme *scheme = signing->scheme;
	struct buffer message;
	struct buffer signature;
	add_template_headers(signing, lines);
	if (scheme->certificate_header != NULL) {
		add_line(
			lines, scheme->certificate_header,
			span_of(signing->key_name != NULL
		                        ? signing->key_name
		                        : "https://api.paypal.com/v1/notifications/certs/CERT-test"));
	}
	if (scheme->body_hash_query != NULL) {
		add_body_hash(signing, ret);
	}
	struct verify_request request = request_with(signing, lines, &ret->query);
	struct template_values values = { .scheme = scheme,
		                          .request = &request,
		                          .url = request.url,
		                          .timestamp = timestamp,
		                          .id = signing->id,
		                          .body = buffer_view(&ret->body) };
	buffer_init(&message, BODY_MOST_BYTES);
	buffer_init(&signature, 8192);
	if (scheme->timestamp_prefix != NULL) {
		buffer_text(&signature, scheme->timestamp_prefix);
		buffer_span(&signature, timestamp);
		buffer_byte(&signature, scheme->separator);
	}
	buffer_text(&signature, scheme->prefix == NULL ? "" : scheme->prefix);
	bool good = template_write(&values, &message) ||
	            error_set(err, ERROR_INVALID, "the body holds nothing that this scheme signs");
	good = good && sign_text(signing, buffer_view(&message), &signature, err);
	if (good && scheme->signature_json != NULL) {
		good = put_string(&ret->body, scheme->signature_json, buffer_view(&signature)) ||
		       error_set(err, ERROR_INVALID, "the body has no place for a signature: %s",
		                 scheme->signature_json);
	} else if (good) {
		struct span name = span_of(scheme->signature_header);
		struct buffer exact;
		buffer_init(&exact, 1024);
		buffer_span(&exact, name);
		if (name.data[name.size - 1] == '*') {
			exact.data[exact.size - 1] = '1';
		}
		char *terminated = buffer_steal(&exact);
		add_line(lines, terminated, buffer_view(&signature));
		free(terminated);
	}
	buffer_finish(&message);
	buffer_finish(&signature);
	return good;
}

/* --- schemes that code says --- */

static bool
sign_token(const struct signing *signing, struct lines *lines)
{
	const struct scheme *scheme = signing->scheme;
	struct buffer value;
	buffer_init(&value, SECRET_MOST_BYTES * 2);
	buffer_text(&value, scheme->prefix == NULL ? "" : scheme->prefix);
	if (scheme->key == SCHEME_KEY_BASIC) {
		base64_encode(&value, signing->secret->key, signing->secret->size);
	} else {
		buffer_append(&value, signing->secret->key, signing->secret->size);
	}
	add_line(lines, scheme->signature_header, buffer_view(&value));
	memory_wipe(value.data, value.size);
	buffer_finish(&value);
	return true;
}

static bool
sign_items(const struct signing *signing, struct signed_request *ret, struct error *err)
{
	for (size_t i = 0;; i++) {
		char item[64];
		char place[192];
		struct json_slice slice = { 0 };
		struct buffer text;
		struct buffer signature;
		(void)snprintf(item, sizeof(item), "%s/%zu", ITEMS_ARRAY, i);
		(void)snprintf(place, sizeof(place), "%s%s", item, ITEMS_SIGNATURE);
		if (json_pointer_find(buffer_view(&ret->body), span_of(item), &slice) !=
		    JSON_FOUND) {
			return i > 0 ||
			       error_set(err, ERROR_INVALID, "the body has no %s", ITEMS_ARRAY);
		}
		buffer_init(&text, 65536);
		buffer_init(&signature, 1024);
		unsigned char made[MAC_MOST_BYTES];
		bool good = items_text(slice.raw, &text);
		mac_once(SCHEME_SHA256, signing->secret, buffer_view(&text), made);
		base64_encode(&signature, made, mac_size(SCHEME_SHA256));
		good = good && put_string(&ret->body, place, buffer_view(&signature));
		buffer_finish(&text);
		buffer_finish(&signature);
		if (!good) {
			return error_set(err, ERROR_INVALID,
			                 "the body has no place for a signature: %s", place);
		}
	}
}

static bool
sign_sns(const struct signing *signing, struct signed_request *ret, struct error *err)
{
	struct buffer text;
	struct buffer signature;
	buffer_init(&text, BODY_MOST_BYTES);
	buffer_init(&signature, 8192);
	bool good = signing->key_name == NULL ||
	            put_string(&ret->body, "/SigningCertURL", span_of(signing->key_name));
	good = good && put_string(&ret->body, "/SignatureVersion", SPAN("2")) &&
	       sns_text(buffer_view(&ret->body), &text);
	good = good || error_set(err, ERROR_INVALID, "the body is no message of SNS");
	good = good && sign_text(signing, buffer_view(&text), &signature, err);
	if (good && !put_string(&ret->body, "/Signature", buffer_view(&signature))) {
		good = error_set(err, ERROR_INVALID,
		                 "the body has no place for a signature: /Signature");
	}
	buffer_finish(&text);
	buffer_finish(&signature);
	return good;
}

/* A DER sequence to r||s: RFC 7518 section 3.4. */
static bool
pair_of(const unsigned char *der, size_t size, unsigned char pair[64])
{
	const unsigned char *at = der;
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)size);
	bool good = signature != NULL &&
	            BN_bn2binpad(ECDSA_SIG_get0_r(signature), pair, 32) == 32 &&
	            BN_bn2binpad(ECDSA_SIG_get0_s(signature), pair + 32, 32) == 32;
	ECDSA_SIG_free(signature);
	return good;
}

static bool
sign_jwt(const struct signing *signing, struct lines *lines, struct span body, struct error *err)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned char der[SIGNATURE_BYTES];
	unsigned char pair[64];
	size_t size = 0;
	struct buffer part;
	struct buffer token;
	if (signing->private_key == NULL) {
		return error_set(
			err, ERROR_INVALID,
			"this provider signs with a private key: --private-key FILE is needed");
	}
	buffer_init(&part, 4096);
	buffer_init(&token, 8192);
	buffer_text(&part, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":");
	json_quote(&part, span_of(signing->key_name == NULL ? "test" : signing->key_name));
	buffer_text(&part, "}");
	base64url_encode(&token, (const unsigned char *)part.data, part.size);
	buffer_byte(&token, '.');
	part.size = 0;
	bool good = EVP_Digest(body.data, body.size, hash, NULL, EVP_sha256(), NULL) == 1;
	buffer_format(&part, "{\"iat\":%" PRId64 ",\"request_body_sha256\":\"",
	              signing->now_ns / NS_PER_S);
	hex_encode(&part, hash, 32);
	buffer_text(&part, "\"}");
	base64url_encode(&token, (const unsigned char *)part.data, part.size);
	good = good &&
	       sign_message(signing->private_key, EVP_sha256(), buffer_view(&token), der, &size) &&
	       pair_of(der, size, pair);
	if (good) {
		buffer_byte(&token, '.');
		base64url_encode(&token, pair, sizeof(pair));
		add_line(lines, signing->scheme->signature_header, buffer_view(&token));
	} else {
		good = error_set(err, ERROR_INVALID, "the private key is none of the curve P-256");
	}
	buffer_finish(&part);
	buffer_finish(&token);
	return good;
}

/* --- all of it --- */

/* Id and type, where they are headers. */
static void
add_value(struct lines *lines, const struct scheme_value *value, struct span text)
{
	if (value->from == SCHEME_FROM_HEADER) {
		add_line(lines, value->name, text);
	}
	for (size_t i = 0; value->from == SCHEME_FROM_PARTS && i < value->part_count; i++) {
		if (value->parts[i][0] != '/') {
			add_line(lines, value->parts[i],
			         i + 1 == value->part_count ? text : SPAN("/hooklatch"));
		}
	}
}

bool
sign_request(const struct signing *signing, struct signed_request *ret, struct error *err)
{
	const struct scheme *scheme = signing->scheme;
	struct lines lines = { .count = 0 };
	struct buffer timestamp;
	bool good = true;
	buffer_init(&lines.text, 65536);
	buffer_init(&timestamp, 4096);
	buffer_init(&ret->body, BODY_MOST_BYTES);
	buffer_init(&ret->query, 65536);
	buffer_span(&ret->body, signing->body);
	buffer_span(&ret->query, signing->request->query);
	if (scheme->timestamp.from != SCHEME_NOWHERE &&
	    (scheme->timestamp.from != SCHEME_FROM_JSON ||
	     json_text_at(signing->body, span_of(scheme->timestamp.name), &timestamp) !=
	             JSON_FOUND)) {
		timestamp_write(scheme->unit, signing->now_ns, &timestamp);
	}
	if (scheme->timestamp.from == SCHEME_FROM_HEADER) {
		add_line(&lines, scheme->timestamp.name, buffer_view(&timestamp));
	}
	add_value(&lines, &scheme->id, signing->id);
	add_value(&lines, &scheme->type, signing->type);
	switch (scheme->algorithm) {
	case SCHEME_TOKEN: good = sign_token(signing, &lines); break;
	case SCHEME_ITEMS: good = sign_items(signing, ret, err); break;
	case SCHEME_SNS: good = sign_sns(signing, ret, err); break;
	case SCHEME_JWT: good = sign_jwt(signing, &lines, buffer_view(&ret->body), err); break;
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_ED25519:
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_RSA_SHA256:
		good = sign_template(signing, &lines, buffer_view(&timestamp), ret, err);
		break;
	}
	ret->lines = lines.text;
	lines_finish(&lines);
	buffer_finish(&timestamp);
	return good;
}

void
signed_request_finish(struct signed_request *request)
{
	buffer_finish(&request->lines);
	buffer_finish(&request->body);
	buffer_finish(&request->query);
}

struct evp_pkey_st *
sign_key_read(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return key;
}

void
sign_key_free(struct evp_pkey_st *key)
{
	EVP_PKEY_free(key);
}
