#include "receiver/log/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/base/encoding.h"

#define VALUE_MOST_BYTES 1024 /* a longer value is cut */
#define TAIL_BYTES       8    /* room that is kept for the end of the line */

static const char *const level_names[] = { "debug", "info", "warn", "error", "fatal" };
static_assert(COUNT(level_names) == LOG_LEVELS, "a level without a name");

static atomic_llong lines[LOG_LEVELS];

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

int64_t
log_lines(enum log_level level)
{
	return atomic_load_explicit(&lines[level], memory_order_relaxed);
}

static void
put(struct log_line *line, const char *data, size_t size)
{
	if (sizeof(line->data) - TAIL_BYTES - line->size >= size) {
		memcpy(line->data + line->size, data, size);
		line->size += size;
	}
}

/* The rest of the line as a buffer: what does not fit fails, and nothing is allocated. */
static struct buffer
rest_of(struct log_line *line)
{
	size_t room = sizeof(line->data) - TAIL_BYTES - line->size;
	return buffer_over(line->data + line->size, room);
}

static void
put_name(struct buffer *rest, const char *name)
{
	bool text = log_current_format() == LOG_TEXT;
	buffer_span(rest, text ? SPAN(" ") : SPAN(",\""));
	buffer_text(rest, name);
	buffer_span(rest, text ? SPAN("=") : SPAN("\":"));
}

/* `name` and `value`, or nothing when both do not fit. */
static void
put_field(struct log_line *line, const char *name, const char *value, size_t size)
{
	struct buffer rest = rest_of(line);
	put_name(&rest, name);
	buffer_append(&rest, value, size);
	line->size += rest.failed ? 0 : rest.size;
}

void
log_begin(struct log_line *line, enum log_level level, const char *event, const char *format, ...)
{
	line->saved_errno = errno;
	line->on = log_on(level);
	line->level = level;
	line->size = 0;
	if (!line->on) {
		return;
	}
	(void)atomic_fetch_add_explicit(&lines[level], 1, memory_order_relaxed);
	char message[VALUE_MOST_BYTES];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	char when[CLOCK_TEXT_BYTES];
	clock_text(clock_wall_ns(), when);
	if (log_current_format() == LOG_TEXT) {
		char head[256];
		(void)snprintf(head, sizeof(head), "%s %-5s %s:", when, level_names[level], event);
		put(line, head, strlen(head));
		put(line, " ", 1);
		struct buffer quoted;
		buffer_init(&quoted, sizeof(line->data));
		json_quote(&quoted, span_of(message));
		put(line, quoted.data + 1, quoted.size < 2 ? 0 : quoted.size - 2);
		buffer_finish(&quoted);
		return;
	}
	struct buffer rest = rest_of(line);
	buffer_span(&rest, SPAN("{\"ts\":\""));
	buffer_text(&rest, when);
	buffer_span(&rest, SPAN("\",\"level\":\""));
	buffer_text(&rest, level_names[level]);
	buffer_span(&rest, SPAN("\",\"event\":\""));
	buffer_text(&rest, event);
	buffer_byte(&rest, '"');
	line->size = rest.size;
	log_text(line, "msg", span_of(message));
}

void
log_text(struct log_line *line, const char *name, struct span value)
{
	if (!line->on) {
		return;
	}
	if (value.size > VALUE_MOST_BYTES) {
		value.size = VALUE_MOST_BYTES;
	}
	struct buffer rest = rest_of(line);
	put_name(&rest, name);
	json_quote(&rest, value);
	line->size += rest.failed ? 0 : rest.size;
}

void
log_number(struct log_line *line, const char *name, int64_t value)
{
	if (line->on) {
		struct buffer rest = rest_of(line);
		put_name(&rest, name);
		buffer_number(&rest, value);
		line->size += rest.failed ? 0 : rest.size;
	}
}

void
log_raw(struct log_line *line, const char *name, const char *json)
{
	if (line->on) {
		put_field(line, name, json, strlen(json));
	}
}

void
log_error(struct log_line *line, const struct error *err)
{
	static const char *const types[] = {
		[ERROR_NONE] = "none",
		[ERROR_SYSTEM] = "system",
		[ERROR_MEMORY] = "memory",
		[ERROR_INVALID] = "invalid",
		[ERROR_NOT_FOUND] = "not_found",
		[ERROR_REFUSED] = "refused",
		[ERROR_LIMIT] = "limit",
		[ERROR_UNREACHABLE] = "unreachable",
		[ERROR_STORE_FULL] = "store_full",
		[ERROR_STORE_BUSY] = "store_busy",
		[ERROR_STORE_BAD] = "store_bad",
		[ERROR_STORE_DAMAGED] = "store_damaged",
		[ERROR_LOCKED] = "locked",
	};
	log_text(line, "error_type", span_of(types[err->kind]));
	log_text(line, "error", span_of(err->text));
}

void
log_end(struct log_line *line)
{
	if (line->on) {
		if (log_current_format() == LOG_JSON) {
			line->data[line->size++] = '}';
		}
		line->data[line->size++] = '\n';
		log_write_line(line->data, line->size, line->level >= LOG_ERROR);
	}
	errno = line->saved_errno;
}

void
log_say(enum log_level level, const char *event, const char *format, ...)
{
	char message[VALUE_MOST_BYTES];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	struct log_line line;
	log_begin(&line, level, event, "%s", message);
	log_end(&line);
}
