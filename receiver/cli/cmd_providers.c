/* providers [NAME]: the table of presets; for one, how to register at it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/units.h"
#include "receiver/cli/block.h"
#include "receiver/cli/command.h"
#include "receiver/cli/table.h"

static json_t *
value_json(const struct scheme_value *value)
{
	struct buffer text;
	buffer_init(&text, 8192);
	switch (value->from) {
	case SCHEME_NOWHERE:
	case SCHEME_FROM_SIGNATURE: buffer_byte(&text, '-'); break;
	case SCHEME_FROM_HEADER:
	case SCHEME_FROM_JSON: buffer_text(&text, value->name); break;
	case SCHEME_FROM_FORM: buffer_format(&text, "form %s", value->name); break;
	case SCHEME_CONSTANT: buffer_format(&text, "\"%s\"", value->name); break;
	case SCHEME_GENERATED: buffer_text(&text, "none (generated)"); break;
	case SCHEME_FROM_PARTS:
		for (size_t i = 0; i < value->part_count; i++) {
			buffer_format(&text, "%s%s", i == 0 ? "" : " + ", value->parts[i]);
		}
		break;
	}
	json_t *json = json_stringn(text.data, text.size);
	buffer_finish(&text);
	return json;
}

static const char *
scheme_word(const struct scheme *scheme)
{
	switch (scheme->algorithm) {
	case SCHEME_SHA256: return "HMAC-SHA256";
	case SCHEME_SHA1: return "HMAC-SHA1";
	case SCHEME_ED25519: return "Ed25519";
	case SCHEME_ECDSA_P256_SHA256: return "ECDSA P-256";
	case SCHEME_RSA_SHA256: return "RSA, certificate";
	case SCHEME_TOKEN: return "token";
	case SCHEME_ITEMS: return "HMAC-SHA256, each item";
	case SCHEME_SNS: return "RSA, certificate";
	case SCHEME_JWT: return "JWT ES256";
	}
	return "";
}

static const char *
signature_place(const struct scheme *scheme)
{
	return scheme->signature_header != NULL  ? scheme->signature_header
	       : scheme->signature_json != NULL  ? scheme->signature_json
	       : scheme->algorithm == SCHEME_SNS ? "/Signature"
	                                         : "hmacSignature";
}

static json_t *
row_of(const struct preset *preset)
{
	const struct scheme *scheme = &preset->scheme;
	bool several = scheme->events.array != NULL;
	char window[32];
	units_duration_text(preset->retry_window_ns, window);
	json_t *row =
		json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:b, s:s?, s:s, s:s}",
	                  "name", preset->name, "title", preset->title, "scheme",
	                  scheme_word(scheme), "signature_header", signature_place(scheme),
	                  "event_id", value_json(several ? &scheme->events.id : &scheme->id),
	                  "event_type", value_json(several ? &scheme->events.type : &scheme->type),
	                  "body_signed", scheme_body_signed(scheme) ? 1 : 0, "time_signed",
	                  scheme_time_signed(scheme) ? 1 : 0, "id_signed",
	                  scheme_id_signed(scheme) ? 1 : 0, "several_events", several ? 1 : 0,
	                  "challenge", preset->challenge, "retries",
	                  preset->retry_window_ns == 0 ? "none" : window, "docs", preset->docs);
	(void)json_object_set_new(row, "tolerance_seconds",
	                          scheme->tolerance_ns == 0
	                                  ? json_null()
	                                  : json_integer(scheme->tolerance_ns / NS_PER_S));
	(void)json_object_set_new(row, "body_limit",
	                          preset->body_limit == 0 ? json_null()
	                                                  : json_integer(preset->body_limit));
	(void)json_object_set_new(row, "answer_seconds",
	                          preset->answer_ns == 0
	                                  ? json_null()
	                                  : json_integer(preset->answer_ns / NS_PER_S));
	return row;
}

static json_t *
hmac_row(void)
{
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:n, s:s, s:s, s:n, s:n, s:n}",
		"name", "hmac", "title", "any other scheme, by its parameters", "scheme", "yours",
		"signature_header", "yours", "event_id", "yours", "event_type", "yours",
		"body_signed", 1, "time_signed", 0, "id_signed", 0, "several_events", 0,
		"challenge", "retries", "yours", "docs", "hooklatch.yaml(5)", "tolerance_seconds",
		"body_limit", "answer_seconds");
}

static void
print_lines(const char *title, const char *lines)
{
	if (lines == NULL) {
		return;
	}
	(void)printf("\n%s:\n", title);
	while (*lines != '\0') {
		const char *end = strchrnul(lines, '\n');
		(void)printf("  - %.*s\n", (int)(end - lines), lines);
		lines = *end == '\0' ? end : end + 1;
	}
}

static void
print_value(const char *title, json_t *value)
{
	(void)printf("%-14s%s\n", title, json_string_value(value));
	json_decref(value);
}

static const char *
yes(bool flag)
{
	return flag ? "yes" : "NO";
}

/* What the provider's dashboard shows for each answer of ours. */
static void
print_answers(const struct preset *preset)
{
	(void)printf("\nWhat %s makes of our answers:\n  %s\n", preset->name, preset->answers);
	if (preset->ack.body == NULL) {
		(void)printf(
			"  Its log of deliveries shows our status and the word in the body: %d "
			"accepted, duplicate, revived, ignored;\n",
			preset->ack.status == 0 ? 200 : preset->ack.status);
	} else {
		(void)printf(
			"  It wants its own form: %d with %s; the word is in the header Hooklatch-Result alone;\n",
			preset->ack.status == 0 ? 200 : preset->ack.status,
			preset->ack.body[0] == '\0' ? "no body" : preset->ack.body);
	}
	(void)printf(
		"  401 signature_* or timestamp_*, 400 malformed, 413 body_too_large, 503 store_unavailable or "
		"overloaded%s.\n",
		preset->scheme.certificate_header != NULL ||
				preset->scheme.certificate_json != NULL ||
				preset->scheme.algorithm == SCHEME_JWT
			? " or key_unavailable"
			: "");
}

static void
print_preset(const struct preset *preset)
{
	const struct scheme *scheme = &preset->scheme;
	bool several = scheme->events.array != NULL;
	char window[32];
	(void)printf("%s: %s\n%s\n", preset->name, preset->title, preset->docs);
	print_lines("At the provider", preset->steps);
	(void)printf("\n%-14s%s in %s\n", "Signature:", scheme_word(scheme),
	             signature_place(scheme));
	(void)printf("%-14sbody %s, time %s, event id %s\n",
	             "It covers:", yes(scheme_body_signed(scheme)), yes(scheme_time_signed(scheme)),
	             yes(scheme_id_signed(scheme)));
	if (scheme_time_signed(scheme)) {
		units_duration_text(scheme->tolerance_ns, window);
		(void)printf("%-14s%s old or ahead at most\n", "Time:", window);
	}
	(void)printf("%-14s%s\n", "Secret:", preset->secret);
	print_value("Event id:", value_json(several ? &scheme->events.id : &scheme->id));
	print_value("Type:", value_json(several ? &scheme->events.type : &scheme->type));
	if (several) {
		(void)printf("%-14sa request holds several, in the array %s\n", "Events:",
		             scheme->events.array[0] == '\0' ? "that is the body"
		                                             : scheme->events.array);
	}
	(void)printf("%-14s%s\n%-14s%s\n", "Retries:", preset->retries,
	             "Redelivery:", preset->redelivery);
	if (preset->challenge != NULL) {
		(void)printf("%-14sthe provider checks the address; hooklatch answers (%s)\n",
		             "Check:", preset->challenge);
	}
	print_answers(preset);
	print_lines("To know", preset->notes);
	(void)printf("\nIn hooklatch.yaml (or: hooklatch init %s):\n\n", preset->name);
	struct buffer block;
	buffer_init(&block, 65536);
	buffer_text(&block, "    sources:\n");
	block_write(preset, preset->name, 6, &block);
	buffer_text(&block, "    handlers:\n      note:\n        on: [ ");
	buffer_format(&block, "%s/* ]\n        log: {}\n", preset->name);
	(void)fwrite(block.data, 1, block.size, stdout);
	buffer_finish(&block);
}

/* The row as JSON, where that is asked for. */
static bool
print_row(const struct invocation *invocation, json_t *row)
{
	bool line = has_option(invocation, "jsonl");
	bool wanted = line || has_option(invocation, "json");
	if (line) {
		put_json(row, JSON_COMPACT);
		(void)putchar('\n');
	} else if (wanted) {
		print_json(row);
	}
	json_decref(row);
	return wanted;
}

static int
show_hmac(const struct invocation *invocation)
{
	if (!print_row(invocation, hmac_row())) {
		(void)puts(
			"hmac: any other scheme, by its parameters\n"
			"What is signed, and how, is written into the source: `signature`, `timestamp`, `event_id`,\n"
			"`event_type`, `events`, `challenge` (hooklatch.yaml(5) tells each).\n\n"
			"    sources:\n"
			"      billing:\n"
			"        path: /billing\n"
			"        provider: hmac\n"
			"        signature: { header: X-Billing-Signature, prefix: \"sha256=\", signed: \"{timestamp}.{body}\" }\n"
			"        timestamp: { header: X-Billing-Timestamp }\n"
			"        event_id: { header: X-Billing-Id }\n"
			"        event_type: { json: /type }\n"
			"        secrets: [ { file: secrets/billing } ]");
	}
	return EXIT_OK;
}

static int
show_one(const struct invocation *invocation, const char *name)
{
	const struct preset *preset = preset_find(name);
	if (strcmp(name, "hmac") == 0) {
		return show_hmac(invocation);
	}
	if (preset == NULL) {
		for (const struct preset_refused *row = presets_refused; row->name != NULL; row++) {
			if (strcmp(row->name, name) == 0) {
				complain("%s: %s", name, row->reason);
				return EXIT_NOTHING;
			}
		}
		complain_no_preset(name);
		return EXIT_NOTHING;
	}
	if (!print_row(invocation, row_of(preset))) {
		print_preset(preset);
	}
	return EXIT_OK;
}

int
run_providers(struct invocation *invocation)
{
	static const struct column columns[] = { { "NAME", "name", 0 },
		                                 { "TITLE", "title", 40 },
		                                 { "SCHEME", "scheme", 0 },
		                                 { "ID", "event_id", 40 },
		                                 { "BODY SIGNED", "body_signed", 0 },
		                                 { "TIME SIGNED", "time_signed", 0 },
		                                 { "ID SIGNED", "id_signed", 0 },
		                                 { "RETRIES", "retries", 0 },
		                                 { "CHECK", "challenge", 0 } };
	if (invocation->argument_count > 1) {
		return usage_error(invocation, "one name at most");
	}
	if (invocation->argument_count == 1) {
		return show_one(invocation, invocation->arguments[0]);
	}
	json_t *rows = json_array();
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		(void)json_array_append_new(rows, row_of(preset));
	}
	(void)json_array_append_new(rows, hmac_row());
	int code = print_list(invocation, rows, columns, COUNT(columns));
	json_decref(rows);
	for (const struct preset_refused *row = presets_refused; row->name != NULL; row++) {
		say("%s is no preset: %s.", row->name, row->reason);
	}
	return code;
}
