#include "receiver/keyring/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/keyring/fetch.h"
#include "receiver/log/log.h"

#define VISITS_MOST    3
#define VISIT_PAUSE_MS 1000

static const struct thread_role keyring_thread = { "keyring" };

struct kept_key {
	char *name;
	EVP_PKEY *key;    /* NULL: it could not be had */
	bool absent;      /* whoever has the keys says that there is none of this name */
	int64_t until_ns; /* boot time: from then on it is asked for again */
};

struct keyring {
	pthread_mutex_t lock; /* over the kept keys alone, never held across a call out */
	struct kept_key kept[KEYRING_KEYS_MOST];
	size_t next; /* the oldest */
	struct queue wishes;
	pthread_t thread;
	bool started;
	atomic_bool stopping;
	char *directory;
	int64_t tokens_ns; /* of the bucket of fetches, as time */
	int64_t filled_ns;
};

/* --- what is kept --- */

bool
keyring_serves(const struct source *source)
{
	return source->public_keys.count == 0 &&
	       (source->scheme.certificate_header != NULL ||
	        source->scheme.certificate_json != NULL || source->scheme.algorithm == SCHEME_JWT);
}

/* Names of two providers' keys never meet: a URL names its host, a kid stands behind the API's. */
static char *
full_name(const struct source *source, struct span name)
{
	struct buffer text;
	buffer_init(&text, 8192);
	if (source->scheme.algorithm == SCHEME_JWT) {
		buffer_format(&text, "%s %s ", fetch_api_host(source),
		              source->settings->client_id == NULL ? ""
		                                                  : source->settings->client_id);
	}
	buffer_span(&text, name);
	return buffer_steal(&text);
}

static struct kept_key *
find_kept(struct keyring *keyring, const char *name)
{
	for (size_t i = 0; i < KEYRING_KEYS_MOST; i++) {
		struct kept_key *kept = &keyring->kept[i];
		if (kept->name != NULL && strcmp(kept->name, name) == 0) {
			return clock_boot_ns() < kept->until_ns ? kept : NULL;
		}
	}
	return NULL;
}

enum key_found
keyring_find(struct keyring *keyring, const struct source *source, struct span name, EVP_PKEY **ret)
{
	char *full = full_name(source, name);
	enum key_found found = KEY_UNAVAILABLE;
	(void)pthread_mutex_lock(&keyring->lock);
	const struct kept_key *kept = find_kept(keyring, full);
	if (kept != NULL && kept->key != NULL) {
		ALWAYS(EVP_PKEY_up_ref(kept->key) == 1, "key-reference");
		*ret = kept->key;
		found = KEY_FOUND;
	} else if (kept != NULL && kept->absent) {
		found = KEY_ABSENT;
	}
	(void)pthread_mutex_unlock(&keyring->lock);
	free(full);
	return found;
}

/* Takes over the key. */
static void
keep(struct keyring *keyring, const char *name, EVP_PKEY *key, bool absent, int64_t for_ns)
{
	(void)pthread_mutex_lock(&keyring->lock);
	struct kept_key *place = NULL;
	for (size_t i = 0; i < KEYRING_KEYS_MOST && place == NULL; i++) {
		bool same =
			keyring->kept[i].name != NULL && strcmp(keyring->kept[i].name, name) == 0;
		place = same ? &keyring->kept[i] : NULL;
	}
	if (place == NULL) {
		place = &keyring->kept[keyring->next];
		keyring->next = (keyring->next + 1) % KEYRING_KEYS_MOST;
	}
	EVP_PKEY_free(place->key);
	free(place->name);
	*place = (struct kept_key){ .name = memory_text(name),
		                    .key = key,
		                    .absent = absent,
		                    .until_ns = clock_boot_ns() + for_ns };
	(void)pthread_mutex_unlock(&keyring->lock);
}

static bool
is_kept(struct keyring *keyring, const char *name)
{
	(void)pthread_mutex_lock(&keyring->lock);
	bool kept = find_kept(keyring, name) != NULL;
	(void)pthread_mutex_unlock(&keyring->lock);
	return kept;
}

/* --- on disk --- */

static char *
file_of(const struct keyring *keyring, const char *name)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct buffer path;
	bool made = EVP_Digest(name, strlen(name), hash, NULL, EVP_sha256(), NULL) == 1;
	ALWAYS(made, "name-digest");
	buffer_init(&path, 8192);
	buffer_format(&path, "%s/", keyring->directory);
	hex_encode(&path, hash, 32);
	return buffer_steal(&path);
}

static void
write_kept(const struct keyring *keyring, const char *name, struct span text)
{
	char *path = file_of(keyring, name);
	struct buffer draft;
	buffer_init(&draft, 8192);
	buffer_format(&draft, "%s.new", path);
	buffer_byte(&draft, '\0');
	(void)mkdir(keyring->directory, 0700);
	int fd = open(draft.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool good = fd >= 0 && write(fd, text.data, text.size) == (ssize_t)text.size;
	if (fd >= 0) {
		good = close(fd) == 0 && good;
	}
	if (!good || rename(draft.data, path) != 0) { /* it is fetched again after a restart */
		log_say(LOG_WARN, "key.not_kept", "%s cannot be written: %s", path,
		        strerror(errno));
		(void)unlink(draft.data);
	}
	buffer_finish(&draft);
	free(path);
}

static bool
read_kept(const struct keyring *keyring, const char *name, struct buffer *text)
{
	char *path = file_of(keyring, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char data[4096];
	ssize_t got = 0;
	while (fd >= 0 && (got = read(fd, data, sizeof(data))) > 0) {
		buffer_append(text, data, (size_t)got);
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	free(path);
	return fd >= 0 && got == 0 && text->size > 0 && !text->failed;
}

/* --- fetching --- */

/* A bucket of fetches, so that nobody can make us an attacker of somebody else. */
static bool
may_fetch(struct keyring *keyring)
{
	int64_t now = clock_boot_ns();
	int64_t each = 60 * NS_PER_S / KEYRING_FETCHES_A_MINUTE;
	keyring->tokens_ns += now - keyring->filled_ns;
	keyring->filled_ns = now;
	if (keyring->tokens_ns > 60 * NS_PER_S) {
		keyring->tokens_ns = 60 * NS_PER_S;
	}
	if (keyring->tokens_ns < each) {
		return false;
	}
	keyring->tokens_ns -= each;
	return true;
}

static void
say_failed(const struct key_wish *wish, const struct error *err)
{
	struct log_line line;
	log_begin(&line, LOG_WARN, "key.unavailable",
	          "a key of %s cannot be had; its events are answered 503 until it can",
	          wish->source->name);
	log_text(&line, "source", span_of(wish->source->name));
	log_text(&line, "key", span_of(wish->name));
	log_error(&line, err);
	log_end(&line);
}

static void
fetch_key(struct keyring *keyring, const struct key_wish *wish, const char *name)
{
	struct error err;
	struct buffer text;
	EVP_PKEY *key = NULL;
	bool absent = false;
	buffer_init(&text, KEYRING_ANSWER_MOST_BYTES);
	bool jwk = wish->source->scheme.algorithm == SCHEME_JWT;
	int64_t for_ns = KEYRING_JWK_NS;
	if (read_kept(keyring, name, &text) &&
	    fetch_parse(wish, buffer_view(&text), &key, &for_ns, &err)) {
		keep(keyring, name, key, false, for_ns);
		buffer_finish(&text);
		return;
	}
	text.size = 0;
	text.failed = false;
	if (!may_fetch(keyring)) {
		(void)error_set(&err, ERROR_LIMIT,
		                "more than %d keys were asked for within a minute",
		                KEYRING_FETCHES_A_MINUTE);
	} else if (fetch_get(wish, &text, &absent, &err) && !absent &&
	           fetch_parse(wish, buffer_view(&text), &key, &for_ns, &err)) {
		write_kept(keyring, name, buffer_view(&text));
		log_say(LOG_INFO, "key.fetched", "%s", jwk ? name : wish->name);
	}
	if (key == NULL && absent) {
		(void)error_set(&err, ERROR_NOT_FOUND, "there is no key of this name");
	}
	if (key == NULL) {
		say_failed(wish, &err);
	}
	keep(keyring, name, key, absent, key == NULL ? KEYRING_REFUSED_NS : for_ns);
	buffer_finish(&text);
}

static void
visit(struct keyring *keyring, const struct key_wish *wish)
{
	struct error err = { 0 };
	struct buffer text;
	bool absent = false;
	bool good = false;
	buffer_init(&text, KEYRING_ANSWER_MOST_BYTES);
	for (int i = 0; i < VISITS_MOST && !good && !atomic_load(&keyring->stopping); i++) {
		if (i > 0) {
			queue_wait(&keyring->wishes, VISIT_PAUSE_MS * NS_PER_MS);
		}
		text.size = 0;
		good = fetch_visit(wish, &text, &err);
	}
	struct log_line line;
	log_begin(&line, good ? LOG_INFO : LOG_ERROR,
	          good ? "subscription.confirmed" : "subscription.failed", "%s",
	          good ? "the subscription is confirmed: its SubscribeURL was visited"
	               : "the SubscribeURL cannot be visited; ask for the confirmation again");
	log_text(&line, "source", span_of(wish->source->name));
	if (!good) {
		log_error(&line, &err);
	}
	log_end(&line);
	(void)absent;
	buffer_finish(&text);
}

static void
grant(struct keyring *keyring, struct key_wish *wish)
{
	if (wish->visit) {
		visit(keyring, wish);
	} else {
		char *name = full_name(wish->source, span_of(wish->name));
		if (!is_kept(keyring, name) && clock_boot_ns() < wish->deadline_ns &&
		    !atomic_load(&keyring->stopping)) {
			fetch_key(keyring, wish, name);
		}
		free(name);
	}
	if (wish->done != NULL) {
		wish->done(wish);
	} else {
		key_wish_free(wish);
	}
}

static void
run(void *context)
{
	struct keyring *keyring = context;
	thread_is(&keyring_thread);
	for (;;) {
		struct queue_item *item = queue_take(&keyring->wishes);
		if (item == NULL && atomic_load(&keyring->stopping)) {
			break;
		}
		while (item != NULL) {
			struct queue_item *next = item->next;
			grant(keyring, CONTAINER(item, struct key_wish, item));
			item = next;
		}
		if (!atomic_load(&keyring->stopping)) {
			queue_wait(&keyring->wishes, -1);
		}
	}
	fetch_thread_finish();
}

void
keyring_wish(struct keyring *keyring, struct key_wish *wish)
{
	queue_push(&keyring->wishes, &wish->item);
}

void
key_wish_free(struct key_wish *wish)
{
	config_release(wish->config);
	free(wish->name);
	free(wish);
}

/* --- life --- */

bool
keyring_create(struct keyring **ret, const char *directory, struct error *err)
{
	struct keyring *keyring = memory_need(sizeof(*keyring));
	if (!queue_init(&keyring->wishes, err)) {
		free(keyring);
		return false;
	}
	(void)pthread_mutex_init(&keyring->lock, NULL);
	keyring->directory = memory_text(directory);
	keyring->tokens_ns = 60 * NS_PER_S;
	keyring->filled_ns = clock_boot_ns();
	*ret = keyring;
	return true;
}

bool
keyring_start(struct keyring *keyring, struct error *err)
{
	keyring->started = thread_start(&keyring->thread, &keyring_thread, run, keyring, err);
	return keyring->started;
}

void
keyring_stop(struct keyring *keyring)
{
	if (keyring == NULL || !keyring->started) {
		return;
	}
	atomic_store(&keyring->stopping, true);
	queue_wake(&keyring->wishes);
	(void)pthread_join(keyring->thread, NULL);
	keyring->started = false;
}

void
keyring_destroy(struct keyring *keyring)
{
	if (keyring == NULL) {
		return;
	}
	keyring_stop(keyring);
	for (struct queue_item *item = queue_take(&keyring->wishes); item != NULL;) {
		struct queue_item *next = item->next;
		key_wish_free(CONTAINER(item, struct key_wish, item));
		item = next;
	}
	for (size_t i = 0; i < KEYRING_KEYS_MOST; i++) {
		EVP_PKEY_free(keyring->kept[i].key);
		free(keyring->kept[i].name);
	}
	queue_finish(&keyring->wishes);
	(void)pthread_mutex_destroy(&keyring->lock);
	free(keyring->directory);
	free(keyring);
}
