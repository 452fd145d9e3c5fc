/* Whether a certificate may be fetched from a URL that a request names: https, an allowed host and nothing clever. Pure. */
#ifndef HOOKLATCH_VERIFY_KEY_URL_H
#define HOOKLATCH_VERIFY_KEY_URL_H

#include "receiver/verify/scheme.h"

/* `hosts` ends with NULL. A host is named whole; or with one "*": at its beginning it stands for labels, elsewhere for
 * one label. `ending`, of the path, may be NULL. */
bool key_url_allowed(struct span url, const char *const *hosts, const char *ending);

/* The same for a URL that may have a query, such as the confirmation of a subscription. */
bool key_url_host_allowed(struct span url, const char *const *hosts);

bool key_host_matches(struct span host, const char *pattern);

#endif
