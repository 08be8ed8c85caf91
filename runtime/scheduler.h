/* SPDX-License-Identifier: MIT */
/* What the rest of runtime/ and io/ may ask of the scheduler. The essay is in scheduler.c. */
#ifndef WHORL_RUNTIME_SCHEDULER_H
#define WHORL_RUNTIME_SCHEDULER_H

#include "runtime/current.h"
#include "runtime/fatal.h"
#include "runtime/pause.h"
#include "runtime/record.h"
#include "runtime/worker.h"

/* Switches from one look at the reactor, the timers and the inbox to the next, at most. */
#define WHORL__BUDGET 61
/* After each so many of them the loop looks earlier, if the reactor shows that it has something, or others have readied a task that
 * only this worker may run. */
#define WHORL__BUDGET_MIN 8
/* Pending operations that make a worker go and submit them. */
#define WHORL__PENDING_MAX 128

/* Aborts: `call`, a public function, was called outside a task. */
_Noreturn void whorl__outside(const char *call);

/* Aborts: `call`, a public function, was called in a no-suspend region (runtime/pin.c). */
_Noreturn void whorl__must_not_suspend(const struct whorl_task *t, const char *call);

/* The running task, and its worker in *w. `call` is the name of the public function that needs to know: it aborts outside a task.
 */
static inline struct whorl_task *whorl__self(const char *call, struct whorl__worker **w)
{
    struct whorl__worker *here = whorl__worker();

    if (__builtin_expect(!here || !here->current, 0))
        whorl__outside(call);
    *w = here;
    return here->current;
}

/* The same for a call that may suspend: it aborts in a no-suspend region, too. */
static inline struct whorl_task *whorl__self_may_suspend(const char *call, struct whorl__worker **w)
{
    struct whorl_task *t = whorl__self(call, w);

    if (__builtin_expect(t->traits & WHORL__NO_SUSPEND, 0))
        whorl__must_not_suspend(t, call);
    return t;
}

/* Makes a task that nobody else can see ready to run, from any thread, on the caller's worker if it is one of the task's runtime and
 * the task is not bound to another. */
void whorl__ready(struct whorl_task *t);
/* … or on worker `index`, if it can. */
void whorl__ready_there(struct whorl__runtime *rt, int index, struct whorl_task *t);

/* Gives a new task its stack. False: there is none to be had. */
bool whorl__lend_stack(struct whorl__worker *w, struct whorl_task *t);
/* Then it waits until one comes back. */
void whorl__set_aside(struct whorl__worker *w, struct whorl_task *t);
/* Does this worker keep a stack that such a task could have? */
bool whorl__can_share_stacks(const struct whorl__worker *w);
/* Ends one of the tasks that wait so with -ENOMEM, when none will. False: there are none. */
bool whorl__fail_stackless(struct whorl__worker *w);

/* What runs on the stack of a new task (runtime/task.c). */
void whorl__task_entry(void *arg);

/* Pays what is owed to the context that was left last: the first thing after every switch. */
static inline void whorl__after_switch(struct whorl__worker *w)
{
    whorl__commit commit = w->commit;

    if (commit) {
        whorl__pause_at(COMMIT);
        w->commit = NULL;
        commit(w, w->committee);
    }
}

static inline void whorl__set_state(struct whorl__worker *w, struct whorl_task *t, enum whorl__state state)
{
    whorl__store_relaxed(&t->state, (uint8_t)state);
    whorl__store_relaxed(&t->since, w->now);
}

/* Is it time for the loop to look at everything but the queue? */
static inline bool whorl__look_due(struct whorl__worker *w)
{
    return w->budget <= 0 || (w->budget % WHORL__BUDGET_MIN == 0 && (whorl__port_ready(w->port) || !whorl__fifo_empty(&w->bound)));
}

/* The next task of the worker's own queue, with a stack; NULL: the loop is to decide. */
static inline struct whorl_task *whorl__take_next(struct whorl__worker *w)
{
    struct whorl_task *t;

    w->budget--;
    if (__builtin_expect(whorl__look_due(w), 0))
        return NULL;
    t = whorl__runq_pop(&w->ready);
    if (t && __builtin_expect(!t->stack, 0) && !whorl__lend_stack(w, t)) {
        whorl__set_aside(w, t);
        return NULL;
    }
    return t;
}

/* Where to go on: the task's context or, for NULL, the loop's. */
static inline struct whorl__context *whorl__context_of(struct whorl__worker *w, struct whorl_task *next)
{
    struct whorl__deque *deque = next ? next->deque : NULL;

    whorl__store_relaxed(&w->current, next);
    if (__builtin_expect(deque != w->deque, 0))
        whorl__deque_change(w, deque);
    if (!next)
        return &w->context;
    whorl__count(&w->stats.switches, 1);
    whorl__set_state(w, next, WHORL__RUNNING);
    return &next->context;
}

/* Lets the worker go on with something else. `commit(worker, t)` runs as soon as the task `t`, the running one, has left its
 * stack: it makes the task known to whoever is to wake it. Returns when it has been woken, with the worker it is on then.
 *
 * Inline in each way to wait, like the switch itself: every call that is entered before a switch and left after it is a return that
 * the CPU predicts wrong. */
__attribute__((always_inline)) static inline struct whorl__worker *whorl__leave(struct whorl__worker *w, struct whorl_task *t,
                                                                                whorl__commit commit)
{
    w->commit = commit;
    w->committee = t;
    w->handoffs = 0;
    w = whorl__context_switch(&t->context, whorl__context_of(w, whorl__take_next(w)), w);
    whorl__after_switch(w);
    return w;
}

/* Takes back the stack of the task that ended last. A commit function. */
void whorl__bury(struct whorl__worker *w, struct whorl_task *t);

/* For a task that has ended: where to go on, as the last thing on its stack, which is free after that. `next` is a task that nobody
 * else can see, or NULL: whatever is ready. */
static inline struct whorl__context *whorl__end(struct whorl__worker *w, struct whorl__stack *stack, struct whorl_task *next)
{
    w->dead = stack;
    w->commit = whorl__bury;
    if (!next) {
        next = whorl__take_next(w);
        w->handoffs = 0;
    }
    return whorl__context_of(w, next);
}

/* The running task, which computes, lets its worker look around and all others that are ready there run first. */
void whorl__stand_back(struct whorl__worker *w, struct whorl_task *t);

/* A worker's life: runs tasks until the runtime stops. */
void whorl__work(struct whorl__worker *w);
/* Have other threads left something since the workers looked? For a simulated runtime. */
bool whorl__anything_from_outside(const struct whorl__runtime *rt);
/* The life of all of a simulated runtime's workers, or the part of it until the latch is open. */
void whorl__simulate(struct whorl__runtime *rt, const uintptr_t *until);

/* idle.c: the wake protocol. */

/* P3, behind the question whether it is needed. */
void whorl__wake_one(struct whorl__worker *w);

/* P3, first half: without the lock, after P2. */
static inline bool whorl__wanted(const struct whorl__runtime *rt)
{
    return whorl__load_relaxed(&rt->sleeping) > 0 && whorl__load_relaxed(&rt->searching) == 0;
}

/* Something was queued on this worker that any may run: wakes one if that is needed. */
static inline void whorl__notify(struct whorl__worker *w)
{
    whorl__pause_at(WAKE_P2);
    /* P2. Partner: S4, whorl__fence_others. */
    if (__builtin_expect(w->runtime->asymmetric, 1))
        whorl__fence_compiler();
    else
        whorl__fence_seq_cst();
    whorl__pause_at(WAKE_P3);
    if (__builtin_expect(whorl__wanted(w->runtime), 0))
        whorl__wake_one(w);
}

/* Queues a ready task that is bound to the worker `w`, the caller's, or to another, and wakes that. */
void whorl__queue_bound(struct whorl__worker *w, struct whorl_task *t);

/* Queues a ready task on the worker `w`, the caller's, unless it is bound to another. Nobody else is told. */
static inline void whorl__queue(struct whorl__worker *w, struct whorl_task *t)
{
    if (__builtin_expect(t->bound, 0))
        whorl__queue_bound(w, t);
    else
        whorl__runq_push(&w->ready, t);
}

/* Makes a task that nobody else can see, and that is not bound, ready to run on the worker `w`, the caller's. */
static inline void whorl__ready_free(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__set_state(w, t, WHORL__READY);
    whorl__runq_push(&w->ready, t);
    whorl__notify(w);
}

/* … or where it is bound to. */
static inline void whorl__ready_here(struct whorl__worker *w, struct whorl_task *t)
{
    if (__builtin_expect(t->bound, 0)) {
        whorl__set_state(w, t, WHORL__READY);
        whorl__queue_bound(w, t);
    } else {
        whorl__ready_free(w, t);
    }
}

/* What the worker goes on with: `next`, a task that has run before and that nobody else can see, unless others are to have their turn
 * first, or NULL. */
static inline struct whorl_task *whorl__prefer(struct whorl__worker *w, struct whorl_task *next)
{
    if (next && w->budget > 1 && !whorl__look_due(w) && (!next->bound || next->bound == WHORL_WORKER(w->index))) {
        w->budget--;
        return next;
    }
    if (next)
        whorl__ready_here(w, next);
    return whorl__take_next(w);
}

/* whorl__leave, for a task that has just woken another one, which it waits for. */
__attribute__((always_inline)) static inline struct whorl__worker *whorl__leave_for(struct whorl__worker *w, struct whorl_task *t,
                                                                                    whorl__commit commit, struct whorl_task *next)
{
    w->commit = commit;
    w->committee = t;
    w->handoffs = 0;
    w = whorl__context_switch(&t->context, whorl__context_of(w, whorl__prefer(w, next)), w);
    whorl__after_switch(w);
    return w;
}

/* Are there ready tasks that only this worker may run? */
static inline bool whorl__bound_ready(const struct whorl__worker *w)
{
    return w->ready.bound || !whorl__fifo_empty(&w->bound);
}

/* Are there forks of parked tasks that this worker may take? A moment old. */
static inline bool whorl__forks_aside(const struct whorl__worker *w)
{
    return whorl__load_relaxed(&w->runtime->aside) || whorl__load_relaxed(&w->aside);
}

void whorl__notify_outside(struct whorl__runtime *rt); /* on a thread that is no worker */
/* Wakes worker `index` if it sleeps. True if it did. */
bool whorl__wake_worker(struct whorl__runtime *rt, int index);
void whorl__wake_all(struct whorl__runtime *rt);
/* The worker, which was idle, has found something to do. */
void whorl__end_idle(struct whorl__worker *w);

static inline void whorl__found(struct whorl__worker *w)
{
    if (__builtin_expect(w->searching || w->idle_since != WHORL_NEVER, 0))
        whorl__end_idle(w);
}

/* The worker has nothing to do: looks for work a while, then sleeps until there may be some. */
void whorl__idle(struct whorl__worker *w);
/* Can `w` find something to do? For a last look before sleeping. */
bool whorl__anything(struct whorl__worker *w);
/* Does everybody sleep, and no operation, timer or other thread that has said so is going to wake anyone? A moment old. */
bool whorl__stands_still(const struct whorl__runtime *rt);
/* Makes membarrier(2) usable; false: it is not. */
bool whorl__membarrier_register(void);
/* A full fence here, and on every CPU where one of the workers is: the expensive side of S4. */
void whorl__fence_others(struct whorl__runtime *rt);

/* takeover.c */

/* Takes over what others neglect: of all workers, or of the next one. */
void whorl__look_after_others(struct whorl__worker *w, bool all);
/* Is there anything? */
bool whorl__anyone_neglects(const struct whorl__worker *w, whorl_ns now);

/* wait.c */

/* The halves of the two that follow that are for tasks with some request. */
int whorl__cancel_cause(struct whorl_task *t);
int whorl__cancel_consume(struct whorl_task *t);

/* The error that the next wait of `t`, the running task, is to end with, or 0. */
static inline int whorl__cancel_pending(struct whorl_task *t)
{
    return __builtin_expect(whorl__load_relaxed(&t->cancel) == 0, 1) ? 0 : whorl__cancel_cause(t);
}

/* The same, and consumes a request that is for one wait only: the wait does end. */
static inline int whorl__cancel_take(struct whorl_task *t)
{
    return __builtin_expect(whorl__load_relaxed(&t->cancel) == 0, 1) ? 0 : whorl__cancel_consume(t);
}

/* T1: the running task is about to leave, to wait. */
static inline void whorl__begin_wait(struct whorl__worker *w, struct whorl_task *t, enum whorl__wait wait, const char *reason,
                                     uintptr_t object)
{
    whorl__count(&w->stats.parks, 1);
    whorl__store_relaxed(&t->wait, (uint8_t)wait);
    whorl__store_relaxed(&t->reason, reason);
    whorl__store_relaxed(&t->object, object);
    whorl__store_relaxed(&t->since, w->now);
    whorl__store_relaxed(&t->state, WHORL__PARKED);
    whorl__store_relaxed(&t->interrupted, false);
}

/* Waits until *latch is opened. 0, or the error above. `reason` and `object` are for dumps. Only WHORL__WAIT_LATCH can be
 * cancelled. */
int whorl__latch_wait(struct whorl__worker *w, struct whorl_task *t, uintptr_t *latch, const char *reason, uintptr_t object,
                      enum whorl__wait wait);
/* Opens the latch: returns the task that waited, for the caller to make ready, or NULL. */
struct whorl_task *whorl__latch_open(uintptr_t *latch);
/* Gives the task's operation, filled in, to the reactor and waits until it has finished: then 0, and op->result is there. Or the
 * error above: it was not begun. */
int whorl__op_wait(struct whorl__worker *w, struct whorl_task *t, const char *reason);
/* Ends the wait of a task whose `cancel` was set, if it is in one. Any thread. */
void whorl__interrupt(struct whorl_task *t);
/* Fires what is due in `h`, this worker's heap or another's: the tasks are ready here. */
void whorl__timers_expire(struct whorl__worker *w, struct whorl__timers *h);
/* An operation that the reactor has withdrawn: its task is ready. Any thread. */
void whorl__op_withdrawn(struct whorl__op *op);
/* A finished operation: its task is ready. */
void whorl__op_done(struct whorl__worker *w, struct whorl__op *op);

/* scope.c */

/* The error that waits of `t`, the running task, are to end with because of a scope that it is in, or 0. */
int whorl__scopes_stopped(struct whorl_task *t);
/* Says which scope has ended the wait of `t`, the running task, just now, as far as that is known. */
void whorl__scopes_explain(struct whorl_task *t, struct whorl__failure *failure);
/* Cancels the scopes that the running task has opened within what was cancelled: its waits end with `err` from now on. */
void whorl__scopes_stop_inner(struct whorl_task *t, int err);
/* A scope's deadline is due. With the lock of the timer's heap: the scope stays until … */
void whorl__scope_expiring(struct whorl__timer *timer);
/* … this has run, without it. */
void whorl__scope_expire(struct whorl__timer *timer);
/* A task that is in a scope has ended: returns who waits for the scope's last, if it was. The record is the scope's, or free. */
struct whorl_task *whorl__scope_leave(struct whorl__worker *w, struct whorl_task *t, intptr_t result);
/* Aborts if the task, which ends, has left a scope open. */
void whorl__scopes_end(struct whorl_task *t);

/* defer.c */

/* The function of the running task has returned: calls what it has deferred. Suspends. */
void whorl__defers_run(struct whorl_task *t);

/* local.c */

/* Gives a new task, or strand, the values of `from`, which is the running task, or one whose strand_lock is held. */
void whorl__locals_inherit(struct whorl_task *t, const struct whorl_task *from);
/* The task ends: takes its values from it. */
void whorl__locals_end(struct whorl_task *t);

/* generator.c */

/* Aborts if the task, which ends, has left a generator open. */
void whorl__generators_end(struct whorl_task *t);

/* pin.c */

/* Binds a new task to a worker, for good. */
void whorl__bind(struct whorl_task *t, int worker);
/* Aborts if the task, which ends, is still in a region; else it is bound no more. */
void whorl__pin_end(struct whorl_task *t);

/* task.c */

/* Makes a new task, which nobody else knows, ready for the first time, where its options say. */
void whorl__task_start(struct whorl__worker *w, struct whorl_task *t, const struct whorl_spawn_options *options);
/* A new task, its handle; it is not queued yet. NULL: no memory, or bad options. */
struct whorl_task *whorl__task_new(struct whorl__runtime *rt, struct whorl__worker *w, whorl_fn fn, void *arg,
                                   const struct whorl_spawn_options *options, const char *where);
/* A task could not be spawned by the running one, whose worker is `w`: says why. */
int whorl__spawn_failed(const struct whorl__worker *w, const struct whorl_spawn_options *options, const char *where);
/* Ends a task that never ran. */
void whorl__task_fail(struct whorl__worker *w, struct whorl_task *t, intptr_t result);
void whorl__set_name(struct whorl_task *t, const char *name);
/* Aborts unless `t` can be the handle of a task; `call` names the public function. */
void whorl__check_handle(const struct whorl_task *t, const char *call);
/* Do no tasks live, nor any more come? Once the runtime is closed. */
bool whorl__quiet(struct whorl__runtime *rt);

#endif
