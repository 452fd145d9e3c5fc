/* The one filter grammar: --source --type --handler --state --id --since --until --error --limit on the command
 * line, the same names in the query of the API and in a replay's row.
 * Texts are globs; an id is the event's, with or without its source before it; times are RFC 3339 or an age such as 2h or 3d. */
#ifndef HOOKLATCH_MODEL_FILTER_H
#define HOOKLATCH_MODEL_FILTER_H

#include "receiver/base/error.h"
#include "receiver/model/delivery.h"

struct filter {
	char *source; /* globs; NULL: any */
	char *type;
	char *handler;
	char *error;
	char *id;
	unsigned states;  /* set of 1 << delivery_state; 0: any */
	int64_t since_ns; /* of the event's arrival; 0: any */
	int64_t until_ns;
	int64_t limit; /* 0: the caller's default */
};

void filter_init(struct filter *filter);
void filter_finish(struct filter *filter);
extern const char *const filter_names[]; /* NULL at the end */
/* `name` is one of the names above; `now_ns` makes ages to times. */
bool filter_set(struct filter *filter, const char *name, const char *value, int64_t now_ns,
                struct error *err) MUST_CHECK;
/* As "source=github&until=2026-…": ages have become times, so that it means the same for ever. */
void filter_query(const struct filter *filter, struct buffer *out);
/* The same as options of the command line, for a person to copy; `until` is always there. */
void filter_options(const struct filter *filter, struct buffer *out);
/* Reads what filter_query() wrote; other names are left alone. */
bool filter_parse_query(struct filter *filter, struct span query, int64_t now_ns, struct error *err)
	MUST_CHECK;
bool filter_empty(const struct filter *filter); /* nothing but a limit or until */

#endif
