/* SPDX-License-Identifier: MIT */
/* What every other header needs: linkage, durations, the version. */
#ifndef WHORL_BASE_H
#define WHORL_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WHORL_VERSION_MAJOR 0
#define WHORL_VERSION_MINOR 1
#define WHORL_VERSION_PATCH 0
#define WHORL_VERSION       "0.1.0"

#ifdef __cplusplus
#define WHORL_BEGIN_DECLS extern "C" {
#define WHORL_END_DECLS   }
#else
#define WHORL_BEGIN_DECLS
#define WHORL_END_DECLS
#endif

#define WHORL_API __attribute__((visibility("default")))
/* On calls whose ignored result would lose a task or a resource. */
#define WHORL_MUST_USE __attribute__((warn_unused_result))

/* "file:line" of the place of use, a string that lives as long as the program. */
#define WHORL__TEXT2(x) #x
#define WHORL__TEXT(x)  WHORL__TEXT2(x)
#define WHORL_HERE      (__FILE__ ":" WHORL__TEXT(__LINE__))

/* A duration, or a point on the runtime's monotonic clock, in nanoseconds. */
typedef int64_t whorl_ns;

#define WHORL_US(n)  ((whorl_ns)((n)*1000LL))
#define WHORL_MS(n)  ((whorl_ns)((n)*1000000LL))
#define WHORL_SEC(n) ((whorl_ns)((n)*1000000000LL))
/* As a deadline: never. */
#define WHORL_NEVER INT64_MAX

/* What a task runs. The value it returns is its result; `arg` is what was given to spawn, owned by whom the two agree on. */
typedef intptr_t (*whorl_fn)(void *arg);

struct whorl_task;    /* a task's handle */
struct whorl_runtime; /* a running runtime, for threads that are not its own */

WHORL_BEGIN_DECLS

/* The version of the library that is linked, such as "0.1.0"; compare with WHORL_VERSION, that of the headers.
 * Never suspends. Callable from anywhere. */
WHORL_API const char *whorl_version(void);

WHORL_END_DECLS

#endif
