/* Numbers with units, as they stand in the configuration and on the command line.
 * A duration is ns: 250us 100ms 30s 5m 1h 3d. A size is bytes: 512B 16KiB 1MiB 2GiB (and kB, MB, GB by 1000).
 * A rate is events in UNITS_RATE_PERIOD_S, so that 100/s, 30/m and 1/h are all exact. A number without its unit is
 * refused. */
#ifndef HOOKLATCH_BASE_UNITS_H
#define HOOKLATCH_BASE_UNITS_H

#include "receiver/base/bytes.h"

bool units_duration(struct span text, int64_t *ns) MUST_CHECK;
bool units_size(struct span text, int64_t *bytes) MUST_CHECK;
#define UNITS_RATE_PERIOD_S INT64_C(3600000)
bool units_rate(struct span text, int64_t *rate) MUST_CHECK;
/* A number with at most three decimal places, in thousandths: 1.5 is 1500. */
bool units_decimal(struct span text, int64_t *thousandths) MUST_CHECK;
/* Shortest exact form: "90s" is "90s", 3600000000000 ns is "1h". */
void units_duration_text(int64_t ns, char text[32]);
void units_size_text(int64_t bytes, char text[32]);

#endif
