/* What the receiver makes of a request, by the rooms that intake asks and in its order: the engine, endpoint checks, the
 * events. */
#ifndef HOOKLATCH_TESTS_UNIT_RECEIVED_H
#define HOOKLATCH_TESTS_UNIT_RECEIVED_H

#include <string.h>

#include "receiver/base/random.h"
#include "receiver/verify/challenge.h"
#include "receiver/verify/events.h"
#include "receiver/verify/signature.h"

#include "tests/unit/edge.h"

#define RECEIVED_MOST 8 /* events that are kept; all are counted */

struct arrival_request {
	const struct scheme *scheme;
	const struct challenge *challenge; /* NULL: the source has none */
	const struct verify_keys *keys;
	const struct verify_request *request;
	struct span body;
	struct span verify_token;
	int64_t now_ns;
	struct random *random; /* the body comes in pieces of these sizes; NULL: as a whole */
};

struct received_event {
	struct buffer id;
	struct buffer type;
	struct buffer text;
	bool generated;
};

struct received {
	const char *word; /* as in PRODUCT section 4 */
	const char *wrong;
	int matched;
	int64_t age_ns;
	size_t count;
	struct received_event events[RECEIVED_MOST];
	struct buffer reply; /* of an endpoint check */
	struct buffer fields;
};

/* A body in pieces of random sizes, each at the edge of memory; or as a whole. The caller drops it. */
static UNUSED enum verdict
received_verdict(const struct arrival_request *from, struct verification *v)
{
	enum verdict verdict =
		verification_head(v, from->scheme, from->keys, from->request, from->now_ns);
	if (verdict != VERDICT_GOOD) {
		return verdict;
	}
	bool pieces = from->random != NULL && verification_streams(v);
	verification_secrets(v, pieces);
	struct span rest = from->body;
	while (rest.size > 0) {
		size_t size =
			pieces ? (size_t)random_up_to(from->random, (int64_t)rest.size) : rest.size;
		verification_feed(v, edge_copy(0, (struct span){ rest.data, size }));
		rest = span_after(rest, size);
	}
	return verification_end(v, edge_copy(1, from->body));
}

static UNUSED bool
received_event(void *context, struct span id, struct span type, struct span text)
{
	struct received *received = context;
	if (received->count < RECEIVED_MOST) {
		struct received_event *event = &received->events[received->count];
		buffer_init(&event->id, 4096);
		buffer_init(&event->type, 4096);
		buffer_init(&event->text, (size_t)1 << 20);
		event->generated = id.data == NULL;
		buffer_span(&event->id, id);
		buffer_span(&event->type, type);
		buffer_span(&event->text, text);
	}
	received->count++;
	return true;
}

static UNUSED const char *
received_events(const struct arrival_request *from, struct received *received)
{
	struct events_reading reading = { .scheme = from->scheme,
		                          .request = from->request,
		                          .body = edge_copy(2, from->body),
		                          .context = received,
		                          .event = received_event };
	enum events_result result = events_read(&reading);
	received->wrong = reading.wrong;
	switch (result) {
	case EVENTS_READ: return reading.several && reading.count == 0 ? "ignored" : "accepted";
	case EVENTS_BESIDE: return "ignored";
	case EVENTS_TOO_MANY: return "body_too_large";
	case EVENTS_MALFORMED:
	case EVENTS_STOPPED: break;
	}
	return "malformed";
}

static UNUSED const char *
received_check(const struct arrival_request *from, struct received *received)
{
	const struct secrets *secrets = from->keys->secrets;
	const struct secret *secret = NULL;
	for (size_t i = 0; secrets != NULL && i < secrets->count && secret == NULL; i++) {
		bool wanted = received->matched >= 0
		                      ? (size_t)received->matched == i
		                      : secret_live(&secrets->items[i], from->now_ns);
		secret = wanted ? &secrets->items[i] : NULL;
	}
	switch (challenge_answer(from->challenge, from->request, from->body, secret,
	                         from->verify_token, &received->reply, &received->fields)) {
	case CHALLENGE_ANSWERED: return "challenge";
	case CHALLENGE_PROOF_MISSING: return "signature_missing";
	case CHALLENGE_PROOF_WRONG: return "signature_mismatch";
	case CHALLENGE_UNREADABLE: break;
	}
	return "malformed";
}

static UNUSED void
receive(const struct arrival_request *from, struct received *received)
{
	struct verification v = { .matched = -1 };
	const struct challenge *challenge = from->challenge;
	bool post = span_equal(from->request->method, SPAN("POST"));
	enum verdict verdict = VERDICT_GOOD;
	memset(received, 0, sizeof(*received));
	buffer_init(&received->reply, (size_t)CHALLENGE_MOST_BYTES * 8);
	buffer_init(&received->fields, (size_t)CHALLENGE_MOST_BYTES * 8);
	if (!post &&
	    (challenge == NULL || !span_equal(from->request->method, span_of(challenge->method)))) {
		received->word = "method";
		received->matched = -1;
		return;
	}
	if (post) {
		verdict = received_verdict(from, &v);
	} else if (challenge->proof == CHALLENGE_TOKEN) {
		verdict = verification_head(&v, from->scheme, from->keys, from->request,
		                            from->now_ns);
	}
	received->matched = v.matched;
	received->age_ns = v.age_ns;
	verification_drop(&v);
	if (verdict != VERDICT_GOOD) {
		received->word = verdict_word(verdict);
	} else if (challenge != NULL && challenge_is(challenge, from->request, from->body)) {
		received->word = received_check(from, received);
	} else {
		received->word = post ? received_events(from, received) : "malformed";
	}
}

static UNUSED void
received_finish(struct received *received)
{
	for (size_t i = 0; i < received->count && i < RECEIVED_MOST; i++) {
		buffer_finish(&received->events[i].id);
		buffer_finish(&received->events[i].type);
		buffer_finish(&received->events[i].text);
	}
	buffer_finish(&received->reply);
	buffer_finish(&received->fields);
}

#endif
