#include "receiver/verify/secret.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/encoding.h"

static atomic_uint_fast64_t wiped;

static bool
decode(enum scheme_key kind, struct span text, unsigned char *key, size_t room, size_t *size)
{
	switch (kind) {
	case SCHEME_KEY_RAW:
	case SCHEME_KEY_BASIC: {
		bool pair = text.size > 0 && memchr(text.data, ':', text.size) != NULL;
		if (text.size > room || (kind == SCHEME_KEY_BASIC && !pair)) {
			return false;
		}
		memcpy(key, text.data, text.size);
		*size = text.size;
		return true;
	}
	case SCHEME_KEY_HEX: return hex_decode(text, key, room, size);
	case SCHEME_KEY_BASE64_AFTER_WHSEC:
		if (span_starts(text, SPAN("whsec_"))) {
			text = span_after(text, 6);
		}
		return base64_decode(text, key, room, size);
	}
	return false;
}

bool
secrets_add(struct secrets *secrets, enum scheme_key kind, struct span text, int64_t until_ns,
            struct error *err)
{
	static const char *const forms[] = {
		[SCHEME_KEY_RAW] = "at most 4096 bytes",
		[SCHEME_KEY_BASE64_AFTER_WHSEC] = "base64, behind an optional whsec_",
		[SCHEME_KEY_HEX] = "hexadecimal",
		[SCHEME_KEY_BASIC] = "user:password",
	};
	static atomic_uint_fast64_t serial = 1;
	if (secrets->count == SECRETS_MOST) {
		return error_set(err, ERROR_LIMIT, "more than %d secrets", SECRETS_MOST);
	}
	unsigned char key[SECRET_MOST_BYTES];
	size_t size = 0;
	if (text.size == 0) {
		return error_set(err, ERROR_INVALID, "the secret is empty");
	}
	if (!decode(kind, text, key, sizeof(key), &size) || size == 0) {
		return error_set(err, ERROR_INVALID,
		                 "the secret is not in the form that this scheme wants: %s",
		                 forms[kind]);
	}
	struct secret *secret = &secrets->items[secrets->count++];
	secret->key = memory_need(size);
	memcpy(secret->key, key, size);
	memory_wipe(key, sizeof(key));
	secret->size = size;
	secret->until_ns = until_ns;
	secret->serial = atomic_fetch_add(&serial, 1);
	return true;
}

void
secrets_finish(struct secrets *secrets)
{
	for (size_t i = 0; i < secrets->count; i++) {
		memory_wipe(secrets->items[i].key, secrets->items[i].size);
		free(secrets->items[i].key);
	}
	if (secrets->count > 0) {
		(void)atomic_fetch_add(&wiped, 1);
	}
	secrets->count = 0;
}

uint_fast64_t
secrets_wiped(void)
{
	return atomic_load_explicit(&wiped, memory_order_relaxed);
}

bool
secret_live(const struct secret *secret, int64_t now_ns)
{
	return secret->until_ns == 0 || now_ns < secret->until_ns;
}
