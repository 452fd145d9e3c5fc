#include "receiver/verify/sign.h"

#include <inttypes.h>
#include <string.h>

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

struct sample {
	struct buffer *out;
	bool first;
};

/* Members nest: "/event/id" becomes {"event":{"id":…}}; each pointer gets a branch of its own. */
static void
sample_member(struct sample *sample, const char *pointer, struct span value)
{
	buffer_text(sample->out, sample->first ? "" : ",");
	sample->first = false;
	size_t depth = 0;
	const char *at = pointer;
	while (*at == '/') {
		const char *end = strchrnul(at + 1, '/');
		buffer_text(sample->out, depth == 0 ? "" : "{");
		json_quote(sample->out, (struct span){ at + 1, (size_t)(end - at - 1) });
		buffer_byte(sample->out, ':');
		depth++;
		at = end;
	}
	json_quote(sample->out, value);
	for (size_t i = 1; i < depth; i++) {
		buffer_byte(sample->out, '}');
	}
}

void
sign_sample(const struct scheme *scheme, struct span id, struct span type, struct buffer *out)
{
	struct sample sample = { out, true };
	buffer_byte(out, '{');
	if (scheme->id.from == SCHEME_FROM_JSON) {
		sample_member(&sample, scheme->id.name, id);
	}
	for (size_t i = 0; i < scheme->id.part_count; i++) {
		sample_member(&sample, scheme->id.parts[i], id);
	}
	if (scheme->type.from == SCHEME_FROM_JSON) {
		sample_member(&sample, scheme->type.name, type);
	}
	if (scheme->timestamp.from == SCHEME_FROM_JSON) {
		struct buffer now;
		buffer_init(&now, 256);
		timestamp_text(scheme->unit, clock_wall_ns(), &now);
		sample_member(&sample, scheme->timestamp.name, buffer_view(&now));
		buffer_finish(&now);
	}
	if (sample.first) {
		sample_member(&sample, "/sample", SPAN("hooklatch"));
	}
	buffer_text(out, "}");
}
