/* LD_PRELOAD library: a name server that a test has in hand, for one process. getaddrinfo(3) is where a silent one is felt: it does
 * not come back for as long as the resolver's patience lasts.
 *
 *   HOOKLATCH_NAMES   a file of lines "name mode": answer (127.0.0.1), nxdomain, servfail, silent. It may change at any time. Names that are
 *                     not in it are asked for as ever. Each name that was asked for is appended to the file NAMES.asked. */
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_S 20 /* two tries of 5 s for each of two questions */
#define STEP_US    20000

typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* False: it is none of ours. */
static int
mode_of(const char *name, char mode[16])
{
	char word[128];
	const char *path = getenv("HOOKLATCH_NAMES");
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	int found = 0;
	while (file != NULL && !found && fscanf(file, "%127s %15s", word, mode) == 2) {
		found = strcmp(word, name) == 0;
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	return found;
}

static void
note(const char *name)
{
	char path[4096];
	char line[160];
	(void)snprintf(path, sizeof(path), "%s.asked", getenv("HOOKLATCH_NAMES"));
	int size = snprintf(line, sizeof(line), "%s\n", name);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		(void)!write(fd, line, (size_t)size);
		(void)close(fd);
	}
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **ret)
{
	resolve_fn *real = (resolve_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
	char mode[16];
	if (name == NULL || !mode_of(name, mode)) {
		return real(name, service, hints, ret);
	}
	note(name);
	for (int step = 0; strcmp(mode, "silent") == 0; step++) {
		if (step == PATIENCE_S * 1000000 / STEP_US) {
			return EAI_AGAIN;
		}
		(void)usleep(STEP_US);
	}
	if (strcmp(mode, "answer") == 0) {
		return real("127.0.0.1", service, hints, ret);
	}
	return strcmp(mode, "servfail") == 0 ? EAI_AGAIN : EAI_NONAME;
}
