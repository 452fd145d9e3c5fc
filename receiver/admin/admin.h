/* The admin side: a unix socket on which the command line and monitoring come in. Health is answered from memory on the
 * admin loop; everything that needs SQL goes to one of two query threads, which read with a time limit.
 * Threads: all functions on main. */
#ifndef HOOKLATCH_ADMIN_ADMIN_H
#define HOOKLATCH_ADMIN_ADMIN_H

#include "receiver/config/config.h"
#include "receiver/store/store.h"

struct admin;

struct admin_options {
	const char *path;  /* of the unix socket */
	const char *group; /* NULL: mode 0600; else 0660 for this group */
	struct store *store;
	struct config *config;
	int64_t since_ns;
	int64_t (*tokens)(void *context); /* of the global retry budget, in thousandths */
	void *context;
};

bool admin_create(struct admin **ret, const struct admin_options *options, struct error *err)
	MUST_CHECK;
bool admin_start(struct admin *admin, struct error *err) MUST_CHECK;
void admin_set_config(struct admin *admin, struct config *config);
void admin_stopping(struct admin *admin); /* not ready any more */
void admin_destroy(struct admin *admin);  /* takes NULL */

#endif
