#include "receiver/base/glob.h"

#include <string.h>

#include "receiver/base/clock.h"

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static void
patterns_match_as_promised(void)
{
	static const struct {
		struct span pattern;
		struct span text;
		bool matches;
	} rows[] = {
		{ TEXT(""), TEXT(""), true },
		{ TEXT(""), TEXT("a"), false },
		{ TEXT("*"), TEXT(""), true },
		{ TEXT("*"), TEXT("anything/at all"), true },
		{ TEXT("**"), TEXT("x"), true },
		{ TEXT("push"), TEXT("push"), true },
		{ TEXT("push"), TEXT("Push"), false },
		{ TEXT("push"), TEXT("pushed"), false },
		{ TEXT("pull_request*"), TEXT("pull_request_review"), true },
		{ TEXT("pull_request*"), TEXT("pull_request"), true },
		{ TEXT("pull_request*"), TEXT("pull_reques"), false },
		{ TEXT("github/*"), TEXT("github/a/b"), true },
		{ TEXT("*/push"), TEXT("a/b/push"), true },
		{ TEXT("*a*b"), TEXT("xaxbxab"), true },
		{ TEXT("*a*b"), TEXT("xaxbxa"), false },
		{ TEXT("a*a"), TEXT("a"), false },
		{ TEXT("a*a"), TEXT("aa"), true },
		{ TEXT("a?c"), TEXT("abc"), false },
		{ TEXT("a?c"), TEXT("a?c"), true },
		{ TEXT("[ab]"), TEXT("a"), false },
		{ TEXT("\\*"), TEXT("\\x"), true },
		{ TEXT("a\0*"), TEXT("a\0b"), true },
		{ TEXT("a\0*"), TEXT("ab"), false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool matches =
			glob_match(edge_copy(0, rows[i].pattern), edge_copy(1, rows[i].text));
		CHECK_ROW(matches == rows[i].matches, "%s on %s", check_quote(rows[i].pattern),
		          check_quote(rows[i].text));
	}
}

/* The definition, word for word; at most 8 stars over 12 bytes. */
static bool
matches_by_definition(struct span pattern, struct span text)
{
	if (pattern.size == 0) {
		return text.size == 0;
	}
	if (pattern.data[0] == '*') {
		for (size_t skip = 0; skip <= text.size; skip++) {
			if (matches_by_definition(span_after(pattern, 1), span_after(text, skip))) {
				return true;
			}
		}
		return false;
	}
	return text.size > 0 && pattern.data[0] == text.data[0] &&
	       matches_by_definition(span_after(pattern, 1), span_after(text, 1));
}

static struct span
random_text(struct random *random, unsigned place, const char *alphabet, int64_t most)
{
	char text[32];
	size_t size = (size_t)random_up_to(random, most);
	for (size_t i = 0; i < size; i++) {
		text[i] = alphabet[random_up_to(random, (int64_t)strlen(alphabet) - 1)];
	}
	return edge_copy(place, (struct span){ text, size });
}

static void
matching_agrees_with_its_definition(void)
{
	struct random random;
	check_random(&random);
	unsigned matched = 0;
	for (int i = 0; i < 300000; i++) {
		struct span pattern = random_text(&random, 0, "ab**", 8);
		struct span text = random_text(&random, 1, "ab", 12);
		bool wanted = matches_by_definition(pattern, text);
		matched += wanted ? 1 : 0;
		if (!CHECK_ROW(glob_match(pattern, text) == wanted, "%s on %s",
		               check_quote(pattern), check_quote(text))) {
			return;
		}
	}
	CHECK(matched > 10000); /* or it compared nothing */
}

static void
many_stars_take_no_exponential_time(void)
{
	enum {
		SIZE = 20000
	};
	static char text[SIZE];
	memset(text, 'a', SIZE);
	int64_t start = clock_boot_ns();
	CHECK(!glob_match(SPAN("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"), (struct span){ text, SIZE }));
	CHECK(clock_boot_ns() - start < 2 * NS_PER_S);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a star matches anything, every other byte itself", patterns_match_as_promised },
		{ "matching agrees with its definition", matching_agrees_with_its_definition },
		{ "many stars take no exponential time", many_stars_take_no_exponential_time },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
