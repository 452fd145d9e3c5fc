/* load: sends signed GitHub webhooks over TLS and measures the answers. One thread, one epoll.
 *
 * Saturated  each connection sends its next request as soon as it has the answer to the last one.
 *            Latency runs from the moment of sending (with --fresh of connecting).
 * Open loop  (--rate) request i is due at start + i / rate, whatever the server does. Latency runs
 *            from that moment, also for what had to wait for a connection: no coordinated omission.
 * Lost       what was never answered is an error, what was never sent is `unsent`; both count among
 *            the latencies with their age so far: leaving them out would flatter the server.
 * Forged     (--forge) so many of the connections sign wrongly. Their answers are counted apart; rate
 *            and latencies are of the others.
 * Overload   (--overload) 503 with Retry-After is a right answer: `refused`, with times of its own.
 *            What is due while every connection waits for an answer is `dropped`, as by a sender
 *            that has no more of them; nothing is sent twice.
 * Phases     connect all, warm up, measure, drain. `requests` and `rate` are the good answers that
 *            came inside the measured window; latencies are of the requests that were due in it.
 * Idle       (--hold) once the report is written all connections stay as they are until stdin ends.
 * Cost       bodies and signatures are made before the start; a request is an id, SSL_write and
 *            SSL_read. `own_cpu_share` near 1: this program was the limit, not the server. Shares are
 *            of one core; `other_cpu_share` is what neither this program nor --watch accounts for.
 * Exit       0; 1 when anything was answered wrongly or not at all; 2 for wrong usage. */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/bench/answer.h"
#include "tests/bench/measure.h"
#include "tests/bench/messages.h"
#include "tests/bench/options.h"

enum {
	EVENTS_A_WAIT = 256,
	ERRORS_MOST = 1000,    /* then the run is given up: the server is gone */
	READ_BYTES = 16384,    /* one TLS record */
	HANDSHAKES_MOST = 256, /* at once, before the start */
};

#define NS_A_SECOND 1000000000ULL
#define TICK_NS     (NS_A_SECOND / 10) /* looks for hung and lost connections */

enum conn_state {
	CONN_DOWN,      /* no socket, until the next tick */
	CONN_IDLE,      /* in the list of idle ones; with --fresh without a socket */
	CONN_HANDSHAKE, /* a request may be waiting for its end */
	CONN_SENDING,
	CONN_WAITING, /* for the answer */
};

enum step {
	STEP_WAIT,
	STEP_GO_ON
};

struct conn {
	STAILQ_ENTRY(conn) idle;
	SSL *ssl;
	SSL_SESSION *session; /* of the last ticket, with --resume */
	int fd;
	enum conn_state state;
	bool busy;         /* has a request */
	bool readable;     /* the answer, or its beginning, came before all was sent */
	bool hung_up;      /* the server has closed its side */
	bool forges;       /* signs wrongly */
	uint64_t since_ns; /* when that request was due */
	uint64_t begun_ns; /* when it, or the handshake, began */
	unsigned message;
	char id[MESSAGES_ID_CHARS];
	size_t sent;
	char *rest; /* the unsent end, copied: the message gets its next id meanwhile */
	size_t rest_from;
	bool in_rest;
	struct answer answer;
};

enum phase {
	PHASE_CONNECT,
	PHASE_WARM_UP,
	PHASE_MEASURE,
	PHASE_DRAIN,
	PHASE_OVER
};

struct load {
	struct options options;
	struct messages messages;
	struct sockaddr_storage address;
	socklen_t address_len;
	SSL_CTX *tls;
	int epoll;
	struct conn *conns;
	STAILQ_HEAD(conn_list, conn) idle;
	unsigned idle_count, busy_count;
	unsigned opened; /* connections that were begun */
	enum phase phase;
	uint64_t begun_ns, start_ns, measure_ns, end_ns, drain_until_ns, tick_ns;
	uint64_t issued, issue_most;
	uint64_t answered; /* good ones, of all phases */
	uint64_t measured; /* good ones inside the window */
	uint64_t forged;   /* forged ones that were refused, inside the window */
	uint64_t refused;  /* 503, inside the window */
	uint64_t dropped;  /* due inside the window, and no connection was free */
	uint64_t errors, wrong, unsent, reopened, resumed;
	FILE *answered_ids;
	struct cpu cpu_before, cpu_after;
	struct latency latency, forged_latency, refusals;
	char tls_text[128];
	char buffer[READ_BYTES];
};

static uint64_t
now_ns(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * NS_A_SECOND + (uint64_t)at.tv_nsec;
}

static uint64_t
seconds_to_ns(double seconds)
{
	return (uint64_t)(seconds * (double)NS_A_SECOND);
}

/* Connections */

static void
conn_close(struct conn *conn)
{
	if (conn->ssl != NULL) {
		SSL_shutdown(conn->ssl); /* else the session could not be resumed */
		SSL_free(conn->ssl);
		ERR_clear_error();
		close(conn->fd);
	}
	conn->ssl = NULL;
}

static void
conn_rest(struct load *load, struct conn *conn)
{
	conn->state = CONN_IDLE;
	STAILQ_INSERT_TAIL(&load->idle, conn, idle);
	load->idle_count++;
}

/* The request in hand is over: answered, or lost with its age so far. */
static void
conn_settle(struct load *load, struct conn *conn, bool refused)
{
	bool due_in_window = load->measure_ns != 0 && conn->since_ns >= load->measure_ns &&
	                     (load->end_ns == 0 || conn->since_ns < load->end_ns);
	if (due_in_window) {
		latency_add(refused        ? &load->refusals
		            : conn->forges ? &load->forged_latency
		                           : &load->latency,
		            now_ns() - conn->since_ns);
	}
	conn->busy = false;
	load->busy_count--;
}

/* The connection is lost, and with it its request. The next tick opens another one. */
static void
conn_fail(struct load *load, struct conn *conn, const char *why)
{
	if (conn->state == CONN_IDLE) {
		STAILQ_REMOVE(&load->idle, conn, conn, idle);
		load->idle_count--;
	}
	if (conn->busy) {
		conn_settle(load, conn, false);
	}
	if (load->errors++ == 0) {
		warnx("first error: %s", why);
	}
	if (load->errors == ERRORS_MOST) {
		warnx("given up after %d errors", ERRORS_MOST);
		load->phase = PHASE_OVER;
	}
	conn_close(conn);
	conn->state = CONN_DOWN;
}

static void
conn_open(struct load *load, struct conn *conn)
{
	const int on = 1;
	conn->state = CONN_HANDSHAKE;
	conn->begun_ns = now_ns();
	conn->hung_up = false;
	conn->fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0) {
		err(1, "socket");
	}
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn->ssl = SSL_new(load->tls);
	if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1) {
		errx(1, "no TLS session object");
	}
	SSL_set_connect_state(conn->ssl);
	SSL_set_app_data(conn->ssl, conn);
	if (conn->session != NULL) {
		SSL_set_session(conn->ssl, conn->session);
	}
	struct epoll_event watch = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	watch.data.ptr = conn;
	if (connect(conn->fd, (const struct sockaddr *)&load->address, load->address_len) != 0 &&
	    errno != EINPROGRESS) {
		conn_fail(load, conn, strerror(errno));
	} else if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &watch) != 0) {
		err(1, "epoll_ctl");
	}
}

/* Says what a failed SSL call means: wait, or the connection is lost. */
static enum step
conn_wait(struct load *load, struct conn *conn, int result)
{
	int problem = SSL_get_error(conn->ssl, result);
	if (problem == SSL_ERROR_WANT_READ || problem == SSL_ERROR_WANT_WRITE) {
		return STEP_WAIT;
	}
	const char *why = problem == SSL_ERROR_ZERO_RETURN ? "closed by the server" : NULL;
	if (problem == SSL_ERROR_SSL) {
		why = ERR_reason_error_string(ERR_peek_error());
	}
	if (problem == SSL_ERROR_SYSCALL && errno != 0) {
		why = strerror(errno);
	}
	ERR_clear_error();
	if (conn->state == CONN_IDLE) { /* the server may end a connection that owes nothing */
		STAILQ_REMOVE(&load->idle, conn, conn, idle);
		load->idle_count--;
		load->reopened++;
		conn_close(conn);
		conn->state = CONN_DOWN;
	} else {
		conn_fail(load, conn, why == NULL ? "connection lost" : why);
	}
	return STEP_WAIT;
}

static enum step
conn_handshake(struct load *load, struct conn *conn)
{
	errno = 0;
	int result = SSL_do_handshake(conn->ssl);
	if (result != 1) {
		return conn_wait(load, conn, result);
	}
	load->resumed += (uint64_t)SSL_session_reused(conn->ssl);
	if (load->tls_text[0] == '\0') {
		int group = (int)SSL_get_negotiated_group(conn->ssl);
		const char *group_name = OBJ_nid2sn(group);
		snprintf(load->tls_text, sizeof(load->tls_text), "%s %s %s",
		         SSL_get_version(conn->ssl), SSL_get_cipher_name(conn->ssl),
		         group_name == NULL ? "?" : group_name);
	}
	if (conn->busy) {
		conn->state = CONN_SENDING;
		return STEP_GO_ON;
	}
	conn_rest(load, conn);
	return STEP_WAIT;
}

static enum step
conn_send(struct load *load, struct conn *conn)
{
	const char *message = messages_at(&load->messages, conn->message);
	if (conn->sent == 0 && !conn->in_rest) {
		messages_stamp(&load->messages, conn->message, load->options.ids, conn->forges);
		memcpy(conn->id, messages_id(&load->messages, conn->message), sizeof(conn->id));
	}
	while (conn->sent < load->messages.each_bytes) {
		const char *from = message + conn->sent;
		size_t left = load->messages.each_bytes - conn->sent;
		size_t wrote = 0;
		if (conn->in_rest) {
			from = conn->rest + (conn->sent - conn->rest_from);
		}
		errno = 0;
		int result = SSL_write_ex(conn->ssl, from, left, &wrote);
		if (result == 1) {
			conn->sent += wrote;
			continue;
		}
		if (!conn->in_rest) {
			if (conn->rest == NULL &&
			    (conn->rest = malloc(load->messages.each_bytes)) == NULL) {
				err(1, "malloc");
			}
			memcpy(conn->rest, from, left);
			conn->rest_from = conn->sent;
			conn->in_rest = true;
		}
		return conn_wait(load, conn, result);
	}
	conn->state = CONN_WAITING;
	return conn->readable ? STEP_GO_ON : STEP_WAIT; /* no read() that would find nothing */
}

static bool
answer_is_right(const struct answer *answer, const struct options *options, bool forged)
{
	const char *word = forged ? "signature_mismatch" : options->expect;
	return answer->status == (forged ? options->forged_status : options->status) &&
	       (options->expect == NULL || strcmp(answer->word, word) == 0);
}

static void
load_count_good(struct load *load, const struct conn *conn)
{
	if (conn->forges) {
		load->forged += load->phase == PHASE_MEASURE;
		return;
	}
	load->answered++;
	load->measured += load->phase == PHASE_MEASURE;
	if (load->answered_ids != NULL) {
		fprintf(load->answered_ids, "%.*s\n", MESSAGES_ID_CHARS, conn->id);
	}
}

/* A whole answer is there, or one that can never be whole. */
static void
conn_finish(struct load *load, struct conn *conn, bool broken)
{
	const struct options *options = &load->options;
	const struct answer *answer = &conn->answer;
	bool refused = options->overload && !broken && answer->status == 503 && answer->later;
	if (refused) {
		load->refused += load->phase == PHASE_MEASURE;
	} else if (!broken && answer_is_right(answer, options, conn->forges)) {
		load_count_good(load, conn);
	} else if (load->wrong++ == 0) {
		warnx("first wrong answer: %u %s%s", answer->status, answer->word,
		      broken ? " (broken)" : "");
	}
	conn_settle(load, conn, refused);
	if (options->fresh) {
		conn_close(conn);
	} else if (broken || answer->close || conn->hung_up) {
		load->reopened++;
		conn_close(conn);
		conn_open(load, conn);
		return;
	}
	conn_rest(load, conn);
}

static enum step
conn_receive(struct load *load, struct conn *conn)
{
	for (;;) {
		size_t got = 0;
		errno = 0;
		int result = SSL_read_ex(conn->ssl, load->buffer, sizeof(load->buffer), &got);
		if (result != 1) {
			return conn_wait(load, conn, result);
		}
		if (conn->state == CONN_IDLE) {
			conn_fail(load, conn, "an answer that nobody asked for");
			return STEP_WAIT;
		}
		bool sound = answer_feed(&conn->answer, load->buffer, got);
		if (!sound || answer_complete(&conn->answer)) {
			conn_finish(load, conn, !sound);
			return STEP_WAIT;
		}
	}
}

static void
conn_drive(struct load *load, struct conn *conn)
{
	enum step step = STEP_GO_ON;
	while (step == STEP_GO_ON) {
		switch (conn->state) {
		case CONN_DOWN: return;
		case CONN_HANDSHAKE: step = conn_handshake(load, conn); break;
		case CONN_SENDING: step = conn_send(load, conn); break;
		case CONN_IDLE:
		case CONN_WAITING: step = conn_receive(load, conn); break;
		}
	}
}

static void
conn_begin(struct load *load, struct conn *conn, uint64_t since_ns)
{
	conn->busy = true;
	load->busy_count++;
	conn->since_ns = since_ns;
	conn->begun_ns = now_ns();
	conn->message = messages_take(&load->messages);
	conn->sent = 0;
	conn->in_rest = false;
	conn->readable = false;
	answer_init(&conn->answer);
	if (conn->ssl == NULL) {
		conn_open(load, conn);
		return;
	}
	conn->state = CONN_SENDING;
	conn_drive(load, conn);
}

static int
session_keep(SSL *ssl, SSL_SESSION *session)
{
	struct conn *conn = SSL_get_app_data(ssl);
	SSL_SESSION_free(conn->session);
	conn->session = session;
	return 1; /* the reference is ours now */
}

/* The run */

static uint64_t
load_due_ns(const struct load *load, uint64_t index)
{
	return load->start_ns + seconds_to_ns((double)index / load->options.rate);
}

static bool
load_may_send(const struct load *load, uint64_t now)
{
	if (load->phase == PHASE_CONNECT || load->phase == PHASE_OVER ||
	    load->issued >= load->issue_most) {
		return false;
	}
	if (load->options.rate > 0) {
		return load_due_ns(load, load->issued) <=
		       now; /* what was due is sent in the drain too */
	}
	return load->phase != PHASE_DRAIN;
}

static void
load_drop_due(struct load *load)
{
	while (load->idle_count == 0 && load_may_send(load, now_ns())) {
		load->issued++;
		load->dropped += load->phase == PHASE_MEASURE;
	}
}

static void
load_send_due(struct load *load)
{
	while (load->idle_count > 0) {
		uint64_t now = now_ns();
		if (!load_may_send(load, now)) {
			return;
		}
		struct conn *conn = STAILQ_FIRST(&load->idle);
		STAILQ_REMOVE_HEAD(&load->idle, idle);
		load->idle_count--;
		uint64_t due = load->options.rate > 0 ? load_due_ns(load, load->issued) : now;
		load->issued++;
		conn_begin(load, conn, due);
	}
	if (load->options.overload && load->options.rate > 0) {
		load_drop_due(load);
	}
}

static void
load_advance(struct load *load, uint64_t now)
{
	const struct options *options = &load->options;
	bool all_issued = load->issued >= load->issue_most;
	if (load->phase == PHASE_CONNECT && load->idle_count == options->connections) {
		load->start_ns = now;
		load->phase = PHASE_WARM_UP;
	}
	if (load->phase == PHASE_WARM_UP &&
	    now >= load->start_ns + seconds_to_ns(options->warmup_seconds)) {
		load->measure_ns = now;
		load->cpu_before = cpu_now(options);
		load->phase = PHASE_MEASURE;
	}
	if (load->phase == PHASE_MEASURE) {
		bool time_over = options->requests == 0 &&
		                 now >= load->measure_ns + seconds_to_ns(options->seconds);
		if (time_over || (options->requests != 0 && all_issued && load->busy_count == 0)) {
			load->end_ns = now;
			load->cpu_after = cpu_now(options);
			load->drain_until_ns = now + seconds_to_ns(options->timeout_seconds);
			load->phase = PHASE_DRAIN;
		}
	}
	if (load->phase == PHASE_DRAIN) {
		bool empty = load->busy_count == 0 && (options->rate <= 0 || all_issued);
		if (empty || now >= load->drain_until_ns) {
			load->phase = PHASE_OVER;
		}
	}
}

/* Reopens what is down, gives up what hangs. */
static void
load_tick(struct load *load, uint64_t now)
{
	uint64_t timeout_ns = seconds_to_ns(load->options.timeout_seconds);
	for (unsigned i = 0; i < load->opened; i++) {
		struct conn *conn = &load->conns[i];
		if (conn->state == CONN_DOWN) {
			if (load->options.fresh) {
				conn_rest(load, conn);
			} else {
				conn_open(load, conn);
			}
		} else if ((conn->busy || conn->state == CONN_HANDSHAKE) &&
		           load->phase != PHASE_DRAIN && now > conn->begun_ns + timeout_ns) {
			conn_fail(load, conn,
			          conn->busy ? "no answer in time" : "no handshake in time");
		}
	}
	if (load->phase == PHASE_CONNECT && now > load->begun_ns + 3 * timeout_ns) {
		errx(1, "%u of %u connections came up in time", load->idle_count,
		     load->options.connections);
	}
	load->tick_ns = now + TICK_NS;
}

/* When there is something to do although nothing comes. */
static uint64_t
load_wake_ns(const struct load *load)
{
	const struct options *options = &load->options;
	uint64_t wake = load->tick_ns;
	uint64_t next = wake;
	if (load->phase == PHASE_WARM_UP) {
		next = load->start_ns + seconds_to_ns(options->warmup_seconds);
	} else if (load->phase == PHASE_MEASURE && options->requests == 0) {
		next = load->measure_ns + seconds_to_ns(options->seconds);
	}
	wake = next < wake ? next : wake;
	if (options->rate > 0 && load->idle_count > 0 && load->phase != PHASE_CONNECT &&
	    load->issued < load->issue_most) {
		next = load_due_ns(load, load->issued);
		wake = next < wake ? next : wake;
	}
	return wake;
}

static void
load_wait(struct load *load, uint64_t now)
{
	struct epoll_event events[EVENTS_A_WAIT];
	uint64_t until = load_wake_ns(load);
	uint64_t wait_ns = until > now ? until - now : 0;
	struct timespec timeout = { .tv_sec = (time_t)(wait_ns / NS_A_SECOND),
		                    .tv_nsec = (long)(wait_ns % NS_A_SECOND) };
	int count = epoll_pwait2(load->epoll, events, EVENTS_A_WAIT, &timeout, NULL);
	if (count < 0 && errno != EINTR) {
		err(1, "epoll_pwait2");
	}
	for (int i = 0; i < count; i++) {
		struct conn *conn = events[i].data.ptr;
		conn->readable = conn->state == CONN_SENDING && (events[i].events & EPOLLIN) != 0;
		conn->hung_up = conn->hung_up || (events[i].events & (EPOLLRDHUP | EPOLLHUP)) != 0;
		conn_drive(load, conn);
		load_send_due(load);
	}
}

/* A few at a time: thousands of handshakes at once would take longer than a server waits for one. */
static void
load_open(struct load *load)
{
	const struct options *options = &load->options;
	while (load->opened < options->connections &&
	       (options->fresh || load->opened < load->idle_count + HANDSHAKES_MOST)) {
		struct conn *conn = &load->conns[load->opened++];
		if (options->fresh) {
			conn_rest(load, conn);
		} else {
			conn_open(load, conn);
		}
	}
}

static void
load_run(struct load *load)
{
	load->begun_ns = now_ns();
	load->tick_ns = load->begun_ns + TICK_NS;
	while (load->phase != PHASE_OVER) {
		uint64_t now = now_ns();
		load_open(load);
		load_advance(load, now);
		if (now >= load->tick_ns) {
			load_tick(load, now);
		}
		load_send_due(load);
		if (load->phase != PHASE_OVER) {
			load_wait(load, now);
		}
	}
}

/* What still waits at the end is lost. */
static void
load_settle(struct load *load)
{
	uint64_t now = now_ns();
	if (load->measure_ns != 0 && load->end_ns == 0) { /* given up */
		load->end_ns = now;
		load->cpu_after = cpu_now(&load->options);
	}
	for (unsigned i = 0; i < load->options.connections; i++) {
		if (load->conns[i].busy) {
			load->errors++;
			conn_settle(load, &load->conns[i], false);
		}
	}
	if (load->options.rate > 0 && load->start_ns != 0) {
		for (uint64_t i = load->issued; i < load->issue_most; i++) {
			uint64_t due = load_due_ns(load, i);
			load->unsent++;
			latency_add(&load->latency, now > due ? now - due : 0);
		}
	}
}

static void
load_report(const struct load *load)
{
	double seconds = (double)(load->end_ns - load->measure_ns) / (double)NS_A_SECOND;
	double own = load->cpu_after.own_seconds - load->cpu_before.own_seconds;
	double watched = load->cpu_after.watched_seconds - load->cpu_before.watched_seconds;
	double span = seconds > 0 ? seconds : 1;
	printf("{\"requests\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.1f,", load->measured, seconds,
	       (double)load->measured / span);
	printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p99_9_ms\":%.3f,\"max_ms\":%.3f,",
	       latency_ms(&load->latency, 0.5), latency_ms(&load->latency, 0.99),
	       latency_ms(&load->latency, 0.999), (double)load->latency.max_ns / 1e6);
	printf("\"errors\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"unsent\":%" PRIu64 ",", load->errors,
	       load->wrong, load->unsent);
	printf("\"answered\":%" PRIu64 ",\"reopened\":%" PRIu64 ",\"resumed\":%" PRIu64 ",",
	       load->answered, load->reopened, load->resumed);
	if (load->options.forge > 0) {
		printf("\"forged\":%" PRIu64 ",\"forged_rate\":%.1f,\"forged_p99_ms\":%.3f,",
		       load->forged, (double)load->forged / span,
		       latency_ms(&load->forged_latency, 0.99));
	}
	if (load->options.overload) {
		printf("\"refused\":%" PRIu64 ",\"refused_rate\":%.1f,", load->refused,
		       (double)load->refused / span);
		printf("\"dropped\":%" PRIu64 ",", load->dropped);
		printf("\"refused_p50_ms\":%.3f,\"refused_p99_ms\":%.3f,",
		       latency_ms(&load->refusals, 0.5), latency_ms(&load->refusals, 0.99));
	}
	printf("\"own_cpu_seconds\":%.3f,\"own_cpu_share\":%.3f,", own, own / span);
	if (load->options.watched_count > 0 && !isnan(watched)) {
		double machine = load->cpu_after.machine_seconds - load->cpu_before.machine_seconds;
		printf("\"server_cpu_seconds\":%.3f,\"other_cpu_share\":%.3f,", watched,
		       fmax(0, machine - own - watched) / span);
	}
	printf("\"tls\":\"%s\"}\n", load->tls_text);
}

/* As many descriptors as the system lets us have. */
static void
raise_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void
load_init(struct load *load)
{
	const struct options *options = &load->options;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int problem = getaddrinfo(options->host, options->port, &hints, &found);
	if (problem != 0) {
		errx(2, "%s: %s", options->authority, gai_strerror(problem));
	}
	memcpy(&load->address, found->ai_addr, found->ai_addrlen);
	load->address_len = found->ai_addrlen;
	freeaddrinfo(found);

	load->tls = SSL_CTX_new(TLS_client_method());
	/* One suite, so that no server chooses a cheaper one than another. */
	if (load->tls == NULL || SSL_CTX_set_min_proto_version(load->tls, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(load->tls, "TLS_AES_256_GCM_SHA384") != 1) {
		errx(1, "no TLS 1.3");
	}
	SSL_CTX_set_verify(load->tls, SSL_VERIFY_NONE, NULL); /* a certificate of the bench's own */
	SSL_CTX_set_mode(load->tls,
	                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(load->tls, 1);
	if (options->resume) {
		SSL_CTX_set_session_cache_mode(load->tls,
		                               SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(load->tls, session_keep);
	}
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	load->conns = calloc(options->connections, sizeof(*load->conns));
	if (load->epoll < 0 || load->conns == NULL) {
		err(1, "no room for %u connections", options->connections);
	}
	for (unsigned i = 0; i < options->connections; i++) {
		load->conns[i].forges = i < options->forge * options->connections;
	}
	if (options->answered_file != NULL &&
	    (load->answered_ids = fopen(options->answered_file, "we")) == NULL) {
		err(2, "%s", options->answered_file);
	}
	STAILQ_INIT(&load->idle);
	load->issue_most = options->requests != 0 ? options->requests : UINT64_MAX;
	if (options->rate > 0 && options->requests == 0) {
		load->issue_most =
			(uint64_t)(options->rate * (options->seconds + options->warmup_seconds));
	}
}

int
main(int argc, char **argv)
{
	static struct load load = {
		.options = {
			.connections = 64,
			.body_bytes = 8192,
			.pool = 256,
			.seconds = 5,
			.warmup_seconds = 1,
			.timeout_seconds = 10,
			.status = 200,
			.forged_status = 401,
		},
	};
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* wake at the intended moment */
	raise_limit();
	options_read(&load.options, argc, argv);
	messages_create(&load.messages, &load.options);
	load_init(&load);
	load_run(&load);
	load_settle(&load);
	load_report(&load);
	if (load.answered_ids != NULL && fclose(load.answered_ids) != 0) {
		err(1, "%s", load.options.answered_file);
	}
	if (load.options.hold) {
		fflush(stdout);
		while (getchar() != EOF) {
		}
	}
	return load.errors == 0 && load.wrong == 0 && load.unsent == 0 ? 0 : 1;
}
