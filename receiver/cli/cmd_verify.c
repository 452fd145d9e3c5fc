/* verify: says whether a signature holds, and why not: offline, with the receiver's own engine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/cli/offline.h"
#include "receiver/cli/table.h"
#include "receiver/model/event.h"
#include "receiver/verify/challenge.h"
#include "receiver/verify/diagnose.h"
#include "receiver/verify/events.h"
#include "receiver/verify/mac.h"

#define FIELDS_MOST 256

/* The secrets of all other sources, as far as they can be read. */
static size_t
other_sources(struct config *config, const struct source *source, struct diagnosis_source *others)
{
	size_t count = 0;
	for (size_t i = 0; i < config->source_count; i++) {
		struct source *other = &config->sources[i];
		struct error err;
		if (other != source && scheme_has_secrets(&other->scheme) &&
		    (other->secrets.count > 0 || config_read_keys(config, other, &err))) {
			others[count].name = other->name;
			others[count++].secrets = &other->secrets;
		}
	}
	return count;
}

static void
explain(struct config *config, const struct source *source, struct diagnosis *diagnosis,
        json_t *report)
{
	struct buffer why;
	struct diagnosis_source *others = memory_need((config->source_count + 1) * sizeof(*others));
	buffer_init(&why, 65536);
	diagnosis->others = others;
	diagnosis->other_count = other_sources(config, source, others);
	diagnosis->thorough = true;
	diagnose(diagnosis, &why);
	if (why.size > 0) {
		(void)json_object_set_new(report, "why", json_stringn(why.data, why.size));
	}
	if (diagnosis->verification->matched >= 0) {
		(void)json_object_set_new(report, "secret",
		                          json_integer(diagnosis->verification->matched + 1));
		(void)json_object_set_new(report, "skew_seconds",
		                          json_integer(diagnosis->verification->age_ns / NS_PER_S));
	}
	buffer_finish(&why);
	free(others);
}

/* After the signature: the events that the receiver would take from it. */
static bool
add_event(void *context, struct span id, struct span type, struct span text)
{
	json_t *events = context;
	(void)text;
	(void)json_array_append_new(events,
	                            json_pack("{s:o, s:o}", "event_id",
	                                      id.data == NULL ? json_null()
	                                                      : json_stringn(id.data, id.size),
	                                      "type",
	                                      json_stringn(type.data == NULL ? "" : type.data,
	                                                   type.size)));
	return true;
}

static const char *
judge_events(const struct source *source, const struct verify_request *request, struct span body,
             json_t *report)
{
	struct events_reading reading = { .scheme = &source->scheme,
		                          .request = request,
		                          .body = body,
		                          .event = add_event };
	json_t *events = json_array();
	const char *word = "good";
	reading.context = events;
	switch (events_read(&reading)) {
	case EVENTS_READ: break;
	case EVENTS_BESIDE: word = "ignored"; break;
	case EVENTS_MALFORMED: word = "malformed"; break;
	case EVENTS_TOO_MANY: word = "body_too_large"; break;
	case EVENTS_STOPPED: break;
	}
	if (reading.wrong != NULL) {
		(void)json_object_set_new(report, "why", json_string(reading.wrong));
	} else if (reading.several) {
		(void)json_object_set(report, "events", events);
		word = json_array_size(events) == 0 ? "ignored" : word;
	} else if (json_array_size(events) == 1) {
		(void)json_object_update(report, json_array_get(events, 0));
	}
	json_decref(events);
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
		size_t index;
		json_t *event;
		json_array_foreach(json_object_get(report, "events"), index, event) {
			char *id = cell_text(json_object_get(event, "event_id"));
			char *type = cell_text(json_object_get(event, "type"));
			(void)printf("event: %s %s\n", id, type);
			free(id);
			free(type);
		}
	}
	return strcmp(word, "good") == 0 || strcmp(word, "challenge") == 0 ||
	                       strcmp(word, "ignored") == 0
	               ? EXIT_OK
	               : EXIT_FAILED;
}

/* --method and --target: an endpoint check may be no POST, and a query may be signed. */
static void
set_target(const struct invocation *invocation, struct verify_request *request)
{
	const char *target = option(invocation, "target");
	if (option(invocation, "method") != NULL) {
		request->method = span_of(option(invocation, "method"));
	}
	if (target != NULL) {
		const char *query = strchr(target, '?');
		request->path = query == NULL ? span_of(target)
		                              : (struct span){ target, (size_t)(query - target) };
		request->query = span_of(query == NULL ? NULL : query + 1);
	}
}

static enum verdict
challenge_verdict(const struct source *source, const struct verify_request *request,
                  struct span body, const struct verification *verification)
{
	struct buffer reply;
	struct buffer fields;
	size_t index = verification->matched < 0 ? 0 : (size_t)verification->matched;
	const struct secret *secret =
		index < source->secrets.count ? &source->secrets.items[index] : NULL;
	buffer_init(&reply, 65536);
	buffer_init(&fields, 65536);
	enum challenge_result result =
		challenge_answer(source->challenge, request, body, secret,
	                         span_of(source->verify_token), &reply, &fields);
	buffer_finish(&reply);
	buffer_finish(&fields);
	return result == CHALLENGE_ANSWERED        ? VERDICT_GOOD
	       : result == CHALLENGE_PROOF_MISSING ? VERDICT_SIGNATURE_MISSING
	                                           : VERDICT_SIGNATURE_MISMATCH;
}

static const char *
judge(struct config *config, struct source *source, const struct verify_request *request,
      int64_t now_ns, struct span body, json_t *report)
{
	struct verification verification = { .matched = -1 };
	struct verify_keys keys = { .secrets = &source->secrets,
		                    .public_keys = &source->public_keys };
	bool check = source->challenge != NULL && challenge_is(source->challenge, request, body);
	bool post = span_equal(request->method, SPAN("POST"));
	if (!post && !check) {
		return "method";
	}
	enum verdict verdict = VERDICT_GOOD;
	if (post) {
		verdict = verification_whole(&verification, &source->scheme, &keys, request, now_ns,
		                             body);
		verification_drop(&verification);
		if (verdict == VERDICT_GOOD && source->challenge != NULL &&
		    challenge_made(source->challenge, body)) {
			(void)json_object_set_new(
				report, "why",
				json_string(
					"an endpoint check could have signed this body for anybody"));
			return verdict_word(VERDICT_SIGNATURE_MISMATCH);
		}
	} else if (source->challenge->proof == CHALLENGE_TOKEN) {
		verdict = verification_head(&verification, &source->scheme, &keys, request, now_ns);
	}
	struct diagnosis diagnosis = { .scheme = &source->scheme,
		                       .keys = &keys,
		                       .request = request,
		                       .verification = &verification,
		                       .verdict = verdict,
		                       .now_ns = now_ns,
		                       .body = body };
	if (verdict != VERDICT_GOOD || post) {
		explain(config, source, &diagnosis, report);
	}
	if (verdict != VERDICT_GOOD) {
		return verdict_word(verdict);
	}
	if (check) {
		verdict = challenge_verdict(source, request, body, &verification);
		return verdict == VERDICT_GOOD ? "challenge" : verdict_word(verdict);
	}
	return judge_events(source, request, body, report);
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
		struct fields fields = { items,
			                 parse_lines(buffer_view(&lines), items, FIELDS_MOST) };
		struct verify_request request = request_of(source, fields);
		json_t *report = json_object();
		set_target(invocation, &request);
		request_family(&request, &source->scheme);
		const char *word =
			judge(config, source, &request, now_ns, buffer_view(&body), report);
		code = print_report(invocation, report, word);
		json_decref(report);
	}
	buffer_finish(&lines);
	buffer_finish(&body);
	mac_thread_finish();
	config_release(config);
	return code;
}
