/* SPDX-License-Identifier: MIT */
/* Bodies with the checks, and Criterion's main. */
#include <criterion/criterion.h>
#include <string.h>
#include <whorl/test.h>
#include <whorl/whorl.h>

static intptr_t answer(void *arg)
{
    (void)arg;
    return 42;
}

static void join_it(void)
{
    struct whorl_task *t = whorl_spawn(answer, NULL);
    intptr_t result = 0;

    WHORL_CHECK(t != NULL && whorl_join(t, &result) == 0 && result == 42);
}

static void forget_it(void)
{
    WHORL_CHECK(whorl_spawn(answer, NULL) != NULL);
}

Test(bodies, passes)
{
    struct whorl_test test = {.name = "passes", .body = join_it, .seeds = 50};

    cr_assert_eq(whorl_test_run(&test, NULL, NULL), 0);
}

static void note_leak(const char *message, void *arg)
{
    *(int *)arg += strstr(message, "neither joined nor detached") != NULL;
}

Test(bodies, a_leak_is_reported)
{
    struct whorl_test test = {.name = "leaks", .body = forget_it, .seeds = 50};
    int leaks = 0;

    cr_assert_eq(whorl_test_run(&test, note_leak, &leaks), 1);
    cr_assert_eq(leaks, 1);
}

static void jump_away(const char *message, void *arg)
{
    (void)arg;
    cr_assert_fail("%s", message);
}

Test(bodies, this_one_must_fail)
{
    struct whorl_test test = {.name = "must fail", .body = forget_it, .seeds = 50};

    whorl_test_run(&test, jump_away, NULL);
}
