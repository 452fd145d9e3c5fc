/* A copy of the store that is whole and consistent, made beside a running service: one snapshot, written anew. Reads
 * only; the one reader that may hold a snapshot for long. The copy is checked before it gets its name.
 * Threads: the caller's; it may take as long as the store is large. */
#ifndef HOOKLATCH_STORE_BACKUP_H
#define HOOKLATCH_STORE_BACKUP_H

#include "receiver/base/error.h"

struct backup {
	int64_t events;
	int64_t deliveries;
	int64_t bytes;
	int64_t rotten; /* bodies that are not what they were: in the store too */
	char first_rotten[600];
};

/* ERROR_REFUSED: there is something of that name, or less than twice the store's size is free there. */
bool store_backup(const char *path, const char *target, struct backup *ret, struct error *err)
	MUST_CHECK;

#endif
