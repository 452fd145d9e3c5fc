/* Small events of our own, so that each scheme can be tried: what `hooklatch send` sends when it is given no body. */
#ifndef HOOKLATCH_VERIFY_SAMPLE_H
#define HOOKLATCH_VERIFY_SAMPLE_H

#include "receiver/verify/presets.h"

/* Appends an event with this id and type: the preset's sample, or without a preset members where the scheme reads them.
 * `topic` is for Amazon SNS. */
void sample_write(const struct preset *preset, const struct scheme *scheme, struct span id,
                  struct span type, const char *topic, int64_t now_ns, struct buffer *out);

#endif
