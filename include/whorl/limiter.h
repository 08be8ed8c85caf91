/* SPDX-License-Identifier: MIT */
/* So many things in a time, and no more: requests a second to a server, bytes a second to a peer.
 *
 *     whorl_limiter_init(&l, 10, WHORL_SEC(1), 3);         ten a second; up to three at once after a pause
 *
 *     if ((err = whorl_limiter_acquire(&l)) < 0)
 *         return err;
 *     …
 *
 * A token bucket: it holds `burst` tokens at most, as many at first, and new ones come at an even rate, exactly: none is lost to
 * rounding. Who waits is served in the order of coming. The clock is the runtime's, so it is for tasks, of any worker. Its memory
 * may be given back as soon as nobody waits and nobody is about to. */
#ifndef WHORL_LIMITER_H
#define WHORL_LIMITER_H

#include <whorl/mutex.h>

struct whorl_limiter {
    struct whorl_mutex line; /* held by the first of those who wait, until there are tokens enough */
    int64_t count;           /* what comes to the level in a nanosecond; constant */
    int64_t cost;            /* what a token takes from it; constant */
    int64_t full;            /* the highest level; constant */
    int64_t level;
    whorl_ns seen;   /* when it had that level */
    uint32_t locked; /* guards the two above */
};

WHORL_BEGIN_DECLS

/* Makes `limiter` one that lets `count` pass in each `period`, evenly, and `burst` at once when nobody has come for a while. Each
 * at least 1.
 * Returns 0, or -EINVAL: one is less, or burst * period is more than WHORL_NEVER / 2. Never suspends. */
WHORL_API WHORL_MUST_USE int whorl_limiter_init(struct whorl_limiter *limiter, int64_t count, whorl_ns period, int64_t burst);

/* Takes a token, waiting until it is there.
 * Returns 0; -ECANCELED or -ETIMEDOUT: the caller is to stop waiting, and has taken none; -ENOMEM. What is there is taken even
 * then. Suspends, unless it is there and nobody waits. Aborts outside a task. */
WHORL_API WHORL_MUST_USE int whorl_limiter_acquire(struct whorl_limiter *limiter);

/* Takes `tokens` of them together. Returns also -EINVAL: there are never so many. Suspends, unless they are there and nobody waits.
 * */
WHORL_API WHORL_MUST_USE int whorl_limiter_acquire_many(struct whorl_limiter *limiter, int64_t tokens);

/* Takes a token if there is one, and nobody waits. Returns 0, or -EAGAIN. Never suspends. Aborts outside a task. */
WHORL_API WHORL_MUST_USE int whorl_limiter_try_acquire(struct whorl_limiter *limiter);

WHORL_END_DECLS

#endif
