/* SPDX-License-Identifier: MIT */
#include "runtime/fatal.h"
#include "runtime/permits.h"
#include <errno.h>
#include <whorl/semaphore.h>

static struct whorl__limits limits(const struct whorl_semaphore *s)
{
    return (struct whorl__limits){0, s->bound ? s->bound : INT64_MAX};
}

void whorl_semaphore_init(struct whorl_semaphore *s, size_t permits)
{
    if (permits > INT64_MAX)
        whorl__misuse("whorl_semaphore_init was given %zu permits: that is more than there can be", permits);
    *s = (struct whorl_semaphore){.permits.free = (int64_t)permits};
}

void whorl_semaphore_init_bounded(struct whorl_semaphore *s, size_t permits)
{
    if (permits == 0)
        whorl__misuse("whorl_semaphore_init_bounded was given 0 permits: nothing could ever be released into it");
    whorl_semaphore_init(s, permits);
    s->bound = (int64_t)permits;
}

int whorl_semaphore_acquire(struct whorl_semaphore *s)
{
    return whorl__permits_take(&s->permits, limits(s), 1, "whorl_semaphore_acquire", "semaphore");
}

int whorl_semaphore_acquire_many(struct whorl_semaphore *s, size_t count)
{
    if (count > (size_t)limits(s).most)
        return -EINVAL;
    return whorl__permits_take(&s->permits, limits(s), (int64_t)count, "whorl_semaphore_acquire_many", "semaphore");
}

int whorl_semaphore_try_acquire(struct whorl_semaphore *s)
{
    return whorl__permits_try(&s->permits, limits(s), 1) ? 0 : -EAGAIN;
}

int whorl_semaphore_release(struct whorl_semaphore *s)
{
    return whorl__permits_give(&s->permits, limits(s), 1) ? 0 : -EOVERFLOW;
}

int whorl_semaphore_release_many(struct whorl_semaphore *s, size_t count)
{
    return count <= INT64_MAX && whorl__permits_give(&s->permits, limits(s), (int64_t)count) ? 0 : -EOVERFLOW;
}
