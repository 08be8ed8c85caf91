/* SPDX-License-Identifier: MIT */
/* The three ways to wait (for a latch, a time, an operation), and how a wait is ended early.
 *
 * Cancelling, as numbered steps. C = whoever cancels, T = the task.
 *
 *   C1  sets a bit of T->cancel                    T1  writes `wait` and what it waits for (before it leaves)
 *   C2  reads T->wait and what T waits for         T2  publishes itself there: latch, timer heap, reactor (in its commit)
 *   C3  tries to take T out of there; if that      T3  reads T->cancel; if a bit is set, does as C3
 *       succeeds, wakes it
 *
 * C1 and T2 are followed by a full fence, so C sees T's wait or T sees C's bit,
 * or both: then taking T out succeeds once only. Between C2 and C3 T may have been woken, and may wait again for something else or
 * even have ended, its record being used anew (whoever cancels holds a handle, so that it cannot have ended; the timer of a
 * deadline holds none). So C3 may interrupt a wait that C1 was not meant for. Every wait therefore checks, when it was interrupted,
 * whether there is a bit to be consumed, and goes back to waiting if not. */
#include "runtime/select.h"
#include "runtime/waiter.h"
#include <errno.h>
#include <stddef.h>
#include <whorl/time.h>

#define CONTAINER_OF(pointer, type, field) ((type *)(void *)((char *)(pointer)-offsetof(type, field)))

/* A wait that fails at once uses up the worker's time without letting others run: now and then it does let them. */
static void let_others_run(void)
{
    if (--whorl__worker()->budget <= 0)
        whorl_yield();
}

/* The bit that the next wait is to end for, 0: for none; but for scopes. */
static uint32_t own_cause(const struct whorl_task *t)
{
    uint32_t bits = whorl__load_relaxed(&t->cancel);

    if (bits & WHORL__SHIELDED)
        return 0;
    return bits & WHORL__STOP      ? WHORL__STOP
           : bits & WHORL__CANCEL  ? WHORL__CANCEL
           : bits & WHORL__TIMEOUT ? WHORL__TIMEOUT
                                   : bits & WHORL__NO_TIMER;
}

static int error_of(uint32_t cause)
{
    return cause == 0 ? 0 : cause == WHORL__TIMEOUT ? -ETIMEDOUT : cause == WHORL__NO_TIMER ? -ENOMEM : -ECANCELED;
}

/* The error that a scope has its waits end with, or 0. */
static int error_of_scopes(struct whorl_task *t)
{
    return whorl__load_relaxed(&t->cancel) & WHORL__SCOPE ? whorl__scopes_stopped(t) : 0;
}

int whorl__cancel_cause(struct whorl_task *t)
{
    int err = error_of_scopes(t);

    return err ? err : error_of(own_cause(t));
}

int whorl__cancel_consume(struct whorl_task *t)
{
    int err = error_of_scopes(t);
    uint32_t cause = own_cause(t);

    if (err)
        cause = WHORL__SCOPE;
    else
        err = error_of(cause);
    if (!err)
        return 0;
    whorl__note_cause(t, cause);
    if (whorl__load_relaxed(&t->cancel) & (WHORL__SCOPE | WHORL__STOP))
        whorl__scopes_stop_inner(t, err);
    else if (cause & (WHORL__CANCEL | WHORL__NO_TIMER))
        whorl__and_seq_cst(&t->cancel, (uint8_t)~cause);
    let_others_run();
    return err;
}

/* T3. After a full fence; its partner is the one in whorl__interrupt. */
static void check_cancel(struct whorl_task *t)
{
    uint32_t bits;

    whorl__pause_at(WAIT_T3);
    bits = whorl__load_relaxed(&t->cancel);
    if (__builtin_expect(bits != 0, 0) && (!(bits & WHORL__SHIELDED) || bits & WHORL__SCOPE))
        whorl__interrupt(t);
}

static void wake_interrupted(struct whorl_task *t)
{
    whorl__store_relaxed(&t->interrupted, true);
    whorl__ready(t);
}

void whorl__interrupt(struct whorl_task *t)
{
    struct whorl__runtime *rt = whorl__runtime_of(t);
    uintptr_t expected = (uintptr_t)t;
    uint8_t wait;

    whorl__fence_seq_cst(); /* between C1 and C2 */
    whorl__pause_at(WAIT_C2);
    wait = whorl__load_relaxed(&t->wait); /* C2 */
    whorl__pause_at(WAIT_C3);
    switch (wait) {
    case WHORL__WAIT_LATCH: {
        uintptr_t *latch = whorl__load_relaxed(&t->wait_latch);

        if (latch && whorl__cas_seq_cst(latch, &expected, (uintptr_t)0))
            wake_interrupted(t);
        break;
    }
    case WHORL__WAIT_TIMER:
        if (whorl__timer_stop(&t->sleep))
            wake_interrupted(t);
        break;
    case WHORL__WAIT_OP:
        if (rt->ops->cancel(rt->reactor, &t->op))
            whorl__op_withdrawn(&t->op);
        break;
    default:
        break;
    }
}

/* Makes `t` the one that waits for the latch. False: it was opened meanwhile, and the task is ready. */
static bool await(struct whorl__worker *w, struct whorl_task *t, uintptr_t *latch)
{
    uintptr_t expected = 0;

    whorl__pause_at(WAIT_T2);
    /* Release: pairs with the exchange in whorl__latch_open, whose caller may then run the task. */
    if (whorl__cas_seq_cst(latch, &expected, (uintptr_t)t))
        return true;
    if (expected != WHORL__LATCH_OPEN)
        whorl__fatal(
            "task \"%s\" (spawned at %s) waits for a task that another one waits for already, or that was detached: join a "
            "task once",
            whorl__name_of(t), t->where);
    whorl__ready_here(w, t);
    return false;
}

/* T2 for a latch. */
static void publish_latch(struct whorl__worker *w, struct whorl_task *t)
{
    if (!await(w, t, whorl__load_relaxed(&t->wait_latch)))
        return;
    whorl__fence_after_change();
    check_cancel(t);
}

/* T2 for a gate, W2 of runtime/waiter.h. */
void whorl__publish_gate(struct whorl__worker *w, struct whorl_task *t)
{
    uintptr_t expected = 0;

    whorl__pause_at(WAIT_T2);
    /* Release: pairs with the exchange of whoever opens or claims it, who may then run the task. */
    if (whorl__cas_seq_cst(&t->gate, &expected, (uintptr_t)t)) {
        whorl__fence_after_change();
        check_cancel(t);
    } else {
        whorl__ready_here(w, t);
    }
}

/* A latch that must be waited for may lie on a stack: cancellers, who may come late, never see it. */
static void publish_must(struct whorl__worker *w, struct whorl_task *t)
{
    await(w, t, w->committed);
}

__attribute__((always_inline)) static inline int wait_for_latch(struct whorl__worker *w, struct whorl_task *t, uintptr_t *latch,
                                                                const char *reason, uintptr_t object, enum whorl__wait wait)
{
    bool must = wait != WHORL__WAIT_LATCH;
    int err;

    /* Acquire: pairs with the exchange in whorl__latch_open; what was written before the latch was opened is visible. */
    while (whorl__load_acquire(latch) != WHORL__LATCH_OPEN) {
        if (!must && (err = whorl__cancel_take(t)) != 0)
            return err;
        if (must)
            w->committed = latch;
        else
            whorl__store_relaxed(&t->wait_latch, latch);
        whorl__begin_wait(w, t, wait, reason, object);
        w = whorl__leave(w, t, must ? publish_must : publish_latch);
    }
    return 0;
}

int whorl__latch_wait(struct whorl__worker *w, struct whorl_task *t, uintptr_t *latch, const char *reason, uintptr_t object,
                      enum whorl__wait wait)
{
    return wait_for_latch(w, t, latch, reason, object, wait);
}

static int join_failed(const struct whorl_task *t, int err, const char *detail)
{
    return whorl__failed_at(err, "join of the task spawned at", t->where, detail);
}

static int refuse_to_join_self(const struct whorl__runtime *rt, const struct whorl_task *t)
{
    if (rt->config.debug)
        whorl__alarm(
            "whorl_join was given the task that calls it, and returns -EDEADLK: a task cannot wait for its own end, let another "
            "one join it or give its handle up with whorl_detach");
    return join_failed(t, -EDEADLK, "a task cannot wait for its own end");
}

int whorl_join(struct whorl_task *t, intptr_t *result)
{
    struct whorl__worker *w;
    struct whorl_task *self = whorl__self_may_suspend("whorl_join", &w);
    int err;

    whorl__check_handle(t, "whorl_join");
    if (__builtin_expect(t == self || t == self->root, 0))
        return refuse_to_join_self(w->runtime, t);
    if (__builtin_expect(whorl__runtime_of(t) != w->runtime, 0))
        whorl__misuse("whorl_join was given a task of another runtime: join it there, or on a thread with whorl_runtime_join");
    err = wait_for_latch(w, self, &t->latch, "join", (uintptr_t)t, WHORL__WAIT_LATCH);
    if (err)
        return join_failed(t, err, NULL);
    if (result)
        *result = t->result;
    whorl__record_put(whorl__worker(), t);
    return 0;
}

struct whorl_task *whorl__latch_open(uintptr_t *latch)
{
    whorl__pause_at(WAIT_OPEN);
    /* Release of what the waiter will read, acquire of the waiter's saved registers; partners: latch_wait and publish_latch. */
    uintptr_t waiter = whorl__xchg_seq_cst(latch, (uintptr_t)WHORL__LATCH_OPEN);

    return waiter > WHORL__LATCH_THREAD ? (struct whorl_task *)waiter : NULL;
}

/* T2 for an operation. The reactor's lock, or what it does instead, is not known here, hence the fence. */
static void publish_op(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__count(&w->stats.submitted, 1);
    w->runtime->ops->submit(w->runtime->reactor, w->port, &t->op);
    if (whorl__load_relaxed(&w->port->pending) >= WHORL__PENDING_MAX)
        w->budget = 0;
    whorl__fence_seq_cst();
    check_cancel(t);
}

int whorl__op_wait(struct whorl__worker *w, struct whorl_task *t, const char *reason)
{
    int err = whorl__cancel_take(t);

    if (err)
        return err;
    whorl__begin_wait(w, t, WHORL__WAIT_OP, reason, (uintptr_t)(intptr_t)t->op.fd);
    whorl__leave(w, t, publish_op);
    return 0;
}

void whorl__op_withdrawn(struct whorl__op *op)
{
    struct whorl_task *t = CONTAINER_OF(op, struct whorl_task, op);

    whorl__add_relaxed(&whorl__runtime_of(t)->withdrawn, 1);
    whorl__ready(t);
}

void whorl__op_done(struct whorl__worker *w, struct whorl__op *op)
{
    struct whorl_task *t = CONTAINER_OF(op, struct whorl_task, op);

    whorl__count(&w->stats.completed, 1);
    whorl__store_relaxed(&t->state, WHORL__READY);
    whorl__queue(w, t);
}

/* The task's deadline has passed, or it was moved meanwhile. True: the task is to be interrupted, without the lock. */
static bool deadline_due(struct whorl__timers *h, struct whorl_task *t, whorl_ns now)
{
    whorl_ns deadline = whorl__deadline_of(t);

    if (deadline > now) {
        if (deadline != WHORL_NEVER)
            whorl__timers_again(h, &whorl__rare(t)->deadline, deadline);
        return false;
    }
    whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__TIMEOUT); /* C1 */
    return true;
}

static struct whorl_task *task_of_sleep(struct whorl__timer *timer)
{
    return CONTAINER_OF(timer, struct whorl_task, sleep);
}

/* The time that a task selects over has come. Under the heap's lock, so that it is this wait's gate and no later one's: the task stops the timer
 * before it goes on. True: it was parked, and is ours now. */
static bool gate_due(struct whorl__timer *timer)
{
    bool parked;

    return whorl__gate_claim(task_of_sleep(timer), WHORL__CLAIM_TIME, &parked) && parked;
}

static void fire(struct whorl__worker *w, struct whorl__timer *timer)
{
    if (timer->kind == WHORL__TIMER_SCOPE) {
        whorl__scope_expire(timer);
    } else if (whorl__is_deadline(timer)) {
        whorl__interrupt(whorl__task_of_deadline(timer));
    } else {
        struct whorl_task *t = task_of_sleep(timer);

        whorl__store_relaxed(&t->state, WHORL__READY);
        whorl__queue(w, t);
    }
}

/* With the heap's lock: `timer` is due. True: it is to be fired without it. */
static bool prepare(struct whorl__timers *h, struct whorl__timer *timer, whorl_ns now)
{
    if (timer->kind == WHORL__TIMER_SCOPE)
        whorl__scope_expiring(timer);
    else if (timer->kind == WHORL__TIMER_GATE)
        return gate_due(timer);
    else if (whorl__is_deadline(timer))
        return deadline_due(h, whorl__task_of_deadline(timer), now);
    return true;
}

void whorl__timers_expire(struct whorl__worker *w, struct whorl__timers *h)
{
    struct whorl__timer *timer;

    do {
        bool hit;

        whorl__spin_lock(&h->lock);
        timer = whorl__timers_due(h, w->now);
        hit = timer && prepare(h, timer, w->now);
        whorl__spin_unlock(&h->lock);
        if (hit) {
            whorl__pause_at(WAIT_FIRE);
            whorl__count(&w->stats.timers_fired, 1);
            fire(w, timer);
        }
    } while (timer);
}

whorl_ns whorl_now(void)
{
    struct whorl__worker *w;

    whorl__self("whorl_now", &w);
    return w->runtime->ops->now(w->runtime->reactor);
}

static whorl_ns after(const struct whorl__worker *w, whorl_ns duration)
{
    whorl_ns now = w->runtime->ops->now(w->runtime->reactor);

    return duration > WHORL_NEVER - now ? WHORL_NEVER : now + duration;
}

whorl_ns whorl_after(whorl_ns duration)
{
    struct whorl__worker *w;

    whorl__self("whorl_after", &w);
    return after(w, duration);
}

static void publish_yield(struct whorl__worker *w, struct whorl_task *t)
{
    /* No notify: the queue is as long as it was before the task ran. */
    whorl__runq_push(&w->ready, t);
}

static void publish_bound_yield(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__queue_bound(w, t);
}

void whorl_yield(void)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_yield", &w);
    whorl__commit publish = publish_yield;

    if (__builtin_expect(t->traits & (WHORL__BOUND | WHORL__PINNED | WHORL__NO_SUSPEND), 0)) {
        t = whorl__self_may_suspend("whorl_yield", &w);
        if (t->bound)
            publish = publish_bound_yield;
    }
    whorl__store_relaxed(&t->state, WHORL__READY);
    whorl__leave(w, t, publish);
}

/* T2 for a timer. */
static void publish_sleep(struct whorl__worker *w, struct whorl_task *t)
{
    if (whorl__timer_start(&w->timers, &t->sleep, (whorl_ns)whorl__load_relaxed(&t->object)) < 0) {
        whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__NO_TIMER);
        wake_interrupted(t);
        return;
    }
    whorl__fence_seq_cst();
    check_cancel(t);
}

static int sleep_until(struct whorl__worker *w, struct whorl_task *t, whorl_ns when)
{
    int err = whorl__cancel_take(t);

    if (err)
        return err;
    if (when <= w->runtime->ops->now(w->runtime->reactor)) {
        whorl_yield();
        return whorl__cancel_take(t);
    }
    do {
        whorl__begin_wait(w, t, WHORL__WAIT_TIMER, "sleep until", (uintptr_t)when);
        w = whorl__leave(w, t, publish_sleep);
        if (!whorl__load_relaxed(&t->interrupted))
            return 0;
        err = whorl__cancel_take(t);
    } while (!err);
    return err;
}

static int sleep_result(int err)
{
    return err ? whorl__failed(err, "sleep", NULL) : 0;
}

int whorl_sleep_until(whorl_ns when)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_sleep_until", &w);

    return sleep_result(sleep_until(w, t, when));
}

int whorl_sleep(whorl_ns duration)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_sleep", &w);

    return sleep_result(sleep_until(w, t, duration > 0 ? after(w, duration) : 0));
}

/* Makes `t`'s deadline `when`, in whose heap's lock the caller has looked that nothing needs to be armed anew. */
static void store_deadline(struct whorl_task *t, whorl_ns when)
{
    whorl__set_deadline_of(t, when);
    if (whorl__load_relaxed(&t->cancel) & WHORL__TIMEOUT)
        whorl__and_seq_cst(&t->cancel, (uint8_t)~WHORL__TIMEOUT);
}

whorl_ns whorl_deadline(whorl_ns when)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_deadline", &w);
    struct whorl__timer *timer = &whorl__rare(t)->deadline;
    struct whorl__timers *h = whorl__timer_lock(timer);
    whorl_ns before = whorl__deadline_of(t);
    bool armed = h && whorl__timer_when(h, timer) <= when;

    /* Armed for an earlier time: it will look again then. So a deadline that is moved with each request costs a store. */
    if (h && !armed) {
        whorl__spin_unlock(&h->lock);
        whorl__timer_stop(timer);
    }
    store_deadline(t, when);
    if (armed)
        whorl__spin_unlock(&h->lock);
    else if (when != WHORL_NEVER && whorl__timer_start(&w->timers, timer, when) < 0)
        whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__NO_TIMER);
    return before;
}
