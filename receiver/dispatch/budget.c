#include "receiver/dispatch/budget.h"

#include "receiver/base/error.h"

#define TOKEN NS_PER_S /* billionths */

__extension__ typedef __int128 wide;

static void
refill(struct budget *budget, int64_t now_ns)
{
	int64_t elapsed = now_ns - budget->at_ns;
	if (elapsed <= 0) {
		return;
	}
	/* A product of 64 bits each: rates and waits may both be large. */
	wide more = (wide)elapsed * budget->rate / UNITS_RATE_PERIOD_S;
	if (more == 0) {
		return; /* less than a billionth: let it gather */
	}
	more += budget->level;
	int64_t most = budget->burst * TOKEN;
	budget->level = more > most ? most : (int64_t)more;
	budget->at_ns = now_ns;
}

void
budget_init(struct budget *budget, int64_t rate, int64_t burst, int64_t now_ns)
{
	*budget = (struct budget){ rate, burst, burst * TOKEN, now_ns };
}

void
budget_change(struct budget *budget, int64_t rate, int64_t burst, int64_t now_ns)
{
	refill(budget, now_ns);
	budget->rate = rate;
	budget->burst = burst;
	budget->level = budget->level < burst * TOKEN ? budget->level : burst * TOKEN;
}

bool
budget_has(struct budget *budget, int64_t now_ns)
{
	refill(budget, now_ns);
	return budget->level >= TOKEN;
}

void
budget_take(struct budget *budget, int64_t now_ns)
{
	refill(budget, now_ns);
	ALWAYS(budget->level >= TOKEN, "budget-token");
#ifndef HOOKLATCH_NEGATIVE_BUDGET_IGNORED /* a build that must be caught */
	budget->level -= TOKEN;
#endif
}

int64_t
budget_when(struct budget *budget, int64_t now_ns)
{
	refill(budget, now_ns);
	if (budget->level >= TOKEN) {
		return now_ns;
	}
	int64_t missing = TOKEN - budget->level;
	return now_ns +
	       (int64_t)(((wide)missing * UNITS_RATE_PERIOD_S + budget->rate - 1) / budget->rate);
}
