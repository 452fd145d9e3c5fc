/* The store: the only room that touches the database. One writer thread; everybody else asks it through its inbox.
 *
 * Threads  store_submit() and the other store_… intents from any thread; the listener's calls come on the store thread
 *          after the commit, and must not block.
 * Promise  An arrival is ACCEPTED after the commit of event, dedup key and deliveries was synced, never before.
 * Failure  ARRIVAL_FULL, ARRIVAL_BUSY: nothing stored, may work later. ARRIVAL_BAD: unknown; the store accepts nothing
 *          more and calls listener->broken once. Results wait through FULL and BUSY; claims and changes fail. */
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
	INTENT_EFFECT,
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
	char *order_key; /* owned; one at a time for each key, in the order of arrival; NULL: no order */
};

/* The body of a request with several events, which is kept once, beside them. */
struct whole_request {
	char *body; /* owned */
	size_t size;
	size_t events;
};

/* One request's event on its way in. Made and freed by whoever submits it. */
struct arrival {
	struct intent intent;
	struct event *event; /* the arrival's own reference */
	uint64_t cookie;     /* names the waiting request; it is no pointer */
	size_t loop;         /* which loop waits */
	int64_t since_ns;    /* boot time at which it was submitted */
	bool own;            /* one of our own happenings: nobody waits, the store frees it */
	/* results */
	enum arrival_result result;
	bool has_state;
	enum delivery_state state; /* of a duplicate */
	bool conflict;             /* same id, other body */
	/* A request with several events: the first one's arrival is submitted, the others hang on it, in their order. */
	int64_t position;            /* in the request, from 0 */
	struct arrival *sibling;     /* NULL: the last */
	struct whole_request *whole; /* of the first: owned; NULL: a request with one event */
	size_t wanted_room;          /* its maker's own */
	size_t wanted_count;
	struct wanted wanted[];
};

/* Asks for one delivery to be run: pending becomes running (or done, at-most-once), its attempt is counted. */
struct claim {
	struct intent intent;
	struct delivery_key key;
	int64_t expected_due_ns; /* as dispatch knows it: another one on disk means that it has moved since */
	bool at_most_once;
	bool corrupt;          /* the body is not what was stored: make it dead instead */
	int64_t attempts_most; /* that have been made already: make it dead instead */
	struct event *event;   /* the claim's own reference */
	int slot;              /* dispatch's own */
	/* results */
	bool claimed;
	bool later;     /* still pending, due at due_ns */
	bool refused;   /* nothing can be written now: no claim can */
	int64_t due_ns; /* when later */
	bool retry;     /* it needs a token; as dispatch knows it, and when later, as it is */
	int64_t attempts;
	int64_t round;
	int64_t key_round;
	bool ordered;
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
	bool unknown; /* at-most-once: it was broken off, and nobody knows what it did */
	bool retried; /* not the first try of the first round: a success has a row too */
	bool ordered; /* it has an order key */
	int64_t round;
	int64_t attempts;
	int64_t due_ns;      /* wall time, for the disk */
	int64_t due_boot_ns; /* boot time, for this life: no clock that is set makes a wait shorter */
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
	int http_status;     /* of the destination's answer; 0: none */
	int news;            /* dispatch's own: what the try says about the destination */
};

/* A delivery that is pending on disk and not known to dispatch yet. */
struct due {
	struct delivery_key key;
	int64_t due_ns;
	bool retry;      /* needs a token */
	int64_t boot_ns; /* due_ns as boot time, when this very life planned it; 0: it did not */
};

/* A fresh delivery that was inserted as running: its slot is taken. */
struct job {
	struct job *next;
	struct delivery_key key;
	struct event *event; /* the job's own reference */
	int slot;
	int64_t attempts;
	int64_t round;
	int64_t key_round;
	bool ordered;
	int64_t first_failed_ran_ns;
	int64_t due_ns;
	bool at_most_once;
};

/* A try whose effect is a statement in this very database: it and its record are one transaction, shared with nothing
 * else. Made by whoever submits it; `run` is called on the store thread inside the transaction, may be called again when
 * a neighbour's mistake took the transaction with it, and says with err what went wrong. */
struct effect_scope; /* what `run` may do: effect_execute() */
struct effect {
	struct intent intent;
	struct delivery_key key;
	bool retried;
	bool ordered;
	int64_t round;
	int64_t attempts;
	int64_t timeout_ns;
	void *context; /* of whoever submits it */
	bool (*run)(void *context, struct effect_scope *scope, struct error *err);
	/* results */
	bool done;     /* committed */
	bool orphaned; /* the delivery had moved on: nothing was done */
	struct error error;
	int64_t started_ns;
	int64_t duration_ns;
};

/* --- what an operator changes --- */

enum change_kind {
	CHANGE_REPLAY,
	CHANGE_REPLAY_CANCEL,
	CHANGE_REPLAY_RESUME,
	CHANGE_DISCARD, /* keys: dead -> discarded */
	CHANGE_END,     /* keys: pending -> discarded */
	CHANGE_ERASE, /* keys: the bodies of these events, unless something of them is pending or runs */
	CHANGE_RESTORE, /* keys: discarded -> dead */
	CHANGE_NAMES,   /* store_name() */
	CHANGE_ORDER, /* id: a handler whose held deliveries are looked at; `after`: from this key on */
	CHANGE_PAUSE,   /* id: a handler; until, reason */
	CHANGE_RESUME,  /* id: a handler */
	CHANGE_TAKE,    /* id: a handler; `take` */
	CHANGE_LEASE,   /* `lease` */
	CHANGE_SETUP,   /* `effect`: run once, without a delivery */
	CHANGE_NOTHING, /* over when all that was begun before it has been told */
};

/* Deliveries of a `pull` handler for a consumer. */
struct lease_key {
	struct delivery_key key;
	int64_t round;
	int64_t attempts;
};
#define TAKE_MOST 1000
struct take {
	int64_t most;
	int64_t out_most; /* `concurrency`: that may be out at once */
	int64_t visibility_ns;
	/* results */
	struct lease_key leases[TAKE_MOST];
	int64_t until_ns;
};
enum lease_move {
	LEASE_ACK,
	LEASE_AGAIN, /* a failed try: due at due_ns, or, negative, when the handler's backoff says */
	LEASE_DEAD,
	LEASE_RELEASE, /* uncounted: due at due_ns */
	LEASE_EXTEND,  /* until due_ns */
};
struct lease_change {
	struct lease_key lease;
	enum lease_move move;
	int64_t due_ns;
	int64_t ran_ns;     /* the handler's clock */
	const char *reason; /* of a death */
	const char *error_type;
	const char *error;
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
	/* CHANGE_DISCARD, CHANGE_END, CHANGE_ERASE, CHANGE_RESTORE */
	const struct delivery_key *keys;
	size_t key_count;
	const struct store_names *names;
	char *after; /* CHANGE_ORDER: owned by whoever asks */
	struct take *take;
	struct lease_change *lease;
	struct effect *effect;
	const char *who;
	const char *reason;
	/* results; of CHANGE_REPLAY an argument: how many it will move, for the audit */
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
	bool rejected; /* by the consumer, who has it no more */
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
	/* Whether the handler is configured; whether it wants the event, and how. */
	bool (*exists)(void *context, int64_t handler);
	bool (*wants)(void *context, int64_t handler, const struct event *event,
	              struct wanted *wanted);
	/* Whether a dead head keeps its order key. */
	bool (*holds)(void *context, int64_t handler);
	/* Whether a delivery that ended is replayed with --again alone. `first_failed_ns`: wall time; 0: no try failed. */
	bool (*needs_again)(void *context, int64_t handler, enum delivery_state state,
	                    int64_t first_failed_ns);
	/* Who wants one of our own happenings (an empty body: whoever names its type): at most `room` of them. Inside a transaction; NULL: nobody. */
	size_t (*wants_own)(void *context, struct span type, struct span body,
	                    struct wanted *wanted, size_t room);
	/* After a commit. Lists are taken over. */
	void (*jobs)(void *context, struct job *jobs);
	void (*due)(void *context, const struct due *items, size_t count);
	void (*claimed)(void *context, struct claim *const *claims, size_t count);
	void (*settled)(void *context, struct result_intent *const *results, size_t count);
	void (*effects)(void *context, struct effect *const *effects, size_t count);
	/* A lease has run out, or its consumer rejects the delivery: plans what becomes of the delivery, as returned() does. */
	void (*lease_over)(void *context, struct returned *returned);
	/* A handler was paused or may go on. */
	void (*paused)(void *context, int64_t handler, bool paused, int64_t until_ns);
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
/* Everything in the inbox is done, then the thread ends. Returns how many results could not be written, the disk being full or
 * held: their deliveries count as crashed at the next start. Others may still submit and wake: nothing comes of it. */
int64_t store_stop(struct store *store);
/* Closes the file cleanly, once nobody submits any more. Stops the store before, if that was not done. Takes NULL. */
void store_close(struct store *store);

void store_submit(struct store *store, struct intent *intent);
/* The same, but the store sleeps on: true when the caller must store_wake() it soon. */
bool store_submit_quietly(struct store *store, struct intent *intent) MUST_CHECK;
void store_wake(struct store *store);
void arrival_empty(struct arrival *arrival); /* lets go of what it holds */
void arrival_free(struct arrival *arrival);  /* and of itself */
/* Runs a statement of a user, or several, with these parameters (":name"), inside the effect's transaction. */
struct parameter;
bool effect_execute(struct effect_scope *scope, struct span sql, const struct parameter *parameters,
                    size_t count, struct error *err) MUST_CHECK;
/* Submits a change and waits for it. Not on the store thread. */
bool store_change(struct store *store, struct change *change, struct error *err) MUST_CHECK;
/* What is older goes: whole events, and bodies. Nothing goes before it is called. Any thread. */
void store_set_retention(struct store *store, int64_t dedup_ns, int64_t bodies_ns);
/* Nothing is claimed from now on: fresh deliveries stay pending. Waits until what was claimed before has been handed out. Not
 * on the store thread. */
void store_pause_claims(struct store *store);

/* Any thread: from memory. */
bool store_ready(const struct store *store, struct buffer *why);
int64_t store_count(const struct store *store, int64_t handler,
                    unsigned state); /* handler 0: all */
int64_t store_handler_ran_ns(const struct store *store, int64_t handler);
/* 0: it is not paused; else until when (wall time, INT64_MAX: until somebody resumes it). */
int64_t store_handler_paused(const struct store *store, int64_t handler);
const char *store_handler_name(const struct store *store, int64_t handler); /* NULL: unknown */
int64_t store_handlers(const struct store *store);                          /* the highest number */
void store_set_imbalance(struct store *store, int64_t off); /* what the audit found */
int64_t store_imbalance(const struct store *store);
/* Whether nobody else can have it. To be asked now and then, since a store that is idle does not look. Any thread. */
bool store_owned(const struct store *store, struct error *err) MUST_CHECK;
/* Events came in the last moments: whoever reads for no event's sake takes his time. Any thread. */
bool store_pressed(const struct store *store);
/* More comes than can be stored, and has for a while: a new event would wait longer than is good for anybody behind `waiting`
 * others. Any thread. */
bool store_overloaded(const struct store *store, int64_t waiting);
int64_t store_busy_ns(
	const struct store *store); /* how long its thread has not come back to wait; any thread */
int64_t store_commits(
	const struct store
		*store); /* finished ones: a snapshot begun after reading it holds them */
const char *store_path(const struct store *store);
/* Bytes of the write-ahead log, and free ones on the file system: asked of it. -1: unknown. */
int64_t store_wal_bytes(const struct store *store);
int64_t store_free_bytes(const struct store *store);

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
