/* SPDX-License-Identifier: MIT */
/* What a task does at its end, whatever way it ends: after a return, and after being cancelled, which also ends in a return.
 *
 *     char *page = malloc(size);
 *
 *     if (whorl_defer(free, page) < 0) {
 *         free(page);
 *         return -ENOMEM;
 *     }
 *
 * What is deferred is called by the task itself once its function has returned, the last first, before anybody who joins it, or its
 * scope, sees that it has ended. It may do all that the task may: suspend, defer something else. What ended the waits of the task, a
 * cancelled scope or a deadline, does so there too; what has to wait all the same, to say goodbye to a peer for instance, opens a
 * scope with a shield and a deadline of its own (whorl_scope_shield).
 *
 * For the end of a block instead see cleanup.h. */
#ifndef WHORL_DEFER_H
#define WHORL_DEFER_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* What is deferred: free(3), or any function of that kind. */
typedef void (*whorl_defer_fn)(void *arg);

/* Has fn(arg) called at the end of the calling task. In a fork (fork.h) too it is the task's end that counts, not the fork's: `arg` must
 * last that long. Returns 0, or -ENOMEM: it will not be called. Never suspends. Aborts outside a task. */
WHORL_API WHORL_MUST_USE int whorl_defer(whorl_defer_fn fn, void *arg);

/* Takes fn(arg) back, if it was deferred several times the last one: it is not called at the end. To have it done now, call it
 * yourself. Returns 0, or -ENOENT: it is not deferred. Never suspends. Aborts outside a task. */
WHORL_API int whorl_undefer(whorl_defer_fn fn, void *arg);

WHORL_END_DECLS

#endif
