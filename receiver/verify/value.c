#include "receiver/verify/value.h"

#include "receiver/verify/json_pointer.h"

static enum value_find
read_header(const char *name, struct fields fields, struct buffer *out)
{
	struct span text = { 0 };
	size_t found = fields_find(fields, span_of(name), &text);
	if (found > 1) {
		return VALUE_REPEATED;
	}
	buffer_span(out, text);
	return text.size > 0 && !out->failed ? VALUE_FOUND : VALUE_ABSENT;
}

static enum value_find
read_json(const char *pointer, struct span body, struct buffer *out)
{
	struct json_slice slice = { 0 };
	switch (json_pointer_find(body, span_of(pointer), &slice)) {
	case JSON_FOUND: break;
	case JSON_ABSENT: return VALUE_ABSENT;
	case JSON_BROKEN: return VALUE_UNREADABLE;
	}
	if (slice.kind != JSON_STRING && slice.kind != JSON_NUMBER) {
		return VALUE_ABSENT; /* null, true, an object: nothing that names an event */
	}
	size_t before = out->size;
	if (!json_slice_text(slice, out)) {
		return VALUE_UNREADABLE;
	}
	return out->size > before ? VALUE_FOUND : VALUE_ABSENT;
}

static enum value_find
read_parts(const struct scheme_value *value, struct fields fields, struct span body,
           struct buffer *out)
{
	bool any = false;
	for (size_t i = 0; i < value->part_count; i++) {
		buffer_text(out, i == 0 ? "" : ":");
		bool json = value->parts[i][0] == '/';
		enum value_find part = json ? read_json(value->parts[i], body, out)
		                            : read_header(value->parts[i], fields, out);
		if (part == VALUE_UNREADABLE || part == VALUE_REPEATED) {
			return part;
		}
		any = any || part == VALUE_FOUND;
	}
	return any && !out->failed ? VALUE_FOUND : VALUE_ABSENT;
}

enum value_find
value_read(const struct scheme_value *value, struct fields fields, struct span body,
           struct buffer *out)
{
	switch (value->from) {
	case SCHEME_FROM_HEADER: return read_header(value->name, fields, out);
	case SCHEME_FROM_JSON: return read_json(value->name, body, out);
	case SCHEME_FROM_PARTS: return read_parts(value, fields, body, out);
	case SCHEME_NOWHERE:
	case SCHEME_FROM_SIGNATURE:
	case SCHEME_GENERATED: break;
	}
	return VALUE_ABSENT;
}
