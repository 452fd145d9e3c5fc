#include "receiver/base/bytes.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static void
spans_are_compared(void)
{
	struct span nothing = { 0 };
	CHECK(span_equal(nothing, SPAN("")));
	CHECK(span_equal(span_of(NULL), nothing));
	CHECK(span_equal(SPAN("a\0b"), SPAN("a\0b")));
	CHECK(!span_equal(SPAN("a\0b"), SPAN("a\0c")));
	CHECK(!span_equal(SPAN("ab"), SPAN("abc")));
	CHECK(!span_equal(SPAN("ab"), SPAN("aB")));
	CHECK(span_equal_nocase(SPAN("X-Hub-Signature"), SPAN("x-hub-SIGNATURE")));
	CHECK(!span_equal_nocase(SPAN("a[b"), SPAN("a{b")));
	CHECK(!span_equal_nocase(SPAN("abc"), SPAN("ab")));
	CHECK(span_starts(SPAN("sha256=00"), SPAN("sha256=")));
	CHECK(span_starts(SPAN("x"), nothing));
	CHECK(span_starts(nothing, nothing));
	CHECK(!span_starts(SPAN("sha1"), SPAN("sha1=")));
	CHECK(!span_starts(SPAN("SHA1="), SPAN("sha1=")));
}

static void
blanks_are_trimmed(void)
{
	static const struct {
		struct span text;
		struct span trimmed;
	} rows[] = {
		{ TEXT(""), TEXT("") },
		{ TEXT(" \t \t"), TEXT("") },
		{ TEXT(" a"), TEXT("a") },
		{ TEXT("a\t"), TEXT("a") },
		{ TEXT(" \ta b\t "), TEXT("a b") },
		{ TEXT("\r\na\n"), TEXT("\r\na\n") },
		{ TEXT("\va\f"), TEXT("\va\f") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span trimmed = span_trim(edge_copy(0, rows[i].text));
		CHECK_ROW(span_equal(trimmed, rows[i].trimmed), "%s", check_quote(rows[i].text));
	}
}

static void
a_copy_is_terminated(void)
{
	char *copy = span_copy(edge_copy(0, SPAN("abc")));
	CHECK(strcmp(copy, "abc") == 0);
	free(copy);
	copy = span_copy((struct span){ 0 });
	CHECK(copy != NULL && copy[0] == '\0');
	free(copy);
	CHECK(memory_text(NULL) == NULL);
}

static void
a_number_is_digits_and_nothing_else(void)
{
	static const struct {
		struct span text;
		int64_t number; /* -1: refused */
	} rows[] = {
		{ TEXT("0"), 0 },
		{ TEXT("7"), 7 },
		{ TEXT("007"), 7 },
		{ TEXT("999999999999999999"), INT64_C(999999999999999999) },
		{ TEXT("1000000000000000000"), -1 },
		{ TEXT("9223372036854775808"), -1 },
		{ TEXT(""), -1 },
		{ TEXT("+1"), -1 },
		{ TEXT("-1"), -1 },
		{ TEXT(" 1"), -1 },
		{ TEXT("1 "), -1 },
		{ TEXT("1\0"), -1 },
		{ TEXT("1e3"), -1 },
		{ TEXT("0x10"), -1 },
		{ TEXT("1.0"), -1 },
		{ TEXT("\xd9\xa1"), -1 }, /* an Arabic digit */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t number = -1;
		bool read = span_number(edge_copy(0, rows[i].text), &number);
		CHECK_ROW(read == (rows[i].number >= 0) && number == rows[i].number,
		          "%s: got %" PRId64, check_quote(rows[i].text), number);
	}
}

static void
a_buffer_keeps_to_its_limit(void)
{
	struct buffer buffer;
	buffer_init(&buffer, 10);
	buffer_text(&buffer, "12345");
	CHECK(buffer.size == 5 && !buffer.failed);
	buffer_text(&buffer, "67890");
	CHECK(buffer.size == 10 && !buffer.failed);
	buffer_byte(&buffer, '!');
	CHECK(buffer.size == 10 && buffer.failed);
	buffer_consume(&buffer, 10);
	buffer_byte(&buffer, '!');
	CHECK(buffer.size == 0 && buffer.failed); /* sticky: what came before is no whole text */
	buffer_finish(&buffer);
	CHECK(!buffer.failed && buffer.limit == 10);
	CHECK(!buffer_reserve(&buffer, 11));
	CHECK(!buffer_reserve(&buffer, SIZE_MAX));
	CHECK(buffer_reserve(&buffer, 10));
	buffer_finish(&buffer);
}

static void
a_formatted_text_of_any_length_is_whole(void)
{
	for (size_t size = 0; size < 2000; size += size < 500 || size > 530 ? 97 : 1) {
		struct buffer buffer;
		buffer_init(&buffer, 4096);
		buffer_text(&buffer, "<");
		buffer_format(&buffer, "%0*d", (int)size + 1, 7);
		buffer_text(&buffer, ">");
		if (CHECK_ROW(buffer.size == size + 3 && !buffer.failed, "%zu", size)) {
			CHECK_ROW(buffer.data[0] == '<' && buffer.data[size + 1] == '7' &&
			                  buffer.data[size + 2] == '>',
			          "%zu", size);
		}
		buffer_finish(&buffer);
	}
}

static void
a_stolen_text_is_terminated_and_the_buffer_empty(void)
{
	struct buffer buffer;
	buffer_init(&buffer, 100);
	char *nothing = buffer_steal(&buffer);
	CHECK(nothing[0] == '\0');
	free(nothing);
	buffer_text(&buffer, "taken");
	char *text = buffer_steal(&buffer);
	CHECK(strcmp(text, "taken") == 0);
	CHECK(buffer.size == 0 && buffer.data == NULL && buffer.limit == 100);
	free(text);
	buffer_text(&buffer, "again");
	CHECK(span_equal(buffer_view(&buffer), SPAN("again")));
	buffer_finish(&buffer);
}

/* Appends and consumes at random, beside an array that is plainly right. */
static void
a_buffer_holds_what_was_appended_and_not_consumed(void)
{
	enum {
		MODEL = 20000,
		LIMIT = 5000,
		STEPS = 20000
	};
	static unsigned char model[MODEL];
	size_t model_size = 0;
	struct random random;
	check_random(&random);
	struct buffer buffer;
	buffer_init(&buffer, LIMIT);
	for (int step = 0; step < STEPS; step++) {
		char piece[300];
		size_t size = (size_t)random_up_to(&random, sizeof(piece));
		for (size_t i = 0; i < size; i++) {
			piece[i] = (char)(unsigned char)random_up_to(&random, 255);
		}
		if (random_up_to(&random, 1) == 0 || model_size + size > LIMIT) {
			size = (size_t)random_up_to(&random, (int64_t)model_size);
			buffer_consume(&buffer, size);
			model_size -= size;
			memmove(model, model + size, model_size);
		} else {
			buffer_append(&buffer, piece, size);
			memcpy(model + model_size, piece, size);
			model_size += size;
		}
		if (!CHECK(!buffer.failed && buffer.room <= LIMIT) ||
		    !CHECK(span_equal(buffer_view(&buffer),
		                      (struct span){ (char *)model, model_size }))) {
			break;
		}
	}
	buffer_finish(&buffer);
}

static void
a_buffer_over_somebodys_room_keeps_to_it(void)
{
	char room[8];
	struct buffer buffer = buffer_over(room, sizeof(room));
	buffer_text(&buffer, "1234");
	buffer_text(&buffer, "5678");
	CHECK(!buffer.failed && buffer.data == room && buffer.size == 8);
	buffer_byte(&buffer, '9');
	CHECK(buffer.failed && buffer.size == 8 && memcmp(room, "12345678", 8) == 0);
}

static void
numbers_are_decimal(void)
{
	static const int64_t numbers[] = { 0, 1, 9, 10, -1, 1234567890, INT64_MAX, INT64_MIN };
	for (size_t i = 0; i < COUNT(numbers); i++) {
		char wanted[32];
		struct buffer buffer;
		buffer_init(&buffer, 32);
		buffer_number(&buffer, numbers[i]);
		(void)snprintf(wanted, sizeof(wanted), "%" PRId64, numbers[i]);
		CHECK_ROW(span_equal(buffer_view(&buffer), span_of(wanted)), "%s", wanted);
		buffer_finish(&buffer);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "spans are compared by size and bytes", spans_are_compared },
		{ "spaces and tabs are trimmed, nothing else is", blanks_are_trimmed },
		{ "a copy is terminated", a_copy_is_terminated },
		{ "a number is 1 to 18 digits and nothing else",
		  a_number_is_digits_and_nothing_else },
		{ "a buffer keeps to its limit and remembers that it did",
		  a_buffer_keeps_to_its_limit },
		{ "a buffer over somebody's room keeps to it",
		  a_buffer_over_somebodys_room_keeps_to_it },
		{ "numbers are decimal", numbers_are_decimal },
		{ "a formatted text of any length is whole",
		  a_formatted_text_of_any_length_is_whole },
		{ "a stolen text is terminated and leaves the buffer empty",
		  a_stolen_text_is_terminated_and_the_buffer_empty },
		{ "a buffer holds what was appended and not consumed",
		  a_buffer_holds_what_was_appended_and_not_consumed },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
