#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

void
trace_parent(const struct event *event, char text[56])
{
	uint64_t span;
	random_secret(&span, sizeof(span));
	(void)snprintf(text, 56, "00-%s-%016" PRIx64 "-01", event->trace_id, span | 1U);
}
