/* The filter grammar: lines of "name=value" as on the command line, or "?" and a query as the API and a replay's row have it. What
 * a filter is written as means the same when it is read again, as a query and as options of a shell; and as SQL it takes the rows
 * that a person would pick by hand. */
#include <string.h>

#include "receiver/base/clock.h"
#include "receiver/store/sqlite/writer_priv.h"

#include "tests/fuzz/fuzz.h"

#define NOW_NS (INT64_C(1795230584) * NS_PER_S)

/* A row of the three tables that a filter looks at. */
static const struct row {
	const char *source;
	const char *id;
	const char *type;
	const char *received_at;
	const char *handler;
	const char *error; /* NULL: none */
	enum delivery_state state;
} rows[] = {
	{ "github", "1", "push", "2026-11-20T00:00:00.000000Z", "deploy", NULL, DELIVERY_PENDING },
	{ "github", "a*b", "ping", "2026-11-21T03:09:44.123456Z", "log", "timeout", DELIVERY_DEAD },
	{ "stripe", "evt_1", "invoice.paid", "2025-01-01T00:00:00.000001Z", "book", "",
	  DELIVERY_DONE },
	{ "stripe", "github/1", "", "1999-12-31T23:59:59.999999Z", "deploy", "exit 1",
	  DELIVERY_DISCARDED },
};

static sqlite3 *database;

static void
make_database(void)
{
	struct error err;
	PROPERTY(sqlite3_open(":memory:", &database) == SQLITE_OK &&
	         filter_functions(database, &err));
	PROPERTY(sqlite_run(
		database,
		"CREATE TABLE events (seq INTEGER PRIMARY KEY, source, event_id, type, received_at);"
		"CREATE TABLE delivery (seq INTEGER PRIMARY KEY, state, last_error);"
		"CREATE TABLE handler (seq INTEGER PRIMARY KEY, name)",
		&err));
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *sql = sqlite3_mprintf(
			"INSERT INTO events VALUES (%d, %Q, %Q, %Q, %Q);"
			"INSERT INTO delivery VALUES (%d, %d, %Q); INSERT INTO handler VALUES (%d, %Q)",
			(int)i, rows[i].source, rows[i].id, rows[i].type, rows[i].received_at,
			(int)i, (int)rows[i].state, rows[i].error, (int)i, rows[i].handler);
		PROPERTY(sqlite_run(database, sql, &err));
		sqlite3_free(sql);
	}
}

/* --- by hand --- */

/* By recursion on the pattern: the plainest glob there is. */
static bool
plain_glob(const char *pattern, const char *text)
{
	if (*pattern == '*') {
		return plain_glob(pattern + 1, text) ||
		       (*text != '\0' && plain_glob(pattern, text + 1));
	}
	return *pattern == *text && (*pattern == '\0' || plain_glob(pattern + 1, text + 1));
}

static bool
takes_text(const char *pattern, const char *text)
{
	return pattern == NULL || (text != NULL && plain_glob(pattern, text));
}

static bool
takes_time(const struct filter *filter, const char *received_at)
{
	char since[CLOCK_TEXT_BYTES];
	char until[CLOCK_TEXT_BYTES];
	clock_text(filter->since_ns, since);
	clock_text(filter->until_ns, until);
	return (filter->since_ns == 0 || strcmp(received_at, since) >= 0) &&
	       (filter->until_ns == 0 || strcmp(received_at, until) <= 0);
}

static bool
takes_row(const struct filter *filter, const struct row *row)
{
	char whole_id[64];
	(void)snprintf(whole_id, sizeof(whole_id), "%s/%s", row->source, row->id);
	return takes_text(filter->source, row->source) && takes_text(filter->type, row->type) &&
	       takes_text(filter->handler, row->handler) && takes_text(filter->error, row->error) &&
	       (takes_text(filter->id, row->id) || takes_text(filter->id, whole_id)) &&
	       (filter->states == 0 || (filter->states & (1U << row->state)) != 0) &&
	       takes_time(filter, row->received_at);
}

/* The plain glob takes long for many stars. */
static bool
is_small(const char *pattern)
{
	size_t stars = 0;
	for (size_t i = 0; pattern != NULL && pattern[i] != '\0'; i++) {
		stars += pattern[i] == '*' ? 1 : 0;
	}
	return stars <= 6;
}

static void
compare_rows(const struct filter *filter)
{
	struct buffer sql;
	sqlite3_stmt *statement = NULL;
	unsigned taken = 0;
	if (!is_small(filter->source) || !is_small(filter->type) || !is_small(filter->handler) ||
	    !is_small(filter->error) || !is_small(filter->id)) {
		return;
	}
	buffer_init(&sql, 65536);
	buffer_text(&sql, "SELECT seq FROM events AS e JOIN delivery AS d USING (seq) "
	                  "JOIN handler AS h USING (seq) WHERE 1");
	filter_sql(filter, &sql);
	buffer_byte(&sql, '\0');
	PROPERTY(sqlite3_prepare_v2(database, sql.data, -1, &statement, NULL) == SQLITE_OK);
	filter_bind(filter, statement, 1);
	int code;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		taken |= 1U << (unsigned)sqlite3_column_int(statement, 0);
	}
	PROPERTY(code == SQLITE_DONE);
	for (size_t i = 0; i < COUNT(rows); i++) {
		PROPERTY(((taken >> i) & 1U) == (takes_row(filter, &rows[i]) ? 1U : 0U));
	}
	(void)sqlite3_finalize(statement);
	buffer_finish(&sql);
}

/* --- written and read --- */

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

/* A time is written in microseconds. */
static bool
same_time(int64_t a, int64_t b)
{
	char a_text[CLOCK_TEXT_BYTES];
	char b_text[CLOCK_TEXT_BYTES];
	clock_text(a, a_text);
	clock_text(b, b_text);
	return (a == 0) == (b == 0) && strcmp(a_text, b_text) == 0;
}

static bool
same_filter(const struct filter *a, const struct filter *b)
{
	return same_text(a->source, b->source) && same_text(a->type, b->type) &&
	       same_text(a->handler, b->handler) && same_text(a->error, b->error) &&
	       same_text(a->id, b->id) && a->states == b->states &&
	       same_time(a->since_ns, b->since_ns) && same_time(a->until_ns, b->until_ns);
}

static void
check_query(const struct filter *filter)
{
	struct buffer first;
	struct buffer second;
	struct filter again;
	struct error err;
	buffer_init(&first, 65536);
	buffer_init(&second, 65536);
	filter_init(&again);
	filter_query(filter, &first);
	PROPERTY(!first.failed);
	PROPERTY(filter_parse_query(&again, buffer_view(&first), NOW_NS / 2, &err));
	PROPERTY(same_filter(filter, &again) && filter->limit == again.limit);
	PROPERTY(filter_empty(filter) == filter_empty(&again));
	filter_query(&again, &second);
	PROPERTY(span_equal(buffer_view(&first), buffer_view(&second)));
	filter_finish(&again);
	buffer_finish(&second);
	buffer_finish(&first);
}

/* One word of a shell's line: quoted pieces and escaped bytes. */
static char *
take_word(struct span *line)
{
	struct buffer word;
	bool quoted = false;
	buffer_init(&word, 65536);
	while (line->size > 0 && line->data[0] == ' ') {
		(void)fuzz_take(line, 1);
	}
	while (line->size > 0 && (quoted || line->data[0] != ' ')) {
		char byte = fuzz_take(line, 1).data[0];
		if (byte == '\'') {
			quoted = !quoted;
		} else {
			PROPERTY(quoted || byte == '\\' || byte == '-' ||
			         (byte >= 'a' && byte <= 'z'));
			buffer_span(&word, !quoted && byte == '\\' ? fuzz_take(line, 1)
			                                           : (struct span){ &byte, 1 });
		}
	}
	PROPERTY(!quoted);
	return buffer_steal(&word);
}

static void
check_options(const struct filter *filter)
{
	struct buffer options;
	struct filter again;
	struct error err;
	buffer_init(&options, 65536);
	filter_init(&again);
	filter_options(filter, &options);
	struct span line = buffer_view(&options);
	while (line.size > 0) {
		char *name = take_word(&line);
		char *value = take_word(&line);
		PROPERTY(strncmp(name, "--", 2) == 0);
		PROPERTY(filter_set(&again, name + 2, value, NOW_NS / 2, &err));
		free(name);
		free(value);
	}
	PROPERTY(same_filter(filter, &again));
	filter_finish(&again);
	buffer_finish(&options);
}

/* A value that is cut at a NUL would be another filter. */
static void
check_nul(struct span query)
{
	struct filter filter;
	struct error err = { .kind = ERROR_NONE };
	struct buffer text;
	buffer_init(&text, query.size + 32);
	buffer_span(&text, query);
	buffer_text(&text, query.size == 0 ? "id=a%00b" : "&id=a%00b");
	filter_init(&filter);
	PROPERTY(!filter_parse_query(&filter, buffer_view(&text), NOW_NS, &err));
	filter_finish(&filter);
	buffer_finish(&text);
}

static bool
read_filter(struct filter *filter, struct span input, struct error *err)
{
	bool good = true;
	if (span_starts(input, SPAN("?"))) {
		char *query = fuzz_copy(span_after(input, 1));
		good = filter_parse_query(filter, (struct span){ query, input.size - 1 }, NOW_NS,
		                          err);
		if (good) {
			check_nul((struct span){ query, input.size - 1 });
		}
		free(query);
	}
	while (good && !span_starts(input, SPAN("?")) && input.size > 0) {
		struct span line = fuzz_take_until(&input, '\n');
		struct span name = fuzz_take_until(&line, '=');
		char *name_text = span_copy(name);
		char *value_text = span_copy(line);
		good = filter_set(filter, name_text, value_text, NOW_NS, err);
		if (good) { /* a bound that was given is one */
			PROPERTY(strcmp(name_text, "since") != 0 || filter->since_ns != 0);
			PROPERTY(strcmp(name_text, "until") != 0 || filter->until_ns != 0);
		}
		free(name_text);
		free(value_text);
	}
	return good;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct filter filter;
	struct error err = { .kind = ERROR_NONE };
	if (database == NULL) {
		make_database();
	}
	filter_init(&filter);
	bool good = read_filter(&filter, (struct span){ (const char *)data, size }, &err);
	PROPERTY(good ? err.kind == ERROR_NONE : err.kind == ERROR_INVALID && err.text[0] != '\0');
	if (good) {
		PROPERTY(filter.limit >= 0 && filter.states < 1U << DELIVERY_STATES);
		check_query(&filter);
		check_options(&filter);
		compare_rows(&filter);
	}
	filter_finish(&filter);
	return 0;
}
