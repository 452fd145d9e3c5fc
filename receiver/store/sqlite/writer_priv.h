/* The writer's inside: what its files share. Everything here belongs to the store thread once it runs, but for what is
 * atomic or has a lock. */
#ifndef HOOKLATCH_STORE_SQLITE_WRITER_PRIV_H
#define HOOKLATCH_STORE_SQLITE_WRITER_PRIV_H

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "receiver/store/sqlite/sqlite_priv.h"

#define WAL_CHECKPOINT_PAGES 1000
#define STORE_PROBE_NS       NS_PER_S /* how often a full disk is tried again */
#define DELTAS_MOST          4096     /* ledger cells that one batch may change */
#define LEDGER_SEGMENT_BITS  16

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
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
	int64_t next_ns; /* boot time of the next slice */
};

/* What one transaction does beside the file; undone with it. */
struct batch {
	int64_t first_seq;
	struct delta deltas[DELTAS_MOST];
	size_t delta_count;
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

struct store {
	char *path;
	struct lock lock;
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
	bool claims_returned;
	int64_t next_seq;
	int64_t stored_seq;
	int wal_pages;
	int64_t probe_at_ns;
	ino_t wal_inode;
	dev_t wal_device;
	struct batch batch;
	struct replay *replays;
	size_t replay_count;
	/* shared */
	atomic_int state;
	atomic_llong commits;
	atomic_bool claims_paused;
	atomic_llong counts[STORE_HANDLERS_MOST][LEDGER_RECEIVED + 1];
	atomic_llong totals[LEDGER_RECEIVED + 1];
	atomic_llong imbalance;
	atomic_llong ran_ns[STORE_HANDLERS_MOST];
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
bool reopen_delivery(struct store *store, struct delivery_key key, enum delivery_state from,
                     bool revival, bool *changed, struct error *err) ON_THREAD(store_thread)
	MUST_CHECK;
bool insert_delivery(struct store *store, int64_t seq, int64_t handler, struct event *event,
                     bool at_most_once, bool may_run, struct error *err) ON_THREAD(store_thread)
	MUST_CHECK;
void batch_due(struct store *store, struct delivery_key key, int64_t due_ns, bool retry)
	ON_THREAD(store_thread);

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
