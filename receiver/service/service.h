/* The service: wires the rooms together, starts and stops them in their order, and listens to signals.
 * SIGTERM, SIGINT: stop; a second one ends handlers at once. SIGHUP: reload. */
#ifndef HOOKLATCH_SERVICE_SERVICE_H
#define HOOKLATCH_SERVICE_SERVICE_H

#include "receiver/config/config.h"

struct service_options {
	const char *config_file;
	bool salvage_wal;
};

/* Runs until it is told to stop; returns the exit code. On main. */
int service_run(const struct service_options *options);

#endif
