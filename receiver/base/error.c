#include "receiver/base/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FATAL_LINE_BYTES 1024

static atomic_int fatal_fd = STDERR_FILENO;
bool
error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	err->kind = kind;
	err->sys_errno = 0;
	(void)vsnprintf(err->text, sizeof(err->text), format, arguments);
	va_end(arguments);
	return false;
}

bool
error_system(struct error *err, const char *format, ...)
{
	int saved = errno;
	va_list arguments;
	va_start(arguments, format);
	err->kind = ERROR_SYSTEM;
	err->sys_errno = saved;
	(void)vsnprintf(err->text, sizeof(err->text), format, arguments);
	va_end(arguments);
	size_t used = strlen(err->text);
	char reason[96];
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s",
	               strerror_r(saved, reason, sizeof(reason)));
	return false;
}

bool
error_prefix(struct error *err, const char *format, ...)
{
	char old[ERROR_TEXT_BYTES];
	memcpy(old, err->text, sizeof(old));
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, arguments);
	va_end(arguments);
	size_t used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", old);
	return false;
}

void
fatal_to(int fd)
{
	atomic_store(&fatal_fd, fd);
}

void
fatal_say(const char *event, const char *format, ...)
{
	char line[FATAL_LINE_BYTES];
	char message[FATAL_LINE_BYTES / 2];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	for (char *at = message; *at != '\0'; at++) {
		if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ') {
			*at = '/';
		}
	}
	struct timespec now = { 0 };
	struct tm parts = { 0 };
	char seconds[32] = "";
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &parts);
	(void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &parts);
	int size = snprintf(
		line, sizeof(line),
		"{\"ts\":\"%s.%06ldZ\",\"level\":\"fatal\",\"event\":\"%s\",\"msg\":\"%s\"}\n",
		seconds, now.tv_nsec / NS_PER_US, event, message);
	ssize_t written = write(atomic_load(&fatal_fd), line, (size_t)size);
	(void)written;
}

void
assertion_failed(const char *name, const char *condition, const char *file, int line)
{
	fatal_say("assertion.failed", "%s: %s (%s:%d)", name, condition, file, line);
	abort();
}
