/* Addresses: "127.0.0.1:8443", "[::1]:0", "unix:/path", networks in CIDR form, and who the client is behind proxies. */
#ifndef HOOKLATCH_NET_ADDRESS_H
#define HOOKLATCH_NET_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "receiver/base/error.h"
#include "receiver/net/http.h"

struct network {
	sa_family_t family;
	unsigned char address[16];
	unsigned bits;
};

struct http_proxies {
	const struct network *networks;
	size_t count;
};

/* "10.0.0.0/8", "2001:db8::/32"; an address alone is a network of one. */
bool network_parse(struct span text, struct network *ret) MUST_CHECK;
/* An IPv4 address that came in as IPv6 (::ffff:a.b.c.d) counts as IPv4. */
bool network_holds(const struct network *network, const struct http_peer *peer);

struct address {
	struct sockaddr_storage socket;
	socklen_t size;
};

/* "host:port" with a numeric host, or "unix:/path". */
bool address_parse(struct span text, struct address *ret, struct error *err) MUST_CHECK;
bool address_loopback(const struct address *address); /* a unix socket is one too */
void address_text(const struct address *address, struct buffer *out);
void peer_of(const struct sockaddr_storage *socket, struct http_peer *peer);

/* The right-most address of X-Forwarded-For that is no trusted proxy; the peer's when there is none. False: the field
 * holds something that is no address where one must be read. */
bool peer_behind_proxies(const struct http_exchange *exchange, struct http_peer *client) MUST_CHECK;

#endif
