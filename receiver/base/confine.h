/* What the process, and a thread of it, may do and show.
 *
 * The process holds secrets and what customers sent: it leaves no core dump, nobody but root looks into it (ptrace(2),
 * /proc/PID/mem), and what it creates is for its user and group at most.
 *
 * What a thread may ask of the kernel. The net loops read what strangers send, and the store's thread runs statements that
 * handlers bring: each gives up, for itself and for good, what it never needs. Other threads, and with them the programs
 * that workers start, keep everything: a handler may well call sudo(8).
 *
 * A call that is not on the list fails with ENOSYS, as if the kernel did not have it: libraries know what to do then. One
 * that only somebody else would make in our name (execve, ptrace, fork …) ends the process with SIGSYS.
 * seccomp(2), PR_SET_NO_NEW_PRIVS; on x86-64 and arm64. */
#ifndef HOOKLATCH_BASE_CONFINE_H
#define HOOKLATCH_BASE_CONFINE_H

#include "receiver/base/error.h"

/* PR_SET_DUMPABLE, umask(2). First of all, while there is one thread. */
void confine_process(void);
/* The calling thread, and with it the programs that it starts, get the umask back that we were called with. */
void confine_not_umask(void);

enum confinement {
	CONFINE_NET, /* sockets that are open, events, memory; no file is opened for writing, no socket made */
	CONFINE_STORE, /* files; no socket at all */
};

/* The calling thread, and those that it starts; no memory is needed. False when the kernel does not have it: the thread
 * is then as it was, but for new privileges, which it never gets. With a sanitizer, which asks for more than we know, it
 * does nothing. */
bool confine_thread(enum confinement confinement, struct error *err) MUST_CHECK;

#endif
