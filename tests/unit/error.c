/* SPDX-License-Identifier: MIT */
/* What failed, on what, and why: the texts of failed calls. Linked with --wrap=malloc and --wrap=calloc, so that there may be no memory. */
#include "runtime/scheduler.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whorl/whorl.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static bool no_memory;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return no_memory ? NULL : __real_calloc(count, size);
}

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* The caller's last call failed with `err`, and this is what is said of it. */
#define FAILED(result, err, text)                                                                                                  \
    do {                                                                                                                           \
        CHECK_EQ(result, err);                                                                                                     \
        CHECK_EQ(whorl_error(), err);                                                                                              \
        CHECK_STR(whorl_error_text(), text);                                                                                       \
    } while (0)

TEST(error, every_number_has_a_text)
{
    for (int err = 1; err < 134; err++)
        if (CHECK(whorl_strerror(-err) != NULL))
            CHECK(strlen(whorl_strerror(-err)) > 0 && strcmp(whorl_strerror(-err), "no error") != 0);
    CHECK_STR(whorl_strerror(0), "no error");
    CHECK_STR(whorl_strerror(7), "no error");
    CHECK_STR(whorl_strerror(INT_MAX), "no error");
    CHECK_STR(whorl_strerror(INT_MIN), "an unknown error");
    CHECK_STR(whorl_strerror(-4095), "an unknown error");
    CHECK_STR(whorl_strerror(-ECANCELED), "cancelled");
    CHECK_STR(whorl_strerror(-ECONNREFUSED), "connection refused");
    CHECK_STR(whorl_strerror(-EISDIR), "Is a directory"); /* the C library's */
}

static intptr_t sleep_long(void *arg)
{
    CHECK_EQ(whorl_error(), 0); /* whatever the task before had whose record this is */
    CHECK_STR(whorl_error_text(), "no error");
    FAILED(whorl_sleep(WHORL_SEC(100)), -ECANCELED, arg);
    CHECK_EQ(whorl_sleep(1), 0);
    FAILED(-ECANCELED, -ECANCELED, arg); /* it stays as long as nothing else fails */
    return 0;
}

static intptr_t end_waits(void *arg)
{
    static char text[] = "sleep: cancelled";
    struct whorl_task *t = whorl_spawn(sleep_long, text);

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(whorl_error(), 0); /* that was the other one's */
    whorl_deadline(whorl_now() + 1);
    FAILED(whorl_sleep_until(WHORL_SEC(9)), -ETIMEDOUT, "sleep: timed out because the task's deadline passed");
    whorl_deadline(WHORL_NEVER);
    return 0;
}

TEST(error, a_wait_that_ended_says_why)
{
    run_everywhere(end_waits, NULL);
}

/* Waits in scopes. */

static intptr_t sleep_inside(void *text)
{
    struct whorl_scope s;

    whorl_scope_open_at(&s, "inner.c:1");
    FAILED(whorl_sleep(WHORL_SEC(100)), -ECANCELED, text);
    FAILED(whorl_sleep(WHORL_SEC(100)), -ECANCELED,
           text); /* the inner one has been cancelled by now, for the sake of the outer one */
    FAILED(whorl_scope_close(&s), -ECANCELED, "scope opened at inner.c:1: cancelled because what is around it was cancelled");
    FAILED(whorl_sleep(WHORL_SEC(100)), -ECANCELED, text);
    return 0;
}

static intptr_t cancel_scopes(void *arg)
{
    static char enough[] = "sleep: cancelled with the scope opened at outer.c:2, because enough";
    static char silent[] = "sleep: cancelled with the scope opened at outer.c:3";
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open_at(&s, "outer.c:2");
    CHECK_EQ(whorl_scope_spawn(&s, sleep_inside, enough), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_scope_cancel(&s, "enough");
    FAILED(whorl_sleep(WHORL_SEC(1)), -ECANCELED, enough);
    FAILED(whorl_scope_spawn_at(&s, sleep_inside, NULL, NULL, "spawn.c:7"), -ECANCELED,
           "spawn at spawn.c:7: cancelled with the scope opened at outer.c:2, because enough");
    FAILED(whorl_scope_join(&s), -ECANCELED, "scope opened at outer.c:2: cancelled because enough");
    FAILED(whorl_scope_close(&s), -ECANCELED, "scope opened at outer.c:2: cancelled because enough");

    whorl_scope_open_at(&s, "outer.c:3");
    CHECK_EQ(whorl_scope_spawn(&s, sleep_inside, silent), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_scope_cancel(&s, NULL);
    FAILED(whorl_sleep(WHORL_SEC(1)), -ECANCELED, silent);
    FAILED(whorl_scope_close(&s), -ECANCELED, "scope opened at outer.c:3: cancelled");
    return 0;
}

TEST(error, a_scope_that_ended_a_wait_is_named_with_its_reason)
{
    run_everywhere(cancel_scopes, NULL);
}

static intptr_t fail(void *arg)
{
    return (intptr_t)arg;
}

static intptr_t spawn_into_closing(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    FAILED(whorl_scope_spawn_at(arg, fail, NULL, NULL, "late.c:1"), -ECANCELED,
           "spawn at late.c:1 failed: the scope is being closed");
    return 0;
}

static intptr_t sleep_till_cancelled(void *arg)
{
    (void)arg;
    return whorl_sleep(WHORL_SEC(100));
}

static intptr_t fail_scopes(void *arg)
{
    struct whorl_scope s;
    struct whorl_call calls[] = {{fail, NULL}, {fail, (void *)(intptr_t)-EIO}};
    intptr_t results[2];

    (void)arg;
    whorl_scope_open_at(&s, "a.c:1");
    FAILED(whorl_scope_deadline(&s, 0), -ETIMEDOUT, "scope opened at a.c:1 failed: its deadline has passed");
    FAILED(whorl_sleep(1), -ETIMEDOUT, "sleep: timed out with the scope opened at a.c:1, because its deadline passed");
    FAILED(whorl_scope_close(&s), -ETIMEDOUT, "scope opened at a.c:1: timed out because its deadline passed");

    whorl_scope_open_at(&s, "a.c:2");
    CHECK_EQ(whorl_scope_spawn(&s, fail, (void *)(intptr_t)-ECONNRESET), 0);
    FAILED(whorl_sleep(WHORL_SEC(9)), -ECANCELED, "sleep: cancelled with the scope opened at a.c:2, because a task in it failed");
    FAILED(whorl_scope_close(&s), -ECONNRESET, "scope opened at a.c:2 failed: connection reset by the other side");

    whorl_scope_open_at(&s, "a.c:3");
    CHECK_EQ(whorl_scope_spawn(&s, spawn_into_closing, &s), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);

    FAILED(whorl_gather(results, calls, 2), -EIO, "scope opened at whorl_gather failed: input or output failed");
    FAILED(whorl_wait_for(sleep_till_cancelled, NULL, WHORL_SEC(1), NULL), -ETIMEDOUT, "wait_for failed: the time is up");
    return 0;
}

TEST(error, what_became_of_a_scope_is_said)
{
    run_everywhere(fail_scopes, NULL);
}

/* What a child failed with is what its scope fails with, from however deep. */

static intptr_t wait_and_fail(void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    CHECK_EQ(whorl_undefer(free, NULL), -ENOENT);
    return -ENOENT;
}

static intptr_t fail_deep(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open_at(&s, "deep.c:1");
    CHECK_EQ(whorl_scope_spawn_at(&s, wait_and_fail, NULL, NULL, "deep.c:2"), 0);
    return whorl_scope_close(&s);
}

static intptr_t fail_in_children(void *arg)
{
    static const char deep[] = "undefer failed: it is not deferred, in the task spawned at deep.c:2";
    struct whorl_call calls[] = {{sleep_till_cancelled, NULL}, {wait_and_fail, NULL}};
    struct whorl_scope s;
    intptr_t results[2];

    (void)arg;
    whorl_scope_open_at(&s, "top.c:1");
    CHECK_EQ(whorl_scope_spawn_at(&s, sleep_till_cancelled, NULL, NULL, "top.c:2"), 0);
    CHECK_EQ(whorl_scope_spawn_at(&s, fail_deep, NULL, NULL, "top.c:3"), 0);
    FAILED(whorl_scope_join(&s), -ENOENT, deep);
    FAILED(whorl_scope_close(&s), -ENOENT, deep);
    FAILED(whorl_gather(results, calls, 2), -ENOENT, "undefer failed: it is not deferred, in the task spawned at whorl_gather");

    whorl_scope_open_at(&s, "top.c:4"); /* and likewise the body */
    CHECK_EQ(whorl_scope_spawn_at(&s, sleep_till_cancelled, NULL, NULL, "top.c:5"), 0);
    whorl_scope_fail(&s, whorl_undefer(free, NULL));
    FAILED(whorl_scope_close(&s), -ENOENT, "undefer failed: it is not deferred");
    return 0;
}

TEST(error, a_scope_tells_what_failed_in_it)
{
    run_everywhere(fail_in_children, NULL);
}

/* Joining and waiting. */

static intptr_t join_long(void *arg)
{
    struct whorl_task *t = arg;
    struct whorl_completions c;

    FAILED(whorl_join(t, NULL), -ECANCELED, "join of the task spawned at long.c:5: cancelled");
    CHECK_EQ(whorl_completions_open(&c, &t, 1), 0);
    FAILED(whorl_completions_next(&c, &t), -ECANCELED, "wait for a task's end: cancelled");
    whorl_completions_close(&c);
    FAILED(whorl_join(whorl_self(), NULL), -EDEADLK,
           "join of the task spawned at joiner.c:6 failed: a task cannot wait for its own end");
    no_memory = true;
    CHECK_EQ(whorl_wait(&t, 1, WHORL_UNTIL_ALL), -ENOMEM);
    no_memory = false;
    FAILED(-ENOMEM, -ENOMEM, "wait for tasks failed: no memory");
    return 0;
}

static intptr_t cancel_joiner(void *arg)
{
    static char text[] = "sleep: cancelled";
    struct whorl_task *t = whorl_spawn_at(sleep_long, text, NULL, "long.c:5"),
                      *joiner = whorl_spawn_at(join_long, t, NULL, "joiner.c:6");

    (void)arg;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
        whorl_cancel(joiner);
    }
    CHECK_EQ(whorl_join(joiner, NULL), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    return 0;
}

TEST(error, joining_says_whom)
{
    run_everywhere(cancel_joiner, NULL);
}

/* Spawning. */

static intptr_t spawn_wrongly(void *arg)
{
    struct whorl_spawn_options large = {.size = sizeof large, .stack_size = 1 << 30},
                               nowhere = {.size = sizeof nowhere, .worker = 99};
    struct whorl_scope s;

    (void)arg;
    CHECK(!whorl_spawn_at(fail, NULL, &large, "x.c:1"));
    FAILED(-EINVAL, -EINVAL, "spawn at x.c:1 failed: the option stack_size is too large");
    CHECK(!whorl_spawn_at(fail, NULL, &nowhere, "x.c:2"));
    FAILED(-EINVAL, -EINVAL, "spawn at x.c:2 failed: the option worker names none of this runtime");
    whorl_scope_open(&s);
    FAILED(whorl_scope_spawn_at(&s, fail, NULL, &nowhere, "x.c:3"), -EINVAL,
           "spawn at x.c:3 failed: the option worker names none of this runtime");
    CHECK_EQ(whorl_scope_close(&s), 0);
    return 0;
}

TEST(error, spawning_says_which_option_is_wrong)
{
    run_everywhere(spawn_wrongly, NULL);
}

static intptr_t spawn_too_many(void *arg)
{
    struct whorl_task *first = NULL, *t;
    size_t count = 0;

    (void)arg;
    while (count++ < 1000000 && (t = whorl_spawn_at(fail, NULL, NULL, "many.c:1")) != NULL) {
        if (!first)
            first = t;
        else
            whorl_detach(t);
    }
    FAILED(-ENOMEM, -ENOMEM, "spawn at many.c:1 failed: no memory for another task");
    return whorl_join(first, NULL);
}

TEST(error, spawning_says_that_there_is_no_memory)
{
    CHECK_EQ(null_run(spawn_too_many, NULL, &(struct whorl_options){.memory = 1 << 20}), 0);
}

/* The end of the runtime. */

static intptr_t outlive_main(void *arg)
{
    (void)arg;
    FAILED(whorl_sleep(WHORL_SEC(9)), -ECANCELED, "sleep: cancelled because the runtime ends");
    return 0;
}

static intptr_t leave_one_behind(void *arg)
{
    (void)arg;
    whorl_detach(whorl_spawn(outlive_main, NULL));
    return whorl_sleep(1);
}

TEST(error, the_end_of_the_runtime_is_said)
{
    for (int workers = 1; workers <= 4; workers++)
        CHECK_EQ(null_run(leave_one_behind, NULL, &(struct whorl_options){.workers = workers, .exit_policy = WHORL_EXIT_CANCEL}),
                 0);
}

/* Without memory for the text. */

static void nothing(void *arg)
{
    (void)arg;
}

static intptr_t fail_poorly(void *arg)
{
    static const struct whorl_local key;

    no_memory = true;
    CHECK_EQ(whorl_defer(nothing, arg), -ENOMEM);
    CHECK_STR(whorl_error_text(), "no memory");
    CHECK_EQ(whorl_local_set(&key, &no_memory), -ENOMEM);
    no_memory = false;
    CHECK_STR(whorl_error_text(), "local_set failed: no memory");
    FAILED(whorl_undefer(nothing, arg), -ENOENT, "undefer failed: it is not deferred");
    no_memory = true;
    CHECK_STR(whorl_error_text(), "undefer failed: it is not deferred"); /* it has some by now */
    no_memory = false;
    return 0;
}

TEST(error, without_memory_there_is_the_short_text)
{
    CHECK_EQ(null_run(fail_poorly, NULL, NULL), 0);
}

/* Forks: each sees its own, wherever it runs, and what it leaves behind does not stay. */
struct forked {
    struct whorl_fork fork;
    int depth, taken;
};

static void fork_and_fail(struct whorl_fork *self)
{
    struct forked *f = whorl_fork_of(self, struct forked, fork), halves[2] = {{.depth = f->depth - 1}, {.depth = f->depth - 1}};
    const char *text;

    if (f->depth > 0) {
        whorl_fork(&halves[0].fork, fork_and_fail);
        fork_and_fail(&halves[1].fork);
        whorl_sync(&halves[0].fork);
        f->taken = halves[0].taken + halves[1].taken;
        return;
    }
    CHECK_EQ(whorl_sleep(WHORL_SEC(9)), -ETIMEDOUT);
    f->taken = whorl__worker()->current->root != NULL;
    text = whorl_error_text();
    CHECK_EQ(whorl_error(), -ETIMEDOUT);
    /* Which scope it was that a parent has opened is not known in a fork that was taken. */
    if (f->taken)
        CHECK_STR(text, "sleep: timed out");
    else
        CHECK_STR(text, "sleep: timed out with the scope opened at forks.c:1, because its deadline passed");
}

static intptr_t fail_in_forks(void *arg)
{
    struct forked f = {.depth = 3};
    struct whorl_scope s;

    whorl_scope_open_at(&s, "forks.c:1");
    CHECK_EQ(whorl_scope_deadline(&s, whorl_after(WHORL_SEC(1))), 0);
    fork_and_fail(&f.fork);
    *(int *)arg += f.taken;
    FAILED(whorl_scope_close(&s), -ETIMEDOUT, "scope opened at forks.c:1: timed out because its deadline passed");
    return 0;
}

TEST(error, forks_see_their_own)
{
    int taken = 0;

    run_everywhere(fail_in_forks, &taken);
    CHECK(taken > 0);
}

/* Many tasks that are cancelled, time out, are refused and go on, in any order: what is told is what was returned, and by whom. */
enum { TRYING = 30 };

struct trying {
    uint64_t random;
    char reason[8], where[8]; /* as long as the runtime */
};

static intptr_t try_things(void *arg)
{
    struct trying *me = arg;
    struct whorl_scope s;
    char with[64];
    int err;

    snprintf(with, sizeof with, "with the scope opened at %s, because %s", me->where, me->reason);
    for (int i = 0; i < 10; i++) {
        unsigned what = (unsigned)(test_random(&me->random) % 3);

        whorl_scope_open_at(&s, me->where);
        if (what == 0)
            whorl_scope_cancel(&s, me->reason);
        else if (what == 1)
            CHECK_EQ(whorl_scope_deadline(&s, whorl_after(WHORL_US(1 + test_random(&me->random) % 50))), 0);
        err = whorl_sleep(WHORL_US(1 + test_random(&me->random) % 100));
        if (err) {
            CHECK_EQ(whorl_error(), err);
            CHECK_HAS(whorl_error_text(), err == -ETIMEDOUT ? "its deadline passed" : what == 0 ? with : "sleep: cancelled");
        }
        err = whorl_scope_close(&s);
        if (err) {
            CHECK_EQ(whorl_error(), err);
            CHECK_HAS(whorl_error_text(), me->where);
        }
    }
    return 0;
}

static intptr_t many_try(void *arg)
{
    static struct trying all[TRYING];
    struct whorl_task *tasks[TRYING];
    uint64_t *random = arg;

    for (int i = 0; i < TRYING; i++) {
        all[i].random = test_random(random) | 1;
        snprintf(all[i].reason, sizeof all[i].reason, "r%d", i);
        snprintf(all[i].where, sizeof all[i].where, "w%d", i);
        tasks[i] = whorl_spawn(try_things, &all[i]);
    }
    for (int i = 0; i < TRYING; i++) {
        if (test_random(random) % 2 == 0) {
            whorl_sleep(WHORL_US(test_random(random) % 100));
            whorl_cancel(tasks[i]);
        }
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    }
    CHECK_EQ(whorl_error(), 0);
    return 0;
}

TEST(error, each_task_has_its_own, .timeout = 60)
{
    for (unsigned i = 0; i < test_seeds(100); i++) {
        uint64_t random = test_seed() + i;

        CHECK_EQ(null_run(many_try, &random, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = random}), 0);
    }
}
