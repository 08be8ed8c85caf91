/* SPDX-License-Identifier: MIT */
/* A place where several parties wait for each other, again and again: none goes on before all have come.
 *
 * A party that is cancelled while it waits breaks the barrier: it will not do its part of the next round, so the others, who would
 * wait for it for ever, are told at once, and so is who comes later. The same goes for one whose deadline passes. One that gives up
 * elsewhere is to call whorl_barrier_break. When all are ready to begin anew, one of them calls whorl_barrier_reset.
 *
 * Tasks of any worker and plain OS threads may use one together. Its memory may be given back as soon as all parties have left. */
#ifndef WHORL_BARRIER_H
#define WHORL_BARRIER_H

#include <whorl/base.h>
#include <whorl/waiters.h>

struct whorl_barrier {
    struct whorl__waiters waiters; /* its lock guards the rest */
    uint32_t parties, waiting;
    uint32_t broken;
};

WHORL_BEGIN_DECLS

/* Makes `barrier` one for `parties` (at least 1). Never suspends. Callable from any thread. */
WHORL_API void whorl_barrier_init(struct whorl_barrier *barrier, uint32_t parties);

/* Waits until all parties wait.
 * Returns how many were there before, so that just one has 0 and just one parties - 1. -EPIPE: the barrier is broken. -ECANCELED or
 * -ETIMEDOUT: the caller is to stop waiting, and has broken it. When all had come before that, it has not, and returns as usual.
 * Suspends, unless the others are there. On an OS thread it blocks that, and is not cancelled. Aborts when the barrier was not
 * initialised. */
WHORL_API WHORL_MUST_USE int whorl_barrier_wait(struct whorl_barrier *barrier);

/* Breaks `barrier`: for a party that will not come. Never suspends. Callable from any thread. */
WHORL_API void whorl_barrier_break(struct whorl_barrier *barrier);

/* Makes `barrier` as it was at first. For those who wait, if any do, it is broken. Never suspends. Callable from any thread. */
WHORL_API void whorl_barrier_reset(struct whorl_barrier *barrier);

WHORL_END_DECLS

#endif
