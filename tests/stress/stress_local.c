/* SPDX-License-Identifier: MIT */
/* Trees of tasks on real workers that set values, defer things, fork, spawn, are cancelled and fail, in whatever order the seed says: each
 * finds the values that it must find, its own errors, and in the end every value is dropped and all that was owed is done. */
#include "tests/io/loopback.h"

enum { WORKERS = 4, KEYS = 3, CHILDREN = 4, DEPTH = 5 };

static long values, owed; /* atomic: those that are there */

static long add(long *counter, long n)
{
    return __atomic_add_fetch(counter, n, __ATOMIC_SEQ_CST);
}

static void drop(void *value)
{
    free(value);
    CHECK(add(&values, -1) >= 0);
}

static void pay(void *unused)
{
    (void)unused;
    (void)whorl_sleep(1000);
    CHECK(add(&owed, -1) >= 0);
}

static const struct whorl_local keys[KEYS] = {{drop}, {drop}, {drop}};

/* What a task, or a fork, must find. */
struct life {
    struct whorl_fork fork;
    uint64_t seed;
    int depth;
    long numbers[KEYS]; /* 0: none */
};

static uint64_t draw(struct life *l, uint64_t n)
{
    return test_random(&l->seed) % n;
}

static void look(const struct life *l)
{
    for (int i = 0; i < KEYS; i++) {
        const long *value = whorl_local_get(&keys[i]);

        CHECK_EQ(value ? *value : 0, l->numbers[i]);
    }
}

static void set_one(struct life *l)
{
    int i = (int)draw(l, KEYS);
    long *value = draw(l, 4) ? malloc(sizeof *value) : NULL;

    if (value) {
        *value = 1 + (long)draw(l, 1000);
        add(&values, 1);
    }
    l->numbers[i] = value ? *value : 0;
    CHECK_EQ(whorl_local_set(&keys[i], value), 0);
}

static void owe(void)
{
    add(&owed, 1);
    CHECK_EQ(whorl_defer(pay, NULL), 0);
}

/* Ends early if somebody has cancelled it, or its scope. */
static void sleep_a_little(struct life *l)
{
    int err = whorl_sleep((whorl_ns)draw(l, 50000));

    if (err) {
        CHECK_EQ(whorl_error(), err);
        CHECK(strncmp(whorl_error_text(), "sleep: cancelled", 16) == 0);
    }
}

static intptr_t live(void *arg);

/* Cancelled or not, it is waited for. */
static void spawn_and_wait(struct life *child)
{
    struct whorl_scope s;
    int err;

    whorl_scope_open_at(&s, "spawn_and_wait");
    err = whorl_scope_spawn(&s, live, child);
    CHECK(err == 0 || (err == -ECANCELED && whorl_error() == err));
    CHECK(whorl_scope_close(&s) == 0 || whorl_error() == -ECANCELED);
}

static void run_fork(struct whorl_fork *self)
{
    struct life *l = whorl_fork_of(self, struct life, fork), child;

    look(l);
    sleep_a_little(l);
    owe();
    if (l->depth > 0) {
        child = (struct life){.seed = test_random(&l->seed), .depth = l->depth - 1};
        memcpy(child.numbers, l->numbers, sizeof child.numbers);
        spawn_and_wait(&child);
    }
    look(l);
}

static void fork_some(struct life *l)
{
    struct life forks[CHILDREN];

    for (int i = 0; i < CHILDREN; i++) {
        forks[i] = *l;
        forks[i].seed = test_random(&l->seed);
        forks[i].depth -= 2;
        whorl_fork(&forks[i].fork, run_fork);
    }
    sleep_a_little(l);
    for (int i = CHILDREN - 1; i >= 0; i--)
        whorl_sync(&forks[i].fork);
    look(l);
}

static void spawn_some(struct life *l)
{
    struct life children[CHILDREN];
    struct whorl_scope s;

    whorl_scope_open_at(&s, "spawn_some");
    for (int i = 0; i < CHILDREN; i++) {
        int err;

        if (draw(l, 2))
            set_one(l);
        children[i] = *l;
        children[i].seed = test_random(&l->seed);
        children[i].depth--;
        err = whorl_scope_spawn(&s, live, &children[i]);
        CHECK(err == 0 || err == -ECANCELED);
        if (draw(l, 16) == 0)
            whorl_scope_cancel(&s, "it is enough");
    }
    sleep_a_little(l);
    CHECK(whorl_scope_close(&s) == 0 || whorl_error() == -ECANCELED);
    look(l);
}

static intptr_t live(void *arg)
{
    struct life *l = arg;

    look(l);
    for (uint64_t steps = draw(l, 4); steps > 0; steps--)
        switch (draw(l, l->depth > 0 ? 6 : 4)) {
        case 0:
            set_one(l);
            break;
        case 1:
            owe();
            break;
        case 2:
            sleep_a_little(l);
            break;
        case 3:
            CHECK_EQ(whorl_recv(-1, l, 1, 0) < 0, 1);
            break;
        case 4:
            fork_some(l);
            break;
        default:
            spawn_some(l);
            break;
        }
    look(l);
    return 0;
}

TASK_TEST_WITHIN(locals, each_finds_its_own_and_all_is_undone, WORKERS, 120)
{
    uint64_t seed = test_seed();
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(2)));

    values = owed = 0;
    do {
        struct life lives[CHILDREN];
        struct whorl_task *tasks[CHILDREN];

        for (int i = 0; i < CHILDREN; i++) {
            lives[i] = (struct life){.seed = test_random(&seed), .depth = DEPTH};
            tasks[i] = start("life", live, &lives[i]);
        }
        whorl_sleep((whorl_ns)(test_random(&seed) % 100000));
        whorl_cancel(tasks[0]);
        for (int i = 0; i < CHILDREN; i++)
            CHECK_EQ(result_of(tasks[i]), 0);
        CHECK_EQ(values, 0);
        CHECK_EQ(owed, 0);
    } while (whorl_now() < end && test_failures() == 0);
}
