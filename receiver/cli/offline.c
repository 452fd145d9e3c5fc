#include "receiver/cli/offline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "receiver/base/clock.h"

bool
read_whole(const char *path, struct buffer *out)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	if (file == NULL) {
		complain("%s: %s", path, strerror(errno));
		return false;
	}
	char data[8192];
	size_t size;
	while ((size = fread(data, 1, sizeof(data), file)) > 0) {
		buffer_append(out, data, size);
	}
	bool good = ferror(file) == 0 && !out->failed;
	if (file != stdin) {
		(void)fclose(file);
	}
	if (!good) {
		complain("%s: cannot be read", path);
	}
	return good;
}

/* The source of --source with its secrets; NULL with *code set after telling what is wrong. */
struct source *
chosen_source(const struct invocation *invocation, struct config *config, int *code)
{
	const char *name = option(invocation, "source");
	struct error err;
	*code = EXIT_USAGE;
	if (name == NULL) {
		*code = usage_error(invocation, "--source is needed");
		return NULL;
	}
	struct source *source = config_source_by_name(config, name);
	if (source == NULL) {
		const char *names[CONFIG_HANDLERS_MOST / 4];
		size_t count = 0;
		for (size_t i = 0; i < config->source_count && count + 1 < COUNT(names); i++) {
			names[count++] = config->sources[i].name;
		}
		names[count] = NULL;
		const char *nearest = problems_nearest(span_of(name), names);
		complain("there is no source \"%s\" in %s%s%s%s", name, config->file,
		         nearest == NULL ? "" : "; did you mean \"", nearest == NULL ? "" : nearest,
		         nearest == NULL ? "" : "\"?");
		return NULL;
	}
	if (!config_read_keys(config, source, &err)) {
		complain("%s", err.text);
		return NULL;
	}
	return source;
}

const struct secret *
signing_secret(const struct source *source, int64_t now_ns)
{
	for (size_t i = 0; i < source->secrets.count; i++) {
		if (secret_live(&source->secrets.items[i], now_ns)) {
			return &source->secrets.items[i];
		}
	}
	complain("every secret of the source %s is past its `until`", source->name);
	return NULL;
}

/* --now TIME: RFC 3339 or Unix seconds. */
bool
chosen_time(const struct invocation *invocation, int64_t *now_ns)
{
	const char *text = option(invocation, "now");
	int64_t seconds;
	*now_ns = clock_wall_ns();
	if (text == NULL) {
		return true;
	}
	if (span_number(span_of(text), &seconds) && seconds < INT64_MAX / NS_PER_S) {
		*now_ns = seconds * NS_PER_S;
		return true;
	}
	if (clock_parse(span_of(text), now_ns)) {
		return true;
	}
	complain("--now: \"%s\" is neither an RFC 3339 time nor Unix seconds", text);
	return false;
}

struct verify_request
request_of(const struct source *source, struct fields fields)
{
	return (struct verify_request){ .method = SPAN("POST"),
		                        .path = span_of(source->settings->path),
		                        .url = span_of(source->signed_url),
		                        .fields = fields,
		                        .webhook_id = span_of(source->settings->webhook_id),
		                        .topic_arns = source->settings->topic_arns.items,
		                        .topic_count = source->settings->topic_arns.count };
}

size_t
parse_lines(struct span text, struct field *fields, size_t most)
{
	size_t count = 0;
	while (text.size > 0 && count < most) {
		size_t size = 0;
		while (size < text.size && text.data[size] != '\n') {
			size++;
		}
		struct span line = { text.data,
			             size > 0 && text.data[size - 1] == '\r' ? size - 1 : size };
		size_t colon = 0;
		while (colon < line.size && line.data[colon] != ':') {
			colon++;
		}
		if (colon < line.size && colon > 0) {
			fields[count].name = span_trim((struct span){ line.data, colon });
			fields[count].value = span_trim(span_after(line, colon + 1));
			count++;
		}
		text = span_after(text, size == text.size ? size : size + 1);
	}
	return count;
}
