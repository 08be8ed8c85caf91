/* SPDX-License-Identifier: MIT */
/* A worker's timers: a 4-ary heap (shallower than a binary one, and a node's children share cache lines) under a lock, since a
 * task may be cancelled, and so its timer taken out, by a task on another worker.
 *
 * Who takes a timer out of its heap, under the heap's lock, is the one to wake the task that waits for it. */
#ifndef WHORL_RUNTIME_TIMER_H
#define WHORL_RUNTIME_TIMER_H

#include "runtime/atomic.h"
#include <stddef.h>
#include <whorl/scope.h>

/* What stands behind a timer, its `kind`. */
enum whorl__timer_kind {
    WHORL__TIMER_RECORD, /* a task's record: its sleep or its deadline */
    WHORL__TIMER_SCOPE,  /* a scope: its deadline */
    WHORL__TIMER_GATE,   /* a task's record: the time that it selects over, besides what else may open its gate */
};

/* struct whorl__timer is in whorl/scope.h. When it is due stands in its slot of the heap. */
struct whorl__timer_slot {
    whorl_ns when;
    struct whorl__timer *timer;
};

struct whorl__timers {
    struct whorl__spinlock lock; /* guards the rest */
    uint32_t count, capacity;
    struct whorl__timer_slot *slots;
    whorl_ns next; /* of the first slot, WHORL_NEVER without one; any thread may read it, relaxed, as a hint */
};

void whorl__timers_init(struct whorl__timers *h);
void whorl__timers_fini(struct whorl__timers *h);

/* Puts `t`, which is in no heap, into `h`. 0 or -ENOMEM. Any thread. */
int whorl__timer_start(struct whorl__timers *h, struct whorl__timer *t, whorl_ns when);

/* Takes `t` out of its heap. True: it was in one, and the caller owns what it stood for. Any thread. */
bool whorl__timer_stop(struct whorl__timer *t);

/* Locks the heap that `t` is in and returns it; NULL: in none. For changing what belongs to a running timer. Any thread. */
struct whorl__timers *whorl__timer_lock(struct whorl__timer *t);

/* When `t`, which is in `h`, is due. The caller holds the lock. */
static inline whorl_ns whorl__timer_when(const struct whorl__timers *h, const struct whorl__timer *t)
{
    return h->slots[t->index - 1].when;
}

/* Takes the first timer that is due at `now` out of `h`, whose lock the caller holds; NULL: none is. */
struct whorl__timer *whorl__timers_due(struct whorl__timers *h, whorl_ns now);

/* Puts it back with a later time, as its worker does with a deadline that was moved. The caller holds the lock and took `t` out
 * just before, so there is room. */
void whorl__timers_again(struct whorl__timers *h, struct whorl__timer *t, whorl_ns when);

#endif
