/* Who holds a lock, as proc_locks(5) tells it: "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/store/sqlite/sqlite_priv.h"

#define WAL_WRITE_BYTE 120 /* of -shm: https://sqlite.org/walformat.html section 2.3 */

enum word {
	WORD_KIND = 1,
	WORD_MODE = 3,
	WORD_PID,
	WORD_FILE,
	WORD_FROM,
	WORD_TO,
	WORDS
};

static bool
fits(char *const words[WORDS], const struct stat *file, const char *kind, unsigned long long byte)
{
	const char *inode = strrchr(words[WORD_FILE], ':');
	bool to_end = strcmp(words[WORD_TO], "EOF") == 0;
	return inode != NULL && strcmp(words[WORD_KIND], kind) == 0 &&
	       strcmp(words[WORD_MODE], "WRITE") == 0 &&
	       strtoull(inode + 1, NULL, 10) == (unsigned long long)file->st_ino &&
	       strtoull(words[WORD_FROM], NULL, 10) <= byte &&
	       (to_end || strtoull(words[WORD_TO], NULL, 10) >= byte);
}

/* The pid of another process; 0: none is known. */
static long
find(const char *path, const char *kind, unsigned long long byte)
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
		if (count == WORDS && fits(words, &file, kind, byte)) {
			holder = strtol(words[WORD_PID], NULL, 10);
			holder = holder == (long)getpid() ? 0 : holder;
		}
	}
	if (locks != NULL) {
		(void)fclose(locks);
	}
	return holder;
}

static long
find_beside(const char *store_path, const char *ending, const char *kind, unsigned long long byte)
{
	struct buffer text;
	buffer_init(&text, 65536);
	buffer_format(&text, "%s%s", store_path, ending);
	char *path = buffer_steal(&text);
	long holder = find(path, kind, byte);
	free(path);
	return holder;
}

long
holder_of_store(const char *store_path)
{
	return find_beside(store_path, ".lock", "FLOCK", 0);
}

long
holder_of_writing(const char *store_path)
{
	return find_beside(store_path, "-shm", "POSIX", WAL_WRITE_BYTE);
}
