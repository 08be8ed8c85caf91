/* SPDX-License-Identifier: MIT */
/* The blocking pool on the null reactor: the functions run on threads of their own, at whatever pace, and the clock stands still meanwhile. */
#include <whorl/whorl.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "history.h"
#include "io/reactors.h"
#include "null_run.h"
#include "runtime/config.h"
#include "runtime/pool.h"
#include "runtime/runtime.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn)
{
    for (uint64_t i = 0; i < 12; i++)
        CHECK_EQ(null_run(fn, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* For what waits for other tasks in a function, which a simulated runtime does only after a while. */
static void run_some(whorl_fn fn)
{
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQ(null_run(fn, NULL, &(struct whorl_options){.workers = 1 + (int)i, .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
}

static struct whorl_pool *make_pool(int threads, int queue)
{
    struct whorl_pool *pool = whorl_pool_create(&(struct whorl_pool_options){
        .size = sizeof(struct whorl_pool_options), .name = "test", .threads = threads, .queue = queue});

    CHECK(pool != NULL);
    return pool;
}

static void take(sem_t *sem)
{
    while (sem_wait(sem) < 0)
        continue;
}

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

struct gate {
    sem_t begun, open;
};

static intptr_t pass(void *arg)
{
    struct gate *g = arg;

    sem_post(&g->begun);
    take(&g->open);
    return 7;
}

static void make_gate(struct gate *g)
{
    sem_init(&g->begun, 0, 0);
    sem_init(&g->open, 0, 0);
}

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
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQ(null_run(yield_meanwhile, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
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
        CHECK_EQ(null_run(sleep_meanwhile, (void *)(uintptr_t)(i == 3 ? 400000 : 200),
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

static void until_idle(struct whorl_pool *pool)
{
    int idle;

    do {
        whorl__spin_lock(&pool->lock);
        idle = pool->idle;
        whorl__spin_unlock(&pool->lock);
        sched_yield();
    } while (!idle);
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

/* Lets others run until so many functions run and so many wait. */
static void until_pool(struct whorl_pool *pool, int busy, int queued)
{
    bool there = false;

    while (!there) {
        whorl__spin_lock(&pool->lock);
        there = pool->busy == busy && pool->queued == queued;
        whorl__spin_unlock(&pool->lock);
        whorl_yield();
    }
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

TEST(blocking, what_has_no_thread_yet_is_withdrawn_and_what_runs_is_waited_for)
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

TEST(blocking, a_function_with_its_own_argument_can_be_left_behind)
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

TEST(blocking, the_argument_comes_back_with_the_result)
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

TEST(blocking, a_cancel_and_an_end_may_come_together)
{
    CHECK_EQ(null_run_real(race_cancels, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(null_run(race_cancels, (void *)(uintptr_t)i,
                          &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}),
                 0);
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

TEST(blocking, mistakes_abort_and_say_what_to_do)
{
    dies(sleep_in_pool, "whorl_sleep was called in a function that runs in pool \"blocking\", outside any task");
    dies(destroy_default, "whorl_pool_destroy was given the default pool");
    dies(run_destroy_in_use, "whorl_pool_destroy was given pool \"test\" while 1 of its functions are waited for: join the tasks");
    dies(run_nothing, "whorl_pool_run was given no function");
    dies(wrong_size, "whorl_pool_options.size is 1: set it to sizeof(struct whorl_pool_options)");
}

TEST(blocking, wrong_options_make_no_pool)
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

static intptr_t leave_stuck(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "stuck"};
    struct whorl_task *t = whorl_spawn_at(be_stuck, arg, &options, "spawn.c:3");

    whorl_detach(whorl_spawn(join_the_stuck, t));
    until_pool(&whorl__blocking_pool, 1, 0);
    return 5;
}

static void end_with_stuck(void *arg)
{
    struct whorl_options options = {.size = sizeof options,
                                    .workers = 2,
                                    .blocking_grace = WHORL_MS(1200),
                                    .exit_policy = *(const int *)arg ? WHORL_EXIT_CANCEL : WHORL_EXIT_JOIN};
    struct whorl__reactor *reactor;
    struct whorl__config config;
    sem_t never;
    intptr_t result = 0;

    sem_init(&never, 0, 0);
    CHECK_EQ(whorl__config_read(&config, &options), 0);
    config.seed = test_seed();
    reactor = whorl__null_new(&config);
    CHECK_EQ(whorl__runtime_run(&config, reactor, leave_stuck, &never, &result), 0);
    CHECK_EQ(result, 5);
    free(reactor);
    sem_post(&never); /* it comes back when its task is long given up */
    until_idle(&whorl__blocking_pool);
}

TEST(blocking, a_stuck_function_is_reported_and_then_given_up, .timeout = 60)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        char err[4096];

        CHECK_EQ(run_in_child(end_with_stuck, &cancel, err, sizeof err), 0);
        CHECK_HAS(err, "whorl: the runtime cannot end for task \"stuck\" (spawned at spawn.c:3): it waits for function 0x");
        CHECK_HAS(err, " in pool \"blocking\", called at stuck.c:5 ");
        CHECK_HAS(err, "whorl: the runtime ends without task \"stuck\" (spawned at spawn.c:3): it waits for function 0x");
    }
}
