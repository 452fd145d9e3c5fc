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

/* Text for mdoc(7): a backslash is \e, and a sentence ends its line. */
static void
prose(struct buffer *out, const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == '\\') {
			buffer_text(out, "\\e");
		} else if (at[0] == '.' && at[1] == ' ' && at > text && at[-1] != '.') {
			buffer_text(out, ".\n");
			at++;
		} else {
			buffer_byte(out, *at);
		}
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
