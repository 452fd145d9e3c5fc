#include "receiver/dispatch/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#define LINES_MOST 4096 /* as many handlers as a store ever knows */

/* A bucket as other threads see it: it fills on while nobody looks. */
struct shown_budget {
	atomic_llong level;
	atomic_llong at_ns;
	atomic_llong rate;
	atomic_llong burst;
};

struct line {
	int64_t number;
	struct slots slots;
	atomic_bool configured;
	atomic_bool fast; /* fresh ones may run at once: nobody older waits, nothing is closed */
	struct window lanes[SCHEDULE_LANES];
	struct line_settings settings;
	struct budget budget;
	struct breaker breaker;
	int64_t paused_until_ns;
	size_t claiming; /* taken out of a lane, not come back yet */
	struct busy {
		int64_t seq;
		int lane; /* of what was told meanwhile; -1: nothing */
		struct window_item told;
	} * busy;
	size_t busy_room;
	/* its clock runs while it is able to run */
	atomic_llong clock_offset_ns;
	atomic_llong frozen_ns; /* boot time since which it stands; 0: it runs */
	/* for line_view() */
	atomic_bool shown_consumed;
	atomic_bool shown_budget;
	atomic_bool shown_watched;
	atomic_llong shown_concurrency;
	atomic_int shown_breaker;
	atomic_llong shown_breaker_until_ns;
	atomic_llong shown_paused_until_ns;
	struct shown_budget shown_tokens;
};

struct schedule {
	struct schedule_listener listener;
	struct shared_slots shared;
	struct budget budget;
	struct shown_budget shown_tokens;
	atomic_bool hungry; /* something waits for a slot */
	int64_t held_until_ns;
	_Atomic(struct line *) lines[LINES_MOST];
	int64_t highest;
};

/* --- life --- */

struct schedule *
schedule_create(int64_t workers, int64_t rate, int64_t burst,
                const struct schedule_listener *listener, int64_t now_ns)
{
	struct schedule *schedule = memory_need(sizeof(*schedule));
	schedule->listener = *listener;
	shared_slots_init(&schedule->shared, workers);
	budget_init(&schedule->budget, rate, burst, now_ns);
	return schedule;
}

void
schedule_destroy(struct schedule *schedule)
{
	if (schedule == NULL) {
		return;
	}
	for (int64_t i = 0; i <= schedule->highest; i++) {
		struct line *line = atomic_load(&schedule->lines[i]);
		if (line != NULL) {
			for (int lane = 0; lane < SCHEDULE_LANES; lane++) {
				window_finish(&line->lanes[lane]);
			}
			free(line->busy);
			free(line);
		}
	}
	free(schedule);
}

void
schedule_set_budget(struct schedule *schedule, int64_t rate, int64_t burst, int64_t now_ns)
{
	budget_change(&schedule->budget, rate, burst, now_ns);
}

void
schedule_hold(struct schedule *schedule, int64_t until_ns)
{
	schedule->held_until_ns = until_ns;
}

void
schedule_close(struct schedule *schedule)
{
	atomic_store(&schedule->shared.closed, true);
}

struct line *
schedule_line(const struct schedule *schedule, int64_t number)
{
	return number > 0 && number < LINES_MOST ? atomic_load(&schedule->lines[number]) : NULL;
}

int64_t
line_number(const struct line *line)
{
	return line->number;
}

int64_t
line_max_wait(const struct line *line)
{
	return line->settings.max_wait_ns;
}

bool
line_watched(const struct line *line)
{
	return atomic_load(&line->shown_watched);
}

bool
line_configured(const struct line *line)
{
	return atomic_load(&line->configured);
}

/* --- the handler's clock --- */

static void
clock_stop(struct line *line, int64_t now_ns)
{
	if (atomic_load(&line->frozen_ns) == 0) {
		atomic_store(&line->frozen_ns, now_ns);
	}
}

static void
clock_go(struct line *line, int64_t now_ns)
{
	long long since = atomic_exchange(&line->frozen_ns, 0);
	if (since != 0) {
		(void)atomic_fetch_sub(&line->clock_offset_ns, now_ns - since);
	}
}

int64_t
line_ran_ns(const struct line *line, int64_t now_ns)
{
	long long since = atomic_load(&line->frozen_ns);
	return (since != 0 ? since : now_ns) + atomic_load(&line->clock_offset_ns);
}

/* --- configuration --- */

static void
set_up(struct line *line, const struct line_settings *settings, int64_t now_ns)
{
	slots_change(&line->slots, settings->brief ? SLOTS_AHEAD : settings->concurrency,
	             settings->brief || settings->on_store);
	if (settings->has_budget && line->settings.has_budget) {
		budget_change(&line->budget, settings->rate, settings->burst, now_ns);
	} else if (settings->has_budget) {
		budget_init(&line->budget, settings->rate, settings->burst, now_ns);
	}
	breaker_configure(&line->breaker, settings->breaker_failures, settings->breaker_cooldown_ns,
	                  settings->breaker_max_cooldown_ns);
	line->settings = *settings;
	atomic_store(&line->shown_consumed, settings->consumed);
	atomic_store(&line->shown_budget, settings->has_budget);
	atomic_store(&line->shown_watched, settings->breaker_failures > 0);
	atomic_store(&line->shown_concurrency, settings->concurrency);
	if (line->busy_room < (size_t)settings->concurrency) {
		line->busy_room = (size_t)settings->concurrency;
		line->busy = memory_resize(line->busy, line->busy_room * sizeof(*line->busy));
	}
	if (settings->consumed) {
		atomic_store(&line->fast, false);
	}
	atomic_store(&line->configured, true);
}

struct line *
schedule_configure(struct schedule *schedule, int64_t number, const struct line_settings *settings,
                   int64_t now_ns)
{
	ALWAYS(number > 0 && number < LINES_MOST, "line-number");
	struct line *line = schedule_line(schedule, number);
	if (line != NULL) {
		set_up(line, settings, now_ns);
		return line;
	}
	line = memory_need(sizeof(*line));
	line->number = number;
	slots_init(&line->slots, &schedule->shared);
	breaker_init(&line->breaker);
	for (int i = 0; i < SCHEDULE_LANES; i++) {
		window_init(&line->lanes[i]);
	}
	atomic_store(&line->clock_offset_ns, -now_ns);
	set_up(line, settings, now_ns); /* not fast until the disk has been looked at */
	atomic_store(&schedule->lines[number], line);
	schedule->highest = number > schedule->highest ? number : schedule->highest;
	return line;
}

void
schedule_retire(struct schedule *schedule, int64_t number, int64_t now_ns)
{
	struct line *line = schedule_line(schedule, number);
	if (line != NULL) {
		atomic_store(&line->configured, false);
		atomic_store(&line->fast, false);
		clock_stop(line, now_ns);
	}
}

void
schedule_pause(struct line *line, int64_t until_ns, int64_t now_ns)
{
	line->paused_until_ns = until_ns > now_ns ? until_ns : 0;
	if (line->paused_until_ns != 0) {
		atomic_store(&line->fast, false);
	}
}

/* --- what is known --- */

static struct busy *
busy_of(struct line *line, int64_t seq)
{
	for (size_t i = 0; i < line->claiming; i++) {
		if (line->busy[i].seq == seq) {
			return &line->busy[i];
		}
	}
	return NULL;
}

void
schedule_due(struct line *line, int lane, struct window_item item)
{
	struct busy *busy = busy_of(line, item.seq);
	if (busy == NULL) {
		window_add(&line->lanes[lane], item);
	} else { /* it counts when the claim comes to nothing */
		busy->lane = lane;
		busy->told = item;
	}
}

void
schedule_fetched(struct line *line, int lane, bool whole, int64_t last_ns)
{
	window_fetched(&line->lanes[lane], whole, whole ? INT64_MAX : last_ns);
}

void
schedule_fetch_failed(struct line *line, int lane, int64_t again_ns)
{
	window_fetch_failed(&line->lanes[lane], again_ns);
}

void
schedule_claimed(struct line *line, int lane, int64_t seq, bool runs,
                 const struct window_item *again)
{
	struct busy *busy = busy_of(line, seq);
	struct busy was = { .lane = -1 };
	if (busy != NULL) {
		was = *busy;
		*busy = line->busy[--line->claiming];
	}
	if (!runs) { /* no try was made after all: another one may probe */
		breaker_learned_nothing(&line->breaker, seq);
	}
	if (again != NULL) {
		schedule_due(line, lane, *again);
	} else if (!runs && was.lane >= 0) {
		schedule_due(line, was.lane, was.told);
	}
}

void
schedule_ended(struct schedule *schedule, struct line *line, int64_t seq, enum schedule_news news,
               int64_t now_ns)
{
	bool changed = false;
	switch (news) {
	case NEWS_NOTHING: breaker_learned_nothing(&line->breaker, seq); break;
	case NEWS_FAILURE: changed = breaker_failed(&line->breaker, seq, now_ns); break;
	case NEWS_SUCCESS: changed = breaker_succeeded(&line->breaker, seq); break;
	}
	if (changed) {
		atomic_store(&line->fast, false); /* the pump decides anew */
		schedule->listener.breaker(schedule->listener.context, line, &line->breaker);
	}
}

/* --- decisions --- */

static const struct window_item *
ready(const struct line *line, int lane, int64_t now_ns)
{
	const struct window_item *first = window_first(&line->lanes[lane]);
	return first != NULL && first->at_ns <= now_ns ? first : NULL;
}

/* Whether anything of it may be tried now. */
static bool
is_able(struct line *line, int64_t now_ns)
{
	if (line->paused_until_ns != 0 && now_ns >= line->paused_until_ns) {
		line->paused_until_ns = 0;
	}
	return atomic_load(&line->configured) && !line->settings.consumed &&
	       line->paused_until_ns == 0 && breaker_allows(&line->breaker, now_ns);
}

static bool
has_token(struct schedule *schedule, struct line *line, int64_t now_ns)
{
	return budget_has(&schedule->budget, now_ns) &&
	       (!line->settings.has_budget || budget_has(&line->budget, now_ns));
}

static void
claim(struct schedule *schedule, struct line *line, int lane, enum slot slot)
{
	struct window_item item = window_take(&line->lanes[lane]);
	ALWAYS(line->claiming < line->busy_room, "busy-room");
	line->busy[line->claiming++] = (struct busy){ .seq = item.seq, .lane = -1 };
	breaker_tries(&line->breaker, item.seq);
	schedule->listener.claim(schedule->listener.context, line, lane, item, slot);
}

/* First tries: as many as there are slots. */
static void
run_fresh(struct schedule *schedule, struct line *line, int64_t now_ns)
{
	while (ready(line, 0, now_ns) != NULL && line->claiming < line->busy_room &&
	       is_able(line, now_ns)) {
		enum slot slot = slots_take(&line->slots);
		if (slot == SLOT_NONE) {
			return;
		}
		claim(schedule, line, 0, slot);
	}
}

/* The line whose retry is due earliest among those that can be tried; `passed` had no slot. */
static struct line *
earliest_retry(struct schedule *schedule, const bool *passed, int64_t now_ns)
{
	struct line *best = NULL;
	for (int64_t i = 1; i <= schedule->highest; i++) {
		struct line *line = schedule_line(schedule, i);
		const struct window_item *item = line == NULL ? NULL : ready(line, 1, now_ns);
		if (item == NULL || passed[i] || !is_able(line, now_ns) ||
		    line->claiming >= line->busy_room || !has_token(schedule, line, now_ns)) {
			continue;
		}
		if (best == NULL || item->at_ns < window_first(&best->lanes[1])->at_ns) {
			best = line;
		}
	}
	return best;
}

/* In due order over all handlers, as far as tokens and slots go. */
static void
run_retries(struct schedule *schedule, int64_t now_ns)
{
	bool passed[LINES_MOST] = { false };
	struct line *line;
	while (budget_has(&schedule->budget, now_ns) &&
	       (line = earliest_retry(schedule, passed, now_ns)) != NULL) {
		enum slot slot = slots_take(&line->slots);
		if (slot == SLOT_NONE) {
			passed[line->number] = true;
			continue;
		}
		budget_take(&schedule->budget, now_ns);
		if (line->settings.has_budget) {
			budget_take(&line->budget, now_ns);
		}
		claim(schedule, line, 1, slot);
	}
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When a line that cannot be tried now can be: by the clock. */
static int64_t
when_able(const struct line *line)
{
	int64_t when = INT64_MAX;
	if (line->paused_until_ns != 0) {
		when = line->paused_until_ns;
	} else if (line->breaker.state == BREAKER_OPEN) {
		when = line->breaker.until_ns;
	}
	return when;
}

static void
show_budget(struct shown_budget *shown, const struct budget *budget)
{
	atomic_store(&shown->level, budget->level);
	atomic_store(&shown->at_ns, budget->at_ns);
	atomic_store(&shown->rate, budget->rate);
	atomic_store(&shown->burst, budget->burst);
}

static int64_t
shown_tokens_milli(const struct shown_budget *shown, int64_t now_ns)
{
	struct budget budget = { .rate = atomic_load(&shown->rate),
		                 .burst = atomic_load(&shown->burst),
		                 .level = atomic_load(&shown->level),
		                 .at_ns = atomic_load(&shown->at_ns) };
	(void)budget_has(&budget, now_ns);
	return budget.level / NS_PER_MS;
}

static void
show(struct line *line, int64_t now_ns)
{
	atomic_store(&line->shown_breaker, (int)line->breaker.state);
	atomic_store(&line->shown_breaker_until_ns, line->breaker.until_ns);
	atomic_store(&line->shown_paused_until_ns, line->paused_until_ns);
	if (line->settings.has_budget) {
		(void)budget_has(&line->budget, now_ns);
		show_budget(&line->shown_tokens, &line->budget);
	}
}

/* What is left of a line after its tries: fetches, its clock, whether fresh ones may pass, and when to come again. */
static int64_t
settle_line(struct schedule *schedule, struct line *line, int64_t now_ns, bool *hungry)
{
	int64_t next = INT64_MAX;
	bool able = is_able(line, now_ns);
	bool stands = line->paused_until_ns != 0 || line->breaker.state == BREAKER_OPEN;
	if (stands) {
		clock_stop(line, now_ns);
		atomic_store(&line->fast, false);
		show(line, now_ns);
		return when_able(line);
	}
	clock_go(line, now_ns);
	for (int lane = 0; lane < SCHEDULE_LANES; lane++) {
		if (window_wants(&line->lanes[lane], now_ns)) {
			window_asked(&line->lanes[lane]);
			schedule->listener.fetch(schedule->listener.context, line, lane);
		}
		int64_t when = window_next(&line->lanes[lane]);
		next = when > now_ns ? earlier(next, when)
		                     : next; /* ready ones wait for other things */
	}
	bool token = has_token(schedule, line, now_ns);
	bool retry = ready(line, 1, now_ns) != NULL;
	bool waits = ready(line, 0, now_ns) != NULL || (retry && token);
	bool on_disk = line->lanes[0].disk_ns <= now_ns || line->lanes[0].fetching ||
	               line->lanes[0].failed;
	*hungry = *hungry || (able && waits);
	/* With the slots of a brief handler nothing that waits is held up by what passes it. */
	bool passes = line->settings.brief || (!waits && !on_disk);
	atomic_store(&line->fast, able && passes && line->breaker.state == BREAKER_CLOSED);
	if (retry && !token) {
		int64_t own =
			line->settings.has_budget ? budget_when(&line->budget, now_ns) : now_ns;
		int64_t all = budget_when(&schedule->budget, now_ns);
		next = earlier(next, own > all ? own : all);
	}
	show(line, now_ns);
	return next;
}

/* A consumer makes the tries: what is left is its clock. */
static int64_t
settle_consumed(struct line *line, int64_t now_ns)
{
	(void)is_able(line, now_ns); /* a pause may be over */
	if (line->paused_until_ns != 0) {
		clock_stop(line, now_ns);
	} else {
		clock_go(line, now_ns);
	}
	show(line, now_ns);
	return line->paused_until_ns == 0 ? INT64_MAX : line->paused_until_ns;
}

static int64_t
pump_once(struct schedule *schedule, int64_t now_ns)
{
	int64_t next = INT64_MAX;
	bool hungry = false;
	if (atomic_load(&schedule->shared.closed)) {
		return next;
	}
	bool held = now_ns < schedule->held_until_ns;
	if (held) {
		next = schedule->held_until_ns;
	} else {
		run_retries(schedule, now_ns);
	}
	for (int64_t i = 1; i <= schedule->highest; i++) {
		struct line *line = schedule_line(schedule, i);
		if (line == NULL || !atomic_load(&line->configured)) {
			continue;
		}
		if (line->settings.consumed) {
			next = earlier(next, settle_consumed(line, now_ns));
			continue;
		}
		if (!held) {
			run_fresh(schedule, line, now_ns);
		}
		next = earlier(next, settle_line(schedule, line, now_ns, &hungry));
	}
	show_budget(&schedule->shown_tokens, &schedule->budget);
	atomic_store(&schedule->hungry, hungry);
	return next;
}

int64_t
schedule_pump(struct schedule *schedule, int64_t now_ns)
{
	bool was_hungry = atomic_load(&schedule->hungry);
	int64_t next = pump_once(schedule, now_ns);
	if (!was_hungry && atomic_load(&schedule->hungry)) {
		/* A slot may have come free before anybody knew that we wait for one. */
		next = pump_once(schedule, now_ns);
	}
	return next;
}

/* --- any thread --- */

enum slot
schedule_take_slot(struct schedule *schedule, int64_t number)
{
	struct line *line = schedule_line(schedule, number);
	if (line == NULL || !atomic_load(&line->configured) || !atomic_load(&line->fast)) {
		return SLOT_NONE;
	}
	return slots_take(&line->slots);
}

bool
schedule_give_slot(struct schedule *schedule, int64_t number, enum slot slot)
{
	slots_give(&schedule_line(schedule, number)->slots, slot);
	return atomic_load(&schedule->hungry);
}

void
line_view(const struct line *line, int64_t now_ns, struct line_view *view)
{
	*view = (struct line_view){
		.configured = atomic_load(&line->configured),
		.consumed = atomic_load(&line->shown_consumed),
		.watched = line_watched(line),
		.breaker = (enum breaker_state)atomic_load(&line->shown_breaker),
		.breaker_until_ns = atomic_load(&line->shown_breaker_until_ns),
		.paused_until_ns = atomic_load(&line->shown_paused_until_ns),
		.has_budget = atomic_load(&line->shown_budget),
		.tokens_milli = shown_tokens_milli(&line->shown_tokens, now_ns),
		.concurrency = atomic_load(&line->shown_concurrency),
		.apart = atomic_load(&line->slots.apart),
		.most = atomic_load(&line->slots.most),
		.full = atomic_load(&line->slots.room) <= 0,
	};
	int64_t taken = slots_taken(
		&line->slots); /* a change of `most` is seen a little before that of `room` */
	view->in_use = taken < 0 ? 0 : taken > view->concurrency ? view->concurrency : taken;
}

int64_t
schedule_tokens_milli(const struct schedule *schedule, int64_t now_ns)
{
	return shown_tokens_milli(&schedule->shown_tokens, now_ns);
}

int64_t
schedule_shared_free(const struct schedule *schedule)
{
	return atomic_load(&schedule->shared.free);
}
