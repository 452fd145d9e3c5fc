/* A request that was signed here, with all that its receiver needs to judge it. */
#ifndef HOOKLATCH_TESTS_UNIT_SIGNED_H
#define HOOKLATCH_TESTS_UNIT_SIGNED_H

#include <string.h>

#include "receiver/verify/sample.h"
#include "receiver/verify/sign.h"

#include "tests/unit/keys.h"
#include "tests/unit/received.h"

#define SIGNED_FIELDS_MOST 20
#define SIGNED_TOPIC       "arn:aws:sns:us-east-1:123456789012:orders"
#define SIGNED_BASE64      "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
#define SIGNED_HEX         "736563726574"
#define SIGNED_BASIC       "hooklatch:secret"
#define SIGNED_KID         "test"

struct signed_here {
	const struct scheme *scheme;
	struct secrets secrets;
	struct public_keys public_keys;
	struct verify_keys keys;
	struct verify_request request;
	struct field fields[SIGNED_FIELDS_MOST];
	const char *topics[1];
	struct signed_request made;
};

/* "Name: value\n" lines as fields; they point into the text. */
static UNUSED size_t
signed_fields(struct span lines, struct field *fields)
{
	size_t count = 0;
	while (lines.size > 0) {
		const char *colon = memchr(lines.data, ':', lines.size);
		const char *end = memchr(lines.data, '\n', lines.size);
		ALWAYS(colon != NULL && end != NULL && colon + 1 < end && colon[1] == ' ' &&
		               count < SIGNED_FIELDS_MOST,
		       "signed-line");
		fields[count].name = (struct span){ lines.data, (size_t)(colon - lines.data) };
		fields[count].value = (struct span){ colon + 2, (size_t)(end - colon - 2) };
		count++;
		lines = span_after(lines, (size_t)(end - lines.data) + 1);
	}
	return count;
}

static UNUSED void
signed_add_field(struct signed_here *s, const char *name, const char *value)
{
	ALWAYS(s->request.fields.count < SIGNED_FIELDS_MOST, "signed-fields");
	s->fields[s->request.fields.count] = (struct field){ span_of(name), span_of(value) };
	s->request.fields = (struct fields){ s->fields, s->request.fields.count + 1 };
}

static UNUSED void
signed_drop_field(struct signed_here *s, const char *name)
{
	for (size_t i = 0; i < s->request.fields.count; i++) {
		if (span_equal_nocase(s->fields[i].name, span_of(name))) {
			s->fields[i].name = SPAN("X-Dropped");
		}
	}
}

/* A secret of ours, or the public half of `key`. */
static UNUSED void
signed_keys(struct signed_here *s, EVP_PKEY *key, const char *secret)
{
	static const char *const secrets[] = {
		[SCHEME_KEY_RAW] = SIGNED_BASE64,
		[SCHEME_KEY_BASE64_AFTER_WHSEC] = SIGNED_BASE64,
		[SCHEME_KEY_HEX] = SIGNED_HEX,
		[SCHEME_KEY_BASIC] = SIGNED_BASIC,
	};
	struct error err;
	struct buffer text = { 0 };
	bool good = true;
	if (scheme_has_secrets(s->scheme)) {
		good = secrets_add(&s->secrets, s->scheme->key,
		                   span_of(secret == NULL ? secrets[s->scheme->key] : secret), 0,
		                   &err);
	} else if (s->scheme->algorithm == SCHEME_JWT) {
		key_jwk(key, SIGNED_KID, &text);
		good = public_keys_add_jwks(&s->public_keys, buffer_view(&text), &err);
	} else {
		key_public_pem(key, &text);
		good = public_keys_add(&s->public_keys, s->scheme->algorithm, buffer_view(&text), 0,
		                       &err);
	}
	ALWAYS(good, "signed-key");
	buffer_finish(&text);
	s->keys = (struct verify_keys){ .secrets = &s->secrets, .public_keys = &s->public_keys };
}

/* Signs `body`; `s` stays where it is until signed_finish(). */
static UNUSED bool
signed_body(struct signed_here *s, const struct scheme *scheme, struct span id, struct span type,
            struct span body, int64_t now_ns, struct error *err)
{
	EVP_PKEY *key = key_for(scheme->algorithm);
	memset(s, 0, sizeof(*s));
	s->scheme = scheme;
	signed_keys(s, key, NULL);
	s->topics[0] = SIGNED_TOPIC;
	s->request = (struct verify_request){ .method = SPAN("POST"),
		                              .path = SPAN("/hook"),
		                              .url = SPAN("https://example.com/hook"),
		                              .webhook_id = SPAN("WH-1"),
		                              .topic_arns = s->topics,
		                              .topic_count = 1 };
	struct signing signing = { .scheme = scheme,
		                   .secret = &s->secrets.items[0],
		                   .private_key = key,
		                   .request = &s->request,
		                   .now_ns = now_ns,
		                   .id = id,
		                   .type = type,
		                   .body = body };
	if (!sign_request(&signing, &s->made, err)) {
		return false;
	}
	s->request.query = buffer_view(&s->made.query);
	s->request.fields =
		(struct fields){ s->fields, signed_fields(buffer_view(&s->made.lines), s->fields) };
	request_family(&s->request, scheme);
	return true;
}

static UNUSED void
signed_finish(struct signed_here *s)
{
	secrets_finish(&s->secrets);
	public_keys_finish(&s->public_keys);
	signed_request_finish(&s->made);
}

/* A preset's sample, or without one the scheme's, signed. */
static UNUSED bool
signed_sample(struct signed_here *s, const struct preset *preset, const struct scheme *scheme,
              struct span id, struct span type, int64_t now_ns, struct error *err)
{
	struct buffer body;
	buffer_init(&body, 65536);
	sample_write(preset, scheme, id, type, SIGNED_TOPIC, now_ns, &body);
	bool good = signed_body(s, scheme, id, type, buffer_view(&body), now_ns, err);
	buffer_finish(&body);
	if (good) {
		signed_add_field(s, "Content-Type",
		                 scheme->media_type == NULL ? "application/json"
		                                            : scheme->media_type);
	}
	return good;
}

static UNUSED void
signed_receive(const struct signed_here *s, const struct challenge *challenge, struct span body,
               int64_t now_ns, struct received *received)
{
	struct arrival_request from = { .scheme = s->scheme,
		                        .challenge = challenge,
		                        .keys = &s->keys,
		                        .request = &s->request,
		                        .body = body,
		                        .now_ns = now_ns };
	receive(&from, received);
}

/* The engine's word for it. */
static UNUSED const char *
signed_word(const struct signed_here *s, struct span body, int64_t now_ns)
{
	struct verification v;
	enum verdict verdict = verification_whole(&v, s->scheme, &s->keys, &s->request, now_ns,
	                                          edge_copy(1, body));
	verification_drop(&v);
	return verdict_word(verdict);
}

#endif
