/* SPDX-License-Identifier: MIT */
/* The options of a run after defaults, environment and checks. */
#ifndef WHORL_RUNTIME_CONFIG_H
#define WHORL_RUNTIME_CONFIG_H

#include <stdbool.h>
#include <whorl/run.h>

#define WHORL__WORKERS_MAX 1024

enum {
    WHORL__DISABLE_GUARD_INSTALL = 1,
    WHORL__DISABLE_SEND_MSG_RING = 2,
    WHORL__DISABLE_MEMBARRIER = 4,
    WHORL__DISABLE_WATCHER = 8,
    WHORL__DISABLE_PROCESS_MADVISE = 16,
};

struct whorl__config {
    int workers;
    int stack_class;
    char reactor[16];
    bool pin;
    bool dump_on_sigquit, cancel_on_sigint;
    enum whorl_exit exit_policy;
    uint64_t seed; /* 0: draw one */
    unsigned disable;
    whorl_ns spin_ns;
    whorl_ns blocking_grace; /* 0: for ever */
    bool debug;
    whorl_ns slice_ns;
    size_t stacks_max, records_max; /* bytes and tasks; SIZE_MAX: no limit */
};

/* Fills *c from `options` (may be NULL) and the environment. 0, or -EINVAL after having said on standard error what is wrong. */
int whorl__config_read(struct whorl__config *c, const struct whorl_options *options);

#endif
