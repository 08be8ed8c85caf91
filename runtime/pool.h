/* SPDX-License-Identifier: MIT */
/* Pools of OS threads, and the jobs that they do. Who waits for a job does so as in runtime/waiter.h, the thread being the one who makes it come
 * true: M1 when the job is done, or cannot be. A pool knows nothing of tasks but their waiters; runtime/blocking.c is what tasks see. */
#ifndef WHORL_RUNTIME_POOL_H
#define WHORL_RUNTIME_POOL_H

#include "runtime/waiter.h"
#include <whorl/blocking.h>

#define WHORL__POOL_THREADS 64
#define WHORL__POOL_NAME    16 /* bytes, the last a 0: what the kernel has room for */

/* On the stack of who waits, or, with `release`, in memory of its own, which is freed by whoever is the last to need it. */
struct whorl__job {
    struct whorl__job *next, *before; /* in a list of the pool's, under its lock */
    struct whorl__waiter *waiter;     /* NULL: it has been told, or has left the job behind. Under the lock */
    bool begun;                       /* under the lock */

    /* Constant. */
    struct whorl__runtime *runtime; /* of the waiter; NULL: it is a thread */
    whorl_fn fn;
    void *arg;
    void (*release)(void *arg);
    const char *where;
    whorl_ns since; /* by the runtime's clock */

    /* Written before the waiter is told, read after. */
    intptr_t result;
    int error;
};

struct whorl__jobs {
    struct whorl__job *first, *last;
};

struct whorl_pool {
    struct whorl__spinlock lock; /* guards what follows */
    uint32_t calls; /* futex of the threads that have nothing to do: another number with each job. Written under the lock */
    struct whorl__jobs queue, begun;
    int threads, idle, busy, queued;
    int limit, queue_limit; /* queue_limit 0: none */
    bool closing;

    /* Constant. */
    whorl_ns patience;  /* of a thread that has nothing to do */
    size_t stack_size;  /* 0: the system's */
    const char *reason; /* what its waiters wait for: a string that lives as long as the program */
    char name[WHORL__POOL_NAME];

    struct whorl_pool *next; /* in the list of all, under its lock */
    bool listed;             /* likewise, read without */
};

/* A pool that is there from the start. */
#define WHORL__POOL(name_, threads_, reason_)                                                                                      \
    {                                                                                                                              \
        .limit = (threads_), .patience = WHORL_SEC(2), .name = name_, .reason = (reason_)                                          \
    }

/* The default one. */
extern struct whorl_pool whorl__blocking_pool;

/* Hands the job, whose waiter has closed its gate, to the pool. 0, and the waiter will be told; or -EBUSY. */
int whorl__pool_submit(struct whorl_pool *pool, struct whorl__job *job);

enum whorl__withdrawal {
    WHORL__WITHDRAWN, /* it will never run: it is the caller's */
    WHORL__LEFT,      /* it runs, and will release itself: the caller has no part in it any more */
    WHORL__TOO_LATE,  /* it runs, or is done: the waiter will be told */
};

/* The waiter is to stop waiting. */
enum whorl__withdrawal whorl__pool_withdraw(struct whorl_pool *pool, struct whorl__job *job);

/* Calls visit(pool, job, arg) for all jobs that somebody of the runtime `rt` waits for, under the lock of their pool. */
void whorl__pools_visit(struct whorl__runtime *rt, void (*visit)(struct whorl_pool *, struct whorl__job *, void *), void *arg);
/* For a visitor: the waiter is never to be told. */
void whorl__pool_forget(struct whorl_pool *pool, struct whorl__job *job);

/* In the child of a fork(2): no pool has threads, jobs, or a lock that is held. */
void whorl__pools_forked(void);

/* The name of the pool whose job this thread does, or NULL. */
const char *whorl__pool_here(void);

#endif
