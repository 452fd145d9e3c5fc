/* A listener's certificate as a sender would judge it: its time, its names, its chain up to a root that the machine knows
 * (RFC 5280 section 6). Threads: any. */
#ifndef HOOKLATCH_NET_CERTIFICATE_H
#define HOOKLATCH_NET_CERTIFICATE_H

#include "receiver/base/error.h"

struct certificate {
	char name[256];     /* of its subject, for people */
	int64_t begins_ns;  /* wall time */
	int64_t ends_ns;    /* of the one in its chain that ends first */
	bool self_signed;   /* it vouches for itself */
	bool has_names;     /* subjectAltName: RFC 9525 section 6.3 looks at nothing else */
	char distrust[160]; /* why its chain does not reach a root; "": it does */
};

/* Of the first certificate in a PEM file, with those that follow as its chain. */
bool certificate_look(const char *file, struct certificate *ret, struct error *err) MUST_CHECK;

#endif
