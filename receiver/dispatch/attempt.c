#include "receiver/dispatch/attempt.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/dispatch/schedule.h"
#include "receiver/log/log.h"
#include "receiver/metrics/metrics.h"

#define GIVE_BACK_WAIT_NS NS_PER_S /* before a try that we broke off ourselves is made again */

void
call_free(struct call *call)
{
	event_release(call->event);
	config_release(call->config);
	free(call);
}

struct backoff
backoff_of(const struct handler *handler)
{
	const struct retry_settings *retry = &handler->settings->retry;
	return (struct backoff){ .attempts = retry->attempts,
		                 .first_ns = retry->first_ns,
		                 .factor = retry->factor,
		                 .max_ns = retry->max_ns,
		                 .give_up_after_ns = retry->give_up_after_ns,
		                 .jitter = retry->jitter == 0 };
}

/* A copy that is UTF-8 for the column it goes to; the output stays bytes. */
static char *
copy_bytes(const char *data, size_t size)
{
	char *copy = memory_need(size + 1);
	memcpy(copy, data, size);
	return copy;
}

static void
be_due_in(struct result_intent *result, int64_t wait_ns)
{
	result->due_ns = clock_wall_ns() + wait_ns;
	result->due_boot_ns = clock_boot_ns() + wait_ns;
}

static void
plan_again(const struct call *call, int64_t retry_after_ns, struct result_intent *result,
           struct random *random)
{
	struct backoff backoff = backoff_of(call->handler);
	int64_t since =
		call->first_failed_ran_ns < 0 ? 0 : result->ran_ns - call->first_failed_ran_ns;
	bool first = call->first_failed_ran_ns < 0;
	if (call->attempts >= backoff.attempts) {
		result->move = MOVE_DEAD;
		result->reason = "attempts";
	} else if (!first && backoff_exhausted(&backoff, call->attempts, since)) {
		result->move = MOVE_DEAD;
		result->reason = "give_up_after";
	} else {
		result->move = MOVE_AGAIN;
		int64_t wait = backoff_wait(&backoff, call->attempts, random);
		int64_t asked = retry_after_ns < backoff.max_ns ? retry_after_ns : backoff.max_ns;
		be_due_in(result, asked > wait ? asked : wait);
	}
}

static void
plan(const struct call *call, const struct outcome *outcome, struct result_intent *result,
     struct random *random)
{
	switch (outcome->kind) {
	case OUTCOME_DONE: result->move = MOVE_DONE; return;
	case OUTCOME_RETRY: plan_again(call, outcome->retry_after_ns, result, random); return;
	case OUTCOME_DEAD:
		result->move = MOVE_DEAD;
		result->reason = "refused";
		return;
	case OUTCOME_GIVE_BACK:
		result->move = MOVE_GIVE_BACK;
		be_due_in(result, GIVE_BACK_WAIT_NS);
		return;
	}
}

struct attempt
attempt_of(const struct call *call, const struct attempt_stop *stop)
{
	return (struct attempt){ .event = call->event,
		                 .handler = call->handler->name,
		                 .settings = call->handler->kind_settings,
		                 .number = call->attempts,
		                 .key_round = call->key_round,
		                 .timeout_ns = call->handler->timeout_ns,
		                 .directory = call->config->directory,
		                 .scratch = call->config->scratch_path,
		                 .stop = stop };
}

static int
news_of(enum outcome_about about)
{
	switch (about) {
	case ABOUT_NOTHING: return NEWS_NOTHING;
	case ABOUT_FAILURE: return NEWS_FAILURE;
	case ABOUT_SUCCESS: return NEWS_SUCCESS;
	}
	return NEWS_NOTHING;
}

struct result_intent *
attempt_result(struct call *call, const struct outcome *outcome, int64_t started_ns,
               int64_t duration_ns, struct random *random)
{
	struct result_intent *result = memory_need(sizeof(*result));
	metrics_add(METRIC_ATTEMPTS, 1);
	enum try_result told = outcome->kind == OUTCOME_DONE        ? TRY_SUCCEEDED
	                       : outcome->kind == OUTCOME_GIVE_BACK ? TRY_GIVEN_BACK
	                                                            : TRY_FAILED;
	int64_t waited_ns = started_ns - call->due_ns;
	metrics_try(call->key.handler, told, duration_ns, waited_ns < 0 ? 0 : waited_ns);
	result->intent.kind = INTENT_RESULT;
	result->started_ns = started_ns;
	result->duration_ns = duration_ns;
	result->key = call->key;
	result->round = call->round;
	result->attempts = call->attempts;
	result->retried = call->attempts > 1 || call->round > 0;
	result->ordered = call->ordered;
	result->ran_ns = call->ran_base_ns + clock_boot_ns();
	result->http_status = outcome->http_status;
	result->news = news_of(outcome->about);
	result->error_type = outcome->kind == OUTCOME_DONE ? NULL : outcome->error_type;
	result->error = outcome->kind == OUTCOME_DONE ? NULL : memory_text(outcome->error);
	result->at_most_once = call->handler->guarantee == GUARANTEE_AT_MOST_ONCE;
	if (outcome->output_size > 0) {
		result->output = copy_bytes(outcome->output, outcome->output_size);
		result->output_size = outcome->output_size;
	}
	if (result->at_most_once) {
		result->unknown = outcome->unsure || outcome->kind == OUTCOME_GIVE_BACK;
		result->move =
			MOVE_DONE; /* it was recorded before the try: only the outcome is left to tell */
	} else {
		plan(call, outcome, result, random);
	}
	result->event = call->event;
	call->event = NULL;
	call_free(call);
	return result;
}

struct result_intent *
attempt_run(struct call *call, const struct attempt_stop *stop, struct random *random)
{
	struct attempt attempt = attempt_of(call, stop);
	struct outcome outcome = { .kind = OUTCOME_DONE };
	int64_t started_ns = clock_wall_ns();
	int64_t begun_ns = clock_boot_ns();
	call->handler->kind->run(&attempt, &outcome);
	return attempt_result(call, &outcome, started_ns, clock_boot_ns() - begun_ns, random);
}

static void
log_identity(struct log_line *line, const struct result_intent *result, const char *handler)
{
	const struct event *event = result->event;
	log_text(line, "source", event->source);
	log_text(line, "event_id", event->id);
	log_text(line, "type", event->type);
	log_text(line, "handler", span_of(handler));
	log_text(line, "trace_id", span_of(event->trace_id));
	log_number(line, "sequence", event->seq);
	log_number(line, "attempt", result->attempts);
	log_number(line, "duration_ms", result->duration_ns / NS_PER_MS);
	if (result->http_status != 0) {
		log_number(line, "http_status", result->http_status);
	}
	if (result->error_type != NULL) {
		log_text(line, "error_type", span_of(result->error_type));
		log_text(line, "error", span_of(result->error));
	}
}

void
attempt_log(const struct result_intent *result, const char *handler)
{
	struct log_line line;
	char due[CLOCK_TEXT_BYTES];
	if (result->error_type != NULL) {
		bool given_back = result->move == MOVE_GIVE_BACK;
		metrics_add(METRIC_ATTEMPTS_FAILED, given_back ? 0 : 1);
		log_begin(&line, LOG_WARN, given_back ? "attempt.given_back" : "attempt.failed",
		          "%s",
		          given_back ? "a try was broken off and does not count" : "a try failed");
		log_identity(&line, result, handler);
		log_text(&line, "state",
		         span_of(result->move == MOVE_DEAD   ? "dead"
		                 : result->move == MOVE_DONE ? "done"
		                                             : "pending"));
		if (result->move == MOVE_AGAIN || given_back) {
			clock_text(result->due_ns, due);
			log_text(&line, "next_attempt_at", span_of(due));
		}
		log_end(&line);
	}
	if (result->move == MOVE_DEAD) {
		metrics_add(METRIC_DEATHS, 1);
		log_begin(&line, LOG_ERROR, "delivery.dead",
		          "the delivery is dead (%s); see hooklatch dead list", result->reason);
		log_identity(&line, result, handler);
		log_text(&line, "state", SPAN("dead"));
		log_text(&line, "reason", span_of(result->reason));
		log_end(&line);
	} else if (result->move == MOVE_DONE && result->error_type == NULL) {
		log_begin(&line, LOG_INFO, "delivery.done", "handled");
		log_identity(&line, result, handler);
		log_text(&line, "state", SPAN("done"));
		log_end(&line);
	}
}
