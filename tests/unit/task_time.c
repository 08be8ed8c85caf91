/* SPDX-License-Identifier: MIT */
/* Sleeping and deadlines, to the nanosecond of the virtual clock. */
#include <whorl/whorl.h>

#include <errno.h>
#include <stdlib.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static intptr_t sleep_for(void *arg)
{
    return whorl_sleep((whorl_ns)(intptr_t)arg);
}

static intptr_t start_of_clock(void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_now(), 0);
    for (int i = 0; i < 1000; i++)
        whorl_yield();
    CHECK_EQ(whorl_now(), 0); /* it moves only when every task waits */
    return 0;
}

TEST(task_time, the_clock_starts_at_zero_and_stands_while_a_task_can_run)
{
    null_run(start_of_clock, NULL, NULL);
}

static intptr_t two_sleeps_at_once(void *arg)
{
    struct whorl_task *one = whorl_spawn(sleep_for, (void *)(intptr_t)WHORL_SEC(1));
    struct whorl_task *two = whorl_spawn(sleep_for, (void *)(intptr_t)WHORL_SEC(2));
    intptr_t result = -1;

    (void)arg;
    CHECK_EQ(whorl_join(one, &result), 0);
    CHECK_EQ(result, 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(1));
    CHECK_EQ(whorl_join(two, &result), 0);
    CHECK_EQ(result, 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(2));
    return 0;
}

TEST(task_time, sleeps_of_one_and_two_seconds_at_once_take_two)
{
    for (int workers = 1; workers <= 4; workers++)
        null_run(two_sleeps_at_once, NULL, &(struct whorl_options){.workers = workers});
}

static intptr_t sleep_until_all_sorts(void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_sleep_until(WHORL_MS(5)), 0);
    CHECK_EQ(whorl_now(), WHORL_MS(5));
    CHECK_EQ(whorl_sleep_until(WHORL_MS(5)), 0); /* now */
    CHECK_EQ(whorl_sleep_until(WHORL_MS(2)), 0); /* the past */
    CHECK_EQ(whorl_sleep_until(INT64_MIN), 0);
    CHECK_EQ(whorl_sleep(0), 0);
    CHECK_EQ(whorl_sleep(-5), 0);
    CHECK_EQ(whorl_sleep(INT64_MIN), 0);
    CHECK_EQ(whorl_now(), WHORL_MS(5));
    CHECK_EQ(whorl_sleep(1), 0);
    CHECK_EQ(whorl_now(), WHORL_MS(5) + 1);
    return 0;
}

TEST(task_time, a_time_that_has_passed_is_not_waited_for)
{
    null_run(sleep_until_all_sorts, NULL, NULL);
}

static intptr_t yields_in_between(void *arg)
{
    bool *ran = arg;

    *ran = true;
    return 0;
}

static intptr_t sleep_nothing(void *arg)
{
    bool ran = false;
    struct whorl_task *t = whorl_spawn(yields_in_between, &ran);

    (void)arg;
    CHECK_EQ(whorl_sleep(0), 0);
    CHECK(ran);
    return whorl_join(t, NULL);
}

TEST(task_time, a_sleep_of_nothing_lets_others_run)
{
    null_run_real(sleep_nothing, NULL, NULL);
}

static intptr_t after_all_sorts(void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_sleep(100), 0);
    CHECK_EQ(whorl_after(50), 150);
    CHECK_EQ(whorl_after(-50), 50);
    CHECK_EQ(whorl_after(WHORL_NEVER), WHORL_NEVER);
    CHECK_EQ(whorl_after(WHORL_NEVER - 100), WHORL_NEVER);
    CHECK_EQ(whorl_after(WHORL_NEVER - 101), WHORL_NEVER - 1);
    return 0;
}

TEST(task_time, a_time_beyond_the_clock_is_never)
{
    null_run(after_all_sorts, NULL, NULL);
}

/* A million sleeps: each ends at its very time, and all of them in the order of time. */

static struct million {
    whorl_ns last; /* when one ended last */
    size_t ended;
} million;

static intptr_t sleep_often(void *arg)
{
    uint64_t random = test_seed() + (uint64_t)(uintptr_t)arg;

    for (int i = 0; i < 1000; i++) {
        whorl_ns duration = (whorl_ns)(test_random(&random) % WHORL_SEC(1)) + 1, end = whorl_now() + duration;

        CHECK_EQ(whorl_sleep(duration), 0);
        CHECK_EQ(whorl_now(), end);
        CHECK(end >= million.last);
        million.last = end;
        million.ended++;
    }
    return 0;
}

static intptr_t a_million_sleeps(void *arg)
{
    size_t count = MANY(1000, 50);
    struct whorl_task *tasks[1000];

    (void)arg;
    million = (struct million){0};
    for (size_t i = 0; i < count; i++)
        tasks[i] = whorl_spawn(sleep_often, (void *)i);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(million.ended, count * 1000);
    return 0;
}

TEST(task_time, a_million_sleeps_end_in_their_order_and_to_the_nanosecond, .timeout = 60)
{
    null_run(a_million_sleeps, NULL, &(struct whorl_options){.workers = 3});
}

/* Deadlines. */

static intptr_t miss_a_deadline(void *arg)
{
    struct whorl_task *never = whorl_spawn(sleep_for, (void *)(intptr_t)WHORL_SEC(100));

    (void)arg;
    CHECK_EQ(whorl_deadline(WHORL_MS(10)), WHORL_NEVER);
    CHECK_EQ(whorl_sleep(WHORL_MS(10) - 1), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_MS(10));
    /* It stays: every wait ends so, of whatever kind, without time going by. */
    CHECK_EQ(whorl_sleep(1), -ETIMEDOUT);
    CHECK_EQ(whorl_join(never, NULL), -ETIMEDOUT);
    CHECK_EQ(null_nop(5), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_MS(10));
    whorl_yield(); /* is no wait */
    /* Until it is moved. */
    CHECK_EQ(whorl_deadline(WHORL_MS(20)), WHORL_MS(10));
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    CHECK_EQ(whorl_join(never, NULL), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_MS(20));
    CHECK_EQ(whorl_deadline(WHORL_NEVER), WHORL_MS(20));
    CHECK_EQ(whorl_join(never, NULL), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(100));
    return 0;
}

TEST(task_time, a_deadline_ends_every_wait_until_it_is_moved)
{
    for (int workers = 1; workers <= 4; workers++)
        null_run(miss_a_deadline, NULL, &(struct whorl_options){.workers = workers});
}

static intptr_t move_it_later(void *arg)
{
    (void)arg;
    for (whorl_ns when = WHORL_MS(10); when < WHORL_MS(1000); when += WHORL_MS(1)) {
        whorl_deadline(when);
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    }
    CHECK_EQ(whorl_now(), WHORL_MS(990));
    CHECK_EQ(whorl_sleep(WHORL_SEC(5)), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_MS(999));
    return 0;
}

TEST(task_time, a_deadline_that_is_moved_on_and_on_is_the_last_one)
{
    null_run(move_it_later, NULL, NULL);
}

static intptr_t move_it_for_ever(void *arg)
{
    struct whorl_stats before;

    (void)arg;
    whorl_deadline(WHORL_SEC(10));
    before = null_stats();
    for (int i = 0; i < 1000; i++)
        whorl_deadline(WHORL_SEC(10 + i));
    whorl_deadline(WHORL_NEVER); /* the timer is still there, and finds nothing to do */
    CHECK_EQ(whorl_sleep(WHORL_SEC(2000)), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(2000));
    CHECK_EQ(null_stats().timers_fired - before.timers_fired, 1); /* the sleep */
    whorl_deadline(WHORL_SEC(2001));
    CHECK_EQ(whorl_sleep(WHORL_SEC(2000)), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_SEC(2001));
    return 0;
}

TEST(task_time, a_deadline_that_is_taken_back_never_strikes)
{
    null_run(move_it_for_ever, NULL, NULL);
}

static intptr_t move_it_earlier(void *arg)
{
    (void)arg;
    whorl_deadline(WHORL_SEC(10));
    CHECK_EQ(whorl_deadline(WHORL_SEC(5)), WHORL_SEC(10));
    CHECK_EQ(whorl_deadline(WHORL_SEC(1)), WHORL_SEC(5));
    CHECK_EQ(whorl_sleep(WHORL_SEC(60)), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_SEC(1));
    /* None of the earlier ones is left. */
    whorl_deadline(WHORL_NEVER);
    CHECK_EQ(whorl_sleep(WHORL_SEC(60)), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(61));
    return 0;
}

TEST(task_time, a_deadline_that_is_moved_earlier_strikes_earlier)
{
    null_run(move_it_earlier, NULL, NULL);
}

static intptr_t set_it_in_the_past(void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_deadline(WHORL_MS(1));
    CHECK_EQ(whorl_sleep(WHORL_SEC(60)), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_SEC(1));
    whorl_deadline(whorl_now());
    CHECK_EQ(whorl_sleep(WHORL_SEC(60)), -ETIMEDOUT);
    whorl_deadline(INT64_MIN);
    CHECK_EQ(whorl_sleep(WHORL_SEC(60)), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_SEC(1));
    whorl_deadline(WHORL_NEVER);
    CHECK_EQ(whorl_sleep(WHORL_SEC(60)), 0);
    return 0;
}

TEST(task_time, a_deadline_in_the_past_ends_the_next_wait_at_once)
{
    for (int workers = 1; workers <= 4; workers++)
        null_run(set_it_in_the_past, NULL, &(struct whorl_options){.workers = workers});
}

/* A callee that allows itself `arg` at most, and no longer than its caller. */
static int callee(whorl_ns allowance, whorl_ns work)
{
    whorl_ns mine = whorl_after(allowance), before = whorl_deadline(mine);
    int result;

    if (before < mine)
        whorl_deadline(before);
    result = whorl_sleep(work);
    whorl_deadline(before);
    return result;
}

static intptr_t caller(void *arg)
{
    (void)arg;
    whorl_deadline(WHORL_SEC(10));
    CHECK_EQ(callee(WHORL_SEC(1), WHORL_SEC(2)), -ETIMEDOUT); /* its own */
    CHECK_EQ(whorl_now(), WHORL_SEC(1));
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0); /* the caller's is not reached */
    CHECK_EQ(callee(WHORL_SEC(3), WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(3));
    CHECK_EQ(callee(WHORL_SEC(30), WHORL_SEC(20)), -ETIMEDOUT); /* the caller's */
    CHECK_EQ(whorl_now(), WHORL_SEC(10));
    CHECK_EQ(whorl_sleep(1), -ETIMEDOUT); /* and it is still in force */
    CHECK_EQ(whorl_deadline(WHORL_NEVER), WHORL_SEC(10));
    return 0;
}

TEST(task_time, a_callee_can_have_its_own_and_put_the_callers_back)
{
    null_run(caller, NULL, NULL);
}

static intptr_t end_with_deadline(void *arg)
{
    whorl_deadline(whorl_after(WHORL_MS(1)));
    return whorl_sleep((whorl_ns)(intptr_t)arg);
}

static intptr_t reuse_records(void *arg)
{
    intptr_t result;

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        whorl_ns start = whorl_now();

        CHECK_EQ(whorl_join(whorl_spawn(end_with_deadline, (void *)10), &result), 0);
        CHECK_EQ(result, 0);
        /* In the same record, where the deadline of the one before is not yet due. */
        CHECK_EQ(whorl_join(whorl_spawn(sleep_for, (void *)(intptr_t)WHORL_MS(5)), &result), 0);
        CHECK_EQ(result, 0);
        CHECK_EQ(whorl_now() - start, WHORL_MS(5) + 10);
    }
    return 0;
}

TEST(task_time, a_deadline_ends_with_its_task)
{
    null_run(reuse_records, NULL, NULL);
}

static intptr_t have_the_result_first(void *arg)
{
    struct whorl_task *t = whorl_spawn(sleep_for, (void *)(intptr_t)WHORL_MS(1));

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_MS(2)), 0);
    whorl_deadline(WHORL_MS(1));
    CHECK_EQ(whorl_sleep(1), -ETIMEDOUT);
    CHECK_EQ(whorl_join(t, NULL), 0); /* it need not wait */
    return 0;
}

TEST(task_time, what_need_not_wait_does_not_time_out)
{
    null_run(have_the_result_first, NULL, NULL);
}

/* Deadlines of many tasks, moved at random; each wait is to end at the earlier of its time and the deadline. */
static intptr_t keep_deadlines(void *arg)
{
    uint64_t random = test_seed() * 31 + (uint64_t)(uintptr_t)arg;
    whorl_ns deadline = WHORL_NEVER;

    for (int i = 0; i < 200; i++) {
        whorl_ns now = whorl_now(), duration = (whorl_ns)(test_random(&random) % 1000) + 1;
        whorl_ns end = now + duration < deadline ? now + duration : deadline > now ? deadline : now;
        int result = whorl_sleep(duration);

        if (deadline != now + duration) /* else either */
            CHECK_EQ(result, deadline <= end ? -ETIMEDOUT : 0);
        CHECK_EQ(whorl_now(), end);
        if (test_random(&random) % 2) {
            whorl_ns next = test_random(&random) % 8 ? end + (whorl_ns)(test_random(&random) % 2000) : WHORL_NEVER;

            CHECK_EQ(whorl_deadline(next), deadline);
            deadline = next;
        }
    }
    return 0;
}

static intptr_t many_deadlines(void *arg)
{
    struct whorl_task *tasks[500];

    (void)arg;
    for (size_t i = 0; i < 500; i++)
        tasks[i] = whorl_spawn(keep_deadlines, (void *)i);
    for (size_t i = 0; i < 500; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    return 0;
}

TEST(task_time, every_wait_ends_at_its_time_or_the_deadline_whichever_is_first, .timeout = 60)
{
    for (int workers = 1; workers <= 4; workers += 3)
        null_run(many_deadlines, NULL, &(struct whorl_options){.workers = workers});
}
