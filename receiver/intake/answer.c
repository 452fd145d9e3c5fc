#include "receiver/intake/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/metrics/metrics.h"

#define RETRY_AFTER_S 5

static void
json_member(struct buffer *out, const char *name, struct span value)
{
	buffer_format(out, ",\"%s\":", name);
	json_quote(out, value);
}

static void
json_body(const struct answer *answer, struct buffer *out)
{
	const struct result_row *row = result_row(answer->result);
	buffer_format(out, "{\"result\":\"%s\"", row->word);
	if (answer->event != NULL) {
		json_member(out, "event_id", answer->event->id);
		if (answer->event->seq > 0 && answer->result < RESULT_FIRST_REFUSAL) {
			buffer_format(out, ",\"sequence\":%" PRId64, answer->event->seq);
		}
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

/* `ack:` replaces status and body of what is good. */
static const struct ack_settings *
ack_of(const struct answer *answer)
{
	if (answer->source == NULL || answer->result >= RESULT_FIRST_REFUSAL ||
	    answer->source->settings->ack.entry.node == NULL) {
		return NULL;
	}
	return &answer->source->settings->ack;
}

void
answer_send(struct http_exchange *exchange, const struct answer *answer)
{
	const struct result_row *row = result_row(answer->result);
	const struct ack_settings *ack = ack_of(answer);
	struct buffer body;
	char fields[192];
	buffer_init(&body, 65536);
	struct http_response response = { .status = row->status,
		                          .content_type = "application/json" };
	if (ack != NULL) {
		response.status = (int)ack->status;
	}
	if (ack != NULL && ack->body != NULL) {
		buffer_text(&body, ack->body);
		bool json = ack->body[0] == '{';
		response.content_type = json ? "application/json" : "text/plain; charset=utf-8";
	} else {
		json_body(answer, &body);
	}
	int size = snprintf(fields, sizeof(fields), "Hooklatch-Result: %s\r\n", row->word);
	if (answer->result == RESULT_METHOD) {
		(void)snprintf(fields + size, sizeof(fields) - (size_t)size, "Allow: POST\r\n");
	} else if (row->status == 503) {
		(void)snprintf(fields + size, sizeof(fields) - (size_t)size, "Retry-After: %d\r\n",
		               RETRY_AFTER_S);
	}
	response.fields = fields;
	response.body = buffer_view(&body);
	response.close = answer->result == RESULT_MALFORMED && answer->source == NULL;
	int64_t took_ns = clock_wall_ns() - exchange->received_ns;
	metrics_answered(answer->result, 1);
	metrics_observe(HISTOGRAM_REQUEST, took_ns < 0 ? 0 : took_ns);
	if (answer->source != NULL) {
		bool late = took_ns > answer->source->patience_ns;
		metrics_source_answered(answer->source->name, answer->result, late);
	}
	http_answer(exchange, &response);
	buffer_finish(&body);
}
