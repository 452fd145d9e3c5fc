#include "receiver/store/sqlite/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "receiver/base/bytes.h"

bool
reserve_open(struct reserve *reserve, const char *store_path, struct error *err)
{
	struct buffer path;
	buffer_init(&path, 65536);
	buffer_format(&path, "%s.reserve", store_path);
	reserve->path = buffer_steal(&path);
	reserve->fd = open(reserve->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (reserve->fd < 0 && errno != ENOSPC && errno != EDQUOT) {
		return error_system(err, "cannot open %s", reserve->path);
	}
	return true;
}

bool
reserve_hold(struct reserve *reserve)
{
	if (reserve->fd < 0) {
		reserve->fd = open(reserve->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	if (reserve->fd < 0) {
		return false;
	}
	int code;
	do {
		code = fallocate(reserve->fd, 0, 0, RESERVE_BYTES);
	} while (code != 0 && errno == EINTR);
	/* A file system that cannot set space aside has none to give: it goes without. */
	reserve->held = code == 0 || errno == EOPNOTSUPP || errno == ENOSYS;
	return reserve->held;
}

void
reserve_give(struct reserve *reserve)
{
	if (reserve->held && ftruncate(reserve->fd, 0) == 0) {
		reserve->held = false;
	}
}

void
reserve_close(struct reserve *reserve)
{
	if (reserve->fd >= 0) {
		(void)close(reserve->fd);
		reserve->fd = -1;
	}
	free(reserve->path);
	reserve->path = NULL;
}
