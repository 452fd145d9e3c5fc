/* What moved between two looks at `stats`, a second. */
#ifndef HOOKLATCH_CLI_RATES_H
#define HOOKLATCH_CLI_RATES_H

#include <stdint.h>

#include <jansson.h>

/* An object of <key>_per_second (reals) and events_per_commit (null without a commit); NULL when the two are not of the same life of
 * the service. The caller's. */
json_t *rates_between(const json_t *before, const json_t *after, int64_t between_ns);
/* As one line on stdout. */
void rates_print(const json_t *rates);

#endif
