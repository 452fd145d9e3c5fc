#include "receiver/verify/secret.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static void
secrets_are_read_in_their_form(void)
{
	static const struct {
		enum scheme_key kind;
		struct span text;
		struct span key; /* none: refused */
	} rows[] = {
		{ SCHEME_KEY_RAW, TEXT("any bytes \xff"), TEXT("any bytes \xff") },
		{ SCHEME_KEY_RAW, TEXT(""), TEXT("") },
		{ SCHEME_KEY_HEX, TEXT("00ffAb"), TEXT("\0\xff\xab") },
		{ SCHEME_KEY_HEX, TEXT("00f"), TEXT("") },
		{ SCHEME_KEY_HEX, TEXT("0g"), TEXT("") },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("whsec_a2V5"), TEXT("key") },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("a2V5"), TEXT("key") },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("whsec_"), TEXT("") },
		{ SCHEME_KEY_BASE64_AFTER_WHSEC, TEXT("whsec_*"), TEXT("") },
		{ SCHEME_KEY_BASIC, TEXT("user:password"), TEXT("user:password") },
		{ SCHEME_KEY_BASIC, TEXT("password"), TEXT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct secrets secrets = { .count = 0 };
		struct error err;
		bool good =
			secrets_add(&secrets, rows[i].kind, edge_copy(0, rows[i].text), 0, &err);
		CHECK_ROW(good == (rows[i].key.size > 0) && secrets.count == (good ? 1 : 0), "%s",
		          check_quote(rows[i].text));
		CHECK_ROW(good || err.kind == ERROR_INVALID, "%s", check_quote(rows[i].text));
		CHECK_ROW(!good || (secrets.items[0].size == rows[i].key.size &&
		                    memcmp(secrets.items[0].key, rows[i].key.data,
		                           rows[i].key.size) == 0),
		          "%s", check_quote(rows[i].text));
		secrets_finish(&secrets);
	}
}

static void
a_secret_has_a_most(void)
{
	static char text[SECRET_MOST_BYTES + 1];
	struct secrets secrets = { .count = 0 };
	struct error err;
	memset(text, 'a', sizeof(text));
	CHECK(secrets_add(&secrets, SCHEME_KEY_RAW, (struct span){ text, SECRET_MOST_BYTES }, 0,
	                  &err));
	CHECK(!secrets_add(&secrets, SCHEME_KEY_RAW, (struct span){ text, sizeof(text) }, 0,
	                   &err) &&
	      err.kind == ERROR_INVALID);
	secrets_finish(&secrets);
}

static void
a_source_has_at_most_sixteen(void)
{
	struct secrets secrets = { .count = 0 };
	struct error err;
	for (size_t i = 0; i < SECRETS_MOST; i++) {
		CHECK(secrets_add(&secrets, SCHEME_KEY_RAW, SPAN("key"), 0, &err));
	}
	CHECK(!secrets_add(&secrets, SCHEME_KEY_RAW, SPAN("key"), 0, &err) &&
	      err.kind == ERROR_LIMIT && secrets.count == SECRETS_MOST);
	secrets_finish(&secrets);
}

static void
finishing_wipes_and_is_counted(void)
{
	struct secrets secrets = { .count = 0 };
	struct error err;
	uint_fast64_t before = secrets_wiped();
	secrets_finish(&secrets);
	CHECK(secrets_wiped() == before);
	CHECK(secrets_add(&secrets, SCHEME_KEY_RAW, SPAN("key"), 0, &err));
	secrets_finish(&secrets);
	CHECK(secrets.count == 0 && secrets_wiped() == before + 1);
}

static void
a_secret_lives_until_its_time(void)
{
	struct secret for_ever = { .until_ns = 0 };
	struct secret until = { .until_ns = 1000 };
	CHECK(secret_live(&for_ever, INT64_MAX));
	CHECK(secret_live(&until, 999) && !secret_live(&until, 1000));
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "secrets are read in their form", secrets_are_read_in_their_form },
		{ "a secret has a most", a_secret_has_a_most },
		{ "a source has at most sixteen", a_source_has_at_most_sixteen },
		{ "finishing wipes, and is counted", finishing_wipes_and_is_counted },
		{ "a secret lives until its time", a_secret_lives_until_its_time },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
