/* The kinds of handlers that there are. */
#ifndef HOOKLATCH_HANDLERS_KINDS_H
#define HOOKLATCH_HANDLERS_KINDS_H

#include "handlers/handler.h"

extern const struct handler_kind handler_exec; /* exec.c: a program, the body on its stdin */
extern const struct handler_kind handler_log;  /* log.c: a line in the log */

#endif
