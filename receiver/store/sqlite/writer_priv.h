/* The writer's inside: what its files share. Everything here belongs to the store thread once it runs, but for what is
 * atomic or has a lock. */
#ifndef HOOKLATCH_STORE_SQLITE_WRITER_PRIV_H
#define HOOKLATCH_STORE_SQLITE_WRITER_PRIV_H

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "receiver/base/pulse.h"
#include "receiver/sandbox/sandbox.h"
#include "receiver/store/sqlite/overload.h"
#include "receiver/store/sqlite/reserve.h"
#include "receiver/store/sqlite/sqlite_priv.h"

#define WAL_CHECKPOINT_PAGES 1000
#define CLOCK_STEP_NS        (500 * NS_PER_MS) /* of the wall against boot time: it was set */
#define WAL_PINNED_PAGES     2000     /* that many after a checkpoint: a reader is in its way */
#define STORE_PROBE_NS       NS_PER_S /* how often a full disk is tried again */
#define STORE_STUCK_NS       NS_PER_S /* a turn that takes longer is not ready */
#define LEDGER_SEGMENT_BITS  16

/* Purge and replays beside receiving: while events come, short slices and a share of the time; else as fast as it goes. */
#define UPKEEP_BUSY_NS  (50 * NS_PER_MS) /* so long after an event others are expected */
#define UPKEEP_SHORT_NS (2 * NS_PER_MS)  /* a slice begins nothing more after that long */
#define UPKEEP_LONG_NS  (10 * NS_PER_MS)
#define UPKEEP_SHARE    8

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_DATA_VERSION,
	SQL_EFFECT_BEGIN,
	SQL_EFFECT_KEEP,
	SQL_EFFECT_UNDO,
	SQL_EVENT_INSERT,
	SQL_EVENT_FIND,
	SQL_DELIVERY_INSERT,
	SQL_DELIVERY_STATES,
	SQL_DELIVERY_REOPEN,
	SQL_DELIVERY_CLAIM,
	SQL_DELIVERY_DUE,
	SQL_DELIVERY_CORRUPT,
	SQL_DELIVERY_DONE,
	SQL_DELIVERY_OUTCOME,
	SQL_DELIVERY_AGAIN,
	SQL_DELIVERY_DEAD,
	SQL_DELIVERY_GIVE_BACK,
	SQL_DELIVERY_MOVE,
	SQL_ATTEMPT_INSERT,
	SQL_DEAD_INSERT,
	SQL_DEAD_REMOVE,
	SQL_HANDLER_RAN,
	SQL_LEDGER_ADD,
	SQL_META_SET,
	SQL_RUNNING_LIST,
	SQL_DELIVERY_RUNS,
	SQL_ORDER_KEY,
	SQL_ORDER_RUNNING,
	SQL_ORDER_FIRST,
	SQL_ORDER_HOLD,
	SQL_ORDER_KEYS,
	SQL_LEASE_COUNT,
	SQL_LEASE_FIND,
	SQL_LEASE_TAKE,
	SQL_LEASE_EXTEND,
	SQL_LEASE_LIVE,
	SQL_LEASE_OVER,
	SQL_LEASE_NEXT,
	SQL_LEASE_SHIFT,
	SQL_PAUSE,
	SQL_OWN_DEATH,
	SQL_PURGE_BODIES,
	SQL_PURGE_EVENTS,
	SQL_PURGE_DELIVERIES,
	SQL_PURGE_ATTEMPTS,
	SQL_PURGE_LETTERS,
	SQL_PURGE_EVENT,
	SQL_REQUEST_INSERT,
	SQL_REQUEST_EVENT,
	SQL_REQUEST_FORGET,
	SQL_REQUEST_EVENT_DROP,
	SQL_REQUEST_DROP,
	SQL_ERASE_FINISHED,
	SQL_ERASE,
	SQL_AUDIT,
	STATEMENTS,
};

enum store_state {
	STORE_GOOD,
	STORE_FULL,
	STORE_BUSY,
	STORE_BROKEN,
};

struct delta {
	int64_t segment;
	int64_t handler;
	unsigned state;
	int64_t count;
};

struct replay {
	int64_t id;
	bool of_dead;
	struct filter filter;
	char *ids;
	int64_t handler; /* to fill; 0: none */
	unsigned states;
	bool again;
	int64_t rate;
	int64_t until;
	int64_t position;
	int64_t created_ns;
	int64_t next_ns; /* boot time of the next slice */
};

/* What one transaction does beside the file; undone with it. */
struct batch {
	int64_t first_seq;
	struct delta *deltas; /* ledger cells that the batch changes */
	size_t delta_count;
	size_t delta_room;
	struct job *jobs;
	struct job **jobs_tail;
	struct due *due;
	size_t due_count;
	size_t due_room;
	struct done_note notes[STORE_BATCH_MOST];
	size_t note_count;
	bool last_returned;
	int64_t now_ns;
};

/* Where the purge of what is old stands; see purge.c. */
struct purge {
	atomic_llong dedup_ns; /* 0: nothing is purged */
	atomic_llong bodies_ns;
	int64_t horizon_ns; /* wall time */
	int64_t kept_ns;    /* the horizon on disk */
	int64_t moved_ns;   /* boot time at which the horizon was moved */
	int64_t seq;        /* the pass goes on behind it */
	bool events;        /* whole events, else bodies */
	int64_t next_ns;    /* boot time */
};

/* A try of an at-most-once delivery. */
struct open_try {
	struct delivery_key delivery;
	char *key;  /* NULL: it has no order */
	bool fresh; /* its transaction is not committed yet */
};

struct store {
	char *path;
	struct lock lock;
	struct reserve reserve;
	bool serving;
	bool reserve_spent; /* full again, with the reserve given up */
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENTS];
	struct queue inbox;
	pthread_t thread;
	bool started;
	atomic_bool stopping;
	struct store_listener listener;
	bool listening;
	struct intent *waiting; /* taken from the inbox, not run yet */
	struct intent **waiting_tail;
	struct intent *effects; /* the same, of those that share no transaction */
	struct intent **effects_tail;
	struct sandbox sandbox;
	struct purge purge;
	struct open_try *tries;
	size_t try_count;
	int64_t lease_at_ns; /* wall time at which the next lease is over; INT64_MAX: none */
	bool claims_returned;
	int64_t next_seq;
	int64_t stored_seq;
	int wal_pages;
	int64_t wall_from_boot_ns; /* as the times of leases have it; 0: not looked yet */
	bool pinned;               /* a reader holds the checkpoint up */
	int64_t data_version;
	bool foreign; /* another process has written to the database */
	struct timespec
		file_time; /* of the database, after our last checkpoint: nothing else writes to it */
	off_t file_size;
	int64_t probe_at_ns;
	int64_t upkeep_at_ns; /* boot time: not before that while it is busy */
	bool upkeep_skipped;  /* in the last turn, for its checkpoint */
	struct overload overload;
	off_t wal_size; /* it never shrinks */
	char *torn_log; /* a copy of the log as it was found, until nothing is missed; else NULL */
	ino_t wal_inode;
	dev_t wal_device;
	struct batch batch;
	struct replay *replays;
	size_t replay_count;
	/* shared */
	atomic_int state;
	struct pulse pulse;
	atomic_llong commits;
	atomic_llong busy_until_ns; /* boot time: events came a moment ago */
	atomic_llong waiting_most;  /* events that may wait; overload.h */
	atomic_bool claims_paused;
	atomic_llong counts[STORE_HANDLERS_MOST][LEDGER_RECEIVED + 1];
	atomic_llong totals[LEDGER_RECEIVED + 1];
	atomic_llong imbalance;
	atomic_llong ran_ns[STORE_HANDLERS_MOST];
	atomic_llong paused[STORE_HANDLERS_MOST]; /* 0: no; else until when, wall time */
	_Atomic(char *) names[STORE_HANDLERS_MOST];
	atomic_llong highest_handler;
	pthread_mutex_t text_lock;
	char why[ERROR_TEXT_BYTES]; /* of a state that is not good */
	pthread_mutex_t notes_lock;
	struct done_note notes[STORE_NOTES];
	int64_t notes_last;
};

/* statements.c */
bool statements_prepare(struct store *store, struct error *err) MUST_CHECK;
void statements_finish(struct store *store);
/* Binds by a format: i int64, t text (NULL is NULL), s span, b blob span, n null, w wall time. Returns the statement. */
sqlite3_stmt *statement_bind(struct store *store, enum statement which, const char *format, ...);
/* Steps to the end; how many rows were changed. */
bool statement_run(struct store *store, sqlite3_stmt *statement, int64_t *changes,
                   struct error *err) MUST_CHECK;
/* Runs an UPDATE of at most one row with RETURNING one truth value. */
bool statement_flag(struct store *store, sqlite3_stmt *statement, bool *changed, bool *flag,
                    struct error *err) MUST_CHECK;
/* SQLITE_ROW, SQLITE_DONE, or 0 with err. After DONE or when done with a row: statement_reset(). */
int statement_step(struct store *store, sqlite3_stmt *statement, struct error *err) MUST_CHECK;
void statement_reset(sqlite3_stmt *statement);

/* ledger.c */
bool ledger_load(struct store *store, struct error *err) MUST_CHECK;
void ledger_add(struct store *store, int64_t seq, int64_t handler, unsigned state, int64_t count)
	ON_THREAD(store_thread);
void ledger_move(struct store *store, struct delivery_key key, enum delivery_state from,
                 enum delivery_state to) ON_THREAD(store_thread);
bool ledger_flush(struct store *store, struct error *err) ON_THREAD(store_thread) MUST_CHECK;
void ledger_publish(struct store *store) ON_THREAD(store_thread);

/* intents.c: each inside a transaction */
bool apply_intent(struct store *store, struct intent *intent, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
bool apply_returned(struct store *store, struct error *err) ON_THREAD(store_thread) MUST_CHECK;
/* Dead, discarded or done becomes pending in a new round. *changed false: it was in another state. */
enum reopening {
	REOPEN_REPLAY,
	REOPEN_AGAIN, /* a done one: with a new idempotency key */
	REOPEN_REVIVAL,
};
bool reopen_delivery(struct store *store, struct delivery_key key, enum delivery_state from,
                     enum reopening how, bool *changed, struct error *err) ON_THREAD(store_thread)
	MUST_CHECK;
bool insert_delivery(struct store *store, int64_t seq, const struct wanted *wanted,
                     struct event *event, bool may_run, struct error *err) ON_THREAD(store_thread)
	MUST_CHECK;
bool apply_result(struct store *store, const struct result_intent *result, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
bool apply_leases_over(struct store *store, struct error *err) ON_THREAD(store_thread) MUST_CHECK;
void batch_due(struct store *store, struct delivery_key key, int64_t due_ns, bool retry)
	ON_THREAD(store_thread);

/* order.c: see there */
#define ORDER_SLICE 128
bool order_is_blocked(struct store *store, int64_t handler, struct span key, bool *blocked,
                      struct error *err) ON_THREAD(store_thread) MUST_CHECK;
bool order_settle(struct store *store, struct delivery_key delivery, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
bool order_settle_key(struct store *store, int64_t handler, struct span key, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
/* Tries of at-most-once deliveries, with their order key when they have one; what began in a transaction that fails has not
 * begun. */
void order_try_begins(struct store *store, struct delivery_key delivery, struct span key)
	ON_THREAD(store_thread);
/* The same, of a delivery whose key is on disk. */
bool order_try_of(struct store *store, struct delivery_key delivery, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
void order_try_ends(struct store *store, struct delivery_key delivery) ON_THREAD(store_thread);
/* The same, of one whose delivery has moved on or is gone: whoever waits behind it goes on. */
bool order_try_orphaned(struct store *store, struct delivery_key delivery, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
/* Whether a try of the event is under way: of this handler, or, 0, of any. */
bool order_is_tried(const struct store *store, int64_t seq, int64_t handler);
void order_tries_settle(struct store *store, bool committed);
void order_finish(struct store *store);
bool order_settle_slice(struct store *store, struct change *change, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;

/* leases.c: what a consumer does */
bool apply_take(struct store *store, struct change *change, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
bool apply_lease(struct store *store, struct change *change, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
/* Wall time as the times of leases have it: until they follow a clock that was set, it is the old one that goes on. */
int64_t leases_now(const struct store *store);
/* Finds when the next lease is over. */
bool leases_next(struct store *store, struct error *err) ON_THREAD(store_thread) MUST_CHECK;

/* effects.c: a turn's worth of effects, in transactions of their own */
void effects_step(struct store *store) ON_THREAD(store_thread);
void setup_run(struct store *store, struct change *change) ON_THREAD(store_thread);

/* own.c: tells of a death, when somebody wants to know */
bool own_death(struct store *store, struct delivery_key key, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;

/* purge.c */
bool purge_load(struct store *store, struct error *err) MUST_CHECK;
void purge_step(struct store *store) ON_THREAD(store_thread);
int64_t purge_next(const struct store *store); /* boot time; INT64_MAX: never */
/* Takes body and headers away. */
bool erase_finished(struct store *store, int64_t seq, bool *erased, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK; /* the same, when nothing of it is pending or runs */
bool erase_body(struct store *store, int64_t seq, struct error *err) ON_THREAD(store_thread)
	MUST_CHECK;

/* names.c */
bool apply_pause(struct store *store, struct change *change, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;

/* replays.c */
bool replays_load(struct store *store, struct error *err) MUST_CHECK;
bool apply_replay_change(struct store *store, struct change *change, struct error *err)
	ON_THREAD(store_thread) MUST_CHECK;
/* The next slice of each replay that is due, each in a transaction of its own. */
void replays_step(struct store *store) ON_THREAD(store_thread);
/* When to come again: boot time, INT64_MAX for never. */
int64_t replays_next(const struct store *store);
void replays_finish(struct store *store);

/* writer.c */
bool writer_transaction(struct store *store,
                        bool (*work)(struct store *store, void *context, struct error *err),
                        void *context, struct error *err) ON_THREAD(store_thread) MUST_CHECK;
void writer_failed(struct store *store, const struct error *err) ON_THREAD(store_thread);
/* When a slice of purge or replay that begins now begins nothing more: boot time. */
int64_t upkeep_end_ns(const struct store *store);

/* names.c */
bool names_load(struct store *store, struct error *err) MUST_CHECK;
bool names_apply(struct store *store, const struct store_names *names, struct error *err)
	MUST_CHECK;

/* SQL function hooklatch_glob(pattern, text): the one glob of this program. filter_sql.c */
bool filter_functions(sqlite3 *database, struct error *err) MUST_CHECK;
/* Appends " AND …" conditions on e (events), d (delivery), h (handler) with parameters; filter_bind() fills them. */
void filter_sql(const struct filter *filter, struct buffer *sql);
void filter_bind(const struct filter *filter, sqlite3_stmt *statement, int first);

#endif
