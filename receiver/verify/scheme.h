/* A signature scheme as data: what a provider's documentation says, in one struct. A preset is one of these in the
 * table of presets.c; `provider: hmac` makes one from the configuration. The engine (signature.h) knows no provider. */
#ifndef HOOKLATCH_VERIFY_SCHEME_H
#define HOOKLATCH_VERIFY_SCHEME_H

#include "receiver/base/bytes.h"

enum scheme_algorithm {
	SCHEME_SHA256,
	SCHEME_SHA1,
};

enum scheme_encoding {
	SCHEME_HEX,
	SCHEME_BASE64,
};

/* How a secret's text becomes the key. */
enum scheme_key {
	SCHEME_KEY_RAW,
	SCHEME_KEY_BASE64_AFTER_WHSEC, /* Standard Webhooks: base64, behind an optional "whsec_" */
	SCHEME_KEY_HEX,
};

enum scheme_unit {
	SCHEME_SECONDS,
	SCHEME_MILLISECONDS,
	SCHEME_RFC3339,
};

/* Where a value is found. */
enum scheme_from {
	SCHEME_NOWHERE,
	SCHEME_FROM_HEADER,
	SCHEME_FROM_JSON,
	SCHEME_FROM_SIGNATURE, /* the element of the signature header that has `timestamp_prefix` */
	SCHEME_FROM_PARTS, /* JSON pointers and header names, joined with ":"; a missing part is empty */
	SCHEME_GENERATED, /* the receiver makes it: repeats cannot be recognised */
};

#define SCHEME_PARTS_MOST 8

struct scheme_value {
	enum scheme_from from;
	const char *name; /* header, or JSON pointer */
	const char *parts[SCHEME_PARTS_MOST];
	size_t part_count;
};

struct scheme {
	const char *signature_header;
	char separator;               /* 0: the value is one signature */
	const char *prefix;           /* of an element that is a signature; NULL: none */
	const char *timestamp_prefix; /* of the element that is the time; NULL: none */
	enum scheme_algorithm algorithm;
	enum scheme_encoding encoding;
	enum scheme_key key;
	const char *signed_text; /* template: {timestamp} {body} {id} {method} {path} {url} */
	struct scheme_value timestamp;
	enum scheme_unit unit;
	int64_t tolerance_ns;
	struct scheme_value id;
	struct scheme_value type;
};

/* The template in pieces. */
enum scheme_token {
	SCHEME_LITERAL,
	SCHEME_TIMESTAMP,
	SCHEME_BODY,
	SCHEME_ID,
	SCHEME_METHOD,
	SCHEME_PATH,
	SCHEME_URL,
};

/* Takes the next piece off the front of `text`. False at the end, or with *literal the unknown "{word}" when
 * *token is SCHEME_LITERAL and it begins with "{": only scheme_template_valid() meets that. */
bool scheme_next_token(struct span *text, enum scheme_token *token, struct span *literal);
bool scheme_template_valid(struct span text, struct span *wrong);
bool scheme_signs(const struct scheme *scheme, enum scheme_token token);

#endif
