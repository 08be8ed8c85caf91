/* SPDX-License-Identifier: MIT */
/* A program with a main of its own, and a test that is registered by hand and runs in no runtime. */
#include <stdio.h>
#include <whorl/test.h>
#include <whorl/whorl.h>

static int prepared;

static void is_in_no_task(void)
{
    WHORL_CHECK(!whorl_in_task());
    WHORL_CHECK_EQ(prepared, 1);
}

static struct whorl_test by_hand = {.suite = "own", .name = "main", .body = is_in_no_task};

WHORL_TEST(own, runtime, .seeds = 1)
{
    WHORL_CHECK(whorl_in_task());
    WHORL_CHECK_EQ(prepared, 1);
}

int main(int argc, char **argv)
{
    prepared = 1;
    whorl_test_register(&by_hand);
    return whorl_test_main(argc, argv);
}
