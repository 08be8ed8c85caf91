/* SPDX-License-Identifier: MIT */
/* Races on purpose: this program must fail where races are looked for. */
#include "tests/support/test.h"
#include "tests/support/uring.h"

#include <stdatomic.h>
#include <time.h>
#include <whorl/whorl.h>

static int shared;
static atomic_int arrived;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Neither lets go of its worker before both have come: so they are on two workers. Relaxed, which orders nothing. */
static intptr_t meet_and_write(void *arg)
{
    double end = seconds() + 10;

    atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    while (atomic_load_explicit(&arrived, memory_order_relaxed) < 2 && seconds() < end)
        ;
    shared++;
    return (intptr_t)arg;
}

static intptr_t spawn_two(void *arg)
{
    struct whorl_spawn_options here = {.size = sizeof here, .worker = WHORL_WORKER(0)};
    struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(1)};
    struct whorl_task *a = whorl_spawn_with(meet_and_write, arg, &here);
    struct whorl_task *b = whorl_spawn_with(meet_and_write, arg, &there);

    if (CHECK(a))
        CHECK_EQ(whorl_join(a, NULL), 0);
    if (CHECK(b))
        CHECK_EQ(whorl_join(b, NULL), 0);
    return 0;
}

TEST(planted, two_tasks_write_one_variable, .timeout = 40)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    NEED_URING();
    CHECK_EQ(whorl_run(spawn_two, NULL, &options), 0);
}
