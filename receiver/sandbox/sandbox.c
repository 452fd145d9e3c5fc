#include "receiver/sandbox/sandbox.h"

#include <stdio.h>
#include <string.h>

#include "receiver/base/clock.h"

#define PROGRESS_STEPS   1000 /* virtual machine steps between looks at the clock */
#define CHECK_TIMEOUT_NS (2 * NS_PER_S)
#define VALUE_MOST_BYTES (128 * 1024 * 1024) /* of any text or blob that a statement makes */

/* What is ours; what we add later begins with hooklatch_. */
static const char *const ours[] = {
	"schema_migrations", "meta",   "source", "handler",    "events",   "delivery",    "attempt",
	"dead_letter",       "ledger", "replay", "deliveries", "attempts", "dead_letters"
};

static bool
is_ours(const char *table)
{
	for (size_t i = 0; i < COUNT(ours); i++) {
		if (sqlite3_stricmp(table, ours[i]) == 0) {
			return true;
		}
	}
	return sqlite3_strnicmp(table, "hooklatch_", 10) == 0;
}

static bool
is_schema_table(const char *table)
{
	return sqlite3_stricmp(table, "sqlite_master") == 0 ||
	       sqlite3_stricmp(table, "sqlite_schema") == 0;
}

static int
refuse(struct sandbox *sandbox, const char *format, const char *name)
{
	if (sandbox->refused[0] == '\0') {
		/* The formats are literals of this file. */
		char *text = sqlite3_mprintf(format, name == NULL ? "" : name);
		(void)snprintf(sandbox->refused, sizeof(sandbox->refused), "%s",
		               text == NULL ? "refused" : text);
		sqlite3_free(text);
	}
	return SQLITE_DENY;
}

/* Tables that SQLite makes up: of its file, its settings, its own code. */
static bool
is_made_up(const char *table)
{
	return sqlite3_stricmp(table, "dbstat") == 0 || sqlite3_stricmp(table, "bytecode") == 0 ||
	       sqlite3_stricmp(table, "tables_used") == 0 ||
	       sqlite3_strnicmp(table, "pragma_", 7) == 0;
}

/* `column`: of one that is read, else NULL. */
static int
judge_table(struct sandbox *sandbox, const char *table, const char *column)
{
	if (table == NULL) {
		return SQLITE_OK;
	}
	if (is_ours(table)) {
		return refuse(sandbox, "the table %.60s is hooklatch's own", table);
	}
	if (sqlite3_strnicmp(table, "sqlite_", 7) != 0) {
		return is_made_up(table) ? refuse(sandbox, "the table %.60s is SQLite's own", table)
		                         : SQLITE_OK;
	}
	/* sqlite_schema, sqlite_sequence and their like. SQLite itself reads and writes them while something is created, altered
	 * or dropped; nobody can write the schema but it. In a statement with a SELECT it reads no more than their ROWID. */
	bool own_work = sandbox->alters || (!sandbox->reads && !sandbox->creates) ||
	                column == NULL || sqlite3_stricmp(column, "ROWID") == 0;
	if ((sandbox->defines || (is_schema_table(table) && !sandbox->reads)) && own_work) {
		return SQLITE_OK;
	}
	return refuse(sandbox, "the table %.60s is SQLite's own", table);
}

/* What is made, and on which table; both names count. */
static int
judge_definition(struct sandbox *sandbox, const char *name, const char *table)
{
	sandbox->defines = true;
	return name != NULL && is_ours(name)
	               ? refuse(sandbox, "the name %.60s is hooklatch's own", name)
	               : judge_table(sandbox, table, NULL);
}

static int
authorize(void *context, int action, const char *first, const char *second, const char *database,
          const char *trigger)
{
	struct sandbox *sandbox = context;
	(void)database;
	(void)trigger;
	if (!sandbox->active) {
		return SQLITE_OK;
	}
	switch (action) {
	case SQLITE_SELECT: sandbox->reads = true; return SQLITE_OK;
	case SQLITE_READ: return judge_table(sandbox, first, second);
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE: return judge_table(sandbox, first, NULL);
	case SQLITE_CREATE_TABLE:
		sandbox->creates = true;
		return judge_definition(sandbox, NULL, first);
	case SQLITE_DROP_TABLE:
	case SQLITE_CREATE_VIEW:
	case SQLITE_DROP_VIEW:
	case SQLITE_CREATE_VTABLE: /* its own code writes beside the statement, when nobody is judged */
		return refuse(sandbox, "virtual tables are not for handlers%s", "");
	case SQLITE_DROP_VTABLE: return judge_definition(sandbox, NULL, first);
	case SQLITE_CREATE_INDEX:
	case SQLITE_DROP_INDEX:
	case SQLITE_CREATE_TRIGGER:
	case SQLITE_DROP_TRIGGER: return judge_definition(sandbox, first, second);
	case SQLITE_ALTER_TABLE:
		sandbox->alters = true;
		return judge_definition(sandbox, NULL, second);
	case SQLITE_RECURSIVE: return SQLITE_OK;
	case SQLITE_FUNCTION:
		return sqlite3_stricmp(second, "load_extension") == 0 ||
		                       sqlite3_stricmp(second, "fts3_tokenizer") == 0
		               ? refuse(sandbox, "the function %.60s is not for statements", second)
		               : SQLITE_OK;
	case SQLITE_REINDEX: /* a new index is filled */
		return sandbox->defines ? SQLITE_OK
		                        : refuse(sandbox, "REINDEX is not for handlers%s", "");
	case SQLITE_PRAGMA:
		if (sqlite3_stricmp(first, "data_version") ==
		    0) { /* virtual tables look for changes */
			return SQLITE_OK;
		}
		return refuse(sandbox, "pragmas are not for statements%s", "");
	case SQLITE_ATTACH:
	case SQLITE_DETACH: return refuse(sandbox, "no other database can be attached%s", "");
	case SQLITE_TRANSACTION:
	case SQLITE_SAVEPOINT:
		return refuse(
			sandbox,
			"the statement is part of the transaction that records it: no BEGIN, COMMIT, "
			"ROLLBACK or SAVEPOINT%s",
			"");
	default: /* temporary tables would hide ours; ANALYZE and REINDEX concern them */
		return refuse(sandbox, "this kind of statement is not for handlers%s", "");
	}
}

static int
on_progress(void *context)
{
	return clock_boot_ns() > ((const struct sandbox *)context)->until_ns ? 1 : 0;
}

void
sandbox_install(struct sandbox *sandbox, sqlite3 *database)
{
	memset(sandbox, 0, sizeof(*sandbox));
	(void)sqlite3_db_config(database, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, NULL);
	/* SQLite describes these tables to itself the first time: before anybody is judged. */
	(void)sqlite3_exec(database, "SELECT 1 FROM json_each('[]'), json_tree('[]')", NULL, NULL,
	                   NULL);
	(void)sqlite3_set_authorizer(database, authorize, sandbox);
}

static bool
failed(const struct sandbox *sandbox, sqlite3 *database, struct sandbox_fault *fault, int base,
       struct error *err)
{
	int code = sqlite3_errcode(database) & 0xff;
	int offset = sqlite3_error_offset(database);
	fault->offset = offset < 0 ? base : base + offset;
	fault->timed_out = code == SQLITE_INTERRUPT;
	if (fault->timed_out) {
		return error_set(err, ERROR_LIMIT,
		                 "timeout: the statement took longer than it may");
	}
	if (sandbox->refused[0] != '\0') {
		return error_set(err, ERROR_INVALID, "%s", sandbox->refused);
	}
	if (sqlite3_extended_errcode(database) ==
	    SQLITE_CORRUPT_VTAB) { /* a virtual table of the user's */
		code = SQLITE_ERROR;
	}
	switch (code) {
	case SQLITE_IOERR:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FULL:
	case SQLITE_BUSY: /* the database's fault: the caller asks it */
		return error_set(err, ERROR_SYSTEM, "%s", sqlite3_errmsg(database));
	default: return error_set(err, ERROR_INVALID, "%s", sqlite3_errmsg(database));
	}
}

static bool
bind_parameters(sqlite3_stmt *statement, const struct parameter *parameters, size_t count,
                struct error *err)
{
	for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++) {
		const char *name = sqlite3_bind_parameter_name(statement, i);
		const struct parameter *found = NULL;
		for (size_t j = 0; name != NULL && j < count; j++) {
			found = strcmp(parameters[j].name, name) == 0 ? &parameters[j] : found;
		}
		if (found == NULL) {
			return error_set(
				err, ERROR_INVALID,
				"there is no parameter %s; there are :event_id :source :type "
				":sequence :body :received_at",
				name == NULL ? "?" : name);
		}
		const char *data = found->text.data == NULL ? "" : found->text.data;
		if (found->kind == PARAMETER_INTEGER) {
			(void)sqlite3_bind_int64(statement, i, found->number);
		} else if (found->kind == PARAMETER_TEXT) {
			(void)sqlite3_bind_text64(statement, i, data, found->text.size,
			                          SQLITE_STATIC, SQLITE_UTF8);
		} else {
			(void)sqlite3_bind_blob64(statement, i, data, found->text.size,
			                          SQLITE_STATIC);
		}
	}
	return true;
}

/* Whether the next statement is a VACUUM, behind spaces and comments. */
static bool
is_vacuum(const char *at, const char *end)
{
	struct span word = SPAN("VACUUM");
	for (;;) {
		while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r') || *at == ';')) {
			at++;
		}
		if (end - at < 2 || (memcmp(at, "--", 2) != 0 && memcmp(at, "/*", 2) != 0)) {
			break;
		}
		bool line = *at == '-';
		at += 2;
		while (at < end && (line ? *at != '\n' : memcmp(at - 2, "*/", 2) != 0)) {
			at++;
		}
	}
	return (size_t)(end - at) >= word.size &&
	       span_equal_nocase((struct span){ at, word.size }, word);
}

static bool
run_all(struct sandbox *sandbox, sqlite3 *database, struct span sql,
        const struct parameter *parameters, size_t count, struct sandbox_fault *fault,
        struct error *err)
{
	const char *at = sql.data;
	const char *end = sql.data + sql.size;
	while (at < end) {
		sqlite3_stmt *statement = NULL;
		const char *next = NULL;
		int base = (int)(at - sql.data);
		sandbox->defines = false;
		sandbox->reads = false;
		sandbox->alters = false;
		sandbox->creates = false;
		if (is_vacuum(at,
		              end)) { /* it would fail on each event, and no authorizer sees it */
			fault->offset = base;
			return error_set(err, ERROR_INVALID, "VACUUM is not for handlers");
		}
		if (sqlite3_prepare_v2(database, at, (int)(end - at), &statement, &next) !=
		    SQLITE_OK) {
			return failed(sandbox, database, fault, base, err);
		}
		at = next;
		if (statement == NULL) { /* a comment, or nothing */
			continue;
		}
		fault->offset = base;
		bool good = bind_parameters(statement, parameters, count, err);
		int code = SQLITE_DONE;
		while (good && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		}
		int kind = code & 0xff;
		if (sandbox->checking &&
		    (kind == SQLITE_CONSTRAINT || kind == SQLITE_ERROR ||
		     kind == SQLITE_MISMATCH) &&
		    sandbox->refused[0] == '\0') {
			code = SQLITE_DONE;
		}
		if (good && code != SQLITE_DONE) {
			good = failed(sandbox, database, fault, base, err);
		}
		(void)sqlite3_finalize(statement);
		if (!good) {
			return false;
		}
	}
	return true;
}

/* Whether the word stands anywhere in it: a look that costs little. */
static bool
may_rename(struct span sql)
{
	struct span word = SPAN("RENAME");
	for (size_t i = 0; i + word.size <= sql.size; i++) {
		if (span_equal_nocase((struct span){ sql.data + i, word.size }, word)) {
			return true;
		}
	}
	return false;
}

/* ALTER TABLE … RENAME TO tells nobody its new name. */
static int64_t
count_ours(sqlite3 *database)
{
	sqlite3_stmt *statement = NULL;
	int64_t count = -1;
	if (sqlite3_prepare_v2(
		    database,
		    "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'hooklatch\\_%' ESCAPE '\\'",
		    -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		count = sqlite3_column_int64(statement, 0);
	}
	(void)sqlite3_finalize(statement);
	return count;
}

/* One step of a statement may take long and cannot be broken off: then it was too long all the same. */
static bool
judge_end(const struct sandbox *sandbox, sqlite3 *database, int64_t names,
          struct sandbox_fault *fault, struct error *err)
{
	if (clock_boot_ns() > sandbox->until_ns) {
		fault->timed_out = true;
		return error_set(err, ERROR_LIMIT,
		                 "timeout: the statement took longer than it may");
	}
	return names < 0 || count_ours(database) == names ||
	       error_set(err, ERROR_INVALID,
	                 "names that begin with hooklatch_ are hooklatch's own");
}

bool
sandbox_run(struct sandbox *sandbox, sqlite3 *database, struct span sql,
            const struct parameter *parameters, size_t count, int64_t timeout_ns,
            struct sandbox_fault *fault, struct error *err)
{
	*fault = (struct sandbox_fault){ .offset = -1 };
	sandbox->refused[0] = '\0';
	sandbox->until_ns = clock_boot_ns() + timeout_ns;
	int64_t names = may_rename(sql) ? count_ours(database) : -1;
	int length = sqlite3_limit(database, SQLITE_LIMIT_LENGTH, VALUE_MOST_BYTES);
	sandbox->active = true;
	sqlite3_progress_handler(database, PROGRESS_STEPS, on_progress, sandbox);
	bool good = run_all(sandbox, database, sql, parameters, count, fault, err);
	sqlite3_progress_handler(database, 0, NULL, NULL);
	sandbox->active = false;
	(void)sqlite3_limit(database, SQLITE_LIMIT_LENGTH, length);
	return good && judge_end(sandbox, database, names, fault, err);
}

bool
sandbox_check(const char *const *others, const char *setup, const char *sql,
              const struct parameter *parameters, size_t count, bool *in_setup,
              struct sandbox_fault *fault, struct error *err)
{
	sqlite3 *database = NULL;
	struct sandbox sandbox;
	ALWAYS(sqlite3_open(":memory:", &database) == SQLITE_OK, "sandbox-memory");
	for (size_t i = 0; i < COUNT(ours); i++) {
		char *text = sqlite3_mprintf("CREATE TABLE \"%w\" (seq)", ours[i]);
		ALWAYS(text != NULL && sqlite3_exec(database, text, NULL, NULL, NULL) == SQLITE_OK,
		       "sandbox-table");
		sqlite3_free(text);
	}
	sandbox_install(&sandbox, database);
	*in_setup = setup != NULL;
	sandbox.checking = true;
	for (size_t i = 0; others[i] != NULL; i++) {
		if (setup == NULL || strcmp(others[i], setup) != 0) {
			struct sandbox_fault elsewhere;
			struct error ignored;
			bool told = sandbox_run(&sandbox, database, span_of(others[i]), NULL, 0,
			                        CHECK_TIMEOUT_NS, &elsewhere, &ignored);
			(void)told;
		}
	}
	bool good = setup == NULL || sandbox_run(&sandbox, database, span_of(setup), NULL, 0,
	                                         CHECK_TIMEOUT_NS, fault, err);
	if (good) {
		*in_setup = false;
		good = sqlite3_exec(database, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
		       sandbox_run(&sandbox, database, span_of(sql), parameters, count,
		                   CHECK_TIMEOUT_NS, fault, err);
	}
	(void)sqlite3_close_v2(database);
	return good;
}
