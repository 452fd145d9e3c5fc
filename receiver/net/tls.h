/* TLS 1.2 and 1.3 with a certificate that is reloaded when its files change: a good new pair is used for new
 * handshakes, a bad one is refused and the old one kept.
 * Threads: tls_new() on any loop, tls_reload() on the main thread. */
#ifndef HOOKLATCH_NET_TLS_H
#define HOOKLATCH_NET_TLS_H

#include <openssl/ssl.h>

#include "receiver/base/error.h"

struct tls;

bool tls_open(struct tls **ret, const char *certificate, const char *key, struct error *err)
	MUST_CHECK;
void tls_close(struct tls *tls); /* takes NULL */
/* Whether the pair could be opened. */
bool tls_check(const char *certificate, const char *key, struct error *err) MUST_CHECK;
SSL *tls_new(struct tls *tls); /* NULL when there is no memory */
/* Looks at the files; *changed says whether a new pair was taken. False: the new pair is bad, told once a change. */
bool tls_reload(struct tls *tls, bool *changed, struct error *err) MUST_CHECK;
const char *tls_certificate(const struct tls *tls);

#endif
