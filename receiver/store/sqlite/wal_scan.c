/* The WAL, looked at before SQLite opens it. SQLite stops reading at the first frame with a bad checksum and says
 * nothing: one flipped bit drops every later commit in silence. Frames with the current salts and a commit mark behind
 * the first bad one tell damage from a torn tail: a tail that was never synced can hold one commit, no more.
 *
 * Format (https://www.sqlite.org/fileformat2.html#walformat): a header of 32 bytes: magic, version, page size,
 * checkpoint number, two salts, two checksums; then frames of 24 bytes and a page: page number, size of the database
 * after a commit or 0, the salts, the running checksums. Checksums cover the first 8 bytes of a frame's header and the
 * page, in words whose byte order the magic tells. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/store/disk.h"
#include "receiver/store/sqlite/sqlite_priv.h"

#define WAL_HEADER_BYTES   32
#define FRAME_HEADER_BYTES 24
#define WAL_MAGIC          0x377f0682U
#define SECTOR_BYTES       512
#define KEPT_MOST          1000 /* copies of one second */
#define DAMAGE_COMMITS     2    /* one may be an unsynced, reordered batch */

static char *
wal_path(const char *store_path)
{
	struct buffer path;
	buffer_init(&path, 65536);
	buffer_format(&path, "%s-wal", store_path);
	return buffer_steal(&path);
}

static uint32_t
big32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24U | (uint32_t)at[1] << 16U | (uint32_t)at[2] << 8U | at[3];
}

static uint32_t
word(const unsigned char *at, bool big)
{
	uint32_t value = big32(at);
	return big ? value : __builtin_bswap32(value);
}

static void
checksum(const unsigned char *data, size_t size, bool big, uint32_t sums[2])
{
	for (size_t i = 0; i + 8 <= size; i += 8) {
		sums[0] += word(data + i, big) + sums[1];
		sums[1] += word(data + i + 4, big) + sums[0];
	}
}

struct scan {
	int fd;
	off_t size;
	bool big;
	size_t page_size;
	unsigned char header[WAL_HEADER_BYTES];
	uint32_t sums[2];
	bool unreadable; /* an error is no end of the file */
};

static bool
read_at(struct scan *scan, unsigned char *data, size_t size, off_t at)
{
	size_t done = 0;
	while (done < size) {
		ssize_t got = pread(scan->fd, data + done, size - done, at + (off_t)done);
		if (got == 0 || (got < 0 && errno != EINTR)) {
			scan->unreadable = got < 0;
			return false;
		}
		done += got < 0 ? 0 : (size_t)got;
	}
	return true;
}

/* False: there is no header that SQLite would take; the file counts as empty. */
static bool
scan_header(struct scan *scan)
{
	if (scan->size < WAL_HEADER_BYTES || !read_at(scan, scan->header, WAL_HEADER_BYTES, 0)) {
		return false;
	}
	uint32_t magic = big32(scan->header);
	scan->big = (magic & 1U) != 0;
	scan->page_size = big32(scan->header + 8);
	if ((magic & ~1U) != WAL_MAGIC || scan->page_size < 512 || scan->page_size > 65536 ||
	    (scan->page_size & (scan->page_size - 1)) != 0) {
		return false;
	}
	scan->sums[0] = 0;
	scan->sums[1] = 0;
	checksum(scan->header, 24, scan->big, scan->sums);
	return scan->sums[0] == big32(scan->header + 24) &&
	       scan->sums[1] == big32(scan->header + 28);
}

static bool
current_salts(const struct scan *scan, const unsigned char *frame)
{
	return memcmp(scan->header + 16, frame + 8, 8) == 0;
}

/* A sector is written whole or not at all, but a header may lie in two: then the commit mark can be one of a former life of the
 * file, before salts of this one. */
static bool
torn_header(off_t at)
{
	return (at + 4) / SECTOR_BYTES != (at + 15) / SECTOR_BYTES;
}

static void
scan_frames(struct scan *scan, struct wal_state *state)
{
	size_t frame_size = FRAME_HEADER_BYTES + scan->page_size;
	unsigned char *frame = memory_need(frame_size);
	bool good = true;
	uint32_t last[2] = { scan->sums[0], scan->sums[1] }; /* as the frame before says */
	state->good_bytes = WAL_HEADER_BYTES;
	for (off_t at = WAL_HEADER_BYTES; at + (off_t)frame_size <= scan->size;
	     at += (off_t)frame_size) {
		if (!read_at(scan, frame, frame_size, at)) {
			break;
		}
		bool commit = big32(frame + 4) != 0;
		uint32_t chain[2] = { last[0], last[1] };
		checksum(frame, 8, scan->big, chain);
		checksum(frame + FRAME_HEADER_BYTES, scan->page_size, scan->big, chain);
		last[0] = big32(frame + 16);
		last[1] = big32(frame + 20);
		bool follows = chain[0] == last[0] && chain[1] == last[1];
		if (current_salts(scan, frame)) {
			state->tail_bytes = (int64_t)at + (int64_t)frame_size;
		}
		if (good && follows && current_salts(scan, frame) && big32(frame) != 0) {
			state->frames++;
			state->commits += commit ? 1 : 0;
			state->good_bytes =
				commit ? (int64_t)at + (int64_t)frame_size : state->good_bytes;
			continue;
		}
		good = false;
		bool believed = follows || !torn_header(at);
		state->lost_commits += commit && believed && current_salts(scan, frame) ? 1 : 0;
	}
	free(frame);
}

/* There is no good header, so SQLite would take the file for empty. The header is synced before the first frame behind it:
 * frames that follow from one another are commits that were there. */
static void
scan_without_header(struct scan *scan, struct wal_state *state)
{
	enum {
		PAGE = 4096, /* PRAGMA page_size of ours */
		FRAME = FRAME_HEADER_BYTES + PAGE
	};
	unsigned char *frame = memory_need(FRAME);
	uint32_t last[2] = { 0, 0 };
	for (off_t at = WAL_HEADER_BYTES; at + FRAME <= scan->size; at += FRAME) {
		if (!read_at(scan, frame, FRAME, at)) {
			break;
		}
		uint32_t sums[2] = { last[0], last[1] };
		checksum(frame, 8, false, sums);
		checksum(frame + FRAME_HEADER_BYTES, PAGE, false, sums);
		last[0] = big32(frame + 16);
		last[1] = big32(frame + 20);
		bool follows = sums[0] == last[0] && sums[1] == last[1];
		state->lost_commits += follows && big32(frame + 4) != 0 ? 1 : 0;
	}
	free(frame);
}

bool
wal_scan(const char *store_path, struct wal_state *state, struct error *err)
{
	memset(state, 0, sizeof(*state));
#ifdef HOOKLATCH_NEGATIVE_WAL_SCAN_OFF
	return true; /* a build that must be caught */
#endif
	char *path = wal_path(store_path);
	struct scan scan = { .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (scan.fd < 0) {
		bool absent = errno == ENOENT;
		if (!absent) {
			(void)error_system(err, "cannot read %s", path);
		}
		free(path);
		return absent;
	}
	struct stat status;
	bool good = fstat(scan.fd, &status) == 0;
	scan.size = good ? status.st_size : 0;
	state->there = scan.size > 0;
	if (good && scan_header(&scan)) {
		scan_frames(&scan, state);
	} else if (good && !scan.unreadable) {
		scan_without_header(&scan, state);
	}
	if (!good || scan.unreadable) {
		(void)error_system(err, "cannot read %s", path);
		(void)close(scan.fd);
		free(path);
		return false;
	}
	(void)close(scan.fd);
	if (state->lost_commits >= DAMAGE_COMMITS) {
		/* All of the log is younger than the last checkpoint, which was the last to write to the database. */
		char from[CLOCK_TEXT_BYTES];
		char until[CLOCK_TEXT_BYTES];
		struct stat database = status;
		(void)!stat(store_path, &database);
		clock_text(database.st_mtim.tv_sec * NS_PER_S + database.st_mtim.tv_nsec, from);
		clock_text(status.st_mtim.tv_sec * NS_PER_S + status.st_mtim.tv_nsec, until);
		good = error_set(
			err, ERROR_STORE_DAMAGED,
			"%s is damaged before its tail: %lld commits are good, %lld later ones are suspect and SQLite "
			"would drop them in silence. They were made between %s and %s. The file is kept. To go on with what is "
			"good: copy the file aside, run `hooklatch serve --salvage-wal`, and ask the providers to redeliver what "
			"came since",
			path, (long long)state->commits, (long long)state->lost_commits, from,
			until);
	}
	free(path);
	return good;
}

/* Zeros for what lies in the torn tail of the bytes at `at`. */
static void
clear_tail(unsigned char *data, int64_t at, int64_t size, const struct wal_state *state)
{
	int64_t from = state->good_bytes > at ? state->good_bytes : at;
	int64_t to = state->tail_bytes < at + size ? state->tail_bytes : at + size;
	if (to > from) {
		memset(data + (from - at), 0, (size_t)(to - from));
	}
}

/* Opened without O_CREAT: nothing is made where nothing was. */
bool
wal_rewrite(const char *store_path, const struct wal_state *state, struct error *err)
{
	char *path = wal_path(store_path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool good = true;
	if (fd < 0) {
		good = errno == ENOENT || error_system(err, "cannot open %s", path);
		free(path);
		return good;
	}
	enum {
		STEP = 256 * 1024
	};
	unsigned char *data = memory_need(STEP);
	off_t at = 0;
	while (good) {
		ssize_t got = pread(fd, data, STEP, at);
		if (got == 0) {
			break;
		}
		if (got > 0) {
			clear_tail(data, (int64_t)at, (int64_t)got, state);
		}
		if (got < 0 || pwrite(fd, data, (size_t)got, at) != got) {
			good = error_system(err, "cannot write %s back in place", path);
			break;
		}
		at += got;
	}
	if (good && fsync(fd) != 0) {
		good = error_system(err, "cannot sync %s", path);
	}
	free(data);
	(void)close(fd);
	free(path);
	return good;
}

/* Under the name of this second, or with a number behind it: nothing that was kept before is written over. */
static int
open_fresh(const char *path, const char *why, char **ret)
{
	long long seconds = (long long)(clock_wall_ns() / NS_PER_S);
	for (int number = 1;; number++) {
		struct buffer name;
		buffer_init(&name, 65536);
		buffer_format(&name, "%s.%s-%lld", path, why, seconds);
		if (number > 1) {
			buffer_format(&name, "-%d", number);
		}
		char *to = buffer_steal(&name);
		int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST || number == KEPT_MOST) {
			*ret = to;
			return fd;
		}
		free(to);
	}
}

static bool
keep_copy(const char *path, const char *why, char **kept, struct error *err)
{
	int out = open_fresh(path, why, kept);
	int in = out < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	bool good = in >= 0 && out >= 0;
	char data[8192];
	ssize_t got = 0;
	off_t at = 0;
	while (good && (got = pread(in, data, sizeof(data), at)) > 0) {
		good = pwrite(out, data, (size_t)got, at) == got;
		at += (off_t)got;
	}
	good = good && got == 0 && fsync(out) == 0;
	if (!good) {
		(void)error_system(err, "cannot copy %s to %s", path, *kept);
	}
	if (in >= 0) {
		(void)close(in);
	}
	if (out >= 0) {
		(void)close(out);
	}
	return good && disk_sync_directory(path, err);
}

bool
wal_keep(const char *store_path, char **kept, struct error *err)
{
	char *path = wal_path(store_path);
	bool good = keep_copy(path, "torn", kept, err);
	free(path);
	return good;
}

bool
wal_salvage(const char *store_path, const struct wal_state *state, char **kept, struct error *err)
{
	char *path = wal_path(store_path);
	bool good = keep_copy(path, "damaged", kept, err);
	if (good && truncate(path, (off_t)state->good_bytes) != 0) {
		good = error_system(err, "cannot cut %s", path);
	}
	free(path);
	return good;
}
