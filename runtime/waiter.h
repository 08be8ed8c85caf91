/* SPDX-License-Identifier: MIT */
/* Waiting for something that others do: the one list underneath locks, events, channels and all else that is not the reactor's.
 *
 * Who waits is a task or an OS thread. Its waiter, on its own stack, stands in the object's list, under the list's lock, which
 * guards the object too. A task parks at its gate, a word in its record.
 *
 * As numbered steps (W waits, M makes come true what it waits for).
 *
 *   W1  closes its gate; under the lock: what it wants is not there;   M1  under the lock: takes a waiter off the list, hands over
 *       is put on the list                                                 what it waits for
 *   W2  leaves; its commit puts the task into the gate, or finds       M2  without the lock: opens the gate; a task that was in it
 *       it open and makes the task ready                                   is made ready
 *   W3  interrupted (wait.c): under the lock, if it is still on the
 *       list, takes itself off and gives up. Else M1 has decided:
 *       waits on for M2, and what was handed over is there
 *
 * M does not touch the object after its lock, nor the waiter after its gate: W may free both then. That is also why W3 does not just
 * leave when it finds itself off the list: M2 would open the gate of its next wait.
 *
 * A task that waits for the first of several things (select) has a waiter in the list of each, and M1 is not the only one who may
 * decide. There the gate itself is what is fought for: M1 claims it for its own waiter, under the lock, by an exchange that only one
 * can win, and goes on to the next waiter if it loses. Such a task takes the lock of each object before it goes on, so M may
 * finish what it has to do under its lock. */
#ifndef WHORL_RUNTIME_WAITER_H
#define WHORL_RUNTIME_WAITER_H

#include "runtime/scheduler.h"
#include <whorl/task.h>
#include <whorl/waiters.h>

/* Calls that did not have to wait, for each of which the worker's budget goes down by one. */
#define WHORL__TURNS 16

/* What a gate shows when waiter `index` of several has claimed it: odd, as no address of a task is, and not WHORL__LATCH_OPEN. */
#define WHORL__CLAIM(index)      ((uint16_t)((index)*4 + 5))
#define WHORL__CLAIM_INDEX(gate) (((uint32_t)(gate)-5) / 4)

static inline void whorl__waiters_lock(struct whorl__waiters *l)
{
    whorl__spin_lock((struct whorl__spinlock *)&l->locked);
}

static inline void whorl__waiters_unlock(struct whorl__waiters *l)
{
    whorl__spin_unlock((struct whorl__spinlock *)&l->locked);
}

/* Has everybody left the lock who wrote, under it, what the caller has just read by an acquire? Then that one, M perhaps, touches the
 * object no more, and the caller may go on, and free it, without having taken the lock. */
static inline bool whorl__waiters_unlocked(const struct whorl__waiters *l)
{
    return whorl__load_acquire(&l->locked) ==
           0; /* pairs with the release in whorl__waiters_unlock: nothing of it comes after this */
}

/* The calling task, NULL on a thread that runs none, and its worker in *w. `call`, a public function that may suspend, aborts in a
 * no-suspend region. */
static inline struct whorl_task *whorl__caller_may_suspend(const char *call, struct whorl__worker **w)
{
    struct whorl_task *t;

    *w = whorl__worker();
    t = *w ? (*w)->current : NULL;
    if (__builtin_expect(t && t->traits & WHORL__NO_SUSPEND, 0))
        whorl__must_not_suspend(t, call);
    return t;
}

/* Makes `me` the waiter of the task `t`, the calling one, or, NULL, of the calling thread; W1's gate. */
static inline void whorl__waiter_begin(struct whorl__waiter *me, struct whorl_task *t)
{
    me->task = t;
    me->item = NULL;
    me->awake = 0;
    me->claim = 0;
    me->listed = false;
    if (__builtin_expect(t != NULL, 1))
        whorl__store_relaxed(&t->gate, (uintptr_t)0);
}

/* Both of the above. */
static inline void whorl__waiter_init(struct whorl__waiter *me, const char *call)
{
    struct whorl__worker *w;

    whorl__waiter_begin(me, whorl__caller_may_suspend(call, &w));
}

/* A call that may suspend did not have to, on worker `w`, or NULL. Now and then it lets others run all the same: a task whose calls never
 * wait would keep its worker for ever. What such a call costs is much less than a switch, so that it takes several to use up the worker's
 * budget by one. */
static inline void whorl__went_on(struct whorl__worker *w)
{
    if (__builtin_expect(w && ++w->turns % WHORL__TURNS == 0, 0) && w->current && --w->budget <= 0)
        whorl_yield();
}

/* With the lock. */
static inline void whorl__waiters_append(struct whorl__waiters *l, struct whorl__waiter *me)
{
    me->next = NULL;
    me->before = l->last;
    if (l->last)
        l->last->next = me;
    else
        l->first = me;
    l->last = me;
    me->listed = true;
}

/* With the lock. */
static inline void whorl__waiters_remove(struct whorl__waiters *l, struct whorl__waiter *me)
{
    if (me->before)
        me->before->next = me->next;
    else
        l->first = me->next;
    if (me->next)
        me->next->before = me->before;
    else
        l->last = me->before;
    me->listed = false;
}

struct whorl__waiter *whorl__waiters_claim_of_several(struct whorl__waiters *l, struct whorl__waiter ***end);

/* M1, with the lock: takes the first waiter that can be had off the list, and appends it to a chain, by way of the chain's end, that is to
 * be opened without the lock. NULL: there is none. What is handed over is to be put in place before the lock is left. */
static inline struct whorl__waiter *whorl__waiters_claim(struct whorl__waiters *l, struct whorl__waiter ***end)
{
    struct whorl__waiter *waiter = l->first;

    if (!waiter)
        return NULL;
    if (__builtin_expect(waiter->claim != 0, 0))
        return whorl__waiters_claim_of_several(l, end);
    l->first = waiter->next;
    if (l->first)
        l->first->before = NULL;
    else
        l->last = NULL;
    waiter->listed = false;
    waiter->next = NULL;
    **end = waiter;
    *end = &waiter->next;
    return waiter;
}

/* Claims the gate of `t`, which waits for several, by `claim`: what came true. False: another one has it. If *parked the task is to be made
 * ready, by whorl__ready, as the last thing. */
bool whorl__gate_claim(struct whorl_task *t, uint16_t claim, bool *parked);

/* M2, without the lock. Any thread. */
void whorl__waiters_open(struct whorl__waiter *chain);

/* W2's commit. */
void whorl__publish_gate(struct whorl__worker *w, struct whorl_task *t);

/* Waits once at the task's own gate, which it has closed before others learnt of it (runtime/waiter.h). False: the gate is still closed, and
 * there may be a request to stop waiting. */
__attribute__((always_inline)) static inline bool whorl__gate_wait(struct whorl__worker *w, struct whorl_task *t,
                                                                   const char *reason, uintptr_t object)
{
    whorl__store_relaxed(&t->wait_latch, &t->gate);
    whorl__begin_wait(w, t, WHORL__WAIT_LATCH, reason, object);
    whorl__leave(w, t, whorl__publish_gate);
    /* Acquire: pairs with the exchange of who has opened or claimed it. */
    return whorl__load_acquire(&t->gate) & 1;
}

/* W2 for a thread: blocks it until its gate is open. */
void whorl__waiter_block(struct whorl__waiter *me);

/* W3. False: somebody has claimed it. The lock is that of `l`, or, for an object with several lists, of the one that guards them all. */
bool whorl__waiter_withdraw(struct whorl__waiters *lock, struct whorl__waiters *l, struct whorl__waiter *me);

/* W2. Without the lock. True: it was claimed, and all is there that was to be handed over. False: it is to end early, unless somebody
 * claims it before it is off the list (W3). `reason` and `object` are for dumps. Inline, as whorl__leave is. */
__attribute__((always_inline)) static inline bool whorl__waiter_park(struct whorl__waiter *me, const char *reason,
                                                                     const void *object)
{
    struct whorl_task *t = me->task;

    if (__builtin_expect(!t, 0)) {
        whorl__waiter_block(me);
        return true;
    }
    do
        if (whorl__gate_wait(whorl__worker(), t, reason, (uintptr_t)object))
            return true;
    while (!whorl__cancel_pending(t));
    return false;
}

/* W2, W3. Called with the lock and with `me` on the list; leaves the lock. 0: it was claimed. Else the error that the wait ended with:
 * it is off the list. */
__attribute__((always_inline)) static inline int whorl__waiter_wait_under(struct whorl__waiters *lock, struct whorl__waiters *l,
                                                                          struct whorl__waiter *me, const char *reason,
                                                                          const void *object)
{
    whorl__waiters_unlock(lock);
    while (!whorl__waiter_park(me, reason, object))
        if (whorl__waiter_withdraw(lock, l, me))
            return whorl__failed_at(whorl__cancel_take(me->task), "wait for", reason, NULL);
    return 0;
}

/* The same where the list has a lock of its own. */
__attribute__((always_inline)) static inline int whorl__waiter_wait(struct whorl__waiters *l, struct whorl__waiter *me,
                                                                    const char *reason, const void *object)
{
    return whorl__waiter_wait_under(l, l, me, reason, object);
}

/* W2 for what must be had: waits until it was claimed, whatever requests to stop there are. Without the lock. */
void whorl__waiter_wait_surely(struct whorl__waiter *me, const char *reason, const void *object);

#endif
