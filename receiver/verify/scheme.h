/* A signature scheme as data: what a provider's documentation says, in one struct. A preset is one of these in the
 * table of presets.c; `provider: hmac` makes one from the configuration. The engine (signature.h) knows no provider. */
#ifndef HOOKLATCH_VERIFY_SCHEME_H
#define HOOKLATCH_VERIFY_SCHEME_H

#include "receiver/base/bytes.h"

/* The first four sign a template (`signed_text`) and may be written in a configuration; the others are said by code. */
enum scheme_algorithm {
	SCHEME_SHA256, /* HMAC */
	SCHEME_SHA1,   /* HMAC */
	SCHEME_ED25519,
	SCHEME_ECDSA_P256_SHA256, /* a DER sequence of two integers */
	SCHEME_RSA_SHA256,        /* PKCS #1 v1.5, a template too; the key is a certificate's */
	SCHEME_TOKEN,             /* the header carries the secret itself */
	SCHEME_ITEMS,             /* adyen.h: an HMAC inside each item */
	SCHEME_SNS,               /* sns.h: RSA over fields of the body */
	SCHEME_JWT,               /* jwt.h: ES256 with a claim that is the body's hash */
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
	SCHEME_KEY_BASIC, /* user:password, compared in base64 (RFC 7617) */
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
	SCHEME_FROM_FORM, /* a parameter of a form (application/x-www-form-urlencoded) */
	SCHEME_CONSTANT,
	SCHEME_GENERATED, /* the receiver makes it: repeats cannot be recognised */
};

#define SCHEME_PARTS_MOST 8

struct scheme_value {
	enum scheme_from from;
	const char *name; /* header, JSON pointer, parameter, or the constant itself */
	const char *parts[SCHEME_PARTS_MOST];
	size_t part_count;
	bool all;          /* of the parts: without one of them there is no value */
	bool or_generated; /* where no part but the first is there: what the provider sends then has no id */
};

/* A request that holds several events. */
struct scheme_events {
	const char *
		array; /* JSON pointer to the array of events, "" for the body itself; NULL: one event */
	struct scheme_value id; /* in the element */
	struct scheme_value type;
};

/* Another way in which the same provider packs its events, told by the media type. The last has no media type. */
struct scheme_mode {
	const char *media_type;
	struct scheme_value id;
	struct scheme_value type;
	struct scheme_events events;
};

struct scheme {
	const char *
		signature_header; /* a "*" at its end stands for any ending: every such header is looked at */
	const char *signature_json;   /* instead: the JSON pointer to it */
	char separator;               /* 0: the value is one signature */
	const char *prefix;           /* of an element that is a signature; NULL: none */
	const char *timestamp_prefix; /* of the element that is the time; NULL: none */
	enum scheme_algorithm algorithm;
	enum scheme_encoding encoding;
	enum scheme_key key;
	const char *signed_text; /* a template, see enum scheme_token */
	struct scheme_value timestamp;
	enum scheme_unit unit;
	int64_t tolerance_ns;
	struct scheme_value id;
	struct scheme_value type;
	struct scheme_events events;
	const struct scheme_mode *modes; /* NULL: one way for all media types */

	/* The same headers under names that begin otherwise: all of one family, or all of the other. NULL: none. */
	const char *family;
	const char *other_family;

	bool url_port;    /* signs the URL now with, now without the default port: both are tried */
	bool url_decoded; /* signs the URL after decoding some of its percent-encoded bytes */
	const char *
		body_hash_query; /* the parameter of the query that holds the body's SHA-256 in hex */
	const char
		*token_query; /* SCHEME_TOKEN: a parameter of the query that may hold it instead */
	const char *media_type; /* the only one that is taken; others: 415 */

	/* What the provider sends beside events, without an id: 200 `ignored`. */
	const char *ignored_json; /* JSON pointer; NULL: none */
	const char *ignored_value;
	const char *ignored_media_type; /* NULL: none */

	/* Where the certificate's URL is, and who may serve it: host, or "*" and its ending. */
	const char *certificate_header;
	const char *certificate_json;
	const char *certificate_hosts[4]; /* NULL at the end */
	const char *certificate_ending;   /* of the path */
	const char *certificate_names
		[6];            /* whose it must be: common names, as hosts; NULL at the end */
	bool certificate_chain; /* it comes with its chain, up to a root that is trusted here */
};

/* The template in pieces. Those with an argument are written {word:argument}. */
enum scheme_token {
	SCHEME_LITERAL,
	SCHEME_TIMESTAMP, /* {timestamp}: its text as it came */
	SCHEME_BODY,      /* {body}: the raw bytes */
	SCHEME_ID,        /* {id}: the event id's header */
	SCHEME_METHOD,    /* {method} */
	SCHEME_PATH,      /* {path}: path and query as in the request */
	SCHEME_QUERY,     /* {query}: "?" and the query, or nothing */
	SCHEME_URL,       /* {url}: public_url of the configuration */
	SCHEME_FORM,      /* {sorted_form_params}: names and values, decoded, in order */
	SCHEME_JSON,      /* {json:/pointer}: a text of the body */
	SCHEME_HEADER,    /* {header:Name} */
	SCHEME_SIGNED_HEADERS, /* {signed_headers:Name}: the headers that this one lists, as name:value;name:value */
	SCHEME_WEBHOOK_ID, /* {webhook_id} of the configuration */
	SCHEME_CRC32,      /* {crc32}: of the body, in decimal */
};

struct scheme_piece {
	enum scheme_token token;
	struct span text; /* of a literal; else the argument */
};

/* Takes the next piece off the front of `text`; false at the end. An unknown "{word}" comes as a literal that begins
 * with "{": only scheme_template_valid() meets that. */
bool scheme_next_piece(struct span *text, struct scheme_piece *piece);
bool scheme_template_valid(struct span text, struct span *wrong);
bool scheme_signs(const struct scheme *scheme, enum scheme_token token);

/* What the signature says something about; `hooklatch providers` shows it. */
bool scheme_body_signed(const struct scheme *scheme);
bool scheme_time_signed(const struct scheme *scheme);
bool scheme_id_signed(const struct scheme *scheme);

/* Whether it is judged with secrets of ours; otherwise with public keys. */
bool scheme_has_secrets(const struct scheme *scheme);

/* Whether a Content-Type is of this media type, whatever its parameters (RFC 9110 section 8.3.1). */
bool scheme_media_type_is(struct span content_type, const char *media_type);

/* The mode of a media type (its parameters are passed over), or NULL: the scheme's own ids and events hold. */
const struct scheme_mode *scheme_mode_of(const struct scheme *scheme, struct span content_type);

#endif
