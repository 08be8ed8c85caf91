/* SPDX-License-Identifier: MIT */
/* Looking into a running runtime. */
#ifndef WHORL_INSPECT_H
#define WHORL_INSPECT_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* Writes a line per living task to the descriptor `fd`: name, state, what it waits for and since when (by its worker's last
 * reading of the clock), where it was spawned; then a line per worker. The tasks go on meanwhile, so a line may be a moment
 * old. Outside a task it shows every runtime of the process. Never suspends (but blocks while `fd` does). Callable from any
 * thread and from a signal handler. */
WHORL_API void whorl_dump(int fd);

/* What a worker, or all of them, did since the runtime started. */
struct whorl_stats {
    size_t size;           /* sizeof(struct whorl_stats): required */
    uint64_t spawned;      /* tasks started here */
    uint64_t finished;     /* tasks that ended here */
    uint64_t switches;     /* times a task got this worker */
    uint64_t parks;        /* times a task began to wait */
    uint64_t steals;       /* times work was taken from another worker */
    uint64_t stolen;       /* tasks that were taken so */
    uint64_t sleeps;       /* times the worker slept in the kernel */
    uint64_t wakes;        /* times it woke another worker */
    uint64_t spins_won;    /* times looking for work a while before sleeping found some */
    uint64_t spins_lost;   /* times it did not */
    uint64_t polls;        /* times it asked its reactor for finished operations */
    uint64_t submitted;    /* operations handed to the reactor */
    uint64_t completed;    /* operations it gave back */
    uint64_t cancels;      /* operations it was asked to cancel */
    uint64_t enters;       /* system calls made to submit, reap or sleep */
    uint64_t inline_done;  /* operations that needed no reactor, a plain system call having done them at once */
    uint64_t timers_fired; /* sleeps and deadlines that ran out */
    uint64_t stack_waits;  /* times a task could not start for want of a stack */
    uint64_t taken_over;   /* operations of a worker that did not look after them, which this one took */
    uint64_t forks_taken;  /* forks of tasks on other workers, or of parked ones, that this one took */
};

/* Fills *out with the counters of worker `index`, or the sums of all with index -1. Returns 0, or -EINVAL: no such worker, or
 * out->size is wrong. The numbers may be a moment old. Never suspends. Aborts outside a task. */
WHORL_API int whorl_stats(int index, struct whorl_stats *out);

/* What was left over in the runtimes of this process that have ended, in sum. For tests. */
struct whorl_leaks {
    size_t size;     /* sizeof(struct whorl_leaks): required */
    uint64_t tasks;  /* that were neither joined nor detached; they were named on standard error */
    uint64_t stacks; /* that were lent to a task and not given back */
};

/* Fills *out. Returns 0, or -EINVAL: out->size is wrong. Never suspends. Callable from any thread. */
WHORL_API int whorl_leaks(struct whorl_leaks *out);

WHORL_END_DECLS

#endif
