#include "receiver/model/filter.h"

#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

#define NOW_NS (INT64_C(1795230584) * NS_PER_S)

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool
same_filter(const struct filter *a, const struct filter *b)
{
	return same_text(a->source, b->source) && same_text(a->type, b->type) &&
	       same_text(a->handler, b->handler) && same_text(a->error, b->error) &&
	       same_text(a->id, b->id) && a->states == b->states && a->since_ns == b->since_ns &&
	       a->until_ns == b->until_ns && a->limit == b->limit;
}

static bool
set(struct filter *filter, const char *name, const char *value)
{
	struct error err = { .kind = ERROR_NONE };
	bool good = filter_set(filter, name, value, NOW_NS, &err);
	CHECK_ROW(good == (err.kind == ERROR_NONE), "%s=%s", name, value);
	CHECK_ROW(good || (err.kind == ERROR_INVALID && strstr(err.text, name) != NULL),
	          "%s=%s: %s", name, value, err.text);
	return good;
}

static void
ages_become_times(void)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: refused */
	} rows[] = {
		{ "2h", NOW_NS - 7200 * NS_PER_S },
		{ "3d", NOW_NS - 259200 * NS_PER_S },
		{ "0s", NOW_NS },
		{ "1.5h", NOW_NS - 5400 * NS_PER_S },
		{ "2026-11-21T00:00:00Z", INT64_C(1795219200) * NS_PER_S },
		{ "2026-11-21", INT64_C(1795219200) * NS_PER_S },
		{ "yesterday", -1 },
		{ "2", -1 },
		{ "-2h", -1 },
		{ "", -1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct filter filter;
		filter_init(&filter);
		bool good =
			set(&filter, "since", rows[i].text) && set(&filter, "until", rows[i].text);
		CHECK_ROW(good == (rows[i].ns >= 0), "%s", rows[i].text);
		CHECK_ROW(!good || (filter.since_ns == rows[i].ns && filter.until_ns == rows[i].ns),
		          "%s: %" PRId64, rows[i].text, filter.since_ns);
		filter_finish(&filter);
	}
}

static void
an_age_may_be_longer_than_a_retention(void)
{
	struct filter filter;
	filter_init(&filter);
	CHECK(set(&filter, "since", "365d") &&
	      filter.since_ns == NOW_NS - INT64_C(365) * 86400 * NS_PER_S);
	filter_finish(&filter);
}

static void
states_are_words_with_commas(void)
{
	static const struct {
		const char *text;
		unsigned states; /* 0: refused */
	} rows[] = {
		{ "dead", 1U << DELIVERY_DEAD },
		{ "dead,pending", 1U << DELIVERY_DEAD | 1U << DELIVERY_PENDING },
		{ "pending,running,done,dead,discarded", 31 },
		{ "dead,dead", 1U << DELIVERY_DEAD },
		{ "Dead", 0 },
		{ "dead, pending", 0 },
		{ "dead;pending", 0 },
		{ "d*", 0 },
		{ ",dead", 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct filter filter;
		filter_init(&filter);
		bool good = set(&filter, "state", rows[i].text);
		CHECK_ROW(good == (rows[i].states != 0) &&
		                  (!good || filter.states == rows[i].states),
		          "%s: %x", rows[i].text, filter.states);
		filter_finish(&filter);
	}
}

/* "--state ''" names no state; it must not come to mean every one. */
static void
no_state_is_not_every_state(void)
{
	struct filter filter;
	filter_init(&filter);
	CHECK(!set(&filter, "state", ""));
	filter_finish(&filter);
}

static void
limits_and_names_are_checked(void)
{
	struct filter filter;
	filter_init(&filter);
	CHECK(set(&filter, "limit", "1") && filter.limit == 1);
	CHECK(set(&filter, "limit", "1000000") && filter.limit == 1000000);
	CHECK(!set(&filter, "limit", "0") && !set(&filter, "limit", "1000001"));
	CHECK(!set(&filter, "limit", "-1") && !set(&filter, "limit", "ten"));
	CHECK(!set(&filter, "Source", "github") && !set(&filter, "cursor", "1"));
	CHECK(set(&filter, "source", "a") && set(&filter, "source", "b*"));
	CHECK(strcmp(filter.source, "b*") == 0);
	filter_finish(&filter);
	for (size_t i = 0; filter_names[i] != NULL; i++) { /* the list is what filter_set() takes */
		const char *value = strcmp(filter_names[i], "state") == 0   ? "dead"
		                    : strcmp(filter_names[i], "limit") == 0 ? "7"
		                                                            : "2026-01-01";
		CHECK_ROW(set(&filter, filter_names[i], value), "%s", filter_names[i]);
	}
	filter_finish(&filter);
}

static void
an_empty_filter_says_nothing_but_limit_and_until(void)
{
	static const char *const narrowing[] = { "source", "type",  "handler", "state",
		                                 "id",     "since", "error" };
	struct filter filter;
	filter_init(&filter);
	CHECK(filter_empty(&filter));
	CHECK(set(&filter, "limit", "7") && set(&filter, "until", "2h") && filter_empty(&filter));
	filter_finish(&filter);
	for (size_t i = 0; i < COUNT(narrowing); i++) {
		const char *value = strcmp(narrowing[i], "state") == 0   ? "dead"
		                    : strcmp(narrowing[i], "since") == 0 ? "2h"
		                                                         : "x";
		CHECK(set(&filter, narrowing[i], value));
		CHECK_ROW(!filter_empty(&filter), "%s", narrowing[i]);
		filter_finish(&filter);
	}
}

/* --- there and back --- */

static char *
random_text(struct random *random)
{
	if (random_up_to(random, 1) == 0) {
		return NULL;
	}
	size_t size = (size_t)random_up_to(random, 60);
	char *text = memory_need(size + 1);
	for (size_t i = 0; i < size; i++) {
		text[i] = (char)(unsigned char)(1 + random_up_to(random, 254));
	}
	return text;
}

static int64_t
random_time(struct random *random)
{
	return random_up_to(random, 1) == 0 ? 0
	                                    : (random_up_to(random, INT64_C(4000000000)) * 1000000 +
	                                       random_up_to(random, 999999) + 1) *
	                                              NS_PER_US;
}

static struct filter
random_filter(struct random *random)
{
	return (struct filter){ .source = random_text(random),
		                .type = random_text(random),
		                .handler = random_text(random),
		                .error = random_text(random),
		                .id = random_text(random),
		                .states = (unsigned)random_up_to(random, 31),
		                .since_ns = random_time(random),
		                .until_ns = random_time(random),
		                .limit = random_up_to(random, 1) == 0
		                                 ? 0
		                                 : 1 + random_up_to(random, 999999) };
}

static void
a_query_reads_as_the_filter_it_was(void)
{
	struct random random;
	check_random(&random);
	for (int round = 0; round < 5000 && check.failures == 0; round++) {
		struct filter filter = random_filter(&random);
		struct filter again;
		struct buffer query;
		struct error err = { .text = "" };
		buffer_init(&query, 65536);
		filter_init(&again);
		filter_query(&filter, &query);
		CHECK_ROW(filter_parse_query(&again, edge_copy(0, buffer_view(&query)),
		                             random_time(&random), &err) &&
		                  same_filter(&filter, &again),
		          "%s: %s", check_quote(buffer_view(&query)), err.text);
		buffer_finish(&query);
		filter_finish(&filter);
		filter_finish(&again);
	}
}

static void
a_query_is_read_as_it_stands(void)
{
	struct filter filter;
	struct error err;
	filter_init(&filter);
	CHECK(filter_parse_query(&filter,
	                         SPAN("cursor=%31&source=a%26b%3Dc+d&&state=dead,done&limit=5&x"),
	                         NOW_NS, &err));
	CHECK(same_text(filter.source, "a&b=c+d"));
	CHECK(filter.states == (1U << DELIVERY_DEAD | 1U << DELIVERY_DONE) && filter.limit == 5);
	filter_finish(&filter);
	static const struct span wrong[] = { TEXT("source=%4"),   TEXT("source=%zz"),
		                             TEXT("state=none"),  TEXT("since=never"),
		                             TEXT("limit=0"),     TEXT("limit"),
		                             TEXT("a=b&limit=x"), TEXT("%=1") };
	for (size_t i = 0; i < COUNT(wrong); i++) {
		err.kind = ERROR_NONE;
		CHECK_ROW(!filter_parse_query(&filter, edge_copy(0, wrong[i]), NOW_NS, &err) &&
		                  err.kind == ERROR_INVALID,
		          "%s", check_quote(wrong[i]));
		filter_finish(&filter);
	}
}

/* What /bin/sh makes of `options`, each word with a NUL behind it. */
static void
shell_words(const char *options, struct buffer *words)
{
	struct buffer command;
	char data[4096];
	size_t got;
	buffer_init(&command, 65536);
	buffer_format(&command, "printf '%%s\\0'%s", options);
	char *text = buffer_steal(&command);
	FILE *shell = popen(text, "r"); /* NOLINT(cert-env33-c): that is what is tested */
	ALWAYS(shell != NULL, "test-shell");
	while ((got = fread(data, 1, sizeof(data), shell)) > 0) {
		buffer_append(words, data, got);
	}
	CHECK_ROW(pclose(shell) == 0, "%s", text);
	free(text);
}

/* The words that a shell makes of the options are the filter again. */
static void
options_can_be_pasted_into_a_shell(void)
{
	struct random random;
	check_random(&random);
	for (int round = 0; round < 200 && check.failures == 0; round++) {
		struct filter filter = random_filter(&random);
		struct filter again;
		struct buffer options;
		struct buffer words;
		buffer_init(&options, 65536);
		buffer_init(&words, 65536);
		filter_init(&again);
		filter.limit = 0; /* of a list; a replay has none */
		filter.until_ns = NOW_NS;
		filter_options(&filter, &options);
		char *text = buffer_steal(&options);
		shell_words(text, &words);
		const char *end = words.data + words.size;
		for (const char *name = words.data; name < end;) {
			const char *value = name + strlen(name) + 1;
			if (!CHECK_ROW(value < end && strncmp(name, "--", 2) == 0 &&
			                       set(&again, name + 2, value),
			               "%s", text)) {
				break;
			}
			name = value + strlen(value) + 1;
		}
		CHECK_ROW(same_filter(&filter, &again), "%s", text);
		free(text);
		buffer_finish(&words);
		filter_finish(&filter);
		filter_finish(&again);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "ages become times", ages_become_times },
		{ "an age may be longer than a retention", an_age_may_be_longer_than_a_retention },
		{ "states are words with commas", states_are_words_with_commas },
		{ "no state is not every state", no_state_is_not_every_state },
		{ "limits and names are checked", limits_and_names_are_checked },
		{ "an empty filter says nothing but limit and until",
		  an_empty_filter_says_nothing_but_limit_and_until },
		{ "a query reads as the filter it was", a_query_reads_as_the_filter_it_was },
		{ "a query is read as it stands", a_query_is_read_as_it_stands },
		{ "options can be pasted into a shell", options_can_be_pasted_into_a_shell },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
