/* SPDX-License-Identifier: MIT */
/* Waiting, with a mutex, for what the mutex guards to have changed.
 *
 *     whorl_mutex_lock(&m);
 *     while (!err && !ready)
 *         err = whorl_condition_wait(&changed, &m);
 *     …                                                  the mutex is held, whatever err is
 *     whorl_mutex_unlock(&m);
 *
 * Who changes it calls whorl_condition_notify, best while it holds the mutex. Tasks of any worker and plain OS threads may use one
 * together. All zeros is one that nobody waits for. Its memory may be given back as soon as nobody waits and nobody is about to, or
 * to notify. */
#ifndef WHORL_CONDITION_H
#define WHORL_CONDITION_H

#include <whorl/base.h>
#include <whorl/waiters.h>

struct whorl_mutex;

/* All zeros: ready to use. */
struct whorl_condition {
    struct whorl__waiters waiters;
};

WHORL_BEGIN_DECLS

/* Unlocks `mutex`, waits until somebody notifies, and locks the mutex again. Between the first two no notification is missed, and
 * nobody wakes without one; but what it told of may be untrue again when the mutex is had: wait in a loop.
 * Returns 0, -ECANCELED or -ETIMEDOUT. The mutex is locked again in any case: that part of the wait is not cancelled. Suspends. On
 * an OS thread it blocks that, and always returns 0. Aborts unless the caller holds the mutex. */
WHORL_API WHORL_MUST_USE int whorl_condition_wait(struct whorl_condition *condition, struct whorl_mutex *mutex);

/* Lets the one go who has waited longest. Nothing happens when nobody waits. Never suspends. Callable from any thread. */
WHORL_API void whorl_condition_notify(struct whorl_condition *condition);

/* Lets all go who wait. Never suspends. Callable from any thread. */
WHORL_API void whorl_condition_notify_all(struct whorl_condition *condition);

WHORL_END_DECLS

#endif
