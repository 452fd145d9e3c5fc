#include "receiver/base/encoding.h"

#include <string.h>

#include <openssl/evp.h>

static int
hex_digit(char byte)
{
	if (byte >= '0' && byte <= '9') {
		return byte - '0';
	}
	if (byte >= 'a' && byte <= 'f') {
		return byte - 'a' + 10;
	}
	if (byte >= 'A' && byte <= 'F') {
		return byte - 'A' + 10;
	}
	return -1;
}

bool
hex_decode(struct span text, unsigned char *out, size_t room, size_t *size)
{
	if (text.size % 2 != 0 || text.size / 2 > room) {
		return false;
	}
	for (size_t i = 0; i < text.size; i += 2) {
		int high = hex_digit(text.data[i]);
		int low = hex_digit(text.data[i + 1]);
		if (high < 0 || low < 0) {
			return false;
		}
		out[i / 2] = (unsigned char)(high * 16 + low);
	}
	*size = text.size / 2;
	return true;
}

static bool
is_base64(char byte)
{
	return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
	       (byte >= '0' && byte <= '9') || byte == '+' || byte == '/';
}

bool
base64_decode(struct span text, unsigned char *out, size_t room, size_t *size)
{
	/* EVP_DecodeBlock() skips blanks and writes the padding as zeros: what it would forgive is refused first. */
	if (text.size % 4 != 0 || text.size > INT32_MAX) {
		return false;
	}
	size_t padding = 0;
	while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=') {
		padding++;
	}
	for (size_t i = 0; i < text.size - padding; i++) {
		if (!is_base64(text.data[i])) {
			return false;
		}
	}
	*size = 0;
	if (text.size == 0) {
		return true;
	}
	size_t whole = text.size - 4; /* the blocks before the last, which alone may have padding */
	size_t total = text.size / 4 * 3 - padding;
	unsigned char last[3];
	if (total > room ||
	    (whole > 0 && EVP_DecodeBlock(out, (const unsigned char *)text.data, (int)whole) < 0) ||
	    EVP_DecodeBlock(last, (const unsigned char *)text.data + whole, 4) != 3) {
		return false;
	}
	for (size_t i = 0; i < padding; i++) { /* bits behind the last byte that are not zero */
		if (last[2 - i] != 0) {
			return false;
		}
	}
	memcpy(out + whole / 4 * 3, last, 3 - padding);
	*size = total;
	return true;
}

bool
base64url_decode(struct span text, unsigned char *out, size_t room, size_t *size)
{
	struct buffer standard;
	buffer_init(&standard, text.size + 4);
	bool good = text.size % 4 != 1;
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];
		good = good && byte != '+' && byte != '/' && byte != '=';
		if (byte == '-' || byte == '_') {
			byte = byte == '-' ? '+' : '/';
		}
		buffer_byte(&standard, byte);
	}
	while (standard.size % 4 != 0) {
		buffer_byte(&standard, '=');
	}
	good = good && !standard.failed && base64_decode(buffer_view(&standard), out, room, size);
	buffer_finish(&standard);
	return good;
}

void
base64url_encode(struct buffer *out, const unsigned char *data, size_t size)
{
	size_t start = out->size;
	base64_encode(out, data, size);
	while (out->size > start && out->data[out->size - 1] == '=') {
		out->size--;
	}
	for (size_t i = start; i < out->size; i++) {
		if (out->data[i] == '+' || out->data[i] == '/') {
			out->data[i] = out->data[i] == '+' ? '-' : '_';
		}
	}
}

void
hex_number(uint64_t number, size_t digits, char *text)
{
	for (size_t at = digits; at > 0; at--) {
		text[at - 1] = "0123456789abcdef"[number & 0xfU];
		number >>= 4U;
	}
	text[digits] = '\0';
}

void
hex_encode(struct buffer *out, const unsigned char *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < size; i++) {
		buffer_byte(out, digits[data[i] >> 4U]);
		buffer_byte(out, digits[data[i] & 15U]);
	}
}

void
base64_encode(struct buffer *out, const unsigned char *data, size_t size)
{
	while (size > 0) {
		unsigned char block[65]; /* 48 bytes are 64 characters and a terminator */
		size_t part = size < 48 ? size : 48;
		int made = EVP_EncodeBlock(block, data, (int)part);
		buffer_append(out, block, (size_t)made);
		data += part;
		size -= part;
	}
}

void
percent_encode(struct buffer *out, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];
		if ((byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
		    (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
		    byte == '~') {
			buffer_byte(out, byte);
		} else {
			buffer_format(out, "%%%02X", (unsigned)(unsigned char)byte);
		}
	}
}

bool
percent_decode(struct buffer *out, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] != '%') {
			buffer_byte(out, text.data[i]);
			continue;
		}
		if (text.size - i < 3 || hex_digit(text.data[i + 1]) < 0 ||
		    hex_digit(text.data[i + 2]) < 0) {
			return false;
		}
		buffer_byte(out, (char)(unsigned char)(hex_digit(text.data[i + 1]) * 16 +
		                                       hex_digit(text.data[i + 2])));
		i += 2;
	}
	return !out->failed;
}

/* The length of the UTF-8 sequence at `at`, 0 when it is none (RFC 3629 section 4). */
static size_t
utf8_sequence(struct span text, size_t at)
{
	const unsigned char *byte = (const unsigned char *)text.data + at;
	size_t left = text.size - at;
	if (byte[0] < 0x80) {
		return 1;
	}
	size_t size = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
	if (byte[0] < 0xc2 || byte[0] > 0xf4 || left < size) {
		return 0;
	}
	for (size_t i = 1; i < size; i++) {
		if ((byte[i] & 0xc0U) != 0x80U) {
			return 0;
		}
	}
	bool overlong = (byte[0] == 0xe0 && byte[1] < 0xa0) || (byte[0] == 0xf0 && byte[1] < 0x90);
	bool surrogate = byte[0] == 0xed && byte[1] > 0x9f;
	bool beyond = byte[0] == 0xf4 && byte[1] > 0x8f;
	return overlong || surrogate || beyond ? 0 : size;
}

size_t
utf8_valid_prefix(struct span text)
{
	size_t at = 0;
	while (at < text.size) {
		size_t size = utf8_sequence(text, at);
		if (size == 0) {
			break;
		}
		at += size;
	}
	return at;
}

bool
utf8_valid(struct span text)
{
	return utf8_valid_prefix(text) == text.size;
}

size_t
utf8_unseen(struct span text, size_t at, unsigned *code)
{
	size_t size = utf8_sequence(text, at);
	const unsigned char *byte = (const unsigned char *)text.data + at;
	if (size != 2 && size != 3) {
		return 0;
	}
	unsigned found =
		size == 2 ? (byte[0] & 0x1fU) << 6U | (byte[1] & 0x3fU)
			  : (byte[0] & 0x0fU) << 12U | (byte[1] & 0x3fU) << 6U | (byte[2] & 0x3fU);
	bool unseen = found < 0xa0 || found == 0x61c || (found >= 0x200b && found <= 0x200f) ||
	              (found >= 0x2028 && found <= 0x202e) ||
	              (found >= 0x2060 && found <= 0x2069) || found == 0xfeff;
	*code = found;
	return unseen ? size : 0;
}

static void
quote_byte(struct buffer *out, unsigned char byte)
{
	switch (byte) {
	case '"': buffer_text(out, "\\\""); return;
	case '\\': buffer_text(out, "\\\\"); return;
	case '\n': buffer_text(out, "\\n"); return;
	case '\r': buffer_text(out, "\\r"); return;
	case '\t': buffer_text(out, "\\t"); return;
	default: break;
	}
	if (byte < 0x20 || (byte >= 0x7f && byte < 0xa0)) {
		buffer_format(out, "\\u%04x", (unsigned)byte);
	} else if (byte < 0x80) {
		buffer_byte(out, (char)byte);
	} else { /* ISO 8859-1: the code point is the byte */
		buffer_byte(out, (char)(unsigned char)(0xc0U | (byte >> 6U)));
		buffer_byte(out, (char)(unsigned char)(0x80U | (byte & 0x3fU)));
	}
}

bool
utf8_plain(struct span text)
{
	if (!utf8_valid(text)) {
		return false;
	}
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if (byte < 0x20 || byte == 0x7f) {
			return false;
		}
		if (byte == 0xc2 && i + 1 < text.size && (unsigned char)text.data[i + 1] < 0xa0) {
			return false; /* C1 controls */
		}
	}
	return true;
}

/* How much of the beginning stands for itself between quotes. */
static size_t
plain_prefix(struct span text)
{
	size_t at = 0;
	while (at < text.size && text.data[at] >= 0x20 && text.data[at] < 0x7f &&
	       text.data[at] != '"' && text.data[at] != '\\') {
		at++;
	}
	return at;
}

void
json_quote(struct buffer *out, struct span text)
{
	buffer_byte(out, '"');
	size_t plain = plain_prefix(text);
	buffer_append(out, text.data, plain);
	bool utf8 = plain == text.size || utf8_valid(span_after(text, plain));
	for (size_t at = plain; at < text.size;) {
		size_t size = utf8 ? utf8_sequence(text, at) : 1;
		unsigned code;
		if (utf8 && utf8_unseen(text, at, &code) > 0) {
			buffer_format(out, "\\u%04x", code);
		} else if (size > 1) {
			buffer_append(out, text.data + at, size);
		} else {
			quote_byte(out, (unsigned char)text.data[at]);
		}
		at += size;
	}
	buffer_byte(out, '"');
}
