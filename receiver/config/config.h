/* The configuration as one immutable snapshot, counted by references. A reload builds a new one beside it and swaps a
 * pointer; work in flight keeps the one that it began with.
 * Threads: config_load() on main (or a command); reading and counting anywhere. */
#ifndef HOOKLATCH_CONFIG_CONFIG_H
#define HOOKLATCH_CONFIG_CONFIG_H

#include <stdatomic.h>

#include "receiver/model/delivery.h"
#include "receiver/net/net.h"
#include "receiver/verify/presets.h"
#include "receiver/verify/public_key.h"
#include "receiver/verify/secret.h"

#include "handlers/handler.h"

#define CONFIG_ADMIN_UNIX    "hooklatch.sock" /* unless another is written */
#define CONFIG_HANDLERS_MOST 1024
#define HANDLER_ROWS_MOST    60
#define HANDLER_KINDS_BYTES  4096

/* --- as written: structs that rows.c reads into --- */

struct limits_settings {
	struct schema_entry entry;
	int64_t body;
	int64_t headers;
	int64_t header_count;
	int64_t connections;
	int64_t connections_per_address;
	int64_t memory;
	int64_t handshake_timeout_ns;
	int64_t header_timeout_ns;
	int64_t body_timeout_ns;
	int64_t idle_timeout_ns;
	int64_t stall_timeout_ns;
};

struct log_settings_row {
	struct schema_entry entry;
	int format; /* enum log_format */
	int level;  /* enum log_level */
	const char *file;
};

struct listen_settings {
	struct schema_entry entry;
	const char *https;
	const char *http;
	const char *certificate;
	const char *key;
	struct schema_list trusted_proxies; /* texts */
};

struct secret_settings {
	struct schema_entry entry;
	const char *env;
	const char *file;
	const char *credential;
	const char *until;
};

struct admin_settings {
	struct schema_entry entry;
	const char *unix_path;
	const char *group;
	const char *http;
	struct secret_settings token;
	unsigned char
		*token_text; /* read when it is to serve: the configuration's own; NULL: none */
	size_t token_size;
};

struct value_settings {
	struct schema_entry entry;
	const char *header;
	const char *json;
	const char *form;
	const char *value;
	struct schema_list parts; /* texts */
	int generated;            /* 1 when the word stands there */
};

struct signature_settings {
	struct schema_entry entry;
	const char *header;
	int from; /* 0 header, 1 json */
	const char *pointer;
	int algorithm; /* enum scheme_algorithm */
	int encoding;  /* enum scheme_encoding */
	int key;       /* enum scheme_key */
	const char *prefix;
	const char *separator;
	const char *timestamp_prefix;
	const char *signed_text;
};

struct timestamp_settings {
	struct schema_entry entry;
	const char *header;
	const char *json;
	int from; /* 1: signature */
	int unit; /* enum scheme_unit */
};

struct ack_settings {
	struct schema_entry entry;
	int64_t status;
	const char *body;
	const char *content_type;
};

struct events_settings {
	struct schema_entry entry;
	const char *array;
	struct value_settings id;
	struct value_settings type;
};

struct public_key_settings {
	struct schema_entry entry;
	const char *file;
	const char *env;
	const char *text;
	const char *until;
};

struct certificate_settings {
	struct schema_entry entry;
	const char *file;
	const char *url;
};

struct token_place_settings {
	struct schema_entry entry;
	const char *header;
	const char *query;
	const char *prefix;
};

struct source_settings {
	struct schema_entry entry;
	const char *path;
	const char *provider;
	const char *public_url;
	struct signature_settings signature;
	struct timestamp_settings timestamp;
	int64_t tolerance_ns; /* 0: the provider's */
	struct value_settings event_id;
	struct value_settings event_type;
	struct schema_list types; /* texts */
	struct schema_list allow; /* texts */
	struct ack_settings ack;
	int64_t body_limit; /* 0: the provider's */
	struct schema_list secrets;
	struct events_settings events;
	const char *challenge;
	struct schema_list public_keys;
	struct schema_list certificates;
	struct secret_settings jwks;
	struct secret_settings verify_token;
	struct token_place_settings token;
	const char *webhook_id;
	struct schema_list topic_arns; /* texts */
	const char *client_id;
	struct secret_settings client_secret;
	int environment; /* 0 production, 1 sandbox */
};

struct retry_settings {
	struct schema_entry entry;
	int64_t attempts;
	int64_t first_ns;
	int64_t factor; /* thousandths */
	int64_t max_ns;
	int jitter; /* 0 full, 1 none */
	int64_t give_up_after_ns;
};

struct budget_settings {
	struct schema_entry entry;
	int64_t rate; /* per UNITS_RATE_PERIOD_S */
	int64_t burst;
};

struct breaker_settings {
	struct schema_entry entry;
	int64_t failures;
	int64_t cooldown_ns;
	int64_t max_cooldown_ns;
};

struct retention_settings {
	struct schema_entry entry;
	int64_t dedup_ns;
	int64_t bodies_ns;
};

struct fetch_settings {
	struct schema_entry entry;
	int64_t timeout_ns;
	const char *proxy;
	const char *ca;
};

struct handler_settings {
	struct schema_entry entry;
	struct schema_list on;   /* texts */
	struct schema_list when; /* struct schema_globs */
	int guarantee;           /* enum guarantee */
	const char *why;
	int64_t timeout_ns;
	int64_t concurrency;
	struct retry_settings retry;
	struct budget_settings retry_budget;
	const char *order_by;
	int on_dead; /* 0 skip, 1 hold */
	struct breaker_settings breaker;
	_Alignas(16) char kinds[HANDLER_KINDS_BYTES]; /* what the kinds' rows are read into */
};

struct settings {
	struct schema_entry entry;
	struct schema_list listen;
	struct schema_list admin;
	const char *store;
	int64_t workers;
	struct log_settings_row log;
	struct limits_settings limits;
	struct budget_settings retry_budget;
	struct retention_settings retention;
	struct fetch_settings fetch;
	int64_t drain_ns;
	struct schema_list sources;
	struct schema_list handlers;
};

/* --- as used --- */

struct source {
	const char *name;
	const struct source_settings *settings;
	const struct preset *preset; /* NULL: provider: hmac */
	struct scheme scheme;
	const struct challenge *challenge; /* NULL: none */
	struct secrets secrets;
	struct public_keys public_keys;
	char *verify_token;  /* owned, wiped */
	char *client_secret; /* owned, wiped */
	char *signed_url;    /* owned: public_url as the scheme signs it */
	struct network *allow;
	size_t allow_count;
	size_t body_limit;
	int64_t patience_ns; /* how long a request may wait for memory */
};

struct handler {
	const char *name;
	const struct handler_settings *settings;
	const struct handler_kind *kind;
	const void *kind_settings;
	enum guarantee guarantee;
	int64_t timeout_ns;
	int64_t number; /* in the store; 0 until config_number_handlers */
};

struct config {
	atomic_int references;
	atomic_int keyed; /* of these, who uses secrets */
	struct arena arena;
	struct problems problems;
	char *file;
	char *directory;
	struct span text;
	const struct node *root;
	struct settings settings;
	struct source *sources;
	size_t source_count;
	struct handler *handlers;
	size_t handler_count;
	char *store_path;
	char *scratch_path; /* beside the store: files of running tries */
	char *keys_path;    /* beside the store: keys that were fetched */
	char *admin_path;
	struct net_limits net_limits;
};

/* -c FILE, else $HOOKLATCH_CONFIG, ./hooklatch.yaml, /etc/hooklatch/hooklatch.yaml. The caller frees it. */
char *config_find(const char *wanted);

enum config_purpose {
	CONFIG_TO_SERVE, /* secrets are read, certificates opened; a bad one is an error */
	CONFIG_TO_RELOAD, /* the same, but for certificates: the old pair goes on when the new one is bad */
	CONFIG_TO_READ, /* for commands that need no secret */
};

/* NULL when there are errors; `report` gets all problems as text, warnings too. */
struct config *config_load(const char *file, enum config_purpose purpose, struct buffer *report)
	MUST_CHECK;
struct config *config_share(struct config *config);
/* Takes NULL; wipes sources' and handlers' secrets with the last reference. */
void config_release(struct config *config);
/* A reference that does not keep these secrets. */
struct config *config_share_settings(struct config *config);
void config_release_settings(struct config *config); /* takes NULL */

/* Reads the secrets and keys of one source of a config that was loaded to read. */
bool config_read_keys(struct config *config, struct source *source, struct error *err) MUST_CHECK;

const struct source *config_source_by_path(const struct config *config, struct span path);
struct source *config_source_by_name(const struct config *config, const char *name);
struct handler *config_handler_by_name(const struct config *config, const char *name);
/* A path of the file, relative to its directory. The caller frees it. */
char *config_path(const struct config *config, const char *path);

/* Whether the handler wants the event: `on` and all of `when`. */
bool handler_wants(const struct handler *handler, struct span source, struct span type,
                   struct span body);

/* Whether its done deliveries are replayed with --again alone; and those that ended otherwise, when their first failed try
 * is older than the horizon (wall time; 0: however old it is): the destination has forgotten their key. */
bool handler_guarded(const struct handler *handler);
int64_t handler_replay_horizon(const struct handler *handler, int64_t now_ns);
/* Both for one delivery; first_failed_ns 0: no try failed. */
bool handler_needs_again(const struct handler *handler, enum delivery_state state,
                         int64_t first_failed_ns, int64_t now_ns);
/* Whether a consumer takes its deliveries: it has no try of its own. */
bool handler_consumed(const struct handler *handler);
/* Whether the handler wants one of our own happenings: only where its `on` names it in full. An empty body: whatever its
 * `when` says. */
bool handler_wants_own(const struct handler *handler, struct span type, struct span body);
/* The value that orders the event for this handler; NULL: no order. The caller frees it. */
char *handler_order_key(const struct handler *handler, struct span body);

/* Whether a type is one of those that a glob of `types` or `on` means. */
bool type_matches(struct span glob, struct span type);

/* rows.c: the one table of keys. */
const struct schema_row *config_rows(void);

/* check.c: what no single row can say; fills sources and handlers. */
void config_check(struct config *config, enum config_purpose purpose);

/* effective.c: for `config show`, adds to the tree what holds without being written. Nothing is checked after it. */
void config_make_effective(struct config *config);

/* secrets.c: on the main thread. The text is to be wiped by the caller; a variable is taken out of the environment. */
bool secret_read(const struct config *config, const struct secret_settings *settings,
                 struct buffer *text, struct error *err) MUST_CHECK;
/* Whether the variable holds a secret that was read. */
bool secret_is_variable(const char *name);

#endif
