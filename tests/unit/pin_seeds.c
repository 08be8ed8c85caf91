/* SPDX-License-Identifier: MIT */
/* Random lives of pinned tasks beside free ones, many seeds of them: whatever they wait for, and whoever wakes them, they are never
 * seen elsewhere, nor are their forks; and nobody waits for ever for it. The rest of pinning is in pin.c. */
#include "io/op.h"
#include "runtime/scheduler.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

enum { PEOPLE = 24, STEPS = 12, FORKS_MAX = 4 };

static struct {
    uint64_t random;
    long pinned_steps, free_steps, moves; /* waits of pinned people, of others, and those after which one was elsewhere */
    long taken;                           /* forks of pinned people that did not run as a plain call */
    int ended;
} world;

static uint64_t draw(uint64_t n)
{
    return test_random(&world.random) % n;
}

/* null_nop is for tasks; this is for whoever runs. */
static int operate(whorl_ns latency)
{
    struct whorl__request nop = {.code = WHORL__OP_NOP, .fd = -1, .offset = (uint64_t)latency};

    return whorl__operate(whorl__worker()->current, &nop, NULL);
}

static intptr_t return_soon(void *arg)
{
    if (draw(2))
        whorl_yield();
    return (intptr_t)arg;
}

static void join_somebody(void)
{
    struct whorl_spawn_options there = {.size = sizeof there, .pinned = (int)draw(2)};
    struct whorl_task *t;
    intptr_t value = 0;

    there.worker = (int)draw((uint64_t)whorl_workers() + 1);
    t = whorl_spawn_with(return_soon, (void *)7, &there);
    CHECK(t != NULL);
    while (whorl_join(t, &value) < 0) /* cancelled, or timed out */
        whorl_deadline(WHORL_NEVER);
    CHECK_EQ(value, 7);
}

static void fork_some(int home, int depth);

/* One wait, of any kind. */
static void wait_somehow(int home, int depth)
{
    int result = 0;

    switch (draw(depth ? 6 : 9)) {
    case 0:
        whorl_yield();
        break;
    case 1:
        result = whorl_sleep((whorl_ns)draw(3000));
        break;
    case 2:
        result = operate((whorl_ns)draw(3000));
        break;
    case 3:
        join_somebody();
        break;
    case 4:
        whorl_cancel(whorl_self());
        result = whorl_sleep(1000);
        break;
    case 5:
        whorl_deadline(whorl_now() + (whorl_ns)draw(1000));
        result = whorl_sleep(500);
        whorl_deadline(WHORL_NEVER);
        break;
    default:
        fork_some(home, depth);
        break;
    }
    CHECK(result == 0 || result == -ECANCELED || result == -ETIMEDOUT);
}

/* A fork of somebody who is at home on worker `home`, -1: on none. */
struct errand {
    struct whorl_fork fork;
    const struct whorl_task *parent; /* the record it was forked by */
    int home, depth;
};

static void run_errand(struct whorl_fork *self)
{
    struct errand *e = whorl_fork_of(self, struct errand, fork);

    for (uint64_t steps = draw(4); steps > 0; steps--) {
        if (e->home >= 0)
            CHECK_EQ(whorl_worker(), e->home);
        wait_somehow(e->home, e->depth);
    }
    if (e->home >= 0) {
        CHECK_EQ(whorl_worker(), e->home);
        world.taken += whorl__worker()->current != e->parent;
    }
}

static void fork_some(int home, int depth)
{
    struct errand errands[FORKS_MAX];
    int count = 1 + (int)draw(FORKS_MAX);

    for (int i = 0; i < count; i++) {
        errands[i] = (struct errand){.parent = whorl__worker()->current, .home = home, .depth = depth + 1};
        whorl_fork(&errands[i].fork, run_errand);
        if (draw(3) == 0)
            whorl_yield();
    }
    for (int i = count - 1; i >= 0; i--)
        whorl_sync(&errands[i].fork);
}

static void live_pinned(int home)
{
    for (uint64_t steps = draw(STEPS); steps > 0; steps--) {
        CHECK_EQ(whorl_worker(), home);
        wait_somehow(home, 0);
        world.pinned_steps++;
    }
    CHECK_EQ(whorl_worker(), home);
}

static void live_free(void)
{
    for (uint64_t steps = draw(STEPS); steps > 0; steps--) {
        int before = whorl_worker();

        wait_somehow(-1, 0);
        world.free_steps++;
        world.moves += whorl_worker() != before;
    }
}

static intptr_t live_bound(void *arg)
{
    live_pinned((int)(intptr_t)arg);
    whorl_pin(); /* changes nothing */
    live_pinned((int)(intptr_t)arg);
    whorl_unpin();
    live_pinned((int)(intptr_t)arg);
    world.ended++;
    return 0;
}

static intptr_t live_in_regions(void *arg)
{
    for (int i = 0; i < 3; i++) {
        int home;

        live_free();
        whorl_pin();
        home = whorl_worker();
        live_pinned(home);
        whorl_pin();
        live_pinned(home);
        whorl_unpin();
        live_pinned(home);
        whorl_unpin();
        CHECK_EQ(whorl_worker(), home);
    }
    live_free();
    world.ended++;
    return (intptr_t)arg;
}

static intptr_t live_together(void *arg)
{
    struct whorl_task *people[PEOPLE];

    (void)arg;
    for (int i = 0; i < PEOPLE; i++) {
        int home = (int)draw((uint64_t)whorl_workers());
        struct whorl_spawn_options bound = {.size = sizeof bound, .worker = WHORL_WORKER(home), .pinned = 1};

        people[i] = i % 2 ? whorl_spawn_with(live_bound, (void *)(intptr_t)home, &bound) : whorl_spawn(live_in_regions, NULL);
        CHECK(people[i] != NULL);
    }
    for (int i = 0; i < PEOPLE; i++) {
        if (draw(8) == 0)
            whorl_cancel(people[i]);
        CHECK_EQ(whorl_join(people[i], NULL), 0);
    }
    for (int i = 0; i < whorl_workers(); i++)
        CHECK(whorl__worker()->runtime->workers[i].aside == NULL);
    return 0;
}

TEST(pin_seeds, whatever_pinned_tasks_and_their_forks_wait_for_they_stay, .timeout = 100)
{
    unsigned seeds = test_seeds(MANY(1000, 100));
    long pinned_steps = 0, free_steps = 0, moves = 0, taken = 0;

    for (unsigned i = 0; i < seeds && test_failures() == 0; i++) {
        struct whorl_options options = {.seed = test_seed() + i, .workers = 1 + (int)(i % 6)};

        memset(&world, 0, sizeof world);
        world.random = ~options.seed;
        CHECK_EQ((options.workers == 1 ? null_run_real : null_run)(
                     live_together, NULL,
                     &(struct whorl_options){
                         .seed = options.seed, .workers = options.workers, .spin_ns = options.workers == 1 ? -1 : 0}),
                 0);
        CHECK_EQ(world.ended, PEOPLE);
        pinned_steps += world.pinned_steps;
        free_steps += world.free_steps;
        moves += world.moves;
        taken += world.taken;
        if (test_failures())
            fprintf(stderr, "that was with WHORL_SEED=%" PRIu64 "\n", options.seed);
    }
    /* They did something, and others did move about. */
    CHECK(pinned_steps > (long)seeds * PEOPLE);
    CHECK(moves > free_steps / 20);
    CHECK(taken > (long)seeds);
}

/* Leaving in the middle. */

static intptr_t sleep_for_ever(void *arg)
{
    struct errand errands[2];

    whorl_pin();
    for (int i = 0; i < 2; i++) {
        errands[i] = (struct errand){.parent = whorl_self(), .home = whorl_worker()};
        whorl_fork(&errands[i].fork, run_errand);
    }
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    for (int i = 1; i >= 0; i--)
        whorl_sync(&errands[i].fork);
    whorl_unpin();
    world.ended++;
    return (intptr_t)arg;
}

static intptr_t leave(void *arg)
{
    for (int i = 0; i < 8; i++) {
        struct whorl_spawn_options bound = {.size = sizeof bound, .worker = WHORL_WORKER(i % whorl_workers()), .pinned = i % 2};

        whorl_detach(whorl_spawn_with(sleep_for_ever, arg, &bound));
    }
    return draw(2) ? whorl_sleep((whorl_ns)draw(3000)) : 0;
}

TEST(pin_seeds, a_runtime_that_is_left_stops_pinned_tasks_too)
{
    for (unsigned i = 0; i < 100; i++) {
        struct whorl_options options = {.seed = test_seed() + i, .workers = 1 + (int)(i % 5), .exit_policy = WHORL_EXIT_CANCEL};

        world.random = options.seed;
        world.ended = 0;
        null_run(leave, NULL, &options);
        CHECK_EQ(world.ended, 8);
    }
}
