#include "receiver/keyring/fetch.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/verify/json_pointer.h"
#include "receiver/verify/key_url.h"

#define CERTIFICATES_MOST 10 /* in one PEM text */
#define JWK_PATH \
	"/webhook_verification_key/get" /* https://plaid.com/docs/api/webhooks/webhook-verification/ */

static _Thread_local CURL *handle; /* keeps connections */

void
fetch_thread_finish(void)
{
	curl_easy_cleanup(handle);
	handle = NULL;
}

const char *
fetch_api_host(const struct source *source)
{
	return source->settings->environment == 1 ? "sandbox.plaid.com" : "production.plaid.com";
}

static size_t
on_data(char *data, size_t size, size_t count, void *context)
{
	struct buffer *text = context;
	buffer_append(text, data, size * count);
	return text->failed ? 0 : size * count;
}

/* `body` NULL: a GET. False: no answer, or none that is 200 or 400. */
static bool
request(const struct key_wish *wish, const char *url, struct span body, struct buffer *text,
        long *status, struct error *err)
{
	const struct fetch_settings *settings = &wish->config->settings.fetch;
	char detail[CURL_ERROR_SIZE] = "";
	if (handle == NULL) {
		handle = curl_easy_init();
		ALWAYS(handle != NULL, "curl");
	}
	char *ca = settings->ca == NULL ? NULL : config_path(wish->config, settings->ca);
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	curl_easy_reset(handle);
	(void)curl_easy_setopt(handle, CURLOPT_URL, url);
	(void)curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "https");
	(void)curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	/* A name server that is silent holds up nobody: curl would wait for its thread. */
	(void)curl_easy_setopt(handle, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS,
	                       (long)(settings->timeout_ns / NS_PER_MS));
	(void)curl_easy_setopt(handle, CURLOPT_PROXY,
	                       settings->proxy == NULL ? "" : settings->proxy);
	(void)curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(handle, CURLOPT_WRITEDATA, text);
	(void)curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail);
	(void)curl_easy_setopt(handle, CURLOPT_USERAGENT, "hooklatch/" HOOKLATCH_VERSION);
	if (ca != NULL) {
		(void)curl_easy_setopt(handle, CURLOPT_CAINFO, ca);
		(void)curl_easy_setopt(handle, CURLOPT_CAPATH, NULL);
	}
	if (body.data != NULL) {
		(void)curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
		(void)curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)body.size);
		(void)curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.data);
	}
	CURLcode code = curl_easy_perform(handle);
	*status = 0;
	(void)curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, status);
	(void)curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, NULL);
	curl_slist_free_all(headers);
	free(ca);
	if (code != CURLE_OK) {
		return error_set(err, ERROR_UNREACHABLE, "%s",
		                 detail[0] == '\0' ? curl_easy_strerror(code) : detail);
	}
	return true;
}

/* --- getting --- */

static bool
get_certificate(const struct key_wish *wish, struct buffer *text, struct error *err)
{
	const struct scheme *scheme = &wish->source->scheme;
	long status = 0;
	if (!key_url_allowed(span_of(wish->name), scheme->certificate_hosts,
	                     scheme->certificate_ending)) {
		return error_set(err, ERROR_REFUSED, "its host is none of the provider's");
	}
	return request(wish, wish->name, (struct span){ 0 }, text, &status, err) &&
	       (status == 200 || error_set(err, ERROR_UNREACHABLE, "HTTP status %ld", status));
}

static bool
get_jwk(const struct key_wish *wish, struct buffer *text, bool *absent, struct error *err)
{
	struct buffer body;
	struct buffer url;
	long status = 0;
	if (wish->source->client_secret == NULL) {
		return error_set(err, ERROR_NOT_FOUND, "no client_id and secret are configured");
	}
	buffer_init(&body, 65536);
	buffer_init(&url, 1024);
	buffer_format(&url, "https://%s%s", fetch_api_host(wish->source), JWK_PATH);
	buffer_byte(&url, '\0');
	buffer_text(&body, "{\"client_id\":");
	json_quote(&body, span_of(wish->source->settings->client_id));
	buffer_text(&body, ",\"secret\":");
	json_quote(&body, span_of(wish->source->client_secret));
	buffer_text(&body, ",\"key_id\":");
	json_quote(&body, span_of(wish->name));
	buffer_text(&body, "}");
	bool good = request(wish, url.data, buffer_view(&body), text, &status, err);
	if (good && status == 400) { /* INVALID_WEBHOOK_VERIFICATION_KEY_ID, or our own account */
		struct buffer code;
		buffer_init(&code, 1024);
		*absent =
			json_text_at(buffer_view(text), SPAN("/error_code"), &code) == JSON_FOUND &&
			span_equal(buffer_view(&code), SPAN("INVALID_WEBHOOK_VERIFICATION_KEY_ID"));
		good = *absent || error_set(err, ERROR_REFUSED, "the API refuses: %.*s",
		                            SPAN_ARG(buffer_view(&code)));
		buffer_finish(&code);
	} else if (good && status != 200) {
		good = error_set(err, ERROR_UNREACHABLE, "HTTP status %ld", status);
	}
	memory_wipe(body.data, body.size);
	buffer_finish(&body);
	buffer_finish(&url);
	return good;
}

bool
fetch_get(const struct key_wish *wish, struct buffer *text, bool *absent, struct error *err)
{
	*absent = false;
	return wish->source->scheme.algorithm == SCHEME_JWT ? get_jwk(wish, text, absent, err)
	                                                    : get_certificate(wish, text, err);
}

bool
fetch_visit(const struct key_wish *wish, struct buffer *text, struct error *err)
{
	long status = 0;
	if (!key_url_host_allowed(span_of(wish->name), wish->source->scheme.certificate_hosts)) {
		return error_set(err, ERROR_REFUSED, "its host is none of the provider's");
	}
	return request(wish, wish->name, (struct span){ 0 }, text, &status, err) &&
	       (status == 200 || error_set(err, ERROR_UNREACHABLE, "HTTP status %ld", status));
}

/* --- what makes a text a key --- */

static bool
subject_allowed(const X509 *certificate, const char *const *names, struct error *err)
{
	char name[256];
	if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
	                              sizeof(name)) < 0) {
		name[0] = '\0';
	}
	for (; *names != NULL; names++) {
		if (key_host_matches(span_of(name), *names)) {
			return true;
		}
	}
	return error_set(err, ERROR_REFUSED, "the certificate is %s's, not the provider's",
	                 name[0] == '\0' ? "nobody" : name);
}

static bool
chain_verifies(const struct key_wish *wish, X509 *leaf, STACK_OF(X509) * others, struct error *err)
{
	const char *ca = wish->config->settings.fetch.ca;
	char *path = ca == NULL ? NULL : config_path(wish->config, ca);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	ALWAYS(store != NULL && context != NULL, "x509-store");
	bool good = path == NULL ? X509_STORE_set_default_paths(store) == 1
	                         : X509_STORE_load_file(store, path) == 1;
	good = good && X509_STORE_CTX_init(context, store, leaf, others) == 1 &&
	       X509_verify_cert(context) == 1;
	if (!good) {
		(void)error_set(err, ERROR_REFUSED, "the certificate's chain does not verify: %s",
		                X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
	}
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	free(path);
	return good;
}

static bool
judge_certificate(const struct key_wish *wish, X509 *leaf, STACK_OF(X509) * others, int64_t *for_ns,
                  struct error *err)
{
	const struct scheme *scheme = &wish->source->scheme;
	int days = 0;
	int seconds = 0;
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0 ||
	    ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf)) != 1 || days < 0 ||
	    seconds < 0 || (days == 0 && seconds == 0)) {
		return error_set(err, ERROR_REFUSED, "the certificate is not valid now");
	}
	*for_ns = (int64_t)(days > 1 ? 1 : days) * 24 * 3600 * NS_PER_S +
	          (days > 0 ? 0 : seconds * NS_PER_S);
	return subject_allowed(leaf, scheme->certificate_names, err) &&
	       (!scheme->certificate_chain || chain_verifies(wish, leaf, others, err));
}

static bool
parse_certificate(const struct key_wish *wish, struct span text, EVP_PKEY **ret, int64_t *for_ns,
                  struct error *err)
{
	BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
	STACK_OF(X509) *others = sk_X509_new_null();
	ALWAYS(bio != NULL && others != NULL, "pem-memory");
	X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	for (int i = 0; leaf != NULL && i < CERTIFICATES_MOST; i++) {
		X509 *other = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (other == NULL) {
			break;
		}
		(void)sk_X509_push(others, other);
	}
	bool good =
		leaf != NULL || error_set(err, ERROR_INVALID, "the answer is no PEM certificate");
	good = good && judge_certificate(wish, leaf, others, for_ns, err);
	if (good) {
		*ret = X509_get_pubkey(leaf);
		good = *ret != NULL || error_set(err, ERROR_INVALID, "the certificate has no key");
	}
	sk_X509_pop_free(others, X509_free);
	X509_free(leaf);
	BIO_free(bio);
	return good;
}

static bool
parse_jwk(const struct key_wish *wish, struct span text, EVP_PKEY **ret, struct error *err)
{
	struct json_slice jwk = { 0 };
	struct json_slice expired = { 0 };
	struct buffer kid;
	buffer_init(&kid, 1024);
	bool good = json_pointer_find(text, SPAN("/key"), &jwk) == JSON_FOUND &&
	            json_text_at(jwk.raw, SPAN("/kid"), &kid) == JSON_FOUND &&
	            span_equal(buffer_view(&kid), span_of(wish->name));
	buffer_finish(&kid);
	if (!good) {
		return error_set(err, ERROR_INVALID, "the answer holds no key of this kid");
	}
	if (json_pointer_find(jwk.raw, SPAN("/expired_at"), &expired) == JSON_FOUND &&
	    expired.kind != JSON_LITERAL) {
		return error_set(err, ERROR_REFUSED, "the key has expired");
	}
	*ret = public_key_from_jwk(jwk.raw);
	return *ret != NULL || error_set(err, ERROR_INVALID, "the answer holds no key of P-256");
}

bool
fetch_parse(const struct key_wish *wish, struct span text, EVP_PKEY **ret, int64_t *for_ns,
            struct error *err)
{
	return wish->source->scheme.algorithm == SCHEME_JWT
	               ? parse_jwk(wish, text, ret, err)
	               : parse_certificate(wish, text, ret, for_ns, err);
}
