/* Endpoint checks: what a provider sends to see whether an address is ours, and what it wants to hear. Rows of data; a
 * provider's row names one. They come when an address is registered, and many come again for as long as it is.
 * Text of the sender is given back at most CHALLENGE_MOST_BYTES long, as text/plain with nosniff or as a JSON string, and
 * after whatever proves that the sender is the provider. Pure. */
#ifndef HOOKLATCH_VERIFY_CHALLENGE_H
#define HOOKLATCH_VERIFY_CHALLENGE_H

#include "receiver/verify/request.h"
#include "receiver/verify/secret.h"

#define CHALLENGE_MOST_BYTES 1024

/* What tells it from an event. */
enum challenge_mark {
	CHALLENGE_BY_METHOD, /* the method alone */
	CHALLENGE_BY_QUERY,  /* a parameter of the query */
	CHALLENGE_BY_HEADER,
	CHALLENGE_BY_JSON,        /* a value of the body */
	CHALLENGE_BY_EMPTY_ARRAY, /* an array of the body that is empty */
};

/* What must hold before it is answered. */
enum challenge_proof {
	CHALLENGE_OPEN,         /* nothing: the provider sends nothing that could be checked */
	CHALLENGE_SIGNED,       /* the request is signed like an event */
	CHALLENGE_TOKEN,        /* it carries the source's token */
	CHALLENGE_VERIFY_TOKEN, /* a parameter of the query is the source's verify_token */
};

struct challenge {
	const char *name;
	const char *method; /* POST: recognised after the signature was */
	enum challenge_mark mark;
	const char *mark_name;
	const char *mark_value; /* NULL: any that is not empty */
	enum challenge_proof proof;
	const char *proof_name;
	int status;
	const char *content_type;
	/* Templates of {how where:name}; how: raw, quote (a JSON string), hex or base64 (of its HMAC with the secret); where:
	 * query, header, json. What is hashed for the sender must look like a token: it could be somebody's forged event. */
	const char *reply;
	const char *fields; /* header lines, each with CRLF; NULL: none */
	const char *
		visit; /* JSON pointer to a URL that is to be visited, on a host of the scheme; NULL: none */
};

extern const struct challenge challenges[]; /* the last has no name */

const struct challenge *challenge_find(const char *name);

/* Whether the request is this check; `body` is looked at for POST alone. */
bool challenge_is(const struct challenge *challenge, const struct verify_request *request,
                  struct span body);

/* Whether its answer holds an HMAC with the source's secret. */
bool challenge_hashes(const struct challenge *challenge);

/* Whether a body could have been signed by ourselves, for anybody who asked with it as a token: then its signature proves
 * nothing. */
bool challenge_made(const struct challenge *challenge, struct span body);

enum challenge_result {
	CHALLENGE_ANSWERED,
	CHALLENGE_PROOF_MISSING,
	CHALLENGE_PROOF_WRONG,
	CHALLENGE_UNREADABLE, /* what is to be given back is missing, too long or no token */
};

/* Checks a verify_token and writes the answer. `secret` hashes; NULL where nothing is to be hashed. */
enum challenge_result challenge_answer(const struct challenge *challenge,
                                       const struct verify_request *request, struct span body,
                                       const struct secret *secret, struct span verify_token,
                                       struct buffer *reply, struct buffer *fields) MUST_CHECK;

#endif
