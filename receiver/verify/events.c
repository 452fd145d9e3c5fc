#include "receiver/verify/events.h"

#include "receiver/base/encoding.h"
#include "receiver/verify/json_pointer.h"
#include "receiver/verify/value.h"

#define VALUE_MOST_BYTES 4096 /* while it is read */

/* Where a request's events are, and what names them. */
struct shape {
	const char *array; /* NULL: one event */
	const struct scheme_value *id;
	const struct scheme_value *type;
};

static struct span
content_type_of(const struct verify_request *request)
{
	struct span content_type = { 0 };
	(void)fields_find(request->fields, SPAN("Content-Type"), &content_type);
	return content_type;
}

static struct shape
shape_of(const struct events_reading *reading)
{
	const struct scheme *scheme = reading->scheme;
	const struct scheme_mode *mode = scheme_mode_of(scheme, content_type_of(reading->request));
	const struct scheme_events *events = mode == NULL ? &scheme->events : &mode->events;
	if (events->array != NULL) {
		return (struct shape){ events->array, &events->id, &events->type };
	}
	return mode != NULL ? (struct shape){ NULL, &mode->id, &mode->type }
	                    : (struct shape){ NULL, &scheme->id, &scheme->type };
}

/* What the provider sends beside events, without an id. */
static bool
is_beside_events(const struct events_reading *reading)
{
	const struct scheme *scheme = reading->scheme;
	if (scheme->ignored_media_type != NULL &&
	    scheme_media_type_is(content_type_of(reading->request), scheme->ignored_media_type)) {
		return true;
	}
	if (scheme->ignored_json == NULL) {
		return false;
	}
	char room[VALUE_MOST_BYTES];
	struct buffer text = buffer_over(room, sizeof(room));
	return json_text_at(reading->body, span_of(scheme->ignored_json), &text) == JSON_FOUND &&
	       span_equal(buffer_view(&text), span_of(scheme->ignored_value));
}

static bool
is_name(struct span text)
{
	return text.size > 0 && text.size <= EVENTS_NAME_MOST_BYTES && utf8_plain(text);
}

/* NULL, or why there is no id. */
static const char *
read_id(const struct events_reading *reading, const struct shape *shape, struct span text,
        struct buffer *id)
{
	if (shape->id->from == SCHEME_GENERATED) {
		return NULL;
	}
	switch (value_read(reading->scheme, shape->id, reading->request, text, id)) {
	case VALUE_FOUND: break;
	case VALUE_GENERATED: id->size = 0; return NULL;
	case VALUE_ABSENT: return "the event id is missing";
	case VALUE_REPEATED: return "the event id's header stands there twice";
	case VALUE_UNREADABLE: return "the event id cannot be read from the body";
	}
	return is_name(buffer_view(id))
	               ? NULL
	               : "the event id is not 1 to 512 bytes of UTF-8 without control characters";
}

static enum events_result
read_one(struct events_reading *reading, const struct shape *shape, struct span text)
{
	char rooms[2][VALUE_MOST_BYTES];
	struct buffer id = buffer_over(rooms[0], sizeof(rooms[0]));
	struct buffer type = buffer_over(rooms[1], sizeof(rooms[1]));
	if (++reading->count > EVENTS_MOST) {
		reading->wrong = "the request holds more events than are taken at once";
		return EVENTS_TOO_MANY;
	}
	enum events_result result = EVENTS_READ;
	reading->wrong = read_id(reading, shape, text, &id);
	if (reading->wrong != NULL) {
		result = EVENTS_MALFORMED;
	} else {
		if (value_read(reading->scheme, shape->type, reading->request, text, &type) !=
		            VALUE_FOUND ||
		    !is_name(buffer_view(&type))) {
			type.size = 0;
		}
		struct span named = { 0 };
		if (id.size > 0) {
			named = buffer_view(&id);
		}
		result = reading->event(reading->context, named, buffer_view(&type), text)
		                 ? EVENTS_READ
		                 : EVENTS_STOPPED;
	}
	return result;
}

static enum events_result
broken(struct events_reading *reading, const char *wrong)
{
	reading->wrong = wrong;
	return EVENTS_MALFORMED;
}

static enum events_result
read_array(struct events_reading *reading, const struct shape *shape)
{
	static const char unreadable[] = "the array of events cannot be read from the body";
	struct json_items items;
	struct json_slice element = { 0 };
	enum json_find found = json_items_begin(reading->body, span_of(shape->array), &items);
	if (found != JSON_FOUND) {
		return broken(reading,
		              found == JSON_ABSENT ? "the array of events is missing" : unreadable);
	}
	while ((found = json_items_next(&items, &element)) == JSON_FOUND) {
		enum events_result result = read_one(reading, shape, element.raw);
		if (result != EVENTS_READ) {
			return result;
		}
	}
	return found == JSON_ABSENT ? EVENTS_READ : broken(reading, unreadable);
}

enum events_result
events_read(struct events_reading *reading)
{
	struct shape shape = shape_of(reading);
	reading->several = shape.array != NULL;
	reading->count = 0;
	reading->wrong = NULL;
	if (is_beside_events(reading)) {
		return EVENTS_BESIDE;
	}
	return reading->several ? read_array(reading, &shape)
	                        : read_one(reading, &shape, reading->body);
}
