/* doctor: looks at everything that a service needs, and tells for each thing that is wrong what to do. Changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/cli/examination.h"
#include "receiver/cli/table.h"
#include "receiver/store/inspection.h"

/* A path, or a text that was cut, need not be UTF-8, as JSON must. Takes NULL. */
static void
make_utf8(char *text)
{
	struct span rest = span_of(text);
	for (size_t good; (good = utf8_valid_prefix(rest)) < rest.size;) {
		text += good;
		*text++ = '?';
		rest = span_after(rest, good + 1);
	}
}

static void PRINTF(5, 0)
	add_row(struct examination *examination, const char *check, const char *result,
                const char *remedy, const char *format, va_list arguments)
{
	char message[4096];
	(void)vsnprintf(message, sizeof(message), format, arguments);
	char *advice = memory_text(remedy);
	make_utf8(message);
	make_utf8(advice);
	json_t *row = json_pack("{s:s, s:s, s:s, s:s?}", "check", check, "result", result,
	                        "message", message, "remedy", advice);
	ALWAYS(row != NULL && json_array_append_new(examination->rows, row) == 0, "doctor-row");
	free(advice);
}

void
found_good(struct examination *examination, const char *check, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add_row(examination, check, "ok", NULL, format, arguments);
	va_end(arguments);
}

void
found_note(struct examination *examination, const char *check, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add_row(examination, check, "note", NULL, format, arguments);
	va_end(arguments);
}

void
found_wrong(struct examination *examination, const char *check, const char *remedy,
            const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	examination->findings++;
	add_row(examination, check, "finding", remedy, format, arguments);
	va_end(arguments);
}

/* Whether all that is wrong is that this shell does not have what the service's environment has. */
static bool
only_unseen(const char *report)
{
	size_t errors = 0;
	size_t unseen = 0;
	for (const char *at = report; (at = strstr(at, ": error: ")) != NULL; at++) {
		const char *end = strchr(at, '\n');
		struct span line = { at, end == NULL ? strlen(at) : (size_t)(end - at) };
		errors++;
		unseen += memmem(line.data, line.size, "the environment has no ", 23) != NULL ||
		                          memmem(line.data, line.size,
		                                 "$CREDENTIALS_DIRECTORY is not set", 33) != NULL
		                  ? 1
		                  : 0;
	}
	return errors > 0 && errors == unseen;
}

/* A configuration that cannot be used is looked at as far as it can be read. */
static struct config *
examine_config(struct examination *examination, const char *file)
{
	struct buffer report;
	struct buffer again;
	buffer_init(&report, 1024 * 1024);
	buffer_init(&again, 1024 * 1024);
	struct config *config = config_load(file, CONFIG_TO_SERVE, &report);
	buffer_byte(&report, '\0');
	if (config == NULL) {
		config = config_load(file, CONFIG_TO_READ, &again);
		if (config == NULL || !only_unseen(report.data)) {
			found_wrong(examination, "configuration",
			            "mend what is named; `hooklatch config check` looks again",
			            "%s", report.data);
		} else {
			found_note(examination, "configuration",
			           "%s: good but for secrets that only the service sees",
			           config->file);
		}
	} else if (report.size > 1) {
		found_note(examination, "configuration", "%s", report.data);
	} else {
		found_good(examination, "configuration", "%s: %zu sources, %zu handlers",
		           config->file, config->source_count, config->handler_count);
	}
	buffer_finish(&report);
	buffer_finish(&again);
	return config;
}

static void
print_rows(const struct invocation *invocation, const struct examination *examination)
{
	static const struct column columns[] = {
		{ "RESULT", "result", 0 },
		{ "CHECK", "check", 0 },
		{ "MESSAGE", "message", 0 },
		{ "REMEDY", "remedy", 0 },
	};
	if (!invocation->terminal || has_option(invocation, "json") ||
	    has_option(invocation, "jsonl")) {
		(void)print_list(invocation, examination->rows, columns, COUNT(columns));
		return;
	}
	size_t index;
	json_t *row;
	json_array_foreach(examination->rows, index, row) {
		const char *result = json_string_value(json_object_get(row, "result"));
		const char *colour = result[0] == 'f'   ? "\033[31m"
		                     : result[0] == 'n' ? "\033[33m"
		                                        : "\033[32m";
		char *message = cell_text(json_object_get(row, "message"));
		(void)printf("%s%-8s%s %-14s %s\n", invocation->colour ? colour : "", result,
		             invocation->colour ? "\033[0m" : "",
		             json_string_value(json_object_get(row, "check")), message);
		free(message);
		const char *remedy = json_string_value(json_object_get(row, "remedy"));
		if (remedy != NULL) {
			(void)printf("%24sto mend it: %s\n", "", remedy);
		}
	}
}

int
run_doctor(struct invocation *invocation)
{
	struct examination examination = { .rows = json_array(),
		                           .now_ns = clock_wall_ns(),
		                           .whole = !has_option(invocation, "quick") };
	struct inspection_owner owner = { 0 };
	struct config *config = examine_config(&examination, invocation->config_file);
	if (config != NULL) {
		struct stat status;
		store_owner(config->store_path, &owner);
		examination.owner = stat(config->store_path, &status) == 0 ? status.st_uid : 0;
		examine_secrets(&examination, config);
		examine_certificates(&examination, config);
		examine_programs(&examination, config);
	}
	examine_clock(&examination);
	examine_libraries(&examination);
	if (config != NULL) {
		examine_limits(&examination, config, owner.pid);
		examine_disk(&examination, config);
		examine_store(&examination, config);
	}
	print_rows(invocation, &examination);
	if (examination.findings > 0) {
		say("%zu findings", examination.findings);
	}
	json_decref(examination.rows);
	config_release(config);
	return examination.findings > 0 ? EXIT_FINDINGS : EXIT_OK;
}
