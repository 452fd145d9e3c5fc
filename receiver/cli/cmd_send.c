/* send: signs as the provider would, and sends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "receiver/base/clock.h"
#include "receiver/cli/offline.h"
#include "receiver/cli/table.h"

#define SEND_TIMEOUT_S 60

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
header_list(const struct source *source, struct span lines)
{
	struct buffer type;
	buffer_init(&type, 1024);
	buffer_format(&type, "Content-Type: %s",
	              source->scheme.media_type == NULL ? "application/json"
	                                                : source->scheme.media_type);
	char *content_type = buffer_steal(&type);
	struct curl_slist *list = curl_slist_append(NULL, content_type);
	free(content_type);
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
send_one(const struct signer *signer, CURL *curl, const char *address,
         const struct made_event *event)
{
	const struct invocation *invocation = signer->invocation;
	struct span body = buffer_view(&event->request.body);
	const char *id = event->id;
	struct curl_slist *headers =
		header_list(signer->source, buffer_view(&event->request.lines));
	struct buffer target;
	buffer_init(&target, 65536);
	buffer_text(&target, address);
	if (event->request.query.size > 0) {
		buffer_byte(&target, '?');
		buffer_span(&target, buffer_view(&event->request.query));
	}
	char *url = buffer_steal(&target);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
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
			put_json(report, JSON_COMPACT);
			(void)putchar('\n');
			json_decref(report);
		} else {
			(void)printf("%ld %s %s\n", status, word.text[0] == '\0' ? "-" : word.text,
			             id);
		}
		code = status >= 200 && status < 300 ? EXIT_OK : EXIT_FAILED;
	}
	curl_slist_free_all(headers);
	free(url);
	json_decref(document);
	buffer_finish(&answer);
	return code;
}

static int
send_all(const struct signer *signer, const struct config *config, int64_t count)
{
	const struct invocation *invocation = signer->invocation;
	char *url = option(invocation, "url") != NULL ? memory_text(option(invocation, "url"))
	                                              : default_url(config, signer->source);
	char *certificate = trusted_certificate(config);
	CURL *curl = curl_easy_init();
	ALWAYS(curl != NULL, "curl");
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
		struct made_event event;
		code = EXIT_USAGE;
		if (signer_make(signer, i, clock_wall_ns(), &event)) {
			code = send_one(signer, curl, url, &event);
			failed += code == EXIT_FAILED ? 1 : 0;
			sent++;
			signed_request_finish(&event.request);
		}
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
	struct signer signer = { 0 };
	if (source != NULL && signer_begin(&signer, invocation, source)) {
		code = send_all(&signer, config, count);
	}
	signer_finish(&signer);
	config_release(config);
	return code;
}
