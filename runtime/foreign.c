/* SPDX-License-Identifier: MIT */
#include "runtime/foreign.h"
#include "runtime/fork_child.h"
#include "runtime/inspect.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <whorl/run.h>

/* The futex is the half of the latch that tells its values apart. */
static uint32_t *futex_of(uintptr_t *latch)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (uint32_t *)latch;
#else
    return (uint32_t *)latch + sizeof *latch / sizeof(uint32_t) - 1;
#endif
}

void whorl__foreign_wake(struct whorl__runtime *rt, uintptr_t *latch)
{
    whorl__add_seq_cst(&rt->joiners, (uint32_t)-1);
    if (rt->played)
        whorl__runtime_played(rt);
    syscall(SYS_futex, futex_of(latch), FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Counts the task unless the runtime is closed. */
static bool admit(struct whorl__runtime *rt)
{
    bool open;

    whorl__spin_lock(&rt->inbox.lock);
    open = !rt->closed;
    whorl__store_relaxed(&rt->posted, rt->posted + open);
    whorl__spin_unlock(&rt->inbox.lock);
    return open;
}

void whorl__foreign_start_last(struct whorl__runtime *rt, struct whorl_task *t)
{
    whorl__spin_lock(&rt->inbox.lock);
    rt->closed = true;
    whorl__store_relaxed(&rt->posted, rt->posted + 1);
    whorl__spin_unlock(&rt->inbox.lock);
    whorl__ready(t);
}

static void check_runtime(const struct whorl__runtime *rt, const char *call)
{
    if (!rt)
        whorl__misuse("%s was given no runtime", call);
    if (whorl__is_dead(rt))
        whorl__dead(call);
    if (!whorl__inspect_knows(rt))
        whorl__misuse("%s was given a runtime that has ended, or is none: use one until its whorl_run returns, or from "
                      "whorl_runtime_create to whorl_runtime_close",
                      call);
}

void whorl__foreign_check(const struct whorl__runtime *rt, const char *call)
{
    struct whorl__worker *w = whorl__worker();

    if (w && w->current)
        whorl__misuse(
            "%s was called in a task, whose worker it would block: spawn a task and join it, or call it on another thread", call);
    check_runtime(rt, call);
}

struct whorl_task *whorl__foreign_spawn(struct whorl__runtime *rt, whorl_fn fn, void *arg,
                                        const struct whorl_spawn_options *options, const char *where, int *err)
{
    struct whorl_task *t;

    *err = -ENOMEM;
    whorl__add_seq_cst(&rt->visitors, 1);
    t = whorl__task_new(rt, NULL, fn, arg, options, where);
    whorl__pause_at(FOREIGN_ADMIT);
    if (t && !admit(rt)) {
        whorl__pin_end(t);
        whorl__record_put_outside(t);
        t = NULL;
        *err = -ECANCELED;
    }
    if (t && !t->bound && options && options->worker)
        whorl__ready_there(rt, options->worker - 1, t);
    else if (t)
        whorl__ready(t);
    whorl__fence_seq_cst(); /* partner: whorl__fence_others in whorl__runtime_end; as in whorl_spawn_at */
    if (t && whorl__load_relaxed(&rt->ending))
        whorl__runtime_spawned_late(rt, t);
    whorl__add_seq_cst(&rt->visitors, (uint32_t)-1); /* the last touch of the runtime */
    return t;
}

struct whorl_task *whorl_runtime_spawn_at(struct whorl_runtime *runtime, whorl_fn fn, void *arg,
                                          const struct whorl_spawn_options *options, const char *where)
{
    struct whorl__runtime *rt = (struct whorl__runtime *)runtime;
    int err;

    check_runtime(rt, "whorl_runtime_spawn");
    if (!fn)
        whorl__misuse("whorl_runtime_spawn was given no function");
    return whorl__foreign_spawn(rt, fn, arg, options, where, &err);
}

/* The thread is in the latch. */
static void wait_for(struct whorl__runtime *rt, struct whorl_task *t)
{
    if (rt->played)
        whorl__runtime_play(rt, &t->latch);
    /* Acquire: pairs with the exchange in finish (task.c); the result is visible. */
    while (whorl__load_acquire(&t->latch) != WHORL__LATCH_OPEN)
        syscall(SYS_futex, futex_of(&t->latch), FUTEX_WAIT_PRIVATE, WHORL__LATCH_THREAD, NULL, NULL, 0);
}

int whorl_runtime_join(struct whorl_task *t, intptr_t *result)
{
    struct whorl__worker *w = whorl__worker();
    uintptr_t seen = 0;
    struct whorl__runtime *rt;

    whorl__check_handle(t, "whorl_runtime_join");
    if (w && w->current)
        whorl__misuse("whorl_runtime_join was called in a task, whose worker it would block: use whorl_join");
    rt = whorl__runtime_of(t);
    whorl__add_seq_cst(&rt->visitors, 1);
    if (whorl__cas_seq_cst(&t->latch, &seen, (uintptr_t)WHORL__LATCH_THREAD))
        whorl__add_seq_cst(&rt->joiners, 1); /* whoever opens the latch takes it off, before this or after */
    else if (seen != WHORL__LATCH_OPEN)
        whorl__misuse(
            "whorl_runtime_join was given the handle of task \"%s\" (spawned at %s), which is being joined or was detached",
            whorl__name_of(t), t->where);
    whorl__pause_at(FOREIGN_WAIT);
    wait_for(rt, t);
    if (result)
        *result = t->result;
    whorl__record_put_outside(t);
    whorl__pause_at(FOREIGN_LEAVE);
    whorl__add_seq_cst(&rt->visitors, (uint32_t)-1); /* the last touch of the runtime */
    return 0;
}

void whorl_runtime_hold(struct whorl_runtime *runtime)
{
    check_runtime((struct whorl__runtime *)runtime, "whorl_runtime_hold");
    whorl__add_seq_cst(&((struct whorl__runtime *)runtime)->outside, 1);
}

void whorl_runtime_release(struct whorl_runtime *runtime)
{
    check_runtime((struct whorl__runtime *)runtime, "whorl_runtime_release");
    if (whorl__add_seq_cst(&((struct whorl__runtime *)runtime)->outside, (uint32_t)-1) == 0) /* the last touch of the runtime */
        whorl__misuse("whorl_runtime_release was called more often than whorl_runtime_hold: release once what was held once");
}

void whorl__foreign_close(struct whorl__runtime *rt)
{
    whorl__spin_lock(&rt->inbox.lock);
    rt->closed = true;
    whorl__spin_unlock(&rt->inbox.lock);
}

/* Most are gone in no time; who holds the runtime may take long. */
static void wait_until_zero(uint32_t *counter)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint32_t n;

    for (int i = 0; (n = whorl__load_seq_cst(counter)) != 0; i++)
        if (i < 100)
            sched_yield();
        else
            syscall(SYS_futex, counter, FUTEX_WAIT_PRIVATE, n, &pause, NULL,
                    0); /* for a while: nobody wakes us, the count was their last touch */
}

void whorl__foreign_drain(struct whorl__runtime *rt)
{
    wait_until_zero(&rt->outside); /* first: who holds it may come in once more */
    wait_until_zero(&rt->runs);
    if (!rt->given_up)
        wait_until_zero(&rt->visitors);
    else /* who waits for a task that was given up does so for ever */
        while (whorl__load_seq_cst(&rt->visitors) > whorl__load_seq_cst(&rt->joiners))
            sched_yield();
}
