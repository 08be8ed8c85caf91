/* SPDX-License-Identifier: MIT */
#include "runtime/waiter.h"
#include <whorl/wait_group.h>

void whorl_wait_group_add(struct whorl_wait_group *g, size_t count)
{
    whorl__waiters_lock(&g->waiters);
    if (__builtin_expect(count > SIZE_MAX - g->count, 0))
        whorl__misuse("whorl_wait_group_add was given %zu, more than can be counted", count);
    whorl__store_relaxed(&g->count, g->count + count);
    whorl__waiters_unlock(&g->waiters);
}

void whorl_wait_group_done(struct whorl_wait_group *g)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__waiters_lock(&g->waiters);
    if (__builtin_expect(g->count == 0, 0))
        whorl__misuse(
            "whorl_wait_group_done was called more often than whorl_wait_group_add has counted: add before what is to be done "
            "can be done");
    whorl__store_release(&g->count, g->count - 1); /* pairs with the acquire in whorl_wait_group_wait */
    if (g->count == 0)
        while (whorl__waiters_claim(&g->waiters, &end))
            continue;
    whorl__waiters_unlock(&g->waiters);
    whorl__waiters_open(chain);
}

int whorl_wait_group_wait(struct whorl_wait_group *g)
{
    struct whorl__waiter me;

    whorl__waiter_init(&me, "whorl_wait_group_wait");
    /* Acquire: pairs with the release in whorl_wait_group_done; what was done is visible. */
    if (whorl__load_acquire(&g->count) == 0 && whorl__waiters_unlocked(&g->waiters)) {
        whorl__went_on(whorl__worker());
        return 0;
    }
    whorl__waiters_lock(&g->waiters);
    if (g->count == 0) {
        whorl__waiters_unlock(&g->waiters);
        return 0;
    }
    whorl__waiters_append(&g->waiters, &me);
    return whorl__waiter_wait(&g->waiters, &me, "wait group", g);
}
