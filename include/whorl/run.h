/* SPDX-License-Identifier: MIT */
/* Starting and ending a runtime, and reaching it from other threads.
 *
 * In the child of a fork(2) its parent's runtimes are dead: fork copies one thread only, and what rings do is done for the parent. Their
 * descriptors and memory are not there, calls that need a task or are given such a runtime or one of its handles abort and say
 * so, and so does the return from what was a task. Let a child call exec or _exit, or begin anew with whorl_run; better still, call
 * posix_spawn. The parent notices nothing. */
#ifndef WHORL_RUN_H
#define WHORL_RUN_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* What happens to tasks that are left when main returns, or the runtime is closed. None is ever dropped. */
enum whorl_exit {
    WHORL_EXIT_JOIN = 0, /* whorl_run, or whorl_runtime_close, waits until they have ended */
    WHORL_EXIT_CANCEL    /* they are cancelled, every later wait of theirs too, then waited for */
};

/* How to run. Zero in any field means its default; the environment variable named beside a field, when set, wins over it. */
struct whorl_options {
    size_t size;                 /* sizeof(struct whorl_options): required, so that later versions may add fields */
    int workers;                 /* OS threads that run tasks, 1 to 1024. Default: the CPUs this process may use (affinity and
                                    cgroup quota). WHORL_WORKERS */
    size_t stack_size;           /* bytes of stack of a task, rounded up to 16, 64 or 256 KiB, 1 or 4 MiB. Default 64 KiB.
                                    WHORL_STACK_SIZE (bytes; K, M and G are understood) */
    size_t memory;               /* bytes that tasks may take at most: their stacks, counted whole though only what is touched is
                                    memory, and their records (some 300 bytes each), an eighth. When no stack is left new tasks wait for one,
                                    in the order of their spawning; when no record is left whorl_spawn returns NULL. Default: as
                                    much as the kernel grants. WHORL_MEMORY (bytes; K, M and G are understood) */
    const char *reactor;         /* "uring": the kernel's io_uring. "null": no kernel, a virtual clock, one OS thread that plays all
                                    workers, seeded choices. Default "uring". Borrowed during the call. WHORL_REACTOR */
    int pin;                     /* 1: bind each worker's thread to one CPU. WHORL_PIN */
    enum whorl_exit exit_policy; /* WHORL_EXIT: "join" or "cancel" */
    uint64_t seed;               /* of the null reactor's choices; 0: drawn, and printed when the run fails. WHORL_SEED */
    const char *disable;         /* features not to use though the kernel has them, separated by commas: guard_install,
                                    process_madvise, send_msg_ring, membarrier, watcher (which lets idle
                                    workers look after busy ones). Borrowed during the call. WHORL_DISABLE */
    int dump_on_sigquit;         /* 1: SIGQUIT (Ctrl-\) writes whorl_dump to standard error. WHORL_DUMP_ON_SIGQUIT */
    int cancel_on_sigint;        /* 1: see below. WHORL_CANCEL_ON_SIGINT */
    whorl_ns spin_ns; /* how long a worker that ran out of work looks for more before it sleeps, at most; it learns to look
                         less when that finds nothing. Default 50 us; negative: not at all. WHORL_SPIN_NS */
    whorl_ns
        blocking_grace; /* how long a runtime whose main has returned waits for functions in pools (whorl/blocking.h) when nothing else
                                is left. Then it says which tasks it gives up: whorl_run returns, they never go on, and what is theirs is
                                never freed, since the functions may still use it. Default: it waits for ever. WHORL_BLOCKING_GRACE_NS */
    int debug; /* 1: alarms on standard error: tasks that keep their worker too long, deadlocks, descriptors closed twice, tasks that
                          join themselves; docs/debugging.md shows each. One more thread, and more to read. WHORL_DEBUG */
    whorl_ns
        slice_ns; /* in debug mode: a task that runs longer than this without letting others run, or blocks its worker's thread, is
                          reported. 1 ms to 1 h; default 100 ms. On the null reactor no time passes meanwhile, and nothing is
                          reported. WHORL_SLICE_NS */
};

/* With cancel_on_sigint the first SIGINT (Ctrl-C) during a whorl_run cancels its main: main is in a scope (scope.h), which is cancelled. So
 * all waits of main, and of the tasks in scopes that it has open, end with -ECANCELED from then on, but for what it has shielded; tasks
 * that it has only spawned go on, and whorl_run waits for them, or cancels them, as the exit policy has it. The second SIGINT writes whorl_dump
 * to standard error and ends the process as SIGINT does that nobody handles, also when main has returned and others are waited for.
 * During a whorl_runtime_run the same happens to its task. When several run at once all are cancelled.
 * Afterwards SIGINT has the effect that it had before. Threads that block SIGINT do not get it: one at least must not. */

/* Starts the workers, the calling thread being the first of them, runs `main_fn(arg)` as a task, joins or cancels what is
 * left (options->exit_policy), frees everything. Callable again, and from several threads at once for separate runtimes.
 * `options` may be NULL: all defaults; it is borrowed during the call.
 * Returns main's result. When the runtime cannot start, main has not run: the cause and the remedy are printed on standard
 * error, and the result is negative: -EINVAL (an option or environment variable is wrong), -EPERM or -ENOSYS (io_uring is
 * refused), -ENOMEM, -EAGAIN (no thread), -EMFILE, -EDEADLK (called from inside a task).
 * Blocks the calling thread; not for use in a task. */
WHORL_API intptr_t whorl_run(whorl_fn main_fn, void *arg, const struct whorl_options *options);

/* How many workers the calling task's runtime has. Never suspends. Aborts outside a task. */
WHORL_API int whorl_workers(void);

/* The index, from 0, of the worker that runs the calling task now. After anything that suspends it may be another one.
 * Never suspends. Aborts outside a task. */
WHORL_API int whorl_worker(void);

/* The name of the reactor in use: "uring" or "null". Never suspends. Aborts outside a task. */
WHORL_API const char *whorl_reactor(void);

/* The calling task's runtime, to be handed to threads that are not its workers. Valid until its whorl_run returns, or until it is
 * closed; the caller sees to it that no thread uses it later. What is given one that has ended aborts when it is noticed.
 * Never suspends. Aborts outside a task. */
WHORL_API struct whorl_runtime *whorl_runtime(void);

/* Starts a runtime that stays until it is closed, and stores its handle in *runtime: for programs whose own threads have tasks done now
 * and then. All its workers have threads of their own, which sleep while there is nothing to do. `options` as for whorl_run.
 *
 *     err = whorl_runtime_create(NULL, &rt);
 *     err = whorl_runtime_run(rt, load, &pages, &loaded);
 *     err = whorl_runtime_run(rt, show, &pages, NULL);
 *     whorl_runtime_close(rt);
 *
 * Returns 0, or what whorl_run does when it cannot start, the cause and the remedy having been printed. There may be several runtimes in
 * a process. Blocks the calling thread until the threads are started. */
WHORL_API WHORL_MUST_USE int whorl_runtime_create(const struct whorl_options *options, struct whorl_runtime **runtime);

/* Runs `fn(arg)` as a task of `runtime`, waits until it has ended, and stores what it returned in *result (unless NULL). Tasks that it
 * leaves stay and go on: they may be joined in a later run. Callable as often as need be, from several threads at once too.
 *
 * With the null reactor nothing happens by itself: the thread that waits, here or in whorl_runtime_join, plays all workers until its
 * task has ended, and then they and the virtual clock stand still until the next call. When several threads wait one of them plays at a
 * time.
 *
 * Returns 0; -ENOMEM; -ECANCELED: the runtime is closing. Then `fn` has not run. Blocks the calling thread; in a task it aborts: spawn one
 * there and join it. */
#define whorl_runtime_run(runtime, fn, arg, result) whorl_runtime_run_at((runtime), (fn), (arg), (result), WHORL_HERE)
WHORL_API int whorl_runtime_run_at(struct whorl_runtime *runtime, whorl_fn fn, void *arg, intptr_t *result, const char *where);

/* Ends a runtime that whorl_runtime_create started: no more tasks are taken from other threads, what is left is joined or cancelled
 * (options->exit_policy), and all is freed, the handles of its tasks too. In the child of a fork(2) it does nothing for a runtime of the
 * parent. Blocks the calling thread. Aborts in a task, and while a
 * whorl_runtime_run of that runtime is under way. */
WHORL_API void whorl_runtime_close(struct whorl_runtime *runtime);

struct whorl_spawn_options;

/* Like whorl_spawn_with, from any OS thread, into `runtime`; `pinned` needs a `worker`. NULL: no memory, the options are wrong, or the
 * runtime is closing (its main has returned, or it is being closed).
 * Never suspends. */
#define whorl_runtime_spawn(runtime, fn, arg, options) whorl_runtime_spawn_at((runtime), (fn), (arg), (options), WHORL_HERE)
WHORL_API WHORL_MUST_USE struct whorl_task *whorl_runtime_spawn_at(struct whorl_runtime *runtime, whorl_fn fn, void *arg,
                                                                   const struct whorl_spawn_options *options, const char *where);

/* Waits on an OS thread that is not a worker until `task` has ended, stores its result in *result (unless NULL) and frees the
 * handle. To be begun before the whorl_run of that task returns, or its runtime is closed: handles end with it. Returns 0. Blocks the calling thread: in a task
 * it aborts, use whorl_join there. */
WHORL_API int whorl_runtime_join(struct whorl_task *task, intptr_t *result);

/* Tells `runtime` that something outside of it, a thread that whorl knows nothing of, is going to wake one of its tasks, by setting a
 * future for instance; until whorl_runtime_release has been called as often, which that thread does when it has done so. Both may be
 * called in tasks of the runtime and from any OS thread. While it is held
 *
 * - the runtime does not end: its whorl_run, or whorl_runtime_close, does not return;
 * - tasks that wait are not taken for a deadlock, and those that wait for memory go on waiting;
 * - with the null reactor the virtual clock stands still when no task can run, as long as there are more holds than threads in
 *   whorl_runtime_join: what happens outside takes no time there. So deadlines do not pass meanwhile.
 *
 * Never suspends. */
WHORL_API void whorl_runtime_hold(struct whorl_runtime *runtime);

/* Ends what one whorl_runtime_hold began, which it must not do for more than there are: that aborts. Once nothing holds it any more the
 * runtime may end at once. Never suspends. */
WHORL_API void whorl_runtime_release(struct whorl_runtime *runtime);

WHORL_END_DECLS

#endif
