/* What a service implements, and what it sees: requests in, one answer each. net does not know what a webhook is.
 * Threads  Every call happens on the loop that owns the connection. http_answer() must be called there too; a service
 *          that answers later comes back through net_loop_post().
 * Promise  After head() or refused() each exchange ends with exactly one http_answer() by the service, or one gone(). */
#ifndef HOOKLATCH_NET_HTTP_H
#define HOOKLATCH_NET_HTTP_H

#include <netinet/in.h>

#include "receiver/base/field.h"
#include "receiver/base/thread.h"

#define HTTP_ADDRESS_BYTES 64
#define HTTP_SMALL_BODY \
	(64 * 1024) /* up to here a body is handed over as a whole, above it as it arrives */

extern struct thread_role net_thread;

struct net_loop;

/* Why net itself cannot go on with a request. */
enum http_refusal {
	HTTP_MALFORMED,
	HTTP_TIMEOUT,
	HTTP_HEADERS_TOO_LARGE,
	HTTP_BODY_TOO_LARGE,
	HTTP_OVERLOADED,
	HTTP_UNANSWERED, /* the service took too long to answer; it forgets the exchange with its answer */
};

struct http_peer {
	sa_family_t family;        /* AF_INET, AF_INET6, AF_UNIX */
	unsigned char address[16]; /* IPv4 in the first four */
	char text[HTTP_ADDRESS_BYTES];
};

struct http_exchange {
	struct net_loop *loop;
	struct http_peer peer;
	const struct http_proxies
		*proxies; /* of the listener; NULL: X-Forwarded-For means nothing */
	size_t mark;      /* of the listener */
	bool has_request_line;
	struct span method;
	struct span path;
	struct span query;
	struct fields fields; /* valid until the answer; complete from head() on */
	int64_t length;       /* of the body; -1: chunked, not known yet */
	struct buffer body;   /* whole in request(); the service may steal body.data */
	size_t reserved; /* bytes taken from the memory budget; whoever takes the body takes these along */
	int64_t received_ns; /* wall time of the head's end */
	int64_t patience_ns; /* how long it may wait for memory; the service may lower it in head() */
	int64_t answer_ns; /* how long the service may take to answer a whole request; 0: for ever */
	bool streaming;    /* set by the service in head(): piece() is called */
	const char *wrong; /* of HTTP_MALFORMED */
	void *data;        /* the service's own */
};

struct http_response {
	int status;
	const char *content_type;
	const char *fields; /* more header lines, each with CRLF; may be NULL */
	struct span body;
	bool close;
};

enum http_next {
	HTTP_READ_BODY,
	HTTP_ANSWERED, /* the service has called http_answer() */
};

struct http_service {
	void *context;
	/* The head is there. *limit: the most bytes of body to read; preset to the listener's. */
	enum http_next (*head)(void *context, struct http_exchange *exchange, size_t *limit);
	/* A piece of a body, when `streaming`. */
	void (*piece)(void *context, struct http_exchange *exchange, struct span piece);
	/* The body is whole. */
	void (*request)(void *context, struct http_exchange *exchange);
	/* net cannot go on; the service answers (at once). */
	void (*refused)(void *context, struct http_exchange *exchange, enum http_refusal refusal);
	/* The connection is gone before the answer. */
	void (*gone)(void *context, struct http_exchange *exchange);
	/* A loop has done all that was ready. May be NULL. */
	void (*turned)(void *context, struct net_loop *loop);
	/* A loop has ended; the last call on its thread. May be NULL. */
	void (*ended)(void *context);
};

void http_answer(struct http_exchange *exchange, const struct http_response *response)
	ON_THREAD(net_thread);

#endif
