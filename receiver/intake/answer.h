/* Answers: each has its word as a header and in a JSON body, because providers show it in their dashboards. */
#ifndef HOOKLATCH_INTAKE_ANSWER_H
#define HOOKLATCH_INTAKE_ANSWER_H

#include "receiver/config/config.h"
#include "receiver/model/event.h"
#include "receiver/model/result.h"
#include "receiver/net/http.h"

#define REQUEST_ID_BYTES 17 /* 16 hexadecimal digits and their end */

struct answer {
	enum result result;
	const char *request_id;      /* the same as in the log */
	const struct source *source; /* NULL: before a source was found */
	const struct event *event;   /* NULL: none */
	const char *state;           /* of a duplicate */
	const char *reason;          /* of malformed; static */
	const char *methods;         /* of method: those that the source takes */
	int64_t events;              /* of a request that held several; 0: it did not */
	int64_t fresh;               /* how many of them were new */
	struct http_response reply;  /* of a challenge: its own form */
};

/* Where answers are put together, one after the other; a loop's own. */
struct answer_space {
	struct buffer body;
	struct buffer fields;
};

void answer_space_init(struct answer_space *space);
void answer_space_finish(struct answer_space *space);
void answer_send(struct answer_space *space, struct http_exchange *exchange,
                 const struct answer *answer) ON_THREAD(net_thread);

#endif
