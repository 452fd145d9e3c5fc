#include "receiver/verify/form.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static void
the_first_parameter_of_a_name_is_found(void)
{
	static const struct {
		struct span form;
		bool found;
		struct span value;
	} rows[] = {
		{ TEXT("a=1"), true, TEXT("1") },
		{ TEXT("b=2&a=1&a=3"), true, TEXT("1") },
		{ TEXT("a"), true, TEXT("") },
		{ TEXT("a="), true, TEXT("") },
		{ TEXT("a==1"), true, TEXT("=1") },
		{ TEXT("&&a=1&&"), true, TEXT("1") },
		{ TEXT("a=+b%20c%2B%26%3d+"), true, TEXT(" b c+&= ") },
		{ TEXT("%61=1"), true, TEXT("1") },
		{ TEXT("%zz=1&a=2"), true, TEXT("2") }, /* a name beside it that is none */
		{ TEXT("a=%C3%A9%00x"), true, TEXT("\xc3\xa9\0x") },
		{ TEXT("a=caf\xc3\xa9;b"), true, TEXT("caf\xc3\xa9;b") },
		{ TEXT("A=1"), false, TEXT("") },
		{ TEXT("ab=1"), false, TEXT("") },
		{ TEXT("=1"), false, TEXT("") },
		{ TEXT("b=a=1"), false, TEXT("") },
		{ TEXT("a%00=1"), false, TEXT("") },
		{ TEXT("a=%"), false, TEXT("") },
		{ TEXT("a=%4"), false, TEXT("") },
		{ TEXT("a=%4g"), false, TEXT("") },
		{ TEXT("a=%4g&a=1"), false, TEXT("") }, /* the first counts */
		{ TEXT(""), false, TEXT("") },
		{ TEXT("&"), false, TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer out;
		buffer_init(&out, 256);
		bool found = form_find(edge_copy(0, rows[i].form), SPAN("a"), &out);
		CHECK_ROW(found == rows[i].found &&
		                  (!found || span_equal(buffer_view(&out), rows[i].value)),
		          "%s: %s", check_quote(rows[i].form), check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
}

static void
a_value_is_appended_and_keeps_to_the_limit(void)
{
	struct buffer out;
	buffer_init(&out, 6);
	buffer_text(&out, "x:");
	CHECK(form_find(SPAN("a=1234"), SPAN("a"), &out));
	CHECK(span_equal(buffer_view(&out), SPAN("x:1234")));
	CHECK(!form_find(SPAN("a=5"), SPAN("a"), &out));
	buffer_finish(&out);
}

/* https://www.twilio.com/docs/usage/webhooks/webhooks-security */
static void
parameters_are_sorted_as_twilio_does(void)
{
	static const struct {
		struct span form;
		struct span text;
	} rows[] = {
		{ TEXT("Digits=1234&To=%2B18005551212&From=%2B14158675310&Caller=%2B14158675310"
		       "&CallSid=CA1234567890ABCDE"),
		  TEXT("CallSidCA1234567890ABCDECaller+14158675310Digits1234From+14158675310To+"
		       "18005551212") },
		{ TEXT("b=2&a=1"), TEXT("a1b2") },
		{ TEXT("a=2&B=1"), TEXT("B1a2") },   /* bytes, not letters */
		{ TEXT("ab=1&a=2"), TEXT("a2ab1") }, /* the shorter first */
		{ TEXT("a=b&ab="), TEXT("abab") },
		{ TEXT("a=2&a=1"), TEXT("a1a2") }, /* values of one name */
		{ TEXT("a=1&a=1"), TEXT("a1") },   /* equal ones once */
		{ TEXT("a=1&b=0&a=1&a=%31"), TEXT("a1b0") },
		{ TEXT("a=10&a=9&a="), TEXT("aa10a9") },
		{ TEXT("a=+&b=%2B&c=%20"), TEXT("a b+c ") },
		{ TEXT("%62=1&a=2"), TEXT("a2b1") }, /* sorted as decoded */
		{ TEXT("\xc3\xa9=1&z=2"), TEXT("z2\xc3\xa9"
		                               "1") },
		{ TEXT("a=&b"), TEXT("ab") },
		{ TEXT("a=1&&b=2&"), TEXT("a1b2") },
		{ TEXT("&=&a=1"), TEXT("a1") },
		{ TEXT("=x&a=1"), TEXT("xa1") },
		{ TEXT("a==&a=b=c"), TEXT("a=ab=c") },
		{ TEXT("a=%00&a=%00%00"), TEXT("a\0a\0\0") },
		{ TEXT(""), TEXT("") },
		{ TEXT("{\"a\":1}"), TEXT("{\"a\":1}") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer out;
		buffer_init(&out, 4096);
		CHECK_ROW(form_sorted(edge_copy(0, rows[i].form), &out) &&
		                  span_equal(buffer_view(&out), rows[i].text),
		          "%s: %s", check_quote(rows[i].form), check_quote(buffer_view(&out)));
		buffer_finish(&out);
	}
}

static void
what_cannot_be_decoded_is_no_form(void)
{
	static const struct span forms[] = { TEXT("a=%"),   TEXT("a=%1"),    TEXT("a=%zz&b=1"),
		                             TEXT("%=1"),   TEXT("a=1&%4"),  TEXT("a=+%2"),
		                             TEXT("a=%-1"), TEXT("a=%u0041") };
	for (size_t i = 0; i < COUNT(forms); i++) {
		struct buffer out;
		buffer_init(&out, 4096);
		CHECK_ROW(!form_sorted(edge_copy(0, forms[i]), &out), "%s", check_quote(forms[i]));
		buffer_finish(&out);
	}
}

static void
a_thousand_parameters_are_taken_and_no_more(void)
{
	static const struct {
		size_t parameters;
		size_t empty; /* "&" alone is none */
		bool good;
	} rows[] = { { FORM_PARAMETERS_MOST - 1, 0, true },
		     { FORM_PARAMETERS_MOST, 0, true },
		     { FORM_PARAMETERS_MOST, 5000, true },
		     { FORM_PARAMETERS_MOST + 1, 0, false } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer form;
		struct buffer out;
		struct buffer wanted;
		buffer_init(&form, 1 << 20);
		buffer_init(&out, 1 << 20);
		buffer_init(&wanted, 1 << 20);
		for (size_t j = 0; j < rows[i].parameters; j++) { /* from the last to the first */
			buffer_format(&form, "p%05zu=%zu&", rows[i].parameters - j, j);
			buffer_format(&wanted, "p%05zu%zu", j + 1, rows[i].parameters - j - 1);
		}
		for (size_t j = 0; j < rows[i].empty; j++) {
			buffer_byte(&form, '&');
		}
		bool good = form_sorted(buffer_view(&form), &out);
		CHECK_ROW(good == rows[i].good &&
		                  (!good || span_equal(buffer_view(&out), buffer_view(&wanted))),
		          "%zu", rows[i].parameters);
		buffer_finish(&form);
		buffer_finish(&out);
		buffer_finish(&wanted);
	}
	struct buffer out;
	buffer_init(&out, 3);
	CHECK(!form_sorted(SPAN("a=1&b=2"), &out)); /* more than `out` takes */
	buffer_finish(&out);
}

/* Whatever the order in which they come. */
static void
the_order_does_not_matter(void)
{
	struct random random;
	check_random(&random);
	static const char *const parameters[] = { "a=1",  "a=2",   "a=",    "b=%2B", "B=+",
		                                  "aa=1", "%61=3", "z=%7A", "a=1" };
	struct buffer first;
	buffer_init(&first, 4096);
	for (int round = 0; round < 200; round++) {
		const char *mixed[COUNT(parameters)];
		struct buffer form;
		struct buffer out;
		memcpy(mixed, parameters, sizeof(mixed));
		buffer_init(&form, 4096);
		buffer_init(&out, 4096);
		for (size_t i = COUNT(mixed); i > 0; i--) {
			size_t j = (size_t)random_up_to(&random, (int64_t)i - 1);
			buffer_format(&form, "%s%s", i == COUNT(mixed) ? "" : "&", mixed[j]);
			mixed[j] = mixed[i - 1];
		}
		CHECK(form_sorted(buffer_view(&form), &out));
		if (round == 0) {
			buffer_span(&first, buffer_view(&out));
		}
		CHECK_ROW(span_equal(buffer_view(&out), buffer_view(&first)), "%s: %s",
		          check_quote(buffer_view(&form)), check_quote(buffer_view(&out)));
		buffer_finish(&form);
		buffer_finish(&out);
	}
	buffer_finish(&first);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "the first parameter of a name is found",
		  the_first_parameter_of_a_name_is_found },
		{ "a value is appended and keeps to the limit",
		  a_value_is_appended_and_keeps_to_the_limit },
		{ "parameters are sorted as Twilio does", parameters_are_sorted_as_twilio_does },
		{ "what cannot be decoded is no form", what_cannot_be_decoded_is_no_form },
		{ "a thousand parameters are taken and no more",
		  a_thousand_parameters_are_taken_and_no_more },
		{ "the order does not matter", the_order_does_not_matter },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
