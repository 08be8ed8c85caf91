/* SPDX-License-Identifier: MIT */
/* Task-locals: what a task spawns begins with its values, nobody else sees what it sets later, and each value is dropped once. Linked with
 * --wrap=malloc, so that the n-th call can fail. */
#include "runtime/scheduler.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <whorl/whorl.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

static int refuse; /* the how manieth malloc from now on fails; 0: none */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return refuse > 0 && --refuse == 0 ? NULL : __real_malloc(size);
}

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

static const struct whorl_local colour; /* all zeros */

static bool has(const struct whorl_local *key, const char *value)
{
    return CHECK_STR(whorl_local_get(key), value);
}

static void set(const struct whorl_local *key, const char *value)
{
    CHECK_EQ(whorl_local_set(key, (void *)(uintptr_t)value), 0);
}

static intptr_t see_red(void *arg)
{
    const char *see = arg;

    has(&colour, see);
    whorl_yield();
    has(&colour, see);
    return 0;
}

static intptr_t change_own(void *arg)
{
    has(&colour, arg);
    set(&colour, "green");
    CHECK_EQ(whorl_join(whorl_spawn(see_red, "green"), NULL), 0);
    whorl_sleep(WHORL_MS(2));
    has(&colour, "green");
    set(&colour, NULL);
    CHECK_EQ(whorl_join(whorl_spawn(see_red, NULL), NULL), 0);
    return 0;
}

static intptr_t inherit(void *arg)
{
    static const char red[] = "red", blue[] = "blue";
    struct whorl_call calls[] = {{change_own, (void *)(uintptr_t)red}, {see_red, (void *)(uintptr_t)red}};
    struct whorl_task *before = whorl_spawn(see_red, NULL), *after;
    struct whorl_scope s;
    intptr_t results[2];

    (void)arg;
    has(&colour, NULL);
    set(&colour, red);
    after = whorl_spawn(change_own, (void *)(uintptr_t)red);
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, change_own, (void *)(uintptr_t)red), 0);
    CHECK_EQ(whorl_gather(results, calls, 2), 0);
    set(&colour, blue);
    CHECK_EQ(whorl_scope_spawn(&s, see_red, (void *)(uintptr_t)blue), 0);
    CHECK_EQ(whorl_join(before, NULL), 0);
    CHECK_EQ(whorl_join(after, NULL), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    has(&colour, blue);
    CHECK_EQ(whorl_join(whorl_runtime_spawn(whorl_runtime(), see_red, NULL, NULL), NULL), 0); /* as if from outside */
    return 0;
}

TEST(local, a_task_begins_with_what_its_spawner_has)
{
    run_everywhere(inherit, NULL);
}

/* A value that is counted while it is there. */
static int alive;

static void drop(void *value)
{
    CHECK(alive > 0);
    alive--;
    free(value);
}

static int *number(int n)
{
    int *value = malloc(sizeof *value);

    alive++;
    *value = n;
    return value;
}

static const struct whorl_local counted = {drop}, other = {drop};

static intptr_t keep_value(void *arg)
{
    whorl_sleep(WHORL_SEC((intptr_t)arg));
    CHECK(alive >= 1);
    CHECK_EQ(*(int *)whorl_local_get(&counted), 5);
    return 0;
}

static intptr_t hand_down(void *arg)
{
    struct whorl_task *a, *b;
    int *value = number(5);

    (void)arg;
    CHECK_EQ(whorl_local_set(&counted, value), 0);
    CHECK_EQ(whorl_local_set(&counted, value), 0); /* the same */
    CHECK_EQ(alive, 1);
    a = whorl_spawn(keep_value, (void *)1);
    b = whorl_spawn(keep_value, (void *)2);
    CHECK_EQ(whorl_local_set(&other, number(1)), 0);
    CHECK_EQ(whorl_local_set(&other, number(2)), 0);
    CHECK_EQ(alive, 2);
    CHECK_EQ(whorl_local_set(&counted, number(6)), 0);
    CHECK_EQ(alive, 3);
    CHECK_EQ(whorl_join(a, NULL), 0);
    CHECK_EQ(alive, 3);
    CHECK_EQ(whorl_join(b, NULL), 0);
    CHECK_EQ(alive, 2); /* with the end of the last that had it */
    CHECK_EQ(whorl_local_set(&other, NULL), 0);
    CHECK_EQ(*(int *)whorl_local_get(&counted), 6);
    CHECK(!whorl_local_get(&other));
    CHECK_EQ(alive, 1);
    return 0;
}

TEST(local, a_value_is_dropped_when_the_last_that_has_it_ends)
{
    alive = 0;
    run_everywhere(hand_down, NULL);
    CHECK_EQ(alive, 0);
}

static intptr_t set_in_vain(void *arg)
{
    static const struct whorl_local keys[3] = {{drop}, {drop}, {drop}};
    int *value;

    (void)arg;
    for (int have = 0; have < 3; have++) {
        for (int n = 1; n <= 2; n++) {
            value = number(have);
            refuse = n;
            CHECK_EQ(whorl_local_set(&keys[have], value), -ENOMEM);
            CHECK_EQ(refuse, 0);
            drop(value); /* it is still ours */
            CHECK_EQ(alive, have);
            CHECK(!whorl_local_get(&keys[have]));
        }
        CHECK_EQ(whorl_local_set(&keys[have], number(have)), 0);
        for (int i = 0; i <= have; i++)
            CHECK_EQ(*(int *)whorl_local_get(&keys[i]), i);
    }
    refuse = 1;
    CHECK_EQ(whorl_local_set(&keys[1], NULL), -ENOMEM); /* the others need a set of their own */
    CHECK_EQ(*(int *)whorl_local_get(&keys[1]), 1);
    CHECK_EQ(whorl_local_set(&keys[1], NULL), 0);
    CHECK_EQ(whorl_local_set(&keys[0], NULL), 0);
    refuse = 1;
    CHECK_EQ(whorl_local_set(&keys[2], NULL), 0); /* the last goes without */
    refuse = 0;
    CHECK_EQ(alive, 0);
    return 0;
}

TEST(local, without_memory_all_is_as_before)
{
    alive = 0;
    CHECK_EQ(null_run(set_in_vain, NULL, NULL), 0);
}

/* Forks see what their task has, whoever has taken them, and may spawn. */
struct forked {
    struct whorl_fork fork;
    int depth, taken;
};

static void fork_and_look(struct whorl_fork *self)
{
    struct forked *f = whorl_fork_of(self, struct forked, fork), halves[2] = {{.depth = f->depth - 1}, {.depth = f->depth - 1}};

    if (f->depth > 0) {
        whorl_fork(&halves[0].fork, fork_and_look);
        fork_and_look(&halves[1].fork);
        whorl_sync(&halves[0].fork);
        f->taken = halves[0].taken + halves[1].taken;
        return;
    }
    CHECK_EQ(*(int *)whorl_local_get(&counted), 5);
    f->taken = whorl__worker()->current->root != NULL;
    CHECK_EQ(whorl_join(whorl_spawn(keep_value, (void *)1), NULL), 0);
    CHECK_EQ(*(int *)whorl_local_get(&counted), 5);
}

static intptr_t look_in_forks(void *arg)
{
    struct forked f = {.depth = 3};

    CHECK_EQ(whorl_local_set(&counted, number(5)), 0);
    fork_and_look(&f.fork);
    *(int *)arg += f.taken;
    CHECK_EQ(alive, 1);
    return 0;
}

TEST(local, forks_have_those_of_their_task)
{
    int taken = 0;

    alive = 0;
    run_everywhere(look_in_forks, &taken);
    CHECK_EQ(alive, 0);
    CHECK(taken > 0);
}

/* A task that goes on to other values while a fork of it has been taken: that one keeps what it had. */
static void look_long(struct whorl_fork *self)
{
    struct forked *f = whorl_fork_of(self, struct forked, fork);
    const int *value = whorl_local_get(&counted);
    int before = *value;

    f->taken = whorl__worker()->current->root != NULL;
    if (!f->taken)
        return;
    whorl_sleep(WHORL_SEC(1));
    CHECK_EQ(*value, before);
    CHECK(whorl_local_get(&counted) == value);
}

static intptr_t change_meanwhile(void *arg)
{
    struct forked f = {.depth = 0};

    CHECK_EQ(whorl_local_set(&counted, number(0)), 0);
    whorl_fork(&f.fork, look_long);
    for (int i = 1; i < 9; i++) {
        CHECK_EQ(whorl_local_set(&counted, number(i)), 0);
        whorl_sleep(WHORL_MS(10));
    }
    whorl_sync(&f.fork);
    *(int *)arg += f.taken;
    return 0;
}

TEST(local, a_taken_fork_keeps_what_it_began_with)
{
    int taken = 0;

    alive = 0;
    run_everywhere(change_meanwhile, &taken);
    CHECK_EQ(alive, 0);
    CHECK(taken > 0);
}

/* Mistakes. */

static void set_if_taken(struct whorl_fork *self)
{
    if (whorl__worker()->current->root)
        CHECK_EQ(whorl_local_set(&colour, self), 0);
}

static intptr_t set_in_fork(void *arg)
{
    struct whorl_fork fork;

    (void)arg;
    whorl_fork(&fork, set_if_taken);
    whorl_sleep(WHORL_SEC(1));
    whorl_sync(&fork);
    return 0;
}

static void run_sleeper(void *value)
{
    (void)value;
    whorl_sleep(1);
}

static intptr_t drop_and_suspend(void *arg)
{
    static const struct whorl_local key = {run_sleeper};

    CHECK_EQ(whorl_local_set(&key, arg), 0);
    return 0;
}

static void in_two(void *fn)
{
    null_run(*(whorl_fn *)fn, fn, &(struct whorl_options){.workers = 2});
}

TEST(local, mistakes_abort)
{
    static const struct {
        whorl_fn fn;
        const char *says;
    } mistakes[] = {{set_in_fork, "whorl_local_set was called in a fork"},
                    {drop_and_suspend, "no-suspend region that began at the drop of a task-local"}};
    char err[4096];

    for (int i = 0; i < 2; i++) {
        whorl_fn fn = mistakes[i].fn;
        int status = run_in_child(in_two, &fn, err, sizeof err);

        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK_HAS(err, mistakes[i].says);
    }
}

/* A task's drop may set a value anew, or defer something: both are undone as well. */
static void say_it_again(void *times)
{
    static const struct whorl_local again = {say_it_again};

    alive--;
    if (*(int *)times > 0) {
        --*(int *)times;
        alive += 2;
        CHECK_EQ(whorl_defer(drop, malloc(1)), 0);
        CHECK_EQ(whorl_local_set(&again, times), 0);
    }
}

static intptr_t set_stubborn(void *arg)
{
    static const struct whorl_local stubborn = {say_it_again};

    alive = 1;
    return whorl_local_set(&stubborn, arg);
}

static intptr_t end_stubborn(void *arg)
{
    int times = 3;

    (void)arg;
    CHECK_EQ(whorl_join(whorl_spawn(set_stubborn, &times), NULL), 0);
    CHECK_EQ(times, 0);
    CHECK_EQ(alive, 0);
    return 0;
}

TEST(local, what_a_drop_leaves_is_undone_too)
{
    run_everywhere(end_stubborn, NULL);
}

/* A random tree of tasks, each of which knows what it must find under each key. */
enum { KEYS = 5 };
static const struct whorl_local keys[KEYS] = {{drop}, {drop}, {drop}, {drop}, {drop}};

struct node {
    uint64_t *random;
    int depth, values[KEYS]; /* 0: none */
};

static unsigned choose(struct node *n, unsigned of)
{
    return (unsigned)(test_random(n->random) % of);
}

static void check_values(const struct node *n)
{
    for (int i = 0; i < KEYS; i++) {
        const int *value = whorl_local_get(&keys[i]);

        CHECK_EQ(value ? *value : 0, n->values[i]);
    }
}

static intptr_t live(void *arg)
{
    struct node *n = arg, below[4];
    struct whorl_task *tasks[4] = {NULL};
    struct whorl_scope s;
    unsigned count = n->depth > 0 ? choose(n, 5) : 0;

    whorl_scope_open(&s);
    for (unsigned i = 0; i < count; i++) {
        int key = (int)choose(n, KEYS), value = (int)choose(n, 4);

        check_values(n);
        CHECK_EQ(whorl_local_set(&keys[key], value ? number(value) : NULL), 0);
        n->values[key] = value;
        below[i] = *n;
        below[i].depth--;
        if (choose(n, 2))
            tasks[i] = whorl_spawn(live, &below[i]);
        else
            CHECK_EQ(whorl_scope_spawn(&s, live, &below[i]), 0);
        if (choose(n, 3) == 0)
            whorl_sleep(WHORL_MS(choose(n, 5)));
    }
    check_values(n);
    for (unsigned i = 0; i < count; i++)
        if (tasks[i])
            CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    check_values(n);
    return 0;
}

TEST(local, whatever_is_set_each_sees_its_own_and_all_is_dropped, .timeout = 60)
{
    for (unsigned i = 0; i < test_seeds(200); i++) {
        uint64_t random = test_seed() + i;
        struct node n = {.random = &random, .depth = 4};

        alive = 0;
        CHECK_EQ(null_run(live, &n, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
        CHECK_EQ(alive, 0);
    }
}

/* Every stack is held by a task that waits for one that has none: some are given up. */
enum { HOLDERS = 100 };

static intptr_t return_five(void *arg)
{
    (void)arg;
    return *(int *)whorl_local_get(&counted);
}

static intptr_t hold_a_stack(void *arg)
{
    struct whorl_task *t;
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_local_set(&other, number(7)), 0);
    whorl_sleep(WHORL_MS(1));
    t = whorl_spawn(return_five, NULL);
    CHECK_EQ(whorl_join(t, &result), 0);
    return result;
}

static intptr_t starve(void *arg)
{
    struct whorl_task *tasks[HOLDERS];
    intptr_t result;
    int refused = 0;

    (void)arg;
    CHECK_EQ(whorl_local_set(&counted, number(5)), 0);
    for (int i = 0; i < HOLDERS; i++)
        tasks[i] = whorl_spawn(hold_a_stack, NULL);
    for (int i = 0; i < HOLDERS; i++) {
        CHECK_EQ(whorl_join(tasks[i], &result), 0);
        CHECK(result == 5 || result == -ENOMEM);
        refused += result == -ENOMEM;
    }
    CHECK(refused > 0 && refused < HOLDERS);
    CHECK_EQ(alive, 1);
    return 0;
}

static void run_starving(void *workers)
{
    alive = 0;
    CHECK_EQ(null_run(starve, NULL, &(struct whorl_options){.workers = *(int *)workers, .memory = 4 << 20}), 0);
    CHECK_EQ(alive, 0);
}

TEST(local, those_that_never_run_drop_theirs)
{
    for (int workers = 1; workers <= 3; workers++) {
        char err[1024];

        CHECK_EQ(run_in_child(run_starving, &workers, err, sizeof err), 0);
    }
}
