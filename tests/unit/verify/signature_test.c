#include "receiver/verify/signature.h"

#include <openssl/hmac.h>

#include "receiver/base/encoding.h"
#include "receiver/model/event.h"
#include "receiver/verify/presets.h"
#include "receiver/verify/value.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"
#include "tests/unit/vectors.h"

#define NOW_NS (INT64_C(1767735553) * NS_PER_S)
#define BODY   "{\"id\":\"evt_1\",\"type\":\"a.b\"}"

/* A body in pieces of random sizes, each at the edge of memory; `random` NULL: as a whole. */
static enum verdict
verify(const struct scheme *scheme, const struct secrets *secrets,
       const struct verify_request *request, struct span body, int64_t now_ns,
       struct random *random, struct verification *v)
{
	enum verdict verdict =
		verification_begin(v, scheme, secrets, request, now_ns, random != NULL);
	if (verdict != VERDICT_GOOD) {
		return verdict;
	}
	struct span rest = body;
	while (rest.size > 0) {
		size_t size = random == NULL ? rest.size
		                             : (size_t)random_up_to(random, (int64_t)rest.size);
		verification_feed(v, edge_copy(0, (struct span){ rest.data, size }));
		rest = span_after(rest, size);
	}
	return verification_end(v, edge_copy(1, body));
}

/* --- the providers' vectors --- */

struct outcome {
	const char *word;
	int matched;
	struct buffer id;
	struct buffer type;
};

/* What the receiver makes of a request: the engine's word, then the event's id and type. */
static void
receive(const struct scheme *scheme, const struct vector *vector, struct random *random,
        struct outcome *outcome)
{
	struct verification v;
	struct span body = buffer_view(&vector->body);
	enum verdict verdict = verify(scheme, &vector->secrets, &vector->request, body,
	                              vector->now_ns, random, &v);
	buffer_init(&outcome->id, 4096);
	buffer_init(&outcome->type, 4096);
	outcome->matched = v.matched;
	outcome->word = verdict_word(verdict);
	verification_drop(&v);
	if (verdict != VERDICT_GOOD) {
		return;
	}
	struct fields fields = vector->request.fields;
	if (value_read(&scheme->id, fields, body, &outcome->id) != VALUE_FOUND ||
	    !event_id_valid(buffer_view(&outcome->id))) {
		outcome->word = "malformed";
		return;
	}
	outcome->word = "accepted";
	if (value_read(&scheme->type, fields, body, &outcome->type) != VALUE_FOUND) {
		outcome->type.size = 0;
	}
}

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

static void
judge_vector(const struct scheme *scheme, const json_t *expected, struct random *random)
{
	static struct vector vector;
	struct outcome outcome;
	vector_read(expected, scheme->key, &vector);
	receive(scheme, &vector, random, &outcome);
	CHECK_ROW(is_word_expected(expected, outcome.word), "%s: %s, not %s", vector.id,
	          outcome.word, vectors_text(expected, "result"));
	if (strcmp(outcome.word, "accepted") == 0) {
		const json_t *matched = json_object_get(expected, "matched_secret");
		CHECK_ROW(span_equal(buffer_view(&outcome.id), vectors_span(expected, "event_id")),
		          "%s: %s", vector.id, check_quote(buffer_view(&outcome.id)));
		CHECK_ROW(span_equal(buffer_view(&outcome.type),
		                     vectors_span(expected, "event_type")),
		          "%s: %s", vector.id, check_quote(buffer_view(&outcome.type)));
		CHECK_ROW(outcome.matched == (int)json_integer_value(matched), "%s: secret %d",
		          vector.id, outcome.matched);
	} else if (strcmp(outcome.word, "signature_mismatch") == 0) {
		CHECK_ROW(outcome.matched == -1, "%s: secret %d", vector.id, outcome.matched);
	}
	buffer_finish(&outcome.id);
	buffer_finish(&outcome.type);
	vector_finish(&vector);
}

/* Judges all vectors of the file; `presets_only`: with the rows of presets.c, else with the parameters in the file. */
static void
judge_vectors(bool presets_only, bool streaming, size_t wanted)
{
	struct random random;
	check_random(&random);
	json_t *file = vectors_load();
	json_t *providers = json_object_get(file, "providers");
	size_t judged = 0;
	for (size_t i = 0; i < json_array_size(providers); i++) {
		const json_t *provider = json_array_get(providers, i);
		const struct preset *preset = preset_find(vectors_text(provider, "name"));
		if (presets_only && preset == NULL) {
			continue;
		}
		struct scheme scheme = presets_only ? preset->scheme : vectors_scheme(provider);
		const json_t *vectors = json_object_get(provider, "vectors");
		for (size_t j = 0; j < json_array_size(vectors); j++) {
			judge_vector(&scheme, json_array_get(vectors, j),
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
	judge_vectors(false, false, 200);
}

static void
vectors_by_presets(void)
{
	judge_vectors(true, false, 56);
}

static void
vectors_in_pieces(void)
{
	for (int round = 0; round < 5; round++) {
		judge_vectors(false, true, 200);
	}
}

/* --- requests made here --- */

struct fixture {
	struct scheme scheme;
	struct secrets secrets;
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
}

static enum verdict
judge(struct fixture *f, int *matched)
{
	struct verification v;
	enum verdict verdict =
		verify(&f->scheme, &f->secrets, &f->request, f->body, f->now_ns, NULL, &v);
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
		{ "{method}\n{path}\n{body}", "POST\n/hook\n" BODY },
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
			struct random random;
			struct verification v;
			check_random(&random);
			IS(&f, "good");
			CHECK_ROW(verify(&f.scheme, &f.secrets, &f.request, f.body, f.now_ns,
			                 &random, &v) == VERDICT_GOOD,
			          "in pieces: %s", rows[i].signed_text);
			verification_drop(&v);
			struct buffer made;
			buffer_init(&made, 256);
			signature_make(&f.scheme, &f.secrets.items[0], &f.request,
			               SPAN("1767735553"), SPAN("msg_1"), f.body, &made);
			CHECK_ROW(span_equal(buffer_view(&made), span_of(hex)), "%s",
			          rows[i].signed_text);
			buffer_finish(&made);
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
		struct random random;
		struct verification v;
		check_random(&random);
		const char *in_pieces = verdict_word(
			verify(&f.scheme, &f.secrets, &f.request, f.body, f.now_ns, &random, &v));
		CHECK_ROW(strcmp(in_pieces, rows[i].word) == 0, "%s in pieces: %s", rows[i].body,
		          in_pieces);
		verification_drop(&v);
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
		{ SCHEME_RFC3339, TEXT("1767735553"), -1 },
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
	CHECK(verification_begin(&first, &a.scheme, &a.secrets, &a.request, NOW_NS, true) ==
	      VERDICT_GOOD);
	CHECK(verification_begin(&second, &b.scheme, &a.secrets, &b.request, NOW_NS, true) ==
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
		{ "secrets are kept in the form that the scheme wants",
		  secrets_are_kept_in_the_form_that_the_scheme_wants },
	};
	int code = check_main(argc, argv, tests, COUNT(tests));
	signature_thread_finish();
	return code;
}
