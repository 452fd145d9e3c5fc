#include "receiver/base/units.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

#define REFUSED INT64_MIN

struct row {
	struct span text;
	int64_t value;
};

typedef bool read_fn(struct span text, int64_t *value);

static void
read_rows(const struct row *rows, size_t count, read_fn *read)
{
	for (size_t i = 0; i < count; i++) {
		int64_t value = REFUSED;
		bool good = read(edge_copy(0, rows[i].text), &value);
		CHECK_ROW(good == (rows[i].value != REFUSED) && value == rows[i].value,
		          "%s: %s %" PRId64, check_quote(rows[i].text), good ? "read" : "refused",
		          value);
	}
}

static void
durations_are_read(void)
{
	static const struct row rows[] = {
		{ TEXT("250us"), 250 * NS_PER_US },
		{ TEXT("100ms"), 100 * NS_PER_MS },
		{ TEXT("0s"), 0 },
		{ TEXT("30s"), 30 * NS_PER_S },
		{ TEXT("5m"), 300 * NS_PER_S },
		{ TEXT("1h"), 3600 * NS_PER_S },
		{ TEXT("3d"), 259200 * NS_PER_S },
		{ TEXT("1.5h"), 5400 * NS_PER_S },
		{ TEXT("0.25s"), 250 * NS_PER_MS },
		{ TEXT("0.001ms"), NS_PER_US },
		{ TEXT("0.001us"), 1 },
		{ TEXT("106751d"), INT64_C(106751) * 86400 * NS_PER_S },
		{ TEXT("106752d"), REFUSED }, /* passes 2^63 ns */
		{ TEXT("999999999999d"), REFUSED },
		{ TEXT("9999999999999s"), REFUSED },
		{ TEXT(""), REFUSED },
		{ TEXT("30"), REFUSED }, /* a number that needs a unit has one */
		{ TEXT("s"), REFUSED },
		{ TEXT("30 s"), REFUSED },
		{ TEXT(" 30s"), REFUSED },
		{ TEXT("30s "), REFUSED },
		{ TEXT("-30s"), REFUSED },
		{ TEXT("+30s"), REFUSED },
		{ TEXT("30S"), REFUSED },
		{ TEXT("30sec"), REFUSED },
		{ TEXT("1h30m"), REFUSED },
		{ TEXT("1.s"), REFUSED },
		{ TEXT(".5s"), REFUSED },
		{ TEXT("1.0005s"), REFUSED },
		{ TEXT("1,5s"), REFUSED },
		{ TEXT("1e3s"), REFUSED },
		{ TEXT("0x10s"), REFUSED },
	};
	read_rows(rows, COUNT(rows), units_duration);
}

static void
sizes_are_read(void)
{
	static const struct row rows[] = {
		{ TEXT("0B"), 0 },
		{ TEXT("512B"), 512 },
		{ TEXT("16KiB"), 16384 },
		{ TEXT("16kB"), 16000 },
		{ TEXT("1MiB"), 1048576 },
		{ TEXT("25MB"), 25000000 },
		{ TEXT("2GiB"), INT64_C(2147483648) },
		{ TEXT("1.5KiB"), 1536 },
		{ TEXT("0.5B"), REFUSED }, /* half a byte */
		{ TEXT("0.001KiB"), REFUSED },
		{ TEXT("9007199254GiB"), REFUSED },
		{ TEXT("512"), REFUSED },
		{ TEXT("512b"), REFUSED },
		{ TEXT("16K"), REFUSED },
		{ TEXT("16kib"), REFUSED },
		{ TEXT("16Mb"), REFUSED },
		{ TEXT("-1B"), REFUSED },
	};
	read_rows(rows, COUNT(rows), units_size);
}

#define A_SECOND UNITS_RATE_PERIOD_S /* of one event a second */

static void
rates_are_read(void)
{
	static const struct row rows[] = {
		{ TEXT("100/s"), 100 * A_SECOND },
		{ TEXT("0.5/s"), A_SECOND / 2 },
		{ TEXT("1/m"), A_SECOND / 60 },
		{ TEXT("30/m"), A_SECOND / 2 },
		{ TEXT("1/h"), A_SECOND / 3600 },
		{ TEXT("7/h"), A_SECOND / 3600 * 7 },
		{ TEXT("1000000/s"), 1000000 * A_SECOND },
		{ TEXT("0/s"), 0 },
		{ TEXT("999999999999/s"), INT64_C(999999999999) * A_SECOND },
		{ TEXT("9999999999999/s"), REFUSED },
		{ TEXT("100"), REFUSED },
		{ TEXT("100/"), REFUSED },
		{ TEXT("/s"), REFUSED },
		{ TEXT("100/d"), REFUSED },
		{ TEXT("100/S"), REFUSED },
		{ TEXT("100 /s"), REFUSED },
		{ TEXT("100s"), REFUSED },
		{ TEXT(""), REFUSED },
		{ TEXT("-1/s"), REFUSED },
	};
	read_rows(rows, COUNT(rows), units_rate);
}

static void
decimals_are_read_in_thousandths(void)
{
	static const struct row rows[] = {
		{ TEXT("2"), 2000 },         { TEXT("1.5"), 1500 },    { TEXT("0.001"), 1 },
		{ TEXT("100.001"), 100001 }, { TEXT("0"), 0 },         { TEXT(""), REFUSED },
		{ TEXT("1."), REFUSED },     { TEXT(".5"), REFUSED },  { TEXT("1.0005"), REFUSED },
		{ TEXT("-1"), REFUSED },     { TEXT("1e3"), REFUSED }, { TEXT("1/s"), REFUSED },
		{ TEXT("1s"), REFUSED },     { TEXT(" 1"), REFUSED },  { TEXT("1 "), REFUSED },
	};
	read_rows(rows, COUNT(rows), units_decimal);
}

static void
durations_are_written_in_their_shortest_exact_form(void)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{ 0, "0s" },
		{ NS_PER_US, "1us" },
		{ 1500 * NS_PER_US, "1500us" },
		{ 250 * NS_PER_MS, "250ms" },
		{ 90 * NS_PER_S, "90s" },
		{ 60 * NS_PER_S, "1m" },
		{ 3600 * NS_PER_S, "1h" },
		{ 90 * 60 * NS_PER_S, "90m" },
		{ 36 * 3600 * NS_PER_S, "36h" },
		{ 3 * 86400 * NS_PER_S, "3d" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[32];
		units_duration_text(rows[i].ns, text);
		CHECK_ROW(strcmp(text, rows[i].text) == 0, "%" PRId64 ": %s", rows[i].ns, text);
	}
}

static void
a_written_duration_reads_as_itself(void)
{
	static const int64_t units[] = { NS_PER_US,     NS_PER_MS,       NS_PER_S,
		                         60 * NS_PER_S, 3600 * NS_PER_S, 86400 * NS_PER_S };
	struct random random;
	check_random(&random);
	for (int i = 0; i < 100000; i++) {
		int64_t unit = units[random_up_to(&random, COUNT(units) - 1)];
		int64_t count = random_up_to(&random, 100000);
		char text[32];
		int64_t again = -1;
		units_duration_text(count * unit, text);
		if (!CHECK_ROW(units_duration(span_of(text), &again) && again == count * unit, "%s",
		               text)) {
			return;
		}
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a duration needs its unit and fits 63 bits", durations_are_read },
		{ "a size needs its unit and is whole bytes", sizes_are_read },
		{ "a rate needs its period and is exact", rates_are_read },
		{ "a decimal is read in thousandths", decimals_are_read_in_thousandths },
		{ "a duration is written in its shortest exact form",
		  durations_are_written_in_their_shortest_exact_form },
		{ "a written duration reads as itself", a_written_duration_reads_as_itself },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
