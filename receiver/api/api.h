/* The API: requests in, JSON out, no socket. The admin thread's query threads call it in the service; the command line
 * calls the same functions when the service is stopped.
 *   GET  /v1/stats                       POST /v1/replays            {"kind","filter","ids","handler","rate",…}
 *   GET  /v1/events?FILTER               GET  /v1/replays, /v1/replays/N
 *   GET  /v1/events/SOURCE/ID            POST /v1/replays/N/cancel, /resume
 *   GET  /v1/export?FILTER&after=N       POST /v1/events/discard, /v1/events/erase {"filter","ids",…}
 *   GET  /v1/dead?FILTER, /v1/dead/ID    POST /v1/dead/discard, /v1/dead/restore {"filter","ids",…}
 *   GET  /v1/tail?after=CURSOR&FILTER    POST /v1/handlers/NAME/pause {"until","reason"}, /resume
 *   GET  /v1/explain/SOURCE/ID           POST /v1/handlers/NAME/take?max=10&wait=20s
 *   POST /v1/known {"source","ids"}: which of a provider's events are here
 *   POST /v1/leases/LEASE/ack, /nack?delay=10s, /nack?dead, /extend?by=60s
 *   GET  /metrics, for Prometheus
 * Errors are {"error":{"code","message"}}.
 * Threads: api_handle() on any thread that may wait; the reader is the caller's. */
#ifndef HOOKLATCH_API_API_H
#define HOOKLATCH_API_API_H

#include <jansson.h>

#include "receiver/config/config.h"
#include "receiver/dispatch/engine.h"
#include "receiver/store/reader.h"
#include "receiver/store/store.h"

struct api {
	struct store *store;         /* NULL: nothing can be changed */
	struct config *config;       /* what it was asked with; the caller's reference */
	const struct engine *engine; /* NULL: no service */
	int64_t since_ns;            /* the service's start; 0: no service */
};

struct api_request {
	const char *method;
	struct span path;  /* as sent */
	struct span query; /* as sent */
	struct span body;
	const char *who;
};

struct api_answer {
	int status;               /* RFC 9110 */
	const char *content_type; /* static */
	/* A take that found nothing and may wait: ask again when this handler has something, for that long. 0: this is it. */
	int64_t parks_handler;
	int64_t parks_ns;
	struct buffer body;
};

/* The answer's buffer must be initialised; the caller finishes it. */
void api_handle(const struct api *api, struct reader *reader, const struct api_request *request,
                struct api_answer *answer);

#endif
