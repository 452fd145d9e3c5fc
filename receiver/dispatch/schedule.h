/* The schedule: which delivery of which handler is tried next. It keeps a window of the earliest pending ones of each
 * handler, the retry budgets, the breakers and the pauses, and says through its listener what is to be done.
 * Pure: no thread, no file, no clock; all times are boot time (ns) and come as arguments. The same code runs in the service
 * and in the simulator.
 * Threads: one, but for what is said to be for any: slots and the handlers' clocks are atomic. */
#ifndef HOOKLATCH_DISPATCH_SCHEDULE_H
#define HOOKLATCH_DISPATCH_SCHEDULE_H

#include "receiver/dispatch/breaker.h"
#include "receiver/dispatch/budget.h"
#include "receiver/dispatch/slots.h"
#include "receiver/dispatch/window.h"

#define SCHEDULE_LANES 2 /* 0: first tries; 1: tries that need a token */

struct schedule;
struct line; /* a handler, as long as the process lives */

struct schedule_listener {
	void *context;
	/* Claim this delivery and try it; its slot is taken. Comes back as schedule_claimed(). */
	void (*claim)(void *context, struct line *line, int lane, struct window_item item,
	              enum slot slot);
	/* Read the earliest deliveries of a lane from the disk. Comes back as schedule_fetched(). */
	void (*fetch)(void *context, struct line *line, int lane);
	/* A breaker has changed its state. */
	void (*breaker)(void *context, struct line *line, const struct breaker *breaker);
};

struct line_settings {
	int64_t concurrency;
	bool brief;          /* its calls wait in line: fresh ones may pass what waits on disk */
	bool on_store;       /* the store thread makes its calls */
	int64_t max_wait_ns; /* no wait of a retry is longer */
	bool has_budget;
	int64_t rate;
	int64_t burst;
	int64_t breaker_failures; /* 0: no breaker */
	int64_t breaker_cooldown_ns;
	int64_t breaker_max_cooldown_ns;
	bool consumed; /* a consumer takes its deliveries: nothing is tried here */
};

struct schedule *schedule_create(int64_t workers, int64_t rate, int64_t burst,
                                 const struct schedule_listener *listener, int64_t now_ns);
void schedule_destroy(struct schedule *schedule); /* takes NULL */
void schedule_set_budget(struct schedule *schedule, int64_t rate, int64_t burst, int64_t now_ns);

/* The handler with this number, configured like this; made when it is not known. */
struct line *schedule_configure(struct schedule *schedule, int64_t number,
                                const struct line_settings *settings, int64_t now_ns);
/* It is not configured any more: nothing of it is tried. */
void schedule_retire(struct schedule *schedule, int64_t number, int64_t now_ns);
struct line *schedule_line(const struct schedule *schedule, int64_t number); /* any thread; NULL */
int64_t line_number(const struct line *line);                                /* any thread */
int64_t line_max_wait(const struct line *line);
bool line_configured(const struct line *line); /* any thread */
bool line_watched(const struct line *line);    /* any thread: it has a breaker */

/* A delivery that is pending on disk: due at `at_ns`. One that is known stays as it is. */
void schedule_due(struct line *line, int lane, struct window_item item);
/* `whole`: fewer than asked for, so that nothing is left on disk; else the last one is due at last_ns. */
void schedule_fetched(struct line *line, int lane, bool whole, int64_t last_ns);
void schedule_fetch_failed(struct line *line, int lane, int64_t again_ns);
/* The claim has come back: *again is due again (NULL: it runs, or is somebody else's). `runs`: it is tried now. */
void schedule_claimed(struct line *line, int lane, int64_t seq, bool runs,
                      const struct window_item *again);
/* What a try said about the destination, once its result is known. */
enum schedule_news {
	NEWS_NOTHING,
	NEWS_FAILURE,
	NEWS_SUCCESS,
};
void schedule_ended(struct schedule *schedule, struct line *line, int64_t seq,
                    enum schedule_news news, int64_t now_ns);
/* Until boot time until_ns; 0: go on. */
void schedule_pause(struct line *line, int64_t until_ns, int64_t now_ns);
/* Claims cannot be written before until_ns: none is made, of any handler. */
void schedule_hold(struct schedule *schedule, int64_t until_ns);
/* No new claims from now on. Any thread. */
void schedule_close(struct schedule *schedule);

/* Decides all that can be decided now; returns when to come again (INT64_MAX: not by the clock). */
int64_t schedule_pump(struct schedule *schedule, int64_t now_ns);

/* --- any thread --- */

/* A slot for a fresh delivery that passes nobody, or SLOT_NONE. */
enum slot schedule_take_slot(struct schedule *schedule, int64_t number);
/* Gives a slot back; true: something waits for one, so pump soon. */
bool schedule_give_slot(struct schedule *schedule, int64_t number, enum slot slot);
/* How long the handler has been able to run since the process began: neither retired, nor paused, nor behind an open
 * breaker. */
int64_t line_ran_ns(const struct line *line, int64_t now_ns);

/* What explain and stats show; a little old. */
struct line_view {
	bool configured;
	bool consumed;
	bool watched; /* it has a breaker */
	enum breaker_state breaker;
	int64_t breaker_until_ns; /* boot time, when open */
	int64_t paused_until_ns;  /* boot time; 0: it is not paused */
	bool has_budget;
	int64_t tokens_milli;
	int64_t in_use; /* slots */
	int64_t concurrency;
	bool apart;   /* no worker is kept by its calls */
	int64_t most; /* slots in all: `concurrency`, or what may be claimed ahead */
	bool full;    /* nothing of it can be claimed before a call ends */
};
void line_view(const struct line *line, int64_t now_ns, struct line_view *view);
int64_t schedule_tokens_milli(const struct schedule *schedule, int64_t now_ns);
int64_t schedule_shared_free(const struct schedule *schedule);

#endif
