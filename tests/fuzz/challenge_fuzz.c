/* Endpoint checks: a byte for the check, lines for query and header, the body. An answer is well-formed whatever the sender
 * sent, is bounded, gives nothing without its proof, and hashes nothing that could be somebody's event. */
#include "receiver/verify/challenge.h"

#include <string.h>

#include <openssl/hmac.h>

#include "receiver/base/encoding.h"
#include "receiver/verify/form.h"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/json_walk.h"

#define REPLY_MOST ((size_t)CHALLENGE_MOST_BYTES * 8)
#define SECRET     "c2VjcmV0"
#define TOKEN      "token"

static struct secrets secrets;

struct answer {
	enum challenge_result result;
	struct buffer reply;
	struct buffer fields;
};

static void
ask(const struct challenge *challenge, const struct verify_request *request, struct span body,
    bool hashing, struct span token, struct answer *answer)
{
	buffer_init(&answer->reply, REPLY_MOST);
	buffer_init(&answer->fields, REPLY_MOST);
	answer->result =
		challenge_answer(challenge, request, body, hashing ? &secrets.items[0] : NULL,
	                         token, &answer->reply, &answer->fields);
}

static void
answer_finish(struct answer *answer)
{
	buffer_finish(&answer->reply);
	buffer_finish(&answer->fields);
}

static size_t
count_lines(struct span text)
{
	size_t lines = 0;
	for (size_t i = 0; i < text.size; i++) {
		lines += text.data[i] == '\n' ? 1 : 0;
	}
	return lines;
}

/* Header lines, as many as the row has, each whole. */
static void
check_fields(const struct challenge *challenge, struct span fields)
{
	PROPERTY(count_lines(fields) == count_lines(span_of(challenge->fields)));
	PROPERTY(fields.size == 0 ||
	         span_starts(span_after(fields, fields.size - 2), SPAN("\r\n")));
	for (size_t i = 0; i < fields.size; i++) {
		unsigned char byte = (unsigned char)fields.data[i];
		PROPERTY(byte != '\0' && byte != 0x7f && (byte >= 0x20 || strchr("\r\n\t", byte)));
		PROPERTY(byte != '\n' || (i > 0 && fields.data[i - 1] == '\r'));
		PROPERTY(byte != '\r' || (i + 1 < fields.size && fields.data[i + 1] == '\n'));
	}
}

/* What a row hashes stands here, by another way than the row's template; false: it hashes nothing. */
static bool
hashed_text(const struct challenge *challenge, const struct verify_request *request,
            const json_t *document, struct buffer *out)
{
	if (strcmp(challenge->name, "zoom") == 0) {
		const json_t *value = json_walk(document, SPAN("/payload/plainToken"));
		if (jansson_is(value, JANSSON_STRING)) {
			buffer_append(out, json_string_value(value), json_string_length(value));
		}
		return jansson_is(value, JANSSON_STRING);
	}
	return strcmp(challenge->name, "x") == 0 &&
	       form_find(request->query, SPAN("crc_token"), out);
}

static void
check_hash(const struct challenge *challenge, const struct verify_request *request,
           const json_t *document, struct span reply)
{
	struct buffer text;
	struct buffer wanted;
	unsigned char made[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	buffer_init(&text, REPLY_MOST);
	buffer_init(&wanted, REPLY_MOST);
	if (hashed_text(challenge, request, document, &text)) {
		PROPERTY(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET),
		              (const unsigned char *)text.data, text.size, made, &size) != NULL);
		if (challenge->reply[2] == 'r') {
			base64_encode(&wanted, made, size);
		} else {
			hex_encode(&wanted, made, size);
		}
		PROPERTY(memmem(reply.data, reply.size, wanted.data, wanted.size) != NULL);
		PROPERTY(challenge->proof != CHALLENGE_OPEN ||
		         challenge_made(challenge, buffer_view(&text)));
	}
	buffer_finish(&text);
	buffer_finish(&wanted);
}

static void
check_answer(const struct challenge *challenge, const struct verify_request *request,
             struct span body, const struct answer *answer)
{
	struct span reply = buffer_view(&answer->reply);
	PROPERTY(!answer->reply.failed && !answer->fields.failed);
	check_fields(challenge, buffer_view(&answer->fields));
	json_t *document =
		json_loadb(body.data, body.size,
	                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	if (strcmp(challenge->content_type, "application/json") == 0) {
		json_t *parsed = json_loadb(reply.data, reply.size, JSON_ALLOW_NUL, NULL);
		PROPERTY(parsed != NULL || reply.size == 0);
		json_decref(parsed);
	} else {
		PROPERTY(utf8_valid(reply) && reply.size <= CHALLENGE_MOST_BYTES);
	}
	check_hash(challenge, request, document, reply);
	json_decref(document);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = { (const char *)data, size };
	struct span digit = fuzz_take(&input, 1);
	struct span query = fuzz_take_until(&input, '\n');
	struct span value = fuzz_take_until(&input, '\n');
	size_t count = 0;
	struct error err;
	while (challenges[count].name != NULL) {
		count++;
	}
	if (secrets.count == 0) {
		PROPERTY(secrets_add(&secrets, SCHEME_KEY_RAW, SPAN(SECRET), 0, &err));
	}
	const struct challenge *challenge =
		&challenges[digit.size == 0 ? 0 : (unsigned char)digit.data[0] % count];
	bool header = challenge->mark == CHALLENGE_BY_HEADER;
	char *value_copy = fuzz_copy(value);
	for (size_t i = 0; i < value.size; i++) { /* as the parser lets it through */
		unsigned char byte = (unsigned char)value_copy[i];
		value_copy[i] = (byte < 0x20 && byte != '\t') || byte == 0x7f ? '.' : value_copy[i];
	}
	char *query_copy = fuzz_copy(query);
	char *body_copy = fuzz_copy(input);
	struct span body = { body_copy, input.size };
	struct field fields[] = { { span_of(header ? challenge->mark_name : "X-Other"),
		                    span_trim((struct span){ value_copy, value.size }) } };
	struct verify_request request = { .method = span_of(challenge->method),
		                          .path = SPAN("/"),
		                          .query = { query_copy, query.size },
		                          .fields = { fields, COUNT(fields) } };
	if (challenge_is(challenge, &request, body)) {
		struct answer answer;
		struct answer other;
		ask(challenge, &request, body, true, SPAN(TOKEN), &answer);
		if (answer.result == CHALLENGE_ANSWERED) {
			check_answer(challenge, &request, body, &answer);
		}
		/* The same request where another token is wanted, or no secret is there. */
		ask(challenge, &request, body, true, SPAN("another"), &other);
		PROPERTY(challenge->proof != CHALLENGE_VERIFY_TOKEN ||
		         answer.result != CHALLENGE_ANSWERED ||
		         other.result == CHALLENGE_PROOF_WRONG);
		PROPERTY(challenge->proof == CHALLENGE_VERIFY_TOKEN ||
		         other.result == answer.result);
		answer_finish(&other);
		ask(challenge, &request, body, false, SPAN(TOKEN), &other);
		PROPERTY(!challenge_hashes(challenge) || other.result != CHALLENGE_ANSWERED);
		answer_finish(&other);
		answer_finish(&answer);
	}
	free(body_copy);
	free(query_copy);
	free(value_copy);
	return 0;
}
