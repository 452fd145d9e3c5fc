#include "tests/faults/torn/tape.h"

#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/base/error.h"

/* --- recording --- */

void
tape_init(struct tape *tape, const struct image *base)
{
	memset(tape, 0, sizeof(*tape));
	image_copy(&tape->base, base);
	for (size_t i = 0; i < base->count; i++) {
		memcpy(tape->names[i], base->files[i].name, DISK_NAME_BYTES);
	}
	tape->syncs = true;
}

void
tape_finish(struct tape *tape)
{
	for (size_t i = 0; i < tape->count; i++) {
		free(tape->steps[i].data);
	}
	free(tape->steps);
	free(tape->commits);
	free(tape->acks);
	image_finish(&tape->base);
	memset(tape, 0, sizeof(*tape));
}

/* Room for one more: doubles at the powers of two. */
static void *
grown(void *list, size_t count, size_t size)
{
	bool full = count == 0 || (count >= 16 && (count & (count - 1)) == 0);
	return full ? memory_resize(list, (count < 16 ? 16 : count * 2) * size) : list;
}

/* Inside a life the pages of the database are written by checkpoints alone. */
static enum phase
phase_of(const struct tape *tape, const char *name)
{
	bool running = tape->phase == PHASE_COMMIT || tape->phase == PHASE_PURGE;
	return running && strcmp(name, DISK_STORE_NAME) == 0 ? PHASE_CHECKPOINT : tape->phase;
}

void
tape_step(struct tape *tape, enum step_kind kind, int file, const char *name, size_t at,
          const void *data, size_t size)
{
	if (!tape->syncs && (kind == STEP_SYNC || kind == STEP_SYNC_NAMES)) {
		return;
	}
	memcpy(tape->names[file], name, strlen(name) + 1);
	tape->steps = grown(tape->steps, tape->count, sizeof(*tape->steps));
	struct step *step = &tape->steps[tape->count++];
	*step = (struct step){ .kind = kind,
		               .phase = phase_of(tape, name),
		               .file = file,
		               .at = at,
		               .size = size };
	if (size > 0) {
		step->data = memory_need(size);
		memcpy(step->data, data, size);
	}
}

void
tape_commit(struct tape *tape)
{
	tape->commits = grown(tape->commits, tape->commit_count, sizeof(*tape->commits));
	tape->commits[tape->commit_count++] = tape->count;
}

void
tape_ack(struct tape *tape, int64_t number)
{
	tape->acks = grown(tape->acks, tape->ack_count, sizeof(*tape->acks));
	tape->acks[tape->ack_count++] = (struct ack){ tape->count, number };
}

/* --- cuts --- */

void
cut_init(struct cut *cut, const struct tape *tape)
{
	memset(cut, 0, sizeof(*cut));
	cut->tape = tape;
	image_copy(&cut->synced, &tape->base);
	image_copy(&cut->now, &tape->base);
}

void
cut_finish(struct cut *cut)
{
	image_finish(&cut->synced);
	image_finish(&cut->now);
	free(cut->pending);
	memset(cut, 0, sizeof(*cut));
}

static bool
of_names(const struct step *step)
{
	return step->kind == STEP_CREATE || step->kind == STEP_REMOVE;
}

static void
apply(struct image *image, const struct tape *tape, const struct step *step)
{
	struct disk_file *file = &image->files[step->file];
	if (image->count <= (size_t)step->file) {
		image->count = (size_t)step->file + 1;
	}
	memcpy(file->name, tape->names[step->file], DISK_NAME_BYTES);
	switch (step->kind) {
	case STEP_WRITE: content_write(&file->content, step->at, step->data, step->size); break;
	case STEP_CUT: content_cut(&file->content, step->at); break;
	case STEP_CREATE: file->linked = true; break;
	case STEP_REMOVE: file->linked = false; break;
	case STEP_SYNC:
	case STEP_SYNC_NAMES: break;
	}
}

/* What the sync covers is durable now. */
static void
settle(struct cut *cut, const struct step *sync)
{
	size_t kept = 0;
	for (size_t i = 0; i < cut->pending_count; i++) {
		const struct step *step = &cut->tape->steps[cut->pending[i]];
		bool covered = sync->kind == STEP_SYNC_NAMES
		                       ? of_names(step)
		                       : !of_names(step) && step->file == sync->file;
		if (covered) {
			apply(&cut->synced, cut->tape, step);
		} else {
			cut->pending[kept++] = cut->pending[i];
		}
	}
	cut->pending_count = kept;
}

void
cut_next(struct cut *cut)
{
	const struct step *step = &cut->tape->steps[cut->at];
	if (step->kind == STEP_SYNC || step->kind == STEP_SYNC_NAMES) {
		settle(cut, step);
	} else {
		apply(&cut->now, cut->tape, step);
		cut->pending = memory_resize(cut->pending,
		                             (cut->pending_count + 1) * sizeof(*cut->pending));
		cut->pending[cut->pending_count++] = cut->at;
	}
	cut->at++;
}

/* --- images --- */

/* How one image comes about: what is asked of each sector of each step. */
struct fate {
	enum remains remains;
	uint64_t salt;
	uint64_t share; /* of 2^32: how likely a part is there */
	size_t one;     /* a step's place among the pending */
	size_t sector;  /* of the file */
	size_t count;
};

static uint64_t
mixed(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t x = a ^ (b * UINT64_C(0x9e3779b97f4a7c15)) ^ (c * UINT64_C(0xc2b2ae3d27d4eb4f));
	x = (x ^ (x >> 30U)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27U)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31U);
}

static bool
likely(const struct fate *fate, uint64_t b, uint64_t c)
{
	return (mixed(fate->salt, b, c) & 0xffffffffU) < fate->share;
}

/* Whether this sector of the n-th pending step is on the disk. */
static bool
is_there(const struct fate *fate, size_t n, int file, size_t sector)
{
	switch (fate->remains) {
	case REMAINS_NOTHING: return false;
	case REMAINS_ALL: return true;
	case REMAINS_BEGINNING: return n < fate->one || (n == fate->one && likely(fate, n, sector));
	case REMAINS_VERSIONS:
		return n < mixed(fate->salt, (uint64_t)file, sector) % (fate->count + 1);
	case REMAINS_PARTS:
	case REMAINS_SHUFFLED: return likely(fate, n + 1, sector);
	case REMAINS_BUT_ONE: return n != fate->one;
	case REMAINS_BUT_SECTOR: return n != fate->one || sector != fate->sector;
	case REMAINS_ONE: return n == fate->one;
	case REMAINS_KINDS: break;
	}
	return false;
}

static void
tear(const struct fate *fate, size_t n, const struct step *step, struct content *content)
{
	for (size_t done = 0; done < step->size;) {
		size_t at = step->at + done;
		size_t sector = at / SECTOR_BYTES;
		size_t more = (sector + 1) * SECTOR_BYTES - at;
		more = more < step->size - done ? more : step->size - done;
		if (is_there(fate, n, step->file, sector)) {
			content_write(content, at, step->data + done, more);
		}
		done += more;
	}
}

static void
choose(struct fate *fate, const struct cut *cut, struct random *random)
{
	static const uint64_t shares[] = { 0x08000000, 0x40000000, 0x80000000, 0xc0000000,
		                           0xf8000000 };
	fate->salt = random_next(random);
	fate->share = shares[random_up_to(random, COUNT(shares) - 1)];
	fate->count = cut->pending_count;
	if (fate->count > 0) {
		fate->one = (size_t)random_up_to(random, (int64_t)fate->count - 1);
		const struct step *step = &cut->tape->steps[cut->pending[fate->one]];
		size_t last = step->size == 0 ? step->at : step->at + step->size - 1;
		fate->sector = (size_t)random_up_to(random, (int64_t)(last / SECTOR_BYTES -
		                                                      step->at / SECTOR_BYTES)) +
		               step->at / SECTOR_BYTES;
	}
}

static size_t *
ordered(const struct cut *cut, enum remains remains, struct random *random)
{
	size_t *order = memory_need((cut->pending_count + 1) * sizeof(*order));
	for (size_t i = 0; i < cut->pending_count; i++) {
		order[i] = i;
	}
	for (size_t i = cut->pending_count; remains == REMAINS_SHUFFLED && i > 1; i--) {
		size_t other = (size_t)random_up_to(random, (int64_t)i - 1);
		size_t kept = order[i - 1];
		order[i - 1] = order[other];
		order[other] = kept;
	}
	return order;
}

/* The length of a file that grew may be there before its data: zeros, or what lay there in another life. */
static void
lengthen(const struct cut *cut, struct image *image, struct random *random)
{
	for (size_t i = 0; i < image->count; i++) {
		struct content *content = &image->files[i].content;
		size_t old = content->size;
		if (!image->files[i].linked || cut->now.files[i].content.size <= old ||
		    random_up_to(random, 2) != 0) {
			continue;
		}
		content_cut(content, cut->now.files[i].content.size);
		bool rubbish = random_up_to(random, 3) == 0;
		for (size_t at = old; rubbish && at + 8 <= content->size; at += 8) {
			uint64_t word = random_next(random);
			memcpy(content->data + at, &word, sizeof(word));
		}
	}
}

/* Of two files with one name the later one has it. */
static void
settle_names(struct image *image)
{
	for (size_t i = 0; i < image->count; i++) {
		for (size_t j = i + 1; j < image->count && image->files[i].linked; j++) {
			if (image->files[j].linked &&
			    strcmp(image->files[i].name, image->files[j].name) == 0) {
				image->files[i].linked = false;
			}
		}
	}
}

void
cut_image(const struct cut *cut, enum remains remains, struct random *random, struct image *ret)
{
	struct fate fate = { .remains = remains };
	if (remains == REMAINS_ALL || remains == REMAINS_NOTHING) {
		image_copy(ret, remains == REMAINS_ALL ? &cut->now : &cut->synced);
		return;
	}
	choose(&fate, cut, random);
	size_t *order = ordered(cut, remains, random);
	image_copy(ret, &cut->synced);
	for (size_t i = 0; i < cut->pending_count; i++) {
		size_t n = order[i];
		const struct step *step = &cut->tape->steps[cut->pending[n]];
		if (step->kind == STEP_WRITE) {
			if (ret->count <= (size_t)step->file) {
				ret->count = (size_t)step->file + 1;
			}
			tear(&fate, n, step, &ret->files[step->file].content);
		} else if (is_there(&fate, n, step->file, 0)) {
			apply(ret, cut->tape, step);
		}
	}
	for (size_t i = 0; i < ret->count; i++) {
		memcpy(ret->files[i].name, cut->tape->names[i], DISK_NAME_BYTES);
	}
	free(order);
	lengthen(cut, ret, random);
	settle_names(ret);
}
