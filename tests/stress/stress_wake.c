/* SPDX-License-Identifier: MIT */
/* A wake-up that is lost leaves somebody waiting for ever here: nothing else is going on that would find the work by chance, no timer,
 * no watcher, and whoever waits keeps his worker. With pauses in the steps of the wake protocol (-Dpauses=true) these tests look for
 * a hole in it. */
#include "tests/io/loopback.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "runtime/scheduler.h"

enum { WORKERS = 4, KEEPERS_MAX = 16, PATIENCE_S = 20 };

/* Once for each second that is wanted. */
static unsigned times(unsigned count)
{
    return rounds(count) * test_seconds(1);
}

PLAIN_CALL time_t seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* Keeps the worker, as a task that computes, until *flag is set. False: for too long. */
static bool keep_until(const int *flag)
{
    time_t end = seconds_now() + PATIENCE_S;

    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE) && seconds_now() <= end)
        sched_yield();
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static intptr_t set_flag(void *flag)
{
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELEASE);
    return 0;
}

/* Spawns a task, perhaps into a worker's mailbox, and keeps the worker until it has run on another one. */
static intptr_t spawn_and_keep(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;

    for (unsigned i = times(200); i > 0 && test_failures() == 0; i--) {
        int workers = whorl_workers(), place = (int)(test_random(&seed) % (2 * (unsigned)workers)), flag = 0;
        struct whorl_spawn_options there = {.size = sizeof there, .worker = place < workers ? WHORL_WORKER(place) : 0};
        struct whorl_task *t;

        if (test_random(&seed) % 2)
            CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % 200000)), 0);
        t = whorl_spawn_with(set_flag, &flag, &there);
        if (CHECK(t) && CHECK(keep_until(&flag)))
            CHECK_EQ(whorl_join(t, NULL), 0);
    }
    return 0;
}

/* One worker is always free for what the others spawn. */
static intptr_t keep_all_but_one(void *arg)
{
    struct whorl_task *keepers[KEEPERS_MAX];
    int count = whorl_workers() <= KEEPERS_MAX ? whorl_workers() - 1 : KEEPERS_MAX;

    for (int i = 0; i < count; i++)
        keepers[i] = start("keeper", spawn_and_keep, (void *)(uintptr_t)(test_seed() + (uintptr_t)i));
    for (int i = 0; i < count; i++)
        CHECK_EQ(result_of(keepers[i]), 0);
    return (intptr_t)arg;
}

static int workers_here(void)
{
    const char *given = getenv("WHORL_WORKERS");

    return given ? atoi(given) : WORKERS;
}

static void run_without(whorl_fn fn, const char *disable, whorl_ns spin)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .disable = disable, .spin_ns = spin};

    NEED_URING();
    if (workers_here() == 1)
        SKIP("there is nobody to wake");
    CHECK_EQ(whorl_run(fn, NULL, &options), 0);
}

TEST(wake, a_task_that_is_queued_finds_a_worker, .timeout = 60)
{
    run_without(keep_all_but_one, "watcher", 0);
}

TEST(wake, a_task_that_is_queued_finds_a_worker_that_does_not_spin, .timeout = 60)
{
    run_without(keep_all_but_one, "watcher", -1);
}

TEST(wake, a_task_that_is_queued_finds_a_worker_without_membarrier, .timeout = 60)
{
    run_without(keep_all_but_one, "watcher,membarrier,send_msg_ring", -1);
}

/* As many tasks as there are workers, each of which keeps its worker until all have come: whoever is woken must wake the next. */

struct crowd {
    int come, all;
};

static intptr_t come_and_keep(void *arg)
{
    struct crowd *c = arg;

    if (__atomic_add_fetch(&c->come, 1, __ATOMIC_SEQ_CST) == whorl_workers())
        __atomic_store_n(&c->all, 1, __ATOMIC_RELEASE);
    return keep_until(&c->all) ? 0 : -ETIMEDOUT;
}

static intptr_t gather(void *arg)
{
    uint64_t seed = test_seed();
    int count = whorl_workers() <= KEEPERS_MAX ? whorl_workers() - 1 : 0;

    for (unsigned i = times(100); i > 0 && test_failures() == 0 && count; i--) {
        struct whorl_task *others[KEEPERS_MAX];
        struct crowd c = {.come = 0};

        if (test_random(&seed) % 2)
            CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % 200000)), 0);
        for (int k = 0; k < count; k++)
            others[k] = start("other", come_and_keep, &c);
        CHECK_EQ(come_and_keep(&c), 0);
        for (int k = 0; k < count; k++)
            CHECK_EQ(result_of(others[k]), 0);
    }
    return (intptr_t)arg;
}

TEST(wake, each_that_is_woken_wakes_the_next, .timeout = 60)
{
    run_without(gather, "watcher", -1);
}

/* All workers sleep, and another thread has something. Main waits in a receive, which does nothing until all is over. */

struct visit {
    struct whorl_runtime *runtime;
    int ends[2];
};

static intptr_t answer(void *arg)
{
    return (intptr_t)arg;
}

static void *visit(void *arg)
{
    struct visit *v = arg;
    uint64_t seed = test_seed();

    for (unsigned i = times(300); i > 0 && test_failures() == 0; i--) {
        struct timespec pause = {.tv_nsec = (long)(test_random(&seed) % 200000)};
        struct whorl_spawn_options there = {.size = sizeof there};
        struct whorl_task *t;
        intptr_t result = 0;

        if (test_random(&seed) % 2)
            nanosleep(&pause, NULL);
        there.worker = test_random(&seed) % 2 ? WHORL_WORKER((int)(test_random(&seed) % (unsigned)workers_here())) : 0;
        t = whorl_runtime_spawn(v->runtime, answer, (void *)(intptr_t)i, &there);
        if (CHECK(t) && CHECK_EQ(whorl_runtime_join(t, &result), 0))
            CHECK_EQ(result, i);
    }
    CHECK_EQ(write(v->ends[1], "", 1), 1);
    return NULL;
}

static intptr_t be_visited(void *arg)
{
    struct visit v = {.runtime = whorl_runtime()};
    pthread_t thread;
    char byte;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v.ends), 0);
    CHECK_EQ(pthread_create(&thread, NULL, visit, &v), 0);
    CHECK_EQ(whorl_recv(v.ends[0], &byte, 1, 0), 1);
    pthread_join(thread, NULL);
    close_ends(v.ends);
    return (intptr_t)arg;
}

TEST(wake, work_from_another_thread_finds_a_worker, .timeout = 60)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .disable = "watcher"};

    NEED_URING();
    CHECK_EQ(whorl_run(be_visited, NULL, &options), 0);
}

/* Workers that are kept just long enough to be taken from, then sleep: whoever takes from them must leave them what would wake them. */

enum { TALKS = 2 * WORKERS, EXCHANGES = 3 };

struct talk {
    int ends[2];
    uint64_t seed;
};

/* Keeps its worker for a while now and then. */
static intptr_t answer_slowly(void *arg)
{
    struct talk *t = arg;
    char byte = 0;

    for (int i = 0; i < EXCHANGES; i++) {
        CHECK_EQ(whorl_recv(t->ends[0], &byte, 1, 0), 1);
        for (uint64_t n = test_random(&t->seed) % 4 ? 0 : test_random(&t->seed) % 300; n > 0; n--)
            sched_yield();
        if (test_random(&t->seed) % 4 == 0)
            CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&t->seed) % 100000)), 0);
        CHECK_EQ(whorl_send(t->ends[0], &byte, 1, 0), 1);
    }
    return 0;
}

static intptr_t ask(void *arg)
{
    struct talk *t = arg;
    char byte = 0;

    for (int i = 0; i < EXCHANGES; i++) {
        CHECK_EQ(whorl_send(t->ends[1], &byte, 1, 0), 1);
        CHECK_EQ(whorl_recv(t->ends[1], &byte, 1, 0), 1);
    }
    return 0;
}

static void talk(struct talk *talks)
{
    struct whorl_task *tasks[2 * TALKS];

    for (int i = 0; i < TALKS; i++) {
        tasks[2 * i] = start("answer", answer_slowly, &talks[i]);
        tasks[2 * i + 1] = start("ask", ask, &talks[i]);
    }
    for (int i = 0; i < 2 * TALKS; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
}

/* After each round all are asleep but we. One that was counted and never woken would be counted for ever, and nobody be woken any
 * more. */
static void talk_and_look(void)
{
    struct whorl__runtime *rt = (struct whorl__runtime *)whorl_runtime();
    struct talk talks[TALKS];

    for (int i = 0; i < TALKS; i++) {
        talks[i].seed = test_seed() + (uintptr_t)i;
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talks[i].ends), 0);
    }
    for (unsigned i = times(60); i > 0 && test_failures() == 0; i--) {
        talk(talks);
        UNTIL(whorl__load_relaxed(&rt->searching) == 0 && whorl__load_relaxed(&rt->sleeping) == (uint32_t)whorl_workers() - 1);
    }
    for (int i = 0; i < TALKS; i++)
        close_ends(talks[i].ends);
}

TEST(wake, a_worker_that_is_taken_from_keeps_what_would_wake_it, .timeout = 60)
{
    in_runtime(WORKERS, talk_and_look);
}
