/* Bytes as text: hexadecimal and base64 (RFC 4648), percent-encoding (RFC 3986), UTF-8 (RFC 3629), JSON
 * strings (RFC 8259). Decoders are strict: anything that is not exactly the encoding is refused. */
#ifndef HOOKLATCH_BASE_ENCODING_H
#define HOOKLATCH_BASE_ENCODING_H

#include "receiver/base/bytes.h"

/* Decoders write at most `room` bytes to `out`; *size is what was written. Hex may be upper-case. */
bool hex_decode(struct span text, unsigned char *out, size_t room, size_t *size) MUST_CHECK;
bool base64_decode(struct span text, unsigned char *out, size_t room, size_t *size) MUST_CHECK;
/* The URL-safe alphabet without padding: RFC 4648 section 5. */
bool base64url_decode(struct span text, unsigned char *out, size_t room, size_t *size) MUST_CHECK;
void base64url_encode(struct buffer *out, const unsigned char *data, size_t size);
/* A number in `digits` digits and their end, with zeros before it. */
void hex_number(uint64_t number, size_t digits, char *text);
void hex_encode(struct buffer *out, const unsigned char *data, size_t size); /* lower-case */
void base64_encode(struct buffer *out, const unsigned char *data, size_t size);

/* Everything but unreserved characters becomes %XX. */
void percent_encode(struct buffer *out, struct span text);
bool percent_decode(struct buffer *out, struct span text) MUST_CHECK;

bool utf8_valid(struct span text);
size_t utf8_valid_prefix(struct span text); /* bytes before the first that is none */
/* Characters of several bytes that a reader does not see, or that turn around what he sees: C1 controls, directions, zero width,
 * separators of lines. Returns the size of the one at `at`, with its code point; 0: it is another one. */
size_t utf8_unseen(struct span text, size_t at, unsigned *code);
/* The same as utf8_valid(), and without control characters: C0, DEL, C1. */
bool utf8_plain(struct span text);
/* A JSON string with its quotes. Bytes that are not UTF-8 are read as ISO 8859-1, so that it is always valid. */
void json_quote(struct buffer *out, struct span text);

#endif
