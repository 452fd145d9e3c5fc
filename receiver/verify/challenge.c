#include "receiver/verify/challenge.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/form.h"
#include "receiver/verify/json_pointer.h"
#include "receiver/verify/mac.h"

#define TEXT     "text/plain; charset=utf-8"
#define JSON     "application/json"
#define NO_SNIFF "X-Content-Type-Options: nosniff\r\n"

const struct challenge challenges[] = {
	{ .name = "slack", /* https://docs.slack.dev/reference/events/url_verification */
	  .method = "POST",
	  .mark = CHALLENGE_BY_JSON,
	  .mark_name = "/type",
	  .mark_value = "url_verification",
	  .proof = CHALLENGE_SIGNED,
	  .status = 200,
	  .content_type = TEXT,
	  .reply = "{raw json:/challenge}",
	  .fields = NO_SNIFF },
	{ .name = "zoom", /* https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint */
	  .method = "POST",
	  .mark = CHALLENGE_BY_JSON,
	  .mark_name = "/event",
	  .mark_value = "endpoint.url_validation",
	  .proof = CHALLENGE_SIGNED,
	  .status = 200,
	  .content_type = JSON,
	  .reply = "{\"plainToken\":{quote json:/payload/plainToken},"
	           "\"encryptedToken\":\"{hex json:/payload/plainToken}\"}" },
	{ .name = "discord-events", /* https://docs.discord.com/developers/events/webhook-events */
	  .method = "POST",
	  .mark = CHALLENGE_BY_JSON,
	  .mark_name = "/type",
	  .mark_value = "0",
	  .proof = CHALLENGE_SIGNED,
	  .status = 204,
	  .content_type = JSON,
	  .reply = "" },
	{ .name = "discord-interactions", /* https://docs.discord.com/developers/interactions/overview */
	  .method = "POST",
	  .mark = CHALLENGE_BY_JSON,
	  .mark_name = "/type",
	  .mark_value = "1",
	  .proof = CHALLENGE_SIGNED,
	  .status = 200,
	  .content_type = JSON,
	  .reply = "{\"type\":1}" },
	{ .name = "meta", /* https://developers.facebook.com/docs/graph-api/webhooks/getting-started */
	  .method = "GET",
	  .mark = CHALLENGE_BY_QUERY,
	  .mark_name = "hub.mode",
	  .mark_value = "subscribe",
	  .proof = CHALLENGE_VERIFY_TOKEN,
	  .proof_name = "hub.verify_token",
	  .status = 200,
	  .content_type = TEXT,
	  .reply = "{raw query:hub.challenge}",
	  .fields = NO_SNIFF },
	{ .name = "x", /* https://docs.x.com/x-api/webhooks/quickstart: challenge-response check */
	  .method = "GET",
	  .mark = CHALLENGE_BY_QUERY,
	  .mark_name = "crc_token",
	  .proof = CHALLENGE_OPEN,
	  .status = 200,
	  .content_type = JSON,
	  .reply = "{\"response_token\":\"sha256={base64 query:crc_token}\"}" },
	{ .name = "echo", /* https://www.dropbox.com/developers/reference/webhooks; Adobe I/O asks the same */
	  .method = "GET",
	  .mark = CHALLENGE_BY_QUERY,
	  .mark_name = "challenge",
	  .proof = CHALLENGE_OPEN,
	  .status = 200,
	  .content_type = TEXT,
	  .reply = "{raw query:challenge}",
	  .fields = NO_SNIFF },
	{ .name = "okta", /* https://developer.okta.com/docs/concepts/event-hooks/#one-time-verification-request */
	  .method = "GET",
	  .mark = CHALLENGE_BY_HEADER,
	  .mark_name = "X-Okta-Verification-Challenge",
	  .proof = CHALLENGE_TOKEN,
	  .status = 200,
	  .content_type = JSON,
	  .reply = "{\"verification\":{quote header:X-Okta-Verification-Challenge}}" },
	{ .name = "event-grid", /* https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema */
	  .method = "POST",
	  .mark = CHALLENGE_BY_HEADER,
	  .mark_name = "aeg-event-type",
	  .mark_value = "SubscriptionValidation",
	  .proof = CHALLENGE_SIGNED,
	  .status = 200,
	  .content_type = JSON,
	  .reply = "{\"validationResponse\":{quote json:/0/data/validationCode}}" },
	{ .name = "cloudevents", /* https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md section 4 */
	  .method = "OPTIONS",
	  .mark = CHALLENGE_BY_HEADER,
	  .mark_name = "WebHook-Request-Origin",
	  .proof = CHALLENGE_OPEN,
	  .status = 200,
	  .content_type = TEXT,
	  .reply = "",
	  .fields = "Allow: POST\r\nWebHook-Allowed-Origin: {raw header:WebHook-Request-Origin}\r\n"
	            "WebHook-Allowed-Rate: *\r\n" },
	{ .name = "aws-sns", /* https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html */
	  .method = "POST",
	  .mark = CHALLENGE_BY_JSON,
	  .mark_name = "/Type",
	  .mark_value = "SubscriptionConfirmation",
	  .proof = CHALLENGE_SIGNED,
	  .status = 200,
	  .content_type = TEXT,
	  .reply = "",
	  .visit = "/SubscribeURL" },
	{ .name = "line", /* https://developers.line.biz/en/docs/messaging-api/verify-webhook-url/ */
	  .method = "POST",
	  .mark = CHALLENGE_BY_EMPTY_ARRAY,
	  .mark_name = "/events",
	  .proof = CHALLENGE_SIGNED,
	  .status = 200,
	  .content_type = TEXT,
	  .reply = "" },
	{ .name = "intercom", /* https://developers.intercom.com/docs/webhooks/setting-up-webhooks */
	  .method = "HEAD",
	  .mark = CHALLENGE_BY_METHOD,
	  .proof = CHALLENGE_OPEN,
	  .status = 200,
	  .content_type = TEXT,
	  .reply = "" },
	{ .name = NULL },
};

const struct challenge *
challenge_find(const char *name)
{
	for (const struct challenge *row = challenges; row->name != NULL; row++) {
		if (strcmp(row->name, name) == 0) {
			return row;
		}
	}
	return NULL;
}

/* --- values of the request --- */

static bool
read_value(struct span where, struct span name, const struct verify_request *request,
           struct span body, struct buffer *out)
{
	struct span value = { 0 };
	if (span_equal(where, SPAN("query"))) {
		return form_find(request->query, name, out) && out->size > 0;
	}
	if (span_equal(where, SPAN("json"))) {
		return json_text_at(body, name, out) == JSON_FOUND && out->size > 0;
	}
	if (fields_find(request->fields, name, &value) != 1) {
		return false;
	}
	buffer_span(out, value);
	return value.size > 0 && !out->failed;
}

static bool
is_empty_array(struct span body, const char *pointer)
{
	struct json_items items;
	struct json_slice slice = { 0 };
	return json_items_begin(body, span_of(pointer), &items) == JSON_FOUND &&
	       json_items_next(&items, &slice) == JSON_ABSENT;
}

bool
challenge_is(const struct challenge *challenge, const struct verify_request *request,
             struct span body)
{
	struct span where = SPAN("query");
	if (!span_equal(request->method, span_of(challenge->method))) {
		return false;
	}
	switch (challenge->mark) {
	case CHALLENGE_BY_METHOD: return true;
	case CHALLENGE_BY_EMPTY_ARRAY: return is_empty_array(body, challenge->mark_name);
	case CHALLENGE_BY_QUERY: break;
	case CHALLENGE_BY_HEADER: where = SPAN("header"); break;
	case CHALLENGE_BY_JSON: where = SPAN("json"); break;
	}
	struct buffer value;
	buffer_init(&value, CHALLENGE_MOST_BYTES);
	bool found = read_value(where, span_of(challenge->mark_name), request, body, &value) &&
	             (challenge->mark_value == NULL ||
	              span_equal(buffer_view(&value), span_of(challenge->mark_value)));
	buffer_finish(&value);
	return found;
}

/* --- the answer --- */

static bool
looks_like_token(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];
		bool letter = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
		if (!letter && !(byte >= '0' && byte <= '9') &&
		    (byte == '\0' || strchr("+/=_-.~", byte) == NULL)) {
			return false;
		}
	}
	return text.size > 0;
}

static bool
put_value(struct span how, struct span value, const struct secret *secret, struct buffer *out)
{
	unsigned char made[MAC_MOST_BYTES];
	if (span_equal(how, SPAN("raw"))) {
		buffer_span(out, value);
		return utf8_valid(value);
	}
	if (span_equal(how, SPAN("quote"))) {
		json_quote(out, value);
		return true;
	}
	if (secret == NULL || !looks_like_token(value)) {
		return false;
	}
	mac_once(SCHEME_SHA256, secret, value, made);
	if (span_equal(how, SPAN("hex"))) {
		hex_encode(out, made, mac_size(SCHEME_SHA256));
	} else {
		base64_encode(out, made, mac_size(SCHEME_SHA256));
	}
	return true;
}

/* "{how where:name}" at the front of `text`; false: it is a plain brace of JSON. */
static bool
take_placeholder(struct span text, struct span *how, struct span *where, struct span *name,
                 size_t *size)
{
	const char *end = memchr(text.data, '}', text.size);
	const char *space = memchr(text.data, ' ', text.size);
	const char *colon = memchr(text.data, ':', text.size);
	if (end == NULL || space == NULL || colon == NULL || space > colon || colon > end ||
	    text.data[1] == '"') {
		return false;
	}
	*how = (struct span){ text.data + 1, (size_t)(space - text.data) - 1 };
	*where = (struct span){ space + 1, (size_t)(colon - space) - 1 };
	*name = (struct span){ colon + 1, (size_t)(end - colon) - 1 };
	*size = (size_t)(end - text.data) + 1;
	return true;
}

static bool
fill(const char *template, const struct verify_request *request, struct span body,
     const struct secret *secret, struct buffer *out)
{
	struct span text = span_of(template);
	bool good = true;
	while (good && text.size > 0) {
		struct span how;
		struct span where;
		struct span name;
		size_t size;
		if (text.data[0] != '{' || !take_placeholder(text, &how, &where, &name, &size)) {
			buffer_byte(out, text.data[0]);
			text = span_after(text, 1);
			continue;
		}
		struct buffer value;
		buffer_init(&value, CHALLENGE_MOST_BYTES);
		good = read_value(where, name, request, body, &value) &&
		       put_value(how, buffer_view(&value), secret, out);
		buffer_finish(&value);
		text = span_after(text, size);
	}
	return good && !out->failed;
}

bool
challenge_hashes(const struct challenge *challenge)
{
	return strstr(challenge->reply, "{hex ") != NULL ||
	       strstr(challenge->reply, "{base64 ") != NULL;
}

bool
challenge_made(const struct challenge *challenge, struct span body)
{
	return challenge->proof == CHALLENGE_OPEN && challenge_hashes(challenge) &&
	       (body.size == 0 || looks_like_token(body));
}

static enum challenge_result
judge_verify_token(const struct challenge *challenge, const struct verify_request *request,
                   struct span wanted)
{
	struct buffer given;
	unsigned char a[EVP_MAX_MD_SIZE];
	unsigned char b[EVP_MAX_MD_SIZE];
	buffer_init(&given, CHALLENGE_MOST_BYTES);
	enum challenge_result result = CHALLENGE_PROOF_MISSING;
	if (read_value(SPAN("query"), span_of(challenge->proof_name), request, (struct span){ 0 },
	               &given)) {
		bool made =
			EVP_Digest(wanted.data, wanted.size, a, NULL, EVP_sha256(), NULL) == 1 &&
			EVP_Digest(given.data, given.size, b, NULL, EVP_sha256(), NULL) == 1;
		result = made && wanted.size > 0 && CRYPTO_memcmp(a, b, 32) == 0
		                 ? CHALLENGE_ANSWERED
		                 : CHALLENGE_PROOF_WRONG;
	}
	buffer_finish(&given);
	return result;
}

enum challenge_result
challenge_answer(const struct challenge *challenge, const struct verify_request *request,
                 struct span body, const struct secret *secret, struct span verify_token,
                 struct buffer *reply, struct buffer *fields)
{
	if (challenge->proof == CHALLENGE_VERIFY_TOKEN) {
		enum challenge_result result = judge_verify_token(challenge, request, verify_token);
		if (result != CHALLENGE_ANSWERED) {
			return result;
		}
	}
	bool good = fill(challenge->reply, request, body, secret, reply) &&
	            (challenge->fields == NULL ||
	             fill(challenge->fields, request, body, secret, fields));
	return good ? CHALLENGE_ANSWERED : CHALLENGE_UNREADABLE;
}
