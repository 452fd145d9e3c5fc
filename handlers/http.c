/* Handler `http: { url, secret, ca }`: a POST of the raw body. 2xx done; 408, 425, 429, 5xx and failures of transport are
 * tried again, `Retry-After` honoured; every other answer is dead at once, unless `retry_on` names it. No redirect is
 * followed, at most 64 KiB of an answer are read, the timeout is total. Signed as Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) when there is a secret.
 * A worker keeps one handle, and with it its connections, until its thread ends. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/units.h"

#include "handlers/kinds.h"

#define ANSWER_MOST_BYTES (64 * 1024)
#define STATUSES_MOST     32
#define HEADER_MOST_BYTES (64 * 1024) /* of one that is passed on */

struct http_destination {
	struct schema_entry entry;
	const char *url;
	const char *ca;
	struct handler_secret secret;
};

struct http_settings {
	struct http_destination http;
	struct schema_list retry_on; /* texts */
	const char *destination_deduplicates;
	/* set by check_http() */
	int64_t deduplicates_ns;
	long statuses[STATUSES_MOST]; /* of retry_on; 0 at the end */
	const char *ca_path;
};

static const struct schema_row secret_rows[] = {
	{ .name = "env",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct handler_secret, env),
	  .reload = true,
	  .text = "The environment variable that holds it." },
	{ .name = "file",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct handler_secret, file),
	  .reload = true,
	  .text = "The file that holds it; one trailing newline is dropped." },
	{ .name = "credential",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct handler_secret, credential),
	  .reload = true,
	  .text = "The name of a systemd credential." },
	{ .name = NULL },
};

static const struct schema_row destination_rows[] = {
	{ .name = "url",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct http_destination, url),
	  .required = true,
	  .reload = true,
	  .text = "Where the body is sent with POST: https:// or http://." },
	{ .name = "secret",
	  .kind = SCHEMA_MAP,
	  .off = true,
	  .offset = offsetof(struct http_destination, secret),
	  .rows = secret_rows,
	  .size = sizeof(struct handler_secret),
	  .reload = true,
	  .text = "Signs each try as Standard Webhooks: base64, behind an optional whsec_." },
	{ .name = "ca",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct http_destination, ca),
	  .reload = true,
	  .text = "The certificate authorities to trust instead of the system's, PEM." },
	{ .name = NULL },
};

static const struct schema_row rows[] = {
	{ .name = "http",
	  .kind = SCHEMA_MAP,
	  .off = true,
	  .offset = offsetof(struct http_settings, http),
	  .rows = destination_rows,
	  .size = sizeof(struct http_destination),
	  .reload = true,
	  .text = "Sends the body to this address. 2xx is done; 408, 425, 429, 5xx and failures of transport are tried "
	          "again; any other answer is dead at once." },
	{ .name = "retry_on",
	  .kind = SCHEMA_TEXTS,
	  .offset = offsetof(struct http_settings, retry_on),
	  .reload = true,
	  .text = "With http: statuses that are tried again too." },
	{ .name = "destination_deduplicates",
	  .kind = SCHEMA_TEXT,
	  .offset = offsetof(struct http_settings, destination_deduplicates),
	  .reload = true,
	  .text = "With http: the destination recognises our Idempotency-Key: true (for ever), or for how long, such as 24h. "
	          "Then effectively-once can be kept, and 409 is tried again." },
	{ .name = NULL },
};

/* --- the configuration --- */

static struct handler_secret *
http_secret(void *settings)
{
	struct http_settings *http = settings;
	return http->http.secret.entry.node == NULL ? NULL : &http->http.secret;
}

static int64_t
http_deduplicates(const void *settings)
{
	return ((const struct http_settings *)settings)->deduplicates_ns;
}

static bool
check_statuses(struct http_settings *http, const struct node *node, struct problems *problems)
{
	const char *const *texts = http->retry_on.items;
	size_t count = 0;
	for (size_t i = 0; i < http->retry_on.count; i++) {
		int64_t status;
		if (!span_number(span_of(texts[i]), &status) || status < 300 || status > 599 ||
		    count + 1 == STATUSES_MOST) {
			problems_add(problems, node_key_place(node, "retry_on"),
			             "retry_on: at most %d statuses from 300 to 599",
			             STATUSES_MOST - 1);
			return false;
		}
		http->statuses[count++] = (long)status;
	}
	return true;
}

static bool
check_deduplicates(struct http_settings *http, const struct node *node, struct problems *problems)
{
	const char *text = http->destination_deduplicates;
	if (text == NULL || strcmp(text, "false") == 0) {
		http->deduplicates_ns = 0;
		return true;
	}
	if (strcmp(text, "true") == 0) {
		http->deduplicates_ns = DEDUPLICATES_FOR_EVER;
		return true;
	}
	if (units_duration(span_of(text), &http->deduplicates_ns) && http->deduplicates_ns > 0) {
		return true;
	}
	problems_add(problems, node_key_place(node, "destination_deduplicates"),
	             "destination_deduplicates: expected true, or how long, such as 24h");
	return false;
}

/* Standard Webhooks: the key is base64, behind an optional "whsec_". */
static bool
check_secret(struct handler_secret *secret, struct problems *problems)
{
	struct span text = { (const char *)secret->key, secret->size };
	if (secret->key == NULL) {
		return true; /* told already, or not needed by this command */
	}
	if (span_starts(text, SPAN("whsec_"))) {
		text = span_after(text, 6);
	}
	unsigned char *key = memory_need(text.size + 1);
	size_t size = 0;
	bool good = base64_decode(text, key, text.size, &size) && size > 0;
	if (good) {
		memory_wipe(secret->key, secret->size);
		memcpy(secret->key, key, size);
		secret->size = size;
	} else {
		problems_add(problems, secret->entry.node->place,
		             "secret: expected base64, behind an optional whsec_");
	}
	memory_wipe(key, text.size);
	free(key);
	return good;
}

/* What no answer could ever come from is told at once. */
static void
check_url(const struct http_destination *http, struct problems *problems)
{
	struct place place = node_key_place(http->entry.node, "url");
	if (strncmp(http->url, "https://", 8) != 0 && strncmp(http->url, "http://", 7) != 0) {
		problems_add(problems, place, "url: begins with https:// or http://");
		return;
	}
	if (*(strstr(http->url, "//") + 2) == '/') { /* libcurl would take the path for the host */
		problems_add(problems, place, "url: the host is missing");
		return;
	}
	CURLU *url = curl_url();
	char *host = NULL;
	CURLUcode code =
		url == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(url, CURLUPART_URL, http->url, 0);
	code = code == CURLUE_OK ? curl_url_get(url, CURLUPART_HOST, &host, 0) : code;
	if (code != CURLUE_OK) {
		problems_add(problems, place, "url: %s", curl_url_strerror(code));
	} else if (host[0] == '\0') {
		problems_add(problems, place, "url: the host is missing");
	}
	curl_free(host);
	curl_url_cleanup(url);
}

static bool
check_http(void *settings, const struct kind_check *check)
{
	struct http_settings *http = settings;
	if (http->http.url != NULL) {
		check_url(&http->http, check->problems);
	}
	if (http->http.ca != NULL) {
		struct buffer path;
		buffer_init(&path, 65536);
		buffer_format(&path, "%s%s%s", http->http.ca[0] == '/' ? "" : check->directory,
		              http->http.ca[0] == '/' ? "" : "/", http->http.ca);
		http->ca_path = arena_text(check->problems->arena, buffer_view(&path));
		buffer_finish(&path);
		if (!check->problems->reading && access(http->ca_path, R_OK) != 0) {
			problems_add(check->problems, node_key_place(http->http.entry.node, "ca"),
			             "ca: %s: %s", http->ca_path, strerror(errno));
		}
	}
	bool good = check_statuses(http, check->node, check->problems);
	good = check_deduplicates(http, check->node, check->problems) && good;
	return check_secret(&http->http.secret, check->problems) && good;
}

/* --- the worker's handle --- */

struct handle {
	CURLM *multi;
	CURL *easy;
	CURLSH *share;       /* TLS sessions, which outlive the easy handle */
	const char *ca_path; /* libcurl's own, for who names no other */
	const char *ca_directory;
};

static pthread_key_t handle_key;
static pthread_once_t handle_once = PTHREAD_ONCE_INIT;

static void
handle_free(void *data)
{
	struct handle *handle = data;
	curl_easy_cleanup(handle->easy);
	(void)curl_multi_cleanup(handle->multi);
	(void)curl_share_cleanup(handle->share);
	free(handle);
}

static void
handle_prepare(void)
{
	ALWAYS(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
	               pthread_key_create(&handle_key, handle_free) == 0,
	       "curl-global");
}

/* What is the same for each try. */
static bool
handle_set_up(struct handle *handle)
{
	CURL *curl = handle->easy;
	(void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
	                       (long)CURL_HTTP_VERSION_2TLS); /* where libcurl has it */
	return curl_easy_setopt(curl, CURLOPT_SHARE, handle->share) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_USERAGENT, "hooklatch/" HOOKLATCH_VERSION) ==
	               CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       /* A name server that is silent holds up nobody: curl would wait for its thread. */
	       curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
	       curl_easy_getinfo(curl, CURLINFO_CAINFO, &handle->ca_path) == CURLE_OK &&
	       curl_easy_getinfo(curl, CURLINFO_CAPATH, &handle->ca_directory) == CURLE_OK;
}

/* libcurl counts the connections that broke before a request, over all that a handle ever did, and gives up at the sixth: who
 * has made a connection makes way for a fresh one. Connections stay with the multi handle. */
static void
handle_renew(struct handle *handle)
{
	curl_easy_cleanup(handle->easy);
	handle->easy = curl_easy_init();
	ALWAYS(handle->easy != NULL && handle_set_up(handle), "curl-handle");
}

static struct handle *
worker_handle(void)
{
	(void)pthread_once(&handle_once, handle_prepare);
	struct handle *handle = pthread_getspecific(handle_key);
	if (handle == NULL) {
		handle = memory_need(sizeof(*handle));
		handle->multi = curl_multi_init();
		handle->share = curl_share_init();
		ALWAYS(handle->multi != NULL && handle->share != NULL &&
		               curl_share_setopt(handle->share, CURLSHOPT_SHARE,
		                                 CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK,
		       "curl-handle");
		handle_renew(handle);
		(void)pthread_setspecific(handle_key, handle);
	}
	return handle;
}

/* --- one try --- */

struct answer {
	char text[OUTCOME_OUTPUT_BYTES]; /* its beginning */
	size_t kept;
	size_t read;
	bool headed; /* its head is whole */
	int64_t retry_after_ns;
};

/* RFC 9110 section 10.2.3: seconds, or an HTTP-date in one of the three forms of section 5.6.7. 0: neither. */
static int64_t
retry_after(struct span value)
{
	size_t digits = 0;
	while (digits < value.size && value.data[digits] >= '0' && value.data[digits] <= '9') {
		digits++;
	}
	int64_t seconds;
	if (digits > 0 && digits == value.size) {
		bool counted = span_number(value, &seconds) && seconds < INT64_MAX / NS_PER_S;
		return counted ? seconds * NS_PER_S : INT64_MAX;
	}
	static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT",
		                             "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y" };
	char text[64];
	(void)snprintf(text, sizeof(text), "%.*s", SPAN_ARG(value));
	for (size_t i = 0; i < COUNT(forms); i++) {
		struct tm when = { 0 };
		const char *end = strptime(text, forms[i], &when);
		if (end != NULL && *end == '\0') {
			int64_t wait_ns = (int64_t)timegm(&when) * NS_PER_S - clock_wall_ns();
			return wait_ns < 0 ? 0 : wait_ns;
		}
	}
	return 0;
}

/* NOLINTBEGIN(readability-non-const-parameter) */
static size_t
on_head(char *data, size_t size, size_t count, void *context) /* as libcurl wants: line by line */
{
	struct answer *answer = context;
	struct span line = span_trim((struct span){ data, size * count });
	struct span name = SPAN("Retry-After:");
	while (line.size > 0 &&
	       (line.data[line.size - 1] == '\r' || line.data[line.size - 1] == '\n')) {
		line.size--;
	}
	if (span_starts(line, SPAN("HTTP/"))) {
		answer->headed = false;
		answer->retry_after_ns = 0;
	} else if (line.size == 0) {
		answer->headed = true;
	} else if (line.size > name.size &&
	           span_equal_nocase((struct span){ line.data, name.size }, name)) {
		answer->retry_after_ns = retry_after(span_trim(span_after(line, name.size)));
	}
	return size * count;
}
/* NOLINTEND(readability-non-const-parameter) */

/* The body as libcurl asks for it. It cannot be rewound: libcurl sends a request again by itself when a kept connection
 * breaks, and a body that is on its way may have arrived. That is another try, and ours to count. */
struct upload {
	struct span left;
};

static size_t
on_upload(char *data, size_t size, size_t count, void *context)
{
	struct upload *upload = context;
	size_t most = size * count;
	size_t part = upload->left.size < most ? upload->left.size : most;
	memcpy(data, upload->left.data, part);
	upload->left = span_after(upload->left, part);
	return part;
}

static size_t
on_answer(char *data, size_t size, size_t count, void *context)
{
	struct answer *answer = context;
	size_t room = sizeof(answer->text) - answer->kept;
	size_t more = size * count;
	memcpy(answer->text + answer->kept, data, more < room ? more : room);
	answer->kept += more < room ? more : room;
	answer->read += more;
	return answer->read > ANSWER_MOST_BYTES ? CURL_WRITEFUNC_ERROR : more;
}

static void add_header(struct curl_slist **list, const char *name, const char *format, ...)
	PRINTF(3, 4);

static void
add_header(struct curl_slist **list, const char *name, const char *format, ...)
{
	char *line = memory_need(HEADER_MOST_BYTES + 64);
	int size = snprintf(line, HEADER_MOST_BYTES, "%s: ", name);
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(line + size, HEADER_MOST_BYTES, format, arguments);
	va_end(arguments);
	struct curl_slist *longer = curl_slist_append(*list, line);
	ALWAYS(longer != NULL, "curl-header");
	free(line);
	*list = longer;
}

/* "v1," and base64 of HMAC-SHA256 over "<id>.<timestamp>.<body>". */
static void
sign(const struct handler_secret *secret, const char *id, struct span body,
     struct curl_slist **list)
{
	char head[IDEMPOTENCY_KEY_MOST + 32];
	unsigned char made[EVP_MAX_MD_SIZE];
	size_t size = 0;
	int64_t now = clock_wall_ns() / NS_PER_S;
	int head_size = snprintf(head, sizeof(head), "%s.%" PRId64 ".", id, now);
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
	char digest[] = "SHA256";
	OSSL_PARAM parameters[] = { OSSL_PARAM_construct_utf8_string("digest", digest, 0),
		                    OSSL_PARAM_construct_end() };
	ALWAYS(context != NULL &&
	               EVP_MAC_init(context, secret->key, secret->size, parameters) == 1 &&
	               EVP_MAC_update(context, (const unsigned char *)head, (size_t)head_size) ==
	                       1 &&
	               EVP_MAC_update(context, (const unsigned char *)body.data, body.size) == 1 &&
	               EVP_MAC_final(context, made, &size, sizeof(made)) == 1,
	       "http-sign");
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
	struct buffer text;
	buffer_init(&text, 256);
	base64_encode(&text, made, size);
	add_header(list, "webhook-id", "%s", id);
	add_header(list, "webhook-timestamp", "%" PRId64, now);
	add_header(list, "webhook-signature", "v1,%.*s", SPAN_ARG(buffer_view(&text)));
	buffer_finish(&text);
}

static struct curl_slist *
headers_of(const struct attempt *attempt)
{
	const struct http_settings *http = attempt->settings;
	struct curl_slist *list = NULL;
	struct buffer type;
	char key[IDEMPOTENCY_KEY_MOST + 1];
	char trace[56];
	idempotency_key(attempt, key);
	trace_parent(attempt->event, trace);
	buffer_init(&type, HEADER_MOST_BYTES - 64);
	if (event_header(attempt->event, "content-type", &type) && !type.failed) {
		add_header(&list, "Content-Type", "%.*s", SPAN_ARG(buffer_view(&type)));
	} else {
		add_header(&list, "Content-Type", "application/octet-stream");
	}
	buffer_finish(&type);
	add_header(&list, "Idempotency-Key", "%s", key);
	add_header(&list, "Hooklatch-Attempt", "%" PRId64, attempt->number);
	add_header(&list, "Hooklatch-Sequence", "%" PRId64, attempt->event->seq);
	add_header(&list, "traceparent", "%s", trace);
	if (http->http.secret.key != NULL) {
		sign(&http->http.secret, key, attempt->event->body, &list);
	}
	struct curl_slist *longer = curl_slist_append(list, "Expect:"); /* sent at once */
	ALWAYS(longer != NULL, "curl-header");
	return longer;
}

/* Each option that a try sets, every try sets: curl_easy_reset() does not tell when it has no memory, and leaves a handle that
 * is half set up. */
static bool
set_up(const struct handle *handle, const struct attempt *attempt, struct curl_slist *headers,
       struct upload *upload, struct answer *answer, char *detail)
{
	const struct http_settings *http = attempt->settings;
	CURL *curl = handle->easy;
	curl_off_t size = (curl_off_t)attempt->event->body.size;
	/* A body that is not there cannot be rewound either: it has a connection of its own. */
	const char *fields = size == 0 ? "" : NULL;
	const char *file = http->ca_path != NULL ? http->ca_path : handle->ca_path;
	const char *directory = http->ca_path != NULL ? NULL : handle->ca_directory;
	long timeout_ms = (long)((attempt->timeout_ns + NS_PER_MS - 1) / NS_PER_MS);
	return curl_easy_setopt(curl, CURLOPT_URL, http->http.url) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, size) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDS, fields) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, size == 0 ? 1L : 0L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_READDATA, upload) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_CAINFO, file) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_CAPATH, directory) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail) == CURLE_OK;
}

/* Whether the request had begun to go out: what broke off after that may have taken effect. */
static bool
was_sent(CURL *curl)
{
	curl_off_t before_us = 0;
	return curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &before_us) == CURLE_OK &&
	       before_us > 0;
}

static long
connections_made(CURL *curl)
{
	long count = 0;
	(void)curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &count);
	return count;
}

/* Runs the transfer that was added; false when the service stops and it was broken off. */
static bool
perform(const struct handle *handle, const struct attempt_stop *stop, CURLcode *code)
{
	bool whole = false;
	for (;;) {
		int running = 0;
		struct curl_waitfd stopping = { .fd = stop->kill_fd, .events = CURL_WAIT_POLLIN };
		if (curl_multi_perform(handle->multi, &running) != CURLM_OK) {
			*code = CURLE_OUT_OF_MEMORY;
			whole = true;
			break;
		}
		int left;
		const CURLMsg *message = curl_multi_info_read(handle->multi, &left);
		if (message != NULL && message->msg == CURLMSG_DONE) {
			*code = message->data.result;
			whole = true;
			break;
		}
		(void)curl_multi_poll(handle->multi, &stopping, 1, 1000, NULL);
		if (stopping.revents != 0) {
			break;
		}
	}
	(void)curl_multi_remove_handle(handle->multi, handle->easy);
	return whole;
}

static bool
is_retried(const struct http_settings *http, long status)
{
	if (status == 408 || status == 425 || status == 429 || status >= 500 ||
	    (status == 409 && http->deduplicates_ns != 0)) {
		return true;
	}
	for (size_t i = 0; http->statuses[i] != 0; i++) {
		if (http->statuses[i] == status) {
			return true;
		}
	}
	return false;
}

/* Whether the answer says that the destination, not the event, is at fault. */
static bool
blames_destination(long status)
{
	return status == 401 || status == 403 || status == 404 || status == 408 || status == 425 ||
	       status == 429 || status >= 500;
}

static void
judge(const struct attempt *attempt, const struct answer *answer, long status,
      struct outcome *outcome)
{
	outcome->http_status = (int)status;
	if (status >= 200 && status < 300) {
		outcome->kind = OUTCOME_DONE;
		outcome->about = ABOUT_SUCCESS;
		return;
	}
	bool again = is_retried(attempt->settings, status);
	outcome_fail(outcome, again ? OUTCOME_RETRY : OUTCOME_DEAD,
	             blames_destination(status) ? ABOUT_FAILURE : ABOUT_NOTHING, "http_status",
	             "HTTP status %ld", status);
	outcome->retry_after_ns = again ? answer->retry_after_ns : 0;
}

static void
run_http(const struct attempt *attempt, struct outcome *outcome)
{
	struct handle *handle = worker_handle();
	struct answer answer = { .kept = 0 };
	struct upload upload = { attempt->event->body };
	struct curl_slist *headers = headers_of(attempt);
	char detail[CURL_ERROR_SIZE] = "";
	CURLcode code = CURLE_OK;
	long status = 0;
	bool begun = set_up(handle, attempt, headers, &upload, &answer, detail) &&
	             curl_multi_add_handle(handle->multi, handle->easy) == CURLM_OK;
	bool whole = begun && perform(handle, attempt->stop, &code);
	(void)curl_easy_getinfo(handle->easy, CURLINFO_RESPONSE_CODE, &status);
	outcome->unsure = begun && was_sent(handle->easy);
	if (!begun) {
		outcome_fail(outcome, OUTCOME_RETRY, ABOUT_NOTHING, "transport",
		             "no memory to make the request with");
	} else if (!whole) {
		outcome_fail(outcome, OUTCOME_GIVE_BACK, ABOUT_NOTHING, "stopped",
		             "broken off by the service's stop");
	} else if ((code == CURLE_OK && answer.headed) ||
	           (code == CURLE_WRITE_ERROR && answer.read > ANSWER_MOST_BYTES)) {
		judge(attempt, &answer, status, outcome);
		outcome->unsure = false;
	} else if (code == CURLE_OK) {
		outcome_fail(outcome, OUTCOME_RETRY, ABOUT_FAILURE, "transport",
		             "the answer ended in the middle of its head");
	} else if (code == CURLE_SEND_FAIL_REWIND) {
		outcome_fail(outcome, OUTCOME_RETRY, ABOUT_FAILURE, "transport",
		             "the connection was closed without an answer");
	} else {
		outcome_fail(outcome, OUTCOME_RETRY, ABOUT_FAILURE,
		             code == CURLE_OPERATION_TIMEDOUT ? "timeout" : "transport", "%s",
		             detail[0] == '\0' ? curl_easy_strerror(code) : detail);
	}
	(void)curl_easy_setopt(handle->easy, CURLOPT_ERRORBUFFER, NULL);
	if (connections_made(handle->easy) > 0 || code != CURLE_OK) {
		handle_renew(handle);
	}
	memcpy(outcome->output, answer.text, answer.kept);
	outcome->output_size = answer.kept;
	curl_slist_free_all(headers);
}

const struct handler_kind handler_http = {
	.name = "http",
	.rows = rows,
	.settings_bytes = sizeof(struct http_settings),
	.guarantees = 1U << GUARANTEE_AT_LEAST_ONCE | 1U << GUARANTEE_AT_MOST_ONCE |
	              1U << GUARANTEE_EFFECTIVELY_ONCE,
	.check = check_http,
	.secret = http_secret,
	.deduplicates = http_deduplicates,
	.run = run_http,
};
