/* SPDX-License-Identifier: MIT */
/* The composition root: the one place that knows both the scheduler and the reactors. */
#include "io/fd.h"
#include "io/reactors.h"
#include "io/resolve.h"
#include "io/sys.h"
#include "runtime/current.h"
#include "runtime/fatal.h"
#include "runtime/foreign.h"
#include "runtime/fork_child.h"
#include "runtime/pool.h"
#include "runtime/runtime.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* In the child of a fork(2). */
static void forked(void)
{
    whorl__forked();
    whorl__fd_forked();
    whorl__pools_forked();
    whorl__forks_unlock();
}

static bool handling_forks; /* atomic */

/* At load: a fork that is under way when the first runtime starts would not know of handlers that come so late. */
__attribute__((constructor)) static void handle_forks(void)
{
    if (pthread_atfork(whorl__forks_lock, whorl__forks_unlock, forked) == 0)
        whorl__store_relaxed(&handling_forks, true);
}

/* Reads the options, and makes a reactor for them, to be freed by free(3). */
static int prepare(const struct whorl_options *options, struct whorl__config *config, struct whorl__reactor **reactor)
{
    int err = whorl__config_read(config, options);

    if (err)
        return err;
    if (!whorl__load_relaxed(&handling_forks)) {
        whorl__say("there was no memory to be told of forks when the program was loaded");
        return -ENOMEM;
    }
    if (!config->seed)
        config->seed = whorl__sys_random() >> 1; /* fits WHORL_SEED */
    *reactor = strcmp(config->reactor, "null") == 0 ? whorl__null_new(config) : whorl__uring_new(config);
    if (*reactor)
        return 0;
    whorl__say("no memory for a reactor");
    return -ENOMEM;
}

intptr_t whorl_run(whorl_fn main_fn, void *arg, const struct whorl_options *options)
{
    struct whorl__config config;
    struct whorl__reactor *reactor;
    intptr_t result = 0;
    int err;

    if (whorl__worker()) {
        whorl__say("whorl_run was called inside a task: use whorl_spawn, or call it on a thread of its own");
        return -EDEADLK;
    }
    err = prepare(options, &config, &reactor);
    if (err)
        return err;
    err = whorl__runtime_run(&config, reactor, main_fn, arg, &result);
    free(reactor);
    return err ? err : result;
}

int whorl_runtime_create(const struct whorl_options *options, struct whorl_runtime **runtime)
{
    struct whorl__config config;
    struct whorl__reactor *reactor;
    struct whorl__runtime *rt;
    int err = prepare(options, &config, &reactor);

    if (err)
        return err;
    err = whorl__runtime_create(&config, reactor, &rt);
    if (err)
        free(reactor);
    else
        *runtime = (struct whorl_runtime *)rt;
    return err;
}

void whorl_runtime_close(struct whorl_runtime *runtime)
{
    struct whorl__runtime *rt = (struct whorl__runtime *)runtime;

    if (whorl__is_dead(rt))
        return; /* there is nothing to end: a child that cleans up as its parent would is in order */
    whorl__foreign_check(rt, "whorl_runtime_close");
    if (whorl__load_seq_cst(&rt->runs))
        whorl__misuse(
            "whorl_runtime_close was called while a whorl_runtime_run of that runtime was under way: let it return first");
    free(whorl__runtime_close(rt));
}
