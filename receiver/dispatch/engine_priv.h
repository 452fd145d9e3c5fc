/* What the files of the engine share: its struct, its messages, and who does what.
 *   engine.c   its life, and what other rooms ask of it
 *   message.c  what reaches the dispatch thread
 *   loop.c     the dispatch thread: what the schedule says is done
 *   loading.c  the reader thread: rows and bodies from the store
 *   listening.c  what the store thread calls
 *   setup.c    what a start and a reload let the store do first */
#ifndef HOOKLATCH_DISPATCH_ENGINE_PRIV_H
#define HOOKLATCH_DISPATCH_ENGINE_PRIV_H

#include "receiver/base/pulse.h"
#include "receiver/dispatch/attempt.h"
#include "receiver/dispatch/engine.h"
#include "receiver/dispatch/workers.h"
#include "receiver/log/log.h"
#include "receiver/store/reader.h"

enum message_kind {
	MESSAGE_DUE,     /* pending ones that the store left to us */
	MESSAGE_FETCHED, /* the reader's answer */
	MESSAGE_LOADED,
	MESSAGE_CLAIMED, /* a claim has come back */
	MESSAGE_ENDED,   /* a try of a handler with a breaker is over */
	MESSAGE_PAUSED,
	MESSAGE_CONFIG,
};

struct ended {
	int64_t handler;
	int64_t seq;
	enum schedule_news news;
	int slot;
};

struct message {
	struct queue_item item;
	enum message_kind kind;
	struct line *line;
	int lane;
	bool good;
	/* DUE, FETCHED, ENDED */
	size_t count;
	struct due *due;
	struct ended *ended;
	/* LOADED, CLAIMED */
	struct window_item loaded;
	struct event *event;
	bool intact;
	enum slot slot;
	bool later;
	bool refused;
	bool runs;
	int64_t due_ns;
	/* PAUSED */
	int64_t handler;
	int64_t until_ns;
	/* CONFIG */
	struct config *config;
};

/* What the reader is asked. */
struct question {
	struct queue_item item;
	struct line *line;
	int lane;
	bool fetch; /* else load */
	struct window_item loaded;
	enum slot slot;
};

struct engine {
	struct store *store;
	struct workers *workers;
	struct schedule *schedule;
	struct queue inbox;
	pthread_t thread;
	struct pulse pulse;
	struct queue questions;
	pthread_t reader_thread;
	bool started;
	atomic_bool ending;
	atomic_llong effects;                               /* tries that run on the store thread */
	struct random random;                               /* of the store thread */
	void (*consumable)(void *context, int64_t handler); /* something can be taken */
	void *consumable_context;
	/* the configuration as the store thread and the engine see it */
	pthread_mutex_t config_lock;
	struct config *config;
};

/* engine.c. The configuration now, with a reference for the caller; any thread. */
struct config *engine_config(struct engine *engine);
const struct handler *engine_handler(const struct config *config, int64_t number);

/* message.c. Posting: any thread; the engine frees a message. */
struct message *message_new(enum message_kind kind, struct line *line, int lane);
void message_post(struct engine *engine, struct message *message);
void message_take(struct engine *engine, struct message *message) ON_THREAD(dispatch_thread);
void engine_apply_config(struct engine *engine, const struct config *config);
/* A wall time as boot time. */
int64_t engine_boot_time(int64_t wall_ns);

/* loop.c: the schedule's listener, and the thread that pumps it. */
void engine_claim(void *context, struct line *line, int lane, struct window_item item,
                  enum slot slot);
void engine_fetch(void *context, struct line *line, int lane);
void engine_breaker(void *context, struct line *line, const struct breaker *breaker);
size_t engine_wants_own(void *context, struct span type, struct span body, struct wanted *wanted,
                        size_t room);
void engine_run(void *context);

/* loading.c */
void engine_read(void *context);

/* listening.c: a try is over; any thread. */
void engine_end_try(void *context, struct delivery_key key, int slot, int news);

#endif
