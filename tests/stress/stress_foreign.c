/* SPDX-License-Identifier: MIT */
/* Threads that are no workers, by whatever the seed says: they set futures that tasks wait for and wait for those that tasks set, while
 * waits are cancelled or run out of time and who waited last frees the future; and they run tasks in runtimes that come and go. */
#include "tests/io/loopback.h"

#include <pthread.h>
#include <time.h>

enum { THREADS = 3, WAITERS_MAX = 4 };

static time_t seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* A future that goes with the last of those who use it; its setter is none of them, unless there are several. */
struct meeting {
    struct whorl_future future;
    int users;   /* atomic */
    int winners; /* setters that were the first; atomic */
    uint64_t seed;
    struct whorl_future *left; /* told when it is freed */
};

static void leave(struct meeting *m)
{
    if (__atomic_sub_fetch(&m->users, 1, __ATOMIC_ACQ_REL) == 0) {
        struct whorl_future *left = m->left;

        CHECK(m->winners <= 1);
        free(m);
        CHECK_EQ(whorl_future_set(left, 1), 0);
    }
}

static intptr_t value_for(uint64_t seed)
{
    return (intptr_t)(seed >> 8) + 1;
}

static void check_value(struct meeting *m)
{
    intptr_t value = 0;

    CHECK_EQ(whorl_future_wait(&m->future, &value), 0);
    CHECK_EQ(value, value_for(m->seed));
}

static intptr_t wait_only(void *arg)
{
    return whorl_future_wait(arg, NULL);
}

static intptr_t attend(void *arg)
{
    struct meeting *m = arg;
    uint64_t seed = m->seed ^ (uintptr_t)&arg;
    intptr_t result = 0;
    int err;

    if (test_random(&seed) % 3 == 0) { /* not for long */
        err = whorl_wait_for(wait_only, &m->future, (whorl_ns)(test_random(&seed) % 20000), &result);
        CHECK(err == -ETIMEDOUT || (err == 0 && result == 0));
    }
    if (test_random(&seed) % 3 == 0) { /* a wait that is cancelled, or was faster */
        struct whorl_task *t = start("cancelled", wait_only, &m->future);

        if (test_random(&seed) % 2)
            whorl_yield();
        whorl_cancel(t);
        result = result_of(t);
        CHECK(result == 0 || result == -ECANCELED);
    }
    check_value(m);
    leave(m);
    return 0;
}

static intptr_t set(void *arg)
{
    struct meeting *m = arg;

    CHECK_EQ(whorl_future_set(&m->future, value_for(m->seed)), 0); /* and never touches it again */
    return 0;
}

static intptr_t race_to_set(void *arg)
{
    struct meeting *m = arg;
    int err = whorl_future_set(&m->future, value_for(m->seed));

    CHECK(err == 0 || err == -EALREADY);
    __atomic_add_fetch(&m->winners, err == 0, __ATOMIC_RELAXED);
    leave(m);
    return 0;
}

static void spawn(struct whorl_runtime *rt, whorl_fn fn, struct meeting *m)
{
    struct whorl_task *t = whorl_runtime_spawn(rt, fn, m, NULL);

    if (CHECK(t != NULL))
        whorl_detach(t);
}

static void meet(struct whorl_runtime *rt, uint64_t *seed)
{
    struct meeting *m = calloc(1, sizeof *m);
    int waiters = 1 + (int)(test_random(seed) % WAITERS_MAX), kind = (int)(test_random(seed) % 3);
    struct whorl_future left = {0};

    if (!CHECK(m != NULL))
        return;
    m->seed = test_random(seed);
    m->left = &left;
    m->users = waiters + (kind == 0 ? 0 : kind == 1 ? 1 : 2);
    for (int i = 0; i < waiters; i++)
        spawn(rt, attend, m);
    if (kind == 0) { /* we set it */
        set(m);
    } else if (kind == 1) { /* a task does, and we wait as well */
        spawn(rt, set, m);
        check_value(m);
        leave(m);
    } else { /* both try */
        spawn(rt, race_to_set, m);
        race_to_set(m);
    }
    CHECK_EQ(whorl_future_wait(&left, NULL), 0);
}

struct crowd {
    struct whorl_runtime *runtime;
    struct whorl_future over;
    int busy; /* threads, atomic */
};

static void *meet_on(void *arg)
{
    struct crowd *c = arg;
    uint64_t seed = test_seed() ^ (uintptr_t)&arg;
    time_t stop = seconds_now() + (time_t)test_seconds(1);

    while (seconds_now() <= stop && test_failures() == 0)
        meet(c->runtime, &seed);
    if (__atomic_sub_fetch(&c->busy, 1, __ATOMIC_SEQ_CST) == 0)
        CHECK_EQ(whorl_future_set(&c->over, 0), 0);
    return NULL;
}

static intptr_t let_them_meet(void *arg)
{
    struct crowd c = {.runtime = whorl_runtime(), .busy = THREADS};
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, meet_on, &c), 0);
    CHECK_EQ(whorl_future_wait(&c.over, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return (intptr_t)arg;
}

TEST(foreign, futures_are_set_once_and_seen_by_all, .timeout = 120)
{
    NEED_URING();
    CHECK_EQ(whorl_run(let_them_meet, (void *)6, NULL), 6);
}

/* Runtimes that come and go */

static intptr_t nap(void *arg)
{
    CHECK_EQ(whorl_sleep((intptr_t)arg % 50000), 0);
    return (intptr_t)arg;
}

static intptr_t work(void *arg)
{
    intptr_t n = (intptr_t)arg;

    if (n % 4 == 0)
        whorl_detach(start("left", nap, (void *)(n * 7))); /* for the close to wait for */
    return n % 2 ? nap(arg) : result_of(start("nap", nap, arg));
}

struct visitor {
    struct whorl_runtime *runtime;
    uint64_t seed;
};

static void *visit(void *arg)
{
    struct visitor *v = arg;

    for (int i = 0; i < 10; i++) {
        intptr_t n = (intptr_t)(test_random(&v->seed) >> 8), result = -1;

        CHECK_EQ(whorl_runtime_run(v->runtime, work, (void *)n, &result), 0);
        CHECK_EQ(result, n);
    }
    return NULL;
}

TEST(foreign, explicit_runtimes_come_and_go, .timeout = 120)
{
    uint64_t seed = test_seed();
    time_t stop = seconds_now() + (time_t)test_seconds(1);
    int before = open_descriptors();

    NEED_URING();
    do {
        struct whorl_options options = {.size = sizeof options, .reactor = test_random(&seed) % 4 ? "uring" : "null"};
        struct visitor visitors[THREADS];
        pthread_t threads[THREADS];
        struct whorl_runtime *rt;

        if (!CHECK_EQ(whorl_runtime_create(&options, &rt), 0))
            return;
        for (int i = 0; i < THREADS; i++) {
            visitors[i] = (struct visitor){rt, test_random(&seed)};
            CHECK_EQ(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        whorl_runtime_close(rt);
    } while (seconds_now() <= stop && test_failures() == 0);
    CHECK_EQ(open_descriptors(), before);
}
