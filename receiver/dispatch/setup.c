/* What a start and a reload let the store do before handlers run: setups of handlers, and orders that no longer hold. */
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/dispatch/engine_priv.h"

#define SETUP_AT_START_NS  (3600 * NS_PER_S)
#define SETUP_AT_RELOAD_NS NS_PER_S

struct setup {
	struct span sql;
};

static bool
run_setup(void *context, struct effect_scope *scope, struct error *err)
{
	return effect_execute(scope, ((const struct setup *)context)->sql, NULL, 0, err);
}

static const char *
setup_of(const struct handler *handler)
{
	return handler == NULL || handler->kind->setup == NULL
	               ? NULL
	               : handler->kind->setup(handler->kind_settings);
}

bool
engine_run_setups(struct engine *engine, const struct config *old, const struct config *fresh,
                  struct error *err)
{
	for (size_t i = 0; i < fresh->handler_count; i++) {
		const struct handler *handler = &fresh->handlers[i];
		const char *text = setup_of(handler);
		const char *before =
			old == NULL ? NULL : setup_of(engine_handler(old, handler->number));
		if (text == NULL || (before != NULL && strcmp(text, before) == 0)) {
			continue;
		}
		struct setup setup = { span_of(text) };
		/* At a reload events wait for it; at a start nobody does. */
		struct effect effect = { .context = &setup,
			                 .run = run_setup,
			                 .timeout_ns = old == NULL ? SETUP_AT_START_NS
			                                           : SETUP_AT_RELOAD_NS };
		struct change change = { .kind = CHANGE_SETUP, .effect = &effect };
		if (!store_change(engine->store, &change, err)) {
			return error_prefix(err, "the setup of the handler %s%s", handler->name,
			                    err->kind == ERROR_LIMIT && old != NULL
			                            ? " needs a restart, where it has an hour"
			                            : "");
		}
	}
	return true;
}

/* Whether keys of this handler may have been left with nobody free. */
static bool
may_be_stuck(const struct handler *before, const struct handler *now)
{
	if (now == NULL) { /* nothing of it is tried: it is looked at when it comes back */
		return false;
	}
	if (before ==
	    NULL) { /* a start, or back: a crash may have left tries that had ended, or freed what a dead one holds */
		return true;
	}
	bool ordered = now->settings->order_by != NULL;
	return (before->settings->order_by != NULL) != ordered ||
	       (ordered && before->settings->on_dead != now->settings->on_dead);
}

bool
engine_settle_orders(struct engine *engine, const struct config *old, const struct config *fresh,
                     struct error *err)
{
	for (int64_t i = 1; i <= store_handlers(engine->store); i++) {
		const struct handler *before = old == NULL ? NULL : engine_handler(old, i);
		if (!may_be_stuck(before, engine_handler(fresh, i))) {
			continue;
		}
		struct change change = { .kind = CHANGE_ORDER, .id = i };
		bool good = true;
		do {
			good = store_change(engine->store, &change, err);
		} while (good && change.changed > 0);
		free(change.after);
		if (!good) {
			return false;
		}
	}
	return true;
}
