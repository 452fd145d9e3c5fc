#include "receiver/intake/intake.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/random.h"
#include "receiver/intake/answer.h"
#include "receiver/intake/waiting.h"
#include "receiver/log/log.h"
#include "receiver/metrics/metrics.h"
#include "receiver/verify/signature.h"
#include "receiver/verify/value.h"

#define TYPE_MOST_BYTES   1024
#define INTAKE_LOOPS_MOST 16

/* A request from its head to its answer. Belongs to its loop; its arrival goes to the store and comes back. */
struct request {
	struct intake_loop *loop;
	struct http_exchange *exchange; /* NULL: the client has gone */
	struct config *config;          /* the one that it began with */
	const struct source *source;
	struct http_peer client;
	char id[REQUEST_ID_BYTES];
	struct verify_request verify;
	struct verification verification;
	bool verifying;
	bool streaming;       /* its body is hashed as it comes */
	enum verdict verdict; /* of the head */
	bool submitted;       /* the store has its event */
	size_t reserved;      /* bytes of the memory budget, once the body has left the exchange */
};

struct intake_loop {
	struct intake *intake;
	size_t index;
	struct config *config;
	struct waiting waiting;
	uint64_t requests; /* so far */
};

struct intake {
	struct store *store;
	struct net *net;
	struct intake_loop *loops;
	size_t loop_count;
	atomic_llong waiting;
	uint32_t life; /* tells the requests of one life of the service from another's */
};

/* --- answers --- */

static void
request_free(struct request *request)
{
	if (request->verifying) {
		verification_drop(&request->verification);
	}
	config_release(request->config);
	metrics_inflight(-1);
	free(request);
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
	(void)snprintf(id, REQUEST_ID_BYTES, "%08" PRIx32 "%08" PRIx32, loop->intake->life,
	               (uint32_t)number);
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

/* Answers with a refusal and forgets the request. */
static void
ON_THREAD(net_thread) reject(struct intake *intake, struct http_exchange *exchange,
                             struct request *request, enum result result, const char *reason)
{
	const struct result_row *row = result_row(result);
	char id[REQUEST_ID_BYTES];
	if (request == NULL) {
		name_request(loop_of(intake, exchange), id);
	} else {
		memcpy(id, request->id, sizeof(id));
	}
	struct log_line line;
	log_begin(&line, row->status == 404 ? LOG_INFO : LOG_WARN, "request.rejected", "%s: %s",
	          row->word, reason == NULL ? row->text : reason);
	log_request(&line, exchange, request, id);
	log_text(&line, "error_type", span_of(row->word));
	log_number(&line, "http_status", row->status);
	if (exchange->has_request_line) {
		log_text(&line, "path", exchange->path);
	}
	if (request != NULL && request->verifying && request->verification.age_ns != 0) {
		log_number(&line, "skew_seconds", request->verification.age_ns / NS_PER_S);
	}
	struct span delivery = { 0 };
	if (request != NULL && request->source != NULL &&
	    request->source->scheme.id.from == SCHEME_FROM_HEADER &&
	    fields_find(exchange->fields, span_of(request->source->scheme.id.name), &delivery) >
	            0) {
		log_text(&line, "event_id", delivery); /* so that it can be asked for again */
	}
	log_end(&line);
	exchange->data = NULL;
	struct answer answer = { .result = result,
		                 .request_id = id,
		                 .source = request == NULL ? NULL : request->source,
		                 .reason = result == RESULT_MALFORMED ? reason : NULL };
	answer_send(exchange, &answer);
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
	struct request *request = malloc(sizeof(*request));
	if (request == NULL) {
		return RESULT_OVERLOADED;
	}
	metrics_inflight(1);
	request->loop = loop;
	request->exchange = exchange;
	request->config = config_share(loop->config);
	request->source = source;
	request->client = exchange->peer;
	request->verifying = false;
	request->streaming = false;
	request->verdict = VERDICT_GOOD;
	request->reserved = 0;
	request->submitted = false;
	name_request(loop, request->id);
	*ret = request;
	if (!span_equal(exchange->method, SPAN("POST"))) {
		return RESULT_METHOD;
	}
	bool known = peer_behind_proxies(exchange, &request->client);
	if (source->allow_count > 0 && (!known || !address_allowed(request))) {
		return RESULT_ADDRESS_REFUSED;
	}
	if (exchange->length > (int64_t)source->body_limit) {
		return RESULT_BODY_TOO_LARGE;
	}
	return RESULT_ACCEPTED;
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
	};
	static_assert(COUNT(results) == VERDICTS, "a verdict without a result");
	return results[verdict];
}

static enum http_next
on_head(void *context, struct http_exchange *exchange, size_t *limit)
{
	thread_is(&net_thread);
	struct request *request;
	enum result result = judge_head(context, exchange, &request);
	if (result != RESULT_ACCEPTED) {
		reject(context, exchange, request, result, NULL);
		return HTTP_ANSWERED;
	}
	const struct source *source = request->source;
	bool large = exchange->length < 0 || exchange->length > HTTP_SMALL_BODY;
	request->verify = (struct verify_request){ .method = exchange->method,
		                                   .path = exchange->path,
		                                   .url = span_of(source->settings->public_url),
		                                   .fields = exchange->fields };
	request->verifying = true;
	request->verdict =
		verification_head(&request->verification, &source->scheme, &source->secrets,
	                          &request->verify, exchange->received_ns);
	if (request->verdict != VERDICT_GOOD && exchange->length >= 0) { /* nobody needs its body */
		reject(context, exchange, request, verdict_result(request->verdict), NULL);
		return HTTP_ANSWERED;
	}
	/* A small body is hashed in one go, when it is there, with the contexts that this thread keeps. */
	request->streaming = large && request->verdict == VERDICT_GOOD;
	if (request->streaming) {
		verification_secrets(&request->verification, true);
	}
	*limit = source->body_limit;
	exchange->patience_ns = source->patience_ns;
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

/* The event's id, or why there is none. */
static const char *
read_id(const struct request *request, struct buffer *id)
{
	const struct scheme *scheme = &request->source->scheme;
	if (scheme->id.from == SCHEME_GENERATED) {
		char uuid[37];
		random_uuid(clock_wall_ns(), uuid);
		buffer_text(id, uuid);
		return NULL;
	}
	switch (value_read(&scheme->id, request->exchange->fields,
	                   buffer_view(&request->exchange->body), id)) {
	case VALUE_FOUND: break;
	case VALUE_ABSENT: return "the event id is missing";
	case VALUE_REPEATED: return "the event id's header stands there twice";
	case VALUE_UNREADABLE: return "the event id cannot be read from the body";
	}
	return event_id_valid(buffer_view(id))
	               ? NULL
	               : "the event id is not 1 to 512 bytes of UTF-8 without control characters";
}

static void
read_type(const struct request *request, struct buffer *type)
{
	if (value_read(&request->source->scheme.type, request->exchange->fields,
	               buffer_view(&request->exchange->body), type) != VALUE_FOUND ||
	    !event_id_valid(buffer_view(type))) {
		type->size = 0; /* missing or unreadable: the empty text */
	}
}

static bool
type_wanted(const struct source *source, struct span type)
{
	const char *const *globs = source->settings->types.items;
	if (node_child(source->settings->entry.node, "types") == NULL) {
		return true;
	}
	for (size_t i = 0; i < source->settings->types.count; i++) {
		if (type_matches(span_of(globs[i]), type)) {
			return true;
		}
	}
	return false;
}

static bool
is_secret_field(struct span name)
{
	return span_equal_nocase(name, SPAN("Authorization")) ||
	       span_equal_nocase(name, SPAN("Cookie")) ||
	       span_equal_nocase(name, SPAN("Proxy-Authorization"));
}

static void
fields_json(struct fields fields, struct buffer *out)
{
	buffer_byte(out, '[');
	for (size_t i = 0; i < fields.count; i++) {
		buffer_text(out, i == 0 ? "[" : ",[");
		json_quote(out, fields.items[i].name);
		buffer_byte(out, ',');
		json_quote(out, is_secret_field(fields.items[i].name) ? SPAN("***")
		                                                      : fields.items[i].value);
		buffer_byte(out, ']');
	}
	buffer_byte(out, ']');
}

/* Takes the body out of the exchange. */
static struct event *
build_event(struct request *request, struct span id, struct span type)
{
	struct http_exchange *exchange = request->exchange;
	struct buffer headers;
	buffer_init(&headers, 16 * 1024 * 1024);
	fields_json(exchange->fields, &headers);
	struct event_parts parts = { .source = span_of(request->source->name),
		                     .id = id,
		                     .type = type,
		                     .headers_block = headers.data,
		                     .headers_size = headers.size,
		                     .body_block = exchange->body.data,
		                     .body_size = exchange->body.size,
		                     .received_ns = exchange->received_ns };
	exchange->body = (struct buffer){ .limit = 0 };
	request->reserved = exchange->reserved;
	exchange->reserved = 0;
	return event_create(&parts);
}

static struct arrival *
build_arrival(struct request *request, struct event *event)
{
	const struct config *config = request->config;
	struct arrival *arrival =
		memory_need(sizeof(*arrival) + config->handler_count * sizeof(arrival->wanted[0]));
	arrival->intent.kind = INTENT_ARRIVAL;
	arrival->event = event;
	arrival->loop = request->loop->index;
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		if (handler_wants(handler, event->source, event->type, event->body)) {
			arrival->wanted[arrival->wanted_count++] = (struct wanted){
				.handler = handler->number,
				.at_most_once = handler->guarantee == GUARANTEE_AT_MOST_ONCE,
				.order_key = handler_order_key(handler, event->body)
			};
		}
	}
	return arrival;
}

static void
ON_THREAD(net_thread) ignore(struct request *request, struct span id, struct span type)
{
	struct http_exchange *exchange = request->exchange;
	struct log_line line;
	log_begin(&line, LOG_INFO, "event.ignored", "this source does not want this type");
	log_text(&line, "source", span_of(request->source->name));
	log_text(&line, "event_id", id);
	log_text(&line, "type", type);
	log_text(&line, "request_id", span_of(request->id));
	log_end(&line);
	struct answer answer = { .result = RESULT_IGNORED,
		                 .request_id = request->id,
		                 .source = request->source };
	exchange->data = NULL;
	answer_send(exchange, &answer);
	request_free(request);
}

static void
on_request(void *context, struct http_exchange *exchange)
{
	thread_is(&net_thread);
	struct intake *intake = context;
	struct request *request = exchange->data;
	enum verdict verdict = verify(request);
	if (verdict != VERDICT_GOOD) {
		reject(intake, exchange, request, verdict_result(verdict), NULL);
		return;
	}
	struct buffer id;
	struct buffer type;
	buffer_init(&id, (size_t)EVENT_ID_MOST_BYTES * 8);
	buffer_init(&type, TYPE_MOST_BYTES);
	const char *wrong = read_id(request, &id);
	if (wrong != NULL) {
		reject(intake, exchange, request, RESULT_MALFORMED, wrong);
	} else {
		read_type(request, &type);
		if (!type_wanted(request->source, buffer_view(&type))) {
			ignore(request, buffer_view(&id), buffer_view(&type));
		} else {
			struct event *event =
				build_event(request, buffer_view(&id), buffer_view(&type));
			struct arrival *arrival = build_arrival(request, event);
			request->submitted = true;
			arrival->cookie = waiting_add(&request->loop->waiting, request);
			(void)atomic_fetch_add(&intake->waiting, 1);
			store_submit(intake->store, &arrival->intent);
		}
	}
	buffer_finish(&id);
	buffer_finish(&type);
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
	}
	reject(context, exchange, request, result, reason);
}

static void
on_gone(void *context, struct http_exchange *exchange)
{
	(void)context;
	struct request *request = exchange->data;
	if (request == NULL) {
		return;
	}
	if (request->submitted) { /* the answer will find nobody */
		request->exchange = NULL;
		return;
	}
	request_free(request);
}

static void
on_ended(void *context)
{
	(void)context;
	signature_thread_finish();
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
		                      .ended = on_ended };
}

/* --- after the commit --- */

/* One call a loop and commit. */
struct completion {
	struct net_call call;
	struct intake *intake;
	struct arrival *first;
};

static void
log_arrival(const struct arrival *arrival, const struct request *request, enum result result)
{
	static const struct {
		const char *event;
		const char *text;
	} names[] = { [RESULT_ACCEPTED] = { "event.accepted", "stored" },
		      [RESULT_DUPLICATE] = { "event.duplicate", "stored before" },
		      [RESULT_REVIVED] = { "event.revived",
		                           "stored before, was dead, is tried again" } };
	const struct event *event = arrival->event;
	struct log_line line;
	if (result >= RESULT_FIRST_REFUSAL) {
		log_begin(&line, LOG_ERROR, "request.rejected", "%s", result_row(result)->word);
		log_text(&line, "error_type", span_of(result_row(result)->word));
		log_number(&line, "http_status", result_row(result)->status);
	} else {
		log_begin(&line, LOG_INFO, names[result].event, "%s", names[result].text);
	}
	log_text(&line, "source", event->source);
	log_text(&line, "event_id", event->id);
	log_text(&line, "type", event->type);
	if (event->seq > 0) {
		log_number(&line, "sequence", event->seq);
	}
	if (arrival->has_state) {
		log_text(&line, "state", span_of(delivery_state_name(arrival->state)));
	}
	log_text(&line, "client", span_of(request->client.text));
	log_text(&line, "request_id", span_of(request->id));
	log_text(&line, "trace_id", span_of(event->trace_id));
	log_number(&line, "secret", request->verification.matched);
	log_end(&line);
	if (arrival->conflict) {
		metrics_add(METRIC_CONFLICTS, 1);
		log_begin(&line, LOG_WARN, "event.conflict",
		          "the same id came with another body; the first stays");
		log_text(&line, "source", event->source);
		log_text(&line, "event_id", event->id);
		log_end(&line);
	}
}

static enum result
arrival_word(enum arrival_result result)
{
	switch (result) {
	case ARRIVAL_ACCEPTED: return RESULT_ACCEPTED;
	case ARRIVAL_DUPLICATE: return RESULT_DUPLICATE;
	case ARRIVAL_REVIVED: return RESULT_REVIVED;
	case ARRIVAL_FULL:
	case ARRIVAL_BUSY:
	case ARRIVAL_BAD: break;
	}
	return RESULT_STORE_UNAVAILABLE;
}

static void
ON_THREAD(net_thread) complete(struct intake *intake, struct arrival *arrival)
{
	struct request *request =
		waiting_take(&intake->loops[arrival->loop].waiting, arrival->cookie);
	ALWAYS(request != NULL, "waiting-request");
	enum result result = arrival_word(arrival->result);
	if (result == RESULT_ACCEPTED && arrival->wanted_count == 0) {
		metrics_add(METRIC_UNROUTED, 1);
	}
	metrics_secret_matched(request->source->name, request->verification.matched);
	log_arrival(arrival, request, result);
	const char *state = NULL;
	if (result == RESULT_DUPLICATE || result == RESULT_REVIVED) {
		state = arrival->has_state ? delivery_state_name(arrival->state) : "unrouted";
	}
	net_memory_release(intake->net, request->reserved);
	(void)atomic_fetch_sub(&intake->waiting, 1);
	if (request->exchange != NULL) {
		struct answer answer = { .result = result,
			                 .request_id = request->id,
			                 .source = request->source,
			                 .event = arrival->event,
			                 .state = state };
		request->exchange->data = NULL;
		answer_send(request->exchange, &answer);
	} else {
		metrics_answered(result, 1); /* stored all the same */
		metrics_source_answered(request->source->name, result, true);
	}
	request_free(request);
	arrival_free(arrival);
}

static void
on_completion(struct net_call *call)
{
	thread_is(&net_thread);
	struct completion *completion = CONTAINER(call, struct completion, call);
	struct arrival *arrival = completion->first;
	struct intake *intake = completion->intake;
	free(completion);
	while (arrival != NULL) {
		struct intent *next = arrival->intent.next;
		complete(intake, arrival);
		arrival = next == NULL ? NULL : CONTAINER(next, struct arrival, intent);
	}
}

void
intake_arrived(struct intake *intake, struct arrival *const *arrivals, size_t count)
{
	struct completion *completions[INTAKE_LOOPS_MOST] = { NULL };
	struct intent **tails[INTAKE_LOOPS_MOST] = { NULL };
	for (size_t i = 0; i < count; i++) {
		size_t loop = arrivals[i]->loop;
		arrivals[i]->intent.next = NULL;
		if (completions[loop] == NULL) {
			completions[loop] = memory_need(sizeof(*completions[loop]));
			completions[loop]->call.run = on_completion;
			completions[loop]->intake = intake;
			completions[loop]->first = arrivals[i];
		} else {
			*tails[loop] = &arrivals[i]->intent;
		}
		tails[loop] = &arrivals[i]->intent.next;
	}
	for (size_t i = 0; i < intake->loop_count;
	     i++) { /* once posted, its arrivals are the loop's */
		if (completions[i] != NULL) {
			net_loop_post(net_loop_at(intake->net, i), &completions[i]->call);
		}
	}
}

int64_t
intake_waiting(const struct intake *intake)
{
	return atomic_load(&intake->waiting);
}

/* --- life --- */

bool
intake_create(struct intake **ret, size_t loops, struct store *store, struct error *err)
{
	(void)err;
	ALWAYS(loops <= INTAKE_LOOPS_MOST, "intake-loops");
	struct intake *intake = memory_need(sizeof(*intake));
	intake->store = store;
	random_secret(&intake->life, sizeof(intake->life));
	intake->loops = memory_need(loops * sizeof(*intake->loops));
	intake->loop_count = loops;
	for (size_t i = 0; i < loops; i++) {
		intake->loops[i].intake = intake;
		intake->loops[i].index = i;
		waiting_init(&intake->loops[i].waiting);
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
