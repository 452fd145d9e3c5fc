/* Signs as the provider would: the fields that a request needs so that the engine takes it. */
#ifndef HOOKLATCH_VERIFY_SIGN_H
#define HOOKLATCH_VERIFY_SIGN_H

#include "receiver/verify/signature.h"

/* Appends "Name: value\n" lines for signature, timestamp, id and type to `out`, where these are headers.
 * `id` and `type` are used only where they are headers; otherwise the body must carry them. */
void sign_lines(const struct scheme *scheme, const struct secret *secret,
                const struct verify_request *request, int64_t now_ns, struct span id,
                struct span type, struct span body, struct buffer *out);

/* A small body that carries id and type where the scheme reads them from JSON (top-level members only). */
void sign_sample(const struct scheme *scheme, struct span id, struct span type, struct buffer *out);

#endif
