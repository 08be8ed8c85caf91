/* SPDX-License-Identifier: MIT */
/* Random mixes of everything tasks do, on as many workers as WHORL_WORKERS says, for a while: nothing is lost, nothing runs twice, the
 * counts balance. Which task does what is drawn from the seed; how it all interleaves is the machine's. */
#include "tests/io/loopback.h"
#include <pthread.h>

enum { DEPTH_MAX = 4, CHILDREN_MAX = 6 };

static struct {
    uint64_t begun, ended; /* tasks, atomic */
    whorl_ns until;
} mix;

static uint64_t add(uint64_t *n)
{
    return __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static intptr_t anything(void *arg);

/* A child that was joined has returned what it was given; a cancel may have ended its waits, not changed that. */
static void some_children(uint64_t *state, int depth)
{
    struct whorl_task *children[CHILDREN_MAX];
    intptr_t given[CHILDREN_MAX], result;
    int n = (int)(test_random(state) % (CHILDREN_MAX + 1));

    for (int i = 0; i < n; i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .worker = (int)(test_random(state) % 2)};

        given[i] = (intptr_t)((test_random(state) >> 8) * 8 + (uint64_t)depth);
        add(&mix.begun);
        children[i] = whorl_spawn_with(anything, (void *)given[i], &options);
        if (!CHECK(children[i]))
            return;
    }
    for (int i = 0; i < n; i++) {
        uint64_t what = test_random(state) % 8;
        int err;

        if (what == 0)
            whorl_cancel(children[i]);
        if (what == 1) {
            whorl_detach(children[i]);
            continue;
        }
        while ((err = whorl_join(children[i], &result)) == -ECANCELED || err == -ETIMEDOUT)
            whorl_deadline(WHORL_NEVER);
        CHECK_EQ(err, 0);
        CHECK_EQ(result, given[i]);
    }
}

static intptr_t anything(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg | 1;
    int depth = (int)((uintptr_t)arg % 8), steps = (int)(test_random(&state) % 6), err;
    volatile unsigned work = 0;

    for (int i = 0; i < steps; i++) {
        switch (test_random(&state) % 6) {
        case 0:
            whorl_yield();
            break;
        case 1:
            err = whorl_sleep((whorl_ns)(test_random(&state) % 200000));
            CHECK(err == 0 || err == -ECANCELED || err == -ETIMEDOUT);
            break;
        case 2:
            for (uint64_t n = test_random(&state) % 5000; n > 0; n--)
                work++;
            break;
        case 3:
            whorl_deadline(whorl_after((whorl_ns)(test_random(&state) % 300000)));
            break;
        case 4:
            whorl_deadline(WHORL_NEVER);
            break;
        default:
            if (depth < DEPTH_MAX)
                some_children(&state, depth + 1);
            break;
        }
    }
    add(&mix.ended);
    return (intptr_t)arg;
}

static void keep_mixing(uint64_t *state)
{
    while (whorl_now() < mix.until)
        some_children(state, 0);
    UNTIL(__atomic_load_n(&mix.begun, __ATOMIC_RELAXED) == __atomic_load_n(&mix.ended, __ATOMIC_RELAXED));
}

static intptr_t mix_tasks(void *arg)
{
    uint64_t state = test_seed();
    struct whorl_stats stats = {.size = sizeof stats};

    (void)arg;
    mix.until = whorl_after(WHORL_SEC(test_seconds(3)));
    keep_mixing(&state);
    CHECK_EQ(whorl_stats(-1, &stats), 0);
    CHECK_EQ(stats.spawned, mix.begun + 1); /* and main */
    UNTIL(whorl_stats(-1, &stats) == 0 && stats.finished == mix.ended);
    CHECK_EQ(stats.submitted, stats.completed);
    return 7;
}

TEST(stress_mix, all_that_begins_ends_once, .timeout = 200)
{
    NEED_URING();
    CHECK_EQ(whorl_run(mix_tasks, NULL, NULL), 7);
    CHECK(mix.begun > 0);
}

/* Threads from outside, spawning and joining. */

enum { THREADS = 3 };

static struct {
    struct whorl_runtime *runtime;
    uint64_t joined; /* atomic */
    int over;        /* atomic */
} outside;

static intptr_t answer(void *arg)
{
    whorl_yield();
    return (intptr_t)arg + 1;
}

static void *spawn_and_join(void *unused)
{
    (void)unused;
    for (intptr_t i = 0; !__atomic_load_n(&outside.over, __ATOMIC_SEQ_CST); i++) {
        struct whorl_task *t = whorl_runtime_spawn(outside.runtime, answer, (void *)i, NULL);
        intptr_t result = -1;

        if (!CHECK(t) || !CHECK_EQ(whorl_runtime_join(t, &result), 0) || !CHECK_EQ(result, i + 1))
            break;
        add(&outside.joined);
    }
    return NULL;
}

static intptr_t serve_threads(void *arg)
{
    pthread_t threads[THREADS];

    outside.runtime = whorl_runtime();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, spawn_and_join, NULL), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(test_seconds(3)) / 2), 0);
    __atomic_store_n(&outside.over, 1, __ATOMIC_SEQ_CST);
    /* Their last tasks need a worker, which joining the threads would block: lets go of it now and then. */
    for (int i = 0; i < THREADS; i++)
        while (pthread_tryjoin_np(threads[i], NULL) != 0)
            whorl_sleep(WHORL_MS(1));
    return (intptr_t)arg;
}

TEST(stress_mix, threads_from_outside_get_every_answer, .timeout = 200)
{
    NEED_URING();
    CHECK_EQ(whorl_run(serve_threads, (void *)3, NULL), 3);
    CHECK(outside.joined > 0);
}

/* A task's worker is what it is told, before and after each wait, and errno is the thread's. */

static intptr_t look_where_it_is(void *arg)
{
    struct whorl_task *self = whorl_self();

    for (int i = 0; i < 200; i++) {
        int before = whorl_worker();

        CHECK(before >= 0 && before < whorl_workers());
        if (i % 5 == 0)
            whorl_sleep(WHORL_US(20));
        else
            whorl_yield();
        CHECK(whorl_self() == self);
        CHECK(whorl_worker() < whorl_workers());
    }
    return (intptr_t)arg;
}

static intptr_t wander(void *arg)
{
    enum { WANDERERS = 64 };
    struct whorl_task *tasks[WANDERERS];
    whorl_ns until = whorl_after(WHORL_SEC(test_seconds(3)) / 2);

    (void)arg;
    while (whorl_now() < until) {
        for (int i = 0; i < WANDERERS; i++)
            tasks[i] = start("wanderer", look_where_it_is, (void *)(intptr_t)i);
        for (int i = 0; i < WANDERERS; i++)
            CHECK_EQ(result_of(tasks[i]), i);
    }
    return 0;
}

TEST(stress_mix, a_task_knows_where_it_is_wherever_it_goes, .timeout = 200)
{
    NEED_URING();
    CHECK_EQ(whorl_run(wander, NULL, NULL), 0);
}

/* Many short lives of a runtime. */

static intptr_t brief(void *arg)
{
    struct whorl_task *t = start("brief", answer, arg);

    return result_of(t);
}

TEST(stress_mix, runtimes_come_and_go, .timeout = 200)
{
    NEED_URING();
    for (intptr_t i = 0; i < (SANITIZED ? 20 : 200); i++)
        if (!CHECK_EQ(whorl_run(brief, (void *)i, NULL), i + 1))
            return;
}
