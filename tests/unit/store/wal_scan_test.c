/* WAL files that SQLite wrote, damaged bit by bit, torn byte by byte. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receiver/store/sqlite/sqlite_priv.h"

#include "tests/unit/check.h"

#define PAGE_SMALL  512  /* many frames in few bytes */
#define PAGE_OURS   4096 /* as the store has them */
#define HEADER      32
#define FRAME       24
#define FRAME_WHOLE (FRAME + made.page)
#define COMMITS     14
#define FRAMES_MOST 400
#define FILE_MOST   ((size_t)1 << 20)

/* A WAL as it lay beside its database after COMMITS commits. */
static struct {
	struct buffer wal;
	struct buffer database;
	size_t page;
	size_t frames;
	bool ends_commit[FRAMES_MOST];
	size_t commits_from[FRAMES_MOST + 1]; /* that end at this frame or behind it */
} made;

static char directory[64];
static char original[96]; /* where SQLite works */
static char copy[96];     /* where it is damaged */
static char copy_wal[112];

/* --- files --- */

static void
read_file(const char *path, struct buffer *out)
{
	char data[8192];
	ssize_t got;
	buffer_init(out, FILE_MOST);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ALWAYS(fd >= 0, "test-read");
	while ((got = read(fd, data, sizeof(data))) > 0) {
		buffer_append(out, data, (size_t)got);
	}
	ALWAYS(got == 0 && !out->failed, "test-read");
	(void)close(fd);
}

static void
write_file(const char *path, struct span text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ALWAYS(fd >= 0 && write(fd, text.data, text.size) == (ssize_t)text.size, "test-write");
	(void)close(fd);
}

static void
remove_beside(const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	for (size_t i = 0; i < COUNT(ends); i++) {
		char name[128];
		(void)snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		(void)unlink(name);
	}
}

/* --- making --- */

static void
run(sqlite3 *database, const char *sql)
{
	char *message = NULL;
	if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK) {
		(void)fprintf(stderr, "%s: %s\n", sql, message);
		exit(EXIT_FAILURE);
	}
}

static sqlite3 *
open_original(void)
{
	sqlite3 *database;
	ALWAYS(sqlite3_open(original, &database) == SQLITE_OK, "test-open");
	char sql[64];
	(void)snprintf(sql, sizeof(sql), "PRAGMA page_size = %zu", made.page);
	run(database, sql);
	run(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
	              "PRAGMA wal_autocheckpoint = 0");
	return database;
}

/* A commit of one row and one to some five pages. */
static void
commit(sqlite3 *database, struct random *random)
{
	char sql[128];
	(void)snprintf(sql, sizeof(sql), "INSERT INTO t (data) VALUES (randomblob(%d))",
	               (int)random_up_to(random, 1500 * (int64_t)made.page / PAGE_SMALL));
	run(database, sql);
}

static uint32_t
big32(const char *at)
{
	const unsigned char *byte = (const unsigned char *)at;
	return (uint32_t)byte[0] << 24U | (uint32_t)byte[1] << 16U | (uint32_t)byte[2] << 8U |
	       byte[3];
}

static char *
frame_at(size_t frame)
{
	return made.wal.data + HEADER + frame * FRAME_WHOLE;
}

static void
count_frames(void)
{
	const char *salts = made.wal.data + 16;
	made.frames = 0;
	while (HEADER + (made.frames + 1) * FRAME_WHOLE <= made.wal.size &&
	       memcmp(frame_at(made.frames) + 8, salts, 8) == 0) {
		ALWAYS(made.frames < FRAMES_MOST, "test-frames");
		made.ends_commit[made.frames] = big32(frame_at(made.frames) + 4) != 0;
		made.frames++;
	}
	made.commits_from[made.frames] = 0;
	for (size_t i = made.frames; i > 0; i--) {
		made.commits_from[i - 1] = made.commits_from[i] + (made.ends_commit[i - 1] ? 1 : 0);
	}
}

/* `restarted`: the WAL begins again after a checkpoint, over a longer one whose frames lie behind it still. */
static void
make_wal(bool restarted, size_t page)
{
	struct random random;
	check_random(&random);
	made.page = page;
	buffer_finish(&made.wal);
	buffer_finish(&made.database);
	remove_beside(original);
	sqlite3 *database = open_original();
	run(database, "CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)");
	for (int i = 0; restarted && i < COMMITS * 3; i++) {
		commit(database, &random);
	}
	run(database,
	    restarted ? "PRAGMA wal_checkpoint(RESTART)" : "PRAGMA wal_checkpoint(TRUNCATE)");
	for (int i = 0; i < COMMITS; i++) {
		commit(database, &random);
	}
	char path[112];
	(void)snprintf(path, sizeof(path), "%s-wal", original);
	read_file(path, &made.wal);
	read_file(original, &made.database);
	ALWAYS(sqlite3_close(database) == SQLITE_OK, "test-close");
	count_frames();
	CHECK_ROW(made.commits_from[0] == COMMITS, "%zu commits", made.commits_from[0]);
	CHECK((made.wal.size > HEADER + made.frames * FRAME_WHOLE) == restarted);
}

/* --- judging --- */

enum verdict {
	QUIET,
	DAMAGED,
	FAILED,
};

static enum verdict
scan(struct wal_state *state)
{
	struct error err = { .kind = ERROR_NONE };
	if (wal_scan(copy, state, &err)) {
		return QUIET;
	}
	if (err.kind == ERROR_STORE_DAMAGED) {
		CHECK(strstr(err.text, copy_wal) != NULL && strstr(err.text, "salvage") != NULL);
		return DAMAGED;
	}
	return FAILED;
}

static enum verdict
scan_bytes(struct span wal, struct wal_state *state)
{
	write_file(copy_wal, wal);
	return scan(state);
}

/* With `bit` of the WAL turned; the buffer is as before afterwards. */
static enum verdict
scan_flipped(size_t bit, struct wal_state *state)
{
	made.wal.data[bit / 8] = (char)(made.wal.data[bit / 8] ^ 1 << bit % 8);
	int fd = open(copy_wal, O_WRONLY | O_CLOEXEC);
	ALWAYS(fd >= 0 && pwrite(fd, made.wal.data + bit / 8, 1, (off_t)(bit / 8)) == 1,
	       "test-flip");
	enum verdict verdict = scan(state);
	made.wal.data[bit / 8] = (char)(made.wal.data[bit / 8] ^ 1 << bit % 8);
	ALWAYS(pwrite(fd, made.wal.data + bit / 8, 1, (off_t)(bit / 8)) == 1, "test-flip");
	(void)close(fd);
	return verdict;
}

/* The rows that SQLite shows of the copy. */
static int64_t
rows_in_copy(void)
{
	sqlite3 *database;
	int64_t rows = -1;
	struct error err;
	ALWAYS(sqlite3_open(copy, &database) == SQLITE_OK, "test-open");
	if (!sqlite_number(database, "SELECT count(*) FROM t", &rows, &err)) {
		(void)fprintf(stderr, "%s\n", err.text);
	}
	(void)sqlite3_close(database);
	remove_beside(copy);
	return rows;
}

static void
a_whole_wal_is_counted(void)
{
	for (int restarted = 0; restarted < 2; restarted++) {
		struct wal_state state;
		make_wal(restarted == 1, PAGE_SMALL);
		CHECK(scan_bytes(buffer_view(&made.wal), &state) == QUIET);
		CHECK(state.there && state.frames == (int64_t)made.frames);
		CHECK(state.commits == COMMITS && state.lost_commits == 0);
		CHECK(state.good_bytes == (int64_t)(HEADER + made.frames * FRAME_WHOLE));
	}
}

static void
what_is_not_there_is_no_damage(void)
{
	struct wal_state state;
	remove_beside(copy);
	CHECK(scan(&state) == QUIET && !state.there && state.frames == 0);
	CHECK(scan_bytes(SPAN(""), &state) == QUIET && !state.there);
	CHECK(scan_bytes(SPAN("short"), &state) == QUIET && state.there && state.frames == 0);
	struct error err;
	remove_beside(copy);
	CHECK(wal_rewrite(copy, &state, &err) && access(copy_wal, F_OK) != 0);
}

/* Whether the one bit, at this place of this frame, must be noticed: two commits or more are gone with it. The salts and
 * the commit mark of the bad frame itself say nothing any more when they are what was turned: a page that was never
 * written looks the same. Then two commits must lie behind it. Nor does a frame that does not follow and whose header lies in
 * two sectors. */
static bool
must_be_noticed(size_t frame, size_t byte)
{
	bool marks = byte >= 4 && byte < 16;
	size_t from = marks ? frame + 1 : frame;
	size_t silent = 0;
	for (size_t i = from; i <= frame + 1 && i < made.frames; i++) {
		size_t at = HEADER + i * FRAME_WHOLE;
		bool torn = (at + 4) / 512 != (at + 15) / 512;
		silent += torn ? made.commits_from[i] - made.commits_from[i + 1] : 0;
	}
	return made.commits_from[from] >= 2 + silent;
}

static void
flip_all(bool restarted)
{
	struct random random;
	struct wal_state state;
	make_wal(restarted, PAGE_SMALL);
	check_random(&random);
	write_file(copy_wal, buffer_view(&made.wal));
	size_t noticed = 0;
	for (size_t frame = 0; frame < made.frames && check.failures == 0; frame++) {
		for (size_t i = 0; i < (FRAME + 8) * 8; i++) {
			size_t bit = i < (size_t)FRAME * 8
			                     ? i
			                     : (size_t)(FRAME * 8 +
			                                random_up_to(&random,
			                                             (int64_t)made.page * 8 - 1));
			enum verdict verdict =
				scan_flipped((HEADER + frame * FRAME_WHOLE) * 8 + bit, &state);
			bool must = must_be_noticed(frame, bit / 8);
			noticed += verdict == DAMAGED ? 1 : 0;
			if (!CHECK_ROW(verdict == DAMAGED || !must,
			               "frame %zu of %zu, bit %zu: not noticed, %zu commits gone",
			               frame, made.frames, bit, made.commits_from[frame]) ||
			    !CHECK_ROW(verdict == QUIET || made.commits_from[frame] >= 2 ||
			                       bit / 8 < 8, /* may look like a commit now */
			               "frame %zu of %zu, bit %zu: an alarm in the tail", frame,
			               made.frames, bit) ||
			    !CHECK_ROW(state.frames == (int64_t)frame &&
			                       state.commits == (int64_t)(COMMITS -
			                                                  made.commits_from[frame]),
			               "frame %zu, bit %zu: %lld frames, %lld commits", frame, bit,
			               (long long)state.frames, (long long)state.commits)) {
				break;
			}
		}
	}
	CHECK(noticed > 1000);
	CHECK(scan(&state) == QUIET);
}

static void
a_bit_before_the_tail_is_noticed(void)
{
	flip_all(false);
	flip_all(true);
}

/* SQLite takes a WAL with a bad header for an empty one, and drops all that is in it without a word. */
static void
a_bit_in_the_header_is_noticed(void)
{
	struct wal_state state;
	for (int restarted = 0; restarted < 2; restarted++) {
		make_wal(restarted == 1, PAGE_OURS);
		write_file(copy_wal, buffer_view(&made.wal));
		for (size_t bit = 0; bit < (size_t)HEADER * 8; bit++) {
			CHECK_ROW(scan_flipped(bit, &state) == DAMAGED, "byte %zu, bit %zu",
			          bit / 8, bit % 8);
		}
	}
}

/* --- tails --- */

static void
a_torn_tail_is_no_damage(void)
{
	struct wal_state state;
	for (int restarted = 0; restarted < 2; restarted++) {
		make_wal(restarted == 1, PAGE_SMALL);
		write_file(copy_wal, buffer_view(&made.wal));
		size_t step = restarted == 0 ? 1 : 7;
		for (size_t size = made.wal.size; size > 0 && check.failures == 0;
		     size -= size < step ? size : step) {
			ALWAYS(truncate(copy_wal, (off_t)size) == 0, "test-truncate");
			size_t frames = size < HEADER ? 0 : (size - HEADER) / FRAME_WHOLE;
			frames = frames < made.frames ? frames : made.frames;
			CHECK_ROW(scan(&state) == QUIET && state.frames == (int64_t)frames &&
			                  state.commits ==
			                          (int64_t)(COMMITS - made.commits_from[frames]) &&
			                  state.good_bytes <= (int64_t)size,
			          "cut at %zu: %lld frames", size, (long long)state.frames);
		}
	}
}

/* The last commit was never synced: any of its frames may be missing, old, half written or garbage. */
static void
an_unsynced_last_commit_is_no_damage(void)
{
	struct random random;
	struct wal_state state;
	check_random(&random);
	for (int round = 0; round < 1000 && check.failures == 0; round++) {
		if (round % 250 == 0) {
			make_wal(round % 500 == 250, PAGE_SMALL);
		}
		struct buffer torn;
		buffer_init(&torn, FILE_MOST);
		buffer_span(&torn, buffer_view(&made.wal));
		size_t damaged = 0;
		for (size_t frame = made.frames; frame > 0 && made.commits_from[frame - 1] == 1;
		     frame--) {
			char *at = torn.data + HEADER + (frame - 1) * FRAME_WHOLE;
			size_t whole = (size_t)random_up_to(&random, (int64_t)FRAME_WHOLE);
			switch (random_up_to(&random, 3)) {
			case 0: memset(at, 0, FRAME_WHOLE); break;
			case 1: memset(at + whole, 0, FRAME_WHOLE - whole); break;
			case 2:
				for (size_t i = whole; i < FRAME_WHOLE; i++) {
					at[i] = (char)(unsigned char)random_up_to(&random, 255);
				}
				break;
			default: continue; /* this one was written */
			}
			damaged++;
		}
		CHECK_ROW(scan_bytes(buffer_view(&torn), &state) == QUIET,
		          "round %d, %zu frames of the last commit", round, damaged);
		CHECK(state.commits >= COMMITS - 1);
		buffer_finish(&torn);
	}
}

/* What we count as good is what SQLite shows. */
static void
sqlite_sees_the_same_commits(void)
{
	struct wal_state state;
	struct random random;
	check_random(&random);
	make_wal(false, PAGE_SMALL);
	for (int round = 0; round < 60 && check.failures == 0; round++) {
		size_t size = (size_t)random_up_to(&random, (int64_t)made.wal.size);
		size_t bit = (size_t)random_up_to(&random, (int64_t)made.wal.size * 8 - 1);
		struct buffer damaged;
		buffer_init(&damaged, FILE_MOST);
		buffer_span(&damaged, buffer_view(&made.wal));
		if (round % 2 == 0) {
			damaged.size = size;
		} else if (bit >= (size_t)HEADER * 8) {
			damaged.data[bit / 8] = (char)(damaged.data[bit / 8] ^ 1 << bit % 8);
		}
		write_file(copy, buffer_view(&made.database));
		(void)scan_bytes(buffer_view(&damaged), &state);
		int64_t rows = rows_in_copy();
		CHECK_ROW(rows == state.commits, "%" PRId64 " rows, %lld commits", rows,
		          (long long)state.commits);
		buffer_finish(&damaged);
	}
}

/* --- going on --- */

static void
a_salvaged_wal_ends_at_its_last_good_commit(void)
{
	struct wal_state state;
	struct error err = { .text = "" };
	char *name;
	struct buffer aside;
	make_wal(false, PAGE_SMALL);
	size_t frame = made.frames / 2;
	made.wal.data[HEADER + frame * FRAME_WHOLE + 100] ^= 1;
	write_file(copy, buffer_view(&made.database));
	CHECK(scan_bytes(buffer_view(&made.wal), &state) == DAMAGED);
	CHECK_ROW(wal_salvage(copy, &state, &name, &err), "%s", err.text);
	read_file(name, &aside);
	CHECK(span_equal(buffer_view(&aside), buffer_view(&made.wal))); /* the evidence is whole */
	(void)unlink(name);
	CHECK(scan(&state) == QUIET && state.lost_commits == 0);
	CHECK(state.commits == (int64_t)(COMMITS - made.commits_from[frame]));
	CHECK(rows_in_copy() == state.commits);
	free(name);
	buffer_finish(&aside);
}

static void
copies_of_one_second_have_names_of_their_own(void)
{
	enum {
		COPIES = 3
	};
	char *names[COPIES];
	struct error err = { .text = "" };
	write_file(copy_wal, (struct span){ "log", 3 });
	for (size_t i = 0; i < COPIES; i++) {
		CHECK_ROW(wal_keep(copy, &names[i], &err), "%s", err.text);
	}
	for (size_t i = 0; i < COPIES; i++) {
		struct buffer kept;
		read_file(names[i], &kept);
		CHECK(span_equal(buffer_view(&kept), (struct span){ "log", 3 }));
		buffer_finish(&kept);
		(void)unlink(names[i]); /* the next is still there only if it is another */
		free(names[i]);
	}
}

static void
a_rewritten_wal_is_the_same(void)
{
	struct error err = { .text = "" };
	struct buffer again;
	struct wal_state state;
	make_wal(true, PAGE_SMALL);
	write_file(copy_wal, buffer_view(&made.wal));
	CHECK(wal_scan(copy, &state, &err));
	CHECK_ROW(wal_rewrite(copy, &state, &err), "%s", err.text);
	read_file(copy_wal, &again);
	CHECK(span_equal(buffer_view(&again), buffer_view(&made.wal)));
	buffer_finish(&again);
}

/* Two lives behind one bad frame would look like damage: what the first left torn is cleared. */
static void
a_rewritten_wal_has_no_torn_tail(void)
{
	struct error err = { .text = "" };
	struct buffer again;
	struct wal_state state;
	make_wal(false, PAGE_SMALL);
	size_t frame = made.frames;
	while (made.commits_from[frame - 1] < 2) { /* the first frame of the last commit */
		frame--;
	}
	made.wal.data[HEADER + frame * FRAME_WHOLE + 100] ^= 1;
	write_file(copy, buffer_view(&made.database));
	CHECK(scan_bytes(buffer_view(&made.wal), &state) == QUIET && state.lost_commits == 1);
	CHECK_ROW(wal_rewrite(copy, &state, &err), "%s", err.text);
	read_file(copy_wal, &again);
	CHECK(again.size == made.wal.size);
	CHECK(memcmp(again.data, made.wal.data, (size_t)state.good_bytes) == 0);
	buffer_finish(&again);
	CHECK(scan(&state) == QUIET && state.lost_commits == 0);
	CHECK(state.commits == COMMITS - 1 && rows_in_copy() == COMMITS - 1);
}

int
main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{ "a whole WAL is counted", a_whole_wal_is_counted },
		{ "what is not there is no damage", what_is_not_there_is_no_damage },
		{ "a bit before the tail is noticed", a_bit_before_the_tail_is_noticed },
		{ "a bit in the header is noticed", a_bit_in_the_header_is_noticed },
		{ "a torn tail is no damage", a_torn_tail_is_no_damage },
		{ "an unsynced last commit is no damage", an_unsynced_last_commit_is_no_damage },
		{ "SQLite sees the same commits", sqlite_sees_the_same_commits },
		{ "a salvaged WAL ends at its last good commit",
		  a_salvaged_wal_ends_at_its_last_good_commit },
		{ "copies of one second have names of their own",
		  copies_of_one_second_have_names_of_their_own },
		{ "a rewritten WAL is the same", a_rewritten_wal_is_the_same },
		{ "a rewritten WAL has no torn tail", a_rewritten_wal_has_no_torn_tail },
	};
	(void)snprintf(directory, sizeof(directory), "/tmp/hooklatch-wal-XXXXXX");
	ALWAYS(mkdtemp(directory) != NULL, "test-directory");
	(void)snprintf(original, sizeof(original), "%s/made.db", directory);
	(void)snprintf(copy, sizeof(copy), "%s/copy.db", directory);
	(void)snprintf(copy_wal, sizeof(copy_wal), "%s-wal", copy);
	int code = check_main(argc, argv, tests, COUNT(tests));
	remove_beside(original);
	remove_beside(copy);
	(void)rmdir(directory);
	buffer_finish(&made.wal);
	buffer_finish(&made.database);
	return code;
}
