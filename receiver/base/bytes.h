/* Bytes: a span is a view that owns nothing; a buffer grows and is born with its limit.
 * memory_need() is for what is small and must be there: without it the process ends cleanly.
 * What comes from the network in any size is taken with malloc() and its failure is answered. */
#ifndef HOOKLATCH_BASE_BYTES_H
#define HOOKLATCH_BASE_BYTES_H

#include "receiver/base/compiler.h"

struct span {
	const char *data; /* not terminated; may be NULL when size is 0 */
	size_t size;
};

#define SPAN(literal) ((struct span){ "" literal, sizeof(literal) - 1 })
#define SPAN_ARG(s)   (int)(s).size, (s).data /* for "%.*s" */

struct span span_of(const char *text); /* a terminated text, NULL is empty */
bool span_equal(struct span a, struct span b);
bool span_equal_nocase(struct span a, struct span b); /* ASCII */
bool span_starts(struct span text, struct span prefix);
struct span span_trim(
	struct span text); /* spaces and tabs at both ends: OWS of RFC 9110 section 5.6.3 */
struct span span_after(struct span text, size_t count);
char *span_copy(struct span text); /* terminated, the caller frees */
/* A decimal number of 1 to 18 digits and nothing else. */
bool span_number(struct span text, int64_t *ret) MUST_CHECK;

struct buffer {
	char *data;
	size_t size;
	size_t room;
	size_t limit;
	bool failed; /* an append did not fit or found no memory; sticky */
};

void buffer_init(struct buffer *buffer, size_t limit);
/* Over room that is the caller's: it never grows, what does not fit fails, and there is nothing to finish. */
struct buffer buffer_over(char *room, size_t size);
void buffer_finish(struct buffer *buffer);
/* Room for `more` bytes after size, at once; false when the limit or the memory says no. */
bool buffer_reserve(struct buffer *buffer, size_t more) MUST_CHECK;
void buffer_append(struct buffer *buffer, const void *data,
                   size_t size); /* look at `failed` once, at the end */
void buffer_text(struct buffer *buffer, const char *text);
void buffer_span(struct buffer *buffer, struct span text);
void buffer_number(struct buffer *buffer, int64_t number); /* in decimal */
void buffer_byte(struct buffer *buffer, char byte);
void buffer_lower(struct buffer *buffer, struct span text); /* ASCII letters in lower case */
void buffer_format(struct buffer *buffer, const char *format, ...) PRINTF(2, 3);
void buffer_consume(struct buffer *buffer, size_t count); /* from the front */
struct span buffer_view(const struct buffer *buffer);
/* The content as a terminated text that the caller frees; the buffer is empty afterwards. */
char *buffer_steal(struct buffer *buffer);

void *memory_need(size_t size); /* zeroed; never NULL: ends the process when there is none */
void *memory_resize(void *old, size_t size);
char *memory_text(const char *text); /* copy; NULL stays NULL */
void memory_wipe(void *data, size_t size);

#endif
