#include "receiver/verify/sample.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "receiver/base/encoding.h"
#include "receiver/base/random.h"
#include "receiver/verify/signature.h"

static void
put_escaped(struct span text, bool form, struct buffer *out)
{
	if (form) {
		percent_encode(out, text);
		return;
	}
	struct buffer quoted;
	buffer_init(&quoted, 65536);
	json_quote(&quoted, text);
	buffer_span(out, (struct span){ quoted.data + 1, quoted.size - 2 });
	buffer_finish(&quoted);
}

static void
fill_sample(const struct preset *preset, struct span id, struct span type, const char *topic,
            int64_t now_ns, struct buffer *out)
{
	struct span text = span_of(preset->sample);
	bool form = preset->scheme.media_type != NULL;
	char token[37];
	random_uuid(now_ns, token);
	while (text.size > 0) {
		size_t taken = 0;
		if (span_starts(text, SPAN("{id}"))) {
			put_escaped(id, form, out);
			taken = 4;
		} else if (span_starts(text, SPAN("{type}"))) {
			put_escaped(type, form, out);
			taken = 6;
		} else if (span_starts(text, SPAN("{topic}"))) {
			put_escaped(span_of(topic), form, out);
			taken = 7;
		} else if (span_starts(text, SPAN("{token}"))) {
			buffer_text(out, token);
			taken = 7;
		} else if (span_starts(text, SPAN("{seconds}"))) {
			timestamp_write(SCHEME_SECONDS, now_ns, out);
			taken = 9;
		} else if (span_starts(text, SPAN("{milliseconds}"))) {
			timestamp_write(SCHEME_MILLISECONDS, now_ns, out);
			taken = 14;
		} else if (span_starts(text, SPAN("{rfc3339}"))) {
			timestamp_write(SCHEME_RFC3339, now_ns, out);
			taken = 9;
		} else {
			buffer_byte(out, text.data[0]);
			taken = 1;
		}
		text = span_after(text, taken);
	}
}

/* Sets a member where a pointer of names points to. */
static void
set_member(json_t *object, const char *pointer, json_t *value)
{
	while (pointer[0] == '/') {
		const char *end = strchrnul(pointer + 1, '/');
		char *name = span_copy((struct span){ pointer + 1, (size_t)(end - pointer) - 1 });
		if (*end == '\0') {
			(void)json_object_set_new(object, name, value);
			free(name);
			return;
		}
		json_t *child = json_object_get(object, name);
		if (!json_is_object(child)) {
			child = json_object();
			(void)json_object_set_new(object, name, child);
		}
		object = child;
		pointer = end;
		free(name);
	}
	json_decref(value);
}

/* Bytes that are no UTF-8 are read as ISO 8859-1, as everywhere in our own documents. */
static json_t *
string_of(struct span text)
{
	struct buffer quoted;
	buffer_init(&quoted, 65536);
	json_quote(&quoted, text);
	json_t *value =
		json_loadb(quoted.data, quoted.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	buffer_finish(&quoted);
	return value;
}

static void
set_value(json_t *object, const struct scheme_value *value, struct span text)
{
	if (value->from == SCHEME_FROM_JSON) {
		set_member(object, value->name, string_of(text));
	}
	for (size_t i = 0; value->from == SCHEME_FROM_PARTS && i < value->part_count; i++) {
		if (value->parts[i][0] == '/') {
			set_member(object, value->parts[i], string_of(text));
		}
	}
}

static void
make_sample(const struct scheme *scheme, struct span id, struct span type, int64_t now_ns,
            struct buffer *out)
{
	json_t *body = json_object();
	json_t *whole = body;
	bool split = scheme->events.array != NULL;
	(void)json_object_set_new(body, "message", json_string("hello"));
	set_value(body, split ? &scheme->events.type : &scheme->type, type);
	set_value(body, split ? &scheme->events.id : &scheme->id, id);
	if (split) {
		json_t *array = json_array();
		(void)json_array_append_new(array, body);
		whole = array;
		if (scheme->events.array[0] != '\0') {
			whole = json_object();
			set_member(whole, scheme->events.array, array);
		}
	}
	if (scheme->timestamp.from == SCHEME_FROM_JSON && json_is_object(whole)) {
		struct buffer text;
		buffer_init(&text, 64);
		timestamp_write(scheme->unit, now_ns, &text);
		set_member(whole, scheme->timestamp.name, json_stringn(text.data, text.size));
		buffer_finish(&text);
	}
	if (scheme->signature_json != NULL && json_is_object(whole)) {
		set_member(whole, scheme->signature_json, json_string(""));
	}
	char *text = json_dumps(whole, JSON_COMPACT);
	buffer_text(out, text);
	free(text);
	json_decref(whole);
}

void
sample_write(const struct preset *preset, const struct scheme *scheme, struct span id,
             struct span type, const char *topic, int64_t now_ns, struct buffer *out)
{
	if (preset != NULL) {
		fill_sample(preset, id, type, topic, now_ns, out);
	} else {
		make_sample(scheme, id, type, now_ns, out);
	}
}
