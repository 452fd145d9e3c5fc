/* Who holds a lock, as proc_locks(5) tells it: "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "receiver/store/disk.h"
#include "receiver/store/sqlite/sqlite_priv.h"

/* Of -shm: https://sqlite.org/walformat.html section 2.3; the last is held by everybody who has it open. */
#define WAL_WRITE_BYTE 120
#define WAL_OPEN_BYTE  128

enum word {
	WORD_KIND = 1,
	WORD_MODE = 3,
	WORD_PID,
	WORD_FILE,
	WORD_FROM,
	WORD_TO,
	WORDS
};

/* What is looked for. */
struct wanted_lock {
	const char *kind; /* FLOCK, POSIX */
	bool writing;     /* or any */
	unsigned long long byte;
	bool service;    /* of ours; or any process */
	char device[32]; /* as it begins the file's name there; "": of any */
};

/* Whether its command line is "… serve …". */
static bool
serves(long pid)
{
	char path[64];
	char words[4096];
	(void)snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	FILE *file = fopen(path, "re");
	size_t size = file == NULL ? 0 : fread(words, 1, sizeof(words), file);
	if (file != NULL) {
		(void)fclose(file);
	}
	return memmem(words, size, "\0serve", sizeof("\0serve")) != NULL;
}

static bool
fits(char *const words[WORDS], const struct stat *file, const struct wanted_lock *wanted)
{
	const char *inode = strrchr(words[WORD_FILE], ':');
	size_t device = strlen(wanted->device);
	bool to_end = strcmp(words[WORD_TO], "EOF") == 0;
	long pid = strtol(words[WORD_PID], NULL, 10);
	return inode != NULL && strncmp(words[WORD_FILE], wanted->device, device) == 0 &&
	       strcmp(words[WORD_KIND], wanted->kind) == 0 &&
	       (!wanted->writing || strcmp(words[WORD_MODE], "WRITE") == 0) &&
	       strtoull(inode + 1, NULL, 10) == (unsigned long long)file->st_ino &&
	       strtoull(words[WORD_FROM], NULL, 10) <= wanted->byte &&
	       (to_end || strtoull(words[WORD_TO], NULL, 10) >= wanted->byte) &&
	       pid != (long)getpid() && (!wanted->service || serves(pid));
}

/* The pid of another process; 0: none is known. */
static long
find(const char *path, const struct wanted_lock *wanted)
{
	struct stat file;
	char line[256];
	long holder = 0;
	FILE *locks = stat(path, &file) == 0 ? fopen("/proc/locks", "re") : NULL;
	while (locks != NULL && holder == 0 && fgets(line, sizeof(line), locks) != NULL) {
		char *rest = NULL;
		char *words[WORDS] = { NULL };
		size_t count = 0;
		for (char *word = strtok_r(line, " \n", &rest); word != NULL && count < WORDS;
		     word = strtok_r(NULL, " \n", &rest)) {
			words[count++] = word;
		}
		if (count == WORDS && fits(words, &file, wanted)) {
			holder = strtol(words[WORD_PID], NULL, 10);
		}
	}
	if (locks != NULL) {
		(void)fclose(locks);
	}
	return holder;
}

static long
find_beside(const char *store_path, const char *ending, struct wanted_lock wanted)
{
	struct disk disk;
	struct stat directory;
	struct error ignored;
	/* Inodes of other disks have the same numbers. A subvolume or an overlay shows another device to stat(2) than to the kernel. */
	if (disk_look(store_path, &disk, &ignored) && disk.stable_device &&
	    stat(store_path, &directory) == 0) {
		(void)snprintf(wanted.device, sizeof(wanted.device),
		               "%02x:%02x:", major(directory.st_dev), minor(directory.st_dev));
	}
	struct buffer text;
	buffer_init(&text, 65536);
	buffer_format(&text, "%s%s", store_path, ending);
	char *path = buffer_steal(&text);
	long holder = find(path, &wanted);
	free(path);
	return holder;
}

long
holder_of_store(const char *store_path)
{
	const struct wanted_lock wanted = { "FLOCK", true, 0, false, "" };
	return find_beside(store_path, ".lock", wanted);
}

long
holder_of_writing(const char *store_path)
{
	const struct wanted_lock wanted = { "POSIX", true, WAL_WRITE_BYTE, false, "" };
	return find_beside(store_path, "-shm", wanted);
}

long
holder_of_file(const char *store_path)
{
	const struct wanted_lock wanted = { "POSIX", false, WAL_OPEN_BYTE, true, "" };
	return find_beside(store_path, "-shm", wanted);
}
