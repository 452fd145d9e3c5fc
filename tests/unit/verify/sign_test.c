#include "receiver/verify/sign.h"

#include "receiver/verify/mac.h"
#include "receiver/verify/presets.h"

#include "tests/unit/check.h"
#include "tests/unit/signed.h"
#include "tests/unit/vectors.h"

#define NOW_NS (INT64_C(1767735553) * NS_PER_S + 123000000)

static bool
holds(struct span text, struct span part)
{
	return part.size > 0 && text.size >= part.size &&
	       memmem(text.data, text.size, part.data, part.size) != NULL;
}

/* Whether an id or type that was asked for is there; `wanted` is what the sample says instead, where it says something of
 * its own. */
static void
check_value(const char *who, const struct scheme_value *value, const struct buffer *got,
            struct span asked, const char *wanted)
{
	struct span text = buffer_view(got);
	if (value->from == SCHEME_CONSTANT || wanted != NULL) {
		CHECK_ROW(span_equal(text, span_of(wanted == NULL ? value->name : wanted)),
		          "%s: %s", who, check_quote(text));
	} else if (value->from == SCHEME_FROM_PARTS) {
		CHECK_ROW(holds(text, asked), "%s: %s", who, check_quote(text));
	} else if (value->from != SCHEME_GENERATED) {
		CHECK_ROW(span_equal(text, asked), "%s: %s", who, check_quote(text));
	}
}

static const struct {
	struct span id;
	struct span type;
} asked[] = {
	{ TEXT("evt_1"), TEXT("invoice.paid") },
	{ TEXT("692bd66b-0493-499d-acae-35420f132d06"), TEXT("push") },
	{ TEXT("Grüße \"{}\" 🦊 & {id} +%"), TEXT("a/b c\\d") },
};

/* What these samples say in the place of a type. */
static const char *
own_type(const char *name)
{
	static const struct {
		const char *name;
		const char *type;
	} rows[] = { { "aws-sns", "Notification" }, { "discord-interactions", "2" } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (strcmp(rows[i].name, name) == 0) {
			return rows[i].type;
		}
	}
	return NULL;
}

static void
accepts(const struct preset *preset, size_t row)
{
	static struct signed_here s;
	struct received received;
	struct error err = { .kind = ERROR_NONE };
	const struct scheme *scheme = &preset->scheme;
	const struct challenge *challenge =
		preset->challenge == NULL ? NULL : challenge_find(preset->challenge);
	bool split = scheme->events.array != NULL;
	if (!CHECK_ROW(signed_sample(&s, preset, scheme, asked[row].id, asked[row].type, NOW_NS,
	                             &err),
	               "%s: %s", preset->name, err.text)) {
		signed_finish(&s);
		return;
	}
	signed_receive(&s, challenge, buffer_view(&s.made.body), NOW_NS + NS_PER_S, &received);
	CHECK_ROW(strcmp(received.word, "accepted") == 0, "%s: %s %s", preset->name, received.word,
	          received.wrong == NULL ? "" : received.wrong);
	CHECK_ROW(received.matched == 0, "%s: %d", preset->name, received.matched);
	if (CHECK_ROW(received.count == 1, "%s: %zu", preset->name, received.count)) {
		const struct received_event *event = &received.events[0];
		CHECK_ROW(event->generated == (!split && scheme->id.from == SCHEME_GENERATED), "%s",
		          preset->name);
		check_value(preset->name, split ? &scheme->events.id : &scheme->id, &event->id,
		            asked[row].id, NULL);
		check_value(preset->name, split ? &scheme->events.type : &scheme->type,
		            &event->type, asked[row].type, own_type(preset->name));
	}
	received_finish(&received);
	signed_finish(&s);
}

static void
every_preset_takes_what_is_signed_for_it(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		for (size_t row = 0; row < COUNT(asked); row++) {
			accepts(preset, row);
		}
	}
}

/* Exactly `tolerance` is good, both ways; more is not. Where no time is signed, none matters. */
static void
every_preset_refuses_what_is_too_old(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		const struct scheme *scheme = &preset->scheme;
		bool timed = scheme_time_signed(scheme);
		const struct {
			int64_t later_ns;
			const char *word;
		} rows[] = {
			{ scheme->tolerance_ns, "good" },
			{ -scheme->tolerance_ns, "good" },
			{ scheme->tolerance_ns + NS_PER_S, timed ? "timestamp_too_old" : "good" },
			{ -scheme->tolerance_ns - NS_PER_S,
			  timed ? "timestamp_in_future" : "good" },
		};
		static struct signed_here s;
		struct error err;
		CHECK_ROW(signed_sample(&s, preset, scheme, SPAN("1"), SPAN("t"), NOW_NS, &err),
		          "%s", preset->name);
		for (size_t i = 0; i < COUNT(rows); i++) {
			const char *word = signed_word(&s, buffer_view(&s.made.body),
			                               NOW_NS + rows[i].later_ns);
			CHECK_ROW(strcmp(word, rows[i].word) == 0, "%s after %" PRId64 " s: %s",
			          preset->name, rows[i].later_ns / NS_PER_S, word);
		}
		signed_finish(&s);
	}
}

/* Every byte of the body counts where the scheme says so; Adyen's items: items_test.c. */
static void
every_preset_refuses_another_body(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		static struct signed_here s;
		struct error err;
		bool counts = preset->scheme.algorithm != SCHEME_SNS && /* some of its fields */
		              (scheme_body_signed(&preset->scheme) ||
		               preset->scheme.algorithm == SCHEME_RSA_SHA256); /* a CRC-32 */
		CHECK_ROW(signed_sample(&s, preset, &preset->scheme, SPAN("1"), SPAN("t"), NOW_NS,
		                        &err),
		          "%s", preset->name);
		for (size_t i = 0; counts && i < s.made.body.size; i++) {
			s.made.body.data[i] = (char)(s.made.body.data[i] ^ 1);
			const char *word = signed_word(&s, buffer_view(&s.made.body), NOW_NS);
			CHECK_ROW(strcmp(word, "good") != 0, "%s: byte %zu", preset->name, i);
			s.made.body.data[i] = (char)(s.made.body.data[i] ^ 1);
		}
		CHECK_ROW(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "good") == 0,
		          "%s", preset->name);
		signed_finish(&s);
	}
}

static EVP_PKEY *
another_key(enum scheme_algorithm algorithm)
{
	switch (key_for(algorithm) == NULL ? 0 : EVP_PKEY_get_base_id(key_for(algorithm))) {
	case EVP_PKEY_ED25519: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	case EVP_PKEY_EC: return EVP_EC_gen("P-256");
	case EVP_PKEY_RSA: return EVP_RSA_gen(2048);
	default: return NULL;
	}
}

static void
every_preset_refuses_what_another_key_signed(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		static struct signed_here s;
		struct error err;
		const struct scheme *scheme = &preset->scheme;
		EVP_PKEY *other = another_key(scheme->algorithm);
		CHECK_ROW(signed_sample(&s, preset, scheme, SPAN("1"), SPAN("t"), NOW_NS, &err),
		          "%s", preset->name);
		secrets_finish(&s.secrets);
		public_keys_finish(&s.public_keys);
		signed_keys(&s, other,
		            scheme->key == SCHEME_KEY_BASE64_AFTER_WHSEC ? "b3RoZXI="
		            : scheme->key == SCHEME_KEY_HEX              ? "00"
		                                                         : "user:other");
		const char *word = signed_word(&s, buffer_view(&s.made.body), NOW_NS);
		CHECK_ROW(strcmp(word, "signature_mismatch") == 0, "%s: %s", preset->name, word);
		EVP_PKEY_free(other);
		signed_finish(&s);
	}
}

/* A certificate that is pinned by its URL, and a key that the ring has. */
static void
certificates_may_be_pinned_by_their_url(void)
{
	static const struct {
		const char *name;
		const char *url;
	} rows[] = {
		{ "paypal", "https://api.paypal.com/v1/notifications/certs/CERT-test" },
		{ "aws-sns",
		  "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-test.pem" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		static struct signed_here s;
		struct error err;
		struct buffer pem;
		const struct preset *preset = preset_find(rows[i].name);
		key_certificate(key_rsa(), &pem);
		CHECK(signed_sample(&s, preset, &preset->scheme, SPAN("1"), SPAN("t"), NOW_NS,
		                    &err));
		public_keys_finish(&s.public_keys);
		CHECK(public_keys_add_certificate(&s.public_keys, buffer_view(&pem), rows[i].url,
		                                  &err));
		CHECK_ROW(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "good") == 0,
		          "%s", rows[i].name);
		public_keys_finish(&s.public_keys);
		CHECK(public_keys_add_certificate(&s.public_keys, buffer_view(&pem),
		                                  "https://api.paypal.com/other", &err));
		CHECK_ROW(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS),
		                 "signature_mismatch") == 0,
		          "%s", rows[i].name);
		buffer_finish(&pem);
		signed_finish(&s);
	}
}

/* --- schemes of the configuration --- */

/* Whether the type lies where a part of the id lies too: a sample cannot carry both. */
static bool
is_part_of_id(const struct scheme_value *id, const struct scheme_value *type)
{
	bool found = type->from != SCHEME_FROM_HEADER && type->from != SCHEME_FROM_JSON;
	for (size_t i = 0; i < id->part_count; i++) {
		found = found || strcmp(id->parts[i], type->name) == 0;
	}
	return found;
}

static void
every_scheme_of_the_survey_takes_what_is_signed_for_it(void)
{
	json_t *file = vectors_load();
	json_t *providers = json_object_get(file, "providers");
	size_t count = 0;
	for (size_t i = 0; i < json_array_size(providers); i++) {
		static struct signed_here s;
		struct received received;
		struct scheme scheme;
		struct error err = { .kind = ERROR_NONE };
		const char *name = vectors_text(json_array_get(providers, i), "name");
		if (!vectors_scheme(json_array_get(providers, i), &scheme) ||
		    scheme_signs(&scheme, SCHEME_JSON) || scheme_signs(&scheme, SCHEME_FORM)) {
			continue; /* the body must be of the sender's own form */
		}
		bool split = scheme.events.array != NULL;
		const struct scheme_value *id = split ? &scheme.events.id : &scheme.id;
		const struct scheme_value *type = split ? &scheme.events.type : &scheme.type;
		count++;
		for (size_t row = 0; row < COUNT(asked); row++) {
			CHECK_ROW(signed_sample(&s, NULL, &scheme, asked[row].id, asked[row].type,
			                        NOW_NS, &err),
			          "%s: %s", name, err.text);
			signed_receive(&s, NULL, buffer_view(&s.made.body), NOW_NS, &received);
			if (CHECK_ROW(strcmp(received.word, "accepted") == 0 && received.count == 1,
			              "%s: %s", name, received.word)) {
				check_value(name, id, &received.events[0].id, asked[row].id, NULL);
				if (!is_part_of_id(id, type)) {
					check_value(name, type, &received.events[0].type,
					            asked[row].type, NULL);
				}
			}
			received_finish(&received);
			signed_finish(&s);
		}
	}
	CHECK_ROW(count == 47, "%zu", count);
	json_decref(file);
}

static void
a_sample_is_json_with_id_and_type_in_their_places(void)
{
	static const struct {
		struct scheme scheme;
		struct span id;
		struct span type;
		struct span body;
	} rows[] = {
		{ { .id = { .from = SCHEME_FROM_JSON, .name = "/event/id" },
		    .type = { .from = SCHEME_FROM_JSON, .name = "/type" } },
		  TEXT("e\"1"),
		  TEXT("t"),
		  TEXT("{\"message\":\"hello\",\"type\":\"t\",\"event\":{\"id\":\"e\\\"1\"}}") },
		{ { .id = { .from = SCHEME_FROM_JSON, .name = "/event/id" },
		    .type = { .from = SCHEME_FROM_JSON, .name = "/event/type" } },
		  TEXT("1"),
		  TEXT("t"),
		  TEXT("{\"message\":\"hello\",\"event\":{\"type\":\"t\",\"id\":\"1\"}}") },
		{ { .id = { .from = SCHEME_GENERATED } },
		  TEXT("1"),
		  TEXT("t"),
		  TEXT("{\"message\":\"hello\"}") },
		{ { .events = { .array = "",
		                .id = { .from = SCHEME_FROM_JSON, .name = "/id" },
		                .type = { .from = SCHEME_FROM_JSON, .name = "/type" } } },
		  TEXT("1"),
		  TEXT("t"),
		  TEXT("[{\"message\":\"hello\",\"type\":\"t\",\"id\":\"1\"}]") },
		{ { .events = { .array = "/a/b",
		                .id = { .from = SCHEME_FROM_JSON, .name = "/id" } },
		    .timestamp = { .from = SCHEME_FROM_JSON, .name = "/at" },
		    .signature_json = "/sig" },
		  TEXT("1"),
		  TEXT("t"),
		  TEXT("{\"a\":{\"b\":[{\"message\":\"hello\",\"id\":\"1\"}]},\"at\":\"1767735553\","
		       "\"sig\":\"\"}") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer body;
		buffer_init(&body, 4096);
		sample_write(NULL, &rows[i].scheme, rows[i].id, rows[i].type, NULL, NOW_NS, &body);
		CHECK_ROW(span_equal(buffer_view(&body), rows[i].body), "%s",
		          check_quote(buffer_view(&body)));
		buffer_finish(&body);
	}
}

/* Ids are bytes of the command line: no UTF-8 is no reason for a member that is missing. */
static void
a_sample_takes_any_id(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		struct buffer body;
		buffer_init(&body, 4096);
		sample_write(preset, &preset->scheme, SPAN("\xff\"\\\n"), SPAN("\x80"), "", NOW_NS,
		             &body);
		bool form = preset->scheme.media_type != NULL;
		json_t *value = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, NULL);
		CHECK_ROW(form || value != NULL, "%s: %s", preset->name,
		          check_quote(buffer_view(&body)));
		json_decref(value);
		buffer_finish(&body);
	}
}

static void
a_made_sample_takes_any_id(void)
{
	struct scheme scheme = { .id = { .from = SCHEME_FROM_JSON, .name = "/id" } };
	struct buffer body;
	buffer_init(&body, 4096);
	sample_write(NULL, &scheme, SPAN("\xff"), SPAN("t"), "", NOW_NS, &body);
	CHECK_ROW(holds(buffer_view(&body), SPAN("\"id\":")), "%s",
	          check_quote(buffer_view(&body)));
	buffer_finish(&body);
}

/* --- what cannot be signed --- */

static void
what_cannot_be_signed_is_told(void)
{
	static const struct {
		const char *name;
		struct span body;
		bool key;
		const char *words;
	} rows[] = {
		{ "mailgun", TEXT("{}"), true, "holds nothing that this scheme signs" },
		{ "mailgun", TEXT("{\"signature\":{\"token\":\"t\",\"timestamp\":\"1\"}}"), true,
		  "no place for a signature" },
		{ "adyen", TEXT("{}"), true, "has no /notificationItems" },
		{ "adyen", TEXT("{\"notificationItems\":[{}]}"), true, "no place for a signature" },
		{ "aws-sns", TEXT("{}"), true, "no message of SNS" },
		{ "aws-sns", TEXT("no json"), true, "no message of SNS" },
		{ "sendgrid", TEXT("[]"), false, "private key" },
		{ "paypal", TEXT("{}"), false, "private key" },
		{ "plaid", TEXT("{}"), false, "private key" },
		{ "discord-events", TEXT("{}"), false, "private key" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct scheme *scheme = &preset_find(rows[i].name)->scheme;
		struct verify_request request = { .method = SPAN("POST") };
		struct secrets secrets = { .count = 0 };
		struct signed_request made;
		struct error err = { .kind = ERROR_NONE };
		if (scheme_has_secrets(scheme)) {
			CHECK(secrets_add(&secrets, scheme->key, SPAN("00"), 0, &err));
		}
		struct signing signing = { .scheme = scheme,
			                   .secret = &secrets.items[0],
			                   .private_key =
			                           rows[i].key ? key_for(scheme->algorithm) : NULL,
			                   .request = &request,
			                   .now_ns = NOW_NS,
			                   .body = rows[i].body };
		CHECK_ROW(!sign_request(&signing, &made, &err) &&
		                  strstr(err.text, rows[i].words) != NULL,
		          "%s: %s", rows[i].name, err.text);
		signed_request_finish(&made);
		secrets_finish(&secrets);
	}
}

static void
a_private_key_that_does_not_fit_is_told(void)
{
	static const char *const names[] = { "standard-webhooks-ed25519", "plaid" };
	for (size_t i = 0; i < COUNT(names); i++) {
		struct verify_request request = { .method = SPAN("POST") };
		struct signed_request made;
		struct error err = { .kind = ERROR_NONE };
		struct signing signing = { .scheme = &preset_find(names[i])->scheme,
			                   .private_key = key_rsa(),
			                   .request = &request,
			                   .now_ns = NOW_NS,
			                   .body = SPAN("{}") };
		CHECK_ROW(!sign_request(&signing, &made, &err) && err.kind == ERROR_INVALID, "%s",
		          names[i]);
		signed_request_finish(&made);
	}
	struct buffer pem;
	key_private_pem(key_ed25519(), &pem);
	EVP_PKEY *key = sign_key_read(buffer_view(&pem));
	CHECK(key != NULL && EVP_PKEY_eq(key, key_ed25519()) == 1);
	sign_key_free(key);
	buffer_finish(&pem);
	key_public_pem(key_ed25519(), &pem);
	CHECK(sign_key_read(buffer_view(&pem)) == NULL);
	CHECK(sign_key_read(SPAN("")) == NULL);
	buffer_finish(&pem);
}

/* --- providers that nobody has heard of --- */

/* Lists with "|", the time in them in milliseconds, a hex key, ids in parts, an array of events. */
static const struct preset pipe = {
	.name = "pipe",
	.scheme = { .signature_header = "X-Pipe",
	            .separator = '|',
	            .prefix = "sig:",
	            .timestamp_prefix = "at:",
	            .algorithm = SCHEME_SHA1,
	            .encoding = SCHEME_BASE64,
	            .key = SCHEME_KEY_HEX,
	            .signed_text = "{method}~{timestamp}~{body}~{path}~{json:/nonce}",
	            .timestamp = { .from = SCHEME_FROM_SIGNATURE },
	            .unit = SCHEME_MILLISECONDS,
	            .tolerance_ns = 10 * NS_PER_S,
	            .events = { .array = "/batch/events",
	                        .id = { .from = SCHEME_FROM_PARTS,
	                                .parts = { "/k", "/n/0", "/missing", "X-Shard" },
	                                .part_count = 4 },
	                        .type = { .from = SCHEME_FROM_JSON, .name = "/what" } } },
	.sample =
		"{\"nonce\":\"{token}\",\"batch\":{\"events\":[{\"k\":\"{id}\",\"n\":[9007199254740993],"
		"\"what\":\"{type}\"},{\"k\":\"second\",\"n\":[2]}]}}",
};

/* Ed25519 in any of several headers, the time in RFC 3339, a form whose parameter is the id. */
static const struct preset stamp = {
	.name = "stamp",
	.scheme = { .signature_header = "X-Stamp-*",
	            .prefix = "ed=",
	            .algorithm = SCHEME_ED25519,
	            .encoding = SCHEME_BASE64,
	            .signed_text =
	                    "{header:X-Realm}\n{timestamp}\n{sorted_form_params}\n{url}{query}",
	            .timestamp = { .from = SCHEME_FROM_HEADER, .name = "X-Time" },
	            .unit = SCHEME_RFC3339,
	            .tolerance_ns = 60 * NS_PER_S,
	            .id = { .from = SCHEME_FROM_FORM, .name = "id" },
	            .type = { .from = SCHEME_CONSTANT, .name = "stamped" },
	            .media_type = "application/x-www-form-urlencoded" },
	.sample = "z=1&id={id}&a={type}&b=&a=0",
};

static void
a_made_up_provider_with_lists_is_only_data(void)
{
	static struct signed_here s;
	struct received received;
	struct error err = { .kind = ERROR_NONE };
	CHECK_ROW(signed_sample(&s, &pipe, &pipe.scheme, SPAN("a:b"), SPAN("made"), NOW_NS, &err),
	          "%s", err.text);
	signed_add_field(&s, "x-shard", "7");
	signed_receive(&s, NULL, buffer_view(&s.made.body), NOW_NS + 10 * NS_PER_S, &received);
	if (CHECK_ROW(strcmp(received.word, "accepted") == 0 && received.count == 2, "%s: %zu",
	              received.word, received.count)) {
		CHECK_ROW(span_equal(buffer_view(&received.events[0].id),
		                     SPAN("a:b:9007199254740993::7")),
		          "%s", check_quote(buffer_view(&received.events[0].id)));
		CHECK(span_equal(buffer_view(&received.events[0].type), SPAN("made")));
		CHECK(span_equal(buffer_view(&received.events[1].id), SPAN("second:2::7")));
		CHECK(received.events[1].type.size == 0);
		CHECK(span_equal(buffer_view(&received.events[1].text),
		                 SPAN("{\"k\":\"second\",\"n\":[2]}")));
	}
	received_finish(&received);
	static const struct {
		int64_t later_ns;
		const char *word;
	} ages[] = { { 10 * NS_PER_S + NS_PER_MS, "timestamp_too_old" },
		     { -10 * NS_PER_S, "good" },
		     { -10 * NS_PER_S - NS_PER_MS, "timestamp_in_future" } };
	for (size_t i = 0; i < COUNT(ages); i++) {
		const char *word =
			signed_word(&s, buffer_view(&s.made.body), NOW_NS + ages[i].later_ns);
		CHECK_ROW(strcmp(word, ages[i].word) == 0, "row %zu: %s", i, word);
	}
	s.request.method = SPAN("PUT");
	CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "signature_mismatch") ==
	      0);
	s.request.method = SPAN("POST");
	s.request.path = SPAN("/hoo");
	CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "signature_mismatch") ==
	      0);
	CHECK(strcmp(signed_word(&s, SPAN("{}"), NOW_NS), "signature_mismatch") == 0);
	signed_drop_field(&s, "X-Pipe");
	CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "signature_missing") == 0);
	signed_finish(&s);
}

static void
a_made_up_provider_with_keys_and_forms_is_only_data(void)
{
	static struct signed_here s;
	struct received received;
	struct error err = { .kind = ERROR_NONE };
	CHECK_ROW(signed_sample(&s, &stamp, &stamp.scheme, SPAN("1 & 2"), SPAN("é"), NOW_NS, &err),
	          "%s", err.text);
	signed_add_field(&s, "x-stamp-old", "ed=AAAA"); /* none, beside a good one */
	signed_receive(&s, NULL, buffer_view(&s.made.body), NOW_NS, &received);
	CHECK_ROW(strcmp(received.word, "accepted") == 0 && received.count == 1, "%s",
	          received.word);
	CHECK(span_equal(buffer_view(&received.events[0].id), SPAN("1 & 2")));
	CHECK(span_equal(buffer_view(&received.events[0].type), SPAN("stamped")));
	received_finish(&received);
	/* Another order of the parameters is the same text that was signed. */
	CHECK(strcmp(signed_word(&s, SPAN("id=1+%26+2&a=0&a=%c3%a9&b=&z=1"), NOW_NS), "good") == 0);
	CHECK(strcmp(signed_word(&s, SPAN("id=1+%26+3&a=0&a=%c3%a9&b=&z=1"), NOW_NS),
	             "signature_mismatch") == 0);
	signed_drop_field(&s, "X-Realm");
	CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "signature_mismatch") ==
	      0);
	signed_drop_field(&s, "X-Time");
	CHECK(strcmp(signed_word(&s, buffer_view(&s.made.body), NOW_NS), "timestamp_missing") == 0);
	signed_finish(&s);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every preset takes what is signed for it",
		  every_preset_takes_what_is_signed_for_it },
		{ "every preset refuses what is too old or of the future",
		  every_preset_refuses_what_is_too_old },
		{ "every preset refuses another body", every_preset_refuses_another_body },
		{ "every preset refuses what another key signed",
		  every_preset_refuses_what_another_key_signed },
		{ "certificates may be pinned by their URL",
		  certificates_may_be_pinned_by_their_url },
		{ "every scheme of the survey takes what is signed for it",
		  every_scheme_of_the_survey_takes_what_is_signed_for_it },
		{ "a sample is JSON with id and type in their places",
		  a_sample_is_json_with_id_and_type_in_their_places },
		{ "a sample takes any id", a_sample_takes_any_id },
		{ "a made sample takes any id", a_made_sample_takes_any_id },
		{ "what cannot be signed is told", what_cannot_be_signed_is_told },
		{ "a private key that does not fit is told",
		  a_private_key_that_does_not_fit_is_told },
		{ "a made-up provider with lists is only data",
		  a_made_up_provider_with_lists_is_only_data },
		{ "a made-up provider with keys and forms is only data",
		  a_made_up_provider_with_keys_and_forms_is_only_data },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	mac_thread_finish();
	keys_finish();
	return code;
}
