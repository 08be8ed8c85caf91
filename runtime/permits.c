/* SPDX-License-Identifier: MIT */
#include "runtime/permits.h"
#include "runtime/waiter.h"

static int64_t wanted(const struct whorl__waiter *waiter)
{
    return (int64_t)(intptr_t)waiter->item;
}

/* With the lock: takes `n` if they are there for whoever is first in line. */
static bool take(struct whorl__permits *p, struct whorl__limits limits, int64_t n)
{
    if (p->free - limits.least < n)
        return false;
    p->free -= n;
    return true;
}

/* With the lock: serves those at the head of the line who can be, and appends them to the chain that ends at `end`. */
static void serve(struct whorl__permits *p, struct whorl__limits limits, struct whorl__waiter **end)
{
    while (p->waiters.first && take(p, limits, wanted(p->waiters.first)))
        whorl__waiters_claim(&p->waiters, &end);
}

/* W3. False: it has been served. */
static bool leave_line(struct whorl__permits *p, struct whorl__limits limits, struct whorl__waiter *me)
{
    struct whorl__waiter *chain = NULL;
    bool listed;

    whorl__waiters_lock(&p->waiters);
    listed = me->listed;
    if (listed) {
        whorl__waiters_remove(&p->waiters, me);
        serve(p, limits, &chain);
    }
    whorl__waiters_unlock(&p->waiters);
    whorl__waiters_open(chain);
    return listed;
}

bool whorl__permits_try(struct whorl__permits *p, struct whorl__limits limits, int64_t n)
{
    bool taken;

    whorl__waiters_lock(&p->waiters);
    taken = !p->waiters.first && take(p, limits, n);
    whorl__waiters_unlock(&p->waiters);
    return taken;
}

int whorl__permits_take(struct whorl__permits *p, struct whorl__limits limits, int64_t n, const char *call, const char *reason)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__caller_may_suspend(call, &w);
    struct whorl__waiter me;

    whorl__went_on(w); /* before it has what others may want */
    whorl__waiter_begin(&me, t);
    me.item = (void *)(intptr_t)n;
    whorl__waiters_lock(&p->waiters);
    if (!p->waiters.first && take(p, limits, n)) {
        whorl__waiters_unlock(&p->waiters);
        return 0;
    }
    whorl__waiters_append(&p->waiters, &me);
    whorl__waiters_unlock(&p->waiters);
    while (!whorl__waiter_park(&me, reason, p))
        if (leave_line(p, limits, &me))
            return whorl__cancel_take(me.task);
    return 0;
}

bool whorl__permits_give(struct whorl__permits *p, struct whorl__limits limits, int64_t n)
{
    struct whorl__waiter *chain = NULL;
    bool fit;

    whorl__waiters_lock(&p->waiters);
    fit = limits.most - p->free >= n;
    if (fit) {
        p->free += n;
        serve(p, limits, &chain);
    }
    whorl__waiters_unlock(&p->waiters);
    whorl__waiters_open(chain);
    return fit;
}
