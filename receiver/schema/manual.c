#include <string.h>

#include "receiver/schema/row.h"

static const char *
kind_word(enum schema_kind kind)
{
	switch (kind) {
	case SCHEMA_BOOL: return "boolean";
	case SCHEMA_INTEGER: return "integer";
	case SCHEMA_DECIMAL: return "number";
	case SCHEMA_DURATION: return "duration";
	case SCHEMA_SIZE: return "size";
	case SCHEMA_RATE: return "rate";
	case SCHEMA_TEXT: return "text";
	case SCHEMA_WORD: return "word";
	case SCHEMA_TEXTS: return "list of texts";
	case SCHEMA_MAP: return "map";
	case SCHEMA_LIST: return "list of maps";
	case SCHEMA_NAMED: return "map of names";
	case SCHEMA_GLOBS: return "map of JSON pointers";
	}
	return "";
}

#define LINE_MOST_BYTES 80 /* mandoc(1) -T lint asks for it */

/* Text for mdoc(7): a backslash is \e, a sentence ends its line, and no line is long or begins as a macro does. */
static void
prose(struct buffer *out, const char *text)
{
	size_t width = 0;
	for (const char *at = text; *at != '\0';) {
		const char *end = strchrnul(at, ' ');
		size_t word = (size_t)(end - at);
		if (width > 0 && width + 1 + word > LINE_MOST_BYTES && *at != '.' && *at != '\'') {
			buffer_byte(out, '\n');
			width = 0;
		} else if (width > 0) {
			buffer_byte(out, ' ');
			width++;
		}
		for (const char *byte = at; byte < end; byte++) {
			buffer_text(out, *byte == '\\' ? "\\e" : (char[]){ *byte, '\0' });
		}
		width += word;
		bool sentence = word > 1 && end[-1] == '.' && end[-2] != '.';
		if (sentence && *end != '\0') {
			buffer_byte(out, '\n');
			width = 0;
		}
		at = *end == ' ' ? end + 1 : end;
	}
	buffer_byte(out, '\n');
}

static void
facts(struct buffer *out, const struct schema_row *row)
{
	if (row->words != NULL) {
		buffer_text(out, "One of");
		for (size_t i = row->words[0][0] == '\0' ? 1 : 0; row->words[i] != NULL; i++) {
			buffer_format(out, "\n.Cm %s%s", row->words[i],
			              row->words[i + 1] == NULL ? " ." : " ,");
		}
		buffer_byte(out, '\n');
	}
	if (row->least != NULL || row->most != NULL) {
		buffer_format(out, "At %s %s", row->least != NULL ? "least" : "most",
		              row->least != NULL ? row->least : row->most);
		if (row->least != NULL && row->most != NULL) {
			buffer_format(out, ", at most %s", row->most);
		}
		buffer_text(out, ".\n");
	}
	if (row->fallback != NULL) {
		buffer_text(out, "Default: ");
		prose(out, row->fallback);
	}
	if (row->required) {
		buffer_text(out, "Required.\n");
	}
}

void
schema_manual(struct buffer *out, const struct schema_row *rows)
{
	buffer_text(out, ".Bl -tag -width Ds\n");
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		if (row->later) {
			continue;
		}
		buffer_format(out, ".It Ic %s Pq %s\n", row->name, kind_word(row->kind));
		prose(out, row->text == NULL ? "" : row->text);
		facts(out, row);
		if (row->rows != NULL && row->rows[0].name != NULL) {
			schema_manual(out, row->rows);
		}
	}
	buffer_text(out, ".El\n");
}
