/* A request whose signature needs a key that must be fetched first: it waits, off the loop's way, and is judged again. */
#include <stdlib.h>

#include "receiver/base/clock.h"
#include "receiver/intake/intake_priv.h"

enum key_found
request_find_key(void *context, struct span name, struct evp_pkey_st **ret)
{
	const struct request *request = context;
	return keyring_find(request->loop->intake->keyring, request->source, name, ret);
}

struct key_call {
	struct net_call call;
	struct intake_loop *loop;
	uint64_t cookie;
};

static void
on_key(struct net_call *call)
{
	struct key_call *arrived = CONTAINER(call, struct key_call, call);
	struct request *request = waiting_take(&arrived->loop->waiting, arrived->cookie);
	free(arrived);
	thread_is(&net_thread);
	ALWAYS(request != NULL, "waiting-for-key");
	(void)atomic_fetch_sub(&request->loop->intake->waiting, 1);
	request->away = false;
	if (request->exchange == NULL) { /* the client has gone */
		request_free(request);
		return;
	}
	request_judge(request, true);
}

/* On the keyring's thread. */
static void
on_granted(struct key_wish *wish)
{
	struct intake_loop *loop = wish->context;
	struct key_call *call = memory_need(sizeof(*call));
	call->call.run = on_key;
	call->loop = loop;
	call->cookie = wish->cookie;
	net_loop_post(net_loop_at(loop->intake->net, loop->index), &call->call);
	key_wish_free(wish);
}

static struct key_wish *
wish_of(const struct request *request, const char *name)
{
	struct key_wish *wish = memory_need(sizeof(*wish));
	wish->config = config_share(request->config);
	wish->source = request->source;
	wish->name = memory_text(name);
	wish->deadline_ns = clock_boot_ns() + request->source->patience_ns;
	return wish;
}

bool
request_await_key(struct request *request)
{
	struct intake *intake = request->loop->intake;
	if (!keyring_serves(request->source) || request->verification.wanted_key[0] == '\0') {
		return false;
	}
	struct key_wish *wish = wish_of(request, request->verification.wanted_key);
	request->away = true;
	wish->done = on_granted;
	wish->context = request->loop;
	wish->cookie = waiting_add(&request->loop->waiting, request);
	(void)atomic_fetch_add(&intake->waiting, 1);
	keyring_wish(intake->keyring, wish);
	return true;
}

void
request_visit(const struct request *request, const char *url)
{
	struct key_wish *wish = wish_of(request, url);
	wish->visit = true;
	keyring_wish(request->loop->intake->keyring, wish);
}
