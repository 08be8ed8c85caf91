/* SPDX-License-Identifier: MIT */
/* All atomic operations of the runtime go through these names, which carry the memory order, so that a model checker can take
 * their place and a reader can search for them. Who an operation is ordered against is said where it is used.
 *
 * They work on plain fields (GCC's __atomic builtins): <stdatomic.h> would put _Atomic into structs that C++ must read. */
#ifndef WHORL_RUNTIME_ATOMIC_H
#define WHORL_RUNTIME_ATOMIC_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#define whorl__load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define whorl__load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define whorl__load_seq_cst(p)     __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define whorl__store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define whorl__store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define whorl__xchg_acq_rel(p, v)  __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define whorl__xchg_seq_cst(p, v)  __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define whorl__add_relaxed(p, v)   __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define whorl__add_seq_cst(p, v)   __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define whorl__sub_acq_rel(p, v)   __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define whorl__or_seq_cst(p, v)    __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define whorl__and_seq_cst(p, v)   __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
/* Compare and exchange; on failure *expected is what was there. */
#define whorl__cas_acq_rel(p, expected, v)                                                                                         \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define whorl__cas_seq_cst(p, expected, v)                                                                                         \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* GCC warns that TSan does not model fences. It is right; what the fences here order are atomics, on which TSan sees no race. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void whorl__fence_seq_cst(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* The same, right after a read-modify-write that is sequentially consistent: on x86 that is a full fence itself. */
static inline void whorl__fence_after_change(void)
{
#if defined(__x86_64__)
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Keeps the compiler, not the CPU, from moving memory accesses over it: the cheap side of a membarrier(2) pair. */
static inline void whorl__fence_compiler(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* A counter that one thread writes and any thread may read: no read-modify-write instruction is needed. */
static inline void whorl__count(uint64_t *counter, uint64_t n)
{
    whorl__store_relaxed(counter, whorl__load_relaxed(counter) + n);
}

static inline void whorl__cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* For sections of a few instructions. Never held over a switch of tasks. A holder may lose its CPU, so waiters give theirs
 * up after a while instead of spinning out their time slice. */
struct whorl__spinlock {
    uint32_t locked;
};

static inline bool whorl__spin_trylock(struct whorl__spinlock *l)
{
    /* Acquire: pairs with the release in whorl__spin_unlock; what the last holder wrote is visible. */
    return whorl__load_relaxed(&l->locked) == 0 && __atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void whorl__spin_lock(struct whorl__spinlock *l)
{
    for (unsigned i = 1; !whorl__spin_trylock(l); i++)
        if (i % 64 == 0)
            sched_yield();
        else
            whorl__cpu_relax();
}

static inline void whorl__spin_unlock(struct whorl__spinlock *l)
{
    whorl__store_release(&l->locked, 0);
}

#endif
