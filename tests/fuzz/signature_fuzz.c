/* Header grammars: a digit that names a scheme, the signature header's value, a line feed, a timestamp header's value, a
 * line feed, the body. In the value "%S" is replaced by the right signature and "%T" by the time at which it was made, so
 * that good requests are met: without "%S" none may be good, and pieces of the body make no difference. */
#include "receiver/verify/signature.h"

#include <string.h>

#include "receiver/verify/presets.h"

#include "tests/fuzz/fuzz.h"

#define NOW_NS (INT64_C(1767735553) * NS_PER_S)
#define NOW    "1767735553"

static const struct scheme generic[] = {
	{
		.signature_header = "X-Signature",
		.separator = ';',
		.prefix = "h1=",
		.timestamp_prefix = "ts=",
		.algorithm = SCHEME_SHA1,
		.signed_text = "{timestamp}:{method}{path}{url}{body}",
		.timestamp = { .from = SCHEME_FROM_SIGNATURE },
		.unit = SCHEME_RFC3339,
		.tolerance_ns = 60 * NS_PER_S,
	},
	{
		.signature_header = "X-Signature",
		.encoding = SCHEME_BASE64,
		.signed_text = "{body}{timestamp}",
		.timestamp = { .from = SCHEME_FROM_JSON, .name = "/t" },
		.unit = SCHEME_MILLISECONDS,
		.tolerance_ns = 60 * NS_PER_S,
	},
};

struct request {
	const struct scheme *scheme;
	struct secrets *secrets;
	struct verify_request request;
	struct field fields[3];
	struct span body;
};

static enum verdict
judge(const struct request *from, size_t piece_size, int *matched)
{
	static struct verification v;
	struct span rest = from->body;
	enum verdict verdict = verification_begin(&v, from->scheme, from->secrets, &from->request,
	                                          NOW_NS, piece_size > 0);
	if (verdict == VERDICT_GOOD) {
		while (rest.size > 0) {
			size_t size = piece_size == 0 ? rest.size : piece_size;
			verification_feed(&v, fuzz_take(&rest, size));
		}
		verdict = verification_end(&v, from->body);
	}
	*matched = v.matched;
	verification_drop(&v);
	return verdict;
}

/* The value with "%S" and "%T" replaced; true when a right signature is in it. */
static bool
fill_in(const struct request *request, struct span value, struct span timestamp, struct buffer *out)
{
	struct span id = request->fields[2].value;
	bool is_signed = false;
	for (size_t i = 0; i < value.size; i++) {
		struct span rest = span_after(value, i);
		if (span_starts(rest, SPAN("%S"))) {
			signature_make(request->scheme, &request->secrets->items[1],
			               &request->request, timestamp, id, request->body, out);
			is_signed = true;
			i++;
		} else if (span_starts(rest, SPAN("%T"))) {
			buffer_span(out, timestamp);
			i++;
		} else {
			buffer_byte(out, value.data[i]);
		}
	}
	return is_signed;
}

static const struct scheme *
scheme_of(struct span digit)
{
	size_t count = 0;
	size_t wanted = digit.size == 0 ? 0 : (unsigned char)digit.data[0];
	while (presets[count].name != NULL) {
		count++;
	}
	wanted %= count + COUNT(generic);
	return wanted < count ? &presets[wanted].scheme : &generic[wanted - count];
}

static void
fill_request(struct request *request, struct span timestamp)
{
	const struct scheme *scheme = request->scheme;
	request->request = (struct verify_request){ .method = SPAN("POST"),
		                                    .path = SPAN("/hook"),
		                                    .url = SPAN("https://example.com/hook") };
	bool header = scheme->timestamp.from == SCHEME_FROM_HEADER;
	request->fields[0].name = span_of(scheme->signature_header);
	request->fields[1] =
		(struct field){ header ? span_of(scheme->timestamp.name) : SPAN("X-Other"),
		                timestamp };
	bool has_id = scheme->id.from == SCHEME_FROM_HEADER;
	request->fields[2] =
		(struct field){ has_id ? span_of(scheme->id.name) : SPAN("X-Id"), SPAN("id_1") };
	request->request.fields = (struct fields){ request->fields, COUNT(request->fields) };
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = { (const char *)data, size };
	const struct scheme *scheme = scheme_of(fuzz_take(&input, 1));
	struct span value = fuzz_take_until(&input, '\n');
	struct span time_value = fuzz_take_until(&input, '\n');
	struct secrets secrets = { .count = 0 };
	struct error err;
	struct span text = scheme->key == SCHEME_KEY_HEX ? SPAN("00ff") : SPAN("c2VjcmV0");
	PROPERTY(secrets_add(&secrets, scheme->key, text, NOW_NS, &err)); /* over */
	PROPERTY(secrets_add(&secrets, scheme->key, text, 0, &err));
	struct request request = { .scheme = scheme, .secrets = &secrets };
	char *body = fuzz_copy(input);
	char *time_copy = fuzz_copy(time_value);
	request.body = (struct span){ body, input.size };
	struct span timestamp = { time_copy, time_value.size };
	if (span_equal(timestamp, SPAN("%T"))) {
		timestamp =
			scheme->unit == SCHEME_RFC3339 ? SPAN("2026-01-06T21:39:13Z") : SPAN(NOW);
	}
	fill_request(&request, timestamp);
	struct buffer filled;
	buffer_init(&filled, 1 << 20);
	bool is_signed = fill_in(&request, value, timestamp, &filled);
	char *value_copy = fuzz_copy(buffer_view(&filled));
	request.fields[0].value = (struct span){ value_copy, filled.size };
	int matched;
	int again;
	enum verdict verdict = judge(&request, 0, &matched);
	PROPERTY(verdict != VERDICT_GOOD || (is_signed && matched == 1));
	PROPERTY((verdict == VERDICT_SIGNATURE_MISSING) ==
	         (span_trim(request.fields[0].value).size == 0));
	PROPERTY(judge(&request, 1 + size % 7, &again) == verdict && again == matched);
	PROPERTY(judge(&request, SIZE_MAX, &again) == verdict && again == matched);
	free(value_copy);
	free(time_copy);
	free(body);
	buffer_finish(&filled);
	secrets_finish(&secrets);
	return 0;
}
