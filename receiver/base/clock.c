#include "receiver/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LAST_DIGIT 25 /* of the microseconds */

static int64_t
clock_read(clockid_t id)
{
	struct timespec now;
	(void)clock_gettime(id, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t
clock_wall_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

int64_t
clock_boot_ns(void)
{
	return clock_read(CLOCK_BOOTTIME);
}

/* The second that a thread named last: a busy one names it thousands of times. */
static _Thread_local struct {
	bool named;
	int64_t seconds;
	char text[CLOCK_TEXT_BYTES];
} last;

static void
name_second(int64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm parts;
	last.named = true;
	last.seconds = seconds;
	if (gmtime_r(&when, &parts) == NULL || parts.tm_year < -1900 || parts.tm_year > 8099) {
		last.named = false;
		(void)snprintf(last.text, sizeof(last.text), "1970-01-01T00:00:00.000000Z");
		return;
	}
	(void)snprintf(last.text, sizeof(last.text), "%04u-%02u-%02uT%02u:%02u:%02u.000000Z",
	               (unsigned)(parts.tm_year + 1900) % 10000U,
	               (unsigned)(parts.tm_mon + 1) % 100U, (unsigned)parts.tm_mday % 100U,
	               (unsigned)parts.tm_hour % 100U, (unsigned)parts.tm_min % 100U,
	               (unsigned)parts.tm_sec % 100U);
}

void
clock_text(int64_t wall_ns, char text[CLOCK_TEXT_BYTES])
{
	int64_t seconds = wall_ns / NS_PER_S;
	int64_t rest = wall_ns % NS_PER_S;
	if (rest < 0) {
		rest += NS_PER_S;
		seconds--;
	}
	if (!last.named || last.seconds != seconds) {
		name_second(seconds);
	}
	memcpy(text, last.text, CLOCK_TEXT_BYTES);
	if (!last.named) {
		return;
	}
	uint64_t micros = (uint64_t)(rest / NS_PER_US);
	for (size_t at = LAST_DIGIT; micros > 0; at--) {
		text[at] = "0123456789"[micros % 10];
		micros /= 10;
	}
}

/* Exactly `digits` decimal digits at *at. */
static bool
take_digits(struct span text, size_t *at, size_t digits, int *ret)
{
	if (text.size - *at < digits) {
		return false;
	}
	int number = 0;
	for (size_t i = 0; i < digits; i++) {
		char byte = text.data[*at + i];
		if (byte < '0' || byte > '9') {
			return false;
		}
		number = number * 10 + (byte - '0');
	}
	*at += digits;
	*ret = number;
	return true;
}

static bool
take_byte(struct span text, size_t *at, const char *any)
{
	if (*at >= text.size || text.data[*at] == '\0' || strchr(any, text.data[*at]) == NULL) {
		return false;
	}
	(*at)++;
	return true;
}

static bool
take_offset(struct span text, size_t *at, int *offset_s)
{
	if (take_byte(text, at, "Zz")) {
		*offset_s = 0;
		return true;
	}
	bool minus = *at < text.size && text.data[*at] == '-';
	int hours;
	int minutes;
	if (!take_byte(text, at, "+-") || !take_digits(text, at, 2, &hours) ||
	    !take_byte(text, at, ":") || !take_digits(text, at, 2, &minutes) || hours > 23 ||
	    minutes > 59) {
		return false;
	}
	*offset_s = (minus ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

bool
clock_parse(struct span text, int64_t *wall_ns)
{
	struct tm parts = { 0 };
	size_t at = 0;
	int64_t fraction = 0;
	int offset_s = 0;
	if (!take_digits(text, &at, 4, &parts.tm_year) || !take_byte(text, &at, "-") ||
	    !take_digits(text, &at, 2, &parts.tm_mon) || !take_byte(text, &at, "-") ||
	    !take_digits(text, &at, 2, &parts.tm_mday)) {
		return false;
	}
	if (at < text.size) {
		if (!take_byte(text, &at, "Tt ") || !take_digits(text, &at, 2, &parts.tm_hour) ||
		    !take_byte(text, &at, ":") || !take_digits(text, &at, 2, &parts.tm_min) ||
		    !take_byte(text, &at, ":") || !take_digits(text, &at, 2, &parts.tm_sec)) {
			return false;
		}
		if (take_byte(text, &at, ".")) {
			int64_t unit = NS_PER_S / 10;
			int digit;
			size_t first = at;
			while (take_digits(text, &at, 1, &digit)) {
				fraction += digit * unit;
				unit /= 10;
			}
			if (at == first) {
				return false;
			}
		}
		if (!take_offset(text, &at, &offset_s)) {
			return false;
		}
	}
	bool leap =
		parts.tm_year % 4 == 0 && (parts.tm_year % 100 != 0 || parts.tm_year % 400 == 0);
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	if (at != text.size || parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 ||
	    parts.tm_mday > days[parts.tm_mon - 1] - (parts.tm_mon == 2 && !leap ? 1 : 0) ||
	    parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60 || parts.tm_year < 1900 ||
	    parts.tm_year > 9999) {
		return false;
	}
	parts.tm_year -= 1900;
	parts.tm_mon -= 1;
	time_t seconds = timegm(&parts);
	int64_t total_s = (int64_t)seconds - offset_s;
	bool beyond = total_s >= INT64_MAX / NS_PER_S; /* after 2262: as late as can be told */
	*wall_ns = beyond ? INT64_MAX : total_s * NS_PER_S + fraction;
	return true;
}
