#include "tests/faults/torn/exam.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/base/bytes.h"
#include "receiver/store/sqlite/writer_priv.h"

#include "tests/faults/torn/life.h"
#include "tests/faults/torn/seen.h"
#include "tests/faults/torn/states.h"

#define COPY_NAME      DISK_STORE_NAME ".before-0002"
#define COPY_PATH      DISK_ROOT COPY_NAME
#define TOLD_MOST      2 /* of a kind, in a process */
#define KINDS_MOST     16
#define NESTED_SHARE   3 /* of ten images */
#define NESTED_POINTS  16
#define NESTED_IMAGES  3  /* of a point */
#define LIVES          3  /* of a store, one after the other */
#define COPIES_CHECKED 8  /* one in so many */
#define WHOLE_STARTS   16 /* the same: that all statements are prepared, too */
#define REPEATS_MOST   3  /* of images that were seen already, one after the other */

/* One life under examination. */
struct exam {
	const struct plan *plan;
	struct figures *figures;
	struct random *random;
	const struct tape *tape;
	struct states states;
	struct seen seen;
	int64_t *owed; /* images: where few differ, others make up for it */
	int64_t level;
	uint64_t seed;
};

enum {
	STATE_UNKNOWN = -1, /* no commit left this */
	STATE_REFUSED = -2, /* the store did not start: counted already */
};

/* Which figures this belongs to; `cut` NULL: to the life as a whole. */
static struct share *
share_of(const struct exam *exam, const struct cut *cut)
{
	bool commits = exam->level == 0 &&
	               (cut == NULL || exam->tape->steps[cut->at].phase == PHASE_COMMIT);
	return commits ? &exam->figures->commits : &exam->figures->compound;
}

/* The first problems of each kind, on stderr. */
static void PRINTF(3, 4)
	tell(const struct exam *exam, const struct cut *cut, const char *format, ...)
{
	static struct {
		const char *format;
		int count;
	} told[KINDS_MOST];
	size_t kind = 0;
	while (kind < KINDS_MOST - 1 && told[kind].format != NULL && told[kind].format != format) {
		kind++;
	}
	told[kind].format = format;
	if (told[kind].count++ >= TOLD_MOST) {
		return;
	}
	char text[ERROR_TEXT_BYTES];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	(void)fprintf(stderr, "seed %" PRIu64 ", level %" PRId64 ", step %zu of %zu: %s\n",
	              exam->seed, exam->level, cut == NULL ? 0 : cut->at, exam->tape->count, text);
}

/* --- starting quickly --- */

/* Linked with --wrap. The statements of a store that is only looked at are run by nobody, and to prepare them takes longer than all the rest of
 * its start. NOLINTBEGIN: the linker's names */
static bool quickly;
bool __real_statements_prepare(struct store *store, struct error *err);
bool __wrap_statements_prepare(struct store *store, struct error *err);

bool
__wrap_statements_prepare(struct store *store, struct error *err)
{
	return quickly || __real_statements_prepare(store, err);
}

/* What is not synced would be gathered for ever: with synchronous=NORMAL the log is written as SQLite does it. */
static bool ungathered;
const char *__real_gather_vfs(void);
const char *__wrap_gather_vfs(void);

const char *
__wrap_gather_vfs(void)
{
	return ungathered ? NULL : __real_gather_vfs();
}
/* NOLINTEND */

void
exam_begin(const struct plan *plan)
{
	ungathered = plan->normal;
}

/* --- one start --- */

static bool
was_made(const struct tape *tape, const char *name)
{
	for (size_t i = 0; i < DISK_FILES_MOST; i++) {
		if (strcmp(tape->names[i], name) == 0) {
			return true;
		}
	}
	return false;
}

static bool
copy_is_whole(const struct exam *exam, sqlite3 **copy)
{
	struct error err;
	struct digest digest;
	bool made_before = image_find(&exam->tape->base, COPY_NAME) != DISK_NONE;
	return sqlite3_open_v2(COPY_PATH, copy, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
	       states_sound(*copy, &err) && states_digest(*copy, &digest, &err) &&
	       (made_before || states_find(&exam->states, digest) >= 0);
}

/* Where the second version of the schema is, there is the copy that was made before it. */
static void
check_copy(const struct exam *exam, const struct cut *cut, const struct image *image)
{
	struct image mounted;
	struct error err;
	sqlite3 *database;
	sqlite3 *copy = NULL;
	int64_t version = 0;
	if (!was_made(exam->tape, COPY_NAME)) {
		return;
	}
	image_copy(&mounted, image);
	disk_mount(&mounted, NULL);
	bool migrated = sqlite3_open(DISK_STORE, &database) == SQLITE_OK &&
	                sqlite_number(database, "SELECT max(version) FROM schema_migrations",
	                              &version, &err) &&
	                version >= 2;
	(void)sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_close(database);
	share_of(exam, cut)->copies += migrated ? 1 : 0;
	if (migrated && !copy_is_whole(exam, &copy)) {
		share_of(exam, cut)->bad_copies++;
		tell(exam, cut, "the copy from before the migration is no good");
	}
	(void)sqlite3_close(copy);
	disk_unmount(NULL);
}

/* Starts the store and looks at what it holds: the state's number. */
static int64_t
judge_start(struct exam *exam, const struct cut *cut, struct store *store)
{
	struct error err;
	struct digest digest;
	if (store->lock.mark_seq > 0 && store->lock.mark_seq > store->next_seq - 1) {
		share_of(exam, cut)->older++;
		tell(exam, cut, "the store ends before what its lock file says");
	}
	if (!states_sound(store->database, &err) ||
	    !states_digest(store->database, &digest, &err)) {
		tell(exam, cut, "%s", err.text);
		return STATE_UNKNOWN;
	}
	return states_find(&exam->states, digest);
}

static int64_t
start(struct exam *exam, const struct cut *cut, const struct image *image)
{
	struct image copy;
	struct store *store = NULL;
	struct store_options options = { .path = DISK_STORE, .serving = true };
	struct error err;
	int64_t state = STATE_REFUSED;
	image_copy(&copy, image);
	disk_mount(&copy, NULL);
	quickly = random_up_to(exam->random, WHOLE_STARTS - 1) != 0;
	bool opened = store_open(&store, &options, &err);
	quickly = false;
	if (opened) {
		state = judge_start(exam, cut, store);
		(void)sqlite3_db_config(store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		store_close(store);
	} else if (err.kind == ERROR_STORE_DAMAGED) {
		share_of(exam, cut)->false_alarms++;
		tell(exam, cut, "false alarm: %s", err.text);
	} else {
		share_of(exam, cut)->refused++;
		tell(exam, cut, "refused: %s", err.text);
	}
	disk_unmount(NULL);
	if (state >= 0 && random_up_to(exam->random, COPIES_CHECKED - 1) == 0) {
		check_copy(exam, cut, image);
	}
	return state;
}

/* --- a life under examination --- */

static void examine(const struct exam *parent, const struct tape *tape, struct digest base,
                    int64_t level, uint64_t seed);

static int64_t
committed(const struct cut *cut)
{
	const struct tape *tape = cut->tape;
	size_t low = 0;
	while (low < tape->commit_count && tape->commits[low] <= cut->at) {
		low++;
	}
	return (int64_t)low;
}

static int64_t
acknowledged(const struct cut *cut)
{
	size_t count = 0;
	while (count < cut->tape->ack_count && cut->tape->acks[count].at <= cut->at) {
		count++;
	}
	return (int64_t)count;
}

static bool
same(struct digest a, struct digest b)
{
	return a.low == b.low && a.high == b.high;
}

/* The same content may be left by several commits in turn: the latest of them counts. */
static void
judge(struct exam *exam, const struct cut *cut, int64_t state)
{
	int64_t least = committed(cut);
	int64_t most = least + 1 < (int64_t)exam->states.count ? least + 1 : least;
	share_of(exam, cut)->checked += acknowledged(cut);
	if (state == STATE_REFUSED) {
		return;
	}
	if (state == STATE_UNKNOWN) {
		share_of(exam, cut)->corrupt++;
		tell(exam, cut, "no commit left this");
	} else if (state < least) {
		share_of(exam, cut)->lost++;
		tell(exam, cut, "commit %" PRId64 " had returned, %" PRId64 " is left", least,
		     state);
	} else if (state > most && !same(exam->states.digests[state], exam->states.digests[most])) {
		share_of(exam, cut)->corrupt++;
		tell(exam, cut, "commit %" PRId64 " is there, at most %" PRId64 " was written",
		     state, most);
	}
}

/* A life on this image, and power cuts in it. */
static void
nest(struct exam *exam, const struct cut *cut, const struct image *image, int64_t state)
{
	struct tape tape;
	struct error err;
	struct life life = { .seed = random_next(exam->random),
		             .steps = (int)random_up_to(exam->random, 3),
		             .first = exam->level * 100000 + 50000,
		             .normal = exam->plan->normal };
	tape_init(&tape, image);
	tape.syncs = exam->plan->syncs;
	if (life_play(&life, &tape, &err)) {
		examine(exam, &tape, exam->states.digests[state], exam->level + 1, exam->seed);
	} else {
		share_of(exam, cut)->refused++;
		tell(exam, cut, "no life on it: %s", err.text);
	}
	tape_finish(&tape);
}

static bool
wants_nest(const struct exam *exam)
{
	const struct figures *figures = exam->figures;
	int64_t images = figures->commits.images + figures->compound.images;
	if (exam->level >= exam->plan->depth) {
		return false;
	}
	if (exam->level > 0) {
		return random_up_to(exam->random, 39) == 0;
	}
	return figures->nested_images * 10 < images * NESTED_SHARE &&
	       random_up_to(exam->random, 7) == 0;
}

/* True: it was a new one. */
static bool
try_image(struct exam *exam, const struct cut *cut, enum remains remains)
{
	struct image image;
	int64_t state = STATE_UNKNOWN;
	cut_image(cut, remains, exam->random, &image);
	uint64_t key = seen_key(&image);
	bool fresh = !seen_find(&exam->seen, key, &state);
	if (fresh) {
		state = start(exam, cut, &image);
		seen_add(&exam->seen, key, state);
		share_of(exam, cut)->images++;
		exam->figures->nested_images += exam->level > 0 ? 1 : 0;
	} else {
		share_of(exam, cut)->repeated++;
	}
	judge(exam, cut, state);
	if (fresh && state >= 0 && wants_nest(exam)) {
		nest(exam, cut, &image, state);
	}
	image_finish(&image);
	return fresh;
}

/* Power cuts at the step that comes next: `wanted` different images, if there are so many. */
static int64_t
cut_here(struct exam *exam, const struct cut *cut, int64_t wanted)
{
	int64_t made = try_image(exam, cut, REMAINS_ALL) ? 1 : 0;
	int64_t repeats = cut->pending_count == 0 ? REPEATS_MOST : 0;
	if (repeats == 0 && random_up_to(exam->random, 3) == 0) {
		made += try_image(exam, cut, REMAINS_NOTHING) ? 1 : 0;
	}
	while (repeats < REPEATS_MOST && made < wanted) {
		enum remains remains =
			(enum remains)random_up_to(exam->random,
		                                   REMAINS_KINDS - REMAINS_BEGINNING - 1) +
			REMAINS_BEGINNING;
		bool fresh = try_image(exam, cut, remains);
		made += fresh ? 1 : 0;
		repeats = fresh ? 0 : repeats + 1;
	}
	return made;
}

static void
count_point(const struct exam *exam, const struct cut *cut)
{
	struct share *share = share_of(exam, cut);
	share->points++;
	share->phases[exam->tape->steps[cut->at].phase]++;
}

/* Of a first life as many points as belong to it, of others a few. */
static bool
chosen(const struct exam *exam)
{
	int64_t most = exam->level > 0 ? NESTED_POINTS
	                               : exam->plan->points / exam->plan->stores / LIVES + 1;
	return random_up_to(exam->random, (int64_t)exam->tape->count - 1) < most;
}

static void
cut_everywhere(struct exam *exam)
{
	struct cut cut;
	int64_t nested = 0;
	int64_t *owed = exam->level == 0 ? exam->owed : &nested;
	int64_t rate = exam->level == 0
	                       ? exam->plan->images * (10 - NESTED_SHARE) / 10 / exam->plan->points
	                       : NESTED_IMAGES;
	cut_init(&cut, exam->tape);
	for (; cut.at < exam->tape->count; cut_next(&cut)) {
		if (!chosen(exam)) {
			continue;
		}
		count_point(exam, &cut);
		*owed += rate;
		*owed -= cut_here(exam, &cut, *owed);
	}
	cut_finish(&cut);
}

static void
examine(const struct exam *parent, const struct tape *tape, struct digest base, int64_t level,
        uint64_t seed)
{
	struct error err;
	struct exam exam = { .plan = parent->plan,
		             .figures = parent->figures,
		             .random = parent->random,
		             .owed = parent->owed,
		             .tape = tape,
		             .level = level,
		             .seed = seed };
	struct share *share = share_of(&exam, NULL);
	share->lives++;
	share->acked += (int64_t)tape->ack_count;
	exam.figures->deepest = level > exam.figures->deepest ? level : exam.figures->deepest;
	if (!states_read(&exam.states, tape, &err)) {
		share->corrupt++;
		tell(&exam, NULL, "%s", err.text);
	} else if (level > 0 && !same(exam.states.digests[0], base)) {
		share->corrupt++;
		tell(&exam, NULL, "two recoveries of one image differ");
	} else {
		seen_init(&exam.seen);
		cut_everywhere(&exam);
		seen_finish(&exam.seen);
	}
	states_finish(&exam.states);
}

/* --- stores --- */

/* What a power cut late in this life left, for the next one to begin with. */
static void
leave(const struct tape *tape, struct random *random, struct image *ret)
{
	struct cut cut;
	size_t half = tape->count / 2;
	size_t at = half + (size_t)random_up_to(random, (int64_t)(tape->count - half));
	cut_init(&cut, tape);
	while (cut.at < at) {
		cut_next(&cut);
	}
	cut_image(&cut, random_up_to(random, 1) == 0 ? REMAINS_PARTS : REMAINS_ALL, random, ret);
	cut_finish(&cut);
}

/* A store from its first start, or from the first version of its schema, over several lives. */
void
exam_store(const struct plan *plan, uint64_t seed, int64_t *owed, struct figures *figures)
{
	struct image image = { .count = 0 };
	struct random random;
	struct exam exam = { .plan = plan,
		             .figures = figures,
		             .random = &random,
		             .owed = owed,
		             .seed = seed };
	struct digest none = { 0, 0 };
	bool good = true;
	random_seed(&random, seed);
	if (seed % 2 == 0) {
		life_old_store(seed, &image);
	}
	for (int64_t i = 0; good && i < LIVES; i++) {
		struct tape tape;
		struct error err;
		struct life life = { .seed = random_next(&random),
			             .steps = 4 + (int)random_up_to(&random, 4),
			             .first = (i + 1) * 1000,
			             .normal = plan->normal };
		tape_init(&tape, &image);
		image_finish(&image);
		tape.syncs = plan->syncs;
		exam.tape = &tape;
		good = life_play(&life, &tape, &err);
		if (good) {
			examine(&exam, &tape, none, 0, seed);
			leave(&tape, &random, &image);
		} else {
			figures->compound.refused++;
			tell(&exam, NULL, "no life on it: %s", err.text);
		}
		tape_finish(&tape);
	}
	image_finish(&image);
}
