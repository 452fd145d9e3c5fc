/* Endpoint checks: answered in the provider's own form, never stored as events. */
#include <stdlib.h>
#include <string.h>

#include "receiver/intake/intake_priv.h"
#include "receiver/verify/json_pointer.h"

const char *
endpoint_methods(const struct source *source)
{
	if (source->challenge == NULL || strcmp(source->challenge->method, "POST") == 0) {
		return "POST";
	}
	return strcmp(source->challenge->method, "GET") == 0    ? "GET, POST"
	       : strcmp(source->challenge->method, "HEAD") == 0 ? "HEAD, POST"
	                                                        : "OPTIONS, POST";
}

/* What hashes an answer: the secret that the request was signed with, else the first that is live. */
static const struct secret *
hashing_secret(const struct request *request)
{
	const struct secrets *secrets = &request->source->secrets;
	if (request->verification.matched >= 0 &&
	    (size_t)request->verification.matched < secrets->count) {
		return &secrets->items[request->verification.matched];
	}
	for (size_t i = 0; i < secrets->count; i++) {
		if (secret_live(&secrets->items[i], request->exchange->received_ns)) {
			return &secrets->items[i];
		}
	}
	return NULL;
}

static void
ON_THREAD(net_thread) send_answer(struct request *request, const struct challenge *challenge,
                                  struct span reply, const struct buffer *fields)
{
	struct log_line line;
	log_begin(&line, LOG_INFO, "endpoint.checked", "an endpoint check was answered");
	log_text(&line, "source", span_of(request->source->name));
	log_text(&line, "client", span_of(request->client.text));
	log_text(&line, "request_id", span_of(request->id));
	log_end(&line);
	char *terminated = span_copy(buffer_view(fields));
	struct answer answer = { .result = RESULT_CHALLENGE,
		                 .request_id = request->id,
		                 .source = request->source,
		                 .reply = { .status = challenge->status,
		                            .content_type = challenge->content_type,
		                            .body = reply,
		                            .fields = terminated } };
	struct http_exchange *exchange = request->exchange;
	exchange->data = NULL;
	answer_send(&request->loop->answers, exchange, &answer);
	free(terminated);
	request_free(request);
}

/* A confirmation is given by visiting a URL that the request names, on a host of the scheme. */
static void
ON_THREAD(net_thread) visit(const struct request *request, struct span body)
{
	const char *pointer = request->source->challenge->visit;
	struct buffer url;
	if (pointer == NULL) {
		return;
	}
	buffer_init(&url, 4096);
	if (json_text_at(body, span_of(pointer), &url) == JSON_FOUND) {
		char *text = span_copy(buffer_view(&url));
		request_visit(request, text);
		free(text);
	}
	buffer_finish(&url);
}

bool
endpoint_checked(struct request *request, struct span body)
{
	const struct source *source = request->source;
	const struct challenge *challenge = source->challenge;
	struct intake *intake = request->loop->intake;
	if (challenge == NULL || !challenge_is(challenge, &request->verify, body)) {
		return false;
	}
	struct buffer reply;
	struct buffer fields;
	buffer_init(&reply, (size_t)CHALLENGE_MOST_BYTES * 8);
	buffer_init(&fields, (size_t)CHALLENGE_MOST_BYTES * 8);
	switch (challenge_answer(challenge, &request->verify, body, hashing_secret(request),
	                         span_of(source->verify_token), &reply, &fields)) {
	case CHALLENGE_ANSWERED:
		visit(request, body);
		send_answer(request, challenge, buffer_view(&reply), &fields);
		break;
	case CHALLENGE_PROOF_MISSING:
		request_reject(intake, request->exchange, request, RESULT_SIGNATURE_MISSING,
		               "the endpoint check brings no verify token");
		break;
	case CHALLENGE_PROOF_WRONG:
		request_reject(intake, request->exchange, request, RESULT_SIGNATURE_MISMATCH,
		               "the endpoint check brings another verify token");
		break;
	case CHALLENGE_UNREADABLE:
		request_reject(intake, request->exchange, request, RESULT_MALFORMED,
		               "the endpoint check brings nothing that could be answered");
		break;
	}
	buffer_finish(&reply);
	buffer_finish(&fields);
	return true;
}
