/* SPDX-License-Identifier: MIT */
/* Wait groups: who waits goes on when nothing is left to be done. */
#include "sync.h"

#include <stdlib.h>

struct job {
    struct whorl_wait_group *group;
    whorl_ns length;
};

static intptr_t do_job(void *arg)
{
    struct job *j = arg;
    int err = whorl_sleep(j->length);

    whorl_wait_group_done(j->group);
    return err;
}

static intptr_t wait_for_group(void *arg)
{
    return whorl_wait_group_wait(arg);
}

static intptr_t wait_for_jobs(void *arg)
{
    struct whorl_wait_group g = {0};
    struct job jobs[3];
    struct whorl_task *others[2];
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_wait_group_wait(&g), 0);
    for (int round = 1; round <= 2; round++) {
        whorl_wait_group_add(&g, 3);
        for (int i = 0; i < 3; i++) {
            jobs[i] = (struct job){&g, WHORL_SEC(i)};
            whorl_detach(whorl_spawn(do_job, &jobs[i]));
        }
        for (int i = 0; i < 2; i++)
            others[i] = whorl_spawn(wait_for_group, &g);
        CHECK_EQ(whorl_wait_for(wait_for_group, &g, WHORL_SEC(1), &result), -ETIMEDOUT);
        whorl_cancel(others[0]);
        CHECK_EQ(whorl_join(others[0], &result), 0);
        CHECK_EQ(result, -ECANCELED);
        CHECK_EQ(whorl_wait_group_wait(&g), 0);
        CHECK(at(WHORL_SEC(2 * round)));
        CHECK_EQ(whorl_join(others[1], &result), 0);
        CHECK_EQ(result, 0);
    }
    CHECK(nobody_waits(&g.waiters));
    return 0;
}

TEST(wait_group, waits_until_all_is_done_and_can_be_used_again)
{
    run_everywhere(wait_for_jobs, NULL);
}

/* The group is freed by who was let go. */
static intptr_t free_it_soon(void *arg)
{
    for (int i = 0; i < 100; i++) {
        struct whorl_wait_group *g = calloc(1, sizeof *g);
        struct job job = {g, 0};
        struct whorl_task *t;

        whorl_wait_group_add(g, 1);
        t = whorl_spawn(do_job, &job);
        if (test_random(arg) % 2)
            whorl_yield();
        CHECK_EQ(whorl_wait_group_wait(g), 0);
        free(g);
        CHECK_EQ(whorl_join(t, NULL), 0);
    }
    return 0;
}

TEST(wait_group, may_be_freed_by_who_was_let_go)
{
    uint64_t random = test_seed();

    run_everywhere(free_it_soon, &random);
}

static intptr_t do_too_much(void *arg)
{
    struct whorl_wait_group g = {0};

    (void)arg;
    whorl_wait_group_add(&g, 1);
    whorl_wait_group_done(&g);
    whorl_wait_group_done(&g);
    return 0;
}

static intptr_t add_too_much(void *arg)
{
    struct whorl_wait_group g = {0};

    (void)arg;
    whorl_wait_group_add(&g, 1);
    whorl_wait_group_add(&g, SIZE_MAX);
    return 0;
}

TEST(wait_group, mistakes_abort)
{
    static const struct mistake mistakes[] = {
        {do_too_much, "whorl: whorl_wait_group_done was called more often than whorl_wait_group_add has counted"},
        {add_too_much, "whorl: whorl_wait_group_add was given 18446744073709551615, more than can be counted"},
    };

    check_mistakes(mistakes, sizeof mistakes / sizeof *mistakes);
}

static void wait_for_nothing(void *g)
{
    CHECK_EQ(whorl_wait_group_wait(g), 0);
}

TEST(wait_group, who_never_waits_for_it_lets_others_run)
{
    check_lets_others_run(wait_for_nothing, &(struct whorl_wait_group){.count = 0});
}
