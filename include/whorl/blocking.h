/* SPDX-License-Identifier: MIT */
/* Code that blocks its thread (a database driver, compression, a system call that has no asynchronous form) belongs on threads of its own:
 *
 *     err = whorl_blocking(compress_file, path, &size);
 *
 * runs compress_file(path) on a thread of a pool, while the task waits and its worker goes on with others. A pool is elastic: it makes
 * threads when they are needed, as many as it may, and they end when they have had nothing to do for a while. Who waits for a thread is
 * served in the order of asking.
 *
 * The function runs outside of any task: whorl_in_task() is 0 there, and calls that suspend abort. All signals are blocked. It cannot be
 * interrupted. So a task that is cancelled while it waits for a thread stops at once, but once its function has begun it waits on until
 * that returns, and has the result: what the function works on is the task's. Where that is not wanted, whorl_pool_run_owned leaves the
 * function behind, with an argument that is its own.
 *
 * On the null reactor the functions run on real threads, too. They take no time on its clock, and a run is the same from the same seed, unless a function
 * waits for what only another task can do: the run goes on without it after a second.
 *
 * A runtime does not end while such a function keeps a task: after a second without anything else left to do it says which, and where it was
 * called; whorl_options.blocking_grace says when it gives up. */
#ifndef WHORL_BLOCKING_H
#define WHORL_BLOCKING_H

#include <whorl/base.h>

/* What a pool is like. Zero in any field means its default. */
struct whorl_pool_options {
    size_t size;       /* sizeof(struct whorl_pool_options): required */
    const char *name;  /* in reports, and of its threads; the first 15 bytes are copied. Default: "pool" */
    int threads;       /* at a time, at most; 1 to 4096. Default: 64 */
    int queue;         /* how many may wait for a thread; those beyond are refused. Default: any number */
    whorl_ns idle;     /* a thread that has had nothing to do for so long ends. Default: 2 s */
    size_t stack_size; /* of a thread, in bytes. Default: the system's (ulimit -s) */
};

struct whorl_pool;

WHORL_BEGIN_DECLS

/* Runs fn(arg) on a thread of the process's default pool ("blocking", 64 threads unless whorl_pool_resize says otherwise), waits until it
 * returns, and stores what it returned in *result (unless NULL). An OS thread may call it too: it is blocked meanwhile.
 * Returns 0; -ECANCELED or -ETIMEDOUT: the caller is to stop waiting, and fn has not begun; -EAGAIN: there is no thread and none
 * can be made. Suspends. */
#define whorl_blocking(fn, arg, result) whorl_pool_run_at(NULL, (fn), (arg), (result), WHORL_HERE)

/* The same on a thread of `pool`; NULL: the default one. Returns also -EBUSY: as many wait for a thread as may. Suspends. */
#define whorl_pool_run(pool, fn, arg, result) whorl_pool_run_at((pool), (fn), (arg), (result), WHORL_HERE)
WHORL_API int whorl_pool_run_at(struct whorl_pool *pool, whorl_fn fn, void *arg, intptr_t *result, const char *where);

/* The same for a function that may be left behind: `arg` passes over to it. Returns 0: fn has returned, and `arg` is the caller's again. Else
 * release(arg) is called, by whoever is the last to need it: at once, or, when the caller is to stop waiting (-ECANCELED, -ETIMEDOUT) while fn
 * runs, on fn's thread after its return. Returns also -ENOMEM. Suspends. */
#define whorl_pool_run_owned(pool, fn, arg, release, result)                                                                       \
    whorl_pool_run_owned_at((pool), (fn), (arg), (release), (result), WHORL_HERE)
WHORL_API int whorl_pool_run_owned_at(struct whorl_pool *pool, whorl_fn fn, void *arg, void (*release)(void *arg), intptr_t *result,
                                      const char *where);

/* A pool of its own, for what must not wait for other blocking code, nor that for it. It needs no runtime. `options` may be NULL and is borrowed
 * during the call. NULL: no memory, or the options are wrong. Never suspends. Callable from anywhere but a signal handler. */
WHORL_API WHORL_MUST_USE struct whorl_pool *whorl_pool_create(const struct whorl_pool_options *options);

/* Frees `pool`; its threads end. Returns how many functions still run there that their callers have left behind: they go on, on their threads.
 * Aborts while somebody waits for one of its functions. Never suspends. Callable from anywhere but a signal handler. */
WHORL_API int whorl_pool_destroy(struct whorl_pool *pool);

/* From now on `pool`, NULL: the default one, has `threads` threads (1 to 4096) at most. What runs on more than those is not disturbed. Returns 0 or
 * -EINVAL. Never suspends. Callable from anywhere but a signal handler. */
WHORL_API int whorl_pool_resize(struct whorl_pool *pool, int threads);

WHORL_END_DECLS

#endif
