/* What the resources of this room share. */
#ifndef HOOKLATCH_API_API_PRIV_H
#define HOOKLATCH_API_API_PRIV_H

#include "receiver/api/api.h"

#define API_LIST_LIMIT   1000 /* rows of a list without --limit */
#define API_FIRST_ROWS   10   /* that a dry run shows */
#define API_QUERY_NS     (10 * NS_PER_S)
#define API_CHANGE_KEYS  256 /* deliveries in one change */
#define API_RESOLVE_MOST 10000

/* One call: what the resources get. */
struct call_context {
	const struct api *api;
	struct reader *reader;
	const struct api_request *request;
	struct span rest;      /* of the path, behind the resource's own */
	json_t *body;          /* of a POST; an object */
	int64_t parks_handler; /* result: nothing to take; ask again when there may be something */
	int64_t parks_ns;      /* result: for this long */
};

/* NULL: err says why. */
typedef json_t *resource_fn(struct call_context *context, struct error *err);

/* events.c */
resource_fn events_list, events_show;
/* known.c */
resource_fn known_list;
/* endings.c */
resource_fn events_discard, events_erase;
/* export.c */
resource_fn export_show;
/* dead.c */
resource_fn dead_list, dead_show, dead_discard, dead_restore;
/* replays.c */
resource_fn replays_create, replays_list, replays_show, replays_cancel, replays_resume;
/* handlers.c */
resource_fn handlers_pause, handlers_resume;
json_t *json_of_line(const struct line_view *view);
/* explain.c */
resource_fn explain_show;
/* leases.c */
resource_fn handlers_take, leases_ack, leases_nack, leases_extend;
/* stats.c */
resource_fn stats_show;
/* tail.c */
resource_fn tail_show;

/* json.c */
json_t *json_of_span(
	struct span text); /* NULL data is null; bytes that are no UTF-8 are read as ISO 8859-1 */
json_t *json_of_time(int64_t wall_ns);
json_t *json_of_delivery(const struct delivery_row *row);
json_t *json_of_dead(const struct dead_row *row, bool whole);
json_t *json_of_attempt(const struct attempt_row *row);
struct span span_of_json(const json_t *value); /* of a string; empty for anything else */

/* The filter of the query (GET) or of "filter" in the body (POST). */
bool request_filter(const struct call_context *context, struct filter *filter, struct error *err)
	MUST_CHECK;
/* "ids" of the body, numbers and "<source>/<id>[/<handler>]", as a JSON array of dead letters' numbers. *ids NULL: none
 * were given. What is no dead letter goes into `others`; ERROR_NOT_FOUND when nothing else was named. */
struct other_ids {
	json_t *absent;  /* names of what is not there; made here, owned by the caller */
	int64_t skipped; /* deliveries that are there and neither dead nor discarded */
};
bool request_dead_ids(struct call_context *context, char **ids, struct other_ids *others,
                      struct error *err) MUST_CHECK;
/* "ids" of the body, "<source>/<event id>" each, as a JSON array of sequence numbers. *ids NULL: none were given.
 * ERROR_NOT_FOUND names the first that is not there. */
bool request_event_ids(struct call_context *context, char **ids, struct error *err) MUST_CHECK;
/* The filter as options, bound by --until, for a person to copy. */
json_t *json_of_options(const struct filter *filter);
/* A path segment, decoded. The caller frees it. */
char *decode_segment(struct span segment);
char *path_segment(struct span rest); /* the same, of the first one */
/* The event that "<source>/<event id>" names, both decoded. The caller frees them. */
bool path_event(struct span rest, char **source, char **id, struct error *err) MUST_CHECK;

/* exposition.c: GET /metrics */
bool exposition_write(const struct call_context *context, struct buffer *out, struct error *err)
	MUST_CHECK;

/* query.c: values of the query. Without the name: NULL, or the value is left as it is. The caller frees the text. */
char *query_text(const struct call_context *context, const char *name);
bool query_duration(const struct call_context *context, const char *name, int64_t most_ns,
                    int64_t *ns, struct error *err) MUST_CHECK;
bool query_number(const struct call_context *context, const char *name, int64_t least, int64_t most,
                  int64_t *number, struct error *err) MUST_CHECK;

#endif
