#include "receiver/base/units.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = {
	{ "us", NS_PER_US },    { "ms", NS_PER_MS },      { "s", NS_PER_S },
	{ "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S }, { "d", 86400 * NS_PER_S },
};

static const struct unit sizes[] = {
	{ "B", 1 },
	{ "kB", 1000 },
	{ "KB", 1000 },
	{ "MB", 1000000 },
	{ "GB", 1000000000 },
	{ "KiB", 1024 },
	{ "MiB", 1024 * 1024 },
	{ "GiB", INT64_C(1024) * 1024 * 1024 },
};

/* Splits "1.5h" into 1500 thousandths and the unit's text. */
static bool
split(struct span text, int64_t *thousandths, struct span *unit)
{
	size_t digits = 0;
	while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
		digits++;
	}
	int64_t whole;
	if (digits > 12 || !span_number((struct span){ text.data, digits }, &whole)) {
		return false;
	}
	int64_t value = whole * 1000;
	size_t at = digits;
	if (at < text.size && text.data[at] == '.') {
		at++;
		int64_t part = 100;
		size_t first = at;
		while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') {
			value += (text.data[at] - '0') * part;
			part /= 10;
			at++;
		}
		if (at == first || at - first > 3) {
			return false;
		}
	}
	*thousandths = value;
	*unit = span_after(text, at);
	return true;
}

/* thousandths · factor / 1000, exactly. */
static bool
scale(int64_t thousandths, int64_t factor, int64_t *ret)
{
	int64_t whole;
	int64_t part = thousandths % 1000 * factor; /* factor is at most a day in ns */
	return part % 1000 == 0 && !__builtin_mul_overflow(thousandths / 1000, factor, &whole) &&
	       !__builtin_add_overflow(whole, part / 1000, ret);
}

static bool
lookup(const struct unit *units, size_t count, struct span text, int64_t *ret)
{
	int64_t thousandths;
	int64_t value;
	struct span unit;
	if (!split(text, &thousandths, &unit)) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (span_equal(unit, span_of(units[i].name))) {
			bool good = scale(thousandths, units[i].factor, &value);
			*ret = good ? value : *ret;
			return good;
		}
	}
	return false;
}

bool
units_duration(struct span text, int64_t *ns)
{
	return lookup(durations, COUNT(durations), text, ns);
}

bool
units_size(struct span text, int64_t *bytes)
{
	return lookup(sizes, COUNT(sizes), text, bytes);
}

bool
units_rate(struct span text, int64_t *rate)
{
	static const struct unit periods[] = {
		{ "/s", UNITS_RATE_PERIOD_S },
		{ "/m", UNITS_RATE_PERIOD_S / 60 },
		{ "/h", UNITS_RATE_PERIOD_S / 3600 },
	};
	return lookup(periods, COUNT(periods), text, rate);
}

bool
units_decimal(struct span text, int64_t *thousandths)
{
	struct span unit;
	int64_t value;
	if (!split(text, &value, &unit) || unit.size > 0) {
		return false;
	}
	*thousandths = value;
	return true;
}

/* The largest unit in which the value is a whole number. */
static void
shortest(const struct unit *units, size_t count, int64_t value, char text[32])
{
	size_t unit = 0;
	for (size_t i = 0; i < count; i++) {
		if (value % units[i].factor == 0 && value >= units[i].factor &&
		    units[i].factor > units[unit].factor) {
			unit = i;
		}
	}
	(void)snprintf(text, 32, "%" PRId64 "%s", value / units[unit].factor, units[unit].name);
}

void
units_duration_text(int64_t ns, char text[32])
{
	if (ns == 0) {
		(void)snprintf(text, 32, "0s");
		return;
	}
	shortest(durations, COUNT(durations), ns, text);
}

void
units_size_text(int64_t bytes, char text[32])
{
	shortest(sizes, COUNT(sizes), bytes, text);
}
