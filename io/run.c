/* SPDX-License-Identifier: MIT */
/* The composition root: the one place that knows both the scheduler and the reactors. */
#include "io/reactors.h"
#include "io/sys.h"
#include "runtime/current.h"
#include "runtime/fatal.h"
#include "runtime/runtime.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    err = whorl__config_read(&config, options);
    if (err)
        return err;
    if (!config.seed)
        config.seed = whorl__sys_random() >> 1; /* fits WHORL_SEED */
    reactor = strcmp(config.reactor, "null") == 0 ? whorl__null_new(&config) : whorl__uring_new(&config);
    if (!reactor) {
        whorl__say("no memory for a reactor");
        return -ENOMEM;
    }
    err = whorl__runtime_run(&config, reactor, main_fn, arg, &result);
    free(reactor);
    return err ? err : result;
}
