/* Plaid: a JSON Web Token (RFC 7519) in a header, ES256 (RFC 7518 section 3.4) and nothing else, whose claims hold the
 * body's SHA-256 and the time. https://plaid.com/docs/api/webhooks/webhook-verification/ */
#ifndef HOOKLATCH_VERIFY_JWT_H
#define HOOKLATCH_VERIFY_JWT_H

#include "receiver/verify/signature.h"

#define JWT_MOST_BYTES 4096

enum verdict jwt_head(struct verification *v) MUST_CHECK;
enum verdict jwt_judge(struct verification *v, struct span body) MUST_CHECK;

#endif
