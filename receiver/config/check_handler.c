/* What no single row can say about a handler: its kind, its guarantee, the sources and pointers that it names. */
#include <string.h>

#include "receiver/base/glob.h"
#include "receiver/base/units.h"
#include "receiver/config/config_priv.h"
#include "receiver/verify/json_pointer.h"

static void
check_on(struct config *config, const struct handler *handler)
{
	struct problems *problems = &config->problems;
	const struct node *node = node_child(handler->settings->entry.node, "on");
	if (node == NULL || node->kind != NODE_LIST) {
		return;
	}
	if (node->first == NULL) {
		problems_add(problems, node->key_place, "on: at least one source/type is needed");
	}
	for (const struct node *child = node->first; child != NULL; child = child->next) {
		size_t slash = 0;
		while (slash < child->text.size && child->text.data[slash] != '/') {
			slash++;
		}
		struct span source = { child->text.data, slash };
		if (slash == child->text.size) {
			problems_add(problems, child->place,
			             "on: expected source/type, such as github/push or github/*");
			continue;
		}
		if (span_equal(source, SPAN("hooklatch"))) {
			struct span type = span_after(child->text, slash + 1);
			if (!span_equal(type, SPAN("delivery.dead")) &&
			    !span_equal(type, SPAN("breaker.opened"))) {
				problems_add(
					problems, child->place,
					"on: our own happenings are named in full: hooklatch/delivery.dead, "
					"hooklatch/breaker.opened");
			}
			continue;
		}
		const char *names[CONFIG_HANDLERS_MOST];
		size_t count = 0;
		bool found = false;
		for (size_t i = 0; i < config->source_count; i++) {
			found = found || glob_match(source, span_of(config->sources[i].name));
			if (count + 1 < COUNT(names)) {
				names[count++] = config->sources[i].name;
			}
		}
		names[count] = NULL;
		if (!found) {
			const char *nearest = problems_nearest(source, names);
			problems_add(problems, child->place,
			             "on: there is no source \"%.*s\"%s%s%s", SPAN_ARG(source),
			             nearest == NULL ? "" : "; did you mean \"",
			             nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
		}
	}
}

static void
check_when(struct config *config, const struct handler *handler)
{
	const struct node *node = node_child(handler->settings->entry.node, "when");
	for (const struct node *child = node == NULL ? NULL : node->first; child != NULL;
	     child = child->next) {
		if (child->key.size > 0 && child->key.data[0] == '/' &&
		    !json_pointer_valid(child->key)) {
			problems_add(
				&config->problems, child->key_place,
				"when: a JSON pointer in which \"~\" is neither ~0 nor ~1 (RFC 6901)");
		}
	}
}

/* The text of the kind's own secret, where one is written. */
static bool
read_kind_secret(struct config *config, const struct handler *handler, void *kind_settings,
                 enum config_purpose purpose)
{
	struct handler_secret *secret =
		handler->kind->secret == NULL ? NULL : handler->kind->secret(kind_settings);
	if (secret == NULL) {
		return true;
	}
	struct secret_settings settings = { .entry = secret->entry,
		                            .env = secret->env,
		                            .file = secret->file,
		                            .credential = secret->credential };
	if ((settings.env != NULL) + (settings.file != NULL) + (settings.credential != NULL) != 1) {
		problems_add(&config->problems, secret->entry.node->place,
		             "secret: exactly one of env, file and credential is needed");
		return false;
	}
	if (purpose == CONFIG_TO_READ) {
		return true;
	}
	struct buffer text;
	struct error err;
	buffer_init(&text, SECRET_MOST_BYTES + 1);
	bool good = secret_read(config, &settings, &text, &err);
	if (!good) {
		problems_add(&config->problems, secret->entry.node->place, "secret: %s", err.text);
	} else {
		secret->key = memory_need(text.size + 1);
		memcpy(secret->key, text.size == 0 ? "" : text.data, text.size);
		secret->size = text.size;
	}
	memory_wipe(text.data, text.size);
	buffer_finish(&text);
	return good;
}

void
choose_kind(struct config *config, struct handler *handler, struct handler_settings *settings)
{
	const struct node *node = handler->settings->entry.node;
	size_t offset = 0;
	size_t found = 0;
	for (size_t i = 0; handler_kinds[i] != NULL; i++) {
		const struct handler_kind *kind = handler_kinds[i];
		if (node_child(node, kind->name) != NULL) {
			found++;
			handler->kind = kind;
			handler->kind_settings = settings->kinds + offset;
		} else {
			for (const struct schema_row *row = kind->rows + 1; row->name != NULL;
			     row++) {
				if (node_child(node, row->name) != NULL) {
					problems_add(&config->problems,
					             node_key_place(node, row->name),
					             "%s: belongs to %s", row->name, kind->name);
				}
			}
		}
		offset += (kind->settings_bytes + 15) / 16 * 16;
	}
	if (found != 1) {
		problems_add(&config->problems, node->key_place,
		             "%s: exactly one of exec, http, sql, pull and log is needed",
		             handler->name);
		handler->kind = NULL;
	}
}

static void
check_kind(struct config *config, const struct handler *handler, const char *const *setups,
           enum config_purpose purpose)
{
	const struct kind_check check = { handler->settings->entry.node, config->directory, setups,
		                          &config->problems };
	/* Whoever reads the settings may not change them; the configuration, which is being made, may. */
	void *settings = (void *)(uintptr_t)handler->kind_settings;
	if (handler->kind != NULL && read_kind_secret(config, handler, settings, purpose)) {
		(void)handler->kind->check(settings, &check);
	}
}

/* Effectively-once is never a word only: the record is in the effect's transaction, or the destination knows our key. */
static void
check_effectively_once(struct config *config, const struct handler *handler)
{
	struct problems *problems = &config->problems;
	const struct node *node = handler->settings->entry.node;
	const struct handler_kind *kind = handler->kind;
	bool possible = (kind->guarantees & 1U << GUARANTEE_EFFECTIVELY_ONCE) != 0;
	int64_t known = kind->deduplicates == NULL ? DEDUPLICATES_FOR_EVER
	                                           : kind->deduplicates(handler->kind_settings);
	if (!possible || known == 0) {
		problems_add(
			problems, value_place(node, "guarantee"),
			"guarantee: %s cannot keep effectively-once here. Ways to get it: `sql`, whose effect is in the "
			"transaction that records it; or `http` to a destination that deduplicates on our Idempotency-Key and "
			"says so with `destination_deduplicates`. at-least-once with an idempotent program comes near",
			kind->name);
		return;
	}
	int64_t needed = handler->settings->retry.give_up_after_ns + handler->timeout_ns;
	if (known < needed) {
		char text[32];
		units_duration_text(needed, text);
		problems_add(
			problems, value_place(node, "destination_deduplicates"),
			"destination_deduplicates: shorter than retry.give_up_after and timeout together (%s): the last try "
			"could come when the key is forgotten",
			text);
	}
}

/* Where ids are made here a repeat is a new event: nothing is effectively once. */
static void
check_generated_ids(struct config *config, const struct handler *handler)
{
	const struct node *on = node_child(handler->settings->entry.node, "on");
	for (const struct node *child = on == NULL ? NULL : on->first; child != NULL;
	     child = child->next) {
		for (size_t i = 0; i < config->source_count; i++) {
			const struct source *source = &config->sources[i];
			size_t slash = 0;
			while (slash < child->text.size && child->text.data[slash] != '/') {
				slash++;
			}
			if (source->scheme.id.from != SCHEME_GENERATED ||
			    !glob_match((struct span){ child->text.data, slash },
			                span_of(source->name))) {
				continue;
			}
			problems_add(
				&config->problems,
				value_place(handler->settings->entry.node, "guarantee"),
				"guarantee: %s cannot be effectively-once: events of %s have a generated id, so their repeats "
				"are not recognised; write `guarantee: at-least-once`",
				handler->name, source->name);
			return;
		}
	}
}

static void
check_guarantee(struct config *config, struct handler *handler)
{
	struct problems *problems = &config->problems;
	const struct handler_settings *settings = handler->settings;
	const struct node *node = settings->entry.node;
	bool written = node_child(node, "guarantee") != NULL;
	handler->guarantee = written || handler->kind == NULL ? (enum guarantee)settings->guarantee
	                                                      : handler->kind->guarantee;
	if (handler->kind != NULL && handler->guarantee == GUARANTEE_EFFECTIVELY_ONCE) {
		check_effectively_once(config, handler);
		check_generated_ids(config, handler);
	} else if (handler->kind != NULL &&
	           (handler->kind->guarantees & 1U << handler->guarantee) == 0) {
		problems_add(problems, value_place(node, "guarantee"),
		             "guarantee: %s cannot keep this one", handler->kind->name);
	}
	if (handler->guarantee == GUARANTEE_AT_MOST_ONCE) {
		static const char *const refused[] = { "retry", "retry_budget", "breaker" };
		for (size_t i = 0; i < COUNT(refused); i++) {
			if (node_child(node, refused[i]) != NULL) {
				problems_add(problems, node_key_place(node, refused[i]),
				             "%s: an at-most-once handler is never tried again",
				             refused[i]);
			}
		}
	}
	if (written && handler->guarantee != GUARANTEE_AT_LEAST_ONCE && settings->why == NULL) {
		problems_warn(problems, value_place(node, "guarantee"),
		              "%s: say `why:` this guarantee is right", handler->name);
	}
}

/* A kind may have a timeout of its own, and a limit. */
static void
check_timeout(struct config *config, struct handler *handler)
{
	const struct node *node = handler->settings->entry.node;
	bool written = node_child(node, "timeout") != NULL;
	handler->timeout_ns = handler->settings->timeout_ns;
	if (handler->kind == NULL) {
		return;
	}
	if (!written && handler->kind->timeout != NULL) {
		ALWAYS(units_duration(span_of(handler->kind->timeout), &handler->timeout_ns),
		       "kind-timeout");
	}
	int64_t most;
	if (handler->kind->timeout_most != NULL &&
	    units_duration(span_of(handler->kind->timeout_most), &most) &&
	    handler->timeout_ns > most) {
		problems_add(&config->problems, value_place(node, "timeout"),
		             "timeout: with %s at most %s", handler->kind->name,
		             handler->kind->timeout_most);
	}
}

static void
check_order(struct config *config, const struct handler *handler)
{
	const struct node *node = handler->settings->entry.node;
	const char *pointer = handler->settings->order_by;
	if (pointer != NULL && !json_pointer_valid(span_of(pointer))) {
		problems_add(&config->problems, value_place(node, "order_by"),
		             "order_by: a JSON pointer is empty or begins with \"/\" (RFC 6901)");
	}
	if (pointer == NULL && node_child(node, "on_dead") != NULL) {
		problems_add(&config->problems, node_key_place(node, "on_dead"),
		             "on_dead: belongs to order_by");
	}
	const struct breaker_settings *breaker = &handler->settings->breaker;
	if (breaker->entry.node != NULL && breaker->max_cooldown_ns < breaker->cooldown_ns) {
		problems_add(&config->problems, value_place(breaker->entry.node, "max_cooldown"),
		             "max_cooldown: shorter than cooldown");
	}
	/* A kind without a try of its own has nothing that a breaker or a budget could hold back. */
	static const char *const refused[] = { "breaker", "retry_budget", "timeout" };
	bool consumed = handler->kind != NULL && handler->kind->run == NULL &&
	                handler->kind->commit == NULL;
	for (size_t i = 0; consumed && i < COUNT(refused); i++) {
		if (node_child(node, refused[i]) != NULL) {
			problems_add(&config->problems, node_key_place(node, refused[i]),
			             "%s: does not apply to %s", refused[i], handler->kind->name);
		}
	}
}

/* What a program is told of our environment is not what we keep from everybody. */
static void
check_environment(struct config *config, const struct handler *handler)
{
	const struct node *list = node_child(handler->settings->entry.node, "environment");
	for (const struct node *child = list == NULL ? NULL : list->first; child != NULL;
	     child = child->next) {
		char *name = span_copy(child->text);
		if (secret_is_variable(name)) {
			problems_add(
				&config->problems, child->place,
				"environment: %s holds a secret of a source, which no program gets",
				name);
		}
		free(name);
	}
}

void
check_handler(struct config *config, struct handler *handler, const char *const *setups,
              enum config_purpose purpose)
{
	check_on(config, handler);
	check_when(config, handler);
	check_environment(config, handler);
	check_kind(config, handler, setups, purpose);
	check_timeout(config, handler);
	check_guarantee(config, handler);
	check_order(config, handler);
}
