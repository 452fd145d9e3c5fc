#include "receiver/net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool
parse_ip(struct span text, sa_family_t *family, unsigned char address[16])
{
	char copy[INET6_ADDRSTRLEN];
	if (text.size == 0 || text.size >= sizeof(copy)) {
		return false;
	}
	memcpy(copy, text.data, text.size);
	copy[text.size] = '\0';
	memset(address, 0, 16);
	if (inet_pton(AF_INET, copy, address) == 1) {
		*family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, copy, address) == 1) {
		*family = AF_INET6;
		return true;
	}
	return false;
}

bool
network_parse(struct span text, struct network *ret)
{
	size_t slash = 0;
	while (slash < text.size && text.data[slash] != '/') {
		slash++;
	}
	struct network network;
	if (!parse_ip((struct span){ text.data, slash }, &network.family, network.address)) {
		return false;
	}
	unsigned most = network.family == AF_INET ? 32 : 128;
	int64_t bits = most;
	if (slash < text.size &&
	    (!span_number(span_after(text, slash + 1), &bits) || bits > most)) {
		return false;
	}
	network.bits = (unsigned)bits;
	*ret = network;
	return true;
}

bool
network_holds(const struct network *network, const struct http_peer *peer)
{
	if (network->family != peer->family) {
		return false;
	}
	unsigned whole = network->bits / 8;
	unsigned rest = network->bits % 8;
	if (memcmp(network->address, peer->address, whole) != 0) {
		return false;
	}
	unsigned mask = 0xffU << (8 - rest) & 0xffU;
	return rest == 0 || (network->address[whole] & mask) == (peer->address[whole] & mask);
}

static bool
parse_unix(struct span path, struct address *ret, struct error *err)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	if (path.size == 0 || path.size >= sizeof(name.sun_path)) {
		return error_set(err, ERROR_INVALID, "the path of a unix socket has 1 to %zu bytes",
		                 sizeof(name.sun_path) - 1);
	}
	memcpy(name.sun_path, path.data, path.size);
	memset(ret, 0, sizeof(*ret));
	memcpy(&ret->socket, &name, sizeof(name));
	ret->size = sizeof(name);
	return true;
}

bool
address_parse(struct span text, struct address *ret, struct error *err)
{
	if (span_starts(text, SPAN("unix:"))) {
		return parse_unix(span_after(text, 5), ret, err);
	}
	size_t colon = text.size;
	while (colon > 0 && text.data[colon - 1] != ':') {
		colon--;
	}
	int64_t port;
	if (colon == 0 || !span_number(span_after(text, colon), &port) || port > 65535) {
		return error_set(err, ERROR_INVALID,
		                 "expected ADDRESS:PORT, [IPv6]:PORT or unix:/path");
	}
	struct span host = { text.data, colon - 1 };
	if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
		host = (struct span){ host.data + 1, host.size - 2 };
	}
	sa_family_t family;
	unsigned char address[16];
	if (span_equal(host, SPAN("localhost"))) {
		host = SPAN("127.0.0.1");
	}
	if (!parse_ip(host, &family, address)) {
		return error_set(err, ERROR_INVALID, "expected a numeric address before the port");
	}
	memset(ret, 0, sizeof(*ret));
	if (family == AF_INET) {
		struct sockaddr_in name = { .sin_family = AF_INET,
			                    .sin_port = htons((uint16_t)port) };
		memcpy(&name.sin_addr, address, 4);
		memcpy(&ret->socket, &name, sizeof(name));
		ret->size = sizeof(name);
	} else {
		struct sockaddr_in6 name = { .sin6_family = AF_INET6,
			                     .sin6_port = htons((uint16_t)port) };
		memcpy(&name.sin6_addr, address, 16);
		memcpy(&ret->socket, &name, sizeof(name));
		ret->size = sizeof(name);
	}
	return true;
}

bool
address_loopback(const struct address *address)
{
	struct http_peer peer;
	peer_of(&address->socket, &peer);
	static const unsigned char six[16] = { [15] = 1 };
	return peer.family == AF_UNIX || (peer.family == AF_INET && peer.address[0] == 127) ||
	       (peer.family == AF_INET6 && memcmp(peer.address, six, 16) == 0);
}

void
address_text(const struct address *address, struct buffer *out)
{
	char text[INET6_ADDRSTRLEN] = "";
	if (address->socket.ss_family == AF_UNIX) {
		struct sockaddr_un name;
		memcpy(&name, &address->socket, sizeof(name));
		buffer_format(out, "unix:%s", name.sun_path);
	} else if (address->socket.ss_family == AF_INET) {
		struct sockaddr_in name;
		memcpy(&name, &address->socket, sizeof(name));
		(void)inet_ntop(AF_INET, &name.sin_addr, text, sizeof(text));
		buffer_format(out, "%s:%u", text, (unsigned)ntohs(name.sin_port));
	} else {
		struct sockaddr_in6 name;
		memcpy(&name, &address->socket, sizeof(name));
		(void)inet_ntop(AF_INET6, &name.sin6_addr, text, sizeof(text));
		buffer_format(out, "[%s]:%u", text, (unsigned)ntohs(name.sin6_port));
	}
}

static void
peer_text(struct http_peer *peer)
{
	if (peer->family == AF_UNIX) {
		(void)snprintf(peer->text, sizeof(peer->text), "unix");
	} else {
		(void)inet_ntop(peer->family, peer->address, peer->text, sizeof(peer->text));
	}
}

static void
unmap(struct http_peer *peer)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (peer->family == AF_INET6 && memcmp(peer->address, mapped, sizeof(mapped)) == 0) {
		memmove(peer->address, peer->address + 12, 4);
		memset(peer->address + 4, 0, 12);
		peer->family = AF_INET;
	}
}

void
peer_of(const struct sockaddr_storage *socket, struct http_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	peer->family = AF_UNIX;
	if (socket->ss_family == AF_INET) {
		struct sockaddr_in name;
		memcpy(&name, socket, sizeof(name));
		memcpy(peer->address, &name.sin_addr, 4);
		peer->family = AF_INET;
	} else if (socket->ss_family == AF_INET6) {
		struct sockaddr_in6 name;
		memcpy(&name, socket, sizeof(name));
		memcpy(peer->address, &name.sin6_addr, 16);
		peer->family = AF_INET6;
		unmap(peer);
	}
	peer_text(peer);
}

static bool
trusted(const struct http_proxies *proxies, const struct http_peer *peer)
{
	for (size_t i = 0; i < proxies->count; i++) {
		if (network_holds(&proxies->networks[i], peer)) {
			return true;
		}
	}
	return false;
}

/* What may stand behind an address: nothing, or ":" and a port. */
static bool
is_port(struct span rest)
{
	int64_t port;
	return rest.size == 0 ||
	       (rest.data[0] == ':' && span_number(span_after(rest, 1), &port) && port <= 65535);
}

/* "192.0.2.1", "192.0.2.1:4711", "[2001:db8::1]:4711" */
static bool
parse_forwarded(struct span text, struct http_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	bool good = parse_ip(text, &peer->family, peer->address);
	bool bracket = text.size > 2 && text.data[0] == '[';
	if (!good) {
		size_t end = bracket ? 1 : 0;
		while (end < text.size && text.data[end] != (bracket ? ']' : ':')) {
			end++;
		}
		size_t rest = bracket && end < text.size ? end + 1 : end;
		good = (!bracket || end < text.size) && is_port(span_after(text, rest)) &&
		       parse_ip((struct span){ text.data + (bracket ? 1 : 0),
		                               end - (bracket ? 1 : 0) },
		                &peer->family, peer->address);
	}
	unmap(peer);
	peer_text(peer);
	return good;
}

/* Goes through one field's value from its end; true when *client is decided. */
static bool
from_right(const struct http_proxies *proxies, struct span value, struct http_peer *client,
           bool *good)
{
	while (value.size > 0) {
		size_t start = value.size;
		while (start > 0 && value.data[start - 1] != ',') {
			start--;
		}
		struct span element = span_trim(span_after(value, start));
		value.size = start == 0 ? 0 : start - 1;
		if (element.size == 0) {
			continue;
		}
		struct http_peer peer;
		if (!parse_forwarded(element, &peer)) {
			*good = false;
			return true;
		}
		*client = peer;
		if (!trusted(proxies, &peer)) {
			return true;
		}
	}
	return false;
}

bool
peer_behind_proxies(const struct http_exchange *exchange, struct http_peer *client)
{
	*client = exchange->peer;
	const struct http_proxies *proxies = exchange->proxies;
	if (proxies == NULL || proxies->count == 0 ||
	    (exchange->peer.family != AF_UNIX && !trusted(proxies, &exchange->peer))) {
		return true;
	}
	bool good = true;
	for (size_t i = exchange->fields.count; i > 0; i--) {
		const struct field *field = &exchange->fields.items[i - 1];
		if (span_equal_nocase(field->name, SPAN("X-Forwarded-For")) &&
		    from_right(proxies, field->value, client, &good)) {
			break;
		}
	}
	return good;
}
