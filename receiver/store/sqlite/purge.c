/* Retention: bodies go first, then whole events with their deliveries, attempts and letters, in slices between the batches.
 *
 * An event, its body and its attempts stay while any delivery of it is pending, running or dead. Deliveries leave the ledger
 * in the transaction that takes them out of the tables.
 * What is due is judged by the horizon, not by the clock: it follows the wall clock, but never goes faster than ten times
 * the time that has passed, and is kept on disk; time in which the service was down counts as long as the machine ran. A clock
 * that jumps ahead purges nothing at once. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/metrics/metrics.h"
#include "receiver/store/sqlite/writer_priv.h"

#define PURGE_PASS_NS   (2 * NS_PER_S) /* from the end of a pass to the next one */
#define PURGE_SLICE     64             /* events that one slice looks at */
#define HORIZON_FASTEST 10
#define BOOT_TEXT_BYTES 80
#define HORIZON_KEEP_NS (60 * NS_PER_S) /* how often it is written while nothing is purged */

struct found {
	int64_t seq;
	bool kept;
};

struct slice {
	bool bodies;
	struct found items[PURGE_SLICE];
	size_t count;
	size_t done; /* of them, in this transaction */
};

/* "<the kernel's boot id> <boot time, ns>": tells how much time has passed since, as long as the machine runs. */
static void
boot_text(char text[BOOT_TEXT_BYTES])
{
	char id[40] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (file != NULL) {
		if (fgets(id, sizeof(id), file) == NULL) {
			id[0] = '\0';
		}
		(void)fclose(file);
	}
	id[strcspn(id, "\n")] = '\0';
	(void)snprintf(text, BOOT_TEXT_BYTES, "%s %" PRId64, id, clock_boot_ns());
}

/* When the stored horizon was true, as boot time; now, when the machine has begun anew since. */
static bool
load_boot(struct store *store, int64_t *at_ns, struct error *err)
{
	sqlite3_stmt *statement;
	static const char sql[] = "SELECT value FROM meta WHERE name = 'horizon_boot'";
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, sql);
	}
	char now[BOOT_TEXT_BYTES];
	boot_text(now);
	*at_ns = clock_boot_ns();
	if (sqlite3_step(statement) == SQLITE_ROW) {
		struct span then = span_of((const char *)sqlite3_column_text(statement, 0));
		size_t id = strcspn(now, " ");
		int64_t then_ns;
		if (id > 0 && then.size > id && memcmp(then.data, now, id + 1) == 0 &&
		    span_number(span_after(then, id + 1), &then_ns) && then_ns < *at_ns) {
			*at_ns = then_ns;
		}
	}
	(void)sqlite3_finalize(statement);
	return true;
}

bool
purge_load(struct store *store, struct error *err)
{
	int64_t stored;
	struct purge *purge = &store->purge;
	if (!sqlite_number(store->database, "SELECT value FROM meta WHERE name = 'horizon'",
	                   &stored, err) ||
	    !load_boot(store, &purge->moved_ns, err)) {
		return false;
	}
	purge->horizon_ns = stored == 0 ? clock_wall_ns() : stored;
	purge->kept_ns = stored;
	return true;
}

static void
move_horizon(struct purge *purge)
{
	int64_t boot_ns = clock_boot_ns();
	int64_t wall_ns = clock_wall_ns();
	int64_t fastest_ns = purge->horizon_ns + HORIZON_FASTEST * (boot_ns - purge->moved_ns);
	purge->moved_ns = boot_ns;
	if (wall_ns > purge->horizon_ns) {
		purge->horizon_ns = wall_ns < fastest_ns ? wall_ns : fastest_ns;
	}
}

static bool
keep_horizon(struct store *store, struct error *err)
{
	char boot[BOOT_TEXT_BYTES];
	boot_text(boot);
	return statement_run(store,
	                     statement_bind(store, SQL_META_SET, "ti", "horizon",
	                                    store->purge.horizon_ns),
	                     NULL, err) &&
	       statement_run(store, statement_bind(store, SQL_META_SET, "tt", "horizon_boot", boot),
	                     NULL, err);
}

/* The next events that are due, in the order of arrival; the walk ends at the first that is not. */
static bool
find(struct store *store, struct slice *slice, bool *over, struct error *err)
{
	struct purge *purge = &store->purge;
	int64_t age_ns =
		slice->bodies ? atomic_load(&purge->bodies_ns) : atomic_load(&purge->dedup_ns);
	char cut[CLOCK_TEXT_BYTES];
	char now[CLOCK_TEXT_BYTES];
	int64_t wall_ns = clock_wall_ns();
	/* A horizon ahead of the clock was made by one that was wrong: nothing is older than the clock says. */
	clock_text((purge->horizon_ns < wall_ns ? purge->horizon_ns : wall_ns) - age_ns, cut);
	clock_text(wall_ns, now);
	sqlite3_stmt *statement =
		statement_bind(store, slice->bodies ? SQL_PURGE_BODIES : SQL_PURGE_EVENTS, "ii",
	                       purge->seq, (int64_t)PURGE_SLICE);
	int code = SQLITE_DONE;
	*over = false;
	slice->count = 0;
	while (!*over && (code = statement_step(store, statement, err)) == SQLITE_ROW) {
		const char *received = (const char *)sqlite3_column_text(statement, 1);
		if (strcmp(received, cut) >= 0 && strcmp(received, now) <= 0) {
			*over = true; /* the rest is younger */
			break;
		}
		slice->items[slice->count++] = (struct found){
			.seq = sqlite3_column_int64(statement, 0),
			/* From the future: a clock was wrong; it is not old. */
			.kept = strcmp(received, cut) >= 0 ||
			        sqlite3_column_int(statement, 2) != 0 ||
			        order_is_tried(store, sqlite3_column_int64(statement, 0), 0),
		};
	}
	if (!*over && code == 0) {
		return false;
	}
	*over = *over || slice->count < PURGE_SLICE;
	statement_reset(statement);
	return true;
}

bool
erase_body(struct store *store, int64_t seq, struct error *err)
{
	return statement_run(store, statement_bind(store, SQL_ERASE, "i", seq), NULL, err) &&
	       statement_run(store, statement_bind(store, SQL_REQUEST_FORGET, "i", seq), NULL, err);
}

bool
erase_finished(struct store *store, int64_t seq, bool *erased, struct error *err)
{
	int64_t changes = 0;
	bool good = statement_run(store, statement_bind(store, SQL_ERASE_FINISHED, "i", seq),
	                          &changes, err);
	*erased = changes > 0;
	return good && (!*erased ||
	                statement_run(store, statement_bind(store, SQL_REQUEST_FORGET, "i", seq),
	                              NULL, err));
}

/* The event's place in a request that held several; the last one takes the request along. */
static bool
ON_THREAD(store_thread) drop_request_event(struct store *store, int64_t seq, struct error *err)
{
	sqlite3_stmt *statement = statement_bind(store, SQL_REQUEST_EVENT_DROP, "i", seq);
	int code = statement_step(store, statement, err);
	if (code == 0) {
		return false;
	}
	int64_t request = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	if (code == SQLITE_ROW && statement_step(store, statement, err) == 0) {
		return false;
	}
	statement_reset(statement);
	return code != SQLITE_ROW ||
	       statement_run(store, statement_bind(store, SQL_REQUEST_DROP, "i", request), NULL,
	                     err);
}

static bool
ON_THREAD(store_thread) drop_event(struct store *store, int64_t seq, struct error *err)
{
	sqlite3_stmt *statement = statement_bind(store, SQL_DELIVERY_STATES, "i", seq);
	int code;
	while ((code = statement_step(store, statement, err)) == SQLITE_ROW) {
		int64_t handler = sqlite3_column_int64(statement, 0);
		ledger_add(store, seq, handler, (unsigned)sqlite3_column_int(statement, 1), -1);
		ledger_add(store, seq, handler, LEDGER_RECEIVED, -1);
	}
	if (code == 0) {
		return false;
	}
	statement_reset(statement);
	static const enum statement drops[] = { SQL_PURGE_DELIVERIES, SQL_PURGE_ATTEMPTS,
		                                SQL_PURGE_LETTERS, SQL_PURGE_EVENT };
	for (size_t i = 0; i < COUNT(drops); i++) {
		if (!statement_run(store, statement_bind(store, drops[i], "i", seq), NULL, err)) {
			return false;
		}
	}
	return drop_request_event(store, seq, err);
}

static bool
ON_THREAD(store_thread) slice_work(struct store *store, void *context, struct error *err)
{
	struct slice *slice = context;
	int64_t end_ns = upkeep_end_ns(store);
	for (slice->done = 0; slice->done < slice->count; slice->done++) {
		const struct found *item = &slice->items[slice->done];
		if (slice->done > 0 && clock_boot_ns() > end_ns) {
			break;
		}
		if (item->kept) {
			continue;
		}
		metrics_add(slice->bodies ? METRIC_BODIES_PURGED : METRIC_EVENTS_PURGED, 1);
		if (slice->bodies ? !erase_body(store, item->seq, err)
		                  : !drop_event(store, item->seq, err)) {
			return false;
		}
	}
	return keep_horizon(store, err);
}

static bool
any_due(const struct slice *slice)
{
	for (size_t i = 0; i < slice->count; i++) {
		if (!slice->items[i].kept) {
			return true;
		}
	}
	return false;
}

static bool
ON_THREAD(store_thread) horizon_work(struct store *store, void *context, struct error *err)
{
	(void)context;
	return keep_horizon(store, err);
}

static bool
ON_THREAD(store_thread)
	write_with_horizon(struct store *store,
                           bool (*work)(struct store *store, void *context, struct error *err),
                           void *context, struct error *err)
{
	if (!writer_transaction(store, work, context, err)) {
		return false;
	}
	store->purge.kept_ns = store->purge.horizon_ns;
	return true;
}

static void
end_pass(struct purge *purge, bool bodies)
{
	purge->seq = 0;
	purge->events = bodies;
	purge->next_ns = bodies ? 0 : clock_boot_ns() + PURGE_PASS_NS;
}

void
purge_step(struct store *store)
{
	struct purge *purge = &store->purge;
	bool begins =
		purge->kept_ns == 0 && store->next_seq > 1; /* the horizon is not on disk yet */
	if (atomic_load(&purge->dedup_ns) == 0 || (clock_boot_ns() < purge->next_ns && !begins)) {
		return;
	}
	move_horizon(purge);
	struct error err;
	struct slice slice = { .bodies = !purge->events };
	bool over;
	bool good = find(store, &slice, &over, &err);
	if (good && any_due(&slice)) {
		good = write_with_horizon(store, slice_work, &slice, &err);
		over = over && slice.done == slice.count;
	} else if (good) {
		slice.done = slice.count;
		if (purge->horizon_ns - purge->kept_ns > HORIZON_KEEP_NS && store->next_seq > 1) {
			good = write_with_horizon(store, horizon_work, NULL, &err);
		}
	}
	if (!good) {
		log_say(LOG_WARN, "retention.failed", "%s", err.text);
		purge->next_ns = clock_boot_ns() + PURGE_PASS_NS;
		return;
	}
	if (slice.done > 0) {
		purge->seq = slice.items[slice.done - 1].seq;
	}
	if (over) {
		end_pass(purge, slice.bodies);
	}
}

int64_t
purge_next(const struct store *store)
{
	return atomic_load(&store->purge.dedup_ns) == 0 ? INT64_MAX : store->purge.next_ns;
}

void
store_set_retention(struct store *store, int64_t dedup_ns, int64_t bodies_ns)
{
	atomic_store(&store->purge.bodies_ns, bodies_ns);
	atomic_store(&store->purge.dedup_ns, dedup_ns);
	queue_wake(&store->inbox);
}
