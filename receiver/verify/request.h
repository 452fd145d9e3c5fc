/* A request as the engine sees it: bytes of the request, and what the configuration says about the source. */
#ifndef HOOKLATCH_VERIFY_REQUEST_H
#define HOOKLATCH_VERIFY_REQUEST_H

#include "receiver/base/field.h"
#include "receiver/verify/scheme.h"

struct verify_request {
	struct span method;
	struct span path;  /* without the query */
	struct span query; /* without "?" */
	struct span
		url; /* public_url as it is signed: from the configuration, never from the request */
	struct fields fields;
	struct span webhook_id;        /* from the configuration */
	const char *const *topic_arns; /* from the configuration */
	size_t topic_count;
	bool other_family; /* its headers bear the scheme's other names; request_family() sets it */
};

/* Sees under which names the signature has come. */
void request_family(struct verify_request *request, const struct scheme *scheme);

/* How many fields have the scheme's name, in the family in which the signature has come; *value is the first one's,
 * untouched when there is none. */
size_t request_field(const struct verify_request *request, const struct scheme *scheme,
                     const char *name, struct span *value);

#endif
