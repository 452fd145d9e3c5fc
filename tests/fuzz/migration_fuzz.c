/* Damaged database files: a byte for the image (a store of an older schema or of this one), then patches, and how much of the file
 * there is. Opening it, with migration, ends in an error that says something, or in a store that is sound: it opens again, has the
 * newest schema, and whatever is read of it as intact is what was stored. */
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/log/log.h"
#include "receiver/store/reader.h"
#include "receiver/store/sqlite/migrations.h"
#include "receiver/store/sqlite/sqlite_priv.h"

#include "tests/fuzz/place.h"

#define EVENTS     8
#define IMAGES     4 /* how many at most: migrations, and one more */
#define IMAGE_MOST ((size_t)1 << 21)

static char path[PLACE_PATH_BYTES];
static struct buffer images[IMAGES];
static size_t image_count;

static const char *
beside(const char *ending)
{
	static char name[PLACE_PATH_BYTES + 32];
	(void)snprintf(name, sizeof(name), "%s%s", path, ending);
	return name;
}

static void
remove_beside(void)
{
	static const char *const endings[] = { "-wal", "-shm", "-journal", ".suspect", ".lock" };
	for (size_t i = 0; i < COUNT(endings); i++) {
		(void)unlink(beside(endings[i]));
	}
	for (size_t i = 0; i < migration_count; i++) {
		char ending[32];
		(void)snprintf(ending, sizeof(ending), ".before-%04d", migrations[i].version);
		(void)unlink(beside(ending));
	}
}

/* --- stores as they lie on disk --- */

/* The body of an event: one is longer than a page, one is gone. */
static void
put_body(struct buffer *body, int event)
{
	buffer_format(body, "{\"event\":%d,\"note\":\"", event);
	for (int i = 0; i < (event == 3 ? 9000 : event * 7); i++) {
		buffer_byte(body, (char)('a' + (event + i) % 26));
	}
	buffer_text(body, "\"}");
}

static void
execute(sqlite3 *database, char *sql)
{
	char *message = NULL;
	int code = sqlite3_exec(database, sql, NULL, NULL, &message);
	if (code != SQLITE_OK) {
		(void)fprintf(stderr, "%s: %s\n", sql, message);
	}
	PROPERTY(code == SQLITE_OK);
	sqlite3_free(sql);
}

static void
insert_event(sqlite3 *database, int event)
{
	struct buffer body;
	struct buffer body_hex;
	struct buffer hash_hex;
	buffer_init(&body, 65536);
	buffer_init(&body_hex, 65536);
	buffer_init(&hash_hex, 256);
	put_body(&body, event);
	struct event_hash hash = event_hash_of(buffer_view(&body));
	for (size_t i = 0; i < body.size; i++) {
		buffer_format(&body_hex, "%02x", (unsigned)(unsigned char)body.data[i]);
	}
	for (size_t i = 0; i < sizeof(hash); i++) {
		buffer_format(&hash_hex, "%02x", (unsigned)((unsigned char *)&hash)[i]);
	}
	execute(database,
	        sqlite3_mprintf(
			"INSERT INTO events (seq, source, event_id, type, received_at, headers, hash, body) "
			"VALUES (%d, 'shop', 'evt_%d', 'order.%d', '2026-11-21T03:09:44.%06dZ', "
			"'[[\"Content-Type\",\"application/json\"]]', x'%.*s', x'%.*s')",
			event, event, event % 3, event, SPAN_ARG(buffer_view(&hash_hex)),
			SPAN_ARG(buffer_view(&body_hex))));
	execute(database,
	        sqlite3_mprintf(
			"INSERT INTO delivery (seq, handler, state, attempts, due, last_error) "
			"VALUES (%d, 1, %d, %d, 1795230584000000000, %Q)",
			event, event % 5, event % 4, event % 5 == 3 ? "timeout" : NULL));
	execute(database,
	        sqlite3_mprintf(
			"INSERT INTO attempt (seq, handler, round, number, started_at, duration_ms, result, output) "
			"VALUES (%d, 1, 0, 1, '2026-11-21T03:09:45.000000Z', 5, 'failed', x'00ff')",
			event));
	buffer_finish(&hash_hex);
	buffer_finish(&body_hex);
	buffer_finish(&body);
}

/* What lived in it, with every table that a start looks at. */
static void
fill(sqlite3 *database)
{
	execute(database,
	        sqlite3_mprintf(
			"INSERT INTO source VALUES ('shop'); INSERT INTO meta VALUES ('seq', %d);"
			"INSERT INTO handler (id, name, ran_ns) VALUES (1, 'book', 5), (2, 'gone', 0)",
			EVENTS));
	for (int event = 1; event <= EVENTS; event++) {
		insert_event(database, event);
	}
	execute(database,
	        sqlite3_mprintf(
			"UPDATE events SET body = NULL WHERE seq = 5;"
			"UPDATE handler SET paused_at = '2026-11-21T03:09:44.000000Z', paused_by = 'me' WHERE id = 2;"
			"INSERT INTO dead_letter (seq, handler, reason, attempts, died_at) SELECT seq, handler, 'exhausted', attempts, "
			"'2026-11-21T03:09:46.000000Z' FROM delivery WHERE state = 3;"
			"INSERT INTO ledger SELECT 0, handler, state, count(*) FROM delivery GROUP BY handler, state;"
			"INSERT INTO ledger SELECT 0, handler, 5, count(*) FROM delivery GROUP BY handler;"
			"INSERT INTO replay (kind, filter, states, again, rate, until, position, state, total, created_at, who) VALUES "
			"('dead', 'source=shop&state=dead', 8, 0, 0, 9, 0, 'running', 1, '2026-11-21T03:09:47.000000Z', 'me')"));
}

/* The schema as the first `count` migrations leave it; the very first has nothing in it. */
static void
make_image(size_t count)
{
	sqlite3 *database;
	struct buffer *image = &images[image_count++];
	buffer_init(image, IMAGE_MOST);
	(void)unlink(path);
	PROPERTY(sqlite3_open(path, &database) == SQLITE_OK);
	execute(database,
	        sqlite3_mprintf(
			"PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA application_id = %d",
			SQLITE_APPLICATION_ID));
	for (size_t i = 0; i < count; i++) {
		execute(database, sqlite3_mprintf("%s", migrations[i].sql));
		execute(database,
		        sqlite3_mprintf(
				"INSERT INTO schema_migrations VALUES (%d, %Q, '2026-11-21T03:09:43.000000Z')",
				migrations[i].version, migrations[i].name));
	}
	if (count > 0) {
		fill(database);
	}
	PROPERTY(sqlite3_close(database) == SQLITE_OK);
	place_read(path, image);
}

static void
make_images(void)
{
	log_set_level(LOG_FATAL);
	place_file(path, "migration");
	PROPERTY(migration_count < IMAGES);
	for (size_t i = 0; i <= migration_count;
	     i++) { /* what a byte names stays when a migration is added */
		make_image(i);
	}
}

/* --- damage --- */

static void
damage(struct span input)
{
	static struct buffer file;
	struct span head = fuzz_take(&input, 2);
	unsigned kind = head.size < 1 ? 0 : (unsigned char)head.data[0];
	unsigned flags = head.size < 2 ? 0 : (unsigned char)head.data[1];
	const struct buffer *image = &images[kind % image_count];
	if (file.limit == 0) {
		buffer_init(&file, IMAGE_MOST);
	}
	file.size = 0;
	buffer_span(&file, buffer_view(image));
	while (input.size >= 4) { /* a page, a place in it, and what is written there */
		struct span patch = fuzz_take(&input, 4);
		const unsigned char *at = (const unsigned char *)patch.data;
		size_t where = ((size_t)at[0] * 4096 + ((size_t)at[1] << 8U | at[2])) % file.size;
		struct span bytes = fuzz_take(&input, 1U + (at[3] & 15U));
		size_t most = file.size - where;
		memcpy(file.data + where, bytes.data, bytes.size < most ? bytes.size : most);
	}
	if ((flags & 3U) == 3U) { /* torn off somewhere */
		file.size -= (size_t)flags * 977 % (file.size + 1);
	}
	remove_beside();
	place_write(path, buffer_view(&file));
	if ((flags & 4U) != 0) {
		place_write(beside(".suspect"), SPAN(""));
	}
}

/* --- what comes of it --- */

static bool
open_store(void)
{
	struct store *store = NULL;
	struct error err = { .kind = ERROR_NONE };
	struct store_options options = { .path = path, .serving = true };
	bool good = store_open(&store, &options, &err);
	PROPERTY(good == (store != NULL));
	PROPERTY(good || (err.kind != ERROR_NONE && err.text[0] != '\0'));
	PROPERTY(good || (err.kind != ERROR_LOCKED && err.kind != ERROR_STORE_BUSY));
	store_close(store);
	return good;
}

static bool
on_event(void *context, const struct event_row *row)
{
	*(int64_t *)context += (int64_t)(row->source.size + row->id.size + row->type.size);
	return true;
}

static bool
on_delivery(void *context, const struct delivery_row *row)
{
	*(int64_t *)context += row->attempts & 1;
	return true;
}

static bool
on_dead(void *context, const struct dead_row *row)
{
	*(int64_t *)context += (int64_t)row->reason.size;
	return true;
}

static bool
on_replay(void *context, const struct replay_row *row)
{
	*(int64_t *)context += (int64_t)row->kind.size;
	return true;
}

/* What the checksum vouches for is one of the bodies that were stored. */
static void
check_event(const struct event *event)
{
	bool stored = event->body.size == 0;
	for (int i = 1; i <= EVENTS; i++) {
		struct buffer body;
		buffer_init(&body, 65536);
		put_body(&body, i);
		stored = stored || span_equal(buffer_view(&body), event->body);
		buffer_finish(&body);
	}
	PROPERTY(stored);
}

static void
read_store(void)
{
	struct reader *reader;
	struct error err;
	struct filter filter;
	struct store_counts counts;
	int64_t sum = 0;
	int64_t off = 0;
	if (!reader_open(&reader, path, &err)) {
		return;
	}
	filter_init(&filter);
	reader_limit(reader, NS_PER_S);
	(void)!reader_events(reader, &filter, 0, 100, on_event, &sum, &err);
	(void)!reader_dead(reader, &filter, NULL, 0, INT64_MAX, 100, on_dead, &sum, &err);
	(void)!reader_replays(reader, 0, on_replay, &sum, &err);
	(void)!reader_counts(reader, &counts, &err);
	(void)!reader_audit(reader, 0, &off, &err);
	for (int64_t seq = 1; seq <= EVENTS; seq++) {
		struct event *event;
		bool intact;
		(void)!reader_deliveries(reader, seq, on_delivery, &sum, &err);
		if (reader_event(reader, seq, &event, &intact, &err)) {
			if (intact) {
				check_event(event);
			}
			event_release(event);
		}
	}
	filter_finish(&filter);
	reader_close(reader);
}

static void
check_sound(void)
{
	sqlite3 *database;
	int64_t version = 0;
	struct error err;
	PROPERTY(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
	PROPERTY(sqlite_number(database, "SELECT max(version) FROM schema_migrations", &version,
	                       &err));
	PROPERTY(version == migrate_newest());
	PROPERTY(sqlite3_close(database) == SQLITE_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (image_count == 0) {
		make_images();
	}
	damage((struct span){ (const char *)data, size });
	if (open_store()) {
		check_sound();
		read_store();
		PROPERTY(open_store());
	}
	return 0;
}
