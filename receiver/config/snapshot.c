#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/glob.h"
#include "receiver/config/config_priv.h"
#include "receiver/verify/json_pointer.h"

char *
config_find(const char *wanted)
{
	const char *file = wanted != NULL ? wanted : getenv("HOOKLATCH_CONFIG");
	if (file == NULL || file[0] == '\0') {
		file = access("hooklatch.yaml", F_OK) == 0 ? "hooklatch.yaml"
		                                           : "/etc/hooklatch/hooklatch.yaml";
	}
	return memory_text(file);
}

static bool
read_file(const char *file, struct buffer *text, struct error *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return error_system(err, "cannot be read");
	}
	for (;;) {
		if (!buffer_reserve(text, 65536)) {
			break; /* document_parse() says that it is too large */
		}
		ssize_t got = read(fd, text->data + text->size, 65536);
		if (got == 0) {
			break;
		}
		if (got < 0 && errno != EINTR) {
			(void)error_system(err, "cannot be read");
			(void)close(fd);
			return false;
		}
		text->size += got < 0 ? 0 : (size_t)got;
	}
	(void)close(fd);
	return true;
}

static char *
directory_of(const char *file)
{
	char *absolute = realpath(file, NULL);
	if (absolute == NULL) {
		return memory_text(".");
	}
	char *slash = strrchr(absolute, '/');
	slash[slash == absolute ? 1 : 0] = '\0';
	return absolute;
}

struct config *
config_load(const char *file, enum config_purpose purpose, struct buffer *report)
{
	struct buffer text;
	struct error err;
	buffer_init(&text, DOCUMENT_MOST_BYTES + 65536 * 2);
	if (!read_file(file, &text, &err)) {
		buffer_format(report, "%s: error: %s\n", file, err.text);
		buffer_finish(&text);
		return NULL;
	}
	struct config *config = memory_need(sizeof(*config));
	atomic_init(&config->references, 1);
	atomic_init(&config->keyed, 1);
	arena_init(&config->arena);
	config->file = memory_text(file);
	config->directory = directory_of(file);
	config->text = (struct span){ arena_text(&config->arena, buffer_view(&text)), text.size };
	buffer_finish(&text);
	problems_init(&config->problems, &config->arena, config->file, config->text);
	config->root = document_parse(&config->problems);
	if (config->root != NULL) {
		schema_read(&config->problems, config_rows(), config->root, &config->settings);
		config_check(config, purpose);
	}
	problems_print(&config->problems, report);
	if (config->problems.errors > 0) {
		config_release(config);
		return NULL;
	}
	return config;
}

struct config *
config_share_settings(struct config *config)
{
	(void)atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
	return config;
}

struct config *
config_share(struct config *config)
{
	(void)atomic_fetch_add_explicit(&config->keyed, 1, memory_order_relaxed);
	return config_share_settings(config);
}

static void
wipe_secrets(struct config *config)
{
	for (size_t i = 0; i < config->source_count; i++) {
		source_keys_finish(&config->sources[i]);
	}
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler *handler = &config->handlers[i];
		/* The settings lie in the arena: this config's own. */
		void *settings = (void *)(uintptr_t)handler->kind_settings;
		struct handler_secret *secret =
			handler->kind == NULL || handler->kind->secret == NULL
				? NULL
				: handler->kind->secret(settings);
		if (secret != NULL && secret->key != NULL) {
			memory_wipe(secret->key, secret->size);
			free(secret->key);
			secret->key = NULL;
		}
	}
}

void
config_release(struct config *config)
{
	if (config != NULL &&
	    atomic_fetch_sub_explicit(&config->keyed, 1, memory_order_acq_rel) == 1) {
		wipe_secrets(config);
	}
	config_release_settings(config);
}

void
config_release_settings(struct config *config)
{
	if (config == NULL ||
	    atomic_fetch_sub_explicit(&config->references, 1, memory_order_acq_rel) != 1) {
		return;
	}
	const struct admin_settings *admin = config->settings.admin.items;
	for (size_t i = 0; i < config->settings.admin.count; i++) {
		memory_wipe(admin[i].token_text, admin[i].token_size);
		free(admin[i].token_text);
	}
	arena_finish(&config->arena);
	free(config->file);
	free(config->directory);
	free(config->store_path);
	free(config->scratch_path);
	free(config->keys_path);
	free(config->admin_path);
	free(config);
}

char *
config_path(const struct config *config, const char *path)
{
	struct buffer joined;
	buffer_init(&joined, 65536);
	if (path[0] != '/') {
		buffer_format(&joined, "%s/", config->directory);
	}
	buffer_text(&joined, path);
	return buffer_steal(&joined);
}

const struct source *
config_source_by_path(const struct config *config, struct span path)
{
	for (size_t i = 0; i < config->source_count; i++) {
		if (span_equal(span_of(config->sources[i].settings->path), path)) {
			return &config->sources[i];
		}
	}
	return NULL;
}

struct source *
config_source_by_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->source_count; i++) {
		if (strcmp(config->sources[i].name, name) == 0) {
			return &config->sources[i];
		}
	}
	return NULL;
}

struct handler *
config_handler_by_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->handler_count; i++) {
		if (strcmp(config->handlers[i].name, name) == 0) {
			return &config->handlers[i];
		}
	}
	return NULL;
}

static bool
any_glob(struct schema_list list, struct span text)
{
	const char *const *globs = list.items;
	for (size_t i = 0; i < list.count; i++) {
		if (glob_match(span_of(globs[i]), text)) {
			return true;
		}
	}
	return false;
}

static bool
condition_holds(const struct schema_globs *condition, struct span body)
{
	struct json_slice slice;
	if (json_pointer_find(body, span_of(condition->key), &slice) != JSON_FOUND) {
		return false;
	}
	struct buffer text;
	buffer_init(&text, slice.raw.size + 1);
	bool holds =
		json_slice_text(slice, &text) && any_glob(condition->globs, buffer_view(&text));
	buffer_finish(&text);
	return holds;
}

/* A type that is missing is the empty text, which `*` alone stands for. */
bool
type_matches(struct span glob, struct span type)
{
	return type.size > 0 ? glob_match(glob, type) : span_equal(glob, SPAN("*"));
}

/* "source/type": each side of the first slash is a glob of its own. */
static bool
any_route(struct schema_list routes, struct span source, struct span type)
{
	const char *const *texts = routes.items;
	for (size_t i = 0; i < routes.count; i++) {
		struct span route = span_of(texts[i]);
		struct span name = { route.data, strcspn(route.data, "/") };
		if (name.size < route.size && glob_match(name, source) &&
		    type_matches(span_after(route, name.size + 1), type)) {
			return true;
		}
	}
	return false;
}

bool
handler_consumed(const struct handler *handler)
{
	return handler->kind->run == NULL && handler->kind->commit == NULL;
}

#define ORDER_KEY_MOST_BYTES 256 /* of a longer value its checksum is taken */

char *
handler_order_key(const struct handler *handler, struct span body)
{
	struct json_slice slice;
	const char *pointer = handler->settings->order_by;
	if (pointer == NULL || json_pointer_find(body, span_of(pointer), &slice) != JSON_FOUND ||
	    slice.kind == JSON_OBJECT || slice.kind == JSON_ARRAY ||
	    span_equal(slice.raw, SPAN("null"))) {
		return NULL;
	}
	struct buffer text;
	buffer_init(&text, slice.raw.size + 1);
	char *key = NULL;
	bool whole = json_slice_text(slice, &text);
	if (whole && (text.size == 0 || memchr(text.data, '\0', text.size) == NULL)) {
		if (text.size > ORDER_KEY_MOST_BYTES) {
			struct event_hash hash = event_hash_of(buffer_view(&text));
			char name[48];
			(void)snprintf(name, sizeof(name), "xxh3:%016" PRIx64 "%016" PRIx64,
			               hash.high, hash.low);
			key = memory_text(name);
		} else {
			key = span_copy(buffer_view(&text));
		}
	}
	buffer_finish(&text);
	return key;
}

static bool
conditions_hold(const struct handler *handler, struct span body)
{
	const struct schema_globs *conditions = handler->settings->when.items;
	bool hold = true;
	for (size_t i = 0; hold && i < handler->settings->when.count; i++) {
		hold = condition_holds(&conditions[i], body);
	}
	return hold;
}

bool
handler_wants_own(const struct handler *handler, struct span type, struct span body)
{
	const char *const *texts = handler->settings->on.items;
	for (size_t i = 0; i < handler->settings->on.count; i++) {
		struct span route = span_of(texts[i]);
		struct span own = SPAN("hooklatch/");
		if (span_starts(route, own) && span_equal(span_after(route, own.size), type)) {
			return body.size == 0 || conditions_hold(handler, body);
		}
	}
	return false;
}

bool
handler_wants(const struct handler *handler, struct span source, struct span type, struct span body)
{
	if (span_equal(source, SPAN("hooklatch"))) { /* no glob means our own */
		return handler_wants_own(handler, type, body);
	}
	return any_route(handler->settings->on, source, type) && conditions_hold(handler, body);
}

bool
handler_guarded(const struct handler *handler)
{
	return handler->guarantee != GUARANTEE_AT_LEAST_ONCE;
}

int64_t
handler_replay_horizon(const struct handler *handler, int64_t now_ns)
{
	if (handler->guarantee != GUARANTEE_EFFECTIVELY_ONCE ||
	    handler->kind->deduplicates == NULL) {
		return 0;
	}
	int64_t known_ns = handler->kind->deduplicates(handler->kind_settings);
	return known_ns == DEDUPLICATES_FOR_EVER ? 0 : now_ns - known_ns;
}

bool
handler_needs_again(const struct handler *handler, enum delivery_state state,
                    int64_t first_failed_ns, int64_t now_ns)
{
	if (state == DELIVERY_DONE) {
		return handler_guarded(handler);
	}
	return first_failed_ns != 0 && first_failed_ns < handler_replay_horizon(handler, now_ns);
}
