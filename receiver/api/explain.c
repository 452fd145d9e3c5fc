/* Why a delivery is not running, and when it will: every reason that holds, with its time where it has one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"

#define TEXT_BYTES 512

struct explained {
	struct call_context *context;
	int64_t seq;
	json_t *list;
	struct error *err;
	bool failed;
};

struct reasons {
	json_t *list;
	int64_t not_before_ns; /* wall time; INT64_MAX: it depends on somebody */
};

/* Until then (wall time; 0: nobody knows when; INT64_MAX: until somebody does something). */
static void PRINTF(4, 5)
	add(struct reasons *reasons, const char *word, int64_t until_ns, const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	bool known = until_ns != 0 && until_ns != INT64_MAX;
	(void)json_array_append_new(reasons->list,
	                            json_pack("{s:s, s:o, s:o}", "reason", word, "until",
	                                      known ? json_of_time(until_ns) : json_null(),
	                                      "message", json_of_span(span_of(text))));
	if (until_ns > reasons->not_before_ns) {
		reasons->not_before_ns = until_ns;
	}
}

struct order {
	struct reasons *reasons;
	bool any;
};

static bool
on_head(void *context, const struct named_delivery *head)
{
	struct order *order = context;
	order->any = true;
	bool dead = head->state == DELIVERY_DEAD;
	add(order->reasons, "order", dead ? INT64_MAX : 0, "behind %.*s/%.*s, which is %s%s",
	    SPAN_ARG(head->source), SPAN_ARG(head->event_id), delivery_state_name(head->state),
	    dead ? " and holds its key: replay or discard it" : "");
	return false;
}

/* What the schedule says about the handler, now. */
static void
explain_handler(struct explained *explained, const struct delivery_row *row,
                const struct handler *handler, struct reasons *reasons)
{
	const struct engine *engine = explained->context->api->engine;
	struct line_view view;
	if (engine == NULL) {
		add(reasons, "stopped", INT64_MAX, "the service is stopped: nothing is tried");
		return;
	}
	if (!engine_view(engine, row->handler, &view)) {
		return;
	}
	int64_t offset_ns = clock_wall_ns() - clock_boot_ns();
	if (view.watched && view.breaker == BREAKER_OPEN) {
		add(reasons, "breaker", view.breaker_until_ns + offset_ns,
		    "the breaker of the handler is open: its destination failed");
	} else if (view.watched && view.breaker == BREAKER_HALF_OPEN) {
		add(reasons, "breaker", 0,
		    "the breaker of the handler is half-open: one probe runs");
	}
	bool waits = row->retry && row->due_ns <= clock_wall_ns(); /* else it needs none yet */
	if (waits && view.has_budget && view.tokens_milli < 1000) {
		add(reasons, "budget", 0, "it waits for a token of the handler's retry budget");
	} else if (waits && engine_tokens(engine) < 1000) {
		add(reasons, "budget", 0, "it waits for a token of the global retry budget");
	}
	if (view.full) {
		add(reasons, "concurrency", 0, "all %lld slots of the handler are taken",
		    (long long)view.most);
	} else if (!view.apart && view.in_use > 0 && engine_shared_free(engine) <= 0) {
		add(reasons, "concurrency", 0,
		    "the handler's own slot and all `workers` are taken");
	}
	(void)handler;
}

static void
explain_pending(struct explained *explained, const struct delivery_row *row,
                struct reasons *reasons)
{
	struct call_context *context = explained->context;
	char *name = span_copy(row->handler_name);
	const struct handler *handler = config_handler_by_name(context->api->config, name);
	free(name);
	if (handler == NULL) {
		add(reasons, "handler_gone", INT64_MAX,
		    "the handler is not configured: it runs when the name returns");
		return;
	}
	if (row->paused_ns > clock_wall_ns()) {
		add(reasons, "paused", row->paused_ns,
		    "the handler is paused%s%.*s; hooklatch resume %s",
		    row->paused_reason.size > 0 ? ": " : "", SPAN_ARG(row->paused_reason),
		    handler->name);
	}
	if (row->held) {
		struct order order = { reasons, false };
		bool holds = handler->settings->on_dead == 1;
		if (!reader_order_head(context->reader,
		                       (struct delivery_key){ explained->seq, row->handler },
		                       row->order_key, holds, on_head, &order, explained->err)) {
			explained->failed = true;
		}
		explain_handler(explained, row, handler, reasons);
		return;
	}
	if (row->due_ns > clock_wall_ns()) {
		add(reasons, "backoff", row->due_ns, "after its failed try: %.*s",
		    SPAN_ARG(row->last_error));
	}
	if (handler_consumed(handler) && context->api->engine != NULL) {
		add(reasons, "consumer", 0, "a consumer must take it: hooklatch take %s",
		    handler->name);
		return;
	}
	explain_handler(explained, row, handler, reasons);
	if (json_array_size(reasons->list) == 0) {
		add(reasons, "due", 0, "nothing holds it up: it runs at once");
	}
}

static void
explain_ended(const struct delivery_row *row, bool stopped, struct reasons *reasons)
{
	switch (row->state) {
	case DELIVERY_RUNNING:
		if (stopped) {
			add(reasons, "stopped", INT64_MAX,
			    "the service is stopped: a try that it had begun counts as crashed when it starts");
		} else if (row->lease_until_ns != 0) {
			add(reasons, "running", 0, "a consumer has it");
		} else {
			add(reasons, "running", 0, "attempt %lld is under way",
			    (long long)row->attempts);
		}
		break;
	case DELIVERY_DONE: add(reasons, "done", INT64_MAX, "it is done"); break;
	case DELIVERY_DEAD:
		add(reasons, "dead", INT64_MAX, "%.*s; hooklatch dead replay brings it back",
		    SPAN_ARG(row->last_error));
		break;
	case DELIVERY_DISCARDED:
		add(reasons, "discarded", INT64_MAX,
		    "somebody gave it up; hooklatch dead restore brings it back");
		break;
	case DELIVERY_PENDING:
	case DELIVERY_STATES: break;
	}
}

static bool
explain_one(void *context, const struct delivery_row *row)
{
	struct explained *explained = context;
	struct reasons reasons = { json_array(), 0 };
	if (row->state == DELIVERY_PENDING) {
		explain_pending(explained, row, &reasons);
	} else {
		explain_ended(row,
		              explained->context->api->engine == NULL && row->lease_until_ns == 0,
		              &reasons);
	}
	json_t *item = json_of_delivery(row);
	bool known = reasons.not_before_ns != 0 && reasons.not_before_ns != INT64_MAX;
	if (row->state == DELIVERY_PENDING) {
		(void)json_object_set_new(item, "next_attempt_at",
		                          known ? json_of_time(reasons.not_before_ns)
		                                : json_null());
	}
	(void)json_object_set_new(item, "reasons", reasons.list);
	(void)json_array_append_new(explained->list, item);
	return !explained->failed;
}

static bool
take_seq(void *context, const struct event_row *row)
{
	*(int64_t *)context = row->seq;
	return false;
}

json_t *
explain_show(struct call_context *context, struct error *err)
{
	char *source;
	char *id;
	if (!path_event(context->rest, &source, &id, err)) {
		return NULL;
	}
	struct explained explained = { context, 0, json_array(), err, false };
	bool good =
		reader_event_row(context->reader, span_of(source), span_of(id), take_seq,
	                         &explained.seq, err) &&
		reader_deliveries(context->reader, explained.seq, explain_one, &explained, err) &&
		!explained.failed;
	json_t *document =
		good ? json_pack("{s:o, s:o, s:I, s:O}", "source", json_of_span(span_of(source)),
	                         "event_id", json_of_span(span_of(id)), "sequence",
	                         (json_int_t)explained.seq, "deliveries", explained.list)
		     : NULL;
	json_decref(explained.list);
	free(source);
	free(id);
	return document;
}
