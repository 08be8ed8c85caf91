/* SPDX-License-Identifier: MIT */
/* Cancelling: one wait ends, the present or else the next one, and a result that is there wins. */
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

/* What a task saw that was to be cancelled. */
struct seen {
    int first, second, third; /* results of its waits */
    whorl_ns first_end, second_end;
    struct whorl_task *other;
};

static intptr_t sleep_thrice(void *arg)
{
    struct seen *seen = arg;

    seen->first = whorl_sleep(WHORL_SEC(10));
    seen->first_end = whorl_now();
    seen->second = whorl_sleep(WHORL_SEC(1));
    seen->second_end = whorl_now();
    seen->third = whorl_sleep(WHORL_SEC(1));
    return 0;
}

static intptr_t cancel_sleeper(void *arg)
{
    struct seen seen;
    struct whorl_task *t = whorl_spawn(sleep_thrice, &seen);

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(3)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(seen.first, -ECANCELED);
    CHECK_EQ(seen.first_end, WHORL_SEC(3));
    CHECK_EQ(seen.second, 0);
    CHECK_EQ(seen.second_end, WHORL_SEC(4));
    CHECK_EQ(seen.third, 0);
    return 0;
}

TEST(task_cancel, a_sleep_ends_at_once_and_the_next_one_does_not)
{
    for (int workers = 1; workers <= 4; workers++)
        null_run(cancel_sleeper, NULL, &(struct whorl_options){.workers = workers});
}

static intptr_t join_thrice(void *arg)
{
    struct seen *seen = arg;
    intptr_t value = 77;

    seen->first = whorl_join(seen->other, &value);
    CHECK_EQ(value, 77);
    seen->first_end = whorl_now();
    seen->second = whorl_join(seen->other, &value); /* the handle is as good as before */
    CHECK_EQ(value, 0);
    seen->second_end = whorl_now();
    return 0;
}

static intptr_t cancel_joiner(void *arg)
{
    struct seen seen = {.other = whorl_spawn(sleep_for, (void *)(intptr_t)WHORL_SEC(5))};
    struct whorl_task *t = whorl_spawn(join_thrice, &seen);

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(3)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(seen.first, -ECANCELED);
    CHECK_EQ(seen.first_end, WHORL_SEC(3));
    CHECK_EQ(seen.second, 0);
    CHECK_EQ(seen.second_end, WHORL_SEC(5));
    return 0;
}

TEST(task_cancel, a_join_ends_and_can_be_tried_again)
{
    for (int workers = 1; workers <= 4; workers++)
        null_run(cancel_joiner, NULL, &(struct whorl_options){.workers = workers});
}

static intptr_t wait_for_nop(void *arg)
{
    struct seen *seen = arg;

    seen->first = null_nop(WHORL_SEC(100));
    seen->first_end = whorl_now();
    seen->second = null_nop(WHORL_SEC(1));
    seen->third = null_nop(0);
    return 0;
}

static intptr_t cancel_nop(void *arg)
{
    struct seen *seen = arg;
    struct whorl_task *t = whorl_spawn(wait_for_nop, seen);

    CHECK_EQ(whorl_sleep(WHORL_SEC(3)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(null_stats().submitted, null_stats().completed);
    return 0;
}

TEST(task_cancel, an_operation_is_withdrawn_or_ends_soon_or_keeps_its_result)
{
    int at_once = 0, soon = 0, too_late = 0;

    for (uint64_t i = 0; i < 200; i++) {
        struct seen seen;

        null_run(cancel_nop, &seen, &(struct whorl_options){.seed = test_seed() + i, .workers = 1 + (int)(i % 3)});
        if (seen.first == 0) {
            CHECK(seen.first_end >= WHORL_SEC(75) && seen.first_end <= WHORL_SEC(125));
            CHECK_EQ(seen.second, -ECANCELED);
            too_late++;
        } else {
            CHECK_EQ(seen.first, -ECANCELED);
            CHECK(seen.first_end < WHORL_SEC(3) + WHORL_US(1));
            CHECK_EQ(seen.second, 0);
            at_once += seen.first_end == WHORL_SEC(3);
            soon += seen.first_end > WHORL_SEC(3);
        }
        CHECK_EQ(seen.third, 0);
    }
    CHECK(at_once > 0 && soon > 0 && too_late > 0);
}

/* A request that comes while the task does not wait is for its next wait. */

static intptr_t work_then_wait(void *arg)
{
    struct seen *seen = arg;

    for (int i = 0; i < 10; i++)
        whorl_yield(); /* is no wait */
    seen->first = whorl_sleep(WHORL_SEC(1));
    seen->first_end = whorl_now();
    seen->second = whorl_sleep(WHORL_SEC(1));
    return 0;
}

static intptr_t cancel_early(void *arg)
{
    bool started = (intptr_t)arg;
    struct seen seen;
    struct whorl_task *t = whorl_spawn(work_then_wait, &seen);

    if (started)
        for (int i = 0; i < 5; i++)
            whorl_yield();
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(seen.first, -ECANCELED);
    CHECK(seen.first_end < WHORL_SEC(1));
    CHECK_EQ(seen.second, 0);
    return 0;
}

TEST(task_cancel, a_task_that_has_not_started_sees_it_at_its_first_wait)
{
    null_run_real(cancel_early, (void *)false, NULL);
    null_run(cancel_early, (void *)false, &(struct whorl_options){.workers = 3});
}

TEST(task_cancel, a_task_that_does_not_wait_sees_it_at_its_next_wait)
{
    null_run_real(cancel_early, (void *)true, NULL);
}

static intptr_t cancel_oneself(void *arg)
{
    struct whorl_task *t = whorl_spawn(sleep_for, (void *)10);

    (void)arg;
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_sleep(1), -ECANCELED);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_sleep_until(0), -ECANCELED); /* even where there is nothing to wait for */
    whorl_cancel(whorl_self());
    CHECK_EQ(null_nop(10), -ECANCELED);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_join(t, NULL), -ECANCELED);
    CHECK_EQ(whorl_now(), 0);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(whorl_sleep(1), 0);
    return 0;
}

TEST(task_cancel, a_task_can_cancel_itself_and_every_kind_of_wait_sees_it)
{
    null_run(cancel_oneself, NULL, NULL);
}

static intptr_t cancel_twice(void *arg)
{
    struct seen seen;
    struct whorl_task *t = whorl_spawn(work_then_wait, &seen);

    (void)arg;
    whorl_cancel(t);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(seen.first, -ECANCELED);
    CHECK_EQ(seen.second, 0);
    return 0;
}

TEST(task_cancel, two_requests_before_a_wait_are_one)
{
    null_run_real(cancel_twice, NULL, NULL);
}

static intptr_t cancel_ended(void *arg)
{
    struct whorl_task *t = whorl_spawn(sleep_for, (void *)1), *next;
    intptr_t result = -1;

    (void)arg;
    CHECK_EQ(whorl_sleep(2), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, 0);
    next = whorl_spawn(sleep_for, (void *)5); /* in the same record */
    CHECK(next == t);
    CHECK_EQ(whorl_join(next, &result), 0);
    CHECK_EQ(result, 0);
    return 0;
}

TEST(task_cancel, a_task_that_has_ended_minds_it_no_more_nor_does_the_next_in_its_record)
{
    null_run(cancel_ended, NULL, NULL);
}

static intptr_t cancel_after_deadline(void *arg)
{
    (void)arg;
    whorl_deadline(WHORL_MS(1));
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ETIMEDOUT);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ETIMEDOUT); /* is still in force */
    whorl_deadline(WHORL_NEVER);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return 0;
}

TEST(task_cancel, a_deadline_that_has_passed_does_not_hide_it)
{
    null_run(cancel_after_deadline, NULL, NULL);
}

/* Races, over many seeds. A wait ends at the very time, or nearly, at which it is cancelled. In whatever order that happens, of the
 * waits exactly one is cancelled, and one that is not has its result. */

struct race {
    int (*wait)(struct race *race);
    whorl_ns length;
    struct whorl_task *other;
    int cancelled, done;
};

static int race_sleep(struct race *race)
{
    return whorl_sleep(race->length);
}

static int race_nop(struct race *race)
{
    return null_nop(race->length);
}

static int race_join(struct race *race)
{
    intptr_t value = -1;
    int result = whorl_join(race->other, &value);

    CHECK_EQ(value, result == 0 ? 0 : -1);
    if (result < 0) /* it is to be tried again */
        CHECK_EQ(whorl_join(race->other, &value), 0);
    return result;
}

static intptr_t race_waiter(void *arg)
{
    struct race *race = arg;

    for (int i = 0; i < 3; i++) {
        int result = i == 0 ? race->wait(race) : whorl_sleep(WHORL_SEC(1));

        CHECK(result == 0 || result == -ECANCELED);
        race->cancelled += result == -ECANCELED;
        race->done += i == 0 && result == 0;
    }
    return 0;
}

static intptr_t race_canceller(void *arg)
{
    struct race *race = arg;
    struct whorl_task *waiter;

    race->other = race->wait == race_join ? whorl_spawn(sleep_for, (void *)(intptr_t)race->length) : NULL;
    waiter = whorl_spawn(race_waiter, race);
    CHECK_EQ(whorl_sleep(1000), 0);
    whorl_cancel(waiter);
    CHECK_EQ(whorl_join(waiter, NULL), 0);
    return 0;
}

static void run_races(int (*wait)(struct race *race), whorl_ns spread)
{
    uint64_t random = test_seed();
    unsigned seeds = test_seeds(2000), done = 0;

    for (unsigned i = 0; i < seeds; i++) {
        struct race race = {.wait = wait, .length = 1000 - spread + (whorl_ns)(test_random(&random) % (uint64_t)(2 * spread + 1))};
        struct whorl_options options = {.seed = test_seed() + i, .workers = 1 + (int)(i % 4)};

        null_run(race_canceller, &race, &options);
        if (!CHECK_EQ(race.cancelled, 1)) {
            CHECK_EQ(i, -1); /* shows which seed it was */
            return;
        }
        done += (unsigned)race.done;
    }
    if (seeds > 100)
        CHECK(done > 0 && done < seeds); /* both ends of the race were seen */
}

TEST(task_cancel, a_sleep_that_ends_meanwhile_has_ended_and_the_next_wait_is_cancelled, .timeout = 60)
{
    run_races(race_sleep, 0);
}

TEST(task_cancel, an_operation_that_completes_meanwhile_has_its_result_and_the_next_wait_is_cancelled, .timeout = 60)
{
    run_races(race_nop, 100);
}

TEST(task_cancel, a_join_that_succeeds_meanwhile_has_the_result_and_the_next_wait_is_cancelled, .timeout = 60)
{
    run_races(race_join, 0);
}

/* Everybody cancels everybody. Requests may fall together, so fewer waits may be cancelled than there were requests, never more. */

enum { CROWD = 50, ROUNDS = 100 };

static struct crowd {
    struct whorl_task *tasks[CROWD];
    int requests[CROWD], cancelled[CROWD], done;
} crowd;

static intptr_t join_the_crowd(void *arg)
{
    size_t me = (size_t)(uintptr_t)arg, victim;
    uint64_t random = test_seed() + me;

    for (int i = 0; i < ROUNDS; i++) {
        whorl_ns length = (whorl_ns)(test_random(&random) % 100);
        int result = test_random(&random) % 2 ? whorl_sleep(length) : null_nop(length);

        CHECK(result == 0 || result == -ECANCELED);
        crowd.cancelled[me] += result == -ECANCELED;
        victim = test_random(&random) % CROWD;
        crowd.requests[victim]++;
        whorl_cancel(crowd.tasks[victim]);
    }
    crowd.done++;
    return 0;
}

static intptr_t raise_a_crowd(void *arg)
{
    (void)arg;
    crowd = (struct crowd){0};
    for (size_t i = 0; i < CROWD; i++)
        crowd.tasks[i] = whorl_spawn(join_the_crowd, (void *)i);
    while (crowd.done < CROWD) /* till then the handles are in use */
        CHECK_EQ(whorl_sleep(100), 0);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_EQ(whorl_join(crowd.tasks[i], NULL), 0);
    return 0;
}

TEST(task_cancel, nobody_is_cancelled_more_often_than_it_was_asked_for, .timeout = 60)
{
    int cancelled = 0;

    for (unsigned i = 0; i < 20; i++) {
        null_run(raise_a_crowd, NULL, &(struct whorl_options){.seed = test_seed() + i, .workers = 1 + (int)(i % 5)});
        for (int j = 0; j < CROWD; j++) {
            CHECK(crowd.cancelled[j] <= crowd.requests[j]);
            cancelled += crowd.cancelled[j];
        }
    }
    CHECK(cancelled > 0);
}
