/* SPDX-License-Identifier: MIT */
/* A worker's queue of ready tasks: first in, first out; the owner pushes at the tail, the owner and thieves take from the head.
 *
 * The ring is the queue of Go's and Tokio's schedulers: `tail` is the owner's, `head` moves by compare-and-exchange, once for any
 * number of tasks. Both only grow, so a slot between them cannot change under a thief whose exchange then succeeds. What does not
 * fit waits in `overflow`, and as long as something waits there pushes go behind it: the order stays that of the pushes.
 *
 * Tasks that are bound to the owner are in a list of its own, which thieves do not see. Each notes what `tail` was when it was queued,
 * its place: its turn comes when `head` has got there. So both kinds together are first in, first out too. */
#ifndef WHORL_RUNTIME_RUNQ_H
#define WHORL_RUNTIME_RUNQ_H

#include "runtime/atomic.h"
#include "runtime/fifo.h"
#include "runtime/pause.h"
#include "runtime/task.h"

#ifndef WHORL__RUNQ_SIZE
#define WHORL__RUNQ_SIZE 1024u /* a power of two; tests of the edges make it small */
#endif

/* Cache lines of stack to fetch for a task whose turn is next. */
#define WHORL__RUNQ_PREFETCH 8

struct whorl__runq {
    uint64_t head __attribute__((aligned(64))); /* any thread, by exchange */
    uint64_t tail __attribute__((aligned(64))); /* the owner writes, any thread reads */
    bool alone;                                 /* constant: there are no thieves, the owner's pop needs no exchange, and bound
                                                   tasks no list */
    struct whorl_task *bound, *bound_last;      /* the owner's */
    uint32_t bound_count;                       /* the owner writes, any thread reads */
    struct whorl_task *slots[WHORL__RUNQ_SIZE];
    struct whorl__fifo overflow;
};

/* How many tasks are queued that anybody may take; a moment old when other threads are at it. Any thread. */
static inline uint32_t whorl__runq_length(const struct whorl__runq *q)
{
    uint64_t head = whorl__load_relaxed(&q->head), tail = whorl__load_relaxed(&q->tail);

    return (tail > head ? (uint32_t)(tail - head) : 0) + whorl__load_relaxed(&q->overflow.count);
}

/* Owner only. */
static inline void whorl__runq_push(struct whorl__runq *q, struct whorl_task *t)
{
    uint64_t tail = whorl__load_relaxed(&q->tail);

    /* Acquire: pairs with the exchange of `head` by a thief, whose reads of the slots come before we overwrite them. */
    if (__builtin_expect(tail - whorl__load_acquire(&q->head) < WHORL__RUNQ_SIZE && whorl__fifo_empty(&q->overflow), 1)) {
        whorl__store_relaxed(&q->slots[tail % WHORL__RUNQ_SIZE], t);
        whorl__pause_at(QUEUE_PUSH);
        /* Release: pairs with the acquire of `tail` in steal; the task and its slot are visible there. */
        whorl__store_release(&q->tail, tail + 1);
    } else {
        whorl__fifo_push(&q->overflow, t);
    }
}

/* Puts a list of tasks at the tail, in order. Owner only; there must be room. */
static inline void whorl__runq_append(struct whorl__runq *q, struct whorl_task *list)
{
    uint64_t tail = whorl__load_relaxed(&q->tail);

    for (; list; list = list->next)
        whorl__store_relaxed(&q->slots[tail++ % WHORL__RUNQ_SIZE], list);
    whorl__store_release(&q->tail, tail); /* as in push */
}

/* The task `t` is bound to the owner. Owner only. */
static inline void whorl__runq_push_bound(struct whorl__runq *q, struct whorl_task *t)
{
    if (q->alone) {
        whorl__runq_push(q, t);
        return;
    }
    t->next = NULL;
    whorl__store_relaxed(&t->object, (uintptr_t)whorl__load_relaxed(&q->tail));
    if (q->bound)
        q->bound_last->next = t;
    else
        q->bound = t;
    q->bound_last = t;
    whorl__store_relaxed(&q->bound_count, q->bound_count + 1);
}

/* The task at `next` will run soon, and with many tasks on a worker it is no longer in the nearest caches: fetches what it wakes up
 * with, the end of its stack that it was left with and what its operation has brought, and the record of the one behind it, where
 * both are told. It may have been stolen meanwhile: then nothing is gained. */
static inline void whorl__runq_prefetch(const struct whorl__runq *q, uint64_t next, uint64_t tail)
{
#if !defined(WHORL__TSAN) /* which would call the glance at a record that may be another's a race, and be right */
    if (next < tail) {
        const struct whorl_task *t = whorl__load_relaxed(&q->slots[next % WHORL__RUNQ_SIZE]);
        /* A number: a new task has no stack yet, and null plus an offset is no pointer. */
        uintptr_t stack = (uintptr_t)t->context.sp;

        for (int line = 0; line < WHORL__RUNQ_PREFETCH; line++)
            __builtin_prefetch((const void *)(stack + 64u * (unsigned)line));
        if (whorl__load_relaxed(&t->wait) == WHORL__WAIT_OP)
            __builtin_prefetch(t->op.address);
        if (next + 1 < tail) {
            t = whorl__load_relaxed(&q->slots[(next + 1) % WHORL__RUNQ_SIZE]);
            __builtin_prefetch(t);
            __builtin_prefetch(&t->op);
        }
    }
#else
    (void)q, (void)next, (void)tail;
#endif
}

__attribute__((noinline, unused)) static struct whorl_task *whorl__runq_pop_in_turn(struct whorl__runq *q);

/* The oldest task, or NULL; with `bound`, of those that are bound as well. Owner only. */
static inline struct whorl_task *whorl__runq_pop_of(struct whorl__runq *q, bool bound)
{
    uint64_t tail = whorl__load_relaxed(&q->tail);
    uint64_t head = whorl__load_relaxed(&q->head);
    struct whorl_task *list;
    uint32_t n;

    while (head != tail) {
        struct whorl_task *t = whorl__load_relaxed(&q->slots[head % WHORL__RUNQ_SIZE]);

        whorl__runq_prefetch(q, head + 1, tail);
        whorl__pause_at(QUEUE_POP);
        if (q->alone) {
            whorl__store_relaxed(&q->head, head + 1);
            return t;
        }
        if (bound && __builtin_expect(q->bound != NULL, 0))
            return whorl__runq_pop_in_turn(q);
        /* Against thieves: whoever moves `head` over a slot owns the task in it. */
        if (__builtin_expect(whorl__cas_acq_rel(&q->head, &head, head + 1), 1))
            return t;
    }
    if (bound && q->bound)
        return whorl__runq_pop_in_turn(q);
    list = whorl__fifo_take(&q->overflow, WHORL__RUNQ_SIZE / 2, &n);
    if (list)
        whorl__runq_append(q, list->next);
    return list;
}

/* The oldest task, when there are bound ones. Owner only. */
static struct whorl_task *whorl__runq_pop_in_turn(struct whorl__runq *q)
{
    struct whorl_task *t = NULL;
    uint32_t n;

    /* All of it, before what is queued from here on gets its place: or what overflowed would wait for ever. */
    if (whorl__load_relaxed(&q->head) == whorl__load_relaxed(&q->tail))
        whorl__runq_append(q, whorl__fifo_take(&q->overflow, WHORL__RUNQ_SIZE / 2, &n));
    if (whorl__load_relaxed(&q->head) < q->bound->object)
        t = whorl__runq_pop_of(q, false);
    if (t)
        return t;
    t = q->bound;
    q->bound = t->next;
    whorl__store_relaxed(&q->bound_count, q->bound_count - 1);
    return t;
}

static inline struct whorl_task *whorl__runq_pop(struct whorl__runq *q)
{
    return whorl__runq_pop_of(q, true);
}

/* Takes half of what `victim` has, rounded up, into `q`, which must be empty; returns the oldest of it, and how many were taken in
 * *n; NULL: nothing, or somebody was faster. The owner of `q` only. */
static inline struct whorl_task *whorl__runq_steal(struct whorl__runq *q, struct whorl__runq *victim, uint32_t *n)
{
    /* Acquire of `head` before `tail`: pairs with the exchanges of other takers, so that tail >= head. */
    uint64_t head = whorl__load_acquire(&victim->head);
    uint64_t tail = whorl__load_acquire(&victim->tail); /* pairs with the release in push */
    uint64_t own = whorl__load_relaxed(&q->tail);
    uint64_t half = (tail - head + 1) / 2;
    struct whorl_task *first;

    if (tail == head) {
        first = whorl__fifo_take(&victim->overflow, WHORL__RUNQ_SIZE / 2, n);
        if (first)
            whorl__runq_append(q, first->next);
        return first;
    }
    *n = 0;
    whorl__pause_at(QUEUE_STEAL);
    if (tail - head > WHORL__RUNQ_SIZE) /* `head` is old: the exchange below would fail */
        return NULL;
    first = whorl__load_relaxed(&victim->slots[head % WHORL__RUNQ_SIZE]);
    for (uint64_t i = 1; i < half; i++)
        whorl__store_relaxed(&q->slots[(own + i - 1) % WHORL__RUNQ_SIZE],
                             whorl__load_relaxed(&victim->slots[(head + i) % WHORL__RUNQ_SIZE]));
    whorl__pause_at(QUEUE_TAKE);
    /* Acquire and release: what was copied was still theirs, and is ours from here on. */
    if (!whorl__cas_acq_rel(&victim->head, &head, head + half))
        return NULL;
    *n = (uint32_t)half;
    whorl__pause_at(QUEUE_SHOW);
    whorl__store_release(&q->tail, own + half - 1); /* as in push */
    return first;
}

#endif
