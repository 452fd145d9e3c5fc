#include "receiver/model/event.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

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

struct event *
event_create(const struct event_parts *parts)
{
	size_t texts = parts->source.size + parts->id.size + parts->type.size + 3;
	struct event *event = memory_need(sizeof(*event) + texts);
	char *at = (char *)(event + 1);
	atomic_init(&event->references, 1);
	event->source = put(&at, parts->source);
	event->id = put(&at, parts->id);
	event->type = put(&at, parts->type);
	event->headers_block = parts->headers_block;
	event->headers = (struct span){ parts->headers_block, parts->headers_size };
	event->body_block = parts->body_block;
	event->body = (struct span){ parts->body_block, parts->body_size };
	event->received_ns = parts->received_ns;
	event->hash = event_hash_of(event->body);
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
	free(event->headers_block);
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
event_id_valid(struct span id)
{
	if (id.size == 0 || id.size > EVENT_ID_MOST_BYTES || !utf8_valid(id)) {
		return false;
	}
	for (size_t i = 0; i < id.size; i++) {
		unsigned char byte = (unsigned char)id.data[i];
		if (byte < 0x20 || byte == 0x7f) {
			return false;
		}
		if (byte == 0xc2 && i + 1 < id.size &&
		    (unsigned char)id.data[i + 1] < 0xa0) { /* C1 controls */
			return false;
		}
	}
	return true;
}
