/* tests/vectors/providers.json: requests signed by the providers' own libraries, and what must become of them. */
#ifndef HOOKLATCH_TESTS_UNIT_VECTORS_H
#define HOOKLATCH_TESTS_UNIT_VECTORS_H

#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "receiver/verify/signature.h"

#define VECTORS_FILE        "tests/vectors/providers.json" /* seen from the root of the tree */
#define VECTORS_FIELDS_MOST 32

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

static UNUSED void
vectors_value(const json_t *from, struct scheme_value *value)
{
	const char *way = vectors_text(from, "from");
	if (strcmp(way, "header") == 0) {
		value->from = SCHEME_FROM_HEADER;
		value->name = vectors_text(from, "name");
	} else if (strcmp(way, "json") == 0) {
		value->from = SCHEME_FROM_JSON;
		value->name = vectors_text(from, "pointer");
	} else if (strcmp(way, "signature") == 0) {
		value->from = SCHEME_FROM_SIGNATURE;
	} else if (strcmp(way, "composite") == 0) {
		const json_t *parts = json_object_get(from, "parts");
		value->from = SCHEME_FROM_PARTS;
		value->part_count = json_array_size(parts);
		ALWAYS(value->part_count <= SCHEME_PARTS_MOST, "vector-parts");
		for (size_t i = 0; i < value->part_count; i++) {
			value->parts[i] = vectors_text(json_array_get(parts, i), "pointer");
		}
	} else {
		ALWAYS(strcmp(way, "none") == 0, "vector-from");
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

/* The scheme of a provider by its generic parameters alone; its texts live as long as the file. */
static UNUSED struct scheme
vectors_scheme(const json_t *provider)
{
	static const char *const algorithms[] = { "sha256", "sha1" };
	static const char *const encodings[] = { "hex", "base64" };
	static const char *const keys[] = { "raw", "base64_after_whsec", "hex" };
	static const char *const units[] = { "s", "ms", "rfc3339" };
	const json_t *parse = json_object_get(provider, "parse");
	const json_t *timestamp = json_object_get(provider, "timestamp");
	const char *separator = vectors_text(parse, "separator");
	const char *unit = vectors_text(timestamp, "unit");
	struct scheme scheme = {
		.signature_header = vectors_text(provider, "signature_header"),
		.separator = separator == NULL ? '\0' : separator[0],
		.prefix = vectors_text(parse, "prefix"),
		.timestamp_prefix = vectors_text(parse, "timestamp_prefix"),
		.algorithm =
			(enum scheme_algorithm)vectors_word(vectors_text(provider, "algorithm"),
		                                            algorithms, COUNT(algorithms)),
		.encoding = (enum scheme_encoding)vectors_word(vectors_text(provider, "encoding"),
		                                               encodings, COUNT(encodings)),
		.key = (enum scheme_key)vectors_word(vectors_text(provider, "key_decoding"), keys,
		                                     COUNT(keys)),
		.unit = (enum scheme_unit)(unit == NULL ? 0
		                                        : vectors_word(unit, units, COUNT(units))),
		.signed_text = vectors_text(provider, "signed_template"),
		.tolerance_ns =
			json_integer_value(json_object_get(timestamp, "tolerance_s")) * NS_PER_S,
	};
	vectors_value(timestamp, &scheme.timestamp);
	vectors_value(json_object_get(provider, "event_id"), &scheme.id);
	vectors_value(json_object_get(provider, "event_type"), &scheme.type);
	return scheme;
}

struct vector {
	const char *id;
	struct verify_request request;
	struct field fields[VECTORS_FIELDS_MOST];
	struct buffer body;
	struct secrets secrets;
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

/* `vector` is large and points into itself: it stays where it is until vector_finish(). */
static UNUSED void
vector_read(const json_t *from, enum scheme_key key, struct vector *vector)
{
	const json_t *request = json_object_get(from, "request");
	const json_t *headers = json_object_get(request, "headers");
	memset(vector, 0, sizeof(*vector));
	vector->id = vectors_text(from, "id");
	vector->request.method = vectors_span(request, "method");
	vector->request.path = vectors_span(request, "path");
	vector->request.url = vectors_span(json_object_get(from, "config"), "url");
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
	vector_body(request, &vector->body);
	const json_t *secrets = json_object_get(from, "secrets");
	for (size_t i = 0; i < json_array_size(secrets); i++) {
		struct error err;
		ALWAYS(secrets_add(&vector->secrets, key,
		                   span_of(json_string_value(json_array_get(secrets, i))), 0, &err),
		       "vector-secret");
	}
	vector->now_ns = json_integer_value(json_object_get(from, "now")) * NS_PER_S;
}

static UNUSED void
vector_finish(struct vector *vector)
{
	buffer_finish(&vector->body);
	secrets_finish(&vector->secrets);
}

#endif
