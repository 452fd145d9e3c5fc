/* tests/vectors/providers.json: requests signed by the providers' own libraries or as they document it, and
 * what must become of them. */
#ifndef HOOKLATCH_TESTS_UNIT_VECTORS_H
#define HOOKLATCH_TESTS_UNIT_VECTORS_H

#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "receiver/verify/signature.h"
#include "receiver/verify/template.h"

#define VECTORS_FILE        "tests/vectors/providers.json" /* seen from the root of the tree */
#define VECTORS_FIELDS_MOST 32
#define VECTORS_TOPICS_MOST 4

static UNUSED json_t *
vectors_load(void)
{
	json_error_t error;
	json_t *file = json_load_file(VECTORS_FILE, 0, &error);
	if (file == NULL) {
		(void)fprintf(stderr, "%s:%d: %s (run from the root of the tree)\n", VECTORS_FILE,
		              error.line, error.text);
		exit(EXIT_FAILURE);
	}
	return file;
}

static UNUSED const char *
vectors_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static UNUSED struct span
vectors_span(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	return (struct span){ json_string_value(value), json_string_length(value) };
}

static UNUSED const char *
vectors_pointer_or_name(const json_t *from)
{
	const char *pointer = vectors_text(from, "pointer");
	return pointer != NULL ? pointer : vectors_text(from, "name");
}

static UNUSED void
vectors_value(const json_t *from, struct scheme_value *value)
{
	static const struct {
		const char *way;
		enum scheme_from from;
	} ways[] = {
		{ "none", SCHEME_NOWHERE },      { "header", SCHEME_FROM_HEADER },
		{ "json", SCHEME_FROM_JSON },    { "signature", SCHEME_FROM_SIGNATURE },
		{ "form", SCHEME_FROM_FORM },    { "composite", SCHEME_FROM_PARTS },
		{ "constant", SCHEME_CONSTANT }, { "generated", SCHEME_GENERATED },
		{ "per_item", SCHEME_NOWHERE },
	};
	const char *way = vectors_text(from, "from");
	size_t i = 0;
	while (i < COUNT(ways) && strcmp(way, ways[i].way) != 0) {
		i++;
	}
	ALWAYS(i < COUNT(ways), "vector-from");
	value->from = ways[i].from;
	value->name = value->from == SCHEME_CONSTANT ? vectors_text(from, "value")
	                                             : vectors_pointer_or_name(from);
	const json_t *parts = json_object_get(from, "parts");
	value->part_count = json_array_size(parts);
	ALWAYS(value->part_count <= SCHEME_PARTS_MOST, "vector-parts");
	for (size_t j = 0; j < value->part_count; j++) {
		value->parts[j] = vectors_pointer_or_name(json_array_get(parts, j));
	}
}

static UNUSED int
vectors_word(const char *word, const char *const *words, int count)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(word, words[i]) == 0) {
			return i;
		}
	}
	ALWAYS(false, "vector-word");
	return 0;
}

/* The scheme of a provider by its generic parameters alone; its texts live as long as the file. False: they do not say
 * all of it. */
static UNUSED bool
vectors_scheme(const json_t *provider, struct scheme *ret)
{
	static const char *const algorithms[] = { "sha256", "sha1", "ed25519",
		                                  "ecdsa-p256-sha256" };
	static const char *const encodings[] = { "hex", "base64" };
	static const char *const keys[] = { "raw", "base64_after_whsec", "hex" };
	static const char *const units[] = { "s", "ms", "rfc3339" };
	const json_t *parse = json_object_get(provider, "parse");
	const json_t *timestamp = json_object_get(provider, "timestamp");
	const json_t *events = json_object_get(provider, "events");
	const char *algorithm = vectors_text(provider, "algorithm");
	const char *separator = vectors_text(parse, "separator");
	const char *prefix = vectors_text(parse, "prefix");
	const char *unit = vectors_text(timestamp, "unit");
	if (algorithm == NULL) {
		return false;
	}
	struct scheme scheme = {
		.signature_header = vectors_text(provider, "signature_header"),
		.separator = separator == NULL ? '\0' : separator[0],
		.prefix = prefix == NULL || prefix[0] == '\0' ? NULL : prefix,
		.timestamp_prefix = vectors_text(parse, "timestamp_prefix"),
		.algorithm = (enum scheme_algorithm)vectors_word(algorithm, algorithms,
		                                                 COUNT(algorithms)),
		.encoding = (enum scheme_encoding)vectors_word(vectors_text(provider, "encoding"),
		                                               encodings, COUNT(encodings)),
		.unit = (enum scheme_unit)(unit == NULL ? 0
		                                        : vectors_word(unit, units, COUNT(units))),
		.signed_text = vectors_text(provider, "signed_template"),
		.tolerance_ns =
			json_integer_value(json_object_get(timestamp, "tolerance_s")) * NS_PER_S,
	};
	if (strcmp(vectors_text(parse, "from"), "json") == 0) {
		scheme.signature_header = NULL;
		scheme.signature_json = vectors_text(parse, "pointer");
	}
	if (scheme_has_secrets(&scheme)) {
		scheme.key = (enum scheme_key)vectors_word(vectors_text(provider, "key_decoding"),
		                                           keys, COUNT(keys));
	}
	vectors_value(timestamp, &scheme.timestamp);
	vectors_value(json_object_get(provider, "event_id"), &scheme.id);
	vectors_value(json_object_get(provider, "event_type"), &scheme.type);
	if (events != NULL) {
		scheme.events.array = vectors_text(events, "array");
		vectors_value(json_object_get(events, "event_id"), &scheme.events.id);
		vectors_value(json_object_get(events, "event_type"), &scheme.events.type);
	}
	*ret = scheme;
	return true;
}

struct vector {
	const char *id;
	struct verify_request request;
	struct field fields[VECTORS_FIELDS_MOST];
	const char *topics[VECTORS_TOPICS_MOST];
	struct buffer url;
	struct buffer body;
	struct secrets secrets;
	struct public_keys public_keys;
	struct verify_keys keys;
	struct span verify_token;
	int64_t now_ns;
};

static UNUSED void
vector_body(const json_t *request, struct buffer *body)
{
	struct span base64 = vectors_span(request, "body_base64");
	buffer_init(body, (size_t)1 << 20);
	if (base64.data == NULL) {
		buffer_span(body, vectors_span(request, "body"));
		return;
	}
	ALWAYS(buffer_reserve(body, base64.size), "vector-body");
	int size = EVP_DecodeBlock((unsigned char *)body->data, (const unsigned char *)base64.data,
	                           (int)base64.size);
	ALWAYS(size >= 0, "vector-base64");
	body->size = (size_t)size;
	for (size_t i = base64.size; i > 0 && base64.data[i - 1] == '='; i--) {
		body->size--;
	}
}

/* path?query */
static UNUSED void
vector_target(struct span target, struct verify_request *request)
{
	size_t size = 0;
	while (size < target.size && target.data[size] != '?') {
		size++;
	}
	request->path = (struct span){ target.data, size };
	request->query = span_after(target, size < target.size ? size + 1 : size);
}

/* What the configuration says about the source: the URL as config/check_source.c writes it. */
static UNUSED void
vector_settings(const json_t *config, const struct scheme *scheme, struct vector *vector)
{
	struct span url = vectors_span(config, "url");
	buffer_init(&vector->url, 65536);
	if (scheme->url_decoded) {
		template_decoded_url(url, &vector->url);
	} else {
		buffer_span(&vector->url, url);
	}
	vector->request.url = buffer_view(&vector->url);
	vector->request.webhook_id = vectors_span(config, "webhook_id");
	vector->verify_token = vectors_span(config, "verify_token");
	const json_t *topics = json_object_get(config, "topic_arns");
	size_t count = json_array_size(topics);
	ALWAYS(count <= VECTORS_TOPICS_MOST, "vector-topics");
	for (size_t i = 0; i < count; i++) {
		vector->topics[i] = json_string_value(json_array_get(topics, i));
	}
	vector->request.topic_arns = vector->topics;
	vector->request.topic_count = count;
}

static UNUSED void
vector_keys(const json_t *from, const struct scheme *scheme, struct vector *vector)
{
	struct error err;
	const json_t *secrets = json_object_get(from, "secrets");
	for (size_t i = 0; i < json_array_size(secrets); i++) {
		ALWAYS(secrets_add(&vector->secrets, scheme->key,
		                   span_of(json_string_value(json_array_get(secrets, i))), 0, &err),
		       "vector-secret");
	}
	const json_t *keys = json_object_get(from, "public_keys");
	for (size_t i = 0; i < json_array_size(keys); i++) {
		ALWAYS(public_keys_add(&vector->public_keys, scheme->algorithm,
		                       span_of(json_string_value(json_array_get(keys, i))), 0,
		                       &err),
		       "vector-public-key");
	}
	const char *url;
	json_t *pem;
	json_object_foreach(json_object_get(from, "certificates"), url, pem) {
		ALWAYS(public_keys_add_certificate(&vector->public_keys,
		                                   span_of(json_string_value(pem)), url, &err),
		       "vector-certificate");
	}
	const json_t *jwks = json_object_get(from, "jwks");
	char *text = jwks == NULL ? NULL : json_dumps(jwks, JSON_COMPACT);
	ALWAYS(text == NULL || public_keys_add_jwks(&vector->public_keys, span_of(text), &err),
	       "vector-jwks");
	free(text);
	vector->keys = (struct verify_keys){ .secrets = &vector->secrets,
		                             .public_keys = &vector->public_keys };
}

/* `vector` is large and points into itself: it stays where it is until vector_finish(). */
static UNUSED void
vector_read(const json_t *from, const struct scheme *scheme, struct vector *vector)
{
	const json_t *request = json_object_get(from, "request");
	const json_t *headers = json_object_get(request, "headers");
	memset(vector, 0, sizeof(*vector));
	vector->id = vectors_text(from, "id");
	vector->request.method = vectors_span(request, "method");
	vector_target(vectors_span(request, "path"), &vector->request);
	vector_settings(json_object_get(from, "config"), scheme, vector);
	size_t count = json_array_size(headers);
	ALWAYS(count <= VECTORS_FIELDS_MOST, "vector-fields");
	for (size_t i = 0; i < count; i++) {
		const json_t *header = json_array_get(headers, i);
		const json_t *name = json_array_get(header, 0);
		const json_t *value = json_array_get(header, 1);
		vector->fields[i].name = span_of(json_string_value(name));
		vector->fields[i].value = span_of(json_string_value(value));
	}
	vector->request.fields = (struct fields){ vector->fields, count };
	request_family(&vector->request, scheme);
	vector_body(request, &vector->body);
	vector_keys(from, scheme, vector);
	vector->now_ns = json_integer_value(json_object_get(from, "now")) * NS_PER_S;
}

static UNUSED void
vector_finish(struct vector *vector)
{
	buffer_finish(&vector->url);
	buffer_finish(&vector->body);
	secrets_finish(&vector->secrets);
	public_keys_finish(&vector->public_keys);
}

#endif
