/* The events of a request and their ids: a byte for the scheme, a line for the media type, a line for the id's header, the
 * body. What is read lies in the body, and where jansson can read the body, the ids are those that jansson finds. */
#include <string.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/events.h"
#include "receiver/verify/presets.h"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/json_walk.h"

struct seen {
	struct span body;
	const char *behind; /* the last event's text */
	const struct scheme_value *id;
	const json_t *root; /* NULL: jansson does not take the body */
	const json_t *array;
	bool several;
	size_t count;
	struct buffer all; /* each event's id, type and text */
};

static bool
is_number(const json_t *value)
{
	return jansson_is(value, JSON_INTEGER) || jansson_is(value, JSON_REAL);
}

static void
compare_id(const struct seen *seen, struct span id)
{
	if (seen->root == NULL || seen->id->from != SCHEME_FROM_JSON) {
		return;
	}
	const json_t *event = seen->several ? json_array_get(seen->array, seen->count) : seen->root;
	const json_t *value = json_walk(event, span_of(seen->id->name));
	PROPERTY(jansson_is(value, JANSSON_STRING) || is_number(value));
	PROPERTY(!jansson_is(value, JANSSON_STRING) ||
	         span_equal(id,
	                    (struct span){ json_string_value(value), json_string_length(value) }));
	PROPERTY(!jansson_is(value, JSON_INTEGER) ||
	         strtoll(id.data, NULL, 10) == json_integer_value(value));
}

static bool
see_event(void *context, struct span id, struct span type, struct span text)
{
	struct seen *seen = context;
	PROPERTY((id.data == NULL) == (id.size == 0));
	PROPERTY(id.size <= EVENTS_NAME_MOST_BYTES && type.size <= EVENTS_NAME_MOST_BYTES);
	PROPERTY(utf8_plain(id) && utf8_plain(type));
	PROPERTY(id.size > 0 || seen->id->from == SCHEME_GENERATED || seen->id->or_generated);
	if (seen->several) {
		struct json_slice slice;
		PROPERTY(text.data >= seen->behind &&
		         text.data + text.size <= seen->body.data + seen->body.size);
		PROPERTY(json_pointer_find(text, SPAN(""), &slice) == JSON_FOUND &&
		         span_equal(slice.raw, text));
		seen->behind = text.data + text.size;
	} else {
		PROPERTY(text.data == seen->body.data && text.size == seen->body.size);
	}
	char *terminated = span_copy(id);
	compare_id(seen, (struct span){ terminated, id.size });
	free(terminated);
	buffer_format(&seen->all, "%zu %zu ", id.size, type.size);
	buffer_span(&seen->all, id);
	buffer_span(&seen->all, type);
	buffer_span(&seen->all, seen->several ? text : SPAN(""));
	seen->count++;
	return true;
}

static enum events_result
read_events(const struct scheme *scheme, const struct verify_request *request, struct span body,
            json_t *root, struct seen *seen)
{
	struct span content_type = { 0 };
	(void)fields_find(request->fields, SPAN("Content-Type"), &content_type);
	const struct scheme_mode *mode = scheme_mode_of(scheme, content_type);
	const struct scheme_events *events = mode == NULL ? &scheme->events : &mode->events;
	*seen = (struct seen){ .body = body, .behind = body.data, .root = root };
	seen->several = events->array != NULL;
	seen->id = seen->several ? &events->id : mode == NULL ? &scheme->id : &mode->id;
	seen->array =
		root != NULL && seen->several ? json_walk(root, span_of(events->array)) : NULL;
	buffer_init(&seen->all, (size_t)1 << 24);
	struct events_reading reading = { .scheme = scheme,
		                          .request = request,
		                          .body = body,
		                          .context = seen,
		                          .event = see_event };
	enum events_result result = events_read(&reading);
	PROPERTY(result != EVENTS_STOPPED && reading.several == seen->several);
	PROPERTY((reading.wrong != NULL) ==
	         (result == EVENTS_MALFORMED || result == EVENTS_TOO_MANY));
	PROPERTY(result != EVENTS_READ || reading.count == seen->count);
	PROPERTY(seen->several || result != EVENTS_READ || seen->count == 1);
	if (root != NULL && seen->several) {
		bool array = jansson_is(seen->array, JANSSON_ARRAY);
		PROPERTY(array || result != EVENTS_READ);
		PROPERTY(!array || result != EVENTS_READ ||
		         seen->count == json_array_size(seen->array));
	}
	return result;
}

static const struct preset *
preset_of(struct span digit)
{
	size_t count = 0;
	while (presets[count].name != NULL) {
		count++;
	}
	return &presets[digit.size == 0 ? 0 : (unsigned char)digit.data[0] % count];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = { (const char *)data, size };
	const struct scheme *scheme = &preset_of(fuzz_take(&input, 1))->scheme;
	struct span media_type = fuzz_take_until(&input, '\n');
	struct span header = fuzz_take_until(&input, '\n');
	struct field fields[2] = { { SPAN("Content-Type"), media_type } };
	struct verify_request request = { .method = SPAN("POST"), .path = SPAN("/") };
	size_t count = 1;
	if (scheme->id.from == SCHEME_FROM_HEADER) {
		fields[count++] = (struct field){ span_of(scheme->id.name), header };
	}
	request.fields = (struct fields){ fields, count };
	json_t *root = json_loadb(input.data, input.size,
	                          JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	if (memchr(data, '\0', size) != NULL) {
		json_decref(root);
		root = NULL;
	}
	struct seen seen;
	struct seen again;
	char *body = fuzz_copy(input);
	enum events_result result =
		read_events(scheme, &request, (struct span){ body, input.size }, root, &seen);
	free(body);
	bool form = seen.id->from == SCHEME_FROM_FORM || scheme->type.from == SCHEME_FROM_FORM;
	if (!form) { /* blanks before and behind JSON mean nothing */
		struct buffer blank;
		buffer_init(&blank, input.size + 8);
		buffer_text(&blank, " \r\n\t");
		buffer_span(&blank, input);
		buffer_text(&blank, "\n");
		PROPERTY(read_events(scheme, &request, buffer_view(&blank), root, &again) ==
		         result);
		PROPERTY(span_equal(buffer_view(&seen.all), buffer_view(&again.all)));
		buffer_finish(&again.all);
		buffer_finish(&blank);
	}
	buffer_finish(&seen.all);
	json_decref(root);
	return 0;
}
