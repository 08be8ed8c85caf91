/* SPDX-License-Identifier: MIT */
/* Programs of random tasks on the null reactor, many seeds of them. A seed is the program and every choice made while it runs: the
 * same seed is the same run, to the last event, and what must hold is looked at in all of them.
 *
 * When a seed fails it is shown, and WHORL_SEED=… begins with it. WHORL_TEST_SEEDS says how many are tried. */
#include <whorl/whorl.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

enum { TASKS_MAX = 200, CHILDREN_MAX = 6, STEPS_MAX = 12, DEPTH_MAX = 5 };

/* A task of the program, by the order of spawning; never by its address, which would differ from run to run. */
struct node {
    struct whorl_task *handle; /* while it may be cancelled by others: until its parent lets go of it */
    int depth;
    int requests, cancelled;
    bool ended;
};

struct program {
    uint64_t random; /* of what the tasks do; the reactor has its own */
    struct history history;
    int spawned, ended;
    bool closing; /* main has returned, and everybody is cancelled for good */
    uint64_t nops;
    whorl_ns last; /* when the last event was */
    struct node nodes[TASKS_MAX];
};

static struct program program;

/* What a parent knows of its children. */
struct family {
    int ids[CHILDREN_MAX];
    int count;
};

enum event { SPAWNED, STARTED, YIELDED, SLEPT, OPERATED, JOINED, DETACHED, CANCELLED, DEADLINE, ENDED };

static void note(int id, enum event event, int64_t detail)
{
    history_note(&program.history, id, event, detail, whorl_now());
    CHECK(whorl_now() >= program.last); /* time does not run backwards */
    program.last = whorl_now();
}

static uint64_t draw(uint64_t n)
{
    return test_random(&program.random) % n;
}

static intptr_t live(void *arg);

static void spawn_child(int id, struct family *family)
{
    struct whorl_spawn_options options = {.size = sizeof options, .worker = (int)draw((uint64_t)whorl_workers() + 1)};
    int child = program.spawned;

    if (family->count == CHILDREN_MAX || child == TASKS_MAX || program.nodes[id].depth == DEPTH_MAX)
        return;
    program.spawned++;
    program.nodes[child] = (struct node){.depth = program.nodes[id].depth + 1};
    note(id, SPAWNED, child);
    program.nodes[child].handle = whorl_spawn_with(live, (void *)(intptr_t)child, &options);
    CHECK(program.nodes[child].handle != NULL);
    family->ids[family->count++] = child;
}

/* How a wait ended: of those with -ECANCELED there are no more than were asked for. Deadlines are not looked at further. */
static void note_wait(int id, enum event event, int result)
{
    struct node *node = &program.nodes[id];

    CHECK(result == 0 || result == -ECANCELED || result == -ETIMEDOUT);
    node->cancelled += result == -ECANCELED;
    CHECK(program.closing || node->cancelled <= node->requests);
    note(id, event, result);
}

static void sleep_a_while(int id)
{
    whorl_ns length = (whorl_ns)draw(2000) - 100, start = whorl_now();
    int result = whorl_sleep(length);

    if (result == 0)
        CHECK_EQ(whorl_now(), length > 0 ? start + length : start); /* to the nanosecond */
    else
        CHECK(whorl_now() <= start + (length > 0 ? length : 0));
    note_wait(id, SLEPT, result);
}

static void operate_a_while(int id)
{
    whorl_ns length = (whorl_ns)draw(2000), start = whorl_now();
    int result = null_nop(length);

    program.nops++;
    if (result == 0)
        CHECK(whorl_now() - start >= length - length / 4 && whorl_now() - start <= length + length / 4);
    note_wait(id, OPERATED, result);
}

/* Joins the last child, or gives up when that wait is cancelled or timed out. */
static void join_child(int id, struct family *family)
{
    int child = family->count ? family->ids[family->count - 1] : 0;
    intptr_t value = -1;
    int result;

    if (family->count == 0)
        return;
    result = whorl_join(program.nodes[child].handle, &value);
    if (result == 0) {
        CHECK_EQ(value, child);
        CHECK(program.nodes[child].ended);
        program.nodes[child].handle = NULL;
        family->count--;
    }
    note_wait(id, JOINED, result);
}

static void detach_child(int id, struct family *family)
{
    struct node *child;

    if (family->count == 0)
        return;
    child = &program.nodes[family->ids[--family->count]];
    whorl_detach(child->handle);
    child->handle = NULL;
    note(id, DETACHED, 0);
}

/* Somebody else's child, too: the handle is good as long as its parent has not let go of it. */
static void cancel_somebody(int id)
{
    int victim = (int)draw((uint64_t)program.spawned);
    struct node *node = &program.nodes[victim];

    if (!node->handle)
        return;
    node->requests++;
    whorl_cancel(node->handle);
    note(id, CANCELLED, victim);
}

static void move_deadline(int id)
{
    whorl_ns when = draw(3) ? whorl_now() + (whorl_ns)draw(3000) : WHORL_NEVER;

    note(id, DEADLINE, whorl_deadline(when));
}

static void take_step(int id, struct family *family)
{
    switch (draw(10)) {
    case 0:
    case 1:
    case 2:
        spawn_child(id, family);
        break;
    case 3:
        whorl_yield();
        note(id, YIELDED, 0);
        break;
    case 4:
        sleep_a_while(id);
        break;
    case 5:
        operate_a_while(id);
        break;
    case 6:
        join_child(id, family);
        break;
    case 7:
        detach_child(id, family);
        break;
    case 8:
        cancel_somebody(id);
        break;
    default:
        move_deadline(id);
        break;
    }
}

static intptr_t live(void *arg)
{
    int id = (int)(intptr_t)arg;
    struct family family = {.count = 0};

    note(id, STARTED, 0);
    for (uint64_t steps = draw(STEPS_MAX) + 1; steps > 0; steps--)
        take_step(id, &family);
    whorl_deadline(WHORL_NEVER);
    while (family.count > 0)
        if (program.closing)
            detach_child(id, &family);
        else
            join_child(id, &family);
    note(id, ENDED, 0);
    program.nodes[id].ended = true;
    program.ended++;
    return id;
}

static intptr_t run_program(void *arg)
{
    struct whorl_stats stats;

    program.nodes[0] = (struct node){.depth = 0};
    live(arg);
    while (program.ended < program.spawned) /* those that were detached */
        CHECK_EQ(whorl_sleep(1000), 0);
    stats = null_stats();
    CHECK_EQ(stats.spawned, program.spawned);
    CHECK(stats.finished <= stats.spawned);
    CHECK(stats.submitted <= program.nops); /* less those that were cancelled before they began */
    CHECK_EQ(stats.submitted, stats.completed);
    CHECK(stats.timers_fired <= program.history.events + (uint64_t)whorl_now() / 1000);
    return 0;
}

/* Leaves in the middle of it. */
static intptr_t leave_program(void *arg)
{
    intptr_t id = ++program.spawned - 1;

    program.nodes[0] = (struct node){.depth = 0};
    whorl_detach(whorl_spawn(live, arg));
    CHECK_EQ(whorl_sleep((whorl_ns)draw(3000)), 0);
    program.nodes[id].ended = true;
    program.closing = true;
    return 0;
}

/* Runs the program of a seed. It has failed if there are more failed checks than before. */
static bool run_seed(uint64_t seed, whorl_fn main_fn, enum whorl_exit policy)
{
    struct whorl_options options = {.seed = seed, .workers = 1 + (int)(seed % 7), .stack_size = 16 << 10, .exit_policy = policy};
    unsigned before = test_failures();

    memset(&program, 0, sizeof program);
    program.random = ~seed;
    history_begin(&program.history);
    program.spawned = 1;
    CHECK_EQ(null_run(main_fn, (void *)0, &options), 0);
    for (int i = 0; i < program.spawned; i++)
        CHECK(program.nodes[i].ended);
    return history_passed(before, seed, options.workers);
}

TEST(seeds, whatever_random_tasks_do_everything_balances, .timeout = 100)
{
    unsigned seeds = test_seeds(MANY(2000, 300));
    uint64_t events = 0, spawned = 0;

    for (unsigned i = 0; i < seeds; i++) {
        if (!run_seed(test_seed() + i, run_program, WHORL_EXIT_JOIN))
            return;
        events += program.history.events;
        spawned += (uint64_t)program.spawned;
    }
    /* They do something. */
    CHECK(seeds < 100 || (spawned > seeds * 10 && events > seeds * 100));
}

TEST(seeds, a_runtime_that_is_left_in_the_middle_cancels_everything_and_balances, .timeout = 100)
{
    unsigned seeds = test_seeds(MANY(2000, 300));

    for (unsigned i = 0; i < seeds; i++)
        if (!run_seed(test_seed() + i, leave_program, WHORL_EXIT_CANCEL))
            return;
}

static bool run_to_its_end(uint64_t seed)
{
    return run_seed(seed, run_program, WHORL_EXIT_JOIN);
}

TEST(seeds, the_same_seed_is_the_same_run_and_another_one_is_not, .timeout = 60)
{
    history_check(run_to_its_end, &program.history);
}

/* The same program, only the reactor's choices differ: that alone makes another run. */

static intptr_t run_two_and_note(void *arg)
{
    program.nodes[0] = (struct node){.depth = 0};
    return live(arg);
}

TEST(seeds, the_choices_of_the_reactor_alone_make_another_run)
{
    uint64_t first = 0;
    unsigned others = 0;

    for (uint64_t i = 0; i < 20; i++) {
        memset(&program, 0, sizeof program);
        program.random = 12345;
        program.spawned = 1;
        null_run(run_two_and_note, (void *)0, &(struct whorl_options){.seed = test_seed() + i, .workers = 4});
        if (i == 0)
            first = program.history.hash;
        others += program.history.hash != first;
    }
    CHECK(others >= 15);
}
