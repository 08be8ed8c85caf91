/* SPDX-License-Identifier: MIT */
/* What runtimes say of what was left over in them. */
#include <whorl/whorl.h>

#include <errno.h>

#include "null_run.h"
#include "test.h"

static struct whorl_leaks leaks(void)
{
    struct whorl_leaks now = {.size = sizeof now};

    CHECK_EQ(whorl_leaks(&now), 0);
    return now;
}

static intptr_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

static intptr_t forget_some(void *arg)
{
    intptr_t forgotten = (intptr_t)arg;

    CHECK_EQ(whorl_join(whorl_spawn(nothing, NULL), NULL), 0);
    whorl_detach(whorl_spawn(nothing, NULL));
    for (intptr_t i = 0; i < forgotten; i++)
        CHECK(whorl_spawn(nothing, NULL) != NULL);
    return 0;
}

TEST(leaks, tasks_that_are_joined_or_detached_are_none)
{
    struct whorl_leaks before = leaks();

    CHECK_EQ(null_run(forget_some, NULL, NULL), 0);
    CHECK_EQ(leaks().tasks, before.tasks);
    CHECK_EQ(leaks().stacks, before.stacks);
}

TEST(leaks, of_several_runtimes_are_summed_up)
{
    struct whorl_leaks before = leaks();

    CHECK_EQ(null_run(forget_some, (void *)3, NULL), 0);
    CHECK_EQ(leaks().tasks, before.tasks + 3);
    CHECK_EQ(null_run(forget_some, (void *)200, NULL), 0);
    CHECK_EQ(leaks().tasks, before.tasks + 203);
    CHECK_EQ(leaks().stacks, before.stacks);
}

TEST(leaks, of_another_version_are_refused)
{
    struct whorl_leaks wrong = {.size = sizeof wrong + 8};

    CHECK_EQ(whorl_leaks(&wrong), -EINVAL);
}
