#include "receiver/model/event.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include <jansson.h>

#include "receiver/base/encoding.h"

static struct span
put(char **at, struct span text)
{
	struct span copy = { *at, text.size };
	if (text.size > 0) {
		memcpy(*at, text.data, text.size);
	}
	(*at)[text.size] = '\0';
	*at += text.size + 1;
	return copy;
}

static bool
all_hex(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
			return false;
		}
	}
	return true;
}

/* https://www.w3.org/TR/trace-context/ section 3.2, version 00: "00-<trace id>-<parent id>-<flags>". */
static bool
parent_valid(const char *text)
{
	return memcmp(text, "00-", 3) == 0 && all_hex(text + 3, 32) && text[35] == '-' &&
	       all_hex(text + 36, 16) && text[52] == '-' && all_hex(text + 53, 2) &&
	       memcmp(text + 3, "00000000000000000000000000000000", 32) != 0 &&
	       memcmp(text + 36, "0000000000000000", 16) != 0;
}

/* The trace id in the headers as they are stored: no quote stands in a name or value there but behind a backslash. */
static bool
sent_trace_id(struct span headers, char *trace_id)
{
	static const char name[] = "[\"traceparent\",\"";
	enum {
		NAME = sizeof(name) - 1,
		VALUE = 55
	};
	while (headers.size > NAME + VALUE) {
		const char *at = memchr(headers.data, '[', headers.size - NAME - VALUE);
		if (at == NULL) {
			return false;
		}
		if (span_equal_nocase((struct span){ at, NAME }, SPAN("[\"traceparent\",\"")) &&
		    parent_valid(at + NAME) && at[NAME + VALUE] == '"') {
			memcpy(trace_id, at + NAME + 3, EVENT_TRACE_ID_BYTES - 1);
			return true;
		}
		headers = span_after(headers, (size_t)(at - headers.data) + 1);
	}
	return false;
}

static void
set_trace_id(struct event *event)
{
	if (sent_trace_id(event->headers, event->trace_id)) {
		return;
	}
	XXH128_hash_t hash =
		XXH3_128bits_withSeed(event->id.data, event->id.size,
	                              XXH3_64bits(event->source.data, event->source.size));
	hex_number(hash.high64, 16, event->trace_id);
	hex_number(hash.low64 | 1U, 16, event->trace_id + 16);
}

struct event *
event_create(const struct event_parts *parts)
{
	size_t texts =
		parts->source.size + parts->id.size + parts->type.size + parts->headers.size + 4;
	struct event *event = memory_need(sizeof(*event) + texts);
	char *at = (char *)(event + 1);
	atomic_init(&event->references, 1);
	event->source = put(&at, parts->source);
	event->id = put(&at, parts->id);
	event->type = put(&at, parts->type);
	event->headers = put(&at, parts->headers);
	event->body_block = parts->body_block;
	event->body = (struct span){ parts->body_block, parts->body_size };
	event->received_ns = parts->received_ns;
	event->hash = event_hash_of(event->body);
	set_trace_id(event);
	return event;
}

struct event *
event_share(struct event *event)
{
	(void)atomic_fetch_add_explicit(&event->references, 1, memory_order_relaxed);
	return event;
}

void
event_release(struct event *event)
{
	if (event == NULL ||
	    atomic_fetch_sub_explicit(&event->references, 1, memory_order_acq_rel) != 1) {
		return;
	}
	free(event->body_block);
	free(event);
}

struct event_hash
event_hash_of(struct span body)
{
	XXH128_hash_t hash = XXH3_128bits(body.size == 0 ? "" : body.data, body.size);
	return (struct event_hash){ hash.low64, hash.high64 };
}

bool
event_hash_equal(struct event_hash a, struct event_hash b)
{
	return a.low == b.low && a.high == b.high;
}

bool
event_header(const struct event *event, const char *name, struct buffer *value)
{
	json_t *headers =
		json_loadb(event->headers.data, event->headers.size, JSON_ALLOW_NUL, NULL);
	size_t index;
	json_t *pair;
	bool found = false;
	json_array_foreach(headers, index, pair) {
		const char *own = json_string_value(json_array_get(pair, 0));
		const json_t *text = json_array_get(pair, 1);
		if (!found && own != NULL && strcasecmp(own, name) == 0) {
			buffer_append(value, json_string_value(text), json_string_length(text));
			found = true;
		}
	}
	json_decref(headers);
	return found;
}

bool
event_id_valid(struct span id)
{
	return id.size > 0 && id.size <= EVENT_ID_MOST_BYTES && utf8_plain(id);
}
