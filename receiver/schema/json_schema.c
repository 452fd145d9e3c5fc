#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "receiver/schema/row.h"

static json_t *object_schema(const struct schema_row *rows);

static json_t *
texts_schema(void)
{
	return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string");
}

static json_t *
pattern_schema(const char *pattern)
{
	return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *
integer_schema(const struct schema_row *row)
{
	int64_t edge;
	json_t *schema = json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
	if (row->least != NULL && span_number(span_of(row->least), &edge)) {
		(void)json_object_set_new(schema, "minimum", json_integer(edge));
	}
	if (row->most != NULL && span_number(span_of(row->most), &edge)) {
		(void)json_object_set_new(schema, "maximum", json_integer(edge));
	}
	return schema;
}

static json_t *
value_schema(const struct schema_row *row)
{
	switch (row->kind) {
	case SCHEMA_BOOL: return json_pack("{s:s}", "type", "boolean");
	case SCHEMA_INTEGER: return integer_schema(row);
	case SCHEMA_DECIMAL: return json_pack("{s:s}", "type", "number");
	case SCHEMA_DURATION: return pattern_schema("^[0-9]+(\\.[0-9]{1,3})?(us|ms|s|m|h|d)$");
	case SCHEMA_SIZE:
		return pattern_schema("^[0-9]+(\\.[0-9]{1,3})?(B|kB|KB|MB|GB|KiB|MiB|GiB)$");
	case SCHEMA_RATE: return pattern_schema("^[0-9]+(\\.[0-9]{1,3})?/(s|m|h)$");
	case SCHEMA_TEXT: return json_pack("{s:s}", "type", "string");
	case SCHEMA_WORD: {
		json_t *words = json_array();
		for (size_t i = 0; row->words[i] != NULL; i++) {
			(void)json_array_append_new(words, json_string(row->words[i]));
		}
		return json_pack("{s:o}", "enum", words);
	}
	case SCHEMA_TEXTS: return texts_schema();
	case SCHEMA_MAP:
		if (row->scalar != NULL) {
			return json_pack("{s:[{s:s}, o]}", "anyOf", "type", "string",
			                 object_schema(row->rows));
		}
		return object_schema(row->rows);
	case SCHEMA_LIST:
		return json_pack("{s:s, s:o}", "type", "array", "items", object_schema(row->rows));
	case SCHEMA_NAMED:
		return json_pack("{s:s, s:{s:s}, s:o}", "type", "object", "propertyNames",
		                 "pattern", "^[a-z0-9_-]{1,64}$", "additionalProperties",
		                 object_schema(row->rows));
	case SCHEMA_GLOBS:
		return json_pack("{s:s, s:{s:[{s:[s,s,s]}, o]}}", "type", "object",
		                 "additionalProperties", "anyOf", "type", "string", "number",
		                 "boolean", texts_schema());
	}
	return NULL;
}

static json_t *
object_schema(const struct schema_row *rows)
{
	json_t *properties = json_object();
	json_t *required = json_array();
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		if (row->later) {
			continue;
		}
		json_t *value = value_schema(row);
		if (row->text != NULL) {
			(void)json_object_set_new(value, "description", json_string(row->text));
		}
		if (row->fallback != NULL) {
			(void)json_object_set_new(value, "default", json_string(row->fallback));
		}
		(void)json_object_set_new(properties, row->name, value);
		if (row->required) {
			(void)json_array_append_new(required, json_string(row->name));
		}
	}
	json_t *schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
	                           "additionalProperties", 0);
	if (json_array_size(required) > 0) {
		(void)json_object_set(schema, "required", required);
	}
	json_decref(required);
	return schema;
}

void
schema_json(struct buffer *out, const struct schema_row *rows, const char *title)
{
	json_t *schema = object_schema(rows);
	(void)json_object_set_new(schema, "$schema",
	                          json_string("https://json-schema.org/draft/2020-12/schema"));
	(void)json_object_set_new(schema, "title", json_string(title));
	char *text = json_dumps(schema, JSON_INDENT(2));
	ALWAYS(text != NULL, "json-schema");
	buffer_text(out, text);
	buffer_byte(out, '\n');
	free(text);
	json_decref(schema);
}
