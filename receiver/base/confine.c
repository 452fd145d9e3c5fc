#include "receiver/base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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

/* Whose numbers the lists below are. */
#if defined(__x86_64__) && defined(__LP64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__AARCH64EL__) && defined(__LP64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
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

#ifdef ARCHITECTURE
#define FILTER_MOST 256
#define ABSENT      (SECCOMP_RET_ERRNO | ENOSYS)

/* Memory, time, locks, and how a thread or the process ends: abort() and an assertion's line on stderr among it. */
static const int both[] = {
	SYS_brk,
	SYS_clock_getres,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_close,
	SYS_exit,
	SYS_exit_group,
	SYS_fcntl,
	SYS_fstat,
	SYS_futex,
	SYS_getpid,
	SYS_getrandom,
	SYS_gettid,
	SYS_gettimeofday,
	SYS_lseek,
	SYS_madvise,
	SYS_membarrier,
	SYS_mremap,
	SYS_munmap,
	SYS_nanosleep,
	SYS_newfstatat,
	SYS_ppoll,
	SYS_read,
	SYS_restart_syscall,
	SYS_rseq,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sched_getaffinity,
	SYS_sched_yield,
	SYS_set_robust_list,
	SYS_sigaltstack,
	SYS_sysinfo,
	SYS_tgkill,
	SYS_write,
	SYS_writev,
#ifdef __x86_64__ /* others never had these */
	SYS_poll,
	SYS_time,
#endif
};

static const int of_net[] = {
	SYS_accept4,     SYS_epoll_ctl,  SYS_epoll_pwait, SYS_epoll_pwait2, SYS_getpeername,
	SYS_getsockname, SYS_getsockopt, SYS_readv,       SYS_recvfrom,     SYS_recvmsg,
	SYS_sendmsg,     SYS_sendto,     SYS_setsockopt,  SYS_shutdown,
#ifdef __x86_64__
	SYS_epoll_wait,
#endif
};

static const int of_store[] = {
	SYS_faccessat, SYS_faccessat2, SYS_fallocate, SYS_fchmod,  SYS_fchown,   SYS_fdatasync,
	SYS_fstatfs,   SYS_fsync,      SYS_ftruncate, SYS_getcwd,  SYS_getegid,  SYS_geteuid,
	SYS_getgid,    SYS_getuid,     SYS_openat,    SYS_pread64, SYS_pwrite64, SYS_readlinkat,
	SYS_renameat,  SYS_renameat2,  SYS_statfs,    SYS_statx,   SYS_umask,    SYS_unlinkat,
#ifdef __x86_64__
	SYS_access,    SYS_lstat,      SYS_readlink,  SYS_rename,  SYS_stat,     SYS_unlink,
#endif
};

/* Nothing of ours makes these on such a thread, and no library tries them to see whether they are there. */
static const int never[] = {
	SYS_bpf,
	SYS_chroot,
	SYS_delete_module,
	SYS_execve,
	SYS_execveat,
	SYS_finit_module,
	SYS_init_module,
	SYS_io_uring_setup,
	SYS_kexec_load,
	SYS_mount,
	SYS_pivot_root,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_ptrace,
	SYS_setgid,
	SYS_setns,
	SYS_setresuid,
	SYS_setuid,
	SYS_unshare,
	SYS_userfaultfd,
#ifdef __x86_64__
	SYS_fork,
	SYS_vfork,
#endif
};

/* A program for the kernel (seccomp(2)). It is put together in place: a loop and the store's thread begin with it, and
 * libseccomp 2.5 allocates a thousand times for one; when one of them fails, it may free twice or never end. */
struct filter {
	struct sock_filter code[FILTER_MOST];
	unsigned short size;
};

static void
emit(struct filter *filter, unsigned short code, unsigned char skip_if, unsigned char skip_else,
     uint32_t value)
{
	ALWAYS(filter->size < FILTER_MOST, "filter-size");
	filter->code[filter->size++] =
		(struct sock_filter)BPF_JUMP(code, value, skip_if, skip_else);
}

static void
load(struct filter *filter, size_t offset)
{
	emit(filter, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void
answer(struct filter *filter, uint32_t action)
{
	emit(filter, BPF_RET | BPF_K, 0, 0, action);
}

/* The number of the call must be loaded. */
static void
add(struct filter *filter, uint32_t action, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)calls[i]);
		answer(filter, action);
	}
}

/* A call whose third argument has none of these bits. */
static void
add_without(struct filter *filter, int call, uint32_t bits)
{
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, (uint32_t)call);
	load(filter, offsetof(struct seccomp_data, args[2])); /* its lower half */
	emit(filter, BPF_JMP | BPF_JSET | BPF_K, 1, 0, bits);
	answer(filter, SECCOMP_RET_ALLOW);
	answer(filter, ABSENT);
}

static void
make(struct filter *filter, enum confinement confinement)
{
	filter->size = 0;
	load(filter, offsetof(struct seccomp_data, arch));
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
	answer(filter, SECCOMP_RET_KILL_PROCESS);
	load(filter, offsetof(struct seccomp_data, nr));
	add(filter, SECCOMP_RET_ALLOW, both, COUNT(both));
	add_without(filter, SYS_mmap, PROT_EXEC); /* no memory that is executable */
	add_without(filter, SYS_mprotect, PROT_EXEC);
	if (confinement == CONFINE_NET) {
		add(filter, SECCOMP_RET_ALLOW, of_net, COUNT(of_net));
		/* What is opened is only read: the number of processors, the time zone, /dev/null. */
		add_without(filter, SYS_openat, O_ACCMODE | O_CREAT | O_TRUNC);
	} else {
		add(filter, SECCOMP_RET_ALLOW, of_store, COUNT(of_store));
	}
	add(filter, SECCOMP_RET_KILL_PROCESS, never, COUNT(never));
	answer(filter, ABSENT);
}

static bool
confine(enum confinement confinement)
{
	struct filter filter;
	make(&filter, confinement);
	struct sock_fprog program = { .len = filter.size, .filter = filter.code };
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

#else

static bool
confine(enum confinement confinement)
{
	(void)confinement;
	errno = ENOSYS;
	return false;
}

#endif

bool
confine_thread(enum confinement confinement, struct error *err)
{
	if (!CONFINES) {
		return true;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return error_system(err, "PR_SET_NO_NEW_PRIVS");
	}
	return confine(confinement) || error_system(err, "seccomp");
}
