/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* CPU affinity */
#include "runtime/runtime.h"
#include "runtime/foreign.h"
#include "runtime/fork_child.h"
#include "runtime/inspect.h"
#include "runtime/monitor.h"
#include "runtime/overflow.h"
#include "runtime/scheduler.h"
#include "runtime/sigint.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Unjoined tasks that are named at the end; of the others only the number. */
#define REPORT_MAX 10

#define TIMER_SLACK 1000 /* ns */

static bool cancels_at_end(struct whorl__runtime *rt)
{
    return rt->config.exit_policy == WHORL_EXIT_CANCEL;
}

static void stop_task(struct whorl_task *t)
{
    whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__STOP); /* C1 of wait.c */
    whorl__interrupt(t);
}

void whorl__runtime_end(struct whorl__runtime *rt)
{
    whorl__foreign_close(rt);
    whorl__store_relaxed(&rt->ending, 1);
    if (!cancels_at_end(rt))
        return;
    whorl__fence_others(rt); /* partner: the push in whorl_spawn_at, before it reads `ending` */
    for (struct whorl__record_slab *s = whorl__load_acquire(&rt->slabs); s; s = s->next)
        for (uint32_t i = 0; i < whorl__load_relaxed(&s->used); i++) {
            uint8_t state = whorl__load_relaxed(&s->tasks[i].state);

            if (state != WHORL__FREE && state != WHORL__ENDED)
                stop_task(&s->tasks[i]);
        }
}

void whorl__runtime_spawned_late(struct whorl__runtime *rt, struct whorl_task *t)
{
    if (cancels_at_end(rt))
        stop_task(t);
}

/* For the overflow report, in a signal handler. */
static bool running(struct whorl__overflow_task *out)
{
    struct whorl__worker *w = whorl__worker();
    struct whorl_task *t = w ? whorl__load_relaxed(&w->current) : NULL;

    if (!t || !t->stack) /* it has ended but for its last steps */
        return false;
    *out = (struct whorl__overflow_task){.stack = t->stack, .name = whorl__name_of(t), .where = t->where};
    return true;
}

static void pin_thread(int index)
{
    cpu_set_t allowed, one;
    int skip;

    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0 || CPU_COUNT(&allowed) == 0)
        return;
    skip = index % CPU_COUNT(&allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && skip-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
}

/* The kernel may prolong a sleep by this: by default 50 us, half of what the watcher sleeps. Returns what it was before. */
static int set_timer_slack(int ns)
{
    int before = prctl(PR_GET_TIMERSLACK);

    prctl(PR_SET_TIMERSLACK, ns);
    return before;
}

static void *thread_main(void *arg)
{
    struct whorl__worker *w = arg;

    if (w->runtime->config.pin)
        pin_thread(w->index);
    set_timer_slack(TIMER_SLACK);
    whorl__overflow_thread_init();
    whorl__store_relaxed(&w->tid, gettid());
    whorl__set_worker(w);
    whorl__context_init_thread(&w->context);
    whorl__work(w);
    whorl__set_worker(NULL);
    whorl__overflow_thread_fini();
    return NULL;
}

static void fini_workers(struct whorl__runtime *rt, int count)
{
    for (int i = 0; i < count; i++) {
        struct whorl__worker *w = &rt->workers[i];

        rt->ops->port_close(rt->reactor, w->port);
        whorl__timers_fini(&w->timers);
        whorl__stack_cache_flush(&w->stacks);
    }
    free(rt->workers);
    free(rt->sleepers);
}

static int init_workers(struct whorl__runtime *rt)
{
    size_t count = (size_t)rt->worker_count;

    rt->workers = aligned_alloc(_Alignof(struct whorl__worker), count * sizeof *rt->workers);
    rt->sleepers = calloc(count, sizeof *rt->sleepers);
    if (!rt->workers || !rt->sleepers) {
        fini_workers(rt, 0);
        whorl__say("no memory for %d workers", rt->worker_count);
        return -ENOMEM;
    }
    memset(rt->workers, 0, count * sizeof *rt->workers);
    for (int i = 0; i < rt->worker_count; i++) {
        struct whorl__worker *w = &rt->workers[i];
        int err = rt->ops->port_open(rt->reactor, i, &w->port);

        if (err) {
            fini_workers(rt, i);
            return err;
        }
        w->runtime = rt;
        w->index = i;
        w->ready.alone = rt->worker_count == 1;
        w->idle_since = WHORL_NEVER;
        w->credit = 1;
        w->none = whorl__forks_nobody;
        w->now = rt->ops->now(rt->reactor);
        whorl__timers_init(&w->timers);
        whorl__stack_cache_init(&w->stacks, &rt->stacks);
    }
    return 0;
}

/* Says which tasks nobody joined, and frees all records. Returns how many those were. */
static unsigned long fini_records(struct whorl__runtime *rt)
{
    unsigned long unjoined = 0;

    for (struct whorl__record_slab *s = rt->slabs; s; s = s->next)
        for (uint32_t i = 0; i < s->used; i++) {
            struct whorl_task *t = &s->tasks[i];

            if (t->state == WHORL__FREE)
                continue;
            if (unjoined++ < REPORT_MAX)
                whorl__say("task \"%s\" (spawned at %s) was never joined: join it, or give its handle up with whorl_detach",
                           whorl__name_of(t), t->where);
        }
    if (unjoined > REPORT_MAX)
        whorl__say("%lu more tasks were never joined", unjoined - REPORT_MAX);
    whorl__records_free(rt);
    return unjoined;
}

static int init_runtime(struct whorl__runtime *rt, const struct whorl__config *config, struct whorl__reactor *reactor)
{
    unsigned flags = (config->disable & WHORL__DISABLE_GUARD_INSTALL ? WHORL__STACK_NO_GUARD_INSTALL : 0) |
                     (config->disable & WHORL__DISABLE_PROCESS_MADVISE ? WHORL__STACK_NO_PROCESS_MADVISE : 0);
    int err;

    memset(rt, 0, sizeof *rt);
    rt->config = *config;
    rt->reactor = reactor;
    rt->ops = reactor->ops;
    rt->worker_count = config->workers;
    pthread_mutex_init(&rt->turn, NULL);
    pthread_cond_init(&rt->turned, NULL);
    rt->asymmetric = config->workers == 1 || rt->ops->simulated ||
                     (!(config->disable & WHORL__DISABLE_MEMBARRIER) && whorl__membarrier_register());
    rt->watch = config->workers > 1 && !rt->ops->simulated && !(config->disable & WHORL__DISABLE_WATCHER);
    err = whorl__stack_pool_init(&rt->stacks, flags, config->stacks_max);
    if (err)
        return err;
    err = init_workers(rt);
    if (err)
        whorl__stack_pool_fini(&rt->stacks);
    return err;
}

static void fini_runtime(struct whorl__runtime *rt)
{
    struct whorl__stack_counts stacks;

    if (rt->given_up) { /* functions may yet write to the stacks of its tasks, and threads wait for those */
        for (int i = 0; i < rt->worker_count; i++)
            rt->ops->port_close(rt->reactor, rt->workers[i].port);
        return;
    }
    pthread_mutex_destroy(&rt->turn);
    pthread_cond_destroy(&rt->turned);
    fini_workers(rt, rt->worker_count); /* which gives back what they kept */
    whorl__stack_pool_counts(&rt->stacks, &stacks);
    whorl__leaks_add(fini_records(rt), stacks.in_use);
    whorl__deques_free(rt);
    whorl__stack_pool_fini(&rt->stacks);
    free(rt);
}

static int make_main(struct whorl__runtime *rt, const char *name, whorl_fn fn, void *arg, const char *where)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = name};

    rt->main = whorl__task_new(rt, &rt->workers[0], fn, arg, &options, where);
    if (rt->main) {
        whorl__store_relaxed(&rt->main->latch, (uintptr_t)WHORL__LATCH_DETACHED); /* nobody joins it */
        return 0;
    }
    whorl__say("no memory for the first task");
    return -ENOMEM;
}

static void join_threads(struct whorl__runtime *rt, int first, int end)
{
    for (int i = first; i < end; i++)
        pthread_join(rt->workers[i].thread, NULL);
}

/* Starts threads for the workers from `first` on. They find nothing to do yet. */
static int start_threads(struct whorl__runtime *rt, int first)
{
    for (int i = first; i < rt->worker_count && !rt->ops->simulated; i++) {
        int err = pthread_create(&rt->workers[i].thread, NULL, thread_main, &rt->workers[i]);

        if (err) {
            whorl__say("cannot start thread %d of %d: %s; run with fewer workers, or raise ulimit -u", i + 1, rt->worker_count,
                       strerror(err));
            whorl__store_relaxed(&rt->stop, 1);
            whorl__wake_all(rt);
            join_threads(rt, first, i);
            return -err;
        }
    }
    return 0;
}

/* What a thread was before it became a worker for a while. */
struct lent {
    cpu_set_t cpus;
    bool pinned;
    uint64_t control;
    int slack;
};

static void lend_thread(struct whorl__runtime *rt, struct lent *before)
{
    before->pinned = rt->config.pin && sched_getaffinity(0, sizeof before->cpus, &before->cpus) == 0;
    before->control = whorl__context_control();
    before->slack = set_timer_slack(TIMER_SLACK);
    if (before->pinned)
        pin_thread(0);
    whorl__overflow_thread_init();
    whorl__store_relaxed(&rt->workers[0].tid, gettid());
    whorl__set_worker(&rt->workers[0]);
    for (int i = 0; i < (rt->ops->simulated ? rt->worker_count : 1); i++)
        whorl__context_init_thread(&rt->workers[i].context);
}

static void return_thread(const struct lent *before)
{
    whorl__context_set_control(before->control);
    whorl__set_worker(NULL);
    whorl__overflow_thread_fini();
    set_timer_slack(before->slack);
    if (before->pinned)
        sched_setaffinity(0, sizeof before->cpus, &before->cpus);
}

/* The calling thread is the first worker, or all of them, until the runtime stops. */
static void run_main(struct whorl__runtime *rt)
{
    struct whorl__worker *w = &rt->workers[0];
    struct lent before;

    lend_thread(rt, &before);
    whorl__count(&w->stats.spawned, 1);
    whorl__store_relaxed(&rt->main->state, WHORL__READY);
    whorl__runq_push(&w->ready, rt->main);
    if (rt->ops->simulated) {
        whorl__simulate(rt, NULL);
    } else {
        whorl__work(w);
        join_threads(rt, 1, rt->worker_count);
    }
    return_thread(&before);
}

/* A runtime whose workers have yet to start, and whose main is there but not queued. */
static int new_runtime(const struct whorl__config *config, struct whorl__reactor *reactor, struct whorl__runtime **out)
{
    struct whorl__runtime *rt = aligned_alloc(_Alignof(struct whorl__runtime), sizeof *rt);
    int err;

    if (!rt) {
        whorl__say("no memory for a runtime");
        return -ENOMEM;
    }
    whorl__forks_lock();
    err = init_runtime(rt, config, reactor);
    if (!err) {
        whorl__inspect_register(rt);
        rt->watched_overflows = whorl__overflow_install(running) == 0; /* else overflows end in a plain SIGSEGV */
        *out = rt;
    }
    whorl__forks_unlock();
    if (err)
        free(rt);
    return err;
}

static void free_runtime(struct whorl__runtime *rt)
{
    whorl__forks_lock();
    if (rt->watched_overflows)
        whorl__overflow_uninstall();
    whorl__inspect_unregister(rt);
    fini_runtime(rt);
    whorl__forks_unlock();
}

static int run(const struct whorl__config *config, struct whorl__reactor *reactor, whorl_fn main_fn, void *arg, intptr_t *result)
{
    struct whorl__runtime *rt;
    int err = new_runtime(config, reactor, &rt);

    if (err)
        return err;
    err = make_main(rt, "main", main_fn, arg, "whorl_run");
    if (!err && !whorl__lend_stack(&rt->workers[0], rt->main)) {
        whorl__say("no memory for the stack of the first task");
        err = -ENOMEM;
    }
    if (!err)
        err = start_threads(rt, 1);
    if (!err) {
        whorl__monitor_start(rt);
        run_main(rt);
        whorl__monitor_stop(rt);
        *result = rt->result;
        whorl__foreign_drain(rt);
    }
    free_runtime(rt);
    return err;
}

int whorl__runtime_run(const struct whorl__config *config, struct whorl__reactor *reactor, whorl_fn main_fn, void *arg,
                       intptr_t *result)
{
    struct whorl__main m;
    int err;

    if (!config->cancel_on_sigint)
        return run(config, reactor, main_fn, arg, result);
    err = whorl__sigint_begin(&m, main_fn, arg);
    if (err)
        return err;
    err = run(config, reactor, whorl__sigint_main, &m, result);
    whorl__sigint_end(&m);
    return err;
}

/* Its end is that of the runtime, as the end of main is for whorl_run. */
static intptr_t end_runtime(void *unused)
{
    (void)unused;
    return 0;
}

int whorl__runtime_create(const struct whorl__config *config, struct whorl__reactor *reactor, struct whorl__runtime **out)
{
    int err = new_runtime(config, reactor, out);

    if (err)
        return err;
    (*out)->played = reactor->ops->simulated;
    err = make_main(*out, "close", end_runtime, NULL, "whorl_runtime_close");
    if (!err)
        err = start_threads(*out, 0);
    if (!err)
        whorl__monitor_start(*out);
    else
        free_runtime(*out);
    return err;
}

static void play(struct whorl__runtime *rt, const uintptr_t *until)
{
    struct lent before;

    lend_thread(rt, &before);
    whorl__simulate(rt, until);
    return_thread(&before);
}

void whorl__runtime_play(struct whorl__runtime *rt, const uintptr_t *until)
{
    pthread_mutex_lock(&rt->turn);
    /* Acquire: pairs with the exchange in finish (task.c). */
    while (until ? whorl__load_acquire(until) != WHORL__LATCH_OPEN : !whorl__load_relaxed(&rt->stop)) {
        if (rt->playing) {
            pthread_cond_wait(&rt->turned, &rt->turn);
            continue;
        }
        rt->playing = true;
        pthread_mutex_unlock(&rt->turn);
        play(rt, until);
        pthread_mutex_lock(&rt->turn);
        rt->playing = false;
        pthread_cond_broadcast(&rt->turned);
    }
    pthread_mutex_unlock(&rt->turn);
}

void whorl__runtime_played(struct whorl__runtime *rt)
{
    pthread_mutex_lock(&rt->turn);
    pthread_cond_broadcast(&rt->turned);
    pthread_mutex_unlock(&rt->turn);
}

struct whorl__reactor *whorl__runtime_close(struct whorl__runtime *rt)
{
    struct whorl__reactor *reactor = rt->reactor;

    whorl__foreign_start_last(rt, rt->main);
    if (rt->played)
        whorl__runtime_play(rt, NULL);
    else
        join_threads(rt, 0, rt->worker_count);
    whorl__monitor_stop(rt);
    whorl__foreign_drain(rt);
    free_runtime(rt);
    return reactor;
}

static int spawn_and_join(struct whorl__runtime *rt, whorl_fn fn, void *arg, intptr_t *result, const char *where)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "main"};
    int err;
    struct whorl_task *t = whorl__foreign_spawn(rt, fn, arg, &options, where, &err);

    return t ? whorl_runtime_join(t, result) : err;
}

static int spawn_and_join_cancellable(struct whorl__runtime *rt, whorl_fn fn, void *arg, intptr_t *result, const char *where)
{
    struct whorl__main m;
    int err = whorl__sigint_begin(&m, fn, arg);

    if (err)
        return err;
    err = spawn_and_join(rt, whorl__sigint_main, &m, result, where);
    whorl__sigint_end(&m);
    return err;
}

int whorl_runtime_run_at(struct whorl_runtime *runtime, whorl_fn fn, void *arg, intptr_t *result, const char *where)
{
    struct whorl__runtime *rt = (struct whorl__runtime *)runtime;
    int err;

    whorl__foreign_check(rt, "whorl_runtime_run");
    if (!fn)
        whorl__misuse("whorl_runtime_run was given no function");
    whorl__add_seq_cst(&rt->runs, 1);
    if (rt->config.cancel_on_sigint)
        err = spawn_and_join_cancellable(rt, fn, arg, result, where);
    else
        err = spawn_and_join(rt, fn, arg, result, where);
    whorl__add_seq_cst(&rt->runs, (uint32_t)-1); /* the last touch of the runtime */
    return err;
}

int whorl_workers(void)
{
    struct whorl__worker *w;

    whorl__self("whorl_workers", &w);
    return w->runtime->worker_count;
}

int whorl_worker(void)
{
    struct whorl__worker *w;

    whorl__self("whorl_worker", &w);
    return w->index;
}

const char *whorl_reactor(void)
{
    struct whorl__worker *w;

    whorl__self("whorl_reactor", &w);
    return w->runtime->ops->name;
}

struct whorl_runtime *whorl_runtime(void)
{
    struct whorl__worker *w;

    whorl__self("whorl_runtime", &w);
    return (struct whorl_runtime *)w->runtime;
}

const char *whorl_version(void)
{
    return WHORL_VERSION;
}
