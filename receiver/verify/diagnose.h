/* Why a request was refused, in words for the operator: tries what usually goes wrong until the signature fits. Never a
 * secret in its words. Pure. */
#ifndef HOOKLATCH_VERIFY_DIAGNOSE_H
#define HOOKLATCH_VERIFY_DIAGNOSE_H

#include "receiver/verify/signature.h"

struct diagnosis_source {
	const char *name;
	const struct secrets *secrets;
};

struct diagnosis {
	const struct scheme *scheme;
	const struct verify_keys *keys;
	const struct verify_request *request;
	const struct verification *verification; /* after its verdict */
	enum verdict verdict;
	int64_t now_ns;
	struct span body;
	const struct diagnosis_source
		*others; /* further sources, whose secrets may have been mixed up with this one's */
	size_t other_count;
	bool thorough; /* tries alterations of the body as well: costs a signature each */
};

/* Appends one sentence without a full stop; nothing for VERDICT_GOOD. */
void diagnose(const struct diagnosis *diagnosis, struct buffer *why);

#endif
