/* SPDX-License-Identifier: MIT */
/* Blocking functions on real workers and real threads: tasks go on beside them, cancels come at any moment, pools come and go, and a runtime
 * ends though a function does not return. */
#include "tests/io/loopback.h"
#include "tests/support/child.h"

#include <pthread.h>
#include <semaphore.h>

enum { WORKERS = 4, JOBS = 64, DRIVERS = 8 };

static whorl_ns end;

/* All at once, beside a ticker. */

struct crowd {
    pthread_barrier_t all_here;
    int done; /* atomic */
};

static intptr_t wait_for_all(void *arg)
{
    struct crowd *c = arg;

    pthread_barrier_wait(&c->all_here);
    usleep(10000);
    return 3;
}

static intptr_t block_once(void *arg)
{
    struct crowd *c = arg;
    intptr_t result = 0;
    int err = whorl_blocking(wait_for_all, c, &result);

    __atomic_add_fetch(&c->done, 1, __ATOMIC_SEQ_CST);
    return err ? err : result;
}

TASK_TEST_WITHIN(blocking, many_functions_block_while_a_ticker_ticks, WORKERS, 60)
{
    struct whorl_interval beat = {.period = WHORL_MS(1)};
    struct whorl_task *tasks[JOBS];
    struct crowd c = {.done = 0};
    int ticks = 0;

    pthread_barrier_init(&c.all_here, NULL, JOBS);
    for (int i = 0; i < JOBS; i++)
        tasks[i] = start("blocker", block_once, &c);
    for (; __atomic_load_n(&c.done, __ATOMIC_SEQ_CST) < JOBS && test_failures() == 0; ticks++)
        CHECK(whorl_interval_tick(&beat) >= 0);
    CHECK(ticks > 1); /* the functions take longer than a period */
    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(result_of(tasks[i]), 3);
    pthread_barrier_destroy(&c.all_here);
}

/* Cancels and deadlines at any moment: a function that has begun is waited for or left behind, and what it owns is released once. */

static int begun, told, owned, released; /* atomic */

static void count(int *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static int counted(int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void sleep_some(uint64_t chance)
{
    if (chance % 4 == 0)
        usleep((unsigned)(chance / 4 % 300));
}

static intptr_t block_some(void *arg)
{
    count(&begun);
    sleep_some(*(uint64_t *)arg); /* the task's, as long as we run */
    *(uint64_t *)arg = 0;
    return 11;
}

static void release(void *arg)
{
    count(&released);
    free(arg);
}

static intptr_t run_owned(struct whorl_pool *pool, uint64_t chance)
{
    uint64_t *own = malloc(sizeof *own);
    intptr_t result = 0;
    int err;

    *own = chance;
    count(&owned);
    err = whorl_pool_run_owned(pool, block_some, own, release, &result);
    if (!err) {
        CHECK(result == 11 && *own == 0);
        release(own);
    }
    return err;
}

static intptr_t run_mine(struct whorl_pool *pool, uint64_t chance)
{
    uint64_t mine = chance;
    intptr_t result = 0;
    int err = whorl_pool_run(pool, block_some, &mine, &result);

    CHECK(err ? mine == chance : result == 11 && mine == 0);
    if (!err)
        count(&told);
    return err;
}

struct job {
    struct whorl_pool *pool;
    uint64_t seed;
};

static intptr_t run_either(void *arg)
{
    struct job *job = arg;
    uint64_t chance = test_random(&job->seed);

    return chance % 2 ? run_owned(job->pool, chance / 2) : run_mine(job->pool, chance / 2);
}

static intptr_t run_some(void *arg)
{
    struct job *job = arg;
    intptr_t result = 0;
    int err;

    for (int i = 0; i < 4; i++) {
        if (test_random(&job->seed) % 4) {
            err = (int)run_either(job);
            CHECK(err == 0 || err == -ECANCELED || err == -EBUSY);
        } else {
            err = whorl_wait_for(run_either, job, (whorl_ns)(test_random(&job->seed) % 200000), &result);
            CHECK(err == 0 || err == -ETIMEDOUT);
        }
    }
    return 0;
}

static intptr_t drive(void *arg)
{
    struct job mine = *(struct job *)arg;

    while (whorl_now() < end && test_failures() == 0) {
        struct whorl_task *tasks[6];
        struct job jobs[6];

        for (int i = 0; i < 6; i++) {
            jobs[i] = (struct job){.pool = test_random(&mine.seed) % 2 ? mine.pool : NULL, .seed = test_random(&mine.seed)};
            tasks[i] = start("blocker", run_some, &jobs[i]);
        }
        for (int i = 0; i < 6; i++) {
            if (test_random(&mine.seed) % 4 == 0)
                whorl_sleep((whorl_ns)(test_random(&mine.seed) % 100000));
            if (test_random(&mine.seed) % 2)
                whorl_cancel(tasks[i]);
        }
        for (int i = 0; i < 6; i++)
            CHECK_EQ(result_of(tasks[i]), 0);
    }
    return 0;
}

TASK_TEST_WITHIN(blocking, cancels_and_deadlines_at_any_moment, WORKERS, 120)
{
    struct whorl_pool_options options = {.size = sizeof options, .name = "small", .threads = 3, .queue = 8, .idle = WHORL_US(50)};
    struct whorl_pool *pool = whorl_pool_create(&options);
    struct whorl_task *drivers[DRIVERS];
    struct job jobs[DRIVERS];

    end = whorl_after(WHORL_SEC(test_seconds(1)));
    for (int i = 0; i < DRIVERS; i++) {
        jobs[i] = (struct job){.pool = pool, .seed = test_seed() + (uint64_t)i};
        drivers[i] = start("driver", drive, &jobs[i]);
    }
    for (int i = 0; i < DRIVERS; i++)
        CHECK_EQ(result_of(drivers[i]), 0);
    whorl_pool_destroy(pool);
    UNTIL(counted(&released) == counted(&owned));
    CHECK(counted(&told) > 0 && counted(&begun) >= counted(&told));
}

/* Pools that come and go, and threads that use them beside tasks. */

static void use_a_pool(uint64_t seed)
{
    struct whorl_pool_options options = {.size = sizeof options,
                                         .threads = 1 + (int)(test_random(&seed) % 3),
                                         .idle = WHORL_US(1 + (whorl_ns)(test_random(&seed) % 100))};
    struct whorl_pool *pool = whorl_pool_create(&options);

    for (uint64_t i = test_random(&seed) % 4; i > 0; i--)
        CHECK_EQ(run_mine(pool, test_random(&seed)), 0);
    CHECK_EQ(run_owned(NULL, test_random(&seed)), 0);
    CHECK_EQ(whorl_pool_destroy(pool), 0);
}

static intptr_t use_pools(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;

    while (whorl_now() < end && test_failures() == 0)
        use_a_pool(test_random(&seed));
    return 0;
}

static void *use_pools_on_a_thread(void *stop)
{
    uint64_t seed = test_seed();

    while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE) && test_failures() == 0)
        use_a_pool(test_random(&seed));
    return NULL;
}

TASK_TEST_WITHIN(blocking, pools_come_and_go, WORKERS, 120)
{
    struct whorl_task *users[4];
    pthread_t thread;
    int stop = 0;

    end = whorl_after(WHORL_SEC(test_seconds(1)));
    CHECK_EQ(pthread_create(&thread, NULL, use_pools_on_a_thread, &stop), 0);
    for (int i = 0; i < 4; i++)
        users[i] = start("user", use_pools, (void *)(uintptr_t)i);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(result_of(users[i]), 0);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

/* A function that does not return, at the end of its runtime: the process ends all the same, and says why it took so long. */

static sem_t never, busy;

static intptr_t never_return(void *arg)
{
    sem_post(&busy);
    while (sem_wait(&never) < 0)
        continue;
    return (intptr_t)arg;
}

static intptr_t be_stuck(void *arg)
{
    return whorl_pool_run_at(NULL, never_return, arg, NULL, "stuck.c:5");
}

static intptr_t join_it(void *arg)
{
    return whorl_join(arg, NULL);
}

static intptr_t tick(void *arg)
{
    return whorl_sleep(WHORL_MS(50)) + (intptr_t)arg;
}

static intptr_t leave_stuck(void *arg)
{
    struct whorl_task *stuck = start("stuck", be_stuck, arg);

    whorl_detach(start("joiner", join_it, stuck));
    whorl_detach(start("ticker", tick, NULL)); /* has something left to do */
    while (sem_trywait(&busy) < 0)
        whorl_sleep(WHORL_US(100));
    return 5;
}

static void end_with_stuck(void *arg)
{
    struct whorl_options options = *(struct whorl_options *)arg;

    sem_init(&never, 0, 0);
    sem_init(&busy, 0, 0);
    CHECK_EQ(whorl_run(leave_stuck, NULL, &options), 5);
    sem_post(&never); /* it comes back when its task is long given up */
    sem_post(&never);
    CHECK_EQ(whorl_blocking(never_return, NULL, NULL), 0);
}

TEST(blocking, a_runtime_gives_up_a_function_that_does_not_return, .timeout = 60)
{
    NEED_URING();
    for (int cancel = 0; cancel < 2; cancel++) {
        struct whorl_options options = {.size = sizeof options,
                                        .workers = WORKERS,
                                        .blocking_grace = WHORL_MS(1200),
                                        .exit_policy = cancel ? WHORL_EXIT_CANCEL : WHORL_EXIT_JOIN};
        char err[4096];

        CHECK_EQ(run_in_child(end_with_stuck, &options, err, sizeof err), 0);
        CHECK_HAS(err, "whorl: the runtime cannot end for task \"stuck\" (spawned at ");
        CHECK_HAS(err, " in pool \"blocking\", called at stuck.c:5 ");
        CHECK_HAS(err, "whorl: the runtime ends without task \"stuck\" (spawned at ");
    }
}
