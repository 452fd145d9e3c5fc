#include "tests/faults/torn/life.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/clock.h"
#include "receiver/store/sqlite/migrations.h"
#include "receiver/store/sqlite/writer_priv.h"

#define DAY_NS        (86400 * NS_PER_S)
#define COMMIT_NS     (150 * NS_PER_MS) /* in which time goes on */
#define RUNNING_MOST  64
#define DUE_MOST      64
#define BATCH_MOST    5
#define SIBLINGS_MOST 3
#define OLD_EVENTS    24 /* of each life: the first ones came long ago, and are purged */
#define DEDUP_NS      (45 * DAY_NS)
#define BODIES_NS     (14 * DAY_NS)

/* --- what is sent --- */

char *
life_body(int64_t number, size_t *size)
{
	struct random random;
	random_seed(&random, (uint64_t)number);
	int64_t most =
		random_up_to(&random, 9) == 0 ? 9000 : 700; /* some have pages of their own */
	*size = (size_t)(20 + random_up_to(&random, most));
	char *body = memory_need(*size + 1);
	for (size_t i = 0; i < *size; i++) {
		body[i] = (char)(' ' + random_up_to(&random, 90));
	}
	return body;
}

char *
life_headers(int64_t number)
{
	struct buffer text;
	buffer_init(&text, 4096);
	buffer_format(&text, "[[\"Content-Type\",\"application/json\"],[\"X-Number\",\"%lld\"]]",
	              (long long)number);
	return buffer_steal(&text);
}

/* --- time --- */

static atomic_llong now_ns = 1780272000 * NS_PER_S; /* 2026-06-01 */

int64_t
life_now_ns(void)
{
	return atomic_load(&now_ns);
}

/* --- watching commits --- */

static struct tape *watched;

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void
see_begin(const char *sql)
{
	if (watched->phase == PHASE_CLOSE) {
		return;
	}
	if (begins(sql, "CREATE TABLE") || begins(sql, "VACUUM INTO")) {
		watched->phase = PHASE_MIGRATION;
	} else if (begins(sql, "DELETE FROM events") || begins(sql, "UPDATE events SET body")) {
		watched->phase = PHASE_PURGE;
	}
}

/* A statement that writes has ended, and no transaction is open: what it wrote was committed, successfully. */
static int
see(unsigned what, void *context, void *pointer, void *more)
{
	(void)context;
	(void)more;
	sqlite3_stmt *statement = pointer;
	if (watched == NULL) {
		return 0;
	}
	const char *sql = sqlite3_sql(statement);
	if (what == SQLITE_TRACE_STMT) {
		see_begin(sql);
	} else if (sqlite3_get_autocommit(sqlite3_db_handle(statement)) != 0 &&
	           (begins(sql, "COMMIT") || sqlite3_stmt_readonly(statement) == 0)) {
		tape_commit(watched);
		(void)atomic_fetch_add(&now_ns, COMMIT_NS);
		if (watched->phase == PHASE_PURGE) {
			watched->phase = PHASE_COMMIT;
		}
	}
	return 0;
}

static int
watch(sqlite3 *database, char **message, const struct sqlite3_api_routines *api)
{
	(void)message;
	(void)api;
	return watched == NULL
	               ? SQLITE_OK
	               : sqlite3_trace_v2(database, SQLITE_TRACE_STMT | SQLITE_TRACE_PROFILE, see,
	                                  NULL);
}

void
life_watch(struct tape *tape)
{
	watched = tape;
	/* SQLite's own signature for an extension's entry. */
	(void)sqlite3_auto_extension((void (*)(void))watch);
}

/* --- playing --- */

struct
try {
	struct delivery_key key;
	int64_t round;
	int64_t attempts;
	bool at_most_once;
	bool ordered;
};

struct play {
	const struct life *life;
	struct tape *tape;
	struct store *store;
	struct random random;
	int64_t now_ns;
	int64_t handlers[2];
	int step;
	int64_t next;
	size_t outstanding;
	struct try running[RUNNING_MOST];
	size_t running_count;
	struct due due[DUE_MOST];
	size_t due_count;
	bool broken;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool over;
};

static int64_t
below(struct play *play, int64_t count)
{
	return random_up_to(&play->random, count - 1);
}

static bool
one_in(struct play *play, int64_t count)
{
	return below(play, count) == 0;
}

/* The first third is older than events are kept, the second older than bodies. */
static int64_t
received_ns(const struct play *play, int64_t number)
{
	int64_t place = number - play->life->first;
	int64_t days = place < OLD_EVENTS / 2 ? 60 : place < OLD_EVENTS ? 20 : 0;
	return play->now_ns - days * DAY_NS + place * NS_PER_MS;
}

static struct arrival *
make_arrival(struct play *play, int64_t number)
{
	char id[32];
	(void)snprintf(id, sizeof(id), "e%lld", (long long)number);
	size_t size;
	char *body = life_body(number, &size);
	char *headers = life_headers(number);
	struct event_parts parts = { .source = SPAN("shop"),
		                     .id = span_of(id),
		                     .type = SPAN("order"),
		                     .headers = span_of(headers),
		                     .body_block = body,
		                     .body_size = size,
		                     .received_ns = received_ns(play, number) };
	size_t wanted = one_in(play, 3) ? 2 : 1;
	struct arrival *arrival = memory_need(sizeof(*arrival) + wanted * sizeof(struct wanted));
	arrival->intent.kind = INTENT_ARRIVAL;
	arrival->event = event_create(&parts);
	free(headers);
	arrival->cookie = (uint64_t)number;
	arrival->wanted_count = wanted;
	for (size_t i = 0; i < wanted; i++) {
		arrival->wanted[i].handler = play->handlers[i];
		arrival->wanted[i].at_most_once = i == 1;
	}
	if (one_in(play, 4)) {
		arrival->wanted[0].order_key = memory_text(one_in(play, 2) ? "a" : "b");
	}
	return arrival;
}

/* A new event, one that was there before, or several in one request. */
static void
submit_arrival(struct play *play)
{
	bool again = play->next > play->life->first && one_in(play, 6);
	int64_t number = again ? play->life->first + below(play, play->next - play->life->first)
	                       : play->next++;
	struct arrival *first = make_arrival(play, number);
	play->outstanding++;
	if (!again && one_in(play, 4)) {
		struct arrival *last = first;
		int64_t count = 1 + below(play, SIBLINGS_MOST);
		for (int64_t i = 1; i <= count; i++) {
			last->sibling = make_arrival(play, play->next++);
			last->sibling->position = i;
			last = last->sibling;
		}
		first->whole = memory_need(sizeof(*first->whole));
		first->whole->body = life_body(number, &first->whole->size);
		first->whole->events = (size_t)count + 1;
	}
	store_submit(play->store, &first->intent);
}

static void
submit_result(struct play *play, const struct try *ended)
{
	struct result_intent *result = memory_need(sizeof(*result));
	int64_t dice = below(play, 10);
	result->intent.kind = INTENT_RESULT;
	result->key = ended->key;
	result->move = dice < 5 || ended->at_most_once ? MOVE_DONE
	               : dice < 7                      ? MOVE_AGAIN
	               : dice < 9                      ? MOVE_DEAD
	                                               : MOVE_GIVE_BACK;
	result->at_most_once = ended->at_most_once;
	result->retried = ended->attempts > 1;
	result->ordered = ended->ordered;
	result->round = ended->round;
	result->attempts = ended->attempts;
	result->due_ns = play->now_ns;
	result->started_ns = play->now_ns;
	result->duration_ns = NS_PER_MS;
	if (result->move == MOVE_AGAIN || result->move == MOVE_DEAD) {
		result->error_type = "exit";
		result->error = memory_text("exit 1");
		result->output_size = (size_t)below(play, 1500);
		result->output = memory_need(result->output_size + 1);
		result->reason = result->move == MOVE_DEAD ? "attempts" : NULL;
	}
	if (result->move == MOVE_AGAIN && play->due_count < DUE_MOST) {
		play->due[play->due_count++] = (struct due){ ended->key, result->due_ns, true, 0 };
	}
	store_submit(play->store, &result->intent);
}

static void
submit_claim(struct play *play, const struct due *due)
{
	struct claim *claim = memory_need(sizeof(*claim));
	claim->intent.kind = INTENT_CLAIM;
	claim->key = due->key;
	claim->expected_due_ns = due->due_ns;
	claim->at_most_once = due->key.handler == play->handlers[1];
	claim->attempts_most = 4;
	store_submit(play->store, &claim->intent);
}

static void
end(struct play *play)
{
	(void)pthread_mutex_lock(&play->lock);
	play->over = true;
	(void)pthread_cond_signal(&play->ended);
	(void)pthread_mutex_unlock(&play->lock);
}

/* On the store thread: the next batch, and what the store shall do beside it in this turn and the next. */
static void
next_step(struct play *play)
{
	struct store *store = play->store;
	if (play->step++ >= play->life->steps || play->broken) {
		store_set_retention(store, 0,
		                    0); /* how many turns there are before the end is chance */
		end(play);
		return;
	}
	while (play->running_count > 0 && !one_in(play, 4)) {
		submit_result(play, &play->running[--play->running_count]);
	}
	while (play->due_count > 0 && !one_in(play, 4)) {
		submit_claim(play, &play->due[--play->due_count]);
	}
	for (int64_t i = below(play, BATCH_MOST) + 1; i > 0; i--) {
		submit_arrival(play);
	}
	if (one_in(play, 6)) {
		store->wal_pages = WAL_CHECKPOINT_PAGES; /* as if the WAL were long */
	}
	if (one_in(play, 5)) {
		store_set_retention(store, DEDUP_NS, BODIES_NS);
		store->purge.next_ns = 0;
	}
}

/* --- the listener --- */

static void
on_returned(void *context, struct returned *returned)
{
	struct play *play = context;
	returned->dead = returned->attempts >= 4;
	returned->due_ns = play->now_ns;
}

static int
on_take_slot(void *context, int64_t handler)
{
	struct play *play = context;
	(void)handler;
	return play->running_count + BATCH_MOST * (SIBLINGS_MOST + 1) * 2 < RUNNING_MOST &&
	                       !one_in(play, 3)
	               ? 0
	               : -1;
}

static void
on_give_slot(void *context, int64_t handler, int slot)
{
	(void)context;
	(void)handler;
	(void)slot;
}

static bool
on_exists(void *context, int64_t handler)
{
	(void)context;
	(void)handler;
	return true;
}

static bool
on_wants(void *context, int64_t handler, const struct event *event, struct wanted *wanted)
{
	(void)context;
	(void)handler;
	(void)event;
	(void)wanted;
	return false;
}

static bool
on_holds(void *context, int64_t handler)
{
	(void)context;
	(void)handler;
	return false;
}

static bool
on_needs_again(void *context, int64_t handler, enum delivery_state state, int64_t first_failed_ns)
{
	(void)context;
	(void)handler;
	(void)state;
	(void)first_failed_ns;
	return false;
}

static void
start_try(struct play *play, const struct try *begun)
{
	if (play->running_count < RUNNING_MOST) {
		play->running[play->running_count++] = *begun;
	}
}

static void
on_jobs(void *context, struct job *jobs)
{
	while (jobs != NULL) {
		struct job *job = jobs;
		jobs = job->next;
		start_try(context, &(struct try){ job->key, job->round, job->attempts,
		                                  job->at_most_once, job->ordered });
		event_release(job->event);
		free(job);
	}
}

static void
on_due(void *context, const struct due *items, size_t count)
{
	struct play *play = context;
	for (size_t i = 0; i < count && play->due_count < DUE_MOST; i++) {
		play->due[play->due_count++] = items[i];
	}
}

static void
on_claimed(void *context, struct claim *const *claims, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (claims[i]->claimed) {
			start_try(context,
			          &(struct try){ claims[i]->key, claims[i]->round,
			                         claims[i]->attempts, claims[i]->at_most_once,
			                         claims[i]->ordered });
		}
		free(claims[i]);
	}
}

static void
on_settled(void *context, struct result_intent *const *results, size_t count)
{
	(void)context;
	for (size_t i = 0; i < count; i++) {
		free(results[i]->error);
		free(results[i]->output);
		free(results[i]);
	}
}

static void
on_arrived(void *context, struct arrival *const *arrivals, size_t count)
{
	struct play *play = context;
	for (size_t i = 0; i < count; i++) {
		struct arrival *one = arrivals[i];
		play->outstanding--;
		while (one != NULL) {
			struct arrival *sibling = one->sibling;
			if (one->result == ARRIVAL_ACCEPTED) {
				tape_ack(play->tape, (int64_t)one->cookie);
			}
			arrival_free(one);
			one = sibling;
		}
	}
	if (play->outstanding == 0) {
		next_step(play);
	}
}

static void
on_broken(void *context, const struct error *err)
{
	struct play *play = context;
	(void)fprintf(stderr, "the store broke: %s\n", err->text);
	play->broken = true;
	end(play);
}

static bool
name_all(struct play *play, struct error *err)
{
	static const char *const handlers[] = { "first", "second" };
	static const char *const sources[] = { "shop" };
	struct buffer gone;
	buffer_init(&gone, 65536);
	struct store_names names = { .handlers = handlers,
		                     .handler_count = COUNT(handlers),
		                     .numbers = play->handlers,
		                     .sources = sources,
		                     .source_count = COUNT(sources),
		                     .gone = &gone };
	bool good = store_name(play->store, &names, err);
	buffer_finish(&gone);
	return good;
}

static bool
run(struct play *play, struct error *err)
{
	const struct store_listener listener = { .context = play,
		                                 .returned = on_returned,
		                                 .take_slot = on_take_slot,
		                                 .give_slot = on_give_slot,
		                                 .exists = on_exists,
		                                 .wants = on_wants,
		                                 .holds = on_holds,
		                                 .needs_again = on_needs_again,
		                                 .jobs = on_jobs,
		                                 .due = on_due,
		                                 .claimed = on_claimed,
		                                 .settled = on_settled,
		                                 .lease_over = on_returned,
		                                 .answers = play,
		                                 .arrived = on_arrived,
		                                 .broken = on_broken };
	play->tape->phase = PHASE_COMMIT;
	play->outstanding = 0;
	submit_arrival(play); /* alone: what follows is decided on the store thread */
	if (!store_start(play->store, &listener, err)) {
		return false;
	}
	(void)pthread_mutex_lock(&play->lock);
	while (!play->over) {
		(void)pthread_cond_wait(&play->ended, &play->lock);
	}
	(void)pthread_mutex_unlock(&play->lock);
	return !play->broken || error_set(err, ERROR_STORE_BAD, "the store broke");
}

bool
life_play(const struct life *life, struct tape *tape, struct error *err)
{
	struct play play = { .life = life,
		             .tape = tape,
		             .now_ns = life_now_ns(),
		             .next = life->first,
		             .lock = PTHREAD_MUTEX_INITIALIZER,
		             .ended = PTHREAD_COND_INITIALIZER };
	struct image image;
	struct store_options options = { .path = DISK_STORE, .serving = true };
	random_seed(&play.random, life->seed);
	image_copy(&image, &tape->base);
	disk_mount(&image, tape);
	tape->phase = PHASE_START;
	life_watch(tape);
	bool good = store_open(&play.store, &options, err);
	if (good && life->normal) {
		good = sqlite_run(play.store->database, "PRAGMA synchronous = NORMAL", err);
	}
	good = good && name_all(&play, err) && (life->steps == 0 || run(&play, err));
	tape->phase = PHASE_CLOSE;
	store_close(play.store);
	life_watch(NULL);
	disk_unmount(NULL);
	return good;
}

/* --- a store of the first version --- */

static void
must(sqlite3 *database, const char *sql)
{
	ALWAYS(sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK, "old-store");
}

static void
insert_old(sqlite3 *database, int64_t number)
{
	size_t size;
	char *body = life_body(number, &size);
	char *headers = life_headers(number);
	struct event_hash hash = event_hash_of((struct span){ body, size });
	sqlite3_stmt *statement;
	ALWAYS(sqlite3_prepare_v2(
		       database,
		       "INSERT INTO events (seq, source, event_id, type, received_at, headers, hash, body) VALUES (?1, 'shop', 'e' || ?1, 'order', "
		       "'2026-01-02T03:04:05.000000Z', ?2, ?3, ?4)",
		       -1, &statement, NULL) == SQLITE_OK,
	       "old-event");
	(void)sqlite3_bind_int64(statement, 1, number);
	(void)sqlite3_bind_text(statement, 2, headers, -1, SQLITE_STATIC);
	(void)sqlite3_bind_blob(statement, 3, &hash, sizeof(hash), SQLITE_STATIC);
	(void)sqlite3_bind_blob(statement, 4, body, (int)size, SQLITE_STATIC);
	ALWAYS(sqlite3_step(statement) == SQLITE_DONE, "old-event");
	(void)sqlite3_finalize(statement);
	free(headers);
	free(body);
	char sql[512];
	int state = number % 3 == 0 ? DELIVERY_DONE : DELIVERY_PENDING;
	(void)snprintf(sql, sizeof(sql),
	               "INSERT INTO delivery (seq, handler, state) VALUES (%lld, 1, %d);"
	               "INSERT INTO ledger VALUES (0, 1, %d, 1), (0, 1, 5, 1) "
	               "ON CONFLICT DO UPDATE SET count = count + 1;"
	               "INSERT INTO meta VALUES ('seq', %lld) "
	               "ON CONFLICT DO UPDATE SET value = excluded.value",
	               (long long)number, state, state, (long long)number);
	must(database, sql);
}

void
life_old_store(uint64_t seed, struct image *ret)
{
	struct image empty = { .count = 0 };
	struct random random;
	sqlite3 *database;
	random_seed(&random, seed);
	disk_mount(&empty, NULL);
	ALWAYS(sqlite3_open(DISK_STORE, &database) == SQLITE_OK, "old-store");
	must(database, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA "
	               "wal_autocheckpoint = 0");
	int keep = 1;
	(void)sqlite3_file_control(database, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	(void)sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	must(database, "BEGIN");
	must(database, migrations[0].sql);
	must(database,
	     "INSERT INTO schema_migrations VALUES (1, '0001_first', "
	     "'2026-01-02T03:04:05.000000Z');"
	     "INSERT INTO handler (name) VALUES ('first'); INSERT INTO source VALUES ('shop');"
	     "PRAGMA application_id = 0x686c6368; COMMIT");
	int64_t count = 6 + random_up_to(&random, 20);
	int64_t checkpoint = random_up_to(&random, count);
	for (int64_t number = 1; number <= count; number++) {
		must(database, "BEGIN");
		insert_old(database, number);
		must(database, "COMMIT");
		if (number == checkpoint) {
			must(database, "PRAGMA wal_checkpoint(RESTART)");
		}
	}
	(void)sqlite3_close(database);
	disk_unmount(ret);
}
