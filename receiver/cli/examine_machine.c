#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>

#include <openssl/crypto.h>
#include <sqlite3.h>

#include "receiver/base/clock.h"
#include "receiver/cli/examination.h"

#define EARLIEST_NS            (INT64_C(1767225600) * NS_PER_S) /* 2026-01-01: this program is younger */
#define DESCRIPTORS_A_WORKER   6 /* its program's pipes, files, sockets */
#define DESCRIPTORS_OF_OURSELF 128
#define DESCRIPTORS_LEAST      4096 /* enough for any provider */

void
examine_clock(struct examination *examination)
{
	char when[CLOCK_TEXT_BYTES];
	clock_text(examination->now_ns, when);
	struct timex state = { 0 };
	if (examination->now_ns < EARLIEST_NS) {
		found_wrong(examination, "clock",
		            "set it, and keep it set: chrony, systemd-timesyncd",
		            "it is %s: providers' signatures are too far from it and are refused",
		            when);
	} else if (adjtimex(&state) < 0) {
		found_note(examination, "clock",
		           "it is %s; the kernel does not say how true that is", when);
	} else if ((state.status & STA_UNSYNC) != 0) {
		found_note(
			examination, "clock",
			"it is %s; nothing on this machine keeps it true (a host may): signatures are refused when it is "
			"further off than a source's tolerance",
			when);
	} else {
		found_good(examination, "clock", "it is %s, synchronised", when);
	}
}

/* What the running service has: /proc/PID/limits; else what a process started from here would get. */
static int64_t
descriptors_of(long pid)
{
	char path[64];
	char line[256];
	int64_t most = -1;
	(void)snprintf(path, sizeof(path), "/proc/%ld/limits", pid);
	FILE *file = pid == 0 ? NULL : fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "Max open files", 14) == 0) {
			most = strtoll(line + 14, NULL,
			               10); /* the soft one: the service has raised it */
		}
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	struct rlimit limit;
	if (most < 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		most = (int64_t)limit.rlim_max;
	}
	return most;
}

void
examine_limits(struct examination *examination, const struct config *config, long pid)
{
	const struct settings *settings = &config->settings;
	int64_t needed = settings->limits.connections + settings->workers * DESCRIPTORS_A_WORKER +
	                 DESCRIPTORS_OF_OURSELF;
	int64_t most = descriptors_of(pid);
	if (most >= 0 && most < needed && most < DESCRIPTORS_LEAST) {
		found_wrong(
			examination, "limits",
			"raise it (LimitNOFILE= in the unit), or lower limits.connections and workers",
			"%lld file descriptors; limits.connections (%lld) and workers (%lld) ask for %lld",
			(long long)most, (long long)settings->limits.connections,
			(long long)settings->workers, (long long)needed);
	} else if (most >= 0 && most < needed) {
		found_note(
			examination, "limits",
			"%lld file descriptors; limits.connections and workers ask for %lld: the last connections are refused",
			(long long)most, (long long)needed);
	} else {
		found_good(examination, "limits", "%lld file descriptors, %lld are asked for",
		           (long long)most, (long long)needed);
	}
	struct rlimit size;
	if (pid == 0 && getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_cur != RLIM_INFINITY) {
		found_wrong(examination, "limits", "ulimit -f unlimited; LimitFSIZE=infinity",
		            "files may have at most %lld bytes, and so the store",
		            (long long)size.rlim_cur);
	}
}

/* Versions with bugs that matter here and that distributions do not mend under the same number. */
static const struct {
	const char *library;
	int from;
	int before;
	const char *what;
	const char *remedy; /* NULL: a note */
} known_bugs[] = {
	{ "SQLite", 3007000, 3051003,
	  "two connections that write and checkpoint at the same instant can damage a database in WAL mode (fixed in 3.51.3). "
	  "hooklatch writes and checkpoints with one connection alone: let nobody else write to the store while it runs",
	  NULL },
	{ "SQLite", 3052000, 3052001, "3.52.0 was withdrawn by its makers",
	  "install 3.51.3, or a later one" },
	{ "OpenSSL", 30000, 30007,
	  "a certificate's name can overflow a buffer (CVE-2022-3602, CVE-2022-3786)",
	  "install 3.0.7, or a later one" },
};

static void
examine_library(struct examination *examination, const char *library, const char *version,
                int number)
{
	bool known = false;
	for (size_t i = 0; i < COUNT(known_bugs); i++) {
		if (strcmp(known_bugs[i].library, library) != 0 || number < known_bugs[i].from ||
		    number >= known_bugs[i].before) {
			continue;
		}
		known = true;
		if (known_bugs[i].remedy == NULL) {
			found_note(examination, "libraries", "%s %s: %s", library, version,
			           known_bugs[i].what);
		} else {
			found_wrong(examination, "libraries", known_bugs[i].remedy, "%s %s: %s",
			            library, version, known_bugs[i].what);
		}
	}
	if (!known) {
		found_good(examination, "libraries", "%s %s", library, version);
	}
}

void
examine_libraries(struct examination *examination)
{
	examine_library(examination, "SQLite", sqlite3_libversion(), sqlite3_libversion_number());
	examine_library(examination, "OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING),
	                (int)(OPENSSL_version_major() * 10000 + OPENSSL_version_minor() * 100 +
	                      OPENSSL_version_patch()));
}
