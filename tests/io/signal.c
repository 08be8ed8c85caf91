/* SPDX-License-Identifier: MIT */
/* Signals: as something a task waits for, and SIGQUIT as a question what all tasks do. */
#include "loopback.h"

#include <signal.h>

#include "tests/support/child.h"

static void block(int first, int second)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, first);
    sigaddset(&set, second);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static intptr_t wait_for_either(void *arg)
{
    static const int signals[] = {SIGUSR1, SIGUSR2};

    CHECK(arg == NULL);
    return whorl_signal_wait(signals, 2);
}

static intptr_t wait_for_one(void *arg)
{
    int number = (int)(intptr_t)arg;

    return whorl_signal_wait(&number, 1);
}

/* A test that has the two signals blocked in all threads. */
#define SIGNAL_TEST(name)                                                                                                          \
    static void name(void);                                                                                                        \
    TEST(signal, name)                                                                                                             \
    {                                                                                                                              \
        block(SIGUSR1, SIGUSR2);                                                                                                   \
        in_runtime(4, name);                                                                                                       \
    }                                                                                                                              \
    static void name(void)

SIGNAL_TEST(a_signal_ends_the_wait)
{
    static const int numbers[] = {SIGUSR1, SIGUSR2};

    for (int i = 0; i < 100; i++) {
        struct whorl_task *t = start("user", wait_for_either, NULL);

        UNTIL(waiting("user", "poll"));
        CHECK_EQ(kill(getpid(), numbers[i % 2]), 0);
        CHECK_EQ(result_of(t), numbers[i % 2]);
    }
}

SIGNAL_TEST(a_signal_that_came_before_counts)
{
    CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    CHECK_EQ(wait_for_either(NULL), SIGUSR2);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    CHECK_EQ(wait_for_either(NULL) + wait_for_either(NULL), SIGUSR1 + SIGUSR2);
}

SIGNAL_TEST(each_signal_goes_to_whom_it_is_for)
{
    struct whorl_task *first = start("first", wait_for_one, (void *)(intptr_t)SIGUSR1);
    struct whorl_task *second = start("second", wait_for_one, (void *)(intptr_t)SIGUSR2);

    UNTIL(waiting("first", "poll") && waiting("second", "poll"));
    CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    CHECK_EQ(result_of(second), SIGUSR2);
    CHECK_EQ(waiting("first", "poll"), 1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(result_of(first), SIGUSR1);
}

enum { USERS = 8 };

static int ended_of(struct whorl_task *const *users)
{
    int count = 0;

    for (int i = 0; i < USERS; i++)
        count += whorl_result(users[i], NULL) == 0;
    return count;
}

SIGNAL_TEST(one_signal_is_for_one_of_those_who_wait)
{
    struct whorl_task *users[USERS];

    for (int i = 0; i < USERS; i++)
        users[i] = start("user", wait_for_one, (void *)(intptr_t)SIGUSR1);
    for (int ended = 0; ended < USERS; ended++) {
        UNTIL(waiting("user", "poll") == USERS - ended);
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        UNTIL(ended_of(users) == ended + 1);
    }
    for (int i = 0; i < USERS; i++)
        CHECK_EQ(result_of(users[i]), SIGUSR1);
}

SIGNAL_TEST(what_is_no_signal_is_refused)
{
    static const int wrong[] = {SIGUSR1, 1000}, negative[] = {-1};

    CHECK_EQ(whorl_signal_wait(wrong, 2), -EINVAL);
    CHECK_EQ(whorl_signal_wait(negative, 1), -EINVAL);
}

/* The dump */

static intptr_t receive(void *arg)
{
    char byte;

    return whorl_recv((int)(intptr_t)arg, &byte, 1, 0);
}

static intptr_t ask_what_they_do(void *arg)
{
    struct whorl_task *reader, *sleeper;
    int ends[2];

    CHECK(arg == NULL);
    if (!connect_ends(ends))
        return 1;
    reader = start("reader", receive, (void *)(intptr_t)ends[0]);
    sleeper = start("sleeper", receive, (void *)(intptr_t)ends[1]);
    UNTIL(waiting("reader", "recv") && waiting("sleeper", "recv"));
    CHECK_EQ(raise(SIGQUIT), 0);
    whorl_cancel(reader);
    whorl_cancel(sleeper);
    CHECK_EQ(result_of(reader), -ECANCELED);
    CHECK_EQ(result_of(sleeper), -ECANCELED);
    close_ends(ends);
    return 0;
}

static void run_and_ask(void *unused)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2, .dump_on_sigquit = 1};
    struct sigaction before, after;

    (void)unused;
    sigaction(SIGQUIT, NULL, &before);
    CHECK_EQ(whorl_run(ask_what_they_do, NULL, &options), 0);
    sigaction(SIGQUIT, NULL, &after);
    CHECK(before.sa_handler == after.sa_handler);
}

TEST(signal, sigquit_is_answered_with_what_all_tasks_do)
{
    char said[8192];

    NEED_URING();
    CHECK_EQ(run_in_child(run_and_ask, NULL, said, sizeof said), 0);
    CHECK_HAS(said, "reactor uring, 2 workers");
    CHECK_HAS(said, "\"reader\" waits for recv");
    CHECK_HAS(said, "\"sleeper\" waits for recv");
    CHECK_HAS(said, "\"main\" running");
    CHECK_HAS(said, "loopback.h:"); /* where they were spawned */
    CHECK_HAS(said, "worker 1:");
}

static void run_without_asking(void *unused)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    (void)unused;
    signal(SIGQUIT, SIG_IGN);
    CHECK_EQ(whorl_run(ask_what_they_do, NULL, &options), 0);
}

TEST(signal, sigquit_is_left_alone_unless_it_was_asked_for)
{
    char said[8192];

    NEED_URING();
    CHECK_EQ(run_in_child(run_without_asking, NULL, said, sizeof said), 0);
    CHECK_STR(said, "");
}
