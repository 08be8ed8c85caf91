/* SPDX-License-Identifier: MIT */
/* Tasks: functions with a stack of their own that run at the same time as others, on whichever worker is free.
 *
 * A handle is valid until it is joined or detached, whatever its task does meanwhile. Using it after that is a mistake that
 * aborts when it is noticed. A task that was neither joined nor detached when the runtime ends is reported on standard error.
 *
 * Calls that suspend let other tasks run on the worker meanwhile, and may return on another OS thread. So no address of errno
 * or of a thread-local variable, and no pthread mutex, may be kept over one. Called outside a task they abort and say so. */
#ifndef WHORL_TASK_H
#define WHORL_TASK_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* How to spawn. Zero in any field means its default. */
struct whorl_spawn_options {
    size_t size;       /* sizeof(struct whorl_spawn_options): required */
    const char *name;  /* shown in dumps and reports; the first 23 bytes are copied. Default: none */
    size_t stack_size; /* bytes, rounded up as in whorl_options, 4 MiB at most. Default: that of the runtime */
    int worker;        /* WHORL_WORKER(i): where it should first run; a hint. Default: the caller's worker */
    int pinned;        /* 1: it runs on that worker only, from its beginning to its end (whorl/pin.h) */
};
#define WHORL_WORKER(index) ((index) + 1)

/* Starts `fn(arg)` as a task. It runs soon, on this worker or on another; the caller goes on.
 * Returns its handle, to be joined or detached; NULL: no memory, or `options` are wrong (a stack too large, no such worker).
 * `options` may be NULL and is borrowed during the call; `where` is kept and must live as long as the program (WHORL_HERE).
 * Never suspends. Aborts outside a task. */
#define whorl_spawn(fn, arg)               whorl_spawn_at((fn), (arg), NULL, WHORL_HERE)
#define whorl_spawn_with(fn, arg, options) whorl_spawn_at((fn), (arg), (options), WHORL_HERE)
WHORL_API WHORL_MUST_USE struct whorl_task *whorl_spawn_at(whorl_fn fn, void *arg, const struct whorl_spawn_options *options,
                                                           const char *where);

/* Waits until `task` has ended, stores what it returned in *result (unless NULL), and frees the handle. Any task of the runtime
 * may join it, but only one.
 * Returns 0; -ECANCELED or -ETIMEDOUT when the caller was cancelled or its deadline passed: then the handle is still
 * valid. -EDEADLK: a task cannot join itself. A task for which no stack could be had ends with the result -ENOMEM.
 * Suspends, unless the task has ended already. */
WHORL_API int whorl_join(struct whorl_task *task, intptr_t *result);

/* Gives the handle up: the task's record is freed when it ends, its result is dropped. Never suspends. */
WHORL_API void whorl_detach(struct whorl_task *task);

/* Looks whether `task` has ended. Returns 0 and stores its result in *result (unless NULL), or -EINPROGRESS. The handle stays
 * valid. Never suspends. */
WHORL_API int whorl_result(struct whorl_task *task, intptr_t *result);

/* Asks `task` to stop: its current wait, or else its next one, ends with -ECANCELED; that one only, so that the task can clean
 * up with calls that wait. An operation that had completed already keeps its result, and -ECANCELED is then for the next
 * wait. Cancelling a task that has ended does nothing. Never suspends. */
WHORL_API void whorl_cancel(struct whorl_task *task);

/* Lets the other ready tasks of this worker run first, and the worker look at its I/O. Not cancelled. Suspends. */
WHORL_API void whorl_yield(void);

/* The calling task. Its handle may be passed on, not joined by itself; that of main cannot be joined or detached at all.
 * Never suspends. Aborts outside a task. */
WHORL_API struct whorl_task *whorl_self(void);

/* 1 when called in a task, else 0. Never suspends. */
WHORL_API int whorl_in_task(void);

/* The task's name as given to spawn, "" when it has none, "main" for the first. Valid as long as the handle. Never suspends. */
WHORL_API const char *whorl_name(const struct whorl_task *task);

WHORL_END_DECLS

#endif
