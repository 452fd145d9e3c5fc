/* Handlers and sources by name: deliveries belong to handlers by name, dedup spaces to sources by name. */
#include <stdlib.h>
#include <string.h>

#include "receiver/store/sqlite/writer_priv.h"

bool
names_load(struct store *store, struct error *err)
{
	sqlite3_stmt *statement;
	static const char sql[] =
		"SELECT id, name, ran_ns, paused_at IS NOT NULL, paused_until FROM handler";
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, sql);
	}
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(statement, 0);
		if (id > 0 && id < STORE_HANDLERS_MOST && atomic_load(&store->names[id]) == NULL) {
			atomic_store(&store->names[id],
			             memory_text((const char *)sqlite3_column_text(statement, 1)));
			atomic_store(&store->ran_ns[id], sqlite3_column_int64(statement, 2));
			if (sqlite3_column_int(statement, 3) != 0) {
				bool for_ever = sqlite3_column_type(statement, 4) == SQLITE_NULL;
				atomic_store(&store->paused[id],
				             for_ever ? INT64_MAX
				                      : sqlite3_column_int64(statement, 4));
			}
			if (id > atomic_load(&store->highest_handler)) {
				atomic_store(&store->highest_handler, id);
			}
		}
	}
	bool good = code == SQLITE_DONE || sqlite_error(err, store->database, sql);
	(void)sqlite3_finalize(statement);
	return good;
}

static int64_t
known_number(const struct store *store, const char *name)
{
	for (int64_t i = 1; i <= store_handlers(store); i++) {
		const char *known = store_handler_name(store, i);
		if (known != NULL && strcmp(known, name) == 0) {
			return i;
		}
	}
	return 0;
}

static bool
add_name(struct store *store, const char *format, const char *name, struct error *err)
{
	char *sql = sqlite3_mprintf(format, name);
	ALWAYS(sql != NULL, "name-insert");
	bool good = sqlite_run(store->database, sql, err);
	sqlite3_free(sql);
	return good;
}

static bool
list_gone(struct store *store, const struct store_names *names, struct error *err)
{
	static const char sql[] = "SELECT name FROM source ORDER BY name";
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) {
		return sqlite_error(err, store->database, sql);
	}
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *known = (const char *)sqlite3_column_text(statement, 0);
		bool there = false;
		for (size_t i = 0; i < names->source_count; i++) {
			there = there || strcmp(names->sources[i], known) == 0;
		}
		if (!there) {
			buffer_format(names->gone, "%s%s", names->gone->size == 0 ? "" : ", ",
			              known);
		}
	}
	bool good = code == SQLITE_DONE || sqlite_error(err, store->database, sql);
	(void)sqlite3_finalize(statement);
	return good;
}

bool
names_apply(struct store *store, const struct store_names *names, struct error *err)
{
	for (size_t i = 0; i < names->handler_count; i++) {
		if (known_number(store, names->handlers[i]) != 0) {
			continue;
		}
		if (store_handlers(store) + 1 >= STORE_HANDLERS_MOST) {
			return error_set(err, ERROR_LIMIT, "the store knows %d handlers already",
			                 STORE_HANDLERS_MOST - 1);
		}
		if (!add_name(store, "INSERT INTO handler (name) VALUES (%Q)", names->handlers[i],
		              err) ||
		    !names_load(store, err)) {
			return false;
		}
	}
	for (size_t i = 0; i < names->handler_count; i++) {
		names->numbers[i] = known_number(store, names->handlers[i]);
	}
	for (size_t i = 0; i < names->source_count; i++) {
		if (!add_name(store, "INSERT INTO source (name) VALUES (%Q) ON CONFLICT DO NOTHING",
		              names->sources[i], err)) {
			return false;
		}
	}
	return list_gone(store, names, err);
}

bool
apply_pause(struct store *store, struct change *change, struct error *err)
{
	bool pause = change->kind == CHANGE_PAUSE;
	sqlite3_stmt *statement;
	if (pause && change->until != INT64_MAX) {
		statement =
			statement_bind(store, SQL_PAUSE, "iwitt", change->id, store->batch.now_ns,
		                       change->until, change->who, change->reason);
	} else if (pause) {
		statement = statement_bind(store, SQL_PAUSE, "iwntt", change->id,
		                           store->batch.now_ns, change->who, change->reason);
	} else {
		statement = statement_bind(store, SQL_PAUSE, "innnn", change->id);
	}
	return statement_run(store, statement, &change->changed, err) &&
	       statement_run(store,
	                     statement_bind(store, SQL_AUDIT, "wtttti", store->batch.now_ns,
	                                    change->who, pause ? "pause" : "resume",
	                                    change->handler, change->reason, (int64_t)1),
	                     NULL, err);
}

bool
store_name(struct store *store, const struct store_names *names, struct error *err)
{
	if (store->started) {
		struct change change = { .kind = CHANGE_NAMES, .names = names };
		return store_change(store, &change, err);
	}
	return names_apply(store, names, err);
}
