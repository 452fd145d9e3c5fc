#include "receiver/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/clock.h"

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
assertion_failed(const char *name, const char *condition, const char *file, int line)
{
	char now[CLOCK_TEXT_BYTES];
	clock_text(clock_wall_ns(), now);
	(void)fprintf(
		stderr,
		"{\"ts\":\"%s\",\"level\":\"fatal\",\"event\":\"assertion.failed\",\"msg\":\"%s: %s (%s:%d)\"}\n",
		now, name, condition, file, line);
	abort();
}
