/* SPDX-License-Identifier: MIT */
#include "runtime/mutex.h"
#include <whorl/condition.h>

int whorl_condition_wait(struct whorl_condition *c, struct whorl_mutex *m)
{
    const char *where = whorl__load_relaxed(&m->where);
    struct whorl__waiter me;
    int err;

    whorl__mutex_check(m, "whorl_condition_wait");
    whorl__waiter_init(&me, "whorl_condition_wait");
    whorl__waiters_lock(&c->waiters);
    whorl__waiters_append(&c->waiters, &me); /* before the mutex is unlocked: whoever can lock that finds it there */
    whorl__waiters_unlock(&c->waiters);
    whorl_mutex_unlock(m);
    whorl__waiters_lock(&c->waiters); /* it may be off the list again, and its gate open: then this does not wait */
    err = whorl__waiter_wait(&c->waiters, &me, "condition", c);
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
