/* A store looked at from outside, by somebody who changes nothing: who has it, whether every page, every index and every body is
 * what it was, whether its sums are right. It takes as long as the store is large, and holds a snapshot meanwhile.
 * Threads: the caller's. */
#ifndef HOOKLATCH_STORE_INSPECTION_H
#define HOOKLATCH_STORE_INSPECTION_H

#include "receiver/base/error.h"

#define INSPECTION_STRANGERS_MOST 8

struct inspection_owner {
	long pid; /* who holds the store's lock; 0: nobody */
	bool serving;
	/* Other processes that have the database open. */
	size_t stranger_count;
	struct inspection_stranger {
		long pid;
		char name[32];
	} strangers[INSPECTION_STRANGERS_MOST];
};

/* From /proc: takes no lock, which would be in the way of a start. */
void store_owner(const char *path, struct inspection_owner *ret);

/* The WAL before SQLite opens it; only while nobody has the store. ERROR_STORE_DAMAGED says what and how much. */
bool store_scan_wal(const char *path, int64_t *commits, struct error *err) MUST_CHECK;

struct inspection {
	int64_t schema;        /* version */
	int64_t newest_schema; /* that this program knows */
	int64_t events;
	int64_t deliveries;
	int64_t told; /* deliveries by the ledger */
	int64_t bodies;
	int64_t rotten; /* bodies that are not what they were */
	char first_rotten[600];
	char damage[256];   /* the first thing that SQLite's check says; "": it is sound */
	int64_t stored_seq; /* the highest number that was ever given */
	int64_t marked_seq; /* what the last service noted that it had; 0: nothing */
	int64_t marked_ns;
	int64_t newest_ns; /* when the newest event was received; 0: none */
};

/* `whole`: all pages and all bodies. ERROR_REFUSED: it is no store of ours. */
bool store_inspect(const char *path, bool whole, struct inspection *ret, struct error *err)
	MUST_CHECK;

#endif
