/* SPDX-License-Identifier: MIT */
/* Tasks that wait for jobs of a pool (whorl/blocking.h), and jobs that keep a runtime from ending.
 *
 * A function that was not written to be interrupted cannot be. So when main has returned, a runtime whose tasks all wait for such functions,
 * or for each other, can only say so. If it is to give up in the end, whorl_run returns and leaves everything of those tasks as it is, for ever: the
 * functions may still write to their stacks. */
#include "runtime/blocking.h"
#include "runtime/pool.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long a runtime that is ending waits before it says what keeps it; then twice as long each time. */
#define SILENCE WHORL_SEC(1)
/* How long a simulated runtime waits for a job before it goes on without it: longer than a busy machine keeps a thread from a CPU. */
#define PATIENCE WHORL_SEC(1)
/* It looks again after this time, and then after twice as long each time. */
#define NAP_MIN WHORL_US(50)
#define NAP_MAX WHORL_MS(1)

/* Blocks the thread. Returns how long the next nap is to be. Touches errno: not for a function that suspends. */
static __attribute__((noinline)) whorl_ns take_nap(whorl_ns length)
{
    const struct timespec time = {.tv_nsec = length};
    uint32_t nobody = 0;

    syscall(SYS_futex, &nobody, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0);
    return 2 * length < NAP_MAX ? 2 * length : NAP_MAX;
}

/* In a simulated runtime a job is done before anything else happens: what it takes is no time, and whoever runs again from the same seed finds it
 * at the same point. But it may be waiting for a task: so not for ever. */
static void let_finish(const struct whorl_task *t)
{
    whorl_ns nap = NAP_MIN, waited = 0;

    while (waited < PATIENCE && !whorl__load_acquire(&t->gate)) { /* pairs with the exchange that opens it */
        waited += nap;
        nap = take_nap(nap);
    }
}

/* Waits until the job is done. 0, or the error that the wait ended with: then the caller has no part in the job any more, and, unless it is
 * *left to itself, it will never run. */
static int wait_for(struct whorl_pool *pool, struct whorl__job *job, struct whorl__waiter *me, bool *left)
{
    struct whorl_task *t = me->task;
    uintptr_t object = (uintptr_t)job->fn;

    if (!t) {
        whorl__waiter_block(me);
        return 0;
    }
    while (!whorl__gate_wait(whorl__worker(), t, pool->reason, object)) {
        enum whorl__withdrawal how;

        if (!whorl__cancel_pending(t))
            continue;
        how = whorl__pool_withdraw(pool, job);
        if (how == WHORL__TOO_LATE) /* the request is for the next wait */
            return whorl__latch_wait(whorl__worker(), t, &t->gate, pool->reason, object, WHORL__WAIT_SYNC);
        whorl__add_seq_cst(&whorl__runtime_of(t)->outside, (uint32_t)-1);
        *left = how == WHORL__LEFT;
        return whorl__cancel_take(t);
    }
    return 0;
}

/* Has the pool do the job, in the name of the calling task or thread. */
static int run(struct whorl_pool *pool, struct whorl__job *job, const char *call, bool *left)
{
    struct whorl__worker *w = whorl__worker();
    struct whorl__waiter me;
    int err;

    whorl__waiter_init(&me, call);
    job->waiter = &me;
    if (me.task) {
        err = whorl__cancel_take(me.task);
        if (err)
            return err;
        job->runtime = w->runtime;
        job->since = w->now;
        whorl__add_seq_cst(&w->runtime->outside, 1);
    }
    err = whorl__pool_submit(pool, job);
    if (err) {
        if (me.task)
            whorl__add_seq_cst(&job->runtime->outside, (uint32_t)-1);
        return err;
    }
    if (me.task && w->runtime->ops->simulated)
        let_finish(me.task);
    err = wait_for(pool, job, &me, left);
    return err ? err : job->error;
}

int whorl_pool_run_at(struct whorl_pool *pool, whorl_fn fn, void *arg, intptr_t *result, const char *where)
{
    struct whorl__job job = {.fn = fn, .arg = arg, .where = where};
    bool left = false;
    int err;

    if (!fn)
        whorl__misuse("whorl_pool_run was given no function");
    err = run(pool ? pool : &whorl__blocking_pool, &job, "whorl_pool_run", &left);
    if (!err && result)
        *result = job.result;
    return err;
}

int whorl_pool_run_owned_at(struct whorl_pool *pool, whorl_fn fn, void *arg, void (*release)(void *arg), intptr_t *result,
                            const char *where)
{
    struct whorl__job *job;
    bool left = false;
    int err = -ENOMEM;

    if (!fn || !release)
        whorl__misuse("whorl_pool_run_owned was given no %s", fn ? "function to release its argument with" : "function");
    job = calloc(1, sizeof *job);
    if (job) {
        job->fn = fn;
        job->arg = arg;
        job->release = release;
        job->where = where;
        err = run(pool ? pool : &whorl__blocking_pool, job, "whorl_pool_run_owned", &left);
    }
    if (!err && result)
        *result = job->result;
    if (left)
        return err;
    if (err)
        release(arg);
    free(job);
    return err;
}

/* The end of a runtime. */

void whorl__blocking_stand_by(struct whorl__runtime *rt)
{
    whorl_ns nap = NAP_MIN;

    while (whorl__load_seq_cst(&rt->outside) > whorl__load_seq_cst(&rt->joiners) && !whorl__anything_from_outside(rt) &&
           !rt->stop) {
        rt->stood_by += nap;
        nap = take_nap(nap);
        if (rt->ending)
            whorl__blocking_overdue(rt, rt->stood_by);
    }
}

/* Can a task of the runtime go on by itself, or by what the kernel does? On a clock that stands still no time comes. A moment old. */
static bool anything_else(struct whorl__runtime *rt)
{
    bool clock = !rt->ops->simulated;

    for (struct whorl__record_slab *s = whorl__load_acquire(&rt->slabs); s; s = s->next)
        for (uint32_t i = 0; i < whorl__load_relaxed(&s->used); i++) {
            uint8_t state = whorl__load_relaxed(&s->tasks[i].state), wait = whorl__load_relaxed(&s->tasks[i].wait);

            if (state == WHORL__READY || state == WHORL__RUNNING ||
                (clock && state == WHORL__PARKED && (wait == WHORL__WAIT_TIMER || wait == WHORL__WAIT_OP)))
                return true;
        }
    return false;
}

static void report_job(struct whorl_pool *pool, struct whorl__job *job, void *arg)
{
    struct whorl__runtime *rt = job->runtime;
    const struct whorl_task *t = job->waiter->task;
    bool give_up = *(const bool *)arg;

    whorl__say("%s task \"%s\" (spawned at %s): %s function %p in pool \"%s\", called at %s %.3f s ago",
               give_up ? "the runtime ends without" : "the runtime cannot end for", whorl__name_of(t),
               whorl__load_relaxed(&t->where), job->begun ? "it waits for" : "there is no thread yet for",
               (void *)(uintptr_t)job->fn, pool->name, job->where, (double)(rt->ops->now(rt->reactor) - job->since) / 1e9);
    if (give_up)
        whorl__pool_forget(pool, job);
}

static void give_up(struct whorl__runtime *rt)
{
    bool yes = true;

    whorl__pools_visit(rt, report_job, &yes);
    whorl__store_relaxed(&rt->given_up, true);
    whorl__store_relaxed(&rt->stop, 1);
    whorl__wake_all(rt);
}

void whorl__blocking_overdue(struct whorl__runtime *rt, whorl_ns now)
{
    whorl_ns seen = whorl__load_relaxed(&rt->overdue), grace = rt->config.blocking_grace, since;
    bool no = false;

    /* Of several workers that come at a time one has the say. */
    if (now < seen || !whorl__cas_seq_cst(&rt->overdue, &seen, now + (grace && grace < SILENCE ? grace : SILENCE)))
        return;
    since = whorl__load_relaxed(&rt->stuck_since);
    if (!whorl__load_seq_cst(&rt->outside) || anything_else(rt)) {
        whorl__store_relaxed(&rt->stuck_since, (whorl_ns)0);
    } else if (!since) {
        whorl__store_relaxed(&rt->stuck_since, now);
        whorl__store_relaxed(&rt->silence, SILENCE);
    } else if (grace && now - since >= grace) {
        give_up(rt);
    } else if (now - since >= whorl__load_relaxed(&rt->silence)) {
        whorl__pools_visit(rt, report_job, &no);
        whorl__store_relaxed(&rt->silence, 2 * (now - since));
    }
}
