/* What no single row can say about a source: its scheme, the keys that the scheme needs, its path. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/config/config_priv.h"
#include "receiver/verify/json_pointer.h"
#include "receiver/verify/template.h"

#define DEFAULT_TOLERANCE_NS (5 * 60 * NS_PER_S)
#define PATIENCE_MARGIN_NS   NS_PER_S

void
check_pointer(struct config *config, const struct node *node, const char *key, const char *pointer)
{
	if (pointer != NULL && !json_pointer_valid(span_of(pointer))) {
		problems_add(&config->problems, node_key_place(node, key),
		             "%s: a JSON pointer is empty or begins with \"/\" (RFC 6901)", key);
	}
}

static void
value_scheme(struct config *config, const struct value_settings *value, const char *key,
             struct scheme_value *ret)
{
	struct problems *problems = &config->problems;
	const struct node *node = value->entry.node;
	int ways = (value->header != NULL) + (value->json != NULL) + (value->parts.count > 0) +
	           (value->form != NULL) + (value->value != NULL) + (value->generated != 0);
	if (node == NULL) {
		return;
	}
	if (ways != 1) {
		problems_add(
			problems, node->place,
			"%s: exactly one of header, json, form, parts, value and generated is needed",
			key);
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
	ret->name = value->header != NULL ? value->header
	            : value->json != NULL ? value->json
	            : value->form != NULL ? value->form
	                                  : value->value;
	ret->from = value->header != NULL    ? SCHEME_FROM_HEADER
	            : value->json != NULL    ? SCHEME_FROM_JSON
	            : value->form != NULL    ? SCHEME_FROM_FORM
	            : value->value != NULL   ? SCHEME_CONSTANT
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
			"signed: \"%.*s\" is none of {timestamp} {body} {id} {method} {path} {query} {url} "
			"{sorted_form_params} {json:/pointer} {header:Name} {signed_headers:Name}",
			SPAN_ARG(wrong));
		return;
	}
	if (!scheme_body_signed(scheme) && scheme->signature_json == NULL) {
		problems_add(problems, place,
		             "signed: without {body} anybody could alter the body");
	} else if (!scheme_body_signed(scheme)) {
		problems_warn(
			problems, place,
			"signed: the body is not signed: whoever saw one request can send another body with it");
	}
	if (scheme_signs(scheme, SCHEME_SIGNED_HEADERS) &&
	    scheme->timestamp.from != SCHEME_FROM_HEADER) {
		problems_add(
			problems, place,
			"signed: {signed_headers:Name} needs `timestamp: { header: … }`, which the list must hold");
	}
	if (scheme_signs(scheme, SCHEME_WEBHOOK_ID) || scheme_signs(scheme, SCHEME_CRC32)) {
		problems_add(problems, place,
		             "signed: {webhook_id} and {crc32} belong to a preset");
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
	if (from_head && !scheme_time_signed(scheme)) {
		problems_warn(
			problems, place,
			"the timestamp is not signed, so its age says nothing and is not looked at");
	}
}

static void
hmac_signature_place(struct config *config, const struct signature_settings *signature,
                     struct scheme *scheme)
{
	struct problems *problems = &config->problems;
	const struct node *node = signature->entry.node;
	if (signature->from == 0) {
		scheme->signature_header = signature->header;
		if (signature->header == NULL) {
			problems_add(problems, node->key_place,
			             "signature: the key \"header\" is needed");
		} else if (signature->header[0] == '*' || signature->header[0] == '\0') {
			problems_add(problems, value_place(node, "header"),
			             "header: the name of a header; \"*\" may stand at its end");
		}
		if (signature->pointer != NULL) {
			problems_add(problems, node_key_place(node, "pointer"),
			             "pointer: belongs to `from: json`");
		}
		return;
	}
	scheme->signature_json = signature->pointer;
	if (signature->header != NULL) {
		problems_add(problems, node_key_place(node, "header"),
		             "header: the signature is taken from the body (`from: json`)");
	}
	if (signature->pointer == NULL) {
		problems_add(problems, node->key_place,
		             "signature: `from: json` needs the key \"pointer\"");
	} else {
		check_pointer(config, node, "pointer", signature->pointer);
	}
}

static bool
in_element(const struct scheme_value *value)
{
	bool pointers = value->from == SCHEME_FROM_PARTS;
	for (size_t i = 0; pointers && i < value->part_count; i++) {
		pointers = value->parts[i][0] == '/';
	}
	return pointers || value->from == SCHEME_FROM_JSON;
}

static void
hmac_events(struct config *config, const struct source_settings *settings, struct scheme *scheme)
{
	const struct events_settings *events = &settings->events;
	if (events->entry.node == NULL) {
		return;
	}
	check_pointer(config, events->entry.node, "array", events->array);
	scheme->events.array = events->array;
	value_scheme(config, &events->id, "id", &scheme->events.id);
	value_scheme(config, &events->type, "type", &scheme->events.type);
	if (events->id.entry.node != NULL && !in_element(&scheme->events.id)) {
		problems_add(
			&config->problems, events->id.entry.node->place,
			"id: a JSON pointer or parts of them, in the element: all events of a request share its headers");
	}
	if (settings->event_id.entry.node != NULL) {
		problems_add(&config->problems, settings->event_id.entry.node->key_place,
		             "event_id: the ids of `events` are in their elements: events.id");
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
	if (settings->event_id.entry.node == NULL && settings->events.entry.node == NULL) {
		problems_add(
			problems, node_key_place(node, "provider"),
			"provider: hmac needs the key \"event_id\": a header, a JSON pointer, parts, a form's parameter, or the word generated "
			"(then repeats cannot be recognised)");
	}
	hmac_signature_place(config, signature, scheme);
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
	if (timestamp->from != 0 && signature->timestamp_prefix == NULL) {
		problems_add(problems, value_place(timestamp->entry.node, "from"),
		             "timestamp: `from: signature` needs signature.timestamp_prefix");
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
				"timestamp: only from and unit may stand beside signature.timestamp_prefix");
		}
	} else if (timestamp->entry.node != NULL && timestamp->from == 0) {
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
	hmac_events(config, settings, scheme);
	if (settings->events.entry.node == NULL) {
		value_scheme(config, &settings->event_id, "event_id", &scheme->id);
	}
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
hmac_challenge(struct config *config, struct source *source)
{
	const char *wanted = source->settings->challenge;
	if (wanted == NULL) {
		return;
	}
	source->challenge = challenge_find(wanted);
	if (source->challenge == NULL) {
		const char *names[32];
		size_t count = 0;
		for (const struct challenge *row = challenges; row->name != NULL; row++) {
			names[count++] = row->name;
		}
		names[count] = NULL;
		const char *nearest = problems_nearest(span_of(wanted), names);
		problems_add(&config->problems,
		             value_place(source->settings->entry.node, "challenge"),
		             "challenge: there is no endpoint check \"%.40s\"%s%s%s", wanted,
		             nearest == NULL ? "" : "; did you mean \"",
		             nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
		return;
	}
	const struct challenge *challenge = source->challenge;
	const struct place place = value_place(source->settings->entry.node, "challenge");
	if (challenge->proof == CHALLENGE_TOKEN || challenge->visit != NULL) {
		problems_add(&config->problems, place, "challenge: %s belongs to a preset", wanted);
	} else if (challenge_hashes(challenge) && !scheme_has_secrets(&source->scheme)) {
		problems_add(&config->problems, place,
		             "challenge: %s answers with an HMAC, and this scheme has no secrets",
		             wanted);
	}
}

/* Keys that say what a preset says by itself. */
static void
check_preset_keys(struct config *config, struct source *source)
{
	static const char *const own[] = { "signature", "timestamp", "event_type", "events",
		                           "challenge" };
	const struct source_settings *settings = source->settings;
	const struct preset *preset = source->preset;
	const struct node *node = settings->entry.node;
	for (size_t i = 0; i < COUNT(own); i++) {
		const struct node *child = node_child(node, own[i]);
		if (child != NULL) {
			problems_add(&config->problems, child->key_place,
			             "%s: belongs to provider: hmac; %s brings its own", own[i],
			             preset->name);
		}
	}
	const struct node *id = node_child(node, "event_id");
	if (preset->scheme.id.from != SCHEME_GENERATED && id != NULL) {
		problems_add(&config->problems, id->key_place,
		             "event_id: belongs to provider: hmac; %s brings its own",
		             preset->name);
	} else if (preset->scheme.id.from == SCHEME_GENERATED && id == NULL) {
		problems_add(
			&config->problems, node_key_place(node, "provider"),
			"provider: %s sends no event id: write `event_id: generated` (then repeats cannot be recognised), or "
			"where an id of your own is",
			preset->name);
	} else if (id != NULL) {
		source->scheme.id = (struct scheme_value){ .from = SCHEME_NOWHERE };
		value_scheme(config, &settings->event_id, "event_id", &source->scheme.id);
	}
}

/* Keys that only some presets have: needed there, and out of place elsewhere. */
static void
check_needs(struct config *config, const struct source *source)
{
	struct problems *problems = &config->problems;
	const struct source_settings *settings = source->settings;
	const struct node *node = settings->entry.node;
	unsigned needs = source->preset == NULL ? 0 : source->preset->needs;
	bool pinned = settings->jwks.entry.node != NULL;
	bool meta = source->challenge != NULL && source->challenge->proof == CHALLENGE_VERIFY_TOKEN;
	const struct {
		const char *key;
		bool wanted;
		bool possible;
	} keys[] = {
		{ "public_url", scheme_signs(&source->scheme, SCHEME_URL), true },
		{ "verify_token", meta, meta },
		{ "webhook_id", (needs & PRESET_NEEDS_WEBHOOK_ID) != 0,
		  (needs & PRESET_NEEDS_WEBHOOK_ID) != 0 },
		{ "topic_arns", (needs & PRESET_NEEDS_TOPICS) != 0,
		  (needs & PRESET_NEEDS_TOPICS) != 0 },
		{ "client_id", (needs & PRESET_NEEDS_CLIENT) != 0 && !pinned,
		  (needs & PRESET_NEEDS_CLIENT) != 0 },
		{ "secret", (needs & PRESET_NEEDS_CLIENT) != 0 && !pinned,
		  (needs & PRESET_NEEDS_CLIENT) != 0 },
		{ "environment", false, (needs & PRESET_NEEDS_CLIENT) != 0 },
		{ "jwks", false, source->scheme.algorithm == SCHEME_JWT },
		{ "certificates", false,
		  source->scheme.certificate_header != NULL ||
		          source->scheme.certificate_json != NULL },
		{ "token", false, (needs & PRESET_TOKEN_NAME) != 0 },
		{ "secrets", scheme_has_secrets(&source->scheme),
		  scheme_has_secrets(&source->scheme) },
		{ "public_keys",
		  source->scheme.algorithm == SCHEME_ED25519 ||
		          source->scheme.algorithm == SCHEME_ECDSA_P256_SHA256,
		  source->scheme.algorithm == SCHEME_ED25519 ||
		          source->scheme.algorithm == SCHEME_ECDSA_P256_SHA256 },
	};
	for (size_t i = 0; i < COUNT(keys); i++) {
		const struct node *child = node_child(node, keys[i].key);
		if (child == NULL && keys[i].wanted) {
			problems_add(
				problems, node_key_place(node, "provider"),
				"provider: %s needs the key \"%s\"%s", settings->provider,
				keys[i].key,
				strcmp(keys[i].key, "public_url") == 0
					? ": the scheme signs the URL, as it is written at the provider"
					: "");
		} else if (child != NULL && !keys[i].possible) {
			problems_add(problems, child->key_place, "%s: %s has no use for it",
			             keys[i].key, settings->provider);
		}
	}
}

/* What `init` wrote for somebody to fill in, and what cannot be right. */
static void
check_filled_in(struct config *config, const struct source *source)
{
	struct problems *problems = &config->problems;
	const struct source_settings *settings = source->settings;
	const struct node *node = settings->entry.node;
	const char *url = settings->public_url;
	const struct {
		const char *key;
		const char *value;
		const char *placeholder;
	} texts[] = { { "webhook_id", settings->webhook_id, "WEBHOOK_ID" },
		      { "client_id", settings->client_id, "CLIENT_ID" } };
	for (size_t i = 0; i < COUNT(texts); i++) {
		if (texts[i].value != NULL && (texts[i].value[0] == '\0' ||
		                               strcmp(texts[i].value, texts[i].placeholder) == 0)) {
			problems_add(problems, value_place(node, texts[i].key),
			             "%s: write the one that the provider shows", texts[i].key);
		}
	}
	const char *const *topics = settings->topic_arns.items;
	for (size_t i = 0; i < settings->topic_arns.count; i++) {
		if (strncmp(topics[i], "arn:", 4) != 0 || strcmp(topics[i], BLOCK_TOPIC) == 0) {
			problems_add(problems, node_key_place(node, "topic_arns"),
			             "topic_arns: write the ARNs of your topics; \"%s\" is none",
			             topics[i]);
		}
	}
	if (url != NULL && strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) {
		problems_add(
			problems, value_place(node, "public_url"),
			"public_url: the whole address as it is entered at the provider, with https://");
	} else if (url != NULL && strncmp(url, BLOCK_URL, strlen(BLOCK_URL)) == 0 &&
	           scheme_signs(&source->scheme, SCHEME_URL)) {
		problems_warn(
			problems, value_place(node, "public_url"),
			"public_url: still the example; write the address as it is entered at the provider");
	}
}

static void
check_token_place(struct config *config, struct source *source)
{
	const struct token_place_settings *token = &source->settings->token;
	if (token->entry.node == NULL) {
		return;
	}
	if ((token->header != NULL) == (token->query != NULL)) {
		problems_add(&config->problems, token->entry.node->place,
		             "token: exactly one of header and query is needed");
		return;
	}
	source->scheme.prefix = token->prefix;
	source->scheme.token_query = token->query;
	if (token->header != NULL) {
		source->scheme.signature_header = token->header;
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
		hmac_challenge(config, source);
	} else {
		source->preset = preset_find(settings->provider);
		if (source->preset == NULL) {
			const char *names[128] = { "hmac" };
			for (size_t i = 0; presets[i].name != NULL && i + 2 < COUNT(names); i++) {
				names[i + 1] = presets[i].name;
			}
			for (const struct preset_refused *row = presets_refused; row->name != NULL;
			     row++) {
				if (strcmp(row->name, settings->provider) == 0) {
					problems_add(&config->problems,
					             value_place(settings->entry.node, "provider"),
					             "provider: %s", row->reason);
					return;
				}
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
		if (source->preset->challenge != NULL) {
			source->challenge = challenge_find(source->preset->challenge);
		}
		check_preset_keys(config, source);
		check_token_place(config, source);
	}
	if (settings->tolerance_ns != 0) {
		source->scheme.tolerance_ns = settings->tolerance_ns;
		if (source->scheme.timestamp.from == SCHEME_NOWHERE) {
			problems_add(&config->problems,
			             node_key_place(settings->entry.node, "tolerance"),
			             "tolerance: this scheme has no signed time");
		}
	}
	if (settings->public_url != NULL) {
		struct buffer url;
		buffer_init(&url, 65536);
		if (source->scheme.url_decoded) {
			template_decoded_url(span_of(settings->public_url), &url);
		} else {
			buffer_text(&url, settings->public_url);
		}
		source->signed_url = buffer_steal(&url);
	}
	check_needs(config, source);
}

struct report {
	struct config *config;
	const char *source;
	struct error *first; /* NULL: problems are added */
	bool failed;
};

static void
on_key_problem(void *context, const struct node *node, const char *key, const struct error *err)
{
	struct report *report = context;
	if (report->first == NULL) {
		problems_add(&report->config->problems,
		             node->first == NULL ? node->place : node->first->place, "%s: %s", key,
		             err->text);
	} else if (!report->failed) {
		*report->first = *err;
		(void)error_prefix(report->first, "source %s", report->source);
	}
	report->failed = true;
}

bool
config_read_keys(struct config *config, struct source *source, struct error *err)
{
	struct report report = { .config = config, .source = source->name, .first = err };
	source_keys_read(config, source, on_key_problem, &report);
	return !report.failed;
}

static void
check_keys(struct config *config, struct source *source, enum config_purpose purpose)
{
	const struct source_settings *settings = source->settings;
	const struct node *node = settings->entry.node;
	struct problems *problems = &config->problems;
	if (settings->secrets.count == 0 && node_child(node, "secrets") != NULL) {
		problems_add(
			problems, node_key_place(node, "secrets"),
			"secrets: at least one is needed; there is no way to switch verification off");
	}
	if (settings->public_keys.count == 0 && node_child(node, "public_keys") != NULL) {
		problems_add(
			problems, node_key_place(node, "public_keys"),
			"public_keys: at least one is needed; there is no way to switch verification off");
	}
	if (settings->topic_arns.count == 0 && node_child(node, "topic_arns") != NULL) {
		problems_add(problems, node_key_place(node, "topic_arns"),
		             "topic_arns: at least one is needed");
	}
	if (settings->secrets.count > SECRETS_MOST) {
		problems_add(problems, node_key_place(node, "secrets"), "secrets: more than %d",
		             SECRETS_MOST);
		return;
	}
	source_keys_check(config, source);
	if (purpose == CONFIG_TO_READ) {
		return;
	}
	struct report report = { .config = config, .source = source->name };
	source_keys_read(config, source, on_key_problem, &report);
	int64_t now = clock_wall_ns();
	bool live = false;
	for (size_t i = 0; i < source->secrets.count; i++) {
		live = live || secret_live(&source->secrets.items[i], now);
	}
	for (size_t i = 0; i < source->public_keys.count; i++) {
		live = live || public_key_live(&source->public_keys.items[i], now);
	}
	bool any = source->secrets.count + source->public_keys.count > 0;
	if (!report.failed && any && !live) {
		bool has_secrets = source->secrets.count > 0;
		problems_warn(problems,
		              node_key_place(node, has_secrets ? "secrets" : "public_keys"),
		              "%s: all are past their `until`; every event of %s will be refused",
		              has_secrets ? "secrets" : "public_keys", source->name);
	}
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

void
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
	if (purpose != CONFIG_TO_READ) {
		check_filled_in(config, source);
	}
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
	check_keys(config, source, purpose);
	if (source->scheme.id.from == SCHEME_GENERATED && node_child(node, "event_id") != NULL) {
		problems_warn(
			&config->problems, node_key_place(node, "event_id"),
			"event_id: generated: repeats of %s cannot be recognised, each is a new event",
			source->name);
	}
}
