/* SPDX-License-Identifier: MIT */
#include "null_run.h"

#include "io/op.h"
#include "io/reactors.h"
#include "runtime/config.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include "seeds.h"
#include "test.h"

#include <errno.h>
#include <stdlib.h>

/* What is known of a run while it lasts. */
struct run {
    whorl_fn main_fn;
    void *arg;
    struct whorl__runtime *runtime;            /* NULL until main runs */
    const struct whorl__reactor_ops *null_ops; /* the reactor's own */
    struct whorl__reactor_ops ops;             /* those with ours in between */
};

/* Of this thread, which plays all workers. */
static _Thread_local struct run *current_run;

/* The tests say themselves what they want; a feature may be disabled from outside, and the seed given. */
__attribute__((constructor)) static void forget_environment(void)
{
    static const char *const names[] = {
        "WHORL_WORKERS", "WHORL_STACK_SIZE",      "WHORL_REACTOR",         "WHORL_PIN",
        "WHORL_EXIT",    "WHORL_DUMP_ON_SIGQUIT", "WHORL_SPIN_NS",         "WHORL_BLOCKING_GRACE_NS",
        "WHORL_DEBUG",   "WHORL_SLICE_NS",        "WHORL_CANCEL_ON_SIGINT"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static intptr_t run_main(void *arg)
{
    struct run *run = arg;

    run->runtime = whorl__worker()->runtime;
    return run->main_fn(run->arg);
}

static void check_worker(struct whorl__worker *w)
{
    CHECK_EQ(whorl__runq_length(&w->ready), 0);
    CHECK(w->ready.bound == NULL);
    CHECK_EQ(w->ready.bound_count, 0);
    CHECK_EQ(w->bound.count, 0);
    CHECK_EQ(w->mailbox.count, 0);
    CHECK(w->aside == NULL);
    CHECK_EQ(w->timers.count, 0);
    CHECK_EQ(whorl__load_relaxed(&w->timers.next), WHORL_NEVER);
    CHECK(w->current == NULL);
    CHECK(w->dead == NULL);
    whorl__stack_cache_flush(&w->stacks);
}

/* No task is left, and nothing that one had. */
static void check_balance(struct whorl__runtime *rt)
{
    uint64_t spawned = rt->posted, finished = 0, submitted = 0, completed = rt->withdrawn;
    struct whorl__stack_counts stacks;

    for (int i = 0; i < rt->worker_count; i++) {
        const struct whorl_stats *s = &rt->workers[i].stats;

        check_worker(&rt->workers[i]);
        spawned += s->spawned;
        finished += s->finished;
        submitted += s->submitted;
        completed += s->completed;
    }
    whorl__stack_pool_counts(&rt->stacks, &stacks);
    CHECK_EQ(spawned, finished);
    CHECK_EQ(submitted, completed);
    CHECK_EQ(stacks.in_use, 0);
    CHECK_EQ(rt->inbox.count, 0);
    for (int i = 0; i < WHORL__STACK_CLASSES; i++)
        CHECK_EQ(rt->stackless[i].count, 0);
    CHECK_EQ(rt->visitors, 0);
    CHECK_EQ(rt->joiners, 0);
    CHECK_EQ(rt->outside, 0);
}

/* The first port is closed when the last task has ended, and before anything is taken down. */
static void port_close(struct whorl__reactor *r, struct whorl__port *port)
{
    struct run *run = current_run;

    if (run->runtime)
        check_balance(run->runtime);
    run->runtime = NULL;
    run->null_ops->port_close(r, port);
}

/* Never further than to the end of an operation: the reactor's own wait sees to that. */
static whorl_ns ticking_now(struct whorl__reactor *r)
{
    const struct whorl__reactor_ops *null_ops = current_run->null_ops;

    null_ops->wait(r, NULL, null_ops->now(r) + NULL_TICK);
    return null_ops->now(r);
}

static intptr_t run_with(struct run *run, const struct whorl_options *given, bool real)
{
    struct whorl_options options = given ? *given : (struct whorl_options){0};
    struct whorl__config config;
    struct whorl__reactor *reactor;
    intptr_t result = 0;
    int err;

    options.size = sizeof options;
    options.reactor = "null";
    options.workers = options.workers ? options.workers : 1;
    options.seed = options.seed ? options.seed : test_seed();
    err = whorl__config_read(&config, &options);
    if (err)
        return err;
    config.seed = options.seed; /* WHORL_SEED has had its say in test_seed */
    reactor = whorl__null_new(&config);
    if (!reactor)
        return -ENOMEM;
    run->null_ops = reactor->ops;
    run->ops = *reactor->ops;
    run->ops.port_close = port_close;
    if (real) {
        run->ops.simulated = false;
        run->ops.now = ticking_now;
    }
    reactor->ops = &run->ops;
    current_run = run;
    err = whorl__runtime_run(&config, reactor, run_main, run, &result);
    current_run = NULL;
    free(reactor);
    return err ? err : result;
}

intptr_t null_run(whorl_fn main_fn, void *arg, const struct whorl_options *options)
{
    struct run run = {.main_fn = main_fn, .arg = arg};

    return run_with(&run, options, false);
}

intptr_t null_run_real(whorl_fn main_fn, void *arg, const struct whorl_options *options)
{
    struct run run = {.main_fn = main_fn, .arg = arg};

    if (!CHECK(!options || options->workers <= 1)) /* the null reactor is for one thread */
        return -EINVAL;
    return run_with(&run, options, true);
}

int null_nop(whorl_ns latency)
{
    struct whorl__request nop = {.code = WHORL__OP_NOP, .fd = -1, .offset = (uint64_t)latency};
    struct whorl__worker *w;

    return whorl__operate(whorl__self_may_suspend("null_nop", &w), &nop, NULL);
}

struct whorl_stats null_stats(void)
{
    struct whorl_stats stats = {.size = sizeof stats};

    CHECK_EQ(whorl_stats(-1, &stats), 0);
    return stats;
}
