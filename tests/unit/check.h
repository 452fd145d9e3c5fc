/* A frame for unit tests, all of it. A test is a sentence and a function; a program is a table of them:
 *
 *   static const struct check_test tests[] = { { "a token is taken once", taken_once } };
 *   int main(int argc, char **argv) { return check_main(argc, argv, tests, COUNT(tests)); }
 *
 * Each test is a line, "ok" or "FAIL"; the last line is `N passed, N failed`; exit 1 when any failed.
 * Chance comes from check_random(), whose seed is argv[1] or the system's; it is printed when a test fails. */
#ifndef HOOKLATCH_TESTS_UNIT_CHECK_H
#define HOOKLATCH_TESTS_UNIT_CHECK_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "receiver/base/bytes.h"
#include "receiver/base/random.h"

#define CHECK_TOLD_MOST 10 /* failures of one test that are told; the rest is counted */

/* A span in a static table, where SPAN() is no constant. */
#define TEXT(literal)                           \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}

struct check_test {
	const char *sentence;
	void (*run)(void);
};

static struct {
	uint64_t seed;
	uint64_t stream; /* another one for each test */
	unsigned failures;
} check;

/* Both return whether the condition held, for tests that cannot go on without it. CHECK_ROW tells which row of a table
 * or which input it was. */
#define CHECK(condition) \
	check_held((condition) || check_failed(#condition, __FILE__, __LINE__, NULL))
#define CHECK_ROW(condition, ...) \
	check_held((condition) || check_failed(#condition, __FILE__, __LINE__, __VA_ARGS__))

static UNUSED bool
check_held(bool held)
{
	return held;
}

static bool UNUSED PRINTF(4, 5)
	check_failed(const char *condition, const char *file, int line, const char *format, ...)
{
	if (check.failures++ < CHECK_TOLD_MOST) {
		(void)printf("  %s:%d: %s", file, line, condition);
		if (format != NULL) {
			va_list arguments;
			va_start(arguments, format);
			(void)printf(": ");
			(void)vprintf(format, arguments);
			va_end(arguments);
		}
		(void)printf("\n");
	}
	return false;
}

/* A generator that gives the same numbers again for the same seed and test. */
static UNUSED void
check_random(struct random *random)
{
	random_seed(random, check.seed ^ (check.stream * UINT64_C(0x9e3779b97f4a7c15)));
}

/* Bytes as a C literal, for messages; kept until the fourth call from now. */
static UNUSED const char *
check_quote(struct span text)
{
	static char kept[4][512];
	static unsigned next;
	char *out = kept[next++ % COUNT(kept)];
	size_t used = 0;
	out[used++] = '"';
	for (size_t i = 0; i < text.size && used + 16 < sizeof(kept[0]); i++) {
		unsigned char byte = (unsigned char)text.data[i];
		bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
		used += (size_t)snprintf(out + used, 8, plain ? "%c" : "\\x%02x", byte);
	}
	bool whole = text.size + 16 < sizeof(kept[0]);
	(void)snprintf(out + used, 8, whole ? "\"" : "\"…");
	return out;
}

static UNUSED int
check_main(int argc, char **argv, const struct check_test *tests, size_t count)
{
	random_secret(&check.seed, sizeof(check.seed));
	if (argc > 1) {
		check.seed = strtoull(argv[1], NULL, 0);
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	size_t failed = 0;
	for (size_t i = 0; i < count; i++) {
		check.failures = 0;
		check.stream = i + 1;
		tests[i].run();
		if (check.failures > CHECK_TOLD_MOST) {
			(void)printf("  and %u more\n", check.failures - CHECK_TOLD_MOST);
		}
		if (check.failures > 0) {
			(void)printf("  again with: %s %" PRIu64 "\n", argv[0], check.seed);
			failed++;
		}
		(void)printf("%s %s\n", check.failures == 0 ? "ok  " : "FAIL", tests[i].sentence);
	}
	(void)printf("%zu passed, %zu failed\n", count - failed, failed);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
