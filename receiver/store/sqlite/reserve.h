/* Disk space set aside: on a full disk it is given up, so that the results of what runs can still be written. New events
 * are refused until it can be set aside again.
 * Threads  the store's. */
#ifndef HOOKLATCH_STORE_SQLITE_RESERVE_H
#define HOOKLATCH_STORE_SQLITE_RESERVE_H

#include "receiver/base/error.h"

#define RESERVE_BYTES \
	(2 * 1024 * 1024) /* a hundred results at once, each with a few pages in the WAL */

struct reserve {
	int fd;
	char *path;
	bool held;
};

/* Opens `<store>.reserve`; sets nothing aside yet. */
bool reserve_open(struct reserve *reserve, const char *store_path, struct error *err) MUST_CHECK;
/* false: there is no room. */
bool reserve_hold(struct reserve *reserve) MUST_CHECK;
void reserve_give(struct reserve *reserve);
void reserve_close(struct reserve *reserve);

#endif
