/* Power loss on a disk that forgets, tears and reorders what was not synced, played through the store's own code.
 *
 *   torn [--seed N] [--stores N] [--points N] [--images N] [--depth N] [--jobs N] [--no-sync] [--normal]
 *
 * Lives of the store are recorded; at writes and syncs of theirs the power goes off, images of what may be left are built, and
 * each different one is started from: the start must find no damage, the database must be sound and hold what some commit
 * left, no earlier one than the last that had returned. From some images whole lives are recorded in turn, to `depth`: a power
 * cut during the recovery from a power cut.
 *   --no-sync   syncs do nothing; --normal  synchronous=NORMAL: losses must be found
 * Prints its figures as one JSON object. Ends with 1 when anything was lost, corrupt or unexpected. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "receiver/base/error.h"
#include "receiver/log/log.h"

#include "tests/faults/torn/exam.h"

#define JOBS_MOST   8
#define DEPTH_MOST  4
#define STORES_MORE 4 /* times as many as were asked for, when images are missing */

static bool
is_done(const struct plan *plan, const struct figures *figures)
{
	return (figures->commits.images + figures->compound.images) * plan->jobs >= plan->images;
}

/* One process: every jobs-th store, until its share is done. */
static void
play(const struct plan *plan, int64_t job, struct figures *figures)
{
	int64_t owed = 0;
	vfs_register(plan->seed + (uint64_t)job);
	exam_begin(plan);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30); /* images come and go */
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	for (int64_t number = job; number < plan->stores ||
	                           (number < plan->stores * STORES_MORE && !is_done(plan, figures));
	     number += plan->jobs) {
		exam_store(plan, plan->seed + (uint64_t)number, &owed, figures);
	}
}

static void
add(struct figures *sum, const struct figures *more)
{
	int64_t *to = (int64_t *)(void *)sum;
	const int64_t *from = (const int64_t *)(const void *)more;
	int64_t deepest = sum->deepest > more->deepest ? sum->deepest : more->deepest;
	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++) {
		to[i] += from[i];
	}
	sum->deepest = deepest;
}

static int
begin_job(const struct plan *plan, int64_t job)
{
	int ends[2];
	struct figures figures = { 0 };
	ALWAYS(pipe(ends) == 0, "pipe");
	(void)fflush(NULL);
	pid_t child = fork();
	ALWAYS(child >= 0, "fork");
	if (child > 0) {
		(void)close(ends[1]);
		return ends[0];
	}
	(void)close(ends[0]);
	play(plan, job, &figures);
	ALWAYS(write(ends[1], &figures, sizeof(figures)) == (ssize_t)sizeof(figures), "figures");
	exit(EXIT_SUCCESS);
}

/* False: a process did not come to its end. */
static bool
play_jobs(const struct plan *plan, struct figures *sum)
{
	int ends[JOBS_MOST];
	bool good = true;
	for (int64_t i = 0; i < plan->jobs; i++) {
		ends[i] = begin_job(plan, i);
	}
	for (int64_t i = 0; i < plan->jobs; i++) {
		struct figures figures;
		if (read(ends[i], &figures, sizeof(figures)) == (ssize_t)sizeof(figures)) {
			add(sum, &figures);
		} else {
			good = false;
		}
		(void)close(ends[i]);
	}
	for (int64_t i = 0; i < plan->jobs; i++) {
		int status;
		good = wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && good;
	}
	return good;
}

/* --- the program --- */

static void
print_share(const char *name, const struct share *share)
{
	static const char *const phases[] = {
		[PHASE_START] = "start",           [PHASE_MIGRATION] = "migration",
		[PHASE_COMMIT] = "commit",         [PHASE_PURGE] = "purge",
		[PHASE_CHECKPOINT] = "checkpoint", [PHASE_CLOSE] = "close",
	};
	const struct {
		const char *name;
		int64_t value;
	} rows[] = {
		{ "lives", share->lives },
		{ "points", share->points },
		{ "images", share->images },
		{ "repeated", share->repeated },
		{ "acked", share->acked },
		{ "checked", share->checked },
		{ "lost", share->lost },
		{ "corrupt", share->corrupt },
		{ "false_alarms", share->false_alarms },
		{ "refused", share->refused },
		{ "older", share->older },
		{ "copies", share->copies },
		{ "bad_copies", share->bad_copies },
	};
	(void)printf("\"%s\":{", name);
	for (size_t i = 0; i < COUNT(rows); i++) {
		(void)printf("\"%s\":%" PRId64 ",", rows[i].name, rows[i].value);
	}
	(void)printf("\"phases\":{");
	for (size_t i = 0; i < PHASES; i++) {
		(void)printf("%s\"%s\":%" PRId64, i == 0 ? "" : ",", phases[i], share->phases[i]);
	}
	(void)printf("}},");
}

static bool
is_clean(const struct share *share)
{
	return share->lost + share->corrupt + share->false_alarms + share->refused + share->older +
	               share->bad_copies ==
	       0;
}

static bool
read_number(const char *text, int64_t least, int64_t most, int64_t *ret)
{
	char *end = NULL;
	*ret = text == NULL ? 0 : strtoll(text, &end, 10);
	return text != NULL && end != text && *end == '\0' && *ret >= least && *ret <= most;
}

static bool
read_option(struct plan *plan, int argc, char **argv, int *at)
{
	const char *name = argv[*at];
	int64_t number = 0;
	if (strcmp(name, "--no-sync") == 0) {
		plan->syncs = false;
		return true;
	}
	if (strcmp(name, "--normal") == 0) {
		plan->normal = true;
		return true;
	}
	const char *value = ++*at < argc ? argv[*at] : NULL;
	if (strcmp(name, "--seed") == 0) {
		bool good = read_number(value, 0, INT64_MAX, &number);
		plan->seed = (uint64_t)number;
		return good;
	}
	return (strcmp(name, "--stores") == 0 && read_number(value, 1, 100000, &plan->stores)) ||
	       (strcmp(name, "--points") == 0 && read_number(value, 1, 1000000, &plan->points)) ||
	       (strcmp(name, "--images") == 0 && read_number(value, 1, 100000000, &plan->images)) ||
	       (strcmp(name, "--depth") == 0 && read_number(value, 0, DEPTH_MOST, &plan->depth)) ||
	       (strcmp(name, "--jobs") == 0 && read_number(value, 1, JOBS_MOST, &plan->jobs));
}

/* The machine's time, not the lives'. */
static double
machine_seconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / NS_PER_S;
}

int
main(int argc, char **argv)
{
	struct plan plan = { .seed = 1,
		             .stores = 2,
		             .points = 400,
		             .images = 4000,
		             .depth = 2,
		             .jobs = 2,
		             .syncs = true };
	struct figures figures = { .deepest = 0 };
	for (int i = 1; i < argc; i++) {
		if (!read_option(&plan, argc, argv, &i)) {
			(void)fprintf(stderr,
			              "torn [--seed N] [--stores N] [--points N] [--images N] "
			              "[--depth N] [--jobs N] [--no-sync] [--normal]\n");
			return 2;
		}
	}
	log_set_level(LOG_FATAL);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	double begun = machine_seconds();
	bool good = play_jobs(&plan, &figures);
	double seconds = machine_seconds() - begun;
	int64_t images = figures.commits.images + figures.compound.images;
	(void)printf("{");
	print_share("commits", &figures.commits);
	print_share("compound", &figures.compound);
	(void)printf("\"nested_images\":%" PRId64 ",\"deepest\":%" PRId64
	             ",\"seconds\":%.1f,\"images_per_second\":%.0f}\n",
	             figures.nested_images, figures.deepest, seconds, (double)images / seconds);
	return good && is_clean(&figures.commits) && is_clean(&figures.compound) ? EXIT_SUCCESS
	                                                                         : EXIT_FAILURE;
}
