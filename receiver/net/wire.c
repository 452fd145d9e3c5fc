#include "receiver/net/wire.h"

#include <errno.h>
#include <sys/socket.h>

void
wire_init(struct wire *wire, int fd)
{
	*wire = (struct wire){ .fd = fd };
}

void
wire_stirred(struct wire *wire, bool hung_up)
{
	wire->drained = false;
	wire->hung_up = wire->hung_up || hung_up;
}

ssize_t
wire_receive(struct wire *wire, void *data, size_t room)
{
	if (wire->drained) {
		errno = EAGAIN;
		return -1;
	}
	ssize_t size;
	do {
		size = recv(wire->fd, data, room, 0);
	} while (size < 0 && errno == EINTR);
	/* What the peer said last and its closing come with one edge: then only the end itself is the end. */
	wire->drained =
		size < 0 ? errno == EAGAIN : size > 0 && (size_t)size < room && !wire->hung_up;
	return size;
}

ssize_t
wire_send(struct wire *wire, const void *data, size_t size)
{
	ssize_t done;
	do {
		done = send(wire->fd, data, size, MSG_NOSIGNAL);
	} while (done < 0 && errno == EINTR);
	return done;
}

/* --- as a BIO --- */

static int
carried_read(BIO *bio, char *data, int room)
{
	struct wire *wire = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t size = wire_receive(wire, data, (size_t)room);
	if (size < 0 && errno == EAGAIN) {
		BIO_set_retry_read(bio);
	}
	if (size == 0) {
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	}
	return (int)size;
}

static int
carried_write(BIO *bio, const char *data, int size)
{
	struct wire *wire = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t done = wire_send(wire, data, (size_t)size);
	if (done < 0 && errno == EAGAIN) {
		BIO_set_retry_write(bio);
	}
	return (int)done;
}

static long
carried_control(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_EOF: return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
	case BIO_CTRL_FLUSH: return 1;
	default: return 0;
	}
}

static BIO_METHOD *method; /* until the process ends */

bool
wire_prepare(void)
{
	BIO_METHOD *fresh =
		method != NULL ? NULL
			       : BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
	if (fresh != NULL && BIO_meth_set_read(fresh, carried_read) == 1 &&
	    BIO_meth_set_write(fresh, carried_write) == 1 &&
	    BIO_meth_set_ctrl(fresh, carried_control) == 1) {
		method = fresh;
	}
	return method != NULL;
}

bool
wire_carry(struct wire *wire, SSL *ssl)
{
	BIO *bio = BIO_new(method);
	if (bio == NULL) {
		return false;
	}
	BIO_set_data(bio, wire);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	return true;
}
