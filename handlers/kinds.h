/* The kinds of handlers that there are. */
#ifndef HOOKLATCH_HANDLERS_KINDS_H
#define HOOKLATCH_HANDLERS_KINDS_H

#include "handlers/handler.h"

extern const struct handler_kind handler_exec; /* exec.c: a program, the body on its stdin */
extern const struct handler_kind handler_http; /* http.c: a POST of the body */
extern const struct handler_kind handler_log;  /* log.c: a line in the log */
extern const struct handler_kind handler_pull; /* pull.c: waits for a consumer */
extern const struct handler_kind
	handler_sql; /* sql.c: a statement in the transaction that records it */

#endif
