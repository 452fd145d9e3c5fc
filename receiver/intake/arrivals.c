/* From a verified request to its events on their way into the store. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/random.h"
#include "receiver/intake/intake_priv.h"
#include "receiver/metrics/metrics.h"
#include "receiver/verify/events.h"

/* The events that were read so far. */
struct gathering {
	struct request *request;
	const struct events_reading *reading;
	struct arrival *first;
	struct arrival **tail;
	struct buffer *headers; /* as JSON, of every event; the loop's own */
	size_t bytes;           /* of copies: of bodies and headers */
	size_t unwanted;        /* by `types` */
	char last_id[EVENT_ID_MOST_BYTES + 1];
	char last_type[EVENT_ID_MOST_BYTES + 1];
};

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

/* --- what is kept of the head --- */

static bool
is_secret_field(const struct source *source, struct span name)
{
	return span_equal_nocase(name, SPAN("Authorization")) ||
	       span_equal_nocase(name, SPAN("Cookie")) ||
	       span_equal_nocase(name, SPAN("Proxy-Authorization")) ||
	       (source->scheme.algorithm == SCHEME_TOKEN &&
	        span_equal_nocase(name, span_of(source->scheme.signature_header)));
}

static void
fields_json(const struct source *source, struct fields fields, struct buffer *out)
{
	buffer_byte(out, '[');
	for (size_t i = 0; i < fields.count; i++) {
		buffer_text(out, i == 0 ? "[" : ",[");
		json_quote(out, fields.items[i].name);
		buffer_byte(out, ',');
		json_quote(out, is_secret_field(source, fields.items[i].name)
		                        ? SPAN("***")
		                        : fields.items[i].value);
		buffer_byte(out, ']');
	}
	buffer_byte(out, ']');
}

/* --- events --- */

/* `block` is the event's own from here on. */
/* NOLINTBEGIN(readability-non-const-parameter) */
static struct event *
build_event(const struct gathering *gathering, struct span id, struct span type, char *block,
            size_t size)
{
	const struct request *request = gathering->request;
	char uuid[37];
	if (id.size == 0) {
		random_uuid(clock_wall_ns(), uuid);
		id = span_of(uuid);
	}
	struct event_parts parts = { .source = span_of(request->source->name),
		                     .id = id,
		                     .type = type,
		                     .headers = buffer_view(gathering->headers),
		                     .body_block = block,
		                     .body_size = size,
		                     .received_ns = request->exchange->received_ns };
	return event_create(&parts);
}
/* NOLINTEND(readability-non-const-parameter) */

static struct arrival *
build_arrival(const struct request *request, struct event *event)
{
	const struct config *config = request->config;
	struct arrival *arrival = arrival_take(request->loop, config->handler_count);
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

/* The body leaves the exchange: as the one event's, or as the whole that is kept beside several. */
static char *
take_body(struct request *request, size_t *size)
{
	struct http_exchange *exchange = request->exchange;
	char *block = exchange->body.data;
	*size = exchange->body.size;
	exchange->body = (struct buffer){ .limit = 0 };
	request->reserved += exchange->reserved;
	exchange->reserved = 0;
	return block;
}

static void
keep_name(char room[EVENT_ID_MOST_BYTES + 1], struct span text)
{
	memcpy(room, text.size == 0 ? "" : text.data, text.size);
	room[text.size] = '\0';
}

/* NULL: there is no memory for it now. */
static char *
copy_bytes(const char *data, size_t size)
{
	char *copy = malloc(size);
	if (copy != NULL) {
		memcpy(copy, data, size);
	}
	return copy;
}

/* Called for each event of the request. */
static bool
gather(void *context, struct span id, struct span type, struct span text)
{
	struct gathering *gathering = context;
	struct request *request = gathering->request;
	size_t size = text.size;
	char *block;
	if (!type_wanted(request->source, type)) {
		gathering->unwanted++;
		keep_name(gathering->last_id, id);
		keep_name(gathering->last_type, type);
		return true;
	}
	if (gathering->headers->size == 0) {
		fields_json(request->source, request->exchange->fields, gathering->headers);
	}
	if (!gathering->reading->several) {
		block = take_body(request, &size);
	} else {
		size_t charge = size + gathering->headers->size;
		if (!net_memory_take(request->loop->intake->net, charge)) {
			return false;
		}
		gathering->bytes += charge;
		block = copy_bytes(text.data, size);
		if (block == NULL) {
			return false;
		}
	}
	struct arrival *arrival =
		build_arrival(request, build_event(gathering, id, type, block, size));
	arrival->position = (int64_t)gathering->reading->count - 1;
	*gathering->tail = arrival;
	gathering->tail = &arrival->sibling;
	return true;
}

static void
drop(struct gathering *gathering)
{
	while (gathering->first != NULL) {
		struct arrival *next = gathering->first->sibling;
		arrival_give_back(gathering->request->loop, gathering->first);
		gathering->first = next;
	}
	net_memory_release(gathering->request->loop->intake->net, gathering->bytes);
}

/* On a core that both share each wake-up would make a batch of one. */
static void
ON_THREAD(net_thread) announce(struct intake_loop *loop, bool sleeps)
{
	if (!sleeps && loop->unannounced == 0) {
		return;
	}
	loop->unannounced++;
	if (loop->unannounced == INTAKE_UNANNOUNCED_MOST) {
		arrivals_announce(loop);
	}
}

void
arrivals_announce(struct intake_loop *loop)
{
	if (loop->unannounced > 0) {
		loop->unannounced = 0;
		store_wake(loop->intake->store);
	}
}

static void
ON_THREAD(net_thread) submit(struct intake *intake, const struct gathering *gathering)
{
	struct request *request = gathering->request;
	if (gathering->reading->several) {
		struct whole_request *whole = memory_need(sizeof(*whole));
		whole->body = take_body(request, &whole->size);
		whole->events = gathering->reading->count;
		gathering->first->whole = whole;
	}
	request->reserved += gathering->bytes;
	request->away = true;
	gathering->first->since_ns = clock_boot_ns();
	gathering->first->cookie = waiting_add(&request->loop->waiting, request);
	(void)atomic_fetch_add(&intake->waiting, 1);
	announce(request->loop, store_submit_quietly(intake->store, &gathering->first->intent));
}

/* Elements that nobody wants, beside some that are. */
static void
count_unwanted(const struct gathering *gathering)
{
	const struct request *request = gathering->request;
	if (gathering->unwanted == 0) {
		return;
	}
	metrics_answered(RESULT_IGNORED, (int64_t)gathering->unwanted);
	struct log_line line;
	log_begin(&line, LOG_INFO, "event.ignored",
	          "this source does not want the types of %zu events of a request",
	          gathering->unwanted);
	log_text(&line, "source", span_of(request->source->name));
	log_text(&line, "request_id", span_of(request->id));
	log_end(&line);
}

static void
ON_THREAD(net_thread)
	conclude(struct intake *intake, struct gathering *gathering, enum events_result result)
{
	struct request *request = gathering->request;
	enum result refusal = RESULT_MALFORMED;
	switch (result) {
	case EVENTS_READ:
		if (gathering->first != NULL) {
			count_unwanted(gathering);
			submit(intake, gathering);
		} else if (gathering->unwanted > 0) {
			request_ignore(request, "this source does not want this type",
			               span_of(gathering->last_id), span_of(gathering->last_type));
		} else {
			request_ignore(request, "the request holds no events", (struct span){ 0 },
			               (struct span){ 0 });
		}
		return;
	case EVENTS_BESIDE:
		request_ignore(request, "no event: the provider gives it no id", (struct span){ 0 },
		               (struct span){ 0 });
		return;
	case EVENTS_MALFORMED: break;
	case EVENTS_TOO_MANY: refusal = RESULT_BODY_TOO_LARGE; break;
	case EVENTS_STOPPED: refusal = RESULT_OVERLOADED; break;
	}
	drop(gathering);
	request_reject(intake, request->exchange, request, refusal, gathering->reading->wrong);
}

void
request_submit(struct intake *intake, struct request *request)
{
	struct gathering gathering = { .request = request };
	struct events_reading reading = { .scheme = &request->source->scheme,
		                          .request = &request->verify,
		                          .body = buffer_view(&request->exchange->body),
		                          .context = &gathering,
		                          .event = gather };
	gathering.reading = &reading;
	struct buffer *headers = &request->loop->headers;
	headers->size = 0;
	gathering.headers = headers;
	gathering.tail = &gathering.first;
	conclude(intake, &gathering, events_read(&reading));
	if (headers->room > INTAKE_SPARE_BYTES) {
		buffer_finish(headers);
	}
}
