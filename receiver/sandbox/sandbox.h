/* A user's SQL beside our tables: it may create and use any table but ours and sqlite_*; it may neither attach, change
 * pragmas, nor begin or end transactions; and it has a time limit. The fence is SQLite's authorizer, which stays set as
 * long as the connection lives and lets everything pass while no user's statement is prepared or run; a statement that is
 * prepared again in the middle of its run is judged again.
 * Threads: those of the connection. */
#ifndef HOOKLATCH_SANDBOX_SANDBOX_H
#define HOOKLATCH_SANDBOX_SANDBOX_H

#include <sqlite3.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

enum parameter_kind {
	PARAMETER_TEXT,
	PARAMETER_BLOB,
	PARAMETER_INTEGER,
};

struct parameter {
	const char *name; /* with its ":" */
	enum parameter_kind kind;
	struct span text; /* must live until the run is over */
	int64_t number;
};

struct sandbox {
	bool active;
	bool defines;  /* the statement that is being prepared creates, alters or drops something */
	bool creates;  /* CREATE TABLE, whose SELECT is read before it is told of */
	bool alters;   /* ALTER TABLE: SQLite looks into its schema itself */
	bool reads;    /* it has a SELECT */
	bool checking; /* what a statement meets in data is passed over */
	int64_t until_ns;
	char refused[128]; /* why the authorizer said no; empty: it did not */
};

/* Where a mistake is: bytes from the beginning of the text; -1: nowhere in particular. */
struct sandbox_fault {
	int offset;
	bool timed_out;
};

void sandbox_install(struct sandbox *sandbox, sqlite3 *database);
/* Runs the text's statements one after the other. An error may have taken the whole transaction with it: ask
 * sqlite3_get_autocommit(). ERROR_INVALID: the text's own fault, or what it met; ERROR_LIMIT: its time is over; else the
 * database's. */
bool sandbox_run(struct sandbox *sandbox, sqlite3 *database, struct span sql,
                 const struct parameter *parameters, size_t count, int64_t timeout_ns,
                 struct sandbox_fault *fault, struct error *err) MUST_CHECK;

/* Tries the statements on a database in memory that has tables of our names: what other handlers set up (`others`, NULL at the
 * end; their mistakes are told elsewhere), then setup (NULL: none), then sql. What they meet in the data of this one event (a constraint, no JSON) is no mistake. Says in *in_setup which of them is wrong. */
bool sandbox_check(const char *const *others, const char *setup, const char *sql,
                   const struct parameter *parameters, size_t count, bool *in_setup,
                   struct sandbox_fault *fault, struct error *err) MUST_CHECK;

#endif
