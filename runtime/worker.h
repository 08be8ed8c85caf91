/* SPDX-License-Identifier: MIT */
/* A worker (an OS thread that runs tasks) and the runtime it belongs to. Fields are grouped by who may touch them, and each group
 * of a worker starts a cache line of its own, so that what others look at is not torn from the owner's cache by what they
 * write. */
#ifndef WHORL_RUNTIME_WORKER_H
#define WHORL_RUNTIME_WORKER_H

#include "runtime/config.h"
#include "runtime/context.h"
#include "runtime/fifo.h"
#include "runtime/fork.h"
#include "runtime/reactor.h"
#include "runtime/runq.h"
#include "runtime/stack.h"
#include "runtime/task.h"
#include "runtime/timer.h"
#include <pthread.h>
#include <whorl/inspect.h>

#define WHORL__CACHE_LINE 64

struct whorl__worker;

/* Runs on the next context's stack after a task has left its own: only then may anybody else see the task. */
typedef void (*whorl__commit)(struct whorl__worker *w, struct whorl_task *t);

struct whorl__worker {
    /* Owner only. */
    struct whorl__context context; /* of the worker's loop, while a task runs */
    struct whorl_task *current;    /* the task that runs; NULL: the loop does. Others read it for dumps, relaxed */
    whorl__commit commit;          /* owed to the task that left last, see scheduler.c */
    struct whorl_task *committee;  /* that task */
    uintptr_t *committed;          /* the latch that it waits for with WHORL__WAIT_MUST or WHORL__WAIT_SYNC */
    struct whorl__stack *dead;     /* the stack of the task that ended last, until somebody else's is under our feet */
    struct whorl_task *records;    /* free task records, and how many */
    uint32_t record_count;
    int budget;     /* switches left until the loop looks at everything else; 0 at all times when simulated */
    uint32_t turns; /* calls of tasks that might have waited and did not, see whorl__went_on */
    int handoffs;   /* times in a row that a task that ended went straight on to its joiner */
    bool searching; /* counted in runtime->searching */
    bool prompt;    /* a task that computes stands back: what the others submit is not to wait for it to do so again */
    int spin_score; /* above or at 0: looking for work a while before sleeping pays */
    whorl_ns idle_since;
    whorl_ns flushed; /* when pending operations were last submitted */
    whorl_ns trimmed; /* when memory of stacks was last given back */
    /* runtime/takeover.c: when it last looked after another worker, and whose turn it is. */
    whorl_ns looked_after;
    uint32_t look_after_next;
    /* runtime/fork.c: what tasks without a deque fork into, free deques, and how often to look up from forks. */
    struct whorl__forks none;
    struct whorl__deque *deques;
    uint32_t deque_count;
    uint32_t credit;
    whorl_ns yielded;           /* when such a task last let the kernel give the processor to another thread */
    bool poor;                  /* no stack or record was to be had for a fork, since the last look around */
    struct whorl__deque *aside; /* as the runtime's, of tasks that are bound to this worker; under the same lock */
    struct whorl__stack_cache stacks;

    /* Constant after start. */
    struct whorl__runtime *runtime __attribute__((aligned(WHORL__CACHE_LINE)));
    struct whorl__port *port;
    int index;
    pthread_t thread;

    /* The owner writes, anyone reads, relaxed. */
    whorl_ns now __attribute__((aligned(WHORL__CACHE_LINE))); /* the last reading of the clock */
    int tid;                                                  /* of its thread */
    whorl_ns looked;                                          /* when its task last looked up from forks, runtime/fork.c */
    struct whorl_stats stats;
    struct whorl__deque *deque; /* of the task that runs, NULL: it has none */

    /* Each with its own rules. */
    struct whorl__runq ready __attribute__((aligned(WHORL__CACHE_LINE)));
    struct whorl__fifo mailbox __attribute__((aligned(WHORL__CACHE_LINE))); /* tasks that others would like to run here */
    struct whorl__fifo bound; /* tasks that are bound to this worker and that others made ready */
    struct whorl__timers timers __attribute__((aligned(WHORL__CACHE_LINE)));

    /* Written under runtime->idle_lock, read by its owner without it. */
    bool asleep __attribute__((aligned(WHORL__CACHE_LINE))); /* in runtime->sleepers */
};

struct whorl__monitor;
struct whorl__record_slab;

struct whorl__runtime {
    /* Constant after start. */
    struct whorl__config config;
    struct whorl__reactor *reactor;
    const struct whorl__reactor_ops *ops;
    int worker_count;
    struct whorl__worker *workers;    /* an array */
    bool asymmetric;                  /* membarrier(2) stands in for the wakers' fence, see scheduler.c */
    bool watch;                       /* there is to be a watcher, see idle.c */
    struct whorl__runtime *next_dead; /* in the list of fork_child.c */
    bool watched_overflows;           /* overflow.c counts us */
    bool played;                      /* simulated, and nobody's for good: who waits from outside plays the workers meanwhile */
    bool playing;                     /* somebody does; under `turn` */
    pthread_mutex_t turn;
    pthread_cond_t turned;          /* who played has left, or a task that such a thread waits for has ended */
    struct whorl__monitor *monitor; /* of debug mode, NULL: none; whoever starts and ends the runtime */
    struct whorl_task *main;        /* whose end is the runtime's; NULL once it has ended */
    intptr_t result;                /* main's */

    struct whorl__stack_pool stacks;
    struct whorl__fifo stackless[WHORL__STACK_CLASSES]; /* tasks that found no stack of their class: run when one comes back */

    /* Work from threads that are no workers. Under inbox.lock: closed, posted. */
    struct whorl__fifo inbox __attribute__((aligned(WHORL__CACHE_LINE)));
    bool closed;     /* nothing more may be posted */
    uint64_t posted; /* tasks spawned by such threads */

    /* Who sleeps and who looks for work: see the wake protocol in scheduler.c. */
    struct whorl__spinlock idle_lock __attribute__((aligned(WHORL__CACHE_LINE)));
    uint32_t sleeping;  /* length of sleepers; written under idle_lock, anyone reads it */
    uint32_t searching; /* workers that look for work; anyone, atomic */
    uint32_t watched;   /* one of the sleepers is the watcher; anyone, atomic */
    int *sleepers;      /* guarded by idle_lock: the indices of sleeping workers, the last to fall asleep last */

    /* Anyone, atomic. */
    uint32_t ending __attribute__((aligned(WHORL__CACHE_LINE))); /* main has returned */
    uint32_t stop;                                               /* no task is left: the workers end */
    uint32_t outside;                                            /* things under way on other threads that will wake a task */
    uint32_t visitors;                                           /* other threads inside a call on this runtime */
    uint32_t joiners;                                            /* those of them that wait for a task */
    uint32_t runs;                                               /* those in whorl_runtime_run */
    uint64_t withdrawn;                                          /* operations that were submitted and then withdrawn */

    /* Jobs in pools that keep it from ending (blocking.c). Anyone, atomic, when `ending`. */
    whorl_ns overdue;     /* when to look for them next; 0: at once */
    whorl_ns stuck_since; /* that there is nothing else; 0: there is */
    whorl_ns silence;     /* how long after that to say so next */
    bool given_up;        /* it ends without the tasks that are left */
    whorl_ns stood_by;    /* how long a simulated one has waited for other threads; its thread's own */

    /* Forks. `aside`: deques whose tasks are parked; under aside_lock, anyone reads the first. The rest under deque_lock. */
    struct whorl__spinlock aside_lock __attribute__((aligned(WHORL__CACHE_LINE)));
    struct whorl__deque *aside;
    struct whorl__spinlock deque_lock;
    struct whorl__deque *deques, *deques_made; /* free ones; all, through `made` */

    /* Task records (record.c). Written under record_lock; slabs: read by anyone, atomic; it only grows. */
    struct whorl__spinlock record_lock;
    struct whorl__record_slab *slabs;
    struct whorl_task *records; /* free ones */
    size_t records_made;
};

#endif
