/* LD_PRELOAD library: the n-th call of a kind fails, once or from then on, as it does when there is no memory, no thread, no descriptor.
 *
 * The test and the process share a file, HOOKLATCH_FAIL, that both have mapped or open: struct order. The test writes what is to fail and
 * then `armed`; the library counts calls of that kind from there, and notes those it fails, with the stack that led to them. The process
 * goes on running between two orders, so that one life serves many numbers. HOOKLATCH_FAIL_FIRST arms it before main(), for the start.
 * Handlers are not seen: their environment is small and has no LD_PRELOAD.
 *
 * The calls themselves are system calls or glibc's own names for them, so that nothing is looked up where memory may be missing. In a
 * sanitizer's build the runtime has its own malloc(), which never comes here: there only the other kinds fail.
 *
 * Not seen: mmap(2), system calls that a library makes directly, calls inside of glibc that do not go through its public names. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#define NOTES_MOST  4096
#define FRAMES_MOST 12
#define STACKS_MOST 65536 /* a power of two */

enum kind {
	KIND_NONE,
	KIND_MEMORY,
	KIND_READ,
	KIND_WRITE,
	KIND_SYNC,
	KIND_OPEN,
	KIND_ACCEPT,
	KIND_PROCESS,
	KIND_THREAD,
	KIND_DESCRIPTOR,
};

enum mode {
	MODE_COUNT,  /* nothing fails */
	MODE_ONCE,   /* the n-th call */
	MODE_ALWAYS, /* the n-th and all after it */
	MODE_FRESH, /* the first whose stack of our own frames has not failed before: every place, one by one */
	MODE_DEEP, /* the same with the library's frames below: every way in which it can fail */
};

struct note {
	uint64_t number;
	uint64_t stack;
	/* Return addresses in the program, relative to its start, the innermost first; 0 ends them. */
	uint64_t frames[FRAMES_MOST];
};

/* What the test writes and reads, at these offsets (failing.mjs). */
struct order {
	_Atomic uint64_t armed; /* 0: nothing is counted and nothing fails */
	uint64_t kind;
	uint64_t mode;
	uint64_t at; /* from 1; MODE_FRESH and MODE_DEEP look at no call before it */
	uint64_t error;
	uint64_t seed,
		share; /* of MODE_FRESH and MODE_DEEP: one stack of so many, chosen by the seed */
	_Atomic uint64_t calls; /* of this kind since it was armed */
	_Atomic uint64_t failed;
	_Atomic uint64_t notes;
	struct note note[NOTES_MOST];
	uint64_t stacks
		[STACKS_MOST]; /* of calls that failed: a hash table that outlives the process */
};

static struct order *order;
static uintptr_t program_start, program_end;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int busy
	__attribute__((tls_model("initial-exec"))); /* in here: what is called now is our own */

static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int (*real_posix_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                               const posix_spawnattr_t *, char *const *, char *const *);
static int (*real_posix_spawnp)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                                const posix_spawnattr_t *, char *const *, char *const *);

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void
give_up(const char *what)
{
	fprintf(stderr, "fail_preload: %s: %s\n", what, strerror(errno));
	abort();
}

/* The first that is told is the program. */
static int
find_program(struct dl_phdr_info *info, size_t size, void *context)
{
	(void)size, (void)context;
	program_start = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t end = info->dlpi_addr + part->p_vaddr + part->p_memsz;
		if (part->p_type == PT_LOAD && end > program_end) {
			program_end = end;
		}
	}
	return 1;
}

static _Unwind_Reason_Code
skip_frame(struct _Unwind_Context *context, void *argument)
{
	(void)context, (void)argument;
	return _URC_NO_REASON;
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("HOOKLATCH_FAIL");
	if (path == NULL) {
		return;
	}
	real_pthread_create = dlsym(RTLD_NEXT, "pthread_create");
	real_posix_spawn = dlsym(RTLD_NEXT, "posix_spawn");
	real_posix_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
	(void)dl_iterate_phdr(find_program, NULL);
	(void)_Unwind_Backtrace(skip_frame, NULL); /* what it needs once, it gets now */
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		give_up(path);
	}
	void *page = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		give_up(path);
	}
	(void)close(fd);
	order = page;
	if (getenv("HOOKLATCH_FAIL_FIRST") != NULL) {
		atomic_store(&order->armed, 1);
	}
}

struct walk {
	struct note *note;
	size_t frames;
	size_t depth;
};

static _Unwind_Reason_Code
walk_frame(struct _Unwind_Context *context, void *argument)
{
	struct walk *walk = argument;
	uintptr_t address = _Unwind_GetIP(context);
	if (++walk->depth > 64) {
		return _URC_END_OF_STACK;
	}
	if (address >= program_start && address < program_end) {
		walk->note->stack =
			(walk->note->stack ^ (address - program_start)) * 1099511628211ULL;
		if (walk->frames < FRAMES_MOST) {
			walk->note->frames[walk->frames++] = address - program_start;
		}
	} else if (walk->frames == 0 &&
	           order->mode == MODE_DEEP) { /* libraries begin with a page */
		walk->note->stack = (walk->note->stack ^ (address & 0xfff)) * 1099511628211ULL;
	}
	return _URC_NO_REASON;
}

static bool
is_fresh(uint64_t stack)
{
	uint64_t wanted = stack == 0 ? 1 : stack;
	if (order->share > 1 &&
	    ((stack ^ order->seed) * 0x9e3779b97f4a7c15ULL >> 32) % order->share != 0) {
		return false;
	}
	for (uint64_t i = wanted;; i++) {
		uint64_t *place = &order->stacks[i % STACKS_MOST];
		if (*place == wanted) {
			return false;
		}
		if (*place == 0) {
			*place = wanted;
			return true;
		}
	}
}

/* Under the lock. */
static bool
judge(uint64_t number)
{
	struct note note = { .number = number, .stack = 14695981039346656037ULL };
	struct walk walk = { .note = &note };
	bool fails = (order->mode == MODE_ONCE && number == order->at) ||
	             (order->mode == MODE_ALWAYS && number >= order->at);
	if (!fails && (order->mode < MODE_FRESH || order->failed > 0 || number < order->at)) {
		return false;
	}
	(void)_Unwind_Backtrace(walk_frame, &walk);
	if (order->mode >= MODE_FRESH && (walk.frames == 0 || !is_fresh(note.stack))) {
		return false;
	}
	(void)atomic_fetch_add(&order->failed, 1);
	uint64_t n = atomic_fetch_add(&order->notes, 1);
	if (n < NOTES_MOST) {
		order->note[n] = note;
	}
	return true;
}

/* True: the call is to fail, and errno says why. */
static bool
fails(enum kind kind)
{
	if (order == NULL || busy > 0 || atomic_load(&order->armed) == 0 || order->kind != kind) {
		return false;
	}
	busy++;
	int saved = errno;
	(void)pthread_mutex_lock(&lock);
	bool result =
		atomic_load(&order->armed) != 0 && judge(atomic_fetch_add(&order->calls, 1) + 1);
	(void)pthread_mutex_unlock(&lock);
	errno = result ? (int)order->error : saved;
	busy--;
	return result;
}

/* --- memory --- */

void *
malloc(size_t size)
{
	return fails(KIND_MEMORY) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails(KIND_MEMORY) ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return fails(KIND_MEMORY) ? NULL : __libc_realloc(old, size);
}

void *
reallocarray(void *old, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

void *
memalign(size_t alignment, size_t size)
{
	return fails(KIND_MEMORY) ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *data = memalign(alignment, size);
	if (data == NULL) {
		return ENOMEM;
	}
	*ret = data;
	return 0;
}

/* --- bytes --- */

ssize_t
read(int fd, void *data, size_t size)
{
	return fails(KIND_READ) ? -1 : syscall(SYS_read, fd, data, size);
}

ssize_t
pread(int fd, void *data, size_t size, off_t offset)
{
	return fails(KIND_READ) ? -1 : syscall(SYS_pread64, fd, data, size, offset);
}

ssize_t
readv(int fd, const struct iovec *parts, int n)
{
	return fails(KIND_READ) ? -1 : syscall(SYS_readv, fd, parts, n);
}

ssize_t
recv(int fd, void *data, size_t size, int flags)
{
	return fails(KIND_READ) ? -1 : syscall(SYS_recvfrom, fd, data, size, flags, NULL, NULL);
}

ssize_t
write(int fd, const void *data, size_t size)
{
	return fails(KIND_WRITE) ? -1 : syscall(SYS_write, fd, data, size);
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return fails(KIND_WRITE) ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t
writev(int fd, const struct iovec *parts, int n)
{
	return fails(KIND_WRITE) ? -1 : syscall(SYS_writev, fd, parts, n);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
	return fails(KIND_WRITE) ? -1 : syscall(SYS_pwritev, fd, parts, n, offset, 0L);
}

ssize_t
send(int fd, const void *data, size_t size, int flags)
{
	return fails(KIND_WRITE) ? -1 : syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

int
fsync(int fd)
{
	return fails(KIND_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return fails(KIND_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
ftruncate(int fd, off_t size)
{
	return fails(KIND_WRITE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

/* --- files --- */

int
openat(int directory, const char *path, int flags, ...)
{
	mode_t mode = 0;
	if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
		va_list arguments;
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	return fails(KIND_OPEN) ? -1 : (int)syscall(SYS_openat, directory, path, flags, mode);
}

int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
		va_list arguments;
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	return openat(AT_FDCWD, path, flags, mode);
}

/* --- descriptors --- */

int
accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	return fails(KIND_ACCEPT) ? -1 : (int)syscall(SYS_accept4, fd, address, size, flags);
}

int
accept(int fd, struct sockaddr *address, socklen_t *size)
{
	return accept4(fd, address, size, 0);
}

int
eventfd(unsigned value, int flags)
{
	return fails(KIND_DESCRIPTOR) ? -1 : (int)syscall(SYS_eventfd2, value, flags);
}

int
pipe2(int fds[2], int flags)
{
	return fails(KIND_DESCRIPTOR) ? -1 : (int)syscall(SYS_pipe2, fds, flags);
}

int
socket(int domain, int type, int protocol)
{
	return fails(KIND_DESCRIPTOR) ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

int
socketpair(int domain, int type, int protocol, int fds[2])
{
	return fails(KIND_DESCRIPTOR) ? -1
	                              : (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

int
epoll_create1(int flags)
{
	return fails(KIND_DESCRIPTOR) ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

int
epoll_create(int size)
{
	(void)size;
	return epoll_create1(0);
}

int
epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	return what == EPOLL_CTL_ADD && fails(KIND_DESCRIPTOR)
	               ? -1
	               : (int)syscall(SYS_epoll_ctl, epoll, what, fd, event);
}

int
signalfd(int fd, const sigset_t *signals, int flags)
{
	return fails(KIND_DESCRIPTOR) ? -1
	                              : (int)syscall(SYS_signalfd4, fd, signals, _NSIG / 8, flags);
}

int
pidfd_open(pid_t pid, unsigned flags)
{
	return fails(KIND_DESCRIPTOR) ? -1 : (int)syscall(SYS_pidfd_open, pid, flags);
}

/* --- threads and processes --- */

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
               void *context)
{
	return fails(KIND_THREAD) ? (int)order->error
	                          : real_pthread_create(thread, attributes, run, context);
}

int
posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
            const posix_spawnattr_t *attributes, char *const *arguments, char *const *variables)
{
	return fails(KIND_PROCESS)
	               ? (int)order->error
	               : real_posix_spawn(pid, path, actions, attributes, arguments, variables);
}

int
posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
             const posix_spawnattr_t *attributes, char *const *arguments, char *const *variables)
{
	return fails(KIND_PROCESS)
	               ? (int)order->error
	               : real_posix_spawnp(pid, path, actions, attributes, arguments, variables);
}

/* The names that programs with _FILE_OFFSET_BITS=64 call; off_t has 64 bits here anyway. */
#define ALIAS(name) __attribute__((alias(name)))
ssize_t pread64(int fd, void *data, size_t size, off64_t offset) ALIAS("pread");
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) ALIAS("pwrite");
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset) ALIAS("pwritev");
int ftruncate64(int fd, off64_t size) ALIAS("ftruncate");
int open64(const char *path, int flags, ...) ALIAS("open");
int openat64(int directory, const char *path, int flags, ...) ALIAS("openat");
