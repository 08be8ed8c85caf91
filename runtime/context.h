/* SPDX-License-Identifier: MIT */
/* Contexts: flows of control with a stack of their own, and the switch from one to another. They know nothing of tasks.
 *
 * A switch keeps what the ABI has a callee keep, the floating point control words among it, and nothing else: vector registers
 * are the caller's to save at any call. Thread-local variables do not follow a context: code that may come back on another
 * thread must not hold their addresses over a switch.
 *
 * All that the sanitizers must be told about a switch is said here and nowhere else. */
#ifndef WHORL_RUNTIME_CONTEXT_H
#define WHORL_RUNTIME_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "whorl has a context switch for x86-64 and aarch64 only: add runtime/context_<machine>.S and its frame to context.h"
#elif defined(__ILP32__)
#error "whorl needs 64-bit pointers: x32 and aarch64 ILP32 are not supported"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define WHORL__ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WHORL__TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WHORL__ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WHORL__TSAN 1
#endif
#endif

#if defined(WHORL__ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(WHORL__TSAN)
#include <sanitizer/tsan_interface.h>
/* 0: a switch orders the two contexts for TSan, so that contexts of one thread never race. 1: it does not, and TSan finds accesses
 * that only the accident of running on one thread keeps apart. */
#if !defined(WHORL_TSAN_FLAG)
#define WHORL_TSAN_FLAG 0
#endif
#endif

/* For the entry of a context, when it is to run on a stack whose TSan fibre is used again, and for nothing that it calls: it is
 * left without ever returning, so TSan must not have counted it as entered. It has to call whorl__context_exit itself. */
#if defined(WHORL__TSAN) && defined(__clang__)
#define WHORL__CONTEXT_ENTRY __attribute__((disable_sanitizer_instrumentation, noinline))
#elif defined(WHORL__TSAN)
#define WHORL__CONTEXT_ENTRY __attribute__((no_sanitize("thread"), noinline))
#else
#define WHORL__CONTEXT_ENTRY
#endif

#define WHORL__CONTEXT_NO_SANITIZE __attribute__((no_sanitize("address", "thread")))

/* Never returns: it ends with whorl__context_exit. */
typedef void (*whorl__context_entry)(void *arg);

struct whorl__context {
    void *sp; /* first, the assembly finds it there; valid while the context does not run */
#if defined(WHORL__ASAN)
    const void *bottom; /* its stack */
    size_t size;
    void *fake_stack; /* where ASan keeps its locals, to find uses after return */
#endif
#if defined(WHORL__TSAN)
    void *fiber;
    int owns_fiber;
#endif
};

/* The assembly: saves the running context at from->sp, goes on with the one at to->sp, whose own call then returns `arg`. */
void *whorl__context_swap(struct whorl__context *from, struct whorl__context *to, void *arg);
/* The assembly: the first code of a context, never called. */
void whorl__context_start(void);

/* Writes the frame of a new context below the end of its stack; the assembly files show what lies where. The rest of it is
 * loaded into registers that nobody reads. Returns the stack pointer. */
WHORL__CONTEXT_NO_SANITIZE
static inline void *whorl__context_frame(void *stack_base, size_t stack_size, void *first, void *second)
{
    uintptr_t top = ((uintptr_t)stack_base + stack_size) & ~(uintptr_t)15;
#if defined(__x86_64__)
    uintptr_t *frame = (uintptr_t *)(top - 64);
    frame[0] = 0x037f00001f80;    /* the control words a process starts with */
    frame[4] = (uintptr_t)second; /* r12 */
    frame[5] = (uintptr_t)first;  /* rbx */
    frame[7] = (uintptr_t)whorl__context_start;
#else
    uintptr_t *frame = (uintptr_t *)(top - 176);
    frame[0] = (uintptr_t)first;  /* x19 */
    frame[1] = (uintptr_t)second; /* x20 */
    frame[11] = (uintptr_t)whorl__context_start;
    frame[20] = 0; /* FPCR as a process starts with */
#endif
    return frame;
}

/* Makes `c` the context that the calling thread is in already. */
void whorl__context_init_thread(struct whorl__context *c);

#if defined(WHORL__ASAN) || defined(WHORL__TSAN)

void whorl__context_init(struct whorl__context *c, void *stack_base, size_t stack_size, whorl__context_entry entry);
void whorl__context_fini(struct whorl__context *c);

#else

/* Makes `c` a context: the first switch to it calls `entry` with the argument of that switch, on the given stack, which must not
 * be in use. The stack and `c` are borrowed until the context has exited. */
static inline void whorl__context_init(struct whorl__context *c, void *stack_base, size_t stack_size, whorl__context_entry entry)
{
    c->sp = whorl__context_frame(stack_base, stack_size, (void *)(uintptr_t)entry, NULL);
}

/* Ends the use of `c`, which does not run. */
static inline void whorl__context_fini(struct whorl__context *c)
{
    (void)c;
}

#endif

#if defined(WHORL__TSAN)
/* A TSan fibre costs 35 us and 61 KB to make, so it belongs to a stack and serves one context after the other. */
void whorl__context_init_fiber(struct whorl__context *c, void *stack_base, size_t stack_size, whorl__context_entry entry,
                               void **fiber);
void whorl__context_free_fiber(void **fiber);
#endif

/* Leaves `from`, the running context, for `to`. Returns when something switches back to `from`, perhaps on another thread, with
 * the argument of that switch. */
__attribute__((always_inline)) static inline void *whorl__context_switch(struct whorl__context *from, struct whorl__context *to,
                                                                         void *arg)
{
#if defined(WHORL__TSAN)
    __tsan_switch_to_fiber(to->fiber, WHORL_TSAN_FLAG);
#endif
#if defined(WHORL__ASAN)
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
#endif
    arg = whorl__context_swap(from, to, arg);
#if defined(WHORL__ASAN)
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
    return arg;
}

/* Leaves `from`, the running context, for `to`, for good: its stack may be used again as soon as `to` runs. */
__attribute__((always_inline)) _Noreturn static inline void whorl__context_exit(struct whorl__context *from,
                                                                                struct whorl__context *to, void *arg)
{
#if defined(WHORL__TSAN)
    __tsan_switch_to_fiber(to->fiber, WHORL_TSAN_FLAG);
#endif
#if defined(WHORL__ASAN)
    __sanitizer_start_switch_fiber(NULL, to->bottom, to->size);
#endif
    whorl__context_swap(from, to, arg);
    __builtin_trap(); /* an exited context was switched to */
}

#endif
