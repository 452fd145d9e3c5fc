/* A circuit breaker. Pure: time is an argument (boot time, ns).
 *
 *   closed ──`failures` in a row──▶ open ──cooldown──▶ half-open ──one probe: good──▶ closed
 *                                    ▲                     └──bad: the cooldown doubles, up to max_cooldown──┐
 *                                    └───────────────────────────────────────────────────────────────────────┘
 * An outcome that says nothing about the destination neither counts nor resets. */
#ifndef HOOKLATCH_DISPATCH_BREAKER_H
#define HOOKLATCH_DISPATCH_BREAKER_H

#include "receiver/base/compiler.h"

enum breaker_state {
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN,
};

struct breaker {
	int64_t failures_most; /* 0: there is no breaker */
	int64_t cooldown_ns;
	int64_t max_cooldown_ns;
	enum breaker_state state;
	int64_t failures; /* in a row */
	int64_t wait_ns;  /* the cooldown of this time */
	int64_t until_ns; /* of the open state */
	int64_t probe;    /* the delivery that probes; 0: none is under way */
};

void breaker_init(struct breaker *breaker);
/* New figures for the same breaker; 0 failures close it for good. */
void breaker_configure(struct breaker *breaker, int64_t failures, int64_t cooldown_ns,
                       int64_t max_cooldown_ns);
/* Whether a try may be made now. Turns open into half-open when its time has come. */
bool breaker_allows(struct breaker *breaker, int64_t now_ns);
/* A try is made: in the half-open state it is the probe. */
void breaker_tries(struct breaker *breaker, int64_t delivery);
/* What became of a try. True: the state has changed. */
bool breaker_failed(struct breaker *breaker, int64_t delivery, int64_t now_ns) MUST_CHECK;
bool breaker_succeeded(struct breaker *breaker, int64_t delivery) MUST_CHECK;
void breaker_learned_nothing(struct breaker *breaker, int64_t delivery);
const char *breaker_state_name(enum breaker_state state);

#endif
