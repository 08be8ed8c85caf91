/* SPDX-License-Identifier: MIT */
/* What debug mode, and the end of a run, say of mistakes: whole texts, which docs/debugging.md shows. Each in a child. */
#include "runtime/waiter.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <whorl/whorl.h>

#include "child.h"
#include "golden.h"
#include "null_run.h"
#include "test.h"

static struct whorl_task *spawn_named(whorl_fn fn, void *arg, const char *name, const char *where)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = name};
    struct whorl_task *t = whorl_spawn_at(fn, arg, &options, where);

    CHECK(t);
    return t;
}

static void run_debugged(void *arg)
{
    whorl_fn *fn = arg;

    CHECK_EQ(null_run(*fn, NULL, &(struct whorl_options){.seed = 4711, .debug = 1}), 0);
}

/* What a run of `fn` in debug mode says. */
static void says(whorl_fn fn, const char *name, bool dies)
{
    static char err[1 << 15];
    int status = run_in_child(run_debugged, &fn, err, sizeof err);

    CHECK(dies ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT : status == 0);
    check_golden(name, err);
}

static void run_plain(void *arg)
{
    whorl_fn *fn = arg;

    CHECK_EQ(null_run(*fn, NULL, NULL), 0);
}

/* Without debug mode it is not said. */
static void silent_otherwise(whorl_fn fn)
{
    char err[2048];

    CHECK_EQ(run_in_child(run_plain, &fn, err, sizeof err), 0);
    CHECK_STR(err, "");
}

static intptr_t do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static intptr_t sleep_on(void *arg)
{
    (void)arg;
    return whorl_sleep(WHORL_SEC(1));
}

/* Mistakes of single tasks. */

static intptr_t forget_tasks(void *arg)
{
    (void)arg;
    spawn_named(do_nothing, NULL, "forgotten", "forgetful.c:3");
    spawn_named(do_nothing, NULL, "", "forgetful.c:4");
    return 0;
}

TEST(debug, a_task_that_nobody_joined_is_told)
{
    says(forget_tasks, "unjoined", false);
}

static intptr_t leave_open(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open_at(&s, "leaky.c:12");
    return 0;
}

static intptr_t run_leaver(void *arg)
{
    return whorl_join(spawn_named(leave_open, arg, "leaver", "leaky.c:5"), NULL);
}

TEST(debug, a_scope_that_was_left_open_is_told)
{
    says(run_leaver, "open-scope", true);
}

static intptr_t join_self(void *arg)
{
    (void)arg;
    return whorl_join(whorl_self(), NULL);
}

static intptr_t run_self_joiner(void *arg)
{
    intptr_t result = 0;

    CHECK_EQ(whorl_join(spawn_named(join_self, arg, "narcissus", "pond.c:1"), &result), 0);
    CHECK_EQ(result, -EDEADLK);
    return 0;
}

TEST(debug, a_task_that_joins_itself_is_told)
{
    says(run_self_joiner, "self-join", false);
    silent_otherwise(run_self_joiner);
}

enum { DESCRIPTOR = 300 };

static intptr_t close_it(void *arg)
{
    (void)arg;
    return whorl_close(DESCRIPTOR);
}

static intptr_t close_twice(void *arg)
{
    intptr_t first = 1, second = 1;

    CHECK_EQ(dup2(STDERR_FILENO, DESCRIPTOR), DESCRIPTOR);
    CHECK_EQ(whorl_join(spawn_named(close_it, arg, "first", "closers.c:8"), &first), 0);
    CHECK_EQ(whorl_join(spawn_named(close_it, arg, "second", "closers.c:9"), &second), 0);
    CHECK_EQ(first, 0);
    CHECK_EQ(second, -EBADF);
    return 0;
}

TEST(debug, a_descriptor_that_is_closed_twice_is_told_and_who_closed_it_before)
{
    says(close_twice, "double-close", false);
    silent_otherwise(close_twice);
}

static void close_what_never_was(void *arg)
{
    static const whorl_fn fn = close_it;

    (void)arg;
    CHECK_EQ(null_run(fn, NULL, &(struct whorl_options){.debug = 1}), -EBADF);
}

TEST(debug, closing_what_was_never_open_blames_nobody)
{
    char err[2048];

    CHECK_EQ(run_in_child(close_what_never_was, NULL, err, sizeof err), 0);
    CHECK_STR(err,
              "whorl: whorl_close was given descriptor 300, which is not open, and returns -EBADF: close each descriptor once\n"
              "  in task \"main\", spawned at whorl_run\n");
}

/* Deadlocks. */

static void lock(struct whorl_mutex *m)
{
    CHECK_EQ(whorl_mutex_lock(m), 0);
}

static struct whorl_mutex locks[3];

static intptr_t lock_and_join(void *arg)
{
    CHECK_EQ(whorl_sleep(2), 0);
    lock(&locks[0]);
    CHECK_EQ(whorl_sleep(2), 0);
    return whorl_join(arg, NULL);
}

static intptr_t only_lock(void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_sleep(3), 0);
    lock(&locks[0]);
    return 0;
}

static intptr_t lock_against_join(void *arg)
{
    struct whorl_task *writer = spawn_named(only_lock, arg, "writer", "bank.c:20");

    spawn_named(sleep_on, NULL, "sleeper", "bank.c:21"); /* which ends well, and has no part in it */
    return whorl_join(spawn_named(lock_and_join, writer, "keeper", "bank.c:22"), NULL);
}

TEST(debug, a_deadlock_of_a_lock_and_a_join_is_told)
{
    says(lock_against_join, "deadlock", true);
}

/* Each takes the lock of its number, then the next one's. */
static intptr_t lock_two(void *arg)
{
    int i = (int)(intptr_t)arg;

    lock(&locks[i]);
    CHECK_EQ(whorl_sleep(1), 0);
    lock(&locks[(i + 1) % 3]);
    return 0;
}

static intptr_t lock_in_a_ring(void *arg)
{
    static const char *const names[] = {"plato", "kant", "hume"};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open_at(&s, "table.c:1");
    for (intptr_t i = 0; i < 3; i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .name = names[i]};

        CHECK_EQ(whorl_scope_spawn_at(&s, lock_two, (void *)i, &options, "table.c:2"), 0);
    }
    return whorl_scope_close(&s);
}

TEST(debug, a_ring_of_locks_is_one_cycle_and_who_waits_for_it_is_in_none)
{
    says(lock_in_a_ring, "deadlock-ring", true);
}

/* A child that waits for what the opener of its scope holds. */
static intptr_t hold_and_close(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "child"};
    struct whorl_scope s;

    lock(&locks[0]);
    whorl_scope_open_at(&s, "family.c:1");
    CHECK_EQ(whorl_scope_spawn_at(&s, sleep_on, arg, &options, "family.c:2"), 0);
    CHECK_EQ(whorl_scope_spawn_at(&s, only_lock, arg, &options, "family.c:3"), 0);
    return whorl_scope_close(&s);
}

TEST(debug, a_scope_waits_for_its_children)
{
    says(hold_and_close, "deadlock-scope", true);
}

/* A fork, taken by the other worker, that waits for the lock of the task whose it is. */
static void fork_lock(struct whorl_fork *self)
{
    (void)self;
    lock(&locks[0]);
}

static intptr_t fork_and_sync(void *arg)
{
    struct whorl_fork fork;

    (void)arg;
    lock(&locks[0]);
    whorl_fork(&fork, fork_lock);
    CHECK_EQ(whorl_sleep(1000), 0);
    whorl_sync(&fork);
    return 0;
}

static void run_fork(void *arg)
{
    (void)arg;
    null_run(fork_and_sync, NULL, &(struct whorl_options){.seed = 4711, .workers = 2});
}

TEST(debug, a_sync_waits_for_its_fork)
{
    char err[8192];

    CHECK(WIFSIGNALED(run_in_child(run_fork, NULL, err, sizeof err)));
    CHECK_HAS(err, "whorl: a cycle of 2 tasks, each of which waits for the next and the last for the first:\n");
    CHECK_HAS(err, "whorl:   task \"main\", spawned at whorl_run, waits in whorl_sync for a fork of its own\n");
    CHECK_HAS(err, "whorl:   a fork of task \"main\", spawned at whorl_run, waits for mutex 0x");
    CHECK_HAS(err, ", which task \"main\" holds\n");
}

static struct whorl__waiters nobody_wakes;

static intptr_t wait_in_vain(void *arg)
{
    struct whorl__waiter me;

    (void)arg;
    whorl__waiter_init(&me, "wait_in_vain");
    whorl__waiters_lock(&nobody_wakes);
    whorl__waiters_append(&nobody_wakes, &me);
    return whorl__waiter_wait(&nobody_wakes, &me, "event", &nobody_wakes);
}

static intptr_t await_godot(void *arg)
{
    return whorl_join(spawn_named(wait_in_vain, arg, "estragon", "godot.c:1"), NULL);
}

TEST(debug, waits_without_an_end_are_told_without_a_cycle)
{
    says(await_godot, "deadlock-event", true);
}

static intptr_t lock_for_good(void *arg)
{
    (void)arg;
    lock(&locks[0]);
    return 0;
}

static intptr_t lock_after_the_end(void *arg)
{
    struct whorl_task *heir = spawn_named(only_lock, arg, "heir", "hoard.c:2");

    CHECK_EQ(whorl_join(spawn_named(lock_for_good, arg, "hoarder", "hoard.c:1"), NULL), 0);
    return whorl_join(heir, NULL);
}

TEST(debug, a_lock_that_a_task_held_at_its_end_is_told_so)
{
    static char err[8192];
    whorl_fn fn = lock_after_the_end;

    CHECK(WIFSIGNALED(run_in_child(run_debugged, &fn, err, sizeof err)));
    CHECK_HAS(err, "\"heir\" waits for mutex 0x");
    CHECK_HAS(err, " that a task holds which has ended, since ");
    CHECK(strstr(err, "cycle") == NULL);
}

/* A hundred rings of two: each is found once, the first five are told. */

enum { RINGS = 100 };

static struct whorl_mutex pairs[2 * RINGS];

static intptr_t lock_pair(void *arg)
{
    intptr_t i = (intptr_t)arg;

    lock(&pairs[i]);
    CHECK_EQ(whorl_sleep(1), 0);
    lock(&pairs[i ^ 1]);
    return 0;
}

static intptr_t make_rings(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    for (intptr_t i = 0; i < 2 * RINGS; i++)
        CHECK_EQ(whorl_scope_spawn(&s, lock_pair, (void *)i), 0);
    return whorl_scope_close(&s);
}

TEST(debug, many_cycles_are_counted)
{
    static char err[1 << 17];
    whorl_fn fn = make_rings;
    int cycles = 0;

    CHECK(WIFSIGNALED(run_in_child(run_debugged, &fn, err, sizeof err)));
    for (const char *at = err; (at = strstr(at, "whorl: a cycle of 2 tasks,")) != NULL; at++)
        cycles++;
    CHECK_EQ(cycles, 5);
    CHECK_HAS(err, "whorl: 95 more cycles\n");
}
