/* What we ask of the compiler beyond C17: attributes, thread capabilities, small macros.
 * The capability names are those of clang's thread safety analysis; gcc sees nothing of them.
 * https://releases.llvm.org/14.0.0/tools/clang/docs/ThreadSafetyAnalysis.html */
#ifndef HOOKLATCH_BASE_COMPILER_H
#define HOOKLATCH_BASE_COMPILER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK              __attribute__((warn_unused_result))
#define UNUSED                  __attribute__((unused))
#define NORETURN                __attribute__((noreturn))
#define PRINTF(text, arguments) __attribute__((format(printf, text, arguments)))

#if defined(__clang__)
#define CAPABILITY(kind) __attribute__((capability(kind)))
#define ON_THREAD(role)  __attribute__((requires_capability(role)))
#define IS_THREAD(role)  __attribute__((assert_capability(role)))
#else
#define CAPABILITY(kind)
#define ON_THREAD(role)
#define IS_THREAD(role)
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member` at `pointer`. */
#define CONTAINER(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

#endif
