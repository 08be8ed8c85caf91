/* SPDX-License-Identifier: MIT */
#include "runtime/waiter.h"
#include <whorl/event.h>

/* Without the lock, so that waiting for what has happened costs two loads. */
static bool is_set(struct whorl_event *e)
{
    /* Acquire: pairs with the release in whorl_event_set; what was written before that is visible. */
    return whorl__load_acquire(&e->set) && whorl__waiters_unlocked(&e->waiters);
}

void whorl_event_set(struct whorl_event *e)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__waiters_lock(&e->waiters);
    whorl__store_release(&e->set, 1u); /* pairs with the acquire in is_set */
    while (whorl__waiters_claim(&e->waiters, &end))
        continue;
    whorl__waiters_unlock(&e->waiters);
    whorl__waiters_open(chain);
}

void whorl_event_clear(struct whorl_event *e)
{
    whorl__waiters_lock(&e->waiters);
    whorl__store_relaxed(&e->set, 0u);
    whorl__waiters_unlock(&e->waiters);
}

int whorl_event_is_set(struct whorl_event *e)
{
    bool set;

    if (is_set(e))
        return 1;
    whorl__waiters_lock(&e->waiters);
    set = e->set;
    whorl__waiters_unlock(&e->waiters);
    return set;
}

int whorl_event_wait(struct whorl_event *e)
{
    struct whorl__waiter me;

    whorl__waiter_init(&me, "whorl_event_wait");
    if (is_set(e)) {
        whorl__went_on(whorl__worker());
        return 0;
    }
    whorl__waiters_lock(&e->waiters);
    if (e->set) {
        whorl__waiters_unlock(&e->waiters);
        return 0;
    }
    whorl__waiters_append(&e->waiters, &me);
    return whorl__waiter_wait(&e->waiters, &me, "event", e);
}
