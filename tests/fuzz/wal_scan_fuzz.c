/* The scan of the WAL before SQLite opens it. The input is a recipe: a header, frames (committing, of another life, damaged), bytes
 * to alter, a cut. What the scan must find is known from the recipe; SQLite must take the very frames that the scan calls good;
 * a shorter file is never worse than the whole; salvage and rewriting leave what is good, and only that. */
#include <string.h>

#include "receiver/store/sqlite/sqlite_priv.h"

#include "tests/fuzz/place.h"

#define HEADER      32U
#define FRAME       24U
#define FRAMES_MOST 24U
#define PAGES_MOST  6U
#define PAGE_MOST   4096U
#define PAGE_OURS   4096U
#define FILE_MOST   (HEADER + FRAMES_MOST * (FRAME + PAGE_MOST))

struct recipe {
	unsigned page;
	bool big;      /* the checksums' byte order */
	bool headless; /* the header is damaged */
	bool altered;  /* nothing is known any more */
	unsigned frames;
	bool commits[FRAMES_MOST];
	bool current[FRAMES_MOST]; /* salts */
	bool flipped[FRAMES_MOST]; /* a bit, after the checksum was made */
	bool page_zero[FRAMES_MOST];
	size_t size;
	unsigned char file[FILE_MOST];
};

static const unsigned pages[] = { 512, 1024, PAGE_OURS, 512 };
static char database_path[PLACE_PATH_BYTES];
static char wal_path[PLACE_PATH_BYTES + 8];

/* --- writing a WAL --- */

static void
put32(unsigned char *at, uint32_t value)
{
	at[0] = (unsigned char)(value >> 24U);
	at[1] = (unsigned char)(value >> 16U);
	at[2] = (unsigned char)(value >> 8U);
	at[3] = (unsigned char)value;
}

static uint32_t
get_word(const unsigned char *at, bool big)
{
	return big ? (uint32_t)at[0] << 24U | (uint32_t)at[1] << 16U | (uint32_t)at[2] << 8U | at[3]
	           : (uint32_t)at[3] << 24U | (uint32_t)at[2] << 16U | (uint32_t)at[1] << 8U |
	                       at[0];
}

__attribute__((no_sanitize("unsigned-integer-overflow"))) static void
sum(const unsigned char *data, size_t size, bool big, uint32_t sums[2])
{
	for (size_t i = 0; i < size; i += 8) {
		sums[0] += get_word(data + i, big) + sums[1];
		sums[1] += get_word(data + i + 4, big) + sums[0];
	}
}

/* An empty database of two pages in WAL mode, with this page size. */
static struct span
empty_database(unsigned page)
{
	static struct {
		unsigned page;
		struct buffer image;
	} made[4];
	size_t at = 0;
	while (made[at].page != 0 && made[at].page != page) {
		at++;
	}
	if (made[at].page == 0) {
		sqlite3 *database;
		char sql[160];
		made[at].page = page;
		buffer_init(&made[at].image, (size_t)1 << 20);
		(void)unlink(database_path);
		(void)snprintf(
			sql, sizeof(sql),
			"PRAGMA page_size = %u; PRAGMA journal_mode = WAL; CREATE TABLE t (a)",
			page);
		PROPERTY(sqlite3_open(database_path, &database) == SQLITE_OK &&
		         sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK &&
		         sqlite3_close(database) == SQLITE_OK);
		place_read(database_path, &made[at].image);
	}
	return buffer_view(&made[at].image);
}

static void
put_header(struct recipe *recipe)
{
	uint32_t sums[2] = { 0, 0 };
	unsigned char *at = recipe->file;
	put32(at, 0x377f0682U + (recipe->big ? 1 : 0));
	put32(at + 4, 3007000);
	put32(at + 8, recipe->page);
	put32(at + 12, 7);
	put32(at + 16, 0x51a1U);
	put32(at + 20, 0x7e57U);
	sum(at, 24, recipe->big, sums);
	put32(at + 24, sums[0]);
	put32(at + 28, sums[1]);
	recipe->size = HEADER;
}

/* A frame from two bytes: what is wrong with it, and its page. */
static void
put_frame(struct recipe *recipe, unsigned how, unsigned page, uint32_t sums[2])
{
	unsigned char *at = recipe->file + recipe->size;
	unsigned number = 1 + page % PAGES_MOST;
	unsigned i = recipe->frames++;
	recipe->commits[i] = (how & 1U) != 0;
	recipe->current[i] = (how & 6U) != 6U;
	recipe->flipped[i] = (how & 24U) == 24U;
	recipe->page_zero[i] = (how & 224U) == 224U;
	memset(at + FRAME, (int)(page + i), recipe->page);
	if (number == 1) { /* so that SQLite can open it */
		memcpy(at + FRAME, empty_database(recipe->page).data, recipe->page);
	}
	put32(at, recipe->page_zero[i] ? 0 : number);
	put32(at + 4, recipe->commits[i] ? PAGES_MOST : 0);
	put32(at + 8, recipe->current[i] ? 0x51a1U : 0x51a2U);
	put32(at + 12, 0x7e57U);
	sum(at, 8, recipe->big, sums);
	sum(at + FRAME, recipe->page, recipe->big, sums);
	put32(at + 16, sums[0]);
	put32(at + 20, sums[1]);
	if (recipe->flipped[i]) {
		at[FRAME + page % recipe->page] ^= 1U;
	}
	recipe->size += FRAME + recipe->page;
}

static void
cook(struct recipe *recipe, struct span input)
{
	struct span first = fuzz_take(&input, 1);
	unsigned flags = first.size == 0 ? 0 : (unsigned char)first.data[0];
	memset(recipe, 0, offsetof(struct recipe, file));
	recipe->page = pages[flags & 3U];
	recipe->big = (flags & 4U) != 0;
	put_header(recipe);
	uint32_t sums[2] = { get_word(recipe->file + 24, true), get_word(recipe->file + 28, true) };
	while (input.size >= 2 && recipe->frames < FRAMES_MOST && input.data[0] != '\xff') {
		struct span two = fuzz_take(&input, 2);
		put_frame(recipe, (unsigned char)two.data[0], (unsigned char)two.data[1], sums);
	}
	if ((flags & 24U) == 24U) {
		recipe->headless = true;
		recipe->file[flags >> 5U] ^= 0x10U;
	}
	(void)fuzz_take(&input, 1);
	while (input.size >= 4) { /* where, and what */
		struct span four = fuzz_take(&input, 4);
		const unsigned char *at = (const unsigned char *)four.data;
		size_t where = ((size_t)at[0] << 16U | (size_t)at[1] << 8U | at[2]) % recipe->size;
		recipe->file[where] ^= at[3];
		recipe->altered = recipe->altered || at[3] != 0;
	}
	if (input.size >= 2) { /* a cut */
		size_t cut =
			(size_t)(unsigned char)input.data[0] << 8U | (unsigned char)input.data[1];
		recipe->size -= cut % recipe->size;
		recipe->altered = recipe->altered || cut > 0;
	}
}

/* --- judging --- */

static bool
scan(struct wal_state *state)
{
	struct error err = { .kind = ERROR_NONE };
	bool good = wal_scan(database_path, state, &err);
	PROPERTY(good == (err.kind == ERROR_NONE));
	PROPERTY(good || (err.kind == ERROR_STORE_DAMAGED && strstr(err.text, wal_path) != NULL));
	return good;
}

static bool
same_state(const struct wal_state *a, const struct wal_state *b)
{
	return a->there == b->there && a->frames == b->frames && a->commits == b->commits &&
	       a->lost_commits == b->lost_commits && a->good_bytes == b->good_bytes &&
	       a->tail_bytes == b->tail_bytes;
}

/* What the recipe says must be found. */
static void
check_recipe(const struct recipe *recipe, bool good, const struct wal_state *state)
{
	int64_t commits = 0;
	int64_t lost = 0;
	bool valid = !recipe->headless;
	for (unsigned i = 0; i < recipe->frames; i++) {
		valid = valid && recipe->current[i] && !recipe->flipped[i] && !recipe->page_zero[i];
		if (recipe->headless) { /* then the frames are known by their chain of checksums alone */
			lost += recipe->commits[i] && i > 0 && !recipe->flipped[i] ? 1 : 0;
		} else if (valid) {
			commits += recipe->commits[i] ? 1 : 0;
		} else {
			lost += recipe->commits[i] && recipe->current[i] ? 1 : 0;
		}
	}
	if (recipe->headless && (recipe->page != PAGE_OURS || recipe->big)) {
		return; /* ours have neither: then nothing is said */
	}
	PROPERTY(state->commits == commits && state->lost_commits == lost);
	PROPERTY(good == (lost < 2)); /* one may be a batch that was never synced */
}

static void
check_bounds(const struct recipe *recipe, bool good, const struct wal_state *state)
{
	PROPERTY(state->there == (recipe->size > 0));
	PROPERTY(state->good_bytes <= (int64_t)recipe->size &&
	         state->tail_bytes <= (int64_t)recipe->size);
	PROPERTY(state->commits <= state->frames && state->frames <= (int64_t)FRAMES_MOST * 8);
	PROPERTY(state->commits == 0 || state->good_bytes <= state->tail_bytes);
	PROPERTY(good == (state->lost_commits < 2));
}

/* How many frames SQLite takes; -1: it takes no such file at all. */
static int
sqlite_frames(unsigned page)
{
	sqlite3 *database;
	int frames = -1;
	place_write(database_path, empty_database(page));
	PROPERTY(sqlite3_open(database_path, &database) == SQLITE_OK);
	int keep = 1;
	(void)sqlite3_file_control(database, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	(void)sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (sqlite3_exec(database, "PRAGMA locking_mode = EXCLUSIVE; SELECT * FROM sqlite_schema",
	                 NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_wal_checkpoint_v2(database, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, NULL) !=
	            SQLITE_OK) {
		frames = -1;
	}
	PROPERTY(sqlite3_close(database) == SQLITE_OK);
	return frames;
}

static void
check_sqlite(const struct recipe *recipe, const struct wal_state *state)
{
	int frames = sqlite_frames(recipe->page);
	int64_t bytes =
		state->good_bytes < (int64_t)HEADER ? 0 : state->good_bytes - (int64_t)HEADER;
	PROPERTY(frames < 0 || bytes == (int64_t)frames * (int64_t)(FRAME + recipe->page));
}

/* A torn tail: what is cut off takes nothing away but itself. */
static void
check_cuts(const struct recipe *recipe, bool good, const struct wal_state *whole)
{
	size_t frame = FRAME + recipe->page;
	const size_t cuts[] = { 1,
		                FRAME,
		                frame - 1,
		                frame,
		                frame + FRAME + 1,
		                recipe->size / 2,
		                recipe->size - recipe->size % 31 % recipe->size };
	for (size_t i = 0; i < COUNT(cuts); i++) {
		struct wal_state state;
		size_t left = recipe->size - (cuts[i] < recipe->size ? cuts[i] : recipe->size);
		PROPERTY(truncate(wal_path, (off_t)left) == 0);
		bool cut_good = scan(&state);
		PROPERTY(cut_good || !good);
		PROPERTY(state.commits <= whole->commits && state.good_bytes <= whole->good_bytes);
		PROPERTY(
			left < (size_t)whole->good_bytes || left < HEADER ||
			(state.commits == whole->commits && state.good_bytes == whole->good_bytes));
		place_write(wal_path, (struct span){ (const char *)recipe->file, recipe->size });
	}
}

static void
check_rewrite(const struct recipe *recipe, const struct wal_state *before)
{
	struct wal_state after;
	struct error err;
	PROPERTY(wal_rewrite(database_path, before, &err));
	PROPERTY(scan(&after));
	PROPERTY(after.commits == before->commits && after.good_bytes == before->good_bytes);
	PROPERTY(after.lost_commits == 0 || before->good_bytes == 0);
	check_sqlite(recipe, &after);
}

static void
check_salvage(const struct recipe *recipe, const struct wal_state *before)
{
	struct wal_state after;
	char *kept = NULL;
	struct buffer copy;
	struct error err = { .kind = ERROR_NONE };
	buffer_init(&copy, FILE_MOST);
	if (wal_salvage(database_path, before, &kept, &err)) {
		place_read(kept, &copy);
		PROPERTY(span_equal(buffer_view(&copy),
		                    (struct span){ (const char *)recipe->file, recipe->size }));
		PROPERTY(scan(&after) && after.lost_commits == 0);
		PROPERTY(after.commits == before->commits &&
		         after.good_bytes == before->good_bytes);
	} else {
		PROPERTY(err.sys_errno != 0);
	}
	(void)unlink(kept);
	buffer_finish(&copy);
	free(kept);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct recipe recipe;
	struct wal_state state;
	struct wal_state again;
	if (database_path[0] == '\0') {
		place_file(database_path, "wal_scan");
		(void)snprintf(wal_path, sizeof(wal_path), "%s-wal", database_path);
		for (size_t i = 0; i < COUNT(pages); i++) { /* before a WAL lies there */
			(void)empty_database(pages[i]);
		}
	}
	(void)unlink(wal_path);
	cook(&recipe, (struct span){ (const char *)data, size });
	place_write(wal_path, (struct span){ (const char *)recipe.file, recipe.size });
	bool good = scan(&state);
	PROPERTY(scan(&again) == good && same_state(&state, &again));
	check_bounds(&recipe, good, &state);
	if (!recipe.altered) {
		check_recipe(&recipe, good, &state);
	}
	check_cuts(&recipe, good, &state);
	if (good) {
		check_sqlite(&recipe, &state);
		place_write(wal_path, (struct span){ (const char *)recipe.file, recipe.size });
		check_rewrite(&recipe, &state);
	} else {
		check_salvage(&recipe, &state);
	}
	return 0;
}
