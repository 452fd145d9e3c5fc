/* The request parser by itself, to be compared with another one: reads requests from stdin, each behind its size in four
 * bytes (big-endian), and says in one line of JSON what becomes of it. Texts are in hex: they may be any bytes.
 *
 *   {"is":"done","method":"…","target":"…","minor":1,"keep_alive":true,"fields":[["…","…"]],"body":"…","end":123}
 *   {"is":"more"}                 good so far, and not all of it
 *   {"is":"bad","why":"…"}        400
 *   {"is":"large"}                413 or 431 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "receiver/net/http1_body.h"

#define REQUEST_MOST (1U << 20)
#define HEAD_MOST    16384 /* the receiver's own limits */
#define BODY_MOST    (1 << 18)
#define FIELDS_MOST  100

static unsigned char request[REQUEST_MOST];
static char content[BODY_MOST];

static void
print_hex(struct span text)
{
	(void)putchar('"');
	for (size_t i = 0; i < text.size; i++) {
		(void)printf("%02x", (unsigned)(unsigned char)text.data[i]);
	}
	(void)putchar('"');
}

static void
print_refused(enum http1_status status, const char *wrong)
{
	if (status == HTTP1_MORE) {
		(void)printf("{\"is\":\"more\"}\n");
	} else if (status == HTTP1_TOO_LARGE) {
		(void)printf("{\"is\":\"large\"}\n");
	} else {
		(void)printf("{\"is\":\"bad\",\"why\":\"%s\"}\n", wrong);
	}
}

static void
print_done(const struct http1_head *head, const char *data, struct span body, size_t end)
{
	(void)printf("{\"is\":\"done\",\"method\":");
	print_hex(http1_slice_span(head->method, data));
	(void)printf(",\"target\":");
	print_hex(http1_slice_span(head->target, data));
	(void)printf(",\"minor\":%d,\"keep_alive\":%s,\"fields\":[", head->minor,
	             head->keep_alive ? "true" : "false");
	for (size_t i = 0; i < head->count; i++) {
		(void)printf("%s[", i == 0 ? "" : ",");
		print_hex(http1_slice_span(head->names[i], data));
		(void)putchar(',');
		print_hex(http1_slice_span(head->values[i], data));
		(void)putchar(']');
	}
	(void)printf("],\"body\":");
	print_hex(body);
	(void)printf(",\"end\":%zu}\n", end);
}

/* What the body comes to; its content is in `content`. */
static enum http1_status
read_body(struct http1_body *body, struct span text, size_t *size, size_t *used)
{
	enum http1_status status = http1_body_ended(body) ? HTTP1_DONE : HTTP1_MORE;
	*size = 0;
	*used = 0;
	while (status == HTTP1_MORE && *used < text.size) {
		size_t consumed = 0;
		struct span piece = { NULL, 0 };
		status = http1_body_take(body, text.data + *used, text.size - *used, &consumed,
		                         &piece);
		if (status == HTTP1_BAD || status == HTTP1_TOO_LARGE) {
			break;
		}
		if (piece.size > BODY_MOST - *size) {
			return HTTP1_TOO_LARGE;
		}
		memcpy(content + *size, piece.data, piece.size);
		*size += piece.size;
		*used += consumed;
	}
	bool larger = http1_body_direct(body) > BODY_MOST - *size;
	return status == HTTP1_MORE && larger ? HTTP1_TOO_LARGE : status;
}

static void
judge(struct span text)
{
	static struct http1_head head;
	static struct http1_body body;
	http1_head_init(&head);
	enum http1_status status =
		http1_head_parse(&head, text.data, text.size, HEAD_MOST, FIELDS_MOST);
	if (status != HTTP1_DONE) {
		print_refused(status, head.wrong);
		return;
	}
	size_t size;
	size_t used;
	http1_body_init(&body, &head);
	status = read_body(&body, span_after(text, head.size), &size, &used);
	if (status != HTTP1_DONE) {
		print_refused(status, body.wrong);
		return;
	}
	print_done(&head, text.data, (struct span){ content, size }, head.size + used);
}

int
main(void)
{
	unsigned char prefix[4];
	while (fread(prefix, 1, sizeof(prefix), stdin) == sizeof(prefix)) {
		size_t size = (size_t)prefix[0] << 24U | (size_t)prefix[1] << 16U |
		              (size_t)prefix[2] << 8U | prefix[3];
		if (size > REQUEST_MOST || fread(request, 1, size, stdin) != size) {
			(void)fprintf(stderr, "parser: a request is cut or too large\n");
			return EXIT_FAILURE;
		}
		judge((struct span){ (const char *)request, size });
	}
	return ferror(stdin) || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
