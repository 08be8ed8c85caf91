/* SPDX-License-Identifier: MIT */
/* The list of those who wait for something: a part of a mutex, an event, a channel. All zeros: nobody does. And what stands in such a list,
 * or in a task's record, for who waits. For whorl's own use. */
#ifndef WHORL_WAITERS_H
#define WHORL_WAITERS_H

#include <stdbool.h>
#include <whorl/base.h>

struct whorl__waiter;

struct whorl__waiters {
    uint32_t locked;
    struct whorl__waiter *first, *last;
};

/* See runtime/waiter.h. */
struct whorl__waiter {
    struct whorl__waiter *next, *before; /* in the list, under its lock; `next` also in a chain of those to be woken, M's own */
    struct whorl_task *task;             /* who waits; NULL: an OS thread. Constant */
    void *item;                          /* the object's: what is handed over, or where to */
    uint32_t awake;                      /* a thread's gate, a futex: 0 closed, 1 open */
    uint16_t claim; /* of several: what the gate shows once this one has it, see WHORL__CLAIM. 0: it is alone */
    bool listed;    /* under the lock */
};

/* See runtime/watch.h. */
struct whorl__watch {
    void (*ended)(struct whorl__watch *watch); /* on the worker where the task ended, whose record may be gone */
};

/* Something that is counted, and taken and given back; who takes what is not there waits. For whorl's own use. */
struct whorl__permits {
    struct whorl__waiters waiters; /* its lock guards the rest */
    int64_t free;                  /* may be negative: down to where tells whose it is */
};

#endif
