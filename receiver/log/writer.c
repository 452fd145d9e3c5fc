#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/base/thread.h"
#include "receiver/log/log.h"

#define LOG_STOP_WAIT_S 1
#define LOG_RETRY_NS    (100 * NS_PER_MS) /* after a sink that refused */
#define LOG_GATHER_NS   (2 * NS_PER_MS)   /* what comes meanwhile is written with one call */

static const struct thread_role log_thread = { "log" };

/* Two halves that change places: callers fill one while the thread writes the other. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	pthread_cond_t hurry;
	pthread_cond_t ended;
	char *filling;
	size_t size;
	bool gathering;
	bool urgent; /* something waits that tells why the process ends, or may end */
	bool running;
	bool stopping;
	bool gone;
	bool reopen;
	char *file;
	int fd;
	pthread_t thread;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .filled = PTHREAD_COND_INITIALIZER,
	   .hurry = PTHREAD_COND_INITIALIZER,
	   .ended = PTHREAD_COND_INITIALIZER,
	   .fd = STDERR_FILENO };

static atomic_int current_level = LOG_INFO;
static atomic_int current_format = LOG_JSON;
static atomic_llong drops;

bool
log_on(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_format
log_current_format(void)
{
	return atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_TEXT ? LOG_TEXT
	                                                                               : LOG_JSON;
}

int64_t
log_drops(void)
{
	return atomic_load_explicit(&drops, memory_order_relaxed);
}

/* How much of it was written: a sink that blocks is waited for, one that fails is not. */
static size_t
write_some(int fd, const char *data, size_t size)
{
	size_t done = 0;
	while (done < size) {
		ssize_t wrote = write(fd, data + done, size - done);
		if (wrote > 0) {
			done += (size_t)wrote;
		} else if (wrote < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };
			(void)poll(&ready, 1, -1);
		} else if (wrote < 0 && errno != EINTR) {
			break;
		}
	}
	return done;
}

/* Under the lock. */
static void
hurry(void)
{
	sink.urgent = true;
	if (sink.gathering) {
		(void)pthread_cond_signal(&sink.hurry);
	}
}

void
log_write_line(const char *data, size_t size, bool urgent)
{
	(void)pthread_mutex_lock(&sink.lock);
	if (!sink.running) {
		(void)write_some(sink.fd, data, size);
	} else if (LOG_RING_BYTES / 2 - sink.size < size) {
		(void)atomic_fetch_add_explicit(&drops, 1, memory_order_relaxed);
	} else {
		memcpy(sink.filling + sink.size, data, size);
		sink.size += size;
		if (sink.size == size && !sink.gathering) {
			(void)pthread_cond_signal(&sink.filled);
		}
		if (urgent || sink.size > LOG_RING_BYTES / 4) {
			hurry();
		}
	}
	(void)pthread_mutex_unlock(&sink.lock);
}

static size_t
count_lines(const char *data, size_t size)
{
	size_t lines = 0;
	for (size_t i = 0; i < size; i++) {
		lines += data[i] == '\n' ? 1 : 0;
	}
	return lines;
}

/* Lines go out whole: one that the sink took a part of is finished before any other. False: some were dropped. */
static bool
write_lines(struct buffer *torn, const char *data, size_t size)
{
	size_t wrote = 0;
	if (torn->size > 0) {
		wrote = write_some(sink.fd, torn->data, torn->size);
		buffer_consume(torn, wrote);
	}
	wrote = torn->size > 0 || size == 0 ? 0 : write_some(sink.fd, data, size);
	if (wrote == size) {
		return true;
	}
	size_t end = wrote;
	if (wrote > 0 && data[wrote - 1] != '\n') {
		end += (size_t)((const char *)memchr(data + wrote, '\n', size - wrote) -
		                (data + wrote)) +
		       1;
		buffer_append(torn, data + wrote, end - wrote);
	}
	(void)atomic_fetch_add_explicit(&drops, (long long)count_lines(data + end, size - end),
	                                memory_order_relaxed);
	return false;
}

static int
open_file(const char *file)
{
	return open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

/* Only the log thread changes the descriptor once it runs. */
static void
reopen_file(void)
{
	int fd = open_file(sink.file);
	if (fd < 0) {
		struct error err;
		(void)error_system(&err, "cannot reopen the log file %s; the old one goes on",
		                   sink.file);
		struct log_line line;
		log_begin(&line, LOG_ERROR, "log.reopen_failed", "the log file cannot be reopened");
		log_error(&line, &err);
		log_end(&line);
		return;
	}
	fatal_to(fd);
	(void)close(sink.fd);
	sink.fd = fd;
}

/* Under the lock: a line seldom comes alone, and waking up for each costs more than writing it. */
static void
gather_lines(void)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOG_GATHER_NS;
	if (until.tv_nsec >= NS_PER_S) {
		until.tv_nsec -= NS_PER_S;
		until.tv_sec++;
	}
	sink.gathering = true;
	while (!sink.urgent && !sink.stopping && !sink.reopen &&
	       pthread_cond_clockwait(&sink.hurry, &sink.lock, CLOCK_MONOTONIC, &until) == 0) {
	}
	sink.gathering = false;
}

static void
log_run(void *context)
{
	(void)context;
	char *writing = memory_need(LOG_RING_BYTES / 2);
	struct buffer torn; /* the rest of a line that the sink took a part of */
	buffer_init(&torn, LOG_RING_BYTES / 2);
	bool good = true; /* the sink took what it was given last */
	for (;;) {
		(void)pthread_mutex_lock(&sink.lock);
		while (sink.size == 0 && !sink.stopping && !sink.reopen) {
			(void)pthread_cond_wait(&sink.filled, &sink.lock);
		}
		gather_lines();
		sink.urgent = false;
		char *full = sink.filling;
		size_t size = sink.size;
		bool reopen = sink.reopen;
		bool stopping = sink.stopping;
		sink.filling = writing;
		sink.size = 0;
		sink.reopen = false;
		writing = full;
		(void)pthread_mutex_unlock(&sink.lock);
		if (reopen && sink.file != NULL) {
			if (good) { /* what was said before belongs to the old file, unless that takes nothing */
				(void)write_lines(&torn, writing, size);
				size = 0;
			}
			reopen_file();
			torn.size = 0; /* its beginning is in the old one */
		}
		good = write_lines(&torn, writing, size);
		if (!good) {
			struct timespec pause = { 0, LOG_RETRY_NS };
			(void)nanosleep(&pause, NULL);
		}
		if (stopping && size == 0) {
			break;
		}
	}
	free(writing);
	buffer_finish(&torn);
	(void)pthread_mutex_lock(&sink.lock);
	sink.gone = true;
	(void)pthread_cond_signal(&sink.ended);
	(void)pthread_mutex_unlock(&sink.lock);
}

bool
log_start(enum log_format format, enum log_level level, const char *file, struct error *err)
{
	if (file != NULL) {
		int fd = open_file(file);
		if (fd < 0) {
			return error_system(err, "cannot open the log file %s", file);
		}
		sink.fd = fd;
		fatal_to(fd);
		sink.file = memory_text(file);
	}
	atomic_store(&current_format, (int)format);
	log_set_level(level);
	sink.filling = memory_need(LOG_RING_BYTES / 2);
	sink.running = true;
	sink.stopping = false;
	sink.gone = false;
	if (!thread_start(&sink.thread, &log_thread, log_run, NULL, err)) {
		sink.running = false;
		return false;
	}
	return true;
}

void
log_reopen(void)
{
	(void)pthread_mutex_lock(&sink.lock);
	sink.reopen = true;
	hurry();
	(void)pthread_cond_signal(&sink.filled);
	(void)pthread_mutex_unlock(&sink.lock);
}

void
log_stop(void)
{
	(void)pthread_mutex_lock(&sink.lock);
	if (!sink.running) {
		(void)pthread_mutex_unlock(&sink.lock);
		return;
	}
	sink.stopping = true;
	hurry();
	(void)pthread_cond_signal(&sink.filled);
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LOG_STOP_WAIT_S;
	while (!sink.gone &&
	       pthread_cond_clockwait(&sink.ended, &sink.lock, CLOCK_MONOTONIC, &until) == 0) {
	}
	bool gone = sink.gone;
	if (gone) {
		sink.running = false;
		free(sink.filling);
		sink.filling = NULL;
	}
	(void)pthread_mutex_unlock(&sink.lock);
	if (gone) {
		(void)pthread_join(sink.thread, NULL);
	} else {
		(void)pthread_detach(sink.thread); /* its sink blocks: leave it */
	}
}
