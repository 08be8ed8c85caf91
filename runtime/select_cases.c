/* SPDX-License-Identifier: MIT */
/* What can be selected over: sending to a channel, receiving from one, joining a task, an event, a future. Times are in select.c. */
#include "runtime/channel.h"
#include "runtime/select.h"
#include "runtime/watch.h"
#include <errno.h>
#include <stddef.h>
#include <whorl/event.h>
#include <whorl/future.h>

/* What has a wait list. */

int whorl__case_stand(struct whorl__waiters *lock, struct whorl__waiters *l, struct whorl_case *self, bool possible)
{
    if (!possible)
        whorl__waiters_append(l, &self->waiter);
    whorl__waiters_unlock(lock);
    return possible;
}

void whorl__case_leave(struct whorl__waiters *lock, struct whorl__waiters *l, struct whorl_case *self)
{
    /* Even if somebody else has taken the waiter off: he may be at it still, see runtime/waiter.h. */
    whorl__waiters_lock(lock);
    if (self->waiter.listed)
        whorl__waiters_remove(l, &self->waiter);
    whorl__waiters_unlock(lock);
}

/* Channels, and the queues that begin with one. */

/* With the lock: does somebody wait in a list besides the task itself, which may select over both sides of a channel? He may have been served
 * elsewhere by now; whoever attempts it finds out. */
static bool anyone_else(const struct whorl__waiters *l, const struct whorl_task *t)
{
    const struct whorl__waiter *waiter = l->first;

    while (waiter && waiter->task == t)
        waiter = waiter->next;
    return waiter != NULL;
}

static void leave_side(struct whorl_channel *c, struct whorl__waiters *side, struct whorl_case *self, bool chosen)
{
    whorl__case_leave(&c->receivers, side, self);
    if (chosen)
        self->result = self->waiter.item ? 0 : -EPIPE;
}

static bool attempt_send(struct whorl_case *self)
{
    self->result = whorl__channel_try_send(self->object, self->item);
    return self->result != -EAGAIN;
}

static int stand_to_send(struct whorl_case *self)
{
    struct whorl_channel *c = self->object;

    whorl__channel_lock(c);
    self->waiter.item = whorl__channel_place(c, self->item);
    return whorl__case_stand(&c->receivers, &c->senders, self,
                             c->closed || c->length < c->capacity || anyone_else(&c->receivers, self->waiter.task));
}

static void leave_senders(struct whorl_case *self, bool chosen)
{
    struct whorl_channel *c = self->object;

    leave_side(c, &c->senders, self, chosen);
}

static bool attempt_recv(struct whorl_case *self)
{
    self->result = whorl__channel_try_recv(self->object, self->item);
    return self->result != -EAGAIN;
}

static int stand_to_recv(struct whorl_case *self)
{
    struct whorl_channel *c = self->object;

    whorl__channel_lock(c);
    self->waiter.item = whorl__channel_place(c, self->item);
    return whorl__case_stand(&c->receivers, &c->receivers, self,
                             c->closed || c->length > 0 || anyone_else(&c->senders, self->waiter.task));
}

static void leave_receivers(struct whorl_case *self, bool chosen)
{
    struct whorl_channel *c = self->object;

    leave_side(c, &c->receivers, self, chosen);
}

const struct whorl__case_kind whorl__case_kind_send = {.attempt = attempt_send, .stand = stand_to_send, .leave = leave_senders};
const struct whorl__case_kind whorl__case_kind_recv = {.attempt = attempt_recv, .stand = stand_to_recv, .leave = leave_receivers};

/* Tasks. */

/* The end of one: what whorl_join does then. */
static bool take_result(struct whorl_case *self)
{
    struct whorl_task *t = self->object;
    intptr_t *result = self->item;

    if (result)
        *result = t->result;
    whorl__record_put(whorl__worker(), t);
    self->result = 0;
    return true;
}

static bool attempt_join(struct whorl_case *self)
{
    struct whorl__worker *w;
    struct whorl_task *t = self->object, *me = whorl__self("whorl_select", &w);

    whorl__check_handle(t, "whorl_select");
    if (t == me || t == me->root) {
        self->result = -EDEADLK;
        return true;
    }
    if (__builtin_expect(whorl__runtime_of(t) != w->runtime, 0))
        whorl__misuse(
            "whorl_select was given a task of another runtime to join: join it there, or on a thread with whorl_runtime_join");
    /* Acquire: pairs with the exchange that opens it; the result is visible. */
    return whorl__load_acquire(&t->latch) == WHORL__LATCH_OPEN && take_result(self);
}

static void task_ended(struct whorl__watch *watch)
{
    struct whorl_case *self = (struct whorl_case *)(void *)((char *)watch - offsetof(struct whorl_case, watch));
    struct whorl_task *t = self->waiter.task;
    bool parked, claimed = whorl__gate_claim(t, self->waiter.claim, &parked);

    whorl__store_release(&self->over, 1u); /* the last touch of the case; pairs with the acquire in whorl__case_unwatch */
    if (claimed && parked)
        whorl__ready(t);
}

bool whorl__case_watch(struct whorl_case *self, struct whorl_task *t)
{
    whorl__store_relaxed(&self->over, 0u);
    self->watch.ended = task_ended;
    return whorl__watch(t, &self->watch, "whorl_select");
}

void whorl__case_unwatch(struct whorl_case *self, struct whorl_task *t)
{
    if (!whorl__unwatch(t, &self->watch))
        while (!whorl__load_acquire(&self->over))
            sched_yield(); /* whoever has taken the watch out of the latch is about to call it */
}

static int stand_by_task(struct whorl_case *self)
{
    return !whorl__case_watch(self, self->object);
}

static void leave_task(struct whorl_case *self, bool chosen)
{
    whorl__case_unwatch(self, self->object);
    if (chosen)
        take_result(self);
}

const struct whorl__case_kind whorl__case_kind_join = {.attempt = attempt_join, .stand = stand_by_task, .leave = leave_task};

/* Events. */

static bool attempt_event(struct whorl_case *self)
{
    self->result = 0;
    return whorl_event_is_set(self->object);
}

static int stand_by_event(struct whorl_case *self)
{
    struct whorl_event *e = self->object;

    whorl__waiters_lock(&e->waiters);
    return whorl__case_stand(&e->waiters, &e->waiters, self, e->set);
}

static void leave_event(struct whorl_case *self, bool chosen)
{
    struct whorl_event *e = self->object;

    whorl__case_leave(&e->waiters, &e->waiters, self);
    if (chosen)
        self->result = 0; /* it was set, if perhaps cleared since */
}

const struct whorl__case_kind whorl__case_kind_event = {.attempt = attempt_event, .stand = stand_by_event, .leave = leave_event};

/* Futures. */

static bool attempt_future(struct whorl_case *self)
{
    self->result = whorl_future_try(self->object, self->item);
    return self->result != -EINPROGRESS;
}

static int stand_by_future(struct whorl_case *self)
{
    struct whorl_future *f = self->object;

    whorl__waiters_lock(&f->waiters);
    return whorl__case_stand(&f->waiters, &f->waiters, self, f->state != 0);
}

static void leave_future(struct whorl_case *self, bool chosen)
{
    struct whorl_future *f = self->object;

    whorl__case_leave(&f->waiters, &f->waiters, self);
    if (chosen)
        attempt_future(self);
}

const struct whorl__case_kind whorl__case_kind_future = {
    .attempt = attempt_future, .stand = stand_by_future, .leave = leave_future};
