#include "receiver/base/encoding.h"

#include <string.h>

#include <jansson.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

typedef bool decode_fn(struct span text, unsigned char *out, size_t room, size_t *size);

static void
decodes(decode_fn *decode, struct span text, struct span wanted)
{
	unsigned char out[64];
	size_t size = SIZE_MAX;
	CHECK_ROW(decode(edge_copy(0, text), out, sizeof(out), &size) &&
	                  span_equal((struct span){ (char *)out, size }, wanted),
	          "%s", check_quote(text));
	CHECK_ROW(decode(text, out, wanted.size, &size) && size == wanted.size,
	          "%s into just enough", check_quote(text));
	CHECK_ROW(wanted.size == 0 || !decode(text, out, wanted.size - 1, &size),
	          "%s into too little", check_quote(text));
}

static void
refuses(decode_fn *decode, struct span text)
{
	unsigned char out[64];
	size_t size;
	CHECK_ROW(!decode(edge_copy(0, text), out, sizeof(out), &size), "%s", check_quote(text));
}

static void
hex_is_decoded_strictly(void)
{
	decodes(hex_decode, SPAN(""), SPAN(""));
	decodes(hex_decode, SPAN("00ff7fA0"), SPAN("\x00\xff\x7f\xa0"));
	decodes(hex_decode, SPAN("DEADbeef"), SPAN("\xde\xad\xbe\xef"));
	static const struct span wrong[] = { TEXT("0"),    TEXT("000"),    TEXT("0g"),
		                             TEXT("g0"),   TEXT("0x00"),   TEXT(" 00"),
		                             TEXT("00 "),  TEXT("0\0"),    TEXT("00\n0"),
		                             TEXT("-1"),   TEXT("+1"),     TEXT("00:00"),
		                             TEXT("/0:@"), TEXT("`a\x80"), TEXT("@G`g") };
	for (size_t i = 0; i < COUNT(wrong); i++) {
		refuses(hex_decode, wrong[i]);
	}
}

static void
base64_is_decoded_strictly(void)
{
	/* RFC 4648 section 10 */
	decodes(base64_decode, SPAN(""), SPAN(""));
	decodes(base64_decode, SPAN("Zg=="), SPAN("f"));
	decodes(base64_decode, SPAN("Zm8="), SPAN("fo"));
	decodes(base64_decode, SPAN("Zm9v"), SPAN("foo"));
	decodes(base64_decode, SPAN("Zm9vYg=="), SPAN("foob"));
	decodes(base64_decode, SPAN("Zm9vYmE="), SPAN("fooba"));
	decodes(base64_decode, SPAN("Zm9vYmFy"), SPAN("foobar"));
	decodes(base64_decode, SPAN("+/+/"), SPAN("\xfb\xff\xbf"));
	static const struct span
		wrong[] = {
			TEXT("Z"),        TEXT("Zg"), /* section 3.2: padding MUST be there */
			TEXT("Zg="),      TEXT("Zm8"),
			TEXT("===="),     TEXT("Z==="),
			TEXT("=Zg="),     TEXT("Zg==Zg=="),
			TEXT("Zm9v===="), TEXT("-_-_"), /* section 5 is another alphabet */
			TEXT("Zm9v\n"),   TEXT("Zm\n9v"),
			TEXT(" Zg=="), /* section 3.3: MUST reject characters outside the alphabet */
			TEXT("Zg== "),    TEXT("Zm9 "),
			TEXT("Zm9\0"),    TEXT("Zm9v\x80"),
		};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		refuses(base64_decode, wrong[i]);
	}
}

/* encoding.h: "anything that is not exactly the encoding is refused"; RFC 4648 section 3.5. */
static void
base64_with_stray_bits_is_refused(void)
{
	refuses(base64_decode, SPAN("Zh=="));
	refuses(base64_decode, SPAN("Zm9="));
}

static void
what_is_encoded_decodes_to_itself(void)
{
	struct random random;
	check_random(&random);
	for (size_t size = 0; size < 600; size++) {
		unsigned char data[600];
		unsigned char again[600];
		size_t got = 0;
		for (size_t i = 0; i < size; i++) {
			data[i] = (unsigned char)random_up_to(&random, 255);
		}
		struct buffer hex;
		struct buffer base64;
		buffer_init(&hex, 4096);
		buffer_init(&base64, 4096);
		hex_encode(&hex, data, size);
		base64_encode(&base64, data, size);
		CHECK_ROW(hex.size == size * 2 &&
		                  hex_decode(buffer_view(&hex), again, sizeof(again), &got) &&
		                  got == size && memcmp(data, again, size) == 0,
		          "hex of %zu bytes", size);
		memset(again, 0, sizeof(again));
		CHECK_ROW(base64.size == (size + 2) / 3 * 4 &&
		                  base64_decode(buffer_view(&base64), again, sizeof(again), &got) &&
		                  got == size && memcmp(data, again, size) == 0,
		          "base64 of %zu bytes", size);
		buffer_finish(&hex);
		buffer_finish(&base64);
	}
}

static void
percent_encoding_is_undone(void)
{
	struct random random;
	check_random(&random);
	for (int round = 0; round < 2000; round++) {
		char text[64];
		size_t size = (size_t)random_up_to(&random, sizeof(text));
		for (size_t i = 0; i < size; i++) {
			text[i] = (char)(unsigned char)random_up_to(&random, 255);
		}
		struct buffer encoded;
		struct buffer decoded;
		buffer_init(&encoded, 1024);
		buffer_init(&decoded, 1024);
		percent_encode(&encoded, (struct span){ text, size });
		bool plain = true;
		for (size_t i = 0; i < encoded.size; i++) {
			char byte = encoded.data[i];
			plain = plain && byte > ' ' && byte < 0x7f &&
			        strchr("&=+#?/'\"\\<>", byte) == NULL;
		}
		CHECK(plain);
		CHECK(percent_decode(&decoded, edge_copy(0, buffer_view(&encoded))));
		CHECK_ROW(span_equal(buffer_view(&decoded), (struct span){ text, size }), "%s",
		          check_quote((struct span){ text, size }));
		buffer_finish(&encoded);
		buffer_finish(&decoded);
	}
	static const struct span wrong[] = { TEXT("%"), TEXT("a%4"), TEXT("%4g"), TEXT("%%41"),
		                             TEXT("% 41") };
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct buffer decoded;
		buffer_init(&decoded, 64);
		CHECK_ROW(!percent_decode(&decoded, edge_copy(0, wrong[i])), "%s",
		          check_quote(wrong[i]));
		buffer_finish(&decoded);
	}
}

/* --- UTF-8 --- */

/* RFC 3629 section 3, by computing the code point. */
static bool
utf8_by_computing(const unsigned char *text, size_t size)
{
	for (size_t at = 0; at < size;) {
		size_t more = text[at] < 0x80             ? 0
		              : (text[at] & 0xe0) == 0xc0 ? 1
		              : (text[at] & 0xf0) == 0xe0 ? 2
		              : (text[at] & 0xf8) == 0xf0 ? 3
		                                          : SIZE_MAX;
		if (more == SIZE_MAX || size - at <= more) {
			return false;
		}
		static const unsigned least[] = { 0, 0x80, 0x800, 0x10000 };
		unsigned code = more == 0 ? text[at] : text[at] & (0x3fU >> more);
		for (size_t i = 1; i <= more; i++) {
			if ((text[at + i] & 0xc0) != 0x80) {
				return false;
			}
			code = code << 6 | (text[at + i] & 0x3f);
		}
		if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
			return false;
		}
		at += more + 1;
	}
	return true;
}

/* All leads with all second bytes, and what stands at the edges of the ranges behind them. */
static void
utf8_is_what_rfc3629_says(void)
{
	static const unsigned char edges[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
		                               0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xf0, 0xff };
	size_t valid = 0;
	for (unsigned lead = 0; lead < 256; lead++) {
		for (unsigned second = 0; second < 256; second++) {
			for (size_t third = 0; third < COUNT(edges); third++) {
				for (size_t fourth = 0; fourth < COUNT(edges); fourth++) {
					unsigned char text[4] = { (unsigned char)lead,
						                  (unsigned char)second,
						                  edges[third], edges[fourth] };
					for (size_t size = 1; size <= 4; size++) {
						struct span span = { (char *)text, size };
						bool wanted = utf8_by_computing(text, size);
						valid += wanted ? 1 : 0;
						CHECK_ROW(utf8_valid(span) == wanted, "%s",
						          check_quote(span));
					}
				}
			}
		}
	}
	CHECK(valid > 100000);
	for (size_t size = 1; size < 4; size++) { /* cut where memory ends */
		CHECK(!utf8_valid(edge_copy(0, (struct span){ "\xf0\x90\x80\x80", size })));
	}
	CHECK(utf8_valid((struct span){ 0 }));
}

/* --- JSON strings --- */

/* What `text` is to become: itself, or each byte as a character of ISO 8859-1. */
static void
expected_text(struct span text, struct buffer *out)
{
	if (utf8_by_computing((const unsigned char *)text.data, text.size)) {
		buffer_span(out, text);
		return;
	}
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if (byte >= 0x80) {
			buffer_byte(out, (char)(unsigned char)(0xc0 | byte >> 6));
		}
		buffer_byte(out, (char)(unsigned char)(byte < 0x80 ? byte : 0x80 | (byte & 0x3f)));
	}
}

static bool
quotes_well(struct span text)
{
	struct buffer quoted;
	struct buffer wanted;
	buffer_init(&quoted, 65536);
	buffer_init(&wanted, 65536);
	json_quote(&quoted, edge_copy(0, text));
	expected_text(text, &wanted);
	json_error_t error;
	json_t *value =
		json_loadb(quoted.data, quoted.size,
	                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	bool good = CHECK_ROW(value != NULL, "%s became %s", check_quote(text),
	                      check_quote(buffer_view(&quoted))) &&
	            CHECK_ROW(span_equal((struct span){ json_string_value(value),
	                                                json_string_length(value) },
	                                 buffer_view(&wanted)),
	                      "%s became %s", check_quote(text), check_quote(buffer_view(&quoted)));
	for (size_t i = 0; i < quoted.size; i++) {
		good = good && CHECK((unsigned char)quoted.data[i] >= 0x20 &&
		                     quoted.data[i] != 0x7f); /* a log line stays a line */
	}
	json_decref(value);
	buffer_finish(&quoted);
	buffer_finish(&wanted);
	return good;
}

static void
any_bytes_become_valid_json(void)
{
	struct random random;
	check_random(&random);
	CHECK(quotes_well(SPAN("")));
	for (unsigned byte = 0; byte < 256; byte++) {
		char one = (char)(unsigned char)byte;
		CHECK(quotes_well((struct span){ &one, 1 }));
	}
	for (int round = 0; round < 20000; round++) {
		char text[80];
		size_t size = (size_t)random_up_to(&random, sizeof(text));
		int64_t most = random_up_to(&random, 1) == 0 ? 255 : 127;
		for (size_t i = 0; i < size; i++) {
			text[i] = (char)(unsigned char)random_up_to(&random, most);
		}
		if (!quotes_well((struct span){ text, size })) {
			return;
		}
	}
}

static void
utf8_is_kept_in_json(void)
{
	CHECK(quotes_well(SPAN("Grüße, 世界, 🦊, \xc2\x80\xc2\x9f\xe2\x80\xa8")));
	CHECK(quotes_well(SPAN("Grüße and a stray \xff")));
}

static void
numbers_have_their_digits(void)
{
	char text[17];
	hex_number(0x1a2bU, 8, text);
	CHECK(strcmp(text, "00001a2b") == 0);
	hex_number(UINT64_MAX - 1, 16, text);
	CHECK(strcmp(text, "fffffffffffffffe") == 0);
	hex_number(0xabcU, 2, text); /* the last ones */
	CHECK(strcmp(text, "bc") == 0);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "hexadecimal is decoded strictly, in both cases", hex_is_decoded_strictly },
		{ "a number has its hexadecimal digits", numbers_have_their_digits },
		{ "base64 is decoded strictly", base64_is_decoded_strictly },
		{ "base64 with stray bits is refused", base64_with_stray_bits_is_refused },
		{ "what is encoded decodes to itself", what_is_encoded_decodes_to_itself },
		{ "percent-encoding is undone, and strict", percent_encoding_is_undone },
		{ "UTF-8 is what RFC 3629 says", utf8_is_what_rfc3629_says },
		{ "any bytes become a valid JSON string", any_bytes_become_valid_json },
		{ "UTF-8 is kept in JSON, other bytes are ISO 8859-1", utf8_is_kept_in_json },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
