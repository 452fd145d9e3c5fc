/* The admin side: a unix socket on which the command line and monitoring come in, and listeners of http. Closed by default:
 * a listener with a token wants it as Authorization: Bearer (RFC 6750 section 2.1) for all but health; on one without, which
 * is on loopback, the Host must be a name of loopback, and what changes something must not come from another origin's page.
 * Health is answered from memory on the admin loop; everything that needs SQL goes to one of two query threads, which read with a time limit.
 * A take that waits is parked, not a thread: it is asked again when its handler has something, or its time is over.
 * Threads: all functions on main, but for admin_consumable(). */
#ifndef HOOKLATCH_ADMIN_ADMIN_H
#define HOOKLATCH_ADMIN_ADMIN_H

#include "receiver/config/config.h"
#include "receiver/dispatch/engine.h"
#include "receiver/store/store.h"

struct admin;

struct admin_options {
	const char *path;  /* of the unix socket */
	const char *group; /* NULL: mode 0600; else 0660 for this group */
	struct store *store;
	struct config *config;
	int64_t since_ns;
	const struct engine *engine;
};

bool admin_create(struct admin **ret, const struct admin_options *options, struct error *err)
	MUST_CHECK;
/* The listeners of http as a JSON array. After admin_create(). */
void admin_addresses(const struct admin *admin, struct buffer *out);
bool admin_start(struct admin *admin, struct error *err) MUST_CHECK;
void admin_set_config(struct admin *admin, struct config *config);
void admin_stopping(
	struct
	admin *admin); /* not ready any more; who waits for a delivery is told that there is none */
/* Something of this handler can be taken. Any thread; does not block. */
void admin_consumable(struct admin *admin, int64_t handler);
/* Answers what there is and ends its threads: before the store is closed. Takes NULL. */
void admin_end(struct admin *admin);
void admin_destroy(struct admin *admin); /* after the store is closed; takes NULL */

#endif
