#include "receiver/net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/base/confine.h"
#include "receiver/log/log.h"
#include "receiver/net/certificate.h"
#include "receiver/net/net_priv.h"

#define LISTEN_BACKLOG     4096
#define INHERITED_FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define INHERITED_MOST     NET_LISTENERS_MOST

struct thread_role net_thread = { "net" };

static int inherited[INHERITED_MOST];
static size_t inherited_count;

void
net_inherit(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	int64_t wanted_pid;
	int64_t wanted;
	inherited_count = 0;
	if (pid != NULL && count != NULL && span_number(span_of(pid), &wanted_pid) &&
	    wanted_pid == getpid() && span_number(span_of(count), &wanted)) {
		for (int i = 0; i < wanted && i < INHERITED_MOST; i++) {
			inherited[inherited_count++] = INHERITED_FIRST_FD + i;
			(void)fcntl(INHERITED_FIRST_FD + i, F_SETFD, FD_CLOEXEC);
		}
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
}

size_t
net_inherited_left(void)
{
	return inherited_count;
}

static bool
same_address(const struct address *wanted, const struct address *got)
{
	if (wanted->socket.ss_family != got->socket.ss_family) {
		return false;
	}
	struct address any_port = *got;
	if (wanted->socket.ss_family == AF_INET) {
		struct sockaddr_in name;
		memcpy(&name, &wanted->socket, sizeof(name));
		if (name.sin_port == 0) { /* port 0: any will do */
			memcpy(&name, &any_port.socket, sizeof(name));
			name.sin_port = 0;
			memcpy(&any_port.socket, &name, sizeof(name));
		}
	}
	struct buffer a;
	struct buffer b;
	buffer_init(&a, 512);
	buffer_init(&b, 512);
	address_text(wanted, &a);
	address_text(&any_port, &b);
	bool same = span_equal(buffer_view(&a), buffer_view(&b));
	buffer_finish(&a);
	buffer_finish(&b);
	return same;
}

/* The descriptor that was handed over for this address, or -1. */
static int
take_inherited(const struct address *address)
{
	for (size_t i = 0; i < inherited_count; i++) {
		struct address got = { 0 };
		got.size = sizeof(got.socket);
		if (getsockname(inherited[i], (struct sockaddr *)&got.socket, &got.size) == 0 &&
		    same_address(address, &got)) {
			int fd = inherited[i];
			inherited[i] = inherited[--inherited_count];
			return fd;
		}
	}
	return -1;
}

/* A socket file that nobody listens on is left from a life that was killed. */
static bool
clear_stale(const struct address *address, struct error *err)
{
	struct sockaddr_un name;
	memcpy(&name, &address->socket, sizeof(name));
	struct stat status;
	if (lstat(name.sun_path, &status) != 0) {
		return true;
	}
	if (!S_ISSOCK(status.st_mode)) {
		return error_set(err, ERROR_REFUSED, "%s is there and is no socket", name.sun_path);
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive = fd >= 0 &&
	             connect(fd, (const struct sockaddr *)&address->socket, address->size) == 0;
	if (fd >= 0) {
		(void)close(fd);
	}
	if (alive) {
		return error_set(err, ERROR_REFUSED, "%s: another process listens there",
		                 name.sun_path);
	}
	(void)unlink(name.sun_path);
	return true;
}

static bool
set_mode(const struct net_listen *listen_, struct error *err)
{
	struct sockaddr_un name;
	memcpy(&name, &listen_->address.socket, sizeof(name));
	if (chmod(name.sun_path, listen_->mode) != 0) {
		return error_system(err, "cannot set the mode of %s", name.sun_path);
	}
	if (listen_->group != NULL) {
		char space[4096];
		struct group group;
		struct group *found = NULL;
		if (getgrnam_r(listen_->group, &group, space, sizeof(space), &found) != 0 ||
		    found == NULL) {
			return error_set(err, ERROR_INVALID, "there is no group %s",
			                 listen_->group);
		}
		if (chown(name.sun_path, (uid_t)-1, group.gr_gid) != 0) {
			return error_system(err, "cannot give %s to the group %s", name.sun_path,
			                    listen_->group);
		}
	}
	return true;
}

static bool
open_socket(const struct net_listen *listen_, int *ret, struct error *err)
{
	const struct address *address = &listen_->address;
	bool local = address->socket.ss_family == AF_UNIX;
	if (local && !clear_stale(address, err)) {
		return false;
	}
	int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return error_system(err, "cannot make a socket");
	}
	int on = 1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->socket.ss_family == AF_INET6) {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	mode_t mask = umask(0177); /* a socket is nobody's before its mode is set */
	bool good = bind(fd, (const struct sockaddr *)&address->socket, address->size) == 0;
	(void)umask(mask);
	if (!good) {
		(void)error_system(err, "cannot bind");
	} else if (local && !set_mode(listen_, err)) {
		good = false;
	} else if (listen(fd, LISTEN_BACKLOG) != 0) {
		good = error_system(err, "cannot listen");
	}
	if (!good) {
		(void)close(fd);
		return false;
	}
	*ret = fd;
	return true;
}

/* Who may write to a unix socket's file beside its owner; -1: no group. */
static gid_t
group_of(const struct address *address)
{
	struct sockaddr_un name;
	struct stat status;
	memcpy(&name, &address->socket, sizeof(name));
	bool has = address->socket.ss_family == AF_UNIX && lstat(name.sun_path, &status) == 0 &&
	           (status.st_mode & S_IWGRP) != 0;
	return has ? status.st_gid : (gid_t)-1;
}

/* Senders will refuse it; it is used all the same, since nothing better is there. */
static void
warn_of_time(const char *file)
{
	struct certificate certificate;
	struct error err;
	if (!certificate_look(file, &certificate, &err)) {
		return;
	}
	int64_t now_ns = clock_wall_ns();
	bool over = certificate.ends_ns <= now_ns;
	if (over || certificate.begins_ns > now_ns) {
		char when[CLOCK_TEXT_BYTES];
		clock_text(over ? certificate.ends_ns : certificate.begins_ns, when);
		log_say(LOG_ERROR, "certificate.expired", "%s %s %s: senders refuse it", file,
		        over ? "has expired at" : "begins at", when);
	}
}

bool
net_listen(struct net *net, const struct net_listen *listen_, struct error *err)
{
	ALWAYS(net->listener_count < NET_LISTENERS_MOST, "listeners");
	struct listener *listener = &net->listeners[net->listener_count];
	memset(listener, 0, sizeof(*listener));
	struct buffer text;
	buffer_init(&text, 512);
	address_text(&listen_->address, &text);
	char *name = buffer_steal(&text);
	listener->fd = take_inherited(&listen_->address);
	listener->inherited = listener->fd >= 0;
	bool good = true;
	if (listener->inherited) {
		(void)fcntl(listener->fd, F_SETFL, fcntl(listener->fd, F_GETFL) | O_NONBLOCK);
	} else {
		good = open_socket(listen_, &listener->fd, err);
	}
	if (good && listen_->certificate != NULL) {
		good = tls_open(&listener->tls, listen_->certificate, listen_->key, err);
		warn_of_time(listen_->certificate);
	}
	if (!good) {
		(void)error_prefix(err, "%s", name);
		listener_close(listener);
		free(name);
		return false;
	}
	free(name);
	listener->net = net;
	listener->address.size = sizeof(listener->address.socket);
	(void)getsockname(listener->fd, (struct sockaddr *)&listener->address.socket,
	                  &listener->address.size);
	struct network *networks = memory_need(listen_->proxy_count * sizeof(*networks));
	for (size_t i = 0; i < listen_->proxy_count; i++) {
		networks[i] = listen_->proxies[i];
	}
	listener->proxies = (struct http_proxies){ networks, listen_->proxy_count };
	listener->only_proxies = listen_->only_proxies;
	listener->only_ours = listen_->only_ours;
	listener->owner = geteuid();
	listener->group = group_of(&listener->address);
	listener->mark = listen_->mark;
	listener->loop = &net->loops[net->listener_count % net->loop_count];
	net->listener_count++;
	return true;
}

/* --- loops --- */

static void
ON_THREAD(net_thread) resume_paused(struct net_loop *loop)
{
	size_t waiting = 0;
	struct connection *c;
	TAILQ_FOREACH(c, &loop->paused, paused_link) {
		waiting++;
	}
	while (waiting-- > 0 &&
	       !TAILQ_EMPTY(&loop->paused)) { /* one that must wait on goes to the end */
		connection_resume(TAILQ_FIRST(&loop->paused));
	}
}

static void
on_wake(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	thread_is(&net_thread);
	struct net_loop *loop = argument;
	struct queue_item *item = queue_take(&loop->queue);
	while (item != NULL) {
		struct queue_item *next = item->next;
		struct net_call *call = CONTAINER(item, struct net_call, item);
		call->run(call);
		item = next;
	}
	resume_paused(loop);
	if (loop->ended) {
		(void)event_base_loopbreak(loop->base);
	}
}

static void
on_again(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	thread_is(&net_thread);
	connections_again(argument);
}

static void
loop_run(void *context)
{
	struct net_loop *loop = context;
	struct error err;
	if (!confine_thread(CONFINE_NET, &err)) {
		log_say(LOG_WARN, "thread.unconfined", "a net loop keeps all system calls: %s",
		        err.text);
	}
	const struct http_service *service = &loop->net->service;
	while (!loop->ended &&
	       event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) >= 0) {
		if (service->turned != NULL) {
			service->turned(service->context, loop);
		}
	}
	thread_is(&net_thread);
	while (!TAILQ_EMPTY(&loop->open)) {
		connection_close(TAILQ_FIRST(&loop->open));
	}
	if (service->ended != NULL) {
		service->ended(service->context);
	}
	OPENSSL_thread_stop();
}

static bool
loop_create(struct net *net, size_t index, struct error *err)
{
	struct net_loop *loop = &net->loops[index];
	loop->net = net;
	loop->index = index;
	loop->limits = net->limits;
	TAILQ_INIT(&loop->open);
	TAILQ_INIT(&loop->paused);
	TAILQ_INIT(&loop->unheard);
	SLIST_INIT(&loop->exchanges);
	buffer_init(&loop->spare_in, NET_READ_BYTES);
	buffer_init(&loop->spare_out, NET_READ_BYTES);
	loop->queue.fd = -1;
	struct event_config *config = event_config_new();
	if (config == NULL) {
		return error_set(err, ERROR_MEMORY, "cannot make an event loop");
	}
	(void)event_config_set_flag(
		config, EVENT_BASE_FLAG_NOLOCK); /* others come in through the queue alone */
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL || !queue_init(&loop->queue, err)) {
		return error_set(err, ERROR_MEMORY, "cannot make an event loop");
	}
	loop->wake =
		event_new(loop->base, queue_fd(&loop->queue), EV_READ | EV_PERSIST, on_wake, loop);
	loop->again = event_new(loop->base, -1, 0, on_again, loop);
	if (loop->wake == NULL || loop->again == NULL || event_add(loop->wake, NULL) != 0) {
		return error_set(err, ERROR_MEMORY, "cannot make an event loop");
	}
	return true;
}

/* Its own way would be a line on stderr that is no JSON. */
static void
on_event_log(int severity, const char *message)
{
	log_say(severity >= EVENT_LOG_WARN ? LOG_WARN : LOG_DEBUG, "net.event_loop", "%s", message);
}

bool
net_create(struct net **ret, size_t loops, const struct net_limits *limits,
           const struct http_service *service, struct error *err)
{
	ALWAYS(loops > 0 && loops <= NET_LOOPS_MOST, "loops");
	struct net *net = memory_need(sizeof(*net));
	event_set_log_callback(on_event_log);
	net->limits = *limits;
	(void)pthread_mutex_init(&net->limits_lock, NULL);
	net->service = *service;
	net->loops = memory_need(loops * sizeof(*net->loops));
	net->loop_count = loops;
	atomic_store(&net->memory_most, limits->memory);
	atomic_store(&net->body_most, (long long)limits->body);
	net->addresses = addresses_create();
	(void)pthread_mutex_init(&net->reserve_lock, NULL);
	net->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < loops; i++) {
		if (!loop_create(net, i, err)) {
			net_destroy(net);
			return false;
		}
	}
	*ret = net;
	return true;
}

bool
net_start(struct net *net, struct error *err)
{
	for (size_t i = 0; i < net->listener_count; i++) {
		if (!listener_watch(&net->listeners[i], err)) {
			return false;
		}
	}
	for (size_t i = 0; i < net->loop_count; i++) {
		if (!thread_start(&net->loops[i].thread, &net_thread, loop_run, &net->loops[i],
		                  err)) {
			return false; /* net_destroy() ends those that run */
		}
		net->running++;
	}
	return true;
}

size_t
net_listeners(const struct net *net)
{
	return net->listener_count;
}

void
net_listener_text(const struct net *net, size_t index, struct buffer *out)
{
	const struct listener *listener = &net->listeners[index];
	if (listener->address.socket.ss_family != AF_UNIX) {
		buffer_text(out, listener->tls != NULL ? "https://" : "http://");
	}
	address_text(&listener->address, out);
}

void
net_reload_certificates(struct net *net)
{
	for (size_t i = 0; i < net->listener_count; i++) {
		struct tls *tls = net->listeners[i].tls;
		struct error err;
		bool changed = false;
		if (tls == NULL) {
			continue;
		}
		struct log_line line;
		if (!tls_reload(tls, &changed, &err)) {
			log_begin(&line, LOG_ERROR, "certificate.refused",
			          "the new certificate is bad; the old one is kept");
			log_error(&line, &err);
			log_end(&line);
		} else if (changed) {
			log_begin(&line, LOG_INFO, "certificate.reloaded",
			          "new connections get the new certificate");
			log_text(&line, "file", span_of(tls_certificate(tls)));
			log_end(&line);
			warn_of_time(tls_certificate(tls));
		}
	}
}

struct limits_call {
	struct net_call call;
	struct net_loop *loop;
	struct net_limits limits;
};

static void
on_limits(struct net_call *call)
{
	thread_is(&net_thread);
	struct limits_call *change = CONTAINER(call, struct limits_call, call);
	change->loop->limits = change->limits;
	free(change);
}

void
net_set_limits(struct net *net, const struct net_limits *limits)
{
	atomic_store(&net->memory_most, limits->memory);
	atomic_store(&net->body_most, (long long)limits->body);
	for (size_t i = 0; i < net->loop_count; i++) {
		struct limits_call *change = memory_need(sizeof(*change));
		change->call.run = on_limits;
		change->loop = &net->loops[i];
		change->limits = *limits;
		net_loop_post(change->loop, &change->call);
	}
}

struct stop_call {
	struct net_call call;
	struct net_loop *loop;
};

static void
on_stop(struct net_call *call)
{
	thread_is(&net_thread);
	struct stop_call *stop = CONTAINER(call, struct stop_call, call);
	struct net_loop *loop = stop->loop;
	struct net *net = loop->net;
	free(stop);
	for (size_t i = 0; i < net->listener_count; i++) {
		if (net->listeners[i].loop == loop) {
			listener_drain(&net->listeners[i]);
			listener_close(&net->listeners[i]);
		}
	}
	struct connection *c = TAILQ_FIRST(&loop->open);
	while (c != NULL) {
		struct connection *next = TAILQ_NEXT(c, link);
		connection_stop(c);
		c = next;
	}
	(void)atomic_fetch_sub(&net->accepting, 1);
}

void
net_stop_accepting(struct net *net)
{
	atomic_store(&net->accepting, net->loop_count);
	atomic_store(&net->stopping, true);
	for (size_t i = 0; i < net->loop_count; i++) {
		struct stop_call *stop = memory_need(sizeof(*stop));
		stop->call.run = on_stop;
		stop->loop = &net->loops[i];
		net_loop_post(stop->loop, &stop->call);
	}
}

bool
net_stopped(const struct net *net)
{
	return atomic_load(&net->accepting) == 0 && atomic_load(&net->connections) == 0;
}

int64_t
net_connections(const struct net *net)
{
	return atomic_load(&net->connections);
}

struct pulse_call {
	struct net_call call;
	struct net_loop *loop;
};

static void
on_pulse(struct net_call *call)
{
	struct pulse_call *pulse = CONTAINER(call, struct pulse_call, call);
	pulse_end(&pulse->loop->pulse);
	free(pulse);
}

int64_t
net_busy_ns(struct net *net)
{
	int64_t longest_ns = 0;
	for (size_t i = 0; i < net->loop_count; i++) {
		struct net_loop *loop = &net->loops[i];
		int64_t age_ns = pulse_age_ns(&loop->pulse);
		longest_ns = age_ns > longest_ns ? age_ns : longest_ns;
		if (age_ns == 0) {
			struct pulse_call *pulse = memory_need(sizeof(*pulse));
			pulse->call.run = on_pulse;
			pulse->loop = loop;
			pulse_begin(&loop->pulse);
			net_loop_post(loop, &pulse->call);
		}
	}
	return longest_ns;
}

static void
on_end(struct net_call *call)
{
	struct stop_call *stop = CONTAINER(call, struct stop_call, call);
	stop->loop->ended = true;
	free(stop);
}

static void
drop_calls(struct net_loop *loop)
{
	/* What was posted after the end: run where it stands, so that nothing of it is lost. */
	struct queue_item *item = queue_take(&loop->queue);
	while (item != NULL) {
		struct queue_item *next = item->next;
		struct net_call *call = CONTAINER(item, struct net_call, item);
		call->run(call);
		item = next;
	}
}

void
net_destroy(struct net *net)
{
	if (net == NULL) {
		return;
	}
	for (size_t i = 0; i < net->running; i++) {
		struct stop_call *stop = memory_need(sizeof(*stop));
		stop->call.run = on_end;
		stop->loop = &net->loops[i];
		net_loop_post(stop->loop, &stop->call);
		(void)pthread_join(net->loops[i].thread, NULL);
	}
	thread_become(&net_thread);
	for (size_t i = 0; i < net->listener_count; i++) {
		if (net->listeners[i].fd >= 0 && !net->listeners[i].inherited &&
		    net->listeners[i].address.socket.ss_family == AF_UNIX) {
			struct sockaddr_un name;
			memcpy(&name, &net->listeners[i].address.socket, sizeof(name));
			(void)unlink(name.sun_path);
		}
		listener_close(&net->listeners[i]);
		tls_close(net->listeners[i].tls);
		free((void *)(uintptr_t)net->listeners[i].proxies.networks);
	}
	for (size_t i = 0; i < net->loop_count; i++) {
		struct net_loop *loop = &net->loops[i];
		if (loop->queue.fd >= 0 && i < net->running) {
			drop_calls(loop);
		}
		if (loop->wake != NULL) {
			event_free(loop->wake);
		}
		if (loop->again != NULL) {
			event_free(loop->again);
		}
		exchanges_finish(loop);
		buffer_finish(&loop->spare_in);
		buffer_finish(&loop->spare_out);
		queue_finish(&loop->queue);
		if (loop->base != NULL) {
			event_base_free(loop->base);
		}
	}
	addresses_destroy(net->addresses);
	(void)pthread_mutex_destroy(&net->reserve_lock);
	if (net->reserve_fd >= 0) {
		(void)close(net->reserve_fd);
	}
	(void)pthread_mutex_destroy(&net->limits_lock);
	free(net->loops);
	free(net);
}

void
net_loop_post(struct net_loop *loop, struct net_call *call)
{
	queue_push(&loop->queue, &call->item);
}

size_t
net_loop_index(const struct net_loop *loop)
{
	return loop->index;
}

struct net_loop *
net_loop_at(struct net *net, size_t index)
{
	return &net->loops[index];
}

size_t
net_loop_count(const struct net *net)
{
	return net->loop_count;
}

struct net *
net_of(const struct net_loop *loop)
{
	return loop->net;
}

/* --- memory of bodies --- */

static bool
take(struct net *net, size_t bytes, long long most)
{
	long long used = atomic_load(&net->memory_used);
	do {
		if (used + (long long)bytes > most) {
			return false;
		}
	} while (!atomic_compare_exchange_weak(&net->memory_used, &used, used + (long long)bytes));
	return true;
}

bool
net_memory_take(struct net *net, size_t bytes)
{
	return take(net, bytes, atomic_load(&net->memory_most));
}

bool
net_body_take(struct net *net, size_t bytes, bool large)
{
	long long most = atomic_load(&net->memory_most);
	long long share = most - most / NET_SMALL_SHARE;
	long long body = atomic_load(&net->body_most);
	return take(net, bytes, !large ? most : share > body ? share : body);
}

void
net_memory_release(struct net *net, size_t bytes)
{
	if (bytes == 0) {
		return;
	}
	(void)atomic_fetch_sub(&net->memory_used, (long long)bytes);
	if (atomic_load(&net->paused) > 0) {
		for (size_t i = 0; i < net->loop_count; i++) {
			queue_wake(&net->loops[i].queue);
		}
	}
}
