#include "receiver/cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "receiver/base/clock.h"

#define BAR 30

void
progress_begin(struct progress *progress)
{
	progress->terminal = isatty(STDERR_FILENO) != 0;
	progress->begun_ns = clock_boot_ns();
}

void
progress_show(const struct progress *progress, int64_t done, int64_t total)
{
	if (!progress->terminal || total <= 0) {
		return;
	}
	done = done > total ? total : done;
	int64_t passed_ns = clock_boot_ns() - progress->begun_ns;
	int64_t left_s = done == 0 ? -1 : (total - done) * (passed_ns / NS_PER_MS) / done / 1000;
	int64_t filled = done * BAR / total;
	(void)fputs("\r[", stderr);
	for (int64_t i = 0; i < BAR; i++) {
		(void)fputc(i < filled ? '#' : '.', stderr);
	}
	(void)fprintf(stderr, "] %lld of %lld", (long long)done, (long long)total);
	if (left_s >= 0) {
		(void)fprintf(stderr, ", %lld s left ", (long long)left_s);
	}
}

void
progress_end(const struct progress *progress)
{
	if (progress->terminal) {
		(void)fputs("\r\033[K", stderr);
	}
}
