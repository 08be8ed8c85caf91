/* SPDX-License-Identifier: MIT */
/* Mistakes abort, and what is printed helps: what was done, in which task, spawned where, what to do instead. Each in a child. */
#include <whorl/whorl.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "test.h"

/* Runs `fn(arg)` in a child that must abort, and collects what it says. */
static void dies(void (*fn)(void *), void *arg, char *err, size_t size)
{
    int status = run_in_child(fn, arg, err, size);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* Calls outside a task. */

static intptr_t nothing(void *arg)
{
    return (intptr_t)arg;
}

static void fork_nothing(struct whorl_fork *self)
{
    (void)self;
}

static int generate_nothing(struct whorl_generator *g, void *arg)
{
    (void)g;
    (void)arg;
    return 0;
}

#define OUTSIDE(X)                                                                                                                 \
    X(whorl_yield, whorl_yield())                                                                                                  \
    X(whorl_sleep, (void)whorl_sleep(1))                                                                                           \
    X(whorl_sleep_until, (void)whorl_sleep_until(1))                                                                               \
    X(whorl_join, (void)whorl_join((struct whorl_task *)(uintptr_t)64, NULL))                                                      \
    X(whorl_close, (void)whorl_close(0))                                                                                           \
    X(whorl_spawn, (void)!whorl_spawn(nothing, NULL))                                                                              \
    X(whorl_self, (void)whorl_self())                                                                                              \
    X(whorl_interval_tick, (void)whorl_interval_tick(&(struct whorl_interval){.period = 1}))                                       \
    X(whorl_generator_open, (void)!whorl_generator_open(&(struct whorl_generator){.begun = 0}, generate_nothing, NULL, 1))         \
    X(whorl_generator_next, (void)!whorl_generator_next(&(struct whorl_generator){.begun = 0}, NULL))                              \
    X(whorl_generate, (void)!whorl_generate(&(struct whorl_generator){.begun = 0}, NULL))                                          \
    X(whorl_generator_close, (void)whorl_generator_close(&(struct whorl_generator){.begun = 0}))                                   \
    X(whorl_now, (void)whorl_now())                                                                                                \
    X(whorl_after, (void)whorl_after(1))                                                                                           \
    X(whorl_deadline, (void)whorl_deadline(1))                                                                                     \
    X(whorl_workers, (void)whorl_workers())                                                                                        \
    X(whorl_worker, (void)whorl_worker())                                                                                          \
    X(whorl_reactor, (void)whorl_reactor())                                                                                        \
    X(whorl_runtime, (void)whorl_runtime())                                                                                        \
    X(whorl_fork, whorl_fork(&(struct whorl_fork){.fn = NULL}, fork_nothing))                                                      \
    X(whorl_sync, whorl_sync(&(struct whorl_fork){.fn = fork_nothing}))                                                            \
    X(whorl_checkpoint, whorl_checkpoint())                                                                                        \
    X(whorl_defer, (void)!whorl_defer(free, NULL))                                                                                 \
    X(whorl_undefer, (void)whorl_undefer(free, NULL))                                                                              \
    X(whorl_local_get, (void)whorl_local_get(&(struct whorl_local){NULL}))                                                         \
    X(whorl_local_set, (void)!whorl_local_set(&(struct whorl_local){NULL}, NULL))                                                  \
    X(whorl_error, (void)whorl_error())                                                                                            \
    X(whorl_error_text, (void)whorl_error_text())                                                                                  \
    X(whorl_pin, whorl_pin())                                                                                                      \
    X(whorl_unpin, whorl_unpin())                                                                                                  \
    X(whorl_no_suspend_begin, whorl_no_suspend_begin())                                                                            \
    X(whorl_no_suspend_end, whorl_no_suspend_end())                                                                                \
    X(whorl_stats, (void)whorl_stats(0, &(struct whorl_stats){.size = sizeof(struct whorl_stats)}))

#define CALL(name, expression)                                                                                                     \
    static void call_##name(void *arg)                                                                                             \
    {                                                                                                                              \
        (void)arg;                                                                                                                 \
        expression;                                                                                                                \
    }
OUTSIDE(CALL)

static const struct {
    const char *name;
    void (*call)(void *arg);
} outside[] = {
#define ROW(name, expression) {#name, call_##name},
    OUTSIDE(ROW)};

TEST(misuse, what_needs_a_task_aborts_outside_one_and_names_itself)
{
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        char err[2048], start[128];

        dies(outside[i].call, NULL, err, sizeof err);
        snprintf(start, sizeof start, "whorl: %s was called outside a task", outside[i].name);
        CHECK_HAS(err, start);
        CHECK_HAS(err, "call it from a function that whorl_run or whorl_spawn started");
    }
}

/* Calls in a task named "clumsy", spawned at clumsy.c:7. */

static intptr_t spawn_clumsy(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "clumsy"};
    whorl_fn *fn = arg;

    return whorl_join(whorl_spawn_at(*fn, NULL, &options, "clumsy.c:7"), NULL);
}

static void run_in_runtime(void *arg)
{
    null_run(spawn_clumsy, arg, NULL);
}

/* What `fn` says as that task. */
static void clumsy(whorl_fn fn, char *err, size_t size)
{
    dies(run_in_runtime, &fn, err, size);
    CHECK_HAS(err, "task \"clumsy\"");
    CHECK_HAS(err, "spawned at clumsy.c:7");
}

static intptr_t sleep_long(void *arg)
{
    (void)arg;
    return whorl_sleep(WHORL_SEC(1));
}

static struct whorl_task *spawn_victim(whorl_fn fn)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "victim"};

    return whorl_spawn_at(fn, NULL, &options, "victim.c:9");
}

static intptr_t join_twice(void *arg)
{
    struct whorl_task *t = spawn_victim(nothing);

    (void)arg;
    CHECK_EQ(whorl_join(t, NULL), 0);
    return whorl_join(t, NULL);
}

static intptr_t use_after_join(void *arg)
{
    struct whorl_task *t = spawn_victim(nothing);

    (void)arg;
    CHECK_EQ(whorl_join(t, NULL), 0);
    whorl_cancel(t);
    return 0;
}

static intptr_t result_after_join(void *arg)
{
    struct whorl_task *t = spawn_victim(nothing);

    (void)arg;
    CHECK_EQ(whorl_join(t, NULL), 0);
    return whorl_result(t, NULL);
}

static intptr_t name_after_join(void *arg)
{
    struct whorl_task *t = spawn_victim(nothing);

    (void)arg;
    CHECK_EQ(whorl_join(t, NULL), 0);
    return *whorl_name(t);
}

static intptr_t detach_after_join(void *arg)
{
    struct whorl_task *t = spawn_victim(nothing);

    (void)arg;
    CHECK_EQ(whorl_join(t, NULL), 0);
    whorl_detach(t);
    return 0;
}

static intptr_t detach_twice_ended(void *arg)
{
    struct whorl_task *t = spawn_victim(nothing);

    (void)arg;
    whorl_detach(t);
    CHECK_EQ(whorl_sleep(1), 0);
    whorl_detach(t);
    return 0;
}

TEST(misuse, a_handle_that_was_given_up_is_noticed)
{
    static const struct {
        whorl_fn fn;
        const char *call;
    } cases[] = {{join_twice, "whorl_join"},      {use_after_join, "whorl_cancel"},    {result_after_join, "whorl_result"},
                 {name_after_join, "whorl_name"}, {detach_after_join, "whorl_detach"}, {detach_twice_ended, "whorl_detach"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char err[2048], start[128];

        clumsy(cases[i].fn, err, sizeof err);
        snprintf(start, sizeof start, "whorl: %s was given a handle that was joined or detached before", cases[i].call);
        CHECK_HAS(err, start);
        CHECK_HAS(err, "use each handle once");
    }
}

static intptr_t detach_twice(void *arg)
{
    struct whorl_task *t = spawn_victim(sleep_long);

    (void)arg;
    whorl_detach(t);
    whorl_detach(t);
    return 0;
}

static intptr_t join_victim(void *arg)
{
    return whorl_join(arg, NULL);
}

static intptr_t detach_joined(void *arg)
{
    struct whorl_task *t = spawn_victim(sleep_long);

    (void)arg;
    whorl_detach(whorl_spawn(join_victim, t));
    CHECK_EQ(whorl_sleep(1), 0);
    whorl_detach(t);
    return 0;
}

TEST(misuse, a_detach_of_what_is_joined_or_detached_names_that_task)
{
    static const whorl_fn cases[] = {detach_twice, detach_joined};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char err[2048];

        clumsy(cases[i], err, sizeof err);
        CHECK_HAS(err, "whorl: whorl_detach was given the handle of task \"victim\" (spawned at victim.c:9)");
        CHECK_HAS(err, "is being joined or was detached before");
    }
}

static intptr_t join_detached(void *arg)
{
    struct whorl_task *t = spawn_victim(sleep_long);

    (void)arg;
    whorl_detach(t);
    return whorl_join(t, NULL);
}

static intptr_t join_joined(void *arg)
{
    struct whorl_task *t = spawn_victim(sleep_long);

    (void)arg;
    whorl_detach(whorl_spawn(join_victim, t));
    CHECK_EQ(whorl_sleep(1), 0);
    return whorl_join(t, NULL);
}

TEST(misuse, a_second_joiner_and_a_joiner_of_what_was_detached_are_noticed)
{
    static const whorl_fn cases[] = {join_detached, join_joined};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char err[2048];

        clumsy(cases[i], err, sizeof err);
        CHECK_HAS(err, "waits for a task that another one waits for already, or that was detached");
        CHECK_HAS(err, "join a task once");
    }
}

static intptr_t give_null_join(void *arg)
{
    (void)arg;
    return whorl_join(NULL, NULL);
}

static intptr_t give_null_detach(void *arg)
{
    (void)arg;
    whorl_detach(NULL);
    return 0;
}

static intptr_t give_null_result(void *arg)
{
    (void)arg;
    return whorl_result(NULL, NULL);
}

static intptr_t give_null_cancel(void *arg)
{
    (void)arg;
    whorl_cancel(NULL);
    return 0;
}

static intptr_t give_null_name(void *arg)
{
    (void)arg;
    return whorl_name(NULL) == NULL;
}

static intptr_t give_null_runtime_join(void *arg)
{
    (void)arg;
    return whorl_runtime_join(NULL, NULL);
}

TEST(misuse, no_handle_at_all_is_noticed)
{
    static const struct {
        whorl_fn fn;
        const char *call;
    } cases[] = {{give_null_join, "whorl_join"},     {give_null_detach, "whorl_detach"},
                 {give_null_result, "whorl_result"}, {give_null_cancel, "whorl_cancel"},
                 {give_null_name, "whorl_name"},     {give_null_runtime_join, "whorl_runtime_join"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char err[2048], start[128];

        clumsy(cases[i].fn, err, sizeof err);
        snprintf(start, sizeof start, "whorl: %s was given NULL: look at what whorl_spawn returned", cases[i].call);
        CHECK_HAS(err, start);
    }
}

static intptr_t spawn_no_function(void *arg)
{
    (void)arg;
    return whorl_spawn(NULL, NULL) != NULL;
}

static intptr_t runtime_spawn_no_function(void *arg)
{
    (void)arg;
    return whorl_runtime_spawn(whorl_runtime(), NULL, NULL, NULL) != NULL;
}

static intptr_t runtime_spawn_nowhere(void *arg)
{
    (void)arg;
    return whorl_runtime_spawn(NULL, nothing, NULL, NULL) != NULL;
}

static intptr_t spawn_with_wrong_size(void *arg)
{
    struct whorl_spawn_options options = {.name = "sizeless"};

    (void)arg;
    return whorl_spawn_with(nothing, NULL, &options) != NULL;
}

TEST(misuse, a_spawn_without_what_it_needs_is_noticed)
{
    char err[2048];

    clumsy(spawn_no_function, err, sizeof err);
    CHECK_HAS(err, "whorl: whorl_spawn was given no function");
    clumsy(runtime_spawn_no_function, err, sizeof err);
    CHECK_HAS(err, "whorl: whorl_runtime_spawn was given no function");
    clumsy(runtime_spawn_nowhere, err, sizeof err);
    CHECK_HAS(err, "whorl: whorl_runtime_spawn was given no runtime");
    clumsy(spawn_with_wrong_size, err, sizeof err);
    CHECK_HAS(err, "whorl: whorl_spawn_options.size is 0: set it to sizeof(struct whorl_spawn_options)");
}

static intptr_t block_the_worker(void *arg)
{
    (void)arg;
    return whorl_runtime_join(spawn_victim(sleep_long), NULL);
}

TEST(misuse, a_blocking_join_in_a_task_is_noticed)
{
    char err[2048];

    clumsy(block_the_worker, err, sizeof err);
    CHECK_HAS(err, "whorl: whorl_runtime_join was called in a task, whose worker it would block: use whorl_join");
}

/* Forks. On the loop of a real worker, where nobody takes any while their task runs. */

static void run_in_real_loop(void *arg)
{
    null_run_real(spawn_clumsy, arg, NULL);
}

static void clumsy_with_forks(whorl_fn fn, const char *what)
{
    char err[2048];

    dies(run_in_real_loop, &fn, err, sizeof err);
    CHECK_HAS(err, "task \"clumsy\"");
    CHECK_HAS(err, "spawned at clumsy.c:7");
    CHECK_HAS(err, what);
}

static intptr_t fork_no_function(void *arg)
{
    struct whorl_fork fork;

    (void)arg;
    whorl_fork(&fork, NULL);
    return 0;
}

static intptr_t sync_twice(void *arg)
{
    struct whorl_fork fork;

    (void)arg;
    whorl_fork(&fork, fork_nothing);
    whorl_sync(&fork);
    whorl_sync(&fork);
    return 0;
}

static intptr_t sync_what_was_not_forked(void *arg)
{
    struct whorl_fork fork = {.fn = fork_nothing, .latch = WHORL__FORK_NOT_TAKEN};

    (void)arg;
    whorl_sync(&fork);
    return 0;
}

static intptr_t end_with_forks(void *arg)
{
    static struct whorl_fork forks[2];

    (void)arg;
    whorl_fork(&forks[0], fork_nothing);
    whorl_fork(&forks[1], fork_nothing);
    whorl_sync(&forks[1]);
    return 0;
}

static void sleep_in_fork(struct whorl_fork *self)
{
    (void)self;
    whorl_sleep(WHORL_SEC(1));
}

static intptr_t end_with_taken_forks(void *arg)
{
    static struct whorl_fork fork;

    (void)arg;
    whorl_fork(&fork, sleep_in_fork);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0); /* it is taken, and under way */
    return 0;
}

TEST(misuse, forks_without_a_function_and_syncs_without_a_fork_are_noticed)
{
    static const char sync[] = "whorl: whorl_sync was given a fork that this task has not forked, or has synced before";

    clumsy_with_forks(fork_no_function, "whorl: whorl_fork was given no function");
    clumsy_with_forks(sync_twice, sync);
    clumsy_with_forks(sync_what_was_not_forked, sync);
}

TEST(misuse, a_task_that_ends_before_its_forks_is_noticed)
{
    static const char ended[] = "ended with forks that it has not synced: sync each in the function that forked it";

    clumsy_with_forks(end_with_forks, ended);
    clumsy_with_forks(end_with_taken_forks, ended);
}

/* On the null reactor: it knows when nothing can happen any more. */

static struct whorl_task *first_of_two;

static intptr_t join_the_first(void *arg)
{
    (void)arg;
    return whorl_join(first_of_two, NULL);
}

static intptr_t join_the_second(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "second"};

    (void)arg;
    first_of_two = whorl_self();
    return whorl_join(whorl_spawn_with(join_the_first, NULL, &options), NULL);
}

static intptr_t deadlock(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "first"};

    (void)arg;
    whorl_detach(whorl_spawn_with(sleep_long, NULL, &options)); /* which ends well */
    if (!whorl_spawn_with(join_the_second, NULL, &options))
        return -1;
    return 0;
}

static void run_deadlock(void *arg)
{
    (void)arg;
    null_run(deadlock, NULL, &(struct whorl_options){.seed = 4711, .workers = 2});
}

TEST(misuse, a_deadlock_shows_who_waits_for_whom_and_the_seed)
{
    char err[4096];

    dies(run_deadlock, NULL, err, sizeof err);
    CHECK_HAS(err, "\"first\" waits for join 0x");
    CHECK_HAS(err, "\"second\" waits for join 0x");
    CHECK_HAS(err, __FILE__);
    CHECK_HAS(err, "whorl: deadlock: every task above waits, and nothing is left that could wake one (seed 4711)");
}
