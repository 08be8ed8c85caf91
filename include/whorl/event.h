/* SPDX-License-Identifier: MIT */
/* Something that has happened, or not yet: who waits for it goes on when it is set, and so does who comes later.
 *
 *     struct whorl_event ready = {0};
 *
 *     whorl_event_set(&ready);                 in one task, or OS thread
 *     err = whorl_event_wait(&ready);          in as many others as there are
 *
 * Tasks of any worker and plain OS threads may use one event together. All zeros is an event that is not set. Its memory may be
 * given back as soon as nobody waits and nobody is about to: who was let go by the one that sets it need not wait until that has
 * returned. */
#ifndef WHORL_EVENT_H
#define WHORL_EVENT_H

#include <whorl/base.h>
#include <whorl/waiters.h>

/* All zeros: ready to use, not set. */
struct whorl_event {
    struct whorl__waiters waiters;
    uint32_t set; /* written under the waiters' lock; anyone, atomic */
};

WHORL_BEGIN_DECLS

/* Sets `event`: all who wait go on, and nobody waits until it is cleared. Setting it again changes nothing. Never suspends.
 * Callable from any thread. */
WHORL_API void whorl_event_set(struct whorl_event *event);

/* Makes `event` one that is not set. Those who were let go before stay so. Never suspends. Callable from any thread. */
WHORL_API void whorl_event_clear(struct whorl_event *event);

/* 1 if `event` is set, else 0. Never suspends. Callable from any thread. */
WHORL_API int whorl_event_is_set(struct whorl_event *event);

/* Waits until `event` is set.
 * Returns 0: it was, if perhaps cleared since; -ECANCELED or -ETIMEDOUT: the caller is to stop waiting. Suspends, unless it is set,
 * and now and then to let others run. On an OS thread it blocks that, and always returns 0. */
WHORL_API WHORL_MUST_USE int whorl_event_wait(struct whorl_event *event);

WHORL_END_DECLS

#endif
