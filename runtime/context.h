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
#error "whorl has a context switch for x86-64 and aarch64 only: add runtime/context_<machine>.S and whorl__context_swap here"
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

/* Saves the running context at from->sp, goes on with the one at to->sp, whose own call then returns `arg`.
 *
 * A context that does not run is its stack pointer; there lie four words, what the code needs that goes on: its address, the
 * control words of floating point (the ABI has a callee keep them), and two registers that must not be declared as overwritten. All
 * others are: so the compiler saves those that it needs, and only those.
 *
 * Inline, and left by a jump: the CPU predicts a return by the last call it saw. A switch that is called and left by a return makes
 * that one go wrong (7 to 10 ns instead of 4); one that is called and left by a jump makes every return after it go wrong, since
 * its call is never matched (three returns later 36 ns instead of 13). Inline, two tasks that switch by the same path even have
 * their returns predicted. Shadow stacks (Intel's and Arm's) would need more, so whorl must not be marked as fit for them. */
#if defined(__x86_64__)

#define WHORL__CONTROL_DEFAULT 0x037f00001f80 /* x87's control word and MXCSR, as a process starts with */

#if defined(__AVX512F__)
#define WHORL__CLOBBER_MORE                                                                                                        \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28",         \
        "xmm29", "xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define WHORL__CLOBBER_MORE
#endif

/* The caller may keep 128 bytes below the stack pointer, the red zone. `notrack`: no endbr64 stands where contexts go on. */
#define WHORL__CONTEXT_SWAP(save, restore)                                                                                         \
    __asm__ volatile("leaq   -160(%%rsp), %%rsp\n\t"                                                                               \
                     "movq   %%rbx, 16(%%rsp)\n\t"                                                                                 \
                     "movq   %%rbp, 24(%%rsp)\n\t"                                                                                 \
                     "leaq   1f(%%rip), %%rcx\n\t"                                                                                 \
                     "movq   %%rcx, (%%rsp)\n\t" save "movq   %%rsp, (%%rdi)\n\t"                                                  \
                     "movq   (%%rsi), %%rsp\n\t"                                                                                   \
                     "movq   (%%rsp), %%rcx\n\t"                                                                                   \
                     "notrack jmp *%%rcx\n"                                                                                        \
                     "1:\n\t"                                                                                                      \
                     "movq   16(%%rsp), %%rbx\n\t"                                                                                 \
                     "movq   24(%%rsp), %%rbp\n\t" restore "leaq   160(%%rsp), %%rsp"                                              \
                     : "+D"(from), "+S"(to), "+a"(arg)                                                                             \
                     :                                                                                                             \
                     : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc", "xmm0", "xmm1", "xmm2", \
                       "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",        \
                       "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)" WHORL__CLOBBER_MORE)

__attribute__((always_inline)) static inline void *whorl__context_swap(struct whorl__context *from, struct whorl__context *to,
                                                                       void *arg)
{
    WHORL__CONTEXT_SWAP("stmxcsr 8(%%rsp)\n\tfnstcw 12(%%rsp)\n\t", "ldmxcsr 8(%%rsp)\n\tfldcw  12(%%rsp)\n\t");
    return arg;
}

/* The same for a context that does not mind which control words it gets back: reading and writing them is half of what a switch
 * costs. */
__attribute__((always_inline)) static inline void *whorl__context_swap_bare(struct whorl__context *from, struct whorl__context *to,
                                                                            void *arg)
{
    WHORL__CONTEXT_SWAP("", "");
    return arg;
}

/* The second half of a switch. */
__attribute__((always_inline)) _Noreturn static inline void whorl__context_go(struct whorl__context *to, void *arg)
{
    __asm__ volatile("movq   (%%rsi), %%rsp\n\t"
                     "movq   (%%rsp), %%rcx\n\t"
                     "notrack jmp *%%rcx"
                     :
                     : "S"(to), "a"(arg)
                     : "rcx", "memory");
    __builtin_unreachable();
}

#else

#define WHORL__CONTROL_DEFAULT 0 /* FPCR, as a process starts with */

#if defined(__ARM_FEATURE_SVE)
#define WHORL__CLOBBER_MORE , "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14", "p15"
#else
#define WHORL__CLOBBER_MORE
#endif

/* Writing FPCR drains the floating point unit on many cores, so only when it differs. hint #36 is `bti j`: jumps may land here. */
__attribute__((always_inline)) static inline void *whorl__context_swap(struct whorl__context *from, struct whorl__context *to,
                                                                       void *arg)
{
    register struct whorl__context *x0 __asm__("x0") = from;
    register struct whorl__context *x1 __asm__("x1") = to;
    register void *x2 __asm__("x2") = arg;

    __asm__ volatile("sub     sp, sp, #32\n\t"
                     "adr     x9, 1f\n\t"
                     "mrs     x10, fpcr\n\t"
                     "stp     x9, x10, [sp]\n\t"
                     "stp     x19, x29, [sp, #16]\n\t"
                     "mov     x9, sp\n\t"
                     "str     x9, [x0]\n\t"
                     "ldr     x9, [x1]\n\t"
                     "mov     sp, x9\n\t"
                     "ldr     x17, [sp]\n\t"
                     "br      x17\n"
                     "1:\n\t"
                     "hint    #36\n\t"
                     "ldr     x9, [sp, #8]\n\t"
                     "mrs     x10, fpcr\n\t"
                     "cmp     x9, x10\n\t"
                     "b.eq    2f\n\t"
                     "msr     fpcr, x9\n"
                     "2:\n\t"
                     "ldp     x19, x29, [sp, #16]\n\t"
                     "add     sp, sp, #32"
                     : "+r"(x0), "+r"(x1), "+r"(x2)
                     :
                     : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18",
                       "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "memory", "cc", "v0", "v1", "v2", "v3",
                       "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19",
                       "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31" WHORL__CLOBBER_MORE);
    return x2;
}

#define whorl__context_swap_bare whorl__context_swap

__attribute__((always_inline)) _Noreturn static inline void whorl__context_go(struct whorl__context *to, void *arg)
{
    register struct whorl__context *x1 __asm__("x1") = to;
    register void *x2 __asm__("x2") = arg;

    __asm__ volatile("ldr     x9, [x1]\n\t"
                     "mov     sp, x9\n\t"
                     "ldr     x17, [sp]\n\t"
                     "br      x17"
                     :
                     : "r"(x1), "r"(x2)
                     : "x9", "x17", "memory");
    __builtin_unreachable();
}

#endif

/* The assembly: the first code of a context, never called. */
void whorl__context_start(void);

/* Writes the four words of a new context below the end of its stack: whorl__context_start takes what would be registers for a
 * function and its second argument. Returns the stack pointer. */
WHORL__CONTEXT_NO_SANITIZE
static inline void *whorl__context_frame(void *stack_base, size_t stack_size, void *first, void *second)
{
    uintptr_t *frame = (uintptr_t *)((((uintptr_t)stack_base + stack_size) & ~(uintptr_t)15) - 32);

    frame[0] = (uintptr_t)whorl__context_start;
    frame[1] = WHORL__CONTROL_DEFAULT;
    frame[2] = (uintptr_t)first;
    frame[3] = (uintptr_t)second;
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

/* What the sanitizers are told before a switch and after it. */
__attribute__((always_inline)) static inline void whorl__context_before(struct whorl__context *to, void **fake_stack)
{
#if defined(WHORL__TSAN)
    __tsan_switch_to_fiber(to->fiber, WHORL_TSAN_FLAG);
#endif
#if defined(WHORL__ASAN)
    __sanitizer_start_switch_fiber(fake_stack, to->bottom, to->size);
#endif
    (void)to;
    (void)fake_stack;
}

__attribute__((always_inline)) static inline void whorl__context_after(struct whorl__context *from)
{
#if defined(WHORL__ASAN)
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
    (void)from;
}

#if defined(WHORL__ASAN)
#define WHORL__FAKE_STACK(c) (&(c)->fake_stack)
#else
#define WHORL__FAKE_STACK(c) NULL
#endif

/* Leaves `from`, the running context, for `to`. Returns when something switches back to `from`, perhaps on another thread, with
 * the argument of that switch. */
__attribute__((always_inline)) static inline void *whorl__context_switch(struct whorl__context *from, struct whorl__context *to,
                                                                         void *arg)
{
    whorl__context_before(to, WHORL__FAKE_STACK(from));
    arg = whorl__context_swap(from, to, arg);
    whorl__context_after(from);
    return arg;
}

/* The same, but `from` gets back whatever control words of floating point the others used last. For code that uses none. */
__attribute__((always_inline)) static inline void *whorl__context_switch_bare(struct whorl__context *from,
                                                                              struct whorl__context *to, void *arg)
{
    whorl__context_before(to, WHORL__FAKE_STACK(from));
    arg = whorl__context_swap_bare(from, to, arg);
    whorl__context_after(from);
    return arg;
}

/* Leaves the running context for `to`, for good: its stack may be used again as soon as `to` runs. */
__attribute__((always_inline)) _Noreturn static inline void whorl__context_exit(struct whorl__context *to, void *arg)
{
    whorl__context_before(to, NULL);
    whorl__context_go(to, arg);
}

/* The control words of the calling thread, to be given back to it after bare switches. */
static inline uint64_t whorl__context_control(void)
{
#if defined(__x86_64__)
    uint32_t sse;
    uint16_t x87;

    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(sse), "=m"(x87));
    return (uint64_t)x87 << 32 | sse;
#else
    uint64_t words;

    __asm__ volatile("mrs %0, fpcr" : "=r"(words));
    return words;
#endif
}

static inline void whorl__context_set_control(uint64_t words)
{
#if defined(__x86_64__)
    uint32_t sse = (uint32_t)words;
    uint16_t x87 = (uint16_t)(words >> 32);

    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(sse), "m"(x87));
#else
    __asm__ volatile("msr fpcr, %0" : : "r"(words));
#endif
}

#endif
