#include "receiver/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "receiver/base/error.h"

#define BUFFER_FIRST_BYTES 256
#define BUFFER_NEED_BYTES  65536

struct span
span_of(const char *text)
{
	return (struct span){ text, text == NULL ? 0 : strlen(text) };
}

bool
span_equal(struct span a, struct span b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool
span_equal_nocase(struct span a, struct span b)
{
	return a.size == b.size && (a.size == 0 || strncasecmp(a.data, b.data, a.size) == 0);
}

bool
span_starts(struct span text, struct span prefix)
{
	return text.size >= prefix.size &&
	       (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

struct span
span_trim(struct span text)
{
	while (text.size > 0 && is_blank(text.data[0])) {
		text = span_after(text, 1);
	}
	while (text.size > 0 && is_blank(text.data[text.size - 1])) {
		text.size--;
	}
	return text;
}

struct span
span_after(struct span text, size_t count)
{
	ALWAYS(count <= text.size, "span-inside");
	return (struct span){ count == 0 ? text.data : text.data + count, text.size - count };
}

char *
span_copy(struct span text)
{
	char *copy = memory_need(text.size + 1);
	if (text.size > 0) {
		memcpy(copy, text.data, text.size);
	}
	return copy;
}

bool
span_number(struct span text, int64_t *ret)
{
	if (text.size == 0 || text.size > 18) {
		return false;
	}
	int64_t number = 0;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return false;
		}
		number = number * 10 + (text.data[i] - '0');
	}
	*ret = number;
	return true;
}

void
buffer_init(struct buffer *buffer, size_t limit)
{
	*buffer = (struct buffer){ .limit = limit };
}

struct buffer
buffer_over(char *room, size_t size)
{
	return (struct buffer){ .data = room, .room = size, .limit = size };
}

void
buffer_finish(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ .limit = buffer->limit };
}

static NORETURN void
memory_gone(void)
{
	fatal_say("service.failed", "out of memory");
	_exit(1);
}

bool
buffer_reserve(struct buffer *buffer, size_t more)
{
	if (more <= buffer->room - buffer->size) {
		return true;
	}
	if (more > buffer->limit || buffer->size > buffer->limit - more) {
		return false;
	}
	size_t wanted = buffer->size + more;
	size_t room = buffer->room < BUFFER_FIRST_BYTES ? BUFFER_FIRST_BYTES : buffer->room;
	while (room < wanted) {
		room *= 2;
	}
	room = room > buffer->limit ? buffer->limit : room;
	char *data = realloc(buffer->data, room);
	if (data == NULL) {
		return false;
	}
	buffer->data = data;
	buffer->room = room;
	return true;
}

/* Room for a text. One that is half said would be taken for all of it: where not even little memory is left, the process ends. */
static bool
buffer_grow(struct buffer *buffer, size_t more)
{
	bool fits = more <= buffer->limit && buffer->size <= buffer->limit - more;
	if (fits && !buffer_reserve(buffer, more)) {
		if (buffer->size + more <= BUFFER_NEED_BYTES) {
			memory_gone();
		}
		fits = false;
	}
	return fits;
}

void
buffer_append(struct buffer *buffer, const void *data, size_t size)
{
	if (size == 0) {
		return;
	}
	if (buffer->failed || !buffer_grow(buffer, size)) {
		buffer->failed = true;
		return;
	}
	memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
}

void
buffer_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void
buffer_span(struct buffer *buffer, struct span text)
{
	buffer_append(buffer, text.data, text.size);
}

void
buffer_byte(struct buffer *buffer, char byte)
{
	buffer_append(buffer, &byte, 1);
}

void
buffer_number(struct buffer *buffer, int64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);
	uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
	do {
		digits[--at] = "0123456789"[rest % 10];
		rest /= 10;
	} while (rest > 0);
	if (number < 0) {
		digits[--at] = '-';
	}
	buffer_append(buffer, digits + at, sizeof(digits) - at);
}

void
buffer_lower(struct buffer *buffer, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];
		if (byte >= 'A' && byte <= 'Z') {
			byte = "abcdefghijklmnopqrstuvwxyz"[byte - 'A'];
		}
		buffer_byte(buffer, byte);
	}
}

void
buffer_format(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	char small[512];
	int size = vsnprintf(small, sizeof(small), format, arguments);
	va_end(arguments);
	if (size < 0) {
		buffer->failed = true;
		return;
	}
	if ((size_t)size < sizeof(small)) {
		buffer_append(buffer, small, (size_t)size);
		return;
	}
	if (buffer->failed || !buffer_grow(buffer, (size_t)size + 1)) {
		buffer->failed = true;
		return;
	}
	va_start(arguments, format);
	(void)vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, arguments);
	va_end(arguments);
	buffer->size += (size_t)size;
}

void
buffer_consume(struct buffer *buffer, size_t count)
{
	ALWAYS(count <= buffer->size, "buffer-inside");
	if (count > 0 && count < buffer->size) {
		memmove(buffer->data, buffer->data + count, buffer->size - count);
	}
	buffer->size -= count;
}

struct span
buffer_view(const struct buffer *buffer)
{
	return (struct span){ buffer->data, buffer->size };
}

char *
buffer_steal(struct buffer *buffer)
{
	char *text = memory_resize(buffer->data, buffer->size + 1);
	text[buffer->size] = '\0';
	*buffer = (struct buffer){ .limit = buffer->limit };
	return text;
}

void *
memory_need(size_t size)
{
	void *data = calloc(1, size == 0 ? 1 : size);
	if (data == NULL) {
		memory_gone();
	}
	return data;
}

void *
memory_resize(void *old, size_t size)
{
	void *data = realloc(old, size == 0 ? 1 : size);
	if (data == NULL) {
		memory_gone();
	}
	return data;
}

char *
memory_text(const char *text)
{
	return text == NULL ? NULL : span_copy(span_of(text));
}

void
memory_wipe(void *data, size_t size)
{
	if (data != NULL) {
		explicit_bzero(data, size);
	}
}
