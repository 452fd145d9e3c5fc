#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "receiver/base/encoding.h"
#include "receiver/base/random.h"

#include "handlers/handler.h"

struct thread_role worker_thread = { "worker" };

/* What a destination says of itself may be cut in the middle of a character, or be none. */
static void
keep_utf8(char *text)
{
	size_t size = strlen(text);
	for (size_t cut = 0; cut < 4 && cut <= size; cut++) {
		if (utf8_valid((struct span){ text, size - cut })) {
			text[size - cut] = '\0';
			return;
		}
	}
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text >= 0x80) {
			*text = '?';
		}
	}
}

void
outcome_fail(struct outcome *outcome, enum outcome_kind kind, enum outcome_about about,
             const char *type, const char *format, ...)
{
	outcome->kind = kind;
	outcome->about = about;
	outcome->error_type = type;
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(outcome->error, sizeof(outcome->error), format, arguments);
	va_end(arguments);
	keep_utf8(outcome->error);
}

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
idempotency_key(const struct attempt *attempt, char key[IDEMPOTENCY_KEY_MOST + 1])
{
	const struct event *event = attempt->event;
	struct buffer text;
	buffer_init(&text, 8192);
	append_visible(&text, event->source);
	buffer_byte(&text, '/');
	append_visible(&text, event->id);
	buffer_byte(&text, '/');
	append_visible(&text, span_of(attempt->handler));
	if (attempt->key_round > 0) {
		buffer_format(&text, "/%" PRId64, attempt->key_round);
	}
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
