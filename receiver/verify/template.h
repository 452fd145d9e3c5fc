/* The text that is signed, in pieces: what a scheme's template stands for in one request. Pure. */
#ifndef HOOKLATCH_VERIFY_TEMPLATE_H
#define HOOKLATCH_VERIFY_TEMPLATE_H

#include "receiver/verify/request.h"

struct template_values {
	const struct scheme *scheme;
	const struct verify_request *request;
	struct span url; /* as it is tried now */
	struct span timestamp;
	struct span id;
	struct span body;
};

/* The text of a piece; `room` holds it where it must be made. False: it cannot be had from this request. */
bool template_text(const struct template_values *values, const struct scheme_piece *piece,
                   struct buffer *room, struct span *ret) MUST_CHECK;

/* The whole of it. */
bool template_write(const struct template_values *values, struct buffer *out) MUST_CHECK;

/* Whether all of it but {body} can be had from the head alone. */
bool template_streams(const struct scheme *scheme);

/* Whether the list of signed headers, where the scheme has one, is one: it must hold itself and the time, because an
 * attacker must not choose what is signed. */
bool template_list_holds(const struct scheme *scheme, const struct verify_request *request);

/* The URL with its default port when it names no port, without when it names that. False: it has another port. */
bool template_other_port(struct span url, struct buffer *out) MUST_CHECK;

/* The URL with the percent-encoded bytes decoded that HubSpot decodes before it signs
 * (https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests). */
void template_decoded_url(struct span url, struct buffer *out);

#endif
