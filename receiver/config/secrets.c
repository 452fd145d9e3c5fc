#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/config/config.h"

/* What the environment held: a program's environment can be read in /proc for as long as it lives, so each value is taken out of
 * it the first time, and kept here for reloads. On the main thread alone. */
struct taken {
	struct taken *next;
	char *name;
	char *value;
};

static struct taken *taken_values;

static struct taken *
taken_of(const char *name)
{
	struct taken *taken = taken_values;
	while (taken != NULL && strcmp(taken->name, name) != 0) {
		taken = taken->next;
	}
	return taken;
}

static const char *
take_variable(const char *name)
{
	struct taken *taken = taken_of(name);
	char *value = getenv(name);
	if (value == NULL) {
		return taken == NULL ? NULL : taken->value;
	}
	if (taken == NULL) {
		taken = memory_need(sizeof(*taken));
		taken->name = memory_text(name);
		taken->next = taken_values;
		taken_values = taken;
	} else {
		memory_wipe(taken->value, strlen(taken->value));
		free(taken->value);
	}
	taken->value = memory_text(value);
	memory_wipe(value, strlen(value));
	(void)unsetenv(name);
	return taken->value;
}

bool
secret_is_variable(const char *name)
{
	return taken_of(name) != NULL;
}

static bool
read_file(const char *path, struct buffer *text, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return error_system(err, "cannot read the secret's file %s", path);
	}
	char data[4096];
	ssize_t got = 0;
	while ((got = read(fd, data, sizeof(data))) != 0 && !text->failed) {
		if (got < 0 && errno != EINTR) {
			break;
		}
		buffer_append(text, data, got < 0 ? 0 : (size_t)got);
	}
	bool good = got >= 0;
	if (!good) {
		(void)error_system(err, "cannot read the secret's file %s", path);
	}
	(void)close(fd);
	if (text->failed) {
		good = error_set(err, ERROR_LIMIT, "%s: longer than %zu bytes", path,
		                 text->limit - 1);
	} else if (text->size > 0 && text->data[text->size - 1] == '\n') {
		text->size--; /* one trailing newline is dropped */
	}
	memory_wipe(data, sizeof(data));
	return good;
}

bool
secret_read(const struct config *config, const struct secret_settings *settings,
            struct buffer *text, struct error *err)
{
	/* A buffer that grows leaves what it held behind. */
	if (!buffer_reserve(text, text->limit)) {
		return error_set(err, ERROR_MEMORY, "no memory for a secret");
	}
	if (settings->env != NULL) {
		const char *value = take_variable(settings->env);
		if (value == NULL) {
			return error_set(err, ERROR_NOT_FOUND, "the environment has no %s",
			                 settings->env);
		}
		buffer_text(text, value);
		return true;
	}
	char *path;
	if (settings->credential != NULL) {
		const char *directory = getenv("CREDENTIALS_DIRECTORY");
		if (directory == NULL) {
			return error_set(
				err, ERROR_NOT_FOUND,
				"the credential %s: $CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential=",
				settings->credential);
		}
		struct buffer joined;
		buffer_init(&joined, 8192);
		buffer_format(&joined, "%s/%s", directory, settings->credential);
		path = buffer_steal(&joined);
	} else {
		path = config_path(config, settings->file);
	}
	bool good = read_file(path, text, err);
	free(path);
	return good;
}
