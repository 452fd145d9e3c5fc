/* What no single row can say: keys that belong together, names that must exist, secrets that must be readable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/units.h"
#include "receiver/config/config_priv.h"

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

/* SQLite follows symbolic links, and names what lies beside the database after it: so must we. Of a file that is not there yet
 * it is its directory's. The caller frees it. */
static char *
real_path(const char *path)
{
	char *whole = realpath(path, NULL);
	if (whole != NULL) {
		return whole;
	}
	char *copy = memory_text(path);
	char *slash = strrchr(copy, '/');
	char *result = NULL;
	if (slash != NULL) {
		*slash = '\0';
		char *directory = realpath(slash == copy ? "/" : copy, NULL);
		if (directory != NULL) {
			struct buffer joined;
			buffer_init(&joined, 65536);
			buffer_format(&joined, "%s%s%s", directory,
			              strcmp(directory, "/") == 0 ? "" : "/", slash + 1);
			result = buffer_steal(&joined);
			free(directory);
		}
	}
	free(copy);
	return result == NULL ? memory_text(path) : result;
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
		char *path_as_written = config_path(config, settings->store + 7);
		config->store_path = real_path(path_as_written);
		free(path_as_written);
		struct buffer scratch;
		buffer_init(&scratch, 65536);
		buffer_format(&scratch, "%s.tries", config->store_path);
		config->scratch_path = buffer_steal(&scratch);
		buffer_init(&scratch, 65536);
		buffer_format(&scratch, "%s.keys", config->store_path);
		config->keys_path = buffer_steal(&scratch);
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
