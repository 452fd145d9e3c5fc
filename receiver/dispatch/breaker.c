#include "receiver/dispatch/breaker.h"

#include "receiver/base/error.h"

static const char *const names[] = { "closed", "open", "half_open" };

const char *
breaker_state_name(enum breaker_state state)
{
	ALWAYS((unsigned)state < COUNT(names), "breaker-state");
	return names[state];
}

void
breaker_init(struct breaker *breaker)
{
	*breaker = (struct breaker){ .state = BREAKER_CLOSED };
}

static void
reset(struct breaker *breaker)
{
	breaker->state = BREAKER_CLOSED;
	breaker->failures = 0;
	breaker->wait_ns = 0;
	breaker->probe = 0;
}

void
breaker_configure(struct breaker *breaker, int64_t failures, int64_t cooldown_ns,
                  int64_t max_cooldown_ns)
{
	breaker->failures_most = failures;
	breaker->cooldown_ns = cooldown_ns;
	breaker->max_cooldown_ns = max_cooldown_ns;
	if (failures == 0) {
		reset(breaker);
	}
}

bool
breaker_allows(struct breaker *breaker, int64_t now_ns)
{
	if (breaker->state == BREAKER_OPEN && now_ns >= breaker->until_ns) {
		breaker->state = BREAKER_HALF_OPEN;
		breaker->probe = 0;
	}
	return breaker->state == BREAKER_CLOSED ||
	       (breaker->state == BREAKER_HALF_OPEN && breaker->probe == 0);
}

void
breaker_tries(struct breaker *breaker, int64_t delivery)
{
	if (breaker->state == BREAKER_HALF_OPEN) {
		breaker->probe = delivery;
	}
}

static void
open_for(struct breaker *breaker, int64_t wait_ns, int64_t now_ns)
{
	breaker->state = BREAKER_OPEN;
	breaker->wait_ns = wait_ns < breaker->max_cooldown_ns ? wait_ns : breaker->max_cooldown_ns;
	breaker->until_ns = now_ns + breaker->wait_ns;
	breaker->probe = 0;
}

bool
breaker_failed(struct breaker *breaker, int64_t delivery, int64_t now_ns)
{
	if (breaker->failures_most == 0) {
		return false;
	}
	switch (breaker->state) {
	case BREAKER_CLOSED:
		if (++breaker->failures < breaker->failures_most) {
			return false;
		}
		open_for(breaker, breaker->cooldown_ns, now_ns);
		return true;
	case BREAKER_HALF_OPEN:
		if (breaker->probe != delivery) { /* one that was under way when it opened */
			return false;
		}
		open_for(breaker, breaker->wait_ns * 2, now_ns);
		return true;
	case BREAKER_OPEN: break;
	}
	return false;
}

bool
breaker_succeeded(struct breaker *breaker, int64_t delivery)
{
	if (breaker->state == BREAKER_CLOSED) {
		breaker->failures = 0;
		return false;
	}
	if (breaker->state != BREAKER_HALF_OPEN || breaker->probe != delivery) {
		return false; /* one that was under way when it opened says nothing about now */
	}
	reset(breaker);
	return true;
}

void
breaker_learned_nothing(struct breaker *breaker, int64_t delivery)
{
	if (breaker->state == BREAKER_HALF_OPEN && breaker->probe == delivery) {
		breaker->probe = 0; /* another one probes */
	}
}
