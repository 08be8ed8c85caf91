/* SPDX-License-Identifier: MIT */
/* A number of permits, for at most so many at a time: connections to a server, files that are open.
 *
 *     whorl_semaphore_init(&s, 4);
 *
 *     if ((err = whorl_semaphore_acquire(&s)) < 0)
 *         return err;
 *     …
 *     whorl_semaphore_release(&s);
 *
 * Tasks of any worker and plain OS threads may use one together; whoever releases need not have acquired. Who waits is served in
 * the order of coming, and nobody passes one that waits for more. Its memory may be given back once all that were acquired have
 * been released, or will never be: who was served by another's release need not wait until that has returned. */
#ifndef WHORL_SEMAPHORE_H
#define WHORL_SEMAPHORE_H

#include <whorl/base.h>
#include <whorl/waiters.h>

/* All zeros: without permits, and unbounded. */
struct whorl_semaphore {
    struct whorl__permits permits;
    int64_t bound; /* 0: none. Constant */
};

WHORL_BEGIN_DECLS

/* Makes `semaphore` one with `permits` permits. Never suspends. Callable from any thread. */
WHORL_API void whorl_semaphore_init(struct whorl_semaphore *semaphore, size_t permits);

/* The same, for one that never has more than it has now: releasing too often is an error, and reported. `permits` is at least 1.
 * Never suspends. Callable from any thread. */
WHORL_API void whorl_semaphore_init_bounded(struct whorl_semaphore *semaphore, size_t permits);

/* Takes one permit, waiting until it is there.
 * Returns 0; -ECANCELED or -ETIMEDOUT: the caller is to stop waiting, and has taken none. What is there is taken even then.
 * Suspends, unless it is there, and now and then to let others run. On an OS thread it blocks that, and always returns 0. */
WHORL_API WHORL_MUST_USE int whorl_semaphore_acquire(struct whorl_semaphore *semaphore);

/* Takes `count` permits together. Returns also -EINVAL: a bounded one never has so many. Suspends, unless they are there. On an OS
 * thread it blocks that. */
WHORL_API WHORL_MUST_USE int whorl_semaphore_acquire_many(struct whorl_semaphore *semaphore, size_t count);

/* Takes one permit if there is one, and nobody waits. Returns 0, or -EAGAIN. Never suspends. Callable from any thread. */
WHORL_API WHORL_MUST_USE int whorl_semaphore_try_acquire(struct whorl_semaphore *semaphore);

/* Gives one permit. Returns 0, or -EOVERFLOW: a bounded one would have more than at first; nothing has changed. Never suspends.
 * Callable from any thread. */
WHORL_API int whorl_semaphore_release(struct whorl_semaphore *semaphore);

/* Gives `count` permits together. Returns as whorl_semaphore_release. Never suspends. Callable from any thread. */
WHORL_API int whorl_semaphore_release_many(struct whorl_semaphore *semaphore, size_t count);

WHORL_END_DECLS

#endif
