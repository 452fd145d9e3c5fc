#include "receiver/base/clock.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

#define REFUSED INT64_MIN

struct row {
	struct span text;
	int64_t seconds;
	int64_t ns;
};

static void
parse_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int64_t wall = REFUSED;
		bool good = clock_parse(edge_copy(0, rows[i].text), &wall);
		int64_t wanted = rows[i].seconds == REFUSED
		                         ? REFUSED
		                         : rows[i].seconds * NS_PER_S + rows[i].ns;
		CHECK_ROW(good == (wanted != REFUSED) && wall == wanted, "%s: %s %" PRId64,
		          check_quote(rows[i].text), good ? "read as" : "refused", wall);
	}
}

static void
rfc3339_times_are_read(void)
{
	static const struct row rows[] = {
		{ TEXT("1970-01-01T00:00:00Z"), 0, 0 },
		{ TEXT("1970-01-01"), 0, 0 },
		{ TEXT("2026-11-21T03:09:44.123456Z"), 1795230584, 123456000 },
		/* RFC 3339 section 5.8, the examples */
		{ TEXT("1985-04-12T23:20:50.52Z"), 482196050, 520000000 },
		{ TEXT("1996-12-19T16:39:57-08:00"), 851042397, 0 },
		{ TEXT("1937-01-01T12:00:27.87+00:20"), -1041337173, 870000000 },
		/* section 5.6: T and Z may be lower-case, a space may stand for T */
		{ TEXT("1996-12-20t00:39:57z"), 851042397, 0 },
		{ TEXT("1996-12-20 00:39:57Z"), 851042397, 0 },
		/* section 4.3: an unknown local offset is still UTC */
		{ TEXT("1996-12-20T00:39:57-00:00"), 851042397, 0 },
		{ TEXT("2000-02-29T00:00:00Z"), 951782400, 0 },
		{ TEXT("2024-02-29"), 1709164800, 0 },
		{ TEXT("2026-01-01T00:30:00+01:00"), 1767223800, 0 },
		{ TEXT("2026-01-01T00:00:00.000000001Z"), 1767225600, 1 },
		{ TEXT("2026-01-01T00:00:00.9999999999999Z"), 1767225600, 999999999 },
		{ TEXT("2262-04-11T23:47:15.999999999Z"), 9223372035, 999999999 },
	};
	parse_rows(rows, COUNT(rows));
	/* Beyond what 63 bits of ns can hold: as late as can be told. */
	static const struct span late[] = { TEXT("2262-04-11T23:47:17Z"),
		                            TEXT("9999-12-31T23:59:59.999-23:59") };
	for (size_t i = 0; i < COUNT(late); i++) {
		int64_t wall = 0;
		CHECK_ROW(clock_parse(late[i], &wall) && wall == INT64_MAX, "%s: %" PRId64,
		          check_quote(late[i]), wall);
	}
}

static void
what_is_no_rfc3339_time_is_refused(void)
{
	static const struct row rows[] = {
		{ TEXT(""), REFUSED, 0 },
		{ TEXT("2026"), REFUSED, 0 },
		{ TEXT("2026-01"), REFUSED, 0 },
		{ TEXT("2026-1-1"), REFUSED, 0 },
		{ TEXT("26-01-01"), REFUSED, 0 },
		{ TEXT("2026-00-01"), REFUSED, 0 },
		{ TEXT("2026-13-01"), REFUSED, 0 },
		{ TEXT("2026-01-00"), REFUSED, 0 },
		{ TEXT("2026-01-32"), REFUSED, 0 },
		{ TEXT("2026-02-29"), REFUSED, 0 },
		{ TEXT("1900-02-29"), REFUSED, 0 },
		{ TEXT("2100-02-29"), REFUSED, 0 },
		{ TEXT("10000-01-01"), REFUSED, 0 },
		{ TEXT("2026-04-31"), REFUSED, 0 },
		{ TEXT("2026-01-01T"), REFUSED, 0 },
		{ TEXT("2026-01-01Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00"), REFUSED, 0 }, /* no offset: whose time is it? */
		{ TEXT("2026-01-01T24:00:00Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:60:00Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:61Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00.Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00,5Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00+1:00"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00+0100"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00+24:00"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00+00:60"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00ZZ"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00Z "), REFUSED, 0 },
		{ TEXT(" 2026-01-01T00:00:00Z"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00\0"), REFUSED, 0 },
		{ TEXT("2026-01-01T00:00:00Z\0"), REFUSED, 0 },
		{ TEXT("+2026-01-01"), REFUSED, 0 },
		{ TEXT("2026/01/01"), REFUSED, 0 },
		{ TEXT("1767225600"), REFUSED, 0 },
	};
	parse_rows(rows, COUNT(rows));
}

/* RFC 3339 section 5.8: "This represents the leap second inserted at the end of 1990." */
static void
a_leap_second_is_a_time(void)
{
	static const struct row rows[] = {
		{ TEXT("1990-12-31T23:59:60Z"), 662688000, 0 },
		{ TEXT("1990-12-31T15:59:60-08:00"), 662688000, 0 },
	};
	parse_rows(rows, COUNT(rows));
}

/* Howard Hinnant's days_from_civil: another way to the same number than timegm(). */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2 ? 1 : 0;
	int64_t era = year / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void
times_are_counted_as_by_hand(void)
{
	struct random random;
	check_random(&random);
	for (int i = 0; i < 200000; i++) {
		int64_t year = 1900 + random_up_to(&random, 300);
		int64_t month = 1 + random_up_to(&random, 11);
		int64_t day = 1 + random_up_to(&random, 27);
		int64_t second = random_up_to(&random, 86399);
		int64_t offset = random_up_to(&random, 23 * 60 + 59);
		bool minus = random_up_to(&random, 1) == 0;
		char text[128];
		(void)snprintf(text, sizeof(text),
		               "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64
		               ":%02" PRId64 "%c%02" PRId64 ":%02" PRId64,
		               year, month, day, second / 3600, second / 60 % 60, second % 60,
		               minus ? '-' : '+', offset / 60, offset % 60);
		int64_t wanted = days_of(year, month, day) * 86400 + second +
		                 (minus ? offset : -offset) * 60;
		int64_t wall = REFUSED;
		if (!CHECK_ROW(clock_parse(span_of(text), &wall) && wall == wanted * NS_PER_S,
		               "%s: %" PRId64 " s wanted, got %" PRId64 " ns", text, wanted,
		               wall)) {
			return;
		}
	}
}

static void
a_written_time_reads_as_itself(void)
{
	struct random random;
	check_random(&random);
	int64_t first = days_of(1900, 1, 1) * 86400;
	int64_t last = days_of(2200, 12, 31) * 86400 + 86399;
	for (int i = 0; i < 200000; i++) {
		int64_t wall = (first + random_up_to(&random, last - first)) * NS_PER_S +
		               random_up_to(&random, 999999) * NS_PER_US;
		char text[CLOCK_TEXT_BYTES];
		int64_t again = REFUSED;
		clock_text(wall, text);
		if (!CHECK_ROW(strlen(text) == 27 && text[26] == 'Z' &&
		                       clock_parse(span_of(text), &again) && again == wall,
		               "%" PRId64 ": %s, %" PRId64, wall, text, again)) {
			return;
		}
	}
}

static void
a_time_is_written_with_microseconds_cut(void)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000000Z" },
		{ 999, "1970-01-01T00:00:00.000000Z" },
		{ 1999, "1970-01-01T00:00:00.000001Z" },
		{ -1, "1969-12-31T23:59:59.999999Z" },
		{ 1795230584123456789, "2026-11-21T03:09:44.123456Z" },
		{ 1795230584000000000, "2026-11-21T03:09:44.000000Z" }, /* the same second again */
		{ 1795230584999999999, "2026-11-21T03:09:44.999999Z" },
		{ 1795230585000001000, "2026-11-21T03:09:45.000001Z" },
		{ 1795230584000010000, "2026-11-21T03:09:44.000010Z" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[CLOCK_TEXT_BYTES];
		clock_text(rows[i].ns, text);
		CHECK_ROW(strcmp(text, rows[i].text) == 0, "%" PRId64 ": %s", rows[i].ns, text);
	}
	char text[CLOCK_TEXT_BYTES];
	clock_text(INT64_MAX, text);
	CHECK(strlen(text) == 27);
	clock_text(INT64_MIN, text);
	CHECK(strlen(text) == 27);
	clock_text(1000, text);
	CHECK(strcmp(text, "1970-01-01T00:00:00.000001Z") == 0);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "times of RFC 3339 are read", rfc3339_times_are_read },
		{ "what is no time of RFC 3339 is refused", what_is_no_rfc3339_time_is_refused },
		{ "a leap second is a time", a_leap_second_is_a_time },
		{ "times are counted as by hand", times_are_counted_as_by_hand },
		{ "a written time reads as itself", a_written_time_reads_as_itself },
		{ "a time is written with microseconds, the rest is cut",
		  a_time_is_written_with_microseconds_cut },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
