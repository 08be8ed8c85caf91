/* SPDX-License-Identifier: MIT */
/* When a task's stack runs into its guard, the program dies by SIGSEGV; here it first says which task, where it was spawned
 * and what to do. All other faults go where they went before. */
#ifndef WHORL_RUNTIME_OVERFLOW_H
#define WHORL_RUNTIME_OVERFLOW_H

#include <stdbool.h>

#include "runtime/stack.h"

struct whorl__overflow_task {
    const struct whorl__stack *stack;
    const char *name;  /* "" when it has none */
    const char *where; /* it was spawned */
};

/* Stores what task the calling thread runs; false: none. Called in a signal handler. */
typedef bool (*whorl__overflow_running)(struct whorl__overflow_task *out);

/* Handles SIGSEGV and SIGBUS of the whole process, until as many calls of uninstall. The first call's `running` counts. Returns
 * 0 or -errno. Any thread. */
int whorl__overflow_install(whorl__overflow_running running);
void whorl__overflow_uninstall(void);
/* In the child of a fork(2): whoever installed it is not there. */
void whorl__overflow_forked(void);

/* Gives the calling thread an alternate signal stack, without which its overflows go unreported: there is no room to handle the
 * signal. fini puts the previous one back. Returns 0 or -errno; fini may be called all the same. */
int whorl__overflow_thread_init(void);
void whorl__overflow_thread_fini(void);

#endif
