#include "receiver/net/http1_body.h"

void
http1_body_init(struct http1_body *body, const struct http1_head *head)
{
	body->left = head->chunked ? 0 : head->length;
	body->state = head->chunked ? HTTP1_CHUNK_SIZE
	                            : (head->length > 0 ? HTTP1_BODY_LENGTH : HTTP1_BODY_END);
	body->digits = 0;
	body->overhead = 0;
	body->line_size = 0;
	body->wrong = NULL;
}

static enum http1_status
bad(struct http1_body *body, const char *wrong)
{
	body->wrong = wrong;
	return HTTP1_BAD;
}

static int
hex_value(char byte)
{
	if (byte >= '0' && byte <= '9') {
		return byte - '0';
	}
	if (byte >= 'a' && byte <= 'f') {
		return byte - 'a' + 10;
	}
	return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

static enum http1_status
take_size(struct http1_body *body, char byte)
{
	int digit = hex_value(byte);
	if (digit >= 0) {
		if (body->digits == 15) {
			return bad(body, "a chunk size that is too long");
		}
		body->digits++;
		body->left = body->left * 16 + digit;
		return HTTP1_MORE;
	}
	if (body->digits == 0) {
		return bad(body, "a chunk without a size");
	}
	if (byte == '\r') {
		body->state = HTTP1_CHUNK_SIZE_LF;
		return HTTP1_MORE;
	}
	if (byte == ';') {
		body->digits = 0;
		body->state = HTTP1_CHUNK_EXTENSION;
		return HTTP1_MORE;
	}
	return bad(body, "a chunk size that is no hexadecimal number");
}

/* RFC 9110 section 5.6.4: qdtext, or what may stand behind a backslash. */
static bool
is_quotable(char byte)
{
	unsigned char code = (unsigned char)byte;
	return byte == '\t' || (code >= 0x20 && code != 0x7f);
}

/* What follows a whole name, value or quoted value: another extension, or the line's end. */
static bool
ends_extension(struct http1_body *body, char byte)
{
	body->digits = 0;
	body->state = byte == ';' ? HTTP1_CHUNK_EXTENSION : HTTP1_CHUNK_SIZE_LF;
	return byte == ';' || byte == '\r';
}

/* RFC 9112 section 7.1.1, without its bad whitespace: *( ";" token [ "=" ( token / quoted-string ) ] ) CRLF */
static bool
extension_goes_on(struct http1_body *body, char byte)
{
	bool name = body->state == HTTP1_CHUNK_EXTENSION;
	if (body->state == HTTP1_CHUNK_QUOTED_END) {
		return ends_extension(body, byte);
	}
	if (body->state == HTTP1_CHUNK_QUOTED_PAIR) {
		body->state = HTTP1_CHUNK_QUOTED;
		return is_quotable(byte);
	}
	if (body->state == HTTP1_CHUNK_QUOTED) {
		body->state = byte == '"'    ? HTTP1_CHUNK_QUOTED_END
		              : byte == '\\' ? HTTP1_CHUNK_QUOTED_PAIR
		                             : HTTP1_CHUNK_QUOTED;
		return is_quotable(byte);
	}
	if (http1_is_token(byte)) {
		body->digits++;
		return true;
	}
	if (body->digits == 0) {
		body->state = HTTP1_CHUNK_QUOTED;
		return !name && byte == '"';
	}
	if (name && byte == '=') {
		body->digits = 0;
		body->state = HTTP1_CHUNK_VALUE;
		return true;
	}
	return ends_extension(body, byte);
}

static enum http1_status
take_extension(struct http1_body *body, char byte)
{
	if (++body->overhead > HTTP1_EXTENSIONS_MOST_BYTES) {
		return bad(body, "chunk extensions without end");
	}
	return extension_goes_on(body, byte) ? HTTP1_MORE
	                                     : bad(body, "a chunk extension that is none");
}

static enum http1_status
take_size_end(struct http1_body *body, char byte)
{
	if (byte != '\n') {
		return bad(body, "a chunk size that does not end with CRLF");
	}
	body->state = body->left == 0 ? HTTP1_TRAILER : HTTP1_CHUNK_DATA;
	body->digits = 0;
	body->line_size = 0;
	return HTTP1_MORE;
}

static enum http1_status
take_trailer(struct http1_body *body, char byte)
{
	if (++body->overhead > HTTP1_TRAILERS_MOST_BYTES || body->line_size == sizeof(body->line)) {
		return HTTP1_TOO_LARGE;
	}
	if (byte != '\n') {
		body->line[body->line_size++] = byte;
		return HTTP1_MORE;
	}
	if (body->line_size == 0 || body->line[body->line_size - 1] != '\r') {
		return bad(body, "a trailer line that does not end with CRLF");
	}
	struct span line = { body->line, body->line_size - 1 };
	body->line_size = 0;
	if (line.size == 0) {
		body->state = HTTP1_BODY_END;
		return HTTP1_DONE;
	}
	struct span name;
	struct span value;
	const char *wrong = http1_field_line(line, &name, &value);
	return wrong == NULL ? HTTP1_MORE : bad(body, wrong);
}

static enum http1_status
take_byte(struct http1_body *body, char byte)
{
	switch (body->state) {
	case HTTP1_CHUNK_SIZE: return take_size(body, byte);
	case HTTP1_CHUNK_EXTENSION:
	case HTTP1_CHUNK_VALUE:
	case HTTP1_CHUNK_QUOTED:
	case HTTP1_CHUNK_QUOTED_PAIR:
	case HTTP1_CHUNK_QUOTED_END: return take_extension(body, byte);
	case HTTP1_CHUNK_SIZE_LF: return take_size_end(body, byte);
	case HTTP1_CHUNK_DATA_CR:
		body->state = HTTP1_CHUNK_DATA_LF;
		return byte == '\r' ? HTTP1_MORE
		                    : bad(body, "a chunk that is longer than its size");
	case HTTP1_CHUNK_DATA_LF:
		body->state = HTTP1_CHUNK_SIZE;
		body->left = 0;
		return byte == '\n' ? HTTP1_MORE : bad(body, "a chunk that does not end with CRLF");
	case HTTP1_TRAILER: return take_trailer(body, byte);
	case HTTP1_BODY_LENGTH:
	case HTTP1_CHUNK_DATA:
	case HTTP1_BODY_END: break;
	}
	return HTTP1_DONE;
}

size_t
http1_body_direct(const struct http1_body *body)
{
	return body->state == HTTP1_BODY_LENGTH || body->state == HTTP1_CHUNK_DATA
	               ? (size_t)body->left
	               : 0;
}

void
http1_body_took(struct http1_body *body, size_t size)
{
	body->left -= (int64_t)size;
	if (body->left == 0) {
		body->state =
			body->state == HTTP1_BODY_LENGTH ? HTTP1_BODY_END : HTTP1_CHUNK_DATA_CR;
	}
}

bool
http1_body_ended(const struct http1_body *body)
{
	return body->state == HTTP1_BODY_END;
}

enum http1_status
http1_body_take(struct http1_body *body, const char *data, size_t size, size_t *consumed,
                struct span *piece)
{
	*piece = (struct span){ data, 0 };
	size_t at = 0;
	while (at < size && body->state != HTTP1_BODY_END) {
		size_t direct = http1_body_direct(body);
		if (direct > 0 &&
		    at > 0) { /* the framing first: whoever reads on looks at the room for the chunk */
			break;
		}
		if (direct > 0) {
			piece->data = data + at;
			piece->size = direct < size - at ? direct : size - at;
			*consumed = at + piece->size;
			http1_body_took(body, piece->size);
			return http1_body_ended(body) ? HTTP1_DONE : HTTP1_MORE;
		}
		enum http1_status status = take_byte(body, data[at]);
		at++;
		if (status == HTTP1_BAD || status == HTTP1_TOO_LARGE) {
			return status;
		}
	}
	*consumed = at;
	return body->state == HTTP1_BODY_END ? HTTP1_DONE : HTTP1_MORE;
}
