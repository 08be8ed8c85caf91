/* SPDX-License-Identifier: MIT */
/* Tasks that are bound to a worker, for good or for a while: where to, what they take with them, and when they are let go. Random
 * lives of such tasks are in pin_seeds.c, the mistakes in pin_misuse.c. */
#include "runtime/scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

enum { CROWD = 24 };

static intptr_t return_soon(void *arg)
{
    whorl_yield();
    return (intptr_t)arg;
}

/* Where to. */

static intptr_t say_where(void *arg)
{
    (void)arg;
    return whorl_worker();
}

static intptr_t spawn_by_options(void *arg)
{
    struct whorl_spawn_options here = {.size = sizeof here, .pinned = 1}, there = here;
    intptr_t where = -1;

    (void)arg;
    for (int i = 0; i < 20; i++) {
        int at = whorl_worker(), want = i % whorl_workers();

        CHECK_EQ(whorl_join(whorl_spawn_with(say_where, NULL, &here), &where), 0);
        CHECK_EQ(where, at); /* the spawner's at the time */
        there.worker = WHORL_WORKER(want);
        CHECK_EQ(whorl_join(whorl_spawn_with(say_where, NULL, &there), &where), 0);
        CHECK_EQ(where, want);
    }
    for (int i = 0; i < 20; i++) { /* their records are anybody's again */
        struct whorl_task *t = whorl_spawn(say_where, NULL);

        CHECK_EQ(t->bound, 0);
        CHECK_EQ(t->traits, 0);
        CHECK_EQ(whorl_join(t, NULL), 0);
    }
    there.worker = WHORL_WORKER(whorl_workers());
    CHECK(whorl_spawn_with(say_where, NULL, &there) == NULL);
    there.worker = -1;
    CHECK(whorl_spawn_with(say_where, NULL, &there) == NULL);
    return 0;
}

TEST(pin, options_say_where_a_task_is_bound_to)
{
    for (unsigned i = 0; i < 40; i++)
        CHECK_EQ(null_run(spawn_by_options, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}),
                 0);
}

static intptr_t pin_main(void *arg)
{
    int home;

    whorl_yield(); /* may be anywhere now */
    whorl_pin();
    home = whorl_worker();
    for (int i = 0; i < 10; i++) {
        whorl_detach(whorl_spawn(return_soon, NULL));
        CHECK_EQ(whorl_sleep(i % 2 ? 0 : 10), 0);
        CHECK_EQ(whorl_worker(), home);
    }
    whorl_unpin();
    return (intptr_t)arg;
}

TEST(pin, main_may_be_pinned)
{
    for (unsigned i = 0; i < 40; i++)
        CHECK_EQ(null_run(pin_main, NULL, &(struct whorl_options){.workers = 3, .seed = test_seed() + i}), 0);
}

/* From another thread, which must name the worker. */

static struct outsider {
    struct whorl_runtime *runtime;
    struct whorl_task *tasks[3];
    int done; /* atomic */
} outsider;

static void *spawn_from_outside(void *arg)
{
    struct whorl_spawn_options bound = {.size = sizeof bound, .pinned = 1};

    CHECK(whorl_runtime_spawn(outsider.runtime, say_where, NULL, &bound) == NULL);
    bound.worker = WHORL_WORKER(3);
    CHECK(whorl_runtime_spawn(outsider.runtime, say_where, NULL, &bound) == NULL);
    for (int i = 0; i < 3; i++) {
        bound.worker = WHORL_WORKER(i);
        outsider.tasks[i] = whorl_runtime_spawn(outsider.runtime, say_where, NULL, &bound);
        CHECK(outsider.tasks[i] != NULL);
    }
    return arg;
}

static intptr_t be_visited(void *arg)
{
    pthread_t thread;
    intptr_t where = -1;

    outsider.runtime = whorl_runtime();
    CHECK_EQ(pthread_create(&thread, NULL, spawn_from_outside, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(whorl_join(outsider.tasks[i], &where), 0);
        CHECK_EQ(where, i);
    }
    return (intptr_t)arg;
}

TEST(pin, another_thread_may_spawn_a_pinned_task)
{
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(null_run(be_visited, NULL, &(struct whorl_options){.workers = 3, .seed = test_seed() + i}), 0);
}

/* A refused one leaves nothing behind in the record. */
static void *spawn_too_late(void *arg)
{
    struct whorl_spawn_options bound = {.size = sizeof bound, .pinned = 1, .worker = WHORL_WORKER(2)};

    CHECK(whorl_runtime_spawn(outsider.runtime, say_where, NULL, &bound) == NULL);
    __atomic_store_n(&outsider.done, 1, __ATOMIC_RELEASE);
    return arg;
}

static intptr_t spawn_free_ones(void *arg)
{
    struct whorl_task *tasks[3 * WHORL__RECORDS_PER_SLAB];
    pthread_t thread;

    while (!whorl__worker()->runtime->closed)
        whorl_yield();
    CHECK_EQ(pthread_create(&thread, NULL, spawn_too_late, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        tasks[i] = whorl_spawn(say_where, NULL);
        CHECK_EQ(tasks[i]->bound, 0);
    }
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    return (intptr_t)arg;
}

static intptr_t close_early(void *arg)
{
    outsider.runtime = whorl_runtime();
    outsider.done = 0;
    whorl_detach(whorl_spawn(spawn_free_ones, arg));
    return 0;
}

TEST(pin, a_spawn_that_comes_too_late_leaves_nobody_bound)
{
    CHECK_EQ(null_run(close_early, NULL, &(struct whorl_options){.workers = 3}), 0);
    CHECK_EQ(outsider.done, 1);
}

/* Letting go. */

static intptr_t move_after_unpin(void *arg)
{
    long *moved = arg;

    whorl_pin();
    whorl_yield();
    whorl_unpin();
    for (int i = 0; i < 20; i++) {
        int before = whorl_worker();

        whorl_yield();
        *moved += whorl_worker() != before;
    }
    return 0;
}

static intptr_t let_go(void *arg)
{
    struct whorl_task *tasks[CROWD];

    for (int i = 0; i < CROWD; i++)
        tasks[i] = whorl_spawn(move_after_unpin, arg);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    return 0;
}

TEST(pin, a_task_moves_again_when_its_region_is_over)
{
    long moved = 0;

    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(null_run(let_go, &moved, &(struct whorl_options){.workers = 4, .seed = test_seed() + i}), 0);
    CHECK(moved > 20 * CROWD / 4);
}

/* Forks. */

struct sleeper {
    struct whorl_fork fork;
    int home, was; /* where it is to be, and was */
};

static void sleep_in_fork(struct whorl_fork *self)
{
    struct sleeper *s = whorl_fork_of(self, struct sleeper, fork);

    CHECK_EQ(whorl_sleep(WHORL_MS(10)), 0);
    s->was = whorl_worker();
    if (s->home >= 0)
        CHECK_EQ(s->was, s->home);
}

enum { SLEEPERS = 50 };

static void sleep_in_forks(struct sleeper *sleepers, int home)
{
    for (int i = 0; i < SLEEPERS; i++) {
        sleepers[i] = (struct sleeper){.home = home};
        whorl_fork(&sleepers[i].fork, sleep_in_fork);
    }
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    for (int i = SLEEPERS - 1; i >= 0; i--)
        whorl_sync(&sleepers[i].fork);
}

static intptr_t sleep_pinned(void *arg)
{
    static struct sleeper sleepers[SLEEPERS];
    whorl_ns start;
    int elsewhere = 0;

    whorl_pin();
    start = whorl_now();
    sleep_in_forks(sleepers, whorl_worker());
    CHECK(whorl_now() - start <= WHORL_MS(12)); /* all at the same time, not one after the other */
    whorl_unpin();
    sleep_in_forks(sleepers, -1); /* by the same deque */
    for (int i = 0; i < SLEEPERS; i++)
        elsewhere += sleepers[i].was != sleepers[0].was;
    CHECK(elsewhere > 0);
    return (intptr_t)arg;
}

TEST(pin, forks_of_a_pinned_task_run_on_its_worker_while_it_waits)
{
    for (unsigned i = 0; i < 30; i++)
        CHECK_EQ(null_run(sleep_pinned, NULL, &(struct whorl_options){.workers = 2 + (int)(i % 4), .seed = test_seed() + i}), 0);
}

/* A fork that was taken is apart: its regions are its own, and its task is free. */

struct apart {
    struct whorl_fork fork;
    const struct whorl_task *record;
    int waits;
};

static void pin_in_fork(struct whorl_fork *self)
{
    struct apart *a = whorl_fork_of(self, struct apart, fork);
    int home;

    a->record = whorl__worker()->current;
    CHECK_EQ(a->record->bound, 0);
    whorl_pin();
    home = whorl_worker();
    for (a->waits = 0; a->waits < 20; a->waits++) {
        whorl_yield();
        CHECK_EQ(whorl_worker(), home);
    }
    whorl_unpin();
}

static intptr_t fork_and_stay_free(void *arg)
{
    struct apart a = {.waits = 0};
    int before = whorl_worker();

    whorl_fork(&a.fork, pin_in_fork);
    CHECK_EQ(whorl_sleep(1), 0); /* it is taken */
    CHECK(a.record && a.record != whorl_self());
    CHECK(a.waits == 20 || a.record->bound > 0);
    CHECK_EQ(whorl_self()->bound, 0);
    for (int i = 0; i < 20; i++)
        whorl_yield();
    whorl_pin(); /* it has begun free, and stays so */
    whorl_sync(&a.fork);
    CHECK_EQ(a.waits, 20);
    CHECK_EQ(a.record->bound, 0);
    whorl_unpin();
    *(long *)arg += whorl_worker() != before;
    return 0;
}

TEST(pin, a_region_belongs_to_the_fork_that_began_it)
{
    long moved = 0;

    for (unsigned i = 0; i < 50; i++)
        CHECK_EQ(null_run(fork_and_stay_free, &moved, &(struct whorl_options){.workers = 3, .seed = test_seed() + i}), 0);
    CHECK(moved > 0);
}

static void add_range(size_t begin, size_t end, void *into, void *arg)
{
    CHECK_EQ(whorl_worker(), (intptr_t)arg);
    for (size_t i = begin; i < end; i++)
        *(size_t *)into += i;
    whorl_yield();
}

static void add_sums(void *into, const void *from, void *arg)
{
    (void)arg;
    *(size_t *)into += *(const size_t *)from;
}

static intptr_t reduce_pinned(void *arg)
{
    size_t sum = 0;

    whorl_pin();
    CHECK_EQ(whorl_reduce(0, 1000, add_range, add_sums, (void *)(intptr_t)whorl_worker(), &sum, sizeof sum), 0);
    CHECK_EQ(sum, 999 * 500);
    whorl_unpin();
    return (intptr_t)arg;
}

TEST(pin, what_is_made_of_forks_stays_too)
{
    for (unsigned i = 0; i < 40; i++)
        CHECK_EQ(null_run(reduce_pinned, NULL, &(struct whorl_options){.workers = 3, .seed = test_seed() + i}), 0);
}

/* A fork that the stack has no room for goes to another one, not to another worker. */

struct deep {
    struct whorl_fork fork;
    int home, depth;
};

static void go_deep(struct whorl_fork *self)
{
    struct deep *d = whorl_fork_of(self, struct deep, fork), next = {.home = d->home, .depth = d->depth - 1};
    volatile char filler[1000];

    filler[0] = 0;
    CHECK_EQ(whorl_worker(), d->home);
    if (d->depth == 0)
        return;
    whorl_fork(&next.fork, go_deep);
    whorl_sync(&next.fork);
    whorl_yield();
    CHECK_EQ(whorl_worker(), d->home);
    filler[sizeof filler - 1] = filler[0];
}

static intptr_t go_deep_pinned(void *arg)
{
    struct deep root = {.depth = 60};

    whorl_pin();
    root.home = whorl_worker();
    go_deep(&root.fork);
    whorl_unpin();
    return (intptr_t)arg;
}

TEST(pin, forks_that_need_another_stack_stay_too)
{
    for (unsigned i = 0; i < 40; i++)
        CHECK_EQ(null_run(go_deep_pinned, NULL,
                          &(struct whorl_options){.workers = 3, .seed = test_seed() + i, .stack_size = MANY(16 << 10, 64 << 10)}),
                 0);
}

/* Without a stack. */

static intptr_t sleep_at_home(void *arg)
{
    CHECK_EQ(whorl_worker(), (intptr_t)arg);
    CHECK_EQ(whorl_sleep(1000), 0);
    CHECK_EQ(whorl_worker(), (intptr_t)arg);
    return 0;
}

static intptr_t outnumber_the_stacks(void *arg)
{
    struct whorl__stack_pool *pool = &whorl__worker()->runtime->stacks;
    size_t count = pool->created * 3;
    struct whorl_task **tasks = malloc(count * sizeof *tasks);

    if (!CHECK(tasks != NULL))
        return -ENOMEM;
    pool->stacks_max = pool->created;
    whorl__store_relaxed(&pool->complained, 1);
    for (size_t i = 0; i < count; i++) {
        int home = (int)(i % (size_t)whorl_workers());
        struct whorl_spawn_options bound = {.size = sizeof bound, .worker = WHORL_WORKER(home), .pinned = 1};

        CHECK((tasks[i] = whorl_spawn_with(sleep_at_home, (void *)(intptr_t)home, &bound)) != NULL);
    }
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK(null_stats().stack_waits > 0);
    free(tasks);
    return (intptr_t)arg;
}

TEST(pin, a_task_that_waited_for_a_stack_begins_at_home)
{
    for (unsigned i = 0; i < 10; i++)
        CHECK_EQ(null_run(outnumber_the_stacks, NULL, &(struct whorl_options){.workers = 3, .seed = test_seed() + i}), 0);
}

/* What is to be seen. */

static char *dump(void)
{
    static char text[1 << 14];
    int fd = memfd_create("dump", MFD_CLOEXEC);
    ssize_t n;

    CHECK(fd >= 0);
    whorl_dump(fd);
    n = pread(fd, text, sizeof text - 1, 0);
    CHECK(n > 0);
    text[n > 0 ? n : 0] = 0;
    close(fd);
    return text;
}

static intptr_t be_seen(void *arg)
{
    struct whorl_spawn_options bound = {.size = sizeof bound, .name = "tied", .worker = WHORL_WORKER(2), .pinned = 1};
    struct whorl_task *t = whorl_spawn_with(sleep_at_home, (void *)2, &bound);
    char line[128];

    CHECK_HAS(dump(), "\"tied\" ready, on worker 2 only, since ");
    CHECK_HAS(dump(), "worker 2: 1 ready");
    CHECK_HAS(dump(), "\"main\" running, since ");
    whorl_pin();
    snprintf(line, sizeof line, "\"main\" running, on worker %d only, since ", whorl_worker());
    CHECK_HAS(dump(), line);
    whorl_no_suspend_begin_at("here.c:1");
    snprintf(line, sizeof line, "\"main\" running in the no-suspend region of here.c:1, on worker %d only, since ", whorl_worker());
    CHECK_HAS(dump(), line);
    whorl_no_suspend_end();
    whorl_unpin();
    CHECK_HAS(dump(), "\"main\" running, since ");
    CHECK_EQ(whorl_sleep(100), 0);
    CHECK_HAS(dump(), " ns, on worker 2 only, since ");
    CHECK_EQ(whorl_join(t, NULL), 0);
    return (intptr_t)arg;
}

TEST(pin, a_dump_shows_who_is_bound_where)
{
    CHECK_EQ(null_run(be_seen, NULL, &(struct whorl_options){.workers = 3}), 0);
}

/* No-suspend regions: what never suspends may be called, and afterwards all is as before. */

static int forks_run;

static void count_fork(struct whorl_fork *self)
{
    (void)self;
    forks_run++;
}

static intptr_t call_what_never_suspends(void *arg)
{
    struct whorl_stats stats = {.size = sizeof stats};
    struct whorl_task *joined, *dropped;
    struct whorl_fork fork;
    intptr_t value = 0;

    whorl_no_suspend_begin();
    joined = whorl_spawn(return_soon, (void *)3);
    dropped = whorl_spawn(return_soon, NULL);
    whorl_no_suspend_begin();
    whorl_detach(dropped);
    whorl_cancel(joined);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_result(joined, NULL), -EINPROGRESS);
    CHECK_EQ(whorl_deadline(whorl_after(WHORL_SEC(1))), WHORL_NEVER);
    whorl_deadline(WHORL_NEVER);
    whorl_no_suspend_end();
    CHECK_EQ(whorl_stats(-1, &stats), 0);
    whorl_pin();
    whorl_unpin();
    whorl_no_suspend_end();
    CHECK_EQ(whorl_sleep(1), -ECANCELED); /* it was asked for inside */
    CHECK_EQ(whorl_join(joined, &value), 0);
    CHECK_EQ(value, 3);
    forks_run = 0;
    for (int i = 0; i < 5; i++) { /* the first time the region ends without a deque, then with one */
        whorl_fork(&fork, count_fork);
        whorl_checkpoint();
        whorl_sync(&fork);
        whorl_no_suspend_begin();
        whorl_no_suspend_end();
    }
    CHECK_EQ(forks_run, 5);
    return (intptr_t)arg;
}

TEST(pin, in_a_no_suspend_region_what_never_suspends_is_allowed)
{
    for (unsigned i = 0; i < 20; i++) {
        CHECK_EQ(null_run(call_what_never_suspends, NULL, &(struct whorl_options){.workers = 3, .seed = test_seed() + i}), 0);
        CHECK_EQ(null_run_real(call_what_never_suspends, NULL, NULL), 0);
    }
}

/* After a region the fast ways of fork, sync and checkpoint are fast again. */
static intptr_t count_slow_looks(void *arg)
{
    struct whorl_fork fork;
    const struct whorl__forks *forks;

    whorl_fork(&fork, count_fork);
    whorl_sync(&fork);
    forks = whorl__forks_here();
    whorl_no_suspend_begin();
    CHECK(forks->limit == NULL);
    CHECK_EQ(forks->credit, 1);
    whorl_no_suspend_end();
    if (whorl__worker()->runtime->asymmetric) {
        CHECK(forks->limit > forks->tail);
        CHECK(forks->low < (const char *)&fork);
    }
    CHECK_EQ(forks->credit, whorl__worker()->credit);
    return (intptr_t)arg;
}

TEST(pin, forks_are_fast_again_after_a_no_suspend_region)
{
    CHECK_EQ(null_run_real(count_slow_looks, NULL, NULL), 0);
}
