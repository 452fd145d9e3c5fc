#include "receiver/intake/intake.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/random.h"
#include "receiver/intake/intake_priv.h"
#include "receiver/metrics/metrics.h"
#include "receiver/verify/diagnose.h"
#include "receiver/verify/mac.h"

#define ANSWER_MARGIN_NS \
	(500 * NS_PER_MS) /* after the provider's patience, for a key that came late */
#define DIAGNOSED_SOURCES_MOST 16
/* Lines about refused requests, for each net loop. */
#define REJECTIONS_TOLD_A_SECOND 100
#define REJECTIONS_TOLD_AT_ONCE  2000
#define DIAGNOSIS_PAUSE_NS \
	(100 * NS_PER_MS) /* between two refused signatures that are looked into, for each loop */

/* --- answers --- */

void
request_free(struct request *request)
{
	if (request->verifying) {
		verification_drop(&request->verification);
	}
	config_release(request->config);
	metrics_inflight(-1);
	request_give_back(request);
}

static struct intake_loop *
loop_of(struct intake *intake, const struct http_exchange *exchange)
{
	return &intake->loops[net_loop_index(exchange->loop)];
}

static void
name_request(struct intake_loop *loop, char id[REQUEST_ID_BYTES])
{
	uint64_t number = loop->requests++ * INTAKE_LOOPS_MOST + loop->index;
	hex_number((uint64_t)loop->intake->life << 32U | (uint32_t)number, REQUEST_ID_BYTES - 1,
	           id);
}

static void
log_request(struct log_line *line, const struct http_exchange *exchange,
            const struct request *request, const char *id)
{
	if (request != NULL && request->source != NULL) {
		log_text(line, "source", span_of(request->source->name));
	}
	log_text(line, "client",
	         span_of(request == NULL ? exchange->peer.text : request->client.text));
	log_text(line, "request_id", span_of(id));
}

static enum result
verdict_result(enum verdict verdict)
{
	static const enum result results[] = {
		[VERDICT_GOOD] = RESULT_ACCEPTED,
		[VERDICT_SIGNATURE_MISSING] = RESULT_SIGNATURE_MISSING,
		[VERDICT_SIGNATURE_MALFORMED] = RESULT_SIGNATURE_MALFORMED,
		[VERDICT_TIMESTAMP_MISSING] = RESULT_TIMESTAMP_MISSING,
		[VERDICT_SIGNATURE_MISMATCH] = RESULT_SIGNATURE_MISMATCH,
		[VERDICT_TIMESTAMP_TOO_OLD] = RESULT_TIMESTAMP_TOO_OLD,
		[VERDICT_TIMESTAMP_IN_FUTURE] = RESULT_TIMESTAMP_IN_FUTURE,
		[VERDICT_KEY_UNAVAILABLE] = RESULT_KEY_UNAVAILABLE,
	};
	static_assert(COUNT(results) == VERDICTS, "a verdict without a result");
	return results[verdict];
}

/* Why the signature was refused: for the log alone, never for the network. A mismatch costs a few hashes more, which
 * nobody must be able to ask for too often. */
static void
ON_THREAD(net_thread) log_diagnosis(struct log_line *line, const struct http_exchange *exchange,
                                    struct request *request, enum result result)
{
	const struct config *config = request->config;
	struct diagnosis_source others[DIAGNOSED_SOURCES_MOST];
	struct diagnosis diagnosis = { .scheme = &request->source->scheme,
		                       .keys = &request->keys,
		                       .request = &request->verify,
		                       .verification = &request->verification,
		                       .now_ns = exchange->received_ns,
		                       .body = buffer_view(&exchange->body),
		                       .others = others };
	if (request->verification.age_ns != 0) {
		log_number(line, "skew_seconds", request->verification.age_ns / NS_PER_S);
	}
	while (diagnosis.verdict < VERDICTS && verdict_result(diagnosis.verdict) != result) {
		diagnosis.verdict++;
	}
	if (diagnosis.verdict == VERDICTS || diagnosis.verdict == VERDICT_GOOD) {
		return;
	}
	if (diagnosis.verdict == VERDICT_SIGNATURE_MISMATCH) {
		int64_t now = clock_boot_ns();
		if (exchange->body.size > HTTP_SMALL_BODY || request->streaming ||
		    now - request->loop->diagnosed_ns < DIAGNOSIS_PAUSE_NS) {
			return;
		}
		request->loop->diagnosed_ns = now;
		for (size_t i = 0;
		     i < config->source_count && diagnosis.other_count < COUNT(others); i++) {
			if (&config->sources[i] != request->source &&
			    config->sources[i].secrets.count > 0) {
				others[diagnosis.other_count].name = config->sources[i].name;
				others[diagnosis.other_count++].secrets =
					&config->sources[i].secrets;
			}
		}
	}
	struct buffer why;
	buffer_init(&why, 4096);
	diagnose(&diagnosis, &why);
	log_text(line, "why", buffer_view(&why));
	buffer_finish(&why);
}

/* Strangers need no secret to be refused: what they cost in the log has a measure. All are counted, and the next line that is
 * told says how many were not. */
static bool
may_tell(struct intake_loop *loop)
{
	int64_t now_ns = clock_boot_ns();
	int64_t gained = (now_ns - loop->told_ns) / (NS_PER_S / REJECTIONS_TOLD_A_SECOND);
	if (loop->told_ns == 0 || gained > 0) {
		int64_t most = REJECTIONS_TOLD_AT_ONCE;
		loop->tellable = loop->told_ns == 0 || loop->tellable + gained > most
		                         ? most
		                         : loop->tellable + gained;
		loop->told_ns = now_ns;
	}
	bool may = loop->tellable > 0;
	loop->tellable -= may ? 1 : 0;
	loop->untold += may ? 0 : 1;
	return may;
}

static void
ON_THREAD(net_thread) tell_rejection(struct intake *intake, const struct http_exchange *exchange,
                                     struct request *request, enum result result,
                                     const char *reason, const char *id)
{
	const struct result_row *row = result_row(result);
	struct log_line line;
	log_begin(&line, row->status == 404 ? LOG_INFO : LOG_WARN, "request.rejected", "%s: %s",
	          row->word, reason == NULL ? row->text : reason);
	log_request(&line, exchange, request, id);
	log_text(&line, "error_type", span_of(row->word));
	log_number(&line, "http_status", row->status);
	if (exchange->has_request_line) {
		log_text(&line, "path", exchange->path);
	}
	if (request != NULL && request->verifying) {
		log_diagnosis(&line, exchange, request, result);
	}
	struct span delivery = { 0 };
	if (request != NULL && request->source != NULL &&
	    request->source->scheme.id.from == SCHEME_FROM_HEADER &&
	    fields_find(exchange->fields, span_of(request->source->scheme.id.name), &delivery) >
	            0) {
		log_text(&line, "event_id", delivery); /* so that it can be asked for again */
	}
	struct intake_loop *loop = loop_of(intake, exchange);
	if (loop->untold > 0) {
		log_number(&line, "untold", loop->untold);
		loop->untold = 0;
	}
	log_end(&line);
}

void
request_reject(struct intake *intake, struct http_exchange *exchange, struct request *request,
               enum result result, const char *reason)
{
	char id[REQUEST_ID_BYTES];
	if (request == NULL) {
		name_request(loop_of(intake, exchange), id);
	} else {
		memcpy(id, request->id, sizeof(id));
	}
	if (may_tell(loop_of(intake, exchange))) {
		tell_rejection(intake, exchange, request, result, reason, id);
	}
	exchange->data = NULL;
	struct answer answer = { .result = result,
		                 .request_id = id,
		                 .source = request == NULL ? NULL : request->source,
		                 .methods = request == NULL ? "POST"
		                                            : endpoint_methods(request->source),
		                 .reason = result == RESULT_MALFORMED ? reason : NULL };
	answer_send(&loop_of(intake, exchange)->answers, exchange, &answer);
	if (request != NULL) {
		request_free(request);
	}
}

/* --- the head --- */

static bool
address_allowed(const struct request *request)
{
	const struct source *source = request->source;
	for (size_t i = 0; i < source->allow_count; i++) {
		if (network_holds(&source->allow[i], &request->client)) {
			return true;
		}
	}
	return source->allow_count == 0;
}

static struct verify_request
verify_request_of(const struct http_exchange *exchange, const struct source *source)
{
	struct verify_request request = { .method = exchange->method,
		                          .path = exchange->path,
		                          .query = exchange->query,
		                          .url = span_of(source->signed_url),
		                          .fields = exchange->fields,
		                          .webhook_id = span_of(source->settings->webhook_id),
		                          .topic_arns = source->settings->topic_arns.items,
		                          .topic_count = source->settings->topic_arns.count };
	request_family(&request, &source->scheme);
	return request;
}

/* What the path, the method, the address and the announced length decide; RESULT_ACCEPTED: nothing so far. */
static enum result
judge_head(struct intake *intake, struct http_exchange *exchange, struct request **ret)
{
	struct intake_loop *loop = loop_of(intake, exchange);
	const struct source *source = config_source_by_path(loop->config, exchange->path);
	*ret = NULL;
	if (source == NULL) {
		return RESULT_NOT_FOUND;
	}
	struct request *request = request_take(loop);
	if (request == NULL) {
		return RESULT_OVERLOADED;
	}
	metrics_inflight(1);
	request->exchange = exchange;
	request->config = config_share(loop->config);
	request->source = source;
	request->client = exchange->peer;
	request->keys = (struct verify_keys){ .secrets = &source->secrets,
		                              .public_keys = &source->public_keys };
	request->verify = verify_request_of(exchange, source);
	if (keyring_serves(source)) {
		request->ring = (struct key_ring){ .context = request, .find = request_find_key };
		request->keys.ring = &request->ring;
	}
	request->verifying = false;
	request->streaming = false;
	request->verdict = VERDICT_GOOD;
	request->reserved = 0;
	request->away = false;
	name_request(loop, request->id);
	*ret = request;
	if (!span_equal(exchange->method, SPAN("POST")) &&
	    (source->challenge == NULL ||
	     !span_equal(exchange->method, span_of(source->challenge->method)))) {
		return RESULT_METHOD;
	}
	bool known = peer_behind_proxies(exchange, &request->client);
	if (source->allow_count > 0 && (!known || !address_allowed(request))) {
		return RESULT_ADDRESS_REFUSED;
	}
	struct span content_type = { 0 };
	if (source->scheme.media_type != NULL && span_equal(exchange->method, SPAN("POST")) &&
	    (fields_find(exchange->fields, SPAN("Content-Type"), &content_type) != 1 ||
	     !scheme_media_type_is(content_type, source->scheme.media_type))) {
		return RESULT_CONTENT_TYPE;
	}
	if (exchange->length > (int64_t)source->body_limit) {
		return RESULT_BODY_TOO_LARGE;
	}
	return RESULT_ACCEPTED;
}

/* An endpoint check that has another method than events: the head is all there is to it. */
static void
ON_THREAD(net_thread) check_by_head(struct intake *intake, struct request *request)
{
	const struct source *source = request->source;
	struct http_exchange *exchange = request->exchange;
	request->verification.matched = -1;
	if (source->challenge->proof == CHALLENGE_TOKEN) {
		enum verdict verdict =
			verification_head(&request->verification, &source->scheme, &request->keys,
		                          &request->verify, exchange->received_ns);
		request->verifying = true;
		if (verdict != VERDICT_GOOD) {
			request_reject(intake, exchange, request, verdict_result(verdict), NULL);
			return;
		}
	}
	if (!endpoint_checked(request, (struct span){ 0 })) {
		request_reject(intake, exchange, request, RESULT_MALFORMED,
		               "this method is for endpoint checks, and this is none");
	}
}

static enum http_next
on_head(void *context, struct http_exchange *exchange, size_t *limit)
{
	thread_is(&net_thread);
	struct request *request;
	enum result result = judge_head(context, exchange, &request);
	if (result != RESULT_ACCEPTED) {
		request_reject(context, exchange, request, result, NULL);
		return HTTP_ANSWERED;
	}
	const struct source *source = request->source;
	bool large = exchange->length < 0 || exchange->length > HTTP_SMALL_BODY;
	if (!span_equal(exchange->method, SPAN("POST"))) {
		check_by_head(context, request);
		return HTTP_ANSWERED;
	}
	request->verifying = true;
	request->verdict =
		verification_head(&request->verification, &source->scheme, &request->keys,
	                          &request->verify, exchange->received_ns);
	if (request->verdict != VERDICT_GOOD && exchange->length >= 0) { /* nobody needs its body */
		request_reject(context, exchange, request, verdict_result(request->verdict), NULL);
		return HTTP_ANSWERED;
	}
	/* A small body is hashed in one go, when it is there, with the contexts that this thread keeps. */
	request->streaming = large && request->verdict == VERDICT_GOOD &&
	                     verification_streams(&request->verification);
	if (request->streaming) {
		verification_secrets(&request->verification, true);
	}
	*limit = source->body_limit;
	exchange->patience_ns = source->patience_ns;
	exchange->answer_ns = source->patience_ns + ANSWER_MARGIN_NS;
	exchange->streaming = request->streaming;
	exchange->data = request;
	return HTTP_READ_BODY;
}

static void
on_piece(void *context, struct http_exchange *exchange, struct span piece)
{
	(void)context;
	struct request *request = exchange->data;
	verification_feed(&request->verification, piece);
}

/* --- the whole request --- */

static enum verdict
verify(struct request *request)
{
	struct http_exchange *exchange = request->exchange;
	struct span body = buffer_view(&exchange->body);
	if (request->verdict !=
	    VERDICT_GOOD) { /* the head said so; its length had to be known first */
		return request->verdict;
	}
	if (!request->streaming) {
		verification_secrets(&request->verification, false);
		verification_feed(&request->verification, body);
	}
	return verification_end(&request->verification, body);
}

void
request_ignore(struct request *request, const char *why, struct span id, struct span type)
{
	struct http_exchange *exchange = request->exchange;
	struct log_line line;
	log_begin(&line, LOG_INFO, "event.ignored", "%s", why);
	log_text(&line, "source", span_of(request->source->name));
	if (id.size > 0) {
		log_text(&line, "event_id", id);
		log_text(&line, "type", type);
	}
	log_text(&line, "request_id", span_of(request->id));
	log_end(&line);
	struct answer answer = { .result = RESULT_IGNORED,
		                 .request_id = request->id,
		                 .source = request->source };
	exchange->data = NULL;
	answer_send(&request->loop->answers, exchange, &answer);
	request_free(request);
}

void
request_judge(struct request *request, bool again)
{
	struct http_exchange *exchange = request->exchange;
	struct intake *intake = request->loop->intake;
	enum verdict verdict = verify(request);
	if (verdict == VERDICT_KEY_UNAVAILABLE && !again && request_await_key(request)) {
		return;
	}
	const struct challenge *challenge = request->source->challenge;
	if (verdict == VERDICT_GOOD && challenge != NULL &&
	    challenge_made(challenge, buffer_view(&exchange->body))) {
		request_reject(intake, exchange, request, RESULT_SIGNATURE_MISMATCH,
		               "an endpoint check could have signed this body for anybody");
		return;
	}
	if (verdict != VERDICT_GOOD) {
		request_reject(intake, exchange, request, verdict_result(verdict), NULL);
	} else if (!endpoint_checked(request, buffer_view(&exchange->body))) {
		request_submit(intake, request);
	}
}

/* Before its signature is looked at: that would cost more than the answer. An endpoint check needs no store, and its source is
 * judged as ever. */
static void
on_request(void *context, struct http_exchange *exchange)
{
	thread_is(&net_thread);
	struct intake *intake = context;
	struct request *request = exchange->data;
	if (request->source->challenge == NULL &&
	    store_overloaded(intake->store, intake_waiting(intake))) {
		request_reject(intake, exchange, request, RESULT_OVERLOADED, NULL);
		return;
	}
	request_judge(request, false);
}

/* The disk takes longer than the provider waits. What is on its way to the store may be stored all the same: then the repeat
 * is a duplicate. */
static void
ON_THREAD(net_thread) give_up_waiting(struct http_exchange *exchange, struct request *request)
{
	struct log_line line;
	log_begin(
		&line, LOG_ERROR, "request.rejected",
		"the store takes longer than the provider waits; the event may be stored all the same");
	log_text(&line, "source", span_of(request->source->name));
	log_text(&line, "client", span_of(request->client.text));
	log_text(&line, "request_id", span_of(request->id));
	log_text(&line, "error_type", SPAN("store_unavailable"));
	log_number(&line, "http_status", 503);
	log_end(&line);
	request->exchange = NULL;
	exchange->data = NULL;
	struct answer answer = { .result = RESULT_STORE_UNAVAILABLE,
		                 .request_id = request->id,
		                 .source = request->source };
	answer_send(&request->loop->answers, exchange, &answer);
}

static void
on_refused(void *context, struct http_exchange *exchange, enum http_refusal refusal)
{
	thread_is(&net_thread);
	struct request *request = exchange->data;
	enum result result = RESULT_MALFORMED;
	const char *reason = NULL;
	switch (refusal) {
	case HTTP_MALFORMED:
		reason = exchange->wrong == NULL ? "the request is no HTTP/1.1" : exchange->wrong;
		if (request !=
		    NULL) { /* the rest of the connection cannot be trusted: answered as no source's */
			request_free(request);
			request = NULL;
		}
		break;
	case HTTP_TIMEOUT: result = RESULT_TIMEOUT; break;
	case HTTP_HEADERS_TOO_LARGE:
		result = RESULT_HEADERS_TOO_LARGE;
		if (request == NULL &&
		    exchange->has_request_line) { /* path, method, address and length first */
			struct span length = { 0 };
			if (fields_find(exchange->fields, SPAN("Content-Length"), &length) != 1 ||
			    !span_number(length, &exchange->length)) {
				exchange->length = -1;
			}
			enum result judged = judge_head(context, exchange, &request);
			result = judged == RESULT_ACCEPTED ? result : judged;
		}
		break;
	case HTTP_BODY_TOO_LARGE: result = RESULT_BODY_TOO_LARGE; break;
	case HTTP_OVERLOADED: result = RESULT_OVERLOADED; break;
	case HTTP_UNANSWERED: give_up_waiting(exchange, request); return;
	}
	request_reject(context, exchange, request, result, reason);
}

static void
on_gone(void *context, struct http_exchange *exchange)
{
	(void)context;
	struct request *request = exchange->data;
	if (request == NULL) {
		return;
	}
	if (request->away) { /* the answer will find nobody */
		request->exchange = NULL;
		return;
	}
	request_free(request);
}

static void
on_turned(void *context, struct net_loop *loop)
{
	thread_is(&net_thread);
	arrivals_announce(&((struct intake *)context)->loops[net_loop_index(loop)]);
}

static void
on_ended(void *context)
{
	(void)context;
	mac_thread_finish();
}

struct http_service
intake_service(struct intake *intake)
{
	return (struct http_service){ .context = intake,
		                      .head = on_head,
		                      .piece = on_piece,
		                      .request = on_request,
		                      .refused = on_refused,
		                      .gone = on_gone,
		                      .turned = on_turned,
		                      .ended = on_ended };
}

int64_t
intake_waiting(const struct intake *intake)
{
	return atomic_load(&intake->waiting);
}

/* --- life --- */

bool
intake_create(struct intake **ret, size_t loops, struct store *store, struct keyring *keyring,
              struct error *err)
{
	(void)err;
	ALWAYS(loops <= INTAKE_LOOPS_MOST, "intake-loops");
	struct intake *intake = memory_need(sizeof(*intake));
	intake->store = store;
	intake->keyring = keyring;
	random_secret(&intake->life, sizeof(intake->life));
	intake->loops = memory_need(loops * sizeof(*intake->loops));
	intake->loop_count = loops;
	for (size_t i = 0; i < loops; i++) {
		intake->loops[i].intake = intake;
		intake->loops[i].index = i;
		waiting_init(&intake->loops[i].waiting);
		buffer_init(&intake->loops[i].headers, (size_t)16 * 1024 * 1024);
		answer_space_init(&intake->loops[i].answers);
	}
	*ret = intake;
	return true;
}

void
intake_destroy(struct intake *intake)
{
	if (intake == NULL) {
		return;
	}
	for (size_t i = 0; i < intake->loop_count; i++) {
		config_release(intake->loops[i].config);
		waiting_finish(&intake->loops[i].waiting);
		spares_finish(&intake->loops[i]);
	}
	free(intake->loops);
	free(intake);
}

struct config_call {
	struct net_call call;
	struct intake_loop *loop;
	struct config *config;
};

static void
on_config(struct net_call *call)
{
	struct config_call *change = CONTAINER(call, struct config_call, call);
	config_release(change->loop->config);
	change->loop->config = change->config;
	spares_finish(change->loop); /* made for the old one's handlers */
	mac_thread_finish();         /* what it keyed with the old secrets */
	free(change);
}

void
intake_set_config(struct intake *intake, struct net *net, struct config *config, bool started)
{
	if (!started) {
		intake->net = net;
	}
	for (size_t i = 0; i < intake->loop_count; i++) {
		if (!started) {
			intake->loops[i].config = config_share(config);
			continue;
		}
		struct config_call *change = memory_need(sizeof(*change));
		change->call.run = on_config;
		change->loop = &intake->loops[i];
		change->config = config_share(config);
		net_loop_post(net_loop_at(net, i), &change->call);
	}
}
