#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/config/config.h"

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
	if (settings->env != NULL) {
		const char *value = getenv(settings->env);
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
