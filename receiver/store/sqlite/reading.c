#include "receiver/store/sqlite/sqlite_priv.h"

bool
sqlite_open_reading(sqlite3 **ret, const char *path, struct error *err)
{
	bool good = sqlite3_open_v2(path, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
	                    SQLITE_OK ||
	            sqlite_error(err, *ret, "cannot open it");
	(void)sqlite3_db_config(*ret, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_busy_timeout(*ret, SQLITE_BUSY_MS);
	return good || error_prefix(err, "%s", path);
}
