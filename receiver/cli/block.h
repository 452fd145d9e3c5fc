/* The lines of a configuration that register a source: for `providers NAME` to show and for `init NAME` to write. */
#ifndef HOOKLATCH_CLI_BLOCK_H
#define HOOKLATCH_CLI_BLOCK_H

#include "receiver/verify/presets.h"

/* Appends the source's block, its name `indent` spaces in. Secrets are read from secrets/<source>. */
void block_write(const struct preset *preset, const char *source, size_t indent,
                 struct buffer *out);

/* Tells that there is no preset of this name, and which one may be meant. */
void complain_no_preset(const char *name);

/* A fresh secret in the provider's form, where the receiver chooses it; false: the provider chooses it. */
bool block_secret(const struct preset *preset, struct buffer *out) MUST_CHECK;

#endif
