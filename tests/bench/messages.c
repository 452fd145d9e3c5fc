#include "tests/bench/messages.h"

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <openssl/hmac.h>

enum {
	POOL_BYTES_MOST = 64 << 20, /* fewer bodies when they are large */
};

/* splitmix64: bodies and ids must differ, not be secret. */
static uint64_t random_state;

static void
random_init(uint64_t seed)
{
	random_state = seed;
	if (seed == 0 &&
	    getrandom(&random_state, sizeof(random_state), 0) != sizeof(random_state)) {
		err(1, "getrandom");
	}
}

static uint64_t
random_next(void)
{
	random_state += 0x9e3779b97f4a7c15U;
	uint64_t mixed = random_state;
	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
	return mixed ^ (mixed >> 31);
}

static const char hex_digits[] = "0123456789abcdef";

static void
uuid_write(char *to, enum id_kind kind)
{
	uint64_t high = random_next();
	uint64_t low = random_next();
	if (kind == ID_V7) {
		struct timespec at;
		clock_gettime(CLOCK_REALTIME, &at);
		uint64_t ms = (uint64_t)at.tv_sec * 1000 + (uint64_t)at.tv_nsec / 1000000;
		high = ms << 16 | (high & 0x0fff) | 0x7000;
	} else {
		high = (high & ~UINT64_C(0xf000)) | 0x4000;
	}
	low = low >> 2 | UINT64_C(1) << 63;
	unsigned nibble = 0;
	for (unsigned i = 0; i < MESSAGES_ID_CHARS; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			to[i] = '-';
			continue;
		}
		uint64_t half = nibble < 16 ? high : low;
		to[i] = hex_digits[half >> (60 - 4 * (nibble % 16)) & 15];
		nibble++;
	}
}

static size_t
secret_read(const char *file, unsigned char *to, size_t size)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err(2, "%s", file);
	}
	ssize_t got = read(fd, to, size);
	close(fd);
	if (got > 0 && to[got - 1] == '\n') {
		got--;
	}
	if (got <= 0) {
		errx(2, "%s: no secret in it", file);
	}
	return (size_t)got;
}

static void
body_write(char *to, size_t bytes)
{
	static const char begin[] = "{\"ref\":\"refs/heads/main\",\"filling\":\"";
	static const char end[] = "\"}";
	memcpy(to, begin, sizeof(begin) - 1);
	for (size_t i = sizeof(begin) - 1; i < bytes - (sizeof(end) - 1); i++) {
		to[i] = hex_digits[random_next() & 15];
	}
	memcpy(to + bytes - (sizeof(end) - 1), end, sizeof(end) - 1);
}

static void
signature_write(char *hex, const unsigned char *key, size_t key_bytes, const char *body,
                size_t body_bytes)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_bytes = 0;
	if (HMAC(EVP_sha256(), key, (int)key_bytes, (const unsigned char *)body, body_bytes, digest,
	         &digest_bytes) == NULL) {
		errx(1, "HMAC failed");
	}
	for (size_t i = 0; i < digest_bytes; i++) {
		hex[2 * i] = hex_digits[digest[i] >> 4];
		hex[2 * i + 1] = hex_digits[digest[i] & 15];
	}
	hex[2 * (size_t)digest_bytes] = '\0';
}

void
messages_create(struct messages *messages, const struct options *options)
{
	static const char id_header[] = "X-GitHub-Delivery: ";
	unsigned char key[4096];
	random_init(options->seed);
	size_t key_bytes = secret_read(options->secret_file, key, sizeof(key));
	char *body = malloc(options->body_bytes);
	size_t head_most = 1024 + strlen(options->authority) + strlen(options->path);
	char *head = malloc(head_most);
	if (body == NULL || head == NULL) {
		err(1, "malloc");
	}
	messages->count = options->pool;
	while (messages->count > 1 && messages->count * options->body_bytes > POOL_BYTES_MOST) {
		messages->count /= 2;
	}
	for (unsigned i = 0; i < messages->count; i++) {
		char signature[2 * EVP_MAX_MD_SIZE + 1];
		char id[MESSAGES_ID_CHARS + 1] = { 0 };
		body_write(body, options->body_bytes);
		signature_write(signature, key, key_bytes, body, options->body_bytes);
		uuid_write(id, options->ids);
		int head_bytes =
			snprintf(head, head_most,
		                 "POST %s HTTP/1.1\r\nHost: %s\r\n"
		                 "User-Agent: GitHub-Hookshot/bench\r\nAccept: */*\r\n"
		                 "Content-Type: application/json\r\nContent-Length: %zu\r\n"
		                 "%s%s\r\nX-GitHub-Event: push\r\nX-GitHub-Hook-ID: 1\r\n"
		                 "X-Hub-Signature-256: sha256=%s\r\n\r\n",
		                 options->path, options->authority, options->body_bytes, id_header,
		                 id, signature);
		if (messages->bytes == NULL) {
			messages->each_bytes = (size_t)head_bytes + options->body_bytes;
			messages->id_offset =
				(size_t)(strstr(head, id_header) - head) + sizeof(id_header) - 1;
			messages->digit_offset = (size_t)head_bytes - (sizeof("\r\n\r\n") - 1) - 1;
			messages->bytes = malloc(messages->each_bytes * messages->count);
			messages->digits = malloc(messages->count);
			if (messages->bytes == NULL || messages->digits == NULL) {
				err(1, "malloc");
			}
		}
		char *message = messages->bytes + i * messages->each_bytes;
		memcpy(message, head, (size_t)head_bytes);
		memcpy(message + head_bytes, body, options->body_bytes);
		messages->digits[i] = message[messages->digit_offset];
	}
	free(head);
	free(body);
}

unsigned
messages_take(struct messages *messages)
{
	unsigned index = messages->next;
	messages->next = (index + 1) % messages->count;
	return index;
}

char *
messages_at(const struct messages *messages, unsigned index)
{
	return messages->bytes + index * messages->each_bytes;
}

char *
messages_stamp(struct messages *messages, unsigned index, enum id_kind ids, bool forged)
{
	char *message = messages_at(messages, index);
	char right = messages->digits[index];
	char wrong = right == '0' ? '1' : '0';
	message[messages->digit_offset] = forged ? wrong : right;
	if (ids != ID_FIXED) {
		uuid_write(message + messages->id_offset, ids);
	}
	return message;
}

const char *
messages_id(const struct messages *messages, unsigned index)
{
	return messages_at(messages, index) + messages->id_offset;
}
