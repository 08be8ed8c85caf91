/* SPDX-License-Identifier: MIT */
/* Cleanups: what a block has done is undone when it is left. */
#include "sync.h"

struct account {
    struct whorl_mutex mutex;
    struct whorl_rwlock lock;
    int sum;
};

static int add(struct account *a, int n)
{
    WHORL_AUTO_LOCK(held, &a->mutex);
    if (held.error)
        return held.error;
    CHECK_EQ(whorl_mutex_try_lock(&a->mutex), -EBUSY);
    if (n < 0)
        return -EINVAL;
    a->sum += n;
    return a->sum;
}

static int look(struct account *a)
{
    WHORL_AUTO_LOCK_READ(held, &a->lock);
    if (held.error)
        return held.error;
    {
        WHORL_AUTO_LOCK_READ(again, &a->lock);
        CHECK_EQ(again.error, 0);
        CHECK_EQ(a->lock.permits.free, -2);
    }
    CHECK_EQ(a->lock.permits.free, -1);
    return a->sum;
}

static int set(struct account *a, int n)
{
    WHORL_AUTO_LOCK_WRITE(held, &a->lock);
    if (held.error)
        return held.error;
    CHECK_EQ(whorl_rwlock_try_lock_read(&a->lock), -EBUSY);
    return a->sum = n;
}

static bool all_free(const struct account *a)
{
    return !a->mutex.word && a->lock.permits.free == 0;
}

static intptr_t add_one(void *arg)
{
    return add(arg, 1);
}

static intptr_t set_nine(void *arg)
{
    return set(arg, 9);
}

static intptr_t look_at(void *arg)
{
    return look(arg);
}

static intptr_t leave_blocks(void *arg)
{
    static const whorl_fn waits[] = {add_one, set_nine, look_at};
    struct account a = {.sum = 5};
    intptr_t result;

    (void)arg;
    CHECK_EQ(add(&a, 2), 7);
    CHECK(all_free(&a));
    CHECK_EQ(add(&a, -2), -EINVAL);
    CHECK(all_free(&a));
    CHECK_EQ(look(&a), 7);
    CHECK(all_free(&a));
    CHECK_EQ(set(&a, 8), 8);
    CHECK(all_free(&a));
    CHECK_EQ(whorl_mutex_lock(&a.mutex), 0);
    CHECK_EQ(whorl_rwlock_lock_write(&a.lock), 0);
    for (int i = 0; i < 3; i++) {
        struct whorl_task *t = whorl_spawn(waits[i], &a);

        CHECK_EQ(whorl_sleep(1), 0);
        whorl_cancel(t); /* it has not got it, and does not unlock it */
        CHECK_EQ(whorl_join(t, &result), 0);
        CHECK_EQ(result, -ECANCELED);
    }
    whorl_rwlock_unlock_write(&a.lock);
    whorl_mutex_unlock(&a.mutex);
    CHECK(all_free(&a));
    CHECK_EQ(a.sum, 8);
    return 0;
}

TEST(cleanup, locks_are_unlocked_when_the_block_is_left_if_they_were_had)
{
    run_everywhere(leave_blocks, NULL);
}
