/* SPDX-License-Identifier: MIT */
/* Calls whose results come together, and waiting for some of the tasks that run. */
#include <whorl/whorl.h>

#include <errno.h>
#include <string.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* The clock of null_run_real ticks while tasks run. */
static bool at(whorl_ns time)
{
    return whorl_now() >= time && whorl_now() < time + 1000 * NULL_TICK;
}

/* Sleeps as many seconds as its argument says, and returns them; -EIO if they are odd and above 100. */
static intptr_t sleep_seconds(void *arg)
{
    intptr_t seconds = (intptr_t)arg;
    int err = whorl_sleep(WHORL_SEC(seconds % 100));

    return err ? err : seconds > 100 ? -EIO : seconds;
}

static intptr_t gather(void *arg)
{
    struct whorl_call calls[] = {{sleep_seconds, (void *)1}, {sleep_seconds, (void *)2}};
    intptr_t results[2];

    (void)arg;
    CHECK_EQ(whorl_gather(results, calls, 2), 0);
    CHECK_EQ(results[0], 1);
    CHECK_EQ(results[1], 2);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(whorl_gather(NULL, NULL, 0), 0);
    return 0;
}

TEST(group, gathered_results_are_in_order_after_the_longest)
{
    run_everywhere(gather, NULL);
}

static intptr_t gather_failing(void *arg)
{
    struct whorl_call calls[] = {{sleep_seconds, (void *)9}, {sleep_seconds, (void *)102}, {sleep_seconds, (void *)1}};
    intptr_t results[3];

    (void)arg;
    CHECK_EQ(whorl_gather(results, calls, 3), -EIO);
    CHECK_EQ(results[0], -ECANCELED);
    CHECK_EQ(results[1], -EIO);
    CHECK_EQ(results[2], 1);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(whorl_gather_all(results, calls, 3), 0);
    CHECK_EQ(results[0], 9);
    CHECK_EQ(results[1], -EIO);
    CHECK_EQ(results[2], 1);
    CHECK(at(WHORL_SEC(11)));
    return 0;
}

TEST(group, a_failure_cancels_the_rest_unless_all_are_wanted)
{
    run_everywhere(gather_failing, NULL);
}

struct item {
    intptr_t seconds;
    int *running, *most;
};

static intptr_t use_item(void *arg)
{
    struct item *item = arg;
    intptr_t result;

    if (++*item->running > *item->most)
        *item->most = *item->running;
    result = sleep_seconds((void *)item->seconds);
    --*item->running;
    return result;
}

static intptr_t map(void *arg)
{
    enum { ITEMS = 10 };
    int running = 0, most = 0;
    struct item items[ITEMS];
    intptr_t results[ITEMS];

    (void)arg;
    for (int i = 0; i < ITEMS; i++)
        items[i] = (struct item){.seconds = 1, .running = &running, .most = &most};
    CHECK_EQ(whorl_map(use_item, items, sizeof *items, ITEMS, 4, results), 0);
    CHECK_EQ(most, 4);
    CHECK(at(WHORL_SEC(3)));
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQ(results[i], 1);
    items[5].seconds = 101;
    CHECK_EQ(whorl_map(use_item, items, sizeof *items, ITEMS, 4, results), -EIO);
    CHECK(at(WHORL_SEC(5)));
    CHECK_EQ(results[5], -EIO);
    CHECK_EQ(results[0], 1);
    CHECK_EQ(results[9], -ECANCELED);
    CHECK_EQ(whorl_map(use_item, items, sizeof *items, 5, 100, NULL), 0);
    CHECK(at(WHORL_SEC(6)));
    return 0;
}

TEST(group, a_map_keeps_within_its_bound_and_stops_at_a_failure)
{
    run_everywhere(map, NULL);
}

static intptr_t wait_for_some(void *arg)
{
    intptr_t seconds[] = {5, 103, 1, 2}, result;
    struct whorl_task *tasks[4];

    (void)arg;
    for (int i = 0; i < 4; i++)
        tasks[i] = whorl_spawn(sleep_seconds, (void *)seconds[i]);
    CHECK_EQ(whorl_wait(tasks, 4, WHORL_UNTIL_FIRST), 1);
    CHECK(at(WHORL_SEC(1)));
    CHECK_EQ(whorl_result(tasks[2], &result), 0);
    CHECK_EQ(result, 1);
    CHECK_EQ(whorl_wait(tasks, 4, WHORL_UNTIL_FIRST), 1); /* it still has ended */
    CHECK_EQ(whorl_wait(tasks, 4, WHORL_UNTIL_ERROR), 3);
    CHECK(at(WHORL_SEC(3)));
    CHECK_EQ(whorl_wait(tasks, 4, WHORL_UNTIL_ALL), 4);
    CHECK(at(WHORL_SEC(5)));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(whorl_wait(NULL, 0, WHORL_UNTIL_ALL), 0);
    return 0;
}

TEST(group, waits_for_the_first_an_error_or_all)
{
    run_everywhere(wait_for_some, NULL);
}

static intptr_t wait_under_deadline(void *arg)
{
    struct whorl_task *tasks[] = {whorl_spawn(sleep_seconds, (void *)5), whorl_spawn(sleep_seconds, (void *)6)};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_deadline(&s, WHORL_SEC(2)), 0);
    CHECK_EQ(whorl_wait(tasks, 2, WHORL_UNTIL_ALL), -ETIMEDOUT);
    whorl_scope_close(&s);
    CHECK(at(WHORL_SEC(2)));
    whorl_cancel(tasks[0]); /* nobody watches any more */
    CHECK_EQ(whorl_join(tasks[1], NULL), 0);
    CHECK_EQ(whorl_join(tasks[0], NULL), 0);
    return 0;
}

TEST(group, a_wait_ends_with_its_scope_and_the_handles_stay)
{
    run_everywhere(wait_under_deadline, NULL);
}

static intptr_t complete(void *arg)
{
    enum { TASKS = 20 };
    struct whorl_task *tasks[TASKS], *t;
    struct whorl_completions c;
    intptr_t last = 0, result;
    int count = 0;

    (void)arg;
    for (int i = 0; i < TASKS; i++)
        tasks[i] = whorl_spawn(sleep_seconds, (void *)(intptr_t)(1 + (i * 7) % TASKS));
    CHECK_EQ(whorl_completions_open(&c, tasks, TASKS), 0);
    while (count < TASKS / 2 && CHECK_EQ(whorl_completions_next(&c, &t), 1)) {
        CHECK_EQ(whorl_join(t, &result), 0);
        CHECK_EQ(result, last + 1);
        last = result;
        count++;
    }
    whorl_completions_close(&c);
    for (int i = 0; i < TASKS; i++)
        if (1 + (i * 7) % TASKS > TASKS / 2)
            CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(whorl_completions_open(&c, NULL, 0), 0);
    CHECK_EQ(whorl_completions_next(&c, &t), 0);
    whorl_completions_close(&c);
    return 0;
}

TEST(group, completions_come_in_the_order_of_ending)
{
    run_everywhere(complete, NULL);
}
