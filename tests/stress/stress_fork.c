/* SPDX-License-Identifier: MIT */
/* Forks on real workers, that take them from each other while they run, sleep and do I/O: each runs once, and what it wrote is there
 * after its sync. */
#include "tests/io/loopback.h"

#include <fcntl.h>

enum { WORKERS = 4 };

static uint64_t forks_taken(void)
{
    struct whorl_stats stats = {.size = sizeof stats};

    CHECK_EQ(whorl_stats(-1, &stats), 0);
    return stats.forks_taken;
}

/* fib, whose forks now and then yield, sleep, or look whether others are waiting, one in `rarity`; 0: never. */

struct fib {
    struct whorl_fork fork;
    long n, result;
    uint64_t seed, rarity;
};

static void pause_perhaps(struct fib *f)
{
    uint64_t chance = test_random(&f->seed) % (3 * f->rarity);

    if (chance == 0)
        whorl_yield();
    else if (chance == 1)
        CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&f->seed) % 50000)), 0);
    else if (chance == 2)
        whorl_checkpoint();
}

static void fib(struct whorl_fork *self)
{
    struct fib *f = whorl_fork_of(self, struct fib, fork);
    struct fib a = {.n = f->n - 1, .rarity = f->rarity}, b = {.n = f->n - 2, .rarity = f->rarity};

    if (f->n < 2) {
        f->result = f->n;
        return;
    }
    if (f->rarity) {
        pause_perhaps(f);
        a.seed = test_random(&f->seed);
        b.seed = test_random(&f->seed);
    }
    whorl_fork(&a.fork, fib);
    fib(&b.fork);
    whorl_sync(&a.fork);
    f->result = a.result + b.result;
}

static long fib_plain(int n)
{
    long before = 0, last = 1;

    for (int i = 1; i < n; i++) {
        long next = before + last;

        before = last;
        last = next;
    }
    return last;
}

static void check_fib(int n, uint64_t rarity, uint64_t seed)
{
    struct fib root = {.n = n, .rarity = rarity, .seed = seed};

    fib(&root.fork);
    CHECK_EQ(root.result, fib_plain(n));
}

static void fib_again_and_again(void)
{
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1)));

    do
        check_fib(SANITIZED ? 18 : 25, 0, 0);
    while (whorl_now() < end && test_failures() == 0);
}

TEST(forks, fib_is_right, .timeout = 120)
{
    in_runtime(WORKERS, fib_again_and_again);
}

static intptr_t fib_in_task(void *arg)
{
    fib_again_and_again();
    return (intptr_t)arg;
}

TEST(forks, fib_is_right_without_membarrier_and_watcher, .timeout = 120)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .disable = "membarrier,watcher"};

    NEED_URING();
    CHECK_EQ(whorl_run(fib_in_task, NULL, &options), 0);
}

static intptr_t pause_in_task(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1)));

    do
        check_fib(15, 1 + test_random(&seed) % 64, test_random(&seed));
    while (whorl_now() < end && test_failures() == 0);
    return 0;
}

/* Tasks that fork on all workers at once, together with others that only spawn and join. */
static void pause_everywhere(void)
{
    struct whorl_task *tasks[2 * WORKERS];

    for (intptr_t i = 0; i < 2 * WORKERS; i++) {
        struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER((int)i % whorl_workers())};

        tasks[i] = whorl_spawn_with(pause_in_task, (void *)i, &there);
        CHECK(tasks[i]);
    }
    for (int i = 0; i < 2 * WORKERS; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
}

TEST(forks, fib_is_right_whatever_its_forks_wait_for, .timeout = 120)
{
    in_runtime(WORKERS, pause_everywhere);
}

/* skynet: ten children each, numbered leaves, summed. */

struct skynet {
    struct whorl_fork fork;
    long first, size, sum;
};

static void skynet(struct whorl_fork *self)
{
    struct skynet *s = whorl_fork_of(self, struct skynet, fork), children[10];

    if (s->size == 1) {
        s->sum = s->first;
        return;
    }
    for (long i = 0; i < 10; i++) {
        children[i] = (struct skynet){.first = s->first + i * (s->size / 10), .size = s->size / 10};
        whorl_fork(&children[i].fork, skynet);
    }
    s->sum = 0;
    for (int i = 9; i >= 0; i--) {
        whorl_sync(&children[i].fork);
        s->sum += children[i].sum;
    }
}

static void run_skynet(void)
{
    const long size = SANITIZED ? 10000 : 100000;
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1)));

    do {
        struct skynet root = {.size = size};

        skynet(&root.fork);
        CHECK_EQ(root.sum, size * (size - 1) / 2);
    } while (whorl_now() < end && test_failures() == 0);
}

TEST(forks, skynet_adds_up, .timeout = 120)
{
    in_runtime(WORKERS, run_skynet);
}

/* Random trees: forks do I/O, spawn and join, fork, are synced in any order, and are big enough to need other stacks. */

enum { WIDTH_MAX = 8, DEPTH_MAX = 4 };

struct tree {
    struct whorl_fork fork;
    uint64_t seed;
    int depth;
    int ran;
    long size; /* trees in it: its result */
};

static void grow(struct whorl_fork *self);

static intptr_t grow_as_task(void *arg)
{
    struct tree *t = arg;

    grow(&t->fork);
    return t->size;
}

/* The other end of a connection: sends back what it gets. */
static intptr_t send_back(void *arg)
{
    int fd = (int)(intptr_t)arg;
    long number;

    CHECK_EQ(whorl_recv(fd, &number, sizeof number, 0), sizeof number);
    number = ~number;
    CHECK_EQ(whorl_send(fd, &number, sizeof number, 0), sizeof number);
    return 0;
}

PLAIN_CALL bool pair_of_sockets(int ends[2])
{
    return CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void exchange(struct tree *t)
{
    int ends[2];
    long number = (long)t->seed, answer = 0;
    struct whorl_task *peer;

    if (!pair_of_sockets(ends))
        return;
    peer = start("peer", send_back, (void *)(intptr_t)ends[1]);
    CHECK_EQ(whorl_send(ends[0], &number, sizeof number, 0), sizeof number);
    CHECK_EQ(whorl_recv(ends[0], &answer, sizeof answer, 0), sizeof answer);
    CHECK_EQ(answer, ~number);
    CHECK_EQ(result_of(peer), 0);
    close_ends(ends);
}

static void spawn_one(struct tree *t)
{
    struct tree child = {.seed = test_random(&t->seed), .depth = t->depth + 1};

    long size = result_of(start("child", grow_as_task, &child));

    CHECK_EQ(size, child.size);
    CHECK_EQ(child.ran, 1);
    t->size += child.size;
}

static void fork_some(struct tree *t)
{
    struct tree children[WIDTH_MAX];
    int count = 1 + (int)(test_random(&t->seed) % WIDTH_MAX), order[WIDTH_MAX];
    bool in_order = test_random(&t->seed) % 2 == 0;

    for (int i = 0; i < count; i++) {
        children[i] = (struct tree){.seed = test_random(&t->seed), .depth = t->depth + 1};
        order[i] = i;
        whorl_fork(&children[i].fork, grow);
    }
    for (int left = count; left > 0; left--) {
        int i = in_order ? left - 1 : (int)(test_random(&t->seed) % (unsigned)left), next = order[i];

        order[i] = order[left - 1];
        whorl_sync(&children[next].fork);
        CHECK_EQ(children[next].ran, 1);
        t->size += children[next].size;
    }
}

static void grow(struct whorl_fork *self)
{
    struct tree *t = whorl_fork_of(self, struct tree, fork);

    t->ran++;
    t->size = 1;
    for (uint64_t steps = test_random(&t->seed) % 3; steps > 0; steps--)
        switch (test_random(&t->seed) % (t->depth < DEPTH_MAX ? 6 : 3)) {
        case 0:
            whorl_yield();
            break;
        case 1:
            CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&t->seed) % 20000)), 0);
            break;
        case 2:
            exchange(t);
            break;
        case 3:
            spawn_one(t);
            break;
        default:
            fork_some(t);
            break;
        }
}

static intptr_t grow_until_the_end(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1)));

    do {
        struct tree root = {.seed = test_random(&seed)};

        fork_some(&root);
    } while (whorl_now() < end && test_failures() == 0);
    return 0;
}

static intptr_t grow_everywhere(void *arg)
{
    struct whorl_task *tasks[WORKERS];

    for (intptr_t i = 0; i < WORKERS; i++)
        tasks[i] = start("root", grow_until_the_end, (void *)i);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    return (intptr_t)arg;
}

static void grow_with(size_t stack_size, const char *disable)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .stack_size = stack_size, .disable = disable};
    int before = open_descriptors();

    NEED_URING();
    CHECK_EQ(whorl_run(grow_everywhere, NULL, &options), 0);
    CHECK_EQ(open_descriptors(), before);
}

TEST(forks, random_trees_balance, .timeout = 120)
{
    grow_with(0, NULL);
}

TEST(forks, random_trees_balance_on_small_stacks, .timeout = 120)
{
    grow_with(SANITIZED ? 64 << 10 : 16 << 10, NULL);
}

TEST(forks, random_trees_balance_without_what_new_kernels_have, .timeout = 120)
{
    grow_with(0, "membarrier,send_msg_ring,guard_install,process_madvise,watcher");
}

/* Taken for certain: the owner computes until somebody else has begun. */

struct meeting {
    struct whorl_fork fork;
    int begun; /* atomic */
};

static void come_to_meeting(struct whorl_fork *self)
{
    struct meeting *m = whorl_fork_of(self, struct meeting, fork);

    __atomic_store_n(&m->begun, 1, __ATOMIC_RELEASE);
}

static void meet(void)
{
    unsigned count = rounds(1000);

    for (unsigned i = 0; i < count && test_failures() == 0 && whorl_workers() > 1; i++) {
        struct meeting m = {.begun = 0};
        whorl_ns end = whorl_after(WHORL_SEC(10));

        whorl_fork(&m.fork, come_to_meeting);
        while (!__atomic_load_n(&m.begun, __ATOMIC_ACQUIRE) && whorl_now() < end)
            continue;
        CHECK_EQ(__atomic_load_n(&m.begun, __ATOMIC_RELAXED), 1);
        whorl_sync(&m.fork);
    }
    CHECK(whorl_workers() == 1 || forks_taken() >= count);
}

TEST(forks, the_fork_of_a_busy_task_is_taken, .timeout = 120)
{
    in_runtime(WORKERS, meet);
}

/* Many small forks that two fight over: mostly one is left in the deque, where owner and thief meet. */

struct bit {
    struct whorl_fork fork;
    int ran;
};

static void add_one(struct whorl_fork *self)
{
    struct bit *b = whorl_fork_of(self, struct bit, fork);

    b->ran++;
    for (volatile int i = 0; i < 20; i++)
        continue;
}

static void fight_once(struct bit *one, struct bit *two, int delay)
{
    whorl_fork(&one->fork, add_one);
    if (two)
        whorl_fork(&two->fork, add_one);
    for (volatile int j = 0; j < delay; j++)
        continue;
    if (two)
        whorl_sync(&two->fork);
    whorl_sync(&one->fork);
}

/* Each record is used once in a while, so that one who runs it late is noticed. */
static intptr_t fight(void *arg)
{
    enum { FIGHTS = 1000 };
    struct bit *bits = malloc(2 * FIGHTS * sizeof *bits);
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1)));

    if (!CHECK(bits))
        return -ENOMEM;
    do {
        memset(bits, 0, 2 * FIGHTS * sizeof *bits);
        for (int i = 0; i < FIGHTS; i++)
            fight_once(&bits[2 * i], i % 2 ? &bits[2 * i + 1] : NULL, i % 50);
        whorl_yield();
        for (int i = 0; i < 2 * FIGHTS; i++)
            if (bits[i].ran != (i % 4 != 1))
                CHECK_EQ(bits[i].ran, i % 4 != 1);
    } while (whorl_now() < end && test_failures() == 0);
    free(bits);
    return (intptr_t)arg;
}

static void fight_over_the_last(void)
{
    CHECK_EQ(fight(NULL), 0);
}

TEST(forks, owner_and_thieves_fight_over_the_last_one, .timeout = 120)
{
    in_runtime(WORKERS, fight_over_the_last);
}

/* Leaving in the middle, whatever the forks wait for: nobody waits for ever. */

static int begun, ended; /* forks, atomic */

struct waiter {
    struct whorl_fork fork;
    uint64_t seed;
};

static intptr_t sleep_long(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    return (intptr_t)arg;
}

static void receive_long(void)
{
    int ends[2];
    char byte;

    if (!pair_of_sockets(ends))
        return;
    CHECK_EQ(whorl_recv(ends[0], &byte, 1, 0), -ECANCELED);
    close_ends(ends);
}

/* The other one is stopped, too, and may end first. */
static void join_long(void)
{
    struct whorl_task *t = start("joined", sleep_long, NULL);
    int result = whorl_join(t, NULL);

    if (result != 0 && CHECK_EQ(result, -ECANCELED))
        whorl_detach(t);
}

static void sleep_in_range(size_t begin, size_t end, void *arg)
{
    (void)arg;
    for (size_t i = begin; i < end; i++)
        sleep_long(NULL);
}

static void wait_long(struct whorl_fork *self)
{
    struct waiter *waiter = whorl_fork_of(self, struct waiter, fork), inner = {.seed = test_random(&waiter->seed)};

    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    switch (test_random(&waiter->seed) % 5) {
    case 0:
        receive_long();
        break;
    case 1:
        join_long();
        break;
    case 2:
        whorl_parallel_for(0, 3, sleep_in_range, NULL);
        break;
    case 3:
        whorl_fork(&inner.fork, wait_long);
        sleep_long(NULL);
        whorl_sync(&inner.fork);
        break;
    default:
        sleep_long(NULL);
        break;
    }
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}

static intptr_t fork_waiters(void *arg)
{
    struct waiter waiters[8];
    uint64_t seed = (uint64_t)(uintptr_t)arg;

    for (int i = 0; i < 8; i++) {
        waiters[i].seed = test_random(&seed);
        whorl_fork(&waiters[i].fork, wait_long);
        for (uint64_t n = test_random(&seed) % 2000; n > 0; n--)
            __asm__ volatile("");
    }
    sleep_long(NULL);
    for (int i = 7; i >= 0; i--)
        whorl_sync(&waiters[i].fork);
    return 0;
}

static intptr_t leave_early(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;

    for (int i = 0; i < 4; i++)
        whorl_detach(start("waiter", fork_waiters, (void *)(uintptr_t)test_random(&seed)));
    if (test_random(&seed) % 2)
        whorl_sleep((whorl_ns)(test_random(&seed) % 100000));
    return 0;
}

TEST(forks, a_runtime_that_is_left_stops_every_fork, .timeout = 120)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .exit_policy = WHORL_EXIT_CANCEL};
    uint64_t seed = test_seed();
    int before = open_descriptors();

    NEED_URING();
    for (unsigned i = 0; i < rounds(200) && test_failures() == 0; i++) {
        begun = ended = 0;
        CHECK_EQ(whorl_run(leave_early, (void *)(uintptr_t)test_random(&seed), &options), 0);
        CHECK(begun >= 4 * 8);
        CHECK_EQ(ended, begun);
        CHECK_EQ(open_descriptors(), before);
    }
}

/* Requests and deadlines that come at any time, for tasks whose forks come and go, and dumps that look at them meanwhile. */

static void sleep_shortly(struct whorl_fork *self)
{
    uint64_t seed = test_seed() + (uintptr_t)self;
    int result = whorl_sleep((whorl_ns)(test_random(&seed) % 30000));

    CHECK(result == 0 || result == -ECANCELED || result == -ETIMEDOUT);
}

static intptr_t fork_again_and_again(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    struct whorl_fork forks[8];
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1)));

    while (whorl_now() < end) {
        whorl_deadline(test_random(&seed) % 2 ? whorl_after((whorl_ns)(test_random(&seed) % 50000)) : WHORL_NEVER);
        for (int i = 0; i < 8; i++)
            whorl_fork(&forks[i], sleep_shortly);
        sleep_shortly(&forks[0]);
        for (int i = 7; i >= 0; i--)
            whorl_sync(&forks[i]);
    }
    return 0;
}

PLAIN_CALL int open_dev_null(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    return fd;
}

static void pester(void)
{
    struct whorl_task *tasks[WORKERS];
    int dump = open_dev_null();
    uint64_t seed = test_seed();
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1)));

    for (intptr_t i = 0; i < WORKERS; i++)
        tasks[i] = start("pestered", fork_again_and_again, (void *)i);
    while (whorl_now() < end) {
        whorl_cancel(tasks[test_random(&seed) % WORKERS]);
        if (test_random(&seed) % 64 == 0)
            whorl_dump(dump);
        whorl_sleep((whorl_ns)(test_random(&seed) % 20000));
    }
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    CHECK_EQ(whorl_close(dump), 0);
}

TEST(forks, requests_and_deadlines_hit_forks_that_come_and_go, .timeout = 120)
{
    in_runtime(WORKERS, pester);
}
