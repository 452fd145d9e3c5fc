/* What will happen, in virtual time; at the same time in the order in which it was put in. */
#ifndef HOOKLATCH_TESTS_SIMULATOR_CALENDAR_H
#define HOOKLATCH_TESTS_SIMULATOR_CALENDAR_H

#include "receiver/base/compiler.h"

enum happening {
	/* outside the process */
	HAPPENS_ARRIVAL,
	HAPPENS_WEATHER, /* a destination changes */
	HAPPENS_FAULT,   /* somebody does something: crash, pause, reload, replay … */
	HAPPENS_START,   /* of a new life */
	/* in this life of the process; forgotten by a crash */
	HAPPENS_TURN,     /* of the store thread */
	HAPPENS_DISPATCH, /* the dispatch thread wakes */
	HAPPENS_READ,     /* the reader looks */
	HAPPENS_ANSWER,   /* the reader answers */
	HAPPENS_CALL_END, /* of a try */
};

struct entry {
	int64_t at_ns;
	int64_t order;
	enum happening what;
	int64_t life;
	int64_t subject;
};

struct calendar {
	struct entry *heap;
	size_t count;
	size_t room;
	int64_t order;
};

void calendar_add(struct calendar *calendar, struct entry entry);
bool calendar_take(struct calendar *calendar, struct entry *ret);
void calendar_finish(struct calendar *calendar);

#endif
