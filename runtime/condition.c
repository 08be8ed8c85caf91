/* SPDX-License-Identifier: MIT */
#include "runtime/mutex.h"
#include <whorl/condition.h>

/* On the list before it unlocks the mutex: whoever can lock that finds it there. */
static void wait_begin(struct whorl_condition *c, struct whorl_mutex *m, struct whorl__waiter *me)
{
    whorl__mutex_check(m, "whorl_condition_wait");
    whorl__waiter_init(me, "whorl_condition_wait");
    whorl__waiters_lock(&c->waiters);
    whorl__waiters_append(&c->waiters, me);
    whorl__waiters_unlock(&c->waiters);
    whorl_mutex_unlock(m);
}

int whorl_condition_wait(struct whorl_condition *c, struct whorl_mutex *m)
{
    const char *where = whorl__load_relaxed(&m->where);
    struct whorl__waiter me;
    int err = 0;

    wait_begin(c, m, &me);
    while (!whorl__waiter_park(&me, "condition", c))
        if (whorl__waiter_withdraw(&c->waiters, &c->waiters, &me)) {
            err = whorl__cancel_take(me.task);
            break;
        }
    whorl__mutex_lock_surely(m, where);
    return err;
}

static void notify(struct whorl_condition *c, bool all)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__waiters_lock(&c->waiters);
    while (whorl__waiters_claim(&c->waiters, &end) && all)
        continue;
    whorl__waiters_unlock(&c->waiters);
    whorl__waiters_open(chain);
}

void whorl_condition_notify(struct whorl_condition *c)
{
    notify(c, false);
}

void whorl_condition_notify_all(struct whorl_condition *c)
{
    notify(c, true);
}
