/* SPDX-License-Identifier: MIT */
/* The life of a task: its record, its handle, its end. */
#include "runtime/foreign.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <whorl/run.h>

/* A task that ends and is joined lets its joiner go on at once, without a round through the queue; this many times in a row, when
 * the joiner ends too and is joined, and so on. */
#define HANDOFFS_MAX 3

/* Free records that a worker keeps; what is more goes to the runtime, half of it at a time. */
#define RECORDS_MAX (2 * WHORL__RECORDS_PER_SLAB)

static struct whorl_task *new_slab(struct whorl__runtime *rt)
{
    struct whorl__record_slab *slab = aligned_alloc(_Alignof(struct whorl__record_slab), sizeof *slab);
    struct whorl__record_slab *before;

    if (!slab)
        return NULL;
    memset(slab, 0, sizeof *slab);
    for (int i = 0; i < WHORL__RECORDS_PER_SLAB; i++) {
        struct whorl_task *t = &slab->tasks[i];

        t->runtime = rt;
        t->sleep.kind = WHORL__TIMER_SLEEP;
        t->deadline.kind = WHORL__TIMER_DEADLINE;
        t->deadline_at = WHORL_NEVER;
        t->next = i + 1 < WHORL__RECORDS_PER_SLAB ? t + 1 : NULL;
    }
    before = whorl__load_relaxed(&rt->slabs);
    do {
        slab->next = before;
    } while (!whorl__cas_acq_rel(&rt->slabs, &before, slab)); /* release: pairs with the acquire in dumps */
    return slab->tasks;
}

/* A list of free records: as many as there are in a slab, or fewer. */
static struct whorl_task *take_records(struct whorl__runtime *rt, uint32_t max, uint32_t *n)
{
    struct whorl_task *first, *last;

    whorl__spin_lock(&rt->record_lock);
    first = last = rt->records;
    for (*n = first ? 1 : 0; last && *n < max && last->next; ++*n)
        last = last->next;
    if (last) {
        rt->records = last->next;
        last->next = NULL;
    }
    whorl__spin_unlock(&rt->record_lock);
    return first;
}

static void give_records(struct whorl__runtime *rt, struct whorl_task *first, struct whorl_task *last)
{
    whorl__spin_lock(&rt->record_lock);
    last->next = rt->records;
    rt->records = first;
    whorl__spin_unlock(&rt->record_lock);
}

static bool refill(struct whorl__runtime *rt, struct whorl__worker *w)
{
    w->records = take_records(rt, WHORL__RECORDS_PER_SLAB, &w->record_count);
    if (!w->records) {
        w->records = new_slab(rt);
        w->record_count = w->records ? WHORL__RECORDS_PER_SLAB : 0;
    }
    return w->records != NULL;
}

static struct whorl_task *get_record_outside(struct whorl__runtime *rt)
{
    uint32_t n;
    struct whorl_task *t = take_records(rt, 1, &n);

    if (t)
        return t;
    t = new_slab(rt);
    if (t)
        give_records(rt, t->next, t + WHORL__RECORDS_PER_SLAB - 1);
    return t;
}

static inline struct whorl_task *get_record(struct whorl__runtime *rt, struct whorl__worker *w)
{
    struct whorl_task *t;

    if (!w)
        return get_record_outside(rt);
    if (__builtin_expect(!w->records, 0) && !refill(rt, w))
        return NULL;
    t = w->records;
    w->records = t->next;
    w->record_count--;
    return t;
}

void whorl__task_free(struct whorl__runtime *rt, struct whorl__worker *w, struct whorl_task *t)
{
    whorl__store_relaxed(&t->state, WHORL__FREE);
    if (!w) {
        give_records(rt, t, t);
        return;
    }
    t->next = w->records;
    w->records = t;
    if (__builtin_expect(++w->record_count > RECORDS_MAX, 0)) {
        struct whorl_task *last = t;

        for (int i = 1; i < WHORL__RECORDS_PER_SLAB; i++)
            last = last->next;
        w->records = last->next;
        w->record_count -= WHORL__RECORDS_PER_SLAB;
        give_records(rt, t, last);
    }
}

/* A dump may be reading it: as atomic bytes, and the last stays 0. */
static void set_name(struct whorl_task *t, const char *name)
{
    size_t length = strnlen(name, sizeof t->name - 1);

    for (size_t i = 0; i < sizeof t->name - 1; i++)
        whorl__store_relaxed(&t->name[i], i < length ? name[i] : 0);
}

static bool apply_options(struct whorl__runtime *rt, struct whorl_task *t, const struct whorl_spawn_options *o)
{
    int class = o->stack_size ? whorl__stack_class(o->stack_size) : rt->config.stack_class;

    if (o->size != sizeof *o)
        whorl__misuse("whorl_spawn_options.size is %zu: set it to sizeof(struct whorl_spawn_options), %zu", o->size, sizeof *o);
    if (class < 0 || o->worker < 0 || o->worker > rt->worker_count)
        return false;
    t->stack_class = (uint8_t) class;
    if (o->name)
        set_name(t, o->name);
    return true;
}

/* Inline for the hot path of whorl_spawn. */
static inline struct whorl_task *new_task(struct whorl__runtime *rt, struct whorl__worker *w, whorl_fn fn, void *arg,
                                          const struct whorl_spawn_options *options, const char *where)
{
    struct whorl_task *t = get_record(rt, w);

    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    t->stack_class = (uint8_t)rt->config.stack_class;
    if (__builtin_expect(t->name[0], 0))
        set_name(t, "");
    whorl__store_relaxed(&t->latch, (uintptr_t)0);
    whorl__store_relaxed(&t->cancel, 0u);
    whorl__store_relaxed(&t->where, where);
    if (__builtin_expect(options != NULL, 0) && !apply_options(rt, t, options)) {
        whorl__task_free(rt, w, t);
        return NULL;
    }
    return t;
}

struct whorl_task *whorl__task_new(struct whorl__runtime *rt, struct whorl__worker *w, whorl_fn fn, void *arg,
                                   const struct whorl_spawn_options *options, const char *where)
{
    return new_task(rt, w, fn, arg, options, where);
}

/* What a task has besides its record, its stack and its result. */
static inline void drop_belongings(struct whorl__worker *w, struct whorl_task *t)
{
    if (whorl__load_relaxed(&t->deadline.heap)) {
        whorl__timer_stop(&t->deadline);
        whorl__store_relaxed(&t->deadline.heap, NULL);
    }
    whorl__store_relaxed(&t->deadline_at, WHORL_NEVER);
    if (__builtin_expect(t->deque != NULL, 0))
        whorl__deque_release(w, t);
    t->stack = NULL;
}

/* Ends the task but for its stack; returns who waited for it, if that is a task. */
static inline struct whorl_task *finish(struct whorl__worker *w, struct whorl_task *t, intptr_t result)
{
    uintptr_t waiter;

    drop_belongings(w, t);
    if (__builtin_expect(t->root != NULL, 0))
        return whorl__strand_end(w, t);
    t->result = result;
    whorl__store_relaxed(&t->wait, WHORL__WAIT_NONE);
    whorl__store_relaxed(&t->state, WHORL__ENDED);
    if (__builtin_expect(t == whorl__load_relaxed(&w->runtime->main), 0)) {
        w->runtime->result = result;
        whorl__store_relaxed(&w->runtime->main, NULL);
        whorl__runtime_end(w->runtime);
    }
    /* Release of the result, acquire of a waiter's saved registers; partners: whorl__latch_wait, publish_latch. From here on the
     * record is the joiner's. */
    waiter = whorl__xchg_seq_cst(&t->latch, (uintptr_t)WHORL__LATCH_OPEN);
    if (waiter == WHORL__LATCH_DETACHED)
        whorl__task_free(w->runtime, w, t);
    else if (waiter == WHORL__LATCH_THREAD)
        whorl__foreign_wake(&t->latch);
    /* Release: pairs with the fence in whorl__quiet; what this task spawned is counted there too. */
    whorl__store_release(&w->stats.finished, w->stats.finished + 1);
    return waiter > WHORL__LATCH_THREAD ? (struct whorl_task *)waiter : NULL;
}

void whorl__task_fail(struct whorl__worker *w, struct whorl_task *t, intptr_t result)
{
    struct whorl_task *waiter = finish(w, t, result);

    if (waiter)
        whorl__ready_here(w, waiter);
}

/* All that a task does; returns where its worker goes on. */
static struct whorl__context *live(struct whorl__worker **worker)
{
    struct whorl__worker *w = *worker;
    struct whorl_task *t, *waiter;
    struct whorl__stack *stack;
    intptr_t result;

    whorl__after_switch(w);
    t = w->current;
    stack = t->stack;
    result = t->fn(t->arg);

    *worker = w = whorl__worker();
    waiter = finish(w, t, result);
    if (waiter && (w->budget <= 0 || ++w->handoffs > HANDOFFS_MAX)) {
        whorl__ready_here(w, waiter);
        waiter = NULL;
    }
    return whorl__end(w, stack, waiter);
}

WHORL__CONTEXT_ENTRY void whorl__task_entry(void *arg)
{
    struct whorl__worker *w = arg;
    struct whorl__context *next = live(&w);

    whorl__context_exit(next, w);
}

struct whorl_task *whorl_spawn_at(whorl_fn fn, void *arg, const struct whorl_spawn_options *options, const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t;

    whorl__self("whorl_spawn", &w);
    if (!fn)
        whorl__misuse("whorl_spawn was given no function");
    t = new_task(w->runtime, w, fn, arg, options, where);
    if (__builtin_expect(!t, 0))
        return NULL;
    whorl__count(&w->stats.spawned, 1);
    if (__builtin_expect(options != NULL, 0) && options->worker && options->worker - 1 != w->index)
        whorl__ready_there(w->runtime, options->worker - 1, t);
    else
        whorl__ready_here(w, t);
    /* After it was queued: whorl__runtime_end sets the flag, fences, and looks at all records, ours among them or not. */
    if (__builtin_expect(whorl__load_relaxed(&w->runtime->ending), 0))
        whorl__runtime_spawned_late(w->runtime, t);
    return t;
}

void whorl__check_handle(const struct whorl_task *t, const char *call)
{
    if (__builtin_expect(!t, 0))
        whorl__misuse("%s was given NULL: look at what whorl_spawn returned", call);
    if (__builtin_expect(whorl__load_relaxed(&t->state) == WHORL__FREE, 0))
        whorl__misuse("%s was given a handle that was joined or detached before: use each handle once", call);
}

void whorl_detach(struct whorl_task *t)
{
    uintptr_t expected = 0;
    struct whorl__worker *w = whorl__worker();

    whorl__check_handle(t, "whorl_detach");
    /* Release or acquire: pairs with the exchange in finish; whoever comes second frees the record. */
    if (whorl__cas_seq_cst(&t->latch, &expected, (uintptr_t)WHORL__LATCH_DETACHED))
        return;
    if (expected != WHORL__LATCH_OPEN)
        whorl__misuse(
            "whorl_detach was given the handle of task \"%s\" (spawned at %s), which is being joined or was detached before",
            t->name, t->where);
    whorl__task_free(t->runtime, w && w->runtime == t->runtime ? w : NULL, t);
}

int whorl_result(struct whorl_task *t, intptr_t *result)
{
    whorl__check_handle(t, "whorl_result");
    /* Acquire: pairs with the exchange in finish. */
    if (whorl__load_acquire(&t->latch) != WHORL__LATCH_OPEN)
        return -EINPROGRESS;
    if (result)
        *result = t->result;
    return 0;
}

void whorl_cancel(struct whorl_task *t)
{
    whorl__check_handle(t, "whorl_cancel");
    whorl__or_seq_cst(&t->cancel, (uint32_t)WHORL__CANCEL); /* C1 of wait.c */
    whorl__interrupt(t);
    whorl__strands_cancel(t, WHORL__CANCEL);
}

struct whorl_task *whorl_self(void)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_self", &w);

    return t->root ? t->root : t;
}

int whorl_in_task(void)
{
    struct whorl__worker *w = whorl__worker();

    return w && w->current;
}

const char *whorl_name(const struct whorl_task *t)
{
    whorl__check_handle(t, "whorl_name");
    return t->name;
}

bool whorl__quiet(struct whorl__runtime *rt)
{
    uint64_t finished = 0, spawned;

    /* Finished before spawned: see "Ending" in scheduler.c. */
    for (int i = 0; i < rt->worker_count; i++)
        finished += whorl__load_relaxed(&rt->workers[i].stats.finished);
    whorl__fence_seq_cst();
    whorl__spin_lock(&rt->inbox.lock);
    spawned = rt->posted;
    whorl__spin_unlock(&rt->inbox.lock);
    for (int i = 0; i < rt->worker_count; i++)
        spawned += whorl__load_relaxed(&rt->workers[i].stats.spawned);
    return finished == spawned;
}
