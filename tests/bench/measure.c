#include "tests/bench/measure.h"

#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void
latency_add(struct latency *latency, uint64_t ns)
{
	uint64_t slot = ns;
	if (ns >= LATENCY_SUB) {
		unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
		slot = (uint64_t)shift * LATENCY_SUB + (ns >> shift);
	}
	latency->slots[slot]++;
	latency->count++;
	if (ns > latency->max_ns) {
		latency->max_ns = ns;
	}
}

double
latency_ms(const struct latency *latency, double share)
{
	uint64_t rank = (uint64_t)ceil(share * (double)latency->count);
	uint64_t sum = 0;
	for (unsigned slot = 0; slot < LATENCY_SLOTS; slot++) {
		sum += latency->slots[slot];
		if (sum >= rank && sum > 0) {
			unsigned shift = slot < LATENCY_SUB ? 0 : slot / LATENCY_SUB - 1;
			uint64_t top = ((uint64_t)(slot - shift * LATENCY_SUB) + 1) << shift;
			uint64_t ns = top - 1 < latency->max_ns ? top - 1 : latency->max_ns;
			return (double)ns / 1e6;
		}
	}
	return 0;
}

static bool
file_read(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return false;
	}
	ssize_t got = read(fd, to, size - 1);
	close(fd);
	to[got > 0 ? got : 0] = '\0';
	return got > 0;
}

static double
ticks_to_seconds(uint64_t ticks)
{
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Of a process, its threads, and the children that it has waited for; NAN when it is gone. */
static double
process_seconds(pid_t pid)
{
	char path[64];
	char text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!file_read(path, text, sizeof(text))) {
		return NAN;
	}
	const char *field = strrchr(text, ')'); /* ends field 2, the name; utime is field 14 */
	for (unsigned i = 2; field != NULL && i < 14; i++) {
		field = strchr(field + 1, ' ');
	}
	if (field == NULL) {
		return NAN;
	}
	uint64_t ticks = 0;
	char *at = NULL;
	for (unsigned i = 14; i <= 17; i++) { /* utime, stime, cutime, cstime */
		ticks += strtoull(field, &at, 10);
		field = at;
	}
	return ticks_to_seconds(ticks);
}

static double
machine_seconds(void)
{
	enum {
		COLUMN_IDLE = 3,
		COLUMN_IOWAIT = 4,
		COLUMNS = 8
	}; /* then guests, a part of the first */
	char text[1024];
	uint64_t ticks = 0;
	if (!file_read("/proc/stat", text, sizeof(text)) || strncmp(text, "cpu ", 4) != 0) {
		return NAN;
	}
	char *at = text + 4;
	for (unsigned i = 0; i < COLUMNS; i++) {
		uint64_t column = strtoull(at, &at, 10);
		ticks += i == COLUMN_IDLE || i == COLUMN_IOWAIT ? 0 : column;
	}
	return ticks_to_seconds(ticks);
}

struct cpu
cpu_now(const struct options *options)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	struct cpu cpu = { .machine_seconds = machine_seconds() };
	cpu.own_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	                  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	for (unsigned i = 0; i < options->watched_count; i++) {
		cpu.watched_seconds += process_seconds(options->watched[i]);
	}
	return cpu;
}
