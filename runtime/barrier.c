/* SPDX-License-Identifier: MIT */
#include "runtime/waiter.h"
#include <errno.h>
#include <whorl/barrier.h>

/* With the lock: lets all go who wait, each to return the error, or for 0 its place. */
static struct whorl__waiter *let_go(struct whorl_barrier *b, int err)
{
    struct whorl__waiter *chain = NULL, **end = &chain, *one;

    while ((one = whorl__waiters_claim(&b->waiters, &end)) != NULL)
        if (err)
            one->item = (void *)(intptr_t)err;
    b->waiting = 0;
    return chain;
}

/* With the lock. */
static struct whorl__waiter *break_it(struct whorl_barrier *b)
{
    b->broken = 1;
    return let_go(b, -EPIPE);
}

static void unlock_and_open(struct whorl_barrier *b, struct whorl__waiter *chain)
{
    whorl__waiters_unlock(&b->waiters);
    whorl__waiters_open(chain);
}

/* W3. False: it was let go. */
static bool give_up(struct whorl_barrier *b, struct whorl__waiter *me)
{
    bool listed;

    whorl__waiters_lock(&b->waiters);
    listed = me->listed;
    if (listed)
        whorl__waiters_remove(&b->waiters, me);
    unlock_and_open(b, listed ? break_it(b) : NULL);
    return listed;
}

void whorl_barrier_init(struct whorl_barrier *b, uint32_t parties)
{
    if (parties == 0 || parties > INT32_MAX)
        whorl__misuse("whorl_barrier_init was given %u parties: want 1 to %d", parties, INT32_MAX);
    *b = (struct whorl_barrier){.parties = parties};
}

int whorl_barrier_wait(struct whorl_barrier *b)
{
    struct whorl__waiter me;
    int place;

    if (__builtin_expect(b->parties == 0, 0))
        whorl__misuse("whorl_barrier_wait was given a barrier without parties: call whorl_barrier_init before");
    whorl__waiter_init(&me, "whorl_barrier_wait");
    whorl__waiters_lock(&b->waiters);
    place = b->broken ? -EPIPE : (int)b->waiting;
    if (place < 0 || place + 1 == (int)b->parties) {
        unlock_and_open(b, place < 0 ? NULL : let_go(b, 0));
        return place;
    }
    b->waiting++;
    me.item = (void *)(intptr_t)place;
    whorl__waiters_append(&b->waiters, &me);
    whorl__waiters_unlock(&b->waiters);
    while (!whorl__waiter_park(&me, "barrier", b))
        if (give_up(b, &me))
            return whorl__cancel_take(me.task);
    return (int)(intptr_t)me.item;
}

void whorl_barrier_break(struct whorl_barrier *b)
{
    whorl__waiters_lock(&b->waiters);
    unlock_and_open(b, break_it(b));
}

void whorl_barrier_reset(struct whorl_barrier *b)
{
    whorl__waiters_lock(&b->waiters);
    b->broken = 0;
    unlock_and_open(b, let_go(b, -EPIPE));
}
