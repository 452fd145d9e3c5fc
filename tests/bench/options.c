#include "tests/bench/options.h"

#include <ctype.h>
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
usage(FILE *to)
{
	fputs("usage: load --secret FILE [options] https://HOST:PORT/PATH\n"
	      "  --connections N   TLS connections, kept alive (64)\n"
	      "  --fresh           a new connection for each request; N is how many at once\n"
	      "  --resume          with --fresh: resume the TLS session of the connection before\n"
	      "  --size BYTES      size of a body (8192)\n"
	      "  --ids v7|v4|fixed UUID of each request; fixed: one for each body of the pool (v7)\n"
	      "  --seed N          the same bodies and ids in each run with it, in the same order\n"
	      "  --forge SHARE     of the connections sign wrongly, and must be refused (0)\n"
	      "  --pool N          different bodies, signed beforehand (256)\n"
	      "  --seconds S       measured time (5)\n"
	      "  --warmup S        time before it (1)\n"
	      "  --requests N      ends after N requests, not after a time; no warm-up\n"
	      "  --rate R          open loop: R requests a second; without it saturated\n"
	      "  --status N        the right answer's status (200)\n"
	      "  --forged-status N the right status for what is forged (401)\n"
	      "  --expect WORD     the right answer's Hooklatch-Result\n"
	      "  --answered FILE   gets the id of each request that was answered well\n"
	      "  --overload        503 with Retry-After is right too, counted and timed apart; what\n"
	      "                    finds no free connection is dropped\n"
	      "  --timeout S       for one answer, and for the drain (10)\n"
	      "  --watch PID       a process of the server, for its CPU; may be repeated\n"
	      "  --hold            after the report all connections stay, idle, until stdin ends\n",
	      to);
}

static double
option_number(const char *name, const char *text, double least, double most)
{
	char *end = NULL;
	double value = strtod(text, &end);
	if (end == text || *end != '\0' || !(value >= least && value <= most)) {
		errx(2, "--%s %s: a number from %g to %g, please", name, text, least, most);
	}
	return value;
}

static enum id_kind
option_ids(const char *text)
{
	static const char *const names[] = { [ID_V7] = "v7", [ID_V4] = "v4", [ID_FIXED] = "fixed" };
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			return (enum id_kind)i;
		}
	}
	errx(2, "--ids %s: v7, v4 or fixed, please", text);
}

static void
option_url(struct options *options, const char *url)
{
	static const char scheme[] = "https://";
	size_t scheme_len = sizeof(scheme) - 1;
	if (strncmp(url, scheme, scheme_len) != 0) {
		errx(2, "%s: an https URL, please", url);
	}
	const char *authority = url + scheme_len;
	const char *path = strchrnul(authority, '/');
	options->path = *path == '\0' ? "/" : path;
	char *host = strndup(authority, (size_t)(path - authority));
	options->authority = strndup(authority, (size_t)(path - authority));
	if (host == NULL || options->authority == NULL) {
		err(1, "strndup");
	}
	char *colon = strrchr(host, ':');
	if (colon == NULL || !isdigit((unsigned char)colon[1])) {
		errx(2, "%s: no port in it", url);
	}
	*colon = '\0';
	options->port = colon + 1;
	if (host[0] == '[' && colon[-1] == ']') { /* an IPv6 address */
		colon[-1] = '\0';
		host++;
	}
	options->host = host;
}

enum option_key {
	OPT_CONNECTIONS = 1,
	OPT_FRESH,
	OPT_RESUME,
	OPT_SIZE,
	OPT_IDS,
	OPT_POOL,
	OPT_SECONDS,
	OPT_WARMUP,
	OPT_REQUESTS,
	OPT_RATE,
	OPT_STATUS,
	OPT_EXPECT,
	OPT_TIMEOUT,
	OPT_WATCH,
	OPT_OVERLOAD,
	OPT_HOLD,
	OPT_SECRET,
	OPT_SEED,
	OPT_FORGE,
	OPT_FORGED_STATUS,
	OPT_ANSWERED,
	OPT_HELP
};

static const struct option option_rows[] = {
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "fresh", no_argument, NULL, OPT_FRESH },
	{ "resume", no_argument, NULL, OPT_RESUME },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "ids", required_argument, NULL, OPT_IDS },
	{ "pool", required_argument, NULL, OPT_POOL },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "requests", required_argument, NULL, OPT_REQUESTS },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "status", required_argument, NULL, OPT_STATUS },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "watch", required_argument, NULL, OPT_WATCH },
	{ "overload", no_argument, NULL, OPT_OVERLOAD },
	{ "hold", no_argument, NULL, OPT_HOLD },
	{ "secret", required_argument, NULL, OPT_SECRET },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "forge", required_argument, NULL, OPT_FORGE },
	{ "forged-status", required_argument, NULL, OPT_FORGED_STATUS },
	{ "answered", required_argument, NULL, OPT_ANSWERED },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void
option_take(struct options *options, int key, const char *name, const char *text)
{
	switch (key) {
	case OPT_CONNECTIONS:
		options->connections = (unsigned)option_number(name, text, 1, 100000);
		break;
	case OPT_FRESH: options->fresh = true; break;
	case OPT_RESUME: options->resume = true; break;
	case OPT_SIZE:
		options->body_bytes =
			(size_t)option_number(name, text, OPTIONS_BODY_LEAST, 64 << 20);
		break;
	case OPT_IDS: options->ids = option_ids(text); break;
	case OPT_POOL: options->pool = (unsigned)option_number(name, text, 1, 65536); break;
	case OPT_SECONDS: options->seconds = option_number(name, text, 0.1, 86400); break;
	case OPT_WARMUP: options->warmup_seconds = option_number(name, text, 0, 3600); break;
	case OPT_REQUESTS: options->requests = (uint64_t)option_number(name, text, 1, 1e12); break;
	case OPT_RATE: options->rate = option_number(name, text, 0.01, 1e7); break;
	case OPT_STATUS: options->status = (unsigned)option_number(name, text, 200, 599); break;
	case OPT_EXPECT: options->expect = text; break;
	case OPT_TIMEOUT: options->timeout_seconds = option_number(name, text, 0.1, 3600); break;
	case OPT_SECRET: options->secret_file = text; break;
	case OPT_SEED: options->seed = (uint64_t)option_number(name, text, 1, 1e12); break;
	case OPT_FORGE: options->forge = option_number(name, text, 0, 1); break;
	case OPT_FORGED_STATUS:
		options->forged_status = (unsigned)option_number(name, text, 200, 599);
		break;
	case OPT_ANSWERED: options->answered_file = text; break;
	case OPT_OVERLOAD: options->overload = true; break;
	case OPT_HOLD: options->hold = true; break;
	case OPT_WATCH:
		if (options->watched_count == OPTIONS_WATCHED_MOST) {
			errx(2, "--watch: at most %d processes", OPTIONS_WATCHED_MOST);
		}
		options->watched[options->watched_count++] =
			(pid_t)option_number(name, text, 1, 1 << 22);
		break;
	case OPT_HELP: usage(stdout); exit(0);
	default: usage(stderr); exit(2);
	}
}

void
options_read(struct options *options, int argc, char **argv)
{
	int key = 0;
	int row = 0;
	while ((key = getopt_long(argc, argv, "", option_rows, &row)) != -1) {
		option_take(options, key, option_rows[row].name, optarg);
	}
	if (optind + 1 != argc || options->secret_file == NULL) {
		usage(stderr);
		exit(2);
	}
	option_url(options, argv[optind]);
	if (options->requests != 0) {
		options->warmup_seconds = 0;
	}
}
