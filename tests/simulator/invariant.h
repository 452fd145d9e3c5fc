/* What must be true, whatever happens. Each rule keeps its own books and works out anew, from the manual, what the
 * production code has to do. A broken rule prints seed, time and what went wrong; the process ends with 1. */
#ifndef HOOKLATCH_TESTS_SIMULATOR_INVARIANT_H
#define HOOKLATCH_TESTS_SIMULATOR_INVARIANT_H

#include "tests/simulator/world.h"

NORETURN void rule_broken(const struct world *world, const char *format, ...) PRINTF(2, 3);

void rules_create(struct world *world);
void rules_destroy(struct world *world);
void rules_new_life(struct world *world);

/* What the schedule was told. */
void rule_configured(struct world *world, int64_t number, const struct line_settings *settings);
void rule_budget(struct world *world);
void rule_retired(struct world *world, int64_t number);
void rule_paused(struct world *world, int64_t number, int64_t until_ns);
void rule_fetched(struct world *world, int64_t number, int lane, bool good);
void rule_claim_back(struct world *world, int64_t number, int32_t delivery, bool runs);
void rule_news(struct world *world, int64_t number, int32_t delivery, enum schedule_news news);

/* What it decided. */
void rule_claims(struct world *world, int64_t number, int lane, struct window_item item,
                 enum slot slot);
void rule_takes_slot(struct world *world, int64_t number, enum slot slot);
void rule_gives_slot(struct world *world, int64_t number, enum slot slot);
void rule_fetches(struct world *world, int64_t number, int lane);
void rule_breaker(struct world *world, int64_t number, const struct breaker *breaker);
void rule_pumped(struct world *world, int64_t next_ns);

/* What came of it. */
void rule_worked_on(struct world *world, int32_t number,
                    int lane); /* a claim is committed; lane -1: with its arrival */
void rule_call(struct world *world, int32_t number);
void rule_waits(struct world *world, const struct handler *handler, int64_t failed,
                int64_t wait_ns);
void rule_counts(struct world *world); /* everything counted anew */
void rule_still(struct world *world);  /* nothing will happen any more by itself */
void rule_over(struct world *world);

#endif
