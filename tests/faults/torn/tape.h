/* What a life did to its disk, step by step, and what a power cut at any of these steps may leave behind.
 *
 * A sync makes durable what came before it on its file; a sync of names, what was created and removed. Of everything later any
 * part may be there after the cut, in any order: every write is torn at sectors of 512 bytes, a file that grew may have its
 * new length with zeros or rubbish where data should be, a name may be missing or still there.
 * Threads: a tape belongs to whoever holds it; while it is recorded, to the disk. */
#ifndef HOOKLATCH_TESTS_TORN_TAPE_H
#define HOOKLATCH_TESTS_TORN_TAPE_H

#include "receiver/base/random.h"

#include "tests/faults/torn/disk.h"

#define SECTOR_BYTES 512

enum step_kind {
	STEP_WRITE,
	STEP_CUT, /* to the length `at` */
	STEP_SYNC,
	STEP_CREATE,
	STEP_REMOVE,
	STEP_SYNC_NAMES,
};

/* What the program was doing. */
enum phase {
	PHASE_START,
	PHASE_MIGRATION,
	PHASE_COMMIT,
	PHASE_PURGE,
	PHASE_CHECKPOINT,
	PHASE_CLOSE,
	PHASES,
};

struct step {
	enum step_kind kind;
	enum phase phase;
	int file;
	size_t at;
	size_t size;
	unsigned char *data;
};

/* An event that the store has called accepted. */
struct ack {
	size_t at; /* steps before it */
	int64_t number;
};

struct tape {
	struct image base; /* durable when the life began */
	struct step *steps;
	size_t count;
	size_t *commits; /* steps before each COMMIT that returned */
	size_t commit_count;
	struct ack *acks;
	size_t ack_count;
	char names[DISK_FILES_MOST][DISK_NAME_BYTES];
	enum phase phase;
	bool syncs; /* false: a disk that lies about them */
};

void tape_init(struct tape *tape, const struct image *base);
void tape_finish(struct tape *tape);
void tape_step(struct tape *tape, enum step_kind kind, int file, const char *name, size_t at,
               const void *data, size_t size);
void tape_commit(struct tape *tape);
void tape_ack(struct tape *tape, int64_t number);

/* The disk before step `at`: what is durable, and what is on its way. */
struct cut {
	const struct tape *tape;
	size_t at;
	struct image synced;
	struct image now;
	size_t *pending; /* steps */
	size_t pending_count;
};

void cut_init(struct cut *cut, const struct tape *tape);
void cut_finish(struct cut *cut);
void cut_next(struct cut *cut);

enum remains {
	REMAINS_NOTHING, /* of what was not synced */
	REMAINS_ALL,
	REMAINS_BEGINNING, /* the first steps, and a torn one */
	REMAINS_VERSIONS,  /* each sector as it was at some moment */
	REMAINS_PARTS,     /* any sectors of any writes */
	REMAINS_SHUFFLED,  /* the same, the writes in another order */
	REMAINS_BUT_ONE,   /* all writes but one */
	REMAINS_BUT_SECTOR,
	REMAINS_ONE,
	REMAINS_KINDS,
};

void cut_image(const struct cut *cut, enum remains remains, struct random *random,
               struct image *ret);

#endif
