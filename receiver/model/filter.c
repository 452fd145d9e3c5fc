#include "receiver/model/filter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"
#include "receiver/base/units.h"

#define FILTER_LIMIT_MOST INT64_C(1000000)

const char *const filter_names[] = { "source", "type",  "handler", "state", "id",
	                             "since",  "until", "error",   "limit", NULL };

void
filter_init(struct filter *filter)
{
	*filter = (struct filter){ 0 };
}

void
filter_finish(struct filter *filter)
{
	free(filter->source);
	free(filter->type);
	free(filter->handler);
	free(filter->error);
	free(filter->id);
	filter_init(filter);
}

static bool
set_text(char **field, const char *value)
{
	free(*field);
	*field = memory_text(value);
	return true;
}

static bool
set_states(struct filter *filter, const char *value, struct error *err)
{
	struct span rest = span_of(value);
	if (rest.size == 0) {
		return error_set(err, ERROR_INVALID, "--state: name at least one state");
	}
	while (rest.size > 0) {
		size_t size = 0;
		while (size < rest.size && rest.data[size] != ',') {
			size++;
		}
		enum delivery_state state;
		struct span word = { rest.data, size };
		if (!delivery_state_parse(word, &state)) {
			return error_set(
				err, ERROR_INVALID,
				"--state: \"%.*s\" is none of: pending, running, done, dead, discarded",
				SPAN_ARG(word));
		}
		filter->states |= 1U << state;
		rest = span_after(rest, size == rest.size ? size : size + 1);
	}
	return true;
}

/* Nothing was received before; 0 would be no bound. What is written of it, in microseconds, is read as the same. */
#define FIRST_NS 1000

static bool
set_time(int64_t *field, const char *name, const char *value, int64_t now_ns, struct error *err)
{
	int64_t age;
	bool good = true;
	if (units_duration(span_of(value), &age)) {
		*field = now_ns - age;
	} else {
		good = clock_parse(span_of(value), field);
	}
	if (*field < FIRST_NS) {
		*field = FIRST_NS;
	}
	return good ||
	       error_set(err, ERROR_INVALID,
	                 "--%s: \"%s\" is neither an age such as 2h or 3d nor an RFC 3339 time",
	                 name, value);
}

bool
filter_set(struct filter *filter, const char *name, const char *value, int64_t now_ns,
           struct error *err)
{
	if (strcmp(name, "source") == 0) {
		return set_text(&filter->source, value);
	}
	if (strcmp(name, "type") == 0) {
		return set_text(&filter->type, value);
	}
	if (strcmp(name, "handler") == 0) {
		return set_text(&filter->handler, value);
	}
	if (strcmp(name, "error") == 0) {
		return set_text(&filter->error, value);
	}
	if (strcmp(name, "id") == 0) {
		return set_text(&filter->id, value);
	}
	if (strcmp(name, "state") == 0) {
		return set_states(filter, value, err);
	}
	if (strcmp(name, "since") == 0) {
		return set_time(&filter->since_ns, name, value, now_ns, err);
	}
	if (strcmp(name, "until") == 0) {
		return set_time(&filter->until_ns, name, value, now_ns, err);
	}
	if (strcmp(name, "limit") == 0) {
		if (!span_number(span_of(value), &filter->limit) || filter->limit < 1 ||
		    filter->limit > FILTER_LIMIT_MOST) {
			return error_set(err, ERROR_INVALID,
			                 "--limit: expected a number from 1 to %" PRId64,
			                 FILTER_LIMIT_MOST);
		}
		return true;
	}
	return error_set(err, ERROR_INVALID, "no filter is named \"%s\"", name);
}

typedef void put_fn(struct buffer *out, const char *name, struct span value);

static void
each(const struct filter *filter, struct buffer *out, put_fn *put)
{
	const struct {
		const char *name;
		const char *value;
	} texts[] = { { "source", filter->source },
		      { "type", filter->type },
		      { "handler", filter->handler },
		      { "id", filter->id },
		      { "error", filter->error } };
	for (size_t i = 0; i < COUNT(texts); i++) {
		if (texts[i].value != NULL) {
			put(out, texts[i].name, span_of(texts[i].value));
		}
	}
	if (filter->states != 0) {
		struct buffer words;
		buffer_init(&words, 256);
		for (unsigned i = 0; i < DELIVERY_STATES; i++) {
			if ((filter->states & (1U << i)) != 0) {
				buffer_text(&words, words.size == 0 ? "" : ",");
				buffer_text(&words, delivery_state_name((enum delivery_state)i));
			}
		}
		put(out, "state", buffer_view(&words));
		buffer_finish(&words);
	}
	char text[CLOCK_TEXT_BYTES];
	if (filter->since_ns != 0) {
		clock_text(filter->since_ns, text);
		put(out, "since", span_of(text));
	}
	if (filter->until_ns != 0) {
		clock_text(filter->until_ns, text);
		put(out, "until", span_of(text));
	}
}

static void
put_query(struct buffer *out, const char *name, struct span value)
{
	buffer_format(out, "%s%s=", out->size == 0 ? "" : "&", name);
	percent_encode(out, value);
}

static void
put_option(struct buffer *out, const char *name, struct span value)
{
	buffer_format(out, " --%s '", name);
	for (size_t i = 0; i < value.size; i++) {
		if (value.data[i] == '\'') {
			buffer_text(out, "'\\''");
		} else {
			buffer_byte(out, value.data[i]);
		}
	}
	buffer_byte(out, '\'');
}

void
filter_query(const struct filter *filter, struct buffer *out)
{
	each(filter, out, put_query);
	if (filter->limit != 0) {
		buffer_format(out, "%slimit=%" PRId64, out->size == 0 ? "" : "&", filter->limit);
	}
}

void
filter_options(const struct filter *filter, struct buffer *out)
{
	each(filter, out, put_option);
}

static bool
has_nul(struct span text)
{
	return text.size > 0 && memchr(text.data, '\0', text.size) != NULL;
}

bool
filter_parse_query(struct filter *filter, struct span query, int64_t now_ns, struct error *err)
{
	bool good = true;
	while (good && query.size > 0) {
		size_t size = 0;
		while (size < query.size && query.data[size] != '&') {
			size++;
		}
		size_t name_size = 0;
		while (name_size < size && query.data[name_size] != '=') {
			name_size++;
		}
		struct buffer name;
		struct buffer value;
		buffer_init(&name, 256);
		buffer_init(&value, 8192);
		struct span raw = { query.data, size };
		bool decoded =
			percent_decode(&name, (struct span){ raw.data, name_size }) &&
			percent_decode(&value,
		                       span_after(raw, name_size == size ? size : name_size + 1)) &&
			!has_nul(buffer_view(&name)) && !has_nul(buffer_view(&value));
		char *name_text = buffer_steal(&name);
		char *value_text = buffer_steal(&value);
		bool ours = false;
		for (size_t i = 0; filter_names[i] != NULL; i++) {
			ours = ours || strcmp(filter_names[i], name_text) == 0;
		}
		if (!decoded) {
			good = error_set(err, ERROR_INVALID, "the query cannot be decoded");
		} else if (ours) {
			good = filter_set(filter, name_text, value_text, now_ns, err);
		}
		free(name_text);
		free(value_text);
		query = span_after(query, size == query.size ? size : size + 1);
	}
	return good;
}

bool
filter_empty(const struct filter *filter)
{
	return filter->source == NULL && filter->type == NULL && filter->handler == NULL &&
	       filter->error == NULL && filter->id == NULL && filter->states == 0 &&
	       filter->since_ns == 0;
}
