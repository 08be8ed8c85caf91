/* SPDX-License-Identifier: MIT */
/* Several tasks at once: starting them and having their results, or waiting for some that run. */
#ifndef WHORL_GROUP_H
#define WHORL_GROUP_H

#include <whorl/base.h>
#include <whorl/waiters.h>

/* A function to be called. */
struct whorl_call {
    whorl_fn fn;
    void *arg;
};

WHORL_BEGIN_DECLS

/* Runs the `count` functions of `calls`, each as a task of its own, and stores their results in the same order in `results`. The first
 * that returns less than 0 cancels the others, as in a scope (scope.h).
 * Returns 0 when none did; else that result; -ECANCELED or -ETIMEDOUT when the caller was to stop waiting: they have been cancelled, and have
 * ended; -ENOMEM: not all could be started, those that were have been cancelled. What never ran has the result -ECANCELED. Suspends. */
WHORL_API int whorl_gather(intptr_t *results, const struct whorl_call *calls, size_t count);

/* The same, but none cancels the others. Returns 0 whatever they return. Suspends. */
WHORL_API int whorl_gather_all(intptr_t *results, const struct whorl_call *calls, size_t count);

/* Calls fn(item) for each of the `count` items of `size` bytes at `items`, at most `parallel` (at least 1) at a time, and stores the results in
 * the same order in `results` (unless NULL). The first that is less than 0 cancels those under way, and the rest are not begun: their
 * results are -ECANCELED. Returns as whorl_gather. Suspends. */
WHORL_API int whorl_map(whorl_fn fn, void *items, size_t size, size_t count, size_t parallel, intptr_t *results);

/* When whorl_wait returns. */
enum whorl_until {
    WHORL_UNTIL_ALL,   /* all have ended */
    WHORL_UNTIL_FIRST, /* at least one has */
    WHORL_UNTIL_ERROR  /* one has with a result below 0, or all have */
};

/* Waits for the `count` tasks of `tasks` (handles, each once). They stay valid: ask whorl_result which have ended, and join all.
 * Returns how many have ended; -ECANCELED or -ETIMEDOUT: the caller is to stop waiting; -ENOMEM. Suspends. Aborts when another task waits for one of
 * them. */
WHORL_API ssize_t whorl_wait(struct whorl_task *const *tasks, size_t count, enum whorl_until until);

/* An iteration over tasks in the order of their ending:
 *
 *     struct whorl_completions c;
 *     struct whorl_task *t;
 *
 *     if (whorl_completions_open(&c, tasks, n) == 0) {
 *         while (whorl_completions_next(&c, &t) > 0)
 *             whorl_join(t, &result);
 *         whorl_completions_close(&c);
 *     }
 *
 * The library's, from open to close. */
struct whorl_completions {
    struct whorl__waiters waiters; /* its lock guards the two lists */
    struct whorl__completion *all, *first, *last;
    size_t count, left; /* left: to be returned by next */
};

/* Begins. `tasks` is borrowed during the call; the handles must stay valid until they are returned by next, or to close. Returns 0 or -ENOMEM.
 * Never suspends. Aborts when another task waits for one of them. */
WHORL_API WHORL_MUST_USE int whorl_completions_open(struct whorl_completions *completions, struct whorl_task *const *tasks,
                                                    size_t count);

/* Stores the handle of the next task that has ended in *task. Returns 1; 0: there are no more; -ECANCELED or -ETIMEDOUT. For one task at a time.
 * Suspends, unless one has ended. */
WHORL_API WHORL_MUST_USE int whorl_completions_next(struct whorl_completions *completions, struct whorl_task **task);

/* Ends it, at whatever point. Never suspends. */
WHORL_API void whorl_completions_close(struct whorl_completions *completions);

WHORL_END_DECLS

#endif
