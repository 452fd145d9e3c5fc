/* After the commit: answers go out on the loops that wait for them. */
#include <stdlib.h>

#include "receiver/intake/intake_priv.h"
#include "receiver/metrics/metrics.h"

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

/* How one event ended: what refuses the request refuses all of it. */
static enum result
ended(const struct arrival *first, const struct arrival *one)
{
	enum result whole = arrival_word(first->result);
	return whole >= RESULT_FIRST_REFUSAL ? whole : arrival_word(one->result);
}

/* How the request as a whole ended: accepted when any event is new, else revived when any is, else duplicate. */
struct tally {
	enum result result;
	int64_t fresh;
	bool has_state;
	enum delivery_state state; /* of the first event that has one */
};

static struct tally
tally_of(const struct arrival *first)
{
	struct tally tally = { .result = ended(first, first) };
	for (const struct arrival *one = first; one != NULL; one = one->sibling) {
		enum result result = ended(first, one);
		bool better = result == RESULT_ACCEPTED ||
		              (result == RESULT_REVIVED && tally.result == RESULT_DUPLICATE);
		tally.result = better ? result : tally.result;
		tally.fresh += result == RESULT_ACCEPTED ? 1 : 0;
		if (one->has_state && !tally.has_state) {
			tally.has_state = true;
			tally.state = one->state;
		}
	}
	return tally;
}

static void
tell_events(const struct request *request, const struct arrival *first)
{
	for (const struct arrival *one = first; one != NULL; one = one->sibling) {
		enum result result = ended(first, one);
		if (result == RESULT_ACCEPTED && one->wanted_count == 0) {
			metrics_add(METRIC_UNROUTED, 1);
		}
		log_arrival(one, request, result);
	}
}

/* The answer has counted one event, with the result of the whole; these are the others. */
static void
count_others(const struct request *request, const struct arrival *first, const struct tally *tally)
{
	bool counted = false;
	for (const struct arrival *one = first; one != NULL; one = one->sibling) {
		enum result result = ended(first, one);
		if (!counted && result == tally->result) {
			counted = true;
			continue;
		}
		metrics_answered(result, 1);
		metrics_source_answered(request->source->name, result, false);
	}
}

static void
ON_THREAD(net_thread) complete(struct intake *intake, struct arrival *arrival)
{
	size_t loop = arrival->loop;
	struct request *request = waiting_take(&intake->loops[loop].waiting, arrival->cookie);
	ALWAYS(request != NULL, "waiting-request");
	struct tally tally = tally_of(arrival);
	bool several = arrival->whole != NULL;
	tell_events(request, arrival);
	metrics_secret_matched(request->source->name, request->verification.matched);
	const char *state = NULL;
	if (tally.result == RESULT_DUPLICATE || tally.result == RESULT_REVIVED) {
		state = tally.has_state ? delivery_state_name(tally.state) : "unrouted";
	}
	net_memory_release(intake->net, request->reserved);
	(void)atomic_fetch_sub(&intake->waiting, 1);
	if (request->exchange != NULL) {
		struct answer answer = { .result = tally.result,
			                 .request_id = request->id,
			                 .source = request->source,
			                 .event = arrival->event,
			                 .state = state,
			                 .events = several ? (int64_t)arrival->whole->events : 0,
			                 .fresh = tally.fresh };
		request->exchange->data = NULL;
		answer_send(&request->loop->answers, request->exchange, &answer);
	} else {
		metrics_answered(tally.result, 1); /* stored all the same */
		metrics_source_answered(request->source->name, tally.result, true);
	}
	count_others(request, arrival, &tally);
	request_free(request);
	while (arrival != NULL) {
		struct arrival *next = arrival->sibling;
		arrival_give_back(&intake->loops[loop], arrival);
		arrival = next;
	}
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
