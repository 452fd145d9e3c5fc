#include "receiver/verify/presets.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/vectors.h"

static bool
says(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* RFC 6901; json_pointer.h cannot stand beside jansson.h. */
static bool
pointer_valid(struct span pointer)
{
	return pointer.size == 0 || pointer.data[0] == '/';
}

/* Texts of lines: each ends with a line feed, none is empty. */
static bool
are_lines(const char *text)
{
	size_t size = text == NULL ? 0 : strlen(text);
	return size > 0 && text[0] != '\n' && text[size - 1] == '\n' &&
	       strstr(text, "\n\n") == NULL;
}

static bool
is_name(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return size > 0 && name[size] == '\0';
}

static void
every_preset_says_what_an_operator_must_know(void)
{
	size_t count = 0;
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		count++;
		CHECK_ROW(is_name(preset->name), "%s", preset->name);
		CHECK_ROW(says(preset->title), "%s: title", preset->name);
		CHECK_ROW(preset->docs != NULL && strncmp(preset->docs, "https://", 8) == 0 &&
		                  strlen(preset->docs) > 12,
		          "%s: docs", preset->name);
		CHECK_ROW(says(preset->retries), "%s: retries", preset->name);
		CHECK_ROW(says(preset->redelivery), "%s: redelivery", preset->name);
		CHECK_ROW(says(preset->answers), "%s: answers", preset->name);
		CHECK_ROW(says(preset->secret), "%s: secret", preset->name);
		CHECK_ROW(are_lines(preset->steps), "%s: steps", preset->name);
		CHECK_ROW(preset->notes == NULL || are_lines(preset->notes), "%s: notes",
		          preset->name);
		CHECK_ROW(says(preset->sample), "%s: sample", preset->name);
		CHECK_ROW(preset->answer_ns >= 0 && preset->retry_window_ns >= 0 &&
		                  preset->body_limit >= 0,
		          "%s: numbers", preset->name);
		CHECK_ROW(preset->ack.body == NULL || preset->ack.body[0] == '\0' ||
		                  says(preset->ack.content_type),
		          "%s: ack", preset->name);
		CHECK_ROW(preset->ack.status == 0 ||
		                  (preset->ack.status >= 200 && preset->ack.status < 300),
		          "%s: ack", preset->name);
	}
	CHECK_ROW(count == 60, "%zu presets", count);
}

static void
no_name_stands_twice(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		CHECK_ROW(preset_find(preset->name) == preset, "%s", preset->name);
	}
	CHECK(preset_find("githu") == NULL && preset_find("") == NULL);
	CHECK(preset_find("GitHub") == NULL && preset_find("github ") == NULL);
	for (const struct challenge *row = challenges; row->name != NULL; row++) {
		CHECK_ROW(challenge_find(row->name) == row, "%s", row->name);
	}
	CHECK(challenge_find("") == NULL && challenge_find("slac") == NULL);
}

static void
what_there_can_be_no_preset_of_is_told_with_the_reason(void)
{
	size_t count = 0;
	for (const struct preset_refused *row = presets_refused; row->name != NULL; row++) {
		count++;
		CHECK_ROW(preset_find(row->name) == NULL, "%s", row->name);
		CHECK_ROW(says(row->reason), "%s", row->name);
	}
	CHECK(count >= 1);
}

/* --- endpoint checks --- */

static void
every_check_of_a_preset_is_a_row_and_every_row_is_used(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		CHECK_ROW(preset->challenge == NULL || challenge_find(preset->challenge) != NULL,
		          "%s: %s", preset->name, preset->challenge);
	}
	for (const struct challenge *row = challenges; row->name != NULL; row++) {
		bool used = false;
		for (const struct preset *preset = presets; preset->name != NULL; preset++) {
			used = used || (preset->challenge != NULL &&
			                strcmp(preset->challenge, row->name) == 0);
		}
		CHECK_ROW(used, "%s", row->name);
	}
}

static void
every_check_is_sound(void)
{
	for (const struct challenge *row = challenges; row->name != NULL; row++) {
		bool post = strcmp(row->method, "POST") == 0;
		CHECK_ROW(post || strcmp(row->method, "GET") == 0 ||
		                  strcmp(row->method, "HEAD") == 0 ||
		                  strcmp(row->method, "OPTIONS") == 0,
		          "%s", row->name);
		/* What comes with POST looks like an event: never before the signature. */
		CHECK_ROW(post == (row->proof == CHALLENGE_SIGNED), "%s", row->name);
		CHECK_ROW((row->mark == CHALLENGE_BY_METHOD) == (row->mark_name == NULL), "%s",
		          row->name);
		CHECK_ROW((row->proof == CHALLENGE_VERIFY_TOKEN) == (row->proof_name != NULL), "%s",
		          row->name);
		CHECK_ROW(row->reply != NULL && says(row->content_type) && row->status >= 200 &&
		                  row->status < 300,
		          "%s", row->name);
		/* Text of the sender as it came: text/plain, and no browser looks for more in it. */
		bool raw = strstr(row->reply, "{raw ") != NULL;
		CHECK_ROW(!raw || (strncmp(row->content_type, "text/plain", 10) == 0 &&
		                   row->fields != NULL &&
		                   strstr(row->fields, "X-Content-Type-Options: nosniff\r\n") !=
		                           NULL),
		          "%s", row->name);
		size_t size = row->fields == NULL ? 0 : strlen(row->fields);
		CHECK_ROW(size == 0 || (size > 2 && strcmp(row->fields + size - 2, "\r\n") == 0),
		          "%s", row->name);
		CHECK_ROW(row->visit == NULL || pointer_valid(span_of(row->visit)), "%s",
		          row->name);
	}
}

static void
a_source_brings_what_its_check_and_its_scheme_need(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		const struct challenge *row =
			preset->challenge == NULL ? NULL : challenge_find(preset->challenge);
		const struct scheme *scheme = &preset->scheme;
		CHECK_ROW((row != NULL && row->proof == CHALLENGE_VERIFY_TOKEN) ==
		                  ((preset->needs & PRESET_NEEDS_VERIFY_TOKEN) != 0),
		          "%s", preset->name);
		CHECK_ROW(row == NULL || row->proof != CHALLENGE_TOKEN ||
		                  scheme->algorithm == SCHEME_TOKEN,
		          "%s", preset->name);
		CHECK_ROW((scheme->signed_text != NULL && scheme_signs(scheme, SCHEME_URL)) ==
		                  ((preset->needs & PRESET_NEEDS_URL) != 0),
		          "%s", preset->name);
		CHECK_ROW((scheme->signed_text != NULL &&
		           scheme_signs(scheme, SCHEME_WEBHOOK_ID)) ==
		                  ((preset->needs & PRESET_NEEDS_WEBHOOK_ID) != 0),
		          "%s", preset->name);
		CHECK_ROW((scheme->algorithm == SCHEME_SNS) ==
		                  ((preset->needs & PRESET_NEEDS_TOPICS) != 0),
		          "%s", preset->name);
		CHECK_ROW((scheme->algorithm == SCHEME_JWT) ==
		                  ((preset->needs & PRESET_NEEDS_CLIENT) != 0),
		          "%s", preset->name);
		CHECK_ROW((preset->needs & PRESET_TOKEN_NAME) == 0 ||
		                  scheme->algorithm == SCHEME_TOKEN,
		          "%s", preset->name);
		CHECK_ROW(preset->fresh.bytes == 0 || scheme_has_secrets(scheme), "%s",
		          preset->name);
	}
}

/* --- schemes --- */

static bool
is_value_sound(const struct scheme_value *value)
{
	switch (value->from) {
	case SCHEME_FROM_HEADER:
	case SCHEME_FROM_FORM:
	case SCHEME_CONSTANT: return says(value->name);
	case SCHEME_FROM_JSON: return says(value->name) && pointer_valid(span_of(value->name));
	case SCHEME_FROM_PARTS:
		for (size_t i = 0; i < value->part_count; i++) {
			if (!says(value->parts[i]) || (value->parts[i][0] == '/' &&
			                               !pointer_valid(span_of(value->parts[i])))) {
				return false;
			}
		}
		return value->part_count > 1 && value->part_count <= SCHEME_PARTS_MOST;
	case SCHEME_NOWHERE:
	case SCHEME_FROM_SIGNATURE:
	case SCHEME_GENERATED: break;
	}
	return value->name == NULL && value->part_count == 0;
}

static bool
signs_template(const struct scheme *scheme)
{
	switch (scheme->algorithm) {
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_ED25519:
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_RSA_SHA256: return true;
	case SCHEME_TOKEN:
	case SCHEME_ITEMS:
	case SCHEME_SNS:
	case SCHEME_JWT: break;
	}
	return false;
}

/* What config/check_source.c asks of `provider: hmac` holds for our own rows too. */
static void
every_scheme_is_sound(void)
{
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		const struct scheme *scheme = &preset->scheme;
		struct span wrong = { 0 };
		CHECK_ROW(signs_template(scheme) == (scheme->signed_text != NULL), "%s",
		          preset->name);
		CHECK_ROW(scheme->signed_text == NULL ||
		                  scheme_template_valid(span_of(scheme->signed_text), &wrong),
		          "%s: %s", preset->name, check_quote(wrong));
		CHECK_ROW(!signs_template(scheme) || (scheme->signature_header != NULL) !=
		                                             (scheme->signature_json != NULL),
		          "%s", preset->name);
		CHECK_ROW(is_value_sound(&scheme->id) && is_value_sound(&scheme->type) &&
		                  is_value_sound(&scheme->timestamp) &&
		                  is_value_sound(&scheme->events.id) &&
		                  is_value_sound(&scheme->events.type),
		          "%s", preset->name);
		CHECK_ROW((scheme->id.from != SCHEME_NOWHERE) !=
		                  (scheme->events.id.from != SCHEME_NOWHERE),
		          "%s", preset->name);
		CHECK_ROW((scheme->events.array != NULL) ==
		                  (scheme->events.id.from != SCHEME_NOWHERE),
		          "%s", preset->name);
		CHECK_ROW(scheme->events.array == NULL ||
		                  pointer_valid(span_of(scheme->events.array)),
		          "%s", preset->name);
		CHECK_ROW(scheme_time_signed(scheme) == (scheme->tolerance_ns > 0), "%s",
		          preset->name);
		CHECK_ROW(scheme->signed_text == NULL || !scheme_signs(scheme, SCHEME_TIMESTAMP) ||
		                  scheme->timestamp.from != SCHEME_NOWHERE,
		          "%s", preset->name);
		CHECK_ROW(scheme->signed_text == NULL || !scheme_signs(scheme, SCHEME_ID) ||
		                  scheme->id.from == SCHEME_FROM_HEADER,
		          "%s", preset->name);
		CHECK_ROW((scheme->timestamp.from == SCHEME_FROM_SIGNATURE) ==
		                  (scheme->timestamp_prefix != NULL && scheme->separator != '\0'),
		          "%s", preset->name);
		CHECK_ROW((scheme->family == NULL) == (scheme->other_family == NULL), "%s",
		          preset->name);
		bool certificate =
			scheme->certificate_header != NULL || scheme->certificate_json != NULL;
		CHECK_ROW(certificate == (scheme->certificate_hosts[0] != NULL) &&
		                  scheme->certificate_hosts[3] == NULL,
		          "%s", preset->name);
		CHECK_ROW((scheme->ignored_json == NULL) == (scheme->ignored_value == NULL), "%s",
		          preset->name);
	}
}

/* --- the survey --- */

static const json_t *
find_provider(const json_t *providers, const char *name)
{
	for (size_t i = 0; i < json_array_size(providers); i++) {
		const json_t *provider = json_array_get(providers, i);
		if (strcmp(vectors_text(provider, "name"), name) == 0) {
			return provider;
		}
	}
	return NULL;
}

static void
every_preset_has_vectors_and_every_vector_a_preset(void)
{
	json_t *file = vectors_load();
	const json_t *providers = json_object_get(file, "providers");
	size_t count = 0;
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		const json_t *provider = find_provider(providers, preset->name);
		const json_t *vectors = json_object_get(provider, "vectors");
		size_t good = 0;
		size_t refused = 0;
		bool checked = preset->challenge == NULL;
		for (size_t i = 0; i < json_array_size(vectors); i++) {
			const char *word = vectors_text(json_array_get(vectors, i), "result");
			good += strcmp(word, "accepted") == 0 ? 1 : 0;
			refused += strncmp(word, "signature_", 10) == 0 ? 1 : 0;
			checked = checked || strcmp(word, "challenge") == 0;
		}
		CHECK_ROW(good > 0 && refused > 0, "%s: %zu good, %zu refused", preset->name, good,
		          refused);
		CHECK_ROW(checked, "%s: no vector of its endpoint check", preset->name);
		count++;
	}
	for (size_t i = 0; i < json_array_size(providers); i++) {
		const char *name = vectors_text(json_array_get(providers, i), "name");
		CHECK_ROW(preset_find(name) != NULL, "%s", name);
	}
	CHECK_ROW(json_array_size(providers) == count, "%zu", json_array_size(providers));
	json_decref(file);
}

static bool
same_text(const char *a, const char *b)
{
	return span_equal(span_of(a), span_of(b));
}

static bool
same_value(const struct scheme_value *a, const struct scheme_value *b)
{
	bool same =
		a->from == b->from && same_text(a->name, b->name) && a->part_count == b->part_count;
	for (size_t i = 0; same && i < a->part_count; i++) {
		same = same_text(a->parts[i], b->parts[i]);
	}
	return same;
}

static void
rows_say_what_the_survey_says(void)
{
	json_t *file = vectors_load();
	const json_t *providers = json_object_get(file, "providers");
	size_t compared = 0;
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		const struct scheme *row = &preset->scheme;
		struct scheme survey;
		if (!vectors_scheme(find_provider(providers, preset->name), &survey)) {
			continue;
		}
		compared++;
		CHECK_ROW(same_text(row->signature_header, survey.signature_header) &&
		                  same_text(row->signature_json, survey.signature_json),
		          "%s", preset->name);
		CHECK_ROW(row->separator == survey.separator &&
		                  same_text(row->prefix, survey.prefix) &&
		                  same_text(row->timestamp_prefix, survey.timestamp_prefix),
		          "%s", preset->name);
		CHECK_ROW(row->algorithm == survey.algorithm && row->encoding == survey.encoding &&
		                  row->key == survey.key,
		          "%s", preset->name);
		CHECK_ROW(same_text(row->signed_text, survey.signed_text), "%s", preset->name);
		CHECK_ROW(row->unit == survey.unit && row->tolerance_ns == survey.tolerance_ns,
		          "%s", preset->name);
		CHECK_ROW(same_value(&row->timestamp, &survey.timestamp), "%s", preset->name);
		CHECK_ROW(same_value(&row->id, &survey.id), "%s", preset->name);
		CHECK_ROW(same_value(&row->type, &survey.type), "%s", preset->name);
		CHECK_ROW((row->events.array == NULL) == (survey.events.array == NULL) &&
		                  same_text(row->events.array, survey.events.array) &&
		                  same_value(&row->events.id, &survey.events.id) &&
		                  same_value(&row->events.type, &survey.events.type),
		          "%s", preset->name);
	}
	CHECK_ROW(compared == 49, "%zu", compared);
	json_decref(file);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "every preset says what an operator must know",
		  every_preset_says_what_an_operator_must_know },
		{ "no name stands twice", no_name_stands_twice },
		{ "what there can be no preset of is told with the reason",
		  what_there_can_be_no_preset_of_is_told_with_the_reason },
		{ "every check of a preset is a row and every row is used",
		  every_check_of_a_preset_is_a_row_and_every_row_is_used },
		{ "every check is sound", every_check_is_sound },
		{ "a source brings what its check and its scheme need",
		  a_source_brings_what_its_check_and_its_scheme_need },
		{ "every scheme is sound", every_scheme_is_sound },
		{ "every preset has vectors and every vector a preset",
		  every_preset_has_vectors_and_every_vector_a_preset },
		{ "rows say what the survey says", rows_say_what_the_survey_says },
	};
	return check_main(argc, argv, tests, COUNT(tests));
}
