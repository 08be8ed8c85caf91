/* SPDX-License-Identifier: MIT */
/* SIGINT: the first one cancels main and all that is in its scopes, the second one ends the process with a dump. Each in a child. */
#include "loopback.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/support/child.h"

static struct whorl_options options_for(int workers)
{
    return (struct whorl_options){.size = sizeof(struct whorl_options), .workers = workers, .cancel_on_sigint = 1};
}

static void interrupt_process(void)
{
    CHECK_EQ(kill(getpid(), SIGINT), 0);
}

static bool has_default_action(void)
{
    struct sigaction now;

    return sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

/* Runs `fn` in a child where SIGINT has its default action at first; its status, and what it says. */
static int status_of(void (*fn)(void *), char *said, size_t size)
{
    int status;

    signal(SIGINT, SIG_DFL); /* a shell may have made it ignored */
    status = run_in_child(fn, NULL, said, size);
    if (test_failures() > 0)
        fprintf(stderr, "# status %d: %s\n", status, said);
    return status;
}

static void ends_well(void (*fn)(void *))
{
    char said[16384];

    CHECK_EQ(status_of(fn, said, sizeof said), 0);
    CHECK_STR(said, "");
}

static void dies(void (*fn)(void *), char *said, size_t size)
{
    int status = status_of(fn, said, size);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

/* The first one */

static intptr_t interrupt_soon(void *arg)
{
    UNTIL(waiting("main", (const char *)arg));
    interrupt_process();
    return 0;
}

static intptr_t sleep_long(void *arg)
{
    *(int *)arg = whorl_sleep(WHORL_SEC(1000));
    return *(int *)arg;
}

static intptr_t receive(void *arg)
{
    char byte;

    return whorl_recv((int)(intptr_t)arg, &byte, 1, 0);
}

/* Main waits at the close of a scope, in which another one waits in a scope of its own, and others for time and for a peer. */

static intptr_t nest(void *arg)
{
    int err = 0, *result = arg;
    struct whorl_scope s;

    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, sleep_long, &err), 0);
    *result = whorl_scope_close(&s);
    CHECK_EQ(err, -ECANCELED);
    return *result;
}

static intptr_t wait_at_close(void *arg)
{
    int nested = 0, slept = 0, after = 0, ends[2];
    struct whorl_scope s;
    struct whorl_task *killer;

    if (!connect_ends(ends))
        return 1;
    killer = start("killer", interrupt_soon, (void *)(intptr_t) "scope");
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, nest, &nested), 0);
    CHECK_EQ(whorl_scope_spawn(&s, sleep_long, &slept), 0);
    CHECK_EQ(whorl_scope_spawn(&s, receive, (void *)(intptr_t)ends[0]), 0);
    CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
    CHECK_EQ(nested, -ECANCELED);
    CHECK_EQ(slept, -ECANCELED);
    CHECK_EQ(whorl_cancelled(), -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    CHECK_EQ(sleep_long(&after), -ECANCELED); /* not just the next one */
    whorl_scope_open(&s);
    whorl_scope_shield(&s); /* the last words */
    CHECK_EQ(whorl_send_all(ends[0], "bye", 3, 0), 3);
    CHECK_EQ(whorl_sleep(WHORL_US(10)), 0);
    CHECK_EQ(whorl_join(killer, NULL), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    close_ends(ends);
    return (intptr_t)arg;
}

static void cancel_main(void *unused)
{
    (void)unused;
    for (int workers = 1; workers <= 4; workers++) {
        struct whorl_options options = options_for(workers);

        CHECK_EQ(whorl_run(wait_at_close, (void *)(intptr_t)(-workers), &options), -workers);
        CHECK(has_default_action());
    }
}

TEST(sigint, the_first_cancels_main_and_what_it_has_opened)
{
    NEED_URING();
    ends_well(cancel_main);
}

/* Nobody has time: main computes, and all other workers too. */

static int stop; /* atomic */

static intptr_t spin(void *arg)
{
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        sched_yield();
    return (intptr_t)arg;
}

static intptr_t compute(void *arg)
{
    int count = whorl_workers() - 1;
    struct whorl_task *hogs[8];

    for (int i = 0; i < count; i++)
        hogs[i] = start("hog", spin, NULL);
    interrupt_process();
    while (!whorl_cancelled())
        sched_yield();
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < count; i++)
        whorl_detach(hogs[i]); /* main cannot wait any more */
    return (intptr_t)arg;
}

/* Main waits, and only those who take turns with it run. */

static intptr_t take_turns(void *arg)
{
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        whorl_yield();
    return (intptr_t)arg;
}

static void *interrupt_from_thread(void *arg)
{
    usleep(1000);
    interrupt_process();
    return arg;
}

static intptr_t wait_among_hogs(void *arg)
{
    struct whorl_task *hogs[8];
    pthread_t thread;

    for (int i = 0; i < 8; i++)
        hogs[i] = start("hog", take_turns, NULL);
    CHECK_EQ(pthread_create(&thread, NULL, interrupt_from_thread, NULL), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    for (int i = 0; i < 8; i++)
        whorl_detach(hogs[i]);
    return (intptr_t)arg;
}

static void cancel_busy(void *unused)
{
    (void)unused;
    for (int workers = 1; workers <= 4; workers++) {
        struct whorl_options options = options_for(workers);

        stop = 0;
        CHECK_EQ(whorl_run(compute, (void *)5, &options), 5);
        stop = 0;
        CHECK_EQ(whorl_run(wait_among_hogs, (void *)6, &options), 6);
        options.reactor = "null";
        stop = workers > 1; /* one thread plays them all */
        CHECK_EQ(whorl_run(compute, (void *)7, &options), 7);
    }
}

TEST(sigint, it_reaches_main_though_all_workers_are_busy, .timeout = 60)
{
    NEED_URING();
    ends_well(cancel_busy);
}

/* Several at once: two runs, each with a main. */

static int asleep; /* atomic */

static intptr_t sleep_with_others(void *arg)
{
    __atomic_add_fetch(&asleep, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    return (intptr_t)arg;
}

static void *run_with_others(void *arg)
{
    struct whorl_options options = options_for(2);

    CHECK_EQ(whorl_run(sleep_with_others, arg, &options), (intptr_t)arg);
    return NULL;
}

static void cancel_several(void *unused)
{
    pthread_t threads[3];

    (void)unused;
    for (int round = 0; round < 10; round++) {
        asleep = 0;
        for (intptr_t i = 0; i < 3; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, run_with_others, (void *)i), 0);
        while (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) < 3)
            usleep(50);
        interrupt_process();
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        CHECK(has_default_action());
    }
}

TEST(sigint, all_mains_are_cancelled)
{
    NEED_URING();
    ends_well(cancel_several);
}

/* Explicit runtimes: during a run only, and for each run anew */

static intptr_t be_interrupted(void *arg)
{
    CHECK(!has_default_action());
    CHECK_EQ(whorl_sleep(WHORL_US(1)), 0);
    interrupt_process();
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    return (intptr_t)arg;
}

static intptr_t tick(void *arg)
{
    int *ticks = arg;

    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        CHECK_EQ(whorl_sleep(WHORL_US(50)), 0); /* it is no main */
        __atomic_add_fetch(ticks, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static intptr_t leave_ticking(void *arg)
{
    whorl_detach(start("ticker", tick, arg));
    return 0;
}

static void block_here(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void cancel_runs(void *unused)
{
    struct whorl_options options = options_for(2);
    struct whorl_runtime *rt;
    int ticks = 0;

    (void)unused;
    CHECK_EQ(whorl_runtime_create(&options, &rt), 0);
    block_here(); /* ThreadSanitizer hands a signal over when the thread makes a call that it knows: workers do */
    CHECK_EQ(whorl_runtime_run(rt, leave_ticking, &ticks, NULL), 0);
    for (intptr_t i = 0; i < 10; i++) {
        intptr_t result = -1;

        CHECK_EQ(whorl_runtime_run(rt, be_interrupted, (void *)i, &result), 0);
        CHECK_EQ(result, i);
        CHECK(has_default_action());
    }
    while (__atomic_load_n(&ticks, __ATOMIC_SEQ_CST) < 10)
        usleep(50);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    whorl_runtime_close(rt);
}

TEST(sigint, each_run_of_an_explicit_runtime_is_cancelled_by_its_own)
{
    NEED_URING();
    ends_well(cancel_runs);
}

/* The second one */

static intptr_t ignore_it(void *arg)
{
    static int err;

    whorl_detach(start("sleeper", sleep_long, &err));
    UNTIL(waiting("sleeper", "sleep until"));
    interrupt_process();
    while (!whorl_cancelled())
        sched_yield();
    interrupt_process();
    for (;;) /* without ever coming to its end */
        sched_yield();
    return (intptr_t)arg;
}

static void run_ignoring(void *unused)
{
    struct whorl_options options = options_for(2);

    (void)unused;
    whorl_run(ignore_it, NULL, &options);
}

static void *interrupt_on(void *arg)
{
    for (;;) { /* two that follow too soon are one */
        interrupt_process();
        usleep(1000);
    }
    return arg;
}

static intptr_t leave_others(void *arg)
{
    pthread_t thread;

    whorl_detach(start("left", sleep_long, arg));
    UNTIL(waiting("left", "sleep until"));
    CHECK_EQ(pthread_create(&thread, NULL, interrupt_on, NULL), 0);
    return 0;
}

static void run_leaving(void *unused)
{
    struct whorl_options options = options_for(2);
    int err = 0;

    (void)unused;
    whorl_run(leave_others, &err, &options);
}

TEST(sigint, the_second_ends_the_process_with_a_dump)
{
    char said[16384];

    NEED_URING();
    dies(run_ignoring, said, sizeof said);
    CHECK_HAS(said, "whorl: runtime");
    CHECK_HAS(said, "\"main\" running");
    CHECK_HAS(said, "\"sleeper\" waits for sleep until");
    dies(run_leaving, said, sizeof said);
    CHECK_HAS(said, "\"left\" waits for sleep until");
}

/* Nobody has asked for it */

static void run_plainly(void *unused)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    (void)unused;
    whorl_run(ignore_it, NULL, &options);
}

static void run_by_environment(void *unused)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    (void)unused;
    setenv("WHORL_CANCEL_ON_SIGINT", "1", 1);
    CHECK_EQ(whorl_run(wait_at_close, (void *)5, &options), 5);
}

TEST(sigint, it_has_its_usual_effect_unless_it_was_asked_for)
{
    char said[16384];

    NEED_URING();
    dies(run_plainly, said, sizeof said);
    CHECK_STR(said, "");
    ends_well(run_by_environment);
}

/* A handler that was there before, and one that comes meanwhile */

static int handled; /* atomic */

static void on_sigint(int number)
{
    (void)number;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static intptr_t replace_handler(void *arg)
{
    signal(SIGINT, on_sigint);
    return (intptr_t)arg;
}

static void run_beside_handlers(void *unused)
{
    struct whorl_options options = options_for(2);
    struct sigaction now;

    (void)unused;
    signal(SIGINT, on_sigint);
    CHECK_EQ(whorl_run(be_interrupted, (void *)3, &options), 3);
    CHECK_EQ(handled, 0);
    interrupt_process();
    CHECK_EQ(handled, 1);
    signal(SIGINT, SIG_DFL);
    CHECK_EQ(whorl_run(replace_handler, (void *)4, &options), 4);
    CHECK(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == on_sigint);
}

TEST(sigint, the_handler_from_before_is_put_back_unless_it_was_replaced)
{
    NEED_URING();
    ends_well(run_beside_handlers);
}

/* The child of a fork has no main that could be cancelled. */

static intptr_t fork_once(void *arg)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        CHECK(has_default_action());
        interrupt_process();
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    return be_interrupted(arg);
}

static void run_forking(void *unused)
{
    struct whorl_options options = options_for(2);

    (void)unused;
    CHECK_EQ(whorl_run(fork_once, (void *)8, &options), 8);
}

TEST(sigint, a_child_of_fork_is_ended_by_it)
{
    NEED_URING();
    ends_well(run_forking);
}

/* What main has left open is complained of as ever. */

static intptr_t leave_open(void *arg)
{
    static struct whorl_scope s;

    whorl_scope_open_at(&s, "there.c:7");
    return (intptr_t)arg;
}

static void run_leaving_open(void *unused)
{
    struct whorl_options options = options_for(2);

    (void)unused;
    whorl_run(leave_open, NULL, &options);
}

TEST(sigint, a_scope_that_main_left_open_is_named)
{
    char said[4096];
    int status;

    NEED_URING();
    status = status_of(run_leaving_open, said, sizeof said);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(said, "\"main\"");
    CHECK_HAS(said, "ended without having closed the scope that it opened at there.c:7");
}
