#include "receiver/verify/scheme.h"

static const struct {
	const char *word;
	enum scheme_token token;
	bool argument;
} tokens[] = {
	{ "{timestamp}", SCHEME_TIMESTAMP, false },
	{ "{body}", SCHEME_BODY, false },
	{ "{id}", SCHEME_ID, false },
	{ "{method}", SCHEME_METHOD, false },
	{ "{path}", SCHEME_PATH, false },
	{ "{query}", SCHEME_QUERY, false },
	{ "{url}", SCHEME_URL, false },
	{ "{sorted_form_params}", SCHEME_FORM, false },
	{ "{webhook_id}", SCHEME_WEBHOOK_ID, false },
	{ "{crc32}", SCHEME_CRC32, false },
	{ "{json:", SCHEME_JSON, true },
	{ "{header:", SCHEME_HEADER, true },
	{ "{signed_headers:", SCHEME_SIGNED_HEADERS, true },
};

static bool
take_argument(struct span *text, struct span *argument)
{
	size_t size = 0;
	while (size < text->size && text->data[size] != '}') {
		size++;
	}
	if (size == text->size || size == 0) {
		return false;
	}
	*argument = (struct span){ text->data, size };
	*text = span_after(*text, size + 1);
	return true;
}

bool
scheme_next_piece(struct span *text, struct scheme_piece *piece)
{
	if (text->size == 0) {
		return false;
	}
	for (size_t i = 0; i < COUNT(tokens); i++) {
		struct span word = span_of(tokens[i].word);
		if (!span_starts(*text, word)) {
			continue;
		}
		struct span rest = span_after(*text, word.size);
		piece->text = (struct span){ 0 };
		if (tokens[i].argument && !take_argument(&rest, &piece->text)) {
			break;
		}
		piece->token = tokens[i].token;
		*text = rest;
		return true;
	}
	size_t size = 1;
	while (size < text->size && text->data[size] != '{') {
		size++;
	}
	piece->token = SCHEME_LITERAL;
	piece->text = (struct span){ text->data, size };
	*text = span_after(*text, size);
	return true;
}

bool
scheme_template_valid(struct span text, struct span *wrong)
{
	struct scheme_piece piece;
	while (scheme_next_piece(&text, &piece)) {
		if (piece.token == SCHEME_LITERAL && piece.text.data[0] == '{') {
			*wrong = piece.text;
			return false;
		}
	}
	return true;
}

bool
scheme_signs(const struct scheme *scheme, enum scheme_token wanted)
{
	struct span text = span_of(scheme->signed_text);
	struct scheme_piece piece;
	while (scheme_next_piece(&text, &piece)) {
		if (piece.token == wanted) {
			return true;
		}
	}
	return false;
}

bool
scheme_body_signed(const struct scheme *scheme)
{
	return scheme->algorithm == SCHEME_JWT || scheme->algorithm == SCHEME_SNS ||
	       scheme->body_hash_query != NULL || scheme_signs(scheme, SCHEME_BODY) ||
	       scheme_signs(scheme, SCHEME_FORM);
}

bool
scheme_time_signed(const struct scheme *scheme)
{
	switch (scheme->timestamp.from) {
	case SCHEME_FROM_JSON:
		return scheme_body_signed(scheme) || scheme_signs(scheme, SCHEME_TIMESTAMP);
	case SCHEME_FROM_HEADER:
		return scheme_signs(scheme, SCHEME_TIMESTAMP) ||
		       scheme_signs(scheme, SCHEME_SIGNED_HEADERS);
	case SCHEME_FROM_SIGNATURE: return scheme_signs(scheme, SCHEME_TIMESTAMP);
	case SCHEME_NOWHERE:
	case SCHEME_FROM_PARTS:
	case SCHEME_FROM_FORM:
	case SCHEME_CONSTANT:
	case SCHEME_GENERATED: break;
	}
	return scheme->algorithm == SCHEME_JWT;
}

bool
scheme_id_signed(const struct scheme *scheme)
{
	const struct scheme_value *id =
		scheme->events.array != NULL ? &scheme->events.id : &scheme->id;
	switch (id->from) {
	case SCHEME_FROM_HEADER: return scheme_signs(scheme, SCHEME_ID);
	case SCHEME_FROM_JSON:
	case SCHEME_FROM_PARTS:
	case SCHEME_FROM_FORM: return scheme_body_signed(scheme);
	case SCHEME_NOWHERE:
	case SCHEME_FROM_SIGNATURE:
	case SCHEME_CONSTANT:
	case SCHEME_GENERATED: break;
	}
	return false;
}

bool
scheme_has_secrets(const struct scheme *scheme)
{
	switch (scheme->algorithm) {
	case SCHEME_SHA256:
	case SCHEME_SHA1:
	case SCHEME_TOKEN:
	case SCHEME_ITEMS: return true;
	case SCHEME_ED25519:
	case SCHEME_ECDSA_P256_SHA256:
	case SCHEME_RSA_SHA256:
	case SCHEME_SNS:
	case SCHEME_JWT: break;
	}
	return false;
}

bool
scheme_media_type_is(struct span content_type, const char *media_type)
{
	size_t size = 0;
	while (size < content_type.size && content_type.data[size] != ';') {
		size++;
	}
	return span_equal_nocase(span_trim((struct span){ content_type.data, size }),
	                         span_of(media_type));
}

const struct scheme_mode *
scheme_mode_of(const struct scheme *scheme, struct span content_type)
{
	for (const struct scheme_mode *mode = scheme->modes;
	     mode != NULL && mode->media_type != NULL; mode++) {
		if (scheme_media_type_is(content_type, mode->media_type)) {
			return mode;
		}
	}
	return NULL;
}
