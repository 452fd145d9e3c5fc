#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

/* What the load generator was asked for. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	OPTIONS_BODY_LEAST = 64, /* room for the JSON around the filling */
	OPTIONS_WATCHED_MOST = 16,
};

enum id_kind {
	ID_V7,    /* rises with time */
	ID_V4,    /* random */
	ID_FIXED, /* one for each body: repeats when the pool is through */
};

struct options {
	const char *host, *port, *path, *authority; /* the parts of the URL */
	const char *secret_file;
	const char *expect;        /* Hooklatch-Result of the right answer; NULL: any or none */
	const char *answered_file; /* gets the id of each good answer, a line each; NULL: none */
	unsigned status;           /* of the right answer */
	unsigned forged_status;    /* of the right answer to what is forged */
	double seconds, warmup_seconds, timeout_seconds;
	double rate;       /* 0: saturated */
	uint64_t requests; /* 0: for a time */
	uint64_t seed;     /* 0: other bodies and ids each time */
	double forge;      /* the share of connections that sign wrongly */
	unsigned connections, pool;
	size_t body_bytes;
	enum id_kind ids;
	bool fresh, resume, overload, hold;
	pid_t watched[OPTIONS_WATCHED_MOST];
	unsigned watched_count;
};

/* Ends the program with 2 when the command line is wrong. What it keeps is never freed. */
void options_read(struct options *options, int argc, char **argv);

#endif
