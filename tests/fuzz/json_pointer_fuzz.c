/* A pointer, a line feed, a document. Nothing is read outside the document; and where jansson can read it, the scanner
 * finds the same value, with the same text. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/json_walk.h"

/* jansson refuses what we take on purpose (huge numbers, depth, \u0000 in keys, repeated keys), and takes a NUL for the end
 * of the text: then nothing is said. */
static void
compare(struct span text, struct span pointer, enum json_find find, struct json_slice slice,
        struct span decoded, bool good)
{
	json_t *document =
		json_loadb(text.data, text.size,
	                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	if (document == NULL || memchr(text.data, '\0', text.size) != NULL) {
		json_decref(document);
		return;
	}
	const json_t *value = json_walk(document, pointer);
	PROPERTY(find == (value == NULL ? JSON_ABSENT : JSON_FOUND));
	PROPERTY(value == NULL || jansson_is_kind(value, slice.kind));
	PROPERTY(value == NULL || good);
	PROPERTY(!jansson_is(value, JANSSON_STRING) ||
	         span_equal(decoded,
	                    (struct span){ json_string_value(value), json_string_length(value) }));
	json_decref(document);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct span pointer = fuzz_take_until(&text, '\n');
	char *pointer_copy = fuzz_copy(pointer);
	char *text_copy = fuzz_copy(text);
	text.data = text_copy;
	pointer.data = pointer_copy;
	if (json_pointer_valid(pointer)) {
		struct json_slice slice = { 0 };
		struct buffer out;
		bool good = false;
		buffer_init(&out, text.size + 1);
		enum json_find find = json_pointer_find(text, pointer, &slice);
		if (find == JSON_FOUND) {
			PROPERTY(slice.raw.size > 0 && slice.raw.data >= text.data &&
			         slice.raw.data + slice.raw.size <= text.data + text.size);
			good = json_slice_text(slice, &out);
			PROPERTY(!out.failed); /* decoding makes nothing longer */
		} else {
			PROPERTY(slice.raw.data == NULL);
		}
		compare(text, pointer, find, slice, buffer_view(&out), good);
		buffer_finish(&out);
	}
	free(text_copy);
	free(pointer_copy);
	return 0;
}
