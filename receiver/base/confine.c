#include "receiver/base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(HOOKLATCH_UNCONFINED)
#define CONFINES false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define CONFINES false
#endif
#endif
#ifndef CONFINES
#define CONFINES true
#endif

#define OTHERS_NOTHING 0027

static mode_t callers_umask;

void
confine_process(void)
{
	if (CONFINES) {
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	}
	callers_umask = umask(OTHERS_NOTHING);
	(void)umask(callers_umask | OTHERS_NOTHING);
}

void
confine_not_umask(void)
{
	if (unshare(CLONE_FS) == 0) {
		(void)umask(callers_umask);
	}
}

/* Memory, time, locks, and how a thread or the process ends: abort() and an assertion's line on stderr among it. */
static const int both[] = {
	SCMP_SYS(brk),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(getrandom),
	SCMP_SYS(gettid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(lseek),
	SCMP_SYS(madvise),
	SCMP_SYS(membarrier),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(nanosleep),
	SCMP_SYS(newfstatat),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sysinfo),
	SCMP_SYS(tgkill),
	SCMP_SYS(time),
	SCMP_SYS(write),
	SCMP_SYS(writev),
};

static const int of_net[] = {
	SCMP_SYS(accept4),    SCMP_SYS(epoll_ctl),   SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_wait), SCMP_SYS(getpeername), SCMP_SYS(getsockname), SCMP_SYS(getsockopt),
	SCMP_SYS(readv),      SCMP_SYS(recvfrom),    SCMP_SYS(recvmsg),     SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),     SCMP_SYS(setsockopt),  SCMP_SYS(shutdown),
};

static const int of_store[] = {
	SCMP_SYS(access),     SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(fallocate),
	SCMP_SYS(fchmod),     SCMP_SYS(fchown),    SCMP_SYS(fdatasync),  SCMP_SYS(fstatfs),
	SCMP_SYS(fsync),      SCMP_SYS(ftruncate), SCMP_SYS(getcwd),     SCMP_SYS(getegid),
	SCMP_SYS(geteuid),    SCMP_SYS(getgid),    SCMP_SYS(getuid),     SCMP_SYS(lstat),
	SCMP_SYS(openat),     SCMP_SYS(pread64),   SCMP_SYS(pwrite64),   SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(rename),    SCMP_SYS(renameat),   SCMP_SYS(renameat2),
	SCMP_SYS(stat),       SCMP_SYS(statfs),    SCMP_SYS(statx),      SCMP_SYS(umask),
	SCMP_SYS(unlink),     SCMP_SYS(unlinkat),
};

/* Nothing of ours makes these on such a thread, and no library tries them to see whether they are there. */
static const int never[] = {
	SCMP_SYS(bpf),
	SCMP_SYS(chroot),
	SCMP_SYS(delete_module),
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(finit_module),
	SCMP_SYS(fork),
	SCMP_SYS(init_module),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(kexec_load),
	SCMP_SYS(mount),
	SCMP_SYS(pivot_root),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(ptrace),
	SCMP_SYS(setgid),
	SCMP_SYS(setns),
	SCMP_SYS(setresuid),
	SCMP_SYS(setuid),
	SCMP_SYS(unshare),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(vfork),
};

/* Returns 0, or a negative errno. A call that this architecture does not have is no mistake. */
static int
add(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	int code = 0;
	for (size_t i = 0; i < count && code == 0; i++) {
		code = seccomp_rule_add(filter, action, calls[i], 0);
		code = code == -EDOM ? 0 : code;
	}
	return code;
}

/* No memory that is executable. */
static int
add_memory(scmp_filter_ctx filter)
{
	int code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	                            SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return code != 0 ? code
	                 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	                                    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* What is opened is only read: the number of processors, the time zone, /dev/null. */
static int
add_net(scmp_filter_ctx filter)
{
	int code = add(filter, SCMP_ACT_ALLOW, of_net, COUNT(of_net));
	if (code == 0) {
		code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
		                        SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC,
		                                O_RDONLY));
	}
	return code;
}

static int
load(enum confinement confinement)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (filter == NULL) {
		return -ENOMEM;
	}
	int code = add(filter, SCMP_ACT_ALLOW, both, COUNT(both));
	if (code == 0) {
		code = add_memory(filter);
	}
	if (code == 0) {
		code = confinement == CONFINE_NET
		               ? add_net(filter)
		               : add(filter, SCMP_ACT_ALLOW, of_store, COUNT(of_store));
	}
	if (code == 0) {
		code = add(filter, SCMP_ACT_KILL_PROCESS, never, COUNT(never));
	}
	if (code == 0) {
		code = seccomp_load(filter);
	}
	seccomp_release(filter);
	return code;
}

bool
confine_thread(enum confinement confinement, struct error *err)
{
	if (!CONFINES) {
		return true;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return error_system(err, "PR_SET_NO_NEW_PRIVS");
	}
	int code = load(confinement);
	if (code != 0) {
		errno = -code;
		return error_system(err, "seccomp");
	}
	return true;
}
