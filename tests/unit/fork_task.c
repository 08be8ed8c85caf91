/* SPDX-License-Identifier: MIT */
/* Forks belong to their task: its handle, its name, its deadline; to cancel it is to cancel them. And what is seen of them. */
#include "io/op.h"
#include "runtime/scheduler.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <whorl/whorl.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

/* null_nop is for tasks; this is for whoever runs. */
static int operate(whorl_ns latency)
{
    struct whorl__request nop = {.code = WHORL__OP_NOP, .fd = -1, .offset = (uint64_t)latency};

    return whorl__operate(whorl__worker()->current, &nop, NULL);
}

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    /* While a worker spins it does not see that an operation has finished, and the clock goes no further. */
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* The clock of null_run_real ticks while tasks run. */
static bool at(whorl_ns time)
{
    return whorl_now() >= time && whorl_now() < time + 1000 * NULL_TICK;
}

static struct whorl_task *spawn_named(whorl_fn fn, void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "forker"};
    struct whorl_task *t = whorl_spawn_at(fn, arg, &options, "forker.c:3");

    CHECK(t != NULL);
    return t;
}

/* A fork that waits three times, and what it saw. */
struct waiter {
    struct whorl_fork fork;
    whorl_ns length;
    int (*wait)(whorl_ns length);
    struct whorl_task *self;
    bool taken; /* it runs as a strand */
    int results[3];
    whorl_ns end; /* of the first */
};

static void wait_thrice(struct whorl_fork *self)
{
    struct waiter *w = whorl_fork_of(self, struct waiter, fork);

    w->self = whorl_self();
    w->taken = whorl__worker()->current != w->self;
    CHECK_STR(whorl_name(w->self), "forker");
    for (int i = 0; i < 3; i++) {
        w->results[i] = w->wait(w->length);
        w->end = i == 0 ? whorl_now() : w->end;
    }
}

enum { WAITERS = 3 };

static void fork_waiters(struct waiter *waiters, int (*wait)(whorl_ns length), whorl_ns length)
{
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.wait = wait, .length = length};
        whorl_fork(&waiters[i].fork, wait_thrice);
    }
}

static void sync_waiters(struct waiter *waiters)
{
    for (int i = WAITERS - 1; i >= 0; i--)
        whorl_sync(&waiters[i].fork);
}

/* Who am I? */

static intptr_t ask_in_forks(void *arg)
{
    struct waiter taken[WAITERS], own[WAITERS];

    fork_waiters(taken, whorl_sleep, 10);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0); /* meanwhile they are taken */
    fork_waiters(own, whorl_sleep, 10);
    sync_waiters(own);
    sync_waiters(taken);
    for (int i = 0; i < WAITERS; i++) {
        CHECK(taken[i].taken);
        CHECK(taken[i].self == whorl_self());
        CHECK(own[i].self == whorl_self());
    }
    return (intptr_t)arg;
}

static intptr_t ask_in_a_task(void *arg)
{
    struct whorl_task *t = spawn_named(ask_in_forks, (void *)5);
    intptr_t result = 0;

    (void)arg;
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, 5);
    return 0;
}

TEST(fork_task, a_fork_is_its_task_to_itself)
{
    run_everywhere(ask_in_a_task, NULL);
}

/* A record that was a strand's is a task's again. */
static intptr_t reuse_records(void *arg)
{
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(ask_in_a_task(arg), 0);
        CHECK_STR(whorl_name(whorl_self()), "main");
        for (int j = 0; j < 10; j++) {
            struct whorl_task *t = whorl_spawn(ask_in_a_task, NULL);

            CHECK_STR(whorl_name(t), "");
            CHECK(t->root == NULL);
            CHECK_EQ(t->traits, 0);
            CHECK_EQ(whorl_join(t, NULL), 0);
        }
    }
    return 0;
}

TEST(fork_task, a_record_serves_strands_and_tasks_in_turn)
{
    run_everywhere(reuse_records, NULL);
}

/* Cancelling */

static intptr_t wait_with_forks(void *arg)
{
    struct waiter *waiters = arg;

    fork_waiters(waiters, waiters[0].wait, WHORL_SEC(10));
    CHECK_EQ(whorl_sleep(WHORL_SEC(100)), -ECANCELED);
    CHECK(at(WHORL_SEC(3)));
    sync_waiters(waiters);
    return 0;
}

static intptr_t cancel_all_of_it(void *arg)
{
    struct waiter waiters[WAITERS] = {{.wait = arg ? operate : whorl_sleep}};
    struct whorl_task *t = spawn_named(wait_with_forks, waiters);

    CHECK_EQ(whorl_sleep(WHORL_SEC(3)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    for (int i = 0; i < WAITERS; i++) {
        CHECK(waiters[i].taken);
        CHECK(waiters[i].results[0] == -ECANCELED || (waiters[i].wait != whorl_sleep && waiters[i].results[0] == 0));
        CHECK_EQ(waiters[i].results[1], waiters[i].results[0] ? 0 : -ECANCELED); /* one wait of each */
        CHECK_EQ(waiters[i].results[2], 0);
        if (waiters[i].results[0])
            CHECK(waiters[i].end >= WHORL_SEC(3) && waiters[i].end < WHORL_SEC(3) + 1000 * NULL_TICK);
    }
    return 0;
}

TEST(fork_task, a_cancel_reaches_the_task_and_each_fork_under_way)
{
    run_everywhere(cancel_all_of_it, NULL);
    run_everywhere(cancel_all_of_it, (void *)1);
}

static intptr_t cancel_and_fork_again(void *arg)
{
    struct waiter waiters[WAITERS];

    fork_waiters(waiters, whorl_sleep, WHORL_MS(10));
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    whorl_cancel(whorl_self()); /* oneself, too */
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), -ECANCELED);
    sync_waiters(waiters);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(waiters[i].results[0], -ECANCELED);
    fork_waiters(waiters, whorl_sleep, WHORL_MS(10));
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    sync_waiters(waiters);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(waiters[i].results[0], 0); /* later ones were not meant */
    return (intptr_t)arg;
}

static intptr_t cancel_in_a_task(void *arg)
{
    return whorl_join(spawn_named(cancel_and_fork_again, arg), NULL);
}

TEST(fork_task, a_cancel_is_not_for_forks_that_come_later)
{
    run_everywhere(cancel_in_a_task, NULL);
}

/* It is the task that syncs, whatever it was asked for. */
static intptr_t sync_though_cancelled(void *arg)
{
    struct waiter waiters[WAITERS];

    fork_waiters(waiters, whorl_sleep, WHORL_MS(10));
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0); /* all are taken */
    whorl_cancel(whorl_self());
    sync_waiters(waiters);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(waiters[i].results[2], 0);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), -ECANCELED); /* the request was not for the sync */
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    return (intptr_t)arg;
}

static intptr_t sync_in_a_task(void *arg)
{
    return whorl_join(spawn_named(sync_though_cancelled, arg), NULL);
}

TEST(fork_task, a_sync_is_not_cancelled)
{
    run_everywhere(sync_in_a_task, NULL);
}

/* Deadlines */

static intptr_t fork_before_a_deadline(void *arg)
{
    struct waiter waiters[WAITERS];
    whorl_ns start = whorl_now();

    whorl_deadline(start + WHORL_MS(5));
    fork_waiters(waiters, whorl_sleep, WHORL_SEC(1));
    CHECK_EQ(whorl_sleep(WHORL_MS(3)), 0);
    sync_waiters(waiters);
    for (int i = 0; i < WAITERS; i++) {
        CHECK(waiters[i].taken);
        CHECK_EQ(waiters[i].results[0], -ETIMEDOUT);
        CHECK(waiters[i].end >= start + WHORL_MS(5) && waiters[i].end < start + WHORL_MS(6));
        CHECK_EQ(waiters[i].results[2], -ETIMEDOUT);
    }
    CHECK_EQ(whorl_deadline(WHORL_NEVER), start + WHORL_MS(5));
    return (intptr_t)arg;
}

static intptr_t fork_beside_a_deadline(void *arg)
{
    struct waiter waiters[WAITERS];
    whorl_ns start = whorl_now();

    fork_waiters(waiters, whorl_sleep, WHORL_MS(10));
    CHECK_EQ(whorl_sleep(WHORL_MS(3)), 0);
    whorl_deadline(start + WHORL_MS(5)); /* they were taken before it was set */
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ETIMEDOUT);
    sync_waiters(waiters);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(waiters[i].results[2], 0);
    whorl_deadline(WHORL_NEVER);
    return (intptr_t)arg;
}

struct setter {
    struct whorl_fork fork;
    whorl_ns before, when;
};

static void set_a_deadline(struct whorl_fork *self)
{
    struct setter *s = whorl_fork_of(self, struct setter, fork);

    s->before = whorl_deadline(s->when);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ETIMEDOUT);
}

/* One that a strand sets is its own. */
static intptr_t set_in_a_fork(void *arg)
{
    whorl_ns start = whorl_now();
    struct setter setter = {.when = start + WHORL_MS(5)};

    whorl_deadline(start + WHORL_SEC(5));
    whorl_fork(&setter.fork, set_a_deadline);
    CHECK_EQ(whorl_sleep(WHORL_MS(10)), 0);
    whorl_sync(&setter.fork);
    CHECK_EQ(setter.before, start + WHORL_SEC(5));
    CHECK_EQ(whorl_sleep(WHORL_MS(10)), 0);
    CHECK_EQ(whorl_deadline(WHORL_NEVER), start + WHORL_SEC(5));
    return (intptr_t)arg;
}

static intptr_t try_deadlines(void *arg)
{
    static const whorl_fn fns[] = {fork_before_a_deadline, fork_beside_a_deadline, set_in_a_fork};

    for (size_t i = 0; i < 2 * sizeof fns / sizeof *fns; i++) /* the second time in the same records */
        CHECK_EQ(whorl_join(spawn_named(fns[i % 3], arg), NULL), 0);
    return 0;
}

TEST(fork_task, a_deadline_is_that_of_a_fork_from_when_it_is_taken)
{
    run_everywhere(try_deadlines, NULL);
}

/* Forks that spawn and join. */

struct family {
    struct whorl_fork fork;
    struct whorl_task *others; /* somebody else's child */
    intptr_t result;
};

static intptr_t double_it(void *arg)
{
    CHECK_EQ(whorl_sleep(100), 0);
    return 2 * (intptr_t)arg;
}

static void raise_children(struct whorl_fork *self)
{
    struct family *f = whorl_fork_of(self, struct family, fork);
    struct whorl_task *child = spawn_named(double_it, (void *)21);
    intptr_t first = 0, second = 0;

    CHECK_EQ(whorl_join(whorl_self(), NULL), -EDEADLK);
    CHECK_EQ(whorl_join(child, &first), 0);
    CHECK_EQ(whorl_join(f->others, &second), 0);
    f->result = first + second;
}

static intptr_t join_in_forks(void *arg)
{
    struct family forks[4];

    for (int i = 0; i < 4; i++) {
        forks[i].others = spawn_named(double_it, (void *)50);
        whorl_fork(&forks[i].fork, raise_children);
        if (i == 1)
            CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0); /* two are taken, two perhaps not */
    }
    for (int i = 3; i >= 0; i--) {
        whorl_sync(&forks[i].fork);
        CHECK_EQ(forks[i].result, 142);
    }
    return (intptr_t)arg;
}

TEST(fork_task, a_fork_spawns_and_joins)
{
    run_everywhere(join_in_forks, NULL);
}

/* Leaving in the middle */

static int left; /* forks that ended */

static void sleep_for_ever(struct whorl_fork *self)
{
    (void)self;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    left++;
}

static intptr_t fork_sleepers(void *arg)
{
    struct whorl_fork forks[5];

    for (int round = 0; round < 2; round++) { /* once before main returns, once after */
        for (int i = 0; i < 5; i++)
            whorl_fork(&forks[i], sleep_for_ever);
        CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
        for (int i = 4; i >= 0; i--)
            whorl_sync(&forks[i]);
    }
    return (intptr_t)arg;
}

static intptr_t leave(void *arg)
{
    left = 0;
    for (int i = 0; i < 3; i++)
        whorl_detach(spawn_named(fork_sleepers, arg));
    return whorl_sleep(WHORL_MS(1));
}

TEST(fork_task, a_runtime_that_is_left_stops_forks_too)
{
    for (uint64_t i = 0; i < 40; i++) {
        struct whorl_options options = {.workers = 1 + (int)(i % 4), .seed = test_seed() + i, .exit_policy = WHORL_EXIT_CANCEL};

        CHECK_EQ(null_run(leave, NULL, &options), 0);
        CHECK_EQ(left, 3 * 2 * 5);
    }
    CHECK_EQ(null_run_real(leave, NULL, &(struct whorl_options){.exit_policy = WHORL_EXIT_CANCEL}), 0);
    CHECK_EQ(left, 3 * 2 * 5);
}

/* What is to be seen */

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;

    for (const char *found = text; (found = strstr(found, part)); found++)
        n++;
    return n;
}

static void check_dump(const void *fork)
{
    static char text[1 << 16];
    int fd = memfd_create("dump", MFD_CLOEXEC);
    char waits[128];
    ssize_t n;

    CHECK(fd >= 0);
    whorl_dump(fd);
    n = pread(fd, text, sizeof text - 1, 0);
    CHECK(n > 0);
    text[n > 0 ? n : 0] = 0;
    close(fd);
    CHECK_EQ(count_of(text, "\"forker\" (a fork of it) waits for sleep until "), WAITERS);
    CHECK_EQ(count_of(text, ", spawned at forker.c:3\n"), 1 + WAITERS);
    snprintf(waits, sizeof waits, " \"forker\" waits for sync 0x%" PRIxPTR ", since ", (uintptr_t)fork);
    CHECK_HAS(text, waits);
    CHECK_HAS(text, ", forks taken ");
}

static intptr_t wait_in_sync(void *arg)
{
    struct waiter *waiters = arg;

    fork_waiters(waiters, whorl_sleep, WHORL_SEC(1));
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    sync_waiters(waiters);
    return 0;
}

static intptr_t look_at_forks(void *arg)
{
    struct waiter waiters[WAITERS];
    struct whorl_task *t = spawn_named(wait_in_sync, waiters);
    struct whorl_stats stats = {.size = sizeof stats};
    uint64_t taken = 0;

    CHECK_EQ(whorl_sleep(WHORL_MS(2)), 0);
    check_dump(&waiters[WAITERS - 1].fork);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(null_stats().forks_taken, WAITERS);
    for (int i = 0; i < whorl_workers(); i++) {
        CHECK_EQ(whorl_stats(i, &stats), 0);
        taken += stats.forks_taken;
    }
    CHECK_EQ(taken, WAITERS);
    CHECK_EQ(null_stats().spawned, 2); /* strands are no tasks */
    return (intptr_t)arg;
}

TEST(fork_task, forks_are_shown_and_counted)
{
    run_everywhere(look_at_forks, NULL);
}

/* Checkpoints */

struct busy {
    struct whorl_fork fork;
    bool others_ran;
};

static intptr_t set_flag(void *arg)
{
    *(bool *)arg = true;
    return 0;
}

static void be_busy(struct whorl_fork *self)
{
    struct busy *busy = whorl_fork_of(self, struct busy, fork);
    struct whorl_task *t = spawn_named(set_flag, &busy->others_ran);

    while (!busy->others_ran)
        whorl_checkpoint();
    CHECK_EQ(whorl_join(t, NULL), 0);
}

static intptr_t compute_long(void *arg)
{
    struct busy with_deque, without = {.others_ran = false};

    be_busy(&without.fork); /* a plain call, of a task that has never forked */
    with_deque.others_ran = false;
    whorl_fork(&with_deque.fork, be_busy);
    whorl_sync(&with_deque.fork);
    CHECK(whorl_now() < 3 * WHORL_MS(1)); /* each time when its slice was over */
    return (intptr_t)arg;
}

TEST(fork_task, a_checkpoint_lets_others_run_in_the_end)
{
    CHECK_EQ(null_run_real(compute_long, NULL, NULL), 0);
}
