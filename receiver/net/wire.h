/* The socket under a connection, watched edge by edge (epoll(7)): one that has given all it had is not asked again before the
 * kernel says that more is there. Under TLS it is OpenSSL's BIO (BIO_meth_new(3ossl)). The wire belongs to its connection, which
 * closes the descriptor. Threads: the connection's loop. */
#ifndef HOOKLATCH_NET_WIRE_H
#define HOOKLATCH_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <openssl/ssl.h>

struct wire {
	int fd;
	bool drained; /* a read found less than it had room for; wire_stirred() ends that */
	bool hung_up; /* the peer has closed its side: only a read that returns 0 is the end of what came */
};

void wire_init(struct wire *wire, int fd);
void wire_stirred(struct wire *wire,
                  bool hung_up); /* the kernel says that there is something to read */
/* As recv(2) and send(2), never interrupted; EAGAIN also when it is known that nothing is there. */
ssize_t wire_receive(struct wire *wire, void *data, size_t room);
ssize_t wire_send(struct wire *wire, const void *data, size_t size);
/* Once, on the main thread, before any wire_carry(). False: no memory. */
bool wire_prepare(void);
/* Puts the wire under `ssl`, which it must outlive. False: no memory. */
bool wire_carry(struct wire *wire, SSL *ssl);

#endif
