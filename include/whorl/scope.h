/* SPDX-License-Identifier: MIT */
/* Scopes: tasks that end before the block of code that started them does.
 *
 *     struct whorl_scope s;
 *
 *     whorl_scope_open(&s);
 *     whorl_scope_deadline(&s, whorl_after(WHORL_SEC(3)));
 *     for (size_t i = 0; i < n; i++)
 *         whorl_scope_spawn(&s, fetch, &pages[i]);
 *     err = whorl_scope_close(&s);
 *
 * A scope is the caller's, on its stack. Its tasks are children of it, and have no handles: closing joins them all. The first one that
 * returns less than 0 cancels the others, and that is what close returns.
 *
 * Cancelling a scope ends the waits of all that is in it: of its children, of scopes that they have opened, and so on, and of the task
 * that opened it until it closes it. Each wait ends with -ECANCELED, not just the next one; with -ETIMEDOUT if it was the scope's deadline
 * that did it. What computes goes on until it waits, and then passes the request on to what it has opened. A wait that has its
 * result keeps it.
 *
 * What is not to be cut off from outside, a goodbye to a peer, say, goes into a scope with a shield: only the inner scope, with a
 * deadline of its own perhaps, ends waits there.
 *
 * Scopes nest, and are closed in the reverse order, by the task, or the fork, that opened them. A task that ends with an open one aborts. Forks
 * of a task (fork.h) are in all scopes that it has open. */
#ifndef WHORL_SCOPE_H
#define WHORL_SCOPE_H

#include <whorl/base.h>

struct whorl_spawn_options;

/* When something is due; for whorl's own use. */
struct whorl__timer {
    struct whorl__timers *heap; /* the one it is in, or was in last; written under that heap's lock, read without it */
    uint32_t index;             /* place in the heap plus one, 0: in none; guarded by the heap's lock */
    uint32_t kind;              /* what stands behind it; constant while it is in a heap */
};

/* The library's, from open to close. */
struct whorl_scope {
    struct whorl_scope *outer;         /* that the opener opened before and has yet to close */
    struct whorl_task *opener;         /* NULL: it is closed */
    struct whorl_task *running, *told; /* children, those who know that they are cancelled apart */
    struct whorl_task *failed, *failed_last;
    size_t alive;       /* children of the first two lists */
    const char *where;  /* it was opened */
    const char *reason; /* it was cancelled */
    int error;          /* of the first to fail */
    uint32_t locked;    /* guards what stands above, but `outer` */
    uint32_t state;     /* bits; anyone, atomic; written under the lock */
    uint32_t expiring;  /* its timer fires just now */
    whorl_ns deadline;
    struct whorl__timer timer;
};

WHORL_BEGIN_DECLS

/* Opens `scope`. `where` is kept and must live as long as the program (WHORL_HERE). Never suspends. Aborts outside a task. */
#define whorl_scope_open(scope) whorl_scope_open_at((scope), WHORL_HERE)
WHORL_API void whorl_scope_open_at(struct whorl_scope *scope, const char *where);

/* Starts `fn(arg)` as a child of `scope`. Whoever is in the scope may, its children too. `options` as for whorl_spawn_with; may be NULL.
 * Returns 0; -ECANCELED: the scope has been cancelled, or is being closed; -ENOMEM; -EINVAL: wrong options.
 * Never suspends. Aborts outside a task. */
#define whorl_scope_spawn(scope, fn, arg)               whorl_scope_spawn_at((scope), (fn), (arg), NULL, WHORL_HERE)
#define whorl_scope_spawn_with(scope, fn, arg, options) whorl_scope_spawn_at((scope), (fn), (arg), (options), WHORL_HERE)
WHORL_API int whorl_scope_spawn_at(struct whorl_scope *scope, whorl_fn fn, void *arg, const struct whorl_spawn_options *options,
                                   const char *where);

/* Waits until all children have ended, those that they spawn into the scope meanwhile too. The scope stays open.
 * When the wait is to end early (the caller is cancelled, or an outer scope, or the task's deadline passes) the scope is cancelled, and
 * the wait goes on until the children have ended.
 * Returns what whorl_scope_close would. Suspends. Aborts when the caller has not opened the scope, or a later one since. */
WHORL_API int whorl_scope_join(struct whorl_scope *scope);

/* The same, and closes the scope. Spawning into it fails from the beginning of this on.
 * Returns the result of the first child that returned less than 0, or the error that whorl_scope_fail told first; else -ETIMEDOUT if the
 * scope's deadline passed; else -ECANCELED, or -ETIMEDOUT, if it was cancelled otherwise; else 0. Children that returned -ECANCELED or
 * -ETIMEDOUT once the scope was cancelled have not failed. Suspends while there are children. */
WHORL_API int whorl_scope_close(struct whorl_scope *scope);

/* Cancels `scope`. `reason`, which may be NULL, is for whorl_scope_reason and for the texts of the waits that end (error.h), and must live as
 * long as the program. Whoever knows that the scope is open may call it. A second call changes nothing. Never suspends. */
WHORL_API void whorl_scope_cancel(struct whorl_scope *scope, const char *reason);

/* The body has failed, with `error` (< 0): as if a child had. Never suspends. */
WHORL_API void whorl_scope_fail(struct whorl_scope *scope, int error);

/* Sets the scope's deadline: when the clock shows `when` the scope is cancelled. It may be moved as long as it has not passed;
 * WHORL_NEVER: none, as at first. Of nested scopes each has its own, so that the nearest counts.
 * Returns 0; -ETIMEDOUT: it has passed, or does with this; -ENOMEM: it could not be set and is none now. Never suspends. Aborts when the
 * caller has not opened the scope. */
WHORL_API int whorl_scope_deadline(struct whorl_scope *scope, whorl_ns when);

/* From now on until it is closed, the calling task is not reached by what happens outside `scope`, which must be the last that it has
 * opened: cancelling the task or an outer scope, their deadlines, and the end of the runtime. It takes effect on the first wait after the scope
 * is closed. Its children are not reached either. Never suspends. */
WHORL_API void whorl_scope_shield(struct whorl_scope *scope);

/* 1 if the scope's own deadline has passed, else 0. Also after close. Never suspends. */
WHORL_API int whorl_scope_expired(const struct whorl_scope *scope);

/* 1 if the scope has been cancelled, by whatever, else 0. Also after close. Never suspends. */
WHORL_API int whorl_scope_cancelled(const struct whorl_scope *scope);

/* Why it was cancelled: what was told to whorl_scope_cancel; "its deadline passed", "a task in it failed", "what is around it was cancelled"; NULL
 * if it was not, or for no stated reason. Never suspends. */
WHORL_API const char *whorl_scope_reason(const struct whorl_scope *scope);

/* The children that have failed, one after the other, in the order of their failing: `before` is NULL or the one returned before. What it
 * returns may be given to whorl_name and whorl_result until the scope is closed; NULL: there are no more. Never suspends. */
WHORL_API struct whorl_task *whorl_scope_failed(struct whorl_scope *scope, struct whorl_task *before);

/* The error that the calling task's next wait will end with: -ECANCELED, -ETIMEDOUT, or 0. For what computes and wants to know.
 * Never suspends. Aborts outside a task. */
WHORL_API int whorl_cancelled(void);

/* Calls fn(arg), in the calling task, in a scope with the deadline `duration` from now. Stores its result in *result (unless NULL).
 * Returns 0; -ETIMEDOUT: time ran out, and the function returned -ETIMEDOUT or -ECANCELED; a result that it returned all the same counts; -ENOMEM:
 * it was not called. Suspends as fn does. */
WHORL_API int whorl_wait_for(whorl_fn fn, void *arg, whorl_ns duration, intptr_t *result);

WHORL_END_DECLS

#endif
