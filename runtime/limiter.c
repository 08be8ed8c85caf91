/* SPDX-License-Identifier: MIT */
/* A bucket, and a line before it. The first in line holds the line's mutex while it sleeps until its tokens are there; the others
 * wait for the mutex. So nothing is promised to who may yet be cancelled.
 *
 * The level is counted in such units that nothing needs to be rounded: `count` of them come in a nanosecond, and a token is
 * `period`. */
#include "runtime/scheduler.h"
#include <errno.h>
#include <whorl/limiter.h>
#include <whorl/time.h>

int whorl_limiter_init(struct whorl_limiter *l, int64_t count, whorl_ns period, int64_t burst)
{
    if (count < 1 || period < 1 || burst < 1 || burst > WHORL_NEVER / 2 / period || count > WHORL_NEVER / 2)
        return -EINVAL;
    *l = (struct whorl_limiter){.count = count, .cost = period, .full = burst * period, .level = burst * period};
    return 0;
}

/* How long the level takes to rise by `rise`, rounded up. */
static whorl_ns time_for(const struct whorl_limiter *l, int64_t rise)
{
    return (rise + l->count - 1) / l->count;
}

/* With the lock. */
static void fill(struct whorl_limiter *l, whorl_ns now)
{
    whorl_ns passed = now - l->seen;

    if (passed <= 0) /* another worker has read the clock later */
        return;
    l->level = passed >= time_for(l, l->full - l->level) ? l->full : l->level + passed * l->count;
    l->seen = now;
}

/* Takes the tokens if they are there, and for one who is not the first in line, if there is no line. Else how long they will take
 * to come, at least 1. */
static whorl_ns take(struct whorl_limiter *l, int64_t tokens, bool first)
{
    struct whorl__spinlock *lock = (struct whorl__spinlock *)&l->locked;
    struct whorl__runtime *rt = whorl__worker()->runtime;
    whorl_ns now = rt->ops->now(rt->reactor), left = 0;
    int64_t price = tokens * l->cost;

    whorl__spin_lock(lock);
    fill(l, now);
    if (l->level < price)
        left = time_for(l, price - l->level);
    else if (!first && whorl__load_relaxed(&l->line.word))
        left = 1;
    else
        l->level -= price;
    whorl__spin_unlock(lock);
    return left;
}

static int take_in_turn(struct whorl_limiter *l, int64_t tokens)
{
    whorl_ns left;
    int err = whorl_mutex_lock(&l->line);

    if (err)
        return err;
    while (!err && (left = take(l, tokens, true)) > 0)
        err = whorl_sleep(left);
    whorl_mutex_unlock(&l->line);
    return err;
}

static void check(const struct whorl_limiter *l, const char *call)
{
    if (__builtin_expect(l->cost == 0, 0))
        whorl__misuse("%s was given a limiter that lets nothing pass: call whorl_limiter_init before, and look at what it returns",
                      call);
}

static int acquire(struct whorl_limiter *l, int64_t tokens, const char *call)
{
    struct whorl__worker *w;

    whorl__self_may_suspend(call, &w);
    check(l, call);
    if (tokens < 0 || tokens > l->full / l->cost)
        return -EINVAL;
    return take(l, tokens, false) > 0 ? take_in_turn(l, tokens) : 0;
}

int whorl_limiter_acquire(struct whorl_limiter *l)
{
    return acquire(l, 1, "whorl_limiter_acquire");
}

int whorl_limiter_acquire_many(struct whorl_limiter *l, int64_t tokens)
{
    return acquire(l, tokens, "whorl_limiter_acquire_many");
}

int whorl_limiter_try_acquire(struct whorl_limiter *l)
{
    struct whorl__worker *w;

    whorl__self("whorl_limiter_try_acquire", &w);
    check(l, "whorl_limiter_try_acquire");
    return take(l, 1, false) > 0 ? -EAGAIN : 0;
}
