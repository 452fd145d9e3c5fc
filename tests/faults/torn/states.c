#include "tests/faults/torn/states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "receiver/base/bytes.h"

#include "tests/faults/torn/life.h"

/* Columns of the first schema by name, so that a migration changes nothing here. */
static const char *const tables[] = {
	"SELECT name FROM source ORDER BY name",
	"SELECT id, name, ran_ns, paused_at FROM handler ORDER BY id",
	"SELECT seq, source, event_id, type, received_at, headers, hash, body FROM events ORDER BY seq",
	"SELECT seq, handler, state, attempts, round, retry, due, last_error, outcome, order_key, held FROM delivery ORDER BY seq, handler",
	"SELECT id, seq, handler, round, number, started_at, result, error, output, reason FROM attempt ORDER BY id",
	"SELECT id, seq, handler, reason, attempts, died_at, output FROM dead_letter ORDER BY id",
	"SELECT segment, handler, state, count FROM ledger WHERE count <> 0 ORDER BY segment, handler, state",
	"SELECT name, value FROM meta ORDER BY name",
	"SELECT id, source, events, body FROM hooklatch_request ORDER BY id",
	"SELECT seq, request, position FROM hooklatch_request_event ORDER BY seq",
};

static bool
failed(struct error *err, sqlite3 *database, const char *what)
{
	return error_set(err, ERROR_STORE_BAD, "%s: %s", what, sqlite3_errmsg(database));
}

/* A value with its type and length before it. */
static void
add_value(XXH3_state_t *hash, sqlite3_stmt *statement, int column)
{
	int kind = sqlite3_column_type(statement, column);
	const void *data = sqlite3_column_blob(statement, column); /* numbers as text */
	int size = sqlite3_column_bytes(statement, column);
	int head[2] = { kind, size };
	(void)XXH3_128bits_update(hash, head, sizeof(head));
	if (size > 0) {
		(void)XXH3_128bits_update(hash, data, (size_t)size);
	}
}

static bool
add_table(XXH3_state_t *hash, sqlite3 *database, const char *sql, struct error *err)
{
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) {
		bool missing = strncmp(sqlite3_errmsg(database), "no such table", 13) == 0;
		return missing || failed(err, database, sql); /* the schema is not there yet */
	}
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		(void)XXH3_128bits_update(hash, &sql, sizeof(sql));
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			add_value(hash, statement, i);
		}
	}
	bool good = code == SQLITE_DONE || failed(err, database, sql);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
states_digest(sqlite3 *database, struct digest *ret, struct error *err)
{
	XXH3_state_t *hash = XXH3_createState();
	ALWAYS(hash != NULL && XXH3_128bits_reset(hash) == XXH_OK, "hash");
	bool good = true;
	for (size_t i = 0; good && i < COUNT(tables); i++) {
		good = add_table(hash, database, tables[i], err);
	}
	XXH128_hash_t sum = XXH3_128bits_digest(hash);
	(void)XXH3_freeState(hash);
	*ret = (struct digest){ sum.low64, sum.high64 };
	return good;
}

/* The first column of the first row as text. */
static bool
says(sqlite3 *database, const char *sql, const char *wanted, struct error *err)
{
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return failed(err, database, sql);
	}
	int code = sqlite3_step(statement);
	const char *text =
		code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
	bool good = text != NULL && strcmp(text, wanted) == 0;
	if (!good) {
		(void)error_set(err, ERROR_STORE_BAD, "%s: %s", sql,
		                text == NULL ? sqlite3_errmsg(database) : text);
	}
	(void)sqlite3_finalize(statement);
	return good;
}

bool
states_sound(sqlite3 *database, struct error *err)
{
	return says(database, "PRAGMA integrity_check(1)", "ok", err);
}

/* --- reading a tape --- */

static bool
row_is_as_sent(sqlite3_stmt *statement)
{
	const char *id = (const char *)sqlite3_column_text(statement, 0);
	int64_t number = strtoll(id + 1, NULL, 10);
	bool purged = sqlite3_column_type(statement, 2) == SQLITE_NULL;
	size_t size;
	char *body = life_body(number, &size);
	char *headers = life_headers(number);
	bool good =
		purged || ((size_t)sqlite3_column_bytes(statement, 2) == size &&
	                   memcmp(sqlite3_column_blob(statement, 2), body, size) == 0 &&
	                   strcmp((const char *)sqlite3_column_text(statement, 1), headers) == 0);
	free(body);
	free(headers);
	return good;
}

static bool
rows_are_as_sent(sqlite3 *database, struct error *err)
{
	static const char sql[] = "SELECT event_id, headers, body FROM events";
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return failed(err, database, sql);
	}
	int code;
	bool good = true;
	while (good && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		good = row_is_as_sent(statement) ||
		       error_set(err, ERROR_STORE_BAD, "%s is not what was sent",
		                 (const char *)sqlite3_column_text(statement, 0));
	}
	(void)sqlite3_finalize(statement);
	return good;
}

/* Deliveries and ledger by handler and state, all that were made among them. */
static bool
ledger_adds_up(sqlite3 *database, struct error *err)
{
	return says(
		database,
		"SELECT count(*) FROM (SELECT handler, state, sum(n) AS n FROM "
		"(SELECT handler, state, count(*) AS n FROM delivery GROUP BY handler, state "
		"UNION ALL SELECT handler, 5, count(*) FROM delivery GROUP BY handler "
		"UNION ALL SELECT handler, state, -sum(count) FROM ledger GROUP BY handler, state) "
		"GROUP BY handler, state HAVING sum(n) <> 0)",
		"0", err);
}

static bool
has_schema(sqlite3 *database)
{
	struct error ignored;
	return says(database, "SELECT count(*) FROM sqlite_schema WHERE name = 'ledger'", "1",
	            &ignored);
}

/* What was acknowledged between this commit and the next is in it. */
static bool
acks_are_there(sqlite3 *database, const struct tape *tape, size_t from, size_t to,
               struct error *err)
{
	for (size_t i = 0; i < tape->ack_count; i++) {
		char sql[96];
		if (tape->acks[i].at < from || tape->acks[i].at >= to) {
			continue;
		}
		(void)snprintf(sql, sizeof(sql),
		               "SELECT count(*) FROM events WHERE event_id = 'e%lld'",
		               (long long)tape->acks[i].number);
		if (!says(database, sql, "1", err)) {
			return error_prefix(err, "acknowledged before it was stored");
		}
	}
	return true;
}

static bool
read_state(struct states *states, const struct cut *cut, struct error *err)
{
	const struct tape *tape = cut->tape;
	struct image image;
	sqlite3 *database;
	size_t k = states->count;
	size_t from = k == 0 ? 0 : tape->commits[k - 1];
	size_t to = k < tape->commit_count ? tape->commits[k] : SIZE_MAX;
	struct random unused = { { 1 } };
	cut_image(cut, REMAINS_ALL, &unused, &image);
	disk_mount(&image, NULL);
	bool good =
		sqlite3_open(DISK_STORE, &database) == SQLITE_OK || failed(err, database, "open");
	(void)sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	good = good && states_digest(database, &states->digests[k], err) &&
	       states_sound(database, err) &&
	       (!has_schema(database) ||
	        (rows_are_as_sent(database, err) && ledger_adds_up(database, err) &&
	         acks_are_there(database, tape, from, to, err)));
	(void)sqlite3_close(database);
	disk_unmount(NULL);
	states->count++;
	return good || error_prefix(err, "after commit %zu", k);
}

bool
states_read(struct states *states, const struct tape *tape, struct error *err)
{
	struct cut cut;
	states->count = 0;
	states->digests = memory_need((tape->commit_count + 1) * sizeof(*states->digests));
	cut_init(&cut, tape);
	bool good = read_state(states, &cut, err);
	for (size_t k = 0; good && k < tape->commit_count; k++) {
		while (cut.at < tape->commits[k]) {
			cut_next(&cut);
		}
		good = read_state(states, &cut, err);
	}
	cut_finish(&cut);
	return good;
}

void
states_finish(struct states *states)
{
	free(states->digests);
	memset(states, 0, sizeof(*states));
}

int64_t
states_find(const struct states *states, struct digest digest)
{
	for (size_t i = states->count; i > 0; i--) {
		const struct digest *one = &states->digests[i - 1];
		if (one->low == digest.low && one->high == digest.high) {
			return (int64_t)i - 1;
		}
	}
	return -1;
}
