/* providers [NAME] */
#include <stdio.h>
#include <stdlib.h>

#include "receiver/base/units.h"
#include "receiver/cli/command.h"
#include "receiver/cli/table.h"
#include "receiver/verify/presets.h"

static const char *
value_text(const struct scheme_value *value)
{
	return value->name == NULL ? "-" : value->name;
}

static json_t *
row_of(const struct preset *preset)
{
	const struct scheme *scheme = &preset->scheme;
	bool time_signed =
		scheme->timestamp.from != SCHEME_NOWHERE && scheme_signs(scheme, SCHEME_TIMESTAMP);
	bool id_signed = scheme->id.from == SCHEME_FROM_JSON ? scheme_signs(scheme, SCHEME_BODY)
	                                                     : scheme_signs(scheme, SCHEME_ID);
	char window[32];
	units_duration_text(preset->retry_window_ns, window);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:s}", "name", preset->name,
	                 "title", preset->title, "signature_header", scheme->signature_header,
	                 "event_id", value_text(&scheme->id), "event_type",
	                 value_text(&scheme->type), "body_signed",
	                 scheme_signs(scheme, SCHEME_BODY) ? 1 : 0, "time_signed",
	                 time_signed ? 1 : 0, "id_signed", id_signed ? 1 : 0, "retries",
	                 preset->retry_window_ns == 0 ? "none" : window, "docs", preset->docs);
}

static json_t *
hmac_row(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:s}", "name", "hmac",
	                 "title", "any HMAC scheme, by its parameters", "signature_header", "yours",
	                 "event_id", "yours", "event_type", "yours", "body_signed", 1,
	                 "time_signed", 0, "id_signed", 0, "retries", "yours", "docs",
	                 "hooklatch.yaml(5)");
}

static void
print_steps(const char *lines)
{
	while (*lines != '\0') {
		const char *end = lines;
		while (*end != '\n') {
			end++;
		}
		(void)printf("  - %.*s\n", (int)(end - lines), lines);
		lines = end + 1;
	}
}

static int
print_preset(const struct invocation *invocation, const struct preset *preset)
{
	if (has_option(invocation, "json") || has_option(invocation, "jsonl")) {
		json_t *row = row_of(preset);
		print_json(row);
		json_decref(row);
		return EXIT_OK;
	}
	(void)printf("%s: %s\n%s\n\nAt the provider:\n", preset->name, preset->title, preset->docs);
	print_steps(preset->steps);
	(void)printf(
		"\nSignature: %s\nSecret: %s\nEvent id: %s\nType: %s\nRetries: %s\nRedelivery: %s\n",
		preset->scheme.signature_header, preset->secret, value_text(&preset->scheme.id),
		value_text(&preset->scheme.type), preset->retries, preset->redelivery);
	(void)printf(
		"\nIn hooklatch.yaml:\n\n    sources:\n      %s:\n        path: /%s\n        provider: %s\n"
		"        secrets: [ { file: secrets/%s } ]\n",
		preset->name, preset->name, preset->name, preset->name);
	return EXIT_OK;
}

int
run_providers(struct invocation *invocation)
{
	static const struct column columns[] = { { "NAME", "name", 0 },
		                                 { "TITLE", "title", 48 },
		                                 { "ID", "event_id", 0 },
		                                 { "TYPE", "event_type", 0 },
		                                 { "BODY SIGNED", "body_signed", 0 },
		                                 { "TIME SIGNED", "time_signed", 0 },
		                                 { "ID SIGNED", "id_signed", 0 },
		                                 { "RETRIES", "retries", 0 } };
	if (invocation->argument_count > 1) {
		return usage_error(invocation, "one name at most");
	}
	if (invocation->argument_count == 1) {
		const struct preset *preset = preset_find(invocation->arguments[0]);
		if (preset == NULL) {
			complain("there is no preset \"%s\"; `hooklatch providers` lists them",
			         invocation->arguments[0]);
			return EXIT_NOTHING;
		}
		return print_preset(invocation, preset);
	}
	json_t *rows = json_array();
	for (const struct preset *preset = presets; preset->name != NULL; preset++) {
		(void)json_array_append_new(rows, row_of(preset));
	}
	(void)json_array_append_new(rows, hmac_row());
	int code = print_list(invocation, rows, columns, COUNT(columns));
	json_decref(rows);
	return code;
}
