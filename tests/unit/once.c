/* SPDX-License-Identifier: MIT */
/* Once: whoever comes first makes it, and nobody makes it twice. */
#include "sync.h"

struct thing {
    struct whorl_once once;
    int calls, fail;
    whorl_ns takes;
};

static intptr_t make(void *arg)
{
    struct thing *t = arg;
    int err;

    t->calls++;
    err = whorl_sleep(t->takes);
    return err ? err : t->fail-- > 0 ? -EIO : 42;
}

static intptr_t want(void *arg)
{
    struct thing *t = arg;

    return whorl_once(&t->once, make, t);
}

static intptr_t want_together(void *arg)
{
    struct thing t = {.takes = WHORL_SEC(1)};
    struct whorl_call calls[4] = {{want, &t}, {want, &t}, {want, &t}, {want, &t}};
    intptr_t results[4];

    (void)arg;
    CHECK_EQ(whorl_gather_all(results, calls, 4), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(results[i], 42);
    CHECK_EQ(t.calls, 1);
    CHECK(at(WHORL_SEC(1)));
    CHECK_EQ(want(&t), 42);
    CHECK_EQ(t.calls, 1);
    CHECK_EQ(t.once.mutex.word, 0);
    return 0;
}

TEST(once, the_first_makes_it_and_the_others_wait)
{
    run_everywhere(want_together, NULL);
}

static intptr_t fail_first(void *arg)
{
    struct thing t = {.takes = WHORL_SEC(1), .fail = 2};
    struct whorl_call calls[4] = {{want, &t}, {want, &t}, {want, &t}, {want, &t}};
    intptr_t results[4];
    int failed = 0;

    (void)arg;
    CHECK_EQ(whorl_gather_all(results, calls, 4), 0);
    for (int i = 0; i < 4; i++) {
        CHECK(results[i] == 42 || results[i] == -EIO);
        failed += results[i] == -EIO;
    }
    CHECK_EQ(failed, 2);
    CHECK_EQ(t.calls, 3);
    CHECK(at(WHORL_SEC(3)));
    return 0;
}

TEST(once, after_an_error_the_next_one_tries)
{
    run_everywhere(fail_first, NULL);
}

static intptr_t cancel_some(void *arg)
{
    struct thing t = {.takes = WHORL_SEC(2)};
    struct whorl_task *first = whorl_spawn(want, &t), *second, *third;
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    second = whorl_spawn(want, &t);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    third = whorl_spawn(want, &t);
    CHECK_EQ(whorl_sleep(WHORL_MS(998)), 0);
    whorl_cancel(second); /* while it waits */
    CHECK_EQ(whorl_join(second, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    whorl_cancel(first); /* while it makes it: the third does it then */
    CHECK_EQ(whorl_join(first, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_join(third, &result), 0);
    CHECK_EQ(result, 42);
    CHECK_EQ(t.calls, 2);
    CHECK(at(WHORL_SEC(3)));
    return 0;
}

TEST(once, who_is_cancelled_leaves_it_to_others)
{
    run_everywhere(cancel_some, NULL);
}

static struct whorl_once clumsy_once;

static intptr_t call_for_itself(void *arg)
{
    return whorl_once_at(&clumsy_once, call_for_itself, arg, "home.c:1");
}

TEST(once, one_that_waits_for_itself_aborts)
{
    static const struct mistake mistakes[] = {
        {call_for_itself, "whorl: whorl_once was called by the function that was called at home.c:1 for it"},
    };

    check_mistakes(mistakes, 1);
}

static intptr_t return_it(void *arg)
{
    return (intptr_t)arg;
}

TEST(once, needs_no_runtime)
{
    static struct whorl_once once;

    CHECK_EQ(whorl_once(&once, return_it, (void *)-7), -7);
    CHECK_EQ(whorl_once(&once, return_it, (void *)7), 7);
    CHECK_EQ(whorl_once(&once, return_it, (void *)8), 7);
}
