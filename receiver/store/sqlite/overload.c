#include "receiver/store/sqlite/overload.h"

#define BATCHES_LEAST 2 /* the one that is stored, and the next: fewer would leave the disk idle */
#define SHORT_PART    4 /* below this part of OVERLOAD_WAIT_NS it is over */
#define KNOWN_PART    8 /* of what an event costs: so much of it each batch says anew */

void
overload_begin(struct overload *overload, int64_t now_ns, int64_t waited_ns, bool rest)
{
	int64_t most_ns = overload->on ? OVERLOAD_WAIT_NS / SHORT_PART : OVERLOAD_WAIT_NS;
	if (!rest || waited_ns < most_ns) {
		overload->since_ns = 0;
	} else if (overload->since_ns == 0) {
		overload->since_ns = now_ns;
	}
	overload->on = overload->since_ns != 0 && now_ns - overload->since_ns >= OVERLOAD_AFTER_NS;
}

void
overload_end(struct overload *overload, int64_t took_ns, size_t events)
{
	if (events == 0) {
		return;
	}
	int64_t cost_ns = took_ns / (int64_t)events;
	overload->event_ns =
		overload->event_ns == 0
			? cost_ns
			: overload->event_ns + (cost_ns - overload->event_ns) / KNOWN_PART;
	overload->batch = (int64_t)events;
}

int64_t
overload_most(const struct overload *overload)
{
	if (!overload->on || overload->event_ns <= 0) {
		return INT64_MAX;
	}
	int64_t most = OVERLOAD_WAIT_NS / overload->event_ns;
	int64_t least = BATCHES_LEAST * overload->batch;
	return most > least ? most : least;
}
