/* The figures as Prometheus reads them (text format 0.0.4,
 * https://prometheus.io/docs/instrumenting/exposition_formats/). Names begin with hooklatch_; counters since the service's
 * start; labels are names of the configuration and closed sets of words alone. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sqlite3.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/metrics/metrics.h"

static void
head(struct buffer *out, const char *name, const char *type, const char *help)
{
	buffer_format(out, "# HELP hooklatch_%s %s\n# TYPE hooklatch_%s %s\n", name, help, name,
	              type);
}

/* A label's value: backslash, quote and line feed are escaped. Names of the configuration need none of it. */
static void
label(struct buffer *out, const char *name, struct span value)
{
	buffer_format(out, "%s=\"", name);
	for (size_t i = 0; i < value.size; i++) {
		if (value.data[i] == '\n') {
			buffer_text(out, "\\n");
			continue;
		}
		if (value.data[i] == '\\' || value.data[i] == '"') {
			buffer_byte(out, '\\');
		}
		buffer_byte(out, value.data[i]);
	}
	buffer_byte(out, '"');
}

static void
one(struct buffer *out, const char *name, const char *type, const char *help, double value)
{
	head(out, name, type, help);
	buffer_format(out, "hooklatch_%s %.17g\n", name, value);
}

static void
two_labels(struct buffer *out, const char *name, const char *first, struct span value,
           const char *second, const char *word, int64_t count)
{
	buffer_format(out, "hooklatch_%s{", name);
	label(out, first, value);
	buffer_byte(out, ',');
	label(out, second, span_of(word));
	buffer_format(out, "} %" PRId64 "\n", count);
}

static void
histogram(struct buffer *out, const struct histogram_view *view, const char *handler)
{
	struct buffer labels;
	buffer_init(&labels, 1024);
	if (handler != NULL) {
		label(&labels, "handler", span_of(handler));
	}
	const char *text = labels.data == NULL ? "" : labels.data;
	int size = (int)labels.size;
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		char bound[32] = "+Inf";
		if (i < HISTOGRAM_BOUNDS) {
			(void)snprintf(bound, sizeof(bound), "%g", view->bounds[i]);
		}
		buffer_format(out, "hooklatch_%s_bucket{%.*s%sle=\"%s\"} %" PRId64 "\n", view->name,
		              size, text, size > 0 ? "," : "", bound, view->counts[i]);
	}
	const char *open = size > 0 ? "{" : "";
	const char *close = size > 0 ? "}" : "";
	buffer_format(out, "hooklatch_%s_sum%s%.*s%s %.9g\n", view->name, open, size, text, close,
	              view->sum);
	buffer_format(out, "hooklatch_%s_count%s%.*s%s %" PRId64 "\n", view->name, open, size, text,
	              close, view->counts[HISTOGRAM_BOUNDS]);
	buffer_finish(&labels);
}

/* --- events --- */

static void
put_requests(struct buffer *out)
{
	struct source_view view;
	head(out, "http_requests_total", "counter", "Answers by source and status.");
	for (size_t i = 0; metrics_source(i, &view); i++) {
		int64_t codes[600] = { 0 };
		for (int word = 0; word < RESULTS; word++) {
			codes[result_row((enum result)word)->status] += view.answers[word];
		}
		for (int code = 0; code < (int)COUNT(codes); code++) {
			char text[16];
			(void)snprintf(text, sizeof(text), "%d", code);
			if (codes[code] > 0) {
				two_labels(out, "http_requests_total", "source", span_of(view.name),
				           "code", text, codes[code]);
			}
		}
	}
	head(out, "http_rejected_total", "counter", "Requests that were refused, by reason.");
	for (int word = RESULT_FIRST_REFUSAL; word < RESULTS; word++) {
		buffer_format(out, "hooklatch_http_rejected_total{reason=\"%s\"} %" PRId64 "\n",
		              result_row((enum result)word)->word,
		              metrics_answers((enum result)word));
	}
}

static void
put_sources(struct buffer *out)
{
	struct source_view view;
	head(out, "events_total", "counter", "Answers to events and requests, by source and word.");
	for (size_t i = 0; metrics_source(i, &view); i++) {
		for (int word = 0; word < RESULTS; word++) {
			if (view.answers[word] > 0) {
				two_labels(out, "events_total", "source", span_of(view.name),
				           "result", result_row((enum result)word)->word,
				           view.answers[word]);
			}
		}
	}
	head(out, "events_received_total", "counter", "Good events that came, new or not.");
	for (size_t i = 0; metrics_source(i, &view); i++) {
		buffer_text(out, "hooklatch_events_received_total{");
		label(out, "source", span_of(view.name));
		buffer_format(out, "} %" PRId64 "\n",
		              view.answers[RESULT_ACCEPTED] + view.answers[RESULT_DUPLICATE] +
		                      view.answers[RESULT_REVIVED]);
	}
	head(out, "events_duplicate_total", "counter", "Of them, those that had come before.");
	for (size_t i = 0; metrics_source(i, &view); i++) {
		for (int word = RESULT_DUPLICATE; word <= RESULT_REVIVED; word++) {
			two_labels(out, "events_duplicate_total", "source", span_of(view.name),
			           "result", result_row((enum result)word)->word,
			           view.answers[word]);
		}
	}
	put_requests(out);
	head(out, "answers_late_total", "counter",
	     "Answers that came after the provider stops waiting.");
	for (size_t i = 0; metrics_source(i, &view); i++) {
		buffer_text(out, "hooklatch_answers_late_total{");
		label(out, "source", span_of(view.name));
		buffer_format(out, "} %" PRId64 "\n", view.late);
	}
	head(out, "secret_matches_total", "counter",
	     "Good signatures, by the number of the secret that made them.");
	for (size_t i = 0; metrics_source(i, &view); i++) {
		for (int secret = 0; secret < METRICS_SECRETS_MOST; secret++) {
			char number[16];
			(void)snprintf(number, sizeof(number), "%d", secret + 1);
			if (view.secrets[secret] > 0) {
				two_labels(out, "secret_matches_total", "source",
				           span_of(view.name), "secret", number,
				           view.secrets[secret]);
			}
		}
	}
}

static void
put_answers(struct buffer *out)
{
	head(out, "answers_total", "counter", "Answers to events and requests, by word.");
	for (int word = 0; word < RESULTS; word++) {
		buffer_format(out,
		              "hooklatch_answers_total{result=\"%s\",code=\"%d\"} %" PRId64 "\n",
		              result_row((enum result)word)->word,
		              result_row((enum result)word)->status,
		              metrics_answers((enum result)word));
	}
	int64_t duplicates = metrics_answers(RESULT_DUPLICATE) + metrics_answers(RESULT_REVIVED);
	int64_t seen = duplicates + metrics_answers(RESULT_ACCEPTED);
	one(out, "dedup_hit_ratio", "gauge",
	    "Of all events that came, those that had come before; since the start.",
	    seen == 0 ? 0 : (double)duplicates / (double)seen);
	for (int metric = 0; metric < METRICS; metric++) {
		const struct metric_row *row = metrics_row((enum metric)metric);
		if (metric != METRIC_ATTEMPTS && metric != METRIC_ATTEMPTS_FAILED &&
		    metric != METRIC_CHECKPOINTS && metric != METRIC_CHECKPOINTS_FAILED) {
			one(out, row->name, "counter", row->help,
			    (double)metrics_read((enum metric)metric));
		}
	}
	one(out, "http_inflight", "gauge", "Requests between their head and their answer.",
	    (double)metrics_inflight_now());
	int64_t bad = metrics_read(METRIC_CHECKPOINTS_FAILED);
	head(out, "checkpoint_total", "counter", "Checkpoints of the write-ahead log.");
	buffer_format(out, "hooklatch_checkpoint_total{result=\"good\"} %" PRId64 "\n",
	              metrics_read(METRIC_CHECKPOINTS) - bad);
	buffer_format(out, "hooklatch_checkpoint_total{result=\"failed\"} %" PRId64 "\n", bad);
	for (int kind = 0; kind < HISTOGRAMS; kind++) {
		struct histogram_view view;
		metrics_histogram((enum histogram)kind, &view);
		head(out, view.name, "histogram", view.help);
		histogram(out, &view, NULL);
	}
}

/* --- handlers --- */

static bool
put_states(void *context, struct span name, const int64_t states[LEDGER_RECEIVED + 1])
{
	for (unsigned i = 0; i < DELIVERY_STATES; i++) {
		two_labels(context, "deliveries", "handler", name, "state",
		           delivery_state_name((enum delivery_state)i), states[i]);
	}
	return true;
}

static bool
put_received(void *context, struct span name, const int64_t states[LEDGER_RECEIVED + 1])
{
	buffer_text(context, "hooklatch_deliveries_received{");
	label(context, "handler", name);
	buffer_format(context, "} %" PRId64 "\n", states[LEDGER_RECEIVED]);
	return true;
}

static bool
put_depth(void *context, struct span handler, struct span reason, int64_t count)
{
	char *word = span_copy(reason);
	two_labels(context, "dead_letters", "handler", handler, "reason", word, count);
	free(word);
	return true;
}

static void
put_tries(struct buffer *out, const struct store *store)
{
	struct handler_view view;
	head(out, "attempts_total", "counter", "Tries of handlers, by what became of them.");
	for (int64_t i = 1; i <= store_handlers(store); i++) {
		for (int result = 0; metrics_handler(i, &view) && result < TRY_RESULTS; result++) {
			two_labels(out, "attempts_total", "handler",
			           span_of(store_handler_name(store, i)), "result",
			           metrics_try_name((enum try_result)result), view.tries[result]);
		}
	}
	for (int which = 0; which < 2; which++) {
		bool first = true;
		for (int64_t i = 1; i <= store_handlers(store); i++) {
			if (!metrics_handler(i, &view)) {
				continue;
			}
			const struct histogram_view *shown =
				which == 0 ? &view.duration : &view.wait;
			if (first) {
				head(out, shown->name, "histogram", shown->help);
			}
			first = false;
			histogram(out, shown, store_handler_name(store, i));
		}
	}
}

enum line_figure {
	LINE_BREAKER,
	LINE_TOKENS,
	LINE_SLOTS,
	LINE_PAUSED,
	LINE_FIGURES,
};

static const struct {
	const char *name;
	const char *help;
} line_figures[] = {
	[LINE_BREAKER] = { "breaker_state", "0 closed, 1 open, 2 half-open." },
	[LINE_TOKENS] = { "handler_retry_budget_tokens",
	                  "Tokens of the handler's own retry budget." },
	[LINE_SLOTS] = { "handler_slots_in_use", "Calls that run, of `concurrency`." },
	[LINE_PAUSED] = { "handler_paused", "1: an operator paused it." },
};

static bool
line_value(const struct store *store, int64_t handler, const struct line_view *view,
           enum line_figure figure, double *value)
{
	switch (figure) {
	case LINE_BREAKER: *value = (double)view->breaker; return view->watched;
	case LINE_TOKENS: *value = (double)view->tokens_milli / 1000.0; return view->has_budget;
	case LINE_SLOTS: *value = (double)view->in_use; return !view->consumed;
	case LINE_PAUSED: *value = store_handler_paused(store, handler) != 0 ? 1 : 0; return true;
	case LINE_FIGURES: break;
	}
	return false;
}

static void
put_lines(struct buffer *out, const struct api *api)
{
	for (int figure = 0; figure < LINE_FIGURES; figure++) {
		head(out, line_figures[figure].name, "gauge", line_figures[figure].help);
		for (int64_t i = 1; i <= store_handlers(api->store); i++) {
			struct line_view view;
			double value;
			if (engine_view(api->engine, i, &view) && view.configured &&
			    line_value(api->store, i, &view, (enum line_figure)figure, &value)) {
				buffer_format(out, "hooklatch_%s{", line_figures[figure].name);
				label(out, "handler", span_of(store_handler_name(api->store, i)));
				buffer_format(out, "} %.17g\n", value);
			}
		}
	}
	one(out, "retry_budget_tokens", "gauge", "Tokens of the global retry budget.",
	    (double)engine_tokens(api->engine) / 1000.0);
	int64_t free_ones = engine_shared_free(api->engine);
	head(out, "workers", "gauge", "Calls beyond the one that every handler has for itself.");
	buffer_format(out, "hooklatch_workers{state=\"free\"} %" PRId64 "\n", free_ones);
	buffer_format(out, "hooklatch_workers{state=\"busy\"} %" PRId64 "\n",
	              api->config->settings.workers - free_ones);
}

static bool
put_lag(struct buffer *out, const struct call_context *context, struct error *err)
{
	const struct store *store = context->api->store;
	head(out, "oldest_pending_age_seconds", "gauge",
	     "How long the oldest pending delivery has waited; 0: none is pending.");
	for (int64_t i = 1; i <= store_handlers(store); i++) {
		int64_t age_ns = -1;
		if (store_count(store, i, DELIVERY_PENDING) > 0 &&
		    !reader_oldest_pending(context->reader, i, &age_ns, err)) {
			return false;
		}
		buffer_text(out, "hooklatch_oldest_pending_age_seconds{");
		label(out, "handler", span_of(store_handler_name(store, i)));
		buffer_format(out, "} %.6f\n",
		              age_ns < 0 ? 0.0 : (double)age_ns / (double)NS_PER_S);
	}
	return true;
}

static int64_t
orphaned(const struct api *api)
{
	int64_t count = 0;
	for (int64_t i = 1; i <= store_handlers(api->store); i++) {
		const char *name = store_handler_name(api->store, i);
		count += config_handler_by_name(api->config, name) == NULL
		                 ? store_count(api->store, i, DELIVERY_PENDING)
		                 : 0;
	}
	return count;
}

/* --- the process and what lies beside it --- */

static void
put_certificates(struct buffer *out, const struct config *config)
{
	const struct listen_settings *listen = config->settings.listen.items;
	head(out, "tls_certificate_not_after_timestamp_seconds", "gauge",
	     "When the certificate of a listener ends.");
	for (size_t i = 0; i < config->settings.listen.count; i++) {
		if (listen[i].certificate == NULL) {
			continue;
		}
		char *path = config_path(config, listen[i].certificate);
		FILE *file = fopen(path, "re");
		X509 *certificate = file == NULL ? NULL : PEM_read_X509(file, NULL, NULL, NULL);
		struct tm end;
		if (certificate != NULL &&
		    ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1) {
			buffer_text(out, "hooklatch_tls_certificate_not_after_timestamp_seconds{");
			label(out, "listener", span_of(listen[i].https));
			buffer_format(out, "} %lld\n", (long long)timegm(&end));
		}
		X509_free(certificate);
		if (file != NULL) {
			(void)fclose(file);
		}
		free(path);
	}
}

static int64_t
open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int64_t count = -1;
	/* cppcheck-suppress readdirCalled ; the stream is this function's own */
	while (directory != NULL && readdir(directory) != NULL) {
		count++;
	}
	if (directory != NULL) {
		(void)closedir(directory);
	}
	return count - 2; /* "." and ".."; its own is the one that is not counted */
}

static void
put_process(struct buffer *out, const struct api *api)
{
	struct timespec cpu;
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (file != NULL) {
		if (fscanf(file, "%*s %ld", &pages) !=
		    1) { /* NOLINT(cert-err34-c): the kernel's own number */
			pages = 0;
		}
		(void)fclose(file);
	}
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	/* Names that every program has: without our prefix. */
	buffer_format(out,
	              "# HELP process_start_time_seconds When the service began.\n"
	              "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f\n"
	              "# HELP process_cpu_seconds_total CPU time of the service.\n"
	              "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.6f\n",
	              (double)api->since_ns / (double)NS_PER_S,
	              (double)cpu.tv_sec + (double)cpu.tv_nsec / (double)NS_PER_S);
	buffer_format(
		out,
		"# HELP process_resident_memory_bytes Resident memory.\n"
		"# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %.0f\n"
		"# HELP process_open_fds Open descriptors.\n"
		"# TYPE process_open_fds gauge\nprocess_open_fds %" PRId64 "\n",
		(double)pages * (double)sysconf(_SC_PAGESIZE), open_files());
	head(out, "build_info", "gauge", "What runs.");
	buffer_format(
		out,
		"hooklatch_build_info{version=\"%s\",sqlite=\"%s\",openssl=\"%s\",libevent=\"%s\"} 1\n",
		HOOKLATCH_VERSION, sqlite3_libversion(), OpenSSL_version(OPENSSL_VERSION_STRING),
		event_get_version());
}

static void
put_database_errors(struct buffer *out)
{
	static const struct {
		int code;
		const char *name;
	} codes[] = {
		{ SQLITE_ERROR, "error" },
		{ SQLITE_INTERNAL, "internal" },
		{ SQLITE_PERM, "perm" },
		{ SQLITE_ABORT, "abort" },
		{ SQLITE_BUSY, "busy" },
		{ SQLITE_LOCKED, "locked" },
		{ SQLITE_NOMEM, "nomem" },
		{ SQLITE_READONLY, "readonly" },
		{ SQLITE_INTERRUPT, "interrupt" },
		{ SQLITE_IOERR, "ioerr" },
		{ SQLITE_CORRUPT, "corrupt" },
		{ SQLITE_FULL, "full" },
		{ SQLITE_CANTOPEN, "cantopen" },
		{ SQLITE_PROTOCOL, "protocol" },
		{ SQLITE_SCHEMA, "schema" },
		{ SQLITE_TOOBIG, "toobig" },
		{ SQLITE_CONSTRAINT, "constraint" },
		{ SQLITE_MISMATCH, "mismatch" },
		{ SQLITE_MISUSE, "misuse" },
		{ SQLITE_AUTH, "auth" },
		{ SQLITE_RANGE, "range" },
		{ SQLITE_NOTADB, "notadb" },
	};
	head(out, "db_errors_total", "counter", "Errors of the database by SQLite's result code.");
	for (size_t i = 0; i < COUNT(codes); i++) {
		buffer_format(out, "hooklatch_db_errors_total{code=\"%s\"} %" PRId64 "\n",
		              codes[i].name, metrics_database_errors(codes[i].code));
	}
}

static void
put_store(struct buffer *out, const struct api *api)
{
	struct buffer why;
	buffer_init(&why, 4096);
	one(out, "ready", "gauge", "1: events are taken.", store_ready(api->store, &why) ? 1 : 0);
	buffer_finish(&why);
	one(out, "ledger_imbalance", "gauge",
	    "What the accounting identity is off by; anything but 0 is a defect.",
	    (double)store_imbalance(api->store));
	one(out, "orphaned_deliveries", "gauge", "Pending ones whose handler is not configured.",
	    (double)orphaned(api));
	one(out, "wal_bytes", "gauge", "Size of the write-ahead log.",
	    (double)store_wal_bytes(api->store));
	one(out, "db_free_bytes", "gauge", "Free space where the store is.",
	    (double)store_free_bytes(api->store));
	int64_t reloaded_ns;
	bool reload = metrics_reload(&reloaded_ns);
	one(out, "config_last_reload_success", "gauge", "0: the last new configuration was bad.",
	    reload ? 1 : 0);
	one(out, "config_last_reload_timestamp_seconds", "gauge",
	    "When the configuration was read last.",
	    (double)(reloaded_ns == 0 ? api->since_ns : reloaded_ns) / (double)NS_PER_S);
	one(out, "log_dropped_total", "counter", "Log lines that could not be written.",
	    (double)log_drops());
	head(out, "log_lines_total", "counter", "Log lines by level.");
	for (int level = 0; level < LOG_LEVELS; level++) {
		buffer_format(out, "hooklatch_log_lines_total{level=\"%s\"} %" PRId64 "\n",
		              log_level_name((enum log_level)level),
		              log_lines((enum log_level)level));
	}
	put_database_errors(out);
}

bool
exposition_write(const struct call_context *context, struct buffer *out, struct error *err)
{
	const struct api *api = context->api;
	if (api->engine == NULL || api->store == NULL) {
		return error_set(err, ERROR_UNREACHABLE, "figures are those of a running service");
	}
	put_answers(out);
	put_sources(out);
	head(out, "deliveries", "gauge", "Deliveries in the store, by handler and state.");
	bool good = reader_handlers(context->reader, put_states, out, err);
	head(out, "deliveries_received", "gauge", "Deliveries in the store, all states.");
	good = good && reader_handlers(context->reader, put_received, out, err);
	head(out, "dead_letters", "gauge", "Dead deliveries, by handler and reason.");
	good = good && reader_dead_depth(context->reader, put_depth, out, err) &&
	       put_lag(out, context, err);
	put_tries(out, api->store);
	put_lines(out, api);
	put_store(out, api);
	put_certificates(out, api->config);
	put_process(out, api);
	return good;
}
