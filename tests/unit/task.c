/* SPDX-License-Identifier: MIT */
/* The life of tasks and of their handles: spawn, join, detach, result, names, options, the end of a runtime. */
#include <whorl/whorl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "test.h"

/* Bodies that several tests use. */

static intptr_t give_back(void *arg)
{
    return (intptr_t)arg;
}

static intptr_t sleep_then_give_back(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    return (intptr_t)arg;
}

static intptr_t join_value(struct whorl_task *t)
{
    intptr_t value = -1;

    if (CHECK(t != NULL))
        CHECK_EQ(whorl_join(t, &value), 0);
    return value;
}

static intptr_t spawn_and_join(void *arg)
{
    (void)arg;
    CHECK_EQ(join_value(whorl_spawn(give_back, (void *)42)), 42);
    CHECK_EQ(join_value(whorl_spawn(sleep_then_give_back, (void *)43)), 43);
    CHECK_EQ(whorl_join(whorl_spawn(give_back, NULL), NULL), 0);
    return 7;
}

TEST(task, a_join_gives_what_the_task_returned)
{
    CHECK_EQ(null_run(spawn_and_join, NULL, NULL), 7);
    CHECK_EQ(null_run_real(spawn_and_join, NULL, NULL), 7);
    CHECK_EQ(null_run(spawn_and_join, NULL, &(struct whorl_options){.workers = 4}), 7);
}

static intptr_t extremes(void *arg)
{
    (void)arg;
    CHECK_EQ(join_value(whorl_spawn(give_back, (void *)INTPTR_MIN)), INTPTR_MIN);
    CHECK_EQ(join_value(whorl_spawn(give_back, (void *)INTPTR_MAX)), INTPTR_MAX);
    CHECK_EQ(join_value(whorl_spawn(give_back, (void *)(intptr_t)-ECANCELED)), -ECANCELED);
    return INTPTR_MIN;
}

TEST(task, a_result_may_be_any_number_and_is_no_error_of_the_join)
{
    CHECK_EQ(null_run(extremes, NULL, NULL), INTPTR_MIN);
}

static intptr_t look_at_results(void *arg)
{
    struct whorl_task *t = whorl_spawn(sleep_then_give_back, (void *)5);
    struct whorl_stats before = null_stats();
    intptr_t value = 99;

    (void)arg;
    CHECK_EQ(whorl_result(t, &value), -EINPROGRESS);
    CHECK_EQ(whorl_result(t, NULL), -EINPROGRESS);
    CHECK_EQ(value, 99);
    CHECK_EQ(whorl_result(whorl_self(), NULL), -EINPROGRESS);
    CHECK_EQ(null_stats().switches, before.switches); /* nothing of that suspends */
    CHECK_EQ(whorl_sleep(WHORL_MS(2)), 0);
    CHECK_EQ(whorl_result(t, &value), 0);
    CHECK_EQ(value, 5);
    CHECK_EQ(whorl_result(t, NULL), 0); /* as often as one likes: the handle stays */
    before = null_stats();
    CHECK_EQ(join_value(t), 5);
    CHECK_EQ(null_stats().switches, before.switches); /* nor does the join of a task that has ended */
    return 0;
}

TEST(task, a_result_can_be_asked_for_without_suspending)
{
    null_run(look_at_results, NULL, NULL);
    null_run_real(look_at_results, NULL, NULL);
}

static intptr_t join_oneself(void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_join(whorl_self(), NULL), -EDEADLK);
    return 0;
}

TEST(task, a_task_cannot_join_itself)
{
    null_run(join_oneself, NULL, NULL);
}

static int ended;

static intptr_t count_end(void *arg)
{
    whorl_sleep((whorl_ns)(intptr_t)arg);
    ended++;
    return 0;
}

static intptr_t detach_early_and_late(void *arg)
{
    struct whorl_task *early, *late;

    (void)arg;
    ended = 0;
    early = whorl_spawn(count_end, (void *)1000);
    late = whorl_spawn(count_end, (void *)1000);
    whorl_detach(early);
    CHECK_EQ(ended, 0);
    CHECK_EQ(whorl_sleep(2000), 0);
    CHECK_EQ(ended, 2);
    CHECK_EQ(whorl_result(late, NULL), 0);
    whorl_detach(late);
    whorl_detach(whorl_spawn(count_end, (void *)5000)); /* outlives main */
    return 0;
}

/* In a child, whose standard error is to stay empty: nobody is reported as never joined. */
static void detach_in_child(void *arg)
{
    (void)arg;
    null_run(detach_early_and_late, NULL, NULL);
    CHECK_EQ(ended, 3);
    null_run_real(detach_early_and_late, NULL, NULL);
    CHECK_EQ(ended, 3);
}

TEST(task, a_handle_can_be_given_up_before_and_after_the_end)
{
    char err[4096];

    CHECK_EQ(run_in_child(detach_in_child, NULL, err, sizeof err), 0);
    CHECK_STR(err, "");
}

static intptr_t own_name(void *arg)
{
    CHECK_STR(whorl_name(whorl_self()), arg);
    return 0;
}

static void check_name(const char *given, const char *expected)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = given};
    struct whorl_task *t = whorl_spawn_with(own_name, (void *)(uintptr_t)expected, &options);

    CHECK_STR(whorl_name(t), expected);
    CHECK_EQ(whorl_join(t, NULL), 0);
}

static intptr_t check_names(void *arg)
{
    char volatile_name[] = "overwritten";
    struct whorl_spawn_options options = {.size = sizeof options, .name = volatile_name};
    struct whorl_task *t = whorl_spawn_with(own_name, (void *)(uintptr_t) "overwritten", &options);

    (void)arg;
    memset(volatile_name, 'x', sizeof volatile_name - 1);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_STR(whorl_name(whorl_self()), "main");
    check_name("reader", "reader");
    check_name("twenty-three bytes fit.", "twenty-three bytes fit.");
    check_name("twenty-three bytes fit. No more", "twenty-three bytes fit.");
    check_name(NULL, ""); /* in the record of the one before */
    check_name("", "");
    return 0;
}

TEST(task, a_name_is_copied_and_cut_and_not_inherited)
{
    null_run(check_names, NULL, NULL);
}

/* Uses about `arg` bytes of stack. */
static intptr_t use_stack(void *arg)
{
    size_t bytes = (size_t)(uintptr_t)arg;
    char *room = __builtin_alloca(bytes);

    memset(room, 1, bytes);
    __asm__ volatile("" ::"r"(room) : "memory");
    return (intptr_t)bytes;
}

static intptr_t stacks_of_all_sizes(void *arg)
{
    static const size_t sizes[] = {1, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20};

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .stack_size = sizes[i]};
        size_t used = sizes[i] > 8192 ? sizes[i] - 8192 : 4096;

        CHECK_EQ(join_value(whorl_spawn_with(use_stack, (void *)used, &options)), used);
    }
    return 0;
}

TEST(task, a_task_has_the_stack_that_it_was_given)
{
    null_run(stacks_of_all_sizes, NULL, NULL);
}

static intptr_t spawn_badly(void *arg)
{
    struct whorl_spawn_options large = {.size = sizeof large, .stack_size = ((size_t)4 << 20) + 1};
    struct whorl_spawn_options huge = {.size = sizeof huge, .stack_size = SIZE_MAX};
    struct whorl_spawn_options beyond = {.size = sizeof beyond, .worker = WHORL_WORKER(2)};
    struct whorl_spawn_options negative = {.size = sizeof negative, .worker = -1};
    struct whorl_spawn_options least = {.size = sizeof least, .worker = WHORL_WORKER(INT32_MAX - 1)};
    struct whorl_spawn_options good = {.size = sizeof good, .worker = WHORL_WORKER(1)};

    (void)arg;
    CHECK(whorl_spawn_with(give_back, NULL, &large) == NULL);
    CHECK(whorl_spawn_with(give_back, NULL, &huge) == NULL);
    CHECK(whorl_spawn_with(give_back, NULL, &beyond) == NULL);
    CHECK(whorl_spawn_with(give_back, NULL, &negative) == NULL);
    CHECK(whorl_spawn_with(give_back, NULL, &least) == NULL);
    CHECK_EQ(join_value(whorl_spawn_with(give_back, (void *)3, &good)), 3);
    return 0;
}

TEST(task, options_that_cannot_be_met_give_no_task)
{
    null_run(spawn_badly, NULL, &(struct whorl_options){.workers = 2});
}

static intptr_t spawn_very_many(void *arg)
{
    size_t count = MANY(100000, 5000);
    struct whorl_task **tasks = malloc(count * sizeof *tasks);
    intptr_t sum = 0;

    (void)arg;
    if (!CHECK(tasks != NULL))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (!CHECK((tasks[i] = whorl_spawn(sleep_then_give_back, (void *)i)) != NULL))
            count = i;
    for (size_t i = 0; i < count; i++)
        sum += join_value(tasks[i]);
    CHECK_EQ(sum, count * (count - 1) / 2);
    /* They all slept at the same time, unless there were not stacks for all. */
    CHECK(whorl_now() == WHORL_MS(1) || null_stats().stack_waits > 0);
    free(tasks);
    return 0;
}

TEST(task, a_hundred_thousand_at_once_all_end, .timeout = 60)
{
    null_run(spawn_very_many, NULL, &(struct whorl_options){.workers = 2, .stack_size = 16 << 10});
}

static intptr_t chain(void *arg)
{
    intptr_t left = (intptr_t)arg;

    if (left == 0)
        return 0;
    return join_value(whorl_spawn(chain, (void *)(left - 1))) + 1;
}

TEST(task, a_chain_of_ten_thousand_that_wait_for_each_other_unwinds, .timeout = 60)
{
    intptr_t depth = MANY(10000, 2000);

    CHECK_EQ(null_run(chain, (void *)depth, NULL), depth);
    CHECK_EQ(null_run_real(chain, (void *)depth, NULL), depth);
    CHECK_EQ(null_run(chain, (void *)depth, &(struct whorl_options){.workers = 3}), depth);
}

static intptr_t tree(void *arg)
{
    intptr_t depth = (intptr_t)arg, sum = 1;
    struct whorl_task *children[3];

    if (depth == 0)
        return 1;
    for (int i = 0; i < 3; i++)
        children[i] = whorl_spawn(tree, (void *)(depth - 1));
    for (int i = 0; i < 3; i++)
        sum += join_value(children[i]);
    return sum;
}

TEST(task, a_tree_of_tasks_on_many_workers_is_counted_right)
{
    for (int workers = 1; workers <= 9; workers += 4)
        CHECK_EQ(null_run(tree, (void *)7, &(struct whorl_options){.workers = workers}), (2187 * 3 - 1) / 2);
}

static intptr_t keep_handle(void *arg)
{
    struct whorl_task *old = whorl_spawn(give_back, (void *)1234);

    (void)arg;
    whorl_yield();
    for (intptr_t i = 0; i < 10000; i++)
        CHECK_EQ(join_value(whorl_spawn(give_back, (void *)i)), i);
    CHECK_EQ(whorl_result(old, NULL), 0);
    whorl_cancel(old); /* does nothing */
    CHECK_EQ(join_value(old), 1234);
    return 0;
}

TEST(task, a_handle_is_good_long_after_the_end)
{
    null_run(keep_handle, NULL, NULL);
    null_run_real(keep_handle, NULL, NULL);
}

/* Joining from another task than the one that spawned. */
static intptr_t join_for_another(void *arg)
{
    return join_value(arg);
}

static intptr_t pass_handle_on(void *arg)
{
    struct whorl_task *worker = whorl_spawn(sleep_then_give_back, (void *)11);

    (void)arg;
    CHECK_EQ(join_value(whorl_spawn(join_for_another, worker)), 11);
    return 0;
}

TEST(task, any_task_may_join)
{
    null_run(pass_handle_on, NULL, &(struct whorl_options){.workers = 2});
}

/* The end of a runtime. */

static int outliving_result, outliving_waits;
static whorl_ns outliving_end;

/* Waits until it is told not to, at most ten seconds; then once more, to clean up. */
static intptr_t outlive(void *arg)
{
    (void)arg;
    outliving_result = whorl_sleep(WHORL_SEC(10));
    outliving_waits = whorl_sleep(WHORL_SEC(1));
    outliving_end = whorl_now();
    return 0;
}

static intptr_t leave_one_behind(void *arg)
{
    (void)arg;
    whorl_detach(whorl_spawn(outlive, NULL));
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return 3;
}

TEST(task, tasks_that_outlive_main_are_waited_for)
{
    CHECK_EQ(null_run(leave_one_behind, NULL, NULL), 3);
    CHECK_EQ(outliving_result, 0);
    CHECK_EQ(outliving_waits, 0);
    CHECK_EQ(outliving_end, WHORL_SEC(11));
}

TEST(task, tasks_that_outlive_main_are_cancelled_in_every_wait_when_that_is_wanted)
{
    struct whorl_options options = {.exit_policy = WHORL_EXIT_CANCEL, .workers = 2};

    CHECK_EQ(null_run(leave_one_behind, NULL, &options), 3);
    CHECK_EQ(outliving_result, -ECANCELED);
    CHECK_EQ(outliving_waits, -ECANCELED);
    CHECK_EQ(outliving_end, WHORL_SEC(1));
}

static intptr_t leave_one_that_has_not_run(void *arg)
{
    (void)arg;
    whorl_detach(whorl_spawn(outlive, NULL));
    return 0;
}

TEST(task, a_task_that_had_not_started_when_main_returned_is_cancelled_too)
{
    struct whorl_options options = {.exit_policy = WHORL_EXIT_CANCEL};

    outliving_result = outliving_waits = 0;
    outliving_end = -1;
    null_run_real(leave_one_that_has_not_run, NULL, &options);
    CHECK_EQ(outliving_result, -ECANCELED);
    CHECK_EQ(outliving_waits, -ECANCELED);
    CHECK(outliving_end < WHORL_SEC(1));
}

/* A task that is being cancelled at the end spawns another one: that is cancelled too, and a join is a wait like others. */
static intptr_t spawn_while_stopping(void *arg)
{
    struct whorl_task *late;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(100)), -ECANCELED);
    late = whorl_spawn(outlive, NULL);
    CHECK_EQ(whorl_join(late, NULL), -ECANCELED);
    whorl_detach(late);
    return 0;
}

static intptr_t leave_a_spawner_behind(void *arg)
{
    (void)arg;
    whorl_detach(whorl_spawn(spawn_while_stopping, NULL));
    whorl_yield();
    return 0;
}

TEST(task, what_is_spawned_while_the_runtime_stops_is_cancelled_too)
{
    for (int workers = 1; workers <= 3; workers++) {
        struct whorl_options options = {.exit_policy = WHORL_EXIT_CANCEL, .workers = workers};

        outliving_result = outliving_waits = 0;
        outliving_end = -1;
        null_run(leave_a_spawner_behind, NULL, &options);
        CHECK_EQ(outliving_result, -ECANCELED);
        CHECK_EQ(outliving_waits, -ECANCELED);
        CHECK_EQ(outliving_end, 0);
    }
}

static intptr_t never_join(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "forgotten"};
    intptr_t count = (intptr_t)arg;

    for (intptr_t i = 0; i < count; i++)
        if (!whorl_spawn_at(give_back, NULL, &options, "places.c:12"))
            return -ENOMEM;
    return 0;
}

static void never_join_in_child(void *arg)
{
    null_run(never_join, arg, NULL);
}

#define REPORT                                                                                                                     \
    "whorl: task \"forgotten\" (spawned at places.c:12) was never joined: join it, or give its handle up with whorl_detach\n"

TEST(task, a_task_that_was_never_joined_is_reported)
{
    char err[4096];

    CHECK_EQ(run_in_child(never_join_in_child, (void *)1, err, sizeof err), 0);
    CHECK_STR(err, REPORT);
}

TEST(task, of_many_that_were_never_joined_ten_are_named)
{
    char err[8192];

    CHECK_EQ(run_in_child(never_join_in_child, (void *)200, err, sizeof err), 0);
    CHECK_STR(err,
              REPORT REPORT REPORT REPORT REPORT REPORT REPORT REPORT REPORT REPORT "whorl: 190 more tasks were never joined\n");
}

static intptr_t count_runs(void *arg)
{
    return ++*(int *)arg;
}

TEST(task, a_runtime_can_be_run_again)
{
    int runs = 0;

    for (int i = 1; i <= 50; i++)
        CHECK_EQ(null_run(count_runs, &runs, &(struct whorl_options){.workers = 1 + i % 4}), i);
}

static intptr_t ask_around(void *arg)
{
    int workers = (int)(intptr_t)arg;

    CHECK(whorl_in_task());
    CHECK_EQ(whorl_workers(), workers);
    CHECK(whorl_worker() >= 0 && whorl_worker() < workers);
    CHECK_STR(whorl_reactor(), "null");
    CHECK(whorl_runtime() != NULL);
    CHECK_STR(whorl_version(), WHORL_VERSION);
    return 0;
}

TEST(task, a_task_can_ask_where_it_is)
{
    CHECK(!whorl_in_task());
    null_run(ask_around, (void *)1, NULL);
    null_run(ask_around, (void *)5, &(struct whorl_options){.workers = 5});
    CHECK(!whorl_in_task());
}
