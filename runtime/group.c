/* SPDX-License-Identifier: MIT */
/* Several tasks at once (whorl/group.h): calls in a scope, and watches on tasks that run. */
#include "runtime/waiter.h"
#include "runtime/watch.h"
#include <errno.h>
#include <stdlib.h>
#include <whorl/group.h>
#include <whorl/scope.h>

/* Calls. */

/* Functions that several tasks call in turn. */
struct calls {
    const struct whorl_call *calls; /* NULL: `fn` for each item */
    whorl_fn fn;
    char *items;
    size_t size, count;
    size_t next; /* atomic: the first that nobody has begun */
    intptr_t *results;
    bool all; /* whatever the others return */
};

static intptr_t call(const struct calls *c, size_t i)
{
    return c->calls ? c->calls[i].fn(c->calls[i].arg) : c->fn(c->items + i * c->size);
}

/* A task of the scope: the next one, or one after the other. */
static intptr_t make_calls(struct calls *c, size_t most)
{
    intptr_t result = 0;

    while (result >= 0 && most-- > 0 && !whorl_cancelled()) {
        size_t i = whorl__add_relaxed(&c->next, 1);

        if (i >= c->count)
            break;
        result = call(c, i);
        if (c->results)
            c->results[i] = result;
        if (c->all)
            result = 0;
    }
    return result;
}

static intptr_t make_one(void *arg)
{
    return make_calls(arg, 1);
}

static intptr_t make_many(void *arg)
{
    return make_calls(arg, SIZE_MAX);
}

static int run_calls(struct calls *c, size_t tasks, whorl_fn task, const char *where)
{
    struct whorl_scope s;
    int err = 0;

    for (size_t i = 0; c->results && i < c->count; i++)
        c->results[i] = -ECANCELED;
    whorl_scope_open_at(&s, where);
    for (size_t i = 0; i < tasks && !err; i++)
        err = whorl_scope_spawn_at(&s, task, c, NULL, where);
    if (err == -ENOMEM)
        whorl_scope_fail(&s, err);
    return whorl_scope_close(&s);
}

int whorl_gather(intptr_t *results, const struct whorl_call *calls, size_t count)
{
    return run_calls(&(struct calls){.calls = calls, .count = count, .results = results}, count, make_one, "whorl_gather");
}

int whorl_gather_all(intptr_t *results, const struct whorl_call *calls, size_t count)
{
    return run_calls(&(struct calls){.calls = calls, .count = count, .results = results, .all = true}, count, make_one,
                     "whorl_gather_all");
}

int whorl_map(whorl_fn fn, void *items, size_t size, size_t count, size_t parallel, intptr_t *results)
{
    struct calls c = {.fn = fn, .items = items, .size = size, .count = count, .results = results};

    if (!fn || parallel == 0)
        whorl__misuse("whorl_map was given %s", fn ? "0 as how many may run at a time" : "no function");
    return run_calls(&c, count < parallel ? count : parallel, make_many, "whorl_map");
}

/* Completions. */

struct whorl__completion {
    struct whorl__watch watch;
    struct whorl_completions *of;
    struct whorl_task *task;
    struct whorl__completion *next; /* in the list of those that have ended */
    bool ended;                     /* under the lock, as `next` */
};

/* With the lock. */
static void append(struct whorl_completions *c, struct whorl__completion *one)
{
    one->next = NULL;
    one->ended = true;
    if (c->last)
        c->last->next = one;
    else
        c->first = one;
    c->last = one;
}

static void task_ended(struct whorl__watch *watch)
{
    struct whorl__completion *one = (struct whorl__completion *)watch;
    struct whorl_completions *c = one->of;
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__waiters_lock(&c->waiters);
    append(c, one);
    whorl__waiters_claim(&c->waiters, &end);
    whorl__waiters_unlock(&c->waiters);
    whorl__waiters_open(chain);
}

int whorl_completions_open(struct whorl_completions *c, struct whorl_task *const *tasks, size_t count)
{
    *c = (struct whorl_completions){.all = calloc(count ? count : 1, sizeof *c->all), .count = count, .left = count};
    if (!c->all)
        return whorl__failed(-ENOMEM, "wait for tasks", NULL);
    for (size_t i = 0; i < count; i++) {
        struct whorl__completion *one = &c->all[i];

        one->watch.ended = task_ended;
        one->of = c;
        one->task = tasks[i];
        if (!whorl__watch(tasks[i], &one->watch, "whorl_completions_open"))
            task_ended(&one->watch);
    }
    return 0;
}

int whorl_completions_next(struct whorl_completions *c, struct whorl_task **task)
{
    struct whorl__completion *one;
    struct whorl__waiter me;
    int err;

    if (c->left == 0)
        return 0;
    whorl__waiter_init(&me, "whorl_completions_next");
    whorl__waiters_lock(&c->waiters);
    while (!c->first) {
        whorl__waiters_append(&c->waiters, &me);
        err = whorl__waiter_wait(&c->waiters, &me, "a task's end", c);
        if (err)
            return err;
        whorl__waiter_init(&me, "whorl_completions_next");
        whorl__waiters_lock(&c->waiters);
    }
    one = c->first;
    c->first = one->next;
    if (!c->first)
        c->last = NULL;
    whorl__waiters_unlock(&c->waiters);
    c->left--;
    *task = one->task;
    one->task = NULL; /* the handle is the caller's again */
    return 1;
}

/* Whoever has taken the watch out of the latch is about to come: a matter of a few instructions. */
static void let_it_end(struct whorl_completions *c, const struct whorl__completion *one)
{
    bool ended;

    do {
        whorl__waiters_lock(&c->waiters);
        ended = one->ended;
        whorl__waiters_unlock(&c->waiters);
        if (!ended)
            sched_yield();
    } while (!ended);
}

void whorl_completions_close(struct whorl_completions *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct whorl__completion *one = &c->all[i];

        if (one->task && !whorl__unwatch(one->task, &one->watch))
            let_it_end(c, one);
    }
    free(c->all);
    c->all = NULL;
    c->count = c->left = 0;
}

static bool enough(enum whorl_until until, struct whorl_task *ended)
{
    intptr_t result;

    return until == WHORL_UNTIL_FIRST || (until == WHORL_UNTIL_ERROR && whorl_result(ended, &result) == 0 && result < 0);
}

ssize_t whorl_wait(struct whorl_task *const *tasks, size_t count, enum whorl_until until)
{
    struct whorl_completions c;
    struct whorl_task *t;
    ssize_t ended = 0;
    int err = whorl_completions_open(&c, tasks, count);

    if (err)
        return err;
    while ((err = whorl_completions_next(&c, &t)) > 0 && !enough(until, t))
        continue;
    whorl_completions_close(&c);
    for (size_t i = 0; i < count; i++)
        ended += whorl_result(tasks[i], NULL) == 0;
    return err < 0 ? err : ended;
}
