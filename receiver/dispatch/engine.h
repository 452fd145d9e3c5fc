/* Dispatch: decides which delivery runs next. Keeps a bounded window of the earliest pending deliveries of each handler,
 * the slots, the retry budgets and the clock of retries; asks the reader for what is on disk and the store for claims.
 * Threads  one thread of its own for every decision, and one for reading; the listener's functions on the store thread;
 *          the rest on main. No thread here ever waits for a handler.
 * Promise  A slow, hanging or dying handler never delays another one. A try after the first never comes without a token
 *          of the global and the handler's budget; those that wait for one wait in due order. */
#ifndef HOOKLATCH_DISPATCH_ENGINE_H
#define HOOKLATCH_DISPATCH_ENGINE_H

#include "receiver/config/config.h"
#include "receiver/dispatch/schedule.h"
#include "receiver/store/store.h"

extern struct thread_role dispatch_thread;
extern struct thread_role reader_thread;

struct engine;

bool engine_create(struct engine **ret, struct store *store, struct config *config,
                   struct error *err) MUST_CHECK;
bool engine_start(struct engine *engine, struct error *err) MUST_CHECK; /* after store_start() */
void engine_set_config(struct engine *engine, struct config *config);
/* The part of the store's listener that concerns deliveries. */
void engine_listen(struct engine *engine, struct store_listener *listener);
/* No new calls from now on. */
void engine_stop_claiming(struct engine *engine);
int64_t engine_running(const struct engine *engine); /* calls that wait or run */
int64_t engine_busy_ns(
	const struct engine *engine); /* how long its thread has not come back to wait */
int64_t engine_calls(
	const struct engine *engine); /* of them: on workers; the others wait for the store */
void engine_end_handlers(struct engine *engine, bool at_once);
void engine_stop(struct engine *engine);    /* ends its threads; before the store is closed */
void engine_destroy(struct engine *engine); /* after the store is closed; takes NULL */

/* On main, once the store's thread runs: the handlers' setups that are new, and order keys that a reload or a crash left
 * with nobody free. `old` NULL: a start. */
bool engine_run_setups(struct engine *engine, const struct config *old, const struct config *fresh,
                       struct error *err) MUST_CHECK;
bool engine_settle_orders(struct engine *engine, const struct config *old,
                          const struct config *fresh, struct error *err) MUST_CHECK;
/* Called on the store thread when something of a handler may have become due. Before engine_start(). */
void engine_set_consumable(struct engine *engine,
                           void (*consumable)(void *context, int64_t handler), void *context);

/* Any thread; a little old. Tokens are thousandths. */
int64_t engine_tokens(const struct engine *engine);
int64_t engine_shared_free(const struct engine *engine);
bool engine_view(const struct engine *engine, int64_t handler, struct line_view *view);
/* The handler's clock, over all lives. */
int64_t engine_ran_ns(const struct engine *engine, int64_t handler);

#endif
