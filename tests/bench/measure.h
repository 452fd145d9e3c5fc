#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

/* What is measured: latencies, and the CPU of this program and of the server. */
#include <stdint.h>

#include "tests/bench/options.h"

enum {
	LATENCY_SUB_BITS =
		7, /* 128 slots for each power of two: a figure is at most 1/128 too high */
	LATENCY_SUB = 1 << LATENCY_SUB_BITS,
	LATENCY_SLOTS = (64 - LATENCY_SUB_BITS + 1) * LATENCY_SUB,
};

struct latency {
	uint64_t slots[LATENCY_SLOTS], count, max_ns;
};

void latency_add(struct latency *latency, uint64_t ns);
double latency_ms(const struct latency *latency,
                  double share); /* 0.99 for p99; 0 when there is none */

struct cpu {
	double own_seconds;
	double watched_seconds; /* NAN when one of the watched processes is gone */
	double machine_seconds; /* of all cores, also what a hypervisor took away */
};

struct cpu cpu_now(const struct options *options);

#endif
