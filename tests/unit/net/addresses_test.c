#include <string.h>

#include "receiver/net/net_priv.h"

#include "tests/unit/check.h"

#define PEERS 4096 /* more than there are buckets: several share one */

static struct http_peer
numbered(sa_family_t family, unsigned number)
{
	struct http_peer peer = { .family = family };
	memcpy(peer.address, &number, sizeof(number));
	return peer;
}

static void
a_network_of_ipv6_counts_as_one(void)
{
	struct addresses *addresses = addresses_create();
	struct http_peer one = { .family = AF_INET6, .address = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
	struct http_peer two = one;
	struct http_peer far = one;
	struct http_peer mapped[2] = {
		{ .family = AF_INET6, .address = { [10] = 0xff, [11] = 0xff, [15] = 1 } },
		{ .family = AF_INET6, .address = { [10] = 0xff, [11] = 0xff, [15] = 2 } }
	};
	two.address[15] = 2;
	far.address[7] = 1;
	CHECK(addresses_add(addresses, &one, 1) && !addresses_add(addresses, &two, 1));
	CHECK(addresses_add(addresses, &far, 1));
	addresses_remove(addresses, &one);
	CHECK(addresses_add(addresses, &two, 1));
	CHECK(addresses_add(addresses, &mapped[0], 1) && addresses_add(addresses, &mapped[1], 1));
	addresses_destroy(addresses);
}

static void
an_address_has_at_most_so_many(void)
{
	struct addresses *addresses = addresses_create();
	struct http_peer one = numbered(AF_INET, 1);
	struct http_peer other = numbered(AF_INET6, 1);
	CHECK(addresses_add(addresses, &one, 2) && addresses_add(addresses, &one, 2));
	CHECK(!addresses_add(addresses, &one, 2));
	CHECK(addresses_add(addresses, &other, 2)); /* the same bytes, another family */
	addresses_remove(addresses, &one);
	CHECK(addresses_add(addresses, &one, 2) && !addresses_add(addresses, &one, 2));
	addresses_destroy(addresses);
	addresses_destroy(NULL);
}

static void
addresses_of_one_bucket_do_not_mix(void)
{
	struct addresses *addresses = addresses_create();
	for (unsigned i = 0; i < PEERS; i++) {
		struct http_peer peer = numbered(AF_INET, i);
		CHECK(addresses_add(addresses, &peer, 1));
	}
	for (unsigned i = 0; i < PEERS; i++) {
		struct http_peer peer = numbered(AF_INET, i);
		CHECK(!addresses_add(addresses, &peer, 1));
		addresses_remove(addresses, &peer);
		addresses_remove(addresses, &peer); /* one that is not there */
		CHECK(addresses_add(addresses, &peer, 1));
	}
	addresses_destroy(addresses);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a /64 of IPv6 counts as one", a_network_of_ipv6_counts_as_one },
		{ "an address has at most so many", an_address_has_at_most_so_many },
		{ "addresses of one bucket do not mix", addresses_of_one_bucket_do_not_mix },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
