/* SPDX-License-Identifier: MIT */
/* Futures (whorl/future.h) on the wait list. Whoever looks takes the lock, also when the value has long been there: who saw the value
 * without it could free the future under the feet of who has just set it, and has yet to leave the lock. */
#include "runtime/waiter.h"
#include <errno.h>
#include <whorl/future.h>

enum { UNSET, SET, FAILED };

/* Once it is set. */
static int outcome(const struct whorl_future *f, intptr_t *value)
{
    if (f->state == FAILED)
        return (int)f->value;
    if (value)
        *value = f->value;
    return 0;
}

static int settle(struct whorl_future *f, uint32_t state, intptr_t value)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__waiters_lock(&f->waiters);
    if (f->state != UNSET) {
        whorl__waiters_unlock(&f->waiters);
        return -EALREADY;
    }
    f->value = value;
    f->state = state;
    while (whorl__waiters_claim(&f->waiters, &end))
        continue;
    whorl__waiters_unlock(&f->waiters); /* the last touch */
    whorl__waiters_open(chain);
    return 0;
}

int whorl_future_set(struct whorl_future *f, intptr_t value)
{
    return settle(f, SET, value);
}

int whorl_future_fail(struct whorl_future *f, int error)
{
    if (error >= 0)
        whorl__misuse("whorl_future_fail was given %d, which is no error: give it one below 0, or call whorl_future_set", error);
    return settle(f, FAILED, error);
}

int whorl_future_wait(struct whorl_future *f, intptr_t *value)
{
    struct whorl__waiter me;
    int err;

    whorl__waiter_init(&me, "whorl_future_wait");
    whorl__waiters_lock(&f->waiters);
    if (f->state != UNSET) {
        whorl__waiters_unlock(&f->waiters);
        return outcome(f, value);
    }
    whorl__waiters_append(&f->waiters, &me);
    err = whorl__waiter_wait(&f->waiters, &me, "future", f);
    return err ? err : outcome(f, value);
}

int whorl_future_try(struct whorl_future *f, intptr_t *value)
{
    int err;

    whorl__waiters_lock(&f->waiters);
    err = f->state == UNSET ? -EINPROGRESS : outcome(f, value);
    whorl__waiters_unlock(&f->waiters);
    return err;
}
