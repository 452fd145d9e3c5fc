/* A bar with the time that is left, on a terminal; nothing elsewhere. */
#ifndef HOOKLATCH_CLI_PROGRESS_H
#define HOOKLATCH_CLI_PROGRESS_H

#include "receiver/base/compiler.h"

struct progress {
	bool terminal;
	int64_t begun_ns;
};

void progress_begin(struct progress *progress);
void progress_show(const struct progress *progress, int64_t done, int64_t total);
void progress_end(const struct progress *progress);

#endif
