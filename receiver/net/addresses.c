/* How many connections each address has. Accepting loops add, all loops remove: one lock, taken twice a connection. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/net/net_priv.h"

#define BUCKETS 1024

struct counted_address {
	struct counted_address *next;
	sa_family_t family;
	unsigned char address[16];
	int64_t count;
};

struct addresses {
	pthread_mutex_t lock;
	struct counted_address *buckets[BUCKETS];
};

struct addresses *
addresses_create(void)
{
	struct addresses *addresses = memory_need(sizeof(*addresses));
	(void)pthread_mutex_init(&addresses->lock, NULL);
	return addresses;
}

void
addresses_destroy(struct addresses *addresses)
{
	if (addresses == NULL) {
		return;
	}
	for (size_t i = 0; i < BUCKETS; i++) {
		while (addresses->buckets[i] != NULL) {
			struct counted_address *next = addresses->buckets[i]->next;
			free(addresses->buckets[i]);
			addresses->buckets[i] = next;
		}
	}
	(void)pthread_mutex_destroy(&addresses->lock);
	free(addresses);
}

/* Whoever has an IPv6 address has 2^64 of them: a /64 counts as one (RFC 6177). */
static struct http_peer
counted(const struct http_peer *peer)
{
	struct http_peer whole = *peer;
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (whole.family == AF_INET6 && memcmp(whole.address, mapped, sizeof(mapped)) != 0) {
		memset(whole.address + 8, 0, sizeof(whole.address) - 8);
	}
	return whole;
}

static struct counted_address **
find(struct addresses *addresses, const struct http_peer *peer)
{
	unsigned hash = 2166136261U; /* FNV-1a */
	for (size_t i = 0; i < sizeof(peer->address); i++) {
		hash = (hash ^ peer->address[i]) * 16777619U;
	}
	struct counted_address **at = &addresses->buckets[hash % BUCKETS];
	while (*at != NULL && ((*at)->family != peer->family ||
	                       memcmp((*at)->address, peer->address, sizeof(peer->address)) != 0)) {
		at = &(*at)->next;
	}
	return at;
}

bool
addresses_add(struct addresses *addresses, const struct http_peer *peer, int64_t most)
{
	const struct http_peer key = counted(peer);
	(void)pthread_mutex_lock(&addresses->lock);
	struct counted_address **at = find(addresses, &key);
	if (*at == NULL) {
		*at = memory_need(sizeof(**at));
		(*at)->family = key.family;
		memcpy((*at)->address, key.address, sizeof(key.address));
	}
	bool allowed = (*at)->count < most;
	(*at)->count += allowed ? 1 : 0;
	(void)pthread_mutex_unlock(&addresses->lock);
	return allowed;
}

void
addresses_remove(struct addresses *addresses, const struct http_peer *peer)
{
	const struct http_peer key = counted(peer);
	(void)pthread_mutex_lock(&addresses->lock);
	struct counted_address **at = find(addresses, &key);
	if (*at != NULL && --(*at)->count == 0) {
		struct counted_address *gone = *at;
		*at = gone->next;
		free(gone);
	}
	(void)pthread_mutex_unlock(&addresses->lock);
}
