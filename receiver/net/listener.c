#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "receiver/metrics/metrics.h"
#include "receiver/net/net_priv.h"

#define GROUPS_MOST 1024 /* of a peer that are looked at */

/* A connection on its way to the loop that will own it. */
struct arrival {
	struct net_call call;
	struct net_loop *loop;
	struct listener *listener;
	int fd;
	struct http_peer peer;
	bool counted;
};

static void
on_arrival(struct net_call *call)
{
	thread_is(&net_thread);
	struct arrival arrival = *CONTAINER(call, struct arrival, call);
	free(CONTAINER(call, struct arrival, call));
	connection_open(arrival.loop, arrival.listener, arrival.fd, &arrival.peer, arrival.counted);
}

static bool
is_proxy(const struct listener *listener, const struct http_peer *peer)
{
	for (size_t i = 0; i < listener->proxies.count; i++) {
		if (network_holds(&listener->proxies.networks[i], peer)) {
			return true;
		}
	}
	return peer->family == AF_UNIX;
}

/* SO_PEERCRED, SO_PEERGROUPS: unix(7). The mode of the socket's file says the same; but somebody may change it. */
static bool
is_ours(const struct listener *listener, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
		return false;
	}
	if (peer.uid == 0 || peer.uid == listener->owner || peer.gid == listener->group) {
		return true;
	}
	gid_t groups[GROUPS_MOST];
	size = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0) {
		return false;
	}
	for (size_t i = 0; i < size / sizeof(groups[0]); i++) {
		if (groups[i] == listener->group) {
			return true;
		}
	}
	return false;
}

/* Counts the connection in, or says no. */
static bool
admit(struct listener *listener, const struct http_peer *peer, bool *counted)
{
	struct net *net = listener->net;
	const struct net_limits *limits = &listener->loop->limits;
	*counted = false;
	if (listener->only_proxies && !is_proxy(listener, peer)) {
		return false;
	}
	if (atomic_load(&net->connections) >= limits->connections) {
		return false;
	}
	if (peer->family != AF_UNIX && !(listener->proxies.count > 0 && is_proxy(listener, peer))) {
		if (!addresses_add(net->addresses, peer, limits->connections_per_address)) {
			return false;
		}
		*counted = true;
	}
	(void)atomic_fetch_add(&net->connections, 1);
	return true;
}

static void
ON_THREAD(net_thread)
	deal(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
	struct net *net = listener->net;
	struct http_peer peer;
	peer_of(address, &peer);
	bool counted;
	if ((listener->only_ours && !is_ours(listener, fd)) || !admit(listener, &peer, &counted)) {
		metrics_add(METRIC_CONNECTIONS_REFUSED, 1);
		(void)close(fd);
		return;
	}
	metrics_add(METRIC_CONNECTIONS, 1);
	if (peer.family != AF_UNIX) {
		int on = 1;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	struct net_loop *loop = &net->loops[atomic_fetch_add(&net->next_loop, 1) % net->loop_count];
	if (loop == listener->loop) {
		connection_open(loop, listener, fd, &peer, counted);
		return;
	}
	struct arrival *arrival = memory_need(sizeof(*arrival));
	arrival->call.run = on_arrival;
	arrival->loop = loop;
	arrival->listener = listener;
	arrival->fd = fd;
	arrival->peer = peer;
	arrival->counted = counted;
	net_loop_post(loop, &arrival->call);
}

/* Without descriptors left: one connection is let in with the reserved descriptor and closed, so that its client knows,
 * and the listener rests for a moment. */
static void
out_of_descriptors(struct listener *listener)
{
	struct net *net = listener->net;
	(void)pthread_mutex_lock(&net->reserve_lock);
	if (net->reserve_fd >= 0) {
		(void)close(net->reserve_fd);
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			metrics_add(METRIC_CONNECTIONS_REFUSED, 1);
			(void)close(fd);
		}
	}
	net->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)pthread_mutex_unlock(&net->reserve_lock);
	struct timeval pause = { 0, NET_ACCEPT_PAUSE_NS / NS_PER_US };
	(void)event_del(listener->event);
	(void)event_add(listener->pause, &pause);
}

/* Returns false when nothing waits any more. */
static bool
ON_THREAD(net_thread) accept_one(struct listener *listener)
{
	struct sockaddr_storage address;
	memset(&address, 0, sizeof(address));
	socklen_t size = sizeof(address);
	int fd = accept4(listener->fd, (struct sockaddr *)&address, &size,
	                 SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		deal(listener, fd, &address);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		out_of_descriptors(listener);
		return false;
	}
	return errno == EINTR || errno == ECONNABORTED || errno == EPROTO;
}

static void
on_connection(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	thread_is(&net_thread);
	for (size_t i = 0; i < NET_ACCEPT_BATCH && accept_one(argument); i++) {
	}
}

static void
on_pause_over(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	struct listener *listener = argument;
	(void)event_add(listener->event, NULL);
}

bool
listener_watch(struct listener *listener, struct error *err)
{
	listener->event = event_new(listener->loop->base, listener->fd, EV_READ | EV_PERSIST,
	                            on_connection, listener);
	listener->pause = event_new(listener->loop->base, -1, 0, on_pause_over, listener);
	if (listener->event == NULL || listener->pause == NULL ||
	    event_add(listener->event, NULL) != 0) {
		return error_set(err, ERROR_MEMORY, "cannot watch a listening socket");
	}
	return true;
}

void
listener_drain(struct listener *listener)
{
	while (listener->fd >= 0 && accept_one(listener)) {
	}
}

void
listener_close(struct listener *listener)
{
	if (listener->event != NULL) {
		event_free(listener->event);
		listener->event = NULL;
	}
	if (listener->pause != NULL) {
		event_free(listener->pause);
		listener->pause = NULL;
	}
	if (listener->fd >= 0) {
		(void)close(listener->fd); /* an inherited one stays open where it came from */
		listener->fd = -1;
	}
}
