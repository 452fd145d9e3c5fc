#include "receiver/net/tls.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>

#include "receiver/base/bytes.h"
#include "receiver/base/clock.h"
#include "receiver/net/wire.h"

#define HANDSHAKE_ROUNDS_MOST 16
#define TICKET_KEY_NS         (12 * 3600 * NS_PER_S)

struct file_mark {
	struct timespec changed;
	off_t size;
	ino_t inode;
};

struct tls {
	char *certificate;
	char *key;
	pthread_mutex_t lock;
	SSL_CTX *context;
	int64_t loaded_ns; /* wall time: the keys of its tickets are as old as the context */
	struct file_mark marks[2]; /* of the files when they were last looked at */
};

static bool
ssl_error(struct error *err, const char *what)
{
	char reason[256] = "unknown reason";
	unsigned long code = ERR_peek_last_error();
	if (code != 0) {
		ERR_error_string_n(code, reason, sizeof(reason));
	}
	ERR_clear_error();
	return error_set(err, ERROR_INVALID, "%s: %s", what, reason);
}

/* A key with a passphrase is refused: nobody sits at a service's terminal. */
static int
no_passphrase(char *text, int room, int writing, void *context) /* NOLINT: as OpenSSL wants */
{
	(void)text;
	(void)room;
	(void)writing;
	(void)context;
	return -1;
}

/* One step of a handshake. False: it cannot go on. */
static bool
step(SSL *side, bool *done)
{
	int code = SSL_do_handshake(side);
	*done = code == 1;
	int why = SSL_get_error(side, code);
	return code == 1 || why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static bool
shake_hands(SSL *server, SSL *client)
{
	bool done[2] = { false, false };
	for (int round = 0; round < HANDSHAKE_ROUNDS_MOST && !(done[0] && done[1]); round++) {
		if (!step(client, &done[0]) || !step(server, &done[1])) {
			return false;
		}
	}
	return done[0] && done[1];
}

/* A whole handshake with ourselves: what cannot be used shows now and not at the first event; and what OpenSSL fetches at
 * the first one is there before there is no memory for it. */
static bool
rehearse(SSL_CTX *context)
{
	SSL_CTX *other = SSL_CTX_new(TLS_client_method());
	SSL *server = SSL_new(context);
	SSL *client = other == NULL ? NULL : SSL_new(other);
	BIO *ends[2] = { NULL, NULL };
	bool good =
		server != NULL && client != NULL && BIO_new_bio_pair(&ends[0], 0, &ends[1], 0) == 1;
	if (good) {
		SSL_set_bio(server, ends[0], ends[0]);
		SSL_set_bio(client, ends[1], ends[1]);
		SSL_set_accept_state(server);
		SSL_set_connect_state(client);
		good = shake_hands(server, client);
	}
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(other);
	ERR_clear_error();
	return good;
}

static bool
load(const char *certificate, const char *key, SSL_CTX **ret, struct error *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	if (context == NULL || !wire_prepare()) {
		SSL_CTX_free(context);
		return ssl_error(err, "cannot set up TLS");
	}
	(void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	/* Without renegotiation and compression; one ticket instead of two saves a quarter of a handshake. */
	(void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	                                           SSL_OP_CIPHER_SERVER_PREFERENCE |
	                                           SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_num_tickets(context, 1);
	(void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(context, 1);
	(void)SSL_CTX_set_session_id_context(context, (const unsigned char *)"hooklatch", 9);
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	bool good = true;
	if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
		good = ssl_error(err, "cannot choose ciphers");
	} else if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
		good = ssl_error(err, "the certificate cannot be read");
		(void)error_prefix(err, "%s", certificate);
	} else if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
		good = ssl_error(err, "the key cannot be read, or is not that of the certificate");
		(void)error_prefix(err, "%s", key);
	} else if (SSL_CTX_check_private_key(context) != 1) {
		good = ssl_error(err, "the key is not that of the certificate");
		(void)error_prefix(err, "%s", key);
	}
	good = good && (rehearse(context) ||
	                error_set(err, ERROR_INVALID,
	                          "%s: no handshake is possible with it and its key", certificate));
	if (!good) {
		SSL_CTX_free(context);
		return false;
	}
	*ret = context;
	return true;
}

static void
look(const char *path, struct file_mark *mark)
{
	struct stat status;
	memset(mark, 0, sizeof(*mark));
	if (stat(path, &status) == 0) {
		mark->changed = status.st_mtim;
		mark->size = status.st_size;
		mark->inode = status.st_ino;
	}
}

static bool
same(const struct file_mark *a, const struct file_mark *b)
{
	return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
	       a->size == b->size && a->inode == b->inode;
}

bool
tls_check(const char *certificate, const char *key, struct error *err)
{
	SSL_CTX *context = NULL;
	bool good = load(certificate, key, &context, err);
	SSL_CTX_free(context);
	return good;
}

bool
tls_open(struct tls **ret, const char *certificate, const char *key, struct error *err)
{
	struct file_mark marks[2] = { 0 };
	look(certificate, &marks[0]);
	look(key, &marks[1]);
	SSL_CTX *context = NULL;
	if (!load(certificate, key, &context, err)) {
		return false;
	}
	struct tls *tls = memory_need(sizeof(*tls));
	tls->certificate = memory_text(certificate);
	tls->key = memory_text(key);
	(void)pthread_mutex_init(&tls->lock, NULL);
	(void)pthread_mutex_lock(&tls->lock);
	tls->context = context;
	tls->loaded_ns = clock_wall_ns();
	(void)pthread_mutex_unlock(&tls->lock);
	memcpy(tls->marks, marks, sizeof(marks));
	*ret = tls;
	return true;
}

void
tls_close(struct tls *tls)
{
	if (tls == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&tls->lock);
	SSL_CTX_free(tls->context);
	(void)pthread_mutex_unlock(&tls->lock);
	(void)pthread_mutex_destroy(&tls->lock);
	free(tls->certificate);
	free(tls->key);
	free(tls);
}

SSL *
tls_new(struct tls *tls)
{
	(void)pthread_mutex_lock(&tls->lock);
	SSL *ssl = SSL_new(tls->context); /* holds the context it was made from */
	(void)pthread_mutex_unlock(&tls->lock);
	return ssl;
}

bool
tls_reload(struct tls *tls, bool *changed, struct error *err)
{
	struct file_mark marks[2] = { 0 };
	look(tls->certificate, &marks[0]);
	look(tls->key, &marks[1]);
	*changed = false;
	int64_t now = clock_wall_ns();
	bool is_same = same(&marks[0], &tls->marks[0]) && same(&marks[1], &tls->marks[1]);
	bool is_old = now < tls->loaded_ns || now - tls->loaded_ns >= TICKET_KEY_NS;
	if (is_same && !is_old) {
		return true;
	}
	tls->loaded_ns =
		now; /* a bad pair is not tried again before it changes, or its time has come */
	memcpy(tls->marks, marks, sizeof(marks));
	SSL_CTX *context = NULL;
	if (!load(tls->certificate, tls->key, &context, err)) {
		return false;
	}
	(void)pthread_mutex_lock(&tls->lock);
	SSL_CTX *old = tls->context;
	tls->context = context;
	(void)pthread_mutex_unlock(&tls->lock);
	SSL_CTX_free(old);
	*changed = !is_same;
	return true;
}

const char *
tls_certificate(const struct tls *tls)
{
	return tls->certificate;
}
