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
	struct span rest; /* of the path, behind the resource's own */
	json_t *body;     /* of a POST; an object */
};

/* NULL: err says why. */
typedef json_t *resource_fn(struct call_context *context, struct error *err);

/* events.c */
resource_fn events_list, events_show;
/* dead.c */
resource_fn dead_list, dead_show, dead_discard, dead_restore;
/* replays.c */
resource_fn replays_create, replays_list, replays_show, replays_cancel;
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
 * were given. ERROR_NOT_FOUND names the first that is not there. */
bool request_dead_ids(struct call_context *context, char **ids, struct error *err) MUST_CHECK;
/* The filter as options, bound by --until, for a person to copy. */
json_t *json_of_options(const struct filter *filter);
/* A path segment, decoded. The caller frees it. */
char *decode_segment(struct span segment);

#endif
