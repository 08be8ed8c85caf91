/* SPDX-License-Identifier: MIT */
/* Tasks by the hundred thousand, doing whatever the seed says, where workers fall asleep all the time, where tasks move, where other
 * threads bring work and where runtimes end: all of them end, each with its own result, and no wake-up is lost. */
#include "tests/io/loopback.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

enum { WORKERS = 4, DRIVERS = 8, CHILDREN_MAX = 24, DEPTH_MAX = 3 };

static int begun, ended; /* tasks, atomic */
static whorl_ns end;     /* when a test is over, on the clock of its runtime; written before the tasks that read it */

static void count(int *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static int read_count(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Whatever a task may do */

struct job {
    uint64_t seed;
    int depth;
    bool to_be_cancelled;
};

/* What a task that does this job returns. */
static intptr_t result_for(uint64_t seed)
{
    return (intptr_t)((seed * 0x9e3779b97f4a7c15) >> 2);
}

static void compute(uint64_t length)
{
    for (volatile uint64_t i = 0; i < length % 4096; i++)
        continue;
}

static intptr_t do_job(void *arg);

static struct whorl_task *start_job(struct job *job, uint64_t chance)
{
    struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER((int)(chance % (unsigned)whorl_workers()))};
    struct whorl_task *t = whorl_spawn_with(do_job, job, chance % 8 == 0 ? &there : NULL);

    if (CHECK(t))
        count(&begun);
    return t;
}

/* Starts children, cancels those that wait for it, joins them in some order. */
static void have_children(uint64_t *seed, int depth)
{
    struct whorl_task *tasks[CHILDREN_MAX];
    struct job jobs[CHILDREN_MAX];
    unsigned n = (unsigned)(test_random(seed) % (depth ? 4 : CHILDREN_MAX)) + 1, first = (unsigned)(test_random(seed) % n);

    for (unsigned i = 0; i < n; i++) {
        jobs[i] = (struct job){.seed = test_random(seed), .depth = depth + 1, .to_be_cancelled = test_random(seed) % 8 == 0};
        tasks[i] = start_job(&jobs[i], test_random(seed));
        if (!tasks[i])
            return;
    }
    if (test_random(seed) % 4 == 0)
        whorl_yield();
    for (unsigned i = 0; i < n; i++)
        if (jobs[i].to_be_cancelled)
            whorl_cancel(tasks[i]);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(result_of(tasks[(first + i) % n]), result_for(jobs[(first + i) % n].seed));
}

static intptr_t do_job(void *arg)
{
    struct job job = *(struct job *)arg;
    uint64_t seed = job.seed;

    for (uint64_t steps = test_random(&seed) % 4; steps > 0; steps--)
        switch (test_random(&seed) % (job.depth < DEPTH_MAX ? 5 : 4)) {
        case 0:
            whorl_yield();
            break;
        case 1:
            if (!job.to_be_cancelled)
                CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % 30000)), 0);
            break;
        case 2:
            compute(test_random(&seed));
            break;
        case 4:
            if (!job.to_be_cancelled)
                have_children(&seed, job.depth);
            break;
        default:
            break;
        }
    if (job.to_be_cancelled)
        CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    count(&ended);
    return result_for(job.seed);
}

/* A task that nobody joins. */
static intptr_t do_and_forget(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;

    if (test_random(&seed) % 2)
        whorl_sleep((whorl_ns)(test_random(&seed) % 10000));
    count(&ended);
    return 0;
}

static intptr_t drive(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;

    while (whorl_now() < end && test_failures() == 0) {
        have_children(&seed, 0);
        if (test_random(&seed) % 2) {
            struct whorl_task *t = whorl_spawn(do_and_forget, (void *)(uintptr_t)test_random(&seed));

            count(&begun);
            whorl_detach(t);
        }
    }
    return 0;
}

/* Runs `driver` on many tasks until the time is up. */
static void drive_all(whorl_fn driver)
{
    struct whorl_task *drivers[DRIVERS];

    begun = ended = 0;
    end = whorl_after(WHORL_SEC(test_seconds(1)));
    for (intptr_t i = 0; i < DRIVERS; i++)
        drivers[i] = start("driver", driver, (void *)i);
    for (int i = 0; i < DRIVERS; i++)
        CHECK_EQ(result_of(drivers[i]), 0);
    UNTIL(read_count(&ended) == read_count(&begun));
}

static intptr_t mix(void *arg)
{
    drive_all(drive);
    CHECK(begun >= DRIVERS);
    return (intptr_t)arg;
}

TEST(tasks, a_mix_of_everything_balances, .timeout = 120)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS};

    NEED_URING();
    CHECK_EQ(whorl_run(mix, NULL, &options), 0);
}

TEST(tasks, a_mix_of_everything_balances_without_what_new_kernels_have, .timeout = 120)
{
    struct whorl_options options = {
        .size = sizeof options, .workers = WORKERS, .disable = "membarrier,send_msg_ring,guard_install"};

    NEED_URING();
    CHECK_EQ(whorl_run(mix, NULL, &options), 0);
}

/* Workers that fall asleep and are woken, again and again */

static intptr_t count_it(void *arg)
{
    count(&ended);
    return (intptr_t)arg;
}

/* Pauses for about as long as a worker looks for work, then has something for one of them. */
static intptr_t wake_others(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;

    while (whorl_now() < end && test_failures() == 0) {
        struct whorl_spawn_options there = {.size = sizeof there};
        struct whorl_task *t;

        CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % 150000)), 0);
        there.worker = test_random(&seed) % 3 ? WHORL_WORKER((int)(test_random(&seed) % (unsigned)whorl_workers())) : 0;
        t = whorl_spawn_with(count_it, arg, &there);
        if (!CHECK(t))
            break;
        count(&begun);
        whorl_deadline(whorl_after(WHORL_SEC(10))); /* a wake-up that is lost is one for ever */
        CHECK_EQ(whorl_join(t, NULL), 0);
        whorl_deadline(WHORL_NEVER);
    }
    return 0;
}

static void wake(void)
{
    drive_all(wake_others);
}

TEST(tasks, no_wake_up_is_lost, .timeout = 120)
{
    in_runtime(WORKERS, wake);
}

static intptr_t wake_in_task(void *arg)
{
    wake();
    return (intptr_t)arg;
}

TEST(tasks, no_wake_up_is_lost_without_membarrier, .timeout = 120)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .disable = "membarrier", .spin_ns = -1};

    NEED_URING();
    CHECK_EQ(whorl_run(wake_in_task, NULL, &options), 0);
}

/* Where a task is, and who it is, while it moves from worker to worker */

static pid_t thread_of[1024]; /* by worker, atomic: 0 until seen */
static int moves;             /* atomic */

PLAIN_CALL pid_t this_thread(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* The worker and the thread go together, whatever the compiler may remember of either. */
static void look_round(struct whorl_task *self, struct whorl_runtime *runtime, const char *name, int *last)
{
    int worker = whorl_worker();
    pid_t none = 0, thread = this_thread();

    CHECK(worker >= 0 && worker < whorl_workers());
    if (!__atomic_compare_exchange_n(&thread_of[worker], &none, thread, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        CHECK_EQ(none, thread);
    CHECK(whorl_self() == self);
    CHECK(whorl_runtime() == runtime);
    CHECK_STR(whorl_name(whorl_self()), name);
    CHECK_EQ(whorl_in_task(), 1);
    if (worker != *last)
        count(&moves);
    *last = worker;
}

static intptr_t wander(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    struct whorl_task *self = whorl_self();
    struct whorl_runtime *runtime = whorl_runtime();
    int last = whorl_worker();

    while (whorl_now() < end && test_failures() == 0) {
        look_round(self, runtime, "driver", &last);
        if (test_random(&seed) % 4)
            whorl_yield();
        else
            whorl_sleep((whorl_ns)(test_random(&seed) % 20000));
        look_round(self, runtime, "driver", &last);
        compute(test_random(&seed));
    }
    return 0;
}

static void wander_all(void)
{
    memset(thread_of, 0, sizeof thread_of);
    moves = 0;
    drive_all(wander);
    CHECK(whorl_workers() == 1 || read_count(&moves) > 0);
}

TEST(tasks, a_task_that_moves_knows_where_it_is, .timeout = 120)
{
    in_runtime(WORKERS, wander_all);
}

/* Other threads */

enum { THREADS = 4 };

static struct whorl_runtime *runtime; /* written before the threads that read it */
static int threads_done;              /* atomic */

static intptr_t answer(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;

    if (test_random(&seed) % 2)
        whorl_yield();
    count(&ended);
    return result_for((uint64_t)(uintptr_t)arg);
}

static void ask(uint64_t question)
{
    struct whorl_task *t = whorl_runtime_spawn(runtime, answer, (void *)(uintptr_t)question, NULL);
    intptr_t result;

    if (!CHECK(t))
        return;
    count(&begun);
    if (question % 16 == 0) {
        whorl_detach(t);
        return;
    }
    if (question % 16 == 1)
        whorl_cancel(t); /* it waits for nothing, and so does not see it */
    CHECK_EQ(whorl_runtime_join(t, &result), 0);
    CHECK_EQ(result, result_for(question));
}

/* The real clock in seconds, for loops that are no tasks. */
static time_t seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void *hammer(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    time_t stop = seconds_now() + (time_t)test_seconds(1);

    while (seconds_now() <= stop && test_failures() == 0)
        ask(test_random(&seed));
    count(&threads_done);
    return NULL;
}

static void be_hammered(void)
{
    pthread_t threads[THREADS];

    begun = ended = threads_done = 0;
    runtime = whorl_runtime();
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    while (read_count(&threads_done) < THREADS)
        whorl_sleep(WHORL_MS(1));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    UNTIL(read_count(&ended) == read_count(&begun));
    CHECK(begun > 0);
}

TEST(tasks, threads_hammer_a_runtime, .timeout = 120)
{
    in_runtime(WORKERS, be_hammered);
}

/* Runtimes that begin and end */

static intptr_t live_shortly(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;

    for (uint64_t n = test_random(&seed) % 20; n > 0; n--) {
        struct whorl_task *t = whorl_spawn(do_and_forget, (void *)(uintptr_t)test_random(&seed));

        count(&begun);
        whorl_detach(t);
    }
    if (test_random(&seed) % 2)
        whorl_sleep((whorl_ns)(test_random(&seed) % 100000));
    return 0;
}

TEST(tasks, runtimes_begin_and_end, .timeout = 120)
{
    uint64_t seed = test_seed();
    time_t stop = seconds_now() + (time_t)test_seconds(1);
    int before = open_descriptors();

    NEED_URING();
    begun = ended = 0;
    do {
        struct whorl_options options = {.size = sizeof options, .workers = 1 + (int)(test_random(&seed) % 8)};

        options.exit_policy = test_random(&seed) % 2 ? WHORL_EXIT_CANCEL : WHORL_EXIT_JOIN;
        CHECK_EQ(whorl_run(live_shortly, (void *)(uintptr_t)test_random(&seed), &options), 0);
        CHECK_EQ(read_count(&ended), read_count(&begun)); /* it ends behind its tasks */
    } while (seconds_now() <= stop && test_failures() == 0);
    CHECK_EQ(open_descriptors(), before);
}
