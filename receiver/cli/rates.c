#include "receiver/cli/rates.h"

#include <stdio.h>

#include "receiver/base/clock.h"
#include "receiver/base/error.h"

static const char *const keys[] = { "accepted", "duplicates",      "rejected",
	                            "attempts", "attempts_failed", "commits" };

/* A count, or the sum of an object of counts. */
static int64_t
count_of(const json_t *stats, const char *key)
{
	json_t *value = json_object_get(stats, key);
	int64_t sum = json_integer_value(value);
	const char *word;
	json_t *part;
	json_object_foreach(value, word, part) {
		sum += json_integer_value(part);
	}
	return sum;
}

static double
moved(const json_t *before, const json_t *after, const char *key)
{
	return (double)(count_of(after, key) - count_of(before, key));
}

json_t *
rates_between(const json_t *before, const json_t *after, int64_t between_ns)
{
	if (between_ns <= 0 || json_object_get(after, "since") == NULL ||
	    !json_equal(json_object_get(before, "since"), json_object_get(after, "since"))) {
		return NULL;
	}
	double seconds = (double)between_ns / (double)NS_PER_S;
	json_t *rates = json_object();
	for (size_t i = 0; i < COUNT(keys); i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "%s_per_second", keys[i]);
		(void)json_object_set_new(rates, name,
		                          json_real(moved(before, after, keys[i]) / seconds));
	}
	double commits = moved(before, after, "commits");
	double events = moved(before, after, "accepted");
	(void)json_object_set_new(rates, "events_per_commit",
	                          commits > 0 ? json_real(events / commits) : json_null());
	return rates;
}

void
rates_print(const json_t *rates)
{
	(void)printf("each second:");
	for (size_t i = 0; i < COUNT(keys); i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "%s_per_second", keys[i]);
		(void)printf("%s %.1f %s", i == 0 ? "" : ",",
		             json_real_value(json_object_get(rates, name)), keys[i]);
	}
	const json_t *events = json_object_get(rates, "events_per_commit");
	if (json_is_real(events)) {
		(void)printf("; %.1f events a commit", json_real_value(events));
	}
	(void)putchar('\n');
}
