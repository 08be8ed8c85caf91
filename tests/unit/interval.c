/* SPDX-License-Identifier: MIT */
/* Intervals: ticks at their times, to the nanosecond of the virtual clock, and what happens to those that are missed. */
#include <whorl/whorl.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn)
{
    for (uint64_t i = 0; i < 12; i++)
        CHECK_EQ(null_run(fn, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
}

static intptr_t keep_time(void *arg)
{
    struct whorl_interval beat = {.period = WHORL_MS(10)};
    uint64_t seed = test_seed();

    CHECK_EQ(whorl_sleep(WHORL_MS(3)), 0);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(whorl_interval_tick(&beat), 0);
        CHECK_EQ(whorl_now(), WHORL_MS(3) + i * WHORL_MS(10));
        CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % WHORL_MS(10))), 0);
    }
    return (intptr_t)arg;
}

TEST(interval, ticks_do_not_drift_whatever_is_done_between_them)
{
    run_everywhere(keep_time);
}

/* One tick of an interval of 10 ms: how long what is done before it takes, what it returns, and when. In ms. */
struct step {
    int work, missed, at;
};

static void follow(enum whorl_missed policy, const struct step *steps, int count)
{
    struct whorl_interval beat = {.period = WHORL_MS(10), .missed = policy};
    whorl_ns start = whorl_now();

    for (int i = 0; i < count; i++) {
        if (steps[i].work)
            CHECK_EQ(whorl_sleep(WHORL_MS(steps[i].work)), 0);
        CHECK_EQ(whorl_interval_tick(&beat), steps[i].missed);
        CHECK_EQ(whorl_now() - start, WHORL_MS(steps[i].at));
    }
}

static intptr_t miss_some(void *arg)
{
    static const struct step skip[] = {{0, 0, 0},   {35, 2, 35}, {0, 0, 40},  {4, 0, 50},
                                       {10, 0, 60}, {20, 1, 80}, {19, 0, 99}, {0, 0, 100}};
    static const struct step burst[] = {{0, 0, 0}, {35, 2, 35}, {0, 1, 35}, {0, 0, 35}, {0, 0, 40}, {19, 0, 59}, {0, 0, 60}};
    static const struct step delay[] = {{0, 0, 0}, {35, 2, 35}, {0, 0, 45}, {12, 0, 57}, {0, 0, 65}, {30, 2, 95}, {0, 0, 105}};

    follow(WHORL_MISSED_SKIP, skip, sizeof skip / sizeof *skip);
    follow(WHORL_MISSED_BURST, burst, sizeof burst / sizeof *burst);
    follow(WHORL_MISSED_DELAY, delay, sizeof delay / sizeof *delay);
    return (intptr_t)arg;
}

TEST(interval, missed_ticks_are_counted_and_follow_the_policy)
{
    run_everywhere(miss_some);
}

static intptr_t start_elsewhere(void *arg)
{
    struct whorl_interval later = {.period = WHORL_SEC(1), .next = WHORL_SEC(5)}, long_ago = {.period = 7, .next = 1};
    struct whorl_interval rare = {.period = WHORL_NEVER};

    CHECK_EQ(whorl_interval_tick(&later), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(5));
    CHECK_EQ(whorl_interval_tick(&long_ago), (WHORL_SEC(5) - 1) / 7);
    CHECK_EQ(long_ago.next % 7, 1);
    CHECK(long_ago.next > WHORL_SEC(5) && long_ago.next <= WHORL_SEC(5) + 7);
    CHECK_EQ(whorl_interval_tick(&rare), 0);
    CHECK_EQ(rare.next, WHORL_NEVER);
    later.period = WHORL_SEC(2); /* from the tick after the next one on */
    CHECK_EQ(whorl_interval_tick(&later), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(6));
    CHECK_EQ(whorl_interval_tick(&later), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(8));
    return (intptr_t)arg;
}

TEST(interval, the_first_tick_is_where_it_was_set)
{
    run_everywhere(start_elsewhere);
}

static intptr_t be_cut_short(void *arg)
{
    struct whorl_interval beat = {.period = WHORL_SEC(1)};
    struct whorl_scope s;

    CHECK_EQ(whorl_interval_tick(&beat), 0);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_interval_tick(&beat), -ECANCELED);
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_deadline(&s, WHORL_MS(300)), 0);
    CHECK_EQ(whorl_interval_tick(&beat), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_MS(300));
    CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    CHECK_EQ(whorl_interval_tick(&beat), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(1));

    beat = (struct whorl_interval){.period = WHORL_SEC(1)};
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_interval_tick(&beat), -ECANCELED); /* the first one is still to come, and late by then */
    CHECK_EQ(whorl_sleep(WHORL_SEC(2)), 0);
    CHECK_EQ(whorl_interval_tick(&beat), 2);
    return (intptr_t)arg;
}

TEST(interval, a_tick_that_is_cut_short_is_still_to_come)
{
    run_everywhere(be_cut_short);
}

/* Ticks that are all late do not keep the worker: the other task has its turns. */
static intptr_t count_turns(void *arg)
{
    int *turns = arg;

    for (; *turns < 100; ++*turns)
        whorl_yield();
    return 0;
}

static intptr_t catch_up(void *arg)
{
    struct whorl_interval beat = {.period = 1, .missed = WHORL_MISSED_BURST};
    int turns = 0;
    struct whorl_task *t;

    CHECK(whorl_interval_tick(&beat) >= 0);
    CHECK_EQ(whorl_sleep(1000000), 0);
    t = whorl_spawn(count_turns, &turns);
    for (int i = 0; i < 1000 && turns < 100; i++)
        CHECK(whorl_interval_tick(&beat) > 0);
    CHECK_EQ(turns, 100);
    CHECK_EQ(whorl_join(t, NULL), 0);
    return (intptr_t)arg;
}

TEST(interval, catching_up_lets_others_run)
{
    CHECK_EQ(null_run_real(catch_up, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
}

static intptr_t tick_without_period(void *arg)
{
    struct whorl_interval none = {.period = 0};

    return (intptr_t)arg + whorl_interval_tick(&none);
}

static void run_without_period(void *arg)
{
    null_run(tick_without_period, arg, NULL);
}

TEST(interval, a_period_of_nothing_aborts)
{
    char err[1024];
    int status = run_in_child(run_without_period, NULL, err, sizeof err);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(err, "whorl_interval_tick was given an interval with a period of 0 ns: set it to more than 0");
}
