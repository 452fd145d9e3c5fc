#include "receiver/net/http1_head.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

#define BYTES_MOST 4096
#define COUNT_MOST 16

static const char *const status_names[] = {
	[HTTP1_MORE] = "more",
	[HTTP1_DONE] = "done",
	[HTTP1_BAD] = "bad",
	[HTTP1_TOO_LARGE] = "too large",
};

/* --- the same result, however the bytes arrive --- */

static bool
same_slices(const struct http1_slice *a, const struct http1_slice *b, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (a[i].at != b[i].at || a[i].size != b[i].size) {
			return false;
		}
	}
	return true;
}

static bool
same_head(const struct http1_head *a, const struct http1_head *b, enum http1_status status)
{
	if (status == HTTP1_BAD) {
		return a->wrong != NULL && b->wrong != NULL && strcmp(a->wrong, b->wrong) == 0;
	}
	return same_slices(&a->method, &b->method, 1) && same_slices(&a->target, &b->target, 1) &&
	       same_slices(&a->path, &b->path, 1) && same_slices(&a->query, &b->query, 1) &&
	       a->minor == b->minor && a->count == b->count &&
	       same_slices(a->names, b->names, a->count) &&
	       same_slices(a->values, b->values, a->count) && a->size == b->size &&
	       a->has_length == b->has_length && a->length == b->length &&
	       a->chunked == b->chunked && a->keep_alive == b->keep_alive &&
	       a->expect_continue == b->expect_continue;
}

/* In two pieces, which lie at different places of memory, each ending where memory ends. */
static enum http1_status
parse_split(struct http1_head *head, struct span text, size_t split, size_t bytes_most,
            size_t count_most)
{
	http1_head_init(head);
	struct span first = edge_copy(1, (struct span){ text.data, split });
	enum http1_status status =
		http1_head_parse(head, first.data, first.size, bytes_most, count_most);
	if (status != HTTP1_MORE) {
		return status;
	}
	text = edge_copy(2, text);
	return http1_head_parse(head, text.data, text.size, bytes_most, count_most);
}

static enum http1_status
parse_bytewise(struct http1_head *head, struct span text, size_t bytes_most, size_t count_most)
{
	enum http1_status status = HTTP1_MORE;
	http1_head_init(head);
	for (size_t size = 0; size <= text.size && status == HTTP1_MORE; size++) {
		struct span part = edge_copy(1, (struct span){ text.data, size });
		status = http1_head_parse(head, part.data, part.size, bytes_most, count_most);
	}
	return status;
}

/* Parses as a whole into `head`, and checks that pieces make no difference. */
static enum http1_status
parse(struct http1_head *head, struct span text, size_t bytes_most, size_t count_most)
{
	static struct http1_head other;
	struct span whole = edge_copy(0, text);
	http1_head_init(head);
	enum http1_status status =
		http1_head_parse(head, whole.data, whole.size, bytes_most, count_most);
	for (size_t split = 0; split < text.size; split++) {
		enum http1_status pieces =
			parse_split(&other, whole, split, bytes_most, count_most);
		if (!CHECK_ROW(pieces == status && same_head(head, &other, status),
		               "split at %zu: %s, not %s: %s", split, status_names[pieces],
		               status_names[status], check_quote(text))) {
			break;
		}
	}
	enum http1_status bytes = parse_bytewise(&other, whole, bytes_most, count_most);
	CHECK_ROW(bytes == status && same_head(head, &other, status),
	          "byte by byte: %s, not %s: %s", status_names[bytes], status_names[status],
	          check_quote(text));
	return status;
}

/* --- good requests --- */

struct good {
	struct span text;
	struct span method;
	struct span path;
	struct span query;
	size_t count;
	int64_t length; /* -1: none */
	bool http10;
	bool chunked;
	bool closes;
	bool expects;
};

#define LINE "POST /hook HTTP/1.1\r\n"
#define HOST "Host: example.com\r\n"

static const struct good goods[] = {
	{ TEXT(LINE HOST "\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 1, .length = -1 },
	{ TEXT(LINE HOST "Content-Length: 5\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 2,
	  .length = 5 },
	/* RFC 9112 section 2.2: at least one empty line before the request-line is ignored */
	{ TEXT("\r\n" LINE HOST "\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 1, .length = -1 },
	/* section 3.1: the method is any token, and case counts */
	{ TEXT("get / HTTP/1.1\r\n" HOST "\r\n"), TEXT("get"), TEXT("/"), TEXT(""), 1,
	  .length = -1 },
	{ TEXT("!#$%&'*+-.^_`|~09AZaz / HTTP/1.1\r\n" HOST "\r\n"), TEXT("!#$%&'*+-.^_`|~09AZaz"),
	  TEXT("/"), TEXT(""), 1, .length = -1 },
	/* section 3.2.1: origin-form; nothing is decoded */
	{ TEXT("POST /a%2fb//../c;d?x=1?&y HTTP/1.1\r\n" HOST "\r\n"), TEXT("POST"),
	  TEXT("/a%2fb//../c;d"), TEXT("x=1?&y"), 1, .length = -1 },
	{ TEXT("POST /? HTTP/1.1\r\n" HOST "\r\n"), TEXT("POST"), TEXT("/"), TEXT(""), 1,
	  .length = -1 },
	/* section 3.2.2: absolute-form MUST be accepted */
	{ TEXT("POST http://example.com/hook?q HTTP/1.1\r\n" HOST "\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT("q"), 1, .length = -1 },
	{ TEXT("POST https://EXAMPLE.com:8443/hook HTTP/1.1\r\nHost: example.com:8443\r\n\r\n"),
	  TEXT("POST"), TEXT("/hook"), TEXT(""), 1, .length = -1 },
	/* section 3.2.4: asterisk-form */
	{ TEXT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), TEXT("OPTIONS"), TEXT("*"), TEXT(""), 1,
	  .length = -1 },
	/* section 3.2: an empty Host where the target has no authority */
	{ TEXT(LINE "Host:\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 1, .length = -1 },
	{ TEXT(LINE "Host: [2001:db8::1]:8443\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 1,
	  .length = -1 },
	/* RFC 3986 section 3.2.2: an address in brackets, a name with every kind of character */
	{ TEXT(LINE "Host: [2001:DB8::ffff:192.0.2.1]\r\n\r\n"), TEXT("POST"), TEXT("/hook"),
	  TEXT(""), 1, .length = -1 },
	{ TEXT(LINE "Host: Hooks-1.%5A%c3%bc_~!$&'()*+;=:80\r\n\r\n"), TEXT("POST"), TEXT("/hook"),
	  TEXT(""), 1, .length = -1 },
	/* section 5: names without regard to case; OWS around the value, tabs inside, obs-text, no value at all */
	{ TEXT(LINE "hOsT:example.com\r\nCONTENT-LENGTH:\t 5 \t\r\n\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT(""), 2, .length = 5 },
	{ TEXT(LINE HOST "X-A: a\tb  c\r\nX-B: gr\xfc\xc3\xbc\xff\r\nX-C:\r\nX-D: :\r\n\r\n"),
	  TEXT("POST"), TEXT("/hook"), TEXT(""), 5, .length = -1 },
	/* section 6.2 */
	{ TEXT(LINE HOST "Content-Length: 0\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 2,
	  .length = 0 },
	{ TEXT(LINE HOST "Content-Length: 0005\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 2,
	  .length = 5 },
	{ TEXT(LINE HOST "Content-Length: 9223372036854775799\r\n\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT(""), 2, .length = INT64_C(9223372036854775799) },
	/* section 6.3: a recipient MUST anticipate potentially large decimal numerals */
	{ TEXT(LINE HOST "Content-Length: 9223372036854775808\r\n\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT(""), 2, .length = INT64_MAX },
	{ TEXT(LINE HOST "Content-Length: 18446744073709551621\r\n\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT(""), 2, .length = INT64_MAX },
	/* section 6.1: coding names without regard to case */
	{ TEXT(LINE HOST "Transfer-Encoding: chunked\r\n\r\n"), TEXT("POST"), TEXT("/hook"),
	  TEXT(""), 2, .length = -1, .chunked = true },
	{ TEXT(LINE HOST "transfer-encoding: ChunkeD\r\n\r\n"), TEXT("POST"), TEXT("/hook"),
	  TEXT(""), 2, .length = -1, .chunked = true },
	/* section 9.3 */
	{ TEXT(LINE HOST "Connection: close\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 2,
	  .length = -1, .closes = true },
	{ TEXT(LINE HOST "Connection: x ,, CLOSE,keep-alive\r\n\r\n"), TEXT("POST"), TEXT("/hook"),
	  TEXT(""), 2, .length = -1, .closes = true },
	{ TEXT(LINE HOST "Connection: a\r\nConnection: close\r\n\r\n"), TEXT("POST"), TEXT("/hook"),
	  TEXT(""), 3, .length = -1, .closes = true },
	{ TEXT(LINE HOST "Connection: closed\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 2,
	  .length = -1 },
	{ TEXT("POST /hook HTTP/1.0\r\n\r\n"), TEXT("POST"), TEXT("/hook"), TEXT(""), 0,
	  .length = -1, .http10 = true, .closes = true },
	{ TEXT("POST /hook HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n"),
	  TEXT("POST"), TEXT("/hook"), TEXT(""), 2, .length = 2, .http10 = true },
	{ TEXT("POST /hook HTTP/1.0\r\nConnection: keep-alive, keep-alive\r\n\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT(""), 1, .length = -1, .http10 = true },
	{ TEXT("POST /hook HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT(""), 1, .length = -1, .http10 = true, .closes = true },
	/* RFC 9110 section 10.1.1; in an HTTP/1.0 request it MUST be ignored */
	{ TEXT(LINE HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"), TEXT("POST"),
	  TEXT("/hook"), TEXT(""), 3, .length = 1, .expects = true },
	{ TEXT("POST /hook HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), TEXT("POST"), TEXT("/hook"),
	  TEXT(""), 1, .length = -1, .http10 = true, .closes = true },
};

static void
good_requests_are_taken(void)
{
	static struct http1_head head;
	for (size_t i = 0; i < COUNT(goods); i++) {
		const struct good *good = &goods[i];
		enum http1_status status = parse(&head, good->text, BYTES_MOST, COUNT_MOST);
		if (!CHECK_ROW(status == HTTP1_DONE, "%s: %s: %s", check_quote(good->text),
		               status_names[status], head.wrong)) {
			continue;
		}
		const char *data = good->text.data;
		CHECK_ROW(span_equal(http1_slice_span(head.method, data), good->method), "%s",
		          check_quote(good->text));
		CHECK_ROW(span_equal(http1_slice_span(head.path, data), good->path), "%s: %s",
		          check_quote(good->text), check_quote(http1_slice_span(head.path, data)));
		CHECK_ROW(span_equal(http1_slice_span(head.query, data), good->query), "%s: %s",
		          check_quote(good->text), check_quote(http1_slice_span(head.query, data)));
		CHECK_ROW(head.size == good->text.size && head.count == good->count, "%s",
		          check_quote(good->text));
		CHECK_ROW(head.has_length == (good->length >= 0) &&
		                  (!head.has_length || head.length == good->length),
		          "%s: %" PRId64, check_quote(good->text), head.length);
		CHECK_ROW(head.minor == (good->http10 ? 0 : 1) && head.chunked == good->chunked &&
		                  head.keep_alive == !good->closes &&
		                  head.expect_continue == good->expects,
		          "%s", check_quote(good->text));
	}
}

/* Whatever follows, the head ends at its empty line; before that it is not done. */
static void
a_head_ends_at_its_empty_line(void)
{
	static struct http1_head head;
	for (size_t i = 0; i < COUNT(goods); i++) {
		struct span text = goods[i].text;
		char longer[BYTES_MOST];
		memcpy(longer, text.data, text.size);
		memcpy(longer + text.size, "GET \0\n\r\n\r\n", 10);
		CHECK_ROW(parse(&head, (struct span){ longer, text.size + 10 }, BYTES_MOST,
		                COUNT_MOST) == HTTP1_DONE &&
		                  head.size == text.size,
		          "%s", check_quote(text));
		for (size_t size = 0; size < text.size; size++) {
			http1_head_init(&head);
			CHECK_ROW(http1_head_parse(&head, text.data, size, BYTES_MOST,
			                           COUNT_MOST) == HTTP1_MORE,
			          "%zu bytes of %s", size, check_quote(text));
		}
	}
}

static void
fields_are_views_in_their_order(void)
{
	static struct http1_head head;
	struct span text = SPAN(LINE "Host: h\r\nX-A:  1\t\r\nX-Empty:\r\nx-a: 2\r\n\r\n");
	struct field items[HTTP1_FIELDS_MOST];
	CHECK(parse(&head, text, BYTES_MOST, COUNT_MOST) == HTTP1_DONE);
	struct fields fields = http1_head_fields(&head, text.data, items);
	if (!CHECK(fields.count == 4)) {
		return;
	}
	CHECK(span_equal(items[1].name, SPAN("X-A")) && span_equal(items[1].value, SPAN("1")));
	CHECK(span_equal(items[2].name, SPAN("X-Empty")) && items[2].value.size == 0);
	CHECK(span_equal(items[3].name, SPAN("x-a")) && span_equal(items[3].value, SPAN("2")));
	for (size_t i = 0; i < fields.count; i++) {
		CHECK(items[i].value.data >= text.data &&
		      items[i].value.data <= text.data + text.size);
	}
	struct span value = { 0 };
	CHECK(fields_find(fields, SPAN("X-a"), &value) == 2 && span_equal(value, SPAN("1")));
}

/* --- what two parsers could read differently --- */

struct bad {
	struct span text;
	const char *why; /* section of RFC 9112 unless it says RFC 9110 */
};

#define END "\r\n"

static const struct bad bads[] = {
	/* section 2.2: lines */
	{ TEXT("POST / HTTP/1.1\nHost: h\r\n\r\n"), "2.2: a bare LF behind the request-line" },
	{ TEXT(LINE "Host: h\n\r\n"), "2.2: a bare LF behind a field" },
	{ TEXT(LINE HOST "\n"), "2.2: a bare LF as the empty line" },
	{ TEXT("\n" LINE HOST END), "2.2: a bare LF before the request-line" },
	{ TEXT(LINE "Host: h\rX: y\r\n\r\n"), "2.2: a bare CR" },
	{ TEXT(LINE HOST "X: y\r\r\n\r\n"), "2.2: a CR before CRLF" },
	{ TEXT("POST /\r HTTP/1.1\r\n" HOST END), "2.2: a bare CR in the request-line" },
	{ TEXT("\r\n\r\n" LINE HOST END), "2.2: more than one empty line first" },
	{ TEXT(LINE " X: y\r\n" HOST END), "2.2: whitespace before the first field" },
	{ TEXT(LINE "\tX: y\r\n" HOST END), "2.2: a tab before the first field" },
	/* section 2.3: version */
	{ TEXT("POST / http/1.1\r\n" HOST END), "2.3: HTTP-name is case-sensitive" },
	{ TEXT("POST / HTTP/2.0\r\n" HOST END), "2.3: another major version" },
	{ TEXT("POST / HTTP/1.2\r\n" HOST END), "2.3: a version that nobody speaks" },
	{ TEXT("POST / HTTP/1.10\r\n" HOST END), "2.3: DIGIT \".\" DIGIT" },
	{ TEXT("POST / HTTP/01.1\r\n" HOST END), "2.3: DIGIT \".\" DIGIT" },
	{ TEXT("POST / HTTP/1,1\r\n" HOST END), "2.3: DIGIT \".\" DIGIT" },
	{ TEXT("POST / HTTP/0.9\r\n" HOST END), "2.3: HTTP/0.9" },
	{ TEXT("POST /\r\n" HOST END), "2.3: HTTP/0.9, without a version" },
	{ TEXT("POST / \r\n" HOST END), "2.3: an empty version" },
	/* section 3: method SP request-target SP HTTP-version */
	{ TEXT("POST  / HTTP/1.1\r\n" HOST END), "3: two spaces" },
	{ TEXT("POST /  HTTP/1.1\r\n" HOST END), "3: two spaces" },
	{ TEXT("POST\t/ HTTP/1.1\r\n" HOST END), "3: a tab for a space" },
	{ TEXT("POST /\tHTTP/1.1\r\n" HOST END), "3: a tab for a space" },
	{ TEXT(" POST / HTTP/1.1\r\n" HOST END), "3: a space first" },
	{ TEXT("POST / HTTP/1.1 \r\n" HOST END), "3: a space last" },
	{ TEXT("POST /a b HTTP/1.1\r\n" HOST END), "3: whitespace in the target" },
	{ TEXT("/ HTTP/1.1\r\n" HOST END), "3: no method" },
	{ TEXT("POST\r\n" HOST END), "3: nothing but a method" },
	{ TEXT("PO(ST / HTTP/1.1\r\n" HOST END), "3.1: a method that is no token" },
	{ TEXT("PO\0ST / HTTP/1.1\r\n" HOST END), "3.1: a method that is no token" },
	{ TEXT("P\xc3\x96ST / HTTP/1.1\r\n" HOST END), "3.1: a method that is no token" },
	{ TEXT("METHODMETHODMETHODMETHODMETHODMET / HTTP/1.1\r\n" HOST END), "3.1: 33 bytes" },
	/* section 3.2: target */
	{ TEXT("POST hook HTTP/1.1\r\n" HOST END), "3.2.1: origin-form begins with a slash" },
	{ TEXT("POST ?q HTTP/1.1\r\n" HOST END), "3.2.1: origin-form begins with a slash" },
	{ TEXT("POST /a#b HTTP/1.1\r\n" HOST END), "3.2: no fragment" },
	{ TEXT("POST /\x01 HTTP/1.1\r\n" HOST END), "3.2: a control character" },
	{ TEXT("POST /\0 HTTP/1.1\r\n" HOST END), "3.2: a NUL" },
	{ TEXT("POST /\x7f HTTP/1.1\r\n" HOST END), "3.2: a control character" },
	{ TEXT("POST /\xc3\xa9 HTTP/1.1\r\n" HOST END), "3.2: not ASCII" },
	{ TEXT("CONNECT example.com:443 HTTP/1.1\r\n" HOST END), "3.2.3: authority-form" },
	{ TEXT("POST ftp://example.com/ HTTP/1.1\r\n" HOST END), "3.2.2: another scheme" },
	{ TEXT("POST http:///hook HTTP/1.1\r\n" HOST END), "3.2.2: no authority" },
	{ TEXT("POST http://other.com/ HTTP/1.1\r\n" HOST END), "3.2.2: not that of Host" },
	{ TEXT("POST http://example.com:80/ HTTP/1.1\r\n" HOST END), "3.2.2: not that of Host" },
	{ TEXT("POST http://u@example.com/ HTTP/1.1\r\n" HOST END), "3.2.2: userinfo" },
	{ TEXT("POST http://example.com HTTP/1.0\r\n\r\n"), "3.2.2: no Host beside it" },
	{ TEXT("*/ HTTP/1.1\r\n" HOST END), "3.2.4" },
	{ TEXT("OPTIONS */ HTTP/1.1\r\n" HOST END), "3.2.4: an asterisk alone" },
	/* section 3.2: Host */
	{ TEXT(LINE END), "3.2: MUST respond 400 to a request that lacks Host" },
	{ TEXT(LINE HOST HOST END), "3.2: MUST respond 400 to more than one Host" },
	{ TEXT(LINE HOST "host: other.com\r\n\r\n"), "3.2: more than one Host" },
	{ TEXT("POST / HTTP/1.0\r\n" HOST HOST END), "3.2: more than one Host" },
	{ TEXT(LINE "Host: a b\r\n\r\n"), "3.2: an invalid Host" },
	{ TEXT(LINE "Host: a,b\r\n\r\n"), "3.2: an invalid Host" },
	{ TEXT(LINE "Host: http://a/\r\n\r\n"), "3.2: an invalid Host" },
	{ TEXT(LINE "Host: u@a\r\n\r\n"), "3.2: an invalid Host" },
	{ TEXT(LINE "Host: \xc3\xa9\r\n\r\n"), "3.2: an invalid Host" },
	/* section 5: fields */
	{ TEXT(LINE HOST "X-A : b\r\n\r\n"), "5.1: whitespace before the colon" },
	{ TEXT(LINE HOST "X-A\t: b\r\n\r\n"), "5.1: whitespace before the colon" },
	{ TEXT(LINE HOST ": b\r\n\r\n"), "5: no name" },
	{ TEXT(LINE HOST "X-A\r\n\r\n"), "5: no colon" },
	{ TEXT(LINE HOST "X A: b\r\n\r\n"), "5.1: a name that is no token" },
	{ TEXT(LINE HOST "X(A: b\r\n\r\n"), "5.1: a name that is no token" },
	{ TEXT(LINE HOST "X\0A: b\r\n\r\n"), "5.1: a name that is no token" },
	{ TEXT(LINE HOST "X\xc3\xa9: b\r\n\r\n"), "5.1: a name that is no token" },
	{ TEXT(LINE HOST "\"X\": b\r\n\r\n"), "5.1: a name that is no token" },
	{ TEXT(LINE HOST "X-A: b\r\n c\r\n\r\n"), "5.2: obs-fold" },
	{ TEXT(LINE HOST "X-A: b\r\n\tc\r\n\r\n"), "5.2: obs-fold" },
	{ TEXT(LINE HOST "X-A:\r\n Transfer-Encoding: chunked\r\n\r\n"), "5.2: obs-fold" },
	{ TEXT(LINE HOST " \r\n\r\n"), "5.2: a line of whitespace" },
	{ TEXT(LINE HOST "X-A: b\0c\r\n\r\n"), "RFC 9110 5.5: NUL" },
	{ TEXT(LINE HOST "X-A: b\x0b\r\n\r\n"), "RFC 9110 5.5: a control character" },
	{ TEXT(LINE HOST "X-A: b\x7f\r\n\r\n"), "RFC 9110 5.5: a control character" },
	{ TEXT(LINE HOST "X-A: \x1b[2J\r\n\r\n"), "RFC 9110 5.5: a control character" },
	/* section 6.1: Transfer-Encoding */
	{ TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	  "6.1: in HTTP/1.0 the framing is faulty" },
	{ TEXT(LINE HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
	  "6.1: beside Content-Length" },
	{ TEXT(LINE HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
	  "6.1: beside Content-Length" },
	{ TEXT(LINE HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
	  "6.1: beside Content-Length" },
	{ TEXT(LINE HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	  "6.1: chunked more than once" },
	{ TEXT(LINE HOST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
	  "6.1: chunked more than once" },
	{ TEXT(LINE HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"), "6.1: a coding we lack" },
	{ TEXT(LINE HOST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
	  "6.1: a coding we lack" },
	{ TEXT(LINE HOST "Transfer-Encoding: chunked, identity\r\n\r\n"),
	  "6.3: chunked is not the last" },
	{ TEXT(LINE HOST "Transfer-Encoding: identity\r\n\r\n"), "6.3: not chunked" },
	{ TEXT(LINE HOST "Transfer-Encoding: xchunked\r\n\r\n"), "6.3: not chunked" },
	{ TEXT(LINE HOST "Transfer-Encoding: chunked;x\r\n\r\n"), "7: chunked has no parameters" },
	{ TEXT(LINE HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"), "6.3: not chunked" },
	{ TEXT(LINE HOST "Transfer-Encoding: chunked,\r\n\r\n"), "6.3: not chunked alone" },
	{ TEXT(LINE HOST "Transfer-Encoding: ,chunked\r\n\r\n"), "6.3: not chunked alone" },
	{ TEXT(LINE HOST "Transfer-Encoding:\r\n\r\n"), "6.3: empty" },
	{ TEXT(LINE HOST "Transfer-Encoding: \x0b"
	                 "chunked\r\n\r\n"),
	  "RFC 9110 5.5" },
	{ TEXT(LINE HOST "Transfer-Encoding : chunked\r\n\r\n"), "5.1" },
	/* section 6.2, 6.3: Content-Length = 1*DIGIT */
	{ TEXT(LINE HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), "6.3: two lengths" },
	{ TEXT(LINE HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), "6.3: two lengths" },
	{ TEXT(LINE HOST "Content-Length: 5, 5\r\n\r\n"), "6.3: a list of lengths" },
	{ TEXT(LINE HOST "Content-Length: 5,6\r\n\r\n"), "6.3: a list of lengths" },
	{ TEXT(LINE HOST "Content-Length:\r\n\r\n"), "6.2: no digit" },
	{ TEXT(LINE HOST "Content-Length: +5\r\n\r\n"), "6.2: a sign" },
	{ TEXT(LINE HOST "Content-Length: -5\r\n\r\n"), "6.2: a sign" },
	{ TEXT(LINE HOST "Content-Length: -0\r\n\r\n"), "6.2: a sign" },
	{ TEXT(LINE HOST "Content-Length: 0x5\r\n\r\n"), "6.2: hexadecimal" },
	{ TEXT(LINE HOST "Content-Length: 5.0\r\n\r\n"), "6.2: a fraction" },
	{ TEXT(LINE HOST "Content-Length: 1e1\r\n\r\n"), "6.2: an exponent" },
	{ TEXT(LINE HOST "Content-Length: 5 6\r\n\r\n"), "6.2: a space" },
	{ TEXT(LINE HOST "Content-Length: 5_0\r\n\r\n"), "6.2: an underscore" },
	{ TEXT(LINE HOST "Content-Length: \"5\"\r\n\r\n"), "6.2: quotes" },
	{ TEXT(LINE HOST "Content-Length: five\r\n\r\n"), "6.2: a word" },
	{ TEXT(LINE HOST "Content-Length: \xd9\xa5\r\n\r\n"), "6.2: another digit" },
	/* section 3.2.2: absolute-form */
	{ TEXT("POST http://example.com?q HTTP/1.1\r\n" HOST END), "3.2.2: a query and no path" },
	{ TEXT("POST https:// HTTP/1.1\r\n" HOST END), "3.2.2: neither authority nor path" },
	/* RFC 3986 section 3.2.2 */
	{ TEXT(LINE "Host: [\r\n\r\n"), "RFC 3986 3.2.2: a bracket that stays open" },
	{ TEXT(LINE "Host: []\r\n\r\n"), "RFC 3986 3.2.2: no address in brackets" },
	{ TEXT(LINE "Host: [::1\r\n\r\n"), "RFC 3986 3.2.2: a bracket that stays open" },
	{ TEXT(LINE "Host: [::1]x\r\n\r\n"), "RFC 3986 3.2.2: a name behind an address" },
	{ TEXT(LINE "Host: [::1]]\r\n\r\n"), "RFC 3986 3.2.2: a second bracket" },
	{ TEXT(LINE "Host: [::g]\r\n\r\n"), "RFC 3986 3.2.2: no hexadecimal digit" },
	{ TEXT(LINE "Host: [::G]\r\n\r\n"), "RFC 3986 3.2.2: no hexadecimal digit" },
	{ TEXT(LINE "Host: [::@]\r\n\r\n"), "RFC 3986 3.2.2: no hexadecimal digit" },
	{ TEXT(LINE "Host: a%4\r\n\r\n"), "RFC 3986 2.1: a percent sign without two digits" },
	{ TEXT(LINE "Host: a%4z\r\n\r\n"), "RFC 3986 2.1: a percent sign without two digits" },
	{ TEXT(LINE "Host: a%z4\r\n\r\n"), "RFC 3986 2.1: a percent sign without two digits" },
	{ TEXT(LINE "Host: a\xc3\xbc\r\n\r\n"), "RFC 3986 3.2.2: bytes that are not ASCII" },
	/* RFC 9110 section 10.1.1 */
	{ TEXT(LINE HOST "Expect: 200-ok\r\n\r\n"), "RFC 9110 10.1.1: an unknown expectation" },
	/* TLS on a plain port */
	{ TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"), "a TLS ClientHello" },
};

static void
ambiguous_requests_are_bad(void)
{
	static struct http1_head head;
	for (size_t i = 0; i < COUNT(bads); i++) {
		enum http1_status status = parse(&head, bads[i].text, BYTES_MOST, COUNT_MOST);
		CHECK_ROW(status == HTTP1_BAD && head.wrong != NULL, "%s: %s: %s", bads[i].why,
		          status_names[status], check_quote(bads[i].text));
	}
}

/* RFC 9110 section 5.5: no control character but a tab in a value; section 5.6.2: what a name is made of. */
static void
every_byte_has_its_place(void)
{
	static struct http1_head head;
	static const char symbols[] = "!#$%&'*+-.^_`|~";
	for (unsigned byte = 0; byte < 256; byte++) {
		char text[] = LINE HOST "X-A: b?c\r\n\r\n";
		struct span request = { text, sizeof(text) - 1 };
		char *place = strchr(text, '?');
		*place = (char)(unsigned char)byte;
		bool good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
		CHECK_ROW(parse(&head, request, BYTES_MOST, COUNT_MOST) ==
		                  (good ? HTTP1_DONE : HTTP1_BAD),
		          "%#x in a value", byte);
		char named[] = LINE HOST "X?A: b\r\n\r\n";
		place = strchr(named, '?');
		*place = (char)(unsigned char)byte;
		good = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
		       (byte >= 'a' && byte <= 'z') || (byte != 0 && strchr(symbols, (int)byte)) ||
		       byte == ':';
		CHECK_ROW(parse(&head, (struct span){ named, sizeof(named) - 1 }, BYTES_MOST,
		                COUNT_MOST) == (good ? HTTP1_DONE : HTTP1_BAD),
		          "%#x in a name", byte);
		char target[] = "POST /?a HTTP/1.1\r\n" HOST "\r\n";
		place = strchr(target, '?');
		*place = (char)(unsigned char)byte;
		good = byte > 0x20 && byte < 0x7f && byte != '#';
		CHECK_ROW(parse(&head, (struct span){ target, sizeof(target) - 1 }, BYTES_MOST,
		                COUNT_MOST) == (good ? HTTP1_DONE : HTTP1_BAD),
		          "%#x in a target", byte);
	}
}

/* --- limits --- */

static void
limits_are_exact(void)
{
	static struct http1_head head;
	for (size_t i = 0; i < COUNT(goods); i++) {
		struct span text = goods[i].text;
		CHECK_ROW(parse(&head, text, text.size, COUNT_MOST) == HTTP1_DONE, "%s",
		          check_quote(text));
		CHECK_ROW(parse(&head, text, text.size - 1, COUNT_MOST) == HTTP1_TOO_LARGE, "%s",
		          check_quote(text));
		CHECK_ROW(parse(&head, text, BYTES_MOST, goods[i].count) == HTTP1_DONE, "%s",
		          check_quote(text));
		CHECK_ROW(goods[i].count == 0 || parse(&head, text, BYTES_MOST,
		                                       goods[i].count - 1) == HTTP1_TOO_LARGE,
		          "%s", check_quote(text));
	}
}

static void
a_line_without_end_is_too_large(void)
{
	static struct http1_head head;
	char text[600];
	memset(text, 'a', sizeof(text));
	CHECK(parse(&head, (struct span){ text, sizeof(text) }, 512, COUNT_MOST) ==
	      HTTP1_TOO_LARGE);
	CHECK(parse(&head, (struct span){ text, 511 }, 512, COUNT_MOST) == HTTP1_MORE);
	CHECK(parse(&head, (struct span){ text, 512 }, 512, COUNT_MOST) == HTTP1_TOO_LARGE);
}

static void
more_fields_than_there_is_room_for_are_too_large(void)
{
	static struct http1_head head;
	struct buffer text;
	buffer_init(&text, 65536);
	buffer_text(&text, LINE HOST);
	for (int i = 0; i < HTTP1_FIELDS_MOST; i++) {
		buffer_text(&text, "a:b\r\n");
	}
	buffer_text(&text, "\r\n");
	http1_head_init(&head);
	CHECK(http1_head_parse(&head, text.data, text.size, 65536, 10000) == HTTP1_TOO_LARGE);
	CHECK(head.count == HTTP1_FIELDS_MOST);
	buffer_finish(&text);
}

/* --- fields alone, for trailers --- */

static void
field_lines_are_read(void)
{
	static const struct {
		struct span line;
		struct span name; /* empty: wrong */
		struct span value;
	} rows[] = {
		{ TEXT("a:b"), TEXT("a"), TEXT("b") },
		{ TEXT("A-b_c: \t d e \t"), TEXT("A-b_c"), TEXT("d e") },
		{ TEXT("a:"), TEXT("a"), TEXT("") },
		{ TEXT("a::"), TEXT("a"), TEXT(":") },
		{ TEXT(""), TEXT(""), TEXT("") },
		{ TEXT(":"), TEXT(""), TEXT("") },
		{ TEXT("a"), TEXT(""), TEXT("") },
		{ TEXT(" a:b"), TEXT(""), TEXT("") },
		{ TEXT("a :b"), TEXT(""), TEXT("") },
		{ TEXT("a:b\rc"), TEXT(""), TEXT("") },
		{ TEXT("a:b\r"), TEXT(""), TEXT("") },
		{ TEXT("a:\n"), TEXT(""), TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span name = { 0 };
		struct span value = { 0 };
		const char *wrong = http1_field_line(edge_copy(0, rows[i].line), &name, &value);
		CHECK_ROW((wrong == NULL) == (rows[i].name.size > 0), "%s: %s",
		          check_quote(rows[i].line), wrong);
		CHECK_ROW(wrong != NULL || (span_equal(name, rows[i].name) &&
		                            span_equal(value, rows[i].value)),
		          "%s: %s, %s", check_quote(rows[i].line), check_quote(name),
		          check_quote(value));
	}
}

/* Good and bad requests with some bytes changed: any answer will do, but the same one in pieces. */
static void
damaged_requests_are_judged_the_same_in_pieces(void)
{
	static struct http1_head head;
	static const char bytes[] = "\r\n\0 \t:;,*/?#5aZ\x7f\x80\xff";
	struct random random;
	unsigned seen[4] = { 0 };
	check_random(&random);
	for (int round = 0; round < 3000 && check.failures == 0; round++) {
		const struct span *from =
			random_up_to(&random, 2) == 0
				? &bads[random_up_to(&random, COUNT(bads) - 1)].text
				: &goods[random_up_to(&random, COUNT(goods) - 1)].text;
		char text[512];
		size_t size = from->size;
		memcpy(text, from->data, size);
		for (int64_t change = random_up_to(&random, 2); change >= 0; change--) {
			size_t at = (size_t)random_up_to(&random, (int64_t)size - 1);
			if (random_up_to(&random, 2) == 0) {
				memmove(text + at, text + at + 1, size - at - 1);
				size--;
			} else {
				text[at] = bytes[random_up_to(&random, sizeof(bytes) - 2)];
			}
		}
		size_t most = (size_t)random_up_to(&random, 3) == 0 ? size - 1 : BYTES_MOST;
		seen[parse(&head, (struct span){ text, size }, most, 2)]++;
	}
	CHECK_ROW(seen[HTTP1_MORE] > 0 && seen[HTTP1_DONE] > 0 && seen[HTTP1_BAD] > 0 &&
	                  seen[HTTP1_TOO_LARGE] > 0,
	          "%u more, %u done, %u bad, %u too large", seen[0], seen[1], seen[2], seen[3]);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "good requests are taken", good_requests_are_taken },
		{ "a head ends at its empty line", a_head_ends_at_its_empty_line },
		{ "fields are views in their order", fields_are_views_in_their_order },
		{ "what two parsers could read differently is bad", ambiguous_requests_are_bad },
		{ "every byte has its place", every_byte_has_its_place },
		{ "limits are exact", limits_are_exact },
		{ "a line without end is too large", a_line_without_end_is_too_large },
		{ "more fields than there is room for are too large",
		  more_fields_than_there_is_room_for_are_too_large },
		{ "a field line alone is read, for trailers", field_lines_are_read },
		{ "damaged requests are judged the same in pieces",
		  damaged_requests_are_judged_the_same_in_pieces },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
