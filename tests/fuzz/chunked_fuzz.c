/* A chunked body, fed in pieces of every kind: it means the same as whole. A decoder that is as plain as RFC 9112 section 7.1
 * reads the same out of it, and what was encoded comes out again. */
#include <string.h>

#include "receiver/net/http1_body.h"

#include "tests/fuzz/fuzz.h"

#define SIZE_DIGITS_MOST 15

struct reading {
	enum http1_status status;
	struct buffer content;
	size_t end; /* behind the body's last byte */
	const char *wrong;
};

static void
feed(struct http1_body *body, struct span piece, struct reading *reading)
{
	char *copy = fuzz_copy(piece);
	size_t at = 0;
	while (at < piece.size && reading->status == HTTP1_MORE) {
		size_t consumed = 0;
		struct span content = { 0 };
		size_t direct = http1_body_direct(body);
		reading->status =
			http1_body_take(body, copy + at, piece.size - at, &consumed, &content);
		reading->wrong = body->wrong;
		if (reading->status == HTTP1_BAD || reading->status == HTTP1_TOO_LARGE) {
			break;
		}
		PROPERTY(consumed > 0 && consumed <= piece.size - at);
		PROPERTY(content.size <= consumed && (direct == 0 || content.size <= direct));
		PROPERTY(content.size == 0 || content.data + content.size == copy + at + consumed);
		buffer_span(&reading->content, content);
		at += consumed;
		reading->end += consumed;
	}
	free(copy);
}

/* In pieces of `step` bytes, the first of `first`. */
static void
read_pieces(struct span text, size_t first, size_t step, struct reading *reading)
{
	static struct http1_body body;
	struct http1_head head = { .chunked = true, .minor = 1 };
	*reading = (struct reading){ .status = HTTP1_MORE };
	buffer_init(&reading->content, text.size + 1);
	http1_body_init(&body, &head);
	feed(&body, fuzz_take(&text, first), reading);
	while (text.size > 0 && reading->status == HTTP1_MORE) {
		feed(&body, fuzz_take(&text, step), reading);
	}
	PROPERTY(http1_body_ended(&body) == (reading->status == HTTP1_DONE));
	PROPERTY((reading->status == HTTP1_BAD) == (reading->wrong != NULL));
}

static bool
same(const struct reading *a, const struct reading *b)
{
	bool ended = a->status == HTTP1_DONE || a->status == HTTP1_MORE;
	return a->status == b->status && (!ended || a->end == b->end) &&
	       span_equal(buffer_view(&a->content), buffer_view(&b->content)) &&
	       (a->wrong == NULL || strcmp(a->wrong, b->wrong) == 0);
}

/* --- the plain decoder --- */

static bool
is_tchar(char byte)
{
	return byte != '\0' && strchr("!#$%&'*+-.^_`|~0123456789"
	                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
	                              byte) != NULL;
}

static bool
take_token(struct span *text)
{
	size_t size = 0;
	while (size < text->size && is_tchar(text->data[size])) {
		size++;
	}
	(void)fuzz_take(text, size);
	return size > 0;
}

static bool
take_byte(struct span *text, char byte)
{
	bool there = text->size > 0 && text->data[0] == byte;
	(void)fuzz_take(text, there ? 1 : 0);
	return there;
}

static bool
take_quoted(struct span *text)
{
	while (text->size > 0 && text->data[0] != '"') {
		(void)take_byte(text, '\\');
		unsigned char byte = text->size > 0 ? (unsigned char)text->data[0] : 0;
		if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
			return false;
		}
		(void)fuzz_take(text, 1);
	}
	return take_byte(text, '"');
}

/* chunk-ext, without the whitespace that the grammar calls bad. */
static bool
take_extensions(struct span *text)
{
	while (take_byte(text, ';')) {
		if (!take_token(text)) {
			return false;
		}
		if (take_byte(text, '=') &&
		    !(take_byte(text, '"') ? take_quoted(text) : take_token(text))) {
			return false;
		}
	}
	return true;
}

static bool
take_crlf(struct span *text)
{
	return take_byte(text, '\r') && take_byte(text, '\n');
}

static bool
take_size(struct span *text, size_t *size)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	size_t count = 0;
	const char *found;
	*size = 0;
	while (text->size > 0 && text->data[0] != '\0' &&
	       (found = strchr(digits, text->data[0])) != NULL) {
		*size = *size * 16 + (size_t)(found - digits) % 16;
		(void)fuzz_take(text, 1);
		if (++count > SIZE_DIGITS_MOST) {
			return false;
		}
	}
	return count > 0 && take_extensions(text) && take_crlf(text);
}

static bool
take_trailer(struct span *text)
{
	const char *feed_at = memchr(text->data, '\n', text->size);
	if (feed_at == NULL || !take_token(text) || !take_byte(text, ':')) {
		return false;
	}
	while (text->size > 1 && text->data[0] != '\r') {
		unsigned char byte = (unsigned char)text->data[0];
		if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
			return false;
		}
		(void)fuzz_take(text, 1);
	}
	return take_crlf(text);
}

/* Whether the text begins with a whole body; *end is behind it. */
static bool
plain_decode(struct span text, struct buffer *content, size_t *end)
{
	struct span rest = text;
	size_t size;
	while (take_size(&rest, &size)) {
		if (size == 0) {
			while (rest.size > 0 && rest.data[0] != '\r') {
				const char *line = rest.data;
				if (!take_trailer(&rest) ||
				    (size_t)(rest.data - line) > HTTP1_TRAILER_LINE_MOST) {
					return false;
				}
			}
			*end = text.size - rest.size + 2;
			return take_crlf(&rest);
		}
		if (size > rest.size) {
			return false;
		}
		buffer_span(content, fuzz_take(&rest, size));
		if (!take_crlf(&rest)) {
			return false;
		}
	}
	return false;
}

static void
compare(struct span text, const struct reading *reading)
{
	struct buffer content;
	size_t end = 0;
	buffer_init(&content, text.size + 1);
	bool whole = plain_decode(text, &content, &end);
	PROPERTY(whole == (reading->status == HTTP1_DONE));
	PROPERTY(!whole || (end == reading->end &&
	                    span_equal(buffer_view(&content), buffer_view(&reading->content))));
	buffer_finish(&content);
}

/* The text as content, in chunks whose sizes it tells itself. */
static void
encode_and_read(struct span text)
{
	static const char *const extensions[] = { "", ";a", ";a=b", ";a=\"\\\" \xff\"", ";a;b=c" };
	struct buffer made;
	struct reading reading;
	struct span rest = text;
	buffer_init(&made, text.size * 32 + 64);
	while (rest.size > 0) {
		unsigned dice = (unsigned char)rest.data[0];
		struct span piece = fuzz_take(&rest, 1 + dice % 64);
		buffer_format(&made, dice % 2 == 0 ? "%zx%s\r\n" : "%04zX%s\r\n", piece.size,
		              extensions[dice % COUNT(extensions)]);
		buffer_span(&made, piece);
		buffer_text(&made, "\r\n");
	}
	buffer_text(&made, text.size % 2 == 0 ? "0\r\n\r\n" : "000\r\nX-Sum: 1\r\nY:\r\n\r\n");
	PROPERTY(!made.failed);
	size_t size = made.size;
	buffer_text(&made, "GET /");
	read_pieces(buffer_view(&made), size / 2, 1 + size % 13, &reading);
	PROPERTY(reading.status == HTTP1_DONE && reading.end == size);
	PROPERTY(span_equal(buffer_view(&reading.content), text));
	buffer_finish(&reading.content);
	buffer_finish(&made);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct reading whole;
	struct reading pieces;
	const size_t firsts[] = { 1, size / 2, size * 2 / 3 };
	const size_t steps[] = { 1, size + 1, 1 + size % 7 };
	read_pieces(text, size, 1, &whole);
	for (size_t i = 0; i < COUNT(steps); i++) {
		read_pieces(text, firsts[i], steps[i], &pieces);
		PROPERTY(same(&whole, &pieces));
		buffer_finish(&pieces.content);
	}
	if (whole.status != HTTP1_TOO_LARGE) {
		compare(text, &whole);
	}
	buffer_finish(&whole.content);
	encode_and_read(text);
	return 0;
}
