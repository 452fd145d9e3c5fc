/* sign, verify, send: the same engine and the same table as the receiver. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "receiver/base/clock.h"
#include "receiver/base/random.h"
#include "receiver/cli/command.h"
#include "receiver/cli/table.h"
#include "receiver/verify/sign.h"
#include "receiver/verify/value.h"

#define FILE_MOST_BYTES (1024L * 1024 * 1024)
#define SEND_TIMEOUT_S  60

static bool
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
static struct source *
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
	if (!config_read_secrets(config, source, &err)) {
		complain("%s", err.text);
		return NULL;
	}
	return source;
}

static const struct secret *
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
static bool
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

static struct verify_request
request_of(const struct source *source, struct fields fields)
{
	return (struct verify_request){ .method = SPAN("POST"),
		                        .path = span_of(source->settings->path),
		                        .url = span_of(source->settings->public_url),
		                        .fields = fields };
}

/* --- sign --- */

static bool
body_for(const struct invocation *invocation, const struct source *source, struct span id,
         struct span type, struct buffer *body)
{
	const char *file = option(invocation, "body");
	if (file != NULL) {
		return read_whole(file, body);
	}
	sign_sample(&source->scheme, id, type, body);
	return true;
}

static void
new_id(const struct invocation *invocation, int64_t number, char id[600])
{
	const char *given = option(invocation, "id");
	char uuid[37];
	random_uuid(clock_wall_ns(), uuid);
	if (given == NULL) {
		(void)snprintf(id, 600, "%s", uuid);
	} else if (number == 0) {
		(void)snprintf(id, 600, "%s", given);
	} else {
		(void)snprintf(id, 600, "%s-%" PRId64, given, number);
	}
}

static const char *
chosen_type(const struct invocation *invocation)
{
	const char *type = option(invocation, "type");
	return type == NULL ? "test" : type;
}

int
run_sign(struct invocation *invocation)
{
	int64_t now_ns;
	if (!chosen_time(invocation, &now_ns)) {
		return EXIT_USAGE;
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	int code = EXIT_USAGE;
	struct source *source = config == NULL ? NULL : chosen_source(invocation, config, &code);
	const struct secret *secret = source == NULL ? NULL : signing_secret(source, now_ns);
	struct buffer body;
	struct buffer lines;
	buffer_init(&body, FILE_MOST_BYTES);
	buffer_init(&lines, 65536);
	char id[600];
	new_id(invocation, 0, id);
	if (secret != NULL && option(invocation, "body") == NULL) {
		code = usage_error(invocation, "--body is needed");
	} else if (secret != NULL && body_for(invocation, source, span_of(id),
	                                      span_of(chosen_type(invocation)), &body)) {
		struct verify_request request = request_of(source, (struct fields){ 0 });
		sign_lines(&source->scheme, secret, &request, now_ns, span_of(id),
		           span_of(chosen_type(invocation)), buffer_view(&body), &lines);
		(void)fwrite(lines.data, 1, lines.size, stdout);
		code = EXIT_OK;
	}
	buffer_finish(&body);
	buffer_finish(&lines);
	signature_thread_finish();
	config_release(config);
	return code;
}

/* --- verify --- */

#define FIELDS_MOST 256

/* `Name: value` lines; other lines are passed over. */
static size_t
parse_lines(struct span text, struct field *fields)
{
	size_t count = 0;
	while (text.size > 0 && count < FIELDS_MOST) {
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

static enum verdict
judge(const struct scheme *scheme, const struct secrets *secrets,
      const struct verify_request *request, int64_t now_ns, struct span body,
      struct verification *verification)
{
	enum verdict verdict =
		verification_begin(verification, scheme, secrets, request, now_ns, false);
	if (verdict == VERDICT_GOOD) {
		verification_feed(verification, body);
		verdict = verification_end(verification, body);
	}
	return verdict;
}

/* Which secret does fit: an expired one of this source, or another source's. */
static void
explain_mismatch(struct config *config, const struct source *source,
                 const struct verify_request *request, int64_t now_ns, struct span body,
                 json_t *report)
{
	struct verification verification;
	struct secrets forever = source->secrets;
	for (size_t i = 0; i < forever.count; i++) {
		forever.items[i].until_ns = 0;
	}
	(void)json_object_set_new(
		report, "why",
		json_string("the signature fits none of the live secrets: another secret, "
	                    "or the body was altered on the way"));
	if (judge(&source->scheme, &forever, request, now_ns, body, &verification) !=
	            VERDICT_SIGNATURE_MISMATCH &&
	    verification.matched >= 0) {
		char text[128];
		(void)snprintf(text, sizeof(text),
		               "it fits secret %d of this source, which has expired (`until`)",
		               verification.matched + 1);
		(void)json_object_set_new(report, "why", json_string(text));
		return;
	}
	for (size_t i = 0; i < config->source_count; i++) {
		struct source *other = &config->sources[i];
		struct error err;
		if (other == source ||
		    (other->secrets.count == 0 && !config_read_secrets(config, other, &err))) {
			continue;
		}
		if (judge(&source->scheme, &other->secrets, request, now_ns, body, &verification) !=
		            VERDICT_SIGNATURE_MISMATCH &&
		    verification.matched >= 0) {
			char text[192];
			(void)snprintf(
				text, sizeof(text),
				"it fits secret %d of the source %s: the wrong path, or mixed up secrets",
				verification.matched + 1, other->name);
			(void)json_object_set_new(report, "why", json_string(text));
			return;
		}
	}
}

static void
explain(struct config *config, const struct source *source, const struct verify_request *request,
        int64_t now_ns, struct span body, enum verdict verdict,
        const struct verification *verification, json_t *report)
{
	char text[256];
	switch (verdict) {
	case VERDICT_GOOD:
	case VERDICTS: break;
	case VERDICT_SIGNATURE_MISSING:
		(void)snprintf(text, sizeof(text), "the header %s is missing or empty",
		               source->scheme.signature_header);
		(void)json_object_set_new(report, "why", json_string(text));
		break;
	case VERDICT_SIGNATURE_MALFORMED:
		(void)snprintf(
			text, sizeof(text),
			"the header %s holds no signature of this scheme (prefix %s, %s), or stands there twice",
			source->scheme.signature_header,
			source->scheme.prefix == NULL ? "none" : source->scheme.prefix,
			source->scheme.encoding == SCHEME_HEX ? "hex" : "base64");
		(void)json_object_set_new(report, "why", json_string(text));
		break;
	case VERDICT_TIMESTAMP_MISSING:
		(void)json_object_set_new(report, "why",
		                          json_string(
						  "the timestamp is missing or cannot be read"));
		break;
	case VERDICT_SIGNATURE_MISMATCH:
		explain_mismatch(config, source, request, now_ns, body, report);
		break;
	case VERDICT_TIMESTAMP_TOO_OLD:
	case VERDICT_TIMESTAMP_IN_FUTURE:
		(void)snprintf(text, sizeof(text),
		               "the signature is right, but its time is %" PRId64 " s %s; %" PRId64
		               " s are allowed",
		               (verification->age_ns < 0 ? -verification->age_ns
		                                         : verification->age_ns) /
		                       NS_PER_S,
		               verification->age_ns < 0 ? "ahead" : "old",
		               source->scheme.tolerance_ns / NS_PER_S);
		(void)json_object_set_new(report, "why", json_string(text));
		break;
	}
	if (verification->matched >= 0) {
		(void)json_object_set_new(report, "secret",
		                          json_integer(verification->matched + 1));
		(void)json_object_set_new(report, "skew_seconds",
		                          json_integer(verification->age_ns / NS_PER_S));
	}
}

/* After the signature: the id that the receiver would want. */
static const char *
judge_id(const struct source *source, struct fields fields, struct span body, json_t *report)
{
	struct buffer id;
	struct buffer type;
	buffer_init(&id, 8192);
	buffer_init(&type, 8192);
	const char *word = "good";
	if (source->scheme.id.from != SCHEME_GENERATED) {
		if (value_read(&source->scheme.id, fields, body, &id) != VALUE_FOUND) {
			word = "malformed";
			(void)json_object_set_new(
				report, "why",
				json_string("the event id is missing or cannot be read"));
		} else {
			(void)json_object_set_new(report, "event_id",
			                          json_stringn(id.data, id.size));
		}
	}
	if (value_read(&source->scheme.type, fields, body, &type) == VALUE_FOUND) {
		(void)json_object_set_new(report, "type", json_stringn(type.data, type.size));
	}
	buffer_finish(&id);
	buffer_finish(&type);
	return word;
}

static int
print_report(const struct invocation *invocation, json_t *report, const char *word)
{
	(void)json_object_set_new(report, "result", json_string(word));
	if (has_option(invocation, "json")) {
		print_json(report);
	} else {
		(void)puts(word);
		static const char *const keys[] = { "why", "secret", "skew_seconds", "event_id",
			                            "type" };
		for (size_t i = 0; i < COUNT(keys); i++) {
			if (json_object_get(report, keys[i]) != NULL) {
				char *text = cell_text(json_object_get(report, keys[i]));
				(void)printf("%s: %s\n", keys[i], text);
				free(text);
			}
		}
	}
	return strcmp(word, "good") == 0 ? EXIT_OK : EXIT_FAILED;
}

int
run_verify(struct invocation *invocation)
{
	int64_t now_ns;
	if (!chosen_time(invocation, &now_ns)) {
		return EXIT_USAGE;
	}
	if (option(invocation, "headers") == NULL || option(invocation, "body") == NULL) {
		return usage_error(invocation, "--headers and --body are needed");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	int code = EXIT_USAGE;
	struct source *source = config == NULL ? NULL : chosen_source(invocation, config, &code);
	struct buffer lines;
	struct buffer body;
	buffer_init(&lines, 16 * 1024 * 1024);
	buffer_init(&body, FILE_MOST_BYTES);
	if (source != NULL && read_whole(option(invocation, "headers"), &lines) &&
	    read_whole(option(invocation, "body"), &body)) {
		struct field items[FIELDS_MOST];
		struct fields fields = { items, parse_lines(buffer_view(&lines), items) };
		struct verify_request request = request_of(source, fields);
		struct verification verification;
		json_t *report = json_object();
		enum verdict verdict = judge(&source->scheme, &source->secrets, &request, now_ns,
		                             buffer_view(&body), &verification);
		const char *word = verdict_word(verdict);
		explain(config, source, &request, now_ns, buffer_view(&body), verdict,
		        &verification, report);
		if (verdict == VERDICT_GOOD) {
			word = judge_id(source, fields, buffer_view(&body), report);
		}
		code = print_report(invocation, report, word);
		json_decref(report);
	}
	buffer_finish(&lines);
	buffer_finish(&body);
	signature_thread_finish();
	config_release(config);
	return code;
}

/* --- send --- */

/* The first listener, as this machine reaches it. The caller frees it. */
static char *
default_url(const struct config *config, const struct source *source)
{
	const struct listen_settings *listen = config->settings.listen.items;
	const char *address = "";
	bool tls = false;
	for (size_t i = 0; i < config->settings.listen.count; i++) {
		const char *text = listen[i].https != NULL ? listen[i].https : listen[i].http;
		if (strncmp(text, "unix:", 5) != 0) {
			address = text;
			tls = listen[i].https != NULL;
			break;
		}
	}
	const char *port = strrchr(address, ':');
	struct buffer url;
	buffer_init(&url, 65536);
	buffer_format(&url, "%s://localhost%s%s", tls ? "https" : "http", port == NULL ? "" : port,
	              source->settings->path);
	return buffer_steal(&url);
}

/* The certificate of the first https listener, to be trusted. NULL: none. The caller frees it. */
static char *
trusted_certificate(const struct config *config)
{
	const struct listen_settings *listen = config->settings.listen.items;
	for (size_t i = 0; i < config->settings.listen.count; i++) {
		if (listen[i].certificate != NULL) {
			return config_path(config, listen[i].certificate);
		}
	}
	return NULL;
}

static size_t
on_answer(char *data, size_t size, size_t count, void *context)
{
	buffer_append(context, data, size * count);
	return size * count;
}

struct result_word {
	char text[64];
};

/* NOLINTBEGIN(readability-non-const-parameter) */
static size_t
on_header(char *data, size_t size, size_t count, void *context) /* as libcurl wants */
{
	struct span line = { data, size * count };
	struct span name = SPAN("hooklatch-result:");
	if (line.size > name.size && span_equal_nocase((struct span){ data, name.size }, name)) {
		struct span value = span_after(line, name.size);
		while (value.size > 0 &&
		       (value.data[value.size - 1] == '\r' || value.data[value.size - 1] == '\n')) {
			value.size--;
		}
		value = span_trim(value);
		(void)snprintf(((struct result_word *)context)->text, 64, "%.*s",
		               (int)(value.size < 63 ? value.size : 63), value.data);
	}
	return size * count;
}
/* NOLINTEND(readability-non-const-parameter) */

static struct curl_slist *
header_list(struct span lines)
{
	struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
	list = curl_slist_append(list, "Expect:");
	while (lines.size > 0) {
		size_t size = 0;
		while (size < lines.size && lines.data[size] != '\n') {
			size++;
		}
		char *line = span_copy((struct span){ lines.data, size });
		list = curl_slist_append(list, line);
		free(line);
		lines = span_after(lines, size == lines.size ? size : size + 1);
	}
	return list;
}

static int
send_one(const struct invocation *invocation, CURL *curl, const char *url, struct span lines,
         struct span body, const char *id)
{
	struct curl_slist *headers = header_list(lines);
	struct buffer answer;
	struct result_word word = { "" };
	long status = 0;
	buffer_init(&answer, 1024 * 1024);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
	(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.size == 0 ? "" : body.data);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, &word);
	CURLcode result = curl_easy_perform(curl);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	/* The receiver knows what it took the id from; a body of one's own has its own id. */
	json_t *document = json_loadb(answer.data == NULL ? "" : answer.data, answer.size, 0, NULL);
	const char *stored = json_string_value(json_object_get(document, "event_id"));
	id = stored == NULL ? id : stored;
	int code = EXIT_OK;
	if (result != CURLE_OK) {
		complain("%s: %s", url, curl_easy_strerror(result));
		code = EXIT_UNREACHABLE;
	} else {
		if (has_option(invocation, "json")) {
			json_t *report =
				json_pack("{s:s, s:I, s:s}", "result", word.text, "http_status",
			                  (json_int_t)status, "event_id", id);
			(void)json_dumpf(report, stdout, JSON_COMPACT);
			(void)putchar('\n');
			json_decref(report);
		} else {
			(void)printf("%ld %s %s\n", status, word.text[0] == '\0' ? "-" : word.text,
			             id);
		}
		code = status >= 200 && status < 300 ? EXIT_OK : EXIT_FAILED;
	}
	curl_slist_free_all(headers);
	json_decref(document);
	buffer_finish(&answer);
	return code;
}

static int
send_all(const struct invocation *invocation, const struct config *config,
         const struct source *source, int64_t count)
{
	char *url = option(invocation, "url") != NULL ? memory_text(option(invocation, "url"))
	                                              : default_url(config, source);
	char *certificate = trusted_certificate(config);
	CURL *curl = curl_easy_init();
	ALWAYS(curl != NULL, "curl");
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)SEND_TIMEOUT_S);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (certificate != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, certificate);
	}
	int code = EXIT_OK;
	int64_t failed = 0;
	int64_t sent = 0;
	for (int64_t i = 0; i < count && code != EXIT_UNREACHABLE && code != EXIT_USAGE; i++) {
		struct buffer body;
		struct buffer lines;
		char id[600];
		int64_t now = clock_wall_ns();
		const struct secret *secret = signing_secret(source, now);
		struct verify_request request = request_of(source, (struct fields){ 0 });
		buffer_init(&body, FILE_MOST_BYTES);
		buffer_init(&lines, 65536);
		new_id(invocation, i, id);
		code = EXIT_USAGE;
		if (secret != NULL && body_for(invocation, source, span_of(id),
		                               span_of(chosen_type(invocation)), &body)) {
			sign_lines(&source->scheme, secret, &request, now, span_of(id),
			           span_of(chosen_type(invocation)), buffer_view(&body), &lines);
			code = send_one(invocation, curl, url, buffer_view(&lines),
			                buffer_view(&body), id);
			failed += code == EXIT_FAILED ? 1 : 0;
			sent++;
		}
		buffer_finish(&body);
		buffer_finish(&lines);
	}
	if (code == EXIT_OK || code == EXIT_FAILED) {
		code = failed == 0 ? EXIT_OK : failed < sent ? EXIT_PARTLY : EXIT_FAILED;
	}
	curl_easy_cleanup(curl);
	free(certificate);
	free(url);
	return code;
}

int
run_send(struct invocation *invocation)
{
	int64_t count = 1;
	const char *text = option(invocation, "count");
	if (text != NULL && (!span_number(span_of(text), &count) || count < 1)) {
		return usage_error(invocation, "--count: expected a number");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	int code = EXIT_USAGE;
	struct source *source = config == NULL ? NULL : chosen_source(invocation, config, &code);
	if (source != NULL) {
		code = send_all(invocation, config, source, count);
	}
	signature_thread_finish();
	config_release(config);
	return code;
}
