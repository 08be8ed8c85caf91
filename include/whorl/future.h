/* SPDX-License-Identifier: MIT */
/* Futures: a value that will be there, once.
 *
 *     struct whorl_future answer = {0};
 *
 *     start_thread(compute, &answer);                  // calls whorl_future_set(&answer, 42)
 *     err = whorl_future_wait(&answer, &value);
 *
 * Any task and any OS thread may set it, also a thread that whorl knows nothing of, and any number of tasks and threads may wait for
 * it. All zeros: not set yet. It is set once, and keeps its value.
 *
 * It is the caller's, on a stack perhaps. It may go once all waits for it have returned and nobody is going to call anything with it any
 * more: the call that has set it does not touch it again by then, though it may not have returned yet. So who waits may own it.
 *
 * A runtime cannot see that a thread is about to set one: tell it, by whorl_runtime_hold (run.h), if it is one with the null reactor. */
#ifndef WHORL_FUTURE_H
#define WHORL_FUTURE_H

#include <whorl/base.h>
#include <whorl/waiters.h>

/* The library's. All zeros: not set. */
struct whorl_future {
    struct whorl__waiters waiters; /* its lock guards the rest */
    uint32_t state;
    intptr_t value; /* or error */
};

WHORL_BEGIN_DECLS

/* Sets the future to `value` and wakes all who wait for it. What the value points at is handed over to them, and what the caller wrote
 * before is visible to them. Returns 0; -EALREADY: it was set, or has failed, before, and stays as it is.
 * Never suspends. Callable from any OS thread. */
WHORL_API int whorl_future_set(struct whorl_future *future, intptr_t value);

/* The same, but what waits for it returns `error` (< 0). Aborts when that is no error.
 * Never suspends. */
WHORL_API int whorl_future_fail(struct whorl_future *future, int error);

/* Waits until the future is set, and stores its value in *value (unless NULL).
 * Returns 0; the error that it has failed with; -ECANCELED or -ETIMEDOUT when the caller was cancelled or a deadline passed (should it
 * have failed with one of these, whorl_future_try tells).
 * Suspends, unless it is set. An OS thread may call it, and is blocked, whatever happens, until it is set. */
WHORL_API int whorl_future_wait(struct whorl_future *future, intptr_t *value);

/* Looks whether it is set. Returns 0 and stores its value in *value (unless NULL); the error that it has failed with; or -EINPROGRESS.
 * Never suspends. Callable from any OS thread. */
WHORL_API int whorl_future_try(struct whorl_future *future, intptr_t *value);

WHORL_END_DECLS

#endif
