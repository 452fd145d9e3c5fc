#include "receiver/verify/scheme.h"

static const struct {
	const char *word;
	enum scheme_token token;
} tokens[] = {
	{ "{timestamp}", SCHEME_TIMESTAMP }, { "{body}", SCHEME_BODY }, { "{id}", SCHEME_ID },
	{ "{method}", SCHEME_METHOD },       { "{path}", SCHEME_PATH }, { "{url}", SCHEME_URL },
};

bool
scheme_next_token(struct span *text, enum scheme_token *token, struct span *literal)
{
	if (text->size == 0) {
		return false;
	}
	for (size_t i = 0; i < COUNT(tokens); i++) {
		struct span word = span_of(tokens[i].word);
		if (span_starts(*text, word)) {
			*token = tokens[i].token;
			*text = span_after(*text, word.size);
			return true;
		}
	}
	size_t size = 1;
	while (size < text->size && text->data[size] != '{') {
		size++;
	}
	*token = SCHEME_LITERAL;
	*literal = (struct span){ text->data, size };
	*text = span_after(*text, size);
	return true;
}

bool
scheme_template_valid(struct span text, struct span *wrong)
{
	enum scheme_token token;
	struct span literal;
	while (scheme_next_token(&text, &token, &literal)) {
		if (token == SCHEME_LITERAL && literal.data[0] == '{') {
			*wrong = literal;
			return false;
		}
	}
	return true;
}

bool
scheme_signs(const struct scheme *scheme, enum scheme_token wanted)
{
	struct span text = span_of(scheme->signed_text);
	enum scheme_token token;
	struct span literal;
	while (scheme_next_token(&text, &token, &literal)) {
		if (token == wanted) {
			return true;
		}
	}
	return false;
}
