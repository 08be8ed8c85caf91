/* SPDX-License-Identifier: MIT */
/* Generators (whorl/generator.h): two tasks of which one runs at a time, as long as nobody is cancelled.
 *
 * P, the function's task, and C, its consumer, tell each other by `state`:
 *
 *   IDLE    P stands in whorl_generate, and its item is taken; or has not begun.   C: -> ASKED, and P goes on
 *   ASKED   C waits at its gate.               P: -> READY or ENDED, and opens the gate. C, when it is to stop waiting: -> LEFT
 *   LEFT    C has stopped waiting; P goes on.  P: -> READY or ENDED. C, asking again: -> ASKED
 *   READY   P stands in whorl_generate, its item is there.                         C: takes it, -> IDLE
 *   CLOSED  by C, from any of those but ASKED. P hands nothing over any more; C waits at its gate for P's end.
 *   ENDED   the last word of P, or of whoever found no stack for it. Opens C's gate, if it was ASKED or CLOSED.
 *
 * C's gate is that of runtime/waiter.h: closed before the state lets P open it; who leaves ASKED by an exchange decides. P, which stands still, needs none:
 * it is C's, who makes it go on when `standing` shows that P has left its stack. P's wait cannot be ended but by C, who is there as long as
 * the generator is open. The item is copied by C from where P has it.
 *
 * Whoever lets the other go on is about to wait for it, so the worker goes straight on with the other, without a round through the queue, as long as
 * its budget lasts. */
#include "runtime/waiter.h"
#include "runtime/watch.h"
#include <errno.h>
#include <string.h>
#include <whorl/generator.h>

enum { IDLE, ASKED, LEFT, READY, CLOSED, ENDED };

/* C: waits once at its gate, as whorl__gate_wait does, and lets the worker go on with `next`, a task that nobody else can see, or with whatever is
 * ready (NULL). */
__attribute__((always_inline)) static inline bool await(struct whorl__worker *w, struct whorl_task *t, enum whorl__wait wait,
                                                        const struct whorl_generator *g, struct whorl_task *next)
{
    whorl__store_relaxed(&t->wait_latch, &t->gate);
    whorl__begin_wait(w, t, wait, "a generator", (uintptr_t)g);
    whorl__leave_for(w, t, whorl__publish_gate, next);
    /* Acquire: pairs with the exchange of who has opened it. */
    return whorl__load_acquire(&t->gate) & 1;
}

/* P has left its stack. */
static void publish_standing(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl_generator *g = (struct whorl_generator *)whorl__load_relaxed(&t->object);

    (void)w;
    whorl__pause_at(GENERATOR_STAND);
    whorl__store_release(&g->standing, 1u); /* pairs with the acquire in standing; the last touch of both */
}

/* C: P stands in whorl_generate, or is about to, a matter of a few instructions. Returns it: nobody else can see it. */
static struct whorl_task *standing(const struct whorl_generator *g)
{
    while (!whorl__load_acquire(&g->standing))
        sched_yield();
    return g->task;
}

/* P has ended. With the last step of this the generator may be gone. */
static void function_ended(struct whorl__watch *watch)
{
    struct whorl_generator *g = (struct whorl_generator *)watch;
    struct whorl_task *c = g->consumer;
    uint32_t before;

    g->result = (int)g->task->result;
    whorl__pause_at(GENERATOR_ENDED);
    before = whorl__xchg_seq_cst(&g->state, (uint32_t)ENDED); /* release: pairs with the acquire in whorl_generator_next */
    c = before == ASKED || before == CLOSED ? whorl__latch_open(&c->gate) : NULL;
    if (c)
        whorl__ready_here(whorl__worker(), c);
}

static intptr_t run(void *arg)
{
    struct whorl_generator *g = arg;

    return g->fn(g, g->arg);
}

int whorl_generate(struct whorl_generator *g, const void *item)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_generate", &w), *c = g->consumer;
    uint32_t seen = ASKED;

    if (__builtin_expect(g->task != t, 0))
        whorl__misuse("whorl_generate was given a generator that this task is not the function of: hand items over from there");
    g->item = item;
    whorl__store_relaxed(&g->standing, 0u);
    whorl__pause_at(GENERATOR_READY);
    /* Release: pairs with the acquire in whorl_generator_next; the item is visible, and that P does not stand yet. */
    while (!whorl__cas_seq_cst(&g->state, &seen, (uint32_t)READY))
        if (seen == CLOSED)
            return -ECANCELED;
    whorl__pause_at(GENERATOR_OPEN);
    c = seen == ASKED ? whorl__latch_open(&c->gate) : NULL;
    whorl__begin_wait(w, t, WHORL__WAIT_SYNC, "its consumer", (uintptr_t)g);
    whorl__leave_for(w, t, publish_standing, c);
    /* Relaxed: C has written it before it let us go on. */
    return whorl__load_relaxed(&g->state) == CLOSED ? -ECANCELED : 0;
}

/* C: an item, or the end, is there. */
static int take(struct whorl_generator *g, void *item)
{
    if (__builtin_expect(whorl__load_acquire(&g->state) == ENDED, 0)) /* pairs with the exchange in function_ended */
        return g->result < 0 ? g->result : 0;
    if (item)
        memcpy(item, g->item, g->size);
    /* Relaxed: P looks once C has let it go on. */
    whorl__store_relaxed(&g->state, (uint32_t)IDLE);
    return 1;
}

static struct whorl_task *consumer_of(struct whorl_generator *g, const char *call, struct whorl__worker **w)
{
    struct whorl_task *t = whorl__self_may_suspend(call, w);

    if (__builtin_expect(g->consumer != t, 0))
        whorl__misuse("%s was given a generator that is closed, or that another task has opened: only who opened it may", call);
    return t;
}

/* Lets P begin, or returns it, for it to go on. */
static struct whorl_task *ask(struct whorl__worker *w, struct whorl_generator *g)
{
    whorl__store_release(&g->state, (uint32_t)ASKED); /* pairs with P's exchange: C's gate is closed */
    if (__builtin_expect(g->begun, 1))
        return standing(g);
    g->begun = 1;
    whorl__task_start(w, g->task, NULL);
    return NULL;
}

int whorl_generator_next(struct whorl_generator *g, void *item)
{
    struct whorl__worker *w;
    struct whorl_task *t = consumer_of(g, "whorl_generator_next", &w), *next = NULL;
    uint32_t seen = whorl__load_acquire(&g->state); /* pairs with the exchanges of P */
    int err;

    if (__builtin_expect(seen == READY || seen == ENDED, 0))
        return take(g, item);
    err = whorl__cancel_take(t);
    if (err)
        return err;
    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    if (seen == IDLE)
        next = ask(w, g);
    else if (!whorl__cas_seq_cst(&g->state, &seen, (uint32_t)ASKED)) /* was LEFT */
        return take(g, item);
    while (!await(whorl__worker(), t, WHORL__WAIT_LATCH, g, next)) {
        next = NULL;
        seen = ASKED;
        whorl__pause_at(GENERATOR_LEFT);
        if (whorl__cancel_pending(t) && whorl__cas_seq_cst(&g->state, &seen, (uint32_t)LEFT))
            return whorl__cancel_take(t);
    }
    return take(g, item);
}

int whorl_generator_open_at(struct whorl_generator *g, whorl_generator_fn fn, void *arg, size_t size, const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_generator_open", &w);
    struct whorl__rare *rare = whorl__rare(t);

    if (!fn)
        whorl__misuse("whorl_generator_open was given no function");
    *g = (struct whorl_generator){.watch.ended = function_ended,
                                  .fn = fn,
                                  .arg = arg,
                                  .size = size,
                                  .where = where,
                                  .consumer = t,
                                  .outer = rare->generators};
    g->task = whorl__task_new(w->runtime, w, run, g, NULL, where);
    if (!g->task)
        return -ENOMEM;
    g->task->latch = (uintptr_t)&g->watch | WHORL__LATCH_WATCH; /* before it begins */
    if (rare->locals)
        whorl__locals_inherit(g->task, t);
    whorl__add_trait(t, WHORL__LADEN);
    rare->generators = g;
    return 0;
}

static void unlink_generator(struct whorl_task *t, const struct whorl_generator *g)
{
    struct whorl_generator **at = &whorl__rare(t)->generators;

    while (*at != g)
        at = &(*at)->outer;
    *at = g->outer;
}

/* Ends P, wherever it is. Returns whether that was needed. */
static bool stop(struct whorl__worker *w, struct whorl_task *t, struct whorl_generator *g)
{
    struct whorl_task *p = g->task;
    uint32_t before;

    whorl__pause_at(GENERATOR_CLOSE);
    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    whorl__or_seq_cst(&p->cancel, (uint8_t)WHORL__STOP); /* C1 of wait.c */
    before = whorl__load_acquire(&g->state);             /* pairs with the exchange in function_ended */
    while (before != ENDED && !whorl__cas_seq_cst(&g->state, &before, (uint32_t)CLOSED))
        continue;
    if (before == ENDED)
        return false;
    if (before == LEFT)
        whorl__interrupt(p);
    else
        whorl__ready_here(w, standing(g));
    if (whorl__load_relaxed(&p->deque)) /* else it has no forks */
        whorl__strands_cancel(p, WHORL__STOP);
    /* Who cancelled t in an earlier wait may come so late (C3 of wait.c) that it takes t out of this one. */
    while (!await(w, t, WHORL__WAIT_SYNC, g, NULL))
        w = whorl__worker();
    return true;
}

int whorl_generator_close(struct whorl_generator *g)
{
    struct whorl__worker *w;
    struct whorl_task *t = consumer_of(g, "whorl_generator_close", &w);
    bool stopped;

    unlink_generator(t, g);
    stopped = g->begun && stop(w, t, g);
    g->consumer = NULL;
    if (!g->begun && whorl__rare(g->task)->locals)
        whorl__locals_end(g->task);
    whorl__record_put(whorl__worker(), g->task);
    return g->result >= 0 || (stopped && g->result == -ECANCELED) ? 0 : g->result;
}

void whorl__generators_end(struct whorl_task *t)
{
    const struct whorl_generator *g = whorl__rare(t)->generators;

    if (g)
        whorl__misuse("task \"%s\" (spawned at %s) ended without having closed the generator that it opened at %s",
                      whorl__name_of(t), t->where, g->where);
}
