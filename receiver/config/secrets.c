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
	char data[SECRET_MOST_BYTES + 2];
	size_t size = 0;
	ssize_t got = 0;
	while (size < sizeof(data) && (got = read(fd, data + size, sizeof(data) - size)) != 0) {
		if (got < 0 && errno != EINTR) {
			break;
		}
		size += got < 0 ? 0 : (size_t)got;
	}
	bool good = got >= 0;
	if (!good) {
		(void)error_system(err, "cannot read the secret's file %s", path);
	}
	(void)close(fd);
	if (size > 0 && data[size - 1] == '\n') { /* one trailing newline is dropped */
		size--;
	}
	buffer_append(text, data, size);
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
