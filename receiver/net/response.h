/* The bytes of an answer: RFC 9112 section 4. Threads: the connection's loop. */
#ifndef HOOKLATCH_NET_RESPONSE_H
#define HOOKLATCH_NET_RESPONSE_H

#include "receiver/net/http.h"

#define RESPONSE_DATE_BYTES 40

/* What the connection, not the service, says about an answer. */
struct response_frame {
	const char *date;
	bool head_only; /* to HEAD: RFC 9110 section 9.3.2 */
	bool close;
};

void response_write(struct buffer *out, const struct http_response *response,
                    const struct response_frame *frame);
/* RFC 9110 section 5.6.7, of that second. */
void response_date(int64_t seconds, char text[RESPONSE_DATE_BYTES]);

#endif
