#include "receiver/verify/items.h"

#include <string.h>

#include "receiver/verify/mac.h"
#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/signed.h"

#define NOW_NS (INT64_C(1767735553) * NS_PER_S)
#define ITEM(name)                                                                              \
	"{\"NotificationRequestItem\":{\"additionalData\":{\"hmacSignature\":\"\"},"            \
	"\"amount\":{\"currency\":\"EUR\",\"value\":1999},\"eventCode\":\"AUTHORISATION\","     \
	"\"eventDate\":\"2026-01-01\",\"merchantAccountCode\":\"Test\","                        \
	"\"merchantReference\":\"order-1\",\"originalReference\":\"\",\"pspReference\":\"" name \
	"\",\"success\":\"true\"}}"
#define ITEMS(text) "{\"live\":\"false\",\"notificationItems\":[" text "]}"

static const struct scheme *
adyen(void)
{
	return &preset_find("adyen")->scheme;
}

static void
start(struct signed_here *s, struct span body)
{
	struct error err = { .kind = ERROR_NONE };
	bool good = signed_body(s, adyen(), SPAN("1"), SPAN("t"), body, NOW_NS, &err);
	ALWAYS(good, "items-signed");
}

/* The signed body with the first `what` turned into `with`. */
static void
change(const struct signed_here *s, const char *what, const char *with, struct buffer *out)
{
	struct span body = buffer_view(&s->made.body);
	const char *at = memmem(body.data, body.size, what, strlen(what));
	ALWAYS(at != NULL, "items-change");
	size_t before = (size_t)(at - body.data);
	buffer_init(out, 65536);
	buffer_append(out, body.data, before);
	buffer_text(out, with);
	buffer_span(out, span_after(body, before + strlen(what)));
}

static void
the_text_of_an_item_is_eight_fields(void)
{
	static const struct {
		struct span item;
		bool good;
		struct span text;
	} rows[] = {
		{ TEXT(ITEM("P1")), true, TEXT("P1::Test:order-1:1999:EUR:AUTHORISATION:true") },
		{ TEXT("{}"), true, TEXT(":::::::") },
		{ TEXT("{\"NotificationRequestItem\":{\"pspReference\":null,\"originalReference\":\"a:b\","
		       "\"amount\":{\"value\":12345678901234567890},\"success\":true}}"),
		  true, TEXT(":a:b:::12345678901234567890:::true") },
		{ TEXT("{\"NotificationRequestItem\":{\"pspReference\":\"\\u00e9\\\\\"}}"), true,
		  TEXT("\xc3\xa9\\:::::::") },
		{ TEXT("{\"NotificationRequestItem\":{\"pspReference\":\"\\ud800\"}}"), false,
		  TEXT("") },
		{ TEXT("{\"NotificationRequestItem\":{\"pspReference\":\"a"), false, TEXT("") },
		/* what two readers could read differently, and what is no text */
		{ TEXT("{\"NotificationRequestItem\":{\"success\":true,\"success\":false}}"), false,
		  TEXT("") },
		{ TEXT("{\"NotificationRequestItem\":{\"eventCode\":[]}}"), false, TEXT("") },
		{ TEXT("{\"NotificationRequestItem\":{\"eventCode\":{}}}"), false, TEXT("") },
		{ TEXT("no json"), false, TEXT("") },
		{ TEXT(""), false, TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer out;
		buffer_init(&out, 4096);
		bool good = items_text(edge_copy(0, rows[i].item), &out);
		CHECK_ROW(good == rows[i].good &&
		                  (!good || span_equal(buffer_view(&out), rows[i].text)),
		          "%s: %s", check_quote(rows[i].item), check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
}

static void
one_bad_item_refuses_all(void)
{
	static const struct {
		const char *what;
		const char *with;
		const char *word;
	} rows[] = {
		{ "\"pspReference\":\"P2\"", "\"pspReference\":\"P9\"", "signature_mismatch" },
		{ "\"pspReference\":\"P3\"", "\"pspReference\":\"P9\"", "signature_mismatch" },
		{ "\"pspReference\":\"P1\"", "\"pspReference\":\"P9\"", "signature_mismatch" },
		{ "\"pspReference\":\"P2\"", "\"pspReference\":[\"P2\"]", "signature_mismatch" },
		{ "\"value\":1999", "\"value\":1", "signature_mismatch" },
		{ "\"currency\":\"EUR\"", "\"currency\":\"USD\"", "signature_mismatch" },
		{ "\"success\":\"true\"", "\"success\":\"false\"", "signature_mismatch" },
		{ "\"eventCode\":\"AUTHORISATION\"", "\"eventCode\":\"REFUND\"",
		  "signature_mismatch" },
		{ "\"merchantAccountCode\":\"Test\"", "\"merchantAccountCode\":\"T\"",
		  "signature_mismatch" },
		{ "\"merchantReference\":\"order-1\"", "\"merchantReference\":\"order-2\"",
		  "signature_mismatch" },
		{ "\"originalReference\":\"\"", "\"originalReference\":\"x\"",
		  "signature_mismatch" },
		/* what is not signed */
		{ "\"eventDate\":\"2026-01-01\"", "\"eventDate\":\"2027-01-01\"", "good" },
		{ "\"live\":\"false\"", "\"live\":\"true\"", "good" },
		{ "\"originalReference\":\"\",", "", "good" }, /* missing is empty */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct buffer body;
		start(&s, SPAN(ITEMS(ITEM("P1") "," ITEM("P2") "," ITEM("P3"))));
		CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "good") == 0);
		change(&s, rows[i].what, rows[i].with, &body);
		const char *word = signed_word(&s, buffer_view(&body), NOW_NS);
		CHECK_ROW(strcmp(word, rows[i].word) == 0, "%s: %s", rows[i].with, word);
		buffer_finish(&body);
		signed_finish(&s);
	}
}

/* The second item's signature is missing, malformed, or the first one's. */
static void
each_item_has_a_signature_of_its_own(void)
{
	static const struct {
		const char *second; /* %s: the first item's signature */
		const char *word;
	} rows[] = {
		{ "{\"hmacSignature\":\"\"}", "signature_missing" },
		{ "{\"hmacSignature\":null}", "signature_missing" },
		{ "{\"hmacSignature\":[]}", "signature_missing" },
		{ "{}", "signature_missing" },
		{ "{\"hmacSignature\":\"***\"}", "signature_malformed" },
		{ "{\"hmacSignature\":\"c2hvcnQ=\"}", "signature_malformed" },
		{ "{\"hmacSignature\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
		  "signature_mismatch" },
		{ "{\"hmacSignature\":\"%s\"}", "signature_mismatch" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct buffer body;
		char first[64];
		char second[256];
		start(&s, SPAN(ITEMS(ITEM("P1") "," ITEM("P2"))));
		static const char place[] = "\"hmacSignature\":\"";
		const char *at = memmem(s.made.body.data, s.made.body.size, place, strlen(place));
		ALWAYS(at != NULL, "items-first");
		(void)snprintf(first, sizeof(first), "%.44s", at + strlen(place));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
		(void)snprintf(second, sizeof(second), rows[i].second, first);
#pragma GCC diagnostic pop
		at = memmem(at + 100, s.made.body.size - (size_t)(at + 100 - s.made.body.data),
		            place, strlen(place));
		ALWAYS(at != NULL, "items-second");
		size_t before = (size_t)(at - s.made.body.data) - 1;
		buffer_init(&body, 65536);
		buffer_append(&body, s.made.body.data, before);
		buffer_text(&body, second);
		buffer_span(&body,
		            span_after(buffer_view(&s.made.body), before + strlen(place) + 44 + 3));
		const char *word = signed_word(&s, buffer_view(&body), NOW_NS);
		CHECK_ROW(strcmp(word, rows[i].word) == 0, "%s: %s", second, word);
		buffer_finish(&body);
		signed_finish(&s);
	}
}

static void
without_items_there_is_no_signature(void)
{
	static const struct span bodies[] = {
		TEXT(""),
		TEXT("{}"),
		TEXT("no json"),
		TEXT(ITEMS("")),
		TEXT("{\"notificationItems\":{}}"),
		TEXT("{\"notificationItems\":[1]}"),
		TEXT("{\"notificationItems\":[{}]}"),
		TEXT("[]"),
	};
	static struct signed_here s;
	start(&s, SPAN(ITEMS(ITEM("P1"))));
	for (size_t i = 0; i < COUNT(bodies); i++) {
		const char *word = signed_word(&s, bodies[i], NOW_NS);
		CHECK_ROW(strcmp(word, "signature_missing") == 0, "%s: %s", check_quote(bodies[i]),
		          word);
	}
	/* An array that breaks off behind a good item. */
	struct buffer body;
	change(&s, "}}]}", "}},", &body);
	CHECK(strcmp(signed_word(&s, buffer_view(&body), NOW_NS), "good") != 0);
	buffer_finish(&body);
	change(&s, "}}]}", "}}x]}", &body);
	CHECK(strcmp(signed_word(&s, buffer_view(&body), NOW_NS), "good") != 0);
	buffer_finish(&body);
	signed_finish(&s);
}

static void
every_live_secret_is_tried(void)
{
	static struct signed_here s;
	struct error err;
	struct verification v;
	start(&s, SPAN(ITEMS(ITEM("P1") "," ITEM("P2"))));
	secrets_finish(&s.secrets);
	CHECK(secrets_add(&s.secrets, SCHEME_KEY_HEX, SPAN("00ff"), 0, &err));
	CHECK(secrets_add(&s.secrets, SCHEME_KEY_HEX, SPAN(SIGNED_HEX), NOW_NS + 1, &err));
	CHECK(verification_whole(&v, adyen(), &s.keys, &s.request, NOW_NS,
	                         buffer_view(&s.made.body)) == VERDICT_GOOD &&
	      v.matched == 1);
	verification_drop(&v);
	CHECK(verification_whole(&v, adyen(), &s.keys, &s.request, NOW_NS + 1,
	                         buffer_view(&s.made.body)) == VERDICT_SIGNATURE_MISMATCH &&
	      v.matched == -1);
	verification_drop(&v);
	signed_finish(&s);
}

/* Many items are no reason to stop at the sixteenth signature. */
static void
items_may_be_many(void)
{
	static struct signed_here s;
	struct received received;
	struct buffer body;
	buffer_init(&body, 1 << 20);
	buffer_text(&body, "{\"notificationItems\":[");
	for (int i = 0; i < 100; i++) {
		buffer_text(&body, i == 0 ? "" : ",");
		buffer_text(&body, ITEM("P1"));
	}
	buffer_text(&body, "]}");
	start(&s, buffer_view(&body));
	signed_receive(&s, NULL, buffer_view(&s.made.body), NOW_NS, &received);
	CHECK_ROW(strcmp(received.word, "accepted") == 0 && received.count == 100, "%s: %zu",
	          received.word, received.count);
	received_finish(&received);
	buffer_finish(&body);
	signed_finish(&s);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "the text of an item is eight fields", the_text_of_an_item_is_eight_fields },
		{ "one bad item refuses all", one_bad_item_refuses_all },
		{ "each item has a signature of its own", each_item_has_a_signature_of_its_own },
		{ "without items there is no signature", without_items_there_is_no_signature },
		{ "every live secret is tried", every_live_secret_is_tried },
		{ "items may be many", items_may_be_many },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	mac_thread_finish();
	return code;
}
