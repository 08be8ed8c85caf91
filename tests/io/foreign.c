/* SPDX-License-Identifier: MIT */
/* OS threads that are no workers: they bring work, wait for results, and are there when the runtime ends. */
#include "loopback.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "runtime/worker.h" /* who is inside */
#include "tests/support/child.h"

enum { THREADS = 4 };

static struct whorl_runtime *runtime; /* that the threads visit: written before they start */
static int done;                      /* threads that have ended, atomic */
static int ran;                       /* tasks that have, atomic */

static void count(int *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static int read_count(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static intptr_t square(void *arg)
{
    intptr_t n = (intptr_t)arg;

    count(&ran);
    if (n % 4 == 1)
        whorl_yield();
    else if (n % 4 == 2)
        whorl_sleep(WHORL_US(1));
    return n * n;
}

/* Runs `fn` on THREADS threads while the calling task lets others run. */
static void visit(void *(*fn)(void *))
{
    pthread_t threads[THREADS];

    runtime = whorl_runtime();
    __atomic_store_n(&done, 0, __ATOMIC_SEQ_CST);
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, fn, (void *)i), 0);
    UNTIL(read_count(&done) == THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Spawning and joining from outside */

static void *spawn_and_join(void *arg)
{
    intptr_t first = (intptr_t)arg << 20, result;

    CHECK_EQ(whorl_in_task(), 0);
    for (intptr_t i = first; i < first + (intptr_t)rounds(2000); i++) {
        struct whorl_spawn_options there = {.size = sizeof there, .name = "visitor's", .worker = WHORL_WORKER(i % 4)};
        struct whorl_task *t = whorl_runtime_spawn(runtime, square, (void *)i, i % 3 ? &there : NULL);

        if (!CHECK(t))
            break;
        if (i % 8 == 7) {
            whorl_detach(t);
            continue;
        }
        CHECK_STR(whorl_name(t), i % 3 ? "visitor's" : "");
        CHECK_EQ(whorl_runtime_join(t, &result), 0);
        CHECK_EQ(result, i * i);
    }
    count(&done);
    return NULL;
}

TASK_TEST_WITHIN(foreign, threads_get_the_results_of_tasks_they_spawned, 4, 60)
{
    __atomic_store_n(&ran, 0, __ATOMIC_SEQ_CST);
    visit(spawn_and_join);
    UNTIL(read_count(&ran) == THREADS * (int)rounds(2000)); /* the detached ones too */
}

static void *spawn_many_then_join(void *arg)
{
    enum { MANY = 500 };
    struct whorl_task *tasks[MANY];
    intptr_t result;

    for (intptr_t i = 0; i < MANY; i++)
        CHECK((tasks[i] = whorl_runtime_spawn(runtime, square, (void *)i, NULL)) != NULL);
    for (intptr_t i = MANY - 1; i >= 0; i--) {
        CHECK_EQ(whorl_runtime_join(tasks[i], &result), 0);
        CHECK_EQ(result, i * i);
    }
    count(&done);
    return arg;
}

TASK_TEST(foreign, threads_may_have_many_tasks_under_way, 2)
{
    visit(spawn_many_then_join);
}

static void *spawn_wrongly(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .worker = WHORL_WORKER(2)};

    CHECK(!whorl_runtime_spawn(runtime, square, arg, &options));
    options.worker = -1;
    CHECK(!whorl_runtime_spawn(runtime, square, arg, &options));
    options.worker = 0;
    options.stack_size = (4 << 20) + 1;
    CHECK(!whorl_runtime_spawn(runtime, square, arg, &options));
    count(&done);
    return NULL;
}

TASK_TEST(foreign, wrong_options_are_refused, 2)
{
    visit(spawn_wrongly);
}

/* Handles that change hands */

static struct whorl_task *handed[THREADS]; /* atomic */

static void *spawn_for_main(void *arg)
{
    struct whorl_task *t = whorl_runtime_spawn(runtime, square, arg, NULL);

    __atomic_store_n(&handed[(intptr_t)arg], t, __ATOMIC_RELEASE);
    count(&done);
    return NULL;
}

TASK_TEST(foreign, a_task_joins_what_a_thread_spawned, 2)
{
    visit(spawn_for_main);
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(result_of(__atomic_load_n(&handed[i], __ATOMIC_ACQUIRE)), i * i);
}

static void *join_for_main(void *arg)
{
    intptr_t i = (intptr_t)arg, result = 0;

    CHECK_EQ(whorl_runtime_join(__atomic_load_n(&handed[i], __ATOMIC_ACQUIRE), &result), 0);
    CHECK_EQ(result, i * i);
    count(&done);
    return NULL;
}

TASK_TEST(foreign, a_thread_joins_what_a_task_spawned, 2)
{
    for (int round = 0; round < 50; round++) {
        for (intptr_t i = 0; i < THREADS; i++)
            __atomic_store_n(&handed[i], start("handed", square, (void *)i), __ATOMIC_RELEASE);
        visit(join_for_main);
    }
}

static intptr_t sleep_long(void *arg)
{
    CHECK(arg == NULL);
    return whorl_sleep(WHORL_SEC(1000));
}

static void *cancel_from_outside(void *arg)
{
    struct whorl_task *t = whorl_runtime_spawn(runtime, sleep_long, NULL, NULL);
    intptr_t result = 0;

    if ((intptr_t)arg % 2)
        sched_yield();
    whorl_cancel(t);
    while (whorl_result(t, NULL) == -EINPROGRESS)
        sched_yield();
    CHECK_EQ(whorl_runtime_join(t, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    count(&done);
    return NULL;
}

TASK_TEST(foreign, a_thread_cancels_and_looks_for_the_result, 2)
{
    for (unsigned i = 0; i < rounds(100); i++)
        visit(cancel_from_outside);
}

/* The end of a runtime that is being visited */

static int turned_away, admitted; /* atomic */

static void *spawn_until_closed(void *arg)
{
    struct whorl_task *t;

    while ((t = whorl_runtime_spawn(runtime, square, arg, NULL)) != NULL) {
        count(&admitted);
        whorl_detach(t);
    }
    count(&turned_away);
    return NULL;
}

/* Keeps the runtime until all threads know that it closes: none may use it later. */
static intptr_t keep_open(void *arg)
{
    UNTIL(read_count(&turned_away) == THREADS);
    return (intptr_t)arg;
}

static intptr_t close_under_visitors(void *arg)
{
    pthread_t *threads = arg;

    runtime = whorl_runtime();
    whorl_detach(start("keeper", keep_open, NULL));
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, spawn_until_closed, (void *)i), 0);
    UNTIL(read_count(&admitted) > 100);
    return 0;
}

TEST(foreign, what_is_admitted_runs_and_the_rest_is_turned_away, .timeout = 60)
{
    struct whorl_options options = {.size = sizeof options, .workers = 4};
    pthread_t threads[THREADS];

    NEED_URING();
    for (unsigned round = 0; round < rounds(10) && test_failures() == 0; round++) {
        ran = admitted = turned_away = 0;
        CHECK_EQ(whorl_run(close_under_visitors, threads, &options), 0);
        CHECK_EQ(read_count(&ran), read_count(&admitted));
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
}

/* A task keeps the runtime until it has ended; who joins it from outside is still inside then. */

static int joining, released; /* atomic */

static intptr_t square_when_released(void *arg)
{
    while (!read_count(&released))
        whorl_sleep(WHORL_US(20));
    return square(arg);
}

static void *join_the_last(void *arg)
{
    struct whorl_task *t = whorl_runtime_spawn(runtime, square_when_released, arg, NULL);
    intptr_t result = 0;

    count(&joining);
    CHECK_EQ(whorl_runtime_join(t, &result), 0);
    CHECK_EQ(result, (intptr_t)arg * (intptr_t)arg);
    return NULL;
}

static intptr_t release(void *arg)
{
    for (int i = 0; i < 10; i++)
        whorl_yield();
    count(&released);
    return (intptr_t)arg;
}

static intptr_t leave_with_visitors(void *arg)
{
    pthread_t *threads = arg;

    runtime = whorl_runtime();
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, join_the_last, (void *)i), 0);
    UNTIL(read_count(&joining) == THREADS && whorl__load_seq_cst(&((struct whorl__runtime *)runtime)->visitors) == THREADS);
    whorl_detach(start("releaser", release, NULL));
    return 0;
}

TEST(foreign, a_runtime_ends_behind_its_visitors, .timeout = 60)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};
    pthread_t threads[THREADS];

    NEED_URING();
    for (unsigned round = 0; round < rounds(50) && test_failures() == 0; round++) {
        joining = released = 0;
        CHECK_EQ(whorl_run(leave_with_visitors, threads, &options), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
}

static void *leave_sleeping(void *arg)
{
    struct whorl_task *t = whorl_runtime_spawn(runtime, sleep_long, NULL, NULL);

    if (CHECK(t))
        whorl_detach(t);
    count(&done);
    return arg;
}

static intptr_t leave_visitors_tasks(void *arg)
{
    visit(leave_sleeping);
    return (intptr_t)arg;
}

TEST(foreign, tasks_from_outside_are_cancelled_at_the_end_like_others)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2, .exit_policy = WHORL_EXIT_CANCEL};

    NEED_URING();
    for (unsigned round = 0; round < rounds(100); round++)
        CHECK_EQ(whorl_run(leave_visitors_tasks, NULL, &options), 0);
}

static intptr_t join_as_a_thread(void *arg)
{
    return whorl_runtime_join(start("joined", square, arg), NULL);
}

static void run_and_join_as_a_thread(void *arg)
{
    struct whorl_options options = {.size = sizeof options, .workers = 1};

    whorl_run(join_as_a_thread, arg, &options);
}

TEST(foreign, joining_like_a_thread_in_a_task_aborts_and_says_what_to_do)
{
    char said[4096];
    int status;

    NEED_URING();
    status = run_in_child(run_and_join_as_a_thread, NULL, said, sizeof said);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(said, "whorl_runtime_join");
    CHECK_HAS(said, "whorl_join");
}
