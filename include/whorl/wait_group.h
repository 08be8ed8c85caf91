/* SPDX-License-Identifier: MIT */
/* A count of things to be done, and waiting until none is left.
 *
 * Tasks of any worker and plain OS threads may use one together. All zeros is one with nothing to be done. Its memory may be given
 * back as soon as nothing is left and nobody is about to use it: who was let go by the last whorl_wait_group_done need not wait
 * until that has returned. For tasks that end before their starter does there are scopes (scope.h). */
#ifndef WHORL_WAIT_GROUP_H
#define WHORL_WAIT_GROUP_H

#include <whorl/base.h>
#include <whorl/waiters.h>

/* All zeros: ready to use, nothing to be done. */
struct whorl_wait_group {
    struct whorl__waiters waiters;
    size_t count; /* written under the waiters' lock; anyone, atomic */
};

WHORL_BEGIN_DECLS

/* `count` more things are to be done. Whoever waits goes on waiting for them. Never suspends. Callable from any thread. */
WHORL_API void whorl_wait_group_add(struct whorl_wait_group *group, size_t count);

/* One of them is. Never suspends. Callable from any thread. Aborts when none was left. */
WHORL_API void whorl_wait_group_done(struct whorl_wait_group *group);

/* Waits until nothing is left. Returns 0, -ECANCELED or -ETIMEDOUT. Suspends, unless nothing is, and now and then to let others
 * run. On an OS thread it blocks that, and always returns 0. */
WHORL_API WHORL_MUST_USE int whorl_wait_group_wait(struct whorl_wait_group *group);

WHORL_END_DECLS

#endif
