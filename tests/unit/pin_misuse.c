/* SPDX-License-Identifier: MIT */
/* Suspending in a no-suspend region, and regions that do not begin or end as they should: each aborts in a child, and names the
 * places. */
#include <whorl/whorl.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "test.h"

static intptr_t spawn_clumsy(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "clumsy"};
    whorl_fn *fn = arg;

    return whorl_join(whorl_spawn_at(*fn, NULL, &options, "clumsy.c:7"), NULL);
}

static void run_in_runtime(void *arg)
{
    null_run(spawn_clumsy, arg, &(struct whorl_options){.workers = 2});
}

static void run_in_real_loop(void *arg)
{
    null_run_real(spawn_clumsy, arg, NULL);
}

/* What `fn` says as the task "clumsy" when it aborts. */
static void clumsy(void (*run)(void *), whorl_fn fn, char *err, size_t size)
{
    int status = run_in_child(run, &fn, err, size);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(err, "in task \"clumsy\", spawned at clumsy.c:7");
}

/* Calls that may suspend, though here none would have to wait. */

static intptr_t nothing(void *arg)
{
    return (intptr_t)arg;
}

static void fork_nothing(struct whorl_fork *self)
{
    (void)self;
}

static void do_range(size_t begin, size_t end, void *arg)
{
    (void)begin;
    (void)end;
    (void)arg;
}

static void sum_range(size_t begin, size_t end, void *into, void *arg)
{
    (void)into;
    do_range(begin, end, arg);
}

static void sum_sums(void *into, const void *from, void *arg)
{
    (void)into;
    (void)from;
    (void)arg;
}

static int compare(const void *a, const void *b, void *arg)
{
    (void)arg;
    return *(const char *)a - *(const char *)b;
}

/* Made before the region begins. */
static struct whorl_task *ended;
static struct whorl_fork forked;
static char text[4] = "dcba";

#define SUSPENDING(X)                                                                                                              \
    X(whorl_yield, whorl_yield())                                                                                                  \
    X(whorl_sleep, (void)whorl_sleep(0))                                                                                           \
    X(whorl_sleep_until, (void)whorl_sleep_until(0))                                                                               \
    X(whorl_join, (void)whorl_join(ended, NULL))                                                                                   \
    X(whorl_fork, whorl_fork(&(struct whorl_fork){.fn = NULL}, fork_nothing))                                                      \
    X(whorl_sync, whorl_sync(&forked))                                                                                             \
    X(whorl_checkpoint, whorl_checkpoint())                                                                                        \
    X(whorl_parallel_for, whorl_parallel_for(0, 0, do_range, NULL))                                                                \
    X(whorl_reduce, (void)whorl_reduce(0, 0, sum_range, sum_sums, NULL, text, 1))                                                  \
    X(whorl_sort, (void)whorl_sort(text, sizeof text, 1, compare, NULL))                                                           \
    X(whorl_close, (void)whorl_close(-1))

static void spawn_and_wait(void)
{
    ended = whorl_spawn(nothing, NULL);
    while (whorl_result(ended, NULL) == -EINPROGRESS)
        whorl_yield();
}

/* Each begins its region at a place of its own, twice: the outermost is named. With a deque, where `forks` says so. */
#define CALL(name, expression)                                                                                                     \
    __attribute__((noinline)) static intptr_t call_##name(void *arg)                                                               \
    {                                                                                                                              \
        spawn_and_wait();                                                                                                          \
        whorl_no_suspend_begin_at("region.c:" #name);                                                                              \
        whorl_no_suspend_begin_at("inner.c:1");                                                                                    \
        whorl_no_suspend_begin_at("inner.c:2");                                                                                    \
        whorl_no_suspend_end();                                                                                                    \
        expression;                                                                                                                \
        whorl_no_suspend_end();                                                                                                    \
        whorl_no_suspend_end();                                                                                                    \
        return (intptr_t)arg;                                                                                                      \
    }                                                                                                                              \
    static intptr_t fork_and_call_##name(void *arg)                                                                                \
    {                                                                                                                              \
        whorl_fork(&forked, fork_nothing);                                                                                         \
        call_##name(arg);                                                                                                          \
        whorl_sync(&forked);                                                                                                       \
        return 0;                                                                                                                  \
    }
SUSPENDING(CALL)

static const struct {
    const char *name;
    whorl_fn plain, with_forks;
} calls[] = {
#define ROW(name, expression) {#name, call_##name, fork_and_call_##name},
    SUSPENDING(ROW)};

/* Is one of the addresses in [brackets] within `fn`, which is short? */
static bool trace_has(const char *err, whorl_fn fn)
{
    for (const char *at = err; (at = strstr(at, "[0x")) != NULL; at++) {
        uintptr_t address = (uintptr_t)strtoull(at + 1, NULL, 16);

        if (address > (uintptr_t)fn && address < (uintptr_t)fn + 4096)
            return true;
    }
    return false;
}

static void check_call(void (*run)(void *), size_t i, bool with_forks)
{
    char err[8192], expected[160];

    clumsy(run, with_forks ? calls[i].with_forks : calls[i].plain, err, sizeof err);
    snprintf(expected, sizeof expected,
             "whorl: %s, which may suspend, was called in the no-suspend region that began at region.c:%s: ", calls[i].name,
             calls[i].name);
    CHECK_HAS(err, expected);
    CHECK_HAS(err, "end that first, by whorl_no_suspend_end, or call it elsewhere");
    CHECK_HAS(err, "whorl: the calls, innermost first ");
    CHECK(trace_has(err, calls[i].plain));
}

TEST(pin_misuse, suspending_in_a_no_suspend_region_is_noticed_though_it_would_not_wait, .timeout = 60)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        check_call(run_in_runtime, i, false);
        check_call(run_in_real_loop, i, false);
        check_call(run_in_real_loop, i, true); /* with the inline ways of a task that has forks */
    }
}

static intptr_t operate_in_region(void *arg)
{
    whorl_no_suspend_begin_at("region.c:3");
    (void)null_nop(0);
    whorl_no_suspend_end();
    return (intptr_t)arg;
}

/* A request to stop does not hide it. */
static intptr_t sleep_though_cancelled(void *arg)
{
    whorl_cancel(whorl_self());
    whorl_no_suspend_begin_at("region.c:3");
    (void)whorl_sleep(1);
    whorl_no_suspend_end();
    return (intptr_t)arg;
}

static void sleep_in_region(struct whorl_fork *self)
{
    (void)self;
    whorl_no_suspend_begin_at("region.c:3");
    (void)whorl_sleep(1);
    whorl_no_suspend_end();
}

/* In a strand, which is its task for the user. */
static intptr_t sleep_in_region_of_fork(void *arg)
{
    struct whorl_fork fork;

    whorl_fork(&fork, sleep_in_region);
    (void)whorl_sleep(WHORL_MS(1));
    whorl_sync(&fork);
    return (intptr_t)arg;
}

TEST(pin_misuse, whoever_suspends_there_is_noticed)
{
    static const struct {
        whorl_fn fn;
        const char *call;
    } cases[] = {
        {sleep_though_cancelled, "whorl_sleep"}, {sleep_in_region_of_fork, "whorl_sleep"}, {operate_in_region, "null_nop"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char err[8192], expected[128];

        clumsy(run_in_runtime, cases[i].fn, err, sizeof err);
        snprintf(expected, sizeof expected,
                 "whorl: %s, which may suspend, was called in the no-suspend region that began at region.c:3", cases[i].call);
        CHECK_HAS(err, expected);
    }
}

/* Beginning and ending. */

static intptr_t end_pinned(void *arg)
{
    whorl_pin_at("first.c:1");
    whorl_pin_at("second.c:2");
    whorl_unpin();
    whorl_yield();
    return (intptr_t)arg;
}

static intptr_t end_without_suspending(void *arg)
{
    whorl_no_suspend_begin_at("first.c:1");
    return (intptr_t)arg;
}

static void end_fork_pinned(struct whorl_fork *self)
{
    (void)self;
    whorl_pin_at("first.c:1");
}

static intptr_t end_a_pinned_fork(void *arg)
{
    struct whorl_fork fork;

    whorl_fork(&fork, end_fork_pinned);
    (void)whorl_sleep(WHORL_MS(1)); /* it is taken */
    whorl_sync(&fork);
    return (intptr_t)arg;
}

static intptr_t unpin_too_often(void *arg)
{
    whorl_pin();
    whorl_unpin();
    whorl_unpin_at("unpin.c:3");
    return (intptr_t)arg;
}

static intptr_t bound_unpin(void *arg)
{
    whorl_unpin_at("unpin.c:3");
    return (intptr_t)arg;
}

static intptr_t unpin_what_is_bound(void *arg)
{
    struct whorl_spawn_options bound = {.size = sizeof bound, .name = "clumsy", .pinned = 1};

    (void)arg;
    return whorl_join(whorl_spawn_at(bound_unpin, NULL, &bound, "clumsy.c:7"), NULL);
}

static intptr_t end_region_too_often(void *arg)
{
    whorl_no_suspend_begin();
    whorl_no_suspend_end();
    whorl_no_suspend_end_at("end.c:3");
    return (intptr_t)arg;
}

static intptr_t pin_without_end(void *arg)
{
    whorl_pin_at("first.c:1");
    for (;;)
        whorl_pin_at("again.c:2");
    return (intptr_t)arg;
}

TEST(pin_misuse, regions_that_do_not_match_are_noticed)
{
    static const struct {
        whorl_fn fn;
        const char *message;
    } cases[] = {
        {end_pinned, "a task ended in the pin region that began at first.c:1: end that before, by whorl_unpin"},
        {end_a_pinned_fork, "a task ended in the pin region that began at first.c:1: end that before, by whorl_unpin"},
        {end_without_suspending,
         "a task ended in the no-suspend region that began at first.c:1: end that before, by whorl_no_suspend_end"},
        {unpin_too_often, "whorl_unpin at unpin.c:3: the task is in no pin region: call it once for each whorl_pin"},
        {unpin_what_is_bound, "whorl_unpin at unpin.c:3: the task is in no pin region: call it once for each whorl_pin"},
        {end_region_too_often, "whorl_no_suspend_end at end.c:3: the task is in no such region: call it once for each "
                               "whorl_no_suspend_begin"},
        {pin_without_end,
         "whorl_pin at again.c:2: in 65535 pin regions already, the first from first.c:1: end each with whorl_unpin"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char err[8192];

        clumsy(run_in_runtime, cases[i].fn, err, sizeof err);
        CHECK_HAS(err, cases[i].message);
    }
}
