/* SPDX-License-Identifier: MIT */
/* Races on purpose: this program must fail where races are looked for. */
#include "tests/planted/turns.h"
#include "tests/support/test.h"
#include "tests/support/uring.h"

#include <whorl/whorl.h>

/* Neither lets go of its worker before both have come: so they are on two workers. */
static intptr_t write_it(void *who)
{
    return write_by_turns((int)(intptr_t)who);
}

static intptr_t spawn_two(void *arg)
{
    struct whorl_spawn_options here = {.size = sizeof here, .worker = WHORL_WORKER(0)};
    struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(1)};
    struct whorl_task *a = whorl_spawn_with(write_it, (void *)0, &here);
    struct whorl_task *b = whorl_spawn_with(write_it, (void *)1, &there);
    intptr_t met = false;

    if (CHECK(a))
        CHECK_EQ(whorl_join(a, &met), 0);
    CHECK(met);
    if (CHECK(b))
        CHECK_EQ(whorl_join(b, &met), 0);
    CHECK(met);
    return (intptr_t)arg;
}

TEST(planted, two_tasks_write_one_variable, .timeout = 40)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    NEED_URING();
    CHECK_EQ(whorl_run(spawn_two, NULL, &options), 0);
}
