/* The head of an HTTP/1.1 request (RFC 9112 sections 2 to 6), parsed strictly: what two parsers could read
 * differently is refused. Pure and incremental: call again with more bytes; every byte is looked at once.
 * The head keeps offsets, so that the bytes may move between calls; http1_head_fields() makes spans of them. */
#ifndef HOOKLATCH_NET_HTTP1_HEAD_H
#define HOOKLATCH_NET_HTTP1_HEAD_H

#include "receiver/base/field.h"

#define HTTP1_FIELDS_MOST       256 /* what limits.header_count can be set to */
#define HTTP1_METHOD_MOST_BYTES 32

enum http1_status {
	HTTP1_MORE, /* good so far; more bytes are needed */
	HTTP1_DONE,
	HTTP1_BAD,       /* `wrong` says why */
	HTTP1_TOO_LARGE, /* more bytes or fields than the limits allow */
};

struct http1_slice {
	uint32_t at;
	uint32_t size;
};

struct http1_head {
	/* results */
	struct http1_slice method;
	struct http1_slice target;
	struct http1_slice path;  /* of the target, without the query; nothing is decoded */
	struct http1_slice query; /* without "?" */
	bool has_request_line;
	int minor; /* HTTP/1.<minor> */
	struct http1_slice names[HTTP1_FIELDS_MOST];
	struct http1_slice values[HTTP1_FIELDS_MOST];
	size_t count;
	size_t size; /* of the whole head, with its empty line; when DONE */
	bool has_length;
	int64_t length; /* of the body; INT64_MAX for a number that is larger still */
	bool chunked;
	bool keep_alive;
	bool expect_continue;
	const char *wrong;
	/* state */
	size_t line;    /* where the line begins that is not complete yet */
	size_t scanned; /* up to where there is no line feed */
	bool blank_taken;
};

void http1_head_init(struct http1_head *head);
/* `data` is everything since the head's first byte. */
enum http1_status http1_head_parse(struct http1_head *head, const char *data, size_t size,
                                   size_t bytes_most, size_t count_most) MUST_CHECK;
struct span http1_slice_span(struct http1_slice slice, const char *data);
/* Fills `fields` (room for HTTP1_FIELDS_MOST) with views into `data`. */
struct fields http1_head_fields(const struct http1_head *head, const char *data,
                                struct field *fields);

bool http1_is_token(char byte); /* RFC 9110 section 5.6.2: tchar */
/* One field line without its CRLF (RFC 9112 section 5); for trailers too. NULL, or what is wrong. */
const char *http1_field_line(struct span line, struct span *name, struct span *value);

#endif
