/* Values of a request's query: "name=value" pairs, percent-encoded (RFC 3986 section 3.4). */
#include <stdlib.h>

#include "receiver/api/api_priv.h"
#include "receiver/base/encoding.h"
#include "receiver/base/units.h"

char *
query_text(const struct call_context *context, const char *name)
{
	struct span left = context->request->query;
	while (left.size > 0) {
		size_t size = 0;
		while (size < left.size && left.data[size] != '&') {
			size++;
		}
		struct span pair = { left.data, size };
		size_t equals = 0;
		while (equals < size && pair.data[equals] != '=') {
			equals++;
		}
		left = span_after(left, size == left.size ? size : size + 1);
		if (!span_equal((struct span){ pair.data, equals }, span_of(name))) {
			continue;
		}
		struct buffer value;
		buffer_init(&value, 65536);
		if (equals == size || !percent_decode(&value, span_after(pair, equals + 1))) {
			value.size = 0;
		}
		return buffer_steal(&value);
	}
	return NULL;
}

bool
query_duration(const struct call_context *context, const char *name, int64_t most_ns, int64_t *ns,
               struct error *err)
{
	char *text = query_text(context, name);
	bool good = true;
	if (text != NULL && (!units_duration(span_of(text), ns) || *ns > most_ns)) {
		char most[32];
		units_duration_text(most_ns, most);
		good = error_set(err, ERROR_INVALID,
		                 "%s: \"%s\" is no duration such as 20s, of at most %s", name, text,
		                 most);
	}
	free(text);
	return good;
}

bool
query_number(const struct call_context *context, const char *name, int64_t least, int64_t most,
             int64_t *number, struct error *err)
{
	char *text = query_text(context, name);
	bool good = true;
	if (text != NULL &&
	    (!span_number(span_of(text), number) || *number < least || *number > most)) {
		good = error_set(err, ERROR_INVALID, "%s: \"%s\" is no number from %lld to %lld",
		                 name, text, (long long)least, (long long)most);
	}
	free(text);
	return good;
}
