/* SPDX-License-Identifier: MIT */
/* The memory of task records: slabs of them, mapped when needed and unmapped with the runtime. A slab is aligned to its size, so that
 * what all its records share, and the rare half of each, is found from a record's address without a pointer in each. */
#ifndef WHORL_RUNTIME_RECORD_H
#define WHORL_RUNTIME_RECORD_H

#include "runtime/error.h"
#include "runtime/worker.h"
#include <stddef.h>

#define WHORL__NAME_SIZE 24

struct whorl__defer;
struct whorl__locals;

/* The half of a record that few tasks touch. A page of these that nobody touched costs no memory, so all of it reads as zeros when new,
 * and is left so by tasks that end. */
struct whorl__rare {
    char name[WHORL__NAME_SIZE]; /* for dumps, atomic bytes, relaxed */
    struct whorl__timer deadline;
    whorl_ns deadline_left; /* WHORL_NEVER less the deadline. Guarded by the lock of the deadline timer's heap while that runs, else
                               the task's own; thieves of its forks read it, relaxed */
    const char *pinned_at;  /* where the outermost pin region began; the task's own */
    struct whorl_task *strands; /* of a task (runtime/fork.h); under its strand_lock */
    struct whorl_task *before,
        *next;                  /* of a strand, in its root's list, under its root's lock; of a task in a scope, in the scope's
                                         list, under the scope's lock */
    struct whorl_task *parent;  /* of a strand: whose fork it runs; constant while it lives */
    struct whorl_scope *scope;  /* that it was spawned into; constant while it lives */
    struct whorl_scope *scopes; /* that it has opened, the innermost first; the task's own */
    const char *scope_at,
        *opened_at;               /* where `scope` and the first of `scopes` were opened, for dumps: those lie on stacks. Atomic */
    struct whorl__defer *defers;  /* of a task, the last first; under its strand_lock */
    struct whorl__locals *locals; /* the task's own, others read it under its strand_lock */
    struct whorl_generator *generators; /* likewise, the last first */
    struct whorl__failure failure;      /* the task's own */
    struct whorl__spinlock strand_lock;
    int16_t stopped; /* the error that a scope of `scopes` ends waits with, or 0; anyone, atomic. For its strands */
    uint16_t pins;   /* pin regions that it is in, one in the other; the task's own */
};

#define WHORL__RECORD_SLAB_BYTES ((size_t)256 << 10)
/* What is made ready at a time, and what a worker keeps and passes on. */
#define WHORL__RECORD_BATCH 64
/* As many as there is room for: whole batches. */
#define WHORL__RECORDS_PER_SLAB                                                                                                    \
    ((WHORL__RECORD_SLAB_BYTES - 64) / (sizeof(struct whorl_task) + sizeof(struct whorl__rare)) / WHORL__RECORD_BATCH *            \
     WHORL__RECORD_BATCH)

struct whorl__record_slab {
    struct whorl__record_slab *next; /* constant */
    struct whorl__runtime *runtime;  /* constant */
    size_t number;                   /* of slabs before it; constant */
    uint32_t used; /* records that were ever made ready: those before it. Written under record_lock; anyone, atomic */
    struct whorl_task tasks[WHORL__RECORDS_PER_SLAB];
    struct whorl__rare rare[WHORL__RECORDS_PER_SLAB];
};

_Static_assert(sizeof(struct whorl__record_slab) <= WHORL__RECORD_SLAB_BYTES, "a slab holds its records");

static inline struct whorl__record_slab *whorl__slab_of(const void *record)
{
    return (struct whorl__record_slab *)((uintptr_t)record & ~(WHORL__RECORD_SLAB_BYTES - 1));
}

static inline struct whorl__runtime *whorl__runtime_of(const struct whorl_task *t)
{
    return whorl__slab_of(t)->runtime;
}

static inline struct whorl__rare *whorl__rare(const struct whorl_task *t)
{
    struct whorl__record_slab *slab = whorl__slab_of(t);

    return &slab->rare[t - slab->tasks];
}

/* What the last failed call of a task has left is dropped: it ends, or has ended. Without an error the rest does not count. */
static inline void whorl__failure_end(struct whorl_task *t)
{
    struct whorl__failure *f = &whorl__rare(t)->failure;

    f->err = 0;
    f->ended_by = 0;
    if (__builtin_expect(f->texts != NULL, 0))
        whorl__failure_free(f);
}

/* A timer in a record is its sleep or its deadline. */
static inline bool whorl__is_deadline(const struct whorl__timer *timer)
{
    return (const char *)timer >= (const char *)whorl__slab_of(timer)->rare;
}

static inline struct whorl_task *whorl__task_of_deadline(struct whorl__timer *deadline)
{
    struct whorl__record_slab *slab = whorl__slab_of(deadline);
    struct whorl__rare *rare = (struct whorl__rare *)((char *)deadline - offsetof(struct whorl__rare, deadline));

    return &slab->tasks[rare - slab->rare];
}

static inline whorl_ns whorl__deadline_of(const struct whorl_task *t)
{
    return WHORL_NEVER - whorl__load_relaxed(&whorl__rare(t)->deadline_left);
}

/* Of a new task, or the running one. */
static inline void whorl__add_trait(struct whorl_task *t, uint8_t trait)
{
    whorl__store_relaxed(&t->traits, (uint8_t)(t->traits | trait));
}

static inline void whorl__drop_trait(struct whorl_task *t, uint8_t trait)
{
    whorl__store_relaxed(&t->traits, (uint8_t)(t->traits & ~trait));
}

/* The task's own, or its maker's. Not below zero: a time that has passed is as good as any other. */
static inline void whorl__set_deadline_of(struct whorl_task *t, whorl_ns when)
{
    whorl__add_trait(t, WHORL__DATED);
    whorl__store_relaxed(&whorl__rare(t)->deadline_left, WHORL_NEVER - (when < 0 ? 0 : when));
}

/* The name of a task that may end meanwhile. */
static inline void whorl__copy_name(const struct whorl_task *t, char name[WHORL__NAME_SIZE])
{
    for (size_t i = 0; i < WHORL__NAME_SIZE; i++)
        name[i] = whorl__load_relaxed(&whorl__rare(t)->name[i]);
    name[WHORL__NAME_SIZE - 1] = 0;
}

/* The name of a task that nobody else may end just now, "" when it has none. */
static inline const char *whorl__name_of(const struct whorl_task *t)
{
    return whorl__rare(t)->name;
}

/* Free records that a worker keeps; what is more goes to the runtime, a batch at a time. */
#define WHORL__RECORDS_KEPT (2 * WHORL__RECORD_BATCH)

/* The slow halves of the two that follow. */
bool whorl__records_refill(struct whorl__worker *w);
void whorl__records_spill(struct whorl__worker *w);

/* A record for a task, all zeros or as the last task left it. NULL: no memory, or none is allowed. */
static inline struct whorl_task *whorl__record_get(struct whorl__worker *w)
{
    struct whorl_task *t;

    if (__builtin_expect(!w->records, 0) && !whorl__records_refill(w))
        return NULL;
    t = w->records;
    w->records = t->next;
    w->record_count--;
    return t;
}

/* Takes back a record that nobody has a handle to. */
static inline void whorl__record_put(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__store_relaxed(&t->state, WHORL__FREE);
    t->next = w->records;
    w->records = t;
    if (__builtin_expect(++w->record_count > WHORL__RECORDS_KEPT, 0))
        whorl__records_spill(w);
}

/* The same on a thread that is no worker of the runtime. */
struct whorl_task *whorl__record_get_outside(struct whorl__runtime *rt);
void whorl__record_put_outside(struct whorl_task *t);

/* Unmaps them all. */
void whorl__records_free(struct whorl__runtime *rt);

#endif
