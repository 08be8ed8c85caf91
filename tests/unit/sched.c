/* SPDX-License-Identifier: MIT */
/* Who runs when and where: order, fairness, stealing, hints. */
#include "runtime/scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

/* Order. */

enum { QUEUED = 1000 }; /* more than the ring of a queue holds */

static struct order {
    int next, rounds;
    bool broken;
} order;

static intptr_t run_in_order(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (int round = 0; round < order.rounds; round++) {
        order.broken |= order.next != round * QUEUED + me;
        order.next++;
        whorl_yield();
    }
    return 0;
}

static intptr_t queue_many(void *arg)
{
    struct whorl_task *tasks[QUEUED];

    (void)arg;
    order = (struct order){.rounds = 20};
    for (intptr_t i = 0; i < QUEUED; i++)
        tasks[i] = whorl_spawn(run_in_order, (void *)i);
    CHECK_EQ(order.next, 0); /* the spawner goes on first */
    for (int i = 0; i < QUEUED; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK(!order.broken);
    CHECK_EQ(order.next, QUEUED * 20);
    return 0;
}

TEST(sched, on_one_worker_the_first_that_is_ready_is_the_first_to_run)
{
    null_run_real(queue_many, NULL, NULL);
}

static intptr_t sleep_in_order(void *arg)
{
    int me = (int)(intptr_t)arg;

    CHECK_EQ(whorl_sleep_until(WHORL_MS(1) + me / 2), 0);
    order.broken |= order.next / 2 != me / 2; /* two each wake at the same moment */
    order.next++;
    return 0;
}

static intptr_t wake_many(void *arg)
{
    (void)arg;
    order = (struct order){0};
    for (intptr_t i = QUEUED; i-- > 0;)
        whorl_detach(whorl_spawn(sleep_in_order, (void *)i));
    CHECK_EQ(whorl_sleep(WHORL_MS(2)), 0);
    CHECK(!order.broken);
    CHECK_EQ(order.next, QUEUED);
    return 0;
}

TEST(sched, sleepers_run_in_the_order_of_their_times)
{
    null_run_real(wake_many, NULL, NULL);
}

/* Fairness: what a worker looks at between tasks comes to its turn under a storm of yields. */

static bool storm_over;
static long yields;

static intptr_t storm(void *arg)
{
    (void)arg;
    while (!storm_over) {
        yields++;
        whorl_yield();
        if (!CHECK(yields < 100000))
            break;
    }
    return 0;
}

static void begin_storm(struct whorl_task **tasks, int count)
{
    storm_over = false;
    for (int i = 0; i < count; i++)
        tasks[i] = whorl_spawn(storm, NULL);
    yields = 0;
}

static void end_storm(struct whorl_task **tasks, int count)
{
    storm_over = true;
    for (int i = 0; i < count; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
}

static intptr_t sleep_in_storm(void *arg)
{
    struct whorl_task *tasks[3];
    whorl_ns start;

    (void)arg;
    begin_storm(tasks, 3);
    start = whorl_now();
    for (int i = 0; i < 100; i++)
        CHECK_EQ(whorl_sleep(NULL_TICK), 0);
    /* The clock is read once in so many switches, and moves by a tick each time. */
    CHECK(yields >= 100);
    CHECK(yields <= 100 * 4 * WHORL__BUDGET);
    CHECK(whorl_now() - start < 100 * 10 * NULL_TICK);
    end_storm(tasks, 3);
    return 0;
}

TEST(sched, timers_are_not_starved_by_yields)
{
    null_run_real(sleep_in_storm, NULL, NULL);
}

static intptr_t operate_in_storm(void *arg)
{
    struct whorl_task *tasks[3];

    (void)arg;
    begin_storm(tasks, 3);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(null_nop(0), 0);
    CHECK(yields <= 100 * 3 * WHORL__BUDGET);
    end_storm(tasks, 3);
    return 0;
}

TEST(sched, operations_are_not_starved_by_yields)
{
    null_run_real(operate_in_storm, NULL, NULL);
}

static intptr_t note_yields(void *arg)
{
    *(long *)arg = yields;
    return 0;
}

/* What another thread does while the worker stands still. */
struct outsider {
    struct whorl_runtime *runtime;
    const struct whorl_spawn_options *options;
    struct whorl_task *task;
    long seen;
};

static void *spawn_from_outside(void *arg)
{
    struct outsider *o = arg;

    o->task = whorl_runtime_spawn(o->runtime, note_yields, &o->seen, o->options);
    return NULL;
}

static void ask_outsider(struct outsider *o)
{
    pthread_t thread;

    o->runtime = whorl_runtime();
    CHECK_EQ(pthread_create(&thread, NULL, spawn_from_outside, o), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(o->task != NULL);
}

static intptr_t post_in_storm(void *arg)
{
    struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(0)};
    struct outsider by_inbox = {.seen = -1}, by_mailbox = {.seen = -1, .options = &there};
    struct whorl_task *tasks[3];

    (void)arg;
    begin_storm(tasks, 3);
    ask_outsider(&by_inbox);
    ask_outsider(&by_mailbox);
    CHECK_EQ(whorl_join(by_inbox.task, NULL), 0);
    CHECK_EQ(whorl_join(by_mailbox.task, NULL), 0);
    /* A budget of switches until it is found, and those that were ready before it. */
    CHECK(by_inbox.seen >= 0 && by_inbox.seen <= WHORL__BUDGET + 5);
    CHECK(by_mailbox.seen >= 0 && by_mailbox.seen <= WHORL__BUDGET + 5);
    end_storm(tasks, 3);
    return 0;
}

TEST(sched, work_from_other_threads_is_not_starved_by_yields)
{
    null_run_real(post_in_storm, NULL, NULL);
}

static intptr_t count_polls(void *arg)
{
    struct whorl_task *tasks[3];
    struct whorl_stats before, after;

    (void)arg;
    begin_storm(tasks, 3);
    whorl_yield();
    before = null_stats();
    for (int i = 0; i < 10000; i++)
        whorl_yield();
    after = null_stats();
    CHECK_EQ(after.switches - before.switches, 40000);
    /* One look in each budget, no more: looking costs. */
    CHECK(after.polls - before.polls >= 40000 / (WHORL__BUDGET + 1));
    CHECK(after.polls - before.polls <= 40000 / (WHORL__BUDGET - 1) + 1);
    end_storm(tasks, 3);
    return 0;
}

TEST(sched, the_loop_looks_around_once_in_a_budget_of_switches)
{
    null_run_real(count_polls, NULL, NULL);
}

/* Tasks that end hand the worker to who joined them, but a long line of such tasks does not keep it to the end. */

enum { CHAIN = 1000 };

static int chained, unwound;

static intptr_t chain(void *arg)
{
    intptr_t left = (intptr_t)arg;
    int result;

    chained++;
    result = left > 0 ? whorl_join(whorl_spawn(chain, (void *)(left - 1)), NULL) : whorl_sleep(WHORL_MS(1));
    unwound++;
    return result;
}

static intptr_t run_beside_a_chain(void *arg)
{
    struct whorl_task *first = whorl_spawn(chain, (void *)(intptr_t)(CHAIN - 1));
    int before, most = 0;

    (void)arg;
    while (chained < CHAIN)
        whorl_yield();
    while (unwound < CHAIN) {
        before = unwound;
        whorl_yield();
        most = unwound - before > most ? unwound - before : most;
    }
    CHECK(most > 1); /* they do hand it over … */
    CHECK(most <= 8);
    return whorl_join(first, NULL);
}

TEST(sched, tasks_that_wait_for_each_other_end_without_keeping_the_worker)
{
    null_run_real(run_beside_a_chain, NULL, NULL);
    CHECK_EQ(unwound, CHAIN);
}

/* Many workers. One thread plays them, so what follows is about who does what, not about time. */

enum { CROWD = 1000, WORKERS = 5 };

static int ran_on[WORKERS], moved;

static intptr_t work_a_little(void *arg)
{
    int before = whorl_worker();

    (void)arg;
    for (int i = 0; i < 10; i++) {
        whorl_yield();
        moved += whorl_worker() != before;
        before = whorl_worker();
    }
    ran_on[whorl_worker()]++;
    return 0;
}

static intptr_t work_for_all(void *arg)
{
    struct whorl_task *tasks[CROWD];
    struct whorl_stats all, sum = {0};

    (void)arg;
    moved = 0;
    for (int i = 0; i < CROWD; i++)
        tasks[i] = whorl_spawn(work_a_little, NULL);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    for (int i = 0; i < WORKERS; i++) {
        struct whorl_stats s = {.size = sizeof s};

        CHECK_EQ(whorl_stats(i, &s), 0);
        CHECK(s.switches > CROWD * 10 / WORKERS / 4);
        sum.steals += s.steals;
        sum.stolen += s.stolen;
    }
    all = null_stats();
    CHECK(moved > 0); /* those that yielded were stolen, too */
    CHECK(all.steals > 0 && all.stolen >= all.steals);
    CHECK_EQ(sum.steals, all.steals);
    CHECK_EQ(sum.stolen, all.stolen);
    return 0;
}

TEST(sched, every_worker_takes_its_part_of_what_one_has_spawned)
{
    for (unsigned i = 0; i < 20; i++)
        null_run(work_for_all, NULL, &(struct whorl_options){.workers = WORKERS, .seed = test_seed() + i});
    for (int i = 0; i < WORKERS; i++)
        CHECK(ran_on[i] > 20 * CROWD / WORKERS / 4);
}

static int hints_met;

static intptr_t meet_hint(void *arg)
{
    hints_met += whorl_worker() == (int)(intptr_t)arg;
    return 0;
}

static intptr_t give_hints(void *arg)
{
    struct whorl_task *tasks[CROWD];

    (void)arg;
    for (intptr_t i = 0; i < CROWD; i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .worker = WHORL_WORKER((int)(i % WORKERS))};

        tasks[i] = whorl_spawn_with(meet_hint, (void *)(i % WORKERS), &options);
    }
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    return 0;
}

TEST(sched, a_task_runs_mostly_where_it_was_wanted)
{
    hints_met = 0;
    for (unsigned i = 0; i < 20; i++)
        null_run(give_hints, NULL, &(struct whorl_options){.workers = WORKERS, .seed = test_seed() + i});
    /* By chance it would be a fifth of them. */
    CHECK(hints_met > 20 * CROWD / 2);
}

static intptr_t stay_to_be_stolen(void *arg)
{
    struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(1)};
    struct whorl_task *t;

    (void)arg;
    t = whorl_spawn_with(work_a_little, NULL, &there);
    CHECK_EQ(whorl_join(t, NULL), 0);
    return 0;
}

TEST(sched, a_hint_is_no_trap_whichever_worker_is_free_runs_it)
{
    for (unsigned i = 0; i < 50; i++)
        null_run(stay_to_be_stolen, NULL, &(struct whorl_options){.workers = 2 + (int)(i % 3), .seed = test_seed() + i});
}

/* Looking for work before sleeping: the clock moves while the worker looks, so it comes to an end. */

struct pauses {
    whorl_ns length;
    struct whorl_stats stats;
};

static intptr_t pause_often(void *arg)
{
    struct pauses *pauses = arg;

    for (int i = 0; i < 100; i++)
        CHECK_EQ(whorl_sleep(pauses->length), 0);
    pauses->stats = null_stats();
    return 0;
}

TEST(sched, looking_for_work_ends_and_is_left_off_when_it_finds_none)
{
    struct whorl_options never = {.spin_ns = -1};
    struct pauses brief = {.length = WHORL_US(10)}, long_ones = {.length = WHORL_MS(10)}, unwatched = brief;

    null_run_real(pause_often, &brief, NULL); /* work comes while it looks */
    CHECK(brief.stats.spins_won >= 90);
    CHECK(brief.stats.sleeps <= 10);
    null_run_real(pause_often, &long_ones, NULL); /* it soon gives that up */
    CHECK(long_ones.stats.spins_lost >= 1 && long_ones.stats.spins_lost <= 10);
    CHECK_EQ(long_ones.stats.spins_won, 0);
    CHECK(long_ones.stats.sleeps >= 100);
    null_run_real(pause_often, &unwatched, &never);
    CHECK_EQ(unwatched.stats.spins_won + unwatched.stats.spins_lost, 0);
    CHECK(unwatched.stats.sleeps >= 100);
}
