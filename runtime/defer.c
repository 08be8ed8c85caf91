/* SPDX-License-Identifier: MIT */
/* What tasks do at their end (whorl/defer.h). The list is that of the task, whoever of its forks adds to it: under its strand_lock. */
#include "runtime/scheduler.h"
#include <errno.h>
#include <stdlib.h>
#include <whorl/defer.h>

struct whorl__defer {
    struct whorl__defer *before; /* it was deferred before this one */
    whorl_defer_fn fn;
    void *arg;
};

/* The running task that this is, or is a strand of. */
static struct whorl_task *root_of(struct whorl_task *t)
{
    return t->root ? t->root : t;
}

int whorl_defer(whorl_defer_fn fn, void *arg)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_defer", &w);
    struct whorl__rare *rare = whorl__rare(root_of(t));
    struct whorl__defer *d;

    if (!fn)
        whorl__misuse("whorl_defer was given no function");
    d = malloc(sizeof *d);
    if (!d)
        return whorl__failed(-ENOMEM, "defer", NULL);
    if (!t->root) /* else the task has forked, and its end is no plain one */
        whorl__add_trait(t, WHORL__LADEN);
    whorl__spin_lock(&rare->strand_lock);
    *d = (struct whorl__defer){.before = rare->defers, .fn = fn, .arg = arg};
    rare->defers = d;
    whorl__spin_unlock(&rare->strand_lock);
    return 0;
}

int whorl_undefer(whorl_defer_fn fn, void *arg)
{
    struct whorl__worker *w;
    struct whorl__rare *rare = whorl__rare(root_of(whorl__self("whorl_undefer", &w)));
    struct whorl__defer **place = &rare->defers, *d;

    whorl__spin_lock(&rare->strand_lock);
    while (*place && ((*place)->fn != fn || (*place)->arg != arg))
        place = &(*place)->before;
    d = *place;
    if (d)
        *place = d->before;
    whorl__spin_unlock(&rare->strand_lock);
    free(d);
    return d ? 0 : whorl__failed(-ENOENT, "undefer", "it is not deferred");
}

static struct whorl__defer *pop(struct whorl__rare *rare)
{
    struct whorl__defer *d;

    whorl__spin_lock(&rare->strand_lock);
    d = rare->defers;
    if (d)
        rare->defers = d->before;
    whorl__spin_unlock(&rare->strand_lock);
    return d;
}

void whorl__defers_run(struct whorl_task *t)
{
    struct whorl__defer *d;

    while ((d = pop(whorl__rare(t))) != NULL) {
        whorl_defer_fn fn = d->fn;
        void *arg = d->arg;

        free(d);
        fn(arg);
    }
}
