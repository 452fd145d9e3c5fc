/* Exchanges are large, since a head may have many fields: those that have ended wait for the next request of their loop. */
#include <stdlib.h>
#include <string.h>

#include "receiver/net/net_priv.h"

static struct exchange *
take_spare(struct net_loop *loop)
{
	struct exchange *exchange = SLIST_FIRST(&loop->exchanges);
	if (exchange != NULL) {
		SLIST_REMOVE_HEAD(&loop->exchanges, link);
		loop->exchange_count--;
		return exchange;
	}
	exchange = malloc(sizeof(*exchange));
	if (exchange != NULL) {
		buffer_init(&exchange->text, (size_t)HTTP1_FIELDS_MOST * 65536);
	}
	return exchange;
}

struct exchange *
exchange_begin(struct connection *c)
{
	struct exchange *exchange = take_spare(c->loop);
	if (exchange == NULL) {
		return NULL;
	}
	memset(&exchange->shown, 0, sizeof(exchange->shown));
	http1_head_init(&exchange->head);
	exchange->body.state = HTTP1_CHUNK_SIZE;
	exchange->text.size = 0;
	exchange->has_text = false;
	exchange->connection = c;
	exchange->limit = 0;
	exchange->announced = false;
	exchange->answered = false;
	exchange->continue_sent = false;
	exchange->paused_until_ns = 0;
	exchange->shown.loop = c->loop;
	exchange->shown.peer = c->peer;
	exchange->shown.proxies = c->listener->proxies.count == 0 ? NULL : &c->listener->proxies;
	exchange->shown.mark = c->listener->mark;
	exchange->shown.length = -1;
	exchange->shown.patience_ns = NET_PATIENCE_NS;
	c->exchange = exchange;
	return exchange;
}

bool
exchange_keep_text(struct exchange *exchange, struct span text)
{
	if (!buffer_reserve(&exchange->text, text.size + 1)) {
		return false;
	}
	memcpy(exchange->text.data, text.data == NULL ? "" : text.data, text.size);
	exchange->text.data[text.size] = '\0';
	exchange->has_text = true;
	return true;
}

static void
destroy(struct exchange *exchange)
{
	buffer_finish(&exchange->text);
	free(exchange);
}

void
exchange_end(struct exchange *exchange)
{
	struct net_loop *loop = exchange->connection->loop;
	if (loop->exchange_count >= NET_SPARE_EXCHANGES) {
		destroy(exchange);
		return;
	}
	if (exchange->text.room > NET_SPARE_HEAD_BYTES) {
		buffer_finish(&exchange->text);
	}
	SLIST_INSERT_HEAD(&loop->exchanges, exchange, link);
	loop->exchange_count++;
}

void
exchanges_finish(struct net_loop *loop)
{
	while (!SLIST_EMPTY(&loop->exchanges)) {
		destroy(take_spare(loop));
	}
}
