#include "receiver/verify/request.h"

#include <stdio.h>
#include <string.h>

#define NAME_MOST_BYTES 128

/* The other family's name for a header, or the same name. */
static struct span
renamed(const struct scheme *scheme, const char *name, char room[NAME_MOST_BYTES])
{
	struct span family = span_of(scheme->family);
	struct span own = span_of(name);
	if (own.size < family.size ||
	    !span_equal_nocase((struct span){ own.data, family.size }, family)) {
		return own;
	}
	(void)snprintf(room, NAME_MOST_BYTES, "%s%s", scheme->other_family, name + family.size);
	return span_of(room);
}

void
request_family(struct verify_request *request, const struct scheme *scheme)
{
	struct span ignored;
	request->other_family = false;
	if (scheme->family != NULL && scheme->signature_header != NULL) {
		request->other_family =
			fields_find(request->fields, span_of(scheme->signature_header), &ignored) ==
			0;
	}
}

size_t
request_field(const struct verify_request *request, const struct scheme *scheme, const char *name,
              struct span *value)
{
	char room[NAME_MOST_BYTES];
	struct span wanted = request->other_family && scheme->family != NULL
	                             ? renamed(scheme, name, room)
	                             : span_of(name);
	return fields_find(request->fields, wanted, value);
}
