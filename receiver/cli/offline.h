/* What sign, verify and send have in common: a source of the configuration with its keys, and no service. */
#ifndef HOOKLATCH_CLI_OFFLINE_H
#define HOOKLATCH_CLI_OFFLINE_H

#include "receiver/cli/command.h"
#include "receiver/verify/sign.h"

#define FILE_MOST_BYTES (1024L * 1024 * 1024)

/* A file, or stdin for "-". False after telling what is wrong. */
bool read_whole(const char *path, struct buffer *out) MUST_CHECK;
/* The source of --source with its keys; NULL with *code set after telling what is wrong. */
struct source *chosen_source(const struct invocation *invocation, struct config *config, int *code);
/* The first live secret; NULL after telling that there is none. */
const struct secret *signing_secret(const struct source *source, int64_t now_ns);
/* --now TIME: RFC 3339 or Unix seconds. False after telling what is wrong. */
bool chosen_time(const struct invocation *invocation, int64_t *now_ns) MUST_CHECK;
/* `Name: value` lines as fields, at most `most`; other lines are passed over. */
size_t parse_lines(struct span text, struct field *fields, size_t most);
/* A POST to the source, as the configuration describes it. */
struct verify_request request_of(const struct source *source, struct fields fields);

/* signing.c: one event, signed as the source's provider would. */
struct made_event {
	char id[600]; /* as the receiver will read it; of several the first one's */
	struct signed_request request;
};
struct signer {
	const struct invocation *invocation;
	const struct source *source;
	struct evp_pkey_st *private_key; /* NULL: none was given */
};
/* Reads --private-key. False after telling what is wrong. */
bool signer_begin(struct signer *signer, const struct invocation *invocation,
                  const struct source *source) MUST_CHECK;
/* `number`: of several, from 0. False after telling what is wrong; else the caller finishes the request. */
bool signer_make(const struct signer *signer, int64_t number, int64_t now_ns,
                 struct made_event *ret) MUST_CHECK;
void signer_finish(struct signer *signer);

#endif
