/* SPDX-License-Identifier: MIT */
/* Stands in for runtime/context.h where the scheduler is model checked: a task runs to its end as a call of its worker's loop. */
#ifndef WHORL_RUNTIME_CONTEXT_H
#define WHORL_RUNTIME_CONTEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define WHORL__CONTEXT_ENTRY

typedef void (*whorl__context_entry)(void *arg);

struct whorl__context {
    void *sp;
};

/* Runs the task whose context `to` is, on the worker `w`. The program's. */
void model_run_task(struct whorl__context *to, void *w);

static inline void *whorl__context_switch_bare(struct whorl__context *from, struct whorl__context *to, void *w)
{
    (void)from;
    model_run_task(to, w);
    return w;
}

/* From task to task: no task of a model waits. */
static inline void *whorl__context_switch(struct whorl__context *from, struct whorl__context *to, void *arg)
{
    (void)from;
    (void)to;
    (void)arg;
    abort();
}

_Noreturn static inline void whorl__context_exit(struct whorl__context *to, void *arg)
{
    (void)to;
    (void)arg;
    abort();
}

static inline void whorl__context_init(struct whorl__context *c, void *base, size_t size, whorl__context_entry entry)
{
    (void)c;
    (void)base;
    (void)size;
    (void)entry;
}

#endif
