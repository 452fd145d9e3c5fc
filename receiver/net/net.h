/* Event loops, listeners and connections: bytes in, requests to a service, answers out.
 * Threads  net_create() … net_destroy() on the main thread; everything else where it says so.
 * An address has one listening socket, opened once or inherited (LISTEN_FDS), watched by one loop, which deals the
 * connections out to all loops of its group. */
#ifndef HOOKLATCH_NET_NET_H
#define HOOKLATCH_NET_NET_H

#include "receiver/base/queue.h"
#include "receiver/net/address.h"
#include "receiver/net/http.h"
#include "receiver/net/tls.h"

struct net;

struct net_limits {
	int64_t body;
	int64_t headers;
	int64_t header_count;
	int64_t connections;
	int64_t connections_per_address;
	int64_t memory;
	int64_t handshake_timeout_ns;
	int64_t header_timeout_ns;
	int64_t body_timeout_ns;
	int64_t idle_timeout_ns;
};

struct net_listen {
	struct address address;
	const char *certificate; /* NULL: plain HTTP */
	const char *key;
	mode_t mode;       /* of a unix socket */
	const char *group; /* of a unix socket; NULL: ours */
	const struct network *proxies;
	size_t proxy_count;
	bool only_proxies; /* others are closed at accept */
	bool only_ours; /* of a unix socket: root, our own user and members of its group; others are closed (SO_PEERCRED) */
	size_t mark; /* the service's own: its exchanges carry it */
};

/* `loops` threads are started by net_start(). */
bool net_create(struct net **ret, size_t loops, const struct net_limits *limits,
                const struct http_service *service, struct error *err) MUST_CHECK;
/* Opens (or takes over) a listening socket. Before net_start(). */
bool net_listen(struct net *net, const struct net_listen *listen, struct error *err) MUST_CHECK;
bool net_start(struct net *net, struct error *err) MUST_CHECK;
/* "https://127.0.0.1:8443" for each listener. */
size_t net_listeners(const struct net *net);
void net_listener_text(const struct net *net, size_t index, struct buffer *out);
/* Looks at certificates; logs what changed or is bad. */
void net_reload_certificates(struct net *net);
void net_set_limits(struct net *net, const struct net_limits *limits);
/* Accepts what waits, then closes the listeners; connections that are idle are closed, others after their answer. */
void net_stop_accepting(struct net *net);
/* After net_stop_accepting: no connection is left, and none can come any more. */
bool net_stopped(const struct net *net);
/* That are open. Any thread. */
int64_t net_connections(const struct net *net);
/* How long a loop has not come back to run what waits for it. On main, again and again: each look gives the loops something. */
int64_t net_busy_ns(struct net *net);
/* Ends the loops; connections that are left are cut. After it no callback runs. */
void net_destroy(struct net *net); /* takes NULL */

/* Runs `run` on the loop. Any thread. */
struct net_call {
	struct queue_item item;
	void (*run)(struct net_call *call);
};
void net_loop_post(struct net_loop *loop, struct net_call *call);
size_t net_loop_index(const struct net_loop *loop);
struct net_loop *net_loop_at(struct net *net, size_t index);
size_t net_loop_count(const struct net *net);

/* Takes bytes from the memory budget; false: it has not as many. Any thread. */
bool net_memory_take(struct net *net, size_t bytes) MUST_CHECK;
/* Gives them back. Any thread. */
void net_memory_release(struct net *net, size_t bytes);
struct net *net_of(const struct net_loop *loop);

/* Takes the descriptors that were handed over (sd_listen_fds(3)): LISTEN_PID, LISTEN_FDS. Once, at the start. */
void net_inherit(void);
/* Those that no configured address took. */
size_t net_inherited_left(void);

#endif
