#include "receiver/intake/answer.h"

#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/metrics/metrics.h"

#define RETRY_AFTER_S    5
#define SPARE_MOST_BYTES 4096 /* a larger buffer is given back */

static void
json_member(struct buffer *out, const char *name, struct span value)
{
	buffer_span(out, SPAN(",\""));
	buffer_text(out, name);
	buffer_span(out, SPAN("\":"));
	json_quote(out, value);
}

static void
json_count(struct buffer *out, const char *name, int64_t value)
{
	buffer_span(out, SPAN(",\""));
	buffer_text(out, name);
	buffer_span(out, SPAN("\":"));
	buffer_number(out, value);
}

static void
json_body(const struct answer *answer, struct buffer *out)
{
	const struct result_row *row = result_row(answer->result);
	buffer_span(out, SPAN("{\"result\":\""));
	buffer_text(out, row->word);
	buffer_byte(out, '"');
	if (answer->event != NULL && answer->events == 0) {
		json_member(out, "event_id", answer->event->id);
		if (answer->event->seq > 0 && answer->result < RESULT_FIRST_REFUSAL) {
			json_count(out, "sequence", answer->event->seq);
		}
	}
	if (answer->events > 0) {
		json_count(out, "events", answer->events);
		json_count(out, "new", answer->fresh);
	}
	if (answer->state != NULL) {
		json_member(out, "state", span_of(answer->state));
	}
	if (answer->reason != NULL) {
		json_member(out, "reason", span_of(answer->reason));
	}
	json_member(out, "message", span_of(row->text));
	json_member(out, "request_id", span_of(answer->request_id));
	buffer_text(out, "}\n");
}

/* What is good is answered as `ack:` says, else as the provider insists, else in JSON. */
static void
choose_response(const struct answer *answer, struct buffer *body, struct http_response *response)
{
	const struct source *source = answer->source;
	response->status = result_row(answer->result)->status;
	response->content_type = "application/json";
	if (answer->result == RESULT_CHALLENGE) {
		*response = answer->reply;
		buffer_span(body, answer->reply.body);
		return;
	}
	const char *text = NULL;
	const char *content_type = NULL;
	if (source != NULL && answer->result < RESULT_FIRST_REFUSAL) {
		const struct ack_settings *ack = &source->settings->ack;
		if (ack->entry.node != NULL) {
			response->status = (int)ack->status;
			text = ack->body;
			content_type = ack->content_type;
		} else if (source->preset != NULL) {
			const struct preset_ack *own = &source->preset->ack;
			response->status = own->status == 0 ? response->status : own->status;
			text = own->body;
			content_type = own->content_type;
		}
	}
	if (text == NULL) {
		json_body(answer, body);
		return;
	}
	buffer_text(body, text);
	response->content_type = content_type != NULL ? content_type
	                         : text[0] == '{'     ? "application/json"
	                                              : "text/plain; charset=utf-8";
}

void
answer_space_init(struct answer_space *space)
{
	buffer_init(&space->body, 65536);
	buffer_init(&space->fields, 65536);
}

void
answer_space_finish(struct answer_space *space)
{
	buffer_finish(&space->body);
	buffer_finish(&space->fields);
}

void
answer_send(struct answer_space *space, struct http_exchange *exchange, const struct answer *answer)
{
	const struct result_row *row = result_row(answer->result);
	struct buffer *body = &space->body;
	struct buffer *fields = &space->fields;
	body->size = 0;
	fields->size = 0;
	struct http_response response = { 0 };
	choose_response(answer, body, &response);
	buffer_span(fields, SPAN("Hooklatch-Result: "));
	buffer_text(fields, row->word);
	buffer_span(fields, SPAN("\r\n"));
	if (answer->result == RESULT_CHALLENGE && answer->reply.fields != NULL) {
		buffer_text(fields, answer->reply.fields);
	} else if (answer->result == RESULT_METHOD) {
		buffer_format(fields, "Allow: %s\r\n", answer->methods);
	} else if (row->status == 503) {
		buffer_format(fields, "Retry-After: %d\r\n", RETRY_AFTER_S);
	}
	buffer_byte(fields, '\0');
	response.fields = fields->data;
	response.body = buffer_view(body);
	response.close = answer->result == RESULT_MALFORMED && answer->source == NULL;
	int64_t took_ns = clock_wall_ns() - exchange->received_ns;
	metrics_answered(answer->result, 1);
	metrics_observe(HISTOGRAM_REQUEST, took_ns < 0 ? 0 : took_ns);
	if (answer->source != NULL) {
		bool late = took_ns > answer->source->patience_ns;
		metrics_source_answered(answer->source->name, answer->result, late);
	}
	http_answer(exchange, &response);
	if (body->failed || fields->failed || body->room > SPARE_MOST_BYTES ||
	    fields->room > SPARE_MOST_BYTES) {
		answer_space_finish(space);
	}
}
