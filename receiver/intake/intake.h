/* Intake: from a request to an event in the store's inbox, and from a commit to the answer. The order of judgement is
 * PRODUCT's: 404, 405, 403, 413, 431, then the signature, the age, 400 for JSON or id, `types`.
 * Threads: the service's functions on the net loops; intake_arrived() on the store thread; the rest on main. */
#ifndef HOOKLATCH_INTAKE_INTAKE_H
#define HOOKLATCH_INTAKE_INTAKE_H

#include "receiver/config/config.h"
#include "receiver/keyring/keyring.h"
#include "receiver/store/store.h"

struct intake;

bool intake_create(struct intake **ret, size_t loops, struct store *store, struct keyring *keyring,
                   struct error *err) MUST_CHECK;
void intake_destroy(struct intake *intake); /* after the loops have ended; takes NULL */
struct http_service intake_service(struct intake *intake);
/* Before net_start() for all loops at once; later loop by loop. Handlers must have their numbers. */
void intake_set_config(struct intake *intake, struct net *net, struct config *config, bool started);
/* Listener of the store: answers go out, one call for each loop. */
void intake_arrived(struct intake *intake, struct arrival *const *arrivals, size_t count);
/* Requests that wait for the store, over all loops. */
int64_t intake_waiting(const struct intake *intake);

#endif
