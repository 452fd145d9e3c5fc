/* The words of an answer: PRODUCT's table of statuses and words, in one place. */
#ifndef HOOKLATCH_MODEL_RESULT_H
#define HOOKLATCH_MODEL_RESULT_H

#include "receiver/base/compiler.h"

enum result {
	RESULT_ACCEPTED,
	RESULT_DUPLICATE,
	RESULT_REVIVED,
	RESULT_CHALLENGE,
	RESULT_IGNORED,
	RESULT_MALFORMED,
	RESULT_SIGNATURE_MISSING,
	RESULT_SIGNATURE_MALFORMED,
	RESULT_SIGNATURE_MISMATCH,
	RESULT_TIMESTAMP_MISSING,
	RESULT_TIMESTAMP_TOO_OLD,
	RESULT_TIMESTAMP_IN_FUTURE,
	RESULT_ADDRESS_REFUSED,
	RESULT_NOT_FOUND,
	RESULT_METHOD,
	RESULT_TIMEOUT,
	RESULT_BODY_TOO_LARGE,
	RESULT_CONTENT_TYPE,
	RESULT_HEADERS_TOO_LARGE,
	RESULT_STORE_UNAVAILABLE,
	RESULT_OVERLOADED,
	RESULT_KEY_UNAVAILABLE,
	RESULTS,
};

#define RESULT_FIRST_REFUSAL RESULT_MALFORMED

struct result_row {
	const char *word;
	int status;       /* RFC 9110 section 15 */
	const char *text; /* for the person who reads it in the provider's dashboard */
};

const struct result_row *result_row(enum result result);

#endif
