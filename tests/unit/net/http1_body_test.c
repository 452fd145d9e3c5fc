#include "receiver/net/http1_body.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

#define CONTENT_MOST 4096

static const char *const status_names[] = {
	[HTTP1_MORE] = "more",
	[HTTP1_DONE] = "done",
	[HTTP1_BAD] = "bad",
	[HTTP1_TOO_LARGE] = "too large",
};

struct result {
	enum http1_status status;
	char content[CONTENT_MOST];
	size_t size;
	size_t used;
	const char *wrong;
};

enum reading {
	READ_PIECES, /* through http1_body_take() */
	READ_DIRECT, /* content past the parser, as the net loop does with large bodies */
};

/* Takes one piece of input, up to its end or the body's. */
static void
take_piece(struct http1_body *body, struct span piece, enum reading reading, struct result *result)
{
	while (piece.size > 0 && result->status == HTTP1_MORE) {
		size_t consumed = 0;
		struct span content = { 0 };
		size_t direct = http1_body_direct(body);
		if (reading == READ_DIRECT && direct > 0) {
			consumed = direct < piece.size ? direct : piece.size;
			content = (struct span){ piece.data, consumed };
			http1_body_took(body, consumed);
			result->status = http1_body_ended(body) ? HTTP1_DONE : HTTP1_MORE;
		} else {
			result->status =
				http1_body_take(body, piece.data, piece.size, &consumed, &content);
		}
		if (result->status == HTTP1_BAD || result->status == HTTP1_TOO_LARGE) {
			result->wrong = body->wrong;
			return;
		}
		if (!CHECK(consumed > 0 && consumed <= piece.size) ||
		    !CHECK(content.size == 0 ||
		           (content.data >= piece.data &&
		            content.data + content.size <= piece.data + consumed)) ||
		    !CHECK(result->size + content.size <= CONTENT_MOST)) {
			result->status = HTTP1_BAD;
			return;
		}
		if (content.size > 0) {
			memcpy(result->content + result->size, content.data, content.size);
			result->size += content.size;
		}
		result->used += consumed;
		piece = span_after(piece, consumed);
	}
}

static void
begin(struct http1_body *body, int64_t length, struct result *result)
{
	static struct http1_head head;
	http1_head_init(&head);
	head.chunked = length < 0;
	head.has_length = length >= 0;
	head.length = length < 0 ? 0 : length;
	http1_body_init(body, &head);
	*result = (struct result){ .status = http1_body_ended(body) ? HTTP1_DONE : HTTP1_MORE };
}

static void
same_result(const struct result *a, const struct result *b, const char *how, size_t at,
            struct span text)
{
	CHECK_ROW(a->status == b->status && a->size == b->size &&
	                  memcmp(a->content, b->content, a->size) == 0,
	          "%s %zu: %s with %zu, not %s with %zu: %s", how, at, status_names[b->status],
	          b->size, status_names[a->status], a->size, check_quote(text));
	CHECK_ROW(a->status == HTTP1_BAD || a->status == HTTP1_TOO_LARGE || a->used == b->used,
	          "%s %zu: %zu used, not %zu: %s", how, at, b->used, a->used, check_quote(text));
	CHECK_ROW((a->wrong == NULL) == (b->wrong == NULL) &&
	                  (a->wrong == NULL || strcmp(a->wrong, b->wrong) == 0),
	          "%s %zu: %s, not %s: %s", how, at, b->wrong, a->wrong, check_quote(text));
}

/* Reads `text` as a body as a whole, and checks that pieces make no difference. length < 0: chunked. */
static const struct result *
read_body(struct span text, int64_t length)
{
	static struct http1_body body;
	static struct result whole;
	static struct result other;
	begin(&body, length, &whole);
	take_piece(&body, edge_copy(0, text), READ_PIECES, &whole);
	for (size_t split = 0; split <= text.size && check.failures == 0; split++) {
		enum reading reading = split % 2 == 0 ? READ_PIECES : READ_DIRECT;
		begin(&body, length, &other);
		take_piece(&body, edge_copy(1, (struct span){ text.data, split }), reading, &other);
		take_piece(&body, edge_copy(1, span_after(text, split)), reading, &other);
		same_result(&whole, &other, "split at", split, text);
	}
	for (int reading = READ_PIECES; reading <= READ_DIRECT; reading++) {
		begin(&body, length, &other);
		for (size_t i = 0; i < text.size; i++) {
			take_piece(&body, edge_copy(1, (struct span){ text.data + i, 1 }),
			           (enum reading)reading, &other);
		}
		same_result(&whole, &other, "byte by byte", 1, text);
	}
	return &whole;
}

/* --- by length --- */

static void
a_body_by_length_ends_at_its_length(void)
{
	static const char text[] = "0123456789POST / HTTP/1.1\r\n";
	for (int64_t length = 0; length <= 10; length++) {
		const struct result *result =
			read_body((struct span){ text, sizeof(text) - 1 }, length);
		CHECK_ROW(result->status == HTTP1_DONE && result->size == (size_t)length &&
		                  result->used == (size_t)length &&
		                  memcmp(result->content, text, result->size) == 0,
		          "%" PRId64, length);
	}
	const struct result *result = read_body(SPAN("0123"), 5);
	CHECK(result->status == HTTP1_MORE && result->size == 4);
	result = read_body(SPAN("0123"), INT64_MAX);
	CHECK(result->status == HTTP1_MORE && result->size == 4);
}

/* --- chunked --- */

static void
chunks_are_put_together(void)
{
	static const struct {
		struct span text;
		struct span content;
	} rows[] = {
		/* RFC 9112 section 7.1 */
		{ TEXT("0\r\n\r\n"), TEXT("") },
		{ TEXT("5\r\nhello\r\n0\r\n\r\n"), TEXT("hello") },
		{ TEXT("5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"), TEXT("hello, world") },
		{ TEXT("1\r\n\r\r\n2\r\n\n0\r\n0\r\n\r\n"), TEXT("\r\n0") },
		{ TEXT("a\r\n0123456789\r\n0\r\n\r\n"), TEXT("0123456789") },
		{ TEXT("A\r\n0123456789\r\n0\r\n\r\n"), TEXT("0123456789") },
		{ TEXT("00000000000000a\r\n0123456789\r\n000\r\n\r\n"), TEXT("0123456789") },
		{ TEXT("1f\r\n0123456789012345678901234567890\r\n0\r\n\r\n"),
		  TEXT("0123456789012345678901234567890") },
		/* section 7.1.1: extensions */
		{ TEXT("2;a\r\nhi\r\n0;b\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;a=b;c=d\r\nhi\r\n0\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;a=\"b;c, d\"\r\nhi\r\n0\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;a=\"\\\"\\\\\";b\r\nhi\r\n0\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;a=\"\"\r\nhi\r\n0\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;a=\"\tgr\xfc\xc3\xbc\"\r\nhi\r\n0\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;a=\"\\\xfc\\a\\\t\";b=\"\"\r\nhi\r\n0;c=\"d\"\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;a=\"\";b;c=d\r\nhi\r\n0;a;b\r\n\r\n"), TEXT("hi") },
		{ TEXT("2;!#$%&'*+-.^_`|~09azAZ=!#$%&'*+-.^_`|~09azAZ\r\nhi\r\n0\r\n\r\n"),
		  TEXT("hi") },
		/* section 7.1.2: trailers */
		{ TEXT("2\r\nhi\r\n0\r\nA: b\r\n\r\n"), TEXT("hi") },
		{ TEXT("0\r\nA:\r\nB: c d \r\nContent-Length: 5\r\n\r\n"), TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct result *result = read_body(rows[i].text, -1);
		CHECK_ROW(result->status == HTTP1_DONE && result->used == rows[i].text.size,
		          "%s: %s, %s, %zu used", check_quote(rows[i].text),
		          status_names[result->status], result->wrong, result->used);
		CHECK_ROW(span_equal((struct span){ result->content, result->size },
		                     rows[i].content),
		          "%s", check_quote(rows[i].text));
		for (size_t size = 0; size < rows[i].text.size; size++) {
			static struct http1_body body;
			static struct result part;
			begin(&body, -1, &part);
			take_piece(&body, (struct span){ rows[i].text.data, size }, READ_PIECES,
			           &part);
			CHECK_ROW(part.status == HTTP1_MORE, "%zu of %s", size,
			          check_quote(rows[i].text));
		}
	}
}

/* RFC 9110 section 5.6.4: quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text ) */
static void
a_quoted_pair_may_be_a_blank(void)
{
	const struct result *result = read_body(SPAN("2;a=\"\\ \\\t\"\r\nhi\r\n0\r\n\r\n"), -1);
	CHECK_ROW(result->status == HTTP1_DONE, "%s", result->wrong);
}

static void
what_follows_a_chunked_body_is_left(void)
{
	static const struct span text = TEXT("2\r\nhi\r\n0\r\n\r\nPOST / HTTP/1.1\r\n");
	const struct result *result = read_body(text, -1);
	CHECK(result->status == HTTP1_DONE && result->used == 12);
}

static void
bad_chunks_are_refused(void)
{
	static const struct {
		struct span text;
		const char *why; /* section of RFC 9112 */
	} rows[] = {
		/* section 7.1: chunk-size = 1*HEXDIG, then CRLF */
		{ TEXT("\r\n"), "7.1: no digit" },
		{ TEXT(";a\r\n"), "7.1: no digit" },
		{ TEXT("g\r\n"), "7.1: no hexadecimal digit" },
		{ TEXT("0x5\r\nhello\r\n"), "7.1: a prefix" },
		{ TEXT("+5\r\nhello\r\n"), "7.1: a sign" },
		{ TEXT("-1\r\n"), "7.1: a sign" },
		{ TEXT(" 5\r\nhello\r\n"), "7.1: whitespace before the size" },
		{ TEXT("\t5\r\nhello\r\n"), "7.1: whitespace before the size" },
		{ TEXT("5 \r\nhello\r\n"), "7.1: whitespace behind the size" },
		{ TEXT("5\t;a\r\nhello\r\n"), "7.1.1: whitespace behind the size" },
		{ TEXT("5.0\r\nhello\r\n"), "7.1: a fraction" },
		{ TEXT("5_\r\nhello\r\n"), "7.1: an underscore" },
		{ TEXT("\0\r\n"), "7.1: a NUL" },
		{ TEXT("5\0\r\nhello\r\n"), "7.1: a NUL" },
		{ TEXT("5\nhello\r\n0\r\n\r\n"), "7.1: a bare LF" },
		{ TEXT("5\rhello\r\n0\r\n\r\n"), "7.1: a bare CR" },
		{ TEXT("5\r\rhello"), "7.1: a bare CR" },
		{ TEXT("0\n\n"), "7.1: a bare LF" },
		{ TEXT("0\r\n\n"), "7.1: a bare LF" },
		{ TEXT("0\r\n\r\r\n"), "7.1: a CR before CRLF" },
		/* section 7.1: recipients MUST anticipate potentially large numerals */
		{ TEXT("0000000000000005\r\nhello\r\n"), "7.1: 16 digits" },
		{ TEXT("10000000000000005\r\nhello\r\n"), "7.1: 2^64 + 5" },
		{ TEXT("ffffffffffffffff\r\n"), "7.1: 2^64 - 1" },
		{ TEXT("8000000000000000\r\n"), "7.1: 2^63" },
		/* section 7.1: chunk-data CRLF */
		{ TEXT("5\r\nhello0\r\n\r\n"), "7.1: data longer than its size" },
		{ TEXT("5\r\nhello\n0\r\n\r\n"), "7.1: a bare LF behind the data" },
		{ TEXT("5\r\nhello\r0\r\n\r\n"), "7.1: a bare CR behind the data" },
		{ TEXT("5\r\nhello\r\n\r\n"), "7.1: an empty line for a chunk" },
		{ TEXT("4\r\nhello\r\n0\r\n\r\n"), "7.1: data longer than its size" },
		/* section 7.1.1 */
		{ TEXT("5;a\nhello\r\n0\r\n\r\n"), "7.1.1: a bare LF behind an extension" },
		{ TEXT("5;a\rb\r\nhello\r\n"), "7.1.1: a bare CR in an extension" },
		{ TEXT("5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\n"), "7.1.1: CRLF in quotes" },
		{ TEXT("5;a=\"\n\"\r\nhello\r\n"), "7.1.1: LF in quotes" },
		{ TEXT("5;a=\"\\\n\"\r\nhello\r\n"), "7.1.1: LF in a quoted pair" },
		{ TEXT("5;a=\"\0\"\r\nhello\r\n"), "7.1.1: NUL in quotes" },
		{ TEXT("5;\0\r\nhello\r\n"), "7.1.1: NUL" },
		{ TEXT("5;a\x7f\r\nhello\r\n"), "7.1.1: a control character" },
		{ TEXT("5;a b\r\nhello\r\n"), "7.1.1: whitespace inside" },
		/* section 7.1.2, 5 */
		{ TEXT("0\r\nA\r\n\r\n"), "5: a trailer without a colon" },
		{ TEXT("0\r\nA : b\r\n\r\n"), "5.1: whitespace before the colon" },
		{ TEXT("0\r\n: b\r\n\r\n"), "5: no name" },
		{ TEXT("0\r\nA: b\r\n c\r\n\r\n"), "5.2: obs-fold" },
		{ TEXT("0\r\n \r\n\r\n"), "5.2: a line of whitespace" },
		{ TEXT("0\r\nA: b\n\r\n"), "2.2: a bare LF" },
		{ TEXT("0\r\nA: b\rc\r\n\r\n"), "2.2: a bare CR" },
		{ TEXT("0\r\nA: \0\r\n\r\n"), "RFC 9110 5.5: NUL" },
		{ TEXT("0\r\nGET / HTTP/1.1\r\n"), "5.1: a request in the trailers" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct result *result = read_body(rows[i].text, -1);
		CHECK_ROW(result->status == HTTP1_BAD && result->wrong != NULL, "%s: %s: %s",
		          rows[i].why, status_names[result->status], check_quote(rows[i].text));
	}
}

/* RFC 9112 section 7.1.1: *( ";" name [ "=" ( token / quoted-string ) ] ); each row stands behind the size of a good chunk. */
static void
bad_extensions_are_refused(void)
{
	static const struct {
		struct span text;
		const char *why;
	} rows[] = {
		{ TEXT(";"), "no name" },
		{ TEXT(";;a"), "no name" },
		{ TEXT(";a;"), "no name" },
		{ TEXT(";a=b;"), "no name" },
		{ TEXT(";a=\"b\";"), "no name" },
		{ TEXT(";=b"), "no name" },
		{ TEXT(";\"a\""), "a name in quotes" },
		{ TEXT(";a\"b\""), "quotes in a name" },
		{ TEXT(";a="), "no value" },
		{ TEXT(";a=;b"), "no value" },
		{ TEXT(";a==b"), "no value" },
		{ TEXT(";a=b=c"), "two values" },
		{ TEXT(";a=\"b\"=c"), "two values" },
		{ TEXT(";a=\"b\"\"c\""), "two values" },
		{ TEXT(";a=\"b\"c"), "a byte behind quotes" },
		{ TEXT(";a=b\"c\""), "quotes in a token" },
		{ TEXT(";a,b"), "no token" },
		{ TEXT(";a=b,c"), "no token" },
		{ TEXT(";a=b/c"), "no token" },
		{ TEXT(";a=\\b"), "no token" },
		{ TEXT(";\xfc"), "no token" },
		{ TEXT(";a=\xfc"), "no token" },
		{ TEXT("; a"), "whitespace before a name" },
		{ TEXT(";a =b"), "whitespace behind a name" },
		{ TEXT(";a\t"), "whitespace behind a name" },
		{ TEXT(";a= b"), "whitespace before a value" },
		{ TEXT(";a=\t\"b\""), "whitespace before a value" },
		{ TEXT(";a=b ;c"), "whitespace behind a value" },
		{ TEXT(";a=\"b\" ;c"), "whitespace behind a value" },
		{ TEXT(";a=\"b\" "), "whitespace behind a value" },
		{ TEXT(";a=\"\x7f\""), "a control character in quotes" },
		{ TEXT(";a=\"\x01\""), "a control character in quotes" },
		{ TEXT(";a=\"\\\x7f\""), "a control character in a quoted pair" },
		{ TEXT(";a=\"\\\0\""), "a control character in a quoted pair" },
		{ TEXT(";a=\"\\\r\n\""), "CRLF in a quoted pair" },
		{ TEXT(";a=\"b"), "quotes without end" },
		{ TEXT(";a=\"b\\\""), "quotes without end" },
		{ TEXT(";a\r;b"), "a bare CR" },
		{ TEXT(";a=b\n;c"), "a bare LF" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer text;
		buffer_init(&text, 256);
		buffer_text(&text, "5");
		buffer_span(&text, rows[i].text);
		buffer_text(&text, "\r\nhello\r\n0\r\n\r\n");
		const struct result *result = read_body(buffer_view(&text), -1);
		CHECK_ROW(result->status == HTTP1_BAD && result->wrong != NULL, "%s: %s: %s",
		          rows[i].why, status_names[result->status],
		          check_quote(buffer_view(&text)));
		buffer_finish(&text);
	}
}

/* --- limits --- */

/* `count` times "1;" and `size` bytes and a byte of content; then the end. */
static enum http1_status
with_extensions(size_t count, size_t size)
{
	static struct http1_body body;
	static struct result result;
	struct buffer text;
	buffer_init(&text, 1 << 20);
	for (size_t i = 0; i < count; i++) {
		buffer_text(&text, "1;");
		for (size_t j = 0; j < size; j++) {
			buffer_byte(&text, 'x');
		}
		buffer_text(&text, "\r\na\r\n");
	}
	buffer_text(&text, "0\r\n\r\n");
	begin(&body, -1, &result);
	take_piece(&body, buffer_view(&text), READ_PIECES, &result);
	buffer_finish(&text);
	return result.status;
}

static void
extensions_are_bounded_over_the_whole_body(void)
{
	size_t most = HTTP1_EXTENSIONS_MOST_BYTES;
	CHECK(with_extensions(1, most - 100) == HTTP1_DONE);
	CHECK(with_extensions(1, most + 1) == HTTP1_BAD);
	CHECK(with_extensions(100, most / 100 - 10) == HTTP1_DONE);
	CHECK(with_extensions(100, most / 100 + 1) == HTTP1_BAD);
}

static enum http1_status
with_trailers(size_t count, size_t size)
{
	static struct http1_body body;
	static struct result result;
	struct buffer text;
	buffer_init(&text, 1 << 20);
	buffer_text(&text, "0\r\n");
	for (size_t i = 0; i < count; i++) {
		buffer_text(&text, "a:");
		for (size_t j = 4; j < size; j++) {
			buffer_byte(&text, 'x');
		}
		buffer_text(&text, "\r\n");
	}
	buffer_text(&text, "\r\n");
	begin(&body, -1, &result);
	take_piece(&body, buffer_view(&text), READ_PIECES, &result);
	buffer_finish(&text);
	return result.status;
}

static void
trailers_are_bounded_by_line_and_together(void)
{
	CHECK(with_trailers(1, HTTP1_TRAILER_LINE_MOST) == HTTP1_DONE);
	CHECK(with_trailers(1, HTTP1_TRAILER_LINE_MOST + 2) == HTTP1_TOO_LARGE);
	CHECK(with_trailers(4, HTTP1_TRAILERS_MOST_BYTES / 4 - 10) == HTTP1_DONE);
	CHECK(with_trailers(5, HTTP1_TRAILERS_MOST_BYTES / 5 + 10) == HTTP1_TOO_LARGE);
	CHECK(with_trailers(20000, 5) == HTTP1_TOO_LARGE);
}

/* --- at random --- */

static void
put_chunks(struct random *random, struct buffer *text, struct buffer *content)
{
	static const char *const extensions[] = { "", ";a", ";a=b", ";a=\"\\\" ;=\"" };
	while (random_up_to(random, 4) > 0 && content->size < 1000) {
		size_t size = 1 + (size_t)random_up_to(random, 40);
		size_t extension = (size_t)random_up_to(random, COUNT(extensions) - 1);
		buffer_format(text, "%zx%s\r\n", size, extensions[extension]);
		for (size_t i = 0; i < size; i++) {
			char byte = "0\r\n;aZ\0\xff"[random_up_to(random, 7)];
			buffer_byte(text, byte);
			buffer_byte(content, byte);
		}
		buffer_text(text, "\r\n");
	}
	buffer_text(text, "0\r\n");
	if (random_up_to(random, 1) == 0) {
		buffer_text(text, "Digest: x\r\n");
	}
	buffer_text(text, "\r\n");
}

static void
random_bodies_come_out_as_they_went_in(void)
{
	struct random random;
	check_random(&random);
	for (int round = 0; round < 500 && check.failures == 0; round++) {
		struct buffer text;
		struct buffer content;
		buffer_init(&text, 65536);
		buffer_init(&content, 65536);
		put_chunks(&random, &text, &content);
		const struct result *result = read_body(buffer_view(&text), -1);
		CHECK_ROW(result->status == HTTP1_DONE && result->used == text.size &&
		                  span_equal((struct span){ result->content, result->size },
		                             buffer_view(&content)),
		          "%s", check_quote(buffer_view(&text)));
		/* And with a byte changed: any answer, but the same one in pieces. */
		text.data[random_up_to(&random, (int64_t)text.size - 1)] =
			"\r\n0;5 \"\\"[random_up_to(&random, 7)];
		(void)read_body(buffer_view(&text), -1);
		buffer_finish(&text);
		buffer_finish(&content);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a body by length ends at its length", a_body_by_length_ends_at_its_length },
		{ "chunks are put together, extensions and trailers dropped",
		  chunks_are_put_together },
		{ "a quoted pair may be a blank", a_quoted_pair_may_be_a_blank },
		{ "what follows a chunked body is left", what_follows_a_chunked_body_is_left },
		{ "bad chunks are refused", bad_chunks_are_refused },
		{ "bad chunk extensions are refused", bad_extensions_are_refused },
		{ "extensions are bounded over the whole body",
		  extensions_are_bounded_over_the_whole_body },
		{ "trailers are bounded by line and together",
		  trailers_are_bounded_by_line_and_together },
		{ "random bodies come out as they went in",
		  random_bodies_come_out_as_they_went_in },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
