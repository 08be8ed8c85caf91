/* SPDX-License-Identifier: MIT */
/* The record of a task. Records come from slabs (record.h) that are freed only with the runtime, and are used again for later
 * tasks: a late waker or canceller that still has the address finds a record, if perhaps another task's, and what it then tries
 * fails, or hits a task that was cancelled too. Every protocol below relies on that. */
#ifndef WHORL_RUNTIME_TASK_H
#define WHORL_RUNTIME_TASK_H

#include "runtime/context.h"
#include "runtime/reactor.h"
#include "runtime/timer.h"
#include <whorl/task.h>

struct whorl__deque;
struct whorl__stack;
struct whorl__runtime;

enum whorl__state {
    WHORL__FREE, /* no task: the record is in a cache */
    WHORL__READY,
    WHORL__RUNNING,
    WHORL__PARKED,
    WHORL__ENDED, /* its result waits to be joined */
};

/* How a parked task can be brought back early. The object is found by the kind. */
enum whorl__wait {
    WHORL__WAIT_NONE,  /* it is in none */
    WHORL__WAIT_MUST,  /* not at all: for a latch that will be opened; a descriptor's last user will */
    WHORL__WAIT_SYNC,  /* likewise: a fork's end will */
    WHORL__WAIT_LATCH, /* by taking it out of *wait_latch */
    WHORL__WAIT_TIMER, /* by stopping its sleep timer */
    WHORL__WAIT_OP,    /* by asking the reactor to cancel its operation */
};

/* Why a task is to stop waiting. Bits of whorl_task.cancel. */
enum {
    WHORL__CANCEL = 1,    /* its next wait ends with -ECANCELED */
    WHORL__STOP = 2,      /* every wait does: the runtime is closing */
    WHORL__TIMEOUT = 4,   /* every wait ends with -ETIMEDOUT until the deadline is moved */
    WHORL__NO_TIMER = 8,  /* the next wait ends with -ENOMEM: its deadline could not be armed */
    WHORL__SCOPE = 16,    /* a scope that it is in may have been cancelled: runtime/scope.c knows */
    WHORL__SHIELDED = 32, /* the task's own: none of the others counts but WHORL__SCOPE */
};

/* A latch is opened once. Its word: 0, nobody waits; a task; or one of these. Who exchanges a task for something else is the one to
 * wake it. */
enum {
    WHORL__LATCH_OPEN = 1,
    WHORL__LATCH_DETACHED = 2, /* of a task whose handle was given up */
    WHORL__LATCH_THREAD = 3,   /* an OS thread waits (runtime/foreign.c) */
};

/* What sets it apart from a plain task, and is to be undone at its end. Bits of whorl_task.traits. */
enum {
    WHORL__NAMED = 1,       /* it has a name, and keeps it until its handle is given up */
    WHORL__DATED = 2,       /* it has, or had, a deadline */
    WHORL__FORKED = 4,      /* it has a deque, or would have, had there been memory */
    WHORL__STRAND = 8,      /* it has a root */
    WHORL__BOUND = 16,      /* it is bound to a worker from its beginning to its end */
    WHORL__PINNED = 32,     /* it is in a pin region */
    WHORL__NO_SUSPEND = 64, /* it is in a no-suspend region */
    WHORL__LADEN = 128, /* it has, or had, something in its rare half that is to be undone: it is in a scope, has opened one or a
                           generator, has deferred something, has task-locals, a call of it has failed */
};

/* What a task touches each time it waits comes first, in as few cache lines as may be: with hundreds of connections on a worker the
 * lines of one are cold when its turn comes. What few tasks use is apart (struct whorl__rare): the memory of a million that do
 * not is never touched. */
struct whorl_task {
    struct whorl__context context; /* valid while it is neither running nor new */

    /* The task's own, and whoever holds it: the queue it is in, the worker that runs it. */
    struct whorl_task *next;    /* in the one queue or cache it is in */
    struct whorl__stack *stack; /* NULL before its first run */

    /* Anyone, atomic. */
    uint8_t cancel;      /* bits, see above */
    uint8_t state, wait; /* enum whorl__state, enum whorl__wait; written by whoever moves the task */
    bool interrupted;    /* its wait ended early; written by whoever wakes it, read by itself */
    uint8_t stack_class; /* constant while it lives */

    /* The task's own, read by whoever makes it ready, and by dumps. */
    uint8_t traits; /* bits, see above */
    uint16_t bound; /* WHORL_WORKER(i): it runs on that worker only; 0: on any */

    /* For dumps, atomic and relaxed. */
    whorl_ns since;     /* of the present state, by its worker's last reading of the clock */
    const char *reason; /* what it waits for: a string that lives as long as the program. With WHORL__NO_SUSPEND, when it waits
                           for nothing: where that region began */
    uintptr_t object;   /* a descriptor, a task, a time; the reason tells. With WHORL__NO_SUSPEND: how deep regions are nested; in
                           a queue of bound tasks: its place (runq.h) */

    struct whorl_task
        *root; /* the task that this is a strand of (runtime/fork.h), NULL: it is a task itself; constant while it runs */

    struct whorl__op op __attribute__((aligned(64)));
    struct whorl__deque *deque; /* of its forks; NULL until the first. Written by the task, and its worker's; a canceller looks
                                   whether there is one, relaxed */

    uintptr_t latch __attribute__((aligned(64))); /* anyone, atomic: opened when it ends */
    uintptr_t gate;        /* likewise: for waits on something that is no task, opened by whom the wait is for */
    uintptr_t *wait_latch; /* with WHORL__WAIT_LATCH: anyone, atomic. In a record, or it could be gone when a canceller looks */
    whorl_fn fn;
    union {
        void *arg;       /* until it is started; of a strand, its fork */
        intptr_t result; /* written before the latch is opened, read after */
    };
    const char *where; /* spawn site; for dumps, atomic and relaxed */
    struct whorl__timer sleep;
} __attribute__((aligned(64)));

#endif
