/* What holds without being written: added to the tree of the file, so that `config show` prints it beside the rest. */
#include <stdio.h>
#include <string.h>

#include "receiver/base/units.h"
#include "receiver/config/config.h"

struct adder {
	struct arena *arena;
	const char *origin;
};

static struct node *
add(struct adder *adder, struct node *parent, enum node_kind kind, const char *key)
{
	struct node *node = arena_take(adder->arena, sizeof(*node));
	node->kind = kind;
	node->origin = adder->origin;
	node->key = span_of(key);
	struct node **tail = &parent->first;
	while (*tail != NULL) {
		tail = &(*tail)->next;
	}
	*tail = node;
	return node;
}

static void
add_text(struct adder *adder, struct node *parent, const char *key, const char *text)
{
	if (text != NULL) {
		struct node *node = add(adder, parent, NODE_SCALAR, key);
		node->text = (struct span){ arena_text(adder->arena, span_of(text)), strlen(text) };
	}
}

static void
add_value(struct adder *adder, struct node *parent, const char *key,
          const struct scheme_value *value)
{
	static const char *const keys[] = { [SCHEME_FROM_HEADER] = "header",
		                            [SCHEME_FROM_JSON] = "json",
		                            [SCHEME_FROM_FORM] = "form",
		                            [SCHEME_CONSTANT] = "value",
		                            [SCHEME_GENERATED] = NULL };
	if (value->from == SCHEME_NOWHERE || value->from == SCHEME_FROM_SIGNATURE ||
	    node_child(parent, key) != NULL) {
		return;
	}
	struct node *map = add(adder, parent, NODE_MAP, key);
	if (value->from == SCHEME_FROM_PARTS) {
		struct node *parts = add(adder, map, NODE_LIST, "parts");
		for (size_t i = 0; i < value->part_count; i++) {
			add_text(adder, parts, "", value->parts[i]);
		}
	} else if (value->from != SCHEME_GENERATED) {
		add_text(adder, map, keys[value->from], value->name);
	}
}

/* Names of the words in rows_source.c, by the scheme's own enums; NULL: what cannot be written there. */
static const char *
algorithm_word(enum scheme_algorithm algorithm)
{
	switch (algorithm) {
	case SCHEME_SHA256: return "sha256";
	case SCHEME_SHA1: return "sha1";
	case SCHEME_ED25519: return "ed25519";
	case SCHEME_ECDSA_P256_SHA256: return "ecdsa-p256-sha256";
	case SCHEME_RSA_SHA256:
	case SCHEME_TOKEN:
	case SCHEME_ITEMS:
	case SCHEME_SNS:
	case SCHEME_JWT: break;
	}
	return NULL;
}

static const char *
key_word(enum scheme_key key)
{
	switch (key) {
	case SCHEME_KEY_RAW: return "raw";
	case SCHEME_KEY_BASE64_AFTER_WHSEC: return "base64_after_whsec";
	case SCHEME_KEY_HEX: return "hex";
	case SCHEME_KEY_BASIC: break;
	}
	return NULL;
}

static void
add_signature(struct adder *adder, struct node *source, const struct scheme *scheme)
{
	static const char *const encodings[] = { "hex", "base64" };
	char separator[2] = { scheme->separator, '\0' };
	struct node *signature = add(adder, source, NODE_MAP, "signature");
	add_text(adder, signature, "header", scheme->signature_header);
	add_text(adder, signature, "from", scheme->signature_json == NULL ? "header" : "json");
	add_text(adder, signature, "pointer", scheme->signature_json);
	add_text(adder, signature, "algorithm", algorithm_word(scheme->algorithm));
	add_text(adder, signature, "encoding", encodings[scheme->encoding]);
	add_text(adder, signature, "key", key_word(scheme->key));
	add_text(adder, signature, "prefix", scheme->prefix);
	add_text(adder, signature, "separator", scheme->separator == '\0' ? NULL : separator);
	add_text(adder, signature, "timestamp_prefix", scheme->timestamp_prefix);
	add_text(adder, signature, "signed", scheme->signed_text);
}

static void
add_scheme(struct adder *adder, struct node *source, const struct scheme *scheme)
{
	static const char *const units[] = { "seconds", "milliseconds", "rfc3339" };
	if (algorithm_word(scheme->algorithm) != NULL) {
		add_signature(adder, source, scheme);
	} else if (scheme->algorithm == SCHEME_TOKEN && node_child(source, "token") == NULL) {
		struct node *token = add(adder, source, NODE_MAP, "token");
		add_text(adder, token, "header", scheme->signature_header);
		add_text(adder, token, "prefix", scheme->prefix);
	}
	if (scheme->timestamp.from != SCHEME_NOWHERE) {
		struct node *timestamp = add(adder, source, NODE_MAP, "timestamp");
		if (scheme->timestamp.from != SCHEME_FROM_SIGNATURE) {
			add_text(adder, timestamp,
			         scheme->timestamp.from == SCHEME_FROM_HEADER ? "header" : "json",
			         scheme->timestamp.name);
		} else {
			add_text(adder, timestamp, "from", "signature");
		}
		add_text(adder, timestamp, "unit", units[scheme->unit]);
	}
	if (scheme->events.array != NULL) {
		struct node *events = add(adder, source, NODE_MAP, "events");
		add_text(adder, events, "array", scheme->events.array);
		add_value(adder, events, "id", &scheme->events.id);
		add_value(adder, events, "type", &scheme->events.type);
	} else {
		add_value(adder, source, "event_id", &scheme->id);
		add_value(adder, source, "event_type", &scheme->type);
	}
}

static void
add_preset(struct adder *adder, struct node *node, const struct source *source)
{
	const struct preset *preset = source->preset;
	char status[16];
	add_scheme(adder, node, &source->scheme);
	add_text(adder, node, "challenge", preset->challenge);
	if (preset->ack.body != NULL && node_child(node, "ack") == NULL) {
		struct node *ack = add(adder, node, NODE_MAP, "ack");
		(void)snprintf(status, sizeof(status), "%d",
		               preset->ack.status == 0 ? 200 : preset->ack.status);
		add_text(adder, ack, "status", status);
		add_text(adder, ack, "body", preset->ack.body);
		add_text(adder, ack, "content_type", preset->ack.content_type);
	}
}

static void
add_to_source(struct config *config, const struct source *source, struct node *node)
{
	char preset[128] = "default";
	char text[32];
	if (source->preset != NULL) {
		(void)snprintf(preset, sizeof(preset), "preset %s", source->preset->name);
	}
	const char *origin = arena_text(&config->arena, span_of(preset));
	struct adder adder = { &config->arena, origin };
	if (source->preset != NULL) {
		add_preset(&adder, node, source);
	}
	if (source->scheme.tolerance_ns != 0 && scheme_time_signed(&source->scheme) &&
	    source->settings->tolerance_ns == 0) {
		units_duration_text(source->scheme.tolerance_ns, text);
		add_text(&adder, node, "tolerance", text);
	}
	if (source->settings->body_limit == 0) {
		bool own = source->preset != NULL && source->preset->body_limit != 0;
		adder.origin = own ? origin : "limits.body";
		units_size_text((int64_t)source->body_limit, text);
		add_text(&adder, node, "body_limit", text);
	}
}

/* What the kind of a handler brings instead of the common defaults. */
static void
add_to_handler(struct config *config, const struct handler *handler)
{
	static const char *const guarantees[] = { "at-least-once", "at-most-once",
		                                  "effectively-once" };
	struct node *node = (struct node *)(uintptr_t)handler->settings->entry.node;
	struct adder adder = { &config->arena, handler->kind->name };
	if (node_child(node, "guarantee") == NULL && handler->kind->guarantee != 0) {
		add_text(&adder, node, "guarantee", guarantees[handler->guarantee]);
	}
	if (node_child(node, "timeout") == NULL && handler->kind->timeout != NULL) {
		add_text(&adder, node, "timeout", handler->kind->timeout);
	}
}

void
config_make_effective(struct config *config)
{
	struct adder adder = { &config->arena, "default" };
	struct node *root =
		(struct node *)(uintptr_t)config->root; /* the tree is this config's own */
	if (node_child(root, "listen") == NULL) {
		const struct listen_settings *listen = config->settings.listen.items;
		struct node *entry =
			add(&adder, add(&adder, root, NODE_LIST, "listen"), NODE_MAP, "");
		add_text(&adder, entry, "https", listen->https);
		add_text(&adder, entry, "certificate", listen->certificate);
		add_text(&adder, entry, "key", listen->key);
	}
	if (node_child(root, "admin") == NULL) {
		struct node *entry =
			add(&adder, add(&adder, root, NODE_LIST, "admin"), NODE_MAP, "");
		add_text(&adder, entry, "unix", CONFIG_ADMIN_UNIX);
	}
	for (size_t i = 0; i < config->handler_count; i++) {
		add_to_handler(config, &config->handlers[i]);
	}
	for (size_t i = 0; i < config->source_count; i++) {
		const struct node *node = config->sources[i].settings->entry.node;
		add_to_source(config, &config->sources[i], (struct node *)(uintptr_t)node);
	}
}
