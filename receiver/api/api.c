#include "receiver/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/api/api_priv.h"

static const struct {
	const char *method;
	const char *path; /* a trailing "/": something must follow */
	const char *end;  /* what stands at the end, or NULL */
	resource_fn *run;
} routes[] = {
	{ "GET", "/v1/stats", NULL, stats_show },
	{ "GET", "/v1/events", NULL, events_list },
	{ "GET", "/v1/events/", NULL, events_show },
	{ "POST", "/v1/known", NULL, known_list },
	{ "GET", "/v1/dead", NULL, dead_list },
	{ "GET", "/v1/dead/", NULL, dead_show },
	{ "POST", "/v1/dead/discard", NULL, dead_discard },
	{ "POST", "/v1/dead/restore", NULL, dead_restore },
	{ "GET", "/v1/replays", NULL, replays_list },
	{ "POST", "/v1/replays", NULL, replays_create },
	{ "GET", "/v1/replays/", NULL, replays_show },
	{ "POST", "/v1/replays/", "/cancel", replays_cancel },
	{ "POST", "/v1/replays/", "/resume", replays_resume },
	{ "POST", "/v1/events/discard", NULL, events_discard },
	{ "POST", "/v1/events/erase", NULL, events_erase },
	{ "GET", "/v1/export", NULL, export_show },
	{ "GET", "/v1/tail", NULL, tail_show },
	{ "GET", "/v1/explain/", NULL, explain_show },
	{ "POST", "/v1/handlers/", "/take", handlers_take },
	{ "POST", "/v1/handlers/", "/pause", handlers_pause },
	{ "POST", "/v1/handlers/", "/resume", handlers_resume },
	{ "POST", "/v1/leases/", "/ack", leases_ack },
	{ "POST", "/v1/leases/", "/nack", leases_nack },
	{ "POST", "/v1/leases/", "/extend", leases_extend },
};

static bool
path_fits(struct span path, const char *wanted, const char *end, struct span *rest)
{
	struct span prefix = span_of(wanted);
	if (!span_starts(path, prefix)) {
		return false;
	}
	*rest = span_after(path, prefix.size);
	if (prefix.data[prefix.size - 1] != '/') {
		return rest->size == 0;
	}
	struct span tail = span_of(end);
	return rest->size > tail.size &&
	       (tail.size == 0 || span_equal(span_after(*rest, rest->size - tail.size), tail));
}

static int
error_status(enum error_kind kind)
{
	switch (kind) {
	case ERROR_INVALID: return 400;
	case ERROR_NOT_FOUND: return 404;
	case ERROR_REFUSED: return 409;
	case ERROR_LIMIT:
	case ERROR_STORE_FULL:
	case ERROR_STORE_BUSY: return 503;
	case ERROR_NONE:
	case ERROR_SYSTEM:
	case ERROR_MEMORY:
	case ERROR_UNREACHABLE:
	case ERROR_STORE_BAD:
	case ERROR_STORE_DAMAGED:
	case ERROR_LOCKED: break;
	}
	return 500;
}

static const char *
error_code(int status)
{
	switch (status) {
	case 400: return "invalid";
	case 404: return "not_found";
	case 405: return "method";
	case 409: return "refused";
	case 503: return "unavailable";
	default: return "failed";
	}
}

static void
put_json(struct api_answer *answer, json_t *document)
{
	char *text = json_dumps(document, JSON_COMPACT);
	ALWAYS(text != NULL, "api-json");
	buffer_text(&answer->body, text);
	buffer_byte(&answer->body, '\n');
	free(text);
	json_decref(document);
}

static void
put_error(struct api_answer *answer, int status, const char *message)
{
	answer->status = status;
	put_json(answer, json_pack("{s:{s:s, s:o}}", "error", "code", error_code(status), "message",
	                           json_of_span(span_of(message))));
}

static void
run(const struct api *api, struct reader *reader, const struct api_request *request,
    resource_fn *resource, struct span rest, struct api_answer *answer)
{
	struct call_context context = { .api = api,
		                        .reader = reader,
		                        .request = request,
		                        .rest = rest };
	struct error err = { .kind = ERROR_NONE };
	if (strcmp(request->method, "POST") == 0) {
		json_error_t wrong;
		context.body = request->body.size == 0 ? json_object()
		                                       : json_loadb(request->body.data,
		                                                    request->body.size, 0, &wrong);
		if (!json_is_object(context.body)) {
			json_decref(context.body);
			put_error(answer, 400, "the body is no JSON object");
			return;
		}
	}
	reader_limit(reader, API_QUERY_NS);
	json_t *document = resource(&context, &err);
	json_decref(context.body);
	if (document == NULL) {
		put_error(answer, error_status(err.kind), err.text);
		return;
	}
	answer->status = 200;
	answer->parks_handler = context.parks_handler;
	answer->parks_ns = context.parks_ns;
	put_json(answer, document);
}

static void
put_metrics(const struct api *api, struct reader *reader, const struct api_request *request,
            struct api_answer *answer)
{
	struct call_context context = { .api = api, .reader = reader, .request = request };
	struct error err = { .kind = ERROR_NONE };
	reader_limit(reader, API_QUERY_NS);
	if (exposition_write(&context, &answer->body, &err)) {
		answer->status = 200;
		answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
	} else {
		answer->body.size = 0;
		put_error(answer, error_status(err.kind), err.text);
	}
}

void
api_handle(const struct api *api, struct reader *reader, const struct api_request *request,
           struct api_answer *answer)
{
	bool path_known = false;
	answer->parks_handler = 0;
	answer->content_type = "application/json";
	if (span_equal(request->path, SPAN("/metrics")) && strcmp(request->method, "GET") == 0) {
		put_metrics(api, reader, request, answer);
		return;
	}
	for (size_t i = 0; i < COUNT(routes); i++) {
		struct span rest;
		if (!path_fits(request->path, routes[i].path, routes[i].end, &rest)) {
			continue;
		}
		path_known = true;
		if (strcmp(request->method, routes[i].method) == 0) {
			run(api, reader, request, routes[i].run, rest, answer);
			return;
		}
	}
	put_error(answer, path_known ? 405 : 404,
	          path_known ? "this path has no such method" : "there is no such path");
}
