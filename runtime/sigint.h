/* SPDX-License-Identifier: MIT */
/* SIGINT as a request to main (whorl_options.cancel_on_sigint). */
#ifndef WHORL_RUNTIME_SIGINT_H
#define WHORL_RUNTIME_SIGINT_H

#include <stdbool.h>
#include <whorl/scope.h>

/* A function that SIGINT cancels; on the stack of the thread that waits for it. */
struct whorl__main {
    whorl_fn fn;
    void *arg;
    struct whorl_scope scope; /* around it */
    bool runs;                /* the scope is open */
    uint32_t seen;            /* interrupts that came before it */
    struct whorl__main *next; /* in the list of them all */
};

/* From here on a SIGINT is for fn(arg) too, which is to be run as a task by whorl__sigint_main(m). 0, or -EAGAIN (no thread) after having
 * said so. On a thread that is no worker. */
int whorl__sigint_begin(struct whorl__main *m, whorl_fn fn, void *arg);
/* It has ended, or was not begun. */
void whorl__sigint_end(struct whorl__main *m);

intptr_t whorl__sigint_main(void *m);

/* In the child of a fork(2): SIGINT has its former effect. */
void whorl__sigint_forked(void);

#endif
