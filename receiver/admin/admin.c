#include "receiver/admin/admin.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "receiver/api/api.h"
#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/log/log.h"

#define QUERY_THREADS      2
#define PARKED_LOOK_NS     (250 * NS_PER_MS) /* deliveries become due by time, too */
#define ADMIN_BODY_BYTES   (4 * 1024 * 1024)
#define ADMIN_MEMORY_BYTES (16 * 1024 * 1024)
#define ANSWER_MOST_BYTES  (512 * 1024 * 1024)

static struct thread_role query_thread = { "query" };

/* A request on its way to a query thread and back. */
struct query {
	struct query *next;
	struct net_call call; /* the way back */
	struct admin *admin;
	struct net_loop *loop;
	struct http_exchange *exchange; /* NULL: the client has gone; touched on the loop alone */
	char *method;
	char *path;
	char *query;
	char *body;
	size_t body_size;
	char *who;
	struct api_answer answer;
	atomic_bool gone; /* nobody waits for the answer any more */
	int64_t until_ns; /* boot time: a take waits no longer; 0: it has not waited */
	int64_t look_ns;  /* boot time: when parked, asked again then at the latest */
	bool looked;      /* at once after being parked; once is enough */
};

struct admin {
	struct net *net;
	struct store *store;
	int64_t since_ns;
	const struct engine *engine;
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct query *first;
	struct query **last;
	struct query *parked;
	bool ending;
	pthread_t threads[QUERY_THREADS];
	size_t thread_count;
	struct config *config;
	struct config *started;
};

/* --- query threads --- */

static void
query_free(struct query *query)
{
	free(query->method);
	free(query->path);
	free(query->query);
	free(query->body);
	free(query->who);
	buffer_finish(&query->answer.body);
	free(query);
}

static void
on_answer(struct net_call *call)
{
	thread_is(&net_thread);
	struct query *query = CONTAINER(call, struct query, call);
	if (query->exchange != NULL) {
		struct http_response response = { .status = query->answer.status,
			                          .content_type = query->answer.content_type,
			                          .body = buffer_view(&query->answer.body) };
		query->exchange->data = NULL;
		http_answer(query->exchange, &response);
	}
	query_free(query);
}

static void
ON_THREAD(query_thread) answer_query(struct admin *admin, struct reader *reader,
                                     struct query *query, const struct error *err)
{
	(void)pthread_mutex_lock(&admin->lock);
	struct config *config = config_share(admin->config);
	(void)pthread_mutex_unlock(&admin->lock);
	struct api api = { .store = admin->store,
		           .config = config,
		           .since_ns = admin->since_ns,
		           .engine = admin->engine };
	struct api_request request = { .method = query->method,
		                       .path = span_of(query->path),
		                       .query = span_of(query->query),
		                       .body = { query->body, query->body_size },
		                       .who = query->who };
	if (reader == NULL) {
		query->answer.status = 503;
		query->answer.content_type = "application/json";
		buffer_text(&query->answer.body,
		            "{\"error\":{\"code\":\"unavailable\",\"message\":");
		json_quote(&query->answer.body, span_of(err->text));
		buffer_text(&query->answer.body, "}}\n");
	} else {
		api_handle(&api, reader, &request, &query->answer);
	}
	config_release(config);
}

/* The next one of those that wait for their turn or have been parked long enough; NULL: none. With the lock held. */
static struct query *
take_query(struct admin *admin)
{
	struct query *query = admin->first;
	if (query != NULL) {
		admin->first = query->next;
		admin->last = admin->first == NULL ? &admin->first : admin->last;
		return query;
	}
	int64_t now_ns = clock_boot_ns();
	bool all = admin->ending || atomic_load(&admin->stopping);
	for (struct query **at = &admin->parked; *at != NULL; at = &(*at)->next) {
		query = *at;
		if (all || query->look_ns <= now_ns || atomic_load(&query->gone)) {
			*at = query->next;
			return query;
		}
	}
	return NULL;
}

/* With the lock held. */
static void
wait_for_query(struct admin *admin)
{
	int64_t look_ns = INT64_MAX;
	for (const struct query *query = admin->parked; query != NULL; query = query->next) {
		look_ns = query->look_ns < look_ns ? query->look_ns : look_ns;
	}
	if (look_ns == INT64_MAX) {
		(void)pthread_cond_wait(&admin->work, &admin->lock);
		return;
	}
	int64_t wait_ns = look_ns - clock_boot_ns();
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	wait_ns = (wait_ns < 0 ? 0 : wait_ns) + until.tv_nsec;
	until.tv_sec += (time_t)(wait_ns / NS_PER_S);
	until.tv_nsec = wait_ns % NS_PER_S;
	(void)pthread_cond_timedwait(&admin->work, &admin->lock, &until);
}

/* A take that found nothing waits, as long as it may. */
static bool
park(struct admin *admin, struct query *query)
{
	int64_t now_ns = clock_boot_ns();
	if (query->answer.parks_handler == 0) {
		return false;
	}
	if (query->until_ns == 0) {
		query->until_ns = now_ns + query->answer.parks_ns;
	}
	if (now_ns >= query->until_ns || atomic_load(&admin->stopping)) {
		return false;
	}
	query->answer.body.size = 0;
	query->look_ns = now_ns + PARKED_LOOK_NS;
	query->look_ns = query->until_ns < query->look_ns ? query->until_ns : query->look_ns;
	(void)pthread_mutex_lock(&admin->lock);
	query->next = admin->parked;
	admin->parked = query;
	/* What came between the look and now has told nobody. */
	if (store_count(admin->store, query->answer.parks_handler, DELIVERY_PENDING) > 0) {
		query->look_ns = query->looked ? query->look_ns : now_ns;
		query->looked = true;
	}
	(void)pthread_cond_signal(&admin->work);
	(void)pthread_mutex_unlock(&admin->lock);
	return true;
}

static void
query_run(void *context)
{
	thread_is(&query_thread);
	thread_give_way(); /* a list of ten million events is less urgent than the next event */
	struct admin *admin = context;
	struct reader *reader = NULL;
	for (;;) {
		(void)pthread_mutex_lock(&admin->lock);
		struct query *query;
		while ((query = take_query(admin)) == NULL && !admin->ending) {
			wait_for_query(admin);
		}
		(void)pthread_mutex_unlock(&admin->lock);
		if (query == NULL) {
			reader_close(reader);
			return;
		}
		struct error err;
		if (reader == NULL && !reader_open(&reader, store_path(admin->store), &err)) {
			reader = NULL;
		} else if (reader != NULL) {
			reader_pace(reader, admin->store);
		}
		/* Nothing is taken for nobody. */
		if (!atomic_load(&query->gone) || query->answer.parks_handler == 0) {
			answer_query(admin, reader, query, &err);
			if (park(admin, query)) {
				continue;
			}
		}
		query->call.run = on_answer;
		net_loop_post(query->loop, &query->call);
	}
}

/* --- the loop --- */

static void
ON_THREAD(net_thread)
	say(struct http_exchange *exchange, int status, const char *name, const char *why)
{
	struct buffer body;
	buffer_init(&body, 65536);
	buffer_format(&body, "{\"status\":\"%s\"", status == 200 ? "ok" : "unavailable");
	if (status != 200) {
		buffer_format(&body, ",\"failed\":[{\"check\":\"%s\",\"message\":", name);
		json_quote(&body, span_of(why));
		buffer_text(&body, "}]");
	}
	buffer_text(&body, "}\n");
	struct http_response response = { .status = status,
		                          .content_type = "application/json",
		                          .fields = "Cache-Control: no-store\r\n",
		                          .body = buffer_view(&body) };
	http_answer(exchange, &response);
	buffer_finish(&body);
}

/* --- who may come in --- */

/* The name in a Host, without its port. */
static struct span
host_name(struct span host)
{
	size_t size = 0;
	if (host.size > 0 && host.data[0] == '[') {
		while (size < host.size && host.data[size] != ']') {
			size++;
		}
		return (struct span){ host.data, size < host.size ? size + 1 : size };
	}
	while (size < host.size && host.data[size] != ':') {
		size++;
	}
	return (struct span){ host.data, size };
}

/* A page of another site may make a browser call this address, but not under a name of loopback. */
static bool
is_loopback_name(struct span host)
{
	struct span name = host_name(host);
	char text[INET_ADDRSTRLEN + 1];
	struct in_addr address;
	(void)snprintf(text, sizeof(text), "%.*s", SPAN_ARG(name));
	return span_equal_nocase(name, SPAN("localhost")) || span_equal(name, SPAN("[::1]")) ||
	       (name.size < INET_ADDRSTRLEN && inet_pton(AF_INET, text, &address) == 1 &&
	        ntohl(address.s_addr) >> 24 == 127);
}

/* Fetch metadata and Origin are what browsers send; other programs send neither. */
static bool
is_same_origin(const struct http_exchange *exchange, struct span host)
{
	struct span site;
	struct span origin;
	if (fields_find(exchange->fields, SPAN("Sec-Fetch-Site"), &site) > 0 &&
	    !span_equal(site, SPAN("same-origin")) && !span_equal(site, SPAN("none"))) {
		return false;
	}
	if (fields_find(exchange->fields, SPAN("Origin"), &origin) == 0) {
		return true;
	}
	struct span scheme = SPAN("http://");
	return span_starts(origin, scheme) &&
	       span_equal_nocase(span_after(origin, scheme.size), host);
}

static bool
has_token(const struct http_exchange *exchange, const struct admin_settings *settings)
{
	struct span given;
	struct span scheme = SPAN("Bearer ");
	if (fields_find(exchange->fields, SPAN("Authorization"), &given) != 1 ||
	    given.size <= scheme.size ||
	    !span_equal_nocase((struct span){ given.data, scheme.size }, scheme)) {
		return false;
	}
	given = span_trim(span_after(given, scheme.size));
	return given.size == settings->token_size &&
	       CRYPTO_memcmp(given.data, settings->token_text, given.size) == 0;
}

static void
ON_THREAD(net_thread)
	refuse(struct http_exchange *exchange, int status, const char *code, const char *message)
{
	struct buffer body;
	buffer_init(&body, 4096);
	buffer_format(&body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message);
	struct http_response response = {
		.status = status,
		.content_type = "application/json",
		.fields = status == 401 ? "WWW-Authenticate: Bearer realm=\"hooklatch\"\r\n" : NULL,
		.body = buffer_view(&body)
	};
	http_answer(exchange, &response);
	buffer_finish(&body);
}

/* True: it may go on. The unix socket's mode says who may use that. */
static bool
ON_THREAD(net_thread) let_in(const struct admin *admin, struct http_exchange *exchange)
{
	if (exchange->mark == 0) {
		return true;
	}
	/* Listeners need a restart: the settings are those of the start. */
	const struct admin_settings *all = admin->started->settings.admin.items;
	const struct admin_settings *settings = &all[exchange->mark - 1];
	bool health = span_equal(exchange->path, SPAN("/livez")) ||
	              span_equal(exchange->path, SPAN("/readyz"));
	if (settings->token_text != NULL) {
		if (health || has_token(exchange, settings)) {
			return true;
		}
		refuse(exchange, 401, "unauthorized",
		       "Authorization: Bearer and the token are needed");
		return false;
	}
	struct span host;
	if (fields_find(exchange->fields, SPAN("Host"), &host) != 1 || !is_loopback_name(host)) {
		refuse(exchange, 403, "forbidden", "the Host is no name of loopback");
		return false;
	}
	bool reads = span_equal(exchange->method, SPAN("GET")) ||
	             span_equal(exchange->method, SPAN("HEAD"));
	if (!reads && !is_same_origin(exchange, host)) {
		refuse(exchange, 403, "forbidden", "a change from another origin");
		return false;
	}
	return true;
}

static enum http_next
on_head(void *context, struct http_exchange *exchange, size_t *limit)
{
	thread_is(&net_thread);
	*limit = ADMIN_BODY_BYTES;
	return let_in(context, exchange) ? HTTP_READ_BODY : HTTP_ANSWERED;
}

static void
ON_THREAD(net_thread) say_ready(struct admin *admin, struct http_exchange *exchange)
{
	struct buffer why;
	buffer_init(&why, 65536);
	if (atomic_load(&admin->stopping)) {
		say(exchange, 503, "stopping", "the service stops");
	} else if (!store_ready(admin->store, &why)) {
		buffer_byte(&why, '\0');
		say(exchange, 503, "store", why.data);
	} else {
		say(exchange, 200, "", "");
	}
	buffer_finish(&why);
}

static void
enqueue(struct admin *admin, struct http_exchange *exchange)
{
	struct query *query = memory_need(sizeof(*query));
	struct span who = SPAN("unknown");
	if (exchange->mark != 0) { /* whoever it says that it is */
		who = span_of(exchange->peer.text);
	} else {
		(void)fields_find(exchange->fields, SPAN("Hooklatch-Who"), &who);
	}
	query->admin = admin;
	query->loop = exchange->loop;
	query->exchange = exchange;
	query->method = span_copy(exchange->method);
	query->path = span_copy(exchange->path);
	query->query = span_copy(exchange->query);
	query->body = span_copy(buffer_view(&exchange->body));
	query->body_size = exchange->body.size;
	query->who = span_copy(who);
	buffer_init(&query->answer.body, ANSWER_MOST_BYTES);
	exchange->data = query;
	(void)pthread_mutex_lock(&admin->lock);
	*admin->last = query;
	admin->last = &query->next;
	(void)pthread_cond_signal(&admin->work);
	(void)pthread_mutex_unlock(&admin->lock);
}

static void
on_request(void *context, struct http_exchange *exchange)
{
	thread_is(&net_thread);
	struct admin *admin = context;
	if (span_equal(exchange->path, SPAN("/livez"))) {
		say(exchange, 200, "", "");
	} else if (span_equal(exchange->path, SPAN("/readyz"))) {
		say_ready(admin, exchange);
	} else {
		enqueue(admin, exchange);
	}
}

static void
on_refused(void *context, struct http_exchange *exchange, enum http_refusal refusal)
{
	thread_is(&net_thread);
	(void)context;
	static const int statuses[] = { [HTTP_MALFORMED] = 400,         [HTTP_TIMEOUT] = 408,
		                        [HTTP_HEADERS_TOO_LARGE] = 431, [HTTP_BODY_TOO_LARGE] = 413,
		                        [HTTP_OVERLOADED] = 503,        [HTTP_UNANSWERED] = 503 };
	say(exchange, statuses[refusal], "request",
	    exchange->wrong == NULL ? "refused" : exchange->wrong);
}

static void
on_gone(void *context, struct http_exchange *exchange)
{
	(void)context;
	struct query *query = exchange->data;
	if (query != NULL) {
		query->exchange = NULL;
		atomic_store(&query->gone, true);
	}
}

/* --- life --- */

static bool
listen_unix(struct admin *admin, const struct admin_options *options, struct error *err)
{
	struct buffer text;
	struct net_listen listen = { .mode = options->group == NULL ? 0600 : 0660,
		                     .group = options->group,
		                     .only_ours = true };
	buffer_init(&text, 4096);
	buffer_format(&text, "unix:%s", options->path);
	bool good = address_parse(buffer_view(&text), &listen.address, err) &&
	            net_listen(admin->net, &listen, err);
	buffer_finish(&text);
	return good || error_prefix(err, "admin");
}

static bool
listen_http(struct admin *admin, struct error *err)
{
	const struct settings *settings = &admin->started->settings;
	const struct admin_settings *all = settings->admin.items;
	for (size_t i = 0; i < settings->admin.count; i++) {
		struct net_listen listen = { .mark = i + 1 };
		if (all[i].http != NULL &&
		    (!address_parse(span_of(all[i].http), &listen.address, err) ||
		     !net_listen(admin->net, &listen, err))) {
			return error_prefix(err, "admin");
		}
	}
	return true;
}

void
admin_addresses(const struct admin *admin, struct buffer *out)
{
	buffer_byte(out, '[');
	for (size_t i = 1; i < net_listeners(admin->net); i++) { /* the first is the unix socket */
		buffer_text(out, i == 1 ? "\"" : ",\"");
		net_listener_text(admin->net, i, out);
		buffer_byte(out, '"');
	}
	buffer_byte(out, ']');
}

bool
admin_create(struct admin **ret, const struct admin_options *options, struct error *err)
{
	struct admin *admin = memory_need(sizeof(*admin));
	admin->store = options->store;
	admin->since_ns = options->since_ns;
	admin->engine = options->engine;
	admin->config = config_share(options->config);
	admin->started = config_share_settings(options->config);
	admin->last = &admin->first;
	(void)pthread_mutex_init(&admin->lock, NULL);
	pthread_condattr_t monotonic;
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&admin->work, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	struct net_limits limits = options->config->net_limits;
	limits.body = ADMIN_BODY_BYTES;
	limits.memory = ADMIN_MEMORY_BYTES;
	struct http_service service = { .context = admin,
		                        .head = on_head,
		                        .request = on_request,
		                        .refused = on_refused,
		                        .gone = on_gone };
	if (!net_create(&admin->net, 1, &limits, &service, err) ||
	    !listen_unix(admin, options, err) || !listen_http(admin, err)) {
		admin_destroy(admin);
		return false;
	}
	*ret = admin;
	return true;
}

bool
admin_start(struct admin *admin, struct error *err)
{
	for (size_t i = 0; i < QUERY_THREADS; i++) {
		if (!thread_start(&admin->threads[i], &query_thread, query_run, admin, err)) {
			return false;
		}
		admin->thread_count++;
	}
	return net_start(admin->net, err);
}

void
admin_set_config(struct admin *admin, struct config *config)
{
	(void)pthread_mutex_lock(&admin->lock);
	struct config *old = admin->config;
	admin->config = config_share(config);
	(void)pthread_mutex_unlock(&admin->lock);
	config_release(old);
}

void
admin_stopping(struct admin *admin)
{
	atomic_store(&admin->stopping, true);
	(void)pthread_mutex_lock(&admin->lock);
	(void)pthread_cond_broadcast(&admin->work);
	(void)pthread_mutex_unlock(&admin->lock);
}

void
admin_consumable(struct admin *admin, int64_t handler)
{
	(void)pthread_mutex_lock(&admin->lock);
	for (struct query *query = admin->parked; query != NULL; query = query->next) {
		if (query->answer.parks_handler == handler) {
			query->look_ns = 0;
			(void)pthread_cond_signal(&admin->work);
		}
	}
	(void)pthread_mutex_unlock(&admin->lock);
}

void
admin_end(struct admin *admin)
{
	if (admin == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&admin->lock);
	admin->ending = true;
	(void)pthread_cond_broadcast(&admin->work);
	(void)pthread_mutex_unlock(&admin->lock);
	for (size_t i = 0; i < admin->thread_count; i++) {
		(void)pthread_join(admin->threads[i], NULL);
	}
	admin->thread_count = 0;
	net_destroy(admin->net); /* no callback runs from now on */
	admin->net = NULL;
	(void)pthread_mutex_lock(&admin->lock); /* the store may still tell of something to take */
	struct query *lists[] = { admin->first, admin->parked };
	admin->first = NULL;
	admin->last = &admin->first;
	admin->parked = NULL;
	(void)pthread_mutex_unlock(&admin->lock);
	for (size_t i = 0; i < COUNT(lists); i++) {
		while (lists[i] != NULL) {
			struct query *query = lists[i];
			lists[i] = query->next;
			query_free(query);
		}
	}
}

void
admin_destroy(struct admin *admin)
{
	if (admin == NULL) {
		return;
	}
	admin_end(admin);
	config_release(admin->config);
	config_release_settings(admin->started);
	(void)pthread_mutex_destroy(&admin->lock);
	(void)pthread_cond_destroy(&admin->work);
	free(admin);
}
