/* The configuration as a whole: what no single row can say, and what becomes of a good file. */
#include "tests/unit/check.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/units.h"
#include "receiver/config/config.h"

static char directory[64];

static void
write_file(const char *name, const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "w");
	ALWAYS(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, "test-file");
}

static struct config *
load(const char *text, enum config_purpose purpose, char **report)
{
	char path[128];
	struct buffer out;
	write_file("h.yaml", text);
	(void)snprintf(path, sizeof(path), "%s/h.yaml", directory);
	buffer_init(&out, 65536);
	struct config *config = config_load(path, purpose, &out);
	*report = buffer_steal(&out);
	return config;
}

#define SOURCE   "  s: { path: /s, provider: github, secrets: [ { env: X } ] }\n"
#define SOURCES  "sources:\n" SOURCE
#define HANDLER  "  h: { on: [ s/* ], log: {} }\n"
#define HANDLERS "handlers:\n" HANDLER
#define HMAC     "sources:\n  s:\n    path: /s\n    provider: hmac\n    secrets: [ { env: X } ]\n"
#define SIGNED   "    signature: { header: X-S, signed: \"{body}\" }\n"
#define ID       "    event_id: { header: X-Id }\n"

struct row {
	const char *text;
	const char *told; /* in the report; NULL: nothing is told */
};

/* `errors`: the file is refused; else it is taken, with or without a warning. */
static void
judged(const struct row *rows, size_t count, bool errors)
{
	for (size_t i = 0; i < count; i++) {
		char *report;
		struct config *config = load(rows[i].text, CONFIG_TO_READ, &report);
		CHECK_ROW((config == NULL) == errors, "%s\n%s", rows[i].text, report);
		CHECK_ROW(rows[i].told == NULL ? report[0] == '\0'
		                               : strstr(report, rows[i].told) != NULL,
		          "%s in\n%s%s", rows[i].told, rows[i].text, report);
		free(report);
		config_release(config);
	}
}

static void
listeners_are_checked(void)
{
	static const struct row rows[] = {
		{ "listen: []\n" SOURCES HANDLERS, ":1:1: error: listen: at least one address" },
		{ "listen: [ { certificate: a } ]\n" SOURCES HANDLERS,
		  ":1:11: error: listen: exactly one of https and http" },
		{ "listen: [ { https: \"0.0.0.0:1\", http: \"127.0.0.1:2\" } ]\n" SOURCES HANDLERS,
		  "listen: exactly one of https and http" },
		{ "listen: [ { https: \"0.0.0.0:1\" } ]\n" SOURCES HANDLERS,
		  "https: certificate and key are needed" },
		{ "listen: [ { https: \"0.0.0.0:1\", certificate: a } ]\n" SOURCES HANDLERS,
		  "https: certificate and key are needed" },
		{ "listen: [ { https: \"unix:/x\", certificate: a, key: b } ]\n" SOURCES HANDLERS,
		  "https: a unix socket is for http" },
		{ "listen: [ { http: \"127.0.0.1:1\", certificate: a } ]\n" SOURCES HANDLERS,
		  "certificate: belongs to https" },
		{ "listen: [ { http: \"0.0.0.0:80\" } ]\n" SOURCES HANDLERS,
		  "http: off loopback only with trusted_proxies" },
		{ "listen: [ { http: \"[::]:80\" } ]\n" SOURCES HANDLERS,
		  "http: off loopback only with trusted_proxies" },
		{ "listen: [ { http: \"0.0.0.0:80\", trusted_proxies: [] } ]\n" SOURCES HANDLERS,
		  "http: off loopback only with trusted_proxies" },
		{ "listen: [ { http: \"0.0.0.0:80\", trusted_proxies: [ 10.0.0.0/33 ] } ]\n" SOURCES
		          HANDLERS,
		  "trusted_proxies: \"10.0.0.0/33\" is no network" },
		{ "listen: [ { http: \"example.com:80\" } ]\n" SOURCES HANDLERS,
		  "http: expected a numeric address" },
		{ "listen: [ { http: 127.0.0.1 } ]\n" SOURCES HANDLERS,
		  "http: expected ADDRESS:PORT" },
		{ "listen: [ { http: \"unix:/tmp/x\" } ]\nsources:\n  s: { path: /s, provider: github, "
		  "secrets: [ { env: X } ], allow: [ 10.0.0.0/8 ] }\n" HANDLERS,
		  "http: a source has `allow`, and a unix socket knows no addresses" },
		{ "listen: [ { htp: \"127.0.0.1:1\" } ]\n" SOURCES HANDLERS,
		  "unknown key \"htp\"; did you mean \"http\"?" },
	};
	judged(rows, COUNT(rows), true);
	static const struct row good[] = {
		{ "listen: [ { http: \"127.0.0.1:0\" }, { http: \"unix:/tmp/x\" } ]\n" SOURCES
		          HANDLERS,
		  NULL },
		{ "listen: [ { http: \"0.0.0.0:80\", trusted_proxies: [ 10.0.0.0/8 ] } ]\n" SOURCES
		          HANDLERS,
		  NULL },
		{ "listen: [ { https: \"[::]:443\", certificate: a, key: b } ]\n" SOURCES HANDLERS,
		  NULL },
	};
	judged(good, COUNT(good), false);
}

static void
admin_store_and_limits_are_checked(void)
{
	static const struct row rows[] = {
		{ "admin: [ { group: ops } ]\n" SOURCES HANDLERS,
		  ":1:10: error: admin: exactly one of unix and http is needed" },
		{ "admin: [ { unix: a, http: \"127.0.0.1:9080\" } ]\n" SOURCES HANDLERS,
		  "admin: exactly one of unix and http is needed" },
		{ "admin: [ { http: \"0.0.0.0:9080\" } ]\n" SOURCES HANDLERS,
		  ":1:19: error: http: off loopback the key \"token\" is needed" },
		{ "admin: [ { unix: a, token: { env: X } } ]\n" SOURCES HANDLERS,
		  "token: belongs to http" },
		{ "admin: [ { http: \"127.0.0.1:1\", token: { env: X, file: y } } ]\n" SOURCES
		          HANDLERS,
		  "token: exactly one of env, file and credential is needed" },
		{ "admin: [ { http: \"unix:/x\" } ]\n" SOURCES HANDLERS, "http: ADDRESS:PORT" },
		{ "admin:\n  - unix: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" SOURCES HANDLERS,
		  "admin: the path of a unix socket has at most 107 bytes" },
		{ "store: mysql:x\n" SOURCES HANDLERS, ":1:8: error: store: expected sqlite:" },
		{ "store: \"sqlite:\"\n" SOURCES HANDLERS, "store: expected sqlite:" },
		{ "retention: { dedup: 1d, bodies: 2d }\n" SOURCES HANDLERS,
		  "bodies: longer than dedup" },
		{ "retention: 1h\nsources:\n  s: { path: /s, provider: stripe, secrets: [ { env: X } ] }\n" HANDLERS,
		  ":1:12: error: retention: dedup is shorter than stripe repeats its events (3d)" },
		{ "workers: 1025\n" SOURCES HANDLERS, "workers: 1025 is out of range: 0 to 1024" },
		{ "limits: { body: 1 }\n" SOURCES HANDLERS, "body: expected a size with its unit" },
		{ "limits: { header_count: 257 }\n" SOURCES HANDLERS,
		  "header_count: 257 is out of range: 8 to 256" },
		{ "limits: { bdy: 1MiB }\n" SOURCES HANDLERS,
		  "unknown key \"bdy\"; did you mean \"body\"?" },
		{ "limits: { body: 2MiB, memory: 1MiB }\n" SOURCES HANDLERS, "limits.memory" },
		{ "log: { level: verbose }\n" SOURCES HANDLERS, "level: \"verbose\" is none of" },
		{ "drain: 30\n" SOURCES HANDLERS, "drain: expected a duration" },
		{ SOURCES, "the key \"handlers\" is missing" },
		{ HANDLERS, "the key \"sources\" is missing" },
		{ "handler:\n" HANDLER SOURCES,
		  ":1:1: error: unknown key \"handler\"; did you mean \"handlers\"?" },
	};
	judged(rows, COUNT(rows), true);
}

/* rows.c: at least 1/h. A rate of nothing would leave every retry waiting for ever. */
static void
a_budget_of_nothing_is_refused(void)
{
	static const struct row rows[] = {
		{ "retry_budget: { rate: 0/s }\n" SOURCES HANDLERS, "rate: 0/s is out of range" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, retry_budget: { rate: 0/s, "
		          "burst: 1 } }\n",
		  "rate: 0/s is out of range" },
		{ "retry_budget: { burst: 0 }\n" SOURCES HANDLERS, "burst: 0 is out of range" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, retry_budget: { burst: 1 } }\n",
		  "the key \"rate\" is missing" },
	};
	judged(rows, COUNT(rows), true);
}

/* rows.c: give_up_after at most 365d. */
static void
a_handler_may_give_up_after_a_year(void)
{
	static const struct row good[] = {
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, retry: { give_up_after: 200d } "
		          "}\n",
		  NULL },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, retry: { give_up_after: 365d } "
		          "}\n",
		  NULL },
	};
	judged(good, COUNT(good), false);
	static const struct row rows[] = {
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, retry: { give_up_after: 366d } "
		          "}\n",
		  "give_up_after: 366d is out of range: 1ms to 365d" },
	};
	judged(rows, COUNT(rows), true);
}

static void
sources_are_checked(void)
{
	static const struct row rows[] = {
		{ "sources:\n  hooklatch: { path: /s, provider: github, secrets: [ { env: X } ] "
		  "}\nhandlers: {}\n",
		  ":2:3: error: the name hooklatch is kept" },
		{ "sources:\n  S: { path: /s, provider: github, secrets: [ { env: X } ] }\n"
		  "handlers: {}\n",
		  ":2:3: error: \"S\": a name is 1 to 64 of" },
		{ "sources:\n  s: { path: /s, provider: githb, secrets: [ { env: X } ] }\n" HANDLERS,
		  ":2:28: error: provider: there is no preset \"githb\"; did you mean \"github\"?" },
		{ "sources:\n  s: { path: /s, provider: nobody-knows, secrets: [ { env: X } ] "
		  "}\n" HANDLERS,
		  "there is no preset \"nobody-knows\"; `hooklatch providers` lists them" },
		{ "sources:\n  s: { path: s, provider: github, secrets: [ { env: X } ] }\n" HANDLERS,
		  "path: begins with \"/\"" },
		{ "sources:\n  s: { path: \"/s?x\", provider: github, secrets: [ { env: X } ] "
		  "}\n" HANDLERS,
		  "path: begins with \"/\"" },
		{ SOURCES "  t: { path: /s, provider: github, secrets: [ { env: X } ] }\n" HANDLERS,
		  ":3:14: error: path: the source s has it already" },
		{ "sources:\n  s: { provider: github, secrets: [ { env: X } ] }\n" HANDLERS,
		  "the key \"path\" is missing" },
		{ "sources:\n  s: { path: /s, secrets: [ { env: X } ] }\n" HANDLERS,
		  "the key \"provider\" is missing" },
		{ "sources:\n  s: { path: /s, provider: github }\n" HANDLERS,
		  "provider: github needs the key \"secrets\"" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [] }\n" HANDLERS,
		  "there is no way to switch verification off" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ {} ] }\n" HANDLERS,
		  "secrets: exactly one of env, file and credential" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: X, file: y } ] "
		  "}\n" HANDLERS,
		  "secrets: exactly one of env, file and credential" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: X, until: soon } ] "
		  "}\n" HANDLERS,
		  "until: expected an RFC 3339 date or date-time" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: X } ], allow: [ "
		  "192.30.252.0/222 ] }\n" HANDLERS,
		  "allow: \"192.30.252.0/222\" is no network" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: X } ], tolerance: "
		  "5m }\n" HANDLERS,
		  "tolerance: this scheme has no signed time" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: X } ], signature: "
		  "{ header: X } }\n" HANDLERS,
		  "signature: belongs to provider: hmac; github brings its own" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: X } ], ack: { "
		  "status: 301 } }\n" HANDLERS,
		  "status: 301 is out of range: 200 to 299" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: X } ], body_limit: "
		  "1GiB }\n" HANDLERS,
		  "does not fit limits.memory" },
		{ "sources:\n  s: { path: /s, provider: github, secrets: [ { env: A }, { env: A }, "
		  "{ env: A }, { env: A }, { env: A }, { env: A }, { env: A }, { env: A }, { env: A }, "
		  "{ env: A }, { env: A }, { env: A }, { env: A }, { env: A }, { env: A }, { env: A }, "
		  "{ env: A } ] }\n" HANDLERS,
		  "secrets: more than 16" },
	};
	judged(rows, COUNT(rows), true);
}

static void
hmac_schemes_are_checked(void)
{
	static const struct row rows[] = {
		{ HMAC ID HANDLERS, ":4:5: error: provider: hmac needs the key \"signature\"" },
		{ HMAC SIGNED HANDLERS, "provider: hmac needs the key \"event_id\"" },
		{ HMAC ID "    signature: { signed: \"{body}\" }\n" HANDLERS,
		  "signature: the key \"header\" is needed" },
		{ HMAC ID "    signature: { header: X, signed: \"{body}{payload}\" }\n" HANDLERS,
		  "signed: \"{payload}\" is none of {timestamp}" },
		{ HMAC ID "    signature: { header: X, signed: \"{id}\" }\n" HANDLERS,
		  "signed: without {body} anybody could alter the body" },
		{ HMAC ID "    signature: { header: X, signed: \"{timestamp}{body}\" }\n" HANDLERS,
		  "signed: {timestamp} needs `timestamp:`" },
		{ HMAC "    event_id: { json: /id }\n    signature: { header: X, signed: "
		       "\"{id}{body}\" }\n" HANDLERS,
		  "signed: {id} needs `event_id: { header: … }`" },
		{ HMAC ID "    signature: { header: X, signed: \"{url}{body}\" }\n" HANDLERS,
		  "provider: hmac needs the key \"public_url\": the scheme signs the URL" },
		{ HMAC ID "    signature: { header: X, separator: \", \" }\n" HANDLERS,
		  "separator: one character" },
		{ HMAC ID "    signature: { header: X, timestamp_prefix: \"t=\" }\n" HANDLERS,
		  "timestamp_prefix: needs a separator" },
		{ HMAC ID
		  "    signature: { header: X, separator: \",\", timestamp_prefix: \"t=\" }\n"
		  "    timestamp: { header: X-T }\n" HANDLERS,
		  "timestamp: only from and unit may stand beside signature.timestamp_prefix" },
		{ HMAC SIGNED ID "    timestamp: { unit: seconds }\n" HANDLERS,
		  "timestamp: exactly one of header and json" },
		{ HMAC SIGNED ID "    timestamp: { header: X, json: /t }\n" HANDLERS,
		  "timestamp: exactly one of header and json" },
		{ HMAC SIGNED ID "    timestamp: { json: t }\n" HANDLERS,
		  "json: a JSON pointer is empty or begins" },
		{ HMAC SIGNED ID "    timestamp: { header: X, unit: s }\n" HANDLERS,
		  "unit: \"s\" is none of: seconds, milliseconds, rfc3339" },
		{ HMAC SIGNED "    event_id: {}\n" HANDLERS,
		  "event_id: exactly one of header, json, form, parts, value and generated" },
		{ HMAC SIGNED "    event_id: { header: X, json: /id }\n" HANDLERS,
		  "event_id: exactly one of header, json, form, parts, value and generated" },
		{ HMAC SIGNED "    event_id: made\n" HANDLERS, "generated" },
		{ HMAC SIGNED "    event_id: { json: id }\n" HANDLERS,
		  "json: a JSON pointer is empty or begins" },
		{ HMAC SIGNED "    event_id: { json: /~2 }\n" HANDLERS,
		  "json: a JSON pointer is empty or begins" },
		{ HMAC SIGNED "    event_id: { parts: [ /a, /~b ] }\n" HANDLERS,
		  "parts: a JSON pointer is empty or begins" },
		{ HMAC SIGNED
		  "    event_id: { parts: [ /1, /2, /3, /4, /5, /6, /7, /8, /9 ] }\n" HANDLERS,
		  "parts: more than 8" },
		{ HMAC SIGNED ID "    event_type: { generated: generated }\n" HANDLERS,
		  "event_type: a type cannot be generated" },
		{ HMAC ID "    signature: { header: X, algorithm: md5 }\n" HANDLERS,
		  "algorithm: \"md5\" is none of: sha256, sha1" },
	};
	judged(rows, COUNT(rows), true);
	static const struct row good[] = {
		{ HMAC SIGNED ID HANDLERS, NULL },
		{ HMAC SIGNED "    event_id: generated\n" HANDLERS,
		  "warning: event_id: generated: repeats of s cannot be recognised" },
		{ HMAC SIGNED "    event_id: { parts: [ /a, X-Id ] }\n" HANDLERS, NULL },
		{ HMAC SIGNED ID "    timestamp: { header: X-T }\n" HANDLERS,
		  "warning: the timestamp is not signed" },
	};
	judged(good, COUNT(good), false);
}

static void
handlers_are_checked(void)
{
	static const struct row rows[] = {
		{ SOURCES "handlers:\n  h: { on: [], log: {} }\n",
		  ":4:8: error: on: at least one source/type" },
		{ SOURCES "handlers:\n  h: { log: {} }\n", "the key \"on\" is missing" },
		{ SOURCES "handlers:\n  h: { on: [ push ], log: {} }\n",
		  ":4:14: error: on: expected source/type" },
		{ SOURCES "handlers:\n  h: { on: [ ss/push ], log: {} }\n",
		  "on: there is no source \"ss\"; did you mean \"s\"?" },
		{ SOURCES "handlers:\n  h: { on: [ completely/push ], log: {} }\n",
		  "on: there is no source \"completely\"\n" },
		{ SOURCES "handlers:\n  h: { on: [ [ s/push ] ], log: {} }\n", "on: expected" },
		{ SOURCES "handlers:\n  h: { on: [ hooklatch/* ], log: {} }\n",
		  "on: our own happenings are named in full" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ] }\n",
		  ":4:3: error: h: exactly one of exec, http, sql, pull and log" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, exec: [ /bin/true ] }\n",
		  "h: exactly one of exec" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], exec: [] }\n",
		  "exec: the program is missing" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], exec: [ \"\" ] }\n",
		  "exec: the program is missing" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], exec: /bin/true }\n",
		  "exec: expected a list of texts" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, environment: [ A ] }\n",
		  "environment: belongs to exec" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], http: { url: x } }\n",
		  ":4:29: error: url: begins with https:// or http://" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, order_by: id }\n",
		  "order_by: a JSON pointer is empty or begins" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, on_dead: hold }\n",
		  "on_dead: belongs to order_by" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, breaker: { cooldown: 1h } }\n",
		  "max_cooldown: shorter than cooldown" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], pull: {}, breaker: { failures: 2 } }\n",
		  "breaker: does not apply to pull" },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], pull: {}, guarantee: at-most-once, why: x }\n",
		  "guarantee: pull cannot keep this one" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], sql: SELECT 1, timeout: 2s }\n",
		  "timeout: with sql at most 1s" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], sql: \"SELECT * FROM events\" }\n",
		  "sql: the table events is hooklatch's own" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], sql: \"SELECT 1, nope\" }\n",
		  ":4:37: error: sql: no such column: nope" },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], http: { url: \"https://x\" }, guarantee: effectively-once, why: x }\n",
		  "guarantee: http cannot keep effectively-once here" },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], http: { url: \"https://x\" }, destination_deduplicates: 1h, guarantee: effectively-once, why: x }\n",
		  "destination_deduplicates: shorter than retry.give_up_after and timeout together" },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], log: {}, guarantee: effectively-once, why: "
		  "x }\n",
		  "guarantee: log cannot keep effectively-once" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, guarantee: exactly-once }\n",
		  "guarantee: \"exactly-once\" is none of" },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], log: {}, guarantee: at-most-once, why: x, "
		  "retry: {} }\n",
		  "retry: an at-most-once handler is never tried again" },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], log: {}, guarantee: at-most-once, why: x, "
		  "retry_budget: { rate: 1/s, burst: 1 } }\n",
		  "retry_budget: an at-most-once handler is never tried again" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, when: { ref: x } }\n",
		  "when: a JSON pointer begins with" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, retry: { atempts: 12 } }\n",
		  ":4:39: error: unknown key \"atempts\"; did you mean \"attempts\"?\n"
		  "      h: { on: [ s/* ], log: {}, retry: { atempts: 12 } }\n"
		  "                                          ^~~~~~~\n" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, retry: { factor: 0.5 } }\n",
		  "factor: 0.5 is out of range: 1 to 100" },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, concurrency: 0 }\n",
		  "concurrency: 0 is out of range: 1 to 1024" },
	};
	judged(rows, COUNT(rows), true);
	static const struct row good[] = {
		{ SOURCES "handlers: {}\n", NULL },
		{ "retention: 45d\n" SOURCES HANDLERS, NULL },
		{ "admin: [ { http: \"127.0.0.1:9080\" } ]\n" SOURCES HANDLERS, NULL },
		{ "admin: [ { http: \"0.0.0.0:9080\", token: { env: X } } ]\n" SOURCES HANDLERS,
		  NULL },
		{ SOURCES "handlers:\n  h: { on: [ hooklatch/delivery.dead ], log: {} }\n", NULL },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], log: {}, order_by: /id, on_dead: hold }\n",
		  NULL },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], sql: INSERT INTO t VALUES (:body), "
		          "setup: CREATE TABLE t (x) }\n",
		  NULL },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], http: { url: \"https://x\" }, "
		          "destination_deduplicates: true, guarantee: effectively-once, why: x }\n",
		  NULL },
		{ SOURCES "handlers:\n  h: { on: [ s/a/b, \"*/*\", \"s*/x\" ], log: {} }\n", NULL },
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, guarantee: at-most-once }\n",
		  "warning: h: say `why:` this guarantee is right" },
		{ SOURCES
		  "handlers:\n  h: { on: [ s/* ], log: {}, guarantee: at-most-once, why: x }\n",
		  NULL },
	};
	judged(good, COUNT(good), false);
}

/* A pointer of `when` that is none can never hold: the handler would want nothing, in silence. */
static void
pointers_of_when_are_checked_whole(void)
{
	static const struct row rows[] = {
		{ SOURCES "handlers:\n  h: { on: [ s/* ], log: {}, when: { /a~b: x } }\n",
		  "when: a JSON pointer" },
	};
	judged(rows, COUNT(rows), true);
}

static void
all_errors_are_told_at_once(void)
{
	char *report;
	struct config *config =
		load("workers: many\nlisten: []\nsources:\n  a: { path: x, "
	             "provider: githb, secrets: [] }\nhandlers:\n  h: { on: [ b/c ] "
	             "}\n  h: { on: [ a/c ], log: {} }\n",
	             CONFIG_TO_READ, &report);
	static const char *const told[] = {
		":1:10: error: workers",   ":2:1: error: listen",
		":4:14: error: path",      ":4:27: error: provider",
		":4:34: error: secrets",   ":6:3: error: h: exactly one",
		":6:14: error: on: there", ":7:3: error: the key \"h\" stands here twice",
	};
	const char *at = report;
	CHECK(config == NULL);
	for (size_t i = 0; i < COUNT(told) && at != NULL; i++) {
		at = strstr(at, told[i]);
		CHECK_ROW(at != NULL, "%s in\n%s", told[i], report);
	}
	free(report);
}

/* PRODUCT section 3, as far as this version goes. */
static const char whole[] =
	"listen:\n  - https: \"0.0.0.0:8443\"\n    certificate: tls/cert.pem\n    key: tls/key.pem\n"
	"  - http: \"127.0.0.1:8080\"\nadmin:\n  - unix: hooklatch.sock\n"
	"store: sqlite:hooklatch.db\nworkers: 16\nlog: { format: json, level: info }\n"
	"limits: { body: 1MiB, headers: 32KiB, header_count: 128, connections: 20000,\n"
	"          connections_per_address: 1000, memory: 256MiB, handshake_timeout: 5s,\n"
	"          header_timeout: 5s, body_timeout: 10s, idle_timeout: 60s }\n"
	"retry_budget: { rate: 100/s, burst: 200 }\ndrain: 30s\nsources:\n  github:\n"
	"    path: /github\n    provider: github\n    types: [ push, \"pull_request*\" ]\n"
	"    allow: [ 192.30.252.0/22 ]\n    secrets: [ { file: one }, { file: two, until: "
	"2020-01-01 } ]\n  stripe:\n    path: /stripe\n    provider: stripe\n    secrets: [ { file: "
	"one } ]\n    tolerance: 10m\n  billing:\n    path: /billing\n    provider: hmac\n"
	"    public_url: \"https://hooks.example.com/billing\"\n    signature: { header: "
	"X-Billing-Signature, algorithm: sha256, encoding: hex, prefix: \"sha256=\", signed: "
	"\"{timestamp}.{body}\" }\n    timestamp: { header: X-Billing-Timestamp, unit: seconds }\n"
	"    event_id: { header: X-Billing-Id }\n    event_type: { json: /type }\n"
	"    ack: { status: 202, body: \"\" }\n    secrets: [ { file: one } ]\nhandlers:\n"
	"  deploy:\n    on: [ github/push ]\n    when: { /ref: refs/heads/main, /action: [ opened, "
	"\"re*\" ] }\n    exec: [ /usr/local/bin/deploy, --fast ]\n    guarantee: at-least-once\n"
	"    why: \"deploys are idempotent\"\n    timeout: 30s\n    concurrency: 4\n"
	"    retry: { attempts: 12, first: 1s, factor: 2, max: 1h, jitter: full, give_up_after: 3d }\n"
	"    retry_budget: { rate: 10/s, burst: 20 }\n  note: { on: [ \"*/*\" ], log: {} }\n";

static void
the_configuration_of_the_product_is_read(void)
{
	char *report;
	write_file("one", "first\n\n");
	write_file("two", "second");
	struct config *config = load(whole, CONFIG_TO_RELOAD, &report);
	if (!CHECK_ROW(config != NULL && report[0] == '\0', "%s", report)) {
		free(report);
		return;
	}
	CHECK(config->source_count == 3 && config->handler_count == 2);
	const struct source *github = config_source_by_path(config, SPAN("/github"));
	CHECK(github != NULL && strcmp(github->name, "github") == 0);
	CHECK(github->body_limit == (size_t)25 << 20); /* the preset asks for more */
	CHECK(github->secrets.count == 2 && github->allow_count == 1);
	const struct secret *secret = &github->secrets.items[0];
	CHECK(secret->size == 6 &&
	      memcmp(secret->key, "first\n", 6) == 0); /* one newline dropped */
	CHECK(github->secrets.items[1].until_ns == INT64_C(1577836800) * NS_PER_S);
	const struct source *stripe = config_source_by_name(config, "stripe");
	CHECK(stripe->scheme.tolerance_ns == 600 * NS_PER_S && stripe->body_limit == 1U << 20);
	const struct source *billing = config_source_by_name(config, "billing");
	CHECK(billing->preset == NULL && billing->scheme.timestamp.from == SCHEME_FROM_HEADER &&
	      billing->scheme.tolerance_ns == 300 * NS_PER_S &&
	      billing->settings->ack.status == 202 && billing->settings->ack.body[0] == '\0');
	CHECK(config_source_by_path(config, SPAN("/github/")) == NULL);
	CHECK(config_source_by_path(config, SPAN("/GitHub")) == NULL);
	const struct handler *deploy = config_handler_by_name(config, "deploy");
	CHECK(deploy->settings->retry.attempts == 12 && deploy->settings->retry.factor == 2000 &&
	      deploy->settings->retry.give_up_after_ns == 259200 * NS_PER_S &&
	      deploy->settings->retry_budget.rate == 10 * UNITS_RATE_PERIOD_S);
	CHECK(config_handler_by_name(config, "note")->settings->retry_budget.rate == 0);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/hooklatch.db", directory);
	CHECK_ROW(strcmp(config->store_path, path) == 0, "%s", config->store_path);
	free(report);
	config_release(config);
}

static void
defaults_are_those_of_the_product(void)
{
	char *report;
	struct config *config = load(SOURCES HANDLERS, CONFIG_TO_READ, &report);
	if (!CHECK_ROW(config != NULL, "%s", report)) {
		free(report);
		return;
	}
	const struct settings *settings = &config->settings;
	CHECK(settings->workers == 16 && settings->drain_ns == 30 * NS_PER_S);
	CHECK(settings->limits.body == 1 << 20 && settings->limits.headers == 32 << 10 &&
	      settings->limits.header_count == 128 && settings->limits.connections == 20000 &&
	      settings->limits.connections_per_address == 1000 &&
	      settings->limits.memory == 256 << 20);
	CHECK(settings->limits.handshake_timeout_ns == 5 * NS_PER_S &&
	      settings->limits.header_timeout_ns == 5 * NS_PER_S &&
	      settings->limits.body_timeout_ns == 10 * NS_PER_S &&
	      settings->limits.idle_timeout_ns == 60 * NS_PER_S);
	CHECK(settings->retry_budget.rate == 100 * UNITS_RATE_PERIOD_S &&
	      settings->retry_budget.burst == 200);
	const struct handler_settings *handler = config->handlers[0].settings;
	CHECK(handler->timeout_ns == 30 * NS_PER_S && handler->concurrency == 4);
	CHECK(handler->retry.attempts == 12 && handler->retry.first_ns == NS_PER_S &&
	      handler->retry.factor == 2000 && handler->retry.max_ns == 3600 * NS_PER_S &&
	      handler->retry.jitter == 0 &&
	      handler->retry.give_up_after_ns == 3 * 86400 * NS_PER_S);
	CHECK(config->handlers[0].guarantee == GUARANTEE_AT_LEAST_ONCE);
	free(report);
	config_release(config);
}

static void
a_secret_that_cannot_be_had_is_an_error_to_serve_only(void)
{
	char *report;
	(void)unsetenv("HOOKLATCH_TEST_SECRET");
	static const char text[] = "sources:\n  s: { path: /s, provider: github, secrets: [ { env: "
				   "HOOKLATCH_TEST_SECRET } ] }\n" HANDLERS;
	struct config *config = load(text, CONFIG_TO_RELOAD, &report);
	CHECK_ROW(config == NULL &&
	                  strstr(report, "the environment has no HOOKLATCH_TEST_SECRET") != NULL,
	          "%s", report);
	free(report);
	config = load(text, CONFIG_TO_READ, &report);
	CHECK_ROW(config != NULL, "%s", report);
	free(report);
	config_release(config);
	(void)setenv("HOOKLATCH_TEST_SECRET", "", 1);
	config = load(text, CONFIG_TO_RELOAD, &report);
	CHECK_ROW(config == NULL && strstr(report, "the secret is empty") != NULL, "%s", report);
	free(report);
	(void)setenv("HOOKLATCH_TEST_SECRET", "s", 1);
	config = load(text, CONFIG_TO_RELOAD, &report);
	CHECK_ROW(config != NULL, "%s", report);
	free(report);
	config_release(config);
}

static void
a_handler_wants_what_on_and_when_say(void)
{
	static const struct {
		const char *handler;
		const char *source;
		const char *type;
		const char *body;
		bool wanted;
	} rows[] = {
		{ "deploy", "github", "push", "{\"ref\":\"refs/heads/main\",\"action\":\"opened\"}",
		  true },
		{ "deploy", "github", "push",
		  "{\"ref\":\"refs/heads/main\",\"action\":\"reopened\"}", true },
		{ "deploy", "github", "push", "{\"ref\":\"refs/heads/main\",\"action\":\"closed\"}",
		  false },
		{ "deploy", "github", "push", "{\"ref\":\"refs/heads/main\"}", false },
		{ "deploy", "github", "push", "{\"ref\":\"refs/heads/mai\",\"action\":\"opened\"}",
		  false },
		{ "deploy", "github", "push", "no json", false },
		{ "deploy", "github", "Push", "{\"ref\":\"refs/heads/main\",\"action\":\"opened\"}",
		  false },
		{ "deploy", "stripe", "push", "{\"ref\":\"refs/heads/main\",\"action\":\"opened\"}",
		  false },
		{ "note", "stripe", "", "", true },
		{ "note", "github", "a/b", "no json", true },
	};
	char *report;
	write_file("one", "first");
	struct config *config = load(whole, CONFIG_TO_READ, &report);
	free(report);
	if (!CHECK(config != NULL)) {
		return;
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(handler_wants(config_handler_by_name(config, rows[i].handler),
		                        span_of(rows[i].source), span_of(rows[i].type),
		                        span_of(rows[i].body)) == rows[i].wanted,
		          "%s: %s/%s %s", rows[i].handler, rows[i].source, rows[i].type,
		          rows[i].body);
	}
	config_release(config);
}

static void
a_file_that_is_not_there_is_told(void)
{
	struct buffer report;
	buffer_init(&report, 65536);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/missing.yaml", directory);
	CHECK(config_load(path, CONFIG_TO_READ, &report) == NULL);
	char *text = buffer_steal(&report);
	CHECK_ROW(strstr(text, "missing.yaml: error: cannot be read: No such file") != NULL, "%s",
	          text);
	free(text);
	CHECK(config_load(directory, CONFIG_TO_READ, &report) == NULL);
	buffer_finish(&report);
}

static void
clean_up(void)
{
	static const char *const names[] = { "h.yaml", "one", "two" };
	for (size_t i = 0; i < COUNT(names); i++) {
		char path[128];
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(directory);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "listeners are checked", listeners_are_checked },
		{ "admin, store and limits are checked", admin_store_and_limits_are_checked },
		{ "a budget of nothing is refused", a_budget_of_nothing_is_refused },
		{ "a handler may give up after a year", a_handler_may_give_up_after_a_year },
		{ "sources are checked", sources_are_checked },
		{ "HMAC schemes are checked", hmac_schemes_are_checked },
		{ "handlers are checked", handlers_are_checked },
		{ "pointers of `when` are checked whole", pointers_of_when_are_checked_whole },
		{ "all errors are told at once, in the order of the file",
		  all_errors_are_told_at_once },
		{ "the configuration of the product is read",
		  the_configuration_of_the_product_is_read },
		{ "defaults are those of the product", defaults_are_those_of_the_product },
		{ "a secret that cannot be had is an error to serve only",
		  a_secret_that_cannot_be_had_is_an_error_to_serve_only },
		{ "a handler wants what `on` and `when` say",
		  a_handler_wants_what_on_and_when_say },
		{ "a file that is not there is told", a_file_that_is_not_there_is_told },
	};
	(void)snprintf(directory, sizeof(directory), "/tmp/hooklatch-config-XXXXXX");
	ALWAYS(mkdtemp(directory) != NULL, "test-directory");
	int code = check_main(argc, argv, tests, COUNT(tests));
	clean_up();
	return code;
}
