#include "receiver/verify/alteration.h"

#include <string.h>

#include "tests/unit/altered.h"
#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static const struct alteration *
row_of(const char *text)
{
	for (const struct alteration *row = alterations; row->text != NULL; row++) {
		if (strncmp(row->text, text, strlen(text)) == 0) {
			return row;
		}
	}
	return NULL;
}

static void
undo_rows(const struct altered *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct alteration *row = row_of(rows[i].text);
		struct buffer came;
		struct buffer out;
		if (!CHECK_ROW(row != NULL, "%s", rows[i].text)) {
			continue;
		}
		altered_body(&rows[i], &came);
		buffer_init(&out, 65536);
		CHECK_ROW(row->undo(edge_copy(0, buffer_view(&came)), &out) &&
		                  span_equal(buffer_view(&out), rows[i].signed_body),
		          "%s: %s from %s", row->text, check_quote(buffer_view(&out)),
		          check_quote(buffer_view(&came)));
		buffer_finish(&came);
		buffer_finish(&out);
	}
}

static void
every_alteration_can_be_undone(void)
{
	for (const struct alteration *row = alterations; row->text != NULL; row++) {
		bool tried = false;
		for (size_t i = 0; i < COUNT(altered); i++) {
			tried = tried || row_of(altered[i].text) == row;
		}
		for (size_t i = 0; i < COUNT(altered_elsewhere); i++) {
			tried = tried || row_of(altered_elsewhere[i].text) == row;
		}
		CHECK_ROW(tried, "%s", row->text);
	}
	undo_rows(altered, COUNT(altered));
}

static void
json_of_other_writers_can_be_undone(void)
{
	undo_rows(altered_elsewhere, COUNT(altered_elsewhere));
}

static void
what_cannot_have_happened_is_not_undone(void)
{
	static const struct {
		const char *text;
		struct span body;
	} rows[] = {
		{ "a newline was added", TEXT("") },
		{ "a newline was added", TEXT("{}") },
		{ "a newline was added", TEXT("\n ") },
		{ "CRLF was added", TEXT("\n") },
		{ "CRLF was added", TEXT("{}\n") },
		{ "CRLF was added", TEXT("{}\r") },
		{ "white space was added around", TEXT("{ }") },
		{ "white space was added around", TEXT("") },
		{ "its line ends were changed from LF", TEXT("a\nb\r") },
		{ "its line ends were changed from CRLF", TEXT("a\r\nb") },
		{ "its line ends were changed from CRLF", TEXT("a") },
		{ "a byte order mark was added", TEXT("{}") },
		{ "a byte order mark was added", TEXT("\xef\xbb") },
		{ "its charset was changed: UTF-8 was taken", TEXT("plain") },
		{ "its charset was changed: UTF-8 was taken", TEXT("\xe2\x82\xac") },
		{ "its charset was changed: UTF-8 was taken", TEXT("a\xc3") },
		{ "its charset was changed: UTF-8 was turned", TEXT("plain") },
		{ "it was compressed", TEXT("") },
		{ "it was compressed", TEXT("\x1f") },
		{ "it was compressed", TEXT("plain") },
		{ "it was compressed", TEXT("\x1f\x8b\x08\0\0\0\0\0\0\x03") }, /* and no more */
		{ "its JSON was read and written again: white space was added", TEXT("no json") },
		{ "its JSON was read and written again: white space was added", TEXT("") },
		{ "its JSON was read and written again: members", TEXT("{\"a\":1") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct alteration *row = row_of(rows[i].text);
		struct buffer out;
		buffer_init(&out, 65536);
		CHECK_ROW(row != NULL && !row->undo(edge_copy(0, rows[i].body), &out), "%s: %s",
		          rows[i].text, check_quote(rows[i].body));
		buffer_finish(&out);
	}
}

/* Whatever comes, undoing ends and reads nothing behind the body. */
static void
anything_may_come(void)
{
	struct random random;
	static const char alphabet[] = "{}[]\",:\\/u0019abtrue \t\r\n\xc3\xa9\xff\x1f\x8b";
	check_random(&random);
	for (int round = 0; round < 500; round++) {
		char body[40];
		size_t size = (size_t)random_up_to(&random, sizeof(body));
		for (size_t i = 0; i < size; i++) {
			body[i] = alphabet[random_up_to(&random, sizeof(alphabet) - 2)];
		}
		for (const struct alteration *row = alterations; row->text != NULL; row++) {
			struct buffer out;
			buffer_init(&out, 65536);
			(void)row->undo(edge_copy(0, (struct span){ body, size }), &out);
			CHECK(!out.failed);
			buffer_finish(&out);
		}
		(void)alteration_truncated(edge_copy(0, (struct span){ body, size }));
	}
}

/* A bomb is let go at its limit. */
static void
what_is_too_large_when_inflated_is_let_go(void)
{
	z_stream stream = { 0 };
	static unsigned char zeros[1 << 20];
	static unsigned char packed[1 << 20];
	struct buffer out;
	ALWAYS(deflateInit(&stream, Z_BEST_COMPRESSION) == Z_OK, "bomb");
	stream.next_out = packed;
	stream.avail_out = sizeof(packed);
	for (int i = 0; i < 80; i++) { /* 80 MiB */
		stream.next_in = zeros;
		stream.avail_in = sizeof(zeros);
		ALWAYS(deflate(&stream, i == 79 ? Z_FINISH : Z_NO_FLUSH) != Z_STREAM_ERROR, "bomb");
	}
	size_t size = sizeof(packed) - stream.avail_out;
	(void)deflateEnd(&stream);
	buffer_init(&out, (size_t)256 << 20);
	CHECK(!row_of("it was compressed")->undo((struct span){ (char *)packed, size }, &out));
	CHECK(out.size < (size_t)65 << 20);
	buffer_finish(&out);
}

static void
json_that_ends_too_early_is_truncated(void)
{
	static const struct {
		struct span body;
		bool truncated;
	} rows[] = {
		{ TEXT("{\"a\":1}"), false },
		{ TEXT("[]"), false },
		{ TEXT("{\"a\":1"), true },
		{ TEXT("{\"a\":"), true },
		{ TEXT("{"), true },
		{ TEXT("[1,"), true },
		{ TEXT("[\"abc"), true },
		{ TEXT("{\"a\":\"\xc3"), true }, /* in the middle of a character */
		{ TEXT("{\"a\":1}}"), false },
		{ TEXT("{\"a\":x"), true },
		{ TEXT(""), false },
		{ TEXT("a=b"), false },
		{ TEXT("\"abc"), false },
		{ TEXT("tru"), false },
		{ TEXT("{\"a\":\"\\u0000\"}"), false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(alteration_truncated(edge_copy(0, rows[i].body)) == rows[i].truncated,
		          "%s", check_quote(rows[i].body));
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every alteration can be undone", every_alteration_can_be_undone },
		{ "JSON of other writers can be undone", json_of_other_writers_can_be_undone },
		{ "what cannot have happened is not undone",
		  what_cannot_have_happened_is_not_undone },
		{ "anything may come", anything_may_come },
		{ "what is too large when inflated is let go",
		  what_is_too_large_when_inflated_is_let_go },
		{ "JSON that ends too early is truncated", json_that_ends_too_early_is_truncated },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
