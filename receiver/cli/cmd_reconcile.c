/* reconcile: compares a provider's own list of deliveries or events with the store; what is missing or dead here is
 * printed with the command that asks the provider for it again.
 *   GitHub  gh api --paginate /repos/OWNER/REPO/hooks/HOOK/deliveries >F   (also orgs/ORG/hooks/HOOK, app/hook)
 *           https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook
 *   Stripe  stripe events list --limit 100 >F (the next page: --starting-after ID)
 *           https://docs.stripe.com/api/events/list */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/cli/client.h"
#include "receiver/cli/offline.h"
#include "receiver/cli/table.h"

#define IDS_AT_ONCE 1000

enum lister {
	LISTER_GITHUB,
	LISTER_STRIPE,
};

struct reconcile {
	enum lister lister;
	const char *source;
	const char *hook; /* repos/OWNER/REPO/hooks/ID; NULL: unknown */
	json_t *items;    /* {"event_id","type","at","delivery"}, newest try of each event */
	json_t *seen;     /* event id -> true */
	const struct source_settings *settings;
	int64_t kept_since_ns; /* wall time: what retention has let go may have been here */
	size_t forgotten;      /* older than that */
	size_t unwanted;       /* of types that the source does not want */
	bool goes_on;          /* the list ends before its end */
};

/* A type that the source does not want is not here, and is not missed. */
static bool
is_wanted(const struct reconcile *reconcile, const char *type)
{
	const struct source_settings *settings = reconcile->settings;
	const char *const *globs = settings->types.items;
	if (node_child(settings->entry.node, "types") == NULL) {
		return true;
	}
	for (size_t i = 0; i < settings->types.count; i++) {
		if (type_matches(span_of(globs[i]), span_of(type))) {
			return true;
		}
	}
	return false;
}

/* Older than what is kept here: nobody knows whether it was. */
static bool
is_forgotten(const struct reconcile *reconcile, const json_t *at)
{
	int64_t then_ns = INT64_MAX;
	if (json_is_integer(at) && json_integer_value(at) < INT64_MAX / NS_PER_S) {
		then_ns = json_integer_value(at) * NS_PER_S;
	} else if (json_is_string(at) && !clock_parse(span_of(json_string_value(at)), &then_ns)) {
		then_ns = INT64_MAX;
	}
	return then_ns < reconcile->kept_since_ns;
}

/* Of several tries of one event (redeliveries) the last is the one to redeliver; GitHub lists the newest first. */
static bool
add_item(struct reconcile *reconcile, const char *id, const char *type, json_t *at,
         json_t *delivery)
{
	if (id == NULL || type == NULL) {
		return false;
	}
	if (is_forgotten(reconcile, at)) {
		reconcile->forgotten++;
	} else if (!is_wanted(reconcile, type)) {
		reconcile->unwanted++;
	} else if (json_object_get(reconcile->seen, id) == NULL) {
		(void)json_object_set_new(reconcile->seen, id, json_true());
		(void)json_array_append_new(reconcile->items,
		                            json_pack("{s:s, s:s, s:O?, s:O?}", "event_id", id,
		                                      "type", type, "at", at, "delivery",
		                                      delivery));
	}
	return true;
}

static bool
add_row(struct reconcile *reconcile, const json_t *row)
{
	if (reconcile->lister == LISTER_GITHUB) {
		return json_is_integer(json_object_get(row, "id")) &&
		       add_item(reconcile, json_string_value(json_object_get(row, "guid")),
		                json_string_value(json_object_get(row, "event")),
		                json_object_get(row, "delivered_at"), json_object_get(row, "id"));
	}
	return add_item(reconcile, json_string_value(json_object_get(row, "id")),
	                json_string_value(json_object_get(row, "type")),
	                json_object_get(row, "created"), NULL);
}

/* False: it is not the provider's list. */
static bool
add_document(struct reconcile *reconcile, const json_t *document)
{
	const json_t *rows =
		reconcile->lister == LISTER_GITHUB ? document : json_object_get(document, "data");
	size_t index;
	const json_t *row;
	if (!json_is_array(rows)) {
		return false;
	}
	json_array_foreach(rows, index, row) {
		/* gh api --paginate --slurp: pages in an array */
		bool page = reconcile->lister == LISTER_GITHUB && json_is_array(row);
		if (page ? !add_document(reconcile, row) : !add_row(reconcile, row)) {
			return false;
		}
	}
	reconcile->goes_on = json_is_true(json_object_get(document, "has_more"));
	return true;
}

/* One JSON document, or several one after the other, as `gh api --paginate` prints pages. */
static bool
read_list(struct reconcile *reconcile, const char *file)
{
	struct buffer text;
	json_error_t error;
	buffer_init(&text, FILE_MOST_BYTES);
	bool good = read_whole(file, &text);
	struct span rest = buffer_view(&text);
	if (good && rest.size == 0) {
		complain("%s: it is empty: the provider's command said nothing", file);
		good = false;
	}
	while (good && rest.size > 0) {
		json_t *document = json_loadb(rest.data, rest.size, JSON_DISABLE_EOF_CHECK, &error);
		if (document == NULL || !add_document(reconcile, document)) {
			complain("%s: expected %s", file,
			         reconcile->lister == LISTER_GITHUB
			                 ? "the JSON array of `gh api …/deliveries`"
			                 : "the JSON of `stripe events list` ({\"data\": […]})");
			good = false;
		}
		json_decref(document);
		rest = good ? span_after(rest, (size_t)error.position) : rest;
		while (rest.size > 0 && strchr(" \t\r\n", rest.data[0]) != NULL) {
			rest = span_after(rest, 1);
		}
	}
	buffer_finish(&text);
	return good;
}

/* As one word of a shell: the text is the provider's, the line is to be pasted. */
static void
put_word(struct buffer *out, const char *text)
{
	if (text[0] != '\0' &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/{}") ==
	            strlen(text)) {
		buffer_text(out, text);
		return;
	}
	buffer_byte(out, '\'');
	for (; *text != '\0'; text++) {
		buffer_text(out, *text == '\'' ? "'\\'" : "");
		buffer_byte(out, *text);
	}
	buffer_byte(out, '\'');
}

/* The line that asks for it again. The caller frees it. */
static char *
command_of(const struct reconcile *reconcile, const json_t *item)
{
	struct buffer text;
	buffer_init(&text, 65536);
	if (reconcile->lister == LISTER_STRIPE) {
		buffer_text(&text, "stripe events resend ");
		put_word(&text, json_string_value(json_object_get(item, "event_id")));
		buffer_text(&text, " --webhook-endpoint=");
		put_word(&text, reconcile->hook == NULL ? "WE_ID" : reconcile->hook);
	} else {
		buffer_text(&text, "gh api -X POST /");
		put_word(&text, reconcile->hook == NULL ? "repos/{owner}/{repo}/hooks/HOOK_ID"
		                                        : reconcile->hook);
		buffer_format(&text, "/deliveries/%lld/attempts",
		              (long long)json_integer_value(json_object_get(item, "delivery")));
	}
	return buffer_steal(&text);
}

/* missing: it never came; dead: it came and some handler gave it up; NULL: it is well. */
static const char *
finding(const json_t *known)
{
	size_t index;
	const json_t *delivery;
	if (!json_is_true(json_object_get(known, "known"))) {
		return "missing";
	}
	json_array_foreach(json_object_get(known, "deliveries"), index, delivery) {
		const char *state = json_string_value(json_object_get(delivery, "state"));
		if (state != NULL && strcmp(state, "dead") == 0) {
			return "dead";
		}
	}
	return NULL;
}

/* Asks for a part of the list; appends what was found. */
static int
compare_part(struct config *config, const struct reconcile *reconcile, size_t from,
             json_t *findings)
{
	json_t *ids = json_array();
	size_t count = json_array_size(reconcile->items);
	for (size_t i = from; i < count && i < from + IDS_AT_ONCE; i++) {
		(void)json_array_append(ids, json_object_get(json_array_get(reconcile->items, i),
		                                             "event_id"));
	}
	json_t *body = json_pack("{s:s, s:o}", "source", reconcile->source, "ids", ids);
	json_t *answer = NULL;
	int code = client_call(config, "/v1/known", NULL, body, &answer);
	size_t index;
	const json_t *known;
	json_array_foreach(answer, index, known) {
		const char *word = finding(known);
		json_t *item = json_array_get(reconcile->items, from + index);
		if (word != NULL) {
			char *command = command_of(reconcile, item);
			json_t *row = json_copy(item);
			(void)json_object_set_new(row, "finding", json_string(word));
			(void)json_object_set_new(row, "command", json_string(command));
			(void)json_array_append_new(findings, row);
			free(command);
		}
	}
	json_decref(answer);
	json_decref(body);
	return code;
}

static int
compare(const struct invocation *invocation, struct config *config,
        const struct reconcile *reconcile)
{
	static const struct column columns[] = { { "FINDING", "finding", 0 },
		                                 { "EVENT ID", "event_id", 0 },
		                                 { "TYPE", "type", 0 },
		                                 { "AT", "at", 0 },
		                                 { "ASK AGAIN WITH", "command", 0 } };
	json_t *findings = json_array();
	size_t count = json_array_size(reconcile->items);
	int code = EXIT_OK;
	for (size_t from = 0; from < count && code == EXIT_OK; from += IDS_AT_ONCE) {
		code = compare_part(config, reconcile, from, findings);
	}
	if (code == EXIT_OK && json_array_size(findings) > 0) {
		code = print_list(invocation, findings, columns, COUNT(columns));
		code = code == EXIT_OK ? EXIT_FINDINGS : code;
	} else if (code == EXIT_OK && has_option(invocation, "json")) {
		print_json(findings);
	}
	if (code == EXIT_OK || code == EXIT_FINDINGS) {
		say("%zu events in the provider's list; %zu missing or dead here", count,
		    json_array_size(findings));
	}
	if (reconcile->forgotten > 0) {
		say("%zu are older than retention.dedup keeps events: whether they were here nobody knows",
		    reconcile->forgotten);
	}
	if (reconcile->unwanted > 0) {
		say("%zu of types that the source does not want were left out",
		    reconcile->unwanted);
	}
	if (reconcile->goes_on) {
		say("the list goes on (has_more): what is not in the file was not compared");
	}
	if (code == EXIT_FINDINGS && reconcile->hook == NULL) {
		say(reconcile->lister == LISTER_GITHUB
		            ? "--hook repos/OWNER/REPO/hooks/ID (or orgs/ORG/hooks/ID, app/hook) completes the commands"
		            : "--hook we_... (the endpoint's id) completes the commands");
	}
	json_decref(findings);
	return code;
}

static bool
choose_lister(const struct source *source, enum lister *lister)
{
	const char *provider = source->settings->provider;
	if (strcmp(provider, "github") == 0) {
		*lister = LISTER_GITHUB;
	} else if (strcmp(provider, "stripe") == 0) {
		*lister = LISTER_STRIPE;
	} else {
		complain("reconcile knows the lists of github and stripe; the source %s is of %s",
		         source->name, provider);
		return false;
	}
	return true;
}

int
run_reconcile(struct invocation *invocation)
{
	const char *name = option(invocation, "source");
	const char *file = option(invocation, "provider-file");
	if (name == NULL || file == NULL) {
		return usage_error(invocation, "--source and --provider-file are needed");
	}
	struct config *config = command_config(invocation, CONFIG_TO_READ);
	if (config == NULL) {
		return EXIT_USAGE;
	}
	int code = EXIT_USAGE;
	const struct source *source = config_source_by_name(config, name);
	struct reconcile reconcile = { .source = name, .hook = option(invocation, "hook") };
	while (reconcile.hook != NULL && reconcile.hook[0] == '/') {
		reconcile.hook++;
	}
	if (source == NULL) {
		complain("there is no source \"%s\" in %s", name, config->file);
	} else if (choose_lister(source, &reconcile.lister)) {
		reconcile.settings = source->settings;
		reconcile.kept_since_ns = clock_wall_ns() - config->settings.retention.dedup_ns;
		reconcile.items = json_array();
		reconcile.seen = json_object();
		if (read_list(&reconcile, file)) {
			code = compare(invocation, config, &reconcile);
		}
		json_decref(reconcile.items);
		json_decref(reconcile.seen);
	}
	config_release(config);
	return code;
}
