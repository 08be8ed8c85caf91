/* SPDX-License-Identifier: MIT */
/* Forks on the null reactor: each runs once, in place or elsewhere, and is its task's. Linked with --wrap=malloc and
 * --wrap=aligned_alloc, so that a test can have no memory. */
#include "runtime/scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <whorl/whorl.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static bool no_memory, no_deques; /* nothing at all; or no deque only */
void *__real_malloc(size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return no_memory || (no_deques && size == sizeof(struct whorl__deque)) ? NULL : __real_aligned_alloc(alignment, size);
}

/* On one to four simulated workers, some seeds each, and on one whose forks and syncs are the inline ones. */
static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, NULL), 0);
}

/* One fork of many that are alike. */
struct leaf {
    struct whorl_fork fork;
    whorl_ns sleep;
    int ran, result; /* how often; of the sleep */
    whorl_ns end;
};

static void run_leaf(struct whorl_fork *self)
{
    struct leaf *leaf = whorl_fork_of(self, struct leaf, fork);

    leaf->ran++;
    if (leaf->sleep)
        leaf->result = whorl_sleep(leaf->sleep);
    leaf->end = whorl_now();
}

static void fork_leaves(struct leaf *leaves, size_t count, whorl_ns sleep)
{
    for (size_t i = 0; i < count; i++) {
        leaves[i] = (struct leaf){.sleep = sleep, .result = -1};
        whorl_fork(&leaves[i].fork, run_leaf);
    }
}

/* The last first, as it should be. */
static void sync_leaves(struct leaf *leaves, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        whorl_sync(&leaves[i].fork);
        CHECK_EQ(leaves[i].ran, 1);
    }
}

static uint64_t forks_taken(void)
{
    return null_stats().forks_taken;
}

struct fib {
    struct whorl_fork fork;
    long n, result;
};

static void fib(struct whorl_fork *self)
{
    struct fib *f = whorl_fork_of(self, struct fib, fork);
    struct fib a = {.n = f->n - 1}, b = {.n = f->n - 2};

    if (f->n < 2) {
        f->result = f->n;
        return;
    }
    whorl_fork(&a.fork, fib);
    fib(&b.fork);
    whorl_sync(&a.fork);
    f->result = a.result + b.result;
}

static intptr_t run_fib(void *arg)
{
    struct fib root = {.n = 14};

    fib(&root.fork);
    CHECK_EQ(root.result, 377);
    return (intptr_t)arg;
}

TEST(fork, fib_is_right)
{
    run_everywhere(run_fib, NULL);
}

enum { ORDERED = 20 };

static intptr_t sync_in_order(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    struct leaf leaves[ORDERED];
    size_t order[ORDERED];

    for (size_t i = 0; i < ORDERED; i++)
        order[i] = random == 1 ? i : ORDERED - 1 - i;
    for (size_t i = ORDERED - 1; random > 2 && i > 0; i--) {
        size_t j = (size_t)(test_random(&random) % (i + 1)), other = order[i];

        order[i] = order[j];
        order[j] = other;
    }
    for (size_t i = 0; i < ORDERED; i++) {
        leaves[i] = (struct leaf){.sleep = i % 3 == 0 ? 1000 : 0};
        whorl_fork(&leaves[i].fork, run_leaf);
        if (random > 2 && test_random(&random) % 8 == 0)
            whorl_yield();
    }
    for (size_t i = 0; i < ORDERED; i++) {
        whorl_sync(&leaves[order[i]].fork);
        CHECK_EQ(leaves[order[i]].ran, 1);
    }
    for (size_t i = 0; i < ORDERED; i++)
        CHECK_EQ(leaves[i].ran, 1);
    return 0;
}

TEST(fork, each_runs_once_whatever_the_order_of_the_syncs)
{
    run_everywhere(sync_in_order, &(uint64_t){1}); /* the first first */
    run_everywhere(sync_in_order, &(uint64_t){2}); /* the last first */
    for (uint64_t i = 0; i < 20; i++)
        run_everywhere(sync_in_order, &(uint64_t){3 + test_seed() + i});
}

/* A flat loop. A parked task's forks can be taken, by its own worker too, and the clock stands still as long as anybody has anything
 * to do: so all sleep from the very beginning. Where the clock ticks each fork costs some ticks. */

enum { FLAT = MANY(10000, 1000) };

static intptr_t sleep_in_each(void *arg)
{
    struct leaf *leaves = malloc(FLAT * sizeof *leaves);
    bool ticks = arg != NULL;

    if (!CHECK(leaves != NULL))
        return -ENOMEM;
    fork_leaves(leaves, FLAT, WHORL_MS(10));
    sync_leaves(leaves, FLAT);
    for (size_t i = 0; i < FLAT; i++)
        CHECK_EQ(leaves[i].result, 0);
    if (ticks)
        CHECK(whorl_now() < WHORL_MS(10) + FLAT * 10 * NULL_TICK);
    else
        CHECK_EQ(whorl_now(), WHORL_MS(10));
    CHECK(forks_taken() >= FLAT - 1); /* the owner may run the last one itself */
    free(leaves);
    return 0;
}

TEST(fork, ten_thousand_that_sleep_all_sleep_at_once, .timeout = 60)
{
    struct whorl_options options = {.stack_size = 16 << 10};

    for (int workers = 1; workers <= 4; workers *= 2) {
        options.workers = workers;
        CHECK_EQ(null_run(sleep_in_each, NULL, &options), 0);
    }
    options.workers = 1;
    CHECK_EQ(null_run_real(sleep_in_each, &options, &options), 0);
}

/* The slots of a deque. */

static struct whorl__deque *my_deque(void)
{
    return whorl__worker()->current->deque;
}

static bool grown(const struct whorl__deque *d)
{
    return d->base != d->first_slots + 1;
}

static intptr_t outgrow(void *arg)
{
    enum { COUNT = 5 * WHORL__DEQUE_SIZE };
    static struct leaf leaves[COUNT];

    fork_leaves(leaves, COUNT, 0);
    CHECK(grown(my_deque()) || forks_taken() >= COUNT / 5);
    CHECK(!arg || grown(my_deque()));
    sync_leaves(leaves, COUNT);
    fork_leaves(leaves, 3, 0);
    sync_leaves(leaves, 3);
    return 0;
}

TEST(fork, a_deque_grows)
{
    run_everywhere(outgrow, NULL);
    CHECK_EQ(null_run_real(outgrow, (void *)1, NULL), 0);
}

/* Thieves leave room at the front, and it is used again. */
static intptr_t fill_behind_thieves(void *arg)
{
    enum { PART = WHORL__DEQUE_SIZE / 4 * 3 };
    static struct leaf leaves[3 * PART];

    for (size_t i = 0; i < 3; i++) {
        fork_leaves(leaves + i * PART, PART, 0);
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0); /* all are taken */
        CHECK(!whorl__deque_filled(my_deque()));
        CHECK(!grown(my_deque()));
    }
    sync_leaves(leaves, 3 * PART);
    CHECK_EQ(forks_taken(), 3 * PART);
    return (intptr_t)arg;
}

TEST(fork, what_thieves_have_emptied_is_used_again)
{
    run_everywhere(fill_behind_thieves, NULL);
}

/* A deque that has grown goes back to its first slots with its task, for the next one. */
static intptr_t outgrow_in_tasks(void *arg)
{
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_join(whorl_spawn(outgrow, arg), NULL), 0);
    return 0;
}

TEST(fork, a_deque_that_had_grown_serves_another_task)
{
    CHECK_EQ(null_run_real(outgrow_in_tasks, (void *)1, NULL), 0);
    CHECK_EQ(null_run(outgrow_in_tasks, NULL, &(struct whorl_options){.workers = 3}), 0);
}

/* Without memory: whoever cannot have a fork queued runs it. */

static intptr_t fork_without_memory(void *arg)
{
    static struct leaf leaves[3 * WHORL__DEQUE_SIZE];
    size_t count = sizeof leaves / sizeof *leaves, queued = (size_t)(intptr_t)arg, waiting = 0;

    fork_leaves(leaves, queued, 0);
    no_memory = true;
    fork_leaves(leaves + queued, count - queued, 0);
    for (size_t i = 0; i < count; i++)
        waiting += leaves[i].ran == 0;
    no_memory = false;
    CHECK(waiting <= (queued ? WHORL__DEQUE_SIZE : 0));
    sync_leaves(leaves, count);
    return 0;
}

TEST(fork, without_memory_all_run_all_the_same)
{
    run_everywhere(fork_without_memory, (void *)0);
    run_everywhere(fork_without_memory, (void *)10);
}

/* Stacks */

struct deep {
    struct whorl_fork fork;
    int depth, reached;
};

__attribute__((noinline)) static void use_stack(void)
{
    volatile char bytes[1024];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 1;
}

/* More than one stack of the least size can hold. */
static void dig(struct whorl_fork *self)
{
    struct deep *d = whorl_fork_of(self, struct deep, fork);
    struct deep next = {.depth = d->depth - 1};
    volatile char bytes[512];

    bytes[0] = 1;
    use_stack();
    if (d->depth == 0)
        return;
    whorl_fork(&next.fork, dig);
    whorl_sync(&next.fork);
    d->reached = next.reached + bytes[0];
}

static intptr_t dig_deep(void *arg)
{
    struct deep root = {.depth = 300};

    no_deques = arg != NULL;
    dig(&root.fork);
    no_deques = false;
    CHECK_EQ(root.reached, 300);
    return 0;
}

static void run_deep(void *without_deques)
{
    for (uint64_t i = 0; i < 20; i++) {
        struct whorl_options options = {.workers = 1 + (int)(i % 4), .seed = test_seed() + i, .stack_size = 16 << 10};

        CHECK_EQ(null_run(dig_deep, without_deques, &options), 0);
    }
    CHECK_EQ(null_run_real(dig_deep, without_deques, &(struct whorl_options){.stack_size = 16 << 10}), 0);
}

TEST(fork, deep_recursion_goes_on_on_fresh_stacks)
{
    run_deep(NULL);
}

TEST(fork, deep_recursion_goes_on_on_fresh_stacks_without_memory_for_a_deque)
{
    run_deep((void *)1);
}

/* Tasks with stacks of another size than the usual: a fork gets one like its task's. */

struct stacked {
    struct whorl_fork fork;
    int expected;
};

static void look_at_stack(struct whorl_fork *self)
{
    CHECK_EQ(whorl__worker()->current->stack->class, whorl_fork_of(self, struct stacked, fork)->expected);
    CHECK_EQ(whorl_sleep(WHORL_MS(10)), 0);
}

static intptr_t fork_on_large_stacks(void *arg)
{
    struct stacked forks[4];

    for (int i = 0; i < 4; i++) {
        forks[i].expected = (int)(intptr_t)arg;
        whorl_fork(&forks[i].fork, look_at_stack);
    }
    CHECK_EQ(whorl_sleep(WHORL_MS(10)), 0);
    for (int i = 3; i >= 0; i--)
        whorl_sync(&forks[i].fork);
    return 0;
}

static intptr_t mix_stack_sizes(void *arg)
{
    static const size_t sizes[] = {1 << 20, 64 << 10, 1 << 20, 16 << 10, 256 << 10, 1 << 20};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    struct whorl_task *tasks[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .stack_size = sizes[i]};

        tasks[i] = whorl_spawn_with(fork_on_large_stacks, (void *)(intptr_t)whorl__stack_class(sizes[i]), &options);
        CHECK(tasks[i] != NULL);
    }
    for (size_t i = 0; i < COUNT; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(forks_taken(), COUNT * 4);
    if (!arg)
        CHECK_EQ(whorl_now(), WHORL_MS(10)); /* nobody's forks were overlooked */
    return 0;
}

TEST(fork, a_fork_gets_a_stack_like_its_tasks)
{
    for (uint64_t i = 0; i < 40; i++)
        null_run(mix_stack_sizes, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i});
    null_run_real(mix_stack_sizes, (void *)1, NULL);
}

/* All stacks there will ever be are lent. */

static intptr_t hold_a_stack(void *arg)
{
    return whorl_sleep((whorl_ns)(intptr_t)arg);
}

static intptr_t fork_without_stacks(void *arg)
{
    struct whorl__stack_pool *pool = &whorl__worker()->runtime->stacks;
    struct leaf leaves[10];
    bool ticks = arg != NULL;
    whorl_ns start;

    pool->stacks_max = pool->created;
    whorl__store_relaxed(&pool->complained, 1);
    for (size_t i = 0; i < pool->stacks_max - 1; i++)
        whorl_detach(whorl_spawn(hold_a_stack, (void *)(intptr_t)WHORL_SEC(1)));
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    start = whorl_now();
    fork_leaves(leaves, 10, WHORL_MS(1));
    sync_leaves(leaves, 10);
    CHECK_EQ(forks_taken(), 0);
    CHECK(ticks || whorl_now() == start + WHORL_MS(10)); /* one after the other */
    return 0;
}

TEST(fork, without_a_stack_for_others_the_owner_runs_them_all)
{
    for (int workers = 1; workers <= 4; workers++)
        CHECK_EQ(null_run(fork_without_stacks, NULL, &(struct whorl_options){.workers = workers}), 0);
    CHECK_EQ(null_run_real(fork_without_stacks, (void *)1, NULL), 0);
}
