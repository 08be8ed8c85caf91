/* SPDX-License-Identifier: MIT */
/* Tasks that are bound to a worker, and the two kinds of regions. Who keeps a bound task on its worker is said in scheduler.c. */
#include "runtime/scheduler.h"
#include <whorl/pin.h>

#define NESTED_MAX UINT16_MAX

void whorl__bind(struct whorl_task *t, int worker)
{
    whorl__store_relaxed(&t->bound, (uint16_t)worker);
    whorl__add_trait(t, WHORL__BOUND);
}

/* Of the running task. */
static void set_bound(struct whorl_task *t, uint16_t bound)
{
    whorl__store_relaxed(&t->bound, bound);
    if (t->deque)
        whorl__deque_bind(t->deque, bound);
}

void whorl_pin_at(const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_pin", &w);
    struct whorl__rare *rare = whorl__rare(t);

    if (rare->pins == NESTED_MAX)
        whorl__misuse("whorl_pin at %s: in %d pin regions already, the first from %s: end each with whorl_unpin", where, NESTED_MAX,
                      rare->pinned_at);
    if (rare->pins++ > 0)
        return;
    rare->pinned_at = where;
    whorl__add_trait(t, WHORL__PINNED);
    set_bound(t, (uint16_t)WHORL_WORKER(w->index)); /* where it is already, if it was spawned bound */
}

void whorl_unpin_at(const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_unpin", &w);
    struct whorl__rare *rare = whorl__rare(t);

    if (rare->pins == 0)
        whorl__misuse("whorl_unpin at %s: the task is in no pin region: call it once for each whorl_pin", where);
    if (--rare->pins > 0)
        return;
    whorl__drop_trait(t, WHORL__PINNED);
    if (!(t->traits & WHORL__BOUND))
        set_bound(t, 0);
}

/* Inside a no-suspend region `reason` and `object`, which tell what a task waits for, are where it began and how deep they are nested. */

void whorl_no_suspend_begin_at(const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_no_suspend_begin", &w);
    bool nested = t->traits & WHORL__NO_SUSPEND;

    whorl__store_relaxed(&t->object, nested ? t->object + 1 : 1);
    if (nested)
        return;
    whorl__store_relaxed(&t->reason, where);
    whorl__add_trait(t, WHORL__NO_SUSPEND);
    whorl__forks_forbid(w, t);
}

void whorl_no_suspend_end_at(const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_no_suspend_end", &w);

    if (!(t->traits & WHORL__NO_SUSPEND))
        whorl__misuse("whorl_no_suspend_end at %s: the task is in no such region: call it once for each whorl_no_suspend_begin",
                      where);
    whorl__store_relaxed(&t->object, t->object - 1);
    if (t->object > 0)
        return;
    whorl__drop_trait(t, WHORL__NO_SUSPEND);
    whorl__forks_allow(w, t);
}

_Noreturn void whorl__must_not_suspend(const struct whorl_task *t, const char *call)
{
    whorl__misuse_traced("%s, which may suspend, was called in the no-suspend region that began at %s: end that first, by "
                         "whorl_no_suspend_end, or call it elsewhere",
                         call, t->reason);
}

void whorl__pin_end(struct whorl_task *t)
{
    if (t->traits & WHORL__NO_SUSPEND)
        whorl__misuse("a task ended in the no-suspend region that began at %s: end that before, by whorl_no_suspend_end",
                      t->reason);
    if (t->traits & WHORL__PINNED)
        whorl__misuse("a task ended in the pin region that began at %s: end that before, by whorl_unpin",
                      whorl__rare(t)->pinned_at);
    whorl__drop_trait(t, WHORL__BOUND);
    whorl__store_relaxed(&t->bound, (uint16_t)0);
}
