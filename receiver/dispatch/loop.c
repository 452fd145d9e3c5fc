/* The dispatch thread: does what the schedule says. */
#include <inttypes.h>
#include <stdio.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/dispatch/engine_priv.h"

void
engine_claim(void *context, struct line *line, int lane, struct window_item item, enum slot slot)
{
	struct engine *engine = context;
	struct question *question = memory_need(sizeof(*question));
	question->line = line;
	question->lane = lane;
	question->loaded = item;
	question->slot = slot;
	queue_push(&engine->questions, &question->item);
}

void
engine_fetch(void *context, struct line *line, int lane)
{
	struct engine *engine = context;
	struct question *question = memory_need(sizeof(*question));
	question->line = line;
	question->lane = lane;
	question->fetch = true;
	queue_push(&engine->questions, &question->item);
}

/* Who wants one of our own happenings; an empty body: whoever names its type. */
size_t
engine_wants_own(void *context, struct span type, struct span body, struct wanted *wanted,
                 size_t room)
{
	struct config *config = engine_config(context);
	size_t count = 0;
	for (size_t i = 0; i < config->handler_count && count < room; i++) {
		const struct handler *handler = &config->handlers[i];
		if (handler_wants_own(handler, type, body)) {
			wanted[count++] =
				(struct wanted){ .handler = handler->number,
				                 .at_most_once = handler->guarantee ==
				                                 GUARANTEE_AT_MOST_ONCE,
				                 .order_key = handler_order_key(handler, body) };
		}
	}
	config_release(config);
	return count;
}

/* `breaker.opened` is an event of our own for handlers that ask for it; one of theirs makes none. */
static void
tell_breaker(struct engine *engine, const char *handler, const struct breaker *breaker,
             const char *until)
{
	struct buffer body;
	buffer_init(&body, 65536);
	buffer_text(&body, "{\"handler\":");
	json_quote(&body, span_of(handler));
	buffer_format(&body, ",\"failures\":%" PRId64 ",\"until\":\"%s\"}", breaker->failures,
	              until);
	char id[80];
	char uuid[37];
	random_uuid(clock_wall_ns(), uuid);
	(void)snprintf(id, sizeof(id), "breaker.opened/%s", uuid);
	size_t size = body.size;
	struct event_parts parts = { .source = SPAN("hooklatch"),
		                     .id = span_of(id),
		                     .type = SPAN("breaker.opened"),
		                     .body_block = buffer_steal(&body),
		                     .body_size = size,
		                     .headers = SPAN("[]"),
		                     .received_ns = clock_wall_ns() };
	struct event *event = event_create(&parts);
	struct config *config = engine_config(engine);
	struct arrival *arrival =
		memory_need(sizeof(*arrival) + config->handler_count * sizeof(arrival->wanted[0]));
	arrival->intent.kind = INTENT_ARRIVAL;
	arrival->event = event;
	arrival->own = true;
	const struct handler *self = config_handler_by_name(config, handler);
	if (self == NULL || !handler_wants_own(self, event->type, (struct span){ 0 })) {
		arrival->wanted_count = engine_wants_own(engine, event->type, event->body,
		                                         arrival->wanted, config->handler_count);
	}
	config_release(config);
	if (arrival->wanted_count > 0) {
		store_submit(engine->store, &arrival->intent);
	} else {
		arrival_free(arrival);
	}
}

void
engine_breaker(void *context, struct line *line, const struct breaker *breaker)
{
	struct engine *engine = context;
	const char *handler = store_handler_name(engine->store, line_number(line));
	bool open = breaker->state == BREAKER_OPEN;
	struct log_line log;
	char until[CLOCK_TEXT_BYTES];
	clock_text(clock_wall_ns() + breaker->wait_ns, until);
	log_begin(&log, open ? LOG_WARN : LOG_INFO, open ? "breaker.opened" : "breaker.closed",
	          "%s",
	          open ? "the destination fails: nothing is tried until the cooldown is over"
	               : "the destination works again");
	log_text(&log, "handler", span_of(handler));
	log_text(&log, "state", span_of(breaker_state_name(breaker->state)));
	if (open) {
		log_number(&log, "failures", breaker->failures);
		log_text(&log, "until", span_of(until));
	}
	log_end(&log);
	if (open) {
		tell_breaker(engine, handler, breaker, until);
	}
}

void
engine_run(void *context)
{
	thread_is(&dispatch_thread);
	struct engine *engine = context;
	while (!atomic_load(&engine->ending)) {
		pulse_begin(&engine->pulse);
		struct queue_item *item = queue_take(&engine->inbox);
		while (item != NULL) {
			struct queue_item *next = item->next;
			message_take(engine, CONTAINER(item, struct message, item));
			item = next;
		}
		int64_t when = schedule_pump(engine->schedule, clock_boot_ns());
		int64_t wait = when == INT64_MAX ? -1 : when - clock_boot_ns();
		pulse_end(&engine->pulse);
		if (wait != 0 &&
		    !atomic_load(&engine->ending)) { /* its wake may just have been taken */
			queue_wait(&engine->inbox, when != INT64_MAX && wait < 0 ? 0 : wait);
		}
	}
}
