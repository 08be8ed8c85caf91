/* SPDX-License-Identifier: MIT */
/* Runtimes that are created, have tasks run in them now and then, and are closed. */
#include "loopback.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/support/child.h"

static struct whorl_runtime *create(const char *reactor, int workers, enum whorl_exit policy)
{
    struct whorl_options options = {
        .size = sizeof options, .reactor = reactor, .workers = workers, .exit_policy = policy, .seed = test_seed()};
    struct whorl_runtime *rt = NULL;

    CHECK_EQ(whorl_runtime_create(&options, &rt), 0);
    return rt;
}

static intptr_t run(struct whorl_runtime *rt, whorl_fn fn, void *arg)
{
    intptr_t result = INTPTR_MIN;

    CHECK_EQ(whorl_runtime_run(rt, fn, arg, &result), 0);
    return result;
}

/* Calls `fn` with a runtime of each kind. */
static void with_each(void (*fn)(struct whorl_runtime *rt))
{
    int before = open_descriptors();

    for (int i = 0; i < 8; i++) {
        bool null = i % 2 == 0 || !uring_available();
        struct whorl_runtime *rt = create(null ? "null" : "uring", 1 + i / 2, WHORL_EXIT_JOIN);

        if (!rt)
            return;
        fn(rt);
        whorl_runtime_close(rt);
    }
    CHECK_EQ(open_descriptors(), before);
}

static int read_count(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Run after run */

static intptr_t half(void *arg)
{
    whorl_yield();
    return (intptr_t)arg / 2;
}

static intptr_t spawn_half(void *arg)
{
    CHECK_STR(whorl_name(whorl_self()), "main");
    CHECK_EQ(whorl_sleep(WHORL_US(1)), 0);
    return result_of(whorl_spawn(half, arg));
}

static void run_often(struct whorl_runtime *rt)
{
    for (intptr_t i = 0; i < 200; i++)
        CHECK_EQ(run(rt, spawn_half, (void *)i), i / 2);
    CHECK_EQ(whorl_runtime_run(rt, half, NULL, NULL), 0);
    CHECK_EQ(run(rt, half, (void *)(intptr_t)-8), -4);
}

TEST(explicit, runs_follow_each_other)
{
    with_each(run_often);
}

struct left {
    struct whorl_future go;
    struct whorl_task *task; /* that the first run leaves */
    int steps;               /* atomic */
};

static intptr_t wait_to_go(void *arg)
{
    struct left *l = arg;
    intptr_t value = 0;

    CHECK_EQ(whorl_future_wait(&l->go, &value), 0);
    CHECK_EQ(whorl_sleep(WHORL_US(10)), 0);
    return value + 1;
}

static intptr_t leave(void *arg)
{
    struct left *l = arg;

    l->task = start("left", wait_to_go, l);
    return 0;
}

static intptr_t pick_up(void *arg)
{
    struct left *l = arg;

    CHECK_EQ(whorl_future_set(&l->go, 6), 0);
    return result_of(l->task);
}

static void leave_and_pick_up(struct whorl_runtime *rt)
{
    struct left l = {.steps = 0};
    intptr_t result = 0;

    CHECK_EQ(run(rt, leave, &l), 0);
    CHECK_EQ(run(rt, pick_up, &l), 7);

    l = (struct left){.steps = 0};
    CHECK_EQ(run(rt, leave, &l), 0);
    CHECK_EQ(whorl_future_set(&l.go, 10), 0); /* from outside */
    CHECK_EQ(whorl_runtime_join(l.task, &result), 0);
    CHECK_EQ(result, 11);
}

TEST(explicit, tasks_survive_between_runs)
{
    with_each(leave_and_pick_up);
}

/* Between runs */

static intptr_t step_on(void *arg)
{
    struct left *l = arg;

    while (whorl_future_try(&l->go, NULL) == -EINPROGRESS) {
        __atomic_add_fetch(&l->steps, 1, __ATOMIC_SEQ_CST);
        CHECK_EQ(whorl_sleep(WHORL_US(100)), 0);
    }
    return 0;
}

static intptr_t leave_stepping(void *arg)
{
    struct left *l = arg;

    l->task = start("stepping", step_on, l);
    return 0;
}

TEST(explicit, with_threads_of_its_own_tasks_go_on_between_runs)
{
    struct left l = {.steps = 0};
    struct whorl_runtime *rt;

    NEED_URING();
    rt = create("uring", 2, WHORL_EXIT_JOIN);
    CHECK_EQ(run(rt, leave_stepping, &l), 0);
    while (read_count(&l.steps) < 20) /* or the test's time runs out */
        usleep(100);
    CHECK_EQ(whorl_future_set(&l.go, 0), 0);
    CHECK_EQ(run(rt, half, NULL), 0);
    CHECK_EQ(whorl_runtime_join(l.task, NULL), 0);
    whorl_runtime_close(rt);
}

static intptr_t now_after(void *arg)
{
    CHECK_EQ(whorl_sleep((intptr_t)arg), 0);
    return (intptr_t)whorl_now();
}

TEST(explicit, played_by_its_callers_the_clock_stands_between_runs)
{
    for (int workers = 1; workers <= 4; workers++) {
        struct left l = {.steps = 0};
        struct whorl_runtime *rt = create("null", workers, WHORL_EXIT_JOIN);
        int steps;

        CHECK_EQ(run(rt, leave_stepping, &l), 0);
        CHECK_EQ(run(rt, now_after, (void *)WHORL_MS(10)), WHORL_MS(10));
        steps = read_count(&l.steps);
        CHECK(steps == 100 || steps == 101); /* both are due at the end, and either may come first */
        usleep(2000);
        CHECK_EQ(read_count(&l.steps), steps);
        CHECK_EQ(run(rt, now_after, (void *)(intptr_t)0), WHORL_MS(10));
        CHECK_EQ(run(rt, now_after, (void *)WHORL_SEC(1)), WHORL_MS(1010));
        steps = read_count(&l.steps);
        CHECK(steps == 10100 || steps == 10101);
        CHECK_EQ(whorl_future_set(&l.go, 0), 0);
        CHECK_EQ(whorl_runtime_join(l.task, NULL), 0);
        CHECK_EQ(run(rt, now_after, (void *)(intptr_t)0),
                 WHORL_MS(1010) + (steps == 10101 ? WHORL_US(100) : 0)); /* its last sleep */
        whorl_runtime_close(rt);
    }
}

/* The order in which tasks draw numbers is the same with the same seed, whatever happens between the runs. */

struct order {
    int at;
    char seen[400];
};

static intptr_t draw(void *arg)
{
    struct order *o = arg;
    char who = whorl_name(whorl_self())[0];

    for (int i = 0; i < 20; i++) {
        o->seen[o->at++] = who;
        if (i % 3)
            whorl_yield();
        else
            whorl_sleep(WHORL_US(i));
    }
    return 0;
}

static intptr_t leave_drawing(void *arg)
{
    static const char *const names[] = {"a", "b", "c", "d"};

    for (int i = 0; i < 4; i++)
        whorl_detach(start(names[i], draw, arg));
    return draw(arg);
}

TEST(explicit, played_by_its_callers_it_does_the_same_with_the_same_seed)
{
    struct order orders[2] = {{.at = 0}};

    for (int i = 0; i < 2; i++) {
        struct whorl_runtime *rt = create("null", 3, WHORL_EXIT_JOIN);

        for (int j = 0; j < 3; j++) {
            CHECK_EQ(run(rt, leave_drawing, &orders[i]), 0);
            if (i)
                usleep(500);
        }
        whorl_runtime_close(rt);
        CHECK_EQ(orders[i].at, 300);
    }
    CHECK_STR(orders[0].seen, orders[1].seen);
}

/* Several threads */

static void *run_on_a_thread(void *arg)
{
    for (intptr_t i = 0; i < (intptr_t)rounds(100); i++)
        CHECK_EQ(run(arg, spawn_half, (void *)(2 * i)), i);
    return NULL;
}

static void run_on_threads(struct whorl_runtime *rt)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, run_on_a_thread, rt), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

TEST(explicit, several_threads_run_tasks_at_once, .timeout = 60)
{
    with_each(run_on_threads);
}

static intptr_t give_own_runtime(void *arg)
{
    *(struct whorl_runtime **)arg = whorl_runtime();
    return whorl_workers();
}

TEST(explicit, two_runtimes_are_two)
{
    struct whorl_runtime *rt[2], *seen[2];

    NEED_URING();
    rt[0] = create("uring", 2, WHORL_EXIT_JOIN);
    rt[1] = create("uring", 1, WHORL_EXIT_JOIN);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(run(rt[i % 2], give_own_runtime, &seen[i % 2]), 2 - i % 2);
    CHECK(seen[0] == rt[0] && seen[1] == rt[1] && rt[0] != rt[1]);
    whorl_runtime_close(rt[0]);
    CHECK_EQ(run(rt[1], half, (void *)8), 4);
    CHECK_EQ(whorl_run(half, (void *)18, &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = 2}), 9);
    whorl_runtime_close(rt[1]);
}

/* The end */

static intptr_t sleep_long(void *arg)
{
    int err = whorl_sleep(WHORL_SEC(1000));

    __atomic_store_n((int *)arg, err, __ATOMIC_SEQ_CST);
    return err;
}

static intptr_t leave_sleeping(void *arg)
{
    whorl_detach(start("sleeper", sleep_long, arg));
    whorl_yield();
    return 0;
}

static intptr_t sleep_a_little(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_MS(2)), 0);
    __atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static intptr_t leave_napping(void *arg)
{
    whorl_detach(start("napper", sleep_a_little, arg));
    return 0;
}

TEST(explicit, close_joins_or_cancels_what_is_left)
{
    for (int i = 0; i < 8; i++) {
        const char *reactor = i % 2 || !uring_available() ? "null" : "uring";
        struct whorl_runtime *rt = create(reactor, 1 + i / 2, WHORL_EXIT_CANCEL);
        int err = 0, ended = 0;

        CHECK_EQ(run(rt, leave_sleeping, &err), 0);
        whorl_runtime_close(rt);
        CHECK_EQ(err, -ECANCELED);

        rt = create(reactor, 1 + i / 2, WHORL_EXIT_JOIN);
        CHECK_EQ(run(rt, leave_napping, &ended), 0);
        whorl_runtime_close(rt);
        CHECK_EQ(ended, 1);
    }
}

static struct whorl_runtime *closing;
static int turned_away;

static void *spawn_until_closed(void *arg)
{
    struct whorl_task *t;

    while ((t = whorl_runtime_spawn(closing, half, arg, NULL)) != NULL) {
        whorl_detach(t);
        sched_yield();
    }
    whorl_runtime_release(closing);
    __atomic_add_fetch(&turned_away, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

TEST(explicit, threads_that_bring_work_are_turned_away_by_close)
{
    NEED_URING();
    for (unsigned i = 0; i < rounds(20); i++) {
        pthread_t threads[2];

        turned_away = 0;
        closing = create("uring", 2, WHORL_EXIT_JOIN);
        for (int j = 0; j < 2; j++) {
            whorl_runtime_hold(closing); /* it does not end under their feet */
            CHECK_EQ(pthread_create(&threads[j], NULL, spawn_until_closed, NULL), 0);
        }
        CHECK_EQ(run(closing, half, (void *)2), 1);
        whorl_runtime_close(closing);
        for (int j = 0; j < 2; j++)
            pthread_join(threads[j], NULL);
        CHECK_EQ(read_count(&turned_away), 2);
    }
}

/* Who holds a runtime is waited for. */

static int let_go; /* atomic */

static void *hold_a_while(void *arg)
{
    usleep(3000);
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    whorl_runtime_release(arg);
    return NULL;
}

static intptr_t have_it_held(void *arg)
{
    whorl_runtime_hold(whorl_runtime());
    return pthread_create(arg, NULL, hold_a_while, whorl_runtime());
}

TEST(explicit, it_does_not_end_while_it_is_held)
{
    for (int i = 0; i < 4; i++) {
        struct whorl_options options = {
            .size = sizeof options, .reactor = i % 2 || !uring_available() ? "null" : "uring", .workers = 2};
        struct whorl_runtime *rt;
        pthread_t thread;

        let_go = 0;
        if (i < 2) {
            CHECK_EQ(whorl_run(have_it_held, &thread, &options), 0);
        } else {
            CHECK_EQ(whorl_runtime_create(&options, &rt), 0);
            CHECK_EQ(run(rt, have_it_held, &thread), 0);
            whorl_runtime_close(rt);
        }
        CHECK_EQ(read_count(&let_go), 1);
        pthread_join(thread, NULL);
    }
}

PLAIN_CALL int threads_now(void)
{
    DIR *d = opendir("/proc/self/task");
    int count = -2; /* "." and ".." */

    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count;
}

TEST(explicit, nothing_is_left_behind, .timeout = 60)
{
    int threads, descriptors = open_descriptors();

    NEED_URING();
    whorl_runtime_close(create("uring", 1, WHORL_EXIT_JOIN)); /* ThreadSanitizer starts a thread with the first */
    threads = threads_now();
    for (unsigned i = 0; i < rounds(50); i++) {
        struct whorl_runtime *rt = create("uring", 1 + (int)(i % 4), WHORL_EXIT_JOIN);

        if (i % 3)
            CHECK_EQ(run(rt, spawn_half, (void *)4), 2);
        CHECK(threads_now() > threads);
        whorl_runtime_close(rt);
    }
    CHECK_EQ(threads_now(), threads);
    CHECK_EQ(open_descriptors(), descriptors);
}

static void create_wrongly(void *unused)
{
    struct whorl_options options = {.size = sizeof options, .workers = -1};
    struct whorl_runtime *rt = NULL;

    (void)unused;
    CHECK_EQ(whorl_runtime_create(&options, &rt), -EINVAL);
    options.workers = 1;
    options.reactor = "steam";
    CHECK_EQ(whorl_runtime_create(&options, &rt), -EINVAL);
    CHECK(!rt);
}

TEST(explicit, what_cannot_start_says_why)
{
    char said[4096];

    CHECK_EQ(run_in_child(create_wrongly, NULL, said, sizeof said), 0);
    CHECK_HAS(said, "whorl_options.workers is -1");
    CHECK_HAS(said, "reactor \"steam\" is unknown");
}

/* Mistakes */

static void dies(void (*fn)(void *), const char *what)
{
    char said[4096];
    int status = run_in_child(fn, NULL, said, sizeof said);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(said, what);
}

static intptr_t run_inside(void *arg)
{
    (void)arg;
    return whorl_runtime_run(whorl_runtime(), half, NULL, NULL);
}

static intptr_t close_inside(void *arg)
{
    (void)arg;
    whorl_runtime_close(whorl_runtime());
    return 0;
}

static void nest_runs(void *unused)
{
    (void)unused;
    run(create("null", 2, WHORL_EXIT_JOIN), run_inside, NULL);
}

static void nest_close(void *unused)
{
    (void)unused;
    run(create("null", 2, WHORL_EXIT_JOIN), close_inside, NULL);
}

static void close_twice(void *unused)
{
    struct whorl_runtime *rt = create("null", 2, WHORL_EXIT_JOIN);

    (void)unused;
    whorl_runtime_close(rt);
    whorl_runtime_close(rt);
}

static void run_after_close(void *unused)
{
    struct whorl_runtime *rt = create("null", 2, WHORL_EXIT_JOIN);

    (void)unused;
    whorl_runtime_close(rt);
    run(rt, half, NULL);
}

static void spawn_after_close(void *unused)
{
    struct whorl_runtime *rt = create("null", 2, WHORL_EXIT_JOIN);

    (void)unused;
    whorl_runtime_close(rt);
    CHECK(!whorl_runtime_spawn(rt, half, NULL, NULL));
}

static void close_nothing(void *unused)
{
    (void)unused;
    whorl_runtime_close(NULL);
}

static int sleeps; /* atomic */

static intptr_t sleep_on(void *arg)
{
    __atomic_store_n(&sleeps, 1, __ATOMIC_SEQ_CST);
    (void)arg;
    return whorl_sleep(WHORL_SEC(1000));
}

static void *run_on(void *arg)
{
    run(arg, sleep_on, NULL);
    return NULL;
}

static void close_under_a_run(void *unused)
{
    struct whorl_runtime *rt = create("uring", 2, WHORL_EXIT_CANCEL);
    pthread_t thread;

    (void)unused;
    CHECK_EQ(pthread_create(&thread, NULL, run_on, rt), 0);
    while (!read_count(&sleeps))
        usleep(100);
    whorl_runtime_close(rt);
}

TEST(explicit, mistakes_abort_and_say_what_to_do)
{
    dies(nest_runs, "whorl_runtime_run was called in a task, whose worker it would block: spawn a task and join it");
    dies(nest_runs, "in task \"main\"");
    dies(nest_close, "whorl_runtime_close was called in a task");
    dies(close_twice, "whorl_runtime_close was given a runtime that has ended, or is none");
    dies(run_after_close, "whorl_runtime_run was given a runtime that has ended, or is none");
    dies(spawn_after_close, "whorl_runtime_spawn was given a runtime that has ended, or is none");
    dies(close_nothing, "whorl_runtime_close was given no runtime");
    NEED_URING();
    dies(close_under_a_run, "whorl_runtime_close was called while a whorl_runtime_run of that runtime was under way");
}
