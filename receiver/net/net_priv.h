/* What the files of this room share. */
#ifndef HOOKLATCH_NET_NET_PRIV_H
#define HOOKLATCH_NET_NET_PRIV_H

#include <stdatomic.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "receiver/base/pulse.h"
#include "receiver/net/http1_body.h"
#include "receiver/net/http1_head.h"
#include "receiver/net/net.h"
#include "receiver/net/response.h"
#include "receiver/net/wire.h"

#define NET_LOOPS_MOST        8
#define NET_LISTENERS_MOST    16
#define NET_LINGER_MOST_BYTES (256 * 1024)
#define NET_LINGER_NS         (2 * NS_PER_S)
#define NET_PATIENCE_NS       (5 * NS_PER_S)
#define NET_READ_BYTES        (16 * 1024)
/* Bodies up to this take memory as they come; larger ones never take the last eighth, so that small ones always go on. */
#define NET_SMALL_BODY_BYTES ((size_t)64 * 1024)
#define NET_SMALL_SHARE      8
#define NET_TURN_BYTES \
	(256 * 1024) /* what one connection may read before the others have their turn */
#define NET_ANSWER_TIMEOUT_NS (10 * NS_PER_S)
#define NET_ACCEPT_PAUSE_NS   (100 * NS_PER_MS) /* without descriptors left */
#define NET_ACCEPT_BATCH      64
#define NET_SPARE_EXCHANGES   256  /* of a loop */
#define NET_SPARE_HEAD_BYTES  4096 /* a larger head's room is given back */

struct listener {
	struct net *net;
	int fd;
	struct address address;
	struct tls *tls;
	struct http_proxies proxies;
	bool only_proxies;
	bool only_ours;
	uid_t owner;
	gid_t group; /* who may write to a unix socket's file, beside its owner */
	size_t mark;
	bool inherited;
	struct event *event;
	struct event *pause;
	struct net_loop *loop;
};

struct addresses; /* how many connections each address has */

struct net {
	struct net_limits limits; /* read by loops, swapped under limits_lock */
	pthread_mutex_t limits_lock;
	struct http_service service;
	struct net_loop *loops;
	size_t loop_count;
	struct listener listeners[NET_LISTENERS_MOST];
	size_t listener_count;
	atomic_llong memory_used;
	atomic_llong memory_most;
	atomic_llong body_most;
	atomic_int paused; /* connections that wait for memory */
	atomic_llong connections;
	atomic_size_t accepting; /* loops that have not closed their listeners */
	atomic_bool stopping;
	atomic_uint next_loop;
	struct addresses *addresses;
	pthread_mutex_t reserve_lock; /* several loops accept */
	int reserve_fd;
	size_t running; /* loops that have a thread */
};

TAILQ_HEAD(connections, connection);

struct net_loop {
	struct net *net;
	size_t index;
	struct event_base *base;
	struct queue queue;
	struct event *wake;
	struct connections open;
	struct connections paused;
	struct connections unheard; /* had their turn, and have more to say */
	struct event *again;        /* hears them */
	struct buffer spare_in;     /* for whoever reads or answers next */
	struct buffer spare_out;
	SLIST_HEAD(exchanges, exchange) exchanges; /* that wait for a request */
	size_t exchange_count;
	struct net_limits limits; /* this loop's copy */
	pthread_t thread;
	struct pulse pulse; /* since when a call waits to be run */
	bool ended;
	char date[RESPONSE_DATE_BYTES];
	int64_t date_s;
};

enum connection_state {
	CONNECTION_HANDSHAKE,
	CONNECTION_IDLE, /* between requests */
	CONNECTION_HEAD, /* some of a head is there */
	CONNECTION_BODY,
	CONNECTION_PAUSED, /* waits for memory in the middle of a body */
	CONNECTION_WAIT,   /* the service has the request */
	CONNECTION_WRITE,
	CONNECTION_LINGER, /* answered for the last time: reads and throws away, so that the answer can be read */
};

struct connection {
	TAILQ_ENTRY(connection) link;
	TAILQ_ENTRY(connection) paused_link;
	TAILQ_ENTRY(connection) unheard_link;
	bool unheard;
	struct net_loop *loop;
	struct listener *listener;
	struct wire wire;
	SSL *ssl;
	enum connection_state state;
	struct event event; /* every edge, for life */
	struct event timer;
	int64_t deadline_ns; /* boot time; 0: none */
	int64_t timer_ns; /* when the timer looks at it; it is moved only to be earlier; 0: it rests */
	bool counted;     /* in `addresses` */
	struct http_peer peer;
	struct buffer in;
	struct buffer out;
	size_t sent;
	bool close_after;
	size_t lingered;
	struct exchange *exchange;
};

/* A request under way: net's side of http_exchange. */
struct exchange {
	SLIST_ENTRY(exchange) link;
	struct http_exchange shown;
	struct connection *connection;
	struct http1_head head;
	struct http1_body body;
	struct field fields[HTTP1_FIELDS_MOST];
	struct buffer text; /* the head's bytes, which the fields point into */
	bool has_text;
	size_t limit;   /* of the body */
	bool announced; /* the service knows of it */
	bool answered;
	bool continue_sent;
	int64_t paused_until_ns; /* boot time, from its first pause on; 0: it had none */
};

/* connection.c */
void connection_open(struct net_loop *loop, struct listener *listener, int fd,
                     const struct http_peer *peer, bool counted) ON_THREAD(net_thread);
void connection_close(struct connection *connection) ON_THREAD(net_thread);
void connection_resume(struct connection *connection) ON_THREAD(net_thread);
void connection_stop(struct connection *connection) ON_THREAD(net_thread);
/* Another turn for those that had more to say. */
void connections_again(struct net_loop *loop) ON_THREAD(net_thread);

/* exchange.c */
struct exchange *exchange_begin(struct connection *connection); /* NULL: no memory */
bool exchange_keep_text(struct exchange *exchange, struct span text) MUST_CHECK;
void exchange_end(struct exchange *exchange);
void exchanges_finish(struct net_loop *loop);

/* listener.c */
bool listener_watch(struct listener *listener, struct error *err) MUST_CHECK;
void listener_close(struct listener *listener);
void listener_drain(struct listener *listener) ON_THREAD(net_thread);

/* addresses.c: true when the address may have one more. */
struct addresses *addresses_create(void);
void addresses_destroy(struct addresses *addresses);
bool addresses_add(struct addresses *addresses, const struct http_peer *peer, int64_t most)
	MUST_CHECK;
void addresses_remove(struct addresses *addresses, const struct http_peer *peer);

/* memory of bodies */

/* net_memory_take() for a body; what is large leaves a share to the others. */
bool net_body_take(struct net *net, size_t bytes, bool large) MUST_CHECK;

#endif
