/* The store: the only room that touches the database. One writer thread; everybody else asks it through its inbox.
 *
 * Threads  store_submit() and the other store_… intents from any thread; the listener's calls come on the store thread
 *          after the commit, and must not block.
 * Promise  An arrival is ACCEPTED after the commit of event, dedup key and deliveries was synced, never before.
 * Failure  ARRIVAL_FULL, ARRIVAL_BUSY: nothing stored, may work later. ARRIVAL_BAD: unknown; the store accepts nothing
 *          more and calls listener->broken once. Results, claims and changes wait through FULL and BUSY. */
#ifndef HOOKLATCH_STORE_STORE_H
#define HOOKLATCH_STORE_STORE_H

#include "receiver/base/queue.h"
#include "receiver/base/thread.h"
#include "receiver/model/delivery.h"
#include "receiver/model/event.h"
#include "receiver/model/filter.h"

#define STORE_HANDLERS_MOST 4096 /* that a store ever knew */
#define STORE_REVIVALS_MOST 10
#define STORE_BATCH_MOST    512
#define STORE_BATCH_BYTES   (8 * 1024 * 1024)
#define LEDGER_RECEIVED     DELIVERY_STATES /* all deliveries that were ever made */

extern struct thread_role store_thread;

struct store;

/* --- what goes in --- */

enum intent_kind {
	INTENT_ARRIVAL,
	INTENT_CLAIM,
	INTENT_RESULT,
	INTENT_CHANGE,
};

struct intent {
	struct queue_item item;
	enum intent_kind kind;
	struct intent *next; /* in the lists that the listener gets */
};

enum arrival_result {
	ARRIVAL_ACCEPTED,
	ARRIVAL_DUPLICATE,
	ARRIVAL_REVIVED,
	ARRIVAL_FULL,
	ARRIVAL_BUSY,
	ARRIVAL_BAD,
};

struct wanted {
	int64_t handler;
	bool at_most_once;
};

/* One request's event on its way in. Made and freed by whoever submits it. */
struct arrival {
	struct intent intent;
	struct event *event; /* the arrival's own reference */
	uint64_t cookie;     /* names the waiting request; it is no pointer */
	size_t loop;         /* which loop waits */
	/* results */
	enum arrival_result result;
	bool has_state;
	enum delivery_state state; /* of a duplicate */
	bool conflict;             /* same id, other body */
	size_t wanted_count;
	struct wanted wanted[];
};

/* Asks for one delivery to be run: pending becomes running (or done, at-most-once), its attempt is counted. */
struct claim {
	struct intent intent;
	struct delivery_key key;
	int64_t expected_due_ns; /* as dispatch knows it: another one on disk means that it has moved since */
	bool at_most_once;
	bool corrupt;        /* the body is not what was stored: make it dead instead */
	struct event *event; /* the claim's own reference */
	int slot;            /* dispatch's own */
	/* results */
	bool claimed;
	bool later;     /* still pending, but due later */
	int64_t due_ns; /* when later */
	int64_t attempts;
	int64_t round;
	int64_t first_failed_ran_ns; /* -1: no try has failed yet */
};

enum result_move {
	MOVE_DONE,
	MOVE_AGAIN, /* pending, due at due_ns */
	MOVE_DEAD,
	MOVE_GIVE_BACK, /* pending, uncounted */
};

/* What became of a try. */
struct result_intent {
	struct intent intent;
	struct delivery_key key;
	enum result_move move;
	bool at_most_once;
	bool retried; /* not the first try of the first round: a success has a row too */
	int64_t round;
	int64_t attempts;
	int64_t due_ns;
	int64_t started_ns;
	int64_t duration_ns;
	int64_t ran_ns;         /* the handler's clock */
	const char *reason;     /* of a death; static */
	const char *error_type; /* static */
	char *error;            /* owned */
	char *output;           /* owned */
	size_t output_size;
	struct event *event; /* the result's own reference */
	int slot;            /* dispatch's own */
};

/* A delivery that is pending on disk and not known to dispatch yet. */
struct due {
	struct delivery_key key;
	int64_t due_ns;
	bool retry; /* needs a token */
};

/* A fresh delivery that was inserted as running: its slot is taken. */
struct job {
	struct job *next;
	struct delivery_key key;
	struct event *event; /* the job's own reference */
	int slot;
	int64_t attempts;
	int64_t round;
	int64_t first_failed_ran_ns;
	bool at_most_once;
};

/* --- what an operator changes --- */

enum change_kind {
	CHANGE_REPLAY,
	CHANGE_REPLAY_CANCEL,
	CHANGE_DISCARD, /* keys: dead -> discarded */
	CHANGE_RESTORE, /* keys: discarded -> dead */
	CHANGE_NAMES,   /* store_name() */
};

struct change {
	struct intent intent;
	enum change_kind kind;
	/* CHANGE_REPLAY */
	bool of_dead;        /* else of events */
	const char *filter;  /* as a query */
	const char *ids;     /* JSON, or NULL */
	const char *handler; /* to fill, or NULL */
	unsigned states;
	bool again;
	int64_t rate;
	int64_t until;
	int64_t total;
	int64_t id; /* of a replay: result of CHANGE_REPLAY, argument of CHANGE_REPLAY_CANCEL */
	/* CHANGE_DISCARD, CHANGE_RESTORE */
	const struct delivery_key *keys;
	size_t key_count;
	const struct store_names *names;
	const char *who;
	const char *reason;
	/* results */
	int64_t changed;
	struct error error;
	bool good;
	/* waiting */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool over;
};

/* --- what comes out --- */

/* What a killed life left running: back to pending, or dead when its attempts are used up. */
struct returned {
	struct delivery_key key;
	int64_t attempts;
	int64_t first_failed_ran_ns; /* -1: none before */
	int64_t ran_ns;
	/* results */
	bool dead;
	int64_t due_ns;
};

struct store_listener {
	void *context;
	/* Plans what becomes of a delivery that was running when the last life ended. */
	void (*returned)(void *context, struct returned *returned);
	/* A slot for a fresh delivery of this handler, or -1: it stays pending. Inside a transaction. */
	int (*take_slot)(void *context, int64_t handler);
	void (*give_slot)(void *context, int64_t handler, int slot);
	/* Whether the handler is configured; whether it wants the event. */
	bool (*exists)(void *context, int64_t handler);
	bool (*wants)(void *context, int64_t handler, const struct event *event);
	/* After a commit. Lists are taken over. */
	void (*jobs)(void *context, struct job *jobs);
	void (*due)(void *context, const struct due *items, size_t count);
	void (*claimed)(void *context, struct claim *const *claims, size_t count);
	void (*settled)(void *context, struct result_intent *const *results, size_t count);
	/* After a commit, or a failure: the answers can go out. */
	void *answers;
	void (*arrived)(void *answers, struct arrival *const *arrivals, size_t count);
	/* The store cannot be trusted any more: leave, by _exit, and never through a close. */
	void (*broken)(void *answers, const struct error *err);
};

struct store_options {
	const char *path;
	bool serving; /* hold the lock as the service; else as a command that waits 5 s for it */
	bool salvage_wal; /* keep a damaged WAL aside and go on with what is good of it */
};

/* Lock, scan, open, check, checkpoint, migrate, return claims: ARCHITECTURE's order of start. No thread yet. */
bool store_open(struct store **ret, const struct store_options *options, struct error *err)
	MUST_CHECK;
/* What the configuration calls its handlers and sources. */
struct store_names {
	const char *const *handlers;
	size_t handler_count;
	int64_t *numbers; /* result: their numbers in this store */
	const char *const *sources;
	size_t source_count;
	struct buffer *
		gone; /* result: sources that the store knows and that are not among them, with ", " */
};
/* Main thread. Before store_start() at once, later through the inbox. */
bool store_name(struct store *store, const struct store_names *names, struct error *err) MUST_CHECK;
bool store_start(struct store *store, const struct store_listener *listener, struct error *err)
	MUST_CHECK;
/* Everything in the inbox is done, then the thread ends and the file is closed cleanly. Takes NULL. */
void store_close(struct store *store);

void store_submit(struct store *store, struct intent *intent);
/* Submits a change and waits for it. Not on the store thread. */
bool store_change(struct store *store, struct change *change, struct error *err) MUST_CHECK;
void store_pause_claims(struct store *store); /* fresh deliveries stay pending from now on */

/* Any thread: from memory. */
bool store_ready(const struct store *store, struct buffer *why);
int64_t store_count(const struct store *store, int64_t handler,
                    unsigned state); /* handler 0: all */
int64_t store_handler_ran_ns(const struct store *store, int64_t handler);
const char *store_handler_name(const struct store *store, int64_t handler); /* NULL: unknown */
int64_t store_handlers(const struct store *store);                          /* the highest number */
void store_set_imbalance(struct store *store, int64_t off); /* what the audit found */
int64_t store_imbalance(const struct store *store);
int64_t store_commits(
	const struct store
		*store); /* finished ones: a snapshot begun after reading it holds them */
const char *store_path(const struct store *store);

/* Deliveries that are done, as they happen, for `tail`: a ring of the latest. */
struct done_note {
	int64_t number; /* rises by one */
	int64_t at_ns;
	int64_t seq;
	int64_t handler;
	int64_t attempts;
	int64_t duration_ns;
};
#define STORE_NOTES 4096
size_t store_notes_after(struct store *store, int64_t number, struct done_note *notes, size_t room);
int64_t store_notes_last(struct store *store);

#endif
