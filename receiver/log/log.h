/* The log: one JSON object (or one line of text) an event, with a fixed name and fields. A line is formatted by its
 * caller and put into a bounded ring; a thread of its own writes it. A ring that is full drops the line and counts:
 * a log that cannot be written never stops its callers. Never a body, never a secret.
 *
 *   struct log_line line;
 *   log_begin(&line, LOG_WARN, "attempt.failed", "try %d of %d failed", …);
 *   log_text(&line, "handler", span_of(name));
 *   log_end(&line);
 *
 * Threads: any. errno is kept. */
#ifndef HOOKLATCH_LOG_LOG_H
#define HOOKLATCH_LOG_LOG_H

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

#define LOG_LINE_MOST_BYTES 4096
#define LOG_RING_BYTES      (1024 * 1024)

enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
	LOG_FATAL,
	LOG_LEVELS,
};

enum log_format {
	LOG_JSON,
	LOG_TEXT,
};

struct log_line {
	bool on;
	enum log_level level;
	int saved_errno;
	size_t size;
	char data[LOG_LINE_MOST_BYTES];
};

void log_begin(struct log_line *line, enum log_level level, const char *event, const char *format,
               ...) PRINTF(4, 5);
void log_text(struct log_line *line, const char *name, struct span value);
void log_number(struct log_line *line, const char *name, int64_t value);
/* A value that is JSON already. */
void log_raw(struct log_line *line, const char *name, const char *json);
void log_error(struct log_line *line, const struct error *err); /* error_type and error */
void log_end(struct log_line *line);

/* A line without fields of its own. */
void log_say(enum log_level level, const char *event, const char *format, ...) PRINTF(3, 4);

bool log_on(enum log_level level);

/* writer.c. Before log_start() lines go to stderr at once. `file` NULL is stderr. */
bool log_start(enum log_format format, enum log_level level, const char *file, struct error *err)
	MUST_CHECK;
void log_set_level(enum log_level level);
void log_reopen(void);
/* Writes what waits, for at most a second, and ends the thread. */
void log_stop(void);
int64_t log_drops(void); /* since the start */
int64_t log_lines(
	enum log_level level); /* begun since the start, at or above the level that is written */
const char *log_level_name(enum log_level level);

/* For log.c alone: takes a whole line with its newline. */
void log_write_line(const char *data, size_t size, bool urgent);
enum log_format log_current_format(void);

#endif
