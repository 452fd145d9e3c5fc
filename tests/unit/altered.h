/* Bodies as they were signed and as they came. */
#ifndef HOOKLATCH_TESTS_UNIT_ALTERED_H
#define HOOKLATCH_TESTS_UNIT_ALTERED_H

#include <string.h>
#include <zlib.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#include "tests/unit/check.h"

enum altered_by {
	ALTERED_AS_WRITTEN, /* `came` */
	ALTERED_BY_GZIP,
	ALTERED_BY_ZLIB,
};

struct altered {
	struct span signed_body;
	struct span came;
	enum altered_by how;
	const char *text; /* how the row of alterations[] that says so begins */
};

#define AGAIN "its JSON was read and written again: "

/* One row at least for each of alterations[]. */
static UNUSED const struct altered altered[] = {
	{ TEXT("{\"a\":1}"), TEXT("{\"a\":1}\n"), 0, "a newline was added at its end" },
	{ TEXT("{\"a\":1}\n"), TEXT("{\"a\":1}\n\n"), 0, "a newline was added at its end" },
	{ TEXT("no json"), TEXT("no json\n"), 0, "a newline was added at its end" },
	{ TEXT(""), TEXT("\n"), 0, "a newline was added at its end" },
	{ TEXT("{\"a\":1}"), TEXT("{\"a\":1}\r\n"), 0, "CRLF was added at its end" },
	{ TEXT("{\"a\":1}\n"), TEXT("{\"a\":1}"), 0, "the newline at its end was dropped" },
	{ TEXT("\n"), TEXT(""), 0, "the newline at its end was dropped" },
	{ TEXT("{\"a\":1}\r\n"), TEXT("{\"a\":1}"), 0, "the CRLF at its end was dropped" },
	{ TEXT("{\"a\":1}"), TEXT(" \t{\"a\":1}\r\n\n"), 0, "white space was added around it" },
	{ TEXT("a=b"), TEXT("\r\na=b"), 0, "white space was added around it" },
	{ TEXT("{\n\"a\":\n1}\n"), TEXT("{\r\n\"a\":\r\n1}\r\n"), 0,
	  "its line ends were changed from LF to CRLF" },
	{ TEXT("{\r\n\"a\":\r\n1}\r\n"), TEXT("{\n\"a\":\n1}\n"), 0,
	  "its line ends were changed from CRLF to LF" },
	{ TEXT("{\"a\":1}"), TEXT("\xef\xbb\xbf{\"a\":1}"), 0, "a byte order mark was added" },
	{ TEXT("\xef\xbb\xbf{\"a\":1}"), TEXT("{\"a\":1}"), 0, "its byte order mark was dropped" },
	{ TEXT("{\"a\":\"Gr\xc3\xbc\xc3\x9f"
	       "e\"}"),
	  TEXT("{\"a\":\"Gr\xc3\x83\xc2\xbc\xc3\x83\xc2\x9f"
	       "e\"}"),
	  0, "its charset was changed: UTF-8 was taken for ISO 8859-1" },
	{ TEXT("{\"a\":\"Gr\xc3\xbc\xc3\x9f"
	       "e\"}"),
	  TEXT("{\"a\":\"Gr\xfc\xdf"
	       "e\"}"),
	  0, "its charset was changed: UTF-8 was turned into ISO 8859-1" },
	{ TEXT("{\"a\":1,\"b\":\"some text, some text, some text\"}"), TEXT(""), ALTERED_BY_GZIP,
	  "it was compressed" },
	{ TEXT("a"), TEXT(""), ALTERED_BY_ZLIB, "it was compressed" },
	{ TEXT("{\"b\":1,\"a\":[2,{}],\"c\":\"x\"}"),
	  TEXT("{\"b\": 1, \"a\": [2, {}], \"c\": \"x\"}"), 0, AGAIN "white space was added" },
	{ TEXT("{\"b\":1,\"a\":[2,{}],\"c\":\"x\"}"),
	  TEXT("{\n  \"b\": 1,\n  \"a\": [\n    2,\n    {}\n  ],\n  \"c\": \"x\"\n}"), 0,
	  AGAIN "white space was added" },
	{ TEXT("{\"a\":\"\xc3\xa9\"}"), TEXT("{\"a\":\"\\u00e9\"}"), 0,
	  AGAIN "escapes (\\uXXXX or \\/) were added" },
	{ TEXT("{\"a\":  \"https://x/\"}"), TEXT("{\"a\":  \"https:\\/\\/x\\/\"}"), 0,
	  AGAIN "escapes (\\uXXXX or \\/) were added" },
	{ TEXT("{\"a\":\"\xc3\xa9\",\"b\":1}"), TEXT("{\"a\": \"\\u00e9\", \"b\": 1}"), 0,
	  AGAIN "white space and escapes were added" },
	{ TEXT("{\"a\":\"\\u00e9\",\"b\":1}"), TEXT("{\"a\": \"\xc3\xa9\", \"b\": 1}"), 0,
	  AGAIN "white space was added, escapes (\\uXXXX) were decoded" },
	{ TEXT("{\"a\":\"\\/\\u00e9\",\"b\":1}"), TEXT("{\"a\": \"/\xc3\xa9\", \"b\": 1}"), 0,
	  AGAIN "white space was added, escapes (\\uXXXX and \\/) were decoded" },
	{ TEXT("{\"a\": \"\xc3\xa9\", \"b\": 1}"), TEXT("{\"a\":\"\\u00e9\",\"b\":1}"), 0,
	  AGAIN "white space was dropped, escapes were added" },
	{ TEXT("{\"b\": 1, \"a\": [2, {}], \"c\": \"x\"}"),
	  TEXT("{\"b\":1,\"a\":[2,{}],\"c\":\"x\"}"), 0,
	  AGAIN "white space was dropped or changed" },
	{ TEXT("{\"a\":\"\\u00E9\"}"), TEXT("{\"a\":\"\xc3\xa9\"}"), 0,
	  AGAIN "escapes in upper case (\\uXXXX) were decoded" },
	{ TEXT("{\"a\": \"\\u00E9\", \"b\": 1}"), TEXT("{\"a\":\"\xc3\xa9\",\"b\":1}"), 0,
	  AGAIN "escapes in upper case (\\uXXXX) and white space were changed" },
	{ TEXT("{\"a\":\"https:\\/\\/x\\/\"}"), TEXT("{\"a\":\"https://x/\"}"), 0,
	  AGAIN "\\/ became /" },
	{ TEXT("{\"a\":\"\\/\\u00E9\"}"), TEXT("{\"a\":\"/\xc3\xa9\"}"), 0,
	  AGAIN "escapes in upper case (\\uXXXX and \\/) were decoded" },
	{ TEXT("{\n  \"b\": 1,\n  \"a\": [\n    2,\n    {}\n  ],\n  \"c\": \"x\"\n}"),
	  TEXT("{\"b\":1,\"a\":[2,{}],\"c\":\"x\"}"), 0, AGAIN "the indentation (2) was dropped" },
	{ TEXT("{\n    \"b\": 1,\n    \"a\": [\n        2\n    ]\n}"), TEXT("{\"b\":1,\"a\":[2]}"),
	  0, AGAIN "the indentation (4) was dropped" },
	{ TEXT("{\"a\":1,\"b\":{\"c\":2,\"d\":3}}"), TEXT("{\"b\":{\"d\":3,\"c\":2},\"a\":1}"), 0,
	  AGAIN "members were re-ordered" },
	{ TEXT("{\"a\": 1, \"b\": {\"c\": 2, \"d\": 3}}"),
	  TEXT("{\"b\":{\"d\":3,\"c\":2},\"a\":1}"), 0,
	  AGAIN "members were re-ordered, white space changed" },
};

/* The same as other libraries write JSON: numbers as they stand, \u in lower case (Python, PHP, Ruby, JavaScript). */
static UNUSED const struct altered altered_elsewhere[] = {
	{ TEXT("{\"price\":19.99,\"n\":1e3,\"z\":1.50}"),
	  TEXT("{\"price\": 19.99, \"n\": 1e3, \"z\": 1.50}"), 0, AGAIN "white space was added" },
	{ TEXT("{\"id\": 12345678901234567890}"), TEXT("{\"id\":12345678901234567890}"), 0,
	  AGAIN "white space was dropped or changed" },
	{ TEXT("{\"a\":\"\\u00e9\\ud83e\\udd8a\"}"), TEXT("{\"a\":\"\xc3\xa9\xf0\x9f\xa6\x8a\"}"),
	  0, AGAIN "escapes (\\uXXXX) were decoded" },
	{ TEXT("{\"a\": \"\\u00e9\", \"b\": 1}"), TEXT("{\"a\":\"\xc3\xa9\",\"b\":1}"), 0,
	  AGAIN "escapes (\\uXXXX) and white space were changed" },
	{ TEXT("{\"a\":\"\\/\\u00e9\"}"), TEXT("{\"a\":\"/\xc3\xa9\"}"), 0,
	  AGAIN "escapes (\\uXXXX and \\/) were decoded" },
};

/* The body as it came; begins `out`. */
static UNUSED void
altered_body(const struct altered *row, struct buffer *out)
{
	z_stream stream = { 0 };
	unsigned char packed[1024];
	buffer_init(out, 65536);
	if (row->how == ALTERED_AS_WRITTEN) {
		buffer_span(out, row->came);
		return;
	}
	int window = row->how == ALTERED_BY_GZIP ? MAX_WBITS + 16 : MAX_WBITS;
	ALWAYS(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window, 8,
	                    Z_DEFAULT_STRATEGY) == Z_OK,
	       "altered-deflate");
	stream.next_in = (unsigned char *)(uintptr_t)row->signed_body.data;
	stream.avail_in = (unsigned)row->signed_body.size;
	stream.next_out = packed;
	stream.avail_out = sizeof(packed);
	ALWAYS(deflate(&stream, Z_FINISH) == Z_STREAM_END, "altered-deflated");
	buffer_append(out, packed, sizeof(packed) - stream.avail_out);
	(void)deflateEnd(&stream);
}

#endif
