#include "receiver/verify/value.h"

#include "receiver/verify/form.h"
#include "receiver/verify/json_pointer.h"

static enum value_find
read_header(const struct scheme *scheme, const char *name, const struct verify_request *request,
            struct buffer *out)
{
	struct span text = { 0 };
	size_t found = request_field(request, scheme, name, &text);
	if (found > 1) {
		return VALUE_REPEATED;
	}
	buffer_span(out, text);
	return text.size > 0 && !out->failed ? VALUE_FOUND : VALUE_ABSENT;
}

static enum value_find
read_json(const char *pointer, struct span text, struct buffer *out)
{
	size_t before = out->size;
	switch (json_text_at(text, span_of(pointer), out)) {
	case JSON_FOUND: break;
	case JSON_ABSENT:
		return VALUE_ABSENT; /* null, true, an object too: nothing that names an event */
	case JSON_BROKEN: return VALUE_UNREADABLE;
	}
	return out->size > before ? VALUE_FOUND : VALUE_ABSENT;
}

static enum value_find
read_parts(const struct scheme *scheme, const struct scheme_value *value,
           const struct verify_request *request, struct span text, struct buffer *out)
{
	size_t found = 0;
	bool first = false;
	for (size_t i = 0; i < value->part_count; i++) {
		buffer_text(out, i == 0 ? "" : ":");
		bool json = value->parts[i][0] == '/';
		enum value_find part = json ? read_json(value->parts[i], text, out)
		                            : read_header(scheme, value->parts[i], request, out);
		if (part == VALUE_UNREADABLE || part == VALUE_REPEATED) {
			return part;
		}
		found += part == VALUE_FOUND ? 1 : 0;
		first = i == 0 ? part == VALUE_FOUND : first;
	}
	if (value->or_generated && first && found == 1) {
		return VALUE_GENERATED;
	}
	bool enough = value->all ? found == value->part_count : found > 0;
	return enough && !out->failed ? VALUE_FOUND : VALUE_ABSENT;
}

enum value_find
value_read(const struct scheme *scheme, const struct scheme_value *value,
           const struct verify_request *request, struct span text, struct buffer *out)
{
	switch (value->from) {
	case SCHEME_FROM_HEADER: return read_header(scheme, value->name, request, out);
	case SCHEME_FROM_JSON: return read_json(value->name, text, out);
	case SCHEME_FROM_PARTS: return read_parts(scheme, value, request, text, out);
	case SCHEME_FROM_FORM:
		return form_find(text, span_of(value->name), out) && out->size > 0 ? VALUE_FOUND
		                                                                   : VALUE_ABSENT;
	case SCHEME_CONSTANT: buffer_text(out, value->name); return VALUE_FOUND;
	case SCHEME_NOWHERE:
	case SCHEME_FROM_SIGNATURE:
	case SCHEME_GENERATED: break;
	}
	return VALUE_ABSENT;
}
