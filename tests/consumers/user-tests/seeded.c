/* SPDX-License-Identifier: MIT */
/* Tests that need no kernel: each under many seeds, all of which pass. In C11, and in C++20. */
#include <errno.h>
#include <stdint.h>
#include <whorl/test.h>
#include <whorl/whorl.h>

static intptr_t sleep_hour(void *arg)
{
    WHORL_CHECK_EQ(whorl_sleep(WHORL_SEC(3600)), 0);
    return (intptr_t)arg;
}

WHORL_TEST(time, an_hour_takes_no_time_and_is_exact, .seeds = 200)
{
    whorl_ns start = whorl_now();
    struct whorl_task *t = whorl_spawn(sleep_hour, (void *)7);
    intptr_t result = 0;

    if (!WHORL_CHECK(t != NULL))
        return;
    WHORL_CHECK_EQ(whorl_join(t, &result), 0);
    WHORL_CHECK_EQ(result, 7);
    WHORL_CHECK_EQ(whorl_now() - start, WHORL_SEC(3600));
}

static int seen[5];

/* The runs of one test share a process, so that it can count them. */
WHORL_TEST(seeds, choose_the_workers_too, .seeds = 40)
{
    if (!WHORL_CHECK(whorl_workers() >= 1 && whorl_workers() <= 4))
        return;
    seen[whorl_workers()]++;
    if (seen[1] + seen[2] + seen[3] + seen[4] == 40)
        for (int i = 1; i <= 4; i++)
            WHORL_CHECK_EQ(seen[i], 10);
}

static int runs;
static uint64_t last_seed;

WHORL_TEST(seeds, are_those_that_were_asked_for, .seeds = 25, .workers = 3)
{
    WHORL_CHECK_EQ(whorl_workers(), 3);
    WHORL_CHECK_STR(whorl_reactor(), "null");
    WHORL_CHECK(whorl_test_seed() != 0 && whorl_test_seed() != last_seed);
    last_seed = whorl_test_seed();
    WHORL_CHECK(++runs <= 25);
}

static intptr_t wait_for_ever(void *arg)
{
    (void)arg;
    WHORL_CHECK_EQ(whorl_sleep(WHORL_NEVER / 2), -ECANCELED);
    return 0;
}

WHORL_TEST(end, what_is_left_is_cancelled, .seeds = 100, .timeout = WHORL_SEC(60), .stack_size = 16384)
{
    for (int i = 0; i < 10; i++) {
        struct whorl_task *t = whorl_spawn(wait_for_ever, NULL);

        if (WHORL_CHECK(t != NULL))
            whorl_detach(t);
    }
    WHORL_CHECK_EQ(whorl_sleep(1), 0);
}

WHORL_TEST(skip, this_one, .seeds = 2)
{
    WHORL_SKIP("it has nothing to say");
}
