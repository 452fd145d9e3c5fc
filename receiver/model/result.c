#include "receiver/model/result.h"

#include "receiver/base/error.h"

static const struct result_row rows[] = {
	[RESULT_ACCEPTED] = { "accepted", 200, "stored and queued" },
	[RESULT_DUPLICATE] = { "duplicate", 200, "stored before" },
	[RESULT_REVIVED] = { "revived", 200, "stored before, was dead, is tried again" },
	[RESULT_CHALLENGE] = { "challenge", 200, "an endpoint check of the provider" },
	[RESULT_IGNORED] = { "ignored", 200,
	                     "verified; nothing in it is wanted here, and nothing was stored" },
	[RESULT_MALFORMED] = { "malformed", 400, "the request cannot be read" },
	[RESULT_SIGNATURE_MISSING] = { "signature_missing", 401,
	                               "the signature header is missing or empty" },
	[RESULT_SIGNATURE_MALFORMED] = { "signature_malformed", 401,
	                                 "the signature header cannot be read" },
	[RESULT_SIGNATURE_MISMATCH] = { "signature_mismatch", 401,
	                                "the signature fits none of the secrets" },
	[RESULT_TIMESTAMP_MISSING] = { "timestamp_missing", 401,
	                               "the timestamp is missing or cannot be read" },
	[RESULT_TIMESTAMP_TOO_OLD] = { "timestamp_too_old", 401,
	                               "the timestamp is older than the tolerance" },
	[RESULT_TIMESTAMP_IN_FUTURE] = { "timestamp_in_future", 401,
	                                 "the timestamp is in the future" },
	[RESULT_ADDRESS_REFUSED] = { "address_refused", 403,
	                             "this address may not send to this source" },
	[RESULT_NOT_FOUND] = { "not_found", 404, "no source has this path" },
	[RESULT_METHOD] = { "method", 405, "events are sent with POST" },
	[RESULT_TIMEOUT] = { "timeout", 408, "the request did not arrive in time" },
	[RESULT_BODY_TOO_LARGE] = { "body_too_large", 413,
	                            "the body is larger than this source takes" },
	[RESULT_CONTENT_TYPE] = { "content_type", 415,
	                          "this source does not take this content type" },
	[RESULT_HEADERS_TOO_LARGE] = { "headers_too_large", 431,
	                               "the request line and headers are too large" },
	[RESULT_STORE_UNAVAILABLE] = { "store_unavailable", 503,
	                               "the event could not be stored; send it again" },
	[RESULT_OVERLOADED] = { "overloaded", 503, "no room for this body now; send it again" },
	[RESULT_KEY_UNAVAILABLE] = { "key_unavailable", 503,
	                             "the key to verify with cannot be had; send it again" },
};
static_assert(COUNT(rows) == RESULTS, "a result without a row");

const struct result_row *
result_row(enum result result)
{
	ALWAYS((unsigned)result < RESULTS, "result");
	return &rows[result];
}
