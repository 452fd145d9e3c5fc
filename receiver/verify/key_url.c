#include "receiver/verify/key_url.h"

#include <string.h>

static bool
is_label_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-';
}

bool
key_host_matches(struct span host, const char *pattern)
{
	const char *star = strchr(pattern, '*');
	if (star == NULL) {
		return span_equal(host, span_of(pattern));
	}
	struct span before = { pattern, (size_t)(star - pattern) };
	struct span after = span_of(star + 1);
	if (host.size <= before.size + after.size || !span_starts(host, before) ||
	    !span_equal(span_after(host, host.size - after.size), after)) {
		return false;
	}
	for (size_t i = before.size; i < host.size - after.size; i++) {
		if (!is_label_byte(host.data[i]) && !(star == pattern && host.data[i] == '.')) {
			return false;
		}
	}
	return true;
}

/* Host and the rest of an https URL whose host is allowed. */
static bool
split(struct span url, const char *const *hosts, struct span *path)
{
	struct span scheme = SPAN("https://");
	if (!span_starts(url, scheme)) {
		return false;
	}
	struct span rest = span_after(url, scheme.size);
	size_t size = 0;
	while (size < rest.size && rest.data[size] != '/' && rest.data[size] != '?') {
		size++;
	}
	struct span host = { rest.data, size };
	*path = span_after(rest, size);
	for (size_t i = 0; i < path->size; i++) { /* what any two parsers might read differently */
		if (path->data[i] <= ' ' || path->data[i] > '~' ||
		    strchr("\\#@", path->data[i]) != NULL) {
			return false;
		}
	}
	for (; *hosts != NULL; hosts++) {
		if (key_host_matches(host, *hosts)) {
			return true;
		}
	}
	return false;
}

bool
key_url_allowed(struct span url, const char *const *hosts, const char *ending)
{
	struct span path;
	struct span end = span_of(ending);
	return split(url, hosts, &path) && path.size > 0 && path.data[0] == '/' &&
	       memchr(path.data, '?', path.size) == NULL && path.size >= end.size &&
	       span_equal(span_after(path, path.size - end.size), end);
}

bool
key_url_host_allowed(struct span url, const char *const *hosts)
{
	struct span path;
	return split(url, hosts, &path);
}
