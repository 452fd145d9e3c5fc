#include "receiver/verify/signature.h"

#include <openssl/hmac.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/mac.h"
#include "receiver/verify/presets.h"
#include "receiver/verify/sign.h"
#include "receiver/verify/value.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"
#include "tests/unit/keys.h"
#include "tests/unit/received.h"
#include "tests/unit/vectors.h"

#define NOW_NS (INT64_C(1767735553) * NS_PER_S)
#define BODY   "{\"id\":\"evt_1\",\"type\":\"a.b\"}"

/* --- the providers' vectors --- */

static bool
is_word_expected(const json_t *expected, const char *word)
{
	const json_t *others = json_object_get(expected, "also_ok");
	bool good = strcmp(word, vectors_text(expected, "result")) == 0;
	for (size_t i = 0; i < json_array_size(others); i++) {
		good = good || strcmp(word, json_string_value(json_array_get(others, i))) == 0;
	}
	return good;
}

/* Null: the receiver makes the id; the type is then empty. */
static void
check_event(const char *who, const struct received_event *event, const json_t *id,
            const json_t *type)
{
	struct span wanted_id = { json_string_value(id), json_string_length(id) };
	struct span wanted_type = { json_string_value(type), json_string_length(type) };
	CHECK_ROW(event->generated == (wanted_id.data == NULL), "%s", who);
	CHECK_ROW(span_equal(buffer_view(&event->id), wanted_id), "%s: %s", who,
	          check_quote(buffer_view(&event->id)));
	CHECK_ROW(span_equal(buffer_view(&event->type), wanted_type), "%s: %s", who,
	          check_quote(buffer_view(&event->type)));
}

static void
check_accepted(const json_t *expected, const struct vector *vector, const struct received *received)
{
	const json_t *events = json_object_get(expected, "events");
	size_t count = events == NULL ? 1 : json_array_size(events);
	CHECK_ROW(received->matched ==
	                  (int)json_integer_value(json_object_get(expected, "matched_secret")),
	          "%s: secret %d", vector->id, received->matched);
	if (!CHECK_ROW(received->count == count && count <= RECEIVED_MOST, "%s: %zu events",
	               vector->id, received->count)) {
		return;
	}
	if (events == NULL) {
		CHECK_ROW(span_equal(buffer_view(&received->events[0].text),
		                     buffer_view(&vector->body)),
		          "%s", vector->id);
		check_event(vector->id, &received->events[0], json_object_get(expected, "event_id"),
		            json_object_get(expected, "event_type"));
	}
	for (size_t i = 0; i < json_array_size(events); i++) {
		const json_t *event = json_array_get(events, i);
		check_event(vector->id, &received->events[i], json_object_get(event, "id"),
		            json_object_get(event, "type"));
	}
}

static bool
holds_line(const struct buffer *fields, const char *name, const char *value)
{
	char line[256];
	int size = snprintf(line, sizeof(line), "%s: %s\r\n", name, value);
	return fields->size > 0 && memmem(fields->data, fields->size, line, (size_t)size) != NULL;
}

/* The answer that the provider wants to hear. */
static void
check_challenge(const json_t *expected, const struct challenge *challenge,
                const struct vector *vector, const struct received *received)
{
	const json_t *response = json_object_get(expected, "response");
	const json_t *status = json_object_get(response, "status");
	const json_t *body = json_object_get(response, "body");
	const json_t *document = json_object_get(response, "body_json");
	const char *content_type = vectors_text(response, "content_type");
	struct span reply = buffer_view(&received->reply);
	CHECK_ROW(status == NULL || json_integer_value(status) == challenge->status, "%s",
	          vector->id);
	CHECK_ROW(content_type == NULL ||
	                  scheme_media_type_is(span_of(challenge->content_type), content_type),
	          "%s", vector->id);
	CHECK_ROW(body == NULL || span_equal(reply, vectors_span(response, "body")), "%s: %s",
	          vector->id, check_quote(reply));
	if (document != NULL) {
		json_t *got = json_loadb(reply.data, reply.size, JSON_REJECT_DUPLICATES, NULL);
		CHECK_ROW(json_equal(got, document) == 1, "%s: %s", vector->id, check_quote(reply));
		json_decref(got);
	}
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(response, "headers"), name, value) {
		CHECK_ROW(holds_line(&received->fields, name, json_string_value(value)), "%s: %s",
		          vector->id, name);
	}
	const json_t *outgoing = json_object_get(expected, "outgoing");
	if (CHECK_ROW((outgoing != NULL) == (challenge->visit != NULL), "%s", vector->id) &&
	    outgoing != NULL) {
		struct buffer url;
		struct scheme_value visit = { .from = SCHEME_FROM_JSON, .name = challenge->visit };
		buffer_init(&url, 4096);
		CHECK_ROW(value_read(&presets[0].scheme, &visit, &vector->request,
		                     buffer_view(&vector->body), &url) == VALUE_FOUND &&
		                  span_equal(buffer_view(&url), vectors_span(outgoing, "url")),
		          "%s: %s", vector->id, check_quote(buffer_view(&url)));
		buffer_finish(&url);
	}
}

static void
judge_vector(const struct scheme *scheme, const struct challenge *challenge, const json_t *expected,
             struct random *random)
{
	static struct vector vector;
	static struct received received;
	vector_read(expected, scheme, &vector);
	struct arrival_request from = { .scheme = scheme,
		                        .challenge = challenge,
		                        .keys = &vector.keys,
		                        .request = &vector.request,
		                        .body = buffer_view(&vector.body),
		                        .verify_token = vector.verify_token,
		                        .now_ns = vector.now_ns,
		                        .random = random };
	receive(&from, &received);
	CHECK_ROW(is_word_expected(expected, received.word), "%s: %s (%s), not %s", vector.id,
	          received.word, received.wrong == NULL ? "" : received.wrong,
	          vectors_text(expected, "result"));
	if (strcmp(received.word, "accepted") == 0) {
		check_accepted(expected, &vector, &received);
	} else if (strcmp(received.word, "challenge") == 0) {
		check_challenge(expected, challenge, &vector, &received);
	} else if (strcmp(received.word, "signature_mismatch") == 0) {
		CHECK_ROW(received.matched == -1, "%s: secret %d", vector.id, received.matched);
	}
	received_finish(&received);
	vector_finish(&vector);
}

/* Judges all vectors of the file; `by_rows`: with the rows of presets.c, else with the parameters in the file, where these
 * say all. */
static void
judge_vectors(bool by_rows, bool streaming, size_t wanted)
{
	struct random random;
	check_random(&random);
	json_t *file = vectors_load();
	json_t *providers = json_object_get(file, "providers");
	size_t judged = 0;
	for (size_t i = 0; i < json_array_size(providers); i++) {
		const json_t *provider = json_array_get(providers, i);
		const struct preset *preset = preset_find(vectors_text(provider, "name"));
		struct scheme scheme;
		if (!CHECK_ROW(preset != NULL, "%s", vectors_text(provider, "name"))) {
			continue;
		}
		if (by_rows) {
			scheme = preset->scheme;
		} else if (!vectors_scheme(provider, &scheme)) {
			continue;
		}
		const struct challenge *challenge =
			preset->challenge == NULL ? NULL : challenge_find(preset->challenge);
		const json_t *vectors = json_object_get(provider, "vectors");
		for (size_t j = 0; j < json_array_size(vectors); j++) {
			judge_vector(&scheme, challenge, json_array_get(vectors, j),
			             streaming ? &random : NULL);
			judged++;
		}
	}
	json_decref(file);
	CHECK_ROW(judged >= wanted, "%zu judged", judged);
}

static void
vectors_by_parameters(void)
{
	judge_vectors(false, false, 700);
}

static void
vectors_by_presets(void)
{
	judge_vectors(true, false, 798);
}

static void
vectors_in_pieces(void)
{
	for (int round = 0; round < 5; round++) {
		judge_vectors(true, true, 798);
	}
}

/* --- requests made here --- */

struct fixture {
	struct scheme scheme;
	struct secrets secrets;
	struct public_keys public_keys;
	struct verify_keys keys;
	struct field fields[8];
	struct verify_request request;
	struct span body;
	char signature[512];
	char timestamp[64];
	int64_t now_ns;
};

static void
add_secret(struct fixture *f, const char *text, int64_t until_ns)
{
	struct error err;
	ALWAYS(secrets_add(&f->secrets, f->scheme.key, span_of(text), until_ns, &err), "secret");
}

static void
set_field(struct fixture *f, size_t index, const char *name, const char *value)
{
	f->fields[index] = (struct field){ span_of(name), span_of(value) };
	f->request.fields = (struct fields){ f->fields, index < f->request.fields.count
		                                                ? f->request.fields.count
		                                                : index + 1 };
}

static void
start(struct fixture *f, const struct scheme *scheme)
{
	memset(f, 0, sizeof(*f));
	f->scheme = *scheme;
	f->keys = (struct verify_keys){ .secrets = &f->secrets, .public_keys = &f->public_keys };
	f->request.method = SPAN("POST");
	f->request.path = SPAN("/hook");
	f->request.url = SPAN("https://example.com/hook");
	f->body = SPAN(BODY);
	f->now_ns = NOW_NS;
}

static void
finish(struct fixture *f)
{
	secrets_finish(&f->secrets);
	public_keys_finish(&f->public_keys);
}

static enum verdict
in_pieces(struct fixture *f)
{
	struct random random;
	struct verification v;
	check_random(&random);
	struct arrival_request from = { .scheme = &f->scheme,
		                        .keys = &f->keys,
		                        .request = &f->request,
		                        .body = f->body,
		                        .now_ns = f->now_ns,
		                        .random = &random };
	enum verdict verdict = received_verdict(&from, &v);
	verification_drop(&v);
	return verdict;
}

static enum verdict
judge(struct fixture *f, int *matched)
{
	struct verification v;
	enum verdict verdict = verification_whole(&v, &f->scheme, &f->keys, &f->request, f->now_ns,
	                                          edge_copy(1, f->body));
	if (matched != NULL) {
		*matched = v.matched;
	}
	verification_drop(&v);
	return verdict;
}

static const char *
word(struct fixture *f)
{
	return verdict_word(judge(f, NULL));
}

#define IS(fixture, wanted) \
	CHECK_ROW(strcmp(word(fixture), wanted) == 0, "%s", verdict_word(judge(fixture, NULL)))

/* The HMAC of `text` by OpenSSL's old function, not by the engine. */
static void
hmac_hex(const EVP_MD *hash, const char *key, const char *text, char hex[129])
{
	unsigned char made[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	(void)HMAC(hash, key, (int)strlen(key), (const unsigned char *)text, strlen(text), made,
	           &size);
	for (unsigned i = 0; i < size; i++) {
		(void)snprintf(hex + i * 2, 3, "%02x", made[i]);
	}
}

/* A Stripe request, signed now with "secret": t=…,v1=… and whatever `more` adds. */
static void
start_stripe(struct fixture *f, int64_t age_s, const char *more)
{
	start(f, &preset_find("stripe")->scheme);
	add_secret(f, "secret", 0);
	char text[256];
	char hex[129];
	long long t = (long long)(NOW_NS / NS_PER_S - age_s);
	(void)snprintf(text, sizeof(text), "%lld.%s", t, BODY);
	hmac_hex(EVP_sha256(), "secret", text, hex);
	(void)snprintf(f->signature, sizeof(f->signature), "t=%lld,v1=%s%s", t, hex, more);
	set_field(f, 0, "Stripe-Signature", f->signature);
}

static void
a_missing_header_and_an_empty_one_are_the_same(void)
{
	struct fixture f;
	start_stripe(&f, 0, "");
	IS(&f, "good");
	f.fields[0].name = SPAN("stripe-signature");
	IS(&f, "good");
	f.fields[0].name = SPAN("Stripe-Signatur");
	IS(&f, "signature_missing");
	f.fields[0] = (struct field){ SPAN("Stripe-Signature"), SPAN("") };
	IS(&f, "signature_missing");
	f.fields[0].value = SPAN(" \t ");
	IS(&f, "signature_missing");
	f.request.fields.count = 0;
	IS(&f, "signature_missing");
	finish(&f);
}

static void
a_header_that_stands_twice_is_malformed(void)
{
	struct fixture f;
	start_stripe(&f, 0, "");
	set_field(&f, 1, "stripe-signature", f.signature);
	IS(&f, "signature_malformed");
	finish(&f);
}

/* Lists by the grammar of each provider: what is skipped, and what makes the header unreadable. */
static void
lists_are_read_as_the_provider_writes_them(void)
{
	struct fixture f;
	start_stripe(&f, 0, "");
	char good[80];
	(void)snprintf(good, sizeof(good), "%s", strstr(f.signature, "v1="));
	long long t = (long long)(NOW_NS / NS_PER_S);
	const struct {
		const char *format; /* t, then the good element */
		const char *word;
	} rows[] = {
		{ "t=%lld,%s", "good" },
		{ " t=%lld ,\t%s ", "good" },
		{ ",,t=%lld,,%s,,", "good" },
		{ "t=%lld,v0=00,%s", "good" },
		{ "t=%lld,v1=zz,%s", "good" }, /* one that cannot be decoded beside a good one */
		{ "t=%lld,v1=0000,%s", "good" },
		{ "%2$s,t=%1$lld", "good" },
		{ "t=%lld,x%s", "signature_malformed" }, /* no element has the prefix */
		{ "t=%lld,V1=%s", "signature_malformed" },
		{ "t=%lld,v1= %s", "signature_malformed" },
		{ "t=%lld;%s", "signature_malformed" },
		{ "t=%lld,v1=", "signature_malformed" },
		{ "t=%lld", "signature_malformed" },
		{ "t=%1$lld,t=%1$lld,%2$s", "signature_malformed" }, /* which one was signed? */
		{ "T=%lld,%s", "timestamp_missing" },
		{ "t=%lldx,%s", "timestamp_missing" },
		{ "t= %lld,%s", "timestamp_missing" },
		{ "t=-%lld,%s", "timestamp_missing" },
		{ "t=+%lld,%s", "timestamp_missing" },
		{ "t=%lld.0,%s", "timestamp_missing" },
		{ "t=0%lld,%s", "signature_mismatch" }, /* the text is signed, not its value */
		{ "t=%lld,%s00", "signature_malformed" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char value[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
		(void)snprintf(value, sizeof(value), rows[i].format, t, good);
#pragma GCC diagnostic pop
		f.fields[0].value = edge_copy(2, span_of(value));
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%s: %s, not %s", value, word(&f),
		          rows[i].word);
	}
	finish(&f);
}

static void
no_more_than_sixteen_signatures_are_tried(void)
{
	for (unsigned count = SIGNATURES_MOST - 2; count <= SIGNATURES_MOST + 1; count++) {
		struct fixture f;
		char many[SIGNATURES_MOST * 70] = "";
		start_stripe(&f, 0, "");
		char value[sizeof(many) + sizeof(f.signature)];
		for (unsigned i = 0; i < count; i++) {
			(void)snprintf(many + strlen(many), sizeof(many) - strlen(many),
			               "v1=%064x,", i);
		}
		(void)snprintf(value, sizeof(value), "%s%s", many, f.signature);
		f.fields[0].value = span_of(value);
		CHECK_ROW(strcmp(word(&f),
		                 count < SIGNATURES_MOST ? "good" : "signature_malformed") == 0,
		          "%u before the good one: %s", count, word(&f));
		finish(&f);
	}
}

static void
hexadecimal_may_be_upper_case(void)
{
	struct fixture f;
	start_stripe(&f, 0, "");
	for (char *at = strstr(f.signature, "v1=") + 3; *at != '\0'; at++) {
		*at = (char)(*at >= 'a' && *at <= 'f' ? *at - 32 : *at);
	}
	IS(&f, "good");
	finish(&f);
}

/* PRODUCT section 4: exactly `tolerance` old is good; the same holds for the future. */
static void
age_is_judged_to_the_second(void)
{
	static const struct {
		int64_t age_s;
		const char *word;
	} rows[] = {
		{ 0, "good" },
		{ 299, "good" },
		{ 300, "good" },
		{ 301, "timestamp_too_old" },
		{ 86400, "timestamp_too_old" },
		{ 1767735553, "timestamp_too_old" }, /* at the epoch */
		{ -300, "good" },
		{ -301, "timestamp_in_future" },
		{ -1000000000, "timestamp_in_future" },
		{ INT64_C(1767735553) - 9223372035, "timestamp_in_future" }, /* near 2^63 ns */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		start_stripe(&f, rows[i].age_s, "");
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%" PRId64 " s: %s", rows[i].age_s,
		          word(&f));
		/* Fractions of our own second say nothing: the provider has none. */
		f.now_ns += NS_PER_S - 1;
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%" PRId64 " s and a bit: %s",
		          rows[i].age_s, word(&f));
		finish(&f);
	}
}

/* signature_missing, signature_malformed, timestamp_missing, signature_mismatch, then the age: each fault alone and with
 * all that come after it. */
static void
faults_are_judged_in_their_order(void)
{
	struct fixture f;
	start(&f, &preset_find("standard-webhooks")->scheme);
	add_secret(&f, "whsec_c2VjcmV0", 0);
	set_field(&f, 0, "webhook-id", "msg_1");
	set_field(&f, 1, "webhook-timestamp", "1"); /* far too old */
	char text[256];
	char hex[129];
	(void)snprintf(text, sizeof(text), "msg_1.1.%s", BODY);
	hmac_hex(EVP_sha256(), "secret", text, hex);
	unsigned char raw[32];
	size_t size = 0;
	CHECK(hex_decode(span_of(hex), raw, sizeof(raw), &size));
	struct buffer good;
	buffer_init(&good, 256);
	buffer_text(&good, "v1,");
	base64_encode(&good, raw, size);
	f.fields[2] = (struct field){ SPAN("webhook-signature"), buffer_view(&good) };
	f.request.fields.count = 3;
	IS(&f, "timestamp_too_old");
	f.body = SPAN("{}");
	IS(&f, "signature_mismatch");
	f.fields[1].value = SPAN("yesterday");
	IS(&f, "timestamp_missing");
	f.fields[1].value = SPAN("");
	IS(&f, "timestamp_missing");
	f.fields[2].value = SPAN("v1,***");
	IS(&f, "signature_malformed");
	f.fields[2].value = SPAN("");
	IS(&f, "signature_missing");
	/* A time that stands twice is none: one of them is not what was signed. */
	set_field(&f, 3, "Webhook-Timestamp", "1");
	f.fields[1].value = SPAN("1");
	f.fields[2].value = buffer_view(&good);
	f.body = SPAN(BODY);
	IS(&f, "timestamp_missing");
	buffer_finish(&good);
	finish(&f);
}

static void
every_live_secret_is_tried_and_the_one_that_fits_is_told(void)
{
	struct fixture f;
	int matched = -2;
	start_stripe(&f, 0, "");
	secrets_finish(&f.secrets);
	add_secret(&f, "older", 0);
	add_secret(&f, "secret", NOW_NS + 1);
	add_secret(&f, "newer", 0);
	CHECK(judge(&f, &matched) == VERDICT_GOOD && matched == 1);
	f.now_ns = NOW_NS + 1; /* from `until` on it is not used */
	CHECK(judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH && matched == -1);
	secrets_finish(&f.secrets);
	CHECK(judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH && matched == -1);
	add_secret(&f, "secret", NOW_NS);
	CHECK(judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH && matched == -1);
	finish(&f);
}

static void
one_bit_anywhere_is_refused(void)
{
	struct fixture f;
	start_stripe(&f, 0, "");
	char body[] = BODY;
	f.body = (struct span){ body, sizeof(body) - 1 };
	for (size_t bit = 0; bit < f.body.size * 8; bit++) {
		body[bit / 8] = (char)(body[bit / 8] ^ 1 << bit % 8);
		CHECK_ROW(judge(&f, NULL) == VERDICT_SIGNATURE_MISMATCH, "bit %zu of the body",
		          bit);
		body[bit / 8] = (char)(body[bit / 8] ^ 1 << bit % 8);
	}
	size_t size = strlen(f.signature);
	for (size_t bit = 0; bit < size * 8; bit++) {
		if (bit % 8 == 5 && f.signature[bit / 8] >= 'A' && bit / 8 > 15) {
			continue; /* the other case of a hexadecimal letter */
		}
		f.signature[bit / 8] = (char)(f.signature[bit / 8] ^ 1 << bit % 8);
		f.fields[0].value = (struct span){ f.signature, size };
		CHECK_ROW(judge(&f, NULL) != VERDICT_GOOD, "bit %zu of the header", bit);
		f.signature[bit / 8] = (char)(f.signature[bit / 8] ^ 1 << bit % 8);
	}
	IS(&f, "good");
	finish(&f);
}

/* Whether sign_request() makes the same of it. */
static void
check_made(const struct fixture *f, const char *who, const char *hex)
{
	struct signed_request made;
	struct error err;
	struct signing signing = { .scheme = &f->scheme,
		                   .secret = &f->secrets.items[0],
		                   .request = &f->request,
		                   .now_ns = NOW_NS,
		                   .id = SPAN("msg_1"),
		                   .body = f->body };
	CHECK_ROW(sign_request(&signing, &made, &err), "%s: %s", who, err.text);
	CHECK_ROW(made.lines.size > 0 &&
	                  memmem(made.lines.data, made.lines.size, hex, strlen(hex)) != NULL,
	          "%s: %s", who, check_quote(buffer_view(&made.lines)));
	signed_request_finish(&made);
}

/* Every piece of a template, against a text put together by hand. */
static void
templates_are_signed_piece_by_piece(void)
{
	static const struct {
		const char *signed_text;
		const char *text;
	} rows[] = {
		{ "{body}", BODY },
		{ "{method}{url}{body}{timestamp}",
		  "POSThttps://example.com/hook" BODY "1767735553" },
		{ "v0:{timestamp}:{body}", "v0:1767735553:" BODY },
		{ "{id}.{timestamp}.{body}", "msg_1.1767735553." BODY },
		{ "{method}\n{path}\n{body}", "POST\n/hook?a=%31&b\n" BODY },
		{ "{url}{query}{body}", "https://example.com/hook?a=%31&b" BODY },
		{ "{body}{query}", BODY "?a=%31&b" },
		{ "{json:/type}.{body}.{json:/id}", "a.b." BODY ".evt_1" },
		{ "{webhook_id}|{crc32}", "WH-1|3579818124" },
		{ "{header:X-None}|{body}", "|" BODY },
		{ "{body}{body}", BODY BODY },
		{ "{body}|{timestamp}|{body}|", BODY "|1767735553|" BODY "|" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (int sha1 = 0; sha1 < 2; sha1++) {
			struct fixture f;
			char hex[129];
			struct scheme scheme = {
				.signature_header = "X-Signature",
				.algorithm = sha1 == 1 ? SCHEME_SHA1 : SCHEME_SHA256,
				.signed_text = rows[i].signed_text,
				.timestamp = { .from = SCHEME_FROM_HEADER, .name = "X-Time" },
				.tolerance_ns = NS_PER_S,
				.id = { .from = SCHEME_FROM_HEADER, .name = "X-Id" },
			};
			start(&f, &scheme);
			add_secret(&f, "key", 0);
			hmac_hex(sha1 == 1 ? EVP_sha1() : EVP_sha256(), "key", rows[i].text, hex);
			set_field(&f, 0, "X-Signature", hex);
			set_field(&f, 1, "X-Time", "1767735553");
			set_field(&f, 2, "X-Id", "msg_1");
			f.request.query = SPAN("a=%31&b");
			f.request.webhook_id = SPAN("WH-1");
			CHECK_ROW(judge(&f, NULL) == VERDICT_GOOD, "%s: %s", rows[i].signed_text,
			          word(&f));
			CHECK_ROW(in_pieces(&f) == VERDICT_GOOD, "in pieces: %s",
			          rows[i].signed_text);
			if (!scheme_signs(&f.scheme,
			                  SCHEME_HEADER)) { /* sign_request() makes one up */
				check_made(&f, rows[i].signed_text, hex);
			}
			finish(&f);
		}
	}
}

/* A time inside the body can be signed by name before the body has come. */
static void
a_time_in_the_body_waits_for_the_body(void)
{
	struct scheme scheme = {
		.signature_header = "X-Signature",
		.signed_text = "{timestamp}|{body}",
		.timestamp = { .from = SCHEME_FROM_JSON, .name = "/t" },
		.unit = SCHEME_MILLISECONDS,
		.tolerance_ns = 60 * NS_PER_S,
	};
	static const struct {
		const char *body;
		const char *timestamp;
		const char *word;
	} rows[] = {
		{ "{\"t\":1767735553000}", "1767735553000", "good" },
		{ "{\"t\":\"1767735553000\"}", "1767735553000", "good" },
		{ "{\"t\":1767735493000}", "1767735493000", "good" },
		{ "{\"t\":1767735492999}", "1767735492999", "timestamp_too_old" },
		{ "{\"t\":1767735613001}", "1767735613001", "timestamp_in_future" },
		{ "{\"t\":1767735553000}", "1767735553001", "signature_mismatch" },
		{ "{\"t\":1.767735553e12}", "1.767735553e12", "timestamp_missing" },
		{ "{\"t\":null}", "null", "timestamp_missing" },
		{ "{\"t\":[1767735553000]}", "1767735553000", "timestamp_missing" },
		{ "{}", "", "timestamp_missing" },
		{ "no json", "", "timestamp_missing" },
		{ "", "", "timestamp_missing" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		char hex[129];
		char text[256];
		start(&f, &scheme);
		add_secret(&f, "key", 0);
		(void)snprintf(text, sizeof(text), "%s|%s", rows[i].timestamp, rows[i].body);
		hmac_hex(EVP_sha256(), "key", text, hex);
		set_field(&f, 0, "X-Signature", hex);
		f.body = span_of(rows[i].body);
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%s: %s", rows[i].body, word(&f));
		const char *pieces = verdict_word(in_pieces(&f));
		CHECK_ROW(strcmp(pieces, rows[i].word) == 0, "%s in pieces: %s", rows[i].body,
		          pieces);
		finish(&f);
	}
}

/* PRODUCT section 4: only a time that was signed says anything. */
static void
a_time_that_nobody_signed_says_nothing(void)
{
	struct scheme scheme = {
		.signature_header = "X-Signature",
		.signed_text = "{body}",
		.timestamp = { .from = SCHEME_FROM_HEADER, .name = "X-Time" },
		.tolerance_ns = NS_PER_S,
	};
	struct fixture f;
	char hex[129];
	start(&f, &scheme);
	add_secret(&f, "key", 0);
	hmac_hex(EVP_sha256(), "key", BODY, hex);
	set_field(&f, 0, "X-Signature", hex);
	set_field(&f, 1, "X-Time", "1");
	IS(&f, "good");
	finish(&f);
}

static void
timestamps_are_read_in_their_unit(void)
{
	static const struct {
		enum scheme_unit unit;
		struct span text;
		int64_t ns; /* -1: refused */
	} rows[] = {
		{ SCHEME_SECONDS, TEXT("1767735553"), NOW_NS },
		{ SCHEME_SECONDS, TEXT("0"), 0 },
		{ SCHEME_SECONDS, TEXT("9223372036"), INT64_C(9223372036000000000) },
		{ SCHEME_SECONDS, TEXT("9223372037"), -1 },
		{ SCHEME_SECONDS, TEXT("999999999999999999"), -1 },
		{ SCHEME_SECONDS, TEXT(""), -1 },
		{ SCHEME_SECONDS, TEXT("-1"), -1 },
		{ SCHEME_SECONDS, TEXT("1767735553 "), -1 },
		{ SCHEME_SECONDS, TEXT("1767735553.5"), -1 },
		{ SCHEME_MILLISECONDS, TEXT("1767735553000"), NOW_NS },
		{ SCHEME_MILLISECONDS, TEXT("9223372036854"), INT64_C(9223372036854000000) },
		{ SCHEME_MILLISECONDS, TEXT("9223372036855"), -1 },
		{ SCHEME_RFC3339, TEXT("2026-01-06T21:39:13Z"), NOW_NS },
		{ SCHEME_RFC3339, TEXT("2026-01-06T22:39:13.000+01:00"), NOW_NS },
		{ SCHEME_MILLISECONDS, TEXT("x"), -1 },
		{ SCHEME_RFC3339, TEXT("1767735553"), -1 },
		{ SCHEME_SECONDS,
		  TEXT("0000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000001767735553"),
		  -1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t ns = -1;
		bool good = timestamp_parse(rows[i].unit, edge_copy(0, rows[i].text), &ns);
		CHECK_ROW(good == (rows[i].ns >= 0) && ns == rows[i].ns, "%s: %" PRId64,
		          check_quote(rows[i].text), ns);
	}
}

/* Two bodies that come in pieces by turns, on one thread, with one secret. */
static void
streams_do_not_mix(void)
{
	struct fixture a;
	struct fixture b;
	start_stripe(&a, 0, "");
	start_stripe(&b, 1, "");
	struct verification first;
	struct verification second;
	CHECK(verification_begin(&first, &a.scheme, &a.keys, &a.request, NOW_NS, true) ==
	      VERDICT_GOOD);
	CHECK(verification_begin(&second, &b.scheme, &a.keys, &b.request, NOW_NS, true) ==
	      VERDICT_GOOD);
	for (size_t i = 0; i < a.body.size; i++) {
		verification_feed(&first, (struct span){ a.body.data + i, 1 });
		verification_feed(&second, (struct span){ b.body.data + i, 1 });
		if (i == a.body.size / 2) { /* and a small one as a whole in between */
			IS(&a, "good");
		}
	}
	CHECK(verification_end(&second, b.body) == VERDICT_GOOD && second.age_ns == NS_PER_S);
	CHECK(verification_end(&first, a.body) == VERDICT_GOOD && first.age_ns == 0);
	verification_drop(&first);
	verification_drop(&second);
	finish(&a);
	finish(&b);
}

static void
secrets_are_kept_in_the_form_that_the_scheme_wants(void)
{
	static const struct {
		enum scheme_key kind;
		struct span text;
		struct span key;
		bool good;
	} rows[] = {
		{ SCHEME_KEY_RAW, TEXT("whsec_c2VjcmV0"), TEXT("whsec_c2VjcmV0"), true },
		{ SCHEME_KEY_RAW, TEXT(" \n"), TEXT(" \n"), true },
		{ SCHEME_KEY_RAW, TEXT(""), TEXT(""), false },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("whsec_c2VjcmV0"), TEXT("secret"), true },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("c2VjcmV0"), TEXT("secret"), true },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("whsec_"), TEXT(""), false },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("whsec_whsec_c2VjcmV0"), TEXT(""), false },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("c2VjcmV0\n"), TEXT(""), false },
		{ SCHEME_KEY_HEX, TEXT("736563726574"), TEXT("secret"), true },
		{ SCHEME_KEY_HEX, TEXT("73656372657"), TEXT(""), false },
		{ SCHEME_KEY_HEX, TEXT("secret"), TEXT(""), false },
		{ SCHEME_KEY_BASIC, TEXT("user:word"), TEXT("user:word"), true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct secrets secrets = { .count = 0 };
		struct error err = { .kind = ERROR_NONE };
		bool good =
			secrets_add(&secrets, rows[i].kind, edge_copy(0, rows[i].text), 0, &err);
		CHECK_ROW(good == rows[i].good && secrets.count == (good ? 1 : 0), "%s: %s",
		          check_quote(rows[i].text), good ? "taken" : err.text);
		CHECK_ROW(!good || span_equal((struct span){ (char *)secrets.items[0].key,
		                                             secrets.items[0].size },
		                              rows[i].key),
		          "%s", check_quote(rows[i].text));
		secrets_finish(&secrets);
	}
	struct secrets secrets = { .count = 0 };
	struct error err;
	CHECK(!secrets_add(&secrets, SCHEME_KEY_HEX, SPAN("my own words"), 0, &err) &&
	      strstr(err.text, "my own") == NULL); /* never a secret in a message */
	for (int i = 0; i < SECRETS_MOST; i++) {
		CHECK(secrets_add(&secrets, SCHEME_KEY_RAW, SPAN("s"), 0, &err));
	}
	CHECK(!secrets_add(&secrets, SCHEME_KEY_RAW, SPAN("s"), 0, &err) &&
	      err.kind == ERROR_LIMIT);
	secrets_finish(&secrets);
}

/* --- schemes of other kinds --- */

static void
start_with_hex(struct fixture *f, const struct scheme *scheme, const char *text)
{
	static char hex[129];
	start(f, scheme);
	add_secret(f, "key", 0);
	hmac_hex(EVP_sha256(), "key", text, hex);
	set_field(f, 0, "X-Signature", hex);
}

/* Docusign: a header for each key, and any of them is enough. */
static void
headers_of_one_beginning_are_all_looked_at(void)
{
	static const struct scheme scheme = { .signature_header = "X-Signature-*",
		                              .signed_text = "{body}" };
	static const struct {
		const char *names[3];
		const char *word;
	} rows[] = {
		{ { "X-Signature-1", NULL, NULL }, "good" },
		{ { "x-signature-22", NULL, NULL }, "good" },
		{ { "X-Signature-", NULL, NULL }, "good" },
		{ { "X-Signature", NULL, NULL }, "signature_missing" },
		{ { "X-Signatures-1", NULL, NULL }, "signature_missing" },
		{ { "Y-Signature-1", NULL, NULL }, "signature_missing" },
		{ { "X-Signature-2", "X-Signature-1", NULL }, "good" },
		{ { "X-Signature-1", "X-Signature-2", "X-Signature-3" }, "good" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		start_with_hex(&f, &scheme, BODY);
		struct span good = f.fields[0].value;
		for (size_t j = 0; j < 3 && rows[i].names[j] != NULL; j++) {
			bool last = j == 2 || rows[i].names[j + 1] == NULL;
			set_field(&f, j, rows[i].names[j], "");
			f.fields[j].value = last     ? good
			                    : j == 0 ? SPAN("no hex")
			                             : SPAN("00000000000000000000000000000000"
			                                    "00000000000000000000000000000000");
		}
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "row %zu: %s", i, word(&f));
		finish(&f);
	}
	struct fixture f;
	start_with_hex(&f, &scheme, BODY);
	set_field(&f, 0, "X-Signature-1", "no hex");
	set_field(&f, 1, "X-Signature-2", "");
	IS(&f, "signature_malformed");
	set_field(&f, 0, "X-Signature-1", " ");
	IS(&f, "signature_missing");
	finish(&f);
}

/* All names of one family, or all of the other: what one signs says nothing about the other's. */
static void
families_of_headers_do_not_mix(void)
{
	static const struct {
		const char *signature;
		const char *id;
		const char *time;
		const char *word;
	} rows[] = {
		{ "svix-signature", "svix-id", "svix-timestamp", "good" },
		{ "webhook-signature", "webhook-id", "webhook-timestamp", "good" },
		{ "webhook-signature", "svix-id", "webhook-timestamp", "signature_mismatch" },
		{ "webhook-signature", "webhook-id", "svix-timestamp", "timestamp_missing" },
		{ "svix-signature", "webhook-id", "svix-timestamp", "signature_mismatch" },
		{ "svix-signature", "svix-id", "webhook-timestamp", "timestamp_missing" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		char hex[129];
		unsigned char raw[32];
		size_t size = 0;
		struct buffer value;
		start(&f, &preset_find("svix")->scheme);
		add_secret(&f, "whsec_c2VjcmV0", 0);
		hmac_hex(EVP_sha256(), "secret", "msg_1.1767735553." BODY, hex);
		CHECK(hex_decode(span_of(hex), raw, sizeof(raw), &size));
		buffer_init(&value, 256);
		buffer_text(&value, "v1,");
		base64_encode(&value, raw, size);
		set_field(&f, 0, rows[i].signature, "");
		f.fields[0].value = buffer_view(&value);
		set_field(&f, 1, rows[i].id, "msg_1");
		set_field(&f, 2, rows[i].time, "1767735553");
		request_family(&f.request, &f.scheme);
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "row %zu: %s", i, word(&f));
		buffer_finish(&value);
		finish(&f);
	}
}

static void
a_url_is_tried_with_and_without_its_default_port(void)
{
	static const struct {
		bool both;
		const char *url; /* of the configuration */
		const char *signed_url;
		const char *word;
	} rows[] = {
		{ true, "https://a.com/x", "https://a.com/x", "good" },
		{ true, "https://a.com/x", "https://a.com:443/x", "good" },
		{ true, "https://a.com:443/x", "https://a.com/x", "good" },
		{ true, "https://a.com/x", "https://a.com:8443/x", "signature_mismatch" },
		{ true, "https://a.com:8443/x", "https://a.com/x", "signature_mismatch" },
		{ true, "https://a.com/x", "http://a.com/x", "signature_mismatch" },
		{ false, "https://a.com/x", "https://a.com:443/x", "signature_mismatch" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		struct scheme scheme = { .signature_header = "X-Signature",
			                 .signed_text = "{url}{body}",
			                 .url_port = rows[i].both };
		char text[256];
		(void)snprintf(text, sizeof(text), "%s%s", rows[i].signed_url, BODY);
		start_with_hex(&f, &scheme, text);
		f.request.url = span_of(rows[i].url);
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%s: %s", rows[i].url, word(&f));
		CHECK_ROW(strcmp(verdict_word(in_pieces(&f)), rows[i].word) == 0, "%s",
		          rows[i].url);
		finish(&f);
	}
}

/* Twilio with JSON: the URL is signed, and its query binds the body. */
static void
a_hash_in_the_query_binds_the_body(void)
{
	unsigned char hash[32];
	char hex[65];
	(void)EVP_Digest(BODY, strlen(BODY), hash, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < 32; i++) {
		(void)snprintf(hex + i * 2, 3, "%02X", hash[i]);
	}
	const struct {
		const char *format; /* of the query */
		const char *body;
		const char *word;
	} rows[] = {
		{ "h=%s", BODY, "good" },
		{ "a=b&h=%s&c", BODY, "good" },
		{ "h=%s", BODY " ", "signature_mismatch" },
		{ "h=%s", "", "signature_mismatch" },
		{ "h=%s00", BODY, "signature_mismatch" },
		{ "h=%.62s", BODY, "signature_mismatch" },
		{ "h=", BODY, "signature_mismatch" },
		{ "h=0&h=%s", BODY, "signature_mismatch" }, /* the first counts */
		{ "H=%s", BODY, "signature_malformed" },
		{ "a=%s", BODY, "signature_malformed" },
		{ "h=%%zz", BODY, "signature_malformed" },
		{ "", BODY, "signature_malformed" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		struct scheme scheme = { .signature_header = "X-Signature",
			                 .signed_text = "{url}{query}",
			                 .url_port = true,
			                 .body_hash_query = "h" };
		char query[256];
		char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
		(void)snprintf(query, sizeof(query), rows[i].format, hex);
#pragma GCC diagnostic pop
		(void)snprintf(text, sizeof(text), "https://example.com/hook%s%s",
		               query[0] == '\0' ? "" : "?", query);
		start_with_hex(&f, &scheme, text);
		f.request.query = span_of(query);
		f.body = span_of(rows[i].body);
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%s: %s", query, word(&f));
		finish(&f);
	}
}

/* Contentful: the list says what is signed, so it must be whole. */
static void
a_list_of_signed_headers_must_hold_what_matters(void)
{
	struct scheme scheme = {
		.signature_header = "X-Signature",
		.signed_text = "{signed_headers:X-List}\n{body}",
		.timestamp = { .from = SCHEME_FROM_HEADER, .name = "X-Time" },
		.tolerance_ns = 60 * NS_PER_S,
	};
	static const struct {
		const char *list;
		const char *text;
		const char *word;
	} rows[] = {
		{ "X-List,X-Time", "x-list:X-List,X-Time;x-time:1767735553\n" BODY, "good" },
		{ "x-time, x-list, X-Other",
		  "x-time:1767735553;x-list:x-time, x-list, X-Other;x-other:\n" BODY, "good" },
		{ "X-List,X-Time", "x-list:X-List,X-Time;x-time:1767735554\n" BODY,
		  "signature_mismatch" },
		{ "X-List", "x-list:X-List\n" BODY, "signature_malformed" },
		{ "X-Time", "x-time:1767735553\n" BODY, "signature_malformed" },
		{ "", "\n" BODY, "signature_malformed" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		start_with_hex(&f, &scheme, rows[i].text);
		set_field(&f, 1, "X-List", rows[i].list);
		set_field(&f, 2, "X-Time", "1767735553");
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%s: %s", rows[i].list, word(&f));
		CHECK_ROW(strcmp(verdict_word(in_pieces(&f)), rows[i].word) == 0, "%s",
		          rows[i].list);
		f.now_ns += 61 * NS_PER_S; /* the list makes it a time that was signed */
		CHECK_ROW(strcmp(word(&f), strcmp(rows[i].word, "good") == 0 ? "timestamp_too_old"
		                                                             : rows[i].word) == 0,
		          "%s: %s", rows[i].list, word(&f));
		finish(&f);
	}
}

static void
tokens_are_compared_whole(void)
{
	static const struct {
		const char *preset;
		const char *secret;
		const char *header; /* NULL: none */
		const char *query;
		const char *word;
	} rows[] = {
		{ "gitlab-token", "word", "word", "", "good" },
		{ "gitlab-token", "word", "  word\t", "", "good" },
		{ "gitlab-token", "word", "Word", "", "signature_mismatch" },
		{ "gitlab-token", "word", "words", "", "signature_mismatch" },
		{ "gitlab-token", "word", "wor", "", "signature_mismatch" },
		{ "gitlab-token", "word", "", "", "signature_missing" },
		{ "gitlab-token", "word", NULL, "", "signature_missing" },
		{ "gitlab-token", "word", NULL, "access_token=word", "signature_missing" },
		{ "cloudevents", "word", "Bearer word", "", "good" },
		{ "cloudevents", "word", "bearer  word", "", "good" }, /* RFC 9110 section 11.1 */
		{ "cloudevents", "word", "word", "", "signature_malformed" },
		{ "cloudevents", "word", "Basic word", "", "signature_malformed" },
		{ "cloudevents", "word", "Bearer", "", "signature_malformed" },
		{ "cloudevents", "word", "Bearer other", "", "signature_mismatch" },
		{ "cloudevents", "word", NULL, "access_token=word", "good" },
		{ "cloudevents", "word", NULL, "a=b&access_token=w%6Frd", "good" },
		{ "cloudevents", "word", "", "access_token=word", "good" },
		{ "cloudevents", "word", NULL, "access_token=other", "signature_mismatch" },
		{ "cloudevents", "word", NULL, "access_token=", "signature_missing" },
		{ "cloudevents", "word", NULL, "access_token=Bearer+word", "signature_mismatch" },
		{ "cloudevents", "word", "Bearer other", "access_token=word",
		  "signature_mismatch" },
		{ "postmark", "user:word", "Basic dXNlcjp3b3Jk", "", "good" },
		{ "postmark", "user:word", "BASIC dXNlcjp3b3Jk", "", "good" },
		{ "postmark", "user:word", "Basic user:word", "", "signature_mismatch" },
		{ "postmark", "user:word", "Basic dXNlcjp3b3Jr", "", "signature_mismatch" },
		{ "postmark", "user:word", "Bearer dXNlcjp3b3Jk", "", "signature_malformed" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;
		int matched = -2;
		start(&f, &preset_find(rows[i].preset)->scheme);
		add_secret(&f, "user:another", 0);
		add_secret(&f, rows[i].secret, NOW_NS + 1);
		if (rows[i].header != NULL) {
			set_field(&f, 0, f.scheme.signature_header, rows[i].header);
		}
		f.request.query = span_of(rows[i].query);
		CHECK_ROW(strcmp(word(&f), rows[i].word) == 0, "%s %s: %s", rows[i].preset,
		          rows[i].header, word(&f));
		bool good = judge(&f, &matched) == VERDICT_GOOD;
		CHECK_ROW(matched == (good ? 1 : -1), "%s: %d", rows[i].preset, matched);
		f.now_ns++;
		CHECK_ROW(!good || judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH, "%s",
		          rows[i].preset);
		if (good && rows[i].header != NULL && rows[i].header[0] != '\0') {
			set_field(&f, 1, f.scheme.signature_header, rows[i].header);
			IS(&f, "signature_malformed");
		}
		finish(&f);
	}
}

/* --- public keys --- */

static void
start_ed25519(struct fixture *f, struct buffer *value)
{
	static const struct scheme scheme = {
		.signature_header = "X-Signature",
		.separator = ',',
		.algorithm = SCHEME_ED25519,
		.signed_text = "{timestamp}{body}",
		.timestamp = { .from = SCHEME_FROM_HEADER, .name = "X-Time" },
		.tolerance_ns = 60 * NS_PER_S,
	};
	unsigned char made[64];
	size_t size = sizeof(made);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	ALWAYS(EVP_DigestSignInit(context, NULL, NULL, NULL, key_ed25519()) == 1 &&
	               EVP_DigestSign(context, made, &size,
	                              (const unsigned char *)"1767735553" BODY,
	                              strlen("1767735553" BODY)) == 1,
	       "ed25519-sign");
	EVP_MD_CTX_free(context);
	start(f, &scheme);
	buffer_init(value, 4096);
	for (int i = 0; i < 64; i++) {
		buffer_text(value, "00");
	}
	buffer_byte(value, ',');
	hex_encode(value, made, size);
	set_field(f, 0, "X-Signature", "");
	f->fields[0].value = buffer_view(value);
	set_field(f, 1, "X-Time", "1767735553");
}

static void
add_key(struct fixture *f, EVP_PKEY *key, int64_t until_ns)
{
	struct buffer text;
	struct error err;
	key_public_der(key, &text);
	ALWAYS(public_keys_add(&f->public_keys, f->scheme.algorithm, buffer_view(&text), until_ns,
	                       &err),
	       "add-key");
	buffer_finish(&text);
}

static void
every_live_public_key_is_tried(void)
{
	struct fixture f;
	struct buffer value;
	int matched = -2;
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	start_ed25519(&f, &value);
	CHECK(judge(&f, &matched) == VERDICT_KEY_UNAVAILABLE && matched == -1);
	add_key(&f, other, 0);
	CHECK(judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH && matched == -1);
	add_key(&f, key_ed25519(), NOW_NS + 1);
	CHECK(judge(&f, &matched) == VERDICT_GOOD && matched == 1);
	CHECK(in_pieces(&f) == VERDICT_GOOD);
	f.body = SPAN(BODY " ");
	CHECK(judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH && matched == -1);
	f.body = SPAN(BODY);
	f.now_ns++; /* from `until` on it is not used */
	CHECK(judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH && matched == -1);
	public_keys_finish(&f.public_keys);
	add_key(&f, key_ed25519(), NOW_NS); /* when none is live, it is no other's turn */
	CHECK(judge(&f, &matched) == VERDICT_SIGNATURE_MISMATCH && matched == -1);
	buffer_finish(&value);
	finish(&f);
	EVP_PKEY_free(other);
}

static void
public_keys_are_judged_in_the_same_order(void)
{
	struct fixture f;
	struct buffer value;
	start_ed25519(&f, &value);
	add_key(&f, key_ed25519(), 0);
	f.now_ns += 60 * NS_PER_S;
	IS(&f, "good");
	f.now_ns += NS_PER_S;
	IS(&f, "timestamp_too_old");
	f.now_ns -= 122 * NS_PER_S;
	IS(&f, "timestamp_in_future");
	f.body = SPAN("{}");
	IS(&f, "signature_mismatch");
	f.fields[1].value = SPAN("1767735554");
	IS(&f, "signature_mismatch");
	f.fields[1].value = SPAN("now");
	IS(&f, "timestamp_missing");
	f.fields[0].value = span_after(f.fields[0].value, 1);
	IS(&f, "timestamp_missing"); /* one of them is still a signature */
	f.fields[0].value = SPAN("00");
	IS(&f, "signature_malformed");
	f.fields[0].value = SPAN("");
	IS(&f, "signature_missing");
	buffer_finish(&value);
	finish(&f);
}

struct ring {
	enum key_found found;
	unsigned asked;
};

static enum key_found
ring_find(void *context, struct span name, struct evp_pkey_st **ret)
{
	struct ring *ring = context;
	ring->asked++;
	CHECK_ROW(span_equal(name, SPAN("https://api.paypal.com/cert")), "%s", check_quote(name));
	if (ring->found == KEY_FOUND) {
		ALWAYS(EVP_PKEY_up_ref(key_rsa()) == 1, "ring-key");
		*ret = key_rsa();
	}
	return ring->found;
}

/* PayPal: a key that cannot be had now is no refusal, and the request may be judged again when it is there. */
static void
a_certificate_may_come_later(void)
{
	struct fixture f;
	struct verification v;
	struct ring ring = { KEY_UNAVAILABLE, 0 };
	struct key_ring key_ring = { &ring, ring_find };
	unsigned char made[256];
	size_t size = sizeof(made);
	struct buffer text;
	struct buffer value;
	start(&f, &preset_find("paypal")->scheme);
	f.request.webhook_id = SPAN("WH-1");
	f.keys.ring = &key_ring;
	buffer_init(&text, 4096);
	buffer_format(&text, "tid|2026-01-06T21:39:13Z|WH-1|%u", 3579818124U);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	CHECK(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key_rsa()) == 1 &&
	      EVP_DigestSign(context, made, &size, (const unsigned char *)text.data, text.size) ==
	              1);
	EVP_MD_CTX_free(context);
	buffer_init(&value, 4096);
	base64_encode(&value, made, size);
	set_field(&f, 0, "PAYPAL-TRANSMISSION-SIG", "");
	f.fields[0].value = buffer_view(&value);
	set_field(&f, 1, "PAYPAL-TRANSMISSION-ID", "tid");
	set_field(&f, 2, "PAYPAL-TRANSMISSION-TIME", "2026-01-06T21:39:13Z");
	set_field(&f, 3, "PAYPAL-CERT-URL", "https://api.paypal.com/cert");
	CHECK(verification_whole(&v, &f.scheme, &f.keys, &f.request, f.now_ns, f.body) ==
	      VERDICT_KEY_UNAVAILABLE);
	CHECK(strcmp(v.wanted_key, "https://api.paypal.com/cert") == 0 && v.matched == -1);
	CHECK(verification_end(&v, f.body) == VERDICT_KEY_UNAVAILABLE && ring.asked == 2);
	ring.found = KEY_FOUND;
	CHECK(verification_end(&v, f.body) == VERDICT_GOOD && v.matched == 0);
	CHECK(verification_end(&v, f.body) == VERDICT_GOOD && ring.asked == 4);
	verification_drop(&v);
	ring.found = KEY_ABSENT;
	IS(&f, "signature_mismatch");
	/* A URL that is not allowed is never asked for. */
	ring.found = KEY_FOUND;
	IS(&f, "good");
	ring.asked = 0;
	static const char *const urls[] = { "https://api.paypal.com.evil.com/cert",
		                            "http://api.paypal.com/cert",
		                            "https://evilpaypal.com/cert", "" };
	for (size_t i = 0; i < COUNT(urls); i++) {
		f.fields[3].value = span_of(urls[i]);
		IS(&f, "signature_malformed");
	}
	f.request.fields.count = 3;
	IS(&f, "signature_malformed");
	set_field(&f, 3, "PAYPAL-CERT-URL", "https://api.paypal.com/cert");
	set_field(&f, 4, "paypal-cert-url", "https://api.paypal.com/cert");
	IS(&f, "signature_malformed");
	CHECK(ring.asked == 0);
	/* Another webhook's id, another body. */
	f.request.fields.count = 4;
	IS(&f, "good");
	f.request.webhook_id = SPAN("WH-2");
	IS(&f, "signature_mismatch");
	f.request.webhook_id = SPAN("WH-1");
	f.body = SPAN(BODY " ");
	IS(&f, "signature_mismatch");
	buffer_finish(&text);
	buffer_finish(&value);
	finish(&f);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every vector is judged right by its generic parameters", vectors_by_parameters },
		{ "every vector of a preset is judged right by the preset", vectors_by_presets },
		{ "every vector is judged the same when its body comes in pieces",
		  vectors_in_pieces },
		{ "a missing header and an empty one are the same",
		  a_missing_header_and_an_empty_one_are_the_same },
		{ "a header that stands twice is malformed",
		  a_header_that_stands_twice_is_malformed },
		{ "lists are read as the provider writes them",
		  lists_are_read_as_the_provider_writes_them },
		{ "no more than sixteen signatures are tried",
		  no_more_than_sixteen_signatures_are_tried },
		{ "hexadecimal may be upper-case", hexadecimal_may_be_upper_case },
		{ "age is judged to the second, both ways", age_is_judged_to_the_second },
		{ "faults are judged in their order", faults_are_judged_in_their_order },
		{ "every live secret is tried and the one that fits is told",
		  every_live_secret_is_tried_and_the_one_that_fits_is_told },
		{ "one bit anywhere is refused", one_bit_anywhere_is_refused },
		{ "templates are signed piece by piece", templates_are_signed_piece_by_piece },
		{ "a time in the body waits for the body", a_time_in_the_body_waits_for_the_body },
		{ "a time that nobody signed says nothing",
		  a_time_that_nobody_signed_says_nothing },
		{ "timestamps are read in their unit", timestamps_are_read_in_their_unit },
		{ "streams do not mix", streams_do_not_mix },
		{ "headers of one beginning are all looked at",
		  headers_of_one_beginning_are_all_looked_at },
		{ "families of headers do not mix", families_of_headers_do_not_mix },
		{ "a URL is tried with and without its default port",
		  a_url_is_tried_with_and_without_its_default_port },
		{ "a hash in the query binds the body", a_hash_in_the_query_binds_the_body },
		{ "a list of signed headers must hold what matters",
		  a_list_of_signed_headers_must_hold_what_matters },
		{ "tokens are compared whole", tokens_are_compared_whole },
		{ "every live public key is tried", every_live_public_key_is_tried },
		{ "public keys are judged in the same order",
		  public_keys_are_judged_in_the_same_order },
		{ "a certificate may come later", a_certificate_may_come_later },
		{ "secrets are kept in the form that the scheme wants",
		  secrets_are_kept_in_the_form_that_the_scheme_wants },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	mac_thread_finish();
	keys_finish();
	return code;
}
