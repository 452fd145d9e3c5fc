#include "receiver/verify/sns.h"

#include <string.h>

#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/signed.h"

#define NOW_NS (INT64_C(1767735553) * NS_PER_S)
#define URL    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-test.pem"

static const struct scheme *
sns(void)
{
	return &preset_find("aws-sns")->scheme;
}

/* A message as SNS sends it: `members` beside its Type, its ids and what a signature needs. */
#define MESSAGE(type, members)                                                                   \
	"{\"Type\":\"" type "\",\"MessageId\":\"m1\",\"TopicArn\":\"" SIGNED_TOPIC "\"," members \
	"\"Message\":\"a\\nb\",\"Timestamp\":\"2026-01-01T00:00:00.000Z\","                      \
	"\"SignatureVersion\":\"1\",\"SigningCertURL\":\"" URL "\",\"Signature\":\"\"}"
#define NOTIFICATION MESSAGE("Notification", "")
#define CONFIRMATION \
	MESSAGE("SubscriptionConfirmation", "\"Token\":\"t\",\"SubscribeURL\":\"https://sns/?x\",")

static void
start(struct signed_here *s, struct span body)
{
	struct error err = { .kind = ERROR_NONE };
	bool good = signed_body(s, sns(), SPAN("m1"), SPAN("t"), body, NOW_NS, &err);
	ALWAYS(good, "sns-signed");
}

static void
change(struct span body, const char *what, const char *with, struct buffer *out)
{
	const char *at = memmem(body.data, body.size, what, strlen(what));
	ALWAYS(at != NULL, "sns-change");
	size_t before = (size_t)(at - body.data);
	buffer_init(out, 65536);
	buffer_append(out, body.data, before);
	buffer_text(out, with);
	buffer_span(out, span_after(body, before + strlen(what)));
}

static void
the_text_is_made_of_decoded_strings(void)
{
	static const struct {
		struct span body;
		bool good;
		struct span text;
	} rows[] = {
		{ TEXT(NOTIFICATION), true,
		  TEXT("Message\na\nb\nMessageId\nm1\nTimestamp\n2026-01-01T00:00:00.000Z\n"
		       "TopicArn\n" SIGNED_TOPIC "\nType\nNotification\n") },
		{ TEXT(MESSAGE("Notification", "\"Subject\":\"\\u00e9\",")), true,
		  TEXT("Message\na\nb\nMessageId\nm1\nSubject\n\xc3\xa9\nTimestamp\n"
		       "2026-01-01T00:00:00.000Z\nTopicArn\n" SIGNED_TOPIC
		       "\nType\nNotification\n") },
		{ TEXT(CONFIRMATION), true,
		  TEXT("Message\na\nb\nMessageId\nm1\nSubscribeURL\nhttps://sns/?x\nTimestamp\n"
		       "2026-01-01T00:00:00.000Z\nToken\nt\nTopicArn\n" SIGNED_TOPIC
		       "\nType\nSubscriptionConfirmation\n") },
		{ TEXT(MESSAGE("SubscriptionConfirmation", "\"Token\":\"t\",")), false, TEXT("") },
		{ TEXT("{\"Type\":\"Notification\"}"), false, TEXT("") },
		{ TEXT("{\"Type\":\"Notification\",\"Message\":1}"), false, TEXT("") },
		{ TEXT("{\"Type\":\"Notification\",\"Message\":\"\\ud800\"}"), false, TEXT("") },
		{ TEXT(MESSAGE("Notification", "\"Message\":\"b\",")), false,
		  TEXT("") }, /* twice */
		{ TEXT("{}"), false, TEXT("") },
		{ TEXT("[]"), false, TEXT("") },
		{ TEXT("no json"), false, TEXT("") },
		{ TEXT(""), false, TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer out;
		buffer_init(&out, 65536);
		bool good = sns_text(edge_copy(0, rows[i].body), &out);
		CHECK_ROW(good == rows[i].good &&
		                  (!good || span_equal(buffer_view(&out), rows[i].text)),
		          "%s: %s", check_quote(rows[i].body), check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
}

static void
a_message_that_was_altered_is_refused(void)
{
	static const struct {
		const char *what;
		const char *with;
		const char *word;
	} rows[] = {
		{ "\"Message\":\"a\\nb\"", "\"Message\":\"a\\u000ab\"",
		  "good" }, /* the same text */
		{ "\"Message\":\"a\\nb\"", "\"Message\":\"a\\nc\"", "signature_mismatch" },
		{ "\"Message\":\"a\\nb\"", "\"Message\":null", "signature_mismatch" },
		{ "\"MessageId\":\"m1\"", "\"MessageId\":\"m2\"", "signature_mismatch" },
		{ "\"MessageId\":\"m1\",", "", "signature_mismatch" },
		{ "2026-01-01", "2026-01-02", "signature_mismatch" },
		{ "\"Type\":\"Notification\"", "\"Type\":\"SubscriptionConfirmation\"",
		  "signature_mismatch" },
		{ "\"Type\":\"Notification\"", "\"Type\":\"Notification\",\"Subject\":\"s\"",
		  "signature_mismatch" },
		{ "\"Type\":\"Notification\"", "\"Type\":\"Notification\",\"Subject\":null",
		  "signature_mismatch" },
		/* what is not signed: an unsubscribe link that nobody visits */
		{ "\"Type\":\"Notification\"",
		  "\"Type\":\"Notification\",\"UnsubscribeURL\":\"https://x/\"", "good" },
		/* the version */
		{ "\"SignatureVersion\":\"2\"", "\"SignatureVersion\":\"1\"",
		  "signature_mismatch" },
		{ "\"SignatureVersion\":\"2\"", "\"SignatureVersion\":\"3\"",
		  "signature_malformed" },
		{ "\"SignatureVersion\":\"2\"", "\"SignatureVersion\":\"\"",
		  "signature_malformed" },
		{ "\"SignatureVersion\":\"2\",", "", "signature_malformed" },
		{ "\"SignatureVersion\":\"2\"", "\"SignatureVersion\":\"12\"",
		  "signature_malformed" },
		/* the topic */
		{ ":orders\"", ":others\"", "signature_mismatch" },
		{ ":orders\"", ":order\"", "signature_mismatch" },
		{ ":123456789012:", ":000000000000:", "signature_mismatch" },
		{ "\"TopicArn\"", "\"Topic\"", "signature_mismatch" },
		/* the certificate */
		{ URL, "https://sns.us-east-1.amazonaws.com.evil.com/a.pem",
		  "signature_malformed" },
		{ URL, "http://sns.us-east-1.amazonaws.com/a.pem", "signature_malformed" },
		{ URL, "https://evil.com/a.pem", "signature_malformed" },
		{ URL, "", "signature_malformed" },
		{ "\"SigningCertURL\"", "\"SigningCertUrl\"", "signature_malformed" },
		/* the signature */
		{ "\"Signature\":\"", "\"Signature\":\"*", "signature_malformed" },
		{ "\"Signature\":\"", "\"Signature\":\"AAAA", "signature_mismatch" },
		{ "\"Signature\":\"", "\"Signature\":\"\",\"S\":\"", "signature_missing" },
		{ "\"Signature\":\"", "\"S\":\"", "signature_missing" },
		{ "\"Signature\":\"", "\"Signature\":null,\"Signature\":\"", "signature_missing" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct buffer body;
		start(&s, SPAN(NOTIFICATION));
		CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "good") == 0);
		change(buffer_view(&s.made.body), rows[i].what, rows[i].with, &body);
		const char *word = signed_word(&s, buffer_view(&body), NOW_NS);
		CHECK_ROW(strcmp(word, rows[i].word) == 0, "%s: %s", rows[i].with, word);
		buffer_finish(&body);
		signed_finish(&s);
	}
}

static void
what_is_no_message_is_refused(void)
{
	static const struct span bodies[] = { TEXT(""), TEXT("{}"), TEXT("[]"), TEXT("no json"),
		                              TEXT("{\"Signature\":") };
	static struct signed_here s;
	start(&s, SPAN(NOTIFICATION));
	for (size_t i = 0; i < COUNT(bodies); i++) {
		CHECK_ROW(strcmp(signed_word(&s, bodies[i], NOW_NS), "signature_missing") == 0,
		          "%s", check_quote(bodies[i]));
	}
	signed_finish(&s);
}

/* SignatureVersion 1: SHA-1, which nothing of ours makes. */
static void
version_1_is_sha1(void)
{
	static struct signed_here s;
	struct buffer text;
	struct buffer body;
	struct buffer quoted;
	unsigned char made[512];
	size_t size = sizeof(made);
	start(&s, SPAN(NOTIFICATION));
	buffer_init(&text, 65536);
	CHECK(sns_text(SPAN(NOTIFICATION), &text));
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	CHECK(EVP_DigestSignInit(context, NULL, EVP_sha1(), NULL, key_rsa()) == 1 &&
	      EVP_DigestSign(context, made, &size, (const unsigned char *)text.data, text.size) ==
	              1);
	EVP_MD_CTX_free(context);
	buffer_init(&quoted, 4096);
	buffer_text(&quoted, "\"Signature\":\"");
	base64_encode(&quoted, made, size);
	char *signature = span_copy(buffer_view(&quoted));
	change(SPAN(NOTIFICATION), "\"Signature\":\"", signature, &body);
	CHECK(strcmp(signed_word(&s, buffer_view(&body), NOW_NS), "good") == 0);
	struct buffer other;
	change(buffer_view(&body), "\"SignatureVersion\":\"1\"", "\"SignatureVersion\":\"2\"",
	       &other);
	CHECK(strcmp(signed_word(&s, buffer_view(&other), NOW_NS), "signature_mismatch") == 0);
	buffer_finish(&other);
	free(signature);
	buffer_finish(&quoted);
	buffer_finish(&text);
	buffer_finish(&body);
	signed_finish(&s);
}

/* --- fetched certificates --- */

struct asked {
	enum key_found found;
	unsigned times;
	char url[KEY_NAME_MOST_BYTES];
};

static enum key_found
ring_find(void *context, struct span name, struct evp_pkey_st **ret)
{
	struct asked *asked = context;
	asked->times++;
	(void)snprintf(asked->url, sizeof(asked->url), "%.*s", SPAN_ARG(name));
	if (asked->found == KEY_FOUND) {
		ALWAYS(EVP_PKEY_up_ref(key_rsa()) == 1, "ring-key");
		*ret = key_rsa();
	}
	return asked->found;
}

static void
a_certificate_is_asked_for_by_its_url(void)
{
	static struct signed_here s;
	struct asked asked = { .found = KEY_UNAVAILABLE };
	struct key_ring ring = { &asked, ring_find };
	struct verification v;
	start(&s, SPAN(NOTIFICATION));
	struct span body = buffer_view(&s.made.body);
	s.keys.ring = &ring;
	CHECK(strcmp(signed_word(&s, body, NOW_NS), "good") == 0 && asked.times == 0);
	public_keys_finish(&s.public_keys);
	/* After key_unavailable it may be asked again. */
	CHECK(verification_whole(&v, sns(), &s.keys, &s.request, NOW_NS, body) ==
	      VERDICT_KEY_UNAVAILABLE);
	CHECK_ROW(strcmp(v.wanted_key, URL) == 0 && strcmp(asked.url, URL) == 0, "%s", asked.url);
	CHECK(verification_end(&v, body) == VERDICT_KEY_UNAVAILABLE && asked.times == 2);
	asked.found = KEY_FOUND;
	CHECK(verification_end(&v, body) == VERDICT_GOOD && v.matched == 0);
	CHECK(verification_end(&v, body) == VERDICT_GOOD && v.matched == 0);
	verification_drop(&v);
	asked.found = KEY_ABSENT;
	CHECK(strcmp(signed_word(&s, body, NOW_NS), "signature_mismatch") == 0);
	signed_finish(&s);
}

/* Every customer of AWS can have a message signed: nothing is fetched for what is refused anyway. */
static void
nothing_is_fetched_for_what_is_refused(void)
{
	static const struct {
		const char *what;
		const char *with;
	} rows[] = {
		{ ":orders\"", ":others\"" },
		{ "sns.us-east-1.amazonaws.com/", "sns.us-east-1.amazonaws.com.evil.com/" },
		{ "https://sns.", "http://sns." },
		{ "\"SignatureVersion\":\"2\"", "\"SignatureVersion\":\"3\"" },
		{ "\"Signature\":\"", "\"Signature\":\"*" },
		{ "\"Signature\":\"", "\"S\":\"" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct asked asked = { .found = KEY_FOUND };
		struct key_ring ring = { &asked, ring_find };
		struct buffer body;
		start(&s, SPAN(NOTIFICATION));
		public_keys_finish(&s.public_keys);
		s.keys.ring = &ring;
		change(buffer_view(&s.made.body), rows[i].what, rows[i].with, &body);
		CHECK_ROW(strcmp(signed_word(&s, buffer_view(&body), NOW_NS), "good") != 0, "%s",
		          rows[i].with);
		CHECK_ROW(asked.times == 0, "%s", rows[i].with);
		buffer_finish(&body);
		signed_finish(&s);
	}
	static struct signed_here s;
	start(&s, SPAN(NOTIFICATION));
	s.request.topic_count = 0; /* no topic is no permission */
	CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "signature_mismatch") ==
	      0);
	signed_finish(&s);
}

static void
a_confirmation_is_a_check_and_no_event(void)
{
	static struct signed_here s;
	struct received received;
	start(&s, SPAN(CONFIRMATION));
	signed_receive(&s, challenge_find("aws-sns"), buffer_view(&s.made.body), NOW_NS, &received);
	CHECK_ROW(strcmp(received.word, "challenge") == 0, "%s", received.word);
	received_finish(&received);
	struct buffer body;
	change(buffer_view(&s.made.body), "https://sns/?x", "https://sns/?y", &body);
	signed_receive(&s, challenge_find("aws-sns"), buffer_view(&body), NOW_NS, &received);
	CHECK_ROW(strcmp(received.word, "signature_mismatch") == 0, "%s", received.word);
	received_finish(&received);
	buffer_finish(&body);
	signed_finish(&s);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "the text is made of decoded strings", the_text_is_made_of_decoded_strings },
		{ "a message that was altered is refused", a_message_that_was_altered_is_refused },
		{ "what is no message is refused", what_is_no_message_is_refused },
		{ "version 1 is SHA-1", version_1_is_sha1 },
		{ "a certificate is asked for by its URL", a_certificate_is_asked_for_by_its_url },
		{ "nothing is fetched for what is refused",
		  nothing_is_fetched_for_what_is_refused },
		{ "a confirmation is a check and no event",
		  a_confirmation_is_a_check_and_no_event },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	keys_finish();
	return code;
}
