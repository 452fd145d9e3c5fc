#include "receiver/net/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/check.h"

static int ends[2];

static void
open_pair(struct wire *wire)
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	wire_init(wire, ends[0]);
}

static void
close_pair(void)
{
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static bool
nothing_there(struct wire *wire)
{
	char data[16];
	errno = 0;
	return wire_receive(wire, data, sizeof(data)) == -1 && errno == EAGAIN;
}

static void
a_drained_wire_waits_for_an_edge(void)
{
	struct wire wire;
	char data[16];
	open_pair(&wire);
	CHECK(nothing_there(&wire));
	CHECK(send(ends[1], "hello", 5, 0) == 5);
	CHECK(nothing_there(&wire)); /* the kernel has not said so yet */
	wire_stirred(&wire, false);
	CHECK(wire_receive(&wire, data, 4) == 4 && memcmp(data, "hell", 4) == 0);
	CHECK(wire_receive(&wire, data, 4) == 1 &&
	      data[0] == 'o'); /* all of 4 came: there may be more */
	CHECK(send(ends[1], "!", 1, 0) == 1);
	CHECK(nothing_there(&wire)); /* less came than there was room for */
	wire_stirred(&wire, false);
	CHECK(wire_receive(&wire, data, 4) == 1 && data[0] == '!');
	close_pair();
}

/* The last bytes and the end come with one edge: the end must be seen all the same. */
static void
an_end_behind_the_last_bytes_is_seen(void)
{
	struct wire wire;
	char data[16];
	open_pair(&wire);
	CHECK(send(ends[1], "bye", 3, 0) == 3);
	CHECK(shutdown(ends[1], SHUT_WR) == 0);
	wire_stirred(&wire, true);
	CHECK(wire_receive(&wire, data, sizeof(data)) == 3);
	CHECK(wire_receive(&wire, data, sizeof(data)) == 0);
	CHECK(wire_send(&wire, "answer", 6) == 6 && recv(ends[1], data, sizeof(data), 0) == 6);
	close_pair();
}

static void
a_peer_that_is_gone_is_an_error(void)
{
	struct wire wire;
	open_pair(&wire);
	(void)close(ends[1]);
	CHECK(wire_send(&wire, "x", 1) == -1 && errno == EPIPE); /* and no SIGPIPE */
	(void)close(ends[0]);
}

static void
openssl_is_told_to_wait_or_that_it_is_over(void)
{
	struct wire wire;
	SSL_CTX *context = SSL_CTX_new(TLS_method());
	SSL *ssl = SSL_new(context);
	char data[16];
	open_pair(&wire);
	CHECK(wire_prepare() && wire_prepare());
	CHECK(wire_carry(&wire, ssl));
	BIO *bio = SSL_get_rbio(ssl);
	CHECK(bio == SSL_get_wbio(ssl));
	CHECK(BIO_read(bio, data, sizeof(data)) == -1 && BIO_should_read(bio));
	CHECK(BIO_write(bio, "out", 3) == 3 && recv(ends[1], data, sizeof(data), 0) == 3);
	CHECK(BIO_flush(bio) == 1 && !BIO_eof(bio));
	CHECK(send(ends[1], "in", 2, 0) == 2 && shutdown(ends[1], SHUT_WR) == 0);
	wire_stirred(&wire, true);
	CHECK(BIO_read(bio, data, sizeof(data)) == 2);
	CHECK(BIO_read(bio, data, sizeof(data)) == 0 && !BIO_should_retry(bio) && BIO_eof(bio));
	SSL_free(ssl);
	SSL_CTX_free(context);
	CHECK(send(ends[0], "", 0, MSG_NOSIGNAL) == 0); /* the descriptor is its connection's */
	close_pair();
}

static void
a_full_socket_is_waited_for(void)
{
	struct wire wire;
	static char much[1 << 20];
	open_pair(&wire);
	ssize_t sent = wire_send(&wire, much, sizeof(much));
	CHECK(sent > 0 && sent < (ssize_t)sizeof(much));
	while (wire_send(&wire, much, sizeof(much)) > 0) {
	}
	CHECK(errno == EAGAIN);
	close_pair();
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a drained wire waits for an edge", a_drained_wire_waits_for_an_edge },
		{ "an end behind the last bytes is seen", an_end_behind_the_last_bytes_is_seen },
		{ "a peer that is gone is an error", a_peer_that_is_gone_is_an_error },
		{ "OpenSSL is told to wait, or that it is over",
		  openssl_is_told_to_wait_or_that_it_is_over },
		{ "a full socket is waited for", a_full_socket_is_waited_for },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
