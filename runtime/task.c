/* SPDX-License-Identifier: MIT */
/* The life of a task: its record, its handle, its end. */
#include "runtime/foreign.h"
#include "runtime/fork_child.h"
#include "runtime/record.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include "runtime/watch.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <whorl/run.h>

/* A task that ends and is joined lets its joiner go on at once, without a round through the queue; this many times in a row, when
 * the joiner ends too and is joined, and so on. */
#define HANDOFFS_MAX 3

/* A dump may be reading it: as atomic bytes, and the last stays 0. */
void whorl__set_name(struct whorl_task *t, const char *name)
{
    char *to = whorl__rare(t)->name;
    size_t length = strnlen(name, WHORL__NAME_SIZE - 1);

    for (size_t i = 0; i < WHORL__NAME_SIZE - 1; i++)
        whorl__store_relaxed(&to[i], i < length ? name[i] : 0);
    whorl__add_trait(t, WHORL__NAMED);
}

static void drop_name(struct whorl_task *t)
{
    whorl__set_name(t, "");
    whorl__store_relaxed(&t->traits, (uint8_t)0);
}

static int class_of(const struct whorl__runtime *rt, const struct whorl_spawn_options *o)
{
    return o->stack_size ? whorl__stack_class(o->stack_size) : rt->config.stack_class;
}

/* Can a task be spawned so? `w` is the caller, NULL outside. NULL: yes; else what is wrong. */
static const char *what_is_wrong(const struct whorl__runtime *rt, const struct whorl__worker *w,
                                 const struct whorl_spawn_options *o)
{
    if (o->size != sizeof *o)
        whorl__misuse("whorl_spawn_options.size is %zu: set it to sizeof(struct whorl_spawn_options), %zu", o->size, sizeof *o);
    if (class_of(rt, o) < 0)
        return "the option stack_size is too large";
    if (o->worker < 0 || o->worker > rt->worker_count)
        return "the option worker names none of this runtime";
    if (o->pinned && !o->worker && !w)
        return "the option pinned needs a worker outside of tasks";
    return NULL;
}

static bool apply_options(struct whorl__runtime *rt, struct whorl__worker *w, struct whorl_task *t,
                          const struct whorl_spawn_options *o)
{
    if (what_is_wrong(rt, w, o))
        return false;
    t->stack_class = (uint8_t)class_of(rt, o);
    if (o->pinned)
        whorl__bind(t, o->worker ? o->worker : WHORL_WORKER(w->index));
    if (o->name)
        whorl__set_name(t, o->name);
    return true;
}

/* `w` may be another runtime's, or NULL. */
static void put_record(struct whorl__worker *w, struct whorl_task *t)
{
    if (w && w->runtime == whorl__runtime_of(t))
        whorl__record_put(w, t);
    else
        whorl__record_put_outside(t);
}

/* Inline for the hot path of whorl_spawn. */
static inline struct whorl_task *new_task(struct whorl__runtime *rt, struct whorl__worker *w, whorl_fn fn, void *arg,
                                          const struct whorl_spawn_options *options, const char *where)
{
    struct whorl_task *t = w ? whorl__record_get(w) : whorl__record_get_outside(rt);

    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    t->stack_class = (uint8_t)rt->config.stack_class;
    if (__builtin_expect(t->traits, 0)) /* of the task before */
        drop_name(t);
    whorl__store_relaxed(&t->latch, (uintptr_t)0);
    whorl__store_relaxed(&t->cancel, (uint8_t)0);
    whorl__store_relaxed(&t->where, where);
    if (__builtin_expect(options != NULL, 0) && !apply_options(rt, w, t, options)) {
        put_record(w, t);
        return NULL;
    }
    return t;
}

struct whorl_task *whorl__task_new(struct whorl__runtime *rt, struct whorl__worker *w, whorl_fn fn, void *arg,
                                   const struct whorl_spawn_options *options, const char *where)
{
    return new_task(rt, w, fn, arg, options, where);
}

static void drop_deadline(struct whorl_task *t)
{
    struct whorl__rare *rare = whorl__rare(t);

    whorl__timer_stop(&rare->deadline);
    whorl__store_relaxed(&rare->deadline.heap, NULL);
    whorl__store_relaxed(&rare->deadline_left, (whorl_ns)0);
}

/* What the program has put into the rare half. What is deferred may suspend: the worker is another one then. */
static struct whorl__worker *unload(struct whorl__worker *w, struct whorl_task *t)
{
    const struct whorl__rare *rare = whorl__rare(t);

    do {
        if (rare->defers) {
            whorl__defers_run(t);
            w = whorl__worker();
        }
        if (rare->locals)
            whorl__locals_end(t);
    } while (rare->defers || rare->locals); /* a value's drop may have come upon something */
    return w;
}

/* What few tasks have besides a record, a stack and a result. The name stays as long as the handle. */
static void drop_traits(struct whorl__worker *w, struct whorl_task *t)
{
    if (__builtin_expect(!w, 0))
        whorl__dead(NULL);
    if (t->traits & (WHORL__BOUND | WHORL__PINNED | WHORL__NO_SUSPEND))
        whorl__pin_end(t);
    if (t->traits & WHORL__LADEN) {
        whorl__generators_end(t);
        whorl__scopes_end(t);
    }
    if (t->traits & WHORL__DATED)
        drop_deadline(t);
    if (t->deque)
        whorl__deque_release(w, t);
    whorl__store_relaxed(&t->traits, (uint8_t)(t->traits & WHORL__NAMED));
}

/* Who was in the latch is a task, which is returned, or a watch. */
static inline struct whorl_task *tell_waiter(uintptr_t waiter)
{
    if (__builtin_expect(waiter & WHORL__LATCH_WATCH, 0)) {
        struct whorl__watch *watch = (struct whorl__watch *)(waiter - WHORL__LATCH_WATCH);

        watch->ended(watch);
        return NULL;
    }
    return (struct whorl_task *)waiter;
}

/* Ends a plain task but for its stack; returns who waited for it, if that is a task. `scoped`: it is in a scope, all else that sets it
 * apart is undone. */
__attribute__((always_inline)) static inline struct whorl_task *finish(struct whorl__worker *w, struct whorl_task *t,
                                                                       intptr_t result, bool scoped)
{
    uintptr_t waiter;

    t->stack = NULL;
    t->result = result;
    whorl__store_relaxed(&t->wait, WHORL__WAIT_NONE);
    whorl__store_relaxed(&t->state, WHORL__ENDED);
    if (__builtin_expect(t == whorl__load_relaxed(&w->runtime->main), 0)) {
        w->runtime->result = result;
        whorl__store_relaxed(&w->runtime->main, NULL);
        whorl__runtime_end(w->runtime);
    }
    /* Release of the result, acquire of a waiter's saved registers; partners: whorl__latch_wait, publish_latch. From here on the
     * record is the joiner's, or the scope's. */
    waiter = scoped ? (uintptr_t)whorl__scope_leave(w, t, result) : whorl__xchg_seq_cst(&t->latch, (uintptr_t)WHORL__LATCH_OPEN);
    if (waiter == WHORL__LATCH_DETACHED)
        whorl__record_put(w, t);
    else if (waiter == WHORL__LATCH_THREAD)
        whorl__foreign_wake(w->runtime, &t->latch);
    whorl__pause_at(END_COUNT);
    /* Release: pairs with the fence in whorl__quiet; what this task spawned is counted there too. */
    whorl__store_release(&w->stats.finished, w->stats.finished + 1);
    return waiter > WHORL__LATCH_THREAD ? tell_waiter(waiter) : NULL;
}

/* Ends a strand, or a task that is not plain, likewise. The worker may be another one then, see unload. */
static struct whorl_task *finish_special(struct whorl__worker *w, struct whorl_task *t, intptr_t result)
{
    bool scoped;

    w = unload(w, t);
    scoped = t->traits & WHORL__LADEN && whorl__rare(t)->scope;
    drop_traits(w, t);
    if (!scoped) /* else the scope may want to know how it failed */
        whorl__failure_end(t);
    t->stack = NULL;
    return t->root ? whorl__strand_end(w, t) : finish(w, t, result, scoped);
}

void whorl__task_fail(struct whorl__worker *w, struct whorl_task *t, intptr_t result)
{
    struct whorl_task *waiter = t->traits ? finish_special(w, t, result) : finish(w, t, result, false);

    if (waiter)
        whorl__ready_here(w, waiter);
}

/* May this worker not go straight on with `t`? */
static inline bool bound_elsewhere(const struct whorl__worker *w, const struct whorl_task *t)
{
    return __builtin_expect(t->bound, 0) && t->bound != WHORL_WORKER(w->index);
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

    w = whorl__worker();
    if (__builtin_expect(t->traits, 0)) {
        waiter = finish_special(w, t, result);
        w = whorl__worker();
    } else {
        waiter = finish(w, t, result, false);
    }
    *worker = w;
    if (waiter && (w->budget <= 0 || bound_elsewhere(w, waiter) || ++w->handoffs > HANDOFFS_MAX)) {
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

static void ready_where_wanted(struct whorl__worker *w, struct whorl_task *t, const struct whorl_spawn_options *options)
{
    if (!t->bound && options->worker && options->worker - 1 != w->index)
        whorl__ready_there(w->runtime, options->worker - 1, t);
    else
        whorl__ready_here(w, t);
}

/* A new task, which nobody else knows, becomes ready for the first time. */
static inline void start(struct whorl__worker *w, struct whorl_task *t, const struct whorl_spawn_options *options)
{
    whorl__count(&w->stats.spawned, 1);
    if (__builtin_expect(options != NULL, 0))
        ready_where_wanted(w, t, options);
    else
        whorl__ready_free(w, t);
    /* Once it is queued: whorl__runtime_end sets the flag, fences, and looks at all records, ours among them or not. */
    if (__builtin_expect(whorl__load_relaxed(&w->runtime->ending), 0))
        whorl__runtime_spawned_late(w->runtime, t);
}

void whorl__task_start(struct whorl__worker *w, struct whorl_task *t, const struct whorl_spawn_options *options)
{
    start(w, t, options);
}

int whorl__spawn_failed(const struct whorl__worker *w, const struct whorl_spawn_options *options, const char *where)
{
    const char *wrong = options ? what_is_wrong(w->runtime, w, options) : NULL;

    return whorl__failed_at(wrong ? -EINVAL : -ENOMEM, "spawn at", where, wrong ? wrong : "no memory for another task");
}

struct whorl_task *whorl_spawn_at(whorl_fn fn, void *arg, const struct whorl_spawn_options *options, const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *self = whorl__self("whorl_spawn", &w), *t;

    if (!fn)
        whorl__misuse("whorl_spawn was given no function");
    t = new_task(w->runtime, w, fn, arg, options, where);
    if (__builtin_expect(!t, 0)) {
        whorl__spawn_failed(w, options, where);
        return NULL;
    }
    if (__builtin_expect(self->traits & WHORL__LADEN, 0))
        whorl__locals_inherit(t, self);
    start(w, t, options);
    return t;
}

/* Of a record that is free, or is the dead parent's. */
__attribute__((noinline, cold)) static void refuse_handle(const struct whorl_task *t, const char *call)
{
    if (!whorl__runtime_of(t))
        whorl__dead(call);
    whorl__misuse("%s was given a handle that was joined or detached before: use each handle once", call);
}

void whorl__check_handle(const struct whorl_task *t, const char *call)
{
    if (__builtin_expect(!t, 0))
        whorl__misuse("%s was given NULL: look at what whorl_spawn returned", call);
    if (__builtin_expect(whorl__load_relaxed(&t->state) == WHORL__FREE, 0))
        refuse_handle(t, call);
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
            whorl__name_of(t), t->where);
    put_record(w, t);
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
    whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__CANCEL); /* C1 of wait.c */
    whorl__interrupt(t);
    if (whorl__load_relaxed(&t->deque)) /* else it has none */
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
    return whorl__name_of(t);
}

bool whorl__quiet(struct whorl__runtime *rt)
{
    uint64_t finished = 0, spawned;

    /* Finished before spawned: see "Ending" in scheduler.c. */
    for (int i = 0; i < rt->worker_count; i++)
        finished += whorl__load_relaxed(&rt->workers[i].stats.finished);
    whorl__pause_at(END_SUMS);
    whorl__fence_seq_cst();
    whorl__spin_lock(&rt->inbox.lock);
    spawned = rt->posted;
    whorl__spin_unlock(&rt->inbox.lock);
    for (int i = 0; i < rt->worker_count; i++)
        spawned += whorl__load_relaxed(&rt->workers[i].stats.spawned);
    return finished == spawned;
}
