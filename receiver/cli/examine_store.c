#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "receiver/base/clock.h"
#include "receiver/cli/client.h"
#include "receiver/cli/examination.h"
#include "receiver/store/disk.h"
#include "receiver/store/inspection.h"

#define SYNC_ROUNDS  50
#define SYNC_SLOW_NS (50 * NS_PER_MS)
#define FREE_LEAST   (INT64_C(64) << 20)
#define FREE_PERCENT 5
#define CLOCKS_MOST_NS \
	(2 * NS_PER_S) /* between the file system's and ours; coarse ones tick by the millisecond */
#define AHEAD_MOST_NS (60 * NS_PER_S)

static void
examine_kind(struct examination *examination, const struct disk *disk)
{
	if (disk->kind == DISK_NETWORK) {
		found_wrong(examination, "disk", "put the store on a local disk",
		            "%s is a network file system: no start", disk->name);
	} else if (disk->kind == DISK_MEMORY) {
		found_wrong(examination, "disk", "put the store on a disk",
		            "%s is memory: a power cut loses what was acknowledged", disk->name);
	} else {
		found_good(examination, "disk", "file system %s", disk->name);
	}
}

static void
examine_room(struct examination *examination, const struct disk *disk)
{
	int64_t percent = disk->bytes == 0 ? 100 : disk->free_bytes * 100 / disk->bytes;
	if (disk->free_bytes < FREE_LEAST || percent < FREE_PERCENT) {
		found_wrong(
			examination, "disk",
			"make room, or shorten retention; when it is full events are refused with 503 until there is room",
			"%lld MiB free, %lld %%", (long long)(disk->free_bytes >> 20),
			(long long)percent);
	} else {
		found_good(examination, "disk", "%lld MiB free, %lld %%",
		           (long long)(disk->free_bytes >> 20), (long long)percent);
	}
	if (disk->files > 0 && disk->free_files * 100 / disk->files < 1) {
		found_wrong(examination, "disk", "remove files there", "%lld inodes free",
		            (long long)disk->free_files);
	}
}

static void
examine_sync(struct examination *examination, const char *path)
{
	struct disk_times times;
	struct error err;
	if (!disk_measure(path, SYNC_ROUNDS, &times, &err)) {
		bool full = err.sys_errno == ENOSPC || err.sys_errno == EDQUOT;
		found_wrong(
			examination, "disk",
			full ? "make room"
			     : "run doctor as the user of the service, or give that one the directory",
			"%s", err.text);
		return;
	}
	char text[96];
	(void)snprintf(text, sizeof(text), "a sync takes %.2f ms, at worst %.2f ms of %d",
	               (double)times.median_ns / NS_PER_MS, (double)times.worst_ns / NS_PER_MS,
	               SYNC_ROUNDS);
	if (times.median_ns > SYNC_SLOW_NS) {
		found_wrong(examination, "disk",
		            "take a disk with a write cache that survives a power cut",
		            "%s: no answer is faster", text);
	} else {
		found_good(examination, "disk", "%s", text);
	}
	if (times.ahead_ns > CLOCKS_MOST_NS || times.ahead_ns < -CLOCKS_MOST_NS) {
		found_wrong(examination, "clock",
		            "synchronise the machine with what keeps its files",
		            "the file system's clock is %lld ms ahead of ours",
		            (long long)(times.ahead_ns / NS_PER_MS));
	}
}

void
examine_disk(struct examination *examination, const struct config *config)
{
	struct disk disk;
	struct error err;
	if (!disk_look(config->store_path, &disk, &err)) {
		found_wrong(examination, "disk", "make the directory, for the user of the service",
		            "%s", err.text);
		return;
	}
	examine_kind(examination, &disk);
	examine_room(examination, &disk);
	examine_sync(examination, config->store_path);
}

static void
examine_owner(struct examination *examination, const struct inspection_owner *owner)
{
	if (owner->pid != 0) {
		found_good(examination, "service", "%s has the store, pid %ld",
		           owner->serving ? "hooklatch serve" : "a command", owner->pid);
	} else {
		found_note(examination, "service", "no service runs on this store");
	}
	for (size_t i = 0; i < owner->stranger_count; i++) {
		found_wrong(
			examination, "store",
			"end it; read with `sqlite3 -readonly` and let go, write through hooklatch alone",
			"%s, pid %ld, has the database open beside the service",
			owner->strangers[i].name, owner->strangers[i].pid);
	}
}

static void
examine_content(struct examination *examination, const char *path)
{
	struct inspection store;
	struct error err;
	if (!store_inspect(path, examination->whole, &store, &err)) {
		found_wrong(examination, "store",
		            "stop the service, keep the file, restore a backup", "%s", err.text);
		return;
	}
	if (store.damage[0] != '\0') {
		found_wrong(
			examination, "store",
			"stop the service, keep the file, restore a backup, and ask providers to redeliver what came since",
			"the database is damaged: %s", store.damage);
		return;
	}
	if (store.schema > store.newest_schema) {
		found_wrong(examination, "store", "run the newer hooklatch",
		            "its schema is version %lld; this program knows %lld",
		            (long long)store.schema, (long long)store.newest_schema);
		return;
	}
	if (store.schema < store.newest_schema) {
		found_note(
			examination, "store",
			"its schema is version %lld; the next start brings it to %lld, after a backup",
			(long long)store.schema, (long long)store.newest_schema);
		return;
	}
	if (store.rotten > 0) {
		found_wrong(
			examination, "store",
			"these are not delivered; ask the providers to redeliver them, and look after the disk",
			"%lld of %lld bodies are not what they were, the first %s",
			(long long)store.rotten, (long long)store.bodies, store.first_rotten);
	}
	if (store.stored_seq < store.marked_seq) {
		char when[CLOCK_TEXT_BYTES];
		clock_text(store.marked_ns, when);
		found_wrong(
			examination, "store",
			"ask the providers to redeliver what they sent before that time",
			"%lld events are missing that were acknowledged up to %s: it is an older copy, or its log is damaged",
			(long long)(store.marked_seq - store.stored_seq), when);
	}
	if (store.told != store.deliveries) {
		found_wrong(examination, "store", "report it: this is a bug of hooklatch",
		            "%lld deliveries, but the ledger tells of %lld",
		            (long long)store.deliveries, (long long)store.told);
	}
	if (store.newest_ns > examination->now_ns + AHEAD_MOST_NS) {
		found_wrong(examination, "clock", "set the clock",
		            "the newest event was received %lld s in the future",
		            (long long)((store.newest_ns - examination->now_ns) / NS_PER_S));
	}
	if (store.rotten == 0 && store.told == store.deliveries) {
		found_good(examination, "store", "%lld events, %lld deliveries%s",
		           (long long)store.events, (long long)store.deliveries,
		           examination->whole ? "; every page, index and body is sound" : "");
	}
}

void
examine_store(struct examination *examination, const struct config *config)
{
	const char *path = config->store_path;
	struct inspection_owner owner;
	struct error err;
	int64_t commits = 0;
	store_owner(path, &owner);
	examine_owner(examination, &owner);
	if (access(path, F_OK) != 0) {
		found_note(examination, "store", "%s is not there; the first start makes it", path);
		return;
	}
	(void)examine_mode(examination, "store", path);
	client_become_owner(path);
	if (owner.pid == 0) {
		if (!store_scan_wal(path, &commits, &err)) {
			found_wrong(
				examination, "WAL",
				"see `hooklatch serve --salvage-wal`, and ask the providers to redeliver what is lost",
				"%s", err.text);
			return; /* to open it would hide what is lost */
		}
		found_good(examination, "WAL",
		           "%lld commits are not in the database yet; all can be read",
		           (long long)commits);
	}
	examine_content(examination, path);
}
