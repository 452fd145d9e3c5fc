#include "receiver/verify/form.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/encoding.h"

/* Takes the next parameter, still encoded, off the front. */
static bool
next_parameter(struct span *form, struct span *name, struct span *value)
{
	if (form->size == 0) {
		return false;
	}
	size_t size = 0;
	while (size < form->size && form->data[size] != '&') {
		size++;
	}
	size_t equals = 0;
	while (equals < size && form->data[equals] != '=') {
		equals++;
	}
	*name = (struct span){ form->data, equals };
	*value = (struct span){ form->data + equals + (equals < size ? 1 : 0),
		                size - equals - (equals < size ? 1 : 0) };
	*form = span_after(*form, size < form->size ? size + 1 : size);
	return true;
}

/* "+" is a space, %XX a byte. */
static bool
decode(struct span text, struct buffer *out)
{
	while (text.size > 0) {
		size_t size = 0;
		while (size < text.size && text.data[size] != '+') {
			size++;
		}
		if (!percent_decode(out, (struct span){ text.data, size })) {
			return false;
		}
		if (size < text.size) {
			buffer_byte(out, ' ');
			size++;
		}
		text = span_after(text, size);
	}
	return !out->failed;
}

bool
form_find(struct span form, struct span wanted, struct buffer *out)
{
	struct span name;
	struct span value;
	while (next_parameter(&form, &name, &value)) {
		struct buffer decoded;
		buffer_init(&decoded, wanted.size + 1);
		bool same = decode(name, &decoded) && span_equal(buffer_view(&decoded), wanted);
		buffer_finish(&decoded);
		if (same) {
			return decode(value, out);
		}
	}
	return false;
}

struct parameter {
	struct span name;
	struct span value;
};

static int
compare_spans(struct span a, struct span b)
{
	size_t size = a.size < b.size ? a.size : b.size;
	int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int
compare_parameters(const void *a, const void *b)
{
	const struct parameter *one = a;
	const struct parameter *two = b;
	int order = compare_spans(one->name, two->name);
	return order != 0 ? order : compare_spans(one->value, two->value);
}

/* The decoded names and values, in one buffer that never grows: spans into it stay. */
static bool
decode_all(struct span form, struct buffer *text, struct parameter *parameters, size_t *count)
{
	struct span name;
	struct span value;
	while (next_parameter(&form, &name, &value)) {
		if (name.size == 0 && value.size == 0) {
			continue;
		}
		if (*count == FORM_PARAMETERS_MOST) {
			return false;
		}
		size_t start = text->size;
		if (!decode(name, text)) {
			return false;
		}
		size_t middle = text->size;
		if (!decode(value, text)) {
			return false;
		}
		parameters[*count].name = (struct span){ text->data + start, middle - start };
		parameters[*count].value =
			(struct span){ text->data + middle, text->size - middle };
		(*count)++;
	}
	return true;
}

bool
form_sorted(struct span form, struct buffer *out)
{
	struct buffer text;
	struct parameter *parameters = malloc(FORM_PARAMETERS_MOST * sizeof(*parameters));
	size_t count = 0;
	buffer_init(&text, form.size + 1);
	bool good = parameters != NULL && buffer_reserve(&text, form.size + 1) &&
	            decode_all(form, &text, parameters, &count);
	if (good && count > 0) {
		qsort(parameters, count, sizeof(*parameters), compare_parameters);
	}
	for (size_t i = 0; good && i < count; i++) {
		if (i == 0 || compare_parameters(&parameters[i - 1], &parameters[i]) != 0) {
			buffer_span(out, parameters[i].name);
			buffer_span(out, parameters[i].value);
		}
	}
	buffer_finish(&text);
	free(parameters);
	return good && !out->failed;
}
