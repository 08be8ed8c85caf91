/* SPDX-License-Identifier: MIT */
/* Tasks for which there is no stack. How many there can be is cut down as if vm.max_map_count were small. */
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif
#include "runtime/scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "test.h"

/* No more stacks than the pool has now. Returns how many of them can still be lent. */
static size_t allow_no_more_stacks(void)
{
    struct whorl__stack_pool *pool = &whorl__worker()->runtime->stacks;

    pool->stacks_max = pool->created;
    whorl__store_relaxed(&pool->complained, 1);
    return pool->created - 1; /* one is ours */
}

static intptr_t sleep_a_moment(void *arg)
{
    CHECK_EQ(whorl_sleep(1000), 0);
    return (intptr_t)arg;
}

/* All tasks of `count`, more than there are stacks for, run in the end. */
static intptr_t outnumber_the_stacks(void *arg)
{
    size_t stacks = allow_no_more_stacks(), count = stacks * 4;
    struct whorl_task **tasks = malloc(count * sizeof *tasks);
    intptr_t value;

    (void)arg;
    if (!CHECK(tasks != NULL))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        CHECK((tasks[i] = whorl_spawn(sleep_a_moment, (void *)i)) != NULL);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(whorl_join(tasks[i], &value), 0);
        CHECK_EQ(value, i);
    }
    CHECK(null_stats().stack_waits >= count - stacks);
    CHECK(whorl_now() >= 4000); /* one lot after the other */
    free(tasks);
    return 0;
}

TEST(task_stacks, tasks_without_a_stack_wait_for_one_and_run_later)
{
    null_run(outnumber_the_stacks, NULL, NULL);
    null_run_real(outnumber_the_stacks, NULL, NULL);
    for (int workers = 2; workers <= 4; workers++)
        null_run(outnumber_the_stacks, NULL, &(struct whorl_options){.workers = workers});
}

/* A limit on memory: stacks for some tasks, records for some more, and what is beyond is refused when it is spawned. */

enum { LIMIT = 4 << 20, RECORDS = LIMIT / 8 / (sizeof(struct whorl_task) + sizeof(struct whorl__rare)) };

static struct whorl_task *overload[2 * RECORDS];

static intptr_t spawn_beyond_the_limit(void *arg)
{
    struct whorl__runtime *rt = whorl__worker()->runtime;
    size_t spawned = 0, kept = (size_t)(whorl_workers() + 1) * WHORL__RECORDS_KEPT; /* by workers, of what they had in batches */

    while (spawned < 2 * RECORDS && (overload[spawned] = whorl_spawn(sleep_a_moment, (void *)spawned)) != NULL)
        spawned++;
    CHECK(spawned + kept >= RECORDS && spawned < RECORDS + kept);
    for (size_t i = 0; i < spawned; i++) {
        intptr_t value;

        CHECK_EQ(whorl_join(overload[i], &value), 0);
        CHECK_EQ(value, i);
    }
    CHECK(null_stats().stack_waits > 0);
    CHECK(rt->stacks.mapped <= LIMIT - LIMIT / 8);
    CHECK(rt->stacks.created > 20);
    CHECK((overload[0] = whorl_spawn(sleep_a_moment, arg)) != NULL); /* and it goes on */
    return whorl_join(overload[0], NULL);
}

static void run_overloaded(void *arg)
{
    const int *workers = arg;

    CHECK_EQ(null_run(spawn_beyond_the_limit, NULL, &(struct whorl_options){.workers = *workers, .memory = LIMIT}), 0);
}

TEST(task_stacks, a_limit_on_memory_makes_tasks_wait_and_then_refuses_them)
{
    for (int workers = 1; workers <= 3; workers++) {
        char err[1024];

        CHECK_EQ(run_in_child(run_overloaded, &workers, err, sizeof err), 0);
        CHECK_HAS(err, "are all that whorl_options.memory (WHORL_MEMORY) allows");
    }
}

/* Every stack is held by a task that waits for one that has none. */

static intptr_t return_arg(void *arg)
{
    return (intptr_t)arg;
}

struct pair {
    struct whorl_task *holder, *wanted;
    intptr_t value;
};

static intptr_t hold_a_stack(void *arg)
{
    struct pair *pair = arg;

    CHECK_EQ(whorl_sleep(1000), 0); /* until all hold one and the wanted have been spawned */
    return whorl_join(pair->wanted, &pair->value);
}

static intptr_t starve(void *arg)
{
    size_t count = allow_no_more_stacks(), refused = 0;
    struct pair *pairs = calloc(count, sizeof *pairs);

    (void)arg;
    if (!CHECK(pairs != NULL))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        pairs[i].holder = whorl_spawn(hold_a_stack, &pairs[i]);
    CHECK_EQ(whorl_sleep(500), 0);
    CHECK_EQ(null_stats().stack_waits, 0);
    for (size_t i = 0; i < count; i++)
        pairs[i].wanted = whorl_spawn(return_arg, (void *)5);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(whorl_join(pairs[i].holder, NULL), 0);
        CHECK(pairs[i].value == 5 || pairs[i].value == -ENOMEM);
        refused += pairs[i].value == -ENOMEM;
    }
    /* Each that is given up sets a stack free for the others, so no more than one in a row is. */
    CHECK(refused > 0 && refused < count);
    free(pairs);
    return 0;
}

TEST(task_stacks, when_only_tasks_without_a_stack_are_left_they_end_with_an_error)
{
    null_run(starve, NULL, NULL);
    null_run_real(starve, NULL, NULL);
}

static intptr_t join_refused(void *arg)
{
    struct whorl_task *large;
    struct whorl_spawn_options options = {.size = sizeof options, .stack_size = 4 << 20};
    intptr_t value = 0;

    (void)arg;
    allow_no_more_stacks();
    large = whorl_spawn_with(return_arg, (void *)5, &options);
    CHECK_EQ(whorl_join(large, &value), 0);
    CHECK_EQ(value, -ENOMEM);
    CHECK_EQ(whorl_join(whorl_spawn(return_arg, (void *)5), &value), 0); /* of the usual size there are some */
    CHECK_EQ(value, 5);
    return 0;
}

TEST(task_stacks, a_task_whose_size_is_not_to_be_had_ends_with_an_error)
{
    null_run(join_refused, NULL, NULL);
    null_run_real(join_refused, NULL, NULL);
}

static intptr_t hold_for_a_while(void *arg)
{
    return whorl_sleep((whorl_ns)(intptr_t)arg);
}

/* All stacks of the usual size are lent; first in the line for one is a task that needs a larger one, which never comes. */
static intptr_t stand_behind_a_large_one(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .stack_size = 4 << 20};
    struct whorl_task *large, *usual;
    size_t count = allow_no_more_stacks();
    intptr_t value = -1;

    (void)arg;
    for (size_t i = 0; i < count; i++)
        whorl_detach(whorl_spawn(hold_for_a_while, (void *)(intptr_t)(i == 0 ? WHORL_SEC(1) : WHORL_SEC(100))));
    CHECK_EQ(whorl_sleep(500), 0);
    large = whorl_spawn_with(return_arg, (void *)5, &options);
    usual = whorl_spawn(return_arg, (void *)6);
    CHECK_EQ(whorl_join(usual, &value), 0);
    CHECK_EQ(value, 6);
    if (whorl_workers() == 1) /* else another worker may have kept some stacks for itself, and not all that were to hold one do */
        CHECK_EQ(whorl_now(), WHORL_SEC(1)); /* when the first came back */
    CHECK_EQ(whorl_join(large, &value), 0);
    CHECK_EQ(value, -ENOMEM);
    return 0;
}

TEST(task_stacks, a_stack_that_comes_back_goes_to_a_task_that_it_fits)
{
    null_run(stand_behind_a_large_one, NULL, NULL); /* with more workers some stacks are in their caches */
}

static intptr_t leave_refused(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .stack_size = 4 << 20};

    (void)arg;
    allow_no_more_stacks();
    for (int i = 0; i < 3; i++)
        whorl_detach(whorl_spawn_with(return_arg, NULL, &options));
    return 0;
}

TEST(task_stacks, a_runtime_ends_though_some_never_had_a_stack)
{
    null_run(leave_refused, NULL, NULL);
    null_run_real(leave_refused, NULL, NULL);
    null_run(leave_refused, NULL, &(struct whorl_options){.exit_policy = WHORL_EXIT_CANCEL, .workers = 2});
}

/* The real thing: no address space is left. What the pool says is for standard error. */

static intptr_t run_out_of_address_space(void *arg)
{
    struct whorl_task *tasks[8000];
    struct rlimit limit;
    size_t refused = 0;

    (void)arg;
    CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)400 << 20;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    for (size_t i = 0; i < 8000; i++)
        CHECK((tasks[i] = whorl_spawn(sleep_a_moment, (void *)i)) != NULL);
    for (size_t i = 0; i < 8000; i++) {
        intptr_t value = -1;

        CHECK_EQ(whorl_join(tasks[i], &value), 0);
        refused += value != (intptr_t)i;
    }
    CHECK_EQ(refused, 0);
    CHECK(null_stats().stack_waits > 0);
    return 0;
}

static void run_out_in_child(void *arg)
{
    (void)arg;
    null_run(run_out_of_address_space, NULL, &(struct whorl_options){.stack_size = 256 << 10});
}

TEST(task_stacks, without_address_space_tasks_wait_and_it_is_said_once)
{
    char err[4096], *said;

#if defined(WHORL__ASAN) || defined(WHORL__TSAN)
    SKIP("sanitizers need address space themselves");
#elif !defined(__x86_64__)
    SKIP("an emulator does not keep to RLIMIT_AS");
#endif
    if (RUNNING_ON_VALGRIND)
        SKIP("Valgrind needs address space itself");
    CHECK_EQ(run_in_child(run_out_in_child, NULL, err, sizeof err), 0);
    CHECK_HAS(err, "whorl: no more task stacks after ");
    CHECK_HAS(err, "Cannot allocate memory");
    said = strstr(err, "no more task stacks");
    CHECK(said && !strstr(said + 1, "no more task stacks"));
}

static intptr_t reach_the_cap(void *arg)
{
    struct whorl__stack_pool *pool = &whorl__worker()->runtime->stacks;

    CHECK(pool->stacks_max < SIZE_MAX); /* guards by mprotect are limited */
    pool->stacks_max = pool->created;
    (void)arg;
    return join_refused(NULL);
}

static void reach_the_cap_in_child(void *arg)
{
    (void)arg;
    null_run(reach_the_cap, NULL, &(struct whorl_options){.disable = "guard_install"});
}

TEST(task_stacks, guards_by_mprotect_work_and_are_limited, .timeout = 60)
{
    CHECK_EQ(run_in_child(reach_the_cap_in_child, NULL, NULL, 0), 0);
}
