/* A token bucket: at most burst + rate·t tokens in any t seconds. Pure: time is an argument (boot time, ns). */
#ifndef HOOKLATCH_DISPATCH_BUDGET_H
#define HOOKLATCH_DISPATCH_BUDGET_H

#include "receiver/base/units.h"

struct budget {
	int64_t rate;  /* tokens in UNITS_RATE_PERIOD_S */
	int64_t burst; /* the most that it holds */
	int64_t level; /* in billionths of a token */
	int64_t at_ns; /* when level was right */
};

void budget_init(struct budget *budget, int64_t rate, int64_t burst, int64_t now_ns); /* full */
/* New figures for the same bucket: what is in it stays, up to the new burst. */
void budget_change(struct budget *budget, int64_t rate, int64_t burst, int64_t now_ns);
bool budget_has(struct budget *budget, int64_t now_ns);
void budget_take(struct budget *budget, int64_t now_ns); /* one; it must be there */
/* Boot time at which there is one. */
int64_t budget_when(struct budget *budget, int64_t now_ns);

#endif
