/* What a source verifies with: secrets, public keys, certificates, tokens; read from where the configuration says. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/config/config_priv.h"

struct reading {
	struct config *config;
	struct source *source;
	key_report *report;
	void *context;
};

/* --- what can be said without reading --- */

static void
check_until(struct config *config, const struct node *node, const char *until)
{
	int64_t ignored;
	if (until != NULL && !clock_parse(span_of(until), &ignored)) {
		problems_add(&config->problems, value_place(node, "until"),
		             "until: expected an RFC 3339 date or date-time");
	}
}

static bool
check_one_way(struct config *config, const struct secret_settings *settings, const char *key)
{
	int ways =
		(settings->env != NULL) + (settings->file != NULL) + (settings->credential != NULL);
	if (settings->entry.node != NULL && ways != 1) {
		problems_add(&config->problems, settings->entry.node->place,
		             "%s: exactly one of env, file and credential is needed", key);
	}
	return ways == 1;
}

void
source_keys_check(struct config *config, const struct source *source)
{
	const struct source_settings *settings = source->settings;
	const struct secret_settings *secrets = settings->secrets.items;
	for (size_t i = 0; i < settings->secrets.count; i++) {
		if (check_one_way(config, &secrets[i], "secrets")) {
			check_until(config, secrets[i].entry.node, secrets[i].until);
		}
	}
	const struct public_key_settings *keys = settings->public_keys.items;
	for (size_t i = 0; i < settings->public_keys.count; i++) {
		if ((keys[i].env != NULL) + (keys[i].file != NULL) + (keys[i].text != NULL) != 1) {
			problems_add(&config->problems, keys[i].entry.node->place,
			             "public_keys: exactly one of env, file and text is needed");
		}
		check_until(config, keys[i].entry.node, keys[i].until);
	}
	(void)check_one_way(config, &settings->verify_token, "verify_token");
	(void)check_one_way(config, &settings->client_secret, "secret");
	(void)check_one_way(config, &settings->jwks, "jwks");
}

/* --- reading --- */

static int64_t
until_of(const char *text)
{
	int64_t until_ns = 0;
	return text != NULL && clock_parse(span_of(text), &until_ns) ? until_ns : 0;
}

static bool
readable(const struct secret_settings *settings)
{
	return settings->entry.node != NULL && (settings->env != NULL) + (settings->file != NULL) +
	                                                       (settings->credential != NULL) ==
	                                               1;
}

static void
read_secret(const struct reading *reading, const struct secret_settings *settings)
{
	struct buffer text;
	struct error err;
	buffer_init(&text, SECRET_MOST_BYTES + 1);
	if (!secret_read(reading->config, settings, &text, &err) ||
	    !secrets_add(&reading->source->secrets, reading->source->scheme.key, buffer_view(&text),
	                 until_of(settings->until), &err)) {
		reading->report(reading->context, settings->entry.node, "secrets", &err);
	}
	memory_wipe(text.data, text.size);
	buffer_finish(&text);
}

/* A token as text; NULL when it cannot be read or is empty. */
static char *
read_token(const struct reading *reading, const struct secret_settings *settings, const char *key)
{
	struct buffer text;
	struct error err;
	char *token = NULL;
	if (!readable(settings)) {
		return NULL;
	}
	buffer_init(&text, SECRET_MOST_BYTES + 1);
	bool good = secret_read(reading->config, settings, &text, &err);
	if (good && text.size == 0) {
		good = error_set(&err, ERROR_INVALID, "it is empty");
	}
	if (good) {
		token = span_copy(buffer_view(&text));
	} else {
		reading->report(reading->context, settings->entry.node, key, &err);
	}
	memory_wipe(text.data, text.size);
	buffer_finish(&text);
	return token;
}

/* A text that is no secret, from a file, the environment or the configuration itself. */
static bool
read_public(const struct reading *reading, const struct secret_settings *from,
            const char *inline_text, struct buffer *text, struct error *err)
{
	if (inline_text != NULL) {
		buffer_text(text, inline_text);
		return true;
	}
	return secret_read(reading->config, from, text, err);
}

static void
read_public_key(const struct reading *reading, const struct public_key_settings *settings)
{
	struct secret_settings from = { .env = settings->env, .file = settings->file };
	struct buffer text;
	struct error err;
	if ((settings->env != NULL) + (settings->file != NULL) + (settings->text != NULL) != 1) {
		return;
	}
	buffer_init(&text, PUBLIC_KEY_MOST_BYTES);
	if (!read_public(reading, &from, settings->text, &text, &err) ||
	    !public_keys_add(&reading->source->public_keys, reading->source->scheme.algorithm,
	                     buffer_view(&text), until_of(settings->until), &err)) {
		reading->report(reading->context, settings->entry.node, "public_keys", &err);
	}
	buffer_finish(&text);
}

static void
read_certificate(const struct reading *reading, const struct certificate_settings *settings)
{
	struct secret_settings from = { .file = settings->file };
	struct buffer text;
	struct error err;
	if (settings->file == NULL) {
		return;
	}
	buffer_init(&text, PUBLIC_KEY_MOST_BYTES);
	if (!secret_read(reading->config, &from, &text, &err) ||
	    !public_keys_add_certificate(&reading->source->public_keys, buffer_view(&text),
	                                 settings->url, &err)) {
		reading->report(reading->context, settings->entry.node, "certificates", &err);
	}
	buffer_finish(&text);
}

static void
read_jwks(const struct reading *reading, const struct secret_settings *settings)
{
	struct buffer text;
	struct error err;
	if (!readable(settings)) {
		return;
	}
	buffer_init(&text, PUBLIC_KEY_MOST_BYTES);
	if (!secret_read(reading->config, settings, &text, &err) ||
	    !public_keys_add_jwks(&reading->source->public_keys, buffer_view(&text), &err)) {
		reading->report(reading->context, settings->entry.node, "jwks", &err);
	}
	buffer_finish(&text);
}

void
source_keys_read(struct config *config, struct source *source, key_report *report, void *context)
{
	const struct source_settings *settings = source->settings;
	struct reading reading = { config, source, report, context };
	const struct secret_settings *secrets = settings->secrets.items;
	for (size_t i = 0; i < settings->secrets.count; i++) {
		if (readable(&secrets[i])) {
			read_secret(&reading, &secrets[i]);
		}
	}
	const struct public_key_settings *keys = settings->public_keys.items;
	for (size_t i = 0; i < settings->public_keys.count; i++) {
		read_public_key(&reading, &keys[i]);
	}
	const struct certificate_settings *certificates = settings->certificates.items;
	for (size_t i = 0; i < settings->certificates.count; i++) {
		read_certificate(&reading, &certificates[i]);
	}
	read_jwks(&reading, &settings->jwks);
	source->verify_token = read_token(&reading, &settings->verify_token, "verify_token");
	source->client_secret = read_token(&reading, &settings->client_secret, "secret");
}

static void
token_finish(char *token)
{
	if (token != NULL) {
		memory_wipe(token, strlen(token));
		free(token);
	}
}

void
source_keys_finish(struct source *source)
{
	secrets_finish(&source->secrets);
	public_keys_finish(&source->public_keys);
	token_finish(source->verify_token);
	token_finish(source->client_secret);
	free(source->signed_url);
}
