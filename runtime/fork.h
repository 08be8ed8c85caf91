/* SPDX-License-Identifier: MIT */
/* The deque of a task's forks, and how others take from it.
 *
 * A task that forks has a deque of its own, and a deque holds the forks of one task only: what is in it can be called on that
 * task's stack. It goes where the task goes. While the task runs, its worker points at it; while the task is parked and something
 * is left in it, it is set aside in the runtime's list. Both are where thieves look. Deques are freed with the runtime only, so
 * that a thief may hold the address of one that has a new task by now.
 *
 * Taking, as numbered steps (O the owner, T a thief; this is the THE protocol of Cilk-5 with the owner's fence moved to the thief).
 *
 *   O1  moves `tail` down over the last fork       T1  locks the deque; nothing between head and tail: leaves
 *   O2  fence, for the compiler only               T2  moves `head` up over the first fork
 *   O3  head is not beyond tail: the fork is the   T3  membarrier(2): a full fence here and in the owner
 *       owner's. Else it puts tail back and asks   T4  head is not beyond tail: the fork is the thief's. Else it puts head
 *       again under the lock                           back. Unlocks
 *
 * Only when one fork is left can the two meet. The fences order O1 before O3 and T2 before T4: at least one of them sees the other.
 * If both do, the thief gives way, and the owner, who waits for the lock, has it. O's side is in whorl_sync, inline.
 *
 * The forks of a task that is bound to a worker stay with it: only that worker takes them, which it can while the task is parked, and
 * the strands are bound too. Such deques are set aside in a list of that worker's, so that nobody else looks in vain.
 *
 * A deque that is set aside has an owner that cannot be at O1, and comes back only under the lock: no membarrier is needed. Where the
 * kernel has none, and where one thread plays all workers, `limit` and `low` send the owner the slow way each time, which takes the
 * lock. */
#ifndef WHORL_RUNTIME_FORK_H
#define WHORL_RUNTIME_FORK_H

#include "runtime/atomic.h"
#include <whorl/fork.h>

struct whorl_task;
struct whorl__runtime;
struct whorl__worker;

/* Slots that a deque begins with. */
#define WHORL__DEQUE_SIZE 256

struct whorl__deque {
    struct whorl__forks forks; /* first: what the inline functions see */
    struct whorl__spinlock lock;
    /* Under the lock. `task`: whose forks these are. `aside`: it does not run. */
    struct whorl_task *task;
    bool aside;
    uint16_t bound;                  /* as the task's; written under the lock, others read it, relaxed, to see whether to ask */
    struct whorl_fork **base, **end; /* the slots, one before base among them; the owner moves them elsewhere, under the lock */
    int stack_class;                 /* of the task */
    /* Under the runtime's aside_lock. */
    bool listed;
    struct whorl__deque *before, *after;

    struct whorl__deque *next; /* of free deques */
    struct whorl__deque *made; /* of all: constant */
    struct whorl_fork *first_slots[1 + WHORL__DEQUE_SIZE];
};

/* Is there something to take? A moment old. Any thread. */
static inline bool whorl__deque_filled(const struct whorl__deque *d)
{
    return whorl__load_relaxed(&d->forks.head) < whorl__load_relaxed(&d->forks.tail);
}

/* The forks of a task change with the task that runs: `next` is the deque of the one that comes, NULL if it has none. */
void whorl__deque_change(struct whorl__worker *w, struct whorl__deque *next);
/* The running task, whose deque this is, was bound to a worker, or (0) no longer is. */
void whorl__deque_bind(struct whorl__deque *d, uint16_t bound);
/* The forks and checkpoints of the running task go the slow way, which aborts while it must not suspend; or as usual again. */
void whorl__forks_forbid(struct whorl__worker *w, struct whorl_task *t);
void whorl__forks_allow(struct whorl__worker *w, struct whorl_task *t);
/* The running task ends and gives its deque back. Aborts if something is left in it. */
void whorl__deque_release(struct whorl__worker *w, struct whorl_task *t);
void whorl__deques_free(struct whorl__runtime *rt);

/* Could whorl__fork_steal find something? */
bool whorl__forks_anywhere(const struct whorl__worker *w);
/* Takes the oldest fork of somebody's and returns a task, with its stack, that runs it: a strand. NULL: nothing was to be had. */
struct whorl_task *whorl__fork_steal(struct whorl__worker *w);

/* A strand: the part of a task that runs a fork which was taken. It has a record and a stack of its own, so it can wait by itself, but
 * no handle: to the program it is the task `t->root`. */

/* The end of strand `t`: returns who waits in the sync, or NULL. */
struct whorl_task *whorl__strand_end(struct whorl__worker *w, struct whorl_task *t);
/* Passes a request to the strands of `t` that are under way. Any thread. */
void whorl__strands_cancel(struct whorl_task *t, uint32_t bit);

/* As `low`, above everything: each sync goes the slow way. */
#define WHORL__ALWAYS_LOW ((const char *)UINTPTR_MAX)

/* What a thread sees that is no worker; each worker has a copy, for tasks without a deque. A fork on it goes the slow way. */
extern struct whorl__forks whorl__forks_nobody;
/* What the inline functions see from now on, on this thread (runtime/current.c). */
void whorl__set_forks(struct whorl__forks *forks);

#endif
