/* A connection's life:
 *
 *   handshake ─▶ idle ─▶ head ─▶ body ─▶ wait ─▶ write ─▶ idle …
 *                          │      │ ▲               └─▶ linger ─▶ closed   (the answer came before the request's end)
 *                          │      ▼ │
 *                          │    paused (no memory for the body)
 *                          └─▶ write (refused by its head alone)
 *
 * Each state has one deadline. connection_run() goes on until it would block, or has had its turn. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "receiver/base/clock.h"
#include "receiver/metrics/metrics.h"
#include "receiver/net/net_priv.h"

static void run(struct connection *c) ON_THREAD(net_thread);

/* --- events and deadlines --- */

static struct timeval
timeval_of(int64_t ns)
{
	return (struct timeval){ .tv_sec = (time_t)(ns / NS_PER_S),
		                 .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US) };
}

static void
on_ready(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	thread_is(&net_thread);
	struct connection *c = argument;
	if ((what & (EV_READ | EV_CLOSED)) != 0) {
		wire_stirred(&c->wire, (what & EV_CLOSED) != 0);
	}
	run(c);
}

static void on_deadline(evutil_socket_t fd, short what, void *argument);

/* A deadline that moves later leaves the timer where it is: it looks, and goes on to the new one. */
static void
watch_deadline(struct connection *c)
{
	if (c->deadline_ns == 0 || (c->timer_ns != 0 && c->timer_ns <= c->deadline_ns)) {
		return;
	}
	int64_t left_ns = c->deadline_ns - clock_boot_ns();
	struct timeval timeout = timeval_of(left_ns < 0 ? 0 : left_ns + NS_PER_US - 1);
	(void)event_add(&c->timer, &timeout);
	c->timer_ns = c->deadline_ns;
}

static void
set_deadline(struct connection *c, int64_t ns)
{
	c->deadline_ns = ns > 0 ? clock_boot_ns() + ns : 0;
	watch_deadline(c);
}

/* How much longer it may wait for memory: looking whether there is some now does not begin anew. */
static int64_t
patience_left(struct exchange *exchange)
{
	int64_t now_ns = clock_boot_ns();
	if (exchange->paused_until_ns == 0) {
		exchange->paused_until_ns = now_ns + exchange->shown.patience_ns;
	}
	return exchange->paused_until_ns > now_ns ? exchange->paused_until_ns - now_ns : 1;
}

static void
enter(struct connection *c, enum connection_state state)
{
	const struct net_limits *limits = &c->loop->limits;
	int64_t deadline_ns = 0;
	switch (state) {
	case CONNECTION_HANDSHAKE: deadline_ns = limits->handshake_timeout_ns; break;
	case CONNECTION_IDLE: deadline_ns = limits->idle_timeout_ns; break;
	case CONNECTION_HEAD: deadline_ns = limits->header_timeout_ns; break;
	case CONNECTION_BODY: deadline_ns = limits->body_timeout_ns; break;
	case CONNECTION_PAUSED: deadline_ns = patience_left(c->exchange); break;
	case CONNECTION_WAIT: deadline_ns = c->exchange->shown.answer_ns; break;
	case CONNECTION_WRITE: deadline_ns = NET_ANSWER_TIMEOUT_NS; break;
	case CONNECTION_LINGER: deadline_ns = NET_LINGER_NS; break;
	}
	c->state = state;
	set_deadline(c, deadline_ns);
}

/* --- bytes --- */

enum io {
	IO_GOOD,
	IO_AGAIN, /* would block; an edge will tell */
	IO_ENDED,
	IO_FAILED,
};

static enum io
tls_result(struct connection *c, int code)
{
	switch (SSL_get_error(c->ssl, code)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN: return IO_ENDED;
	default: ERR_clear_error(); return IO_FAILED;
	}
}

static enum io
read_some(struct connection *c, char *data, size_t room, size_t *got)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		int size = SSL_read(c->ssl, data, room > INT32_MAX ? INT32_MAX : (int)room);
		if (size <= 0) {
			return tls_result(c, size);
		}
		*got = (size_t)size;
		return IO_GOOD;
	}
	ssize_t size = wire_receive(&c->wire, data, room);
	if (size > 0) {
		*got = (size_t)size;
		return IO_GOOD;
	}
	return size == 0 ? IO_ENDED : errno == EAGAIN ? IO_AGAIN : IO_FAILED;
}

static enum io
write_some(struct connection *c, const char *data, size_t size, size_t *wrote)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		int done = SSL_write(c->ssl, data, size > INT32_MAX ? INT32_MAX : (int)size);
		if (done <= 0) {
			return tls_result(c, done);
		}
		*wrote = (size_t)done;
		return IO_GOOD;
	}
	ssize_t done = wire_send(&c->wire, data, size);
	if (done >= 0) {
		*wrote = (size_t)done;
		return IO_GOOD;
	}
	return errno == EAGAIN ? IO_AGAIN : IO_FAILED;
}

/* What is empty between two requests is nobody's own: a loop keeps one, and thousands of idle connections none. */
static void
borrow(struct buffer *buffer, struct buffer *spare)
{
	if (buffer->data == NULL && spare->data != NULL) {
		buffer->data = spare->data;
		buffer->room = spare->room;
		*spare = (struct buffer){ .limit = spare->limit };
	}
}

static void
give_back(struct buffer *buffer, struct buffer *spare)
{
	if (buffer->data == NULL || buffer->size > 0) {
		return;
	}
	if (spare->data == NULL && buffer->room <= NET_READ_BYTES) {
		spare->data = buffer->data;
		spare->room = buffer->room;
		*buffer = (struct buffer){ .limit = buffer->limit };
		return;
	}
	buffer_finish(buffer);
}

/* --- life --- */

void
connection_open(struct net_loop *loop, struct listener *listener, int fd,
                const struct http_peer *peer, bool counted)
{
	struct connection *c = memory_need(sizeof(*c));
	c->loop = loop;
	c->listener = listener;
	wire_init(&c->wire, fd);
	c->peer = *peer;
	c->counted = counted;
	buffer_init(&c->in, (size_t)HTTP1_FIELDS_MOST * 65536);
	buffer_init(&c->out, 1024 * 1024 * 1024);
	(void)event_assign(&c->event, loop->base, fd,
	                   EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_ready, c);
	(void)event_assign(&c->timer, loop->base, -1, 0, on_deadline, c);
	TAILQ_INSERT_TAIL(&loop->open, c, link);
	if (event_add(&c->event, NULL) != 0) { /* nobody would tell when it is ready */
		connection_close(c);
		return;
	}
	if (listener->tls != NULL) {
		c->ssl = tls_new(listener->tls);
		if (c->ssl == NULL || !wire_carry(&c->wire, c->ssl)) {
			connection_close(c);
			return;
		}
		SSL_set_accept_state(c->ssl);
		enter(c, CONNECTION_HANDSHAKE);
	} else {
		enter(c, CONNECTION_IDLE);
	}
	run(c);
}

static void
ON_THREAD(net_thread) leave_paused(struct connection *c)
{
	if (c->state == CONNECTION_PAUSED) {
		TAILQ_REMOVE(&c->loop->paused, c, paused_link);
		(void)atomic_fetch_sub(&c->loop->net->paused, 1);
	}
}

static void
ON_THREAD(net_thread) exchange_free(struct connection *c)
{
	struct exchange *exchange = c->exchange;
	if (exchange == NULL) {
		return;
	}
	c->exchange = NULL;
	if (exchange->announced && !exchange->answered) {
		const struct http_service *service = &c->loop->net->service;
		service->gone(service->context, &exchange->shown);
	}
	net_memory_release(c->loop->net, exchange->shown.reserved);
	buffer_finish(&exchange->shown.body);
	exchange_end(exchange);
}

void
connection_close(struct connection *c)
{
	leave_paused(c);
	if (c->unheard) {
		TAILQ_REMOVE(&c->loop->unheard, c, unheard_link);
	}
	exchange_free(c);
	(void)event_del(&c->event);
	(void)event_del(&c->timer);
	if (c->ssl != NULL) {
		SSL_free(c->ssl);
	}
	(void)close(c->wire.fd);
	if (c->counted) {
		addresses_remove(c->loop->net->addresses, &c->peer);
	}
	TAILQ_REMOVE(&c->loop->open, c, link);
	(void)atomic_fetch_sub(&c->loop->net->connections, 1);
	buffer_finish(&c->in);
	buffer_finish(&c->out);
	free(c);
}

/* --- answers --- */

/* Made once a second. */
static const char *
date_of(struct net_loop *loop)
{
	int64_t now_s = clock_wall_ns() / NS_PER_S;
	if (loop->date_s != now_s) {
		loop->date_s = now_s;
		response_date(now_s, loop->date);
	}
	return loop->date;
}

void
http_answer(struct http_exchange *shown, const struct http_response *response)
{
	struct exchange *exchange = CONTAINER(shown, struct exchange, shown);
	struct connection *c = exchange->connection;
	ALWAYS(exchange->announced && !exchange->answered, "one-answer");
	exchange->answered = true;
	bool early = !http1_body_ended(&exchange->body); /* before the request's end */
	c->close_after = response->close || early || !exchange->head.keep_alive ||
	                 atomic_load(&c->loop->net->stopping);
	borrow(&c->out, &c->loop->spare_out);
	response_write(&c->out, response,
	               &(struct response_frame){ .date = date_of(c->loop),
	                                         .head_only =
	                                                 span_equal(shown->method, SPAN("HEAD")),
	                                         .close = c->close_after });
	bool waiting = c->state == CONNECTION_WAIT;
	leave_paused(c);
	enter(c, CONNECTION_WRITE);
	if (waiting) { /* called from outside run() */
		run(c);
	}
}

/* Tells the service that net cannot go on; it answers at once. */
static void
ON_THREAD(net_thread) refuse(struct connection *c, enum http_refusal refusal)
{
	struct exchange *exchange = c->exchange;
	const struct http_service *service = &c->loop->net->service;
	exchange->announced = true;
	leave_paused(c);
	c->state =
		CONNECTION_HEAD; /* so that http_answer() does not run the connection from here */
	service->refused(service->context, &exchange->shown, refusal);
	ALWAYS(exchange->answered, "refusal-answered");
}

/* --- states --- */

static bool
ON_THREAD(net_thread) run_handshake(struct connection *c)
{
	ERR_clear_error();
	int code = SSL_do_handshake(c->ssl);
	if (code == 1) {
		enter(c, CONNECTION_IDLE);
		return true;
	}
	if (tls_result(c, code) != IO_AGAIN) {
		metrics_add(METRIC_HANDSHAKES_FAILED, 1);
		connection_close(c);
	}
	return false;
}

/* Makes what has been parsed visible to the service; the head's bytes get a place of their own. */
static bool
ON_THREAD(net_thread) show_head(struct connection *c)
{
	struct exchange *exchange = c->exchange;
	struct http1_head *head = &exchange->head;
	size_t size = head->size == 0 ? head->line : head->size;
	if (!exchange_keep_text(exchange, (struct span){ c->in.data, size })) {
		return false;
	}
	const char *data = exchange->text.data;
	struct http_exchange *shown = &exchange->shown;
	shown->has_request_line = head->has_request_line;
	if (head->has_request_line) {
		shown->method = http1_slice_span(head->method, data);
		shown->path = http1_slice_span(head->path, data);
		shown->query = http1_slice_span(head->query, data);
	}
	shown->fields = http1_head_fields(head, data, exchange->fields);
	shown->wrong = head->wrong;
	shown->received_ns = clock_wall_ns();
	return true;
}

static bool
ON_THREAD(net_thread) head_done(struct connection *c)
{
	struct exchange *exchange = c->exchange;
	struct http_exchange *shown = &exchange->shown;
	const struct http_service *service = &c->loop->net->service;
	http1_body_init(&exchange->body, &exchange->head);
	shown->length = exchange->head.chunked ? -1 : exchange->head.length;
	buffer_consume(&c->in, exchange->head.size);
	exchange->limit = (size_t)c->loop->limits.body;
	exchange->announced = true;
	if (service->head(service->context, shown, &exchange->limit) == HTTP_ANSWERED) {
		ALWAYS(exchange->answered, "head-answered");
		return true;
	}
	buffer_init(&shown->body, exchange->limit);
	enter(c, CONNECTION_BODY);
	return true;
}

/* Parses what is there; true when the state has changed. */
static bool
ON_THREAD(net_thread) parse_head(struct connection *c, bool *closed)
{
	*closed = false;
	if (c->in.size == 0) {
		return false;
	}
	if (c->exchange == NULL) {
		if (exchange_begin(c) == NULL) {
			connection_close(c);
			*closed = true;
			return false;
		}
		enter(c, CONNECTION_HEAD);
	}
	const struct net_limits *limits = &c->loop->limits;
	struct http1_head *head = &c->exchange->head;
	enum http1_status status =
		http1_head_parse(head, c->in.data, c->in.size, (size_t)limits->headers,
	                         (size_t)limits->header_count);
	if (status == HTTP1_MORE) {
		return false;
	}
	if (!show_head(c)) {
		connection_close(c);
		*closed = true;
		return false;
	}
	switch (status) {
	case HTTP1_DONE: return head_done(c);
	case HTTP1_TOO_LARGE: refuse(c, HTTP_HEADERS_TOO_LARGE); return true;
	case HTTP1_BAD: refuse(c, HTTP_MALFORMED); return true;
	case HTTP1_MORE: break;
	}
	return false;
}

/* True: go on in the (maybe new) state. False: wait, or the connection is gone. */
static bool
ON_THREAD(net_thread) run_head(struct connection *c, size_t *turn)
{
	bool closed;
	if (parse_head(c, &closed)) {
		return true;
	}
	if (closed) {
		return false;
	}
	borrow(&c->in, &c->loop->spare_in);
	if (!buffer_reserve(&c->in, NET_READ_BYTES)) {
		connection_close(c);
		return false;
	}
	bool stopping = atomic_load(&c->loop->net->stopping);
	if (stopping) { /* the last chance of what has come meanwhile */
		wire_stirred(&c->wire, false);
	}
	size_t got = 0;
	switch (read_some(c, c->in.data + c->in.size, NET_READ_BYTES, &got)) {
	case IO_GOOD:
		c->in.size += got;
		*turn += got;
		return true;
	case IO_AGAIN:
		give_back(&c->in, &c->loop->spare_in);
		if (c->state == CONNECTION_IDLE && stopping) {
			connection_close(c);
		}
		return false;
	case IO_ENDED:
	case IO_FAILED: connection_close(c); return false;
	}
	return false;
}

static void
ON_THREAD(net_thread) pause_for_memory(struct connection *c)
{
	enter(c, CONNECTION_PAUSED);
	TAILQ_INSERT_TAIL(&c->loop->paused, c, paused_link);
	(void)atomic_fetch_add(&c->loop->net->paused, 1);
}

/* Room for `more` bytes of body, from the budget and from malloc. False: the state has changed. */
static bool
ON_THREAD(net_thread) body_room(struct connection *c, size_t more)
{
	struct http_exchange *shown = &c->exchange->shown;
	size_t wanted = shown->body.size + more;
	if (shown->length > 0 && wanted <= NET_SMALL_BODY_BYTES) {
		/* What is only announced holds no memory: it is taken as it comes. */
		size_t most = (size_t)shown->length < NET_SMALL_BODY_BYTES ? (size_t)shown->length
		                                                           : NET_SMALL_BODY_BYTES;
		while (wanted > shown->reserved && wanted < most && wanted < 2 * shown->reserved) {
			wanted = 2 * shown->reserved < most ? 2 * shown->reserved : most;
		}
	} else if (shown->length >= 0) {
		wanted =
			(size_t)shown
				->length; /* all of the rest at once: half of many would be of no use */
	} else if (wanted > shown->reserved && wanted < 2 * shown->reserved) {
		wanted = 2 * shown->reserved < c->exchange->limit ? 2 * shown->reserved
		                                                  : c->exchange->limit;
	}
	if (wanted > shown->reserved) {
		bool large = wanted > NET_SMALL_BODY_BYTES;
		if (!net_body_take(c->loop->net, wanted - shown->reserved, large)) {
			pause_for_memory(c);
			return false;
		}
		shown->reserved = wanted;
	}
	if (!buffer_reserve(&shown->body, wanted - shown->body.size)) {
		refuse(c, HTTP_OVERLOADED);
		return false;
	}
	return true;
}

static void
ON_THREAD(net_thread) body_arrived(struct connection *c, struct span piece)
{
	struct http_exchange *shown = &c->exchange->shown;
	if (shown->streaming && piece.size > 0) {
		const struct http_service *service = &c->loop->net->service;
		service->piece(service->context, shown, piece);
	}
}

static bool
ON_THREAD(net_thread) body_done(struct connection *c)
{
	const struct http_service *service = &c->loop->net->service;
	struct http_exchange *shown = &c->exchange->shown;
	give_back(&c->in, &c->loop->spare_in);
	c->state = CONNECTION_BODY; /* an answer from inside request() is written by run() */
	service->request(service->context, shown);
	if (c->exchange->answered) {
		return true;
	}
	enter(c, CONNECTION_WAIT);
	return false;
}

/* Takes what `in` has. True: the state has changed. */
static bool
ON_THREAD(net_thread) body_from_buffer(struct connection *c, bool *changed)
{
	struct exchange *exchange = c->exchange;
	*changed = false;
	while (c->in.size > 0 && !http1_body_ended(&exchange->body)) {
		size_t direct = http1_body_direct(&exchange->body);
		size_t most = direct > 0 && direct < c->in.size ? direct : c->in.size;
		if (direct > exchange->limit - exchange->shown.body.size) {
			refuse(c, HTTP_BODY_TOO_LARGE);
			return true;
		}
		if (direct > 0 && !body_room(c, most)) {
			return true;
		}
		size_t consumed = 0;
		struct span piece;
		enum http1_status status =
			http1_body_take(&exchange->body, c->in.data, c->in.size, &consumed, &piece);
		if (status == HTTP1_BAD || status == HTTP1_TOO_LARGE) {
			exchange->shown.wrong = exchange->body.wrong;
			refuse(c, status == HTTP1_BAD ? HTTP_MALFORMED : HTTP_HEADERS_TOO_LARGE);
			return true;
		}
		buffer_span(&exchange->shown.body, piece);
		ALWAYS(!exchange->shown.body.failed, "body-room");
		body_arrived(c, piece);
		buffer_consume(&c->in, consumed);
	}
	if (http1_body_direct(&exchange->body) > exchange->limit - exchange->shown.body.size) {
		refuse(c, HTTP_BODY_TOO_LARGE); /* a chunk's size says so before its data */
		return true;
	}
	return false;
}

static bool
ON_THREAD(net_thread) send_continue(struct connection *c)
{
	/* RFC 9110 section 10.1.1; not when the body is already on its way. */
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct exchange *exchange = c->exchange;
	if (!exchange->head.expect_continue || exchange->continue_sent) {
		return true;
	}
	exchange->continue_sent = true;
	if (c->in.size > 0 || http1_body_ended(&exchange->body)) {
		return true;
	}
	size_t wrote = 0;
	if (write_some(c, text, sizeof(text) - 1, &wrote) != IO_GOOD || wrote != sizeof(text) - 1) {
		connection_close(c); /* a socket that has no room for 25 bytes */
		return false;
	}
	return true;
}

static bool
ON_THREAD(net_thread) run_body(struct connection *c, size_t *turn)
{
	struct exchange *exchange = c->exchange;
	bool changed;
	if (!send_continue(c)) {
		return false;
	}
	if (body_from_buffer(c, &changed)) {
		return c->state != CONNECTION_PAUSED;
	}
	if (http1_body_ended(&exchange->body)) {
		return body_done(c);
	}
	size_t direct = http1_body_direct(&exchange->body);
	char *into;
	size_t room;
	if (direct > 0 && exchange->shown.length >= 0) { /* straight into its place */
		if (!body_room(c, direct)) {
			return c->state != CONNECTION_PAUSED;
		}
		into = exchange->shown.body.data + exchange->shown.body.size;
		room = direct;
	} else {
		if (!buffer_reserve(&c->in, NET_READ_BYTES)) {
			connection_close(c);
			return false;
		}
		into = c->in.data + c->in.size;
		room = NET_READ_BYTES;
	}
	size_t got = 0;
	switch (read_some(c, into, room, &got)) {
	case IO_GOOD: break;
	case IO_AGAIN: return false;
	case IO_ENDED:
	case IO_FAILED: connection_close(c); return false;
	}
	*turn += got;
	if (into == c->in.data + c->in.size) {
		c->in.size += got;
	} else {
		exchange->shown.body.size += got;
		http1_body_took(&exchange->body, got);
		body_arrived(c, (struct span){ into, got });
	}
	return true;
}

static bool
ON_THREAD(net_thread) run_write(struct connection *c)
{
	while (c->sent < c->out.size) {
		size_t wrote = 0;
		switch (write_some(c, c->out.data + c->sent, c->out.size - c->sent, &wrote)) {
		case IO_GOOD: c->sent += wrote; break;
		case IO_AGAIN: return false;
		case IO_ENDED:
		case IO_FAILED: connection_close(c); return false;
		}
	}
	c->out.size = 0;
	give_back(&c->out, &c->loop->spare_out);
	c->sent = 0;
	exchange_free(c);
	if (!c->close_after) {
		enter(c, CONNECTION_IDLE);
		return true;
	}
	if (c->ssl != NULL) {
		(void)SSL_shutdown(c->ssl);
		ERR_clear_error();
	}
	(void)shutdown(c->wire.fd, SHUT_WR);
	/* RFC 9112 section 9.6: what still comes would reset the connection, and the answer might not be read. */
	enter(c, CONNECTION_LINGER);
	return true;
}

/* Reads past TLS: what comes now is thrown away. */
static bool
ON_THREAD(net_thread) run_linger(struct connection *c)
{
	char data[NET_READ_BYTES / 2];
	for (;;) {
		ssize_t size = wire_receive(&c->wire, data, sizeof(data));
		if (size < 0 && errno == EAGAIN) {
			return false;
		}
		c->lingered += size < 0 ? 0 : (size_t)size;
		if (size <= 0 || c->lingered > NET_LINGER_MOST_BYTES) {
			connection_close(c);
			return false;
		}
	}
}

/* The others first; this one again when the loop comes round. Not event_active(): that runs in this very pass of the loop, before
 * anybody else is heard. */
static void
ON_THREAD(net_thread) wait_for_turn(struct connection *c)
{
	static const struct timeval at_once = { 0, 0 };
	if (!c->unheard) {
		c->unheard = true;
		TAILQ_INSERT_TAIL(&c->loop->unheard, c, unheard_link);
		(void)event_add(c->loop->again, &at_once);
	}
}

void
connections_again(struct net_loop *loop)
{
	size_t waiting = 0;
	struct connection *c;
	TAILQ_FOREACH(c, &loop->unheard, unheard_link) {
		waiting++;
	}
	while (waiting-- > 0 && (c = TAILQ_FIRST(&loop->unheard)) != NULL) {
		TAILQ_REMOVE(&loop->unheard, c, unheard_link);
		c->unheard = false;
		run(c);
	}
}

static void
ON_THREAD(net_thread) run(struct connection *c)
{
	size_t turn = 0;
	bool go_on = true;
	while (go_on) {
		if (turn > NET_TURN_BYTES) {
			wait_for_turn(c);
			return;
		}
		switch (c->state) {
		case CONNECTION_HANDSHAKE: go_on = run_handshake(c); break;
		case CONNECTION_IDLE:
		case CONNECTION_HEAD: go_on = run_head(c, &turn); break;
		case CONNECTION_BODY: go_on = run_body(c, &turn); break;
		case CONNECTION_WRITE:
			go_on = run_write(c);
			turn += NET_READ_BYTES; /* small requests cost as well */
			break;
		case CONNECTION_LINGER: go_on = run_linger(c); break;
		case CONNECTION_PAUSED:
		case CONNECTION_WAIT: go_on = false; break;
		}
	}
}

void
connection_resume(struct connection *c)
{
	leave_paused(c);
	enter(c, CONNECTION_BODY); /* the pause did not count against body_timeout */
	run(c);
}

void
connection_stop(struct connection *c)
{
	if (c->state == CONNECTION_IDLE) {
		run(c); /* what has arrived by now is still taken */
	}
}

static void
on_deadline(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	thread_is(&net_thread);
	struct connection *c = argument;
	c->timer_ns = 0;
	if (c->deadline_ns == 0 || c->deadline_ns > clock_boot_ns()) {
		watch_deadline(c);
		return;
	}
	switch (c->state) {
	case CONNECTION_HEAD:
		if (!c->exchange->has_text && !show_head(c)) {
			connection_close(c);
			return;
		}
		refuse(c, HTTP_TIMEOUT);
		run(c);
		return;
	case CONNECTION_BODY:
		refuse(c, HTTP_TIMEOUT);
		run(c);
		return;
	case CONNECTION_PAUSED:
		refuse(c, HTTP_OVERLOADED);
		run(c);
		return;
	case CONNECTION_HANDSHAKE:
	case CONNECTION_IDLE:
	case CONNECTION_WRITE:
	case CONNECTION_LINGER: connection_close(c); return;
	case CONNECTION_WAIT:
		refuse(c, HTTP_UNANSWERED);
		run(c);
		return;
	}
}
