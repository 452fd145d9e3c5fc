/* The world around the schedule: a store, its reader, destinations, faults, and the glue of dispatch/engine.c between them.
 * Everything is in virtual time and follows from the seed. Wall time and boot time are the same.
 *
 *   world.c        what is configured, what happens when; crashes and new lives
 *   store.c        deliveries on disk; batches of intents; what is told, in the order of sqlite/writer.c
 *   order.c        the order for each key, as in sqlite/order.c
 *   dispatch.c     messages, fetches and loads, as in dispatch/engine.c, around the production schedule
 *   destination.c  handlers that work, fail, hang, say nothing
 *   invariant.c    what must be true at every step */
#ifndef HOOKLATCH_TESTS_SIMULATOR_WORLD_H
#define HOOKLATCH_TESTS_SIMULATOR_WORLD_H

#include "receiver/base/random.h"
#include "receiver/dispatch/backoff.h"
#include "receiver/dispatch/schedule.h"
#include "receiver/model/delivery.h"

#include "tests/simulator/calendar.h"
#include "tests/simulator/tree.h"

#define HANDLERS_MOST 12
#define KEYS_MOST     48
#define FOREVER       INT64_MAX

struct delivery {
	/* on disk */
	int64_t due_ns;
	int64_t first_failed_ran_ns;
	int32_t handler;
	int32_t key; /* 0: no order */
	int32_t round;
	int32_t attempts;
	int32_t revivals;
	enum delivery_state state;
	bool retry;
	bool held;
	/* what only the world knows */
	bool poison;         /* fails whatever the destination is like */
	bool worked_on;      /* between the commit of its claim and that of its result */
	int32_t calls;       /* that are under way now */
	int32_t tries;       /* of this round, that count */
	int32_t claiming;    /* claims that are under way */
	int64_t patient_ns;  /* a claim that failed said: not before */
	int64_t earliest_ns; /* the backoff's promise for the next try */
};

struct key {
	int32_t pending; /* trees by number, as the index delivery_order */
	int32_t dead;
	int32_t running;   /* state running on disk */
	int32_t worked_on; /* at-most-once ones too */
};

enum weather {
	WEATHER_GOOD,
	WEATHER_SLOW,
	WEATHER_FAILS, /* says something about the destination */
	WEATHER_HANGS, /* to the timeout */
	WEATHER_MUTE,  /* fails and says nothing */
	WEATHER_MIXED, /* of all */
	WEATHERS,
};

struct handler {
	int64_t number;
	bool configured; /* as the store thread sees it; dispatch learns of it by a message */
	struct line_settings settings;
	struct backoff backoff;
	bool at_most_once;
	bool holds; /* on_dead: hold */
	int32_t key_count;
	int64_t timeout_ns;
	int64_t weight;
	bool broken; /* for ever: its weather is FAILS */
	enum weather weather;
	/* on disk */
	int64_t paused_until_ns; /* 0: not */
	int64_t ran_ns;
	int32_t due[SCHEDULE_LANES]; /* the index delivery_due */
	int32_t running;
	struct key keys[KEYS_MOST + 1];
	/* in this life */
	int64_t ran_at_start_ns;
	int32_t known
		[SCHEDULE_LANES]; /* pending, free and not being claimed, by when they may be tried */
};

enum intent {
	INTENDS_ARRIVAL,
	INTENDS_CLAIM,
	INTENDS_RESULT,
	INTENDS_REOPEN, /* replay or revival */
	INTENDS_DISCARD,
	INTENDS_RESTORE,
	INTENDS_PAUSE,
};

enum move {
	MOVES_DONE,
	MOVES_AGAIN,
	MOVES_DEAD,
	MOVES_BACK,
};

struct intention {
	enum intent what;
	int64_t handler;
	int32_t number; /* of the delivery */
	bool run;       /* claim: of a kept body */
	/* CLAIM */
	struct window_item item;
	int lane;
	enum slot slot;
	bool corrupt;
	bool claimed;
	bool later;
	bool retry;
	int64_t due_ns;
	/* RESULT */
	enum move move;
	enum schedule_news news;
	int32_t round;
	int32_t attempts;
	int64_t ran_ns;
	int64_t earliest_ns;
	bool counted;
	bool applied;
	/* ARRIVAL */
	int32_t key;
	/* PAUSE */
	int64_t until_ns;
};

struct intentions {
	struct intention *items;
	size_t count;
	size_t room;
};

enum message_kind {
	TELLS_DUE,
	TELLS_FETCHED,
	TELLS_LOADED,
	TELLS_CLAIMED,
	TELLS_ENDED,
	TELLS_PAUSED,
	TELLS_CONFIG,
};

struct row {
	int32_t number;
	int64_t due_ns;
};

struct message {
	enum message_kind kind;
	int64_t handler;
	int lane;
	bool good;
	int32_t number;
	int64_t due_ns;
	struct window_item item;
	enum slot slot;
	bool runs;
	bool later;
	enum schedule_news news;
	struct row *rows; /* FETCHED: owned */
	size_t count;
	/* CONFIG: what each handler was when it was told */
	struct line_settings *settings;
	bool *configured;
};

struct question {
	int64_t handler;
	int lane;
	bool fetch;
	struct window_item item;
	enum slot slot;
};

struct call {
	int32_t number;
	int64_t handler;
	enum slot slot;
	int32_t round;
	int32_t attempts;
	int64_t ran_base_ns;
	enum move move;
	bool fails;
	enum schedule_news news;
	int64_t retry_after_ns;
	int32_t next_free;
};

struct counts {
	int64_t received;
	int64_t by_state[DELIVERY_STATES];
};

struct tally { /* what the run has met */
	int64_t steps;
	int64_t pumps;
	int64_t tries;
	int64_t first_tries_at_once;
	int64_t retries;
	int64_t not_run;
	int64_t stale;
	int64_t ordered_checks;
	int64_t out_of_order;
	int64_t fetches;
	int64_t fetches_failed;
	int64_t crashes;
	int64_t pauses;
	int64_t reloads;
	int64_t reopened;
	int64_t opened;
	int64_t probes;
	int64_t given_back;
	int64_t batches_failed;
};

struct world {
	uint64_t seed;
	int32_t traced; /* a delivery whose story is told; 0: none */
	struct random random;
	int64_t now_ns;
	int64_t life;
	bool up;
	bool calm; /* no more faults: what is left must end */
	struct calendar calendar;
	/* what is configured */
	int64_t workers;
	int64_t rate;
	int64_t burst;
	struct handler handlers[HANDLERS_MOST + 1];
	int64_t handler_count;
	int64_t weight_sum;
	/* the sender */
	int64_t wanted;
	int64_t gap_ns; /* between arrivals, about */
	/* on disk */
	struct delivery *deliveries; /* by number, from 1 */
	int32_t count;
	struct forest due;
	struct forest order;
	struct forest known; /* or, while it runs, the tree of what runs */
	struct counts counts;
	/* this life */
	struct schedule *schedule;
	struct intentions inbox; /* of the store thread */
	struct intentions batch;
	bool turning;
	int64_t disk_bad_until_ns;
	struct message *messages; /* of the dispatch thread */
	size_t message_count;
	size_t message_room;
	int64_t wake_ns; /* when the dispatch thread wakes; FOREVER: not by itself */
	struct question *questions;
	size_t question_first;
	size_t question_count;
	size_t question_room;
	bool reading;
	struct message answer;
	struct call *calls;
	int32_t call_count;
	int32_t call_room;
	int32_t call_free;
	int64_t calls_under_way;
	int64_t batch_now_ns;
	struct row *told_due; /* of the batch: published at its end */
	size_t told_count;
	size_t told_room;
	int32_t *jobs;
	enum slot *job_slots;
	size_t job_count;
	size_t job_room;
	struct tally tally;
	struct rules *rules; /* invariant.c's own */
};

void trace(const struct world *world, int64_t number, const char *format, ...) PRINTF(3, 4);

/* --- chance --- */
bool chance(struct world *world, int64_t one_in);
int64_t between(struct world *world, int64_t least, int64_t most);
int64_t between_magnitudes(struct world *world, int64_t least, int64_t most);
void plan_in(struct world *world, int64_t wait_ns, enum happening what, int64_t subject);

/* --- world.c --- */
void world_play(struct world *world);
struct handler *world_handler(struct world *world, int64_t number);

/* --- store.c --- */
void store_submit(struct world *world, const struct intention *intention);
void store_turn(struct world *world);
void store_recover(struct world *world); /* what a crash left running; keys with nobody free */
void store_told_due(struct world *world, int32_t number, int64_t due_ns);
size_t store_due(struct world *world, struct handler *handler, int lane, struct row *rows,
                 size_t room);
void store_set_held(struct world *world, int32_t number, bool held, int64_t least_due_ns);
void store_know(struct world *world, int32_t number, int64_t at_ns);
void store_unknow(struct world *world, int32_t number);

/* --- order.c --- */
bool order_is_blocked(struct world *world, struct handler *handler, int32_t key);
void order_settle(struct world *world, int32_t number);
void order_settle_key(struct world *world, struct handler *handler, int32_t key);

/* --- dispatch.c --- */
void dispatch_start(struct world *world);
void dispatch_forget(struct world *world);
void dispatch_tell(struct world *world, const struct message *message);
void dispatch_tell_config(struct world *world);
void dispatch_run(struct world *world);
void dispatch_wake(struct world *world);
void reader_look(struct world *world);
void reader_answer(struct world *world);
enum slot dispatch_take_slot(struct world *world, int64_t number);
/* A try is over: with a breaker, its slot is free when the schedule knows what it said. */
void dispatch_end_try(struct world *world, int64_t number, int32_t delivery,
                      enum schedule_news news, enum slot slot);
void dispatch_give_slot(struct world *world, int64_t number, enum slot slot);

/* --- destination.c --- */
void call_start(struct world *world, int32_t number, enum slot slot);
void call_end(struct world *world, int32_t id);
void calls_forget(struct world *world);
/* The failed try's next one: MOVES_AGAIN or MOVES_DEAD. */
enum move plan_again(struct world *world, struct handler *handler, const struct delivery *delivery,
                     int64_t ran_ns, int64_t retry_after_ns, int64_t *due_ns);

#endif
