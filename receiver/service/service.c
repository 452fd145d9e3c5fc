/* Order of start: limits, store (lock, WAL, database, migrations, claims), listeners, READY.
 * Order of stop: no more accepting and claiming at the same moment, what is on the wire is answered, handlers end or are
 * given back within `drain`, the last commit, exit 0. ARCHITECTURE section 5. */
#include "receiver/service/service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "receiver/admin/admin.h"
#include "receiver/base/clock.h"
#include "receiver/dispatch/engine.h"
#include "receiver/intake/intake.h"
#include "receiver/log/log.h"
#include "receiver/metrics/metrics.h"
#include "receiver/service/notify.h"
#include "receiver/service/watchdog.h"

#define CERTIFICATE_LOOK_NS (5 * NS_PER_S)
#define MEMORY_LOOK_NS      NS_PER_S
#define MEMORY_WORK \
	256 /* events, connections and their ends: they may leave much unused memory behind */
#define MEMORY_QUIET     64                /* of them in a second: nobody is kept waiting */
#define BROKEN_LINGER_NS (200 * NS_PER_MS) /* for the 503s that are under way */
#define STOP_STEP_NS     (10 * NS_PER_MS)
#define NET_LOOPS_MAX    8
#define PROXIES_MOST     64

static struct thread_role main_thread = { "main" };

struct service {
	const struct service_options *options;
	struct config *config;
	struct config *started; /* the one of the start: what needs a restart has its values */
	struct store *store;
	struct engine *engine;
	struct intake *intake;
	struct keyring *keyring;
	struct net *net;
	struct admin *admin;
	struct watchdog watchdog;
	int64_t work;         /* events, connections and their ends, at the last look */
	int64_t trimmed_work; /* when memory was given back */
	int signal_fd;
	int broken_fd;
	int64_t since_ns;
	int stops; /* how often it was told to stop */
};

/* --- what the store calls --- */

static void
on_arrived(void *context, struct arrival *const *arrivals, size_t count)
{
	struct service *service = context;
	intake_arrived(service->intake, arrivals, count);
}

static void
leave_mark(const struct service *service)
{
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s.suspect", store_path(service->store));
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		(void)close(fd);
	}
}

static void
on_broken(void *context, const struct error *err)
{
	struct service *service = context;
	struct log_line line;
	log_begin(
		&line, LOG_FATAL, "store.broken",
		"the store cannot be trusted any more: nothing is acknowledged, the service ends");
	log_error(&line, err);
	log_end(&line);
	leave_mark(service);
	(void)eventfd_write(service->broken_fd, 1);
}

static void
on_consumable(void *context, int64_t handler)
{
	struct service *service = context;
	if (service->admin != NULL) {
		admin_consumable(service->admin, handler);
	}
}

/* --- start --- */

static void
raise_limits(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL); /* a full disk is an answer, not an end */
}

static bool
open_signals(struct service *service, struct error *err)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	service->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	service->broken_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return (service->signal_fd >= 0 && service->broken_fd >= 0) ||
	       error_system(err, "signalfd");
}

/* Errors go to stderr as they are; what is only a warning is for the log, once that has begun: `warnings` is owned. */
static struct config *
load_config(const char *file, char **warnings)
{
	struct buffer report;
	buffer_init(&report, 1024 * 1024);
	struct config *config = config_load(file, CONFIG_TO_SERVE, &report);
	if (config == NULL) {
		(void)fwrite(report.data, 1, report.size, stderr);
	}
	*warnings = config != NULL && report.size > 0 ? span_copy(buffer_view(&report)) : NULL;
	buffer_finish(&report);
	return config;
}

static void
log_warnings(char *warnings)
{
	if (warnings != NULL) {
		log_say(LOG_WARN, "config.warnings", "%s", warnings);
	}
	free(warnings);
}

/* Tells the store the names in a configuration and puts the numbers into it. */
static bool
name_config(struct service *service, struct config *config, struct error *err)
{
	const char **handlers = memory_need((config->handler_count + 1) * sizeof(*handlers));
	const char **sources = memory_need((config->source_count + 1) * sizeof(*sources));
	int64_t *numbers = memory_need((config->handler_count + 1) * sizeof(*numbers));
	struct buffer gone;
	buffer_init(&gone, 65536);
	for (size_t i = 0; i < config->handler_count; i++) {
		handlers[i] = config->handlers[i].name;
	}
	for (size_t i = 0; i < config->source_count; i++) {
		sources[i] = config->sources[i].name;
	}
	struct store_names names = { handlers, config->handler_count, numbers,
		                     sources,  config->source_count,  &gone };
	bool good = store_name(service->store, &names, err);
	for (size_t i = 0; good && i < config->handler_count; i++) {
		config->handlers[i].number = numbers[i];
	}
	if (good && gone.size > 0) {
		buffer_byte(&gone, '\0');
		log_say(LOG_WARN, "source.gone",
		        "the store knows sources that are not configured: %s; a renamed source begins a new dedup space",
		        gone.data);
	}
	buffer_finish(&gone);
	free(handlers);
	free(sources);
	free(numbers);
	return good;
}

static void
warn_of_orphans(const struct service *service)
{
	for (int64_t i = 1; i <= store_handlers(service->store); i++) {
		const char *name = store_handler_name(service->store, i);
		int64_t pending = store_count(service->store, i, DELIVERY_PENDING);
		if (pending > 0 && config_handler_by_name(service->config, name) == NULL) {
			struct log_line line;
			log_begin(
				&line, LOG_WARN, "handler.orphaned",
				"%lld deliveries wait for the handler %s, which is not configured; they run when the name returns",
				(long long)pending, name);
			log_text(&line, "handler", span_of(name));
			log_number(&line, "orphaned", pending);
			log_end(&line);
		}
	}
}

static bool
listen_one(struct service *service, const struct listen_settings *settings, struct error *err)
{
	const struct config *config = service->config;
	const char *text = settings->https != NULL ? settings->https : settings->http;
	struct net_listen listen = { .mode = 0660 };
	struct buffer local;
	buffer_init(&local, 65536);
	if (strncmp(text, "unix:", 5) == 0) {
		char *path = config_path(config, text + 5);
		buffer_format(&local, "unix:%s", path);
		free(path);
	} else {
		buffer_text(&local, text);
	}
	bool parsed = address_parse(buffer_view(&local), &listen.address, err);
	buffer_finish(&local);
	if (!parsed) {
		return error_prefix(err, "%s", text);
	}
	char *certificate =
		settings->https == NULL ? NULL : config_path(config, settings->certificate);
	char *key = settings->https == NULL ? NULL : config_path(config, settings->key);
	struct network *networks = memory_need(PROXIES_MOST * sizeof(*networks));
	const char *const *proxies = settings->trusted_proxies.items;
	for (size_t i = 0; i < settings->trusted_proxies.count && i < PROXIES_MOST; i++) {
		if (network_parse(span_of(proxies[i]), &networks[listen.proxy_count])) {
			listen.proxy_count++;
		}
	}
	listen.certificate = certificate;
	listen.key = key;
	listen.proxies = networks;
	listen.only_proxies = settings->http != NULL && listen.proxy_count > 0 &&
	                      !address_loopback(&listen.address);
	bool good = net_listen(service->net, &listen, err);
	free(certificate);
	free(key);
	free(networks);
	return good;
}

static bool
open_listeners(struct service *service, struct error *err)
{
	const struct settings *settings = &service->config->settings;
	const struct listen_settings *listen = settings->listen.items;
	for (size_t i = 0; i < settings->listen.count; i++) {
		if (!listen_one(service, &listen[i], err)) {
			return false;
		}
	}
	return true;
}

static const char *
unix_group(const struct settings *settings)
{
	const struct admin_settings *admin = settings->admin.items;
	const char *group = NULL;
	for (size_t i = 0; i < settings->admin.count; i++) {
		group = admin[i].unix_path != NULL ? admin[i].group : group;
	}
	return group;
}

static bool
create_admin(struct service *service, struct error *err)
{
	const struct settings *settings = &service->config->settings;
	struct admin_options options = { .path = service->config->admin_path,
		                         .group = unix_group(settings),
		                         .store = service->store,
		                         .config = service->config,
		                         .since_ns = service->since_ns,
		                         .engine = service->engine };
	return admin_create(&service->admin, &options, err);
}

/* Files that tries of a killed life left behind. The store's lock is held: no other service has tries here. */
static bool
empty_scratch(const char *path, struct error *err)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST && errno != ENOSPC && errno != EDQUOT) {
		return error_system(err, "cannot make the directory %s", path);
	}
	DIR *directory = opendir(path);
	const struct dirent *entry;
	/* cppcheck-suppress readdirCalled ; the stream is this function's own */
	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		if (strncmp(entry->d_name, "headers-", 8) == 0) {
			(void)unlinkat(dirfd(directory), entry->d_name, 0);
		}
	}
	if (directory != NULL) {
		(void)closedir(directory);
	}
	return true;
}

static void
set_retention(const struct service *service, const struct config *config)
{
	const struct retention_settings *retention = &config->settings.retention;
	store_set_retention(service->store, retention->dedup_ns, retention->bodies_ns);
}

static bool
start(struct service *service, struct error *err)
{
	struct store_options options = { .path = service->config->store_path,
		                         .serving = true,
		                         .salvage_wal = service->options->salvage_wal };
	size_t cores = thread_cores();
	size_t loops = cores > NET_LOOPS_MAX ? NET_LOOPS_MAX : cores;
	if (!store_open(&service->store, &options, err) ||
	    !empty_scratch(service->config->scratch_path, err) ||
	    !name_config(service, service->config, err)) {
		return false;
	}
	thread_become(&main_thread);
	if (!engine_create(&service->engine, service->store, service->config, err) ||
	    !keyring_create(&service->keyring, service->config->keys_path, err) ||
	    !intake_create(&service->intake, loops, service->store, service->keyring, err)) {
		return false;
	}
	struct http_service http = intake_service(service->intake);
	net_inherit();
	if (!net_create(&service->net, loops, &service->config->net_limits, &http, err) ||
	    !open_listeners(service, err)) {
		return false;
	}
	if (net_inherited_left() > 0) {
		log_say(LOG_WARN, "listener.unused",
		        "%zu inherited sockets fit no address of the configuration",
		        net_inherited_left());
	}
	intake_set_config(service->intake, service->net, service->config, false);
	struct store_listener listener = { .answers = service,
		                           .arrived = on_arrived,
		                           .broken = on_broken };
	engine_listen(service->engine, &listener);
	set_retention(service, service->config);
	if (!create_admin(service, err)) {
		return false;
	}
	engine_set_consumable(service->engine, on_consumable, service);
	return store_start(service->store, &listener, err) &&
	       engine_run_setups(service->engine, NULL, service->config, err) &&
	       (engine_settle_orders(service->engine, NULL, service->config, err) ||
	        err->kind ==
	                ERROR_STORE_FULL) && /* keys that a crash left stuck wait for the next start */
	       engine_start(service->engine, err) &&
	       admin_start(service->admin, err) && keyring_start(service->keyring, err) &&
	       net_start(service->net, err);
}

static void
say_ready(const struct service *service)
{
	struct buffer list;
	buffer_init(&list, 65536);
	buffer_byte(&list, '[');
	for (size_t i = 0; i < net_listeners(service->net); i++) {
		buffer_text(&list, i == 0 ? "\"" : ",\"");
		net_listener_text(service->net, i, &list);
		buffer_byte(&list, '"');
	}
	buffer_text(&list, "]");
	buffer_byte(&list, '\0');
	struct log_line line;
	log_begin(&line, LOG_INFO, "service.ready", "hooklatch %s serves", HOOKLATCH_VERSION);
	log_raw(&line, "addresses", list.data);
	log_text(&line, "admin", span_of(service->config->admin_path));
	struct buffer admin;
	buffer_init(&admin, 65536);
	admin_addresses(service->admin, &admin);
	buffer_byte(&admin, '\0');
	log_raw(&line, "admin_addresses", admin.data);
	buffer_finish(&admin);
	log_number(&line, "pid", getpid());
	log_number(&line, "duration_ms", (clock_wall_ns() - service->since_ns) / NS_PER_MS);
	log_end(&line);
	buffer_finish(&list);
	notify("READY=1\nSTATUS=receiving");
}

/* --- reload --- */

static void
warn_of_restart(const struct service *service, const struct config *fresh)
{
	static const char *const keys[] = { "listen", "admin", "store", "workers" };
	for (size_t i = 0; i < COUNT(keys); i++) {
		if (!node_equal(node_child(service->started->root, keys[i]),
		                node_child(fresh->root, keys[i]))) {
			log_say(LOG_WARN, "config.restart_needed",
			        "%s: changed in the file; it keeps its value until a restart",
			        keys[i]);
		}
	}
	const struct log_settings_row *old = &service->started->settings.log;
	const struct log_settings_row *now = &fresh->settings.log;
	bool same_file = (old->file == NULL) == (now->file == NULL) &&
	                 (old->file == NULL || strcmp(old->file, now->file) == 0);
	if (old->format != now->format || !same_file) {
		log_say(LOG_WARN, "config.restart_needed",
		        "log: format and file keep their values until a restart");
	}
}

static void
reload(struct service *service)
{
	struct buffer report;
	struct error err;
	notify("RELOADING=1");
	log_reopen();
	buffer_init(&report, 1024 * 1024);
	struct config *fresh =
		config_load(service->options->config_file, CONFIG_TO_RELOAD, &report);
	buffer_byte(&report, '\0');
	if (fresh != NULL && (!name_config(service, fresh, &err) ||
	                      !engine_run_setups(service->engine, service->config, fresh, &err))) {
		report.size = 0;
		buffer_text(&report, err.text);
		buffer_byte(&report, '\0');
		config_release(fresh);
		fresh = NULL;
	}
	struct log_line line;
	metrics_reloaded(fresh != NULL, clock_wall_ns());
	if (fresh == NULL) {
		log_begin(&line, LOG_ERROR, "config.reload_failed",
		          "the new configuration is bad; the old one runs on");
		log_text(&line, "error_type", SPAN("invalid"));
		log_text(&line, "error", span_of(report.data));
		log_end(&line);
	} else {
		warn_of_restart(service, fresh);
		log_set_level((enum log_level)fresh->settings.log.level);
		net_set_limits(service->net, &fresh->net_limits);
		net_reload_certificates(service->net);
		engine_set_config(service->engine, fresh);
		set_retention(service, fresh);
		intake_set_config(service->intake, service->net, fresh, true);
		admin_set_config(service->admin, fresh);
		if (!engine_settle_orders(service->engine, service->config, fresh, &err)) {
			log_say(LOG_ERROR, "order.unsettled", "%s", err.text);
		}
		config_release(service->config);
		service->config = fresh;
		log_begin(&line, LOG_INFO, "config.reloaded", "the new configuration is in force");
		if (report.size > 1) {
			log_text(&line, "warnings", span_of(report.data));
		}
		log_end(&line);
		warn_of_orphans(service);
	}
	buffer_finish(&report);
	notify("READY=1");
}

/* --- stop --- */

static void
read_signals(struct service *service)
{
	struct signalfd_siginfo info;
	while (read(service->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP && service->stops == 0) {
			reload(service);
		} else if (info.ssi_signo != SIGHUP) {
			service->stops++;
		}
	}
}

static void NORETURN
leave_broken(void)
{
	struct timespec linger = { 0, BROKEN_LINGER_NS };
	(void)nanosleep(&linger, NULL); /* the last 503s */
	log_stop();
	_exit(1); /* never through sqlite3_close() */
}

static void
look_at_broken(const struct service *service)
{
	eventfd_t value;
	if (eventfd_read(service->broken_fd, &value) == 0) {
		leave_broken();
	}
}

/* A thread that stands still will not be waited for: no lock is asked for that it may hold, but the log's. */
static void
look_at_watchdog(struct service *service)
{
	int64_t stall_ns = service->config->settings.limits.stall_timeout_ns;
	const char *thread = watchdog_look(&service->watchdog, stall_ns);
	if (thread == NULL) {
		return;
	}
	struct log_line line;
	log_begin(
		&line, LOG_FATAL, "service.stalled",
		"the thread %s has stood still for more than %lld s: the service ends, to be started anew",
		thread, (long long)(stall_ns / NS_PER_S));
	log_text(&line, "thread", span_of(thread));
	log_end(&line);
	leave_broken();
}

static void
look_at_lock(struct service *service)
{
	struct error err;
	if (!store_owned(service->store, &err)) {
		on_broken(service, &err);
	}
}

/* What a burst has used and freed stays resident until it is asked for; it is, in a quiet moment. */
static void
give_back_memory(struct service *service)
{
	int64_t closed = metrics_read(METRIC_CONNECTIONS) - net_connections(service->net);
	int64_t work =
		metrics_read(METRIC_CONNECTIONS) + closed + metrics_read(METRIC_COMMIT_EVENTS);
	bool quiet = work - service->work < MEMORY_QUIET;
	service->work = work;
	if (quiet && work - service->trimmed_work >= MEMORY_WORK) {
		(void)malloc_trim(0);
		service->trimmed_work = work;
	}
}

/* Waits for a signal, the store's end, or the time. */
static void
wait_for_something(struct service *service, int64_t ns)
{
	struct pollfd fds[] = { { .fd = service->signal_fd, .events = POLLIN },
		                { .fd = service->broken_fd, .events = POLLIN } };
	struct timespec timeout = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = ns % NS_PER_S };
	(void)ppoll(fds, COUNT(fds), &timeout, NULL);
	look_at_broken(service);
	read_signals(service);
}

static void
drain(struct service *service)
{
	int64_t drain_ns = service->config->settings.drain_ns;
	int64_t begun_ns = clock_boot_ns();
	/* Handlers are asked to end early enough to be killed and given back within `drain`. */
	int64_t grace_ns =
		drain_ns / 4 < HANDLER_KILL_AFTER_NS ? drain_ns / 4 : HANDLER_KILL_AFTER_NS;
	bool asked = false;
	bool killed = false;
	for (;;) {
		int64_t passed_ns = clock_boot_ns() - begun_ns;
		bool wire_done = net_stopped(service->net) && intake_waiting(service->intake) == 0;
		bool late = passed_ns >= drain_ns;
		if (engine_running(service->engine) == 0 && (wire_done || late)) {
			return;
		}
		if (late && engine_calls(service->engine) == 0) {
			return; /* what the store has not taken until now, the disk being full, stays */
		}
		if (!asked && (passed_ns >= drain_ns - grace_ns || service->stops > 1)) {
			asked = true;
			engine_end_handlers(service->engine, false);
		}
		if (!killed && asked && (passed_ns >= drain_ns || service->stops > 1)) {
			killed = true;
			engine_end_handlers(service->engine, true);
		}
		wait_for_something(service, STOP_STEP_NS);
	}
}

static void
stop(struct service *service)
{
	log_say(LOG_INFO, "service.stopping",
	        "no more events are taken; what runs has %lld s to end",
	        (long long)(service->config->settings.drain_ns / NS_PER_S));
	notify("STOPPING=1");
	admin_stopping(service->admin);
	engine_stop_claiming(service->engine);
	net_stop_accepting(service->net);
	drain(service);
}

/* Returns how many results were not written. */
static int64_t
tear_down(struct service *service)
{
	keyring_stop(service->keyring);
	admin_end(service->admin); /* its queries may wait for the store */
	engine_stop(service->engine);
	int64_t lost = service->store == NULL ? 0 : store_stop(service->store);
	admin_destroy(service->admin);
	net_destroy(service->net);
	engine_destroy(service->engine);
	store_close(service->store); /* until here a loop or a worker may submit */
	intake_destroy(service->intake);
	keyring_destroy(service->keyring);
	config_release(service->config);
	if (service->signal_fd >= 0) {
		(void)close(service->signal_fd);
	}
	if (service->broken_fd >= 0) {
		(void)close(service->broken_fd);
	}
	config_release_settings(service->started);
	return lost;
}

/* Returns the process's exit code. */
static int
end(struct service *service, bool good)
{
	int64_t lost = tear_down(service);
	if (good && lost > 0) {
		log_say(LOG_ERROR, "service.stopped",
		        "the store could not take the results of %lld tries that ended: these count as crashed at the next start",
		        (long long)lost);
	} else if (good) {
		log_say(LOG_INFO, "service.stopped", "everything is given back");
	}
	log_stop();
	return good && lost == 0 ? 0 : 1;
}

static void
run(struct service *service)
{
	int64_t certificates_ns = clock_boot_ns() + CERTIFICATE_LOOK_NS;
	int64_t watchdog_ns = 0;
	int64_t memory_ns = 0;
	service->trimmed_work = -MEMORY_WORK; /* once after the start */
	service->watchdog =
		(struct watchdog){ service->store, service->engine, service->net, 0, 0 };
	while (service->stops == 0) {
		int64_t now = clock_boot_ns();
		if (now >= certificates_ns) {
			net_reload_certificates(service->net);
			look_at_lock(service);
			certificates_ns = now + CERTIFICATE_LOOK_NS;
		}
		if (now >= watchdog_ns) {
			look_at_watchdog(service);
			watchdog_ns =
				now + watchdog_period_ns(
					      service->config->settings.limits.stall_timeout_ns);
		}
		if (now >= memory_ns) {
			give_back_memory(service);
			memory_ns = now + MEMORY_LOOK_NS;
		}
		int64_t next_ns = certificates_ns < watchdog_ns ? certificates_ns : watchdog_ns;
		wait_for_something(service, (next_ns < memory_ns ? next_ns : memory_ns) - now);
	}
	stop(service);
}

static void
log_failure(const struct error *err)
{
	struct log_line line;
	log_begin(&line, LOG_FATAL, "service.failed", "%s", err->text);
	log_error(&line, err);
	log_end(&line);
}

int
service_run(const struct service_options *options)
{
	struct service service = { .options = options,
		                   .signal_fd = -1,
		                   .broken_fd = -1,
		                   .since_ns = clock_wall_ns() };
	struct error err;
	thread_become(&main_thread);
	(void)close_range(STDERR_FILENO + 1, ~0U,
	                  CLOSE_RANGE_CLOEXEC); /* whatever was left open: not for handlers */
	raise_limits();
	char *warnings;
	service.config = load_config(options->config_file, &warnings);
	if (service.config == NULL) {
		return 2;
	}
	service.started = config_share_settings(service.config);
	const struct log_settings_row *log = &service.config->settings.log;
	char *log_file = log->file == NULL ? NULL : config_path(service.config, log->file);
	/* The table of levels leaves out fatal, which cannot be asked for. */
	bool good =
		log_start((enum log_format)log->format, (enum log_level)log->level, log_file, &err);
	free(log_file);
	if (!good) {
		(void)fprintf(stderr, "hooklatch: %s\n", err.text);
		free(warnings);
		config_release(service.config);
		config_release_settings(service.started);
		return 1;
	}
	log_warnings(warnings);
	good = open_signals(&service, &err) && start(&service, &err);
	if (good) {
		warn_of_orphans(&service);
		say_ready(&service);
		run(&service);
	} else {
		log_failure(&err);
	}
	return end(&service, good);
}
