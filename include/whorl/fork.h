/* SPDX-License-Identifier: MIT */
/* Fork-join: work that others may take, at the price of a few stores.
 *
 * A fork is a record on the caller's stack, its arguments and results beside it in the caller's own struct:
 *
 *     struct fib { struct whorl_fork fork; long n, result; };
 *
 *     static void fib(struct whorl_fork *self)
 *     {
 *         struct fib *f = whorl_fork_of(self, struct fib, fork);
 *         if (f->n < 2) { f->result = f->n; return; }
 *         struct fib a = {.n = f->n - 1}, b = {.n = f->n - 2};
 *         whorl_fork(&a.fork, fib);
 *         fib(&b.fork);
 *         whorl_sync(&a.fork);
 *         f->result = a.result + b.result;
 *     }
 *
 * If no worker has taken it until its sync, it is a plain call there. Either way it may sleep, lock and do I/O as its task
 * may. It belongs to its task: whorl_self is the task's handle there; whorl_cancel reaches the task and each of its forks that
 * is under way; the task's deadline is that of a fork from when it is taken.
 *
 * What you see here in the way of structs and inline functions is what makes it fast, and is part of the library's binary
 * interface: a program must be compiled with the headers of the minor version that it runs with. */
#ifndef WHORL_FORK_H
#define WHORL_FORK_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

struct whorl_fork;
typedef void (*whorl_fork_fn)(struct whorl_fork *self);

/* The library's from whorl_fork to whorl_sync; needs no initialisation. */
struct whorl_fork {
    whorl_fork_fn fn; /* NULL: it has run, at the sync of another one */
    uintptr_t latch;  /* once it is taken: opened when it has run */
};

/* The struct of type `type` whose member `field` is the fork `self`. */
#define whorl_fork_of(self, type, field) ((type *)(void *)((char *)(self)-offsetof(type, field)))

/* The forks of the task that runs on this thread, and that nobody has taken yet: a stack for the owner, a queue for thieves. The
 * whole of it, and the protocol, is in runtime/fork.h. */
struct whorl__forks {
    struct whorl_fork **tail;                              /* where the next one goes; the owner's */
    struct whorl_fork **limit;                             /* a fork that would go here or beyond goes the slow way */
    const char *low;                                       /* a sync with less stack than down to here goes the slow way */
    uint32_t credit;                                       /* forks and checkpoints until the next look at the rest of the world */
    struct whorl_fork **head __attribute__((aligned(64))); /* the oldest one: thieves move it */
};

#define WHORL__FORK_NOT_TAKEN ((uintptr_t)2)

/* The rest of the three below. Suspends. */
WHORL_API void whorl__fork_slow(struct whorl_fork *fork);
/* Suspends. */
WHORL_API void whorl__sync_slow(struct whorl_fork *fork);
/* Suspends. */
WHORL_API void whorl__checkpoint_slow(void);

/* Read anew each time, by instructions that the compiler knows nothing of: a task may be on another thread after any call. */
static inline struct whorl__forks *whorl__forks_here(void)
{
    struct whorl__forks *forks;

#if defined(__x86_64__)
    __asm__ volatile("movq whorl__forks_current@gottpoff(%%rip), %0\n\t"
                     "movq %%fs:(%0), %0"
                     : "=r"(forks)
                     :
                     : "memory");
#else
    struct whorl__forks *thread;

    __asm__ volatile("adrp %0, :gottprel:whorl__forks_current\n\t"
                     "ldr %0, [%0, #:gottprel_lo12:whorl__forks_current]\n\t"
                     "mrs %1, tpidr_el0\n\t"
                     "ldr %0, [%1, %0]"
                     : "=r"(forks), "=&r"(thread)
                     :
                     : "memory");
#endif
    return forks;
}

/* Lets others run fn(fork) from now on. `fork` must be synced by the same call of a function that forked it, before that returns.
 * The last fork should be the first to be synced; in any other order the later ones are run on the way. Never fails: when no memory
 * is left it runs `fn` itself. Aborts outside a task.
 * Never suspends, unless it takes the turn to let other tasks run. */
static inline void whorl_fork(struct whorl_fork *fork, whorl_fork_fn fn)
{
    struct whorl__forks *forks = whorl__forks_here();
    struct whorl_fork **tail = forks->tail;

    fork->fn = fn;
    fork->latch = WHORL__FORK_NOT_TAKEN;
    if (__builtin_expect(tail < __atomic_load_n(&forks->limit, __ATOMIC_RELAXED) && --forks->credit != 0, 1)) {
        __atomic_store_n(tail, fork, __ATOMIC_RELAXED);
        /* Release: pairs with the acquire of `tail` by a thief; the fork and what it is to work on are visible. */
        __atomic_store_n(&forks->tail, tail + 1, __ATOMIC_RELEASE);
    } else {
        whorl__fork_slow(fork);
    }
}

/* Returns when `fork` has run: runs it now unless somebody has taken it. What it wrote is visible then. It cannot be cancelled: the
 * waits of the fork can. Suspends. Aborts if the running task has not forked it. */
static inline void whorl_sync(struct whorl_fork *fork)
{
    struct whorl__forks *forks = whorl__forks_here();
    struct whorl_fork **tail = forks->tail - 1;

    if (__builtin_expect(__atomic_load_n(tail, __ATOMIC_RELAXED) == fork && (const char *)__builtin_frame_address(0) > forks->low,
                         1)) {
        /* O1 to O3 of runtime/fork.h. */
        __atomic_store_n(&forks->tail, tail, __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (__builtin_expect(__atomic_load_n(&forks->head, __ATOMIC_RELAXED) <= tail, 1)) {
            fork->fn(fork);
            return;
        }
        __atomic_store_n(&forks->tail, tail + 1, __ATOMIC_RELAXED);
    }
    whorl__sync_slow(fork);
}

/* For long computations: lets other tasks run if it is their turn, and I/O be noticed. A nanosecond or so if not.
 * Suspends. Aborts outside a task. */
static inline void whorl_checkpoint(void)
{
    struct whorl__forks *forks = whorl__forks_here();

    if (__builtin_expect(--forks->credit == 0, 0))
        whorl__checkpoint_slow();
}

WHORL_END_DECLS

#endif
