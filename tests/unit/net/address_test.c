#include "receiver/net/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static struct http_peer
peer(const char *text)
{
	struct http_peer made = { .family = AF_UNIX };
	if (strcmp(text, "unix") == 0) {
		return made;
	}
	struct sockaddr_storage socket = { 0 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
		memcpy(&socket, &four, sizeof(four));
	} else {
		ALWAYS(inet_pton(AF_INET6, text, &six.sin6_addr) == 1, "test-address");
		memcpy(&socket, &six, sizeof(six));
	}
	peer_of(&socket, &made);
	return made;
}

/* --- networks --- */

static void
networks_are_read(void)
{
	static const struct {
		struct span text;
		sa_family_t family; /* 0: refused */
		unsigned bits;
	} rows[] = {
		{ TEXT("10.0.0.0/8"), AF_INET, 8 },
		{ TEXT("0.0.0.0/0"), AF_INET, 0 },
		{ TEXT("192.0.2.1"), AF_INET, 32 },
		{ TEXT("192.0.2.1/32"), AF_INET, 32 },
		{ TEXT("2001:db8::/32"), AF_INET6, 32 },
		{ TEXT("::/0"), AF_INET6, 0 },
		{ TEXT("::1"), AF_INET6, 128 },
		{ TEXT("::1/128"), AF_INET6, 128 },
		{ TEXT(""), 0, 0 },
		{ TEXT("/8"), 0, 0 },
		{ TEXT("10.0.0.0/"), 0, 0 },
		{ TEXT("10.0.0.0/33"), 0, 0 },
		{ TEXT("::/129"), 0, 0 },
		{ TEXT("10.0.0.0/-1"), 0, 0 },
		{ TEXT("10.0.0.0/8/8"), 0, 0 },
		{ TEXT("10.0.0.0/255.0.0.0"), 0, 0 },
		{ TEXT("10.0.0.0 /8"), 0, 0 },
		{ TEXT("10.0.0/8"), 0, 0 },
		{ TEXT("10"), 0, 0 },
		{ TEXT("010.0.0.0/8"), 0, 0 },
		{ TEXT("10.0.0.256"), 0, 0 },
		{ TEXT("[::1]"), 0, 0 },
		{ TEXT("fe80::1%eth0"), 0, 0 },
		{ TEXT("localhost"), 0, 0 },
		{ TEXT("1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111:2222"), 0, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct network network = { .family = AF_UNSPEC };
		bool good = network_parse(edge_copy(0, rows[i].text), &network);
		CHECK_ROW(good == (rows[i].family != 0) && network.family == rows[i].family &&
		                  network.bits == rows[i].bits,
		          "%s: %s", check_quote(rows[i].text), good ? "read" : "refused");
	}
}

static void
a_network_holds_its_addresses(void)
{
	static const struct {
		const char *network;
		const char *peer;
		bool holds;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.1.2.3/8", "10.0.0.0", true }, /* bits behind the prefix say nothing */
		{ "192.30.252.0/22", "192.30.255.255", true },
		{ "192.30.252.0/22", "192.31.0.0", false },
		{ "192.30.252.0/22", "192.30.251.255", false },
		{ "192.0.2.1/32", "192.0.2.1", true },
		{ "192.0.2.1/32", "192.0.2.0", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "192.0.2.1", false },
		{ "::/0", "2001:db8::1", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::", false },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "::1", "::1", true },
		{ "::1", "::2", false },
		{ "192.0.2.0/24", "::ffff:192.0.2.7", true }, /* came in as IPv6 */
		{ "127.0.0.0/8", "unix", false },
		{ "0.0.0.0/0", "unix", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct network network;
		struct http_peer made = peer(rows[i].peer);
		CHECK_ROW(network_parse(span_of(rows[i].network), &network) &&
		                  network_holds(&network, &made) == rows[i].holds,
		          "%s in %s", rows[i].peer, rows[i].network);
	}
}

static bool
same_first_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	for (unsigned bit = 0; bit < bits; bit++) {
		if (((a[bit / 8] ^ b[bit / 8]) & 0x80 >> bit % 8) != 0) {
			return false;
		}
	}
	return true;
}

static void
a_network_is_compared_bit_by_bit(void)
{
	struct random random;
	check_random(&random);
	unsigned held = 0;
	for (int round = 0; round < 100000; round++) {
		bool six = random_up_to(&random, 1) == 0;
		unsigned most = six ? 128 : 32;
		struct network network = { .family = six ? AF_INET6 : AF_INET };
		struct http_peer made = { .family = network.family };
		for (unsigned i = 0; i < most / 8; i++) {
			network.address[i] = (unsigned char)random_up_to(&random, 255);
			made.address[i] = network.address[i];
		}
		unsigned bit = (unsigned)random_up_to(&random, most - 1);
		made.address[bit / 8] = (unsigned char)(made.address[bit / 8] ^ 0x80U >> bit % 8);
		network.bits = (unsigned)random_up_to(&random, most);
		bool wanted = same_first_bits(network.address, made.address, network.bits);
		held += wanted ? 1 : 0;
		if (!CHECK_ROW(network_holds(&network, &made) == wanted, "/%u, bit %u",
		               network.bits, bit)) {
			return;
		}
	}
	CHECK(held > 1000);
}

/* --- addresses --- */

static void
addresses_are_read_and_written(void)
{
	static const struct {
		const char *text;
		const char *written; /* NULL: refused */
		bool loopback;
	} rows[] = {
		{ "127.0.0.1:8443", "127.0.0.1:8443", true },
		{ "127.9.9.9:0", "127.9.9.9:0", true },
		{ "0.0.0.0:65535", "0.0.0.0:65535", false },
		{ "localhost:80", "127.0.0.1:80", true },
		{ "[::1]:0", "[::1]:0", true },
		{ "[::]:443", "[::]:443", false },
		{ "[2001:DB8::1]:443", "[2001:db8::1]:443", false },
		{ "[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", true },
		{ "[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1", false },
		{ "unix:/run/hooklatch.sock", "unix:/run/hooklatch.sock", true },
		{ "unix:relative", "unix:relative", true },
		{ "", NULL, false },
		{ "127.0.0.1", NULL, false },
		{ "127.0.0.1:", NULL, false },
		{ ":80", NULL, false },
		{ "127.0.0.1:65536", NULL, false },
		{ "127.0.0.1:-1", NULL, false },
		{ "127.0.0.1:http", NULL, false },
		{ "127.0.0.1:80 ", NULL, false },
		{ "example.com:443", NULL, false },
		{ "*:443", NULL, false },
		{ "[::1]", NULL, false },
		{ "[]:80", NULL, false },
		{ "[::1:80", NULL, false },
		{ "unix:", NULL, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address;
		struct error err = { .kind = ERROR_NONE };
		bool good = address_parse(edge_copy(0, span_of(rows[i].text)), &address, &err);
		if (!CHECK_ROW(good == (rows[i].written != NULL), "%s: %s", rows[i].text,
		               good ? "read" : err.text)) {
			continue;
		}
		if (!good) {
			CHECK_ROW(err.kind == ERROR_INVALID, "%s", rows[i].text);
			continue;
		}
		struct buffer text;
		buffer_init(&text, 256);
		address_text(&address, &text);
		CHECK_ROW(span_equal(buffer_view(&text), span_of(rows[i].written)), "%s: %s",
		          rows[i].text, check_quote(buffer_view(&text)));
		CHECK_ROW(address_loopback(&address) == rows[i].loopback, "%s", rows[i].text);
		buffer_finish(&text);
	}
}

static void
the_path_of_a_unix_socket_fits_its_struct(void)
{
	char text[256] = "unix:/";
	struct address address;
	struct error err;
	memset(text + 6, 'x', 107 - 1);
	CHECK(address_parse((struct span){ text, 5 + 107 }, &address, &err));
	text[5 + 107] = 'x';
	CHECK(!address_parse((struct span){ text, 5 + 108 }, &address, &err));
}

static void
a_peer_is_written_as_what_it_is(void)
{
	static const struct {
		const char *peer;
		sa_family_t family;
		const char *text;
	} rows[] = {
		{ "192.0.2.1", AF_INET, "192.0.2.1" },
		{ "::ffff:192.0.2.1", AF_INET, "192.0.2.1" },
		{ "2001:db8:0:0::1", AF_INET6, "2001:db8::1" },
		{ "::192.0.2.1", AF_INET6, "::192.0.2.1" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_peer made = peer(rows[i].peer);
		CHECK_ROW(made.family == rows[i].family && strcmp(made.text, rows[i].text) == 0,
		          "%s: %s", rows[i].peer, made.text);
	}
	struct sockaddr_storage socket = { .ss_family = AF_UNIX };
	struct http_peer made;
	peer_of(&socket, &made);
	CHECK(made.family == AF_UNIX && strcmp(made.text, "unix") == 0);
}

/* --- behind proxies --- */

struct forwarded {
	const char *peer;
	const char *fields[3]; /* X-Forwarded-For, in order */
	const char *client;    /* NULL: refused */
};

/* The listener trusts 10.0.0.0/8 and 2001:db8:1::/48. */
static void
clients_are(const struct forwarded *rows, size_t count, bool trusts)
{
	struct network networks[2];
	CHECK(network_parse(SPAN("10.0.0.0/8"), &networks[0]) &&
	      network_parse(SPAN("2001:db8:1::/48"), &networks[1]));
	struct http_proxies proxies = { networks, COUNT(networks) };
	for (size_t i = 0; i < count; i++) {
		struct field fields[5] = { { TEXT("Host"), TEXT("h") },
			                   { TEXT("Forwarded"), TEXT("for=192.0.2.99") } };
		size_t used = 2;
		for (size_t j = 0; j < COUNT(rows[i].fields) && rows[i].fields[j] != NULL; j++) {
			fields[used++] = (struct field){ SPAN("x-Forwarded-FOR"),
				                         edge_copy((unsigned)j,
				                                   span_of(rows[i].fields[j])) };
		}
		struct http_exchange exchange = { .peer = peer(rows[i].peer),
			                          .proxies = trusts ? &proxies : NULL,
			                          .fields = { fields, used } };
		struct http_peer client = { .family = AF_UNSPEC };
		bool good = peer_behind_proxies(&exchange, &client);
		CHECK_ROW(good == (rows[i].client != NULL), "%s, %s: %s", rows[i].peer,
		          rows[i].fields[0], good ? client.text : "refused");
		if (!good || rows[i].client == NULL) {
			continue;
		}
		struct http_peer wanted = peer(rows[i].client);
		CHECK_ROW(client.family == wanted.family &&
		                  memcmp(client.address, wanted.address, 16) == 0,
		          "%s, %s: %s, not %s", rows[i].peer, rows[i].fields[0], client.text,
		          rows[i].client);
	}
}

static void
the_client_is_the_right_most_that_is_no_proxy(void)
{
	static const struct forwarded rows[] = {
		{ "192.0.2.1",
		  { "198.51.100.7" },
		  "192.0.2.1" }, /* no proxy: what it says is nothing */
		{ "192.0.2.1", { "junk" }, "192.0.2.1" },
		{ "10.0.0.1", { NULL }, "10.0.0.1" },
		{ "10.0.0.1", { "" }, "10.0.0.1" },
		{ "10.0.0.1", { " , ,\t" }, "10.0.0.1" },
		{ "10.0.0.1", { "198.51.100.7" }, "198.51.100.7" },
		{ "10.0.0.1", { "1.1.1.1, 198.51.100.7" }, "198.51.100.7" }, /* 1.1.1.1 is a lie */
		{ "10.0.0.1", { "198.51.100.7, 10.0.0.2,10.0.0.3 " }, "198.51.100.7" },
		{ "10.0.0.1", { "10.0.0.3, 10.0.0.2" }, "10.0.0.3" },
		{ "10.0.0.1", { "lies, 198.51.100.7" }, "198.51.100.7" },
		{ "10.0.0.1", { "1.1.1.1", "198.51.100.7" }, "198.51.100.7" },
		{ "10.0.0.1", { "198.51.100.7", "10.0.0.2", "10.0.0.3" }, "198.51.100.7" },
		{ "10.0.0.1", { "198.51.100.7", "" }, "198.51.100.7" },
		{ "10.0.0.1", { "198.51.100.7:4711" }, "198.51.100.7" },
		{ "10.0.0.1", { "2001:db8::7" }, "2001:db8::7" },
		{ "10.0.0.1", { "[2001:db8::7]" }, "2001:db8::7" },
		{ "10.0.0.1", { "[2001:db8::7]:4711" }, "2001:db8::7" },
		{ "10.0.0.1", { "::ffff:198.51.100.7" }, "198.51.100.7" },
		{ "10.0.0.1", { "198.51.100.7, ::ffff:10.0.0.9" }, "198.51.100.7" },
		{ "::ffff:10.0.0.1", { "198.51.100.7" }, "198.51.100.7" },
		{ "2001:db8:1::1", { "198.51.100.7, 2001:db8:1::2" }, "198.51.100.7" },
		{ "unix", { "198.51.100.7" }, "198.51.100.7" },
		{ "unix", { NULL }, "unix" },
	};
	clients_are(rows, COUNT(rows), true);
}

static void
without_trusted_proxies_the_header_is_ignored(void)
{
	static const struct forwarded rows[] = {
		{ "192.0.2.1", { "198.51.100.7" }, "192.0.2.1" },
		{ "10.0.0.1", { "198.51.100.7" }, "10.0.0.1" },
		{ "10.0.0.1", { "junk" }, "10.0.0.1" },
		{ "unix", { "198.51.100.7" }, "unix" },
	};
	clients_are(rows, COUNT(rows), false);
}

static void
what_is_no_address_where_one_must_be_is_told(void)
{
	static const struct forwarded rows[] = {
		{ "10.0.0.1", { "unknown" }, NULL },
		{ "10.0.0.1", { "_hidden" }, NULL },
		{ "10.0.0.1", { "198.51.100.7 4711" }, NULL },
		{ "10.0.0.1", { "198.51.100.7;x" }, NULL },
		{ "10.0.0.1", { "198.51.100.7, unknown, 10.0.0.2" }, NULL },
		{ "10.0.0.1", { "198.51.100.7", "unknown" }, NULL },
		{ "10.0.0.1", { "2001:db8::7::1" }, NULL },
		{ "10.0.0.1", { "[]" }, NULL },
		{ "10.0.0.1", { "[x]:1" }, NULL },
		{ "10.0.0.1", { "010.0.0.1" }, NULL },
		{ "10.0.0.1", { "\"198.51.100.7\"" }, NULL },
	};
	clients_are(rows, COUNT(rows), true);
}

static void
what_is_no_port_behind_an_address_is_told(void)
{
	static const struct forwarded rows[] = {
		{ "10.0.0.1", { "198.51.100.7:" }, NULL },
		{ "10.0.0.1", { "198.51.100.7:x" }, NULL },
		{ "10.0.0.1", { "[2001:db8::7" }, NULL },
		{ "10.0.0.1", { "[2001:db8::7]x" }, NULL },
		{ "10.0.0.1", { "198.51.100.7:65536" }, NULL },
	};
	clients_are(rows, COUNT(rows), true);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "networks are read in CIDR form", networks_are_read },
		{ "a network holds its addresses", a_network_holds_its_addresses },
		{ "a network is compared bit by bit", a_network_is_compared_bit_by_bit },
		{ "addresses are read and written", addresses_are_read_and_written },
		{ "the path of a unix socket fits its struct",
		  the_path_of_a_unix_socket_fits_its_struct },
		{ "a peer is written as what it is", a_peer_is_written_as_what_it_is },
		{ "the client is the right-most address that is no trusted proxy",
		  the_client_is_the_right_most_that_is_no_proxy },
		{ "without trusted proxies X-Forwarded-For is ignored",
		  without_trusted_proxies_the_header_is_ignored },
		{ "what is no address where one must be read is told",
		  what_is_no_address_where_one_must_be_is_told },
		{ "what is no port behind an address is told",
		  what_is_no_port_behind_an_address_is_told },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
