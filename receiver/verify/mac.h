/* Keyed hashes: HMAC (RFC 2104) with contexts that a thread keeps, because keying one anew costs more than the hash of
 * a small body. Threads: any; a kept context belongs to its thread and to one computation at a time. */
#ifndef HOOKLATCH_VERIFY_MAC_H
#define HOOKLATCH_VERIFY_MAC_H

#include "receiver/verify/secret.h"

#define MAC_MOST_BYTES 64

size_t mac_size(enum scheme_algorithm algorithm);
/* A context at its beginning: one of this thread's kept ones, or a new one that mac_free() frees. */
void *mac_kept(enum scheme_algorithm algorithm, const struct secret *secret);
void *mac_new(enum scheme_algorithm algorithm, const struct secret *secret);
void mac_free(void *context);
void mac_update(void *context, struct span text);
void mac_finish(void *context, unsigned char made[MAC_MOST_BYTES]);
/* All at once. */
void mac_once(enum scheme_algorithm algorithm, const struct secret *secret, struct span text,
              unsigned char made[MAC_MOST_BYTES]);

/* Frees what this thread has keyed with secrets that are gone; while no kept context is in use. */
void mac_thread_begin(void);
/* Frees what this thread keeps: before it ends, and when secrets change. */
void mac_thread_finish(void);

#endif
