#include "receiver/verify/sns.h"

#include "receiver/verify/json_pointer.h"
#include "receiver/verify/key_url.h"

#define TEXT_MOST_BYTES (4 * 1024 * 1024)

static bool
field_is(struct span body, const char *pointer, const char *wanted)
{
	struct buffer text;
	buffer_init(&text, 4096);
	bool same = json_text_at(body, span_of(pointer), &text) == JSON_FOUND &&
	            span_equal(buffer_view(&text), span_of(wanted));
	buffer_finish(&text);
	return same;
}

bool
sns_text(struct span body, struct buffer *out)
{
	static const char *const notification[] = { "/Message",   "/MessageId", "/Subject",
		                                    "/Timestamp", "/TopicArn",  "/Type",
		                                    NULL };
	static const char *const confirmation[] = { "/Message",   "/MessageId", "/SubscribeURL",
		                                    "/Timestamp", "/Token",     "/TopicArn",
		                                    "/Type",      NULL };
	const char *const *names =
		field_is(body, "/Type", "Notification") ? notification : confirmation;
	for (; *names != NULL; names++) {
		struct json_slice slice = { 0 };
		enum json_find found = json_pointer_find(body, span_of(*names), &slice);
		if (!json_pointer_unique(body, span_of(*names))) {
			return false;
		}
		if (found == JSON_ABSENT && span_equal(span_of(*names), SPAN("/Subject"))) {
			continue;
		}
		if (found != JSON_FOUND || slice.kind != JSON_STRING) {
			return false;
		}
		buffer_text(out, *names + 1);
		buffer_byte(out, '\n');
		struct buffer value;
		buffer_init(&value, TEXT_MOST_BYTES);
		bool good = json_slice_text(slice, &value);
		buffer_span(out, buffer_view(&value));
		buffer_finish(&value);
		if (!good) {
			return false;
		}
		buffer_byte(out, '\n');
	}
	return !out->failed;
}

bool
sns_topic_allowed(const struct verify_request *request, struct span body)
{
	for (size_t i = 0; i < request->topic_count; i++) {
		if (field_is(body, "/TopicArn", request->topic_arns[i])) {
			return true;
		}
	}
	return false;
}

static enum verdict
judge_signed(struct verification *v, struct span body, struct span url)
{
	struct key_candidates candidates;
	struct buffer text;
	enum key_found found = verification_keys(v, url, &candidates);
	if (found != KEY_FOUND) {
		return found == KEY_ABSENT ? VERDICT_SIGNATURE_MISMATCH : VERDICT_KEY_UNAVAILABLE;
	}
	buffer_init(&text, TEXT_MOST_BYTES);
	bool readable = sns_text(body, &text);
	bool sha1 = field_is(body, "/SignatureVersion", "1");
	struct span signature = verification_signature(v, 0);
	for (size_t i = 0; readable && i < candidates.count && v->matched < 0; i++) {
		struct evp_pkey_st *key = candidates.keys[i];
		bool good =
			sha1 ? public_key_verifies_sha1(key, signature, buffer_view(&text))
			     : public_key_verifies(key, SCHEME_SNS, signature, buffer_view(&text));
		v->matched = good ? candidates.index[i] : -1;
	}
	buffer_finish(&text);
	key_candidates_finish(&candidates);
	return v->matched < 0 ? VERDICT_SIGNATURE_MISMATCH : VERDICT_GOOD;
}

enum verdict
sns_judge(struct verification *v, struct span body)
{
	struct buffer signature;
	struct buffer url;
	enum verdict verdict = VERDICT_GOOD;
	buffer_init(&signature, 4096);
	buffer_init(&url, KEY_NAME_MOST_BYTES);
	v->signature_count = 0;
	v->matched = -1;
	if (json_text_at(body, SPAN("/Signature"), &signature) != JSON_FOUND ||
	    signature.size == 0) {
		verdict = VERDICT_SIGNATURE_MISSING;
	} else if (!verification_take(v, buffer_view(&signature)) ||
	           !(field_is(body, "/SignatureVersion", "1") ||
	             field_is(body, "/SignatureVersion", "2")) ||
	           json_text_at(body, span_of(v->scheme->certificate_json), &url) != JSON_FOUND ||
	           !key_url_allowed(buffer_view(&url), v->scheme->certificate_hosts,
	                            v->scheme->certificate_ending)) {
		verdict = VERDICT_SIGNATURE_MALFORMED;
	} else if (!sns_topic_allowed(v->request, body)) {
		verdict =
			VERDICT_SIGNATURE_MISMATCH; /* nothing is fetched for a topic that is not ours */
	} else {
		verdict = judge_signed(v, body, buffer_view(&url));
	}
	buffer_finish(&signature);
	buffer_finish(&url);
	return verdict;
}
