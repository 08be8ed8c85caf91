/* SPDX-License-Identifier: MIT */
/* What debug mode says of a real runtime: slices that take too long, and that nothing goes on. Each in a child, whose standard error is a file
 * meanwhile, so that what is waited for is that something was said, however long that takes. */
#include "loopback.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "runtime/holder.h"
#include "runtime/waiter.h"
#include "tests/support/child.h"
#include "tests/support/golden.h"

enum { TEXT_SIZE = 1 << 15 };

static int said_fd, told_fd; /* the file, and what was standard error before */

static int count_of(const char *text, const char *part)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

/* How often `part` was said until now. On one thread at a time. */
PLAIN_CALL int said(const char *part)
{
    static char text[TEXT_SIZE];
    ssize_t n = pread(said_fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return count_of(text, part);
}

PLAIN_CALL void divert(void)
{
    said_fd = memfd_create("said", MFD_CLOEXEC);
    told_fd = dup(STDERR_FILENO);
    CHECK(said_fd >= 0 && told_fd >= 0);
    CHECK_EQ(dup2(said_fd, STDERR_FILENO), STDERR_FILENO);
}

/* Tells it to whom it is for. */
PLAIN_CALL void pass_on(void)
{
    char text[TEXT_SIZE];
    ssize_t n = pread(said_fd, text, sizeof text, 0);

    CHECK(n >= 0 && write(told_fd, text, (size_t)n) == n);
}

static struct whorl_options options = {
    .size = sizeof options, .workers = 2, .debug = 1, .slice_ns = WHORL_MS(20), .reactor = "uring"};

static void run_debugged(void *arg)
{
    whorl_fn *fn = arg;

    divert();
    CHECK_EQ(whorl_run(*fn, NULL, &options), 0);
    pass_on();
}

/* What a run of `fn` in debug mode says. */
static char *says(whorl_fn fn)
{
    static char err[TEXT_SIZE];

    CHECK_EQ(run_in_child(run_debugged, &fn, err, sizeof err), 0);
    return err;
}

static struct whorl_task *spawn_there(whorl_fn fn, const char *name, const char *where)
{
    struct whorl_spawn_options there = {.size = sizeof there, .name = name, .worker = WHORL_WORKER(1), .pinned = 1};

    return whorl_spawn_at(fn, NULL, &there, where);
}

/* The functions that are to be found in traces; the linker tells where they begin and end. */
#define TRACED __attribute__((noinline, section("whorl_test_traced")))
extern const char __start_whorl_test_traced[], __stop_whorl_test_traced[];

/* How many of the calls in the text are in those functions. */
static int traced_calls(const char *text)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, "[0x")); at++) {
        uintptr_t address = (uintptr_t)strtoull(at + 1, NULL, 16);

        n += address > (uintptr_t)__start_whorl_test_traced && address <= (uintptr_t)__stop_whorl_test_traced;
    }
    return n;
}

/* Slices. */

TRACED static void compute_until_said(int times)
{
    while (said("has run on") < times)
        continue;
    __asm__ volatile("" ::: "memory"); /* the call above is no last one */
}

TRACED static intptr_t compute(void *arg)
{
    (void)arg;
    compute_until_said(1);
    return 0;
}

static intptr_t run_computer(void *arg)
{
    (void)arg;
    return whorl_join(spawn_there(compute, "pi", "digits.c:3"), NULL);
}

TEST(alarms, a_task_that_computes_is_told_with_its_calls)
{
    char *err;

    NEED_URING();
    err = says(run_computer);
    CHECK(traced_calls(err) >= 2);
    check_golden("slice-running", err);
}

static int gate[2];

TRACED static void read_gate(void)
{
    char byte;

    CHECK_EQ(read(gate[0], &byte, 1), 1);
}

TRACED static intptr_t block(void *arg)
{
    (void)arg;
    read_gate();
    return 0;
}

static intptr_t run_blocker(void *arg)
{
    struct whorl_task *t;

    (void)arg;
    CHECK_EQ(pipe(gate), 0);
    t = spawn_there(block, "reader", "reader.c:5");
    UNTIL(said("is blocked") > 0);
    CHECK_EQ(write(gate[1], "", 1), 1);
    return whorl_join(t, NULL);
}

TEST(alarms, a_task_that_blocks_its_thread_is_told_with_the_system_call_and_its_calls)
{
    char *err;

    NEED_URING();
    err = says(run_blocker);
    CHECK(traced_calls(err) >= 2);
    check_golden("slice-blocked", err);
}

/* A sleep in the kernel, which a signal would end, goes on to its end. */
static intptr_t nap(void *arg)
{
    const struct timespec a_while = {.tv_nsec = WHORL_MS(200)};

    (void)arg;
    do
        CHECK_EQ(nanosleep(&a_while, NULL), 0);
    while (!said("is blocked in"));
    return 0;
}

static intptr_t run_napper(void *arg)
{
    (void)arg;
    return whorl_join(spawn_there(nap, "napper", "bed.c:1"), NULL);
}

TEST(alarms, a_sleep_in_the_kernel_is_not_cut_short)
{
    NEED_URING();
    CHECK_HAS(says(run_napper),
              "is blocked in the system call clock_nanosleep: use whorl_sleep instead, or call it by whorl_blocking");
}

static intptr_t compute_in_two_slices(void *arg)
{
    struct timespec t;
    whorl_ns end;

    (void)arg;
    compute_until_said(1);
    end = whorl_now() + 10 * options.slice_ns;
    while (clock_gettime(CLOCK_MONOTONIC, &t) == 0 && WHORL_SEC(t.tv_sec) + t.tv_nsec < end)
        continue; /* the same slice: silence */
    whorl_yield();
    compute_until_said(2);
    return 0;
}

static intptr_t run_two_slices(void *arg)
{
    (void)arg;
    return whorl_join(spawn_there(compute_in_two_slices, "e", "digits.c:4"), NULL);
}

TEST(alarms, each_slice_is_told_once)
{
    NEED_URING();
    CHECK_EQ(count_of(says(run_two_slices), "task \"e\" (spawned at digits.c:4) has run on worker 1 for more than 20 ms"), 2);
}

static intptr_t compute_politely(void *arg)
{
    whorl_ns end = whorl_after(WHORL_MS(1200));

    (void)arg;
    while (whorl_now() < end)
        whorl_checkpoint();
    return 0;
}

TEST(alarms, who_calls_whorl_checkpoint_is_not_told)
{
    NEED_URING();
    options.slice_ns = WHORL_MS(500); /* the machine may be busy with something else for a while */
    CHECK_STR(says(compute_politely), "");
}

/* A thread that cannot be asked. The signal is free again afterwards. */

static void set_urgent(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    CHECK_EQ(pthread_sigmask(how, &set, NULL), 0);
}

static intptr_t compute_deaf(void *arg)
{
    set_urgent(SIG_BLOCK);
    compute(arg);
    set_urgent(SIG_UNBLOCK);
    return 0;
}

static void on_urgent(int signal)
{
    (void)signal;
}

static intptr_t run_deaf(void *arg)
{
    struct sigaction now;

    (void)arg;
    CHECK_EQ(sigaction(SIGURG, NULL, &now), 0);
    CHECK(now.sa_handler != on_urgent);
    return whorl_join(spawn_there(compute_deaf, "deaf", "deaf.c:1"), NULL);
}

static void run_with_a_handler(void *arg)
{
    static const struct sigaction ours = {.sa_handler = on_urgent};
    whorl_fn fn = run_deaf;
    struct sigaction now;

    (void)arg;
    CHECK_EQ(sigaction(SIGURG, &ours, NULL), 0);
    run_debugged(&fn);
    CHECK_EQ(sigaction(SIGURG, NULL, &now), 0);
    CHECK(now.sa_handler == on_urgent);
}

TEST(alarms, without_an_answer_the_calls_are_not_known)
{
    static char err[TEXT_SIZE];

    NEED_URING();
    CHECK_EQ(run_in_child(run_with_a_handler, NULL, err, sizeof err), 0);
    CHECK_HAS(err, "whorl: task \"deaf\" (spawned at deaf.c:1) has run on worker 1 for more than 20 ms");
    CHECK_HAS(err, "whorl: by which calls it got there could not be read\n");
    CHECK_EQ(traced_calls(err), 0);
}

/* Nothing goes on. */

struct lock {
    struct whorl__waiters waiters;
    struct whorl_task *holder;
};

static struct lock account;

static struct whorl_task *holder_of_lock(uintptr_t object)
{
    return ((struct lock *)object)->holder;
}

WHORL__HOLDER("lock", holder_of_lock);

static intptr_t wait_for_lock(void *arg)
{
    struct whorl__waiter me;

    (void)arg;
    whorl__waiter_init(&me, "wait_for_lock");
    whorl__waiters_lock(&account.waiters);
    whorl__waiters_append(&account.waiters, &me);
    return whorl__waiter_wait(&account.waiters, &me, "lock", &account);
}

static intptr_t hold_and_join(void *arg)
{
    struct whorl_spawn_options named = {.size = sizeof named, .name = "auditor"};

    (void)arg;
    account.holder = whorl_self();
    return whorl_join(whorl_spawn_at(wait_for_lock, NULL, &named, "audit.c:7"), NULL);
}

/* A thread outside, which nobody waits for. */
static void *leave_when_said(void *arg)
{
    while (!said("deadline)\n")) /* the end of it */
        sched_yield();
    pass_on();
    _exit(0);
    return arg;
}

static intptr_t run_until_said(void *arg)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, leave_when_said, NULL), 0);
    return hold_and_join(arg);
}

TEST(alarms, a_real_runtime_that_stands_still_says_who_waits_for_whom)
{
    NEED_URING();
    check_golden("standstill", says(run_until_said));
}

/* The run of a main that has returned waits for who is left. */
static intptr_t leave_one_behind(void *arg)
{
    struct whorl_spawn_options named = {.size = sizeof named, .name = "left"};
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, leave_when_said, NULL), 0);
    whorl_detach(whorl_spawn_at(wait_for_lock, arg, &named, "behind.c:1"));
    return 0;
}

TEST(alarms, a_runtime_that_cannot_end_says_for_whom_it_waits)
{
    char *err;

    NEED_URING();
    err = says(leave_one_behind);
    CHECK_EQ(count_of(err, "\n  task 0x"), 1);
    CHECK_HAS(err, " \"left\" waits for lock 0x");
    CHECK_EQ(count_of(err, "whorl: deadlock: "), 1);
}

/* A thread outside wakes the task after all. */
static void *wake_when_said(void *arg)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    while (!said("deadline)\n")) /* the end of it */
        sched_yield();
    whorl__waiters_lock(&account.waiters);
    CHECK(whorl__waiters_claim(&account.waiters, &end));
    whorl__waiters_unlock(&account.waiters);
    whorl__waiters_open(chain);
    return arg;
}

static intptr_t run_until_woken(void *arg)
{
    pthread_t thread;
    intptr_t result;

    CHECK_EQ(pthread_create(&thread, NULL, wake_when_said, NULL), 0);
    result = wait_for_lock(arg);
    CHECK_EQ(whorl_sleep(5 * options.slice_ns), 0);
    pthread_join(thread, NULL);
    return result;
}

TEST(alarms, a_runtime_that_a_thread_outside_wakes_goes_on)
{
    char *err;

    NEED_URING();
    err = says(run_until_woken);
    CHECK_EQ(count_of(err, "whorl: deadlock: "), 1);
    CHECK_HAS(err, " (if a thread outside will, all is well); see that what they wait for comes on every path");
    CHECK_EQ(count_of(err, "cycle"), 0);
}

/* Between the runs of a runtime that was created what its tasks wait for may come with the next one. */

static intptr_t leave_one_waiting(void *arg)
{
    whorl_detach(whorl_spawn(wait_for_lock, arg));
    return 0;
}

static intptr_t wake_the_one(void *arg)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__waiters_lock(&account.waiters);
    CHECK(whorl__waiters_claim(&account.waiters, &end));
    whorl__waiters_unlock(&account.waiters);
    whorl__waiters_open(chain);
    return (intptr_t)arg;
}

static void run_twice(void *arg)
{
    const struct timespec many_slices = {.tv_nsec = 10 * options.slice_ns};
    struct whorl_runtime *rt;

    divert();
    CHECK_EQ(whorl_runtime_create(&options, &rt), 0);
    CHECK_EQ(whorl_runtime_run(rt, leave_one_waiting, arg, NULL), 0);
    nanosleep(&many_slices, NULL);
    CHECK_EQ(said("deadlock"), 0);
    CHECK_EQ(whorl_runtime_run(rt, wake_the_one, arg, NULL), 0);
    CHECK_EQ(whorl_runtime_run(rt, run_computer, arg, NULL), 0);
    CHECK_EQ(said("has run on"), 1);
    CHECK_EQ(whorl_runtime_run(rt, run_until_said, arg, NULL), 0); /* which ends it all */
}

TEST(alarms, a_runtime_in_which_nobody_waits_for_anything_is_in_no_deadlock)
{
    static char err[TEXT_SIZE];

    NEED_URING();
    CHECK_EQ(run_in_child(run_twice, NULL, err, sizeof err), 0);
    CHECK_EQ(count_of(err, "whorl: deadlock: "), 1);
}

/* Everybody waits, but for the kernel. */

static int ends[2];

static intptr_t receive(void *arg)
{
    char byte;

    (void)arg;
    return whorl_recv(ends[0], &byte, 1, 0);
}

static intptr_t wait_for_the_kernel(void *arg)
{
    struct whorl_task *t;
    intptr_t result = 0;

    (void)arg;
    CHECK(connect_ends(ends));
    t = start("receiver", receive, NULL);
    CHECK_EQ(whorl_sleep(10 * options.slice_ns), 0); /* a timer */
    whorl_deadline(whorl_after(10 * options.slice_ns));
    CHECK_EQ(whorl_join(t, NULL), -ETIMEDOUT); /* an operation, and a deadline */
    whorl_deadline(WHORL_NEVER);
    CHECK_EQ(whorl_send(ends[1], "x", 1, 0), 1);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, 1);
    close_ends(ends);
    return 0;
}

static void *send_later(void *arg)
{
    const struct timespec a_while = {.tv_nsec = WHORL_MS(50)};

    nanosleep(&a_while, NULL);
    CHECK_EQ(send(ends[1], "x", 1, 0), 1);
    return arg;
}

static intptr_t wait_for_the_kernel_only(void *arg)
{
    pthread_t thread;

    CHECK(connect_ends(ends));
    CHECK_EQ(pthread_create(&thread, NULL, send_later, NULL), 0);
    CHECK_EQ(receive(arg), 1);
    pthread_join(thread, NULL);
    close_ends(ends);
    return 0;
}

TEST(alarms, who_waits_for_the_kernel_is_in_no_deadlock)
{
    NEED_URING();
    options.slice_ns = WHORL_MS(1);
    CHECK_EQ(count_of(says(wait_for_the_kernel), "deadlock"), 0);
    CHECK_EQ(count_of(says(wait_for_the_kernel_only), "deadlock"), 0);
}

static intptr_t compute_and_return(void *arg)
{
    struct timespec t;
    whorl_ns end = whorl_now() + WHORL_MS(50);

    (void)arg;
    while (clock_gettime(CLOCK_MONOTONIC, &t) == 0 && WHORL_SEC(t.tv_sec) + t.tv_nsec < end)
        continue;
    return 0;
}

TEST(alarms, without_debug_mode_nothing_is_said)
{
    NEED_URING();
    options.debug = 0;
    options.slice_ns = WHORL_MS(1);
    CHECK_STR(says(compute_and_return), "");
}
