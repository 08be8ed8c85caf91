/* SPDX-License-Identifier: MIT */
/* Tests that must fail, each in its own way. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <whorl/test.h>
#include <whorl/whorl.h>

static intptr_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

WHORL_TEST(leak, task, .seeds = 5)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "forgotten"};

    WHORL_CHECK(whorl_spawn_with(nothing, NULL, &options) != NULL);
}

WHORL_TEST(leak, descriptor, .seeds = 5)
{
    WHORL_CHECK(dup(0) >= 0);
}

enum { RUNNERS = 4 };

struct race {
    int turn, last;
};

struct runner {
    struct race *race;
    int number;
};

static intptr_t run(void *arg)
{
    struct runner *me = arg;

    if (++me->race->turn == RUNNERS)
        me->race->last = me->number;
    return 0;
}

/* The mistake: who is spawned first may well run last. */
WHORL_TEST(seeds, some_fail, .seeds = 1000, .workers = 2)
{
    struct race race = {0, -1};
    struct runner runners[RUNNERS];
    struct whorl_task *tasks[RUNNERS];

    for (int i = 0; i < RUNNERS; i++) {
        runners[i].race = &race;
        runners[i].number = i;
        tasks[i] = whorl_spawn(run, &runners[i]);
        WHORL_REQUIRE(tasks[i] != NULL);
    }
    for (int i = 0; i < RUNNERS; i++)
        WHORL_CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    WHORL_CHECK(race.last != 0);
}

static void *check_there(void *arg)
{
    WHORL_CHECK_EQ(1, 2);
    return arg;
}

static intptr_t check_here(void *arg)
{
    WHORL_CHECK_STR(arg, "another");
    return 0;
}

WHORL_TEST(check, in_a_thread_and_a_task, .seeds = 1)
{
    pthread_t thread;
    struct whorl_task *t = whorl_spawn(check_here, "one");

    WHORL_REQUIRE(t != NULL && pthread_create(&thread, NULL, check_there, NULL) == 0);
    WHORL_CHECK_EQ(whorl_join(t, NULL), 0);
    WHORL_CHECK_EQ(pthread_join(thread, NULL), 0);
}

static intptr_t require_there(void *arg)
{
    WHORL_REQUIRE(arg != NULL);
    return 0;
}

WHORL_TEST(require, in_a_task, .seeds = 1)
{
    struct whorl_task *t = whorl_spawn(require_there, NULL);

    WHORL_CHECK_EQ(whorl_join(t, NULL), 0);
}

static intptr_t join_it(void *arg)
{
    return whorl_join(*(struct whorl_task **)arg, NULL);
}

WHORL_TEST(deadlock, of_two, .seeds = 1)
{
    struct whorl_task *a, *b;

    a = whorl_spawn(join_it, &b);
    b = whorl_spawn(join_it, &a);
    WHORL_REQUIRE(a != NULL && b != NULL);
    whorl_sleep_until(WHORL_NEVER);
}

WHORL_TEST(timeout, of_what_computes, .seeds = 1, .timeout = WHORL_SEC(2))
{
    for (volatile int i = 0;; i = 0)
        (void)i;
}

WHORL_TEST(exit, in_the_middle, .seeds = 1)
{
    exit(0);
}
