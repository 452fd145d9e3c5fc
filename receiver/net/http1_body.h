/* The body of an HTTP/1.1 request: by length, or chunked with extensions and trailers (RFC 9112 sections 6.3, 7.1).
 * Extensions and trailers are checked, bounded and dropped. Whitespace around a chunk's size is refused, although the
 * grammar tells a recipient to bear with it before an extension: parsers differ there.
 * Pure and incremental: takes some bytes, gives at most one piece of content. */
#ifndef HOOKLATCH_NET_HTTP1_BODY_H
#define HOOKLATCH_NET_HTTP1_BODY_H

#include "receiver/net/http1_head.h"

#define HTTP1_EXTENSIONS_MOST_BYTES 16384 /* of one body, together */
#define HTTP1_TRAILER_LINE_MOST     4096
#define HTTP1_TRAILERS_MOST_BYTES   16384

enum http1_body_state {
	HTTP1_BODY_LENGTH,
	HTTP1_CHUNK_SIZE,
	HTTP1_CHUNK_EXTENSION, /* its name */
	HTTP1_CHUNK_VALUE,
	HTTP1_CHUNK_QUOTED,
	HTTP1_CHUNK_QUOTED_PAIR,
	HTTP1_CHUNK_QUOTED_END,
	HTTP1_CHUNK_SIZE_LF,
	HTTP1_CHUNK_DATA,
	HTTP1_CHUNK_DATA_CR,
	HTTP1_CHUNK_DATA_LF,
	HTTP1_TRAILER,
	HTTP1_BODY_END,
};

struct http1_body {
	enum http1_body_state state;
	int64_t left;    /* of the body, or of the chunk */
	size_t digits;   /* of the chunk's size; then characters of its extension's name or value */
	size_t overhead; /* bytes of extensions and trailers so far */
	size_t line_size;
	char line[HTTP1_TRAILER_LINE_MOST];
	const char *wrong;
};

void http1_body_init(struct http1_body *body, const struct http1_head *head);
/* HTTP1_MORE: *consumed bytes were taken, *piece (maybe empty) is content among them. HTTP1_DONE: so, and it is the end. */
enum http1_status http1_body_take(struct http1_body *body, const char *data, size_t size,
                                  size_t *consumed, struct span *piece) MUST_CHECK;
/* How many bytes of content may be read straight into the body now, past this parser; then http1_body_took(). */
size_t http1_body_direct(const struct http1_body *body);
void http1_body_took(struct http1_body *body, size_t size);
bool http1_body_ended(const struct http1_body *body);

#endif
