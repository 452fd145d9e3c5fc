#include "receiver/verify/template.h"

#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static const struct field fields[] = {
	{ TEXT("X-One"), TEXT("eins") },
	{ TEXT("X-Empty"), TEXT("") },
	{ TEXT("X-Twice"), TEXT("1") },
	{ TEXT("x-twice"), TEXT("2") },
	{ TEXT("X-Space"), TEXT(" \t zwei ") },
	{ TEXT("X-List"), TEXT("X-List, x-ONE,,X-Space ,X-Missing") },
	{ TEXT("X-Bad-List"), TEXT("X-Bad-List,X-Twice") },
};

#define BODY \
	"{\"a\":\"\\u00e9\",\"n\":12345678901234567890,\"o\":{\"t\":\"x\"},\"l\":null,\"e\":\"\"}"

static struct template_values
values_of(const struct scheme *scheme, const struct verify_request *request, struct span body)
{
	return (struct template_values){ .scheme = scheme,
		                         .request = request,
		                         .url = request->url,
		                         .timestamp = SPAN("17"),
		                         .id = SPAN("msg_1"),
		                         .body = body };
}

static const struct verify_request posted = {
	.method = TEXT("POST"),
	.path = TEXT("/hook%20"),
	.query = TEXT("a=%31&b"),
	.url = TEXT("https://example.com/hook?x"),
	.fields = { fields, COUNT(fields) },
	.webhook_id = TEXT("WH-1"),
};

static void
every_piece_stands_for_its_text(void)
{
	static const struct {
		const char *signed_text;
		struct span body;
		bool good;
		struct span text;
	} rows[] = {
		{ "a{timestamp}b", TEXT(""), true, TEXT("a17b") },
		{ "{id}", TEXT(""), true, TEXT("msg_1") },
		{ "{method}", TEXT(""), true, TEXT("POST") },
		{ "{path}", TEXT(""), true, TEXT("/hook%20?a=%31&b") },
		{ "{query}", TEXT(""), true, TEXT("?a=%31&b") },
		{ "{url}{query}", TEXT(""), true, TEXT("https://example.com/hook?x?a=%31&b") },
		{ "{webhook_id}", TEXT(""), true, TEXT("WH-1") },
		{ "{body}{body}", TEXT("\0\xff"), true, TEXT("\0\xff\0\xff") },
		{ "{crc32}", TEXT(""), true, TEXT("0") },
		{ "{crc32}", TEXT("123456789"), true, TEXT("3421780262") }, /* 0xcbf43926 */
		{ "{json:/a}", TEXT(BODY), true, TEXT("\xc3\xa9") },
		{ "{json:/n}", TEXT(BODY), true, TEXT("12345678901234567890") },
		{ "{json:/o/t}.{json:/a}", TEXT(BODY), true, TEXT("x.\xc3\xa9") },
		{ "{json:/e}", TEXT(BODY), true, TEXT("") },
		{ "{json:/missing}", TEXT(BODY), false, TEXT("") },
		{ "{json:/l}", TEXT(BODY), false, TEXT("") },
		{ "{json:/o}", TEXT(BODY), false, TEXT("") },
		{ "{json:/a}", TEXT("no json"), false, TEXT("") },
		{ "{json:/a}", TEXT("{\"a\":\"\\ud800\"}"), false, TEXT("") },
		{ "{header:x-one}", TEXT(""), true, TEXT("eins") },
		{ "[{header:X-Empty}{header:X-Missing}]", TEXT(""), true, TEXT("[]") },
		{ "{header:X-Twice}", TEXT(""), false, TEXT("") }, /* which one was signed? */
		{ "{signed_headers:X-List}", TEXT(""), true,
		  TEXT("x-list:X-List, x-ONE,,X-Space ,X-Missing;x-one:eins;x-space:zwei;"
		       "x-missing:") },
		{ "{signed_headers:X-Bad-List}", TEXT(""), false, TEXT("") },
		{ "{signed_headers:X-Missing}", TEXT(""), false, TEXT("") },
		{ "{signed_headers:X-Twice}", TEXT(""), false, TEXT("") },
		{ "{sorted_form_params}", TEXT("b=+&a=%31"), true, TEXT("a1b ") },
		{ "{sorted_form_params}", TEXT("a=%"), false, TEXT("") },
		{ "", TEXT("x"), true, TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scheme scheme = { .signed_text = rows[i].signed_text };
		struct template_values values =
			values_of(&scheme, &posted, edge_copy(0, rows[i].body));
		struct buffer out;
		buffer_init(&out, 4096);
		bool good = template_write(&values, &out);
		CHECK_ROW(good == rows[i].good &&
		                  (!good || span_equal(buffer_view(&out), rows[i].text)),
		          "%s of %s: %s", rows[i].signed_text, check_quote(rows[i].body),
		          check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
}

static void
without_a_query_there_is_no_question_mark(void)
{
	struct scheme scheme = { .signed_text = "{path}|{query}" };
	struct verify_request request = posted;
	struct buffer out;
	request.query = SPAN("");
	struct template_values values = values_of(&scheme, &request, SPAN(""));
	buffer_init(&out, 4096);
	CHECK(template_write(&values, &out) && span_equal(buffer_view(&out), SPAN("/hook%20|")));
	buffer_finish(&out);
	buffer_init(&out, 4);
	CHECK(!template_write(&values, &out)); /* more than `out` takes */
	buffer_finish(&out);
}

static void
a_template_streams_when_the_head_has_all_but_the_body(void)
{
	static const struct {
		const char *signed_text;
		bool streams;
	} rows[] = {
		{ "{body}", true },
		{ "{method}{url}{body}{timestamp}{id}{path}{query}{webhook_id}", true },
		{ "{header:A}{signed_headers:B}{body}", true },
		{ "{sorted_form_params}", false },
		{ "{body}{json:/a}", false },
		{ "{crc32}", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scheme scheme = { .signed_text = rows[i].signed_text };
		CHECK_ROW(template_streams(&scheme) == rows[i].streams, "%s", rows[i].signed_text);
	}
}

/* An attacker must not choose what is signed. */
static void
a_list_of_signed_headers_holds_itself_and_the_time(void)
{
	static const struct {
		const char *list; /* NULL: no such header */
		const char *again;
		bool good;
		bool good_untimed;
	} rows[] = {
		{ "X-List,X-Time", NULL, true, true },
		{ "x-time , a,, X-LIST", NULL, true, true },
		{ "X-List", NULL, false, true },
		{ "X-Time", NULL, false, false },
		{ "X-List X-Time", NULL, false, false },
		{ "X-List;X-Time", NULL, false, false },
		{ "X-Listing,X-Times", NULL, false, false },
		{ "", NULL, false, false },
		{ ",", NULL, false, false },
		{ NULL, NULL, false, false },
		{ "X-List,X-Time", "X-List,X-Time", false, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct field items[2] = { { SPAN("X-List"), span_of(rows[i].list) },
			                  { SPAN("x-list"), span_of(rows[i].again) } };
		size_t count = rows[i].list == NULL ? 0 : rows[i].again == NULL ? 1 : 2;
		struct verify_request request = { .fields = { items, count } };
		struct scheme scheme = {
			.signed_text = "{signed_headers:X-List}{body}",
			.timestamp = { .from = SCHEME_FROM_HEADER, .name = "X-Time" },
		};
		CHECK_ROW(template_list_holds(&scheme, &request) == rows[i].good, "%s",
		          rows[i].list);
		scheme.timestamp = (struct scheme_value){ .from = SCHEME_NOWHERE };
		CHECK_ROW(template_list_holds(&scheme, &request) == rows[i].good_untimed, "%s",
		          rows[i].list);
		scheme.signed_text = "{body}";
		CHECK(template_list_holds(&scheme, &request));
	}
}

static void
a_default_port_is_put_in_or_taken_out(void)
{
	static const struct {
		struct span url;
		struct span other; /* empty: there is none */
	} rows[] = {
		{ TEXT("https://example.com/a"), TEXT("https://example.com:443/a") },
		{ TEXT("https://example.com:443/a"), TEXT("https://example.com/a") },
		{ TEXT("https://example.com"), TEXT("https://example.com:443") },
		{ TEXT("https://example.com:443"), TEXT("https://example.com") },
		{ TEXT("https://example.com?a=b:c"), TEXT("https://example.com:443?a=b:c") },
		{ TEXT("https://example.com/a:443/b"), TEXT("https://example.com:443/a:443/b") },
		{ TEXT("https://example.com#x"), TEXT("https://example.com:443#x") },
		{ TEXT("https://[::1]/a"), TEXT("https://[::1]:443/a") },
		{ TEXT("https://[::1]:443/a"), TEXT("https://[::1]/a") },
		{ TEXT("http://example.com/a"), TEXT("http://example.com:80/a") },
		{ TEXT("http://example.com:80/a"), TEXT("http://example.com/a") },
		{ TEXT("http://example.com:443/a"), TEXT("") },
		{ TEXT("https://example.com:80/a"), TEXT("") },
		{ TEXT("https://example.com:8443/a"), TEXT("") },
		{ TEXT("https://example.com:4430/a"), TEXT("") },
		{ TEXT("ftp://example.com/a"), TEXT("") },
		{ TEXT("/a"), TEXT("") },
		{ TEXT(""), TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer out;
		buffer_init(&out, 4096);
		bool good = template_other_port(edge_copy(0, rows[i].url), &out);
		CHECK_ROW(good == (rows[i].other.size > 0) &&
		                  (!good || span_equal(buffer_view(&out), rows[i].other)),
		          "%s: %s", check_quote(rows[i].url), check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
}

static void
a_url_is_decoded_as_hubspot_does(void)
{
	static const struct {
		struct span url;
		struct span decoded;
	} rows[] = {
		{ TEXT("https://example.com/a"), TEXT("https://example.com/a") },
		{ TEXT("%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B"), TEXT(":/?@!$'()*,;") },
		{ TEXT("%3a%2f%3f%40%2a%2c%3b"), TEXT(":/?@*,;") },
		{ TEXT("%20%25%26%3D%2B%23%00%C3%A9"), TEXT("%20%25%26%3D%2B%23%00%C3%A9") },
		{ TEXT("%253A"), TEXT("%253A") }, /* once, and no more */
		{ TEXT("%%3A%3"), TEXT("%:%3") },
		{ TEXT("%"), TEXT("%") },
		{ TEXT("a%3"), TEXT("a%3") },
		{ TEXT(""), TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer out;
		buffer_init(&out, 4096);
		template_decoded_url(edge_copy(0, rows[i].url), &out);
		CHECK_ROW(span_equal(buffer_view(&out), rows[i].decoded), "%s: %s",
		          check_quote(rows[i].url), check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every piece stands for its text", every_piece_stands_for_its_text },
		{ "without a query there is no question mark",
		  without_a_query_there_is_no_question_mark },
		{ "a template streams when the head has all but the body",
		  a_template_streams_when_the_head_has_all_but_the_body },
		{ "a list of signed headers holds itself and the time",
		  a_list_of_signed_headers_holds_itself_and_the_time },
		{ "a default port is put in or taken out", a_default_port_is_put_in_or_taken_out },
		{ "a URL is decoded as HubSpot does", a_url_is_decoded_as_hubspot_does },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
