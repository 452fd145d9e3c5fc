/* An error is a value: a kind to branch on, a text that a person can act on.
 * Functions that can fail return false (or NULL) and fill `err`, which comes last and is never NULL.
 * Out-parameters are written on success only. Threads: any; an error belongs to its caller. */
#ifndef HOOKLATCH_BASE_ERROR_H
#define HOOKLATCH_BASE_ERROR_H

#include <stdarg.h>

#include "receiver/base/compiler.h"

#define ERROR_TEXT_BYTES 512

enum error_kind {
	ERROR_NONE,
	ERROR_SYSTEM,        /* a system call failed: sys_errno says how */
	ERROR_MEMORY,        /* no memory for it now */
	ERROR_INVALID,       /* what was given cannot be read or is out of range */
	ERROR_NOT_FOUND,     /* there is no such thing */
	ERROR_REFUSED,       /* understood, and not done on purpose */
	ERROR_LIMIT,         /* a named limit was reached */
	ERROR_UNREACHABLE,   /* the other side does not answer */
	ERROR_STORE_FULL,    /* disk full: nothing stored, resumes by itself */
	ERROR_STORE_BUSY,    /* another process holds the database: nothing stored, try again */
	ERROR_STORE_BAD,     /* the store cannot be trusted any more */
	ERROR_STORE_DAMAGED, /* found damaged before it was opened */
	ERROR_LOCKED,        /* another process owns the store */
};

struct error {
	enum error_kind kind; /* branch on this, never on the text */
	int sys_errno;        /* 0 when no system call failed */
	char text[ERROR_TEXT_BYTES];
};

/* Fills `err`; always returns false, so that `return error_set(…)` reads well. */
bool error_set(struct error *err, enum error_kind kind, const char *format, ...) PRINTF(3, 4);
/* The same with errno: appends ": <strerror>" and keeps sys_errno. */
bool error_system(struct error *err, const char *format, ...) PRINTF(2, 3);
/* Puts "<prefix>: " before the text. */
bool error_prefix(struct error *err, const char *format, ...) PRINTF(2, 3);

/* A line for the log, past its queue, when nothing else is sure to work any more: no memory is needed. To stderr, or to
 * where the log goes. */
void fatal_say(const char *event, const char *format, ...) PRINTF(2, 3);
void fatal_to(int fd);

/* What only our own bug can break: prints the named assertion and aborts, in release builds too. */
#define ALWAYS(condition, name) \
	((condition) ? (void)0 : assertion_failed(name, #condition, __FILE__, __LINE__))
NORETURN void assertion_failed(const char *name, const char *condition, const char *file, int line);

#endif
