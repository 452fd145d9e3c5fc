/* The table of providers: what each signs, how it names its events, how long it repeats. A new provider is a row. */
#ifndef HOOKLATCH_VERIFY_PRESETS_H
#define HOOKLATCH_VERIFY_PRESETS_H

#include "receiver/verify/challenge.h"
#include "receiver/verify/scheme.h"

/* What a preset's source must say in the configuration beside path, provider and secrets. */
enum preset_needs {
	PRESET_NEEDS_URL = 1 << 0,          /* public_url: the scheme signs it */
	PRESET_NEEDS_VERIFY_TOKEN = 1 << 1, /* verify_token */
	PRESET_NEEDS_WEBHOOK_ID = 1 << 2,   /* webhook_id */
	PRESET_NEEDS_TOPICS = 1 << 3,       /* topic_arns */
	PRESET_NEEDS_CLIENT =
		1
		<< 4, /* client_id and client_secret, or jwks: keys come from the provider's API */
	PRESET_TOKEN_NAME =
		1 << 5, /* may say `token:`: the operator chooses the header at the provider */
};

/* The answer to what is good, where the provider insists on one. */
struct preset_ack {
	int status;       /* 0: 200 */
	const char *body; /* NULL: the JSON one */
	const char *content_type;
};

/* How a secret that the receiver chooses is made. */
struct preset_fresh {
	int bytes;          /* random ones; 0: the provider chooses it */
	const char *before; /* NULL: nothing */
	bool base64;        /* else hex */
};

struct preset {
	const char *name;
	const char *title;
	const char *docs;
	struct scheme scheme;
	const char *challenge; /* its row in challenge.c; NULL: none */
	struct preset_ack ack;
	unsigned needs;
	int64_t body_limit;      /* bytes; 0: limits.body */
	int64_t retry_window_ns; /* how long it repeats by itself; 0: it does not */
	int64_t answer_ns;       /* how long it waits for an answer; 0: no number is published */
	struct preset_fresh fresh;
	const char *retries;    /* in words */
	const char *redelivery; /* in words: what its button does */
	const char *answers;    /* in words: what it makes of our answers */
	const char *secret;     /* who chooses it, where it is found */
	const char *steps;      /* what to do at the provider; lines */
	const char *notes;      /* what else to know; lines, may be NULL */
	const char *
		sample; /* a small event: a template of {id} {type} {seconds} {milliseconds} {rfc3339} */
};

/* What `init` writes for somebody to fill in. */
#define BLOCK_URL   "https://hooks.example.com/"
#define BLOCK_TOPIC "arn:aws:sns:us-east-1:123456789012:TOPIC"

extern const struct preset presets[]; /* the last has no name */

const struct preset *preset_find(const char *name);

/* Services of which there can be no preset, each with the reason and the way out. The last has no name. */
struct preset_refused {
	const char *name;
	const char *reason;
};
extern const struct preset_refused presets_refused[];

#endif
