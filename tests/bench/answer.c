#include "tests/bench/answer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
answer_init(struct answer *answer)
{
	answer->head_have = 0;
	answer->seen = 0;
	answer->whole = 0;
	answer->status = 0;
	answer->close = false;
	answer->later = false;
	answer->word[0] = '\0';
}

bool
answer_complete(const struct answer *answer)
{
	return answer->whole != 0 && answer->seen == answer->whole;
}

static void
answer_header(struct answer *answer, const char *name, size_t name_len, const char *value,
              size_t len)
{
	static const char result[] = "Hooklatch-Result";
	static const char connection[] = "Connection";
	static const char retry_after[] = "Retry-After";
	if (name_len == sizeof(result) - 1 && strncasecmp(name, result, name_len) == 0) {
		snprintf(answer->word, sizeof(answer->word), "%.*s", (int)len, value);
	} else if (name_len == sizeof(connection) - 1 &&
	           strncasecmp(name, connection, name_len) == 0) {
		answer->close = len == 5 && strncasecmp(value, "close", 5) == 0;
	} else if (name_len == sizeof(retry_after) - 1 &&
	           strncasecmp(name, retry_after, name_len) == 0) {
		answer->later = len > 0 && strspn(value, "0123456789") == len;
	}
}

/* The head is complete and `head_len` bytes long. */
static bool
answer_read_head(struct answer *answer, size_t head_len)
{
	static const char length[] = "Content-Length";
	const char *at = answer->head;
	const char *end = at + head_len - 2; /* before the empty line */
	bool length_known = false;
	uint64_t body_len = 0;
	if (head_len < 16 || strncmp(at, "HTTP/1.1 ", 9) != 0) {
		return false;
	}
	answer->status = (unsigned)strtoul(at + 9, NULL, 10);
	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && ++at < end) {
		const char *line_end = memchr(at, '\r', (size_t)(end - at) + 1);
		const char *colon =
			line_end == NULL ? NULL : memchr(at, ':', (size_t)(line_end - at));
		if (colon == NULL) {
			return false;
		}
		size_t name_len = (size_t)(colon - at);
		const char *value = colon + 1;
		while (value < line_end && *value == ' ') {
			value++;
		}
		if (name_len == sizeof(length) - 1 && strncasecmp(at, length, name_len) == 0) {
			body_len = strtoull(value, NULL, 10);
			length_known = true;
		}
		answer_header(answer, at, name_len, value, (size_t)(line_end - value));
		at = line_end;
	}
	answer->whole = head_len + body_len;
	return length_known;
}

bool
answer_feed(struct answer *answer, const char *bytes, size_t count)
{
	answer->seen += count;
	if (answer->whole == 0) {
		size_t room = sizeof(answer->head) - 1 - answer->head_have;
		size_t take = count < room ? count : room;
		memcpy(answer->head + answer->head_have, bytes, take);
		answer->head_have += take;
		answer->head[answer->head_have] = '\0';
		const char *blank = memmem(answer->head, answer->head_have, "\r\n\r\n", 4);
		if (blank == NULL) {
			return take < room;
		}
		if (!answer_read_head(answer, (size_t)(blank - answer->head) + 4)) {
			return false;
		}
	}
	return answer->seen <= answer->whole;
}
