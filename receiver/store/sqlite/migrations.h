/* The migrations, embedded from migrations/ by scripts/embed-migrations. */
#ifndef HOOKLATCH_STORE_SQLITE_MIGRATIONS_H
#define HOOKLATCH_STORE_SQLITE_MIGRATIONS_H

#include <stddef.h>

struct migration {
	int version;
	const char *name;
	const char *sql;
};

extern const struct migration migrations[]; /* in their order */
extern const size_t migration_count;

#endif
