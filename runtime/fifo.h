/* SPDX-License-Identifier: MIT */
/* A locked, unbounded FIFO of tasks, linked through their records: it allocates nothing and cannot be full. For work that comes
 * from elsewhere or that a run queue has no room for; each use of it is off the hot path. */
#ifndef WHORL_RUNTIME_FIFO_H
#define WHORL_RUNTIME_FIFO_H

#include "runtime/atomic.h"
#include "runtime/task.h"

struct whorl__fifo {
    struct whorl__spinlock lock; /* guards head, tail and writes of count */
    uint32_t count;              /* any thread may read it, relaxed, to see whether looking is worth while */
    struct whorl_task *head, *tail;
};

static inline bool whorl__fifo_empty(const struct whorl__fifo *q)
{
    return whorl__load_relaxed(&q->count) == 0;
}

/* Any thread. */
static inline void whorl__fifo_push(struct whorl__fifo *q, struct whorl_task *t)
{
    t->next = NULL;
    whorl__spin_lock(&q->lock);
    if (q->tail)
        q->tail->next = t;
    else
        q->head = t;
    q->tail = t;
    whorl__store_relaxed(&q->count, q->count + 1);
    whorl__spin_unlock(&q->lock);
}

/* Takes at most `max` tasks, in order; returns them as a list through `next` and their number in *n. Any thread. */
static inline struct whorl_task *whorl__fifo_take(struct whorl__fifo *q, uint32_t max, uint32_t *n)
{
    struct whorl_task *first, *last;

    *n = 0;
    if (whorl__fifo_empty(q))
        return NULL;
    whorl__spin_lock(&q->lock);
    first = last = q->head;
    if (first) {
        for (*n = 1; *n < max && last->next; ++*n)
            last = last->next;
        q->head = last->next;
        if (!q->head)
            q->tail = NULL;
        last->next = NULL;
        whorl__store_relaxed(&q->count, q->count - *n);
    }
    whorl__spin_unlock(&q->lock);
    return first;
}

#endif
