/* What doctor looks at. A row is what was looked at, how it is, and, where something is wrong, what to do about it. */
#ifndef HOOKLATCH_CLI_EXAMINATION_H
#define HOOKLATCH_CLI_EXAMINATION_H

#include <sys/types.h>

#include "receiver/cli/command.h"

struct examination {
	json_t *rows; /* check, result (ok, note, finding), message, remedy */
	size_t findings;
	int64_t now_ns;
	bool whole;  /* every page and body of the store, too */
	uid_t owner; /* of the store; root when there is none */
};

void found_good(struct examination *examination, const char *check, const char *format, ...)
	PRINTF(3, 4);
/* To know, and nothing to do now. */
void found_note(struct examination *examination, const char *check, const char *format, ...)
	PRINTF(3, 4);
/* Something is wrong. The remedy may be NULL where the message tells it. */
void found_wrong(struct examination *examination, const char *check, const char *remedy,
                 const char *format, ...) PRINTF(4, 5);

/* examine_files.c: modes of what holds secrets, certificates, handlers' programs */
/* A file that is for the service's user alone. False after telling that it is not. */
bool examine_mode(struct examination *examination, const char *check, const char *path);
void examine_secrets(struct examination *examination, const struct config *config);
void examine_certificates(struct examination *examination, const struct config *config);
void examine_programs(struct examination *examination, const struct config *config);
/* examine_machine.c: the clock, limits, libraries */
void examine_clock(struct examination *examination);
void examine_limits(struct examination *examination, const struct config *config, long pid);
void examine_libraries(struct examination *examination);
/* examine_store.c: the disk, who has the store, what is in it. As root it becomes the store's owner, for good. */
void examine_disk(struct examination *examination, const struct config *config);
void examine_store(struct examination *examination, const struct config *config);

#endif
