#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "receiver/base/random.h"
#include "receiver/cli/offline.h"
#include "receiver/verify/events.h"
#include "receiver/verify/mac.h"
#include "receiver/verify/sample.h"

#define SIGNED_FIELDS_MOST 32

static void
new_id(const struct invocation *invocation, int64_t number, int64_t now_ns, char id[600])
{
	const char *given = option(invocation, "id");
	char uuid[37];
	random_uuid(now_ns, uuid);
	if (given == NULL) {
		(void)snprintf(id, 600, "%s", uuid);
	} else if (number == 0) {
		(void)snprintf(id, 600, "%s", given);
	} else {
		(void)snprintf(id, 600, "%s-%" PRId64, given, number);
	}
}

static const char *
chosen_type(const struct invocation *invocation)
{
	const char *type = option(invocation, "type");
	return type == NULL ? "test" : type;
}

bool
signer_begin(struct signer *signer, const struct invocation *invocation,
             const struct source *source)
{
	const char *file = option(invocation, "private-key");
	struct buffer pem;
	*signer = (struct signer){ .invocation = invocation, .source = source };
	if (file == NULL) {
		return true;
	}
	buffer_init(&pem, 65536);
	bool good = read_whole(file, &pem);
	if (good) {
		signer->private_key = sign_key_read(buffer_view(&pem));
		if (signer->private_key == NULL) {
			complain("%s: no private key in PEM", file);
			good = false;
		}
	}
	memory_wipe(pem.data, pem.size);
	buffer_finish(&pem);
	return good;
}

void
signer_finish(struct signer *signer)
{
	sign_key_free(signer->private_key);
	mac_thread_finish();
}

static const char *
first_topic(const struct source *source)
{
	const char *const *topics = source->settings->topic_arns.items;
	return source->settings->topic_arns.count == 0 ? "" : topics[0];
}

static bool
read_body(const struct signer *signer, const struct made_event *event, int64_t now_ns,
          struct buffer *body)
{
	const char *file = option(signer->invocation, "body");
	if (file != NULL) {
		return read_whole(file, body);
	}
	sample_write(signer->source->preset, &signer->source->scheme, span_of(event->id),
	             span_of(chosen_type(signer->invocation)), first_topic(signer->source), now_ns,
	             body);
	return true;
}

static bool
take_id(void *context, struct span id, struct span type, struct span text)
{
	struct made_event *event = context;
	(void)type;
	(void)text;
	if (id.size > 0) {
		(void)snprintf(event->id, sizeof(event->id), "%.*s", SPAN_ARG(id));
	}
	return false;
}

/* The id that the receiver will read: it may have parts of which ours is one. */
static enum events_result
read_id(const struct signer *signer, struct made_event *event)
{
	struct field items[SIGNED_FIELDS_MOST];
	struct fields fields = { items, parse_lines(buffer_view(&event->request.lines), items,
		                                    SIGNED_FIELDS_MOST) };
	struct verify_request request = request_of(signer->source, fields);
	struct events_reading reading = { .scheme = &signer->source->scheme,
		                          .request = &request,
		                          .body = buffer_view(&event->request.body),
		                          .context = event,
		                          .event = take_id };
	return events_read(&reading);
}

bool
signer_make(const struct signer *signer, int64_t number, int64_t now_ns, struct made_event *ret)
{
	const struct source *source = signer->source;
	struct verify_request request = request_of(source, (struct fields){ 0 });
	struct signing signing = { .scheme = &source->scheme,
		                   .private_key = signer->private_key,
		                   .key_name = option(signer->invocation, "key-name"),
		                   .request = &request,
		                   .now_ns = now_ns,
		                   .type = span_of(chosen_type(signer->invocation)) };
	struct buffer body;
	struct error err;
	if (scheme_has_secrets(&source->scheme)) {
		signing.secret = signing_secret(source, now_ns);
		if (signing.secret == NULL) {
			return false;
		}
	}
	new_id(signer->invocation, number, now_ns, ret->id);
	signing.id = span_of(ret->id);
	buffer_init(&body, FILE_MOST_BYTES);
	bool good = read_body(signer, ret, now_ns, &body);
	if (good) {
		signing.body = buffer_view(&body);
		good = sign_request(&signing, &ret->request, &err);
		if (!good) {
			complain("%s", err.text);
			signed_request_finish(&ret->request);
		} else if (read_id(signer, ret) == EVENTS_MALFORMED) {
			complain("the receiver will refuse this body: it has no event id");
		}
	}
	buffer_finish(&body);
	return good;
}
