#include "tests/bench/limits/threads.h"

#include <err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static bool (*the_turn)(unsigned);
static atomic_bool over;
static atomic_bool failed;

struct worker {
	pthread_t thread;
	unsigned number;
	uint64_t turns;
};

static double
now_seconds(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
	double sum = 0;
	const int whose[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
	for (unsigned i = 0; i < 2; i++) {
		struct rusage usage;
		getrusage(whose[i], &usage);
		sum += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	}
	return sum;
}

static void *
work(void *argument)
{
	struct worker *worker = argument;
	while (!atomic_load(&over)) {
		if (!the_turn(worker->number)) {
			atomic_store(&failed, true);
			break;
		}
		worker->turns++;
	}
	return NULL;
}

double
threads_number(const char *text, double least, double most)
{
	char *end = NULL;
	double value = strtod(text, &end);
	if (end == text || *end != '\0' || !(value >= least && value <= most)) {
		errx(2, "%s: a number from %g to %g, please", text, least, most);
	}
	return value;
}

int
threads_run(unsigned threads, double seconds, bool (*turn)(unsigned thread))
{
	static struct worker workers[THREADS_MOST];
	const struct timespec whole = { .tv_sec = (time_t)seconds,
		                        .tv_nsec =
		                                (long)((seconds - (double)(time_t)seconds) * 1e9) };
	uint64_t turns = 0;
	the_turn = turn;
	double begun = now_seconds();
	double cpu = cpu_seconds();
	for (unsigned i = 0; i < threads; i++) {
		workers[i].number = i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
			errx(1, "no thread");
		}
	}
	nanosleep(&whole, NULL);
	atomic_store(&over, true);
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		turns += workers[i].turns;
	}
	double lasted = now_seconds() - begun;
	printf("{\"rate\":%.1f,\"seconds\":%.3f,\"cpu_seconds\":%.3f}\n", (double)turns / lasted,
	       lasted, cpu_seconds() - cpu);
	return atomic_load(&failed) ? 1 : 0;
}
