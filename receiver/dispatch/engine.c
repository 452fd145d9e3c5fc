#include "receiver/dispatch/engine.h"

#include <stdlib.h>

#include "receiver/base/clock.h"
#include "receiver/dispatch/engine_priv.h"

struct thread_role dispatch_thread = { "dispatch" };
struct thread_role reader_thread = { "reader" };

struct config *
engine_config(struct engine *engine)
{
	(void)pthread_mutex_lock(&engine->config_lock);
	struct config *config = config_share(engine->config);
	(void)pthread_mutex_unlock(&engine->config_lock);
	return config;
}

const struct handler *
engine_handler(const struct config *config, int64_t number)
{
	for (size_t i = 0; i < config->handler_count; i++) {
		if (config->handlers[i].number == number) {
			return &config->handlers[i];
		}
	}
	return NULL;
}

bool
engine_create(struct engine **ret, struct store *store, struct config *config, struct error *err)
{
	struct engine *engine = memory_need(sizeof(*engine));
	engine->store = store;
	engine->inbox.fd = -1;
	engine->questions.fd = -1;
	engine->config = config_share(config);
	random_seed_system(&engine->random);
	(void)pthread_mutex_init(&engine->config_lock, NULL);
	struct schedule_listener listener = { .context = engine,
		                              .claim = engine_claim,
		                              .fetch = engine_fetch,
		                              .breaker = engine_breaker };
	const struct budget_settings *budget = &config->settings.retry_budget;
	engine->schedule = schedule_create(config->settings.workers, budget->rate, budget->burst,
	                                   &listener, clock_boot_ns());
	if (!queue_init(&engine->inbox, err) || !queue_init(&engine->questions, err) ||
	    !workers_create(&engine->workers, store, engine_end_try, engine, err)) {
		engine_destroy(engine);
		return false;
	}
	engine_apply_config(engine, config);
	*ret = engine;
	return true;
}

bool
engine_start(struct engine *engine, struct error *err)
{
	if (!thread_start(&engine->reader_thread, &reader_thread, engine_read, engine, err)) {
		return false;
	}
	if (!thread_start(&engine->thread, &dispatch_thread, engine_run, engine, err)) {
		atomic_store(&engine->ending, true);
		queue_wake(&engine->questions);
		(void)pthread_join(engine->reader_thread, NULL);
		return false;
	}
	engine->started = true;
	return true;
}

void
engine_set_config(struct engine *engine, struct config *config)
{
	(void)pthread_mutex_lock(&engine->config_lock);
	struct config *old = engine->config;
	engine->config = config_share(config);
	(void)pthread_mutex_unlock(&engine->config_lock);
	config_release(old);
	struct message *message = message_new(MESSAGE_CONFIG, NULL, 0);
	message->config = config_share(config);
	message_post(engine, message);
}

void
engine_stop_claiming(struct engine *engine)
{
	schedule_close(engine->schedule);
	store_pause_claims(engine->store);
}

int64_t
engine_running(const struct engine *engine)
{
	return workers_running(engine->workers) + atomic_load(&engine->effects);
}

int64_t
engine_busy_ns(const struct engine *engine)
{
	return pulse_age_ns(&engine->pulse);
}

int64_t
engine_calls(const struct engine *engine)
{
	return workers_running(engine->workers);
}

void
engine_end_handlers(struct engine *engine, bool at_once)
{
	workers_end(engine->workers, at_once);
}

void
engine_stop(struct engine *engine)
{
	if (engine == NULL || !engine->started) {
		return;
	}
	atomic_store(&engine->ending, true);
	queue_wake(&engine->inbox);
	queue_wake(&engine->questions);
	(void)pthread_join(engine->thread, NULL);
	(void)pthread_join(engine->reader_thread, NULL);
	engine->started = false;
}

static void
drop_messages(struct engine *engine)
{
	struct queue_item *item = engine->inbox.fd < 0 ? NULL : queue_take(&engine->inbox);
	while (item != NULL) {
		struct queue_item *next = item->next;
		struct message *message = CONTAINER(item, struct message, item);
		event_release(message->kind == MESSAGE_LOADED ? message->event : NULL);
		config_release(message->config);
		free(message->due);
		free(message->ended);
		free(message);
		item = next;
	}
	item = engine->questions.fd < 0 ? NULL : queue_take(&engine->questions);
	while (item != NULL) {
		struct queue_item *next = item->next;
		free(CONTAINER(item, struct question, item));
		item = next;
	}
}

void
engine_destroy(struct engine *engine)
{
	if (engine == NULL) {
		return;
	}
	workers_destroy(engine->workers);
	drop_messages(engine);
	schedule_destroy(engine->schedule);
	config_release(engine->config);
	queue_finish(&engine->inbox);
	queue_finish(&engine->questions);
	(void)pthread_mutex_destroy(&engine->config_lock);
	free(engine);
}

void
engine_set_consumable(struct engine *engine, void (*consumable)(void *context, int64_t handler),
                      void *context)
{
	engine->consumable = consumable;
	engine->consumable_context = context;
}

bool
engine_view(const struct engine *engine, int64_t handler, struct line_view *view)
{
	const struct line *line = schedule_line(engine->schedule, handler);
	if (line == NULL) {
		return false;
	}
	line_view(line, clock_boot_ns(), view);
	return true;
}

int64_t
engine_tokens(const struct engine *engine)
{
	return schedule_tokens_milli(engine->schedule, clock_boot_ns());
}

int64_t
engine_shared_free(const struct engine *engine)
{
	return schedule_shared_free(engine->schedule);
}

int64_t
engine_ran_ns(const struct engine *engine, int64_t handler)
{
	const struct line *line = schedule_line(engine->schedule, handler);
	return store_handler_ran_ns(engine->store, handler) +
	       (line == NULL ? 0 : line_ran_ns(line, clock_boot_ns()));
}
