#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "receiver/base/encoding.h"
#include "receiver/base/random.h"

#include "handlers/handler.h"

struct thread_role worker_thread = { "worker" };

static void
append_visible(struct buffer *out, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if (byte > 0x20 && byte < 0x7f) {
			buffer_byte(out, (char)byte);
		} else {
			buffer_format(out, "%%%02X", (unsigned)byte);
		}
	}
}

void
idempotency_key(const struct event *event, const char *handler, char key[IDEMPOTENCY_KEY_MOST + 1])
{
	struct buffer text;
	buffer_init(&text, 8192);
	append_visible(&text, event->source);
	buffer_byte(&text, '/');
	append_visible(&text, event->id);
	buffer_byte(&text, '/');
	append_visible(&text, span_of(handler));
	if (text.size > IDEMPOTENCY_KEY_MOST) {
		unsigned char digest[EVP_MAX_MD_SIZE];
		unsigned size = 0;
		ALWAYS(EVP_Digest(text.data, text.size, digest, &size, EVP_sha256(), NULL) == 1,
		       "sha256");
		text.size = 0;
		buffer_text(&text, "sha256:");
		hex_encode(&text, digest, size);
	}
	memcpy(key, text.data, text.size);
	key[text.size] = '\0';
	buffer_finish(&text);
}

static bool
is_lower_hex(const char *text, size_t size)
{
	return strspn(text, "0123456789abcdef") >= size;
}

/* https://www.w3.org/TR/trace-context/ section 3.2: version 00. */
static bool
valid_parent(const char *text)
{
	return strlen(text) == 55 && strncmp(text, "00-", 3) == 0 && is_lower_hex(text + 3, 32) &&
	       text[35] == '-' && is_lower_hex(text + 36, 16) && text[52] == '-' &&
	       is_lower_hex(text + 53, 2) &&
	       strncmp(text + 3, "00000000000000000000000000000000", 32) != 0;
}

static bool
sent_trace(const struct event *event, char trace[33])
{
	json_t *headers = json_loadb(event->headers.data, event->headers.size, 0, NULL);
	bool found = false;
	size_t index;
	json_t *pair;
	json_array_foreach(headers, index, pair) {
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));
		if (!found && name != NULL && value != NULL &&
		    strcasecmp(name, "traceparent") == 0 && valid_parent(value)) {
			memcpy(trace, value + 3, 32);
			trace[32] = '\0';
			found = true;
		}
	}
	json_decref(headers);
	return found;
}

void
trace_parent(const struct event *event, char text[56])
{
	char trace[33];
	if (!sent_trace(event, trace)) {
		XXH128_hash_t hash =
			XXH3_128bits_withSeed(event->id.data, event->id.size,
		                              XXH3_64bits(event->source.data, event->source.size));
		(void)snprintf(trace, sizeof(trace), "%016" PRIx64 "%016" PRIx64,
		               (uint64_t)hash.high64, (uint64_t)(hash.low64 | 1U));
	}
	uint64_t span;
	random_secret(&span, sizeof(span));
	(void)snprintf(text, 56, "00-%s-%016" PRIx64 "-01", trace, span | 1U);
}
