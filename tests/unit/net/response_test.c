#include "receiver/net/response.h"

#include <string.h>

#include "tests/unit/check.h"

static bool
written(struct http_response response, struct response_frame frame, const char *wanted)
{
	struct buffer out;
	buffer_init(&out, 4096);
	response_write(&out, &response, &frame);
	bool same = span_equal(buffer_view(&out), span_of(wanted));
	if (!same) {
		(void)printf("  %.*s\n", SPAN_ARG(buffer_view(&out)));
	}
	buffer_finish(&out);
	return same;
}

static void
an_answer_is_written(void)
{
	CHECK(written((struct http_response){ .status = 200,
	                                      .content_type = "application/json",
	                                      .fields = "Hooklatch-Result: accepted\r\n",
	                                      .body = SPAN("{}\n") },
	              (struct response_frame){ .date = "Thu, 26 Nov 2026 03:21:21 GMT" },
	              "HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 03:21:21 GMT\r\n"
	              "Content-Type: application/json\r\nContent-Length: 3\r\n"
	              "Cache-Control: no-store\r\nHooklatch-Result: accepted\r\n\r\n{}\n"));
}

/* RFC 9110 sections 8.6 and 15.3.5: 204 has no content, and says nothing of its length. */
static void
no_content_has_none(void)
{
	CHECK(written(
		(struct http_response){ .status = 204, .body = SPAN("x") },
		(struct response_frame){ .date = "D", .close = true },
		"HTTP/1.1 204 No Content\r\nDate: D\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"));
}

/* RFC 9110 section 9.3.2 */
static void
head_gets_the_length_alone(void)
{
	CHECK(written(
		(struct http_response){ .status = 405, .body = SPAN("much") },
		(struct response_frame){ .date = "D", .head_only = true },
		"HTTP/1.1 405 Method Not Allowed\r\nDate: D\r\nContent-Length: 4\r\nCache-Control: no-store\r\n\r\n"));
}

static void
a_status_that_has_no_phrase_has_one(void)
{
	CHECK(written(
		(struct http_response){ .status = 299 }, (struct response_frame){ .date = "D" },
		"HTTP/1.1 299 Other\r\nDate: D\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n"));
}

/* RFC 9110 section 5.6.7 has the first one as its example. */
static void
dates_are_imf_fixdates(void)
{
	char text[RESPONSE_DATE_BYTES];
	response_date(784111777, text);
	CHECK_ROW(strcmp(text, "Sun, 06 Nov 1994 08:49:37 GMT") == 0, "%s", text);
	response_date(1709164800, text);
	CHECK_ROW(strcmp(text, "Thu, 29 Feb 2024 00:00:00 GMT") == 0, "%s", text);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "an answer is written", an_answer_is_written },
		{ "204 has no content, and says nothing of a length", no_content_has_none },
		{ "HEAD gets the length alone", head_gets_the_length_alone },
		{ "a status that has no phrase has one", a_status_that_has_no_phrase_has_one },
		{ "dates are IMF-fixdates", dates_are_imf_fixdates },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
