/* SPDX-License-Identifier: MIT */
/* Forks on real workers where stacks are short: recursion that one stack cannot hold, and thieves for whom there is none. */
#include "tests/io/loopback.h"

#include "runtime/scheduler.h"

enum { WORKERS = 4, LEAVES = 100 };

static uint64_t forks_taken(void)
{
    struct whorl_stats stats = {.size = sizeof stats};

    CHECK_EQ(whorl_stats(-1, &stats), 0);
    return stats.forks_taken;
}

/* A recursion that goes deep on one side and forks a little tree on the other, at each level; some wait on the way down, some on the way
 * up. */

struct deep {
    struct whorl_fork fork;
    uint64_t seed;
    int depth;
    long size; /* calls in it */
};

static void wait_perhaps(uint64_t *seed)
{
    switch (test_random(seed) % 32) {
    case 0:
        CHECK_EQ(whorl_sleep((whorl_ns)(test_random(seed) % 20000)), 0);
        break;
    case 1:
        whorl_yield();
        break;
    default:
        break;
    }
}

static void dig(struct whorl_fork *self)
{
    struct deep *d = whorl_fork_of(self, struct deep, fork);
    struct deep next = {.seed = test_random(&d->seed), .depth = d->depth - 1};
    struct deep side = {.seed = test_random(&d->seed), .depth = d->depth < 3 ? d->depth - 1 : 2};
    volatile char bytes[512] = {0};

    d->size = 1 + bytes[0];
    if (d->depth == 0)
        return;
    wait_perhaps(&d->seed);
    whorl_fork(&next.fork, dig);
    whorl_fork(&side.fork, dig);
    wait_perhaps(&d->seed);
    whorl_sync(&side.fork);
    whorl_sync(&next.fork);
    d->size += next.size + side.size;
}

/* Of 7 calls each, that of depth 2; above the last three levels there is one at each. */
static long size_of(int depth)
{
    return depth < 3 ? (2L << depth) - 1 : size_of(depth - 1) + 1 + 7;
}

static intptr_t dig_again_and_again(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    int depth = SANITIZED ? 100 : 300;

    for (unsigned i = rounds(20) * test_seconds(1); i > 0 && test_failures() == 0; i--) {
        struct deep root = {.seed = test_random(&seed), .depth = depth};

        dig(&root.fork);
        CHECK_EQ(root.size, size_of(depth));
    }
    return (intptr_t)arg;
}

static intptr_t dig_everywhere(void *arg)
{
    struct whorl_task *tasks[WORKERS];

    for (intptr_t i = 0; i < WORKERS; i++)
        tasks[i] = start("digger", dig_again_and_again, (void *)i);
    for (intptr_t i = 0; i < WORKERS; i++)
        CHECK_EQ(result_of(tasks[i]), i);
    return (intptr_t)arg;
}

TEST(stacks, recursion_goes_on_on_fresh_ones, .timeout = 120)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .stack_size = SANITIZED ? 64 << 10 : 16 << 10};

    NEED_URING();
    CHECK_EQ(whorl_run(dig_everywhere, NULL, &options), 0);
}

/* All stacks that there will ever be are held by tasks that wait. */

static int holding, let_go; /* atomic */

static intptr_t hold_a_stack(void *arg)
{
    __atomic_add_fetch(&holding, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&let_go, __ATOMIC_ACQUIRE))
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    return (intptr_t)arg;
}

struct leaf {
    struct whorl_fork fork;
    int ran;
};

static void run_leaf(struct whorl_fork *self)
{
    struct leaf *leaf = whorl_fork_of(self, struct leaf, fork);

    leaf->ran++;
    CHECK_EQ(whorl_sleep(WHORL_US(10)), 0);
}

static void fork_leaves(void)
{
    static struct leaf leaves[LEAVES];

    for (int i = 0; i < LEAVES; i++) {
        leaves[i].ran = 0;
        whorl_fork(&leaves[i].fork, run_leaf);
    }
    for (int i = LEAVES - 1; i >= 0; i--) {
        whorl_sync(&leaves[i].fork);
        CHECK_EQ(leaves[i].ran, 1);
    }
}

static intptr_t fork_without_stacks(void *arg)
{
    struct whorl__stack_pool *pool = &whorl__worker()->runtime->stacks;
    int count = (int)pool->created; /* one more than can have a stack: the one here is ours */
    struct whorl_task **holders = calloc((size_t)count, sizeof *holders);
    uint64_t before;

    if (!CHECK(holders))
        return -ENOMEM;
    whorl__store_relaxed(&pool->complained, 1);
    pool->stacks_max = pool->created;
    for (int i = 0; i < count; i++)
        holders[i] = start("holder", hold_a_stack, NULL);
    UNTIL(__atomic_load_n(&holding, __ATOMIC_ACQUIRE) == count - 1);
    before = forks_taken();
    fork_leaves();
    CHECK_EQ(forks_taken(), before);
    __atomic_store_n(&let_go, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < count; i++)
        CHECK_EQ(result_of(holders[i]), 0);
    /* There are some again, and thieves notice. */
    fork_leaves();
    CHECK(forks_taken() > before);
    free(holders);
    return (intptr_t)arg;
}

TEST(stacks, without_one_for_thieves_the_owner_runs_all, .timeout = 120)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS};

    NEED_URING();
    for (unsigned i = rounds(10) * test_seconds(1); i > 0 && test_failures() == 0; i--) {
        holding = let_go = 0;
        CHECK_EQ(whorl_run(fork_without_stacks, NULL, &options), 0);
    }
}
