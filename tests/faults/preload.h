/* What the two preload libraries share: kill_preload.c sees the storage calls, counts them and ends the process;
 * power_preload.c is told of each and keeps a copy of what the disk has. Alone, kill_preload.c uses its own empty (weak)
 * versions of these functions.
 * Threads  all but disk_begin() are called between disk_begin() and disk_end(), so one storage call at a time. */
#ifndef FAULTS_PRELOAD_H
#define FAULTS_PRELOAD_H

#include <stdbool.h>
#include <sys/types.h>

enum store_file {
	STORE_NONE,
	STORE_DATABASE,
	STORE_WAL
};

void disk_open(const char *store); /* once, before main(); the database's absolute path */
void disk_begin(void);
void disk_end(void);
void disk_wrote(enum store_file file, off_t offset, off_t bytes);
void disk_resized(enum store_file file, off_t size);
void disk_synced(enum store_file file, int fd, bool ok);
void disk_removed(enum store_file file);
void disk_power_cut(void); /* the process ends next */

#endif
