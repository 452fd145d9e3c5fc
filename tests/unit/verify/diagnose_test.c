#include "receiver/verify/diagnose.h"

#include <string.h>

#include "receiver/verify/alteration.h"
#include "receiver/verify/mac.h"
#include "receiver/verify/presets.h"

#include "tests/unit/altered.h"
#include "tests/unit/check.h"
#include "tests/unit/signed.h"

#define NOW_NS (INT64_C(1767735553) * NS_PER_S)
#define BODY   "{\"id\":\"evt_1\",\"type\":\"t\"}"

/* Secrets that a word of an explanation would not hold by chance. */
#define OURS   "Tr0ub4dor-ours"
#define THEIRS "Tr0ub4dor-theirs"

struct explained {
	const char *word;
	struct buffer why;
};

/* No secret's text, in none of its forms. */
static void
check_silent(struct span why)
{
	static const char *const secrets[] = {
		"Tr0ub4dor",    SIGNED_BASE64,      "c2VjcmV0",
		SIGNED_HEX,     "hooklatch:secret", "aG9va2xhdGNo", /* its base64 */
		"VHIwdWI0ZG9y",
	};
	for (size_t i = 0; i < COUNT(secrets); i++) {
		CHECK_ROW(why.size == 0 || memmem(why.data, why.size, secrets[i],
		                                  strlen(secrets[i])) == NULL,
		          "%s", check_quote(why));
	}
	/* One sentence without a full stop, in one line. */
	CHECK_ROW(why.size == 0 || (why.data[why.size - 1] != '.' && why.data[0] != ' ' &&
	                            memchr(why.data, '\n', why.size) == NULL),
	          "%s", check_quote(why));
}

static void
explain(const struct signed_here *s, struct span body, int64_t now_ns,
        const struct diagnosis_source *others, size_t other_count, bool thorough,
        struct explained *ret)
{
	struct verification v;
	enum verdict verdict =
		verification_whole(&v, s->scheme, &s->keys, &s->request, now_ns, body);
	struct diagnosis diagnosis = { .scheme = s->scheme,
		                       .keys = &s->keys,
		                       .request = &s->request,
		                       .verification = &v,
		                       .verdict = verdict,
		                       .now_ns = now_ns,
		                       .body = body,
		                       .others = others,
		                       .other_count = other_count,
		                       .thorough = thorough };
	ret->word = verdict_word(verdict);
	buffer_init(&ret->why, 65536);
	diagnose(&diagnosis, &ret->why);
	verification_drop(&v);
	check_silent(buffer_view(&ret->why));
}

static bool
says(const struct explained *explained, const char *words)
{
	return explained->why.size > 0 &&
	       memmem(explained->why.data, explained->why.size, words, strlen(words)) != NULL;
}

static void
start(struct signed_here *s, const char *preset, struct span body)
{
	struct error err = { .kind = ERROR_NONE };
	bool good = signed_body(s, &preset_find(preset)->scheme, SPAN("evt_1"), SPAN("t"), body,
	                        NOW_NS, &err);
	ALWAYS(good, "diagnose-signed");
}

static void
set_secret(struct signed_here *s, const char *text, int64_t until_ns)
{
	struct error err;
	ALWAYS(secrets_add(&s->secrets, s->scheme->key, span_of(text), until_ns, &err),
	       "diagnose-secret");
}

static void
name_rows(const struct altered *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		static struct signed_here s;
		struct explained explained;
		struct buffer came;
		char wanted[256];
		altered_body(&rows[i], &came);
		start(&s, "stripe", rows[i].signed_body);
		explain(&s, buffer_view(&came), NOW_NS, NULL, 0, true, &explained);
		(void)snprintf(wanted, sizeof(wanted), "the body was altered on the way: %s",
		               rows[i].text);
		CHECK_ROW(strcmp(explained.word, "signature_mismatch") == 0 &&
		                  says(&explained, wanted),
		          "%s: %s", rows[i].text, check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		/* It costs a signature each: only when it is asked for. */
		explain(&s, buffer_view(&came), NOW_NS, NULL, 0, false, &explained);
		CHECK_ROW(says(&explained, "fits none of the secrets") &&
		                  !says(&explained, rows[i].text),
		          "%s: %s", rows[i].text, check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		buffer_finish(&came);
		signed_finish(&s);
	}
}

static void
every_alteration_is_found_and_named(void)
{
	name_rows(altered, COUNT(altered));
}

static void
alterations_of_other_writers_are_found_and_named(void)
{
	name_rows(altered_elsewhere, COUNT(altered_elsewhere));
}

static void
an_altered_body_is_found_with_public_keys_too(void)
{
	static const char *const names[] = { "standard-webhooks-ed25519", "sendgrid", "plaid" };
	for (size_t i = 0; i < COUNT(names); i++) {
		static struct signed_here s;
		struct explained explained;
		start(&s, names[i], SPAN("{\"a\": 1}"));
		explain(&s, SPAN("{\"a\":1}"), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(says(&explained, "white space was dropped or changed"), "%s: %s",
		          names[i], check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		explain(&s, SPAN("{\"a\":2}"), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(says(&explained, "fits none of the keys"), "%s: %s", names[i],
		          check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
}

static void
an_altered_body_is_found_however_old_it_is(void)
{
	static struct signed_here s;
	struct explained explained;
	start(&s, "stripe", SPAN(BODY));
	explain(&s, SPAN(BODY "\n"), NOW_NS + 86400 * NS_PER_S, NULL, 0, true, &explained);
	CHECK_ROW(says(&explained, "a newline was added"), "%s",
	          check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	signed_finish(&s);
}

static void
a_body_that_breaks_off_is_named(void)
{
	static struct signed_here s;
	struct explained explained;
	start(&s, "stripe", SPAN(BODY));
	explain(&s, SPAN("{\"id\":\"evt_1\",\"ty"), NOW_NS, NULL, 0, true, &explained);
	CHECK_ROW(says(&explained, "truncated"), "%s", check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	signed_finish(&s);
}

static void
a_secret_that_has_expired_is_named_by_its_number(void)
{
	static const struct {
		const char *preset;
		const char *first;
		const char *second;
	} rows[] = {
		{ "github", OURS, SIGNED_BASE64 },
		{ "slack", OURS, SIGNED_BASE64 },
		{ "gitlab-token", OURS, SIGNED_BASE64 },
		{ "postmark", "a:" OURS, SIGNED_BASIC },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct explained explained;
		start(&s, rows[i].preset, SPAN(BODY));
		secrets_finish(&s.secrets);
		set_secret(&s, rows[i].first, 0);
		set_secret(&s, s.scheme->key == SCHEME_KEY_BASIC ? SIGNED_BASIC : SIGNED_BASE64,
		           NOW_NS);
		explain(&s, SPAN(BODY), NOW_NS, NULL, 0, false, &explained);
		CHECK_ROW(strcmp(explained.word, "signature_mismatch") == 0 &&
		                  says(&explained, "secret 2 of this source") &&
		                  says(&explained, "expired"),
		          "%s: %s", rows[i].preset, check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
}

static void
another_sources_secret_is_named_by_its_number(void)
{
	static struct signed_here s;
	struct explained explained;
	struct secrets first = { .count = 0 };
	struct secrets second = { .count = 0 };
	struct error err;
	start(&s, "github", SPAN(BODY));
	secrets_finish(&s.secrets);
	set_secret(&s, OURS, 0);
	CHECK(secrets_add(&first, SCHEME_KEY_RAW, SPAN(THEIRS), 0, &err));
	CHECK(secrets_add(&second, SCHEME_KEY_RAW, SPAN(THEIRS "2"), 0, &err));
	CHECK(secrets_add(&second, SCHEME_KEY_RAW, SPAN(SIGNED_BASE64), 1, &err)); /* long over */
	struct diagnosis_source others[] = { { "gitea", &first }, { "staging", &second } };
	explain(&s, SPAN(BODY), NOW_NS, others, COUNT(others), false, &explained);
	CHECK_ROW(says(&explained, "secret 2 of the source staging"), "%s",
	          check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	explain(&s, SPAN(BODY), NOW_NS, others, 1, true, &explained);
	CHECK_ROW(!says(&explained, "of the source") &&
	                  says(&explained, "fits none of the secrets"),
	          "%s", check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	secrets_finish(&first);
	secrets_finish(&second);
	signed_finish(&s);
}

static void
a_signature_over_the_url_points_to_public_url(void)
{
	static struct signed_here s;
	struct explained explained;
	start(&s, "square", SPAN(BODY));
	s.request.url = SPAN("https://example.com/hook/");
	explain(&s, SPAN(BODY), NOW_NS, NULL, 0, true, &explained);
	CHECK_ROW(says(&explained, "public_url https://example.com/hook/ "), "%s",
	          check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	signed_finish(&s);
}

static void
a_wrong_token_is_told_without_it(void)
{
	static const char *const names[] = { "gitlab-token", "postmark", "cloudevents", "okta" };
	for (size_t i = 0; i < COUNT(names); i++) {
		static struct signed_here s;
		struct explained explained;
		start(&s, names[i], SPAN("{}"));
		secrets_finish(&s.secrets);
		set_secret(&s, "user:" OURS, 0);
		explain(&s, SPAN("{}"), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(strcmp(explained.word, "signature_mismatch") == 0 &&
		                  says(&explained, "the token is none of the secrets"),
		          "%s: %s", names[i], check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
}

static void
what_is_missing_is_named(void)
{
	static const struct {
		const char *preset;
		const char *header; /* that is there instead; NULL: none */
		const char *words;
		const char *more; /* NULL: nothing about another provider */
	} rows[] = {
		{ "stripe", NULL, "the header Stripe-Signature is missing or empty", NULL },
		{ "stripe", "X-Hub-Signature-256", "the header Stripe-Signature is missing",
		  "as github sends it" },
		{ "github", "x-slack-signature", "X-Hub-Signature-256 is missing",
		  "as slack sends it" },
		{ "github", "X-Hub-Signature", "X-Hub-Signature-256 is missing",
		  "X-Hub-Signature, as " },
		{ "github", "Authorization", "X-Hub-Signature-256 is missing", NULL },
		{ "mailgun", NULL, "/signature/signature is missing", NULL },
		{ "adyen", NULL, "hmacSignature of an item is missing", NULL },
		{ "aws-sns", NULL, "/Signature is missing", NULL },
		{ "plaid", NULL, "Plaid-Verification is missing", NULL },
		{ "gitlab-token", NULL, "X-Gitlab-Token is missing", NULL },
		{ "gitlab-token", "webhook-signature", "X-Gitlab-Token is missing", "as " },
		{ "docusign", NULL, "X-DocuSign-Signature-* is missing", NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct explained explained;
		memset(&s, 0, sizeof(s));
		s.scheme = &preset_find(rows[i].preset)->scheme;
		signed_keys(&s, key_for(s.scheme->algorithm), NULL);
		s.request.method = SPAN("POST");
		if (rows[i].header != NULL) {
			signed_add_field(&s, rows[i].header, "x");
		}
		explain(&s, SPAN("{}"), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(strcmp(explained.word, "signature_missing") == 0 &&
		                  says(&explained, rows[i].words),
		          "%s: %s: %s", rows[i].preset, explained.word,
		          check_quote(buffer_view(&explained.why)));
		CHECK_ROW(says(&explained, rows[i].more == NULL ? "sends it" : rows[i].more) ==
		                  (rows[i].more != NULL),
		          "%s: %s", rows[i].preset, check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
}

static void
what_is_malformed_is_named(void)
{
	static const struct {
		const char *preset;
		const char *header;
		const char *value;
		bool twice;
		const char *words;
	} rows[] = {
		{ "github", "X-Hub-Signature-256", "sha1=00", false, "prefix sha256=, hex" },
		{ "shopify", "X-Shopify-Hmac-Sha256", "***", false, "prefix none, base64" },
		{ "github", "X-Hub-Signature-256", "sha256=00", true,
		  "X-Hub-Signature-256 stands there 2 times" },
		{ "plaid", "Plaid-Verification", "a.b.c", false, "alg ES256 and a kid" },
		{ "paypal", "PAYPAL-TRANSMISSION-SIG", "AAAA", false, "PAYPAL-CERT-URL" },
		{ "twilio-json", "X-Twilio-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", false,
		  "no parameter bodySHA256" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct explained explained;
		memset(&s, 0, sizeof(s));
		s.scheme = &preset_find(rows[i].preset)->scheme;
		signed_keys(&s, key_for(s.scheme->algorithm), NULL);
		signed_add_field(&s, rows[i].header, rows[i].value);
		if (rows[i].twice) {
			signed_add_field(&s, rows[i].header, rows[i].value);
		}
		explain(&s, SPAN("{}"), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(strcmp(explained.word, "signature_malformed") == 0 &&
		                  says(&explained, rows[i].words),
		          "%s: %s: %s", rows[i].preset, explained.word,
		          check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
}

static void
a_time_that_is_wrong_is_told_in_seconds(void)
{
	static const struct {
		const char *preset;
		int64_t later_s;
		const char *words;
	} rows[] = {
		{ "stripe", 301, "its time is 301 s old; 300 s are allowed" },
		{ "stripe", -400, "its time is 400 s ahead; 300 s are allowed" },
		{ "workos", 181, "its time is 181 s old; 180 s are allowed" },
		{ "plaid", 301, "its time is 301 s old; 300 s are allowed" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct explained explained;
		start(&s, rows[i].preset, SPAN(BODY));
		explain(&s, SPAN(BODY), NOW_NS + rows[i].later_s * NS_PER_S, NULL, 0, true,
		        &explained);
		CHECK_ROW(says(&explained, rows[i].words), "%s: %s", rows[i].preset,
		          check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
	static const struct {
		const char *preset;
		const char *header;
		const char *words;
	} missing[] = {
		{ "slack", "X-Slack-Request-Timestamp", "(X-Slack-Request-Timestamp, in seconds)" },
		{ "zendesk", "X-Zendesk-Webhook-Signature-Timestamp", ", in RFC 3339)" },
		{ "linear", NULL, "(/webhookTimestamp, in milliseconds)" },
	};
	for (size_t i = 0; i < COUNT(missing); i++) {
		static struct signed_here s;
		struct explained explained;
		start(&s, missing[i].preset, SPAN("{}"));
		if (missing[i].header != NULL) {
			signed_drop_field(&s, missing[i].header);
		}
		explain(&s, SPAN("{}"), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(strcmp(explained.word, "timestamp_missing") == 0 &&
		                  says(&explained, missing[i].words),
		          "%s: %s: %s", missing[i].preset, explained.word,
		          check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
}

static void
a_key_that_is_not_there_is_named(void)
{
	static struct signed_here s;
	struct explained explained;
	const struct preset *preset = preset_find("paypal");
	struct error err;
	CHECK(signed_sample(&s, preset, &preset->scheme, SPAN("1"), SPAN("t"), NOW_NS, &err));
	public_keys_finish(&s.public_keys);
	explain(&s, buffer_view(&s.made.body), NOW_NS, NULL, 0, true, &explained);
	CHECK_ROW(says(&explained, "https://api.paypal.com/v1/notifications/certs/CERT-test"), "%s",
	          check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	signed_finish(&s);
	preset = preset_find("aws-sns");
	CHECK(signed_sample(&s, preset, &preset->scheme, SPAN("1"), SPAN("t"), NOW_NS, &err));
	public_keys_finish(&s.public_keys);
	s.request.topic_count = 0;
	explain(&s, buffer_view(&s.made.body), NOW_NS, NULL, 0, true, &explained);
	CHECK_ROW(says(&explained, "its topic is none of topic_arns"), "%s",
	          check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	signed_finish(&s);
}

static void
a_topic_that_is_not_ours_is_named_with_a_pinned_certificate(void)
{
	static struct signed_here s;
	struct explained explained;
	const struct preset *preset = preset_find("aws-sns");
	struct error err;
	CHECK(signed_sample(&s, preset, &preset->scheme, SPAN("1"), SPAN("t"), NOW_NS, &err));
	s.request.topic_count = 0;
	explain(&s, buffer_view(&s.made.body), NOW_NS, NULL, 0, true, &explained);
	CHECK_ROW(says(&explained, "its topic is none of topic_arns"), "%s",
	          check_quote(buffer_view(&explained.why)));
	buffer_finish(&explained.why);
	signed_finish(&s);
}

static void
what_is_good_needs_no_words(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		static struct signed_here s;
		struct explained explained;
		struct error err;
		CHECK(signed_sample(&s, preset, &preset->scheme, SPAN("1"), SPAN("t"), NOW_NS,
		                    &err));
		explain(&s, buffer_view(&s.made.body), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(strcmp(explained.word, "good") == 0 && explained.why.size == 0, "%s: %s",
		          preset->name, check_quote(buffer_view(&explained.why)));
		buffer_finish(&explained.why);
		/* Whatever is wrong instead, there are words for it. */
		s.request.fields.count = 0;
		explain(&s, SPAN("{}"), NOW_NS, NULL, 0, true, &explained);
		CHECK_ROW(strcmp(explained.word, "good") != 0 && explained.why.size > 0, "%s",
		          preset->name);
		buffer_finish(&explained.why);
		signed_finish(&s);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every alteration is found and named", every_alteration_is_found_and_named },
		{ "alterations of other writers are found and named",
		  alterations_of_other_writers_are_found_and_named },
		{ "an altered body is found with public keys too",
		  an_altered_body_is_found_with_public_keys_too },
		{ "an altered body is found however old it is",
		  an_altered_body_is_found_however_old_it_is },
		{ "a body that breaks off is named", a_body_that_breaks_off_is_named },
		{ "a secret that has expired is named by its number",
		  a_secret_that_has_expired_is_named_by_its_number },
		{ "another source's secret is named by its number",
		  another_sources_secret_is_named_by_its_number },
		{ "a signature over the URL points to public_url",
		  a_signature_over_the_url_points_to_public_url },
		{ "a wrong token is told without it", a_wrong_token_is_told_without_it },
		{ "what is missing is named", what_is_missing_is_named },
		{ "what is malformed is named", what_is_malformed_is_named },
		{ "a time that is wrong is told in seconds",
		  a_time_that_is_wrong_is_told_in_seconds },
		{ "a key that is not there is named", a_key_that_is_not_there_is_named },
		{ "a topic that is not ours is named with a pinned certificate",
		  a_topic_that_is_not_ours_is_named_with_a_pinned_certificate },
		{ "what is good needs no words", what_is_good_needs_no_words },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	mac_thread_finish();
	keys_finish();
	return code;
}
