/* SPDX-License-Identifier: MIT */
/* The blocking pool on the null reactor: the functions run on threads of their own, at whatever pace, and the clock stands still meanwhile. */
#include "blocking.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "child.h"
#include "history.h"

/* What a function sees. */

struct look {
    pthread_t thread;
    int in_task;
    char name[16];
    sigset_t blocked;
};

static intptr_t look_around(void *arg)
{
    struct look *l = arg;

    l->thread = pthread_self();
    l->in_task = whorl_in_task();
    pthread_getname_np(pthread_self(), l->name, sizeof l->name);
    pthread_sigmask(SIG_SETMASK, NULL, &l->blocked);
    return 42;
}

static intptr_t look_from_a_thread(void *arg)
{
    struct look l = {.in_task = -1};
    intptr_t result = 0;

    CHECK_EQ(whorl_blocking(look_around, &l, &result), 0);
    CHECK_EQ(result, 42);
    CHECK(!pthread_equal(l.thread, pthread_self()));
    CHECK_EQ(l.in_task, 0);
    CHECK_STR(l.name, "blocking");
    CHECK(sigismember(&l.blocked, SIGINT) && sigismember(&l.blocked, SIGCHLD));
    CHECK_EQ(whorl_blocking(look_around, &l, NULL), 0);
    return (intptr_t)arg;
}

TEST(blocking, a_function_runs_on_a_thread_outside_any_task)
{
    run_everywhere(look_from_a_thread);
}

/* Tasks go on meanwhile, and the clock does not. */

static intptr_t open_in_turn(void *arg)
{
    struct gate *g = arg;

    for (int i = 0; i < 100; i++)
        whorl_yield();
    sem_post(&g->open);
    return 0;
}

static intptr_t yield_meanwhile(void *arg)
{
    struct gate g;
    intptr_t result = 0;
    struct whorl_task *opener;
    whorl_ns before = whorl_now();

    make_gate(&g);
    opener = whorl_spawn(open_in_turn, &g);
    CHECK_EQ(whorl_blocking(pass, &g, &result), 0);
    CHECK_EQ(result, 7);
    CHECK_EQ(whorl_join(opener, NULL), 0);
    if (!arg)
        CHECK_EQ(whorl_now(), before);
    return 0;
}

TEST(blocking, tasks_go_on_meanwhile_and_the_virtual_clock_stands_still)
{
    for (int i = 1; i < 3; i++)
        CHECK_EQ(null_run(yield_meanwhile, NULL, &(struct whorl_options){.workers = i}), 0);
    CHECK_EQ(null_run_real(yield_meanwhile, &(char){1}, &(struct whorl_options){.spin_ns = -1}), 0);
}

static intptr_t wait_a_little(void *arg)
{
    usleep((unsigned)(uintptr_t)arg);
    return 0;
}

static intptr_t sleep_a_second(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return (intptr_t)arg;
}

static intptr_t sleep_meanwhile(void *arg)
{
    struct whorl_task *sleeper = whorl_spawn(sleep_a_second, NULL);

    whorl_yield();
    CHECK_EQ(whorl_blocking(wait_a_little, arg, NULL), 0);
    CHECK_EQ(whorl_now(), 0);
    CHECK_EQ(whorl_join(sleeper, NULL), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(1));
    return 0;
}

TEST(blocking, no_timer_fires_while_a_function_runs)
{
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQ(null_run(sleep_meanwhile, (void *)(uintptr_t)(i == 3 ? 1500000 : 200),
                          &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}),
                 0);
}

/* Threads: as many as may be, those who wait first come first. */

enum { JOBS = 40 };

struct crowd {
    struct whorl_pool *pool;
    pthread_mutex_t lock;
    int now, most, done, order[JOBS];
};

struct member {
    struct crowd *crowd;
    int number;
};

static intptr_t come_and_go(void *arg)
{
    struct member *m = arg;
    struct crowd *c = m->crowd;

    pthread_mutex_lock(&c->lock);
    c->order[c->done++] = m->number;
    if (++c->now > c->most)
        c->most = c->now;
    pthread_mutex_unlock(&c->lock);
    usleep(200);
    pthread_mutex_lock(&c->lock);
    c->now--;
    pthread_mutex_unlock(&c->lock);
    return m->number;
}

static intptr_t run_member(void *arg)
{
    struct member *m = arg;
    intptr_t result = -1;

    CHECK_EQ(whorl_pool_run(m->crowd->pool, come_and_go, m, &result), 0);
    CHECK_EQ(result, m->number);
    return 0;
}

static void run_crowd(struct crowd *c)
{
    struct member members[JOBS];
    struct whorl_task *tasks[JOBS];

    for (int i = 0; i < JOBS; i++) {
        members[i] = (struct member){.crowd = c, .number = i};
        tasks[i] = whorl_spawn(run_member, &members[i]);
    }
    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(c->done, JOBS);
    CHECK_EQ(c->now, 0);
}

static intptr_t stay_below_the_cap(void *arg)
{
    struct crowd c = {.pool = make_pool(3, 0), .lock = PTHREAD_MUTEX_INITIALIZER};

    run_crowd(&c);
    CHECK(c.most >= 1 && c.most <= 3);
    CHECK_EQ(whorl_pool_resize(c.pool, 1), 0);
    c.most = c.done = 0;
    run_crowd(&c);
    CHECK_EQ(c.most, 1);
    CHECK_EQ(whorl_pool_resize(c.pool, 0), -EINVAL);
    CHECK_EQ(whorl_pool_resize(c.pool, 5000), -EINVAL);
    CHECK_EQ(whorl_pool_destroy(c.pool), 0);
    return (intptr_t)arg;
}

TEST(blocking, no_more_threads_run_than_the_cap_says)
{
    run_everywhere(stay_below_the_cap);
}

static intptr_t keep_the_order(void *arg)
{
    struct crowd c = {.pool = make_pool(1, 0), .lock = PTHREAD_MUTEX_INITIALIZER};

    run_crowd(&c);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(c.order[i], i);
    CHECK_EQ(whorl_pool_destroy(c.pool), 0);
    return (intptr_t)arg;
}

TEST(blocking, who_waits_for_a_thread_is_served_in_the_order_of_asking)
{
    CHECK_EQ(null_run_real(keep_the_order, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* All threads at once: each waits for the others to come. */
enum { PARTIES = 3 };

static intptr_t meet(void *barrier)
{
    pthread_barrier_wait(barrier);
    return 0;
}

static intptr_t run_meet(void *arg)
{
    void **meeting = arg;

    return whorl_pool_run((struct whorl_pool *)meeting[0], meet, meeting[1], NULL);
}

static intptr_t meet_all(void *arg)
{
    struct whorl_pool *pool = make_pool(PARTIES, 0);
    struct whorl_task *tasks[PARTIES];
    pthread_barrier_t barrier;
    void *meeting[] = {pool, &barrier};
    intptr_t result;

    pthread_barrier_init(&barrier, NULL, PARTIES);
    for (int i = 0; i < PARTIES; i++)
        tasks[i] = whorl_spawn(run_meet, meeting);
    for (int i = 0; i < PARTIES; i++)
        CHECK(whorl_join(tasks[i], &result) == 0 && result == 0);
    pthread_barrier_destroy(&barrier);
    CHECK_EQ(whorl_pool_destroy(pool), 0);
    return (intptr_t)arg;
}

TEST(blocking, threads_are_made_as_they_are_needed)
{
    run_some(meet_all);
}

/* A thread is taken again, and goes when there is nothing for it. */
static intptr_t tell_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    return 0;
}

static int threads_of(struct whorl_pool *pool)
{
    int threads;

    whorl__spin_lock(&pool->lock);
    threads = pool->threads;
    whorl__spin_unlock(&pool->lock);
    return threads;
}

static intptr_t reuse_and_reap(void *arg)
{
    struct whorl_pool *pool = whorl_pool_create(
        &(struct whorl_pool_options){.size = sizeof(struct whorl_pool_options), .idle = WHORL_MS(200), .stack_size = 256 << 10});
    pthread_t first, second;

    CHECK_EQ(whorl_pool_run(pool, tell_thread, &first, NULL), 0);
    until_idle(pool);
    CHECK_EQ(whorl_pool_run(pool, tell_thread, &second, NULL), 0);
    CHECK(pthread_equal(first, second));
    CHECK_EQ(threads_of(pool), 1);
    while (threads_of(pool))
        usleep(1000);
    CHECK_EQ(whorl_pool_run(pool, tell_thread, &second, NULL), 0);
    CHECK_EQ(whorl_pool_destroy(pool), 0);
    return (intptr_t)arg;
}

TEST(blocking, an_idle_thread_is_used_again_and_ends_after_a_while)
{
    CHECK_EQ(null_run(reuse_and_reap, NULL, NULL), 0);
}

/* The same seed is the same run. */

enum { ACTORS = 5, ACTS = 6 };

static struct {
    struct history history;
    uint64_t seed;
} program;

static intptr_t act(void *arg)
{
    int id = (int)(intptr_t)arg;
    uint64_t seed = program.seed * ACTORS + (uint64_t)id;

    for (int i = 0; i < ACTS; i++) {
        intptr_t result = 0;

        switch (test_random(&seed) % 3) {
        case 0:
            whorl_yield();
            break;
        case 1:
            CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % 4)), 0);
            break;
        case 2:
            CHECK_EQ(whorl_blocking(wait_a_little, (void *)(uintptr_t)(test_random(&seed) % 2 * 30), &result), 0);
            break;
        }
        history_note(&program.history, id, i, result, whorl_now());
    }
    return 0;
}

static intptr_t act_all(void *arg)
{
    struct whorl_scope s;

    whorl_scope_open(&s);
    for (intptr_t id = 0; id < ACTORS; id++)
        CHECK_EQ(whorl_scope_spawn(&s, act, (void *)id), 0);
    return whorl_scope_close(&s) + (intptr_t)arg;
}

static bool run_program(uint64_t seed)
{
    unsigned before = test_failures();

    program.seed = seed;
    history_begin(&program.history);
    CHECK_EQ(null_run(act_all, NULL, &(struct whorl_options){.workers = 3, .seed = seed}), 0);
    return history_passed(before, seed, 3);
}

TEST(blocking, the_same_seed_is_the_same_run, .timeout = 60)
{
    history_check(run_program, &program.history);
}

/* Outside a runtime, and in a forked child. */

TEST(blocking, a_thread_may_call_it_without_a_runtime)
{
    intptr_t result = 0;
    struct look l = {.in_task = -1};

    CHECK_EQ(whorl_blocking(look_around, &l, &result), 0);
    CHECK_EQ(result, 42);
    CHECK(!pthread_equal(l.thread, pthread_self()));
}

static void block_in_child(void *arg)
{
    struct look l;
    intptr_t result = 0;

    CHECK_EQ(whorl_pool_run(arg, look_around, &l, &result), 0);
    CHECK_EQ(result, 42);
    CHECK_EQ(whorl_blocking(look_around, &l, NULL), 0);
}

TEST(blocking, a_forked_child_makes_threads_of_its_own)
{
    struct whorl_pool *pool;
    char err[1024];

#if defined(WHORL__TSAN)
    SKIP("ThreadSanitizer lets a forked child make no threads");
#endif
    pool = make_pool(1, 0);
    block_in_child(pool);
    CHECK_EQ(run_in_child(block_in_child, pool, err, sizeof err), 0);
    CHECK_STR(err, "");
    CHECK_EQ(whorl_pool_destroy(pool), 0);
}
