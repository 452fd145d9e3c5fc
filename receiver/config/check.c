/* What no single row can say: keys that belong together, names that must exist, secrets that must be readable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/glob.h"
#include "receiver/base/units.h"
#include "receiver/config/config_priv.h"
#include "receiver/verify/json_pointer.h"

#define DEFAULT_TOLERANCE_NS (5 * 60 * NS_PER_S)
#define PATIENCE_MARGIN_NS   NS_PER_S

static void
check_pointer(struct config *config, const struct node *node, const char *key, const char *pointer)
{
	if (pointer != NULL && !json_pointer_valid(span_of(pointer))) {
		problems_add(&config->problems, node_key_place(node, key),
		             "%s: a JSON pointer is empty or begins with \"/\" (RFC 6901)", key);
	}
}

struct place
value_place(const struct node *map, const char *key)
{
	const struct node *child = node_child(map, key);
	return child == NULL ? node_key_place(map, key) : child->place;
}

/* --- listen, admin, store --- */

static void
check_certificate(struct config *config, const struct listen_settings *listen)
{
	struct error err;
	char *certificate = config_path(config, listen->certificate);
	char *key = config_path(config, listen->key);
	if (!tls_check(certificate, key, &err)) {
		problems_add(&config->problems, value_place(listen->entry.node, "certificate"),
		             "certificate: %s", err.text);
	}
	free(certificate);
	free(key);
}

static void
check_listen(struct config *config, struct listen_settings *listen, enum config_purpose purpose)
{
	struct problems *problems = &config->problems;
	const struct node *node = listen->entry.node;
	struct address address;
	struct error err;
	if ((listen->https == NULL) == (listen->http == NULL)) {
		problems_add(problems, node->place,
		             "listen: exactly one of https and http is needed");
		return;
	}
	const char *key = listen->https != NULL ? "https" : "http";
	const char *text = listen->https != NULL ? listen->https : listen->http;
	if (!address_parse(span_of(text), &address, &err)) {
		problems_add(problems, value_place(node, key), "%s: %s", key, err.text);
		return;
	}
	if (listen->https != NULL && (listen->certificate == NULL || listen->key == NULL)) {
		problems_add(problems, node_key_place(node, "https"),
		             "https: certificate and key are needed");
	} else if (listen->https != NULL && purpose == CONFIG_TO_SERVE) {
		check_certificate(config, listen);
	}
	if (listen->https != NULL && address.socket.ss_family == AF_UNIX) {
		problems_add(problems, value_place(node, key), "https: a unix socket is for http");
	}
	if (listen->http != NULL && listen->certificate != NULL) {
		problems_add(problems, node_key_place(node, "certificate"),
		             "certificate: belongs to https");
	}
	if (listen->http != NULL && listen->trusted_proxies.count == 0 &&
	    !address_loopback(&address)) {
		problems_add(
			problems, value_place(node, key),
			"http: off loopback only with trusted_proxies; use https, or name the proxies in front");
	}
	const char *const *texts = listen->trusted_proxies.items;
	for (size_t i = 0; i < listen->trusted_proxies.count; i++) {
		struct network network;
		if (!network_parse(span_of(texts[i]), &network)) {
			problems_add(problems, node_key_place(node, "trusted_proxies"),
			             "trusted_proxies: \"%s\" is no network such as 10.0.0.0/8",
			             texts[i]);
		}
	}
}

/* What `listen` is when it is not written. */
static void
default_listen(struct config *config)
{
	struct schema_list *list = &config->settings.listen;
	struct listen_settings *listen =
		arena_append(&config->arena, &list->items, &list->count, sizeof(*listen));
	*listen = (struct listen_settings){ .entry = { .node = config->root },
		                            .https = "0.0.0.0:8443",
		                            .certificate = "tls/cert.pem",
		                            .key = "tls/key.pem" };
}

#define TOKEN_LEAST_BYTES 16

static void
read_token(struct config *config, struct admin_settings *admin)
{
	const struct secret_settings *token = &admin->token;
	struct problems *problems = &config->problems;
	struct buffer text;
	struct error err;
	buffer_init(&text, SECRET_MOST_BYTES + 1);
	if (!secret_read(config, token, &text, &err)) {
		problems_add(problems, token->entry.node->place, "token: %s", err.text);
	} else if (text.size < TOKEN_LEAST_BYTES) {
		problems_add(problems, token->entry.node->place,
		             "token: shorter than %d bytes; openssl rand -hex 32 makes one",
		             TOKEN_LEAST_BYTES);
	} else {
		admin->token_text = memory_need(text.size);
		memcpy(admin->token_text, text.data, text.size);
		admin->token_size = text.size;
	}
	memory_wipe(text.data, text.size);
	buffer_finish(&text);
}

static void
check_admin(struct config *config, struct admin_settings *admin, enum config_purpose purpose)
{
	struct problems *problems = &config->problems;
	const struct node *node = admin->entry.node;
	const struct secret_settings *token = &admin->token;
	struct address address;
	struct error err;
	if ((admin->unix_path == NULL) == (admin->http == NULL)) {
		problems_add(problems, node->place,
		             "admin: exactly one of unix and http is needed");
		return;
	}
	if (admin->http == NULL && token->entry.node != NULL) {
		problems_add(problems, node_key_place(node, "token"), "token: belongs to http");
	}
	if (admin->unix_path == NULL && admin->group != NULL) {
		problems_add(problems, node_key_place(node, "group"), "group: belongs to unix");
	}
	if (admin->http == NULL) {
		return;
	}
	if (!address_parse(span_of(admin->http), &address, &err)) {
		problems_add(problems, value_place(node, "http"), "http: %s", err.text);
	} else if (address.socket.ss_family == AF_UNIX) {
		problems_add(problems, value_place(node, "http"),
		             "http: ADDRESS:PORT; a socket is written as unix: PATH");
	} else if (token->entry.node == NULL && !address_loopback(&address)) {
		problems_add(problems, value_place(node, "http"),
		             "http: off loopback the key \"token\" is needed");
	}
	if (token->entry.node != NULL &&
	    (token->env != NULL) + (token->file != NULL) + (token->credential != NULL) != 1) {
		problems_add(problems, token->entry.node->place,
		             "token: exactly one of env, file and credential is needed");
	} else if (token->entry.node != NULL && purpose != CONFIG_TO_READ) {
		read_token(config, admin);
	}
}

static void
check_service(struct config *config, enum config_purpose purpose)
{
	struct problems *problems = &config->problems;
	struct settings *settings = &config->settings;
	if (node_child(config->root, "listen") == NULL) {
		default_listen(config);
	}
	struct listen_settings *listen = settings->listen.items;
	for (size_t i = 0; i < settings->listen.count; i++) {
		check_listen(config, &listen[i], purpose);
	}
	const struct node *node = node_child(config->root, "listen");
	if (node != NULL && node->kind == NODE_LIST && settings->listen.count == 0) {
		problems_add(problems, node->key_place, "listen: at least one address is needed");
	}
	struct admin_settings *admin = settings->admin.items;
	const char *path = CONFIG_ADMIN_UNIX;
	for (size_t i = 0; i < settings->admin.count; i++) {
		check_admin(config, &admin[i], purpose);
		path = admin[i].unix_path != NULL ? admin[i].unix_path : path;
	}
	config->admin_path = config_path(config, path);
	if (strlen(config->admin_path) > 107) {
		problems_add(problems, node_key_place(config->root, "admin"),
		             "admin: the path of a unix socket has at most 107 bytes: %s",
		             config->admin_path);
	}
	if (settings->store == NULL || strncmp(settings->store, "sqlite:", 7) != 0 ||
	    settings->store[7] == '\0') {
		problems_add(problems, value_place(config->root, "store"),
		             "store: expected sqlite: and a path");
	} else {
		config->store_path = config_path(config, settings->store + 7);
		struct buffer scratch;
		buffer_init(&scratch, 65536);
		buffer_format(&scratch, "%s.tries", config->store_path);
		config->scratch_path = buffer_steal(&scratch);
	}
	const struct limits_settings *limits = &settings->limits;
	config->net_limits = (struct net_limits){
		.body = limits->body,
		.headers = limits->headers,
		.header_count = limits->header_count,
		.connections = limits->connections,
		.connections_per_address = limits->connections_per_address,
		.memory = limits->memory,
		.handshake_timeout_ns = limits->handshake_timeout_ns,
		.header_timeout_ns = limits->header_timeout_ns,
		.body_timeout_ns = limits->body_timeout_ns,
		.idle_timeout_ns = limits->idle_timeout_ns,
	};
}

/* --- sources --- */

static void
value_scheme(struct config *config, const struct value_settings *value, const char *key,
             struct scheme_value *ret)
{
	struct problems *problems = &config->problems;
	const struct node *node = value->entry.node;
	int ways = (value->header != NULL) + (value->json != NULL) + (value->parts.count > 0) +
	           (value->generated != 0);
	if (node == NULL) {
		return;
	}
	if (ways != 1) {
		problems_add(problems, node->place,
		             "%s: exactly one of header, json, parts and generated is needed", key);
		return;
	}
	check_pointer(config, node, "json", value->json);
	if (value->parts.count > SCHEME_PARTS_MOST) {
		problems_add(problems, node_key_place(node, "parts"), "parts: more than %d",
		             SCHEME_PARTS_MOST);
		return;
	}
	const char *const *parts = value->parts.items;
	for (size_t i = 0; i < value->parts.count; i++) {
		if (parts[i][0] == '/') { /* else it is the name of a header */
			check_pointer(config, node, "parts", parts[i]);
		}
		ret->parts[i] = parts[i];
	}
	ret->part_count = value->parts.count;
	ret->name = value->header != NULL ? value->header : value->json;
	ret->from = value->header != NULL    ? SCHEME_FROM_HEADER
	            : value->json != NULL    ? SCHEME_FROM_JSON
	            : value->parts.count > 0 ? SCHEME_FROM_PARTS
	                                     : SCHEME_GENERATED;
}

static void
check_template(struct config *config, struct source *source)
{
	struct problems *problems = &config->problems;
	const struct node *node = source->settings->signature.entry.node;
	struct scheme *scheme = &source->scheme;
	struct span wrong;
	struct place place = value_place(node, "signed");
	if (!scheme_template_valid(span_of(scheme->signed_text), &wrong)) {
		problems_add(
			problems, place,
			"signed: \"%.*s\" is none of {timestamp} {body} {id} {method} {path} {url}",
			SPAN_ARG(wrong));
		return;
	}
	if (!scheme_signs(scheme, SCHEME_BODY)) {
		problems_add(problems, place,
		             "signed: without {body} anybody could alter the body");
	}
	if (scheme_signs(scheme, SCHEME_TIMESTAMP) && scheme->timestamp.from == SCHEME_NOWHERE) {
		problems_add(
			problems, place,
			"signed: {timestamp} needs `timestamp:` or signature.timestamp_prefix");
	}
	if (scheme_signs(scheme, SCHEME_ID) && scheme->id.from != SCHEME_FROM_HEADER) {
		problems_add(problems, place, "signed: {id} needs `event_id: { header: … }`");
	}
	bool from_head = scheme->timestamp.from == SCHEME_FROM_HEADER ||
	                 scheme->timestamp.from == SCHEME_FROM_SIGNATURE;
	if (from_head && !scheme_signs(scheme, SCHEME_TIMESTAMP)) {
		problems_warn(
			problems, place,
			"the timestamp is not signed, so its age says nothing and is not looked at");
	}
}

static void
hmac_scheme(struct config *config, struct source *source)
{
	struct problems *problems = &config->problems;
	const struct source_settings *settings = source->settings;
	const struct signature_settings *signature = &settings->signature;
	const struct timestamp_settings *timestamp = &settings->timestamp;
	struct scheme *scheme = &source->scheme;
	const struct node *node = settings->entry.node;
	if (signature->entry.node == NULL) {
		problems_add(problems, node_key_place(node, "provider"),
		             "provider: hmac needs the key \"signature\"");
		return;
	}
	if (settings->event_id.entry.node == NULL) {
		problems_add(
			problems, node_key_place(node, "provider"),
			"provider: hmac needs the key \"event_id\": a header, a JSON pointer, parts, or the word generated "
			"(then repeats cannot be recognised)");
	}
	scheme->signature_header = signature->header;
	scheme->algorithm = (enum scheme_algorithm)signature->algorithm;
	scheme->encoding = (enum scheme_encoding)signature->encoding;
	scheme->key = (enum scheme_key)signature->key;
	scheme->prefix = signature->prefix;
	scheme->timestamp_prefix = signature->timestamp_prefix;
	scheme->signed_text = signature->signed_text;
	scheme->unit = (enum scheme_unit)timestamp->unit;
	scheme->tolerance_ns = DEFAULT_TOLERANCE_NS;
	if (signature->separator != NULL) {
		if (strlen(signature->separator) != 1) {
			problems_add(problems, value_place(signature->entry.node, "separator"),
			             "separator: one character");
		}
		scheme->separator = signature->separator[0];
	}
	if (signature->timestamp_prefix != NULL) {
		scheme->timestamp.from = SCHEME_FROM_SIGNATURE;
		if (scheme->separator == '\0') {
			problems_add(problems,
			             value_place(signature->entry.node, "timestamp_prefix"),
			             "timestamp_prefix: needs a separator");
		}
		if (timestamp->header != NULL || timestamp->json != NULL) {
			problems_add(
				problems, node_key_place(node, "timestamp"),
				"timestamp: only a unit may stand beside signature.timestamp_prefix");
		}
	} else if (timestamp->entry.node != NULL) {
		if ((timestamp->header == NULL) == (timestamp->json == NULL)) {
			problems_add(problems, timestamp->entry.node->place,
			             "timestamp: exactly one of header and json is needed");
		}
		check_pointer(config, timestamp->entry.node, "json", timestamp->json);
		scheme->timestamp.from =
			timestamp->header != NULL ? SCHEME_FROM_HEADER : SCHEME_FROM_JSON;
		scheme->timestamp.name =
			timestamp->header != NULL ? timestamp->header : timestamp->json;
	}
	value_scheme(config, &settings->event_id, "event_id", &scheme->id);
	value_scheme(config, &settings->event_type, "event_type", &scheme->type);
	if (scheme->type.from == SCHEME_GENERATED) {
		problems_add(problems, settings->event_type.entry.node->place,
		             "event_type: a type cannot be generated");
	}
	if (scheme->signed_text != NULL) {
		check_template(config, source);
	}
}

static void
check_preset_keys(struct config *config, const struct source *source)
{
	static const char *const own[] = { "signature", "timestamp", "event_id", "event_type" };
	for (size_t i = 0; i < COUNT(own); i++) {
		const struct node *child = node_child(source->settings->entry.node, own[i]);
		if (child != NULL) {
			problems_add(&config->problems, child->key_place,
			             "%s: belongs to provider: hmac; %s brings its own", own[i],
			             source->preset->name);
		}
	}
}

static void
choose_scheme(struct config *config, struct source *source)
{
	const struct source_settings *settings = source->settings;
	if (settings->provider == NULL) {
		return;
	}
	if (strcmp(settings->provider, "hmac") == 0) {
		hmac_scheme(config, source);
	} else {
		source->preset = preset_find(settings->provider);
		if (source->preset == NULL) {
			const char *names[64] = { "hmac" };
			for (size_t i = 0; presets[i].name != NULL && i + 2 < COUNT(names); i++) {
				names[i + 1] = presets[i].name;
			}
			const char *nearest = problems_nearest(span_of(settings->provider), names);
			problems_add(&config->problems,
			             value_place(settings->entry.node, "provider"),
			             "provider: there is no preset \"%.80s\"%s%s%s",
			             settings->provider,
			             nearest == NULL ? "; `hooklatch providers` lists them"
			                             : "; did you mean \"",
			             nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
			return;
		}
		source->scheme = source->preset->scheme;
		check_preset_keys(config, source);
	}
	if (settings->tolerance_ns != 0) {
		source->scheme.tolerance_ns = settings->tolerance_ns;
		if (source->scheme.timestamp.from == SCHEME_NOWHERE) {
			problems_add(&config->problems,
			             node_key_place(settings->entry.node, "tolerance"),
			             "tolerance: this scheme has no signed time");
		}
	}
	if (source->scheme.signed_text != NULL && scheme_signs(&source->scheme, SCHEME_URL) &&
	    settings->public_url == NULL) {
		problems_add(&config->problems, settings->entry.node->key_place,
		             "the scheme signs the URL: the key \"public_url\" is needed");
	}
}

static void
check_secret(struct config *config, struct source *source, const struct secret_settings *settings,
             enum config_purpose purpose)
{
	struct problems *problems = &config->problems;
	const struct node *node = settings->entry.node;
	int64_t until_ns = 0;
	int ways =
		(settings->env != NULL) + (settings->file != NULL) + (settings->credential != NULL);
	if (ways != 1) {
		problems_add(problems, node->place,
		             "secrets: exactly one of env, file and credential is needed");
		return;
	}
	if (settings->until != NULL && !clock_parse(span_of(settings->until), &until_ns)) {
		problems_add(problems, value_place(node, "until"),
		             "until: expected an RFC 3339 date or date-time");
		return;
	}
	if (purpose == CONFIG_TO_READ) {
		return;
	}
	struct buffer text;
	struct error err;
	buffer_init(&text, SECRET_MOST_BYTES + 1);
	if (!secret_read(config, settings, &text, &err) ||
	    !secrets_add(&source->secrets, source->scheme.key, buffer_view(&text), until_ns,
	                 &err)) {
		problems_add(problems, node->first == NULL ? node->place : node->first->place,
		             "secrets: %s", err.text);
	}
	memory_wipe(text.data, text.size);
	buffer_finish(&text);
}

bool
config_read_secrets(struct config *config, struct source *source, struct error *err)
{
	const struct secret_settings *settings = source->settings->secrets.items;
	for (size_t i = 0; i < source->settings->secrets.count; i++) {
		int64_t until_ns = 0;
		if (settings[i].until != NULL &&
		    !clock_parse(span_of(settings[i].until), &until_ns)) {
			until_ns = 0;
		}
		struct buffer text;
		buffer_init(&text, SECRET_MOST_BYTES + 1);
		bool good = secret_read(config, &settings[i], &text, err) &&
		            secrets_add(&source->secrets, source->scheme.key, buffer_view(&text),
		                        until_ns, err);
		memory_wipe(text.data, text.size);
		buffer_finish(&text);
		if (!good) {
			return error_prefix(err, "source %s", source->name);
		}
	}
	return true;
}

static void
check_path(struct config *config, const struct source *source, size_t index)
{
	const char *path = source->settings->path;
	const struct node *node = source->settings->entry.node;
	if (path == NULL) {
		return;
	}
	if (path[0] != '/' || strpbrk(path, "?# ") != NULL || strlen(path) > 1024) {
		problems_add(&config->problems, value_place(node, "path"),
		             "path: begins with \"/\" and has no space, \"?\" or \"#\"");
	}
	for (size_t i = 0; i < index; i++) {
		const char *other = config->sources[i].settings->path;
		if (other != NULL && strcmp(other, path) == 0) {
			problems_add(&config->problems, value_place(node, "path"),
			             "path: the source %s has it already", config->sources[i].name);
		}
	}
}

static void
check_allow(struct config *config, struct source *source)
{
	const char *const *texts = source->settings->allow.items;
	source->allow_count = source->settings->allow.count;
	source->allow =
		arena_take(&config->arena, (source->allow_count + 1) * sizeof(*source->allow));
	for (size_t i = 0; i < source->allow_count; i++) {
		if (!network_parse(span_of(texts[i]), &source->allow[i])) {
			problems_add(&config->problems,
			             value_place(source->settings->entry.node, "allow"),
			             "allow: \"%s\" is no network such as 192.0.2.0/24", texts[i]);
		}
	}
}

static void
check_source(struct config *config, size_t index, enum config_purpose purpose)
{
	struct source *source = &config->sources[index];
	const struct source_settings *settings = source->settings;
	const struct node *node = settings->entry.node;
	if (strcmp(source->name, "hooklatch") == 0) {
		problems_add(&config->problems, node->key_place,
		             "the name hooklatch is kept for our own events");
	}
	choose_scheme(config, source);
	check_path(config, source, index);
	check_allow(config, source);
	int64_t limit = settings->body_limit != 0 ? settings->body_limit
	                : source->preset != NULL && source->preset->body_limit != 0
	                        ? source->preset->body_limit
	                        : config->settings.limits.body;
	source->body_limit = (size_t)limit;
	if (limit > config->settings.limits.memory) {
		problems_add(&config->problems,
		             node_key_place(node,
		                            settings->body_limit != 0 ? "body_limit" : "provider"),
		             "a body of %lld bytes does not fit limits.memory", (long long)limit);
	}
	source->patience_ns =
		source->preset != NULL && source->preset->answer_ns > PATIENCE_MARGIN_NS
			? source->preset->answer_ns - PATIENCE_MARGIN_NS
			: 5 * NS_PER_S;
	if (settings->secrets.count == 0 && node_child(node, "secrets") != NULL) {
		problems_add(
			&config->problems, node_key_place(node, "secrets"),
			"secrets: at least one is needed; there is no way to switch verification off");
	}
	if (settings->secrets.count > SECRETS_MOST) {
		problems_add(&config->problems, node_key_place(node, "secrets"),
		             "secrets: more than %d", SECRETS_MOST);
		return;
	}
	const struct secret_settings *secrets = settings->secrets.items;
	size_t errors = config->problems.errors;
	for (size_t i = 0; i < settings->secrets.count; i++) {
		check_secret(config, source, &secrets[i], purpose);
	}
	int64_t now = clock_wall_ns();
	bool live = false;
	for (size_t i = 0; i < source->secrets.count; i++) {
		live = live || secret_live(&source->secrets.items[i], now);
	}
	if (purpose != CONFIG_TO_READ && config->problems.errors == errors &&
	    settings->secrets.count > 0 && !live) {
		problems_warn(
			&config->problems, node_key_place(node, "secrets"),
			"secrets: all are past their `until`; every event of %s will be refused",
			source->name);
	}
}

static void
check_retention(struct config *config)
{
	struct retention_settings *retention = &config->settings.retention;
	const struct node *node = node_child(config->root, "retention");
	bool plain = node != NULL && node->kind == NODE_SCALAR;
	if (plain ||
	    (node_child(node, "bodies") == NULL && retention->bodies_ns > retention->dedup_ns)) {
		retention->bodies_ns = retention->dedup_ns;
	}
	if (retention->bodies_ns > retention->dedup_ns) {
		problems_add(&config->problems, value_place(node, "bodies"),
		             "bodies: longer than dedup; a body goes with its event at the latest");
	}
	for (size_t i = 0; i < config->source_count; i++) {
		const struct preset *preset = config->sources[i].preset;
		char text[32];
		if (preset == NULL || preset->retry_window_ns <= retention->dedup_ns) {
			continue;
		}
		units_duration_text(preset->retry_window_ns, text);
		struct place place = { 0 };
		if (node != NULL) {
			place = value_place(plain ? config->root : node,
			                    plain ? "retention" : "dedup");
		}
		problems_add(
			&config->problems, place,
			"retention: dedup is shorter than %s repeats its events (%s): a repeat would be "
			"processed again",
			preset->name, text);
	}
}

/* On a unix socket every peer is the same: only a proxy's word tells addresses apart. */
static void
check_allow_on_unix(struct config *config)
{
	bool any = false;
	for (size_t i = 0; i < config->source_count; i++) {
		any = any || config->sources[i].allow_count > 0;
	}
	const struct listen_settings *listen = config->settings.listen.items;
	for (size_t i = 0; any && i < config->settings.listen.count; i++) {
		if (listen[i].http != NULL && strncmp(listen[i].http, "unix:", 5) == 0 &&
		    listen[i].trusted_proxies.count == 0) {
			problems_add(
				&config->problems, value_place(listen[i].entry.node, "http"),
				"http: a source has `allow`, and a unix socket knows no addresses without trusted_proxies");
		}
	}
}

void
config_check(struct config *config, enum config_purpose purpose)
{
	struct settings *settings = &config->settings;
	config->problems.reading = purpose == CONFIG_TO_READ;
	check_service(config, purpose);
	config->source_count = settings->sources.count;
	config->sources =
		arena_take(&config->arena, (config->source_count + 1) * sizeof(*config->sources));
	struct source_settings *sources = settings->sources.items;
	for (size_t i = 0; i < config->source_count; i++) {
		config->sources[i].name = sources[i].entry.name;
		config->sources[i].settings = &sources[i];
	}
	for (size_t i = 0; i < config->source_count; i++) {
		check_source(config, i, purpose);
	}
	check_retention(config);
	check_allow_on_unix(config);
	config->handler_count = settings->handlers.count;
	if (config->handler_count > CONFIG_HANDLERS_MOST) {
		problems_add(&config->problems, node_key_place(config->root, "handlers"),
		             "handlers: more than %d", CONFIG_HANDLERS_MOST);
		config->handler_count = CONFIG_HANDLERS_MOST;
	}
	config->handlers =
		arena_take(&config->arena, (config->handler_count + 1) * sizeof(*config->handlers));
	struct handler_settings *handlers = settings->handlers.items;
	for (size_t i = 0; i < config->handler_count; i++) {
		config->handlers[i].name = handlers[i].entry.name;
		config->handlers[i].settings = &handlers[i];
		choose_kind(config, &config->handlers[i], &handlers[i]);
	}
	const char **setups = memory_need((config->handler_count + 1) * sizeof(*setups));
	size_t count = 0;
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		const char *setup = handler->kind == NULL || handler->kind->setup == NULL
		                            ? NULL
		                            : handler->kind->setup(handler->kind_settings);
		if (setup != NULL) {
			setups[count++] = setup;
		}
	}
	for (size_t i = 0; i < config->handler_count; i++) {
		check_handler(config, &config->handlers[i], setups, purpose);
	}
	free(setups);
}
