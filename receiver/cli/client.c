#include "receiver/cli/client.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "receiver/api/api.h"
#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/log/log.h"
#include "receiver/store/inspection.h"

#define CLIENT_TIMEOUT_S 90 /* longer than a take may wait */
#define REPLAY_STEP_NS   (20 * NS_PER_MS)

static const char *
who(char text[128])
{
	struct passwd entry;
	struct passwd *found = NULL;
	char space[2048];
	const char *sudo = getenv("SUDO_USER");
	if (sudo != NULL) {
		(void)snprintf(text, 128, "%.100s (sudo)", sudo);
	} else if (getpwuid_r(getuid(), &entry, space, sizeof(space), &found) == 0 &&
	           found != NULL) {
		(void)snprintf(text, 128, "%.100s", found->pw_name);
	} else {
		(void)snprintf(text, 128, "uid %u", (unsigned)getuid());
	}
	return text;
}

/* --- through the socket --- */

static size_t
on_data(char *data, size_t size, size_t count, void *context)
{
	buffer_append(context, data, size * count);
	return size * count;
}

struct response {
	long status; /* 0: nobody answered */
	struct buffer body;
	bool refused; /* the socket is there and may not be used */
};

static void
ask_socket(const struct config *config, const char *path, const char *query, const char *body,
           struct response *response)
{
	CURL *curl = curl_easy_init();
	ALWAYS(curl != NULL, "curl");
	struct buffer url;
	char header[192];
	char name[128];
	buffer_init(&url, 1024 * 1024);
	buffer_format(&url, "http://localhost%s%s", path,
	              query == NULL || query[0] == '\0' ? "" : "?");
	buffer_text(&url, query == NULL ? "" : query);
	buffer_byte(&url, '\0');
	(void)snprintf(header, sizeof(header), "Hooklatch-Who: %s", who(name));
	struct curl_slist *headers = curl_slist_append(NULL, header);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Expect:");
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, config->admin_path);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url.data);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &response->body);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CLIENT_TIMEOUT_S);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (body != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	if (curl_easy_perform(curl) == CURLE_OK) {
		(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);
	} else {
		long code = 0;
		(void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &code);
		response->refused = code == EACCES || code == EPERM;
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	buffer_finish(&url);
}

/* --- without a service --- */

void
client_become_owner(const char *path)
{
	struct stat status;
	if (geteuid() == 0 && stat(path, &status) == 0 && status.st_uid != 0) {
		if (setgid(status.st_gid) != 0 || setuid(status.st_uid) != 0) {
			complain("cannot become the owner of %s: %s", path, strerror(errno));
		}
	}
}

/* SQLite reads over damage in its log and says nothing: what is shown then ends before it. */
static void
warn_of_log(const char *path)
{
	struct inspection_owner owner;
	struct error err;
	int64_t commits;
	store_owner(path, &owner);
	if (owner.pid == 0 && !store_scan_wal(path, &commits, &err)) {
		complain("%s", err.text);
	}
}

static int
no_slot(void *context, int64_t handler)
{
	(void)context;
	(void)handler;
	return -1;
}

static const struct handler *
handler_numbered(const struct config *config, int64_t number)
{
	for (size_t i = 0; i < config->handler_count; i++) {
		if (config->handlers[i].number == number) {
			return &config->handlers[i];
		}
	}
	return NULL;
}

static bool
handler_known(void *context, int64_t number)
{
	return handler_numbered(context, number) != NULL;
}

static bool
handler_takes(void *context, int64_t number, const struct event *event, struct wanted *wanted)
{
	const struct config *config = context;
	const struct handler *handler = handler_numbered(config, number);
	if (handler == NULL || !handler_wants(handler, event->source, event->type, event->body)) {
		return false;
	}
	*wanted = (struct wanted){ .handler = number,
		                   .at_most_once = handler->guarantee == GUARANTEE_AT_MOST_ONCE,
		                   .order_key = handler_order_key(handler, event->body) };
	return true;
}

static bool
handler_holds(void *context, int64_t number)
{
	const struct handler *handler = handler_numbered(context, number);
	return handler != NULL && handler->settings->order_by != NULL &&
	       handler->settings->on_dead == 1;
}

static bool
needs_again(void *context, int64_t number, enum delivery_state state, int64_t first_failed_ns)
{
	const struct handler *handler = handler_numbered(context, number);
	return handler != NULL &&
	       handler_needs_again(handler, state, first_failed_ns, clock_wall_ns());
}

static void
no_pause(void *context, int64_t handler, bool paused, int64_t until_ns)
{
	(void)context;
	(void)handler;
	(void)paused;
	(void)until_ns;
}

static void
ignore_due(void *context, const struct due *items, size_t count)
{
	(void)context;
	(void)items;
	(void)count;
}

static void
return_later(void *context, struct returned *returned)
{
	(void)context;
	returned->dead = false;
	returned->due_ns = 0;
}

static void
leave(void *context, const struct error *err)
{
	(void)context;
	complain("%s", err->text);
	_exit(EXIT_FAILED);
}

/* Works a replay off here: nobody else would before the next start. */
static void
work_off(struct reader *reader, const struct api *api, int64_t id)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/v1/replays/%lld", (long long)id);
	for (;;) {
		struct api_answer answer = { .status = 0 };
		struct api_request request = { .method = "GET", .path = span_of(path), .who = "" };
		buffer_init(&answer.body, 1024 * 1024);
		api_handle(api, reader, &request, &answer);
		json_t *replay = json_loadb(answer.body.data, answer.body.size, 0, NULL);
		const char *state = json_string_value(json_object_get(replay, "state"));
		bool over = state == NULL || strcmp(state, "running") != 0;
		json_decref(replay);
		buffer_finish(&answer.body);
		if (over) {
			return;
		}
		struct timespec step = { 0, REPLAY_STEP_NS };
		(void)nanosleep(&step, NULL);
	}
}

static bool
open_writer(struct config *config, struct store **store, struct error *err)
{
	struct store_options options = { .path = config->store_path };
	if (!store_open(store, &options, err)) {
		return false;
	}
	const char **names = memory_need((config->handler_count + 1) * sizeof(*names));
	int64_t *numbers = memory_need((config->handler_count + 1) * sizeof(*numbers));
	struct buffer gone;
	buffer_init(&gone, 65536);
	for (size_t i = 0; i < config->handler_count; i++) {
		names[i] = config->handlers[i].name;
	}
	struct store_names list = { names, config->handler_count, numbers, NULL, 0, &gone };
	bool good = store_name(*store, &list, err);
	buffer_finish(&gone);
	for (size_t i = 0; good && i < config->handler_count; i++) {
		config->handlers[i].number = numbers[i];
	}
	free(names);
	free(numbers);
	struct store_listener listener = { .context = config,
		                           .returned = return_later,
		                           .take_slot = no_slot,
		                           .exists = handler_known,
		                           .wants = handler_takes,
		                           .holds = handler_holds,
		                           .needs_again = needs_again,
		                           .lease_over = return_later,
		                           .paused = no_pause,
		                           .due = ignore_due,
		                           .broken = leave };
	store_pause_claims(*store);
	return good && store_start(*store, &listener, err);
}

static void
ask_here(struct config *config, const char *path, const char *query, const char *body,
         struct response *response, struct error *err)
{
	struct store *store = NULL;
	struct reader *reader = NULL;
	char name[128];
	struct api_answer answer = { .status = 0 };
	client_become_owner(config->store_path);
	if (body == NULL) {
		warn_of_log(config->store_path);
	}
	log_set_level(LOG_ERROR);
	buffer_init(&answer.body, 512 * 1024 * 1024);
	if ((body == NULL || open_writer(config, &store, err)) &&
	    reader_open(&reader, config->store_path, err)) {
		struct api api = { .store = store, .config = config };
		struct api_request request = { .method = body == NULL ? "GET" : "POST",
			                       .path = span_of(path),
			                       .query = span_of(query),
			                       .body = span_of(body),
			                       .who = who(name) };
		api_handle(&api, reader, &request, &answer);
		response->status = answer.status;
		buffer_span(&response->body, buffer_view(&answer.body));
		if (body != NULL && strcmp(path, "/v1/replays") == 0 && answer.status == 200) {
			json_t *made = json_loadb(answer.body.data, answer.body.size, 0, NULL);
			int64_t id = json_integer_value(json_object_get(made, "id"));
			json_decref(made);
			if (id > 0) {
				work_off(reader, &api, id);
			}
		}
	}
	buffer_finish(&answer.body);
	reader_close(reader);
	store_close(store);
}

/* --- both --- */

static int
exit_of(long status)
{
	switch (status) {
	case 200: return EXIT_OK;
	case 400: return EXIT_USAGE;
	case 404: return EXIT_NOTHING;
	default: return EXIT_FAILED;
	}
}

int
client_call(struct config *config, const char *path, const char *query, json_t *body, json_t **ret)
{
	struct response response = { .status = 0 };
	struct error err = { .kind = ERROR_NONE };
	char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
	buffer_init(&response.body, 1024L * 1024 * 1024);
	ask_socket(config, path, query, text, &response);
	if (response.status == 0 && response.refused) {
		complain("%s: this user may not use the service's socket", config->admin_path);
	} else if (response.status == 0) {
		ask_here(config, path, query, text, &response, &err);
		if (response.status == 0) {
			complain("the service does not answer on %s, and without it: %s",
			         config->admin_path, err.text);
		}
	}
	free(text);
	int code = EXIT_UNREACHABLE;
	if (response.status != 0) {
		code = exit_of(response.status);
		json_error_t wrong;
		json_t *document = json_loadb(response.body.data, response.body.size,
		                              JSON_ALLOW_NUL | JSON_DECODE_ANY, &wrong);
		if (code == EXIT_OK && document != NULL) {
			*ret = document;
		} else {
			const char *message = json_string_value(
				json_object_get(json_object_get(document, "error"), "message"));
			complain("%s",
			         message == NULL ? "the service's answer cannot be read" : message);
			json_decref(document);
			code = code == EXIT_OK ? EXIT_FAILED : code;
		}
	} else if (err.kind == ERROR_LOCKED || err.kind == ERROR_STORE_BAD) {
		code = EXIT_FAILED;
	}
	buffer_finish(&response.body);
	return code;
}

char *
client_path(const char *prefix, const char *first, const char *second)
{
	struct buffer path;
	buffer_init(&path, 65536);
	buffer_text(&path, prefix);
	percent_encode(&path, span_of(first));
	if (second != NULL) {
		buffer_byte(&path, '/');
		percent_encode(&path, span_of(second));
	}
	return buffer_steal(&path);
}
