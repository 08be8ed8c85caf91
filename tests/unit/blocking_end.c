/* SPDX-License-Identifier: MIT */
/* What ends blocking functions, and what does not: bounds, cancels, arguments that pass over, mistakes, the end of the runtime. */
#include "blocking.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "io/reactors.h"
#include "runtime/config.h"
#include "runtime/runtime.h"

/* Bounds and cancelling. */

struct call {
    struct whorl_pool *pool;
    struct gate *gate;
    int err;
    intptr_t result;
};

static intptr_t call_pass(void *arg)
{
    struct call *c = arg;

    c->err = whorl_pool_run(c->pool, pass, c->gate, &c->result);
    return 0;
}

static intptr_t refuse_and_withdraw(void *arg)
{
    struct gate g;
    struct call calls[3];
    struct whorl_task *tasks[3];
    struct whorl_pool *pool = make_pool(1, 2);

    make_gate(&g);
    for (int i = 0; i < 3; i++) {
        calls[i] = (struct call){.pool = pool, .gate = &g};
        tasks[i] = whorl_spawn(call_pass, &calls[i]);
        until_pool(pool, 1, i);
    }
    CHECK_EQ(whorl_pool_run(pool, pass, &g, NULL), -EBUSY);
    whorl_cancel(tasks[1]); /* has no thread yet */
    CHECK_EQ(whorl_join(tasks[1], NULL), 0);
    CHECK_EQ(calls[1].err, -ECANCELED);
    until_pool(pool, 1, 1);
    whorl_cancel(tasks[0]); /* runs: it waits on, and has its result */
    for (int i = 0; i < 20; i++)
        whorl_yield();
    CHECK_EQ(whorl_result(tasks[0], NULL), -EINPROGRESS);
    sem_post(&g.open);
    CHECK_EQ(whorl_join(tasks[0], NULL), 0);
    CHECK(calls[0].err == 0 && calls[0].result == 7);
    sem_post(&g.open);
    CHECK_EQ(whorl_join(tasks[2], NULL), 0);
    CHECK(calls[2].err == 0 && calls[2].result == 7);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_pool_run(pool, pass, &g, NULL), -ECANCELED);
    CHECK_EQ(whorl_pool_destroy(pool), 0);
    return (intptr_t)arg;
}

TEST(blocking_end, what_has_no_thread_yet_is_withdrawn_and_what_runs_is_waited_for)
{
    run_some(refuse_and_withdraw);
}

/* An argument that passes over. */

struct parcel {
    struct gate *gate;
    int *released; /* atomic */
};

static intptr_t open_parcel(void *arg)
{
    struct parcel *p = arg;

    return pass(p->gate);
}

static void release_parcel(void *arg)
{
    struct parcel *p = arg;

    __atomic_add_fetch(p->released, 1, __ATOMIC_RELEASE);
    free(p);
}

static struct parcel *new_parcel(struct gate *g, int *released)
{
    struct parcel *p = malloc(sizeof *p);

    *p = (struct parcel){.gate = g, .released = released};
    return p;
}

struct send {
    struct whorl_pool *pool;
    struct parcel *parcel;
};

static intptr_t send_parcel(void *arg)
{
    struct send *s = arg;

    return whorl_pool_run_owned(s->pool, open_parcel, s->parcel, release_parcel, NULL);
}

static intptr_t leave_behind(void *arg)
{
    struct whorl_pool *pool = make_pool(1, 0);
    int released = 0;
    struct gate g;
    struct send sends[2];
    struct whorl_task *tasks[2];
    intptr_t result = 0;

    make_gate(&g);
    for (int i = 0; i < 2; i++) {
        sends[i] = (struct send){.pool = pool, .parcel = new_parcel(&g, &released)};
        tasks[i] = whorl_spawn(send_parcel, &sends[i]);
        until_pool(pool, 1, i);
    }
    for (int i = 1; i >= 0; i--) { /* the one that waits, then the one that runs */
        whorl_cancel(tasks[i]);
        CHECK_EQ(whorl_join(tasks[i], &result), 0);
        CHECK_EQ(result, -ECANCELED);
        CHECK_EQ(__atomic_load_n(&released, __ATOMIC_ACQUIRE), 1);
    }
    CHECK_EQ(whorl_pool_destroy(pool), 1); /* the function goes on */
    sem_post(&g.open);
    while (__atomic_load_n(&released, __ATOMIC_ACQUIRE) < 2)
        sched_yield();
    return (intptr_t)arg;
}

TEST(blocking_end, a_function_with_its_own_argument_can_be_left_behind)
{
    run_some(leave_behind);
}

static intptr_t have_parcel_back(void *arg)
{
    int released = 0;
    struct gate g;
    struct parcel *p = new_parcel(&g, &released);
    intptr_t result = 0;

    make_gate(&g);
    sem_post(&g.open);
    CHECK_EQ(whorl_pool_run_owned(NULL, open_parcel, p, release_parcel, &result), 0);
    CHECK_EQ(result, 7);
    CHECK_EQ(released, 0);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_pool_run_owned(NULL, open_parcel, p, release_parcel, &result), -ECANCELED);
    CHECK_EQ(released, 1);
    return (intptr_t)arg;
}

TEST(blocking_end, the_argument_comes_back_with_the_result)
{
    run_everywhere(have_parcel_back);
}

/* Cancels and ends that meet. */

static intptr_t add_one(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
    return 1;
}

static intptr_t add_or_be_cancelled(void *arg)
{
    intptr_t result = 0;
    int err = whorl_blocking(add_one, arg, &result);

    CHECK(err == 0 ? result == 1 : err == -ECANCELED);
    return err == 0;
}

static intptr_t race_cancels(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;

    for (int i = 0; i < 50; i++) {
        struct whorl_task *tasks[8];
        intptr_t ran;
        int begun = 0, told = 0;

        for (int k = 0; k < 8; k++)
            tasks[k] = whorl_spawn(add_or_be_cancelled, &begun);
        for (uint64_t turns = test_random(&seed) % 40; turns > 0; turns--)
            whorl_yield();
        for (int k = 0; k < 8; k++)
            if (test_random(&seed) % 2)
                whorl_cancel(tasks[k]);
        for (int k = 0; k < 8; k++) {
            CHECK_EQ(whorl_join(tasks[k], &ran), 0);
            told += (int)ran;
        }
        CHECK_EQ(begun, told); /* each that ran was told of, and none other */
    }
    return 0;
}

TEST(blocking_end, a_cancel_and_an_end_may_come_together)
{
    CHECK_EQ(null_run_real(race_cancels, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(null_run(race_cancels, (void *)(uintptr_t)i,
                          &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}),
                 0);
}

/* Mistakes. */

static void dies(void (*fn)(void *), const char *message)
{
    char err[2048];
    int status = run_in_child(fn, NULL, err, sizeof err);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(err, message);
}

static intptr_t sleep_here(void *arg)
{
    return whorl_sleep(1) + (intptr_t)arg;
}

static void sleep_in_pool(void *arg)
{
    whorl_blocking(sleep_here, arg, NULL);
}

static void destroy_default(void *arg)
{
    whorl_pool_destroy(arg ? arg : &whorl__blocking_pool);
}

static intptr_t destroy_in_use(void *arg)
{
    struct gate g;
    struct call c = {.pool = make_pool(1, 0), .gate = &g};

    make_gate(&g);
    whorl_detach(whorl_spawn(call_pass, &c));
    until_pool(c.pool, 1, 0);
    whorl_pool_destroy(c.pool);
    return (intptr_t)arg;
}

static void run_destroy_in_use(void *arg)
{
    null_run(destroy_in_use, arg, NULL);
}

static void run_nothing(void *arg)
{
    whorl_blocking(NULL, arg, NULL);
}

static void wrong_size(void *arg)
{
    (void)arg;
    (void)!whorl_pool_create(&(struct whorl_pool_options){.size = 1});
}

TEST(blocking_end, mistakes_abort_and_say_what_to_do)
{
    dies(sleep_in_pool, "whorl_sleep was called in a function that runs in pool \"blocking\", outside any task");
    dies(destroy_default, "whorl_pool_destroy was given the default pool");
    dies(run_destroy_in_use, "whorl_pool_destroy was given pool \"test\" while 1 of its functions are waited for: join the tasks");
    dies(run_nothing, "whorl_pool_run was given no function");
    dies(wrong_size, "whorl_pool_options.size is 1: set it to sizeof(struct whorl_pool_options)");
}

TEST(blocking_end, wrong_options_make_no_pool)
{
    const struct whorl_pool_options wrong[] = {{.threads = -1}, {.threads = 4097}, {.queue = -1}, {.idle = -1}, {.stack_size = 1}};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct whorl_pool_options o = wrong[i];

        o.size = sizeof o;
        CHECK(whorl_pool_create(&o) == NULL);
    }
}

/* What keeps a runtime from ending is said; it is given up when that is wanted. */

static intptr_t never_return(void *arg)
{
    take(arg);
    return 0;
}

static intptr_t be_stuck(void *arg)
{
    return whorl_pool_run_at(NULL, never_return, arg, NULL, "stuck.c:5");
}

static intptr_t join_the_stuck(void *arg)
{
    return whorl_join(arg, NULL);
}

static intptr_t sleep_a_second(void *arg)
{
    return whorl_sleep(WHORL_SEC(1)) + (intptr_t)arg;
}

static intptr_t leave_stuck(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "stuck"};
    struct whorl_task *t = whorl_spawn_at(be_stuck, arg, &options, "spawn.c:3");

    whorl_detach(whorl_spawn(join_the_stuck, t));
    whorl_detach(whorl_spawn(sleep_a_second, NULL)); /* until a time that does not come */
    until_pool(&whorl__blocking_pool, 1, 0);
    return 5;
}

struct ending {
    whorl_fn main_fn;
    sem_t sem;
    enum whorl_exit policy;
};

static void end_with(void *arg)
{
    struct ending *e = arg;
    struct whorl_options options = {
        .size = sizeof options, .workers = 2, .blocking_grace = WHORL_MS(1200), .exit_policy = e->policy};
    struct whorl__reactor *reactor;
    struct whorl__config config;
    intptr_t result = 0;

    sem_init(&e->sem, 0, 0);
    CHECK_EQ(whorl__config_read(&config, &options), 0);
    config.seed = test_seed();
    reactor = whorl__null_new(&config);
    CHECK_EQ(whorl__runtime_run(&config, reactor, e->main_fn, &e->sem, &result), 0);
    CHECK_EQ(result, 5);
    free(reactor);
    sem_post(&e->sem); /* what was given up comes back when its task is long gone */
    until_idle(&whorl__blocking_pool);
}

TEST(blocking_end, a_stuck_function_is_reported_and_then_given_up, .timeout = 60)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        struct ending e = {.main_fn = leave_stuck, .policy = cancel ? WHORL_EXIT_CANCEL : WHORL_EXIT_JOIN};
        char err[4096];

        CHECK_EQ(run_in_child(end_with, &e, err, sizeof err), 0);
        CHECK_HAS(err, "whorl: the runtime cannot end for task \"stuck\" (spawned at spawn.c:3): it waits for function 0x");
        CHECK_HAS(err, " in pool \"blocking\", called at stuck.c:5 ");
        CHECK_HAS(err, "whorl: the runtime ends without task \"stuck\" (spawned at spawn.c:3): it waits for function 0x");
    }
}

static intptr_t return_late(void *arg)
{
    usleep(1300000);
    return (intptr_t)arg;
}

static intptr_t block_late(void *arg)
{
    return whorl_blocking(return_late, arg, NULL);
}

static intptr_t leave_late(void *arg)
{
    whorl_detach(whorl_spawn(block_late, arg));
    return 5;
}

TEST(blocking_end, a_function_that_returns_in_time_is_waited_for_in_silence)
{
    struct ending e = {.main_fn = leave_late};
    char err[4096];

    CHECK_EQ(run_in_child(end_with, &e, err, sizeof err), 0);
    CHECK_STR(err, "");
}
