#include "receiver/verify/mac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#define KEPT_CONTEXTS 64 /* of a thread */

static _Thread_local struct {
	uint64_t serial;
	EVP_MAC_CTX *context;
} kept[KEPT_CONTEXTS];

static _Thread_local EVP_MAC *mac;       /* EVP_MAC_fetch() is dear: once a thread */
static _Thread_local uint_fast64_t seen; /* secrets_wiped(), when this thread last looked */

size_t
mac_size(enum scheme_algorithm algorithm)
{
	return algorithm == SCHEME_SHA1 ? 20 : 32;
}

void *
mac_new(enum scheme_algorithm algorithm, const struct secret *secret)
{
	if (mac == NULL) {
		mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	}
	char sha256[] = "SHA256";
	char sha1[] = "SHA1";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		                                 algorithm == SCHEME_SHA1 ? sha1 : sha256, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
	ALWAYS(context != NULL && EVP_MAC_init(context, secret->key, secret->size, parameters) == 1,
	       "hmac-init");
	return context;
}

static void
forget(void)
{
	for (size_t i = 0; i < KEPT_CONTEXTS; i++) {
		EVP_MAC_CTX_free(kept[i].context); /* wipes it */
		kept[i].context = NULL;
		kept[i].serial = 0;
	}
}

/* A secret belongs to one source, whose scheme has one algorithm; the diagnosis of a mismatch tries others' secrets. */
void *
mac_kept(enum scheme_algorithm algorithm, const struct secret *secret)
{
	uint64_t serial = secret->serial * 2 + (algorithm == SCHEME_SHA1 ? 1 : 0);
	size_t slot = serial % KEPT_CONTEXTS;
	if (kept[slot].serial == serial) {
		ALWAYS(EVP_MAC_init(kept[slot].context, NULL, 0, NULL) == 1, "hmac-again");
		return kept[slot].context;
	}
	EVP_MAC_CTX_free(kept[slot].context);
	kept[slot].context = mac_new(algorithm, secret);
	kept[slot].serial = serial;
	return kept[slot].context;
}

void
mac_free(void *context)
{
	EVP_MAC_CTX_free(context);
}

void
mac_update(void *context, struct span text)
{
	if (text.size > 0) {
		ALWAYS(EVP_MAC_update(context, (const unsigned char *)text.data, text.size) == 1,
		       "hmac-update");
	}
}

void
mac_finish(void *context, unsigned char made[MAC_MOST_BYTES])
{
	size_t size = 0;
	ALWAYS(EVP_MAC_final(context, made, &size, MAC_MOST_BYTES) == 1, "hmac-final");
}

void
mac_once(enum scheme_algorithm algorithm, const struct secret *secret, struct span text,
         unsigned char made[MAC_MOST_BYTES])
{
	void *context = mac_kept(algorithm, secret);
	mac_update(context, text);
	mac_finish(context, made);
}

void
mac_thread_begin(void)
{
	if (seen != secrets_wiped()) {
		seen = secrets_wiped();
		forget();
	}
}

void
mac_thread_finish(void)
{
	forget();
	EVP_MAC_free(mac);
	mac = NULL;
}
