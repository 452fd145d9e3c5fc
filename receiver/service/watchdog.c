#include "receiver/service/watchdog.h"

#include <stdlib.h>

#include "receiver/base/clock.h"
#include "receiver/base/units.h"
#include "receiver/service/notify.h"

#define PERIOD_MOST_NS (5 * NS_PER_S)

int64_t
watchdog_period_ns(int64_t stall_ns)
{
	int64_t period_ns = stall_ns / 4 < PERIOD_MOST_NS ? stall_ns / 4 : PERIOD_MOST_NS;
	const char *text = getenv("WATCHDOG_USEC");
	int64_t usec;
	if (text != NULL && span_number(span_of(text), &usec) && usec > 0 &&
	    usec / 3 < period_ns / NS_PER_US) {
		period_ns = usec / 3 * NS_PER_US;
	}
	return period_ns;
}

static const char *
stalled(const struct watchdog *watchdog, int64_t stall_ns)
{
	/* Each is asked: the question to the loops is what they answer by the next look. */
	int64_t net_ns = net_busy_ns(watchdog->net);
	if (store_busy_ns(watchdog->store) > stall_ns) {
		return "store";
	}
	if (engine_busy_ns(watchdog->engine) > stall_ns) {
		return "dispatch";
	}
	return net_ns > stall_ns ? "net" : NULL;
}

const char *
watchdog_look(struct watchdog *watchdog, int64_t stall_ns)
{
	int64_t now_ns = clock_boot_ns();
	if (watchdog->looked_ns == 0 ||
	    now_ns - watchdog->looked_ns > 2 * watchdog_period_ns(stall_ns)) {
		watchdog->awake_ns = now_ns;
	}
	watchdog->looked_ns = now_ns;
	const char *thread = stalled(watchdog, stall_ns);
	if (thread == NULL) {
		notify("WATCHDOG=1");
		return NULL;
	}
	return now_ns - watchdog->awake_ns > stall_ns ? thread : NULL;
}
