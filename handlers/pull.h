/* The settings of a `pull` handler, for whoever gives its deliveries out. */
#ifndef HOOKLATCH_HANDLERS_PULL_H
#define HOOKLATCH_HANDLERS_PULL_H

#include "receiver/schema/row.h"

struct pull_settings {
	struct schema_entry entry;
	int64_t visibility_ns;
};

#endif
