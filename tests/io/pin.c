/* SPDX-License-Identifier: MIT */
/* Pinned tasks on real workers: their operations may be taken over from a worker that is kept by a hog, but they go on there only,
 * when it is over. No time is asserted. */
#include "loopback.h"

#include "tests/support/child.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { SESSIONS = 12, ROUNDS = 200, WORKERS = 4 };

static int threads[WORKERS]; /* the OS thread of each worker, atomic; 0: not known yet */

PLAIN_CALL int my_thread(void)
{
    return (int)syscall(SYS_gettid);
}

/* The running task is at home: on its worker, and that is the same thread as ever. */
static void check_home(int home)
{
    int none = 0, me = my_thread();

    CHECK_EQ(whorl_worker(), home);
    if (!__atomic_compare_exchange_n(&threads[home], &none, me, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        CHECK_EQ(none, me);
}

static struct whorl_task *start_pinned(int home, whorl_fn fn, void *arg)
{
    struct whorl_spawn_options there = {.size = sizeof there, .name = "pinned", .worker = WHORL_WORKER(home), .pinned = 1};
    struct whorl_task *t = whorl_spawn_with(fn, arg, &there);

    CHECK(t);
    return t;
}

static whorl_ns real_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return WHORL_SEC(t.tv_sec) + t.tv_nsec;
}

/* Echo beside tasks that compute. */

struct session {
    int ends[2];
    int home;
};

static intptr_t echo(void *arg)
{
    struct session *s = arg;
    char text[64];
    ssize_t n;

    check_home(s->home);
    while ((n = whorl_recv(s->ends[0], text, sizeof text, 0)) > 0) {
        check_home(s->home);
        CHECK_EQ(whorl_send_all(s->ends[0], text, (size_t)n, 0), n);
        check_home(s->home);
    }
    CHECK_EQ(n, 0);
    return 0;
}

static intptr_t ask(void *arg)
{
    struct session *s = arg;
    char text[64] = "is anybody there?", back[64];

    for (unsigned i = 0; i < rounds(ROUNDS) && test_failures() == 0; i++) {
        CHECK_EQ(whorl_send_all(s->ends[1], text, sizeof text, 0), sizeof text);
        for (size_t got = 0; got < sizeof back;) {
            ssize_t n = whorl_recv(s->ends[1], back + got, sizeof back - got, 0);

            if (!CHECK(n > 0))
                return -1;
            got += (size_t)n;
        }
        CHECK_EQ(memcmp(text, back, sizeof text), 0);
    }
    CHECK_EQ(whorl_shutdown(s->ends[1], SHUT_WR), 0);
    return 0;
}

/* Forks and computes until it is told to stop. */
static int stop; /* atomic */

struct burn {
    struct whorl_fork fork;
    int depth;
};

static void burn(struct whorl_fork *self)
{
    struct burn *b = whorl_fork_of(self, struct burn, fork), one = {.depth = b->depth - 1}, two = one;

    for (volatile int i = 0; i < 100; i++)
        continue;
    if (b->depth == 0)
        return;
    whorl_fork(&one.fork, burn);
    burn(&two.fork);
    whorl_sync(&one.fork);
}

static intptr_t keep_busy(void *arg)
{
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        struct burn root = {.depth = 10};

        burn(&root.fork);
        whorl_yield();
    }
    return (intptr_t)arg;
}

static void echo_while_others_compute(void)
{
    struct session sessions[SESSIONS];
    struct whorl_task *servers[SESSIONS], *clients[SESSIONS], *busy[WORKERS];

    memset(threads, 0, sizeof threads);
    stop = 0;
    for (int i = 0; i < WORKERS; i++)
        busy[i] = start("busy", keep_busy, NULL);
    for (int i = 0; i < SESSIONS; i++) {
        if (!connect_ends(sessions[i].ends))
            return;
        sessions[i].home = i % WORKERS;
        servers[i] = start_pinned(i % WORKERS, echo, &sessions[i]);
        clients[i] = start("client", ask, &sessions[i]);
    }
    for (int i = 0; i < SESSIONS; i++) {
        CHECK_EQ(result_of(clients[i]), 0);
        CHECK_EQ(result_of(servers[i]), 0);
        close_ends(sessions[i].ends);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(result_of(busy[i]), 0);
}

TASK_TEST_WITHIN(pin, pinned_tasks_echo_at_home_while_others_compute, WORKERS, 60)
{
    echo_while_others_compute();
}

/* A hog on the worker that pinned tasks wait on. What they wait for comes meanwhile, and others take it over; they go on afterwards. */

struct hog {
    int home;
    int up;                 /* atomic: it keeps the worker */
    int released;           /* atomic: it may end */
    int over;               /* atomic: it has */
    int begun;              /* atomic: pinned tasks that are about to wait */
    int gate[2];            /* a pipe that one hog reads from, plainly */
    struct session session; /* for the pinned one */
};

/* Nothing of this is called while the worker is kept. */
static intptr_t compute(void *arg)
{
    struct hog *hog = arg;
    whorl_ns patience = real_now() + WHORL_SEC(15);

    check_home(hog->home);
    __atomic_store_n(&hog->up, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&hog->released, __ATOMIC_SEQ_CST) && CHECK(real_now() < patience))
        continue;
    __atomic_store_n(&hog->over, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static intptr_t block(void *arg)
{
    struct hog *hog = arg;
    char byte;

    check_home(hog->home);
    __atomic_store_n(&hog->up, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(read(hog->gate[0], &byte, 1), 1);
    __atomic_store_n(&hog->over, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* The hog has come and gone since `begun` was counted up. */
static void go_on_at_home(struct hog *hog)
{
    check_home(hog->home);
    CHECK_EQ(__atomic_load_n(&hog->over, __ATOMIC_SEQ_CST), 1);
}

static void about_to_wait(struct hog *hog)
{
    check_home(hog->home);
    __atomic_add_fetch(&hog->begun, 1, __ATOMIC_SEQ_CST);
}

static intptr_t receive_beside(void *arg)
{
    struct hog *hog = arg;
    char byte;

    about_to_wait(hog);
    CHECK_EQ(whorl_recv(hog->session.ends[0], &byte, 1, 0), 1);
    go_on_at_home(hog);
    return 0;
}

/* What wakes these is a matter of time: it may come before the hog does. */
static bool hog_has_come(const struct hog *hog)
{
    return __atomic_load_n(&hog->up, __ATOMIC_SEQ_CST);
}

static intptr_t sleep_beside(void *arg)
{
    about_to_wait(arg);
    do
        CHECK_EQ(whorl_sleep(WHORL_MS(20)), 0);
    while (!hog_has_come(arg));
    go_on_at_home(arg);
    return 0;
}

static intptr_t time_out_beside(void *arg)
{
    about_to_wait(arg);
    do {
        whorl_deadline(whorl_after(WHORL_MS(20)));
        CHECK_EQ(whorl_sleep(WHORL_SEC(100)), -ETIMEDOUT);
    } while (!hog_has_come(arg));
    go_on_at_home(arg);
    return 0;
}

static intptr_t wait_to_be_cancelled(void *arg)
{
    about_to_wait(arg);
    CHECK_EQ(whorl_sleep(WHORL_SEC(100)), -ECANCELED);
    go_on_at_home(arg);
    return 0;
}

static intptr_t end_elsewhere(void *arg)
{
    struct hog *hog = arg;

    while (!__atomic_load_n(&hog->up, __ATOMIC_SEQ_CST))
        CHECK_EQ(whorl_sleep(WHORL_US(100)), 0);
    CHECK(whorl_worker() != hog->home);
    return 0;
}

static intptr_t join_beside(void *arg)
{
    struct hog *hog = arg;
    struct whorl_task *t = start_pinned((hog->home + 1) % whorl_workers(), end_elsewhere, hog);

    about_to_wait(hog);
    CHECK_EQ(whorl_join(t, NULL), 0);
    go_on_at_home(hog);
    return 0;
}

/* Forked before the region began, so that others may take it: its end wakes the pinned one. */
struct taken {
    struct whorl_fork fork;
    struct hog *hog;
    int begun; /* atomic */
};

static void run_elsewhere(struct whorl_fork *self)
{
    struct taken *taken = whorl_fork_of(self, struct taken, fork);

    __atomic_store_n(&taken->begun, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&taken->hog->up, __ATOMIC_SEQ_CST))
        continue;
}

/* Comes to the worker that is to be kept, with a fork of its own that somebody else has begun. */
static intptr_t sync_beside(void *arg)
{
    struct hog *hog = arg;
    struct taken taken = {.hog = hog};
    whorl_ns end = whorl_after(WHORL_SEC(15));

    whorl_fork(&taken.fork, run_elsewhere);
    while (!__atomic_load_n(&taken.begun, __ATOMIC_SEQ_CST) && CHECK(whorl_now() < end))
        continue;
    whorl_pin();
    hog->home = whorl_worker();
    about_to_wait(hog);
    whorl_sync(&taken.fork);
    go_on_at_home(hog);
    whorl_unpin();
    return 0;
}

static void release(struct hog *hog)
{
    __atomic_store_n(&hog->released, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(write(hog->gate[1], "", 1), 1);
}

/* Does for `t` what wakes it, where something must be done. */
static void wake_up(struct hog *hog, whorl_fn fn, struct whorl_task *t)
{
    if (fn == receive_beside)
        CHECK_EQ(whorl_send_all(hog->session.ends[1], "!", 1, 0), 1);
    if (fn == wait_to_be_cancelled)
        whorl_cancel(t);
}

/* The other workers have time to take it over, and would go on with it, before the hog ends. This task is pinned elsewhere. */
static void wait_beside_a_hog(whorl_fn fn, whorl_fn keep)
{
    struct hog hog = {.home = 1};
    struct whorl_task *pinned, *keeper;

    CHECK_EQ(pipe2(hog.gate, O_CLOEXEC), 0);
    if (fn == receive_beside && !connect_ends(hog.session.ends))
        return;
    pinned = fn == sync_beside ? start("pinned", fn, &hog) : start_pinned(hog.home, fn, &hog);
    UNTIL(__atomic_load_n(&hog.begun, __ATOMIC_SEQ_CST) == 1);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0); /* it waits */
    keeper = start_pinned(hog.home, keep, &hog);
    if (fn != sync_beside) /* its own worker may be ours: the fork sees the hog come */
        UNTIL(__atomic_load_n(&hog.up, __ATOMIC_SEQ_CST));
    wake_up(&hog, fn, pinned);
    CHECK_EQ(whorl_sleep(WHORL_MS(50)), 0);
    CHECK_EQ(whorl_result(pinned, NULL), -EINPROGRESS);
    release(&hog);
    CHECK_EQ(result_of(pinned), 0);
    CHECK_EQ(result_of(keeper), 0);
    if (fn == receive_beside)
        close_ends(hog.session.ends);
    CHECK_EQ(whorl_close(hog.gate[0]), 0);
    CHECK_EQ(whorl_close(hog.gate[1]), 0);
}

static void wait_beside_hogs(void)
{
    static const whorl_fn fns[] = {receive_beside, sleep_beside, time_out_beside, wait_to_be_cancelled, join_beside, sync_beside};

    for (size_t i = 0; i < sizeof fns / sizeof *fns && test_failures() == 0; i++) {
        /* From a worker that no hog keeps; a sync is where its fork leaves it, so that main moves to where it can. */
        memset(threads, 0, sizeof threads);
        wait_beside_a_hog(fns[i], compute);
        wait_beside_a_hog(fns[i], block);
    }
}

TASK_TEST_WITHIN(pin, a_pinned_task_goes_on_at_home_when_the_hog_there_ends, WORKERS, 60)
{
    wait_beside_hogs();
}

TASK_TEST_WITHIN(pin, it_does_so_with_two_workers, 2, 60)
{
    wait_beside_hogs();
}

/* Whoever computes through checkpoints lets those go on that are bound to its worker. */

static intptr_t set_flag(void *arg)
{
    __atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    return 0;
}

TASK_TEST_WITHIN(pin, a_checkpoint_lets_bound_tasks_run, 2, 60)
{
    for (int i = 0; i < 20; i++) {
        int ran = 0;
        whorl_ns end = whorl_after(WHORL_SEC(10));
        struct whorl_task *t;

        whorl_pin();
        t = start_pinned(whorl_worker(), set_flag, &ran);
        while (!__atomic_load_n(&ran, __ATOMIC_SEQ_CST) && CHECK(whorl_now() < end))
            whorl_checkpoint();
        whorl_unpin();
        CHECK_EQ(result_of(t), 0);
    }
}

/* Forks that only one worker may take keep no other awake. */

static uint64_t sleeps_of(int worker)
{
    struct whorl_stats stats = {.size = sizeof stats};

    CHECK_EQ(whorl_stats(worker, &stats), 0);
    return stats.sleeps;
}

/* Computes until worker `other` has slept a few times. */
static void let_sleep(int other)
{
    uint64_t before = sleeps_of(other);
    whorl_ns end = whorl_after(WHORL_SEC(10));

    while (sleeps_of(other) < before + 3 && CHECK(whorl_now() < end))
        continue;
}

TASK_TEST(pin, the_forks_of_a_pinned_task_that_computes_let_others_sleep, 2)
{
    struct burn b = {.depth = 0};

    whorl_pin();
    whorl_fork(&b.fork, burn);
    let_sleep(1 - whorl_worker());
    whorl_sync(&b.fork);
    whorl_unpin();
}

static intptr_t let_other_sleep(void *arg)
{
    let_sleep(1 - whorl_worker());
    return (intptr_t)arg;
}

TASK_TEST(pin, the_forks_of_a_pinned_task_that_waits_let_others_sleep, 2)
{
    struct burn b = {.depth = 0};
    struct whorl_task *t;

    whorl_pin();
    whorl_fork(&b.fork, burn);
    t = start_pinned(whorl_worker(), let_other_sleep, NULL);
    CHECK_EQ(result_of(t), 0); /* the fork is set aside meanwhile */
    whorl_sync(&b.fork);
    whorl_unpin();
}

/* A thief takes the forks of a free task, not those of a pinned one beside it. */

struct meeting {
    struct whorl_fork fork;
    int came; /* atomic */
};

static void come(struct whorl_fork *self)
{
    struct meeting *m = whorl_fork_of(self, struct meeting, fork);

    __atomic_store_n(&m->came, 1, __ATOMIC_SEQ_CST);
}

static intptr_t be_met_often(void *arg)
{
    for (unsigned i = 0; i < rounds(400) && test_failures() == 0; i++) {
        struct meeting m = {.came = 0};
        whorl_ns end = whorl_after(WHORL_SEC(10));

        whorl_fork(&m.fork, come);
        while (!__atomic_load_n(&m.came, __ATOMIC_SEQ_CST) && CHECK(whorl_now() < end))
            continue;
        whorl_sync(&m.fork);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    return (intptr_t)arg;
}

TASK_TEST_WITHIN(pin, nobody_takes_the_forks_of_a_pinned_task_that_computes, 3, 60)
{
    struct meeting own[8];
    struct whorl_task *t;

    stop = 0;
    whorl_pin();
    t = start("free", be_met_often, NULL);
    for (int i = 0; i < 8; i++) {
        own[i].came = 0;
        whorl_fork(&own[i].fork, come);
    }
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        continue;
    for (int i = 0; i < 8; i++)
        CHECK_EQ(__atomic_load_n(&own[i].came, __ATOMIC_SEQ_CST), 0);
    for (int i = 7; i >= 0; i--)
        whorl_sync(&own[i].fork);
    CHECK_EQ(result_of(t), 0);
    whorl_unpin();
}

/* Workers that sleep are woken for what is bound to them. */

static intptr_t ping(void *arg)
{
    int home = (int)(intptr_t)arg;

    for (int i = 0; i < 50; i++) {
        int result;

        check_home(home);
        result = whorl_sleep(WHORL_US(200));
        CHECK(result == 0 || result == -ECANCELED);
    }
    return 0;
}

static intptr_t visit(void *arg)
{
    int home = (int)(intptr_t)arg;

    for (int i = 0; i < 50; i++) {
        int there = (home + 1 + i) % whorl_workers();
        struct whorl_task *t = start_pinned(there, ping, (void *)(intptr_t)there);

        check_home(home);
        if (i % 8)
            whorl_cancel(t); /* one of its naps ends early */
        whorl_detach(t);
        CHECK_EQ(whorl_sleep(WHORL_US(300)), 0);
    }
    return 0;
}

TASK_TEST_WITHIN(pin, workers_that_sleep_are_woken_for_their_own, WORKERS, 60)
{
    struct whorl_task *visitors[WORKERS];

    memset(threads, 0, sizeof threads);
    for (intptr_t i = 0; i < WORKERS; i++)
        visitors[i] = start_pinned((int)i, visit, (void *)i);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(result_of(visitors[i]), 0);
}

/* Names are looked up by other threads, which wake the task. */
TASK_TEST(pin, a_look_up_by_another_thread_ends_at_home, WORKERS)
{
    int home;

    memset(threads, 0, sizeof threads);
    whorl_pin();
    home = whorl_worker();
    check_home(home);
    for (int i = 0; i < 10; i++) {
        int fd = whorl_tcp_listen("localhost", 0, NULL);

        check_home(home);
        if (fd >= 0)
            CHECK_EQ(whorl_close(fd), 0);
        check_home(home);
    }
    whorl_unpin();
}

/* In a no-suspend region no call that may suspend is let pass, whether or not it would have had to wait. No ring is needed for that. */

static char byte[1];
static struct open_how how;
static struct statx status;

#define SUSPENDING(X)                                                                                                              \
    X(whorl_tcp_listen, (void)!whorl_tcp_listen(LOOPBACK, 0, NULL))                                                                \
    X(whorl_tcp_connect, (void)!whorl_tcp_connect(LOOPBACK, 1))                                                                    \
    X(whorl_accept, (void)!whorl_accept(-1))                                                                                       \
    X(whorl_recv, (void)!whorl_recv(-1, byte, 0, 0))                                                                               \
    X(whorl_send, (void)!whorl_send(-1, byte, 1, MSG_DONTWAIT))                                                                    \
    X(whorl_close, (void)!whorl_close(-1))                                                                                         \
    X(whorl_open_at, (void)!whorl_open_at(AT_FDCWD, "/", &how))                                                                    \
    X(whorl_statx, (void)!whorl_statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &status))                                               \
    X(whorl_read_at, (void)!whorl_read_at(-1, byte, 1, 0))                                                                         \
    X(whorl_signal_wait, (void)!whorl_signal_wait(&(int){SIGTERM}, 1))

#define CALL(name, expression)                                                                                                     \
    static intptr_t call_##name(void *arg)                                                                                         \
    {                                                                                                                              \
        whorl_no_suspend_begin_at("region.c:1");                                                                                   \
        expression;                                                                                                                \
        whorl_no_suspend_end();                                                                                                    \
        return (intptr_t)arg;                                                                                                      \
    }
SUSPENDING(CALL)

static const struct {
    const char *name;
    whorl_fn fn;
} calls[] = {
#define ROW(name, expression) {#name, call_##name},
    SUSPENDING(ROW)};

static void run_on_null(void *arg)
{
    struct whorl_options options = {.size = sizeof options, .workers = 1, .reactor = "null"};

    unsetenv("WHORL_REACTOR");
    whorl_run(*(const whorl_fn *)arg, NULL, &options);
}

TEST(pin, each_call_that_may_suspend_aborts_in_a_no_suspend_region)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        whorl_fn fn = calls[i].fn;
        char err[8192], expected[128];
        int status_of_child = run_in_child(run_on_null, &fn, err, sizeof err);

        CHECK(WIFSIGNALED(status_of_child) && WTERMSIG(status_of_child) == SIGABRT);
        snprintf(expected, sizeof expected,
                 "whorl: %s, which may suspend, was called in the no-suspend region that began at region.c:1", calls[i].name);
        CHECK_HAS(err, expected);
    }
}
