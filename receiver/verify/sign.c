#include "receiver/verify/sign.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/verify/value.h"

static void
timestamp_text(enum scheme_unit unit, int64_t now_ns, struct buffer *out)
{
	char text[CLOCK_TEXT_BYTES];
	switch (unit) {
	case SCHEME_SECONDS: buffer_format(out, "%" PRId64, now_ns / NS_PER_S); return;
	case SCHEME_MILLISECONDS: buffer_format(out, "%" PRId64, now_ns / NS_PER_MS); return;
	case SCHEME_RFC3339:
		clock_text(now_ns, text);
		buffer_text(out, text);
		return;
	}
}

static void
line(struct buffer *out, const char *name, struct span value)
{
	buffer_format(out, "%s: ", name);
	buffer_span(out, value);
	buffer_byte(out, '\n');
}

void
sign_lines(const struct scheme *scheme, const struct secret *secret,
           const struct verify_request *request, int64_t now_ns, struct span id, struct span type,
           struct span body, struct buffer *out)
{
	struct buffer timestamp;
	struct buffer signature;
	buffer_init(&timestamp, 4096);
	buffer_init(&signature, 4096);
	if (scheme->timestamp.from == SCHEME_FROM_JSON) {
		if (value_read(&scheme->timestamp, (struct fields){ 0 }, body, &timestamp) !=
		    VALUE_FOUND) {
			timestamp_text(scheme->unit, now_ns, &timestamp);
		}
	} else if (scheme->timestamp.from != SCHEME_NOWHERE) {
		timestamp_text(scheme->unit, now_ns, &timestamp);
	}
	if (scheme->timestamp_prefix != NULL) {
		buffer_text(&signature, scheme->timestamp_prefix);
		buffer_span(&signature, buffer_view(&timestamp));
		buffer_byte(&signature, scheme->separator);
	}
	buffer_text(&signature, scheme->prefix == NULL ? "" : scheme->prefix);
	signature_make(scheme, secret, request, buffer_view(&timestamp), id, body, &signature);
	line(out, scheme->signature_header, buffer_view(&signature));
	if (scheme->timestamp.from == SCHEME_FROM_HEADER) {
		line(out, scheme->timestamp.name, buffer_view(&timestamp));
	}
	if (scheme->id.from == SCHEME_FROM_HEADER) {
		line(out, scheme->id.name, id);
	}
	if (scheme->type.from == SCHEME_FROM_HEADER) {
		line(out, scheme->type.name, type);
	}
	buffer_finish(&timestamp);
	buffer_finish(&signature);
}

/* Bytes that are no UTF-8 are read as ISO 8859-1. */
static json_t *
json_text(struct span value)
{
	struct buffer quoted;
	buffer_init(&quoted, 65536);
	json_quote(&quoted, value);
	json_t *text = json_loadb(quoted.data, quoted.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	buffer_finish(&quoted);
	return text;
}

/* "/event/id" becomes {"event":{"id":…}}; what is there already stays. */
static void
sample_member(json_t *sample, const char *pointer, struct span value)
{
	const char *at = pointer;
	while (*at == '/') {
		const char *end = strchrnul(at + 1, '/');
		struct buffer name;
		buffer_init(&name, 65536);
		for (const char *byte = at + 1; byte < end; byte++) { /* RFC 6901 section 3 */
			bool escape = *byte == '~' && (byte[1] == '0' || byte[1] == '1');
			if (escape) {
				buffer_text(&name, byte[1] == '0' ? "~" : "/");
			} else {
				buffer_byte(&name, *byte);
			}
			byte += escape ? 1 : 0;
		}
		json_t *next = json_object_getn(sample, name.data, name.size);
		if (next == NULL) {
			next = *end == '/' ? json_object() : json_text(value);
			(void)json_object_setn_new(sample, name.data, name.size, next);
		}
		buffer_finish(&name);
		sample = next;
		at = end;
	}
}

void
sign_sample(const struct scheme *scheme, struct span id, struct span type, struct buffer *out)
{
	json_t *sample = json_object();
	if (scheme->id.from == SCHEME_FROM_JSON) {
		sample_member(sample, scheme->id.name, id);
	}
	for (size_t i = 0; i < scheme->id.part_count; i++) {
		sample_member(sample, scheme->id.parts[i], id);
	}
	if (scheme->type.from == SCHEME_FROM_JSON) {
		sample_member(sample, scheme->type.name, type);
	}
	if (scheme->timestamp.from == SCHEME_FROM_JSON) {
		struct buffer now;
		buffer_init(&now, 256);
		timestamp_text(scheme->unit, clock_wall_ns(), &now);
		sample_member(sample, scheme->timestamp.name, buffer_view(&now));
		buffer_finish(&now);
	}
	if (json_object_size(sample) == 0) {
		sample_member(sample, "/sample", SPAN("hooklatch"));
	}
	char *text = json_dumps(sample, JSON_COMPACT);
	buffer_text(out, text);
	free(text);
	json_decref(sample);
}
