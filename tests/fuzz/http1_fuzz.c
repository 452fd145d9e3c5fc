/* A request, head and body: whatever the bytes are, split anywhere they mean the same as whole. */
#include <string.h>

#include "receiver/net/http1_body.h"

#include "tests/fuzz/fuzz.h"

#define BYTES_MOST  2048 /* small limits, so that they are met */
#define COUNT_MOST  8
#define SPLITS_ALL  160 /* up to this size every split is tried */
#define SPLITS_SOME 24

struct message {
	struct http1_head head;
	enum http1_status head_status;
	enum http1_status body_status;
	struct buffer content;
	size_t used; /* of the bytes behind the head */
	const char *wrong;
};

static bool
same_slice(struct http1_slice a, struct http1_slice b)
{
	return a.at == b.at && a.size == b.size;
}

static bool
same_words(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool
same_head(const struct http1_head *a, const struct http1_head *b)
{
	bool same = same_slice(a->method, b->method) && same_slice(a->target, b->target) &&
	            same_slice(a->path, b->path) && same_slice(a->query, b->query) &&
	            a->minor == b->minor && a->count == b->count && a->size == b->size &&
	            a->has_length == b->has_length && a->length == b->length &&
	            a->chunked == b->chunked && a->keep_alive == b->keep_alive &&
	            a->expect_continue == b->expect_continue;
	for (size_t i = 0; same && i < a->count; i++) {
		same = same_slice(a->names[i], b->names[i]) &&
		       same_slice(a->values[i], b->values[i]);
	}
	return same;
}

static bool
same_message(const struct message *a, const struct message *b)
{
	if (a->head_status != b->head_status) {
		return false;
	}
	if (a->head_status == HTTP1_BAD) {
		return same_words(a->head.wrong, b->head.wrong);
	}
	if (a->head_status != HTTP1_DONE) {
		return true;
	}
	bool ended = a->body_status == HTTP1_MORE || a->body_status == HTTP1_DONE;
	return same_head(&a->head, &b->head) && a->body_status == b->body_status &&
	       span_equal(buffer_view(&a->content), buffer_view(&b->content)) &&
	       same_words(a->wrong, b->wrong) && (!ended || a->used == b->used);
}

static void
feed_body(struct http1_body *body, struct span piece, struct message *message)
{
	while (piece.size > 0 && message->body_status == HTTP1_MORE) {
		size_t consumed = 0;
		struct span content = { 0 };
		message->body_status =
			http1_body_take(body, piece.data, piece.size, &consumed, &content);
		message->wrong = body->wrong;
		if (message->body_status == HTTP1_BAD || message->body_status == HTTP1_TOO_LARGE) {
			return;
		}
		PROPERTY(consumed > 0 && consumed <= piece.size);
		PROPERTY(content.size == 0 ||
		         (content.data >= piece.data &&
		          content.data + content.size <= piece.data + consumed));
		buffer_span(&message->content, content);
		message->used += consumed;
		piece = span_after(piece, consumed);
	}
}

/* Reads the message in pieces of `step` bytes, the first one of `first`. */
static void
read_message(struct span text, size_t first, size_t step, struct message *message)
{
	static struct http1_body body;
	message->head_status = HTTP1_MORE;
	message->body_status = HTTP1_MORE;
	message->used = 0;
	message->wrong = NULL;
	buffer_init(&message->content, text.size + 1);
	http1_head_init(&message->head);
	size_t size = first < text.size ? first : text.size;
	size_t fed = 0;
	bool in_body = false;
	for (;;) {
		char *copy = fuzz_copy((struct span){ text.data, size });
		if (!in_body) {
			message->head_status = http1_head_parse(&message->head, copy, size,
			                                        BYTES_MOST, COUNT_MOST);
			if (message->head_status == HTTP1_DONE) {
				PROPERTY(message->head.size <= size);
				http1_body_init(&body, &message->head);
				message->body_status =
					http1_body_ended(&body) ? HTTP1_DONE : HTTP1_MORE;
				fed = message->head.size;
				in_body = true;
			}
		}
		if (in_body) {
			feed_body(&body, (struct span){ copy + fed, size - fed }, message);
			fed = size;
		}
		free(copy);
		bool over = message->head_status == HTTP1_BAD ||
		            message->head_status == HTTP1_TOO_LARGE ||
		            message->body_status != HTTP1_MORE;
		if (over || size == text.size) {
			return;
		}
		size = text.size - size < step ? text.size : size + step;
	}
}

/* What the parser promises of a good head. */
static void
check_head(const struct http1_head *head, struct span text)
{
	struct field items[HTTP1_FIELDS_MOST];
	struct fields fields = http1_head_fields(head, text.data, items);
	struct span ignored;
	PROPERTY(head->size <= BYTES_MOST && head->count <= COUNT_MOST);
	PROPERTY(!(head->chunked && head->has_length));
	PROPERTY(!head->chunked || head->minor == 1);
	PROPERTY(fields_find(fields, SPAN("Host"), &ignored) == 1 || head->minor == 0);
	PROPERTY(fields_find(fields, SPAN("Content-Length"), &ignored) <= 1);
	PROPERTY(fields_find(fields, SPAN("Transfer-Encoding"), &ignored) <= 1);
	for (size_t i = 0; i < fields.count; i++) {
		PROPERTY(items[i].name.size > 0);
		for (size_t j = 0; j < items[i].value.size; j++) {
			char byte = items[i].value.data[j];
			PROPERTY(byte != '\0' && byte != '\r' && byte != '\n');
		}
	}
	struct span path = http1_slice_span(head->path, text.data);
	PROPERTY(path.size > 0 && (path.data[0] == '/' || span_equal(path, SPAN("*"))));
	PROPERTY(memchr(path.data, '?', path.size) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct message whole;
	static struct message pieces;
	struct span text = { (const char *)data, size };
	read_message(text, size, size + 1, &whole);
	if (whole.head_status == HTTP1_DONE) {
		check_head(&whole.head, text);
	}
	size_t splits = size <= SPLITS_ALL ? size : SPLITS_SOME;
	for (size_t i = 0; i < splits; i++) {
		/* Spread over the text, and other ones for another size. */
		size_t split = size <= SPLITS_ALL ? i : (i * 2654435761U + size) % size;
		read_message(text, split, size + 1, &pieces);
		PROPERTY(same_message(&whole, &pieces));
		buffer_finish(&pieces.content);
	}
	read_message(text, 1, 1, &pieces);
	PROPERTY(same_message(&whole, &pieces));
	buffer_finish(&pieces.content);
	buffer_finish(&whole.content);
	return 0;
}
