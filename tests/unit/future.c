/* SPDX-License-Identifier: MIT */
/* Futures: set once, by anyone, and all who wait see it. */
#include <whorl/whorl.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

static intptr_t value_of(struct whorl_future *f)
{
    intptr_t value = INTPTR_MIN;

    CHECK_EQ(whorl_future_wait(f, &value), 0);
    return value;
}

/* Set and looked at by one alone */

TEST(future, one_is_set_once_and_keeps_its_value)
{
    struct whorl_future f = {0};
    intptr_t value = 5;

    CHECK_EQ(whorl_future_try(&f, &value), -EINPROGRESS);
    CHECK_EQ(value, 5);
    CHECK_EQ(whorl_future_set(&f, 7), 0);
    CHECK_EQ(whorl_future_set(&f, 8), -EALREADY);
    CHECK_EQ(whorl_future_fail(&f, -EIO), -EALREADY);
    CHECK_EQ(whorl_future_try(&f, &value), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(whorl_future_try(&f, NULL), 0);
    CHECK_EQ(value_of(&f), 7); /* a thread's wait, too */
    CHECK_EQ(whorl_future_wait(&f, NULL), 0);
}

TEST(future, one_that_fails_gives_everybody_its_error)
{
    struct whorl_future f = {0};
    intptr_t value = 5;

    CHECK_EQ(whorl_future_fail(&f, -EPIPE), 0);
    CHECK_EQ(whorl_future_set(&f, 8), -EALREADY);
    CHECK_EQ(whorl_future_try(&f, &value), -EPIPE);
    CHECK_EQ(whorl_future_wait(&f, &value), -EPIPE);
    CHECK_EQ(value, 5);
}

/* Tasks that wait */

struct party {
    struct whorl_future future;
    whorl_ns after; /* it is set */
    int error;      /* 0: it does not fail */
    int woken, refused;
};

static intptr_t wait_for_it(void *arg)
{
    struct party *p = arg;
    intptr_t value = 0;
    int err = whorl_future_wait(&p->future, &value);

    CHECK_EQ(err, p->error);
    CHECK_EQ(value, p->error ? 0 : 42);
    CHECK(whorl_now() >= p->after);
    __atomic_add_fetch(&p->woken, 1, __ATOMIC_RELAXED);
    return 0;
}

static intptr_t set_it(void *arg)
{
    struct party *p = arg;
    int err;

    CHECK_EQ(whorl_sleep_until(p->after), 0);
    err = p->error ? whorl_future_fail(&p->future, p->error) : whorl_future_set(&p->future, 42);
    CHECK(err == 0 || err == -EALREADY);
    __atomic_add_fetch(&p->refused, err != 0, __ATOMIC_RELAXED);
    return 0;
}

static intptr_t meet(void *arg)
{
    enum { WAITERS = 50, SETTERS = 4 };
    struct party p = {.after = WHORL_SEC(2), .error = (int)(intptr_t)arg};
    struct whorl_scope s;

    whorl_scope_open(&s);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(whorl_scope_spawn(&s, wait_for_it, &p), 0);
    for (int i = 0; i < SETTERS; i++)
        CHECK_EQ(whorl_scope_spawn(&s, set_it, &p), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    CHECK_EQ(p.woken, WAITERS);
    CHECK_EQ(p.refused, SETTERS - 1);
    return 0;
}

TEST(future, all_who_wait_see_what_the_first_has_set)
{
    run_everywhere(meet, NULL);
    run_everywhere(meet, (void *)(intptr_t)-ENODATA);
}

/* Who waits owns it, and it goes when the last wait has returned. */
struct owned {
    struct whorl_future future;
    int users;
};

static intptr_t wait_and_free(void *arg)
{
    struct owned *o = arg;

    CHECK_EQ(value_of(&o->future), 3);
    if (__atomic_sub_fetch(&o->users, 1, __ATOMIC_ACQ_REL) == 0)
        free(o);
    return 0;
}

static intptr_t set_and_forget(void *arg)
{
    struct owned *o = arg;

    CHECK_EQ(whorl_future_set(&o->future, 3), 0);
    return 0;
}

static intptr_t free_early(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < 100; i++) {
        struct owned *o = calloc(1, sizeof *o);

        if (!CHECK(o != NULL))
            break;
        o->users = 1 + i % 3;
        for (int j = 1 + i % 3; j > 0; j--)
            CHECK_EQ(whorl_scope_spawn(&s, wait_and_free, o), 0);
        CHECK_EQ(whorl_scope_spawn(&s, set_and_forget, o), 0);
    }
    return whorl_scope_close(&s);
}

TEST(future, it_may_go_when_all_waits_have_returned)
{
    run_everywhere(free_early, NULL);
}

/* Waits that end early */

static intptr_t wait_in_vain(void *arg)
{
    return whorl_future_wait(arg, NULL);
}

static intptr_t end_early(void *arg)
{
    struct whorl_future f = {0};
    struct whorl_task *t = whorl_spawn(wait_in_vain, &f);
    intptr_t result = 0;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_wait_for(wait_in_vain, &f, WHORL_SEC(2), &result), -ETIMEDOUT);
    CHECK(whorl_now() >= WHORL_SEC(3) && whorl_now() < WHORL_SEC(3) + 1000 * NULL_TICK);
    CHECK(!f.waiters.first);
    CHECK_EQ(whorl_future_set(&f, 1), 0);
    whorl_cancel(whorl_self());
    CHECK_EQ(value_of(&f), 1); /* a result that is there wins */
    CHECK_EQ(whorl_future_wait(&(struct whorl_future){0}, NULL), -ECANCELED);
    return 0;
}

TEST(future, waits_end_when_cancelled_or_out_of_time_and_leave_nothing)
{
    run_everywhere(end_early, NULL);
}

/* One is cancelled at the moment when it is set: it has the value, or the request is still there for its next wait. */
static intptr_t take_or_keep(void *arg)
{
    struct whorl_future *f = arg;
    intptr_t value = 0;
    int err = whorl_future_wait(f, &value);

    if (err == -ECANCELED)
        return value == 0 && whorl_sleep(1) == 0 ? 1 : -1;
    return err == 0 && value == 9 && whorl_sleep(1) == -ECANCELED ? 0 : -2;
}

static intptr_t cancel_and_set(void *arg)
{
    int kept = 0;

    for (int i = 0; i < 30; i++) {
        struct whorl_future f = {0};
        struct whorl_task *t = whorl_spawn(take_or_keep, &f);
        intptr_t result = -3;

        if (i % 3)
            CHECK_EQ(whorl_sleep(i % 2), 0);
        if (i % 2)
            whorl_cancel(t);
        if (i % 5)
            whorl_yield();
        CHECK_EQ(whorl_future_set(&f, 9), 0);
        if (i % 2 == 0)
            whorl_cancel(t);
        CHECK_EQ(whorl_join(t, &result), 0);
        CHECK(result >= 0);
        kept += result == 1;
    }
    *(int *)arg += kept;
    return 0;
}

TEST(future, a_value_or_a_cancel_is_never_lost)
{
    int kept = 0;

    run_everywhere(cancel_and_set, &kept);
    CHECK(kept > 0);
}

/* Whatever the seed says: futures that several try to set, waits that are cancelled or run out of time. */

enum { FUTURES = 4, PLAYERS = 10, MOVES = 12 };

struct game {
    struct whorl_future futures[FUTURES];
    intptr_t won[FUTURES]; /* the value that was accepted; 0: none yet */
    struct whorl_task *players[PLAYERS];
    uint64_t seed;
};

static void try_to_set(struct game *g, int i, intptr_t value)
{
    int err = whorl_future_set(&g->futures[i], value);

    if (err == 0) {
        CHECK_EQ(g->won[i], 0);
        g->won[i] = value;
    } else {
        CHECK_EQ(err, -EALREADY);
    }
}

struct ask {
    struct whorl_future *future;
    intptr_t value;
};

static intptr_t ask_one(void *arg)
{
    struct ask *a = arg;

    return whorl_future_wait(a->future, &a->value);
}

/* The answer is the winner's, or there is none. */
static void wait_a_little(struct game *g, int i, whorl_ns duration)
{
    struct ask a = {.future = &g->futures[i]};
    intptr_t result = 0;
    int err = duration ? whorl_wait_for(ask_one, &a, duration, &result) : (int)ask_one(&a);

    err = err ? err : (int)result;
    CHECK(err == 0 ? a.value == g->won[i] && a.value != 0 : a.value == 0);
    CHECK(err == 0 || err == -ECANCELED || (err == -ETIMEDOUT && duration));
}

static intptr_t play(void *arg)
{
    struct game *g = arg;

    for (int move = 0; move < MOVES; move++) {
        uint64_t chance = test_random(&g->seed);
        int i = (int)(chance % FUTURES);

        switch (chance / 8 % 8) {
        case 0:
            try_to_set(g, i, (intptr_t)(chance >> 8) | 1);
            break;
        case 1:
        case 2:
            wait_a_little(g, i, 1 + (whorl_ns)(chance / 64 % 1000));
            break;
        case 3:
            whorl_cancel(g->players[chance / 64 % PLAYERS]);
            break;
        case 4:
            whorl_sleep((whorl_ns)(chance / 64 % 500)); /* may be cut short */
            break;
        case 5:
            CHECK_EQ(whorl_future_try(&g->futures[i], NULL), g->won[i] ? 0 : -EINPROGRESS);
            break;
        default:
            wait_a_little(g, i, 0);
            break;
        }
    }
    return 0;
}

static intptr_t play_all(void *arg)
{
    struct game g = {.seed = *(uint64_t *)arg};

    for (int i = 0; i < PLAYERS; i++)
        CHECK((g.players[i] = whorl_spawn(play, &g)) != NULL);
    for (int round = 0; round < 3; round++)
        CHECK_EQ(whorl_sleep(WHORL_US(1)), 0);
    for (int i = 0; i < FUTURES; i++)
        try_to_set(&g, i, i + 1000);  /* so that nobody waits for ever */
    for (int i = 0; i < PLAYERS; i++) /* joined when all have ended: they cancel each other */
        while (whorl_result(g.players[i], NULL) == -EINPROGRESS)
            CHECK_EQ(whorl_sleep(WHORL_US(1)), 0);
    for (int i = 0; i < PLAYERS; i++)
        CHECK_EQ(whorl_join(g.players[i], NULL), 0);
    for (int i = 0; i < FUTURES; i++)
        CHECK(!g.futures[i].waiters.first);
    return 0;
}

TEST(future, nothing_goes_wrong_whatever_the_seed_says, .timeout = 60)
{
    for (unsigned i = 0; i < test_seeds(200) && test_failures() == 0; i++) {
        uint64_t seed = test_seed() + i;

        CHECK_EQ(null_run(play_all, &seed, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = seed}), 0);
    }
}

/* A crowd */

static intptr_t wait_in_the_crowd(void *arg)
{
    struct party *p = arg;

    CHECK_EQ(value_of(&p->future), 42);
    p->woken++; /* one thread plays all workers */
    return 0;
}

static intptr_t gather_a_crowd(void *arg)
{
    enum { CROWD = MANY(100000, 3000) };
    struct party p = {.after = 0};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(whorl_scope_spawn(&s, wait_in_the_crowd, &p), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(p.woken, 0);
    CHECK_EQ(whorl_future_set(&p.future, 42), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    CHECK_EQ(p.woken, CROWD);
    return 0;
}

TEST(future, one_wakes_a_crowd, .timeout = 60)
{
    CHECK_EQ(null_run(gather_a_crowd, NULL, &(struct whorl_options){.workers = 2, .stack_size = 16 << 10}), 0);
}

/* Threads */

struct stranger {
    struct whorl_future answer, question;
    struct whorl_runtime *runtime;
};

static void *answer_it(void *arg)
{
    struct stranger *s = arg;

    CHECK_EQ(value_of(&s->question), 6); /* blocks the thread */
    usleep(2000);                        /* time that the simulation has to call it a deadlock, or to let the clock run on */
    CHECK_EQ(whorl_future_set(&s->answer, 42), 0);
    whorl_runtime_release(s->runtime);
    return NULL;
}

static intptr_t ask(void *arg)
{
    struct stranger s = {.runtime = whorl_runtime()};
    pthread_t thread;
    intptr_t result = -1;
    whorl_ns before;

    (void)arg;
    whorl_runtime_hold(s.runtime);
    if (!CHECK_EQ(pthread_create(&thread, NULL, answer_it, &s), 0))
        return 1;
    before = whorl_now();
    CHECK_EQ(whorl_future_set(&s.question, 6), 0);
    CHECK_EQ(whorl_wait_for(wait_in_vain, &s.answer, WHORL_SEC(1), &result), 0); /* what happens outside takes no time */
    CHECK_EQ(result, 0);
    CHECK_EQ(whorl_now(), before);
    CHECK_EQ(value_of(&s.answer), 42);
    pthread_join(thread, NULL);
    return 0;
}

TEST(future, a_thread_may_set_one_and_wait_for_one)
{
    for (uint64_t i = 0; i < 12; i++)
        CHECK_EQ(null_run(ask, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
}

/* Who holds the runtime waits for a task that sleeps: then the clock must go on. */

static intptr_t nap(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_SEC(3)), 0);
    return (intptr_t)arg;
}

static void *join_a_sleeper(void *arg)
{
    struct stranger *s = arg;
    struct whorl_task *t = whorl_runtime_spawn(s->runtime, nap, (void *)5, NULL);
    intptr_t result = 0;

    CHECK_EQ(whorl_runtime_join(t, &result), 0);
    CHECK_EQ(whorl_future_set(&s->answer, result), 0);
    whorl_runtime_release(s->runtime);
    return NULL;
}

static intptr_t ask_who_sleeps(void *arg)
{
    struct stranger s = {.runtime = whorl_runtime()};
    pthread_t thread;

    (void)arg;
    whorl_runtime_hold(s.runtime);
    if (!CHECK_EQ(pthread_create(&thread, NULL, join_a_sleeper, &s), 0))
        return 1;
    CHECK_EQ(value_of(&s.answer), 5);
    CHECK_EQ(whorl_now(), WHORL_SEC(3));
    pthread_join(thread, NULL);
    return 0;
}

TEST(future, the_clock_goes_on_for_a_thread_that_waits_for_a_task)
{
    CHECK_EQ(null_run(ask_who_sleeps, NULL, &(struct whorl_options){.workers = 2}), 0);
}

/* Mistakes */

static void dies(void (*fn)(void *), const char *what)
{
    char said[4096];
    int status = run_in_child(fn, NULL, said, sizeof said);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(said, what);
}

static void fail_with_nothing(void *unused)
{
    struct whorl_future f = {0};

    (void)unused;
    whorl_future_fail(&f, 0);
}

static intptr_t wait_for_nobody(void *arg)
{
    struct whorl_future f = {0};

    (void)arg;
    return whorl_future_wait(&f, NULL);
}

static void deadlock(void *unused)
{
    (void)unused;
    null_run(wait_for_nobody, NULL, NULL);
}

static intptr_t release_what_is_free(void *arg)
{
    (void)arg;
    whorl_runtime_release(whorl_runtime());
    return 0;
}

static void release(void *unused)
{
    (void)unused;
    null_run(release_what_is_free, NULL, NULL);
}

static intptr_t wait_where_it_must_not(void *arg)
{
    struct whorl_future f = {0};

    (void)arg;
    whorl_future_set(&f, 1);
    whorl_no_suspend_begin();
    return whorl_future_wait(&f, NULL);
}

static void suspend(void *unused)
{
    (void)unused;
    null_run(wait_where_it_must_not, NULL, NULL);
}

TEST(future, mistakes_abort_and_say_what_to_do)
{
    dies(fail_with_nothing, "whorl_future_fail was given 0, which is no error");
    dies(deadlock, "\"main\" waits for future");
    dies(deadlock, "deadlock");
    dies(release, "whorl_runtime_release was called more often than whorl_runtime_hold");
    dies(suspend, "whorl_future_wait, which may suspend, was called in the no-suspend region");
}
