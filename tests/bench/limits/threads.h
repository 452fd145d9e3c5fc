#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

/* One loop on some threads for some time, and what it was worth. */
#include <stdbool.h>

enum {
	THREADS_MOST = 256
};

/* `turn` is called again and again, with the number of its thread, and says whether it went well. Prints
 * {"rate": turns a second, "seconds", "cpu_seconds": of this program and the children it waited for}.
 * Returns the exit code: 1 when a turn failed. */
int threads_run(unsigned threads, double seconds, bool (*turn)(unsigned thread));

/* A whole number or a number of seconds from the command line; ends the program with 2 when it is none. */
double threads_number(const char *text, double least, double most);

#endif
