#include "receiver/schema/problems.h"

#include <stdio.h>
#include <stdlib.h>

#define NEAR_MOST_BYTES 64

void
problems_init(struct problems *problems, struct arena *arena, const char *file, struct span source)
{
	*problems = (struct problems){ .arena = arena, .file = file, .source = source };
}

static void PRINTF(4, 0) add(struct problems *problems, struct place place, bool warning,
                             const char *format, va_list arguments)
{
	problems->errors += warning ? 0 : 1;
	if (problems->count >= PROBLEMS_MOST) {
		problems->untold++;
		return;
	}
	char text[ERROR_TEXT_BYTES];
	(void)vsnprintf(text, sizeof(text), format, arguments);
	void *items = problems->items;
	struct problem *problem =
		arena_append(problems->arena, &items, &problems->count, sizeof(*problem));
	problems->items = items;
	*problem = (struct problem){ place, warning, arena_text(problems->arena, span_of(text)) };
}

void
problems_add(struct problems *problems, struct place place, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add(problems, place, false, format, arguments);
	va_end(arguments);
}

void
problems_warn(struct problems *problems, struct place place, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add(problems, place, true, format, arguments);
	va_end(arguments);
}

static int
compare_places(const void *left, const void *right)
{
	const struct problem *a = left;
	const struct problem *b = right;
	if (a->place.line != b->place.line) {
		return a->place.line < b->place.line ? -1 : 1;
	}
	return (a->place.column > b->place.column) - (a->place.column < b->place.column);
}

static struct span
source_line(struct span source, int line)
{
	for (int at = 1; at < line; at++) {
		size_t end = 0;
		while (end < source.size && source.data[end] != '\n') {
			end++;
		}
		if (end == source.size) {
			return (struct span){ 0 };
		}
		source = span_after(source, end + 1);
	}
	size_t end = 0;
	while (end < source.size && source.data[end] != '\n' && source.data[end] != '\r') {
		end++;
	}
	return (struct span){ source.data, end };
}

static void
print_caret(struct buffer *out, struct span line, struct place place)
{
	buffer_text(out, "    ");
	size_t column = 1;
	for (size_t i = 0; i < line.size && column < (size_t)place.column; i++) {
		if (((unsigned char)line.data[i] & 0xc0U) != 0x80U) { /* a character, not a byte */
			buffer_byte(out, line.data[i] == '\t' ? '\t' : ' ');
			column++;
		}
	}
	buffer_byte(out, '^');
	for (int i = 1; i < place.width; i++) {
		buffer_byte(out, '~');
	}
	buffer_byte(out, '\n');
}

void
problems_hide(struct problems *problems, int line)
{
	if (problems->hidden_count < PROBLEMS_HIDDEN_MOST) {
		problems->hidden[problems->hidden_count++] = line;
	}
}

static bool
is_hidden(const struct problems *problems, int line)
{
	for (size_t i = 0; i < problems->hidden_count; i++) {
		if (problems->hidden[i] == line) {
			return true;
		}
	}
	return problems->hidden_count == PROBLEMS_HIDDEN_MOST;
}

void
problems_print(struct problems *problems, struct buffer *out)
{
	if (problems->count > 1) {
		qsort(problems->items, problems->count, sizeof(problems->items[0]), compare_places);
	}
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *problem = &problems->items[i];
		const char *kind = problem->warning ? "warning" : "error";
		if (problem->place.line == 0) {
			buffer_format(out, "%s: %s: %s\n", problems->file, kind, problem->text);
			continue;
		}
		buffer_format(out, "%s:%d:%d: %s: %s\n", problems->file, problem->place.line,
		              problem->place.column, kind, problem->text);
		struct span line = source_line(problems->source, problem->place.line);
		if (line.size > 0 && line.size < 400 && !is_hidden(problems, problem->place.line)) {
			buffer_text(out, "    ");
			buffer_span(out, line);
			buffer_byte(out, '\n');
			print_caret(out, line, problem->place);
		}
	}
	if (problems->untold > 0) {
		buffer_format(out, "%s: and %zu more\n", problems->file, problems->untold);
	}
}

/* Levenshtein's distance with transpositions, for short words. */
static size_t
distance(struct span a, struct span b)
{
	size_t rows[3][NEAR_MOST_BYTES + 1];
	for (size_t j = 0; j <= b.size; j++) {
		rows[0][j] = j;
	}
	for (size_t i = 1; i <= a.size; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i - 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= b.size; j++) {
			size_t best = above[j - 1] + (a.data[i - 1] == b.data[j - 1] ? 0 : 1);
			best = above[j] + 1 < best ? above[j] + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
			    a.data[i - 2] == b.data[j - 1] && rows[(i - 2) % 3][j - 2] + 1 < best) {
				best = rows[(i - 2) % 3][j - 2] + 1;
			}
			row[j] = best;
		}
	}
	return rows[a.size % 3][b.size];
}

const char *
problems_nearest(struct span text, const char *const *words)
{
	const char *nearest = NULL;
	size_t least = text.size < 4 ? 2 : text.size / 3 + 2; /* a third of it may be wrong */
	for (; text.size <= NEAR_MOST_BYTES && *words != NULL; words++) {
		struct span word = span_of(*words);
		if (word.size > NEAR_MOST_BYTES) {
			continue;
		}
		size_t far = distance(text, word);
		if (far < least) {
			least = far;
			nearest = *words;
		}
	}
	return nearest;
}
