#include "receiver/verify/items.h"

#include <openssl/crypto.h>

#include "receiver/verify/json_pointer.h"
#include "receiver/verify/mac.h"

#define TEXT_MOST_BYTES (64 * 1024)

bool
items_text(struct span item, struct buffer *out)
{
	static const char *const fields[] = {
		"/NotificationRequestItem/pspReference",
		"/NotificationRequestItem/originalReference",
		"/NotificationRequestItem/merchantAccountCode",
		"/NotificationRequestItem/merchantReference",
		"/NotificationRequestItem/amount/value",
		"/NotificationRequestItem/amount/currency",
		"/NotificationRequestItem/eventCode",
		"/NotificationRequestItem/success",
	};
	for (size_t i = 0; i < COUNT(fields); i++) {
		struct json_slice slice = { 0 };
		buffer_text(out, i == 0 ? "" : ":");
		enum json_find found = json_pointer_find(item, span_of(fields[i]), &slice);
		if (found == JSON_BROKEN || !json_pointer_unique(item, span_of(fields[i]))) {
			return false;
		}
		if (found == JSON_FOUND &&
		    (slice.kind == JSON_OBJECT || slice.kind == JSON_ARRAY)) {
			return false;
		}
		bool null = found == JSON_FOUND && slice.kind == JSON_LITERAL &&
		            span_equal(slice.raw, SPAN("null"));
		if (found == JSON_FOUND && !null && !json_slice_text(slice, out)) {
			return false;
		}
	}
	return !out->failed;
}

static enum verdict
judge_item(struct verification *v, struct span item)
{
	struct buffer text;
	unsigned char made[MAC_MOST_BYTES];
	buffer_init(&text, TEXT_MOST_BYTES);
	enum verdict verdict = VERDICT_GOOD;
	v->signature_count = 0;
	if (json_text_at(item, SPAN(ITEMS_SIGNATURE), &text) != JSON_FOUND || text.size == 0) {
		verdict = VERDICT_SIGNATURE_MISSING;
	} else if (!verification_take(v, buffer_view(&text))) {
		verdict = VERDICT_SIGNATURE_MALFORMED;
	}
	text.size = 0;
	if (verdict == VERDICT_GOOD) {
		bool readable = items_text(item, &text);
		int matched = -1;
		for (size_t i = 0; readable && i < v->keys->secrets->count; i++) {
			const struct secret *secret = &v->keys->secrets->items[i];
			if (!secret_live(secret, v->now_ns)) {
				continue;
			}
			mac_once(SCHEME_SHA256, secret, buffer_view(&text), made);
			if (CRYPTO_memcmp(made, verification_signature(v, 0).data,
			                  mac_size(SCHEME_SHA256)) == 0 &&
			    matched < 0) {
				matched = (int)i;
			}
		}
		v->matched = matched;
		verdict = matched < 0 ? VERDICT_SIGNATURE_MISMATCH : VERDICT_GOOD;
	}
	buffer_finish(&text);
	return verdict;
}

enum verdict
items_judge(struct verification *v, struct span body)
{
	struct json_items items;
	struct json_slice item = { 0 };
	size_t count = 0;
	if (json_items_begin(body, SPAN(ITEMS_ARRAY), &items) != JSON_FOUND) {
		return VERDICT_SIGNATURE_MISSING;
	}
	enum json_find found;
	enum verdict worst = VERDICT_GOOD;
	while ((found = json_items_next(&items, &item)) == JSON_FOUND) {
		enum verdict verdict = judge_item(v, item.raw);
		count++;
		if (verdict != VERDICT_GOOD && (worst == VERDICT_GOOD || verdict < worst)) {
			worst = verdict;
		}
	}
	if (found == JSON_BROKEN || count == 0) {
		return VERDICT_SIGNATURE_MISSING;
	}
	if (worst != VERDICT_GOOD) {
		v->matched = -1;
	}
	return worst;
}
