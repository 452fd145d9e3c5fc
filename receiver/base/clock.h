/* Time. Wall time is for what leaves the process (timestamps, due times on disk), boot time for every
 * wait: CLOCK_BOOTTIME goes on through a suspend and never jumps. Both in nanoseconds, as int64_t.
 * Threads: any. Pure policy takes time as an argument and never calls this. */
#ifndef HOOKLATCH_BASE_CLOCK_H
#define HOOKLATCH_BASE_CLOCK_H

#include "receiver/base/bytes.h"

#define CLOCK_TEXT_BYTES 32

int64_t clock_wall_ns(void);
int64_t clock_boot_ns(void);

/* RFC 3339 in UTC with microseconds: "2026-11-21T03:09:44.123456Z". */
void clock_text(int64_t wall_ns, char text[CLOCK_TEXT_BYTES]);
/* RFC 3339 date ("that day 00:00 UTC") or date-time with `Z` or an offset. */
bool clock_parse(struct span text, int64_t *wall_ns) MUST_CHECK;

#endif
